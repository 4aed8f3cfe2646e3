"""The example of libprism: what it prints is what the laws say.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import unittest

PROGRAM = os.environ["HARMONIC"]


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The program with these arguments and variables."""
    return subprocess.run(
        [PROGRAM, *args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


def f32(x: float) -> float:
    """Rounded to the nearest float."""
    return ctypes.c_float(x).value


class Harmonic(unittest.TestCase):
    """Terms 1 to 1000000, where nearest and the exact sum have parted."""

    n = 1000000

    def test_sums(self) -> None:
        """Nearest is the float loop's; SR's mean is right, which nearest's is not."""
        p = run(str(self.n))
        self.assertEqual(p.returncode, 0, p.stderr)
        rows = [line.split() for line in p.stdout.splitlines()[1:]]
        sums = {row[0]: [float(x) for x in row[1:]] for row in rows}
        loop, exact = 0.0, 0.0
        for i in range(1, self.n + 1):
            loop = f32(loop + f32(1 / i))
            exact += 1 / i
        self.assertEqual([f"{x:.6f}" for x in sums["nearest"]], [f"{loop:.6f}"] * 3)
        # spacing 2^-20 and n additions: sd below 2^-21 * sqrt(n); six of them, 1e-8
        bound = 6 * 2**-21 * self.n**0.5
        self.assertGreater(abs(loop - exact), bound, "too few terms to tell SR from nearest")
        for x in sums["sr"]:
            self.assertLess(abs(x - exact), bound)
        self.assertEqual(len(set(sums["sr"])), 3)

    def test_isa(self) -> None:
        """Every build prints the same; an unknown one is refused by name."""
        want = run("5000", FUZZY_ISA="ref").stdout.splitlines()[1:]
        self.assertEqual(len(want), 4)
        best = run("5000")
        self.assertEqual(best.stdout.splitlines()[1:], want)
        p = run("5000", FUZZY_ISA="mmx")
        self.assertEqual(p.returncode, 2)
        self.assertIn("FUZZY_ISA=mmx", p.stderr)
        self.assertEqual(run("0").returncode, 2)


if __name__ == "__main__":
    unittest.main()
