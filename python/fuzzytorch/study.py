"""Read a study folder: its runs, what they recorded, and what they have in common.

SPDX-License-Identifier: Apache-2.0

docs/study-format.md describes the folder. Whatever is damaged, missing or still under way is
listed as a problem, in one line each; the rest is read.
"""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import arrays, store
from .arrays import Array, Unreadable
from .errors import FuzzyError
from .store import Run, Store

#: Folders below record/ that hold a record of their own.
_SUB_RECORDS = ("rank-*", "process-*")


class Key(NamedTuple):
    """What names a quantity in each run.

    Attributes
    ----------
    place : str
        "" or the folder of a rank or of a further process; "files" for collected files.
    name, kind, pass_ : str
        As in the index; kind is "file" for collected files.
    call : int
        Count of calls of the module before this one.
    """

    place: str
    name: str
    kind: str
    pass_: str
    call: int


class Entry(NamedTuple):
    """A tensor of one run.

    Attributes
    ----------
    key : Key
        Its name.
    array : Array
        Its values.
    info : dict
        The line of the index.
    """

    key: Key
    array: Array
    info: dict[str, Any]


@dataclass
class Record:
    """What one run left.

    Attributes
    ----------
    run : Run
        The run.
    entries : dict
        Tensors by key, in the order of execution.
    partial : bool
        A record has no end: the process did not come to its own.
    limited : bool
        The record stopped at --record-limit.
    problems : list of str
        What could not be read.
    """

    run: Run
    entries: dict[Key, Entry] = field(default_factory=dict)
    partial: bool = False
    limited: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass
class Quantity:
    """One tensor, in all runs that have it.

    Attributes
    ----------
    key : Key
        Its name.
    info : dict
        The line of the index in the first sample that has it.
    samples : dict
        Arrays by number of the sample.
    controls : dict
        Arrays by number of the control.
    exact : Array or None
        Of the run in double.
    missing : list of int
        Samples without it.
    shapes : list of tuple
        The different shapes, the commonest first; more than one: ragged.
    """

    key: Key
    info: dict[str, Any]
    samples: dict[int, Array] = field(default_factory=dict)
    controls: dict[int, Array] = field(default_factory=dict)
    exact: Array | None = None
    missing: list[int] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What the reports call it."""
        key = self.key
        text = key.name
        if key.call:
            text += f" (call {key.call + 1})"
        if key.place not in ("", "files"):
            text = f"{key.place}: {text}"
        return text

    @property
    def ragged(self) -> bool:
        """Its shape depends on the sample."""
        return len(self.shapes) > 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.shapes[0]

    @property
    def usable(self) -> list[Array]:
        """Arrays of the samples, of one shape; none of a ragged quantity."""
        return [] if self.ragged else list(self.samples.values())

    @property
    def stock(self) -> Array | None:
        """Array of the first run in mode off that has the samples' shape."""
        for array in self.controls.values():
            if array.shape == self.shape:
                return array
        return None

    @property
    def significand(self) -> int:
        """Explicit bits of the significand of the type that it was computed in."""
        known = {"float64": 52, "complex128": 52, "bfloat16": 7, "float16": 10}
        if self.key.kind == "file" and "dtype" not in self.info:
            # Text and pictures hold numbers of f32 as a rule, whatever they are read as.
            return 23
        return known.get(str(self.info.get("dtype")), 23)


def _lines(path: Path, problems: list[str]) -> tuple[list[dict[str, Any]], bool]:
    """Return the whole lines of an index and whether it has its end."""
    lines: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
        return lines, False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = dict(json.loads(line).items())
        except (ValueError, AttributeError):
            if number < text.count("\n"):  # the last one may be cut
                problems.append(f"{path}: line {number} is damaged: left out")
            continue
        lines.append(entry)
    return lines, bool(lines and lines[-1].get("end"))


def _read_index(folder: Path, place: str, record: Record) -> None:
    index = folder / "index.jsonl"
    lines, ended = _lines(index, record.problems)
    record.partial |= not ended
    for line in lines:
        record.limited |= bool(line.get("stopped_by_limit"))
        if "file" not in line:
            continue
        try:
            key = Key(
                place,
                str(line["name"]),
                str(line["kind"]),
                str(line.get("pass", "forward")),
                int(line.get("call", 0)),
            )
            name = str(line["file"])
        except (KeyError, ValueError, TypeError):
            record.problems.append(f"{index}: a line without name or kind: left out")
            continue
        path = folder / name
        if path.parent != folder:
            record.problems.append(f"{index}: {name} lies elsewhere: left out")
            continue
        try:
            record.entries[key] = Entry(key, arrays.npy(path), line)
        except Unreadable as why:
            record.problems.append(f"{path} {why}: left out")
        except OSError as error:
            record.problems.append(f"{path}: {error.strerror}: left out")


