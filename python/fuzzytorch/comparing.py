"""fuzzyrun compare: two studies side by side, quantity by quantity.

SPDX-License-Identifier: Apache-2.0

Variances by Brown and Forsythe, means by Welch, agreement by Bland and Altman; the effect is
said in bits. docs/statistics.md has the formulas for tensors, which for one number are the
textbooks' own.
"""

from __future__ import annotations

import getopt
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__, extras, numbers, reporting
from .arrays import Array
from .errors import FuzzyError
from .summary import table

if TYPE_CHECKING:
    from .study import Study

USAGE = """\
usage: fuzzyrun compare [-o FILE] DIR1 DIR2

Sets two studies side by side: bits of what both recorded (else of the numbers on stdout),
whether their spreads are equal (Brown-Forsythe) and their means (Welch).

  -o, --output FILE   write the comparison as JSON

The exit status is 0, 1 if nothing can be compared, 2 for wrong use.
"""

SCHEMA = 1
_ALPHA = 0.05


def brown_forsythe(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return statistic and p-value of equal spread, from distances to the medians.

    Parameters
    ----------
    first, second : numpy.ndarray
        Distance of each sample from its study's centre.
    """
    from scipy.stats import f_oneway

    if np.ptp(first) == 0 and np.ptp(second) == 0:
        same = first[0] == second[0]
        return (0.0, 1.0) if same else (math.inf, 0.0)
    found = f_oneway(first, second)
    return float(found.statistic), float(found.pvalue)


def welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return statistic and p-value of equal means."""
    from scipy.stats import ttest_ind

    if np.ptp(first) == 0 and np.ptp(second) == 0:
        same = first[0] == second[0]
        return (0.0, 1.0) if same else (math.inf, 0.0)
    found = ttest_ind(first, second, equal_var=False)
    return float(found.statistic), float(found.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values made larger by Holm, so that all hold together."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    found = [0.0] * len(values)
    most = 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(values) - rank) * values[i]))
        found[i] = most
    return found


class _Distances:
    """For each sample of two studies: how far from its centre, and where along the mean.

    Notes
    -----
    The centre of one number is its median, as Brown and Forsythe have it. Distances over
    many elements scatter so little that their dependence on the number of samples would
    look like a difference: there it is the mean, for which sqrt(n / (n-1)) takes that away.
    """

    def __init__(self, counts: tuple[int, int], alone: bool) -> None:
        self.alone = alone
        self.far = [np.zeros(n) for n in counts]
        self.along = [np.zeros(n) for n in counts]
        self.norm2 = 0.0
        self.shift: list[tuple[int, float, float]] = []

    def add(self, parts: tuple[np.ndarray, np.ndarray]) -> None:
        """Add a piece of all samples, one row each."""
        means = [p.mean(axis=0) for p in parts]
        base = (means[0] + means[1]) / 2
        self.norm2 += float(base @ base)
        for part, mean, far, along in zip(parts, means, self.far, self.along):
            off = part - (np.median(part, axis=0) if self.alone else mean)
            far += (off * off).sum(axis=1)
            along += (part - base) @ base
        gap = means[1] - means[0]
        self.shift.append((gap.size, float(gap.sum()), float((gap * gap).sum())))

    def distances(self) -> list[np.ndarray]:
        """Return the distances of each study's samples from its centre."""
        if self.alone:
            return [np.sqrt(far) for far in self.far]
        return [np.sqrt(far * len(far) / (len(far) - 1)) for far in self.far]


