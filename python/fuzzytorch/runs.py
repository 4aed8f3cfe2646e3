"""One run of a study: its environment, the files it leaves, its status.

SPDX-License-Identifier: Apache-2.0

Shared by the sampler, which starts runs itself, and by attempt.py, which an executor starts
elsewhere.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import launch

#: What --record takes.
RECORDS = ("outputs", "modules", "params", "grads")
#: Bytes of a sample's record, without --record-limit.
RECORD_LIMIT = 2 << 30

_INJECT = Path(__file__).resolve().parent / "inject"


class Job:
    """One run to be made.

    Parameters
    ----------
    kind : str
        `sample`, `control` (mode off), or `reference` (mode off, torch's floats in double).
    index : int
        Its number among those, from 1.
    """

    def __init__(self, kind: str, index: int) -> None:
        self.kind = kind
        self.index = index
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        if self.kind == "reference":
            return "reference-f64"
        return (
            f"control-{self.index}"
            if self.kind == "control"
            else f"sample-{self.index:04d}"
        )

    @staticmethod
    def of(name: str) -> Job:
        """Return the job of a folder's name."""
        kind, _, number = name.partition("-")
        return Job(kind, int(number) if number.isdigit() else 1)


class Recipe:
    """How the runs of a study are made.

    Parameters
    ----------
    study : dict
        What study.json says.
    program, library : str
        Paths of the command's program and of the library.
    jobs : int
        Runs at a time.
    executor : str
        Who starts the runs.
    """

    def __init__(
        self,
        study: dict[str, Any],
        program: str,
        library: str,
        jobs: int,
        executor: str = "local",
    ) -> None:
        self.study = study
        self.program = program
        self.library = library
        self.jobs = jobs
        self.executor = executor

    def seed(self, job: Job) -> int:
        """Return the seed of a run."""
        return int((self.study["seed"] + job.index - 1) % (1 << 64))

    def environment(self, job: Job, part: Path, base: dict[str, str]) -> dict[str, str]:
        """Return the environment of a run whose folder is `part`, on top of `base`."""
        env = {k: v for k, v in base.items() if k != "FUZZY_LINEAGE"}
        env.update(self.study["environment"])
        env.update(self.study["settings"])
        launch.preload(env, Path(self.library))
        _, comma, callers = env.get("FUZZY_REPORT", "").partition(",")
        report = str(part / "report.json").replace("%", "%%")
        env["FUZZY_REPORT"] = report + comma + callers
        env["FUZZY_MODE"] = self.study["mode"] if job.kind == "sample" else "off"
        if env["FUZZY_MODE"] == "off":
            # A script that calls the API runs in mode off as well.
            env.setdefault("FUZZY_OPTIONAL", "1")
        env["FUZZY_SEED"] = str(self.seed(job))
        # Samples count from 1; 0 is a run without rounding.
        env["FUZZY_SAMPLE"] = str(job.index) if job.kind == "sample" else "0"
        env["FUZZY_SAMPLE_DIR"] = str(part / "files")
        what = list(self.study.get("record") or ())
        if job.kind == "reference":
            what.append("f64")
        limit = self.study.get("record_limit") or RECORD_LIMIT
        env["FUZZY_RECORD"] = f"{','.join(what)};{limit};{part / 'record'}"
        if what:
            there = env.get("PYTHONPATH")
            env["PYTHONPATH"] = f"{_INJECT}{os.pathsep}{there}" if there else str(_INJECT)
        return env

    def status(
        self,
        job: Job,
        env: dict[str, str],
        code: int,
        wall: float,
        usage: Any,
        began: float,
    ) -> dict[str, Any]:
        """Return status.json of a run that ended.

        Parameters
        ----------
        job : Job
            The run.
        env : dict
            Its environment.
        code : int
            As subprocess has it: the exit status, or minus the signal.
        wall : float
            Seconds it took.
        usage : resource.struct_rusage
            Of its processes.
        began : float
            When, in seconds since the epoch.
        """
        status = {
            "exit_status": code if code >= 0 else 128 - code,
            "signal": signal.Signals(-code).name if code < 0 else None,
            "wall_seconds": wall,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "max_rss_kib": usage.ru_maxrss,
            "started": began,
            "mode": env["FUZZY_MODE"],
            "seed": self.seed(job),
            "sample": int(env["FUZZY_SAMPLE"]),
            "command": self.study["command"],
            "files": env["FUZZY_SAMPLE_DIR"],
            "jobs": self.jobs,
            "environment": {k: env[k] for k in self.study["environment"]},
        }
        if self.executor != "local":
            status["executor"] = self.executor
            status["host"] = socket.gethostname()
        recorded = record_status(Path(env["FUZZY_SAMPLE_DIR"]).parent / "record")
        if recorded is not None:
            status["record"] = recorded
        return status


def record_status(folder: Path) -> dict[str, Any] | None:
    """Return what a run recorded, None for nothing.

    Returns
    -------
    dict or None
        `tensors` and `bytes` of all its processes; `complete`: each wrote its last line;
        `stopped_by_limit`: one of them did.
    """
    total = {"tensors": 0, "bytes": 0, "complete": True, "stopped_by_limit": False}
    found = False
    for index in sorted(folder.rglob("index.jsonl")):
        found = True
        total["tensors"] += sum(1 for _ in index.parent.glob("*.npy"))
        total["bytes"] += sum(p.stat().st_size for p in index.parent.glob("*.npy"))
        with open(index, "rb") as file:
            file.seek(max(0, index.stat().st_size - 4096))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        try:
            line = json.loads(last)
        except ValueError:
            line = {}
        total["complete"] &= bool(line.get("end"))
        total["stopped_by_limit"] |= bool(line.get("stopped_by_limit"))
    return total if found else None


class Collector:
    """Takes the files that a run leaves in its working folder.

    Parameters
    ----------
    patterns : sequence of str
        Globs relative to the working folder; `**` is any folders.
    folder, study : pathlib.Path
        The working folder, and the study's, whose own files do not count.
    """

    def __init__(self, patterns: Sequence[str], folder: Path, study: Path) -> None:
        self.patterns = patterns
        self.folder = folder
        self.study = study
        self._before = self._look()

    def _look(self) -> dict[Path, tuple[int, int, int]]:
        found = {}
        for pattern in self.patterns:
            full = os.path.join(glob.escape(str(self.folder)), pattern)
            for name in glob.iglob(full, recursive=True):
                path = Path(os.path.abspath(name))
                if path.is_file() and self.study not in path.parents:
                    info = path.stat()
                    found[path] = (info.st_mtime_ns, info.st_size, info.st_ino)
        return found

    def take(self, to: Path) -> int:
        """Copy what is new or changed since this collector was made; return how many."""
        taken = 0
        for path, state in sorted(self._look().items()):
            if self._before.get(path) == state:
                continue
            inside = self.folder in path.parents
            place = to / (path.relative_to(self.folder) if inside else path.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():  # what the command put there itself stays
                shutil.copy2(path, place)
                taken += 1
        return taken


def ignores_path(command: Sequence[str]) -> str | None:
    """Return the option of a Python command that keeps it from recording, if it has one."""
    if not os.path.basename(command[0]).startswith(("python", "pypy")):
        return None
    for word in command[1:]:
        if not word.startswith("-") or word.startswith("--") or word in ("-", "-c", "-m"):
            return None
        for letter in word[1:]:
            if letter in "ISE":
                return f"-{letter}"
            if letter in "cmWX":
                break
    return None
