"""The estimator of significant digits, against published values and simulation.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
import random
import unittest

import support  # noqa: F401  (makes the package importable)
from fuzzytorch import statistics
from fuzzytorch.statistics import chi2_quantile, delta, significant


class Quantile(unittest.TestCase):
    """The chi-squared quantile."""

    def test_two_degrees_in_closed_form(self) -> None:
        for p in (1e-12, 1e-6, 0.025, 0.5, 0.975, 0.999999):
            self.assertAlmostEqual(
                chi2_quantile(p, 2) / (-2 * math.log1p(-p)), 1, delta=1e-9
            )

    def test_one_degree_by_the_normal_law(self) -> None:
        from statistics import NormalDist

        for p in (0.001, 0.025, 0.5, 0.975, 0.999):
            expected = NormalDist().inv_cdf((1 + p) / 2) ** 2
            self.assertAlmostEqual(chi2_quantile(p, 1) / expected, 1, delta=1e-9)

    def test_printed_tables(self) -> None:
        for p, degrees, expected in (
            (0.025, 4, 0.484),
            (0.025, 9, 2.700),
            (0.025, 29, 16.047),
            (0.95, 10, 18.307),
            (0.99, 100, 135.807),
        ):
            self.assertAlmostEqual(chi2_quantile(p, degrees), expected, delta=6e-4)

    def test_scipy(self) -> None:
        try:
            from scipy.stats import chi2
        except ImportError:
            self.skipTest("no SciPy in this Python")
        for degrees in (1, 2, 3, 4, 9, 29, 100, 999, 9999):
            for p in (1e-9, 1e-4, 0.0125, 0.025, 0.3, 0.5, 0.975, 0.9999):
                with self.subTest(degrees=degrees, p=p):
                    self.assertAlmostEqual(
                        chi2_quantile(p, degrees) / chi2.ppf(p, degrees), 1, delta=1e-9
                    )

    def test_bad_arguments(self) -> None:
        for p, degrees in ((0, 1), (1, 1), (0.5, 0), (-1, 3)):
            with self.assertRaises(ValueError):
                chi2_quantile(p, degrees)


class Delta(unittest.TestCase):
    """What a small number of samples costs."""

    def test_published(self) -> None:
        for n, expected in ((5, 2.494), (10, 1.839), (30, 1.398)):
            self.assertAlmostEqual(delta(n), expected, delta=5e-4)

    def test_ceiling(self) -> None:
        digits = statistics.bits_to_digits(statistics.ceiling_bits(5))
        self.assertAlmostEqual(digits, 6.173, delta=5e-4)

    def test_one_sample(self) -> None:
        with self.assertRaises(ValueError):
            delta(1)

    def test_unanimous(self) -> None:
        for n, expected in ((5, 0.55), (10, 0.74), (59, 0.95)):
            self.assertAlmostEqual(
                statistics.unanimous_probability(n), expected, delta=5e-3
            )

    def test_coverage(self) -> None:
        # What "95 % at 95 %" promises: for samples of a known normal law, the digits claimed
        # are more than those that hold with probability .95 in at most alpha/2 of the
        # studies (the quantile is taken at alpha/2). 4000 studies: the count of false claims
        # is binomial with mean 100, sd 9.9; six sd either way is a false alarm of 2e-9.
        rng = random.Random(20)
        sd = 2.0**-15
        truth = 15 - math.log2(1.959963984540054)
        over = 0
        for _ in range(4000):
            bits = significant(
                [1 + rng.gauss(0, sd) for _ in range(5)], reference=1.0
            ).bits
            over += bits > truth
        self.assertLess(over, 160)
        self.assertGreater(over, 40)


class Significant(unittest.TestCase):
    """The estimate of one quantity."""

    def test_by_hand(self) -> None:
        # Mean 1, sd 2^-10 exactly.
        step = 2.0**-10
        estimate = significant([1 - step, 1, 1 + step])
        self.assertEqual((estimate.mean, estimate.sd), (1, step))
        self.assertAlmostEqual(estimate.bits, 10 - delta(3), delta=1e-12)
        self.assertAlmostEqual(
            estimate.digits, (10 - delta(3)) * math.log10(2), delta=1e-12
        )

    def test_scale_does_not_matter(self) -> None:
        values = [1.0, 1.001, 0.9995, 1.0002]
        bits = significant(values).bits
        for scale in (-1.0, 2.0**500, 2.0**-500, 2.0**1000, 2.0**-1000):
            self.assertAlmostEqual(significant([v * scale for v in values]).bits, bits)

    def test_equal(self) -> None:
        estimate = significant([0.5] * 5)
        self.assertTrue(estimate.equal)
        self.assertAlmostEqual(estimate.bits, 23 - 2.494, delta=5e-4)
        self.assertAlmostEqual(
            significant([0.5] * 5, kind="f64").bits, 52 - 2.494, delta=5e-4
        )
        self.assertTrue(significant([0.0] * 5).equal)

    def test_no_digit_left(self) -> None:
        self.assertEqual(significant([1.0, -3.0, 4.0]).bits, 0)

    def test_mean_zero(self) -> None:
        self.assertIsNone(significant([1.0, -1.0]).bits)

    def test_not_finite(self) -> None:
        estimate = significant([1.0, math.nan, math.inf, 2.0])
        self.assertEqual(
            (estimate.finite, estimate.bits, estimate.equal), (2, None, False)
        )
        self.assertEqual(estimate.mean, 1.5)
        self.assertIsNone(significant([math.nan] * 3).bits)

    def test_one_sample(self) -> None:
        with self.assertRaises(ValueError):
            significant([1.0])


if __name__ == "__main__":
    unittest.main()
