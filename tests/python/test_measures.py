"""Measures of numbers, against closed forms, SciPy and the package significantdigits.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
import unittest
import warnings

import numpy as np
import support  # noqa: F401  (makes the package importable)
from fuzzytorch import measures, statistics
from fuzzytorch.arrays import Array

try:
    import significantdigits
except ImportError:
    significantdigits = None

NS = (3, 4, 5, 8, 10, 17, 30)


def wrap(values: np.ndarray) -> list[Array]:
    """Return one array a row."""
    return [Array(v.shape, v.dtype, np.ascontiguousarray(v)) for v in values]


def ladder(n: int, step: float) -> np.ndarray:
    """Return n equally spaced values around 1: mean 1, sd step * sqrt(n (n+1) / 12)."""
    return 1 + step * (np.arange(n) - (n - 1) / 2)


class ClosedForm(unittest.TestCase):
    """Values whose moments are known without computing them."""

    def test_pooled_and_elementwise(self) -> None:
        from scipy.stats import chi2, norm

        for n in NS:
            with self.subTest(n=n):
                step = 2.0**-12
                sd = step * math.sqrt(n * (n + 1) / 12)
                # Three elements with 1, 2 and 4 times the same relative spread.
                values = np.stack([ladder(n, step * f) * f for f in (1, 2, 4)], axis=1)
                found = measures.numeric(wrap(values), 52)
                sizes = np.array([1.0, 2.0, 4.0])
                sigma = sd * math.sqrt((sizes**4).sum() / (sizes**2).sum())
                self.assertAlmostEqual(
                    found["relative_sd"]["value"] / sigma, 1, delta=1e-9
                )
                z = norm.ppf(0.975)
                bits = -math.log2(sigma * z)
                self.assertAlmostEqual(found["significant"]["bits"], bits, delta=1e-9)
                nu = found["degrees"]
                low = bits - 0.5 * math.log2(nu / chi2.ppf(0.025, nu))
                high = bits + 0.5 * math.log2(chi2.ppf(0.975, nu) / nu)
                self.assertAlmostEqual(found["significant"]["low"], low, delta=1e-6)
                self.assertAlmostEqual(found["significant"]["high"], high, delta=1e-6)
                one = -math.log2(sd) - statistics.delta(n)
                summary = found["elementwise"]
                self.assertAlmostEqual(summary["min"], one - 2, delta=1e-6)
                self.assertAlmostEqual(summary["median"], one - 1, delta=1e-6)
                self.assertAlmostEqual(summary["mean"], one - 1, delta=1e-6)
                self.assertAlmostEqual(summary["p5"], one - 1.9, delta=1e-6)
                shift = found["elementwise_package"]["mean"] - summary["mean"]
                self.assertAlmostEqual(shift, 0.5 * math.log2(n / (n - 1)), delta=1e-9)
                self.assertEqual(
                    found["general"]["min"],
                    math.floor(-math.log2(4 * step * (n - 1) / 2)),
                )
                contributing = bits + math.log2(z / (0.01 * 2 * math.sqrt(2 * math.pi)))
                self.assertAlmostEqual(
                    found["contributing"]["bits"], contributing, delta=1e-9
                )

    def test_kurtosis(self) -> None:
        from scipy.stats import kurtosis

        rng = np.random.default_rng(1)
        for n in (4, 5, 10, 30):
            values = 1 + rng.standard_normal((n, 1))
            found = measures.moments(wrap(values)).kurtosis
            self.assertAlmostEqual(found, float(kurtosis(values[:, 0], bias=False)), 9)

    def test_kurtosis_of_normal_noise_is_near_zero(self) -> None:
        rng = np.random.default_rng(2)
        for n in (5, 10):
            values = 1 + rng.standard_normal((n, 200_000))
            self.assertAlmostEqual(
                measures.moments(wrap(values)).kurtosis, 0, delta=0.1
            )

    def test_degrees(self) -> None:
        self.assertEqual(statistics.effective_degrees(5, -1.0), 4)
        self.assertEqual(statistics.effective_degrees(5, 2.0), 2)

    def test_widths_of_the_interval(self) -> None:
        # shared figures for normal samples: 2.26, 1.41, .94, .76 bits.
        for n, width in ((5, 2.26), (10, 1.41), (20, 0.94), (30, 0.76)):
            low, _, high = statistics.bits_interval(2.0**-10, n - 1, 0.025, 52)
            self.assertAlmostEqual(high - low, width, delta=0.005)

    def test_looks_sum_up(self) -> None:
        total = sum(statistics.look_alpha(k, 3) for k in range(100_000))
        self.assertAlmostEqual(total * 2 * 3, 0.05, delta=1e-6)

    def test_reference(self) -> None:
        n = 8
        values = ladder(n, 2.0**-12)[:, None] * np.array([1.0, 3.0])
        reference = np.array([2.0, 6.0])
        found = measures.numeric(wrap(values), 52, wrap(reference[None])[0])
        sd = 2.0**-12 * math.sqrt(n * (n + 1) / 12) / 2
        self.assertAlmostEqual(found["relative_sd"]["value"] / sd, 1, delta=1e-9)
        self.assertAlmostEqual(found["bias"]["along"], -0.5, delta=1e-12)
        half = found["bias"]["high"] - found["bias"]["along"]
        from scipy.stats import t

        self.assertAlmostEqual(
            half / (t.ppf(0.975, 7) * sd / math.sqrt(8)), 1, delta=1e-9
        )
        self.assertAlmostEqual(found["bias"]["rms"], 0.5, delta=1e-6)

    def test_bias_is_against_the_reference(self) -> None:
        values = ladder(8, 2.0**-12)[:, None] * np.array([1.0, 3.0])
        exact, stock = wrap(np.array([[2.0, 6.0]]))[0], wrap(np.array([[4.0, 12.0]]))[0]
        found = measures.numeric(wrap(values), 52, exact, stock)
        self.assertAlmostEqual(found["bias"]["along"], -0.5, delta=1e-12)
        found = measures.numeric(wrap(values), 52, None, stock)
        self.assertAlmostEqual(found["bias"]["along"], -0.75, delta=1e-12)

    def test_bias_without_the_noise_of_the_mean(self) -> None:
        n, step, shift = 5, 2.0**-10, 2.0**-9
        values = ladder(n, step)[:, None]
        found = measures.numeric(wrap(values), 52, wrap(np.array([[1 + shift]]))[0])
        noise = step**2 * (n + 1) / 12  # sd^2 / n
        expected = math.sqrt(shift**2 - noise) / (1 + shift)
        self.assertAlmostEqual(found["bias"]["rms"] / expected, 1, delta=1e-9)
        near = measures.numeric(wrap(values), 52, wrap(np.array([[1 + step / 8]]))[0])
        self.assertEqual(near["bias"]["rms"], 0)

    def test_equal(self) -> None:
        for n in NS:
            found = measures.numeric(wrap(np.full((n, 4), 0.3)), 23)
            self.assertTrue(found["all_equal"])
            ceiling = 23 - statistics.delta(n)
            self.assertAlmostEqual(found["ceiling"], ceiling, delta=1e-9)
            self.assertAlmostEqual(found["significant"]["low"], ceiling, delta=1e-9)
            self.assertIsNone(found["significant"]["high"])
            self.assertAlmostEqual(found["elementwise"]["min"], ceiling, delta=1e-9)
            self.assertEqual(found["general"]["min"], 23)


@unittest.skipUnless(significantdigits, "no significantdigits in this Python")
class Package(unittest.TestCase):
    """The package significantdigits, element by element."""

    def _both(self, n: int, reference: bool, dtype: type) -> None:
        rng = np.random.default_rng(n)
        truth = rng.uniform(1, 2, 400).astype(dtype)
        sigma = 2.0 ** rng.uniform(-18, -2, 400)
        values = (truth * (1 + sigma * rng.standard_normal((n, 400)))).astype(dtype)
        values[:, :20] = values[0, :20]
        base = truth if reference else values.astype(np.float64).mean(axis=0)
        base = base.astype(np.float64)
        base[:20] = values[0, :20]
        base[10:20] *= 2.0  # equal samples beside the reference, Z exactly -1/2
        most = 23 if dtype is np.float32 else 52
        own, package, general = measures.elementwise_bits(
            values.astype(np.float64), base if reference else None, most
        )
        if not reference:
            base[10:20] = values[0, 10:20]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = values.astype(np.float64)
            theirs = significantdigits.significant_digits(x, base, dtype=dtype)
            free = significantdigits.significant_digits(
                x, base, method=significantdigits.Method.General, dtype=dtype
            )
            contributing = significantdigits.contributing_digits(x, base, dtype=dtype)
        np.testing.assert_allclose(package, theirs, atol=1e-6)
        moving = slice(20, None)
        shift = statistics.package_shift(n)
        np.testing.assert_allclose(
            own[moving], np.maximum(theirs[moving] - shift, 0), atol=1e-6
        )
        np.testing.assert_array_equal(general, free)
        np.testing.assert_allclose(
            package[moving] + statistics.contributing_shift(),
            contributing[moving],
            atol=1e-6,
        )

    def test_estimators(self) -> None:
        for n in NS:
            for reference in (False, True):
                for dtype in (np.float32, np.float64):
                    with self.subTest(n=n, reference=reference, dtype=dtype):
                        self._both(n, reference, dtype)


class Streams(unittest.TestCase):
    """Pieces, sums and order statistics."""

    def test_pieces_do_not_matter(self) -> None:
        rng = np.random.default_rng(3)
        values = (1 + 1e-4 * rng.standard_normal((3, 5000))).astype(np.float32)
        whole = measures.numeric(wrap(values), 23)
        old, measures._PIECE = measures._PIECE, 3 * 1024
        try:
            cut = measures.numeric(wrap(values), 23)
        finally:
            measures._PIECE = old
        for key in ("bits", "low", "high"):
            self.assertAlmostEqual(
                whole["significant"][key], cut["significant"][key], 9
            )
        self.assertEqual(whole["histogram"], cut["histogram"])

    def test_many_elements_by_bins(self) -> None:
        rng = np.random.default_rng(4)
        bits = rng.uniform(2, 20, 60_000)
        exact, binned = measures.Spread(), measures.Spread()
        exact.add(bits)
        old, measures._EXACT = measures._EXACT, 10_000
        try:
            for part in np.split(bits, 6):
                binned.add(part)
        finally:
            measures._EXACT = old
        self.assertIsNone(binned._exact)
        for key, value in exact.summary().items():
            self.assertAlmostEqual(binned.summary()[key], value, delta=2e-3)

    def test_scale_does_not_matter(self) -> None:
        values = ladder(6, 2.0**-20)[:, None] * np.array([1.0, 1.5])
        bits = measures.numeric(wrap(values), 52)["significant"]["bits"]
        for scale in (2.0**900, 2.0**-900, -1.0):
            found = measures.numeric(wrap(values * scale), 52)["significant"]["bits"]
            self.assertAlmostEqual(found, bits, delta=1e-9)

    def test_not_finite(self) -> None:
        values = np.ones((4, 5))
        values[:, 0] = np.inf  # the same in all: agreed
        values[:, 1] = np.nan
        values[2, 2] = np.nan  # broken
        values[:, 3] = ladder(4, 2.0**-10)
        found = measures.numeric(wrap(values), 52)
        self.assertEqual(
            (
                found["same_not_finite"],
                found["not_finite"],
                found["not_finite_in"],
                found["compared"],
                found["all_equal"],
            ),
            (2, 1, [2], 2, False),
        )
        values[1, 0] = -np.inf
        found = measures.numeric(wrap(values), 52)
        self.assertEqual(found["not_finite"], 2)

    def test_mean_zero(self) -> None:
        found = measures.numeric(wrap(np.array([[1.0], [-1.0]])), 52)
        self.assertIsNone(found["significant"])
        self.assertIsNone(found["elementwise"])
        self.assertEqual(found["undefined"], 1)
        zero = measures.numeric(wrap(np.zeros((3, 2))), 52)
        self.assertTrue(zero["all_equal"])

    def test_complex(self) -> None:
        values = ladder(5, 2.0**-10)[:, None] * np.array([1 + 2j])
        found = measures.numeric(wrap(values), 52)
        self.assertEqual(found["elements"], 2)
        self.assertIsNotNone(found["significant"])


if __name__ == "__main__":
    unittest.main()
