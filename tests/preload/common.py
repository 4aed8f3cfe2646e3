"""What the preload tests share: the library under test, snippet programs, runs.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIB = ""
_BUILD: Path | None = None


def build_dir() -> Path:
    """Return a folder for snippet programs, removed at exit."""
    global _BUILD
    if _BUILD is None:
        _BUILD = Path(tempfile.mkdtemp(prefix="fuzzytorch-preload-"))
        atexit.register(shutil.rmtree, _BUILD, ignore_errors=True)
    return _BUILD


def compile_c(source: str, output: str, *flags: str) -> Path:
    """Compile a snippet; return the path of the program or library."""
    target = build_dir() / output
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        cc = os.environ.get("CC", "gcc").split()
        cmd = [*cc, "-O1", "-std=gnu11", "-Wall", "-o", str(target), str(HERE / source)]
        subprocess.run([*cmd, *flags], check=True)
    return target


def run(
    cmd: list[str],
    *,
    preload: bool = True,
    check: bool = True,
    cwd: str | None = None,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command under the library, with these FUZZY_ variables and no others."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
    full.pop("LD_PRELOAD", None)
    # Spinning threads of a loaded machine would take most of the time.
    full.setdefault("OMP_WAIT_POLICY", "passive")
    # What is tested here; tests/rewrite has the instruction layer.
    full["FUZZY_SCOPE"] = "blas,lapack,conv,math"
    full.update(env)
    if preload:
        full["LD_PRELOAD"] = LIB
    p = subprocess.run(
        cmd, check=False, env=full, capture_output=True, text=True, cwd=cwd, timeout=600
    )
    if check and p.returncode != 0:
        raise AssertionError(
            f"{cmd} ended with {p.returncode}:\n{p.stdout}\n{p.stderr}"
        )
    return p


def main() -> None:
    """Parse --lib, run the tests of the calling script."""
    global LIB
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--lib", default=str(HERE.parents[1] / "build/libfuzzytorch.so")
    )
    args, rest = parser.parse_known_args()
    LIB = str(Path(args.lib).resolve())
    if not Path(LIB).is_file():
        sys.exit(f"{LIB} is not there: run make first")
    # The test module imported us as `common`; share the library with it.
    sys.modules["common"].LIB = LIB
    unittest.main(argv=[sys.argv[0], *rest], verbosity=1)
