"""Every BLAS symbol: values against OpenBLAS, illegal arguments, every mode, original absent.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import re
import unittest

import common
from check_exports import ROOT
from common import build_dir, compile_c, run


def program(*flags: str, name: str = "blas_calls") -> str:
    """Compile the program, which finds no BLAS but the preloaded one."""
    return str(
        compile_c(
            "blas_calls.c",
            name,
            "-Wl,--unresolved-symbols=ignore-all",
            "-rdynamic",
            "-ldl",
            "-lm",
            *flags,
        )
    )


class Blas(unittest.TestCase):
    """Behaviour of the Fortran, CBLAS and MKL interfaces."""

    def values(self, **env: str) -> str:
        """Run all routines; return the digest of their results."""
        p = run(
            [program(), "values"],
            check=False,
            FUZZY_LIBS="all",
            FUZZY_VERBOSE="0",
            **env,
        )
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        return p.stdout.split("digest ")[1]

    def test_values(self) -> None:
        """Within the error bound of each routine, in each mode, and each mode other bits."""
        got = {
            m: self.values(FUZZY_MODE=m, FUZZY_SEED="1")
            for m in ("nearest", "sr", "ud", "cestac")
        }
        self.assertEqual(len(set(got.values())), 4, got)
        self.assertEqual(got["sr"], self.values(FUZZY_MODE="sr", FUZZY_SEED="1"))

    def test_passed_through(self) -> None:
        """Where the call is not ours, OpenBLAS serves what it has, our nearest kernel the
        rest, and the values are the same within the bound."""
        path = build_dir() / "blas.json"
        run([program(), "values"], FUZZY_LIBS="none", FUZZY_VERBOSE="0")
        run([program(), "values"], FUZZY_MODE="off")
        # A report needs torch to be mapped: the snippets' library of that name.
        fake = compile_c("fake_torch.c", "blas/libtorch_cpu.so", "-shared", "-fPIC")
        prog = program(
            "-Wl,--no-as-needed",
            str(fake),
            "-Wl,-rpath,$ORIGIN",
            name="blas/with_torch",
        )
        run([prog, "values"], FUZZY_LIBS="none", FUZZY_REPORT=str(path))
        r = json.loads(path.read_text())
        self.assertEqual(r["totals"]["perturbed"]["calls"], 0)
        served = {s["symbol"]: s["original"] for s in r["symbols"]}
        self.assertEqual(served["sgemm_"], "openblas")
        self.assertEqual(served["cblas_sgemm_compute"], "nearest")

    def test_every_symbol_is_called(self) -> None:
        """The report of that program names every symbol of the list."""
        path = build_dir() / "all.json"
        fake = compile_c("fake_torch.c", "blas/libtorch_cpu.so", "-shared", "-fPIC")
        prog = program(
            "-Wl,--no-as-needed",
            str(fake),
            "-Wl,-rpath,$ORIGIN",
            name="blas/with_torch",
        )
        run([prog, "values"], FUZZY_LIBS="all", FUZZY_REPORT=str(path))
        called = {s["symbol"] for s in json.loads(path.read_text())["symbols"]}
        text = re.sub(
            r"/\*.*?\*/", "", (ROOT / "shim/symbols.def").read_text(), flags=re.DOTALL
        )
        listed = set(re.findall(r"^FZ_SYMBOL\((\w+), BLAS", text, flags=re.MULTILINE))
        self.assertEqual(listed - called, set())

    def test_illegal(self) -> None:
        """xerbla gets the reference's parameter number, and nothing is written."""
        p = run(
            [program(), "illegal"], check=False, FUZZY_LIBS="all", FUZZY_VERBOSE="0"
        )
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)


if __name__ == "__main__":
    common.main()
