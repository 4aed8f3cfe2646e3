"""Who makes the runs of a study where fuzzyrun itself does not: dask.distributed, Slurm.

SPDX-License-Identifier: Apache-2.0

Each run is one attempt.py, started where the executor decides; the study's folder, which
all machines must see under the same path, is what they share.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import store
from .errors import FuzzyError
from .progress import Progress
from .runs import Job, Recipe
from .store import Run, Store

#: What is called with each run as it gets finished.
Done = Callable[[Job, Run], None]

ATTEMPT = str(Path(__file__).resolve().parent / "attempt.py")
NAMES = "local, dask, dask:ADDRESS or slurm"


def check(name: str) -> str:
    """Return an executor's name if there is such a one."""
    if name in ("local", "dask", "slurm") or (name.startswith("dask:") and name[5:]):
        return name
    raise FuzzyError(f"executor {name!r} is none of {NAMES}")


def make(name: str, home: Store, recipe: Recipe) -> Executor:
    """Return an executor, after a look at whether it can be had.

    Parameters
    ----------
    name : str
        As on the command line.
    home : Store
        The study.
    recipe : Recipe
        How its runs are made.
    """
    if name == "slurm":
        return Slurm(home, recipe)
    return Dask(home, recipe, name.partition(":")[2])


class Executor:
    """What executors share: the recipe in the study's folder."""

    def __init__(self, home: Store, recipe: Recipe) -> None:
        self.home = home
        self.recipe = recipe
        self.place = home.path / store.JOBS
        self.place.mkdir(exist_ok=True)
        store.write_json(
            self.place / "recipe.json",
            {
                "program": recipe.program,
                "library": recipe.library,
                "jobs": recipe.jobs,
                "executor": recipe.executor.partition(":")[0],
            },
        )

    def run(self, jobs: list[Job], done: Done, progress: Progress) -> None:
        """Make all runs, call `done` for each."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what was taken for all calls of `run`."""


# ---- Dask ----------------------------------------------------------------------------


