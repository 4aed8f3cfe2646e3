"""A report on ten samples of 100 MB each: time and memory, part of make check-slow.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import studies
import support

SAMPLES = 10
ELEMENTS = 25_000_000  # of float32: 100 MB
SECONDS = 60.0
GIB = 2.0


def fill(path: Path, tensors: int) -> None:
    """Make a study whose samples have some tensors, 100 MB together."""
    rng = np.random.default_rng(1)
    size = ELEMENTS // tensors
    shape = (size // 250, 250)
    made = studies.MadeStudy(path, SAMPLES)
    base = [rng.uniform(1, 2, shape).astype(np.float32) for _ in range(tensors)]
    for k in range(SAMPLES + 1):
        lines = []
        for i, value in enumerate(base):
            noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(2.0**-18)
            kind = "output" if tensors == 1 else "module"
            name = f"layer.{i}"
            lines.append(
                (
                    {"name": name, "module": name, "type": "Linear", "kind": kind},
                    value * (1 + noise) if k else value,
                )
            )
        made.run(f"sample-{k:04d}" if k else "control-1", lines)


def cpu() -> float:
    """Return the CPU time of all children so far: a shared machine does not change it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Make the studies, report on them, print what it took."""
    failed = 0
    for tensors in (1, 100):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder) / "s", tensors)
            start, before = time.monotonic(), cpu()
            subprocess.run(
                [sys.executable, support.FUZZYRUN, "report", f"{folder}/s"],
                stdout=subprocess.DEVNULL,
                check=True,
            )
            wall, took = time.monotonic() - start, cpu() - before
        # The largest of all children so far: this process makes the data itself.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        good = took < SECONDS and peak < GIB
        failed += not good
        print(
            f"{tensors} tensors of 100 MB together: "
            f"{took:.1f} s of CPU ({wall:.1f} s by the clock), {peak:.2f} GiB"
        )
    print(f"{2 - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
