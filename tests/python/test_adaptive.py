"""The adaptive rule: its formulas, its decisions, its exit statuses.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import simulate_adaptive
import studies
import support  # noqa: F401  (makes the package importable)
from fuzzytorch import adaptive, measures, statistics
from fuzzytorch.adaptive import Rule, Seen
from fuzzytorch.errors import FuzzyError
from fuzzytorch.study import Study
from support import FUZZYRUN, NOISY, FuzzyrunCase
from test_measures import wrap


class Formulas(unittest.TestCase):
    """L_k and U_k."""

    def test_interval(self) -> None:
        from scipy.stats import chi2, norm

        rule = Rule(["a", "b", "c"], 10, 64)
        self.assertEqual(rule.looks, [5, 10, 20, 40, 64])
        for look, n in enumerate(rule.looks):
            for kurtosis in (0.0, 3.5):
                alpha = 0.05 / (2 * 3 * (look + 1) * (look + 2))
                nu = (n - 1) / (1 + kurtosis / 2)
                sigma = 2.0**-14
                z = math.log2(norm.ppf(0.975))
                low = 14 - 0.5 * math.log2(nu / chi2.ppf(alpha, nu)) - z
                high = 14 + 0.5 * math.log2(chi2.ppf(1 - alpha, nu) / nu) - z
                found = rule.interval(n, look, Seen(sigma, kurtosis, 52))
                self.assertAlmostEqual(found.low, max(0, low), delta=1e-6)
                self.assertAlmostEqual(found.high, high, delta=1e-6)

    def test_looks(self) -> None:
        self.assertEqual(adaptive.looks(5), [5])
        self.assertEqual(adaptive.looks(10), [5, 10])
        self.assertEqual(adaptive.looks(12), [5, 10, 12])

    def test_guard(self) -> None:
        # The standard error of G2 for normal samples, as tables have it.
        for n, error in ((5, 2.0), (10, 1.334), (20, 0.992)):
            found = statistics.guarded_kurtosis(n, 0.25) - 0.25
            self.assertAlmostEqual(found / 1.5, error, delta=6e-4)
        self.assertAlmostEqual(
            statistics.guarded_kurtosis(5, 0.0, 4.0), 1.5 * 2 / 2, delta=1e-9
        )

    def test_independent_elements(self) -> None:
        rng = np.random.default_rng(1)
        apart = 1 + 1e-3 * rng.standard_normal((2000, 32))
        self.assertAlmostEqual(measures.moments(wrap(apart)).independent, 32, delta=5)
        together = np.repeat(apart[:, :1], 32, axis=1)
        self.assertLess(measures.moments(wrap(together)).independent, 1.5)

    def test_a_number_alone_is_a_tensor_of_one(self) -> None:
        values = [1.0, 1.25, 0.875, 1.5, 1.0625]
        total = measures.moments(wrap(np.array(values)[:, None]))
        seen = adaptive._scalar(values, 23)
        self.assertAlmostEqual(seen.sigma, total.sigma())
        self.assertAlmostEqual(seen.kurtosis, total.guarded)


class Decisions(unittest.TestCase):
    """What the rule decides."""

    def test_pass(self) -> None:
        rule = Rule(["a"], 8, 64)
        self.assertEqual(rule.add(5, {"a": Seen(2.0**-20, 0, 23)}), "PASS")

    def test_fail(self) -> None:
        rule = Rule(["a", "b"], 20, 64)
        seen = {"a": Seen(2.0**-23, 0, 23), "b": Seen(2.0**-8, 0, 23)}
        self.assertEqual(rule.add(5, seen), "FAIL")

    def test_goes_on_then_undecided(self) -> None:
        rule = Rule(["a"], 10, 10)
        seen = {"a": Seen(2.0**-11, 0, 23)}
        self.assertIsNone(rule.add(5, seen))
        self.assertEqual(rule.add(10, seen), "UNDECIDED")

    def test_out_of_reach(self) -> None:
        rule = Rule(["a"], 23, 64)
        self.assertEqual(rule.add(5, {"a": Seen(0.0, 0, 23)}), "UNDECIDED")
        self.assertLess(rule.certified, 23)

    def test_earlier_looks_count(self) -> None:
        rule = Rule(["a"], 12, 20)
        rule.add(5, {"a": Seen(2.0**-14, 0, 23)})
        low, high = rule.states["a"].low, rule.states["a"].high
        rule.add(10, {"a": Seen(2.0**-9, 0, 23)})
        self.assertEqual(rule.states["a"].low, low)
        self.assertLess(rule.states["a"].high, high)

    def test_broken_and_lacking(self) -> None:
        broken = Seen(None, 0, 23, "not finite in 1 of 5 samples")
        self.assertEqual(Rule(["a"], 2, 64).add(5, {"a": broken}), "FAIL")
        lacking = Seen(None, 0, 23, lacking="not recorded")
        self.assertEqual(Rule(["a"], 2, 64).add(5, {"a": lacking}), "UNDECIDED")
        self.assertEqual(Rule(["a"], 2, 64).add(5, {}), "UNDECIDED")
        self.assertEqual(Rule(["a"], None, 64).add(5, {"a": broken}), "UNDECIDED")

    def test_mean_zero_fails(self) -> None:
        self.assertEqual(Rule(["a"], 2, 64).add(5, {"a": Seen(None, 0, 23)}), "FAIL")

    def test_certify(self) -> None:
        rule = Rule(["a"], None, 10)
        self.assertIsNone(rule.add(5, {"a": Seen(2.0**-20, 0, 23)}))
        self.assertEqual(rule.add(10, {"a": Seen(2.0**-20, 0, 23)}), "PASS")
        self.assertGreater(rule.certified, 15)


class FakeSampler:
    """Makes nothing: the study is there."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count

    def run(self) -> tuple[list, list]:
        """Return what a sampler does."""
        study = Study(self.path)
        return study.samples[: self.count], study.controls


