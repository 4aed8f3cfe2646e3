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
SIGNIFICAND_BITS = {"f32": 23, "f64": 52}


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


def chi2_quantile(probability: float, degrees: int) -> float:
    """Return x with P(chi-squared of `degrees` degrees of freedom <= x) = `probability`.

    Parameters
    ----------
    probability : float
        In the open interval (0, 1).
    degrees : int
        Degrees of freedom, at least 1.

    Returns
    -------
    float
        The quantile, by bisection: it is asked for once a study, and cannot go astray.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability {probability} is not between 0 and 1")
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom: at least 1 is needed")
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
    return 0.5 * math.log2(spread) + math.log2(
        NormalDist().inv_cdf((probability + 1.0) / 2.0)
    )


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
