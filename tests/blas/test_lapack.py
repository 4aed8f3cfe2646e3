"""LAPACK called by torch: residuals, bad input, and what happens without liblapack3.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = str(ROOT / "build/libfuzzytorch.so")
PYTHONS = {
    "wheel": os.environ.get("PY_WHEEL", ".venv/bin/python"),
    "Debian": os.environ.get("PY_DEBIAN", "/usr/bin/python3"),
}

#: LAPACK's test programs judge n*eps with LAPACK's eps, half of torch's.
THRESHOLD = 15

#: MKL finds NaN and Inf that the reference does not look for: QR leaves Q as it is computed,
#: potrf asks for a pivot <= 0 or NaN.
MKL_DIFFERS = {"qr of NaN", "qr of Inf", "cholesky of Inf"}


def run(
    command: list[str], preload: str = "", **env: str
) -> subprocess.CompletedProcess:
    """Run under the library (and another one behind it)."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
    full["FUZZY_SCOPE"] = "blas,lapack,conv,math"
    full.update(env, LD_PRELOAD=f"{LIB} {preload}".strip(), FUZZY_SEED="3")
    return subprocess.run(
        command, env=full, capture_output=True, text=True, timeout=600, check=False
    )


@functools.cache
def linalg(which: str, mode: str) -> tuple[dict, dict, dict]:
    """Residuals, outcomes of bad input, and calls by symbol."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        p = run(
            [PYTHONS[which], str(ROOT / "tests/blas/linalg.py")],
            FUZZY_MODE=mode,
            FUZZY_REPORT=str(report),
        )
        if p.returncode:
            raise AssertionError(p.stderr)
        result = json.loads(p.stdout)
        table = json.loads(report.read_text()) if report.exists() else {"symbols": []}
    return (
        result["residuals"],
        result["bad"],
        {s["symbol"]: s for s in table["symbols"]},
    )


class Lapack(unittest.TestCase):
    """torch.linalg with reference LAPACK on our BLAS."""

    def test_residuals(self) -> None:
        """All within LAPACK's own threshold, in nearest and in sr, and sr differs."""
        for which in PYTHONS:
            for mode in ("nearest", "sr"):
                with self.subTest(torch=which, mode=mode):
                    values = linalg(which, mode)[0]
                    self.assertGreater(len(values), 200)
                    bad = {k: v for k, v in values.items() if not v < THRESHOLD}
                    self.assertEqual(bad, {})
            self.assertNotEqual(linalg(which, "sr")[0], linalg(which, "nearest")[0])

    def test_bad_input(self) -> None:
        """Singular, indefinite, NaN and Inf end as they do without the library."""
        for which in PYTHONS:
            native = linalg(which, "off")[1]
            for mode in ("nearest", "sr"):
                with self.subTest(torch=which, mode=mode):
                    now = linalg(which, mode)[1]
                    differs = {k for k in native if native[k] != now[k]}
                    if which == "wheel":
                        differs -= MKL_DIFFERS
                    self.assertEqual(differs, set())

    def test_every_symbol_is_called(self) -> None:
        """Every LAPACK symbol of the list, by one torch or the other, and its BLAS."""
        text = (ROOT / "shim/symbols_lapack.def").read_text()
        listed = set(re.findall(r"^FZ_SYMBOL\((\w+),", text, flags=re.MULTILINE))
        called: set[str] = set()
        for which in PYTHONS:
            symbols = linalg(which, "sr")[2]
            called |= set(symbols)
            for name, s in symbols.items():
                if name in listed:
                    self.assertEqual(s["passed"]["calls"], 0, name)
            for name in ("dtrmm_", "dsyrk_", "dnrm2_", "zgerc_", "strmv_"):
                self.assertGreater(symbols[name]["perturbed"]["calls"], 0, name)
        self.assertEqual(listed - called, set())

    def test_scope(self) -> None:
        """lapack alone: what it calls is perturbed; blas alone: it is torch's own."""
        code = (
            "import torch; torch.linalg.cholesky(torch.eye(300) * 2); "
            "torch.eye(64) @ torch.eye(64)"
        )
        for scope, inner, outer in (("lapack", True, False), ("blas", False, True)):
            with tempfile.TemporaryDirectory() as folder:
                report = Path(folder) / "report.json"
                p = run(
                    [PYTHONS["wheel"], "-c", code],
                    FUZZY_SCOPE=scope,
                    FUZZY_REPORT=str(report),
                )
                self.assertEqual(p.returncode, 0, p.stderr)
                symbols = {
                    s["symbol"]: s for s in json.loads(report.read_text())["symbols"]
                }
            self.assertEqual("ssyrk_" in symbols, inner)
            # one product is torch's own
            passed = symbols["sgemm_"]["passed"]["calls"]
            self.assertEqual(passed, 0 if outer else 1)
            lapack = symbols["spotrf_"]
            self.assertEqual(lapack["perturbed"]["calls"], 1 if inner else 0)

    def test_absent(self) -> None:
        """Without liblapack3: named once, native and counted so."""
        source = (
            "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <string.h>\n"
            "void *dlopen(const char *n, int f) {\n"
            '  if (n && strstr(n, "liblapack.so.3")) return 0;\n'
            '  void *(*next)(const char *, int) = dlsym(RTLD_NEXT, "dlopen");\n'
            "  return next(n, f); }\n"
        )
        code = (
            "import torch; a = torch.ones(9, 9) + torch.eye(9); "
            + "torch.linalg.cholesky(a); " * 2
        )
        with tempfile.TemporaryDirectory() as folder:
            c = Path(folder) / "hide.c"
            hide = Path(folder) / "hide.so"
            c.write_text(source)
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", hide, c], check=True)
            report = Path(folder) / "report.json"
            p = run([PYTHONS["wheel"], "-c", code], str(hide), FUZZY_REPORT=str(report))
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(p.stderr.count("install liblapack3"), 1, p.stderr)
            symbols = {
                s["symbol"]: s for s in json.loads(report.read_text())["symbols"]
            }
        potrf = symbols["spotrf_"]
        self.assertEqual(potrf["perturbed"]["calls"], 0)
        self.assertEqual(potrf["why"], {"no_liblapack3": 2})

    def test_illegal_argument(self) -> None:
        """info says which, one line too, and the process goes on."""
        code = (
            "import ctypes as c\nf = c.CDLL(None).dgetrf_\nm, n, i = c.c_int(-1), c.c_int(2), c.c_int(7)\n"
            "f(c.byref(m), c.byref(n), None, c.byref(n), None, c.byref(i))\nprint(i.value)\n"
        )
        p = run([sys.executable, "-c", code], FUZZY_LIBS="all")
        self.assertEqual((p.returncode, p.stdout), (0, "-1\n"), p.stderr)
        self.assertIn("parameter 1 of DGETRF", p.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lib", default=LIB)
    args, rest = parser.parse_known_args()
    LIB = str(Path(args.lib).resolve())
    unittest.main(argv=[sys.argv[0], *rest])
