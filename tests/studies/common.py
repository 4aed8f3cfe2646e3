"""What the tests of studies share: the library under test, scripts, runs, records.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "python"
INJECT = PYTHON / "fuzzytorch" / "inject"
LIBRARY = os.environ.get("FUZZYTORCH_TESTED", str(ROOT / "build/libfuzzytorch.so"))
sys.path.insert(0, str(PYTHON))


def clean() -> dict[str, str]:
    """Return the environment without anything fuzzy."""
    unwanted = ("FUZZY", "LD_PRELOAD", "PYTHONPATH", "OMP_", "MAKE", "MFLAGS", "RANK")
    env = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    # Two cores are shared by all tests: spinning threads would take most of the time.
    return {**env, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}


class StudyCase(unittest.TestCase):
    """A test in a scratch folder."""

    def setUp(self) -> None:
        """Make the folder."""
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name).resolve()
        self.env = {**clean(), "FUZZYRUN_LIB": LIBRARY}

    def script(self, text: str, name: str = "script.py") -> Path:
        """Write a Python script into the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def run_python(
        self, *words: object, record: str | None = None, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run this Python under the library; `record` as FUZZY_RECORD has it."""
        full = {**self.env, "LD_PRELOAD": LIBRARY, "FUZZY_VERBOSE": "0", **env}
        if record is not None:
            full["FUZZY_RECORD"] = record
            full["PYTHONPATH"] = os.pathsep.join(
                [str(INJECT), *filter(None, [env.get("PYTHONPATH")])]
            )
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.folder,
            env=full,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check:
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def fuzzyrun(
        self, *words: object, status: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run fuzzyrun with this Python."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "fuzzyrun"), *map(str, words)],
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def index(self, folder: str = "record") -> list[dict[str, Any]]:
        """Return the lines of a record."""
        text = (self.folder / folder / "index.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def status(self, folder: str) -> dict[str, Any]:
        """Return status.json of a run."""
        return json.loads((self.folder / folder / "status.json").read_text("utf-8"))
