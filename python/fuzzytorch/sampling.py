"""Run a command N times under other seeds, and keep what each run gave.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import errno
import os
import queue
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import launch, store
from .errors import FuzzyError
from .progress import Progress
from .store import Run, Store

#: FUZZY_ variables that are ours to set, or that do not change the numbers.
_NOT_SETTINGS = {
    "FUZZY_MODE",
    "FUZZY_SEED",
    "FUZZY_REPORT",
    "FUZZY_VERBOSE",
    "FUZZY_LINEAGE",
    "FUZZY_CACHE",
    "FUZZY_SAMPLE",
    "FUZZY_SAMPLE_DIR",
}

#: How long a run may take to end after SIGTERM.
_GRACE_SECONDS = 5.0


class _Job:
    """One run to be made: sample or control number `index`, counted from 1."""

    def __init__(self, index: int, control: bool) -> None:
        self.index = index
        self.control = control
        self.name = ""
        self.process: subprocess.Popen[bytes] | None = None


class Sampler:
    """A study: N samples of one command in one folder.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    count : int
        Number of samples.
    path : pathlib.Path
        The study's folder.
    mode : str
        FUZZY_MODE of the samples.
    seed : int or None
        Seed of the first sample; None takes the folder's, or draws one for a new folder.
    jobs : int
        Runs at a time.
    controls : int
        Runs in mode off before the first sample.
    """

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        path: Path,
        mode: str,
        seed: int | None,
        jobs: int,
        controls: int,
    ) -> None:
        self.command = list(command)
        self.count = count
        self.store = Store(path.absolute())
        self.mode = mode
        self.seed = seed
        self.jobs = jobs
        self.controls = controls
        self.study: dict[str, Any] = {}
        self._program = launch.find_command(self.command)
        self._library = launch.find_library()
        self._env: dict[str, str] = {}
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._done: queue.Queue[tuple[_Job, Any]] = queue.Queue()

    # ---- What makes the numbers ----------------------------------------------------

    def _scripts(self) -> dict[str, str]:
        words = [w for w in self.command[1:] if w.endswith(".py")]
        with open(self._program, "rb") as file:
            if file.read(2) == b"#!":
                words.insert(0, self._program)
        return {w: store.file_hash(Path(w)) for w in words if os.path.isfile(w)}

    def _describe(self, old: dict[str, Any]) -> dict[str, Any]:
        """Return study.json; what the user left open is as in the folder, if it has one."""
        seed = self.seed if self.seed is not None else old.get("seed")
        env = dict(old.get("environment", {}))
        cores = len(os.sched_getaffinity(0))
        env.setdefault("OMP_NUM_THREADS", str(max(1, cores // self.jobs)))
        env.setdefault("PYTHONHASHSEED", "0")
        env.update({k: os.environ[k] for k in env if k in os.environ})
        return {
            "format": store.FORMAT,
            "command": self.command,
            "folder": os.getcwd(),
            "scripts": self._scripts(),
            "mode": self.mode,
            "seed": secrets.randbelow(1 << 48) if seed is None else seed,
            "settings": {
                k: v
                for k, v in sorted(os.environ.items())
                if k.startswith("FUZZY_") and k not in _NOT_SETTINGS
            },
            "environment": env,
            "library": store.file_hash(self._library),
        }

    def open(self) -> None:
        """Take the folder, new or of the same study."""
        old = self.store.open()
        self.study = self._describe(old or {})
        if old is not None:
            self.store.match(old, self.study)
            self.study = old
        else:
            try:
                store.write_json(self.store.manifest, self.study)
            except OSError as error:
                raise _disk(self.store.manifest, error) from None
        self._env = {k: v for k, v in os.environ.items() if k != "FUZZY_LINEAGE"}
        self._env.update(self.study["environment"])
        launch.preload(self._env, self._library)

    # ---- One run -------------------------------------------------------------------

    def _seed_of(self, job: _Job) -> int:
        return (self.study["seed"] + job.index - 1) % (1 << 64)

    def _environment(self, job: _Job, part: Path) -> dict[str, str]:
        env = dict(self._env)
        _, comma, callers = env.get("FUZZY_REPORT", "").partition(",")
        report = str(part / "report.json").replace("%", "%%")
        env["FUZZY_REPORT"] = report + comma + callers
        env["FUZZY_MODE"] = "off" if job.control else self.study["mode"]
        env["FUZZY_SEED"] = str(self._seed_of(job))
        # Samples count from 1; 0 is a run without rounding.
        env["FUZZY_SAMPLE"] = "0" if job.control else str(job.index)
        env["FUZZY_SAMPLE_DIR"] = str(part / "files")
        return env

    def _run(self, job: _Job) -> Run | None:
        part = self.store.start(job.name)
        env = self._environment(job, part)
        began = time.time()
        with open(part / "stdout", "wb") as out, open(part / "stderr", "wb") as err:
            with self._guard:
                if self._stop.is_set():
                    return None
                start = time.monotonic()
                # A session of its own: Ctrl-C reaches fuzzyrun alone, which ends the runs.
                try:
                    job.process = subprocess.Popen(
                        self.command,
                        executable=self._program,
                        env=env,
                        stdout=out,
                        stderr=err,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                except OSError as error:
                    raise FuzzyError(
                        f"{self._program}: {error.strerror}", 126
                    ) from None
            # Reaped under the guard only: until then nobody else can get its number, and
            # what _signal() ends is ours.
            os.waitid(os.P_PID, job.process.pid, os.WEXITED | os.WNOWAIT)
            wall = time.monotonic() - start
        with self._guard:
            _, wait_status, usage = os.wait4(job.process.pid, 0)
            code = os.waitstatus_to_exitcode(wait_status)
            job.process.returncode = code
        if self._stop.is_set():
            return None
        return self.store.finish(
            job.name,
            {
                "exit_status": code if code >= 0 else 128 - code,
                "signal": signal.Signals(-code).name if code < 0 else None,
                "wall_seconds": wall,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "max_rss_kib": usage.ru_maxrss,
                "started": began,
                "mode": env["FUZZY_MODE"],
                "seed": self._seed_of(job),
                "sample": int(env["FUZZY_SAMPLE"]),
                "command": self.command,
                "files": env["FUZZY_SAMPLE_DIR"],
                "jobs": self.jobs,
                "environment": {k: env[k] for k in self.study["environment"]},
            },
        )

    def _work(self, todo: queue.SimpleQueue[_Job], progress: Progress) -> None:
        while not self._stop.is_set():
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            progress.begin(job.name)
            try:
                outcome: Any = self._run(job)
            # Any error: the main thread raises it.
            except Exception as error:  # noqa: BLE001
                outcome = error
            self._done.put((job, outcome))

    # ---- All runs ------------------------------------------------------------------

    def _wanted(self, total: int, control: bool) -> list[_Job]:
        jobs = []
        for index in range(1, total + 1):
            job = _Job(index, control)
            job.name = self.store.name(index, control)
            run = self.store.find(job.name)
            if run is None or not run.ok:
                jobs.append(job)
        return jobs

    def _all(self, jobs: list[_Job], progress: Progress) -> None:
        todo: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        for job in jobs:
            todo.put(job)
        workers = [
            threading.Thread(target=self._work, args=(todo, progress), daemon=True)
            for _ in range(min(self.jobs, len(jobs)))
        ]
        try:
            for worker in workers:
                worker.start()
            for _ in jobs:
                self._collect(progress)
        except BaseException:
            self._abandon(jobs, workers)
            raise
        finally:
            progress.clear()
        for worker in workers:
            worker.join()

    def _collect(self, progress: Progress) -> None:
        while True:
            progress.draw()
            try:
                job, outcome = self._done.get(timeout=0.25)
                break
            except queue.Empty:
                continue
        if isinstance(outcome, OSError):
            raise _disk(self.store.path / job.name, outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        status = outcome.status
        note = "" if outcome.ok else _failure(outcome)
        progress.end(job.name, status["wall_seconds"], note)

    def _abandon(self, jobs: list[_Job], workers: list[threading.Thread]) -> None:
        """End what runs and forget it; a second Ctrl-C does not cut this short."""
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        with self._guard:
            self._stop.set()
        deadline = time.monotonic() + _GRACE_SECONDS
        self._signal(jobs, signal.SIGTERM)
        for worker in workers:
            if worker.ident is not None:
                worker.join(max(0.0, deadline - time.monotonic()))
        self._signal(jobs, signal.SIGKILL)
        for worker in workers:
            if worker.ident is not None:
                worker.join()
        for job in jobs:
            self.store.discard(job.name)
        signal.signal(signal.SIGINT, previous)

    def _signal(self, jobs: list[_Job], number: int) -> None:
        with self._guard:
            for job in jobs:
                if job.process is not None and job.process.returncode is None:
                    try:
                        os.killpg(job.process.pid, number)
                    except ProcessLookupError:
                        pass

    def run(self) -> tuple[list[Run], list[Run]]:
        """Make what is missing of the study.

        Returns
        -------
        samples, controls : list of Run
            What is finished now, failed samples included.

        Raises
        ------
        FuzzyError
            The folder cannot be used, the disk is full, or the command fails in mode off.
        KeyboardInterrupt
            On Ctrl-C, when the runs under way have been ended.
        """
        try:
            self.open()
            controls = self._wanted(self.controls, True)
            samples = self._wanted(self.count, False)
            progress = Progress(len(controls) + len(samples), self.jobs)
            have = self.count - len(samples)
            progress.say(
                f"{self.count} samples in {self.store.path}, mode {self.study['mode']}"
                f", seeds from {self.study['seed']}, {self.jobs} at a time"
                + (f"; {have} there already" if have else "")
            )
            self._all(controls, progress)
            done = [r for r in self.store.runs(control=True)][: self.controls]
            for run in done:
                if not run.ok:
                    raise FuzzyError(
                        f"the command fails by itself, in mode off: {_failure(run)}"
                        f" (--control 0 samples it all the same)",
                        1,
                    )
            self._all(samples, progress)
            return self.store.runs()[: self.count], done
        finally:
            self.store.close()


def _failure(run: Run) -> str:
    status = run.status
    how = (
        f"signal {status['signal']}"
        if status["signal"]
        else f"exit status {status['exit_status']}"
    )
    return f"failed with {how}, see {run.folder}/stderr"


def _disk(path: Path, error: OSError) -> FuzzyError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FuzzyError(
            f"{path}: the disk is full: make room and give the same command "
            f"again, finished samples are kept",
            1,
        )
    return FuzzyError(f"{path}: {error.strerror or error}", 1)
