"""fuzzyrun prepare: make the plans of moved code before they are needed.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import launch, plans
from .errors import FuzzyError

USAGE = """\
usage: fuzzyrun prepare [--libs PATTERNS] [--modes MODE,...] [--] [COMMAND...]

Makes the plans of the instruction layer ahead, for modes sr and ud, so that the first run
does not wait for them. COMMAND is a Python interpreter (default: python3), which imports
torch and ends, or a program, which ends before its main function: of a program's libraries,
those that it is linked with.
"""


def _words(argv: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    words, libs, modes = list(argv), None, "sr,ud"
    while words and words[0].startswith("-"):
        option, _, value = words.pop(0).partition("=")
        if option == "--":
            break
        if option not in ("--libs", "--modes"):
            raise FuzzyError(f"prepare: {option!r} is not an option (prepare --help)")
        if not value and not words:
            raise FuzzyError(f"prepare: {option} needs a value")
        value = value or words.pop(0)
        if option == "--libs":
            libs = value
        else:
            modes = value
    return words, libs, [launch.check_mode(m) for m in modes.split(",")]


def main(argv: Sequence[str]) -> int:
    """Run `fuzzyrun prepare`; return the exit status."""
    if list(argv) in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    command, libs, modes = _words(argv)
    command = command or ["python3"]
    python = Path(command[0]).name.startswith("python") and len(command) == 1
    env = dict(os.environ)
    launch.choose_libraries(libs or (None if python else "all"), env)
    launch.preload(env, launch.find_library())
    env.setdefault("FUZZY_VERBOSE", "0")
    for name in ("FUZZY_REPORT", "FUZZY_SEED"):
        env.pop(name, None)
    program = launch.find_command(command)
    if launch.is_static(program):
        raise FuzzyError(f"{program} is statically linked: it cannot be perturbed", 1)
    if python:
        command = [*command, "-c", "import torch"]
    else:
        env["FUZZYTORCH_PLAN_ONLY"] = "1"
    for mode in modes:
        start, before = time.monotonic(), {p.path for p in plans.plans(plans.folder())}
        env["FUZZY_MODE"] = mode
        done = subprocess.run(
            [program, *command[1:]], env=env, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            raise FuzzyError(f"{command[0]} ended with status {done.returncode}", 1)
        new = sum(p.path not in before for p in plans.plans(plans.folder()))
        print(f"{mode}: {new} new plans, {time.monotonic() - start:.1f} s")
        sys.stdout.flush()
    return 0
