"""Measures of numbers over samples, element by element and pooled, in one pass.

SPDX-License-Identifier: Apache-2.0

docs/statistics.md states each measure with its formula. Pieces of all samples are read side
by side, so the memory needed does not depend on the size of a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import statistics
from .arrays import Array
from .statistics import Interval

#: Numbers of all samples that are held at a time.
_PIECE = 1 << 21
#: Up to so many elements, order statistics are exact; above, to 1/1024 bit.
_EXACT = 1 << 22
_RESOLUTION = 1024
_RANGE = 64
#: Width of a histogram's bars, in bits.
BAR = 0.25


def pieces(arrays: Sequence[Array]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the start of each piece and the piece of all arrays, one row an array, in f64.

    Parameters
    ----------
    arrays : sequence of Array
        Of one shape. Complex numbers come as two numbers, so starts count in those.
    """
    size = arrays[0].size
    step = max(1024, _PIECE // len(arrays))
    double = any(a.dtype.kind == "c" for a in arrays)
    for start in range(0, size, step):
        rows = []
        for array in arrays:
            values = array.piece(start, start + step)
            if double:
                values = values.astype(np.complex128).view(np.float64)
            rows.append(values)
        yield (
            start * (2 if double else 1),
            np.stack(rows).astype(np.float64, copy=False),
        )


def same(rows: np.ndarray) -> np.ndarray:
    """Return where all rows hold the same number, or all of them NaN."""
    return (rows == rows[0]).all(axis=0) | np.isnan(rows).all(axis=0)


class Spread:
    """Order statistics of a stream of bits.

    Attributes
    ----------
    count : int
        How many came.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0
        self._low = math.inf
        self._exact: list[np.ndarray] | None = []
        self._bins = np.zeros(2 * _RANGE * _RESOLUTION, np.int64)

    def add(self, bits: np.ndarray) -> None:
        """Add numbers to the stream."""
        if not bits.size:
            return
        self.count += bits.size
        self._sum += float(bits.sum())
        self._low = min(self._low, float(bits.min()))
        if self._exact is not None:
            self._exact.append(bits.astype(np.float64))
            if self.count <= _EXACT:
                return
            for held in self._exact:
                self._bin(held)
            self._exact = None
        else:
            self._bin(bits)

    def _bin(self, bits: np.ndarray) -> None:
        place = np.floor((bits + _RANGE) * _RESOLUTION)
        index = np.clip(place, 0, len(self._bins) - 1).astype(np.int64)
        self._bins += np.bincount(index, minlength=len(self._bins))

    def quantile(self, share: float) -> float:
        """Return a quantile, between neighbours by a straight line."""
        if self._exact is not None:
            return float(np.quantile(np.concatenate(self._exact), share))
        rank = share * (self.count - 1)
        place = int(np.searchsorted(np.cumsum(self._bins), rank, side="right"))
        return (place + 0.5) / _RESOLUTION - _RANGE

    def summary(self) -> dict[str, float] | None:
        """Return minimum, 5 % quantile, median and mean; None of nothing."""
        if not self.count:
            return None
        return {
            "min": self._low,
            "p5": self.quantile(0.05),
            "median": self.quantile(0.5),
            "mean": self._sum / self.count,
        }


def elementwise_bits(
    values: np.ndarray, reference: np.ndarray | None, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bits of each element by CNH, those of the package, and those of General.

    Parameters
    ----------
    values : numpy.ndarray
        One row a sample, finite.
    reference : numpy.ndarray or None
        What the samples are compared with; None for their mean.
    most : int
        Explicit bits of the significand.

    Returns
    -------
    cnh, package, general : numpy.ndarray
        Of the elements whose reference is not 0, or which are equal in all samples. `cnh`
        has n-1 in the variance and nothing below 0; `package` is what significantdigits
        gives for the same reference.
    """
    n = len(values)
    delta = statistics.delta(n)
    equal = (values == values[0]).all(axis=0)
    base = values.mean(axis=0) if reference is None else reference
    if reference is None:
        base = np.where(equal, values[0], base)
    kept = (base != 0) | (equal & (values[0] == base))
    values, base, equal = values[:, kept], base[kept], equal[kept]
    with np.errstate(all="ignore"):
        z = values / np.where(base == 0, 1.0, base)
        z -= np.where(base == 0, 0.0, 1.0)
        error = np.abs(z).max(axis=0)
        sd = np.where(equal, 0.0, z.std(axis=0, ddof=1))
        cnh = np.where(sd > 0, -np.log2(sd) - delta, most - delta)
        # Equal samples beside the reference: the distance is all there is, as in the package.
        off = (sd == 0) & (error > 0)
        cnh = np.where(off, -np.log2(error) - delta, cnh)
        package = np.where(sd > 0, cnh + statistics.package_shift(n), cnh)
        mantissa, exponent = np.frexp(error)
        general = np.where(error > 0, -exponent + (mantissa == 0.5), most)
    return np.maximum(cnh, 0.0), package, np.clip(general, 0, most).astype(np.float64)


@dataclass
class Moments:
    """What the pieces of a tensor add up to.

    Attributes
    ----------
    n : int
        Samples.
    elements : int
        Numbers in the tensor, of which `common` are finite in all samples.
    equal : int
        Elements that are finite and the same in all samples.
    agreed : int
        Elements that are the same infinity or NaN in all samples: left out.
    broken : int
        Elements that are finite in some samples only, or not the same infinity.
    broken_in : list of int
        Rows in which a broken element is not finite.
    exponent : int
        All sums are of values scaled by 2^-exponent.
    """

    n: int
    elements: int = 0
    common: int = 0
    equal: int = 0
    agreed: int = 0
    broken: int = 0
    broken_in: list[int] = field(default_factory=list)
    exponent: int = 0
    squares: float = 0.0  # sum over elements of S_e
    m2_squares: float = 0.0
    m4: float = 0.0
    mean_norm2: float = 0.0
    base_norm2: float = 0.0
    shift_norm2: float = 0.0
    along: Any = None  # of each sample: (X_i - reference) . reference
    energies: Any = None  # of each sample: |X_i - mean|^2

    @property
    def kurtosis(self) -> float:
        """Pooled excess kurtosis, without the bias of few samples."""
        return statistics.excess_kurtosis(self.n, self.m2_squares, self.m4)

    @property
    def independent(self) -> float:
        """Elements, as many as vary independently: all is one if they move together.

        Notes
        -----
        The energy of a sample over m independent normal elements has a squared coefficient
        of variation of 2/m. Of few samples that is known badly, and too many would claim too
        much: hence the divisor.
        """
        middle = float(self.energies.mean())
        variance = float(self.energies.var(ddof=1))
        most = max(1.0, float(self.common))
        if variance <= 0.0 or middle <= 0.0:
            return most if middle > 0.0 else 1.0
        found = 2.0 * middle * middle / variance
        return min(most, max(1.0, found / (1.0 + 2.0 / math.sqrt(self.n - 1))))

    @property
    def guarded(self) -> float:
        """Kurtosis that a stopping rule should reckon with."""
        if self.squares == 0.0:
            return 0.0
        return statistics.guarded_kurtosis(self.n, self.kurtosis, self.independent)

    @property
    def degrees(self) -> float:
        """Effective degrees of freedom."""
        return statistics.effective_degrees(self.n, self.kurtosis)

    def sigma(self, norm2: float | None = None) -> float:
        """Return the pooled relative spread, to the mean or a norm squared."""
        norm2 = self.mean_norm2 if norm2 is None else norm2
        if self.squares == 0.0:
            return 0.0
        return (
            math.inf if norm2 == 0.0 else math.sqrt(self.squares / (self.n - 1) / norm2)
        )

    def bits(
        self, alpha: float, most: int, norm2: float | None = None
    ) -> Interval | None:
        """Return pooled significant bits; None where they have no meaning (mean of 0)."""
        sigma = self.sigma(norm2)
        if self.n < 2 or math.isinf(sigma) or not self.common:
            return None
        return statistics.bits_interval(sigma, self.degrees, alpha, most)


def common_exponent(arrays: Sequence[Array]) -> int:
    """Return an exponent that keeps fourth powers of doubles in range; 0 where none must."""
    if all(a.dtype.itemsize <= 4 or a.dtype.kind in "iub" for a in arrays):
        return 0
    top = 0.0
    for array in arrays:
        for _, values in pieces([array]):
            finite = values[np.isfinite(values)]
            if finite.size:
                top = max(top, float(np.abs(finite).max()))
    return math.frexp(top)[1] if top else 0


def _split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return masks of the elements that are finite in all rows, agreed, broken."""
    good = np.isfinite(values)
    all_good = good.all(axis=0)
    if all_good.all():
        none = np.zeros_like(all_good)
        return all_good, none, none
    agreed = ~good.any(axis=0) & same(values)
    return all_good, agreed, ~all_good & ~agreed


def moments(
    arrays: Sequence[Array],
    reference: Array | None = None,
    visit: Any = None,
    exponent: int | None = None,
) -> Moments:
    """Return the sums that pooled measures are made of.

    Parameters
    ----------
    arrays : sequence of Array
        One a sample, of one shape.
    reference : Array, optional
        Of the same shape.
    visit : callable, optional
        Called with (values, reference or None) of each piece, of the elements that are
        finite everywhere, unscaled.
    exponent : int, optional
        Scale by 2^-exponent; found by itself by default.
    """
    n = len(arrays)
    total = Moments(n)
    everything = [*arrays, reference] if reference is not None else list(arrays)
    total.exponent = common_exponent(everything) if exponent is None else exponent
    total.along = np.zeros(n)
    total.energies = np.zeros(n)
    broken_in: set[int] = set()
    for _, rows in pieces(everything):
        values, base = rows[:n], rows[n] if reference is not None else None
        good, agreed, broken = _split(values)
        total.elements += good.size
        total.agreed += int(agreed.sum())
        if broken.any():
            total.broken += int(broken.sum())
            bad = ~np.isfinite(values[:, broken]).all(axis=1)
            broken_in |= {int(i) for i in np.flatnonzero(bad)}
        if base is not None:
            good &= np.isfinite(base)
        if not good.all():
            values = values[:, good]
            base = None if base is None else base[good]
        total.common += values.shape[1]
        if visit is not None and values.shape[1]:
            visit(values, base)
        _add(total, values, base)
    total.broken_in = sorted(broken_in)
    return total


def _add(total: Moments, values: np.ndarray, base: np.ndarray | None) -> None:
    n = total.n
    equal = (values == values[0]).all(axis=0)
    total.equal += int(equal.sum())
    if total.exponent:
        values = np.ldexp(values, -total.exponent)
        base = None if base is None else np.ldexp(base, -total.exponent)
    mean = np.where(equal, values[0], values.mean(axis=0))
    off = values - mean
    off *= off
    sums = off.sum(axis=0)
    total.energies += off.sum(axis=1)
    total.squares += float(sums.sum())
    total.m2_squares += float(((sums / n) ** 2).sum())
    off *= off
    total.m4 += float(off.sum() / n)
    total.mean_norm2 += float((mean * mean).sum())
    if base is not None:
        total.base_norm2 += float((base * base).sum())
        total.shift_norm2 += float(((mean - base) ** 2).sum())
        total.along += (values - base) @ base


def bias(total: Moments, confidence: float = 0.95) -> dict[str, Any] | None:
    """Return how far the samples lie beside the reference, all relative to its norm.

    Parameters
    ----------
    total : Moments
        With a reference.
    confidence : float
        Of the interval.

    Returns
    -------
    dict or None
        `along`: the part along the reference (a change of scale) with its interval by
        Student's t, which holds whatever the elements have in common; `rms`: the root mean
        square of the shift of the mean, with the samples' own noise taken off, never below
        0. None for a reference of 0.
    """
    if total.base_norm2 <= 0.0 or total.n < 2:
        return None
    from scipy.stats import t

    along = total.along / total.base_norm2
    middle = float(along.mean())
    sd = float(along.std(ddof=1))
    half = float(t.ppf((1 + confidence) / 2, total.n - 1)) * sd / math.sqrt(total.n)
    noise = total.squares / (total.n - 1) / total.n
    rest = max(0.0, total.shift_norm2 - noise)
    return {
        "along": middle,
        "low": middle - half,
        "high": middle + half,
        "rms": math.sqrt(rest / total.base_norm2),
        "shift_to_noise": math.sqrt(total.shift_norm2 / noise) if noise > 0 else None,
    }


def numeric(
    arrays: Sequence[Array],
    most: int,
    reference: Array | None = None,
    compared: Array | None = None,
    alpha: float = 0.05,
) -> dict[str, Any]:
    """Return all measures of a tensor's numbers.

    Parameters
    ----------
    arrays : sequence of Array
        One a sample, at least two, of one shape.
    most : int
        Explicit bits of the significand of the type they were computed in.
    reference : Array, optional
        What digits are counted against; the mean of the samples by default.
    compared : Array, optional
        The run in mode off: the bias is against it where there is no `reference`.
    alpha : float
        The interval holds with probability 1 - alpha.

    Returns
    -------
    dict
        As docs/report-schema.md describes `measures`.
    """
    n = len(arrays)
    cnh, package, general, rsd = Spread(), Spread(), Spread(), Spread()
    bars = np.zeros(int((most + 2) / BAR) + 1, np.int64)

    def visit(values: np.ndarray, base: np.ndarray | None) -> None:
        own, theirs, free = elementwise_bits(values, base, most)
        cnh.add(own)
        package.add(theirs)
        general.add(free)
        index = np.minimum(own / BAR, len(bars) - 1).astype(np.int64)
        bars[:] += np.bincount(index, minlength=len(bars))
        middle = values.mean(axis=0)
        kept = middle != 0
        if kept.any():
            rsd.add((values[:, kept] / middle[kept]).std(axis=0, ddof=1))

    total = moments(arrays, reference, visit)
    norm2 = total.base_norm2 if reference is not None else None
    pooled = total.bits(alpha / 2, most, norm2)
    sigma = total.sigma(norm2)
    shift = statistics.contributing_shift()
    digits = math.log10(2.0)
    result: dict[str, Any] = {
        "n": n,
        "elements": total.elements,
        "compared": total.common,
        "equal": total.equal,
        "all_equal": total.equal == total.common and not total.broken,
        "same_not_finite": total.agreed,
        "not_finite": total.broken,
        "not_finite_in": total.broken_in,
        "undefined": total.common - cnh.count,
        "ceiling": statistics.bits_interval(0.0, n - 1, alpha / 2, most).low,
        "kurtosis": total.kurtosis,
        "degrees": total.degrees,
        "relative_sd": _relative(sigma, total.degrees, alpha, rsd),
        "significant": None,
        "elementwise": cnh.summary(),
        "elementwise_package": package.summary(),
        "general": general.summary(),
        "general_probability": statistics.unanimous_probability(n),
        "contributing": None,
        "bias": None,
        "histogram": {"width": BAR, "counts": bars.tolist()},
    }
    if pooled is not None:
        result["significant"] = {
            "bits": pooled.point,
            "low": pooled.low,
            "high": pooled.high if math.isfinite(pooled.high) else None,
            "digits": pooled.point * digits,
            "digits_low": pooled.low * digits,
        }
        result["contributing"] = {
            "bits": pooled.point + shift,
            "low": pooled.low + shift,
        }
    against = reference if reference is not None else compared
    if against is not None and total.common:
        shifted = total if against is reference else moments(arrays, against)
        result["bias"] = bias(shifted)
    return result


def _relative(
    sigma: float, degrees: float, alpha: float, elements: Spread
) -> dict[str, Any] | None:
    """Return the relative standard deviation with its interval."""
    if math.isinf(sigma):
        return None
    low = math.sqrt(degrees / statistics.chi2_quantile(1 - alpha / 2, degrees))
    high = math.sqrt(degrees / statistics.chi2_quantile(alpha / 2, degrees))
    summary = elements.summary()
    return {
        "value": sigma,
        "low": sigma * low,
        "high": sigma * high,
        "median": summary["median"] if summary else None,
    }
