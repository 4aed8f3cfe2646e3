"""The laws of sr, ud and cestac on torch's code, and whose noise differs from whose.

SPDX-License-Identifier: Apache-2.0

Seeds are fixed, so a test that passes goes on passing. A right law with another seed fails
one of the 84 assertions |z| < 6 with a probability below 84 * 2e-9.
"""

from __future__ import annotations

import json
import unittest

from layer import HERE, PYTHONS, can_move, ours, run


def asked(what: str, **env: str) -> object:
    """Return an answer of laws.py under the layer."""
    return json.loads(
        run([PYTHONS["wheel"], HERE / "laws.py", what], ours(**env)).stdout
    )


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Laws(unittest.TestCase):
    """Tests on the wheel."""

    def test_sr(self) -> None:
        """Always a neighbour, and unbiased."""
        for name, figures in asked("law").items():
            with self.subTest(name):
                self.assertEqual(figures["stray"], 0)
                self.assertLess(abs(figures["z"]), 6)
                self.assertLess(abs(figures["z_slope"]), 6)
                self.assertGreater(figures["moved"], 0.05)

    def test_ud(self) -> None:
        """One unit up or down from the nearest, always."""
        for name, figures in asked("law", FUZZY_MODE="ud").items():
            with self.subTest(name):
                self.assertEqual(figures["moved"], 1)

    def test_cestac(self) -> None:
        """Exact results stay, others go either way with equal chances."""
        for isa in ({}, {"FUZZY_ISA": "avx2"}):
            for name, figures in asked("law", FUZZY_MODE="cestac", **isa).items():
                with self.subTest(name, **isa):
                    self.assertEqual(figures["stray"], 0)
                    self.assertLess(abs(figures["z_half"]), 6)
                    self.assertLess(abs(figures["z_half_slope"]), 6)

    def test_nearest(self) -> None:
        """The same script sees nothing in nearest."""
        for name, figures in asked("law", FUZZY_MODE="nearest").items():
            with self.subTest(name):
                self.assertEqual((figures["stray"], figures["moved"]), (0, 0))

    def test_threads(self) -> None:
        """Two threads draw different noise."""
        self.assertGreater(min(asked("threads")), 0.2)

    def test_fork(self) -> None:
        """Children and their parent do."""
        self.assertGreater(min(asked("fork")), 0.2)

    def test_workers(self) -> None:
        """Workers of a DataLoader do."""
        self.assertGreater(min(asked("workers")), 0.2)

    def test_seeds(self) -> None:
        """Equal seeds repeat, others do not."""
        one, two, other = (asked("repeat", FUZZY_SEED=s) for s in ("3", "3", "4"))
        self.assertEqual(one, two)
        self.assertNotEqual(one, other)


if __name__ == "__main__":
    unittest.main()