def compare_arrays(
    first: Sequence[Array], second: Sequence[Array], most: int
) -> dict[str, Any] | None:
    """Return the comparison of a tensor in two studies.

    Parameters
    ----------
    first, second : sequence of Array
        Samples of each, at least two, of one shape.
    most : int
        Explicit bits of the significand.

    Returns
    -------
    dict or None
        As docs/report-schema.md describes; None without a finite element.
    """
    from scipy.stats import f as fisher

    from . import measures

    n = len(first)
    found = _Distances((n, len(second)), first[0].size == 1)

    # Both by the same power of two, or their spreads could not be compared.
    exponent = measures.common_exponent([*first, *second])

    def visit(values: np.ndarray, _: Any) -> None:
        values = np.ldexp(values, -exponent)
        found.add((values[:n], values[n:]))

    both = measures.moments([*first, *second], visit=visit, exponent=exponent)
    if not both.common:
        return None
    parts = [measures.moments(a, exponent=exponent) for a in (first, second)]
    bits = [p.bits(_ALPHA / 2, most) for p in parts]
    spread = brown_forsythe(*found.distances())
    norm = math.sqrt(found.norm2) or 1.0
    means = welch(*(a / norm for a in found.along))
    variances = [p.squares / (p.n - 1) for p in parts]
    effect = None
    if min(variances) > 0:
        middle = 0.5 * math.log2(variances[1] / variances[0])
        d1, d2 = parts[0].degrees, parts[1].degrees
        effect = {
            "bits": middle,
            "low": middle - 0.5 * math.log2(float(fisher.ppf(1 - _ALPHA / 2, d2, d1))),
            "high": middle - 0.5 * math.log2(float(fisher.ppf(_ALPHA / 2, d2, d1))),
        }
    count = sum(c for c, _, _ in found.shift)
    bias = math.fsum(s for _, s, _ in found.shift) / count
    square = math.fsum(q for _, _, q in found.shift) / count
    sd = math.sqrt(max(0.0, square - bias * bias))
    return {
        "bits": [
            None
            if b is None
            else {
                "bits": b.point,
                "low": b.low,
                "high": b.high if math.isfinite(b.high) else None,
            }
            for b in bits
        ],
        "n": [len(first), len(second)],
        "not_finite": both.broken,
        "noise_ratio": effect,
        "brown_forsythe": {"statistic": _finite(spread[0]), "p": spread[1]},
        "welch": {"statistic": _finite(means[0]), "p": means[1]},
        "bland_altman": {
            "bias": math.ldexp(bias, exponent),
            "low": math.ldexp(bias - 1.96 * sd, exponent),
            "high": math.ldexp(bias + 1.96 * sd, exponent),
            "elements": count,
        },
        "relative_shift": math.sqrt(square * count) / norm if found.norm2 else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pairs(one: Study, two: Study) -> list[tuple[str, list[Array], list[Array], int]]:
    """Return what both studies have: tensors, or the numbers on stdout if there are none."""
    others = {q.key: q for q in two.quantities()}
    pairs = []
    for q in one.quantities():
        other = others.get(q.key)
        if other is None or q.ragged or other.ragged or q.shape != other.shape:
            continue
        first, second = list(q.samples.values()), list(other.samples.values())
        whole = first[0].dtype.kind in "b" or not first[0].size
        if len(first) > 1 and len(second) > 1 and not whole:
            most = max(q.significand, other.significand)
            pairs.append((q.label if q.key.kind != "grad" else f"{q.label} ({q.key.pass_})",
                          first, second, most))  # fmt: skip
    if pairs:
        return pairs
    aligned = [numbers.align([r.text() for r in s.samples]) for s in (one, two)]
    there = numbers.by_label(aligned[1])
    for value in aligned[0].values:
        if value.label in there:
            rows = [
                [Array((1,), np.dtype(np.float64), np.array([x])) for x in v.values]
                for v in (value, there[value.label])
            ]
            pairs.append((value.label, rows[0], rows[1], 52))
    return pairs


def compare(one: Study, two: Study) -> dict[str, Any]:
    """Return the comparison of two studies.

    Parameters
    ----------
    one, two : Study
        Each with two samples at least.
    """
    for study in (one, two):
        if len(study.samples) < 2:
            raise FuzzyError(
                f"{study.path}: {len(study.samples)} samples, at least 2 are needed", 1
            )
    rows = []
    for label, first, second, most in _pairs(one, two):
        found = compare_arrays(first, second, most)
        if found is not None:
            rows.append({"label": label, **found})
    if not rows:
        raise FuzzyError(
            f"{one.path} and {two.path} have no quantity in common to compare", 1
        )
    for test in ("brown_forsythe", "welch"):
        for row, p in zip(rows, holm([r[test]["p"] for r in rows])):
            row[test]["p_holm"] = p
    return {
        "schema": SCHEMA,
        "generator": f"fuzzytorch {__version__}",
        "studies": [
            {
                "path": str(s.path.resolve()),
                "command": s.manifest.get("command"),
                "mode": s.manifest.get("mode"),
                "samples": len(s.samples),
                "partial": s.partial,
            }
            for s in (one, two)
        ],
        "alpha": _ALPHA,
        "quantities": rows,
        "problems": one.problems + two.problems,
    }


def _cell(bits: dict[str, Any] | None) -> str:
    if bits is None:
        return "-"
    return f"{bits['bits']:.1f}"


def lines(result: dict[str, Any]) -> list[str]:
    """Return the comparison for a terminal."""
    text = [
        f"{'AB'[i]}: {s['path']}, mode {s['mode']}, {s['samples']} samples"
        + (" (partial)" if s["partial"] else "")
        for i, s in enumerate(result["studies"])
    ]
    rows = [["tensor", "bits A", "bits B", "noise B/A", "95 %", "p spread", "p mean"]]
    for row in result["quantities"]:
        effect = row["noise_ratio"]
        rows.append(
            [
                row["label"],
                *(_cell(b) for b in row["bits"]),
                "-" if effect is None else f"{effect['bits']:+.2f} bits",
                "-"
                if effect is None
                else f"{effect['low']:+.1f} to {effect['high']:+.1f}",
                f"{row['brown_forsythe']['p_holm']:.2g}",
                f"{row['welch']['p_holm']:.2g}",
            ]
        )
    text += ["", *table(rows), ""]
    wider = [
        r["label"]
        for r in result["quantities"]
        if r["brown_forsythe"]["p_holm"] < result["alpha"]
    ]
    moved = [
        r["label"]
        for r in result["quantities"]
        if r["welch"]["p_holm"] < result["alpha"]
    ]
    count = len(result["quantities"])
    text.append(
        f"spread: differs in {len(wider)} of {count}"
        + (f", first {wider[0]}" if wider else "")
        + "; mean: "
        + f"differs in {len(moved)} of {count}"
        + (f", first {moved[0]}" if moved else "")
    )
    text.append(
        "p-values by Brown-Forsythe and Welch, made to hold together by Holm; noise B/A is "
        "log2 of the ratio of standard deviations"
    )
    return text


def main(argv: Sequence[str]) -> int:
    """Run fuzzyrun compare.

    Parameters
    ----------
    argv : sequence of str
        Arguments after `compare`.

    Returns
    -------
    int
        The exit status.
    """
    try:
        pairs, rest = getopt.gnu_getopt(list(argv), "o:h", ["output=", "help"])
    except getopt.GetoptError as error:
        raise FuzzyError(f"compare: {error} (fuzzyrun compare --help)") from None
    given = dict(pairs)
    if "-h" in given or "--help" in given:
        print(USAGE, end="")
        return 0
    if len(rest) != 2:
        raise FuzzyError("compare: name two study folders (fuzzyrun compare --help)")
    extras.need("numpy", "scipy")
    from .study import Study

    result = compare(Study(rest[0]), Study(rest[1]))
    print("\n".join(lines(result)))
    output = given.get("-o", given.get("--output"))
    if output is not None:
        text = json.dumps(reporting.clean(result), indent=1, allow_nan=False) + "\n"
        reporting.write(Path(output), text)
    return 0
