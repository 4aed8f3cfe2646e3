"""Convolutions and recurrent layers of torch against oneDNN's own, and brain extraction.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/bench/onednn.py full|quick BUILD [PART]

Rows as in bench.py, in turns with native oneDNN: processor time with one thread, wall time
with two. Then a 3-d U-Net as brain extraction has it, on one volume, each time in a fresh
process: wall time and peak memory. PART (rows, brain): only that. Writes BUILD/onednn.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import bench
import cases

HERE = Path(__file__).resolve().parent


def conv(
    pass_: str, batch: int, inner: int, outer: int, side: int, kernel: int, **more: int
) -> dict:
    """Return a case of worker.py."""
    shape = {
        "pass": pass_,
        "batch": batch,
        "inner": inner,
        "outer": outer,
        "side": side,
    }
    return {"kind": "conv", "shape": {**shape, "kernel": kernel, **more}, "threads": 1}


#: label, case, target: those of issue 6.
FORWARD = [
    ("3x3 64 to 64, 56", (8, 64, 64, 56, 3), {}, 5),
    ("3x3 256 to 256, 14", (8, 256, 256, 14, 3), {}, 5),
    ("1x1 128 to 128, 28", (8, 128, 128, 28, 1), {}, 6),
    ("7x7 stride 2, 3 to 64, 224", (4, 3, 64, 224, 7), {"stride": 2}, 4),
    ("depthwise 3x3 96, 56", (8, 96, 96, 56, 3), {"groups": 96}, 3),
    ("3x3x3 8 to 8, 96", (1, 8, 8, 96, 3), {"dims": 3}, 2.5),
    (
        "transposed 2x2x2 8 to 8, 48",
        (1, 8, 8, 48, 2),
        {"dims": 3, "stride": 2, "up": 1},
        5,
    ),
]
CASES: list[tuple[str, dict, float]] = [
    *((label, conv("forward", *a, **kw), goal) for label, a, kw, goal in FORWARD),
    *(
        (f"{label}, backward", conv("backward", *a, **kw), 5)
        for label, a, kw, _ in (FORWARD[0], FORWARD[1], FORWARD[4], FORWARD[5])
    ),
    (
        "LSTM 32 steps 16x128 to 256",
        {"kind": "lstm", "shape": (32, 16, 128, 256), "threads": 1},
        6,
    ),
]
MODES = ("sr", "ud")


def rows(build: Path, options: cases.Options) -> list[dict]:
    """Measure and print the rows."""
    able = [i for i in cases.NEEDS if cases.NEEDS[i] <= cases.cpu_flags()]
    # The best ISA there is against the best native code, AVX2 against AVX2.
    against = {
        f"{m} {isa}": "mkl" if isa == "avx512" else "mkl avx2"
        for isa in {able[-1]: 0, [i for i in able if i != "avx512"][-1]: 0}
        for m in MODES
    }
    found, workers = [], []
    for name in dict.fromkeys([*against.values(), *against]):
        provider, _, env = cases.CONFIGURATIONS[name]
        env = {
            **env,
            **({"FUZZY_SCOPE": "blas,conv,math"} if "FUZZY_MODE" in env else {}),
        }
        workers.append(bench.Worker(build, name, provider, env))
    print(
        f"{'operation, threads':<42}{'rounding, ISA':<16}{'native':>9}{'ours':>9}  ratio"
    )
    try:
        for threads in (1, 2)[: len(os.sched_getaffinity(0))]:
            for label, case, target in CASES:
                asked = {**case, "threads": threads}
                times = bench.measure(asked, workers, options.rounds, options.block)
                clock = "cpu" if threads == 1 else "wall"
                for name, native_name in against.items():
                    pair = times[name][clock], times[native_name][clock]
                    ratio = bench.median_ratio(*pair)
                    goal = target if name.startswith("sr") else None
                    found.append(
                        {
                            "operation": label,
                            "configuration": name,
                            "threads": threads,
                            "ratio": ratio,
                            "target": goal,
                            "met": None if goal is None else ratio["median"] <= goal,
                        }
                    )
                    ours, native = map(statistics.median, pair)
                    print(
                        f"{label + ', ' + str(threads):<42}{name:<16}"
                        f"{bench.duration(native):>9}{bench.duration(ours):>9}  "
                        f"{bench.figure(ratio['median']):<6}"
                        f"{bench.figure(ratio['low'])}..{bench.figure(ratio['high'])}  "
                        f"{bench.verdict(ratio['median'], goal)}",
                        flush=True,
                    )
    finally:
        for w in workers:
            w.close()
    return found


def brain_once(build: Path, mode: str | None, side: int, threads: int) -> dict:
    """Run brain.py in a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
    env.pop("LD_PRELOAD", None)
    if mode:
        env.update(LD_PRELOAD=str(build / "libfuzzytorch.so"), FUZZY_MODE=mode)
        env.update(FUZZY_SEED="1", FUZZY_VERBOSE="0")
    out = subprocess.run(
        [sys.executable, str(HERE / "brain.py"), str(side), str(threads)],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return json.loads(out)


def brain(build: Path, *, full: bool) -> list[dict]:
    """Measure and print the network, native and perturbed in turns."""
    side, rounds = (256, 3) if full else (128, 1)
    found = []
    print(f"\n3-d U-Net, one volume of {side}^3, {rounds} times each, in turns")
    for threads in (1, 2)[: len(os.sched_getaffinity(0))]:
        got: dict[str | None, list[dict]] = {None: [], "sr": [], "ud": []}
        for _ in range(rounds):
            for mode, runs in got.items():
                runs.append(brain_once(build, mode, side, threads))
        for mode in MODES:
            ratio = {
                k: statistics.median(
                    a[k] / b[k] for a, b in zip(got[mode], got[None], strict=True)
                )
                for k in ("wall", "cpu", "peak")
            }
            native = {k: min(r[k] for r in got[None]) for k in ratio}
            met = ratio["wall"] <= 3 and ratio["peak"] <= 1.15
            found.append(
                {
                    "operation": f"brain extraction {side}",
                    "configuration": mode,
                    "threads": threads,
                    "ratio": ratio,
                    "native": native,
                    "target": 3 if mode == "sr" else None,
                    "met": met if mode == "sr" else None,
                }
            )
            print(
                f"{threads} threads, {mode}: wall {ratio['wall']:.2f} times "
                f"{native['wall']:.2f} s, processor {ratio['cpu']:.2f}, peak memory "
                f"{ratio['peak']:.2f} times {native['peak'] / 2**20:.0f} MiB"
                + (f"  <= 3 and <= 1.15 {'met' if met else 'MISSED'}" * (mode == "sr")),
                flush=True,
            )
    return found


def main() -> None:
    """Run it."""
    options, build = cases.OPTIONS[sys.argv[1]], Path(sys.argv[2]).resolve()
    part = sys.argv[3] if len(sys.argv) > 3 else "all"
    before = os.getloadavg()[0]
    print(f"oneDNN's primitives, load average {before:.1f}, {options.rounds} rounds")
    found = rows(build, options) if part in ("all", "rows") else []
    if part in ("all", "brain"):
        found += brain(build, full=sys.argv[1] == "full")
    judged = [r for r in found if r["met"] is not None]
    load = [before, os.getloadavg()[0]]
    (build / "onednn.json").write_text(
        json.dumps({"load": load, "rows": found}, indent=1) + "\n"
    )
    print(f"{sum(r['met'] for r in judged)} of {len(judged)} targets met, load {load}")


if __name__ == "__main__":
    main()
