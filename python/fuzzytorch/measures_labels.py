"""Measures of labels over samples: Dice, Jaccard, flips of the top class, entropy of votes.

SPDX-License-Identifier: Apache-2.0

docs/statistics.md states each measure. Most elements of a label map are the same in all
samples and are counted once; only the others are compared pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import statistics
from .arrays import Array

_PIECE = 1 << 22
#: More different integers than these are numbers rather than labels.
MOST_LABELS = 256
_WIDEST = 1 << 16
_SHOWN = 20


class TopClass:
    """The largest of the scores along one axis, read as an array of labels.

    Parameters
    ----------
    scores : Array
        Scores, e.g. logits.
    axis : int
        The axis of the classes.
    """

    def __init__(self, scores: Array, axis: int) -> None:
        self.scores = scores
        shape = scores.shape
        axis %= len(shape)
        self.classes = shape[axis]
        self._inner = math.prod(shape[axis + 1 :])
        self.shape = shape[:axis] + shape[axis + 1 :]
        self.size = math.prod(self.shape)
        self.dtype = np.dtype(np.int64)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Return the scores of some items, one row a class."""
        stop = min(stop, self.size)
        if self._inner == 1:
            width = self.classes
            rows = self.scores.piece(start * width, stop * width)
            return rows.reshape(-1, width).T
        parts = []
        while start < stop:
            outer, place = divmod(start, self._inner)
            count = min(stop - start, self._inner - place)
            base = outer * self.classes * self._inner + place
            parts.append(
                np.stack(
                    [
                        self.scores.piece(at, at + count)
                        for at in range(
                            base, base + self.classes * self._inner, self._inner
                        )
                    ]
                )
            )
            start += count
        return np.concatenate(parts, axis=1)

    def piece(self, start: int, stop: int) -> np.ndarray:
        """Return the classes of some items."""
        return self.block(start, stop).argmax(axis=0)


def class_axis(shape: Sequence[int], asked: int | None = None) -> int | None:
    """Return the axis on which an output holds classes, None if it does not seem to.

    Notes
    -----
    By itself only (items, 2 to 1000 classes) is taken for classes.
    """
    if asked is not None:
        inside = -len(shape) <= asked < len(shape) and len(shape) > 0
        return asked % len(shape) if inside and shape[asked] > 1 else None
    return 1 if len(shape) == 2 and 2 <= shape[1] <= 1000 else None


def labels_of(arrays: Sequence[Any]) -> np.ndarray | None:
    """Return the different labels of some arrays, None if these are not labels."""
    if any(a.dtype.kind not in "biu" for a in arrays):
        return None
    found: set[int] = set()
    for array in arrays:
        step = _PIECE // getattr(array, "classes", 1)
        for start in range(0, array.size, max(1, step)):
            values = array.piece(start, start + max(1, step))
            low, high = int(values.min()), int(values.max())
            if high - low >= _WIDEST:
                return None
            counts = np.bincount(values.astype(np.int64) - low)
            found |= {int(k) + low for k in np.flatnonzero(counts)}
            if len(found) > MOST_LABELS:
                return None
    return np.array(sorted(found), np.int64)


class _Overlap:
    """Elements in which two runs give the same label, for all pairs and labels."""

    def __init__(self, labels: np.ndarray, rows: int) -> None:
        self.labels = labels
        self.counts = np.zeros((len(labels), rows, rows), np.int64)

    def add(self, index: np.ndarray, same: np.ndarray) -> None:
        """Add a piece: one row of label numbers a run, and where all rows are the same."""
        k = len(self.labels)
        self.counts += np.bincount(index[0, same], minlength=k)[:, None, None]
        rest = index[:, ~same]
        if not rest.shape[1]:
            return
        for i in range(len(rest)):
            for j in range(i, len(rest)):
                found = np.bincount(rest[i, rest[i] == rest[j]], minlength=k)
                self.counts[:, i, j] += found
                if i != j:
                    self.counts[:, j, i] += found

    def dice(self) -> np.ndarray:
        """Return Dice by label and pair; NaN where neither run has the label."""
        sizes = np.einsum("kii->ki", self.counts)
        both = sizes[:, :, None] + sizes[:, None, :]
        with np.errstate(invalid="ignore"):
            return np.where(both > 0, 2 * self.counts / both, np.nan)


