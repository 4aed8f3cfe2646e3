"""pip install . into a fresh environment: library, package, fuzzyrun; and what is missing.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from common import LIBRARY, ROOT, StudyCase, clean

PARTS = ("prism", "kernels", "shim", "python", "scripts")
FILES = ("Makefile", "targets.mk", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md")


class Install(StudyCase):
    """As a user installs it."""

    def test_install(self) -> None:
        """The installed fuzzyrun finds the installed library, and nothing of the tree."""
        tree, venv = self.folder / "tree", self.folder / "venv"
        tree.mkdir()
        for name in PARTS:
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
        for name in FILES:
            shutil.copy2(ROOT / name, tree / name)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        env = clean()
        # What make has built is taken: only the packaging is tested.
        env["FUZZYTORCH_BUILD"] = str(Path(LIBRARY).parent)
        done = subprocess.run(
            [venv / "bin/pip", "install", "--quiet", "--no-deps", tree],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        shutil.rmtree(tree)
        package = next(venv.glob("lib/python*/site-packages/fuzzytorch"))
        self.assertTrue((package / "libfuzzytorch.so").exists())
        self.assertTrue((package / "fuzzytorch.h").exists())
        self.assertTrue(os.access(package / "fuzzytorch-plan", os.X_OK))
        inject = {p.name for p in (package / "inject").iterdir()} - {"__pycache__"}
        self.assertEqual(inject, {"sitecustomize.py"})

        def run(*words: object) -> str:
            return subprocess.run(
                [str(w) for w in words],
                cwd=self.folder,
                env=env,
                capture_output=True,
                text=True,
                check=True,
            ).stdout

        fuzzyrun = venv / "bin/fuzzyrun"
        self.assertIn("fuzzyrun 0.", run(fuzzyrun, "--version"))
        maps = run(fuzzyrun, "cat", "/proc/self/maps")
        self.assertIn(f"{package}/libfuzzytorch.so", maps)
        code = "import fuzzytorch as f; print(f.available(), f.get_rounding_mode())"
        text = run(fuzzyrun, "-m", "cestac", venv / "bin/python", "-c", code)
        self.assertEqual(text, "True cestac\n")
        # The Python with torch, which knows nothing of the installed package, records.
        self.script(
            "import torch\ntorch.manual_seed(0)\n"
            "print(torch.nn.Linear(9, 9)(torch.ones(1, 9)).sum().item())\n"
        )
        words = ["-n", 2, "-s", 1, "-o", "d", "--record", "outputs", "--"]
        run(fuzzyrun, *words, sys.executable, "script.py")
        self.assertEqual(len(self.index("d/sample-0001/record")), 2)

    def test_without_make(self) -> None:
        """A machine without a compiler gets one line."""
        tree = self.folder / "tree"
        shutil.copytree(ROOT / "python", tree / "python")
        for name in FILES:
            shutil.copy2(ROOT / name, tree / name)
        (self.folder / "bin").mkdir()
        os.symlink(sys.executable, self.folder / "bin/python")
        code = (
            "import sys; sys.argv[1:] = ['build_py', '--build-lib', 'out']; "
            "exec(open('setup.py').read(), {'__file__': 'setup.py', "
            "'__name__': '__main__'})"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tree,
            env={**clean(), "PATH": str(self.folder / "bin")},
            capture_output=True,
            text=True,
            check=False,
        )
        if "No module named 'setuptools'" in done.stderr:
            self.skipTest("this Python has no setuptools")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("building needs make, which is not on PATH", done.stderr)


if __name__ == "__main__":
    unittest.main()
