"""What the tests of the instruction layer share: runs under it, plans, programs.

SPDX-License-Identifier: Apache-2.0

Plans are kept in one folder of the build, so that a suite makes each of them once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = Path(os.environ.get("FZ_TEST_BUILD", str(ROOT / "build"))).resolve()
LIB = BUILD / "libfuzzytorch.so"
CACHE = BUILD / "tests/rewrite/cache"
PYTHONS = {
    "wheel": os.environ.get("PY_WHEEL", str(ROOT / ".venv/bin/python")),
    "debian": os.environ.get("PY_DEBIAN", "/usr/bin/python3"),
}

#: Variants of moved code, by the variable that tests have for it.
IDENTITY = {"FUZZY_MODE": "nearest"}
TRAPS = {"FUZZYTORCH_PLAN_TRAP": "1"}
#: The code of sr, with the word that makes it round to nearest.
SR_TO_NEAREST = {"FUZZY_MODE": "sr", "FUZZYTORCH_PLAN_VARIANT": "5"}
#: The definition in C, at every site.
DEFINITION = {"FUZZY_MODE": "nearest", "FUZZYTORCH_PLAN_VARIANT": "3"}

#: Lines that say nothing about what is tested.
QUIET = ("but nothing was perturbed in process",)


def environment(**env: str) -> dict[str, str]:
    """Return this environment without anything fuzzy, and with `env`."""
    full = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("FUZZY", "LD_PRELOAD", "MAKE", "MFLAGS", "ATEN_", "TORCHINDUCTOR"))
    }
    # What the layer sets where the CPU has AVX-512: native runs are compared with it.
    full["ATEN_CPU_CAPABILITY"] = "avx2"
    full["OMP_WAIT_POLICY"] = "passive"
    full.update(env)
    return full


def ours(**env: str) -> dict[str, str]:
    """Return the environment of a run under the layer alone."""
    CACHE.mkdir(parents=True, exist_ok=True)
    fuzzy = {
        "LD_PRELOAD": str(LIB),
        "FUZZY_SCOPE": "inst",
        "FUZZY_MODE": "sr",
        "FUZZY_SEED": "1",
        "FUZZY_VERBOSE": "0",
        "FUZZY_CACHE": str(CACHE),
        "FUZZY_CACHE_SIZE": "0",
    }
    return environment(**{**fuzzy, **env})


def run(
    command: list[object],
    env: dict[str, str],
    *,
    check: bool = True,
    timeout: int = 600,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    done = subprocess.run(
        [str(c) for c in command],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n"
            f"{done.stderr[-2000:]}"
        )
    return done


def said(stderr: str) -> list[str]:
    """Return our lines on stderr that say something."""
    return [
        line
        for line in stderr.splitlines()
        if line.startswith("libfuzzytorch") and not any(q in line for q in QUIET)
    ]


def can_move() -> bool:
    """Return whether this CPU runs the layer."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return {"avx2", "fma", "aes"} <= flags


def has_avx512() -> bool:
    """Return whether code in line is written with EVEX on this CPU."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    need = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "vaes"}
    return can_move() and need <= flags


if not LIB.is_file():
    sys.exit(f"{LIB} is not there: run make first")