def _task(payload: dict[str, Any]) -> dict[str, Any]:
    """On a worker: one attempt, tied to the worker by a pipe. Sent by value."""
    import json
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, payload["attempt"], "--watch", payload["study"], payload["name"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(json.dumps(payload["env"]).encode() + b"\n")
    process.stdin.flush()
    out, err = process.stdout.read(), process.stderr.read()
    if process.wait() != 0:
        tail = err.decode(errors="replace").strip().splitlines()
        raise RuntimeError(tail[-1] if tail else f"status {process.returncode}")
    return dict(json.loads(out))


class Dask(Executor):
    """dask.distributed: workers of a scheduler, or of a cluster of our own.

    Parameters
    ----------
    home, recipe
        As for all executors.
    address : str
        Of the scheduler; empty for local worker processes, as many as `-j` says.
    """

    def __init__(self, home: Store, recipe: Recipe, address: str) -> None:
        try:
            import cloudpickle
            import distributed
        except ImportError:
            raise FuzzyError(
                "--executor dask needs dask.distributed: pip install "
                "'fuzzytorch[dask]', or distributed"
            ) from None
        self._distributed = distributed
        # A worker need not have this package.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        super().__init__(home, recipe)
        self.address = address
        self._connected: Any = None

    def _client(self) -> Any:
        d = self._distributed
        if self.address:
            try:
                return d.Client(self.address, timeout="20s")
            except (OSError, ValueError, TimeoutError) as error:
                raise FuzzyError(
                    f"no dask scheduler at {self.address}: {error}", 1
                ) from None
        cluster = d.LocalCluster(
            n_workers=self.recipe.jobs,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        )
        return d.Client(cluster)

    def run(self, jobs: list[Job], done: Done, progress: Progress) -> None:
        """Submit one task a run; a task whose worker dies goes to another one."""
        if self._connected is None:
            self._connected = self._client()
        futures = {}
        for job in jobs:
            payload = {
                "attempt": ATTEMPT,
                "study": str(self.home.path),
                "name": job.name,
                "env": dict(os.environ),
            }
            key = f"fuzzyrun-{job.name}-{os.getpid()}-{time.time_ns()}"
            future = self._connected.submit(_task, payload, key=key, pure=False)
            futures[future] = job
            progress.begin(job.name)
        for future in self._distributed.as_completed(futures):
            job = futures[future]
            error = future.exception()
            if error is not None:
                self._failed(job, error)
            run = self.home.find(job.name)
            if run is None:
                raise FuzzyError(
                    f"{job.name} was made by a worker and is not in "
                    f"{self.home.path}: do the workers see this folder?",
                    1,
                )
            done(job, run)
            progress.draw()

    def close(self) -> None:
        """Leave the scheduler; end a cluster of our own, and with it what still runs."""
        client, self._connected = self._connected, None
        if client is not None:
            cluster = getattr(client, "cluster", None)
            client.close()
            if cluster is not None:
                cluster.close()

    def _failed(self, job: Job, error: BaseException) -> None:
        if type(error).__name__ == "KilledWorker":
            why = "each worker that was given it died"
        else:
            why = str(error).split("\n")[0]
        raise FuzzyError(
            f"{job.name}: {why}; finished runs are kept, the same command with "
            f"-o {self.home.path} goes on",
            1,
        ) from None


# ---- Slurm ---------------------------------------------------------------------------

_SCRIPT = """\
#!/bin/sh
#SBATCH --job-name=fuzzyrun
#SBATCH --array=0-{last}%{jobs}
#SBATCH --cpus-per-task={threads}
#SBATCH --output={place}/slurm-%A_%a.out
exec '{python}' '{attempt}' '{study}' '{names}' "$SLURM_ARRAY_TASK_ID"
"""


class Slurm(Executor):
    """A job array by sbatch; options of the site go in its SBATCH_ variables."""

    _POLL_SECONDS = 0.5

    def __init__(self, home: Store, recipe: Recipe) -> None:
        if shutil.which("sbatch") is None:
            raise FuzzyError("--executor slurm: there is no sbatch on PATH")
        super().__init__(home, recipe)

    def _write(self, jobs: list[Job]) -> Path:
        k = 1
        while (self.place / f"array-{k}.sh").exists():
            k += 1
        names = self.place / f"array-{k}.names"
        names.write_text("".join(f"{job.name}\n" for job in jobs), encoding="utf-8")
        script = self.place / f"array-{k}.sh"
        text = _SCRIPT.format(
            last=len(jobs) - 1,
            jobs=self.recipe.jobs,
            threads=self.recipe.study["environment"].get("OMP_NUM_THREADS", "1"),
            place=self.place,
            python=sys.executable,
            attempt=ATTEMPT,
            study=self.home.path,
            names=names,
        )
        if any(c in str(self.home.path) for c in "'%\n"):
            raise FuzzyError(f"{self.home.path}: Slurm does not take ' or % in a path")
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
        return script

    def run(self, jobs: list[Job], done: Done, progress: Progress) -> None:
        """Submit one array, wait for its end, and look what it left."""
        script = self._write(jobs)
        submit = subprocess.Popen(
            ["sbatch", "--wait", "--parsable", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        progress.say(f"job array of {len(jobs)} runs submitted by {script}")
        left = list(jobs)
        # What failed before is there already and does not count.
        old = {job.name: self._stamp(job) for job in jobs}
        try:
            while left:
                over = submit.poll() is not None
                for job in list(left):
                    if self._stamp(job) != old[job.name]:
                        left.remove(job)
                        run = self.home.find(job.name)
                        assert run is not None
                        done(job, run)
                progress.draw()
                if over:
                    break
                time.sleep(self._POLL_SECONDS)
            _, err = submit.communicate()
        except KeyboardInterrupt:
            self._cancel(submit)
            raise
        if left:
            why = err.strip().splitlines() or [f"status {submit.returncode}"]
            raise FuzzyError(
                f"{len(left)} of {len(jobs)} runs of the Slurm array are not there "
                f"(sbatch: {why[-1]}); see {self.place}/slurm-*.out; the same command "
                f"with -o {self.home.path} goes on",
                1,
            )

    def _stamp(self, job: Job) -> int:
        try:
            return (self.home.path / job.name / "status.json").stat().st_mtime_ns
        except OSError:
            return 0

    def _cancel(self, submit: subprocess.Popen[str]) -> None:
        submit.terminate()
        out, _ = submit.communicate()
        number = out.split(";")[0].strip()
        if number and shutil.which("scancel"):
            subprocess.run(["scancel", number], check=False)

