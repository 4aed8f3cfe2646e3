"""A folder of samples: what study it holds, which samples are finished, who may write.

SPDX-License-Identifier: Apache-2.0

    DIR/study.json           command, mode, first seed and all else that makes the numbers
    DIR/lock                 locked by the one fuzzyrun that may write
    DIR/control-1/           a run in mode off
    DIR/sample-0001/         a finished run: stdout, stderr, report.json, files/, status.json
    DIR/.part-sample-0002/   a run under way; never counted, removed by the next fuzzyrun

A run becomes finished by one rename of its folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from .errors import FuzzyError

PART = ".part-"
#: Folder of what executors need: recipe, locks of runs, scripts.
JOBS = ".jobs"
FORMAT = 1

#: How each field of study.json is called in an error, in the order they are compared.
IDENTITY = {
    "format": "format of the folder",
    "command": "command",
    "folder": "working folder",
    "scripts": "content of the script",
    "mode": "mode",
    "seed": "first seed",
    "settings": "FUZZY_ settings",
    "environment": "environment",
    "library": "build of the library",
    "record": "what is recorded",
    "record_limit": "limit of the record",
    "collect": "what is collected",
}


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that `path` holds all of it or what it held before."""
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; a clear error where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FuzzyError(f"{path}: {error.strerror}", 1) from None
    except ValueError:
        raise FuzzyError(
            f"{path} is damaged: move the folder away and sample again", 1
        ) from None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def tree_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its relative path."""
    return {
        str(path.relative_to(folder)): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _locked(path: Path) -> bool:
    """Return whether another process holds a lock; a folder one may only read will do."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


class Run:
    """One finished run: a sample or a control.

    Parameters
    ----------
    folder : pathlib.Path
        Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: dict[str, Any] = read_json(folder / "status.json")

    @property
    def ok(self) -> bool:
        """It ended with status 0."""
        return self.status["exit_status"] == 0

    @property
    def files(self) -> Path:
        """The folder that the command knew as FUZZY_SAMPLE_DIR."""
        return self.folder / "files"

    def perturbed(self) -> int | None:
        """Return the calls that the library's reports call perturbed, None without a report.

        Notes
        -----
        Processes of one run that find report.json taken write report.json.PID.
        """
        calls = None
        for path in self.folder.glob("report.json*"):
            try:
                totals = json.loads(path.read_text(encoding="utf-8"))["totals"]
                calls = (calls or 0) + int(totals["perturbed"]["calls"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return calls

    def moved(self) -> int:
        """Return the perturbed sites of the instruction layer in the library's reports."""
        sites = 0
        for path in self.folder.glob("report.json*"):
            try:
                rows = json.loads(path.read_text(encoding="utf-8"))["instructions"]
                sites += sum(int(row["perturbed"]) for row in rows)
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sites

    def text(self) -> str:
        """Return its stdout, with its own folder's path put back to a name common to all."""
        text = (self.folder / "stdout").read_text(encoding="utf-8", errors="replace")
        return text.replace(self.status["files"], "$FUZZY_SAMPLE_DIR")


class Store:
    """The folder of a study.

    Parameters
    ----------
    path : pathlib.Path
        The folder; `open` makes it where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def manifest(self) -> Path:
        """The file that says what study this is."""
        return self.path / "study.json"

    def open(self) -> dict[str, Any] | None:
        """Make or take over the folder, for this process alone.

        Returns
        -------
        dict or None
            What study.json says; None for a new folder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = not self.manifest.exists() and any(
                p.name not in ("lock", "study.json.new", JOBS)
                for p in self.path.iterdir()
            )
            if foreign:
                raise FuzzyError(
                    f"{self.path} holds other things than samples: name a new "
                    f"folder with -o"
                )
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise FuzzyError(f"{self.path}: {error.strerror}", 1) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            raise FuzzyError(
                f"{self.path} is in use by another fuzzyrun (process {owner}): "
                f"wait for it, or name another folder with -o",
                1,
            ) from None
        except OSError as error:
            raise FuzzyError(
                f"{self.path}: cannot be locked: {error.strerror}", 1
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        for left in self.path.glob(PART + "*"):
            if not self.under_way(left.name[len(PART) :]):
                shutil.rmtree(left, ignore_errors=True)
        return read_json(self.manifest) if self.manifest.exists() else None

    def under_way(self, name: str) -> bool:
        """Return whether an executor's attempt at a run is alive."""
        return _locked(self.path / JOBS / f"{name}.lock")

    def in_use(self) -> bool:
        """Return whether a fuzzyrun is at work in the folder."""
        return _locked(self.path / "lock")

    def close(self) -> None:
        """Let another fuzzyrun in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def match(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Raise an error that names the first thing in which two studies differ."""
        for field, name in IDENTITY.items():
            was, now = old.get(field), new.get(field)
            if was == now:
                continue
            if field in ("scripts", "library"):
                detail = "has changed"
            elif isinstance(was, dict) and isinstance(now, dict):
                key = next(k for k in sorted({*was, *now}) if was.get(k) != now.get(k))
                detail = f"{key} was {was.get(key)!r}, is {now.get(key)!r}"
            else:
                if field == "command":
                    was, now = " ".join(was), " ".join(now)
                detail = f"was {was!r}, is {now!r}"
            raise FuzzyError(
                f"{self.path} holds another study ({name}: {detail}): repeat that "
                f"one, or name another folder with -o"
            )

    def name(self, index: int, control: bool) -> str:
        """Return the folder's name of a sample or control, both counted from 1."""
        return f"control-{index}" if control else f"sample-{index:04d}"

    def start(self, name: str) -> Path:
        """Make the folder of a run that begins."""
        part = self.path / (PART + name)
        shutil.rmtree(part, ignore_errors=True)
        (part / "files").mkdir(parents=True)
        started = {"started": time.time(), "host": socket.gethostname()}
        (part / "started.json").write_text(json.dumps(started), encoding="utf-8")
        return part

    def finish(self, name: str, status: dict[str, Any]) -> Run:
        """Count a run: its status is written, then its folder gets its final name."""
        part, final = self.path / (PART + name), self.path / name
        write_json(part / "status.json", status)
        (part / "started.json").unlink(missing_ok=True)
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        return Run(final)

    def discard(self, name: str) -> None:
        """Forget a run that did not come to its end."""
        shutil.rmtree(self.path / (PART + name), ignore_errors=True)

    def find(self, name: str) -> Run | None:
        """Return a finished run, None if there is none of that name."""
        folder = self.path / name
        return Run(folder) if (folder / "status.json").exists() else None

    def runs(self, control: bool = False) -> list[Run]:
        """Return all finished samples, or controls, in their order."""
        pattern = "control-*" if control else "sample-*"
        found = (
            p.name for p in self.path.glob(pattern) if (p / "status.json").exists()
        )
        return [
            Run(self.path / name)
            for name in sorted(found, key=lambda name: int(name.split("-")[1]))
        ]
