"""Time ours, native and every other tool that is installed, in turns; a table and a chart.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/bench/peers.py full|quick BUILD [--json FILE] [--chart FILE]

A figure is a slow-down: the median over rounds of processor time over that of the native
run of the same round, one thread. A tool that is not installed has its published figure,
marked by brackets (published.py).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import published
from bench import hardware

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS = ("nearest", "sr", "ud", "cestac")
#: Rounds, seconds of a block, rounds of a use case.
OPTIONS = {"full": (7, 0.05, 3), "quick": (3, 0.01, 1)}
#: Name, what it needs to be importable, arguments. A line `work: X s processor` on stderr
#: is the time of the work itself; without one, that of the process counts.
CASES: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("digits training", "sklearn", ("examples/digits/train.py", "--epochs", "2")),
    ("mri", "deepbet", ("examples/mri/extract.py",)),
    ("speech", "resemblyzer", ("examples/speech/embed.py",)),
    (
        "BERT-large, forward",
        "transformers",
        ("examples/scale/step.py", "bert-large", "--forward"),
    ),
)
WORK = re.compile(r"^work: ([\d.e+-]+) s processor", re.MULTILINE)


def environment(build: Path, name: str, report: Path | None = None) -> dict[str, str]:
    """Return the environment of a configuration, which may leave a report."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
    env.pop("LD_PRELOAD", None)
    env.update(PYTHONPATH="", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if name in OURS:
        cache = build / "tests/bench/cache"
        cache.mkdir(parents=True, exist_ok=True)
        env.update(
            LD_PRELOAD=str(build / "libfuzzytorch.so"),
            FUZZY_MODE=name,
            FUZZY_SEED="1",
            FUZZY_VERBOSE="0",
            FUZZY_CACHE=str(cache),
            FUZZY_SCOPE="blas,lapack,conv,math,inst",
        )
        if report:
            env["FUZZY_REPORT"] = str(report)
    return env


def effective(name: str, report: Path) -> None:
    """End if a run that is to be ours was not: a time of it would be native's."""
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit(f"peers: {name}: libfuzzytorch was not loaded")
    moved = [
        r["why"] or ("" if r["sites"] else "no site was found")
        for r in found["instructions"]
        if "libtorch_cpu.so" in r["library"]
    ]
    if not found["totals"]["perturbed"]["calls"] or moved != [""]:
        sys.exit(
            f"peers: {name}: not all layers were at work: {moved or found['totals']}"
        )


def verrou() -> bool:
    """Return whether valgrind has the tool."""
    return (
        shutil.which("valgrind") is not None
        and not subprocess.run(
            ["valgrind", "--tool=verrou", "--version", "true"],
            check=False,
            capture_output=True,
        ).returncode
    )


#: Other tools: name, how a worker is started, its argument, whether it is there.
PEERS: dict[str, tuple[tuple[str, ...], str]] = {}
if verrou():
    for _mode in ("random", "average"):
        PEERS[f"verrou {_mode}"] = (
            ("valgrind", "-q", "--tool=verrou", f"--rounding-mode={_mode}"),
            "torch",
        )
if find_spec("pychop"):
    PEERS["pychop"] = ((), "pychop")


class Worker:
    """A long-lived process of one configuration."""

    def __init__(self, build: Path, name: str) -> None:
        front, kind = PEERS.get(name, ((), "torch"))
        self.name = name
        self.report = build / f"tests/bench/peers-{name}.json" if name in OURS else None
        if self.report:
            self.report.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*front, sys.executable, str(HERE / "peers_worker.py"), kind],
            env=environment(build, name, self.report),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.operations: list[str] = self.read()["operations"]

    def read(self) -> Any:
        """Return the next answer."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"peers: the process of {self.name} ended early; see above")
        return json.loads(line)

    def ask(self, operation: str, block: float) -> float:
        """Return the processor time of a call."""
        asked = {"operation": operation, "block": block}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
        if self.report:
            effective(self.name, self.report)


def once(
    build: Path, name: str, words: Sequence[str], report: Path | None = None
) -> float:
    """Run a use case and return the processor time of its work."""
    with tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=environment(build, name, report),
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        told = err.read()
    if process.returncode:
        sys.exit(
            f"peers: {' '.join(words)} ended with {process.returncode}:\n{told[-2000:]}"
        )
    found = WORK.search(told)
    return float(found[1]) if found else usage.ru_utime + usage.ru_stime


def row(
    operation: str, kind: str, seconds: dict[str, list[float]], target: float | None
) -> dict[str, Any]:
    """Return a row of the table: times, and slow-downs with their spread."""
    ratios = {}
    for name, times in seconds.items():
        if name != "native":
            each = sorted(a / b for a, b in zip(times, seconds["native"]))
            ratios[name] = {
                "median": statistics.median(each),
                "low": each[0],
                "high": each[-1],
            }
    found: dict[str, Any] = {
        "operation": operation,
        "kind": kind,
        "seconds": seconds,
        "ratio": ratios,
        "published": {},
        "target": target,
    }
    if operation in published.VERROU_MS:
        native, random, average = published.VERROU_MS[operation]
        found["published"] = {
            "verrou random": random / native,
            "verrou average": average / native,
        }
    if operation in published.FUZZY_PYTORCH:
        names = (
            "fuzzy pytorch ud",
            "fuzzy pytorch sr",
            "verrou random",
            "verrou average",
        )
        found["published"] = dict(zip(names, published.FUZZY_PYTORCH[operation]))
    against = ratios.get("verrou average", {}).get("median") or found["published"].get(
        "verrou average"
    )
    if against:
        found["faster_than_verrou"] = against / ratios["sr"]["median"]
    found["met"] = None
    if target is not None:
        found["met"] = (
            ratios["sr"]["median"] <= target
            if kind == "case"
            else found["faster_than_verrou"] >= target
        )
    return found


def figure(value: float) -> str:
    """Return a slow-down in few columns."""
    return (
        f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else f"{value:.0f}"
    )


def cell(found: dict[str, Any], name: str) -> str:
    """Return a slow-down of the table: measured, published in brackets, or nothing."""
    if name in found["ratio"]:
        return figure(found["ratio"][name]["median"])
    if name in found["published"]:
        return f"[{figure(found['published'][name])}]"
    return "-"


COLUMNS = (*OURS, "pychop", "fuzzy pytorch sr", "verrou random", "verrou average")
HEADS = (*OURS, "pychop", "FuzzyPT", "V.random", "V.SR")


def head() -> str:
    """Return the first line of the table."""
    return (
        f"{'':<30}{'native':>10}" + "".join(f"{h:>9}" for h in HEADS) + "  spread of sr"
    )


def line(found: dict[str, Any]) -> str:
    """Return a line of the table."""
    native = statistics.median(found["seconds"]["native"])
    shown = f"{native:.1f} s" if native >= 1 else f"{native * 1e6:.0f} us"
    spread = found["ratio"]["sr"]
    text = (
        f"{found['operation']:<30}{shown:>10}"
        + "".join(f"{cell(found, c):>9}" for c in COLUMNS)
        + f"  {figure(spread['low'])}..{figure(spread['high'])}"
    )
    if "faster_than_verrou" in found:
        text += f"  {found['faster_than_verrou']:.0f}x faster than Verrou SR"
    if found["target"] is not None:
        aim = "<=" if found["kind"] == "case" else ">="
        text += f", {aim} {found['target']:g} {'met' if found['met'] else 'MISSED'}"
    return text


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    import torch

    return {
        **hardware({"torch": {"torch": torch.__version__}}),
        "load_before": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
    }


def chart(rows: list[dict[str, Any]], about: dict[str, Any], path: Path) -> None:
    """Draw the slow-downs as bars on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    series = (
        ("ud", "ours, ud", "#7fb3d5"),
        ("sr", "ours, sr", "#1f618d"),
        ("pychop", "pychop (emulator)", "#7d8a3c"),
        ("fuzzy pytorch sr", "Fuzzy PyTorch, sr", "#d98c3f"),
        ("verrou average", "Verrou, sr", "#a93226"),
    )
    figure_, axes = pyplot.subplots(figsize=(9, 0.55 * len(rows) + 1.4))
    height = 0.8 / len(series)
    for i, (name, label, colour) in enumerate(series):
        for k, found in enumerate(rows):
            measured = found["ratio"].get(name, {}).get("median")
            value = measured or found["published"].get(name)
            if value:
                axes.barh(
                    k - 0.4 + (i + 0.5) * height,
                    value - 0.8,
                    height,
                    left=0.8,
                    color=colour if measured else "white",
                    edgecolor=colour,
                    hatch=None if measured else "////",
                    linewidth=0.8,
                )
        axes.barh(0, 0, color=colour, label=label)
    axes.barh(0, 0, color="white", edgecolor="grey", hatch="////", label="published")
    axes.set_xscale("log")
    axes.set_xlim(0.8, None)
    axes.set_yticks(range(len(rows)), [r["operation"] for r in rows])
    axes.invert_yaxis()
    axes.set_xlabel("time over that of the native run")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", fontsize=8)
    axes.set_title(f"{about['cpu']}, torch {about['torch']}, one thread", fontsize=9)
    figure_.tight_layout()
    figure_.savefig(path, dpi=80)


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("options", choices=list(OPTIONS), metavar="full|quick")
    parser.add_argument("build", type=Path)
    parser.add_argument("--json", type=Path, help="write all times here")
    parser.add_argument("--chart", type=Path, help="draw the table here (matplotlib)")
    parser.add_argument("--no-cases", action="store_true", help="operations only")
    return parser.parse_args()


