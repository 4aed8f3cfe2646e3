"""Train on the digits natively and under stochastic rounding, and compare.

SPDX-License-Identifier: Apache-2.0

    demo.py [-n N] [-m MODE] [-j JOBS] [-o DIR]

What it runs is: fuzzyrun -n N -- python examples/digits/train.py
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "python"))

from fuzzytorch import statistics, summary
from fuzzytorch.store import Run, Store


def printed(run: Run, name: str) -> float:
    """Return the number that a run printed behind a name."""
    found = re.search(rf"^{name}: (\S+)$", run.text(), re.MULTILINE)
    if found is None:
        sys.exit(f"demo: no line {name!r} in {run.folder}/stdout")
    return float(found[1])


def row(name: str, run: Run, native: float | None) -> list[str]:
    """Return a row of the table of runs."""
    wall = run.status["wall_seconds"]
    return [
        name,
        f"{printed(run, 'test accuracy'):.4f}",
        f"{printed(run, 'test loss'):.9g}",
        f"{wall:.2f}",
        f"{wall / native:.1f}" if native else "",
    ]


def show(controls: list[Run], samples: list[Run], mode: str) -> None:
    """Print the table and what it says about the digits."""
    native = median(run.status["wall_seconds"] for run in controls)
    rows = [["run", "accuracy", "test loss", "seconds", "x native"]]
    rows += [row(f"native {i}", run, native) for i, run in enumerate(controls, 1)]
    rows += [
        row(f"{mode} {i}, seed {run.status['seed']}", run, native)
        for i, run in enumerate(samples, 1)
    ]
    print("\n".join(summary.table(rows)))
    wall = median(run.status["wall_seconds"] for run in samples)
    print(
        f"time: {wall:.2f} s a sample, {wall / native:.1f} times a native run "
        f"(medians, start of Python included)\n"
    )
    if len(samples) < 2:
        print("two samples at least are needed for digits")
        return
    rows = [["quantity", "mean", "sd", "significant digits"]]
    for name in ("test accuracy", "test loss"):
        estimate = statistics.significant([printed(run, name) for run in samples])
        rows.append(
            [
                name,
                f"{estimate.mean:.9g}",
                f"{estimate.sd:.2g}",
                summary.digits_text(estimate),
            ]
        )
    print("\n".join(summary.table(rows)))
    print(summary.ceiling_line(len(samples)))


def main() -> int:
    """Sample, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=5, help="samples (default 5)")
    parser.add_argument("-m", default="sr", help="rounding mode (default sr)")
    parser.add_argument("-s", default="1", help="first seed (default 1)")
    parser.add_argument("-j", type=int, default=1, help="samples at a time (default 1)")
    parser.add_argument("-o", help="keep the samples in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzzy-demo-") as scratch:
        folder = Path(options.o or f"{scratch}/samples")
        command = [
            sys.executable,
            str(ROOT / "fuzzyrun"),
            "-n",
            str(options.n),
            "-m",
            options.m,
            "-s",
            options.s,
            "-j",
            str(options.j),
            "-o",
            str(folder),
            "--",
            sys.executable,
            str(HERE / "train.py"),
        ]
        print(
            "demo: a small CNN learns handwritten digits, plainly and with random rounding"
        )
        print(f"demo: fuzzyrun {' '.join(command[2:])}", flush=True)
        status = subprocess.run(
            command, stdout=subprocess.DEVNULL, check=False
        ).returncode
        store = Store(folder)
        samples = [run for run in store.runs() if run.ok][: options.n]
        controls = [run for run in store.runs(control=True) if run.ok]
        if not (samples and controls):
            return status or 1
        print()
        show(controls, samples, options.m)
        return status


if __name__ == "__main__":
    sys.exit(main())
