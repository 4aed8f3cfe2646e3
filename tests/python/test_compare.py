"""fuzzyrun compare and verdict, against SciPy and by simulation.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import unittest
from pathlib import Path

import numpy as np
import studies
import support  # noqa: F401  (makes the package importable)
from fuzzytorch import comparing, measures, verdict
from fuzzytorch.errors import FuzzyError
from fuzzytorch.study import Study
from test_measures import wrap
from test_study import Scratch


class Tests(unittest.TestCase):
    """The tests of one quantity."""

    def test_one_number_as_in_scipy(self) -> None:
        from scipy import stats

        rng = np.random.default_rng(1)
        for n, m in ((3, 3), (5, 10), (30, 12)):
            a = 1 + 1e-3 * rng.standard_normal(n)
            b = 1 + 3e-3 * rng.standard_normal(m)
            found = comparing.compare_arrays(wrap(a[:, None]), wrap(b[:, None]), 52)
            levene = stats.levene(a, b, center="median")
            self.assertAlmostEqual(found["brown_forsythe"]["p"], levene.pvalue, 9)
            self.assertAlmostEqual(
                found["brown_forsythe"]["statistic"] / levene.statistic, 1, delta=1e-9
            )
            welch = stats.ttest_ind(a, b, equal_var=False)
            self.assertAlmostEqual(found["welch"]["p"], welch.pvalue, 7)
            ratio = math.log2(b.std(ddof=1) / a.std(ddof=1))
            self.assertAlmostEqual(found["noise_ratio"]["bits"], ratio, 9)
            self.assertAlmostEqual(found["bland_altman"]["bias"], b.mean() - a.mean())

    def test_interval_by_f(self) -> None:
        from scipy.stats import f

        rng = np.random.default_rng(7)
        a, b = (1 + 1e-4 * rng.standard_normal((n, 3)) for n in (6, 9))
        found = comparing.compare_arrays(wrap(a), wrap(b), 52)["noise_ratio"]
        d1, d2 = (measures.moments(wrap(x)).degrees for x in (a, b))
        ratio = 2 * found["bits"]
        low = 0.5 * (ratio - math.log2(f.ppf(0.975, d2, d1)))
        high = 0.5 * (ratio - math.log2(f.ppf(0.025, d2, d1)))
        self.assertAlmostEqual(found["low"], low)
        self.assertAlmostEqual(found["high"], high)

    def test_interval_of_the_ratio(self) -> None:
        # True ratio: 2 bits. 400 studies at 95 %: misses are binomial, mean 20, sd 4.4;
        # above 47 or none at all comes with probability 1e-8.
        rng = np.random.default_rng(2)
        missed = 0
        for _ in range(400):
            a = 1 + 2.0**-12 * rng.standard_normal((8, 1))
            b = 1 + 2.0**-10 * rng.standard_normal((12, 1))
            found = comparing.compare_arrays(wrap(a), wrap(b), 52)["noise_ratio"]
            missed += not found["low"] <= 2 <= found["high"]
        self.assertLess(missed, 47)
        self.assertGreater(missed, 0)

    def test_the_number_of_samples_is_no_difference(self) -> None:
        # 5 % of 400 is 20, sd 4.4: above 47 with probability 1e-8.
        rng = np.random.default_rng(6)
        for elements in (2, 50, 1000):
            alarms = 0
            for _ in range(400):
                a, b = (1 + 1e-4 * rng.standard_normal((n, elements)) for n in (4, 12))
                found = comparing.compare_arrays(wrap(a), wrap(b), 52)
                alarms += found["brown_forsythe"]["p"] < 0.05
            self.assertLess(alarms, 47, elements)

    def test_equal_values(self) -> None:
        same = wrap(np.ones((3, 4)))
        found = comparing.compare_arrays(same, same, 23)
        self.assertEqual((found["welch"]["p"], found["brown_forsythe"]["p"]), (1, 1))
        other = comparing.compare_arrays(same, wrap(np.full((3, 4), 2.0)), 23)
        self.assertEqual((other["welch"]["p"], other["brown_forsythe"]["p"]), (0, 1))
        self.assertIsNone(other["noise_ratio"])

    def test_holm(self) -> None:
        self.assertEqual(comparing.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
        self.assertEqual(comparing.holm([0.9]), [0.9])


class Noise(unittest.TestCase):
    """When a difference is outside the noise."""

    def _rate(self, shared: bool, factor: float, n: int) -> float:
        rng = np.random.default_rng(3)
        outside = 0
        for _ in range(400):
            width = 1 if shared else 8
            noise = rng.standard_normal((n + 2, width)) * np.ones((1, 8))
            noise[-1] *= factor
            rows = wrap(1 + 1e-4 * noise)
            found = verdict.difference(rows[:n], rows[n], rows[n + 1])
            outside += found["ratio"] > verdict.limit(found["degrees"], 1)
        return outside / 400

    def test_false_alarms(self) -> None:
        # 5 % of 400 is 20 with sd 4.4: 47 come with probability 1e-8. Elements that do not
        # move together raise fewer alarms.
        for n in (5, 10):
            self.assertLess(self._rate(True, 1.0, n), 47 / 400)
            self.assertLess(self._rate(False, 1.0, n), 10 / 400)

    def test_differences_are_found(self) -> None:
        self.assertGreater(self._rate(False, 10.0, 10), 0.9)

    def test_figures(self) -> None:
        samples = wrap(np.array([[1.0, 2.0], [1.5, 2.0], [0.5, 2.0]]))
        one, two = wrap(np.array([[1.0, 2.0], [1.25, 2.0]]))
        found = verdict.difference(samples, one, two)
        self.assertAlmostEqual(found["ratio"], 0.25 / math.sqrt(2 * 0.25))
        self.assertAlmostEqual(found["difference"], 0.25 / math.sqrt(5))
        nan = wrap(np.array([[np.nan, 2.0]]))[0]
        self.assertEqual(verdict.difference(samples, one, nan)["ratio"], math.inf)
        still = wrap(np.ones((3, 2)))
        self.assertEqual(verdict.difference(still, one, two)["ratio"], math.inf)
        self.assertEqual(verdict.difference(still, one, one)["ratio"], 0)

    def test_scale_does_not_matter(self) -> None:
        rng = np.random.default_rng(4)
        values = 1 + 1e-3 * rng.standard_normal((6, 3))
        for scale in (1.0, 2.0**900, 2.0**-900):
            rows = wrap(values * scale)
            found = verdict.difference(rows[:4], rows[4], rows[5])
            self.assertAlmostEqual(found["ratio"], 1.0, delta=1.0)
            if scale == 1.0:
                first = found["ratio"]
            self.assertAlmostEqual(found["ratio"], first)


class Commands(Scratch):
    """The two commands."""

    def call(self, main: object, *arguments: object) -> tuple[int, str]:
        """Run a command; return its status and what it printed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = main([str(a) for a in arguments])  # type: ignore[operator]
        return status, out.getvalue()

    def study(self, name: str, **options: object) -> Path:
        """Make a study."""
        studies.layered(self.folder / name, **options)  # type: ignore[arg-type]
        return self.folder / name

    def test_compare(self) -> None:
        noisier = (
            ("stem", "Conv2d", 2.0**-20),
            ("encoder.0", "Linear", 2.0**-19.5),
            ("encoder.attn", "Attention", 2.0**-9),
            ("head", "Linear", 2.0**-12.5),
        )
        one, two = self.study("a"), self.study("b", layers=noisier)
        saved = self.folder / "c.json"
        status, text = self.call(comparing.main, one, two, "-o", saved)
        self.assertEqual(status, 0)
        self.assertIn("spread: differs in 1 of 5, first encoder.attn", text)
        found = {r["label"]: r for r in json.loads(saved.read_text())["quantities"]}
        self.assertAlmostEqual(
            found["encoder.attn"]["noise_ratio"]["bits"], 4, delta=0.5
        )

    def test_compare_numbers_on_stdout(self) -> None:
        for name in ("a", "b"):
            made = studies.MadeStudy(self.folder / name)
            for k in range(1, 5):
                made.run(f"sample-{k:04d}", stdout=f"loss: {1 + k * 1e-6:.9f}\n")
        status, text = self.call(comparing.main, self.folder / "a", self.folder / "b")
        self.assertEqual(status, 0)
        self.assertIn("loss", text)

    def test_nothing_in_common(self) -> None:
        one = self.study("a")
        studies.MadeStudy(self.folder / "b").run("sample-0001")
        with self.assertRaises(FuzzyError):
            self.call(comparing.main, one, self.folder / "b")
        with self.assertRaises(FuzzyError):
            self.call(comparing.main, one)

    def other(self, name: str, factor: float) -> Path:
        """Make a study of one stock run whose head differs from the layered one's."""
        made = studies.MadeStudy(self.folder / name)
        source = Study(self.folder / "a")
        tensors = [
            (
                {**q.info},
                (q.controls[1].load() * (factor if "head" in q.label else 1)).astype(
                    "f4"
                ),
            )
            for q in source.quantities()
        ]
        made.run("control-1", tensors)
        return self.folder / name

    def test_verdict(self) -> None:
        one = self.study("a")
        near, far = self.other("near", 1 + 2.0**-13), self.other("far", 1 + 2.0**-8)
        status, text = self.call(verdict.main, one, "--against", near)
        self.assertEqual(status, 0, text)
        self.assertIn("INSIDE the noise: head", text)
        status, text = self.call(verdict.main, one, "--against", far)
        self.assertEqual(status, 3, text)
        self.assertIn("OUTSIDE the noise in 1 quantity of 5: head", text)
        status, text = self.call(verdict.main, one, "--against", one)
        self.assertEqual(status, 0)
        self.assertIn("equal", text)
        status, text = self.call(verdict.main, "--json", one, "--against", far)
        self.assertEqual(json.loads(text)["verdict"], "outside")

    def test_verdict_on_other_batch_sizes(self) -> None:
        rng = np.random.default_rng(8)
        rows = rng.uniform(1, 2, (12, 3)).astype("f4")

        def calls(values: np.ndarray, size: int) -> list:
            parts = np.split(values, len(values) // size)
            return [({"call": k}, part) for k, part in enumerate(parts)]

        made = studies.MadeStudy(self.folder / "a")
        made.run("control-1", calls(rows, 4))
        for k in range(1, 8):
            made.run(f"sample-{k:04d}", calls(studies.noisy(rows, 2.0**-16, rng), 4))
        near = studies.noisy(rows, 2.0**-17, rng)
        for name, values, size in (
            ("b", near, 6),
            ("c", near * 1.01, 6),
            ("d", near, 1),
        ):
            other = studies.MadeStudy(self.folder / name)
            other.run("control-1", calls(values.astype("f4"), size))
        one = self.folder / "a"
        for name, expected in (("b", 0), ("c", 3), ("d", 0)):
            status, text = self.call(verdict.main, one, "--against", self.folder / name)
            self.assertEqual(status, expected, text)
        self.assertIn("Net (all calls)", text)
        short = studies.MadeStudy(self.folder / "e")
        short.run("control-1", calls(rows[:6], 6))
        status, text = self.call(verdict.main, one, "--against", self.folder / "e")
        self.assertEqual(status, 4, text)

    def test_verdict_without_partner(self) -> None:
        one = self.study("a")
        made = studies.MadeStudy(self.folder / "b")
        made.run("control-1", [({"name": "Other"}, np.ones(3))])
        status, text = self.call(verdict.main, one, "--against", self.folder / "b")
        self.assertEqual(status, 4)
        self.assertIn("CANNOT SAY", text)

    def test_verdict_on_numbers(self) -> None:
        for name, loss in (("a", 1.0), ("b", 1.000001), ("c", 1.01)):
            made = studies.MadeStudy(self.folder / name)
            made.run("control-1", stdout=f"loss: {loss:.9f}\n")
            for k in range(1, 6):
                made.run(f"sample-{k:04d}", stdout=f"loss: {1 + k * 1e-6:.9f}\n")
        one = self.folder / "a"
        self.assertEqual(
            self.call(verdict.main, one, "--against", self.folder / "b")[0], 0
        )
        self.assertEqual(
            self.call(verdict.main, one, "--against", self.folder / "c")[0], 3
        )

    def test_verdict_needs_stock_runs(self) -> None:
        made = studies.MadeStudy(self.folder / "a")
        made.run("sample-0001")
        with self.assertRaises(FuzzyError):
            self.call(verdict.main, self.folder / "a", "--against", self.folder / "a")
        with self.assertRaises(FuzzyError):
            self.call(verdict.main, self.folder / "a")


class Precision(unittest.TestCase):
    """What the comparison rests on."""

    def test_spreads_by_the_same_power_of_two(self) -> None:
        rng = np.random.default_rng(5)
        a = 2.0**600 * (1 + 1e-6 * rng.standard_normal((5, 4)))
        b = 2.0**599 * (1 + 1e-6 * rng.standard_normal((5, 4)))
        found = comparing.compare_arrays(wrap(a), wrap(b), 52)
        ratio = (
            measures.moments(wrap(b), exponent=600).squares
            / measures.moments(wrap(a), exponent=600).squares
        )
        self.assertAlmostEqual(found["noise_ratio"]["bits"], 0.5 * math.log2(ratio))


if __name__ == "__main__":
    unittest.main()