class Command(unittest.TestCase):
    """adaptive.run over a study that is there."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = Path(scratch.name) / "study"

    def run_rule(self, bits: float | None, most: int = 10) -> tuple[int, str]:
        """Run; return the status and what was printed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = adaptive.run(
                lambda count: FakeSampler(self.path, count), self.path, bits, most
            )
        return status, out.getvalue()

    def test_statuses(self) -> None:
        studies.layered(self.path, 10)
        status, text = self.run_rule(6)
        self.assertEqual(status, 0, text)
        self.assertIn("PASS after", text)
        status, text = self.run_rule(18)
        self.assertEqual(status, 3, text)
        self.assertIn("FAIL after 5 samples", text)
        self.assertIn("head", text)
        # True bits of the head: 12.5 - log2(1.96) = 11.5.
        status, text = self.run_rule(11.4)
        self.assertEqual(status, 4, text)
        self.assertIn("UNDECIDED after 10 samples", text)
        saved = json.loads((self.path / "adaptive.json").read_text())
        self.assertEqual((saved["outcome"], saved["looks"]), ("UNDECIDED", [5, 10]))
        status, text = self.run_rule(None)
        self.assertEqual(status, 0)
        self.assertIn("CERTIFIED after 10 samples", text)

    def test_only_the_samples_of_the_look(self) -> None:
        studies.layered(self.path, 10)
        five = adaptive.look_at(Study(self.path), 5)
        name = "module encoder.attn"
        arrays = next(
            q for q in Study(self.path).quantities() if q.key.name == "encoder.attn"
        ).samples
        by_hand = measures.moments([arrays[k] for k in range(1, 6)]).sigma()
        self.assertAlmostEqual(five[name].sigma, by_hand)

    def test_stdout_where_nothing_was_recorded(self) -> None:
        made = studies.MadeStudy(self.path)
        for k in range(1, 6):
            made.run(
                f"sample-{k:04d}",
                stdout=f"loss: {0.5 + k * 1e-7:.9f} top 0.5 epoch 3\n",
            )
        seen = adaptive.look_at(Study(self.path), 5)
        self.assertEqual(set(seen), {"stdout: loss", "stdout: top", "stdout: epoch"})
        # One digit was printed: equal numbers prove next to nothing.
        self.assertEqual(seen["stdout: top"].most, 1)
        self.assertEqual(seen["stdout: epoch"].most, 23)
        self.assertEqual(self.run_rule(12, 5)[0], 4)

    def test_failed_sample(self) -> None:
        made = studies.MadeStudy(self.path)
        for k in range(1, 6):
            made.run(f"sample-{k:04d}", stdout="1.5\n", exit_status=int(k == 3))
        with self.assertRaises(FuzzyError) as caught:
            self.run_rule(3, 5)
        self.assertEqual(caught.exception.status, 1)

    def test_bad_arguments(self) -> None:
        for bits, most in ((0, 64), (math.inf, 64), (math.nan, 64), (3, 4)):
            with self.assertRaises(FuzzyError):
                self.run_rule(bits, most)


