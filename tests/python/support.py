"""What the tests of fuzzyrun share: a scratch folder, and a library that only pretends.

SPDX-License-Identifier: Apache-2.0

The pretended library does what fuzzyrun can see of the real one: it can be preloaded, and
where FUZZY_MODE is not off it writes a report with one perturbed call.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUZZYRUN = str(ROOT / "fuzzyrun")
sys.path.insert(0, str(ROOT / "python"))

#: Prints a number that depends on the seed as a rounding error would, and keeps a file.
NOISY = """\
import os, random
mode, seed = os.environ["FUZZY_MODE"], os.environ["FUZZY_SEED"]
noise = 0.0 if mode == "off" else random.Random(seed).gauss(0, 1e-6)
print(f"epoch 1 loss: {0.125 + noise:.9f}, accuracy: 0.975")
with open(os.environ["FUZZY_SAMPLE_DIR"] + "/seed.txt", "w") as file:
    file.write(seed if mode != "off" else "none")
"""

#: Appends its sample's number to a file when it starts.
COUNTED = """\
import os
with open("started", "a") as file:
    file.write(os.environ["FUZZY_SAMPLE"] + "\\n")
"""

_PRETENDED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int fuzzy_pretended;
__attribute__((constructor)) static void begin(void)
{
    const char *mode = getenv("FUZZY_MODE"), *path = getenv("FUZZY_REPORT");
    FILE *file;
    if (!mode || !strcmp(mode, "off") || !path || getenv("PRETEND_NOTHING"))
        return;
    file = fopen(path, "w");
    if (file) {
        fputs("{\"totals\": {\"perturbed\": {\"calls\": 1}}}\n", file);
        fclose(file);
    }
}
"""

_built: list[Path] = []


def library() -> Path:
    """Return the pretended library, built at the first call."""
    if not _built:
        folder = Path(tempfile.mkdtemp(prefix="fuzzyrun-tests-"))
        atexit.register(shutil.rmtree, folder, True)
        (folder / "pretended.c").write_text(_PRETENDED, encoding="utf-8")
        subprocess.run(
            [
                "gcc",
                "-shared",
                "-fPIC",
                "-o",
                folder / "libfuzzytorch.so",
                folder / "pretended.c",
            ],
            check=True,
        )
        _built.append(folder / "libfuzzytorch.so")
    return _built[0]


class FuzzyrunCase(unittest.TestCase):
    """A test that runs fuzzyrun in a scratch folder."""

    def setUp(self) -> None:
        """Make the folder and an environment without anything fuzzy."""
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name).resolve()
        unwanted = (
            "FUZZY",
            "LD_PRELOAD",
            "OMP_NUM_THREADS",
            "PYTHONHASHSEED",
            "MAKE",
            "MFLAGS",
        )
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.env["FUZZYRUN_LIB"] = str(library())

    def script(self, text: str, name: str = "script.py") -> Path:
        """Write a Python script into the scratch folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def fuzzyrun(
        self, *arguments: object, program: str = FUZZYRUN, **env: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run fuzzyrun to its end; `env` adds to the environment, None takes away."""
        full = {k: v for k, v in {**self.env, **env}.items() if v is not None}
        return subprocess.run(
            [program, *map(str, arguments)],
            cwd=self.folder,
            env=full,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def assert_error(
        self, done: subprocess.CompletedProcess[str], status: int, *words: str
    ) -> None:
        """Assert that a run ended with one line on stderr that holds some words."""
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("fuzzyrun: "), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def status(self, folder: str) -> dict[str, object]:
        """Return status.json of a run below the scratch folder."""
        path = self.folder / folder / "status.json"
        return json.loads(path.read_text(encoding="utf-8"))
