"""Build of the wheel: the library by the Makefile, beside the Python package.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: What the Makefile builds and the package needs side by side.
BUILT = ("libfuzzytorch.so", "fuzzytorch-plan")


class BuildWithLibrary(build_py):
    """Copies the Python files, then builds the library into the package."""

    def run(self):
        """Run make; a machine without it or gcc gets one line."""
        super().run()
        if getattr(self, "editable_mode", False):
            return  # in the tree, the library is that of build/
        # The folder that `make` fills: what is built there already is taken.
        build = Path(os.environ.get("FUZZYTORCH_BUILD", "build"))
        jobs = len(os.sched_getaffinity(0))
        for program in ("make", os.environ.get("CC", "gcc").split()[0]):
            if shutil.which(program) is None:
                sys.exit(f"libfuzzytorch: building needs {program}, which is not on PATH")
        subprocess.run(
            ["make", f"-j{jobs}", f"B={build}", *(f"{build}/{name}" for name in BUILT)],
            cwd=ROOT,
            check=True,
        )
        build = ROOT / build
        package = Path(self.build_lib) / "fuzzytorch"
        for name in BUILT:
            shutil.copy2(build / name, package / name)
        shutil.copy2(ROOT / "shim" / "fuzzytorch.h", package / "fuzzytorch.h")


class Binary(Distribution):
    """A wheel for this kind of machine."""

    def has_ext_modules(self):
        """There is machine code in it."""
        return True


setup(cmdclass={"build_py": BuildWithLibrary}, distclass=Binary)
