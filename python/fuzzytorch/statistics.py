"""Significant digits of a set of samples, by the estimator of Sohier et al. (CNH).

SPDX-License-Identifier: Apache-2.0

Reference: D. Sohier, P. de Oliveira Castro, F. Fevotte, B. Lathuiliere, E. Petit and
O. Jamond, "Confidence intervals for stochastic arithmetic", ACM TOMS 47(2), 2021. Under
the centred normality hypothesis (CNH), Z = X/reference - 1 is normal with mean 0, and with
confidence 1 - alpha a result has

    s = -log2 sd(Z) - delta(n)

significant bits with probability p. Nothing but the standard library is needed here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import NamedTuple

#: Explicit significand bits of the two types: what a spread of one unit in the last place
#: of a number near 1 comes to, and so the most that the samples can show.
SIGNIFICAND_BITS = {"f32": 23, "f64": 52, "bf16": 7, "f16": 10}


def _lower_gamma(a: float, x: float) -> float:
    """Return P(a, x), the regularized lower incomplete gamma function.

    Notes
    -----
    The power series below a + 1 and Lentz's continued fraction above it, as in any text on
    special functions: both converge to the last bits there.
    """
    if x <= 0.0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        k = a
        while term > total * 1e-17:
            k += 1.0
            term *= x / k
            total += term
        return front * total
    tiny = 1e-300
    b = x + 1.0 - a
    c = 1.0 / tiny
    d = 1.0 / b
    h = d
    for i in range(1, 100_000):
        an = -i * (i - a)
        b += 2.0
        d = an * d + b
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = b + an / c
        c = c if abs(c) > tiny else tiny
        step = d * c
        h *= step
        if abs(step - 1.0) < 1e-16:
            break
    return 1.0 - front * h


@functools.lru_cache(maxsize=4096)
def chi2_quantile(probability: float, degrees: float) -> float:
    """Return x with P(chi-squared of `degrees` degrees of freedom <= x) = `probability`.

    Parameters
    ----------
    probability : float
        In the open interval (0, 1).
    degrees : float
        Degrees of freedom, above 0; heavy tails leave a fraction of them.

    Returns
    -------
    float
        The quantile, by bisection: it is asked for once a study, and cannot go astray.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability {probability} is not between 0 and 1")
    if degrees <= 0:
        raise ValueError(f"{degrees} degrees of freedom: more than 0 are needed")
    a = degrees / 2.0
    low, high = 0.0, float(degrees)
    while _lower_gamma(a, high / 2.0) < probability:
        low, high = high, high * 2.0
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high):
            return middle
        if _lower_gamma(a, middle / 2.0) < probability:
            low = middle
        else:
            high = middle


@functools.cache
def delta(n: int, probability: float = 0.95, confidence: float = 0.95) -> float:
    """Return delta(n), the bits that `n` samples cost: a small sample may spread too little.

    Parameters
    ----------
    n : int
        Number of samples, at least 2.
    probability : float
        Probability that one more run agrees in the digits that are called significant.
    confidence : float
        Confidence of that statement.

    Returns
    -------
    float
        1/2 log2((n-1) / chi2_{alpha/2; n-1}) + log2 z_{(p+1)/2}, in bits.
    """
    if n < 2:
        raise ValueError(f"{n} samples: at least 2 are needed")
    alpha = 1.0 - confidence
    spread = (n - 1) / chi2_quantile(alpha / 2.0, n - 1)
    return 0.5 * math.log2(spread) + log2_normal(probability)


def log2_normal(probability: float = 0.95) -> float:
    """Return log2 z_{(p+1)/2}: the bits between a spread and what holds with p."""
    return math.log2(NormalDist().inv_cdf((probability + 1.0) / 2.0))


def contributing_shift(significant: float = 0.95, contributing: float = 0.51) -> float:
    """Return the contributing bits less the significant ones, both by CNH.

    Parameters
    ----------
    significant, contributing : float
        Probabilities of the two: contributing bits are those that help more often than not.
    """
    other = math.log2(contributing - 0.5) + math.log2(2.0 * math.sqrt(2.0 * math.pi))
    return log2_normal(significant) - other


def package_shift(n: int) -> float:
    """Return what the package significantdigits gives above ours: it divides by n."""
    return 0.5 * math.log2(n / (n - 1))


def excess_kurtosis(n: int, squares: float, fourths: float) -> float:
    """Return the pooled excess kurtosis of samples, 0 on average for normal ones.

    Parameters
    ----------
    n : int
        Number of samples; 0 is returned for less than 4, which do not show tails.
    squares, fourths : float
        Sums over elements of m2^2 and m4, the central moments with n below.
    """
    if n < 4 or squares <= 0.0:
        return 0.0
    g = fourths / squares - 3.0
    return ((n + 1) * g + 6.0) * (n - 1) / ((n - 2) * (n - 3))


#: Standard errors by which the guard of stopping rules takes a kurtosis for larger than it
#: was seen: a few values rarely show the tails of their law. By simulation, see
#: docs/statistics.md.
_GUARD = 1.5


def guarded_kurtosis(n: int, kurtosis: float, independent: float = 1.0) -> float:
    """Return the kurtosis that a claim should survive.

    Parameters
    ----------
    n : int
        Number of samples, at least 4.
    kurtosis : float
        As seen, of excess_kurtosis.
    independent : float
        Elements it was pooled from, as many as are independent of each other.

    Notes
    -----
    The standard error is that of a normal law: 2 for n = 5, 1.33 for 10, .6 for 64.
    """
    if n < 4:
        raise ValueError(f"{n} samples show no tails: at least 4 are needed")
    variance = 24.0 * n * (n - 1) ** 2 / ((n - 3) * (n - 2) * (n + 3) * (n + 5))
    return kurtosis + _GUARD * math.sqrt(variance / max(1.0, independent))


