"""Every SLEEF and VML symbol: values in each mode, precision, original absent or there.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path

import common
from check_exports import ROOT
from common import build_dir, compile_c, run

FLAGS = ("-Wno-psabi", "-Wl,--unresolved-symbols=ignore-all", "-rdynamic", "-lm")


def digest(program: str, *args: str, preload: bool = True, **env: str) -> str:
    """Run math_calls.c, which fails on a wrong value; return the digest of all results."""
    env.setdefault("FUZZY_VERBOSE", "0")
    p = run([program, *args], check=False, preload=preload, **env)
    if p.returncode != 0:
        raise AssertionError(f"{env}:\n{p.stdout}\n{p.stderr}")
    return p.stdout.split("digest ")[1]


class Math(unittest.TestCase):
    """Behaviour of the vector math interfaces."""

    def setUp(self) -> None:
        """Compile the program, which finds no math but the preloaded one."""
        self.program = str(compile_c("math_calls.c", "math_calls", *FLAGS))

    def test_values(self) -> None:
        """Within three units in each mode, each mode other bits, one seed the same bits."""
        got = {
            m: digest(self.program, FUZZY_LIBS="all", FUZZY_MODE=m, FUZZY_SEED="1")
            for m in ("nearest", "sr", "ud", "cestac")
        }
        self.assertEqual(len(set(got.values())), 4, got)
        for seed, same in (("1", True), ("2", False)):
            again = digest(self.program, FUZZY_LIBS="all", FUZZY_SEED=seed)
            self.assertEqual(again == got["sr"], same)

    def test_precision(self) -> None:
        """At 8 bits every f32 result has 8 bits: all of it came from the kernel."""
        digest(self.program, "fit", FUZZY_LIBS="all", FUZZY_PRECISION="f32:8,f64:8")

    def test_isas(self) -> None:
        """Equal seeds give equal bits on every ISA of this CPU."""
        flags = Path("/proc/cpuinfo").read_text()
        isas = ["ref", "sse41", "avx2"] + (["avx512"] if "avx512vl" in flags else [])
        got = {
            i: digest(self.program, FUZZY_LIBS="all", FUZZY_ISA=i, FUZZY_SEED="1")
            for i in isas
        }
        self.assertEqual(len(set(got.values())), 1, got)

    def test_passed_through(self) -> None:
        """A call that is not ours is nearest where there is no original, and SLEEF's where
        the program has SLEEF."""
        nearest = digest(self.program, FUZZY_LIBS="all", FUZZY_MODE="nearest")
        for env in ({"FUZZY_LIBS": "none"}, {"FUZZY_LIBS": "all", "FUZZY_SCOPE": "blas"}):
            self.assertEqual(digest(self.program, **env), nearest)
        sleef = str(
            compile_c(
                "math_calls.c",
                "sleef_calls",
                *FLAGS,
                "-DONLY_SLEEF",
                "-Wl,--no-as-needed",
                "-l:libsleef.so.3",
            )
        )
        absent = digest(sleef, preload=False)
        self.assertEqual(digest(sleef, FUZZY_LIBS="none"), absent)
        self.assertEqual(digest(sleef, FUZZY_MODE="off"), absent)
        self.assertNotEqual(digest(sleef, FUZZY_LIBS="all"), absent)

    def test_every_symbol_is_called(self) -> None:
        """The report of that program names every math symbol of the list."""
        path = build_dir() / "math.json"
        fake = compile_c("fake_torch.c", "math/libtorch_cpu.so", "-shared", "-fPIC")
        program = compile_c(
            "math_calls.c",
            "math/with_torch",
            *FLAGS,
            "-Wl,--no-as-needed",
            str(fake),
            "-Wl,-rpath,$ORIGIN",
        )
        out = run([str(program)], FUZZY_LIBS="all", FUZZY_REPORT=str(path)).stdout
        called = {
            s["symbol"]
            for s in json.loads(path.read_text())["symbols"]
            if s["perturbed"]["calls"]
        }
        text = (ROOT / "shim/symbols.def").read_text()
        listed = set(re.findall(r"^FZ_SYMBOL\((\w+), MATH", text, flags=re.MULTILINE))
        if "NOT RUN" in out:
            listed = {s for s in listed if not re.search("d8_|f16_", s)}
        self.assertGreater(len(listed), 80)
        self.assertEqual(listed - called, set())


if __name__ == "__main__":
    common.main()
