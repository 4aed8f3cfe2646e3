"""Read tensors from the files of a run, in pieces, and never unpickle anything.

SPDX-License-Identifier: Apache-2.0

A study may hold more than fits into memory, so an array is read piece by piece with plain
reads (pages of a mapped file would count as ours). What cannot be read in pieces, such as a
compressed file, is copied once into a scratch folder if it is large.
"""

from __future__ import annotations

import atexit
import gzip
import json
import math
import os
import shutil
import struct
import tempfile
import wave
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FuzzyError

#: Arrays that had to be read whole stay in memory up to this many bytes.
_SMALL = 4 << 20

#: Names of dtypes in a safetensors header.
_SAFETENSORS = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "I16": "<i2",
    "U16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "I64": "<i8",
    "U64": "<u8",
    "F16": "<f2",
    "BF16": "<u2",
    "F32": "<f4",
    "F64": "<f8",
}

_NIFTI_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}


class Unreadable(Exception):
    """A file that holds no array that can be read; the text says why."""


class Array:
    """An array in a file, or a small one in memory.

    Parameters
    ----------
    shape : sequence of int
        Its shape.
    dtype : numpy.dtype
        Of the values that `piece` gives.
    source : str, Path or numpy.ndarray
        The file, or the values.
    offset : int
        Where the values begin in the file.
    bfloat16 : bool
        The file holds the upper halves of 32-bit floats.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        source: Path | np.ndarray,
        offset: int = 0,
        bfloat16: bool = False,
    ) -> None:
        self.shape = tuple(int(s) for s in shape)
        self.dtype = np.dtype(np.float32) if bfloat16 else dtype
        self.size = math.prod(self.shape)
        self._stored = dtype
        self._source = source
        self._offset = offset
        self._bfloat16 = bfloat16

    def piece(self, start: int, stop: int) -> np.ndarray:
        """Return the elements from `start` to `stop` in C order."""
        stop = min(stop, self.size)
        if isinstance(self._source, np.ndarray):
            return self._source.reshape(-1)[start:stop]
        width = self._stored.itemsize
        with open(self._source, "rb") as file:
            file.seek(self._offset + start * width)
            values = np.fromfile(file, self._stored, stop - start)
        if len(values) != stop - start:
            raise FuzzyError(f"{self._source} has become shorter while it was read", 1)
        if self._bfloat16:
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values

    def load(self) -> np.ndarray:
        """Return all of it."""
        return self.piece(0, self.size).reshape(self.shape)


class Joined(Array):
    """Arrays one after the other along their first axis.

    Parameters
    ----------
    parts : sequence of Array
        Of the same shape but for the first axis.

    Raises
    ------
    Unreadable
        They do not fit together.
    """

    def __init__(self, parts: Sequence[Array]) -> None:
        inner = {part.shape[1:] for part in parts}
        if len(inner) != 1 or any(not part.shape for part in parts):
            raise Unreadable("parts do not fit together")
        rows = sum(part.shape[0] for part in parts)
        dtype = np.result_type(*(part.dtype for part in parts))
        super().__init__((rows, *parts[0].shape[1:]), dtype, np.zeros(0))
        self._parts = list(parts)

    def piece(self, start: int, stop: int) -> np.ndarray:
        """Return the elements from `start` to `stop` in C order."""
        found = []
        for part in self._parts:
            if start < part.size and stop > 0:
                found.append(part.piece(max(0, start), min(stop, part.size)))
            start -= part.size
            stop -= part.size
        return np.concatenate(found) if found else np.zeros(0, self.dtype)


_scratch: list[Path] = []


def _keep(values: np.ndarray) -> Array:
    """Return an array that was read whole; a large one goes to the scratch folder."""
    values = np.ascontiguousarray(values).reshape(values.shape)
    _check_dtype(values.dtype)
    if values.nbytes <= _SMALL:
        return Array(values.shape, values.dtype, values)
    if not _scratch:
        _scratch.append(Path(tempfile.mkdtemp(prefix="fuzzy-report-")))
        atexit.register(shutil.rmtree, _scratch[0], True)
    number, name = tempfile.mkstemp(dir=_scratch[0])
    with open(number, "wb") as file:
        values.tofile(file)
    return Array(values.shape, values.dtype, Path(name))


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biufc":
        raise Unreadable(f"holds {dtype}, not numbers")


def npy(path: Path) -> Array:
    """Return the array of a .npy file.

    Raises
    ------
    Unreadable
        It is damaged, cut short, or holds Python objects.
    """
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read: Any = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        except (ValueError, EOFError, KeyError, TypeError, SyntaxError):
            raise Unreadable("is no complete .npy file") from None
        offset = file.tell()
    if dtype.hasobject:
        raise Unreadable("holds Python objects, which are not read")
    _check_dtype(dtype)
    need = math.prod(shape) * dtype.itemsize
    have = os.stat(path).st_size - offset
    if have < need:
        raise Unreadable(f"is cut short: {have} of {need} bytes")
    if fortran and len(shape) > 1:
        return _keep(np.load(path, allow_pickle=False))
    return Array(shape, dtype, path, offset)


def _npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as members:
        return {name: _keep(members[name]) for name in members.files}


def _safetensors(path: Path) -> dict[str, Array]:
    total = os.stat(path).st_size
    with open(path, "rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else total
        if length + 8 > total:
            raise Unreadable("is no complete safetensors file")
        header = json.loads(file.read(length))
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind = entry["dtype"]
        if kind not in _SAFETENSORS:
            raise Unreadable(f"holds {kind}, which is not known")
        begin, end = entry["data_offsets"]
        dtype = np.dtype(_SAFETENSORS[kind])
        bad = end - begin != math.prod(entry["shape"]) * dtype.itemsize
        if bad or begin < 0 or 8 + length + end > total:
            raise Unreadable("is cut short")
        found[name] = Array(
            entry["shape"], dtype, path, 8 + length + begin, kind == "BF16"
        )
    return found


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts and lists by their path."""
    if isinstance(value, dict):
        items = [(f"{name}.{k}" if name else str(k), v) for k, v in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(f"{name}[{i}]", v) for i, v in enumerate(value)]
    else:
        return {name: value}
    return {key: leaf for k, v in items for key, leaf in _flat(v, k).items()}


