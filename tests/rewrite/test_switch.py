"""The instruction layer follows the C API: mode, off and seed while the process runs.

SPDX-License-Identifier: Apache-2.0

Run with a python that has torch: test_switch.py --lib build/libfuzzytorch.so. The process
starts itself again with the library preloaded. The first change to a variant whose plan is
missing makes it; the times are those of the second.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
import unittest


def preload(lib: str) -> None:
    """Start this script again under the library."""
    env = dict(
        os.environ,
        LD_PRELOAD=os.path.abspath(lib),
        FUZZY_SCOPE="inst",
        FUZZY_MODE="sr",
        FUZZY_SEED="1",
        FUZZY_VERBOSE="0",
    )
    os.execve(sys.executable, [sys.executable, __file__, *sys.argv[3:]], env)


class Switch(unittest.TestCase):
    """Products of 1000 numbers, of which nearly all are inexact."""

    @classmethod
    def setUpClass(cls) -> None:
        """Load torch; two vectors."""
        import torch

        torch.set_num_threads(1)
        cls.library = ctypes.CDLL(None)
        cls.library.fuzzy_set_seed.argtypes = [ctypes.c_uint64]
        cls.library.fuzzy_set_mode.argtypes = [ctypes.c_char_p]
        cls.x = torch.randn(1000)
        cls.y = torch.rand(1000)

    def mode(self, name: bytes) -> float:
        """Set the mode; return the seconds it took."""
        start = time.perf_counter()
        self.assertEqual(self.library.fuzzy_set_mode(name), 0)
        return time.perf_counter() - start

    def product(self):
        """Return x*y as torch computes it now."""
        return self.x.mul(self.y)

    def differ(self, a, b) -> int:
        """Return how many elements differ."""
        return int((a != b).sum())

    def test_modes(self) -> None:
        """Off and nearest repeat and agree; the others differ from them, by their laws."""
        self.mode(b"off")
        native = self.product()
        self.assertEqual(self.differ(native, self.product()), 0)
        self.mode(b"nearest")
        self.assertEqual(self.differ(native, self.product()), 0)
        self.mode(b"sr")
        # P(a product's nearest is not taken) is 1/4 on average: 250 +- 14 of 1000.
        self.assertTrue(180 < self.differ(native, self.product()) < 320)
        self.mode(b"ud")
        self.assertGreater(self.differ(native, self.product()), 980)
        self.mode(b"cestac")
        self.assertTrue(430 < self.differ(native, self.product()) < 570)

    def test_time(self) -> None:
        """A change of mode takes less than a millisecond, once both plans are there."""
        self.mode(b"off")
        self.mode(b"sr")
        self.assertLess(min(self.mode(b"off") + self.mode(b"sr") for _ in range(5)), 2e-3)

    def test_seed(self) -> None:
        """The same seed gives the same noise again, another one another."""
        self.mode(b"sr")
        runs = []
        for seed in (5, 5, 6):
            self.library.fuzzy_set_seed(seed)
            runs.append(self.product())
        self.assertEqual(self.differ(runs[0], runs[1]), 0)
        self.assertGreater(self.differ(runs[0], runs[2]), 100)


if __name__ == "__main__":
    if "--lib" in sys.argv:
        preload(sys.argv[sys.argv.index("--lib") + 1])
    unittest.main()