class CommandLine(FuzzyrunCase):
    """The whole of it, with a library that only pretends."""

    def adaptive(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run fuzzyrun by the Python of the tests, which has NumPy."""
        return self.fuzzyrun(
            FUZZYRUN, "--adaptive", "--control", 1, *arguments, "--",
            sys.executable, "script.py", program=sys.executable,
        )  # fmt: skip

    def test_decisions(self) -> None:
        # Noise of 1e-6 around .125 leaves 16 bits of the loss.
        self.script(NOISY.replace("accuracy: 0.975", "accuracy: 0.97500000"))
        done = self.adaptive("-s", 1, "-o", "a", "--bits", 10)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("PASS after 5 samples", done.stdout)
        self.assertFalse((self.folder / "a" / "sample-0006").exists())
        done = self.adaptive("-s", 1, "-o", "a", "--bits", 19)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("FAIL after 5 samples: stdout: loss", done.stdout)
        done = self.adaptive("-s", 1, "-o", "a", "--bits", 15.9, "--max-samples", 10)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertTrue((self.folder / "a" / "sample-0010").exists())

    def test_one_line_errors(self) -> None:
        self.script("print('nothing')")
        self.assert_line(self.adaptive("-o", "b", "--bits", 10), "nothing to decide on")
        self.script(
            "import os, sys\nsys.exit(os.environ['FUZZY_SAMPLE'] == '2')",
        )
        self.assert_line(self.adaptive("-o", "c", "--bits", 10), "failed")

    def assert_line(self, done: subprocess.CompletedProcess[str], words: str) -> None:
        """Assert an error whose last line says some words."""
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(words, done.stderr.splitlines()[-1])

    def test_report(self) -> None:
        self.script(NOISY)
        self.fuzzyrun("-n", 3, "-o", "a", "--", sys.executable, "script.py")
        done = self.fuzzyrun(
            FUZZYRUN, "report", "--no-html", "a", program=sys.executable
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("loss keeps least", done.stdout)
        done = self.fuzzyrun(
            FUZZYRUN, "report", "--no-html", "nowhere", program=sys.executable
        )
        self.assert_error(done, 2, "nowhere", "no study")


class Overclaims(unittest.TestCase):
    """A small part of make check-slow."""

    def test_normal_and_laplace(self) -> None:
        # Rates of .3 % and 3 %, so .9 and 9 of 300 on average: as many as the bounds come
        # with probability 1e-10 and 1e-8.
        for law, bound in (("normal", 12), ("Laplace", 30)):
            found = simulate_adaptive.simulate(simulate_adaptive.LAWS[law], 300, seed=3)
            self.assertLess(found.overclaims, bound)
            self.assertLess(found.one_below, 45)


if __name__ == "__main__":
    unittest.main()
