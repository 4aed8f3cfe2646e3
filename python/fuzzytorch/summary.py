"""What a set of samples says: spread, significant digits, and what the command does alone.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import numbers, statistics, store
from .numbers import Aligned, Value
from .store import Run

_ALL_ROWS = 20
_WORST_ROWS = 12
_LAST_ROWS = 5


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table whose first row is its head; the first column goes left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def digits_text(estimate: statistics.Estimate, printed: int | None = None) -> str:
    """Return the digits of an estimate as a cell of a table.

    Parameters
    ----------
    estimate : Estimate
        Of one quantity.
    printed : int, optional
        Digits that the command printed: the samples cannot show more than these.
    """
    if estimate.finite < estimate.n:
        return f"{estimate.n - estimate.finite} not finite"
    if estimate.digits is None:
        return "mean 0"
    if estimate.equal:
        return "all equal"
    limited = printed is not None and estimate.digits > printed - 1
    return f"{estimate.digits:.2f}" + ("*" if limited else "")


def ceiling_line(n: int) -> str:
    """Return the sentence on the estimator that stands below each table of digits."""
    high = {
        kind: statistics.bits_to_digits(statistics.ceiling_bits(n, kind))
        for kind in statistics.SIGNIFICAND_BITS
    }
    return (
        f"digits: decimal, at 95 % probability and 95 % confidence, -log2(sd/mean) - "
        f"delta({n}) with delta({n}) = {statistics.delta(n):.3f} bits; the most that {n} "
        f"samples can show is {high['f32']:.2f} in f32, {high['f64']:.2f} in f64"
    )


def _native_cell(value: Value | None) -> str:
    if value is None:
        return "?"
    estimate = statistics.significant(value.values)
    return "same" if estimate.equal else f"{estimate.sd:.2g}"


def _pick(
    moving: list[tuple[Value, statistics.Estimate]],
) -> list[tuple[Value, statistics.Estimate]]:
    """Return the rows to show: all where they are few, else the worst and the last."""
    if len(moving) <= _ALL_ROWS:
        return moving

    def rank(index: int) -> float:
        bits = moving[index][1].bits
        return -1.0 if bits is None else bits

    worst = sorted(range(len(moving)), key=rank)[:_WORST_ROWS]
    last = range(len(moving) - _LAST_ROWS, len(moving))
    return [moving[i] for i in sorted({*worst, *last})]


def digits_lines(samples: Aligned, native: Aligned | None, n: int) -> list[str]:
    """Return the part on the numbers of stdout.

    Parameters
    ----------
    samples : Aligned
        The numbers of the samples.
    native : Aligned or None
        Those of the runs in mode off.
    n : int
        Number of samples.
    """
    if not samples.values:
        return ["stdout: no number that all samples print"]
    estimates = [(v, statistics.significant(v.values)) for v in samples.values]
    moving = [(v, e) for v, e in estimates if not e.equal]
    still = len(estimates) - len(moving)
    lines = [
        (
            f"stdout: {len(estimates)} numbers in all samples, {len(moving)} vary, "
            f"{still} are equal"
        )
    ]
    if samples.unmatched:
        lines.append(
            f"  {samples.unmatched} more lines with numbers differ in their words "
            f"from sample to sample: not compared"
        )
    if still:
        lines.append(
            f"  equal in {n} of {n} samples proves agreement with probability "
            f"{statistics.unanimous_probability(n):.2f} only, at 95 % confidence"
        )
    if not moving:
        return [*lines, ceiling_line(n)]
    beside = numbers.by_label(native)
    head = ["value", "mean", "sd", "digits"] + (["native sd"] if native else [])
    rows = [head]
    shown = _pick(moving)
    for value, estimate in shown:
        row = [
            value.label,
            f"{estimate.mean:.8g}",
            f"{estimate.sd:.2g}",
            digits_text(estimate, value.printed),
        ]
        if native:
            row.append(_native_cell(beside.get(value.label)))
        rows.append(row)
    lines += table(rows)
    if len(shown) < len(moving):
        lines.append(
            f"  {len(moving) - len(shown)} more vary less: the worst "
            f"{_WORST_ROWS} and the last {_LAST_ROWS} are shown"
        )
    if any(row[3].endswith("*") for row in rows[1:]):
        lines.append(
            "  * about all digits that are printed: print more to see the spread"
        )
    return [*lines, ceiling_line(n)]


def _differing(hashes: Sequence[dict[str, str]]) -> list[str]:
    names = sorted({name for one in hashes for name in one})
    return [name for name in names if len({one.get(name) for one in hashes}) > 1]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def control_lines(controls: Sequence[Run]) -> list[str]:
    """Return what the runs in mode off say about the command itself."""
    if len(controls) < 2:
        return [
            (
                "control: no two runs in mode off, so a spread of the command's own would "
                "not be seen"
            )
        ]
    texts = [run.text() for run in controls]
    files = _differing([store.tree_hashes(run.files) for run in controls])
    if len(set(texts)) == 1 and not files:
        return [
            f"control: {len(controls)} runs in mode off give the same stdout and files"
        ]
    what = []
    if len(set(texts)) > 1:
        what.append("stdout")
    if files:
        what.append(f"files ({_some(files)})")
    return [
        (
            f"control: NOT deterministic by itself: in {len(controls)} runs in mode off, "
            f"{' and '.join(what)} differ; part of the samples' spread is the command's own"
        )
    ]


def file_lines(samples: Sequence[Run]) -> list[str]:
    """Return which collected files vary over the samples."""
    hashes = [store.tree_hashes(run.files) for run in samples]
    total = {name for one in hashes for name in one}
    if not total:
        return []
    differ = _differing(hashes)
    return [
        f"files: {len(total)} collected, {len(differ)} vary"
        + (f": {_some(differ)}" if differ else "")
    ]


def unperturbed(samples: Sequence[Run]) -> list[Run]:
    """Return the finished samples that were to be perturbed and show no sign of it.

    A sign is a perturbed call, or a perturbed site in moved code.
    """
    return [
        run
        for run in samples
        if run.ok
        and run.status["mode"] != "off"
        and not run.perturbed()
        and not run.moved()
    ]


def lines(samples: Sequence[Run], controls: Sequence[Run], wanted: int) -> list[str]:
    """Return the summary of a study.

    Parameters
    ----------
    samples, controls : sequence of Run
        Finished runs, failed samples included.
    wanted : int
        Samples that were asked for.
    """
    good = [run for run in samples if run.ok]
    text = [f"{len(good)} of {wanted} samples finished"]
    failed = [run for run in samples if not run.ok]
    for run in failed:
        text.append(
            f"  sample {run.status['sample']} (seed {run.status['seed']}) failed with "
            f"exit status {run.status['exit_status']}: {run.folder}/stderr"
        )
    bare = unperturbed(samples)
    if bare:
        text.append(
            f"  NOTHING PERTURBED in {len(bare)} of {len(good)} samples (no report of "
            f"the library, or one without a perturbed call): what follows says "
            f"nothing about rounding; see {bare[0].folder}/stderr"
        )
    if controls:
        text += control_lines(controls)
    if good:
        mean = math.fsum(run.status["wall_seconds"] for run in good) / len(good)
        native = [run.status["wall_seconds"] for run in controls if run.ok]
        ratio = (
            f", {mean * len(native) / math.fsum(native):.1f} times a run in mode off"
            if native and math.fsum(native) > 0
            else ""
        )
        text.append(f"time: {mean:.2f} s a sample{ratio}")
    if len(good) < 2:
        return [*text, "digits: at least two finished samples are needed"]
    native_numbers = (
        numbers.align([run.text() for run in controls]) if len(controls) > 1 else None
    )
    text += file_lines(good)
    text += digits_lines(
        numbers.align([run.text() for run in good]), native_numbers, len(good)
    )
    return text
