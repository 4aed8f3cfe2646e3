"""Rounding to bf16, which c10 does with integers, under the instruction layer.

SPDX-License-Identifier: Apache-2.0

Forms from several compilations of round16.c: equal to native where nothing is rounded, and by
sr the same with code in line as by the definition with the same words. On torch: results are
neighbours, and rounded up as often as the law says (|z| < 6.1, false alarms below 1e-9 each);
native rounding, which is what an unrecognised form would leave, fails the same test.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from layer import (
    DEFINITION,
    HERE,
    IDENTITY,
    PYTHONS,
    SR_TO_NEAREST,
    TRAPS,
    can_move,
    environment,
    ours,
    run,
)

WAYS = [
    ["-O1"],
    ["-O2"],
    ["-Os"],
    ["-O2", "-mavx2"],
    ["-O3", "-mavx2"],
    ["-O3", "-mavx"],
]
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
COUNT = 2000
FORMS = ("scalar", "scalar_add", "loop", "vector")
#: Forms of clang's SSE code that are not recognised: they stay, and are reported as left.
LEFT = {"clang-O2": ("loop", "vector"), "clang-O3-mavx": ("vector",)}
Z = 6.1


def score(wide: list[int], rounded: list[int]) -> float:
    """Return the z score of upward roundings; patterns of f32 and of bf16."""
    mean = variance = 0.0
    up = 0
    for x, y in zip(wide, rounded):
        p = (x & 0xFFFF) / 65536
        if y - (x >> 16) not in ((0, 1) if p else (0,)):
            raise AssertionError(f"{y:04x} is no neighbour of {x:08x}")
        up += y - (x >> 16)
        mean += p
        variance += p * (1 - p)
    return (up - mean) / variance**0.5


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Bf16(unittest.TestCase):
    """Tests of both kinds."""

    def check(self, folder: Path, compiler: str, way: list[str]) -> None:
        """Compile and compare once."""
        program = folder / f"round16-{compiler}{''.join(way)}"
        subprocess.run(
            [compiler, *way, "-w", "-o", program, HERE / "round16.c"], check=True
        )
        scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(folder / "plans")}

        def lines(**env: str) -> list[str]:
            return run([program, COUNT], ours(**scope, **env)).stdout.splitlines()

        native = run([program, COUNT], environment()).stdout.splitlines()
        self.assertEqual(lines(**IDENTITY, **TRAPS), native)
        self.assertEqual(lines(**DEFINITION, **TRAPS), native)
        self.assertEqual(lines(**SR_TO_NEAREST, **TRAPS), native)
        sr = lines(FUZZY_MODE="sr")
        by_definition = {**DEFINITION, "FUZZY_MODE": "sr"}
        self.assertEqual(lines(**by_definition), sr)
        self.assertEqual(lines(FUZZY_MODE="ud"), sr)  # a conversion: as sr
        self.assertEqual(sr[4:], native[4:])  # what only looks like it; special values
        wide = [int(w, 16) for w in native[5].split()]
        if compiler + "".join(way) in LEFT:
            env = ours(**scope, FUZZY_MODE="sr", FUZZY_REPORT="stderr")
            self.assertIn("bf16 rounding of unknown form", run([program, 9], env).stderr)
        cestac = lines(FUZZY_MODE="cestac")
        for k, form in enumerate(FORMS):
            if form in LEFT.get(compiler + "".join(way), ()):
                self.assertEqual(sr[k], native[k], form)
                continue
            got = [int(w, 16) for w in sr[k].split()]
            self.assertNotEqual(sr[k], native[k], form)
            self.assertLess(abs(score(wide, got)), Z, form)
            up = [
                ((int(w, 16) - (x >> 16)) ^ (x >> 31))
                for x, w in zip(wide, cestac[k].split())
                if x & 0xFFFF
            ]
            self.assertLess(abs(2 * sum(up) - len(up)) / len(up) ** 0.5, Z, form)

    def test_forms(self) -> None:
        """Forms of compilers."""
        with tempfile.TemporaryDirectory() as folder:
            for compiler in COMPILERS:
                for way in WAYS:
                    with self.subTest(compiler=compiler, way=way):
                        self.check(Path(folder), compiler, way)

    def test_torch(self) -> None:
        """Conversions, sums and products of tensors."""
        script = HERE / "bf16_torch.py"
        python = PYTHONS["wheel"]
        plain = json.loads(run([python, script], environment()).stdout)
        failed = 0
        for mode in ("sr", "ud", "nearest"):
            got = json.loads(run([python, script], ours(FUZZY_MODE=mode)).stdout)
            for name, (wide, rounded) in got["cases"].items():
                with self.subTest(mode=mode, case=name):
                    if mode == "nearest":
                        self.assertEqual(rounded, plain["cases"][name][1])
                        failed += abs(score(wide, rounded)) > Z
                    elif mode == "sr" or name not in ("add", "mul"):
                        self.assertLess(abs(score(wide, rounded)), Z)
            self.assertEqual(got["exact"], plain["exact"], mode)
        self.assertGreater(failed, 0)  # products of short numbers are ties often


if __name__ == "__main__":
    unittest.main()