def effective_degrees(n: int, kurtosis: float) -> float:
    """Return nu' = nu / (1 + kappa / 2), kappa = max(0, excess kurtosis)."""
    return (n - 1) / (1.0 + max(0.0, kurtosis) / 2.0)


class Interval(NamedTuple):
    """Significant bits of a quantity: point, and an interval around it."""

    low: float
    point: float
    high: float


def bits_interval(
    sigma: float, degrees: float, alpha: float, most: int, probability: float = 0.95
) -> Interval:
    """Return the significant bits that a relative spread leaves.

    Parameters
    ----------
    sigma : float
        Estimated standard deviation over the norm of the value.
    degrees : float
        Effective degrees of freedom of the estimate.
    alpha : float
        Probability of an error on each side.
    most : int
        Explicit significand bits: a spread below 2^-most is not told from one of 2^-most.
    probability : float
        Probability that one more run agrees in these bits.

    Returns
    -------
    Interval
        Below and above by quantiles of chi-squared. `high` is inf for equal samples, which
        say nothing against any number of bits; nothing is below 0.
    """
    shift = log2_normal(probability)
    floor = 2.0**-most
    low_sigma = max(sigma, floor)
    low = 0.5 * math.log2(degrees / chi2_quantile(alpha, degrees))
    point = max(0.0, -math.log2(low_sigma) - shift)
    low = max(0.0, -math.log2(low_sigma) - low - shift)
    if sigma <= 0.0:
        return Interval(low, point, math.inf)
    high = 0.5 * math.log2(chi2_quantile(1.0 - alpha, degrees) / degrees)
    return Interval(low, point, max(0.0, -math.log2(sigma) + high - shift))


def look_alpha(look: int, quantities: int, alpha: float = 0.05) -> float:
    """Return alpha_k, the error that look k may make on one side for one quantity.

    Notes
    -----
    alpha / (2 J (k+1) (k+2)): over all looks these sum up to alpha / (2 J), so that the
    intervals of all looks and quantities hold together with probability 1 - alpha.
    """
    return alpha / (2.0 * quantities * (look + 1) * (look + 2))


def ceiling_bits(n: int, kind: str = "f32") -> float:
    """Return the most bits that `n` samples of type `kind` can be said to share."""
    return SIGNIFICAND_BITS[kind] - delta(n)


def bits_to_digits(bits: float) -> float:
    """Return a number of bits as a number of decimal digits."""
    return bits * math.log10(2.0)


def unanimous_probability(n: int, confidence: float = 0.95) -> float:
    """Return the agreement that `n` equal samples prove without any normality.

    Notes
    -----
    n successes in n independent runs exclude p < alpha^(1/n) at confidence 1 - alpha: .55
    for 5 runs, .95 for 59.
    """
    return (1.0 - confidence) ** (1.0 / n)


class Estimate(NamedTuple):
    """Significant digits of one quantity.

    Attributes
    ----------
    n : int
        Number of samples.
    mean, sd : float
        Of the samples; sd with n - 1 in the denominator.
    bits : float or None
        Significant bits by CNH, never below 0; the ceiling if all samples are equal; None
        where the relative spread has no meaning (a sample not finite, or a mean of 0).
    equal : bool
        All samples are equal: `bits` is the ceiling, a bound of the method and not a
        property of the result.
    finite : int
        How many samples are finite.
    """

    n: int
    mean: float
    sd: float
    bits: float | None
    equal: bool
    finite: int

    @property
    def digits(self) -> float | None:
        """Significant decimal digits, or None."""
        return None if self.bits is None else bits_to_digits(self.bits)


def significant(
    samples: Sequence[float], reference: float | None = None, kind: str = "f32"
) -> Estimate:
    """Estimate how many digits the samples share.

    Parameters
    ----------
    samples : sequence of float
        One value a sample, at least two.
    reference : float, optional
        What the samples are compared with; their mean by default.
    kind : {"f32", "f64"}
        The type of the values: it gives the ceiling where all samples are equal.

    Returns
    -------
    Estimate
        The estimate at 95 % probability and 95 % confidence.
    """
    n = len(samples)
    if n < 2:
        raise ValueError(f"{n} samples: at least 2 are needed")
    finite = [x for x in samples if math.isfinite(x)]
    if len(finite) < n:
        mean = fmean(finite) if finite else math.nan
        return Estimate(n, mean, math.nan, None, False, len(finite))
    if min(samples) == max(samples):
        return Estimate(n, samples[0], 0.0, ceiling_bits(n, kind), True, n)
    # Scaled first, so that neither the squares nor the sum leave the range of a double.
    exponent = math.frexp(max(abs(x) for x in samples))[1]
    scaled = [math.ldexp(x, -exponent) for x in samples]
    mean = fmean(scaled)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in scaled) / (n - 1))
    base = mean if reference is None else math.ldexp(reference, -exponent)
    bits = None
    if base != 0.0:
        bits = max(0.0, -math.log2(sd / abs(base)) - delta(n))
    return Estimate(
        n, math.ldexp(mean, exponent), math.ldexp(sd, exponent), bits, False, n
    )
