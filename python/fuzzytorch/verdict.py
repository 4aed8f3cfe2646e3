"""fuzzyrun verdict: is a difference between two stock runs inside the numerical noise?

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import getopt
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import extras, findings, numbers, reporting
from .errors import FuzzyError
from .summary import table

if TYPE_CHECKING:
    from .arrays import Array
    from .study import Quantity, Study

USAGE = """\
usage: fuzzyrun verdict [--json] DIR --against OTHER

Says whether the run in mode off of the study in OTHER (another batch size, thread count,
version, compiler) differs from that of the study in DIR by no more than rounding does in the
samples of DIR. OTHER may have no samples: fuzzyrun -n 1 --control 1 makes one.

The exit status is 0 if all differences are inside the noise, 3 if one is outside, 4 if it
cannot be said, 2 for wrong use.
"""

ALPHA = 0.05
INSIDE, OUTSIDE, UNKNOWN = 0, 3, 4


def limit(degrees: float, quantities: int, alpha: float = ALPHA) -> float:
    """Return how often the noise's standard deviation a difference may be.

    Parameters
    ----------
    degrees : float
        Effective degrees of freedom of the noise.
    quantities : int
        Tensors that are looked at.
    alpha : float
        Probability that any of them is called outside without cause.

    Notes
    -----
    Two runs that both carry the noise of the samples differ by sqrt(2) sigma F^(1/2), F of 1
    and `degrees` degrees of freedom, where all elements move together: that is the widest
    law, so that fewer are called outside where they do not.
    """
    from scipy.stats import f

    return math.sqrt(float(f.isf(alpha / quantities, 1, degrees)))


def difference(
    samples: Sequence[Array], one: Array, two: Array
) -> dict[str, Any] | None:
    """Return a difference beside the noise, both relative to the samples' mean.

    Parameters
    ----------
    samples : sequence of Array
        Perturbed runs, two at least.
    one, two : Array
        The stock runs.
    """
    import numpy as np

    from . import measures

    n = len(samples)
    total = {"gap": 0.0}
    exponent = measures.common_exponent([*samples, one, two])

    def visit(values: Any, _: Any) -> None:
        gap = np.ldexp(values[n] - values[n + 1], -exponent)
        total["gap"] += float(gap @ gap)

    both = measures.moments([*samples, one, two], visit=visit, exponent=exponent)
    broken = both.broken
    noise = measures.moments(samples, exponent=exponent)
    norm2 = noise.mean_norm2
    sigma2 = noise.squares / (n - 1)
    if not both.common and not broken:
        return None
    gap = math.sqrt(total["gap"])
    if gap == 0.0 and not broken:
        ratio = 0.0
    elif sigma2 == 0.0:
        ratio = math.inf
    else:
        ratio = gap / math.sqrt(2.0 * sigma2)
    return {
        "ratio": math.inf if broken else ratio,
        "degrees": noise.degrees,
        "difference": math.sqrt(total["gap"] / norm2) if norm2 else None,
        "noise": math.sqrt(2.0 * sigma2 / norm2) if norm2 else None,
        "not_finite": broken,
    }


def _groups(one: Study) -> list[list[Quantity]]:
    """Return the tensors of a study, all calls of one name together."""
    found: dict[tuple[str, ...], list[Quantity]] = {}
    for q in one.quantities():
        key = (q.key.place, q.key.name, q.key.kind, q.key.pass_)
        found.setdefault(key, []).append(q)
    return list(found.values())


def _joined(
    group: list[Quantity], others: dict[Any, Array]
) -> tuple[list[Array], Array, Array] | None:
    """Return samples and stock runs with all calls one after the other.

    Notes
    -----
    Other batch sizes make other numbers of calls, of other shapes, with the same rows in all.
    """
    from .arrays import Joined, Unreadable

    key = group[0].key
    theirs = sorted(
        (
            (k.call, a)
            for k, a in others.items()
            if k._replace(call=0) == key._replace(call=0)
        ),
        key=lambda pair: pair[0],
    )
    chosen = set(group[0].samples)
    if not theirs or any(q.ragged or set(q.samples) != chosen for q in group):
        return None
    calls = sorted(group, key=lambda q: q.key.call)
    stock = [q.stock for q in calls]
    if any(a is None for a in stock):
        return None
    try:
        samples: list[Array] = [
            Joined([q.samples[k] for q in calls]) for k in sorted(chosen)
        ]
        mine = Joined([a for a in stock if a is not None])
        other = Joined([a for _, a in theirs])
    except Unreadable:
        return None
    return (samples, mine, other) if mine.shape == other.shape else None


def _tensors(one: Study, two: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """Return differences of tensors, and what has no partner."""
    others = {
        key: entry.array for key, entry in two.record(two.controls[0]).entries.items()
    }
    rows: list[dict[str, Any]] = []
    apart: list[str] = []
    for group in _groups(one):
        group = [
            q
            for q in group
            if len(q.samples) > 1 and next(iter(q.samples.values())).size
        ]
        pairs = []
        for q in group:
            stock, other = q.stock, others.get(q.key)
            fits = stock is not None and other is not None and other.shape == q.shape
            if fits and not q.ragged:
                pairs.append((q.label, list(q.samples.values()), stock, other))
        if len(pairs) < len(group):
            joined = _joined(group, others)
            if joined is not None:
                pairs = [(f"{group[0].key.name} (all calls)", *joined)]
            else:
                there = {label for label, *_ in pairs}
                apart += [q.label for q in group if q.label not in there]
        for label, samples, stock, other in pairs:
            found = difference(samples, stock, other)
            if found is not None:
                rows.append({"label": label, "kind": group[0].key.kind, **found})
    return rows, apart


def _rows(one: Study, two: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """Return differences of tensors, or of the numbers on stdout, and what has no partner."""
    import numpy as np

    from .arrays import Array

    rows, apart = _tensors(one, two)
    if rows or apart:
        return rows, apart
    texts = [r.text() for r in one.samples]
    texts += [one.controls[0].text(), two.controls[0].text()]
    for value in numbers.align(texts).values:
        arrays = [
            Array((1,), np.dtype(np.float64), np.array([x])) for x in value.values
        ]
        found = difference(arrays[:-2], arrays[-2], arrays[-1])
        if found is not None:
            rows.append({"label": value.label, "kind": "stdout", **found})
    return rows, apart


def judge(one: Study, two: Study) -> dict[str, Any]:
    """Return whether the stock runs of two studies differ by more than noise.

    Parameters
    ----------
    one : Study
        With samples and a run in mode off.
    two : Study
        With a run in mode off.
    """
    for study in (one, two):
        if not study.controls:
            raise FuzzyError(
                f"{study.path} has no finished run in mode off: sample with --control 1"
            )
    if len(one.samples) < 2:
        raise FuzzyError(
            f"{one.path}: {len(one.samples)} samples show no noise, at least 2 are needed"
        )
    rows, apart = _rows(one, two)
    for row in rows:
        row["limit"] = limit(row["degrees"], len(rows))
        row["inside"] = row["ratio"] <= row["limit"]
    outside = [r for r in rows if not r["inside"]]
    state = "outside" if outside else "unknown" if apart or not rows else "inside"
    return {
        "schema": 1,
        "studies": [str(one.path.resolve()), str(two.path.resolve())],
        "samples": len(one.samples),
        "alpha": ALPHA,
        "verdict": state,
        "quantities": rows,
        "without_partner": apart,
    }


def sentence(result: dict[str, Any]) -> str:
    """Return the verdict in words."""
    rows = result["quantities"]
    n = result["samples"]
    if result["verdict"] == "unknown":
        if not rows and not result["without_partner"]:
            return "CANNOT SAY: the runs have nothing in common to compare"
        apart = result["without_partner"]
        return (
            f"CANNOT SAY: {len(apart)} of {len(rows) + len(apart)} tensors are missing in "
            f"a run in mode off or have another shape, first {apart[0]}"
        )
    worst = max(rows, key=lambda r: r["ratio"] / r["limit"])
    figure = (
        f"{worst['label']} differs by {worst['ratio']:.2g} times the noise, where {n} "
        f"samples allow {worst['limit']:.2g}"
    )
    if worst["difference"] and worst["noise"]:
        figure += (
            f" (relative difference 2^{math.log2(worst['difference']):.1f}, noise "
            f"2^{math.log2(worst['noise']):.1f})"
        )
    if result["verdict"] == "inside":
        if all(r["ratio"] == 0 for r in rows):
            return "INSIDE the noise: the two runs are equal"
        return f"INSIDE the noise: {figure}"
    outside = sum(not r["inside"] for r in rows)
    what = findings.plural(outside, "quantity", "quantities")
    if worst["not_finite"]:
        figure = f"{worst['label']} is not finite in one of the runs"
    return f"OUTSIDE the noise in {what} of {len(rows)}: {figure}"


def main(argv: Sequence[str]) -> int:
    """Run fuzzyrun verdict.

    Parameters
    ----------
    argv : sequence of str
        Arguments after `verdict`.

    Returns
    -------
    int
        The exit status.
    """
    try:
        pairs, rest = getopt.gnu_getopt(list(argv), "h", ["against=", "json", "help"])
    except getopt.GetoptError as error:
        raise FuzzyError(f"verdict: {error} (fuzzyrun verdict --help)") from None
    given = dict(pairs)
    if "-h" in given or "--help" in given:
        print(USAGE, end="")
        return 0
    if len(rest) != 1 or "--against" not in given:
        raise FuzzyError("verdict: fuzzyrun verdict DIR --against OTHER")
    extras.need("numpy", "scipy")
    from .study import Study

    result = judge(Study(rest[0]), Study(given["--against"]))
    status = {"inside": INSIDE, "outside": OUTSIDE, "unknown": UNKNOWN}
    if "--json" in given:
        print(json.dumps(reporting.clean(result), indent=1, allow_nan=False))
        return status[result["verdict"]]
    print(sentence(result))
    rows = sorted(result["quantities"], key=lambda r: -r["ratio"] / r["limit"])[:12]
    if rows:
        body = [["tensor", "difference / noise", "allowed", ""]]
        body += [
            [
                r["label"],
                f"{r['ratio']:.2g}",
                f"{r['limit']:.2g}",
                "inside" if r["inside"] else "OUTSIDE",
            ]
            for r in rows
        ]
        print("\n".join(["", *table(body)]))
    return status[result["verdict"]]
