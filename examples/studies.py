"""What the studies of this folder share: samples, times in turns, coverage, results.json.

SPDX-License-Identifier: Apache-2.0

A program of a study is a stock PyTorch program. Where it is timed, it prints a line
`work: X s processor` on stderr: the processor time of what is studied, without imports.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FUZZYRUN = ROOT / "fuzzyrun"
sys.path.insert(0, str(ROOT / "python"))

from fuzzytorch.launch import find_library
from fuzzytorch.store import Store

#: The order of the tables.
CONFIGURATIONS = ("native", "nearest", "sr", "ud", "cestac")
WORK = re.compile(r"^work: ([\d.e+-]+) s processor", re.MULTILINE)


class Ran(NamedTuple):
    """One run: processor seconds of the work and of the process, peak memory, stderr."""

    work: float
    process: float
    kib: int
    told: str


def arguments(description: str, samples: int) -> argparse.ArgumentParser:
    """Return the options that all studies have.

    Parameters
    ----------
    description : str
        The study's first line.
    samples : int
        How many samples a mode has by default.
    """
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("-n", type=int, default=samples, help="samples of a mode")
    parser.add_argument(
        "-m", "--modes", default="sr,ud,cestac", help="with commas (default: all three)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of timing; 0: none")
    parser.add_argument("--scope", help="FUZZY_SCOPE (default: the library's)")
    parser.add_argument("--threads", type=int, default=1, help="OpenMP (default 1)")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="samples at a time")
    parser.add_argument("-o", "--output", help="keep the samples in this folder")
    parser.add_argument("--results", type=Path, help="where results.json goes")
    parser.add_argument(
        "--times",
        action="store_true",
        help="measure times anew, keep the samples' figures that results.json has",
    )
    return parser


def environment(options: argparse.Namespace, mode: str | None = None) -> dict[str, str]:
    """Return the environment of a run; of one under the library where a mode is given."""
    env = {
        k: v
        for k, v in os.environ.items()
        if k not in ("LD_PRELOAD", "PYTHONPATH")
        and not (k.startswith("FUZZY_") and k != "FUZZY_CACHE")
    }
    env["OMP_NUM_THREADS"] = env["MKL_NUM_THREADS"] = str(options.threads)
    if options.scope:
        env["FUZZY_SCOPE"] = options.scope
    if mode is not None:
        env["LD_PRELOAD"] = str(find_library())
        env.update(FUZZY_MODE=mode, FUZZY_SEED="1", FUZZY_VERBOSE="0")
    return env


def sample(
    options: argparse.Namespace,
    folder: Path,
    mode: str,
    command: Sequence[str],
    *more: str,
    classes: str = "none",
) -> dict[str, Any]:
    """Make the samples of a mode by fuzzyrun; return its report.

    Parameters
    ----------
    options : argparse.Namespace
        Of `arguments`.
    folder : pathlib.Path
        Of this mode's samples.
    mode : str
        Rounding mode.
    command : sequence of str
        What is sampled.
    *more : str
        More options of fuzzyrun.
    classes : str
        The axis of the classes, for the report.
    """
    line = [
        sys.executable, str(FUZZYRUN), "-n", str(options.n), "-m", mode, "-s", "1",
        "-o", str(folder), "-j", str(options.jobs), *more, "--", *command,
    ]  # fmt: skip
    print(f"studies: {mode}, {options.n} samples", file=sys.stderr, flush=True)
    done = subprocess.run(
        line, env=environment(options), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"studies: fuzzyrun ended with {done.returncode}; see {folder}")
    subprocess.run(
        [
            sys.executable, str(FUZZYRUN), "report", "--no-html", "--classes", classes,
            str(folder),
        ],
        env=environment(options),
        stdout=subprocess.DEVNULL,
        check=True,
    )  # fmt: skip
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def against_f64(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Return the quantities of a study, judged against its run in double."""
    with tempfile.TemporaryDirectory(prefix="fuzzy-study-") as scratch:
        subprocess.run(
            [
                sys.executable, str(FUZZYRUN), "report", "--no-html", "--reference", "f64",
                "-o", scratch, str(folder),
            ],
            env=environment(options),
            stdout=subprocess.DEVNULL,
            check=True,
        )  # fmt: skip
        text = (Path(scratch) / "report.json").read_text(encoding="utf-8")
    return json.loads(text)["quantities"]


