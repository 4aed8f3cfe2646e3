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
from typing import TYPE_CHECKING, Any

from . import launch, runs, store
from .errors import FuzzyError
from .progress import Progress
from .runs import Job
from .store import Run, Store

if TYPE_CHECKING:
    from .executors import Executor

#: FUZZY_ variables that are ours to set, or that do not change the numbers.
_NOT_SETTINGS = {
    "FUZZY_MODE",
    "FUZZY_SEED",
    "FUZZY_REPORT",
    "FUZZY_VERBOSE",
    "FUZZY_LINEAGE",
    "FUZZY_CACHE",
    "FUZZY_CACHE_SIZE",
    "FUZZY_SAMPLE",
    "FUZZY_SAMPLE_DIR",
    "FUZZY_RECORD",
    "FUZZY_OPTIONAL",
}

#: How long a run may take to end after SIGTERM.
_GRACE_SECONDS = 5.0


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
    record : sequence of str
        What to record, of runs.RECORDS.
    record_limit : int, optional
        Bytes of a sample's record.
    collect : sequence of str
        Globs of files to take from the working folder.
    reference : bool
        Make a run with torch's floats in double as well.
    executor : str
        `local`, `dask`, `dask:ADDRESS` or `slurm`.
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
        *,
        record: Sequence[str] = (),
        record_limit: int | None = None,
        collect: Sequence[str] = (),
        reference: bool = False,
        executor: str = "local",
    ) -> None:
        self.command = list(command)
        self.count = count
        self.store = Store(path.absolute())
        self.mode = mode
        self.seed = seed
        self.jobs = jobs
        self.controls = controls
        self.record = list(record)
        self.record_limit = record_limit
        self.collect = list(collect)
        self.reference = reference
        self.executor = executor
        self.study: dict[str, Any] = {}
        self._program = launch.find_command(self.command)
        self._library = launch.find_library()
        self._recipe = runs.Recipe({}, self._program, str(self._library), jobs, executor)
        self._elsewhere: Executor | None = None
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._done: queue.Queue[tuple[Job, Any]] = queue.Queue()

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
        study = {
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
            "record": self.record or None,
            "record_limit": self.record_limit,
            "collect": self.collect or None,
            "wanted": self.count,
            "executor": self.executor,
        }
        return {k: v for k, v in study.items() if v is not None}

    def open(self) -> None:
        """Take the folder, new or of the same study."""
        old = self.store.open()
        new = self._describe(old or {})
        if old is not None:
            self.store.match(old, new)
            self.study = {**old, "wanted": self.count, "executor": self.executor}
        else:
            self.study = new
        if self.study != old:
            try:
                store.write_json(self.store.manifest, self.study)
            except OSError as error:
                raise _disk(self.store.manifest, error) from None
        self._recipe.study = self.study

    # ---- One run -------------------------------------------------------------------

    def _run(self, job: Job) -> Run | None:
        part = self.store.start(job.name)
        env = self._recipe.environment(job, part, dict(os.environ))
        collector = runs.Collector(self.collect, Path.cwd(), self.store.path)
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
        collector.take(part / "files")
        return self.store.finish(
            job.name, self._recipe.status(job, env, code, wall, usage, began)
        )

    def _work(self, todo: queue.SimpleQueue[Job], progress: Progress) -> None:
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

    def _wanted(self, total: int, kind: str) -> list[Job]:
        jobs = []
        for index in range(1, total + 1):
            job = Job(kind, index)
            run = self.store.find(job.name)
            if run is None or not run.ok:
                jobs.append(job)
        return jobs

    def _all(self, jobs: list[Job], progress: Progress) -> None:
        if self.executor != "local":
            if jobs and self._elsewhere is None:
                from .executors import make

                self._elsewhere = make(self.executor, self.store, self._recipe)
            if jobs and self._elsewhere is not None:
                self._elsewhere.run(
                    jobs, lambda job, run: self._say(job, run, progress), progress
                )
            progress.clear()
            return
        todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
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
        self._say(job, outcome, progress)

    def _say(self, job: Job, run: Run, progress: Progress) -> None:
        note = "" if run.ok else _failure(run)
        progress.end(job.name, run.status["wall_seconds"], note)

    def _abandon(self, jobs: list[Job], workers: list[threading.Thread]) -> None:
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

    def _signal(self, jobs: list[Job], number: int) -> None:
        with self._guard:
            for job in jobs:
                if job.process is not None and job.process.returncode is None:
                    try:
                        os.killpg(job.process.pid, number)
                    except ProcessLookupError:
                        pass

    def _warn(self, progress: Progress) -> None:
        option = runs.ignores_path(self.command)
        if self.record and option is not None:
            progress.say(
                f"warning: {self.command[0]} {option} starts a Python that takes nothing "
                f"from outside: it will record nothing"
            )

    def _say_records(self, finished: list[Run], progress: Progress) -> None:
        good = [run for run in finished if run.ok]
        if self.record:
            states = [run.status.get("record") for run in good]
            empty = [run for run, state in zip(good, states) if not state]
            full = [run for run, s in zip(good, states) if s and s["stopped_by_limit"]]
            if empty:
                progress.say(
                    f"nothing was recorded in {len(empty)} of {len(good)} runs: is the "
                    f"command a Python with NumPy (not -I, -S or -E) that calls a "
                    f"torch.nn.Module? See {empty[0].folder}/stderr"
                )
            if full:
                limit = self.record_limit or runs.RECORD_LIMIT
                progress.say(
                    f"recording stopped at the limit of {limit} bytes in {len(full)} of "
                    f"{len(good)} runs (--record-limit)"
                )
        if self.collect and good and not any(any(run.files.iterdir()) for run in good):
            progress.say(
                f"no run wrote a file that matches {' '.join(self.collect)} (--collect)"
            )

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
            controls = self._wanted(self.controls, "control")
            references = self._wanted(int(self.reference), "reference")
            samples = self._wanted(self.count, "sample")
            progress = Progress(
                len(controls) + len(references) + len(samples), self.jobs
            )
            have = self.count - len(samples)
            progress.say(
                f"{self.count} samples in {self.store.path}, mode {self.study['mode']}"
                f", seeds from {self.study['seed']}, {self.jobs} at a time"
                + (f"; {have} there already" if have else "")
            )
            self._warn(progress)
            self._all(controls, progress)
            done = [r for r in self.store.runs(control=True)][: self.controls]
            for run in done:
                if not run.ok:
                    raise FuzzyError(
                        f"the command fails by itself, in mode off: {_failure(run)}"
                        f" (--control 0 samples it all the same)",
                        1,
                    )
            self._all(references, progress)
            self._all(samples, progress)
            finished = self.store.runs()[: self.count]
            self._say_records(done + finished, progress)
            return finished, done
        finally:
            if self._elsewhere is not None:
                self._elsewhere.close()
                self._elsewhere = None
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
