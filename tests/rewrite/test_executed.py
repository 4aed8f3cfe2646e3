"""Operations that the layer counts, against callgrind and objdump (executed.py).

SPDX-License-Identifier: Apache-2.0

One training step of the digits example, import included: in each library of torch, and over
its functions one by one, the two accounts differ by less than 1 %. Left out on both sides are
functions that the layer does not decode (exact.def), and hash tables: a library's
constructors fill some before its code can be moved. Two minutes of processor time; an output
of callgrind from step.py in FZ_TEST_CALLGRIND saves them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import unittest
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import executed
from layer import HERE, PYTHONS, ROOT, can_move, environment, ours, run

LIBRARIES = ("libtorch_cpu.so", "libtorch_python.so", "libc10.so")
STEP = HERE / "step.py"
UNWANTED = re.findall(
    r'^FZ_UNWANTED\("([^"]+)"',
    (ROOT / "shim/rewrite/exact.def").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def decoded(library: str, function: str) -> bool:
    """Return whether the layer looks into a function, hash tables apart."""
    if library == "libtorch_cpu.so" and not function.startswith("_Z"):
        return False
    return not any(fnmatchcase(function, p) for p in [*UNWANTED, "*3ska*"])


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
@unittest.skipUnless(shutil.which("valgrind"), "valgrind is missing")
class Executed(unittest.TestCase):
    """The two accounts."""

    def by_callgrind(self, folder: Path) -> dict[str, Counter[str]]:
        """Return operations by library and function."""
        out = Path(os.environ.get("FZ_TEST_CALLGRIND", folder / "callgrind.out"))
        if not out.is_file():
            run(
                ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--demangle=no",
                 f"--callgrind-out-file={out}", PYTHONS["wheel"], STEP],
                environment(OMP_NUM_THREADS="1"),
                timeout=3600,
            )
        result: dict[str, Counter[str]] = {}
        for path, functions in executed.parse(out).items():
            name = Path(path).name
            if name not in LIBRARIES:
                continue
            result[name] = Counter()
            for function, of in executed.count(Path(path), functions).items():
                plain = function.partition("'")[0]  # of recursion
                if decoded(name, plain):
                    result[name][plain] += sum(of.values())
        return result

    def by_us(self, folder: Path) -> dict[str, Counter[str]]:
        """Return the same from the report."""
        report = folder / "report"
        env = ours(FUZZY_MODE="nearest", FUZZY_REPORT=f"{report},operations")
        run([PYTHONS["wheel"], STEP], {**env, "OMP_NUM_THREADS": "1"})
        result: dict[str, Counter[str]] = {}
        for library in json.loads(report.read_text(encoding="utf-8"))["instructions"]:
            name = Path(library["library"]).name
            if name not in LIBRARIES:
                continue
            result[name] = Counter()
            for f in library["functions"][1:]:
                if decoded(name, f["function"]):
                    result[name][f["function"]] += (
                        f["perturbed"] + f["exact"] + f["left"]
                    )
        return result

    def test_step(self) -> None:
        """Both, of one step."""
        with tempfile.TemporaryDirectory() as folder:
            theirs = self.by_callgrind(Path(folder))
            mine = self.by_us(Path(folder))
        self.assertGreater(sum(theirs["libtorch_cpu.so"].values()), 1_000_000)
        for name in theirs:
            with self.subTest(library=name):
                a, b = theirs[name], mine[name]
                apart = sum(abs(a[f] - b[f]) for f in a.keys() | b.keys())
                print(f"{name}: callgrind {a.total()}, we {b.total()}, apart {apart}")
                self.assertLessEqual(apart, 0.01 * a.total())


if __name__ == "__main__":
    unittest.main()