def _pt(path: Path) -> dict[str, Array]:
    try:
        import torch
    except ImportError:
        raise Unreadable("needs PyTorch in the Python of the report") from None
    value = torch.load(path, map_location="cpu", weights_only=True)
    found = {}
    for name, leaf in _flat(value).items():
        if isinstance(leaf, torch.Tensor):
            tensor = leaf.detach().resolve_conj()
            narrow = tensor.dtype in (torch.bfloat16, torch.float16)
            found[name] = _keep((tensor.float() if narrow else tensor).numpy())
        elif isinstance(leaf, (int, float)):
            found[name] = _keep(np.asarray(leaf))
    return found


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _nested(value: Any, name: str, found: dict[str, Array]) -> None:
    if _number(value):
        found[name] = _keep(np.asarray(float(value)))
    elif isinstance(value, dict):
        for key, item in value.items():
            _nested(item, f"{name}.{key}" if name else str(key), found)
    elif isinstance(value, list) and value:
        try:
            values = np.asarray(value)
        except ValueError:
            values = np.asarray("ragged")
        if values.dtype.kind in "iuf":
            found[name] = _keep(values.astype(np.float64))
        else:
            for i, item in enumerate(value):
                _nested(item, f"{name}[{i}]", found)


def _json(path: Path) -> dict[str, Array]:
    text = path.read_text(encoding="utf-8")
    try:
        value = json.loads(text)
    except ValueError:  # one JSON value a line, as logs of training are
        value = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        value = {k: [row.get(k) for row in value] for k in value[0]}
    found: dict[str, Array] = {}
    _nested(value, "", found)
    return found


