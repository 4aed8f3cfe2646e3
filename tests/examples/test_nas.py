"""Plain C and Fortran programs under the instruction layer: examples/nas.

SPDX-License-Identifier: Apache-2.0

NAS_LIBRARY is the library. What the code that rounds nowhere gives is what the program
gives natively, bit for bit; what is spread is spread as first-order theory says: around
the f64 value, in proportion to the unit of the precision, more under ud than under sr.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import unittest
from pathlib import Path

LIBRARY = os.environ["NAS_LIBRARY"]
HERE = Path(__file__).resolve().parent.parent.parent / "examples" / "nas"
SAMPLES = 10
PROGRAMS = [
    f"{name}-{language}"
    for name in ("cg", "fft", "mg", "lu")
    for language in ("c", "f")
]


class Programs(unittest.TestCase):
    """Each program in f64 and f32, size S."""

    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="fuzzy-nas-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for precision in ("64", "32"):
            cls.make(precision, *(["F32=1"] if precision == "32" else []))

    @classmethod
    def make(cls, name: str, *settings: str) -> None:
        subprocess.run(
            ["make", "-s", "-j2", f"B={cls.folder / name}", *settings],
            cwd=HERE,
            check=True,
        )

    def run_native(self, path: Path) -> str:
        return subprocess.run(
            [path, "S"], capture_output=True, text=True, check=True
        ).stdout

    def run_moved(self, path: Path, mode: str, seed: int = 1, **more: str) -> str:
        done = subprocess.run(
            [path, "S"],
            capture_output=True,
            text=True,
            env=dict(
                os.environ,
                LD_PRELOAD=LIBRARY,
                FUZZY_MODE=mode,
                FUZZY_SEED=str(seed),
                FUZZY_SCOPE="inst",
                FUZZY_LIBS=f"*/{path.name}",
                FUZZY_CACHE=str(self.folder / "cache"),
                FUZZY_VERBOSE="0",
                **more,
            ),
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{path.name} {mode}: {done}")
        return done.stdout

    def spread(self, path: Path, mode: str) -> list[float]:
        texts = [self.run_moved(path, mode, seed) for seed in range(1, SAMPLES + 1)]
        for text in texts:
            self.assertEqual(text.split()[-1], "verified", f"{path.name} {mode}")
        return [float(text.split()[3]) for text in texts]

    def test_moved_code_computes_what_the_program_does(self) -> None:
        for precision in ("64", "32"):
            for name in PROGRAMS:
                path = self.folder / precision / name
                with self.subTest(program=name, precision=precision):
                    native = self.run_native(path)
                    self.assertEqual(self.run_moved(path, "nearest"), native)
                    # The definition, which rounds to nearest, at every site.
                    self.assertEqual(
                        self.run_moved(path, "nearest", FUZZYTORCH_PLAN_VARIANT="3"),
                        native,
                    )

    def test_other_compilers_options(self) -> None:
        for k, flags in enumerate(
            (
                "-O0",
                "-O3",
                "-O3 -march=haswell -funroll-loops",
                "-O1 -no-pie -static-libgcc",
            )
        ):
            self.make(f"o{k}", f"FLAGS={flags}")
            for name in PROGRAMS:
                path = self.folder / f"o{k}" / name
                with self.subTest(program=name, flags=flags):
                    native = self.run_native(path)
                    self.assertEqual(self.run_moved(path, "nearest"), native)
                    self.assertEqual(
                        self.run_moved(path, "nearest", FUZZYTORCH_PLAN_VARIANT="3"),
                        native,
                    )
                    self.assertIn("verified", self.run_moved(path, "sr"))

    def test_report_tells_what_was_not_moved(self) -> None:
        self.make("evex", "FLAGS=-O3 -march=skylake-avx512 -mprefer-vector-width=512")
        evex = "avx512vl" in Path("/proc/cpuinfo").read_text()
        cases = (
            ("64", "", True),
            ("evex", "", True),
            ("evex", "avx2", False),  # whose code knows no registers 16 to 31
        )
        for folder, isa, all_moved in cases if evex else cases[:1]:
            path = self.folder / folder / "lu-c"
            report = self.folder / f"{folder}.json"
            done = subprocess.run(
                [path, "S"],
                capture_output=True,
                text=True,
                env=dict(
                    os.environ,
                    LD_PRELOAD=LIBRARY,
                    FUZZY_SCOPE="inst",
                    FUZZY_LIBS="*/lu-c",
                    FUZZY_CACHE=str(self.folder / "cache"),
                    FUZZY_REPORT=f"{report},operations",
                    **({"FUZZY_ISA": isa} if isa else {}),
                ),
                check=False,
            )
            (row,) = json.loads(report.read_text())["instructions"]
            left = sum(entry["sites"] for entry in row["left"])
            self.assertEqual(row["library"], str(path))
            self.assertEqual(row["sites"], row["perturbed"] + row["exact"] + left)
            self.assertEqual(row["unknown_sites"], left)
            self.assertEqual(left == 0, all_moved)
            if all_moved:
                # (2n^3 - 2n)/3 and lower terms for the factors, 2n^2 for the solution
                self.assertGreater(row["operations"]["perturbed"], 2 * 32**3 // 3)
                self.assertLess(row["operations"]["perturbed"], 2 * 32**3)
            elif row["perturbed"] == 0:
                self.assertIn("nothing was perturbed", done.stderr)

    def test_spread(self) -> None:
        for name in PROGRAMS:
            exact = float(self.run_native(self.folder / "64" / name).split()[3])
            sd = {}
            for precision in ("64", "32"):
                for mode in ("sr", "ud"):
                    values = self.spread(self.folder / precision / name, mode)
                    sd[precision, mode] = statistics.stdev(values)
                    if (precision, mode) == ("32", "sr"):
                        mean = statistics.fmean(values)
            with self.subTest(program=name, sd=sd):
                # The factor for 10 samples: quantiles of F(9, 9) at 1e-6 are 60, of t(9)
                # at 1e-6 about 11.
                self.assertLess(abs(mean - exact), 11 * sd["32", "sr"] / SAMPLES**0.5)
                ratio = sd["64", "sr"] / sd["32", "sr"] * 2**29
                self.assertLess(max(ratio, 1 / ratio), 60**0.5)
                # ulp^2 against at most ulp^2 / 4 a rounding, 1/6 in the mean.
                self.assertGreater(sd["32", "ud"], sd["32", "sr"] * 2 / 60**0.5)


if __name__ == "__main__":
    unittest.main()
