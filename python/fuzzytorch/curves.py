"""The numbers of a study that are no tensors: on stdout, in tables, step by step.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from . import numbers, statistics
from .study import Quantity

#: Steps that make a curve.
_SHORTEST = 5


def number(value: numbers.Value, control: numbers.Value | None) -> dict[str, Any]:
    """Return an entry of a report's `stdout`.

    Parameters
    ----------
    value : Value
        In all samples.
    control : Value or None
        In the run in mode off.
    """
    estimate = statistics.significant(value.values)
    bits = None
    if estimate.finite == estimate.n and estimate.bits is not None:
        most = numbers.bits_shown(value, statistics.SIGNIFICAND_BITS["f64"])
        sigma = estimate.sd / abs(estimate.mean) if estimate.mean else 0.0
        found = statistics.bits_interval(sigma, estimate.n - 1, 0.025, most)
        bits = {
            "bits": found.point,
            "low": found.low,
            "high": found.high if math.isfinite(found.high) else None,
            "ceiling": statistics.bits_interval(0, estimate.n - 1, 0.025, most).low,
        }
    return {
        "label": value.label,
        "n": estimate.n,
        "finite": estimate.finite,
        "mean": _finite(estimate.mean),
        "sd": _finite(estimate.sd),
        "equal": estimate.equal,
        "printed_digits": value.printed,
        "significant": bits,
        "control": _finite(control.values[0]) if control else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _curve(
    label: str, rows: Sequence[Sequence[float]], control: Sequence[float] | None
) -> dict[str, Any]:
    """Return a curve's mean and envelope, one row a sample."""
    columns = list(zip(*rows))

    def over(take: Any) -> list[float | None]:
        found = []
        for column in columns:
            kept = [x for x in column if math.isfinite(x)]
            found.append(take(kept) if kept else None)
        return found

    def spread(kept: list[float]) -> float:
        middle = math.fsum(kept) / len(kept)
        squares = math.fsum((x - middle) ** 2 for x in kept)
        return math.sqrt(squares / max(1, len(kept) - 1))

    return {
        "label": label,
        "steps": len(columns),
        "n": len(rows),
        "mean": over(lambda kept: math.fsum(kept) / len(kept)),
        "low": over(min),
        "high": over(max),
        "sd": over(spread),
        "control": None if control is None else [_finite(float(x)) for x in control],
    }


def printed(
    samples: numbers.Aligned, control: dict[str, numbers.Value]
) -> list[dict[str, Any]]:
    """Return curves of the numbers that come at least five times on stdout."""
    groups: dict[str, list[numbers.Value]] = {}
    for value in samples.values:
        found = re.fullmatch(r"(.*) \[\d+\]", value.label)
        if found:
            groups.setdefault(found[1], []).append(value)
    curves = []
    for label, values in groups.items():
        if len(values) < _SHORTEST:
            continue
        if all(min(v.values) == max(v.values) for v in values):
            continue  # a count of steps, say
        beside = [control[v.label].values[0] for v in values if v.label in control]
        rows = list(zip(*(v.values for v in values)))
        curves.append(
            _curve(label, rows, beside if len(beside) == len(values) else None)
        )
    return curves


def stored(quantities: Sequence[Quantity]) -> list[dict[str, Any]]:
    """Return curves of columns in collected files, and of numbers recorded call by call."""
    curves = []
    scalars: dict[tuple[str, str], list[Quantity]] = {}
    for q in quantities:
        arrays = q.usable
        if len(arrays) < 2 or q.missing:
            continue
        text = q.key.kind == "file" and re.search(r"\.(csv|jsonl?)(:|$)", q.key.name)
        if text and len(q.shape) == 1 and _SHORTEST <= q.shape[0] <= 100_000:
            rows = [a.load().tolist() for a in arrays]
            if all(row == rows[0] for row in rows):
                continue
            beside = q.stock
            control = None if beside is None else beside.load().tolist()
            curves.append(_curve(q.label, rows, control))
        elif q.key.kind == "record" and arrays[0].size == 1:
            scalars.setdefault((q.key.place, q.key.name), []).append(q)
    for (_, name), calls in scalars.items():
        if len(calls) < _SHORTEST:
            continue
        calls.sort(key=lambda q: q.key.call)
        columns = [[float(a.load().reshape(())) for a in q.usable] for q in calls]
        beside = [q.stock for q in calls]
        control = [float(b.load().reshape(())) for b in beside if b is not None]
        curves.append(
            _curve(
                name,
                list(zip(*columns)),
                control if len(control) == len(calls) else None,
            )
        )
    return curves
