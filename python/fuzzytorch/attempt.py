"""Make one run of a study for an executor: attempt.py STUDY NAME, or STUDY LIST NUMBER.

SPDX-License-Identifier: Apache-2.0

Started by path, by a worker that need not have this package. A run is made by one attempt
at a time, which holds .jobs/NAME.lock; one that finds the run finished does nothing: a
worker that died after its sample must not cost the sample, nor have it made twice. With
--watch, stdin is a pipe from the worker: the environment as a line of JSON, and its end is
the end of the worker, upon which this attempt ends what it started and leaves no trace.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from fuzzytorch import runs, store

_PRCTL = ctypes.CDLL(None).prctl
#: The worker has gone.
_gone = threading.Event()


def _watch(process: subprocess.Popen[bytes]) -> None:
    """End the run when stdin ends; `make` sees to the rest."""
    while os.read(0, 4096):
        continue
    _gone.set()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _die_with_parent() -> None:
    """In the child: end with the attempt, however that ends."""
    _PRCTL(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def make(place: Path, name: str, base: dict[str, str], watch: bool) -> dict[str, Any]:
    """Make a run, if it is not there.

    Parameters
    ----------
    place : pathlib.Path
        The study.
    name : str
        Folder of the run.
    base : dict
        Environment to start from.
    watch : bool
        End with stdin.

    Returns
    -------
    dict
        Its status.
    """
    home = store.Store(place)
    told = store.read_json(place / store.JOBS / "recipe.json")
    recipe = runs.Recipe(store.read_json(home.manifest), **told)
    job = runs.Job.of(name)
    lock = os.open(
        place / store.JOBS / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    )
    fcntl.flock(lock, fcntl.LOCK_EX)
    done = home.find(name)
    if done is not None and done.ok:
        return done.status
    if watch and select.select([0], [], [], 0)[0]:
        os._exit(3)  # the worker has gone while this attempt waited
    part = home.start(name)
    env = recipe.environment(job, part, base)
    folder = Path(recipe.study["folder"])
    collector = runs.Collector(recipe.study.get("collect") or (), folder, place)
    began, start = time.time(), time.monotonic()
    with open(part / "stdout", "wb") as out, open(part / "stderr", "wb") as err:
        process = subprocess.Popen(
            recipe.study["command"],
            executable=recipe.program,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            # No other thread is running yet.
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )

    def end(number: int, frame: object) -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        home.discard(name)
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    if watch:
        threading.Thread(target=_watch, args=(process,), daemon=True).start()
    _, wait_status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    code = os.waitstatus_to_exitcode(wait_status)
    process.returncode = code
    if _gone.is_set():
        home.discard(name)
        os._exit(3)
    collector.take(part / "files")
    return home.finish(name, recipe.status(job, env, code, wall, usage, began)).status


def main() -> int:
    """Read the arguments; print the status as JSON."""
    words = [w for w in sys.argv[1:] if w != "--watch"]
    watch = len(words) < len(sys.argv) - 1
    base = dict(os.environ)
    if watch:
        # Byte by byte: nothing may stay in a buffer that the watching thread does not see.
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                return 3
            line += byte
        base = json.loads(line)
    place, name = Path(words[0]), words[1]
    if len(words) > 2:
        names = Path(name).read_text(encoding="utf-8").split()
        name = names[int(words[2])]
    print(json.dumps(make(place, name, base, watch)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
