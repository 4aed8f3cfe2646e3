"""oneDNN's primitives under the library, in the torch of the interpreter that runs this.

SPDX-License-Identifier: Apache-2.0

The rows of shim/symbols_onednn.def are counted here.
"""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "preload"))

import common
from common import build_dir, run

STEPS = str(HERE / "steps.py")


def step(what: str, **env: str) -> tuple[dict[str, str], dict]:
    """Run steps.py under the library; return its lines by name, and the report."""
    path = build_dir() / f"onednn-{what}.json"
    env = {"FUZZY_VERBOSE": "0", "FUZZY_SEED": "1", "FUZZY_REPORT": str(path), **env}
    out = run([sys.executable, STEPS, what], **env).stdout
    return dict(line.split(" ", 1) for line in out.splitlines()), json.loads(
        path.read_text()
    )


def rows(report: dict) -> dict[str, dict]:
    """Return oneDNN's rows of a report by symbol."""
    return {s["symbol"]: s for s in report["symbols"] if s["symbol"].startswith("dnnl")}


class Native(unittest.TestCase):
    """What is left to oneDNN is oneDNN's."""

    def test_scope_without_conv(self) -> None:
        """Without conv in scope convolutions are native, bit for bit, and counted."""
        out = run([sys.executable, STEPS, "resnet"], preload=False).stdout
        native = dict(line.split(" ", 1) for line in out.splitlines())
        got, report = step("resnet", FUZZY_SCOPE="lapack")
        self.assertEqual(got, native)
        row = rows(report)["dnnl_convolution"]
        self.assertEqual(row["perturbed"]["calls"], 0)
        self.assertGreaterEqual(row["passed"]["calls"], 14)
        self.assertEqual(row["why"], {"scope": row["passed"]["calls"]})

    def test_named(self) -> None:
        """The report has the version that torch has, and the way to it."""
        _, report = step("resnet", FUZZY_SCOPE="lapack")
        self.assertRegex(report["onednn"]["version"], r"^(2\.6|3\.12)\.\d+$")
        self.assertEqual(report["onednn"]["route"], "primitives")


if __name__ == "__main__":
    common.main()
