"""Sums with known results under the instruction layer: examples/harmonic.

SPDX-License-Identifier: Apache-2.0

The harmonic sum's mean and variance under sr, and its variance under ud, are those that the
laws predict, term by term; NAS_LIBRARY is the library.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import tempfile
import unittest
from pathlib import Path

LIBRARY = os.environ["NAS_LIBRARY"]
SOURCE = Path(__file__).resolve().parents[2] / "examples" / "harmonic" / "sums.c"
N = 400_000
SAMPLES = 40
# For 40 samples: chi-square quantiles of 39 degrees at 1e-6, and t's.
LOW, HIGH, T = 0.27, 2.5, 5.8


class Sums(unittest.TestCase):
    """What the laws say of a sum."""

    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory(prefix="fuzzy-sums-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        subprocess.run(
            ["cc", "-O2", "-ffp-contract=off", "-o", cls.folder / "sums", SOURCE],
            check=True,
        )

    def sums(self, mode: str, name: str, n: int, samples: int = SAMPLES) -> list[float]:
        values = []
        for seed in range(1, samples + 1):
            env = dict(
                os.environ,
                LD_PRELOAD=LIBRARY,
                FUZZY_MODE=mode,
                FUZZY_SEED=str(seed),
                FUZZY_SCOPE="inst",
                FUZZY_LIBS="*/sums",
                FUZZY_VERBOSE="0",
                FUZZY_CACHE=str(self.folder / "cache"),
            )
            text = subprocess.run(
                [self.folder / "sums", name, str(n)],
                env=env,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            values.append(float(text.split()[1]))
        return values

    def test_harmonic(self) -> None:
        exact = sr = ud = 0.0
        for i in range(1, N + 1):
            exact += 1 / i
            unit = 2.0 ** (math.floor(math.log2(exact)) - 23)
            f = math.fmod(1 / i, unit) / unit
            sr += f * (1 - f) * unit**2
            ud += unit**2
        values = self.sums("sr", "harmonic", N)
        self.assertLess(
            abs(statistics.fmean(values) - exact), T * math.sqrt(sr / SAMPLES)
        )
        self.assertLess(LOW, statistics.variance(values) / sr)
        self.assertLess(statistics.variance(values) / sr, HIGH)
        ratio = statistics.variance(self.sums("ud", "harmonic", N)) / ud
        self.assertLess(LOW, ratio)
        self.assertLess(ratio, HIGH)

    def test_sums_that_are_exact_stay_exact_under_sr(self) -> None:
        # A term alone, and two multiples of 2^-23 whose sum has 24 bits.
        for mode in ("sr", "cestac"):
            self.assertEqual(len(set(self.sums(mode, "plain", 1, 10))), 1)

    def test_better_algorithms_have_less_spread(self) -> None:
        sd = {
            name: statistics.stdev(self.sums("sr", name, 100_000, 12))
            for name in ("plain", "pairwise", "kahan")
        }
        # Units of the partial sums: about sqrt(n) of them, sqrt(log2 n), one.
        self.assertGreater(sd["plain"], 5 * sd["pairwise"])
        self.assertGreater(sd["pairwise"], 3 * sd["kahan"])
        self.assertLess(sd["kahan"], 2.0**-18)


if __name__ == "__main__":
    unittest.main()