def _jaccard(dice: float | None) -> float | None:
    return None if dice is None else dice / (2.0 - dice)


def jackknife(
    whole: float, without: Sequence[float], confidence: float = 0.95
) -> tuple[float, float]:
    """Return an interval from the values that leave one run out each."""
    from scipy.stats import t

    n = len(without)
    middle = math.fsum(without) / n
    error = math.sqrt((n - 1) / n * math.fsum((x - middle) ** 2 for x in without))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * error
    return whole - half, whole + half


def student(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of the mean of independent values."""
    from scipy.stats import t

    array = np.asarray(values, np.float64)
    half = float(t.ppf((1 + confidence) / 2, len(array) - 1))
    half *= float(array.std(ddof=1)) / math.sqrt(len(array))
    return float(array.mean()) - half, float(array.mean()) + half


def _clip(pair: tuple[float, float]) -> tuple[float, float]:
    return max(0.0, pair[0]), min(1.0, pair[1])


def _pairwise(dice: np.ndarray, n: int) -> dict[str, Any] | None:
    """Return mean, minimum and interval of one label's Dice over all pairs of samples."""
    upper = np.triu_indices(n, 1)
    values = dice[:n, :n][upper]
    kept = values[~np.isnan(values)]
    if not kept.size:
        return None
    without = []
    for left_out in range(n):
        use = (upper[0] != left_out) & (upper[1] != left_out) & ~np.isnan(values)
        if use.any():
            without.append(float(values[use].mean()))
    mean = float(kept.mean())
    low, high = _clip(jackknife(mean, without)) if len(without) > 2 else (None, None)
    return {"mean": mean, "min": float(kept.min()), "low": low, "high": high}


def _against(dice: np.ndarray, n: int) -> dict[str, Any] | None:
    """Return one label's Dice of the samples against the reference run, the last row."""
    values = dice[:n, n]
    kept = values[~np.isnan(values)]
    if not kept.size:
        return None
    low, high = _clip(student(kept)) if kept.size > 1 else (None, None)
    return {
        "mean": float(kept.mean()),
        "min": float(kept.min()),
        "low": low,
        "high": high,
    }


def vote_entropy(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the entropy of the votes of each element in bits, plain and Miller-Madow's.

    Parameters
    ----------
    index : numpy.ndarray
        One row of labels a sample.

    Notes
    -----
    With c_i the number of samples that agree with sample i, sum_i log2(c_i) is the sum over
    labels of c log2(c), and sum_i 1/c_i the number of labels seen. Miller-Madow adds
    (labels seen - 1) / (2 n ln 2) bits.
    """
    n = len(index)
    logs = np.zeros(index.shape[1])
    seen = np.zeros(index.shape[1])
    for row in index:
        agree = (index == row).sum(axis=0)
        logs += np.log2(agree)
        seen += 1.0 / agree
    plain = math.log2(n) - logs / n
    return plain, plain + (seen - 1.0) / (2.0 * n * math.log(2.0))


def categorical(
    arrays: Sequence[Any],
    labels: np.ndarray,
    reference: Any = None,
    entropy: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
) -> dict[str, Any]:
    """Return all measures of label maps.

    Parameters
    ----------
    arrays : sequence of Array or TopClass
        One a sample, at least two, of one shape.
    labels : numpy.ndarray
        All labels that occur, in the reference as well.
    reference : Array or TopClass, optional
        The run in mode off.
    entropy : callable, optional
        Called with start, mask and entropies of the elements in which samples differ.

    Returns
    -------
    dict
        As docs/report-schema.md describes `labels`.
    """
    n = len(arrays)
    rows = [*arrays, reference] if reference is not None else list(arrays)
    overlap = _Overlap(labels, len(rows))
    table = np.zeros(int(labels[-1] - labels[0]) + 1, np.int64)
    table[labels - labels[0]] = np.arange(len(labels))
    size = arrays[0].size
    unanimous = 0
    sums = np.zeros(2)
    peak = 0.0
    without = np.zeros(n)
    wide = max(getattr(a, "classes", 1) for a in rows)
    step = max(256, _PIECE // len(rows) // wide)
    for start in range(0, size, step):
        values = np.stack([a.piece(start, start + step) for a in rows]).astype(np.int64)
        index = table[values - labels[0]]
        overlap.add(index, (index == index[0]).all(axis=0))
        differ = (index[:n] != index[0]).any(axis=0)
        unanimous += int((~differ).sum())
        if differ.any():
            votes = index[:n, differ]
            plain, corrected = vote_entropy(votes)
            sums += plain.sum(), corrected.sum()
            peak = max(peak, float(plain.max()))
            if n > 2:
                for i in range(n):
                    left = vote_entropy(np.delete(votes, i, axis=0))[1]
                    without[i] += float(left.sum())
            if entropy is not None:
                entropy(start, differ, plain)
    dice = overlap.dice()
    by_label = []
    for k, label in enumerate(labels):
        pair = _pairwise(dice[k], n)
        against = _against(dice[k], n) if reference is not None else None
        by_label.append(
            {
                "label": int(label),
                "elements": float(np.einsum("ii->i", overlap.counts[k])[:n].mean()),
                "dice": pair,
                "dice_reference": against,
                "jaccard": _jaccard(pair["mean"] if pair else None),
                "jaccard_min": _jaccard(pair["min"] if pair else None),
            }
        )
    interval = _bits_interval(sums[1] / size, without / size, n)
    return {
        "n": n,
        "elements": size,
        "unanimous": unanimous,
        "all_equal": unanimous == size,
        "proves": statistics.unanimous_probability(n),
        "by_label": by_label,
        "entropy": {
            "mean": sums[0] / size,
            "miller_madow": sums[1] / size,
            "low": interval[0],
            "high": interval[1],
            "max": peak,
            "ceiling": math.log2(min(n, max(2, len(labels)))),
        },
    }


def _bits_interval(
    whole: float, without: np.ndarray, n: int
) -> tuple[float | None, float | None]:
    if n < 3:
        return None, None
    low, high = jackknife(whole, [float(x) for x in without])
    return max(0.0, low), high


def flips(
    tops: Sequence[TopClass], reference: TopClass | None = None
) -> dict[str, Any]:
    """Return the items whose top class changes, with the margins that did not hold.

    Parameters
    ----------
    tops : sequence of TopClass
        One a sample.
    reference : TopClass, optional
        The run in mode off.

    Returns
    -------
    dict
        As docs/report-schema.md describes `flips`. The margin of an item is the mean of the
        largest score less that of the second, over the samples' mean scores.
    """
    n, size = len(tops), tops[0].size
    step = max(64, _PIECE // (n * tops[0].classes))
    flipped: list[dict[str, Any]] = []
    count = 0
    off_reference = np.zeros(n)
    nearest = math.inf
    for start in range(0, size, step):
        scores = np.stack([t.block(start, start + step) for t in tops]).astype(
            np.float64
        )
        votes = scores.argmax(axis=1)
        base = None
        if reference is not None:
            base = reference.piece(start, start + step)
            off_reference += (votes != base).sum(axis=1)
        differ = (votes != votes[0]).any(axis=0)
        order = np.argsort(scores.mean(axis=0), axis=0)
        items = np.arange(scores.shape[2])
        gaps = scores[:, order[-1], items] - scores[:, order[-2], items]
        with np.errstate(all="ignore"):
            ratio = gaps.mean(axis=0) / gaps.std(axis=0, ddof=1)
        still = ratio[~differ & np.isfinite(ratio)]
        if still.size:
            nearest = min(nearest, float(still.min()))
        count += int(differ.sum())
        for item in np.flatnonzero(differ):
            classes, times = np.unique(votes[:, item], return_counts=True)
            flipped.append(
                {
                    "item": start + int(item),
                    "votes": {int(c): int(k) for c, k in zip(classes, times)},
                    "margin": float(gaps[:, item].mean()),
                    "margin_sd": float(gaps[:, item].std(ddof=1)),
                    "reference": None if base is None else int(base[item]),
                }
            )
        flipped.sort(key=lambda one: -one["margin"])
        del flipped[_SHOWN:]
    rate = None
    if reference is not None:
        shares = off_reference / size
        low, high = _clip(student(shares))
        rate = {"mean": float(shares.mean()), "low": low, "high": high}
    return {
        "n": n,
        "items": size,
        "flipped": count,
        "largest_margins": flipped,
        "nearest_in_sd": nearest if math.isfinite(nearest) else None,
        "against_reference": rate,
        "proves": statistics.unanimous_probability(n),
    }