def _csv(path: Path) -> dict[str, Array]:
    import csv

    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise Unreadable("is empty")

    def numbers(cells: Sequence[str]) -> list[float] | None:
        try:
            return [float(cell) for cell in cells]
        except ValueError:
            return None

    named = numbers(rows[0]) is None
    names = rows[0] if named else [f"column {i + 1}" for i in range(len(rows[0]))]
    body = rows[1:] if named else rows
    if any(len(row) != len(names) for row in body):
        raise Unreadable("has rows of different lengths")
    found = {}
    for i, name in enumerate(names):
        column = numbers([row[i] for row in body])
        if column:
            found[name] = _keep(np.asarray(column))
    return found


def _nifti(path: Path) -> dict[str, Array]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        data = file.read()
    if len(data) < 352 or data[344:347] not in (b"n+1",):
        raise Unreadable("is no NIfTI-1 file in one piece")
    order = "<" if struct.unpack("<i", data[:4])[0] == 348 else ">"
    dims = struct.unpack(f"{order}8h", data[40:56])
    code = struct.unpack(f"{order}h", data[70:72])[0]
    offset = int(struct.unpack(f"{order}f", data[108:112])[0])
    slope, intercept = struct.unpack(f"{order}2f", data[112:120])
    if code not in _NIFTI_TYPES or not 1 <= dims[0] <= 7:
        raise Unreadable("is a NIfTI file of a type that is not known")
    shape = dims[1 : dims[0] + 1]
    dtype = np.dtype(order + _NIFTI_TYPES[code])
    if len(data) < offset + math.prod(shape) * dtype.itemsize:
        raise Unreadable("is cut short")
    values = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(
        shape, order="F"
    )
    values = values.astype(dtype.newbyteorder("="))
    if slope not in (0.0, 1.0) or (slope == 1.0 and intercept != 0.0):
        values = values * np.float64(slope) + np.float64(intercept)
    return {"": _keep(values)}


def _wav(path: Path) -> dict[str, Array]:
    with wave.open(str(path), "rb") as file:
        width, channels = file.getsampwidth(), file.getnchannels()
        if width not in (1, 2, 4):
            raise Unreadable(f"has {8 * width} bits a sample, which is not known")
        data = file.readframes(file.getnframes())
    dtype = np.dtype({1: "u1", 2: "<i2", 4: "<i4"}[width])
    scale = float(1 << (8 * width - 1))
    values = np.frombuffer(data, dtype).reshape(-1, channels) / scale
    return {"": _keep(values - 1.0 if width == 1 else values)}


def _png(path: Path) -> dict[str, Array]:
    try:
        from PIL import Image
    except ImportError:
        raise Unreadable("needs Pillow: pip install 'fuzzytorch[report]'") from None
    with Image.open(path) as image:
        return {"": _keep(np.asarray(image).astype(np.float64))}


_READERS: dict[str, Callable[[Path], dict[str, Array]]] = {
    ".npy": lambda path: {"": npy(path)},
    ".npz": _npz,
    ".pt": _pt,
    ".pth": _pt,
    ".safetensors": _safetensors,
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json,
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".wav": _wav,
    ".png": _png,
}


def kind_of(path: Path) -> str | None:
    """Return the ending by which a file is read, None if there is no reader for it."""
    name = path.name.lower()
    return max((e for e in _READERS if name.endswith(e)), key=len, default=None)


def open_file(path: Path) -> dict[str, Array]:
    """Return the arrays of a file by their names in it; "" names the only one of a file.

    Raises
    ------
    Unreadable
        The file is damaged, or holds what is not read.
    """
    ending = kind_of(path)
    if ending is None:
        raise Unreadable("is of no kind that is compared")
    try:
        return _READERS[ending](path)
    except Unreadable:
        raise
    except OSError as error:
        raise Unreadable(str(error.strerror or error)) from None
    # A foreign file can be wrong in any way, and its reader fail in any way.
    except (Exception, zipfile.BadZipFile) as error:  # noqa: BLE001
        line = str(error).strip().splitlines()
        what = line[0][:120] if line else type(error).__name__
        raise Unreadable(f"is damaged or not of its kind ({what})") from None