def main() -> None:
    """Measure, print, draw."""
    asked = parsed()
    rounds, block, case_rounds = OPTIONS[asked.options]
    build = asked.build.resolve()
    about = machine()
    for name, there in (
        ("verrou (valgrind --tool=verrou)", any(p.startswith("verrou") for p in PEERS)),
        ("pychop (pip install pychop)", "pychop" in PEERS),
    ):
        print(f"{name}: {'measured' if there else 'not installed'}")
    print(
        f"{about['cpu']}, {' '.join(about['isa'])}, torch {about['torch']}, commit "
        f"{about['commit']}, load average {about['load_before']}; slow-down over native, "
        f"median of {rounds} rounds; [published]\n"
    )
    names = ("native", *OURS, *PEERS)
    workers = {name: Worker(build, name) for name in names}
    rows = []
    print(head())
    try:
        for operation in workers["native"].operations:
            have = [n for n in names if operation in workers[n].operations]
            seconds: dict[str, list[float]] = {n: [] for n in have}
            for k in range(rounds):
                for n in have[k % len(have) :] + have[: k % len(have)]:
                    seconds[n].append(workers[n].ask(operation, block))
            target = published.FASTER.get(operation)
            rows.append(row(operation, "operation", seconds, target))
            print(line(rows[-1]), flush=True)
    finally:
        for w in workers.values():
            w.close()
    for name, needs, words in () if asked.no_cases else CASES:
        if needs and not find_spec(needs):
            print(f"{name:<30} left out: {needs} is not installed")
            continue
        turn = ("native", *OURS)
        seconds = {n: [] for n in turn}
        for n in OURS:  # plans are made before anything is timed
            report = build / f"tests/bench/peers-{n}.json"
            report.unlink(missing_ok=True)
            once(build, n, words, report)
            effective(n, report)
        for k in range(case_rounds):
            for n in turn[k % len(turn) :] + turn[: k % len(turn)]:
                seconds[n].append(once(build, n, words))
        rows.append(row(name, "case", seconds, published.CASES.get(name)))
        print(line(rows[-1]), flush=True)
    about["load_after"] = round(os.getloadavg()[0], 1)
    result = {"machine": about, "rounds": [rounds, case_rounds], "rows": rows}
    (asked.json or build / "bench-peers.json").write_text(
        json.dumps(result, indent=1), encoding="utf-8"
    )
    if asked.chart:
        chart(rows, about, asked.chart)


if __name__ == "__main__":
    main()
