"""Time what the library computes against the stock libraries, in turns; a ratio a row.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/bench/bench.py full|quick BUILD

One long-lived process for each configuration, driven in turns, so that a row's native and
perturbed times see the same machine. A ratio is the median over rounds of the ratio of one
round: of processor time with one thread, which on an idle machine is the wall time (its ratio
stands beside), of wall time with more. Writes BUILD/bench.json. A missed target is a row like
any other: nothing fails.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cases

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Worker:
    """A process of one configuration."""

    def __init__(
        self, build: Path, name: str, provider: str, env: dict[str, str]
    ) -> None:
        self.name = name
        full = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
        full.pop("LD_PRELOAD", None)
        full["PYTHONPATH"] = ""
        if "FUZZY_MODE" in env:
            full["LD_PRELOAD"] = str(build / "libfuzzytorch.so")
            # The timing loop is no library of torch.
            full.update(FUZZY_LIBS="all", FUZZY_SEED="1", FUZZY_VERBOSE="0")
        full.update(env)
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(HERE / "worker.py"),
                provider,
                str(build / "tests/bench/calls.so"),
            ],
            env=full,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self.read()
        ours = self.about["library"].endswith("libfuzzytorch.so")
        if ours != ("FUZZY_MODE" in env):
            sys.exit(f"bench: the sgemm_ of {name} is that of {self.about['library']}")
        if self.about["varies"] != (env.get("FUZZY_MODE", "nearest") != "nearest"):
            sys.exit(
                f"bench: two products of {name} {'differ' if not ours else 'are equal'}"
            )

    def read(self) -> dict:
        """Return the next answer."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit(
                f"bench: the process of {self.name} ended early; see its message above"
            )
        return json.loads(line)

    def ask(self, case: dict) -> dict:
        """Time a case."""
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def hardware(about: dict[str, dict]) -> dict:
    """Return what the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    fields = {
        k.strip(): v.strip() for k, _, v in (line.partition(":") for line in info)
    }
    flags = set(fields.get("flags", "").split())
    gcc = subprocess.run(
        [os.environ.get("CC", "gcc"), "--version"],
        check=False,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    config = next((a["config"] for a in about.values() if "config" in a), "")
    versions = [
        line.strip(" -")
        for line in config.splitlines()
        if "Math Kernel" in line or "MKL-DNN" in line or "OpenMP" in line
    ]
    return {
        "cpu": f"{fields.get('model name', '?')} family {fields.get('cpu family', '?')} "
        f"model {fields.get('model', '?')}",
        "isa": [
            f for f in ("avx2", "fma", "vaes", "avx512f", "avx512bw") if f in flags
        ],
        "cpus": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": next((a["torch"] for a in about.values() if "torch" in a), None),
        "libraries": versions,
        "openblas": {n: a["openblas"] for n, a in about.items() if "openblas" in a},
        "compiler": gcc[0] if gcc else None,
        "commit": commit,
        "load_before": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M:%S%z"),
    }


def median_ratio(ours: list[float], native: list[float]) -> dict[str, float]:
    """Return the median, the least and the largest ratio of one round, and that of minima."""
    each = sorted(a / b for a, b in zip(ours, native))
    return {
        "median": statistics.median(each),
        "low": each[0],
        "high": each[-1],
        "of_minima": min(ours) / min(native),
    }


def figure(x: float) -> str:
    """Return a number in few columns."""
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def duration(seconds: float) -> str:
    """Return a time with its unit."""
    for unit, scale in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * scale:
            return f"{figure(seconds / scale)} {unit}"
    return f"{figure(seconds)} s"


def verdict(value: float, target: float | None, *, least: bool = False) -> str:
    """Return a target, and whether a value meets it."""
    if target is None:
        return ""
    met = value >= target if least else value <= target
    return f"{'>=' if least else '<='} {target:g} {'met' if met else 'MISSED'}"


def measure(
    case: dict, workers: list[Worker], rounds: int, block: float
) -> dict[str, dict]:
    """Time a case in all configurations, in turns."""
    times: dict[str, dict] = {w.name: {"wall": [], "cpu": []} for w in workers}
    for r in range(rounds):
        # Each round starts elsewhere: nobody is always the one after the same neighbour.
        for w in workers[r % len(workers) :] + workers[: r % len(workers)]:
            got = w.ask({**case, "block": block})
            times[w.name]["wall"].append(got["wall"])
            times[w.name]["cpu"].append(got["cpu"])
    return times


def operations(
    workers: dict[str, Worker], options: cases.Options, rows: list[dict]
) -> None:
    """Measure and print the rows of BLAS and torch."""
    print(
        f"\n{'operation, threads':<33}{'rounding, ISA':<18}{'ours':>8}{'/MKL':>7}"
        f"{'/MKLavx2':>9}{'/OBLAS':>7}  {'spread':<11}{'wall':>6}  target"
    )
    for label, case, configurations, target in cases.CASES:
        names = [n for n in configurations if n in workers]
        native = ["mkl", "mkl avx2"]
        if "shape" not in case:
            native += ["openblas", "openblas haswell"]
        chosen = [workers[n] for n in native + names if n in workers]
        times = measure(case, chosen, options.rounds, options.block)
        clock = "cpu" if case["threads"] == 1 else "wall"
        for name in names:
            # The AVX2 builds are compared with AVX2 code, the AVX-512 one with the best.
            wide = name.endswith("avx512")
            judge = "mkl" if wide or "mkl avx2" not in workers else "mkl avx2"
            blas = "openblas" if wide else "openblas haswell"
            against = [n for n in ("mkl", "mkl avx2", blas) if n in times]
            ratios = {
                c: {n: median_ratio(times[name][c], times[n][c]) for n in against}
                for c in ("cpu", "wall")
            }
            judged = ratios[clock][judge]
            goal = target if name.startswith(("sr", "ud")) else None
            rows.append(
                {
                    "operation": label,
                    "configuration": name,
                    "threads": case["threads"],
                    "case": case,
                    "seconds": {n: times[n] for n in (name, *against)},
                    "ratio": ratios,
                    "judged_by": [clock, judge],
                    "target": goal,
                    "met": None if goal is None else judged["median"] <= goal,
                }
            )
            cells = "".join(
                f"{figure(ratios[clock][n]['median']) + '*' * (n == judge):>{width}}"
                if n in against
                else f"{'-':>{width}}"
                for n, width in (("mkl", 7), ("mkl avx2", 9), (blas, 7))
            )
            print(
                f"{label + ', ' + str(case['threads']):<33}{name:<18}"
                f"{duration(statistics.median(times[name][clock])):>8}{cells}  "
                f"{figure(judged['low']) + '..' + figure(judged['high']):<11}"
                f"{figure(ratios['wall'][judge]['median']):>6}  "
                f"{verdict(judged['median'], goal)}",
                flush=True,
            )


def scaling(
    workers: dict[str, Worker], options: cases.Options, rows: list[dict]
) -> None:
    """Measure and print what a second thread gains."""
    if len(os.sched_getaffinity(0)) < 2:
        print("\nOne CPU: the gain of a second thread cannot be measured.")
        return
    print(
        "\nTime of 1 thread over that of 2: wall, and processor time of the calling thread, "
        "which shows how the work is shared where others take the CPUs"
    )
    print(
        f"{'operation':<33}{'rounding, ISA':<18}{'wall':>8}{'thread':>8}  spread of wall"
    )
    for label, case, target in cases.SCALING:
        for name in ("mkl", "openblas", *cases.SCALING_CONFIGURATIONS):
            if name not in workers or (name == "openblas" and "shape" in case):
                continue
            got: dict[int, list[dict]] = {1: [], 2: []}
            for _ in range(options.rounds):
                for n, answers in got.items():
                    asked = {**case, "threads": n, "block": options.block}
                    answers.append(workers[name].ask(asked))
            gain = {
                c: median_ratio(*([a[c] for a in got[n]] for n in (1, 2)))
                for c in ("wall", "cpu")
            }
            value = gain["wall"]["median"]
            goal = None if name in ("mkl", "openblas") else target
            rows.append(
                {
                    "operation": label,
                    "configuration": name,
                    "gain": gain,
                    "target": goal,
                    "seconds": got,
                    "met": None if goal is None else value >= goal,
                }
            )
            spread = f"{figure(gain['wall']['low'])}..{figure(gain['wall']['high'])}"
            print(
                f"{label:<33}{name:<18}{figure(value):>8}{figure(gain['cpu']['median']):>8}  "
                f"{spread:<14}  {verdict(value, goal, least=True)}",
                flush=True,
            )


def local(build: Path, *args: str) -> list[list[str]]:
    """Return the lines of the program `local`, split."""
    out = subprocess.run(
        [str(build / "tests/bench/local"), *args],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [line.split() for line in out.splitlines() if not line.startswith("#")]


def arrays(build: Path, options: cases.Options, rows: list[dict]) -> None:
    """Measure and print additions and multiplications of arrays."""
    # Well beyond a last-level cache, within a quarter of the memory.
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = min(options.array_bytes, total // 4)
    seen: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for isa, op, place, ours, plain in local(
        build, "arrays", str(options.rounds), str(size)
    ):
        seen.setdefault((isa, op, place), []).append((float(ours), float(plain)))
    print(
        f"\nf32 arrays in sr, one thread, ns an element of processor time; in cache: 3 arrays "
        f"of 8 KiB; out of cache: 3 of {size // 3 >> 20} MiB"
    )
    print(
        f"{'':<33}{'rounding, ISA':<18}{'ours':>9}{'plain loop':>12}{'ratio':>8}  target"
    )
    for (isa, op, place), pairs in seen.items():
        ours, plain = (statistics.median(p[i] for p in pairs) for i in (0, 1))
        ratio = median_ratio([p[0] for p in pairs], [p[1] for p in pairs])
        value, target = (ours, 0.6) if place == "in" else (ratio["median"], 2.0)
        text = verdict(value, target) + (" ns" if place == "in" else " ratio")
        rows.append(
            {
                "operation": f"array {op} {place} of cache",
                "configuration": f"sr {isa}",
                "ns": [p[0] for p in pairs],
                "ns_plain": [p[1] for p in pairs],
                "ratio": ratio,
                "target": target,
                "met": value <= target,
            }
        )
        print(
            f"{op + ', ' + place + (' of' if place == 'out' else '') + ' cache':<33}"
            f"{'sr ' + isa:<18}{ours:9.3f}{plain:12.3f}{figure(ratio['median']):>8}  {text}"
        )


def load(build: Path, options: cases.Options, rows: list[dict]) -> None:
    """Measure and print what loading the library adds to a process without torch."""
    lines = [
        [float(x) for x in line]
        for line in local(
            build, "load", str(options.loads), str(build / "libfuzzytorch.so")
        )
    ]
    print(f"\nLoading, added to a process without torch, median of {len(lines)}")
    for i, mode in ((2, "off"), (4, "sr")):
        wall, cpu = (statistics.median(x[i + j] - x[j] for x in lines) for j in (0, 1))
        least = min(x[i] for x in lines) - min(x[0] for x in lines)
        rows.append(
            {
                "operation": "load",
                "configuration": f"mode {mode}",
                "target": 1e-3,
                "wall": wall * 1e-9,
                "cpu": cpu * 1e-9,
                "of_minima": least * 1e-9,
                "met": wall < 1e6,
            }
        )
        print(
            f"{'load':<33}{'mode ' + mode:<18}{duration(wall * 1e-9):>9}  of processor "
            f"time {duration(max(cpu, 0) * 1e-9)}, of minima {duration(max(least, 0) * 1e-9)}  "
            f"{verdict(wall * 1e-6, 1.0)} ms"
        )


def main() -> None:
    """Run all of it."""
    if len(sys.argv) != 3 or sys.argv[1] not in cases.OPTIONS:
        sys.exit(f"bench: BENCH takes {' or '.join(cases.OPTIONS)}")
    options, build = cases.OPTIONS[sys.argv[1]], Path(sys.argv[2]).resolve()
    begin = time.monotonic()
    workers: dict[str, Worker] = {}
    for name, (provider, needs, env) in cases.CONFIGURATIONS.items():
        if needs <= cases.cpu_flags() and cases.available(provider):
            workers[name] = Worker(build, name, provider, env)
        else:
            print(
                f"{name} is left out: this machine lacks {' '.join(sorted(needs)) or provider}"
            )
    machine = hardware({n: w.about for n, w in workers.items()})
    print(f"CPU {machine['cpu']}, {machine['cpus']} CPUs, {' '.join(machine['isa'])}")
    for key in ("system", "compiler", "torch", "libraries", "openblas", "commit"):
        value = machine[key]
        if isinstance(value, dict):
            value = list(value.values())
        print(f"{key}: {'; '.join(value) if isinstance(value, list) else value}")
    print(
        f"load average {machine['load_before']:.1f} (above 0: others were at work), "
        f"{options.rounds} rounds"
    )
    print(
        "A ratio is ours over the native one; * is judged. Processor time with one thread, "
        "wall time with two; wall: ratio of wall time to the judged one."
    )
    rows: list[dict] = []
    try:
        operations(workers, options, rows)
        scaling(workers, options, rows)
    finally:
        for w in workers.values():
            w.close()
    arrays(build, options, rows)
    load(build, options, rows)
    machine["load_after"] = os.getloadavg()[0]
    judged = [r for r in rows if r["met"] is not None]
    missed = [r for r in judged if not r["met"]]
    path = build / "bench.json"
    path.write_text(
        json.dumps({"machine": machine, "bench": sys.argv[1], "rows": rows}, indent=1)
        + "\n"
    )
    print(
        f"\n{len(judged) - len(missed)} of {len(judged)} targets met, "
        f"{time.monotonic() - begin:.0f} s, load average {machine['load_after']:.1f}; {path}"
    )


if __name__ == "__main__":
    main()