def run(command: Sequence[str], env: dict[str, str]) -> Ran:
    """Run a program once and take its time and memory."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        told = err.read()
        if process.returncode:
            sys.exit(f"studies: {command}: status {process.returncode}\n{told[-2000:]}")
        found = WORK.search(told)
        total = usage.ru_utime + usage.ru_stime
        return Ran(float(found[1]) if found else total, total, usage.ru_maxrss, told)


def times(
    options: argparse.Namespace,
    command: Sequence[str],
    configurations: Sequence[str] = CONFIGURATIONS,
    more: dict[str, str] | None = None,
    also: str | None = None,
) -> dict[str, Any]:
    """Run a program in turns natively and under the library; return times and memory.

    A ratio is the median over rounds of the ratio of one round, of processor time, which
    other work on the machine changes little; `low` and `high` are the least and largest.
    `also` is the name of a second time that the program prints as it does `work`.
    """
    clock = Clock()
    got: dict[str, list[Ran]] = {name: [] for name in configurations}
    for name in configurations:
        # Not timed: the plans of moved code are made, and a mode's run is looked at.
        if name != "native":
            effective(
                name, reported(command, {**environment(options, name), **(more or {})})
            )
    load = [os.getloadavg()[0]]
    for k in range(options.rounds):
        turn = list(configurations)
        for name in turn[k % len(turn) :] + turn[: k % len(turn)]:
            env = environment(options, None if name == "native" else name)
            got[name].append(run(command, {**env, **(more or {})}))
    load.append(os.getloadavg()[0])
    about = machine()
    found: dict[str, Any] = {
        "threads": options.threads,
        "rounds": options.rounds,
        "load": [round(x, 1) for x in load],
        "minutes": clock.minutes(),
        **{k: about[k] for k in ("cpu", "isa", "commit", "date")},
        "command": shown(command),
        "configurations": {},
    }
    # A process inherits its peak from the one that started it.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, runs in got.items():
        row = {
            "seconds": digits(statistics.median(r.work for r in runs)),
            "process_seconds": digits(statistics.median(r.process for r in runs)),
        }
        if also is not None:
            row[f"{also}_seconds"] = digits(
                statistics.median(second(r.told, also) for r in runs)
            )
        if own < min(r.kib for r in got["native"]):
            row["mib"] = round(statistics.median(r.kib for r in runs) / 1024)
        if name != "native":
            base = got["native"]
            each = sorted(a.work / b.work for a, b in zip(runs, base))
            row.update(
                ratio=digits(statistics.median(each)),
                low=digits(each[0]),
                high=digits(each[-1]),
                process_ratio=digits(
                    statistics.median(a.process / b.process for a, b in zip(runs, base))
                ),
            )
            if also is not None:
                row[f"{also}_ratio"] = digits(
                    statistics.median(
                        second(a.told, also) / second(b.told, also)
                        for a, b in zip(runs, base)
                    )
                )
            if "mib" in row:
                row["memory_ratio"] = digits(
                    statistics.median(a.kib / b.kib for a, b in zip(runs, base))
                )
        found["configurations"][name] = row
    return found


def second(told: str, name: str) -> float:
    """Return the time that a program printed beside that of its work."""
    found = re.search(rf"^{name}: ([\d.e+-]+) s processor", told, re.MULTILINE)
    if found is None:
        sys.exit(f"studies: no line `{name}: ... s processor` on stderr")
    return float(found[1])


def reported(command: Sequence[str], env: dict[str, str]) -> dict[str, Any]:
    """Run a program once under the library and return the library's report."""
    with tempfile.TemporaryDirectory(prefix="fuzzy-study-") as scratch:
        file = Path(scratch) / "report.json"
        counted = env.get("FUZZY_REPORT", "")
        run(command, {**env, "FUZZY_REPORT": f"{file}{counted}"})
        if not file.exists():
            sys.exit(f"studies: {shown(command)}: libfuzzytorch was not loaded")
        return json.loads(file.read_text(encoding="utf-8"))


def effective(mode: str, report: dict[str, Any]) -> None:
    """End if a run that is to be ours was not: what it gave would be native's.

    Parameters
    ----------
    mode : str
        What was asked for.
    report : dict
        Of the library.
    """
    rows = report.get("instructions") or []
    torch = [r for r in rows if "libtorch_cpu.so" in r["library"]]
    still = [
        f"{Path(r['library']).name}: {r['why'] or 'no site was found'}"
        for r in torch or rows
        if r["why"] or not r["sites"]
    ]
    if report["mode"] != mode:
        still.append(f"mode {report['mode']}")
    if "inst" in report["layers"]:
        idle = not rows
    else:
        idle = not report["totals"]["perturbed"]["calls"]
    if idle or still:
        why = "; ".join(still) or "nothing was perturbed"
        sys.exit(f"studies: not a run in mode {mode}: {why}")


