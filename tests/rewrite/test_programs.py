"""Random C++ programs under the instruction layer: equal to native where nothing is rounded.

SPDX-License-Identifier: Apache-2.0

A program from programs.py is compiled in one of several ways and run as its own main program:
as it is moved, by the definition to nearest, and by sr's code to nearest, each with the same
output as without the layer; sr gives another. FZ_TEST_SLOW=1 runs many more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from layer import (
    DEFINITION,
    HERE,
    IDENTITY,
    SR_TO_NEAREST,
    TRAPS,
    can_move,
    environment,
    has_avx512,
    ours,
    run,
)
from programs import Generator

# -march=native: EVEX code where this CPU has it. Contraction is off in half of them: f32
# fma by way of f64 rounds twice (SR_TO_NEAREST).
WAYS = [
    ["-O0"],
    ["-O1", "-mavx2", "-mfma", "-ffp-contract=off"],
    ["-O2"],
    ["-O3", "-mavx2", "-mfma", "-ffp-contract=off"],
    ["-O2", "-mavx2", "-mfma"],
    ["-O3"],
    ["-O0", "-mavx2", "-mfma", "-ffp-contract=off"],
    ["-Os", "-mavx", "-fno-pie", "-no-pie"],
    ["-O2", "-march=native"],
    ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffp-contract=off"],
    ["-O3", "-march=native", "-ffp-contract=off"],
]
COMPILERS = ("g++", "clang++")
PROGRAMS = 64 if os.environ.get("FZ_TEST_SLOW") == "1" else len(WAYS)


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Programs(unittest.TestCase):
    """One program a way."""

    def check(self, folder: Path, seed: int) -> None:
        """Generate, compile and compare one program."""
        way = WAYS[seed % len(WAYS)]
        compiler = COMPILERS[(seed + seed // len(WAYS)) % len(COMPILERS)]
        if not shutil.which(compiler):
            self.skipTest(f"{compiler} is not installed")
        source, program = folder / f"p{seed}.cc", folder / f"program{seed}"
        source.write_text(Generator(seed).program(), encoding="utf-8")
        subprocess.run([compiler, *way, "-w", "-o", program, source], check=True)
        scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(folder / "plans")}
        native = run([program], environment()).stdout
        variants = [{**IDENTITY, **TRAPS}, {**DEFINITION, **TRAPS}]
        contracted = {"-mfma", "-march=native"} & {*way} and "-ffp-contract=off" not in way
        if not contracted:
            variants.append({**SR_TO_NEAREST, **TRAPS})
            variants.append({**SR_TO_NEAREST, **TRAPS, "FUZZY_ISA": "avx2"})
        for variant in variants:
            got = run([program], ours(**scope, **variant))
            self.assertEqual(got.stdout, native, (compiler, way, variant))
        noisy = run([program], ours(**scope, FUZZY_MODE="sr"))
        self.assertNotEqual(noisy.stdout, native)
        self.assertEqual(len(noisy.stdout.splitlines()), len(native.splitlines()))

    @unittest.skipUnless(has_avx512(), "this CPU lacks AVX-512")
    def test_kept_registers(self) -> None:
        """What a function with EVEX code keeps over a call is not lost."""
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "keeps"
            subprocess.run(["gcc", "-O1", "-o", program, HERE / "keeps.c"], check=True)
            scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(Path(folder, "p"))}
            noisy = run([program], ours(**scope)).stdout
            self.assertNotEqual(noisy, run([program], environment()).stdout)

    def outputs(
        self, name: str, *flags: str, env: dict[str, dict[str, str]]
    ) -> dict[str, str]:
        """Compile NAME.c; return what it prints natively and with environments."""
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / name
            command = ["gcc", *flags, "-o", program, HERE / f"{name}.c", "-lm"]
            subprocess.run(command, check=True)
            scope = {"FUZZY_LIBS": name, "FUZZY_CACHE": str(Path(folder, "plans"))}
            got = {k: run([program], ours(**scope, **v)).stdout for k, v in env.items()}
            return {"native": run([program], environment()).stdout, **got}

    def test_whole_numbers(self) -> None:
        """Floor and ceil give native's whole numbers in every mode; numbers that are computed
        and then cut do so where exact results stay."""
        env = {}
        for mode in ("sr", "ud", "cestac"):
            for bits in ("f32:24,f64:53", "f32:8,f64:8"):
                env[mode, bits] = {"FUZZY_MODE": mode, "FUZZY_PRECISION": bits}
        flags = ["-O2", "-fno-trapping-math", "-fno-math-errno"]
        got = self.outputs("whole", *flags, env=env)
        native = got["native"].splitlines()
        for key, text in got.items():
            with self.subTest(mode=key):
                lines = text.splitlines()
                self.assertEqual(lines[:4], native[:4])
                self.assertEqual(lines[4] == native[4], key == "native")
                exact = key == "native" or (key[0] != "ud" and key[1][4] == "2")
                self.assertEqual(lines[5] == native[5], exact)

    def test_narrowed_from_memory(self) -> None:
        """256 bits of f64 to f32, where no register of 256 bits is used."""
        env = {
            "nearest": {**SR_TO_NEAREST, "FUZZY_ISA": "avx2"},
            "definition": {**DEFINITION, "FUZZY_ISA": "avx2"},
        }
        got = self.outputs("narrowed", "-O2", "-mavx2", env=env)
        self.assertEqual(got["nearest"], got["native"])
        self.assertEqual(got["definition"], got["native"])

    def test_programs(self) -> None:
        """All of them."""
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(PROGRAMS):
                with self.subTest(seed=seed, way=WAYS[seed % len(WAYS)]):
                    self.check(Path(folder), seed)


if __name__ == "__main__":
    unittest.main()
