"""The headline of a report: what cannot be counted is named, and is in neither number.

SPDX-License-Identifier: Apache-2.0

    python3 tests/rewrite/test_coverage.py
"""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from layer import PYTHONS, can_move, ours, run

#: A transform of MKL's, a primitive that is left to oneDNN, NumPy's product, LAPACK, a product.
PROGRAM = """
import sys, torch
x = torch.ones(64, 64)
if "unknown" in sys.argv:
    import numpy
    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    for _ in range(3):
        torch.fft.rfft(x)
    torch.softmax(x.to_mkldnn(), 1)
    torch.linalg.svd(x)
    import ctypes
    ctypes.CDLL(None).mmap(None, 4096, 5, 34, -1, 0)
else:
    torch.mul(x, x)
"""
SCOPE = "blas,lapack,conv,math,inst"


@functools.cache
def report(what: str, **env: str) -> dict:
    """Return the report of a run."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "report.json"
        env = {"FUZZY_REPORT": f"{file},operations", "FUZZY_SCOPE": SCOPE, **env}
        run([PYTHONS["wheel"], "-c", PROGRAM, what], ours(**env))
        return json.loads(file.read_text(encoding="utf-8"))


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Coverage(unittest.TestCase):
    """On the wheel."""

    def test_sum(self) -> None:
        """Calls and instructions add up to the headline, which is rounded down."""
        found = report("known")
        rows = [r["operations"] for r in found["instructions"]]
        cover = found["coverage"]
        calls = found["totals"]["perturbed"]["flops"]
        self.assertEqual(cover["perturbed"], calls + sum(r["perturbed"] for r in rows))
        self.assertEqual(cover["exact"], sum(r["exact"] for r in rows))
        everything = cover["perturbed"] + cover["exact"] + cover["left"]
        self.assertEqual(
            round(cover["percent"] * 1000), cover["perturbed"] * 100000 // everything
        )
        self.assertGreaterEqual(cover["perturbed"], 64 * 64)

    def test_known(self) -> None:
        """A program without anything of the kind has code that was not moved, no more."""
        for row in report("known")["coverage"]["unknown"]:
            self.assertEqual(row["why"], "not moved", row)

    def test_unknown(self) -> None:
        """Transforms, oneDNN's own primitives, LAPACK, code without a file are named."""
        unknown = {r["what"]: r for r in report("unknown")["coverage"]["unknown"]}
        self.assertEqual(unknown["_fft_r2c"]["calls"], 3)
        self.assertEqual(unknown["dnnl_other"]["calls"], 1)
        self.assertGreaterEqual(unknown["generated code"]["bytes"], 4096)
        self.assertGreater(unknown["sgesdd_"]["calls"], 0)
        self.assertGreater(unknown["libtorch_cpu.so"]["sites"], 0)

    def test_not_counted(self) -> None:
        """Without counters, or where nothing is perturbed, there is no percentage."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "report.json"
            run(
                [PYTHONS["wheel"], "-c", PROGRAM, "known"],
                ours(FUZZY_REPORT=str(file), FUZZY_SCOPE=SCOPE),
            )
            found = json.loads(file.read_text(encoding="utf-8"))
        self.assertIsNone(found["coverage"]["percent"])
        self.assertIsNone(report("known", FUZZY_MODE="nearest")["coverage"]["percent"])

    def test_text(self) -> None:
        """On stderr it is the first line, and counted without being asked for."""
        done: subprocess.CompletedProcess[str] = run(
            [PYTHONS["wheel"], "-c", PROGRAM, "known"],
            ours(FUZZY_REPORT="stderr", FUZZY_SCOPE=SCOPE),
        )
        lines = done.stderr.splitlines()
        at = next(i for i, line in enumerate(lines) if "report of process" in line)
        self.assertRegex(lines[at + 1], r"coverage: \d+\.\d{3} % of the \d+ operations")


if __name__ == "__main__":
    unittest.main()
