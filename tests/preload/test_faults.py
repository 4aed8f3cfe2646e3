"""Odd arguments: n of 0, negative and huge, no alignment, one array in and out.

SPDX-License-Identifier: Apache-2.0

faults.py compares with the originals of the torch of the Python that runs this.
"""

from __future__ import annotations

import sys
import unittest

import common
from common import HERE, run

import torch  # isort: skip

MKL = torch.backends.mkl.is_available()


class Faults(unittest.TestCase):
    """Ours does what the original does, and does not end the process where that does."""

    def same(self, what: str, least: int) -> None:
        """Run one part of faults.py, which prints each difference."""
        p = run(
            [sys.executable, str(HERE / "faults.py"), what],
            FUZZY_LIBS="all",
            FUZZY_MODE="nearest",
            FUZZY_VERBOSE="0",
        )
        said = [x for x in p.stdout.splitlines() if x and "Intel oneMKL" not in x]
        self.assertRegex(said[-1], r"^\d+ checks$", p.stdout)
        self.assertEqual(said[:-1], [])
        self.assertGreaterEqual(int(said[-1].split()[0]), least)

    @unittest.skipUnless(MKL, "this torch has no MKL")
    def test_vml(self) -> None:
        """MKL's vector functions; the upper half of n's register holds anything."""
        self.same("vml", 2160)

    def test_level1(self) -> None:
        """BLAS of level 1, with every sign of n and of the steps."""
        self.same("level1", 900)

    def test_nothing_to_do(self) -> None:
        """Products without an element touch nothing, whatever their dimensions."""
        self.same("nothing", 12)

    @unittest.skipUnless(MKL, "once is enough, and this torch has no MKL")
    def test_huge(self) -> None:
        """More than 2 GiB of numbers."""
        self.same("huge", 2)


if __name__ == "__main__":
    common.main()