def _read_files(folder: Path, record: Record) -> None:
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or arrays.kind_of(path) is None:
            continue
        name = str(path.relative_to(folder))
        try:
            found = arrays.open_file(path)
        except Unreadable as why:
            record.problems.append(f"{path} {why}: left out")
            continue
        typed = arrays.kind_of(path) in (".npy", ".npz", ".pt", ".pth", ".safetensors")
        for inner, array in found.items():
            key = Key("files", f"{name}:{inner}" if inner else name, "file", "end", 0)
            info: dict[str, Any] = {"kind": "file", "name": key.name}
            if typed:
                info["dtype"] = str(array.dtype)
            record.entries[key] = Entry(key, array, info)


def read_record(run: Run) -> Record:
    """Return what a run recorded and which files it left.

    Parameters
    ----------
    run : Run
        A finished run.
    """
    record = Record(run)
    base = run.folder / "record"
    places = [base] + sorted(p for g in _SUB_RECORDS for p in base.glob(g))
    for folder in places:
        if (folder / "index.jsonl").exists():
            _read_index(folder, "" if folder == base else folder.name, record)
        elif any(folder.glob("*.npy")):
            record.partial = True
            record.problems.append(f"{folder} has no index.jsonl: not read")
    if run.files.is_dir():
        _read_files(run.files, record)
    return record


class Study:
    """A study folder that is read and never written.

    Parameters
    ----------
    path : str or pathlib.Path
        The folder.

    Raises
    ------
    FuzzyError
        There is no study in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.store = Store(self.path)
        if not self.store.manifest.exists():
            raise FuzzyError(
                f"{self.path}: no study there (no study.json): "
                f"fuzzyrun -n N -o {self.path} -- COMMAND makes one"
            )
        manifest = store.read_json(self.store.manifest)
        if not isinstance(manifest, dict) or "command" not in manifest:
            raise FuzzyError(f"{self.store.manifest} is no study's", 1)
        if manifest.get("format", store.FORMAT) > store.FORMAT:
            raise FuzzyError(
                f"{self.path} has format {manifest['format']}: a newer fuzzyrun made it"
            )
        self.manifest: dict[str, Any] = manifest
        self.problems: list[str] = []
        all_samples = self._runs("sample-*")
        self.failed = [run for run in all_samples if not run.ok]
        self.samples = [run for run in all_samples if run.ok]
        self.controls = [run for run in self._runs("control-*") if run.ok]
        exact = [run for run in self._runs("reference-f64") if run.ok]
        self.exact = exact[0] if exact else None
        self.running = self.store.in_use()
        self.under_way = len(list(self.path.glob(store.PART + "sample-*")))
        self._records: dict[Path, Record] = {}

    def _runs(self, pattern: str) -> list[Run]:
        runs = []
        for folder in sorted(self.path.glob(pattern), key=_number):
            if not folder.is_dir():
                continue
            try:
                runs.append(Run(folder))
                runs[-1].ok  # noqa: B018  (a status without its fields is damaged)
            except (FuzzyError, KeyError, TypeError):
                if runs and runs[-1].folder == folder:
                    runs.pop()
                self.problems.append(f"{folder}/status.json is damaged: run left out")
        return runs

    @property
    def wanted(self) -> int | None:
        """Samples that were asked for last, None if the folder does not say."""
        value = self.manifest.get("wanted")
        return int(value) if value is not None else None

    @property
    def partial(self) -> bool:
        """It is under way, or samples that were asked for are missing."""
        return self.running or len(self.samples) < (self.wanted or 0)

    def record(self, run: Run) -> Record:
        """Return what a run recorded; read once."""
        if run.folder not in self._records:
            self._records[run.folder] = read_record(run)
            self.problems += self._records[run.folder].problems
        return self._records[run.folder]

    def quantities(self) -> list[Quantity]:
        """Return what the samples recorded, in the order of execution."""
        found: dict[Key, Quantity] = {}
        numbers = [_number(run.folder) for run in self.samples]
        for number, run in zip(numbers, self.samples):
            for key, entry in self.record(run).entries.items():
                quantity = found.setdefault(key, Quantity(key, entry.info))
                quantity.samples[number] = entry.array
        for run in self.controls:
            for key, entry in self.record(run).entries.items():
                if key in found:
                    found[key].controls[_number(run.folder)] = entry.array
        if self.exact is not None:
            for key, entry in self.record(self.exact).entries.items():
                if key in found:
                    found[key].exact = entry.array
        for quantity in found.values():
            quantity.missing = [k for k in numbers if k not in quantity.samples]
            shapes = Counter(a.shape for a in quantity.samples.values())
            quantity.shapes = [shape for shape, _ in shapes.most_common()]
        return list(found.values())


def _number(path: Path) -> int:
    last = path.name.rpartition("-")[2]
    return int(last) if last.isdigit() else 0


def outermost(quantities: list[Quantity]) -> list[Quantity]:
    """Return the outputs: of outermost modules, what was given a name, and files."""
    return [q for q in quantities if q.key.kind in ("output", "record", "file")]


def matching(quantities: list[Quantity], patterns: list[str]) -> Iterator[Quantity]:
    """Yield the quantities whose label matches one of some patterns."""
    for quantity in quantities:
        if any(fnmatch.fnmatchcase(quantity.label, p) for p in patterns):
            yield quantity
