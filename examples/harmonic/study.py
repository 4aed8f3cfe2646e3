"""Sums with known results in all modes: the C program, and PyTorch's own.

SPDX-License-Identifier: Apache-2.0

    python examples/harmonic/study.py [-n N] [--results FILE]
"""

from __future__ import annotations

import argparse
import copy
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import studies

N = 10_000_000
FLAGS = "-O2 -march=native"
LIBS = {"FUZZY_SCOPE": "inst", "FUZZY_LIBS": "*/sums"}
NAMES = ("plain", "pairwise", "kahan", "dot")
EULER = 0.57721566490153286
#: Least samples of the harmonic sum where the law says its spread.
MANY = 200


def predicted(n: int) -> dict[str, float]:
    """Return mean and variance of the harmonic sum as the laws of sr and ud have them.

    sr takes a remainder f of an ulp up with probability f, ud goes an ulp up or down: their
    variances are f(1-f) and 1 ulp^2 an addition. The ulp is that of the sum, which follows
    the exact one under sr and the native one under ud.
    """
    import numpy as np

    terms = 1 / np.arange(1, n + 1, dtype=np.float64)
    plain = np.cumsum(terms.astype(np.float32), dtype=np.float32)
    ud = 2.0 ** (np.floor(np.log2(plain.astype(np.float64))) - 23)
    unit = 2.0 ** (np.floor(np.log2(np.cumsum(terms))) - 23)
    part = np.mod(terms, unit) / unit
    return {
        "exact": math.log(n) + EULER + 1 / (2 * n) - 1 / (12 * n**2),
        "sr_sd": float(np.sqrt((part * (1 - part) * unit**2).sum())),
        "ud_sd": float(np.sqrt((ud**2).sum())),
    }


def row(found: dict[str, Any], exact: float) -> dict[str, Any]:
    """Return what results.json keeps of one number."""
    return {
        "mean": found["mean"],
        "sd": found["sd"],
        "native": found["native"],
        "exact": studies.digits(exact, 9),
        "bits": found["bits"],
    }


def interval(sd: float, n: int) -> list[float]:
    """Return the 95 % interval of a standard deviation: a sum of many is normal."""
    from scipy.stats import chi2

    ends = ((n - 1) / chi2.ppf(q, n - 1) for q in (0.975, 0.025))
    return [studies.digits(sd * math.sqrt(x)) for x in ends]


def program(options: argparse.Namespace, folder: Path, binary: Path) -> dict[str, Any]:
    """Sample the C program: harmonic sum, sums and dot product with cancellation."""
    found: dict[str, Any] = {}
    exact = {"harmonic": predicted(N)["exact"]}
    for name in NAMES:
        text = subprocess.run(
            [binary, name], capture_output=True, text=True, check=True
        )
        exact[name] = float(text.stdout.split()[3])
    for name in ("harmonic", *NAMES):
        for mode in options.modes.split(","):
            place = folder / f"{name}-{mode}"
            more = copy.copy(options)
            if name == "harmonic" and mode in ("sr", "ud"):
                more.n = max(options.n, MANY)
            report = studies.sample(
                more, place, mode, [str(binary), name], "--libs", binary.name
            )
            one = row(studies.numbers(report)[name], exact[name])
            if name == "harmonic":
                one.update(samples=more.n, sd_interval=interval(one["sd"], more.n))
            found.setdefault(name, {})[mode] = one
    return found


def torch_sums(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Sample PyTorch's sum, cumsum, dot and matrix-vector product."""
    command = [sys.executable, str(HERE / "sums.py")]
    text = subprocess.run(
        [*command, "--exact"], capture_output=True, text=True, check=True
    ).stdout
    exact = {k: float(v) for k, v in (line.split() for line in text.splitlines())}
    found: dict[str, Any] = {}
    for mode in options.modes.split(","):
        report = studies.sample(options, folder / f"torch-{mode}", mode, command)
        taken = studies.numbers(report)
        for name, value in exact.items():
            found.setdefault(name, {})[mode] = row(taken[name], value)
    return found


def samples(options: argparse.Namespace, folder: Path, binary: Path) -> dict[str, Any]:
    """Sample all sums."""
    clock = studies.Clock()
    result: dict[str, Any] = {
        "study": "harmonic",
        "command": options.command,
        "machine": studies.machine(),
        "samples": options.n,
        "flags": FLAGS,
        "law": {k: studies.digits(v, 9) for k, v in predicted(N).items()},
        "program": program(options, folder, binary),
        "torch": torch_sums(options, folder),
    }
    result["coverage"] = studies.coverage(options, [str(binary), "harmonic"], LIBS)
    result["torch_coverage"] = studies.coverage(
        options, [sys.executable, str(HERE / "sums.py")]
    )
    result["minutes"] = clock.minutes()
    return result


def main() -> None:
    """Compile, sample, write."""
    options = studies.parsed(studies.arguments(__doc__.splitlines()[0], 20))
    path = options.results or HERE / "results.json"
    with studies.Folder(options) as folder:
        binary = folder / "sums"
        source = str(HERE / "sums.c")
        subprocess.run(["gcc", *FLAGS.split(), "-o", str(binary), source], check=True)
        result = studies.kept(options, path) or samples(options, folder, binary)
        if options.rounds:
            result["time"] = studies.times(
                options, [str(binary), "harmonic"], more=LIBS
            )
            result["time"]["command"] = "sums harmonic"
    studies.write(path, result)


if __name__ == "__main__":
    main()