def coverage(
    options: argparse.Namespace,
    command: Sequence[str],
    more: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Count the floating-point operations of one run: perturbed, exact by rule, left.

    Calls (BLAS, math functions) are counted by their definition, instructions one by one in
    all libraries of torch. `unknown_sites` are instructions in code that is not moved: what
    they execute is not counted, and there is a share only with the instruction layer.
    """
    env = {**environment(options, "sr"), **(more or {})}
    report = reported(command, {**env, "FUZZY_REPORT": ",operations"})
    effective("sr", report)
    return counted(report)


def counted(report: dict[str, Any]) -> dict[str, Any]:
    """Return the share that was perturbed, from the library's report."""
    calls = report["totals"]
    rows = [r for r in report.get("instructions") or () if r.get("operations")]
    total = {
        "perturbed": calls["perturbed"]["flops"],
        "exact": 0,
        "left": calls["passed"]["flops"],
    }
    for row in rows:
        for kind in total:
            total[kind] += row["operations"][kind]
    rounding = total["perturbed"] + total["left"]
    return {
        "layers": report["layers"],
        "isa": report["isa"],
        "by_calls": calls["perturbed"]["flops"],
        "by_instructions": sum(r["operations"]["perturbed"] for r in rows),
        **total,
        "unknown_sites": sum(r.get("unknown_sites", 0) for r in rows),
        "share": digits(total["perturbed"] / rounding, 6)
        if "inst" in report["layers"] and rounding
        else None,
    }


def digits(value: float | None, count: int = 4) -> float | None:
    """Return a number rounded to some significant digits, for a small file."""
    return None if value is None else float(f"{value:.{count}g}")


def shown(command: Sequence[str]) -> str:
    """Return a command as one types it in the tree."""
    # A Python inside the tree, .venv-studies, is python too.
    return shlex.join(
        "python" if str(w) == sys.executable else str(w).replace(f"{ROOT}/", "")
        for w in command
    )


#: Options that say where or how fast something is made, not what.
PLACES = ("output", "results", "models", "times", "jobs", "data", "help")


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options of a study, with its `command` as one types it."""
    options = parser.parse_args()
    options.command = typed(parser, options)
    return options


def typed(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """Return how a study is called for these results, with all that is not its default.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the study.
    options : argparse.Namespace
        What it was called with.
    """
    words = [sys.executable, str(Path(sys.argv[0]).resolve())]
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        if action.dest in PLACES or value == parser.get_default(action.dest):
            continue
        words += [action.option_strings[0], str(value)]
    if getattr(options, "data", None):
        words += ["--data", "FOLDER"]
    return shown(words)


def bits_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a results file keeps of a quantity's or a number's significant bits."""
    found = entry.get("measures") or entry
    if not found.get("significant"):
        return None
    bits = found["significant"]
    top = found.get("ceiling", bits.get("ceiling"))
    return {
        "bits": digits(bits["bits"]),
        "low": digits(bits["low"]),
        "high": digits(bits["high"]),
        "digits": digits(bits["bits"] * 0.30103),
        "ceiling": digits(top),
    }


def numbers(report: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers on stdout: mean, spread, native value, bits."""
    return {
        n["label"]: {
            "mean": digits(n["mean"], 9),
            "sd": digits(n["sd"]),
            "native": digits(n["control"], 9),
            "bits": bits_of(n),
        }
        for n in report["stdout"]["numbers"]
    }


def machine(*packages: str) -> dict[str, Any]:
    """Return what the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", info)

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    def of(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    flags = set(info.split())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "isa": [f for f in ("avx2", "vaes", "avx512f") if f in flags],
        "python": platform.python_version(),
        "packages": {name: of(name) for name in ("torch", "numpy", *packages)},
        "commit": git("rev-parse", "--short", "HEAD")
        + (
            "+"
            if git("status", "--porcelain", "--", "shim", "kernels", "prism")
            else ""
        ),
        "date": time.strftime("%Y-%m-%d"),
    }


class Folder:
    """The folder of a study's samples: the one that was asked for, else a passing one."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.passing = options.output is None
        self.path = Path(options.output or tempfile.mkdtemp(prefix="fuzzy-study-"))

    def __enter__(self) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def __exit__(self, *what: object) -> None:
        if self.passing:
            shutil.rmtree(self.path, ignore_errors=True)


def sampled(folder: Path, name: str, control: bool = False) -> list[Path]:
    """Return a file of each sample, or of each run in mode off."""
    return [run.files / name for run in Store(folder).runs(control) if run.ok]


class Clock:
    """Minutes since it was made, for what a study says it takes."""

    def __init__(self) -> None:
        self.begin = time.monotonic()

    def minutes(self) -> float:
        """Return them, to a tenth."""
        return round((time.monotonic() - self.begin) / 60, 1)


def kept(options: argparse.Namespace, path: Path) -> dict[str, Any] | None:
    """Return the results that are there, if only times are to be made anew."""
    return json.loads(path.read_text(encoding="utf-8")) if options.times else None


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a results.json with its numbers on few lines."""
    text = json.dumps(result, indent=1, allow_nan=False)
    # Lists of numbers take one line.
    text = (
        re.sub(r"\[[^\[\]{}\"]*\]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]), text)
        .replace("[ ", "[")
        .replace(" ]", "]")
    )
    path.write_text(text + "\n", encoding="utf-8")
    print(f"studies: {path}", file=sys.stderr)
