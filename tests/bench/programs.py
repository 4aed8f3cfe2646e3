"""Time plain C and Fortran programs under the instruction layer against themselves.

SPDX-License-Identifier: Apache-2.0

    python3 tests/bench/programs.py BUILD [REPEATS] [RESULT.json]

Each row: one program, compiled with -O2 -march=native; native, sr and ud run in
turn, and the ratio of medians of the time that the program itself took.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = os.environ.get("FZ_BENCH_FLAGS", "-O2 -march=native").split()
#: Program, arguments; loops run long enough that the clock and the start do not show.
ROWS = [
    ("loops", ("dot", "4000")),
    ("loops", ("axpy", "8000")),
    ("loops", ("stencil", "8000")),
    ("cg-c", ("64",)),
    ("fft-c", ("W",)),
    ("lu-c", ("W",)),
    ("mg-c", ("W",)),
    ("cg-f", ("64",)),
    ("fft-f", ("W",)),
    ("lu-f", ("W",)),
    ("mg-f", ("W",)),
]
MODES = ("native", "sr", "ud")


def build(folder: Path, precision: str) -> Path:
    """Compile the programs of a precision; return their folder."""
    out = folder / precision
    subprocess.run(
        [
            "make", "-s", f"B={out}", f"FLAGS={' '.join(FLAGS)}",
            *(["F32=1"] if precision == "f32" else []),
        ],
        cwd=ROOT / "examples" / "nas",
        check=True,
    )  # fmt: skip
    real = ["-DREAL=float"] if precision == "f32" else []
    subprocess.run(
        [
            "gcc", *FLAGS, *real, "-o", out / "loops",
            ROOT / "tests" / "bench" / "loops.c",
        ],
        check=True,
    )  # fmt: skip
    return out


def seconds(path: Path, arguments: tuple[str, ...], mode: str, library: str) -> float:
    """Run a program; return the time that it took between its start and its end."""
    env = dict(os.environ)
    if mode != "native":
        env.update(
            LD_PRELOAD=library,
            FUZZY_MODE=mode,
            FUZZY_SEED="1",
            FUZZY_SCOPE="inst",
            FUZZY_LIBS=f"*/{path.name}",
            FUZZY_VERBOSE="0",
        )
    done = subprocess.run(
        [path, *arguments], env=env, capture_output=True, text=True, check=True
    )
    words = done.stderr.split()
    return float(words[words.index("seconds") + 1])


def main() -> int:
    """Print the table."""
    library = str(Path(sys.argv[1]).resolve() / "libfuzzytorch.so")
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    result = []
    print(f"  {'program':<22}{'native ms':>11}{'sr':>8}{'ud':>8}")
    with tempfile.TemporaryDirectory(prefix="fuzzy-bench-") as name:
        for precision in ("f32", "f64"):
            folder = build(Path(name), precision)
            for program, arguments in ROWS:
                path = folder / program
                times: dict[str, list[float]] = {mode: [] for mode in MODES}
                for mode in MODES:  # the first run of a mode makes its plan
                    seconds(path, arguments, mode, library)
                for _ in range(repeats):
                    for mode in MODES:
                        times[mode].append(seconds(path, arguments, mode, library))
                median = {mode: statistics.median(times[mode]) for mode in MODES}
                label = f"{precision} {program} {arguments[0]}"
                row = {
                    "program": label,
                    "seconds": median,
                    "ratio": {m: median[m] / median["native"] for m in MODES[1:]},
                }
                result.append(row)
                ratio = row["ratio"]
                print(
                    f"  {label:<22}{1e3 * median['native']:>11.2f}"
                    f"{ratio['sr']:>8.2f}{ratio['ud']:>8.2f}",
                    flush=True,
                )
            mine = [r for r in result if r["program"].startswith(precision)]
            for mode in MODES[1:]:
                mean = math.exp(
                    statistics.fmean(math.log(r["ratio"][mode]) for r in mine)
                )
                print(f"  {precision} {mode}: geometric mean {mean:.2f}")
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
