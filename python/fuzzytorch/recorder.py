"""Store what the modules of a running PyTorch give, without changing any of it.

SPDX-License-Identifier: Apache-2.0

Loaded alone, by inject/sitecustomize.py into the Python of the sampled command, or by the
API: it imports nothing of this package. docs/study-format.md describes what it writes.

Recording must not change the run. So no tensor is computed with: bits are copied by NumPy,
bfloat16 is widened as integers, no thread is started (which would shift the lineages of
those that the program starts), and whatever goes wrong ends the recording with one line.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import util
from typing import Any

import numpy as np
import torch

#: Wrappers that compute nothing of their own: the module inside is recorded instead.
_TRANSPARENT = ("DataParallel", "DistributedDataParallel")
_RANKS = (
    "RANK",
    "OMPI_COMM_WORLD_RANK",
    "PMI_RANK",
    "SLURM_PROCID",
    "LOCAL_RANK",
)
_WIDEST_NESTING = 8

_is_compiling: Callable[[], bool] = getattr(
    getattr(torch, "compiler", None), "is_compiling", lambda: False
)


def _say(line: str) -> None:
    sys.stderr.write(f"fuzzyrun: {line}\n")


def parts(value: Any, suffix: str = "", level: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of a module's output, each with what its name gets appended."""
    if isinstance(value, torch.Tensor):
        yield suffix, value
    elif level == _WIDEST_NESTING:
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from parts(item, f"{suffix}.{key}", level + 1)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for key in value._fields:
            yield from parts(getattr(value, key), f"{suffix}.{key}", level + 1)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from parts(item, f"{suffix}[{i}]", level + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            item = getattr(value, field.name, None)
            yield from parts(item, f"{suffix}.{field.name}", level + 1)


def array(tensor: torch.Tensor) -> tuple[np.ndarray, str | None]:
    """Return a tensor's numbers and what was done to store them.

    Raises
    ------
    TypeError
        It has none to store: on the meta device, a tracer's, an 8-bit float.
    """
    with torch.no_grad():
        t, note = tensor.detach(), None
        if t.device.type == "meta":
            raise TypeError("on the meta device")
        if t.layout == torch.sparse_coo:
            t, note = t._values(), "values of a sparse tensor"
        elif t.layout != torch.strided:
            t, note = t.values(), f"values of a tensor of layout {tensor.layout}"
        if t.is_quantized:
            t, note = t.int_repr(), "integers of a quantised tensor"
        if t.device.type != "cpu":
            t = t.cpu()
        if t.dtype == torch.bfloat16:
            wide = np.asarray(t.view(torch.int16).numpy(), order="C").view(np.uint16)
            shifted = wide.astype(np.uint32) << np.uint32(16)
            return shifted.view(np.float32), "bfloat16 stored as float32"
        if t.is_conj():
            return np.conj(t.conj().numpy()), note
        values = t.numpy()
        if t.dtype == torch.float16:
            return values.astype(np.float32, order="C"), "float16 stored as float32"
        return np.asarray(values, order="C"), note


def header(a: np.ndarray) -> bytes:
    """Return what stands before an array's bytes in a .npy file."""
    shape = ", ".join(map(str, a.shape)) + ("," if a.ndim == 1 else "")
    text = f"{{'descr': '{a.dtype.str}', 'fortran_order': False, 'shape': ({shape}), }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


class Names:
    """Qualified names of modules: see docs/study-format.md."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}
        self._labels: set[str] = set()
        self._before: dict[str, str] = {}

    def get(self, module: torch.nn.Module) -> str | None:
        """Return a module's name, None for one that has none yet."""
        ref, name = self._known.get(id(module), (None, ""))
        return name if ref is not None and ref() is module else None

    def _set(self, module: torch.nn.Module, name: str) -> None:
        if self.get(module) is None:
            self._known[id(module)] = (weakref.ref(module), name)

    @staticmethod
    def _inner(module: torch.nn.Module) -> torch.nn.Module:
        while True:
            inner = getattr(module, "_orig_mod", None)
            if not isinstance(inner, torch.nn.Module):
                return module
            module = inner

    def root(self, module: torch.nn.Module) -> str:
        """Return the name of an outermost module, and give all inside it theirs."""
        name = self.get(module)
        if name is not None:
            return name
        kind = type_name(self._inner(module))
        label, k = kind, 1
        while label in self._labels:
            k += 1
            label = f"{kind}#{k}"
        before = f"{label}/" if self._labels else ""
        self._labels.add(label)
        self._before[label] = before
        self._set(module, label)
        for path, inner in module.named_modules():
            words = [w for w in path.split(".") if w not in ("", "_orig_mod")]
            self._set(inner, before + ".".join(words) if words else label)
        return label

    def inner(self, module: torch.nn.Module, root: torch.nn.Module) -> str:
        """Return the name of a module that was called inside another."""
        name = self.get(module)
        if name is None:  # made after its parent was first called, or held in a list
            name = f"{self.root(root)}/{type_name(module)}"
            k = 1
            while name in self._labels:
                k += 1
                name = f"{self.root(root)}/{type_name(module)}#{k}"
            self._labels.add(name)
            self._set(module, name)
        return name

    def prefix(self, root: torch.nn.Module) -> str:
        """Return what the names of an outermost module's parameters begin with."""
        name = self.root(root)
        return self._before.get(name, f"{name}.")


def type_name(module: torch.nn.Module) -> str:
    """Return a module's class; of TorchScript, the class that was compiled."""
    return str(getattr(module, "original_name", None) or type(module).__name__)


class Recorder:
    """The record of this process.

    Parameters
    ----------
    what : set of str
        Of outputs, modules, params, grads, f64; may be empty, for `record` alone.
    limit : int
        Bytes of all records of the sample.
    root : str
        Folder `record` of the sample.
    """

    def __init__(self, what: set[str], limit: int, root: str) -> None:
        self.what = what
        self.root = root
        rank = next((os.environ[k] for k in _RANKS if os.environ.get(k)), None)
        self.rank = int(rank) if rank is not None and rank.isdigit() else None
        world = os.environ.get("WORLD_SIZE", "1")
        self.limit = limit // max(1, int(world) if world.isdigit() else 1)
        self._local = threading.local()
        self._begin()

    def _begin(self) -> None:
        self.folder: str | None = None
        self._index = -1
        self._guard = threading.RLock()
        self._order = 0
        self._files = 0
        self._bytes = 0
        self._stopped = self._limited = self._ended = False
        self._calls: Counter[Any] = Counter()
        self._names = Names()
        # Parameters are taken at the end, when the program may have let go of them.
        self._roots: list[torch.nn.Module] = []

    # ---- Files ---------------------------------------------------------------------

    def _claim(self) -> None:
        """Take the first free folder: of this rank, else of this further process."""
        base = os.path.join(self.root, f"rank-{self.rank}") if self.rank else self.root
        k = 1
        while self._index < 0:
            folder = base if k == 1 else os.path.join(base, f"process-{k}")
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, "index.jsonl")
            try:
                self._index = os.open(
                    path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                )
            except FileExistsError:
                k += 1
        self.folder = folder
        for place, _, files in os.walk(base if k > 1 else ""):
            self._bytes += sum(os.path.getsize(os.path.join(place, f)) for f in files)

    def _line(self, entry: dict[str, Any]) -> None:
        if self._index < 0:
            self._claim()
        data = (json.dumps(entry) + "\n").encode()
        self._bytes += len(data)
        while data:
            data = data[os.write(self._index, data) :]

    def _stop(self, why: str) -> None:
        self._stopped = True
        _say(f"recording stopped: {why}")

    def store(self, name: str, tensor: torch.Tensor, entry: dict[str, Any]) -> None:
        """Write one tensor and its line; never raises."""
        if self._stopped or self._ended:
            return
        with self._guard:
            try:
                self._store(name, tensor, entry)
            except OSError as error:
                self._stop(f"{self.root}: {error.strerror}")
            except Exception as error:  # noqa: BLE001
                self._stop(f"{name}: {error}")

    def _store(self, name: str, tensor: torch.Tensor, entry: dict[str, Any]) -> None:
        try:
            values, note = array(tensor)
        except (TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
            self._line({"skipped": name, "why": str(error).split("\n")[0][:200]})
            return
        if self._index < 0:
            self._claim()
        head = header(values)
        if self._bytes + len(head) + values.nbytes > self.limit:
            self._limited = True
            self._stop(
                f"at {name} the limit of {self.limit} bytes is reached, what comes after "
                f"is not recorded: --record-limit sets it"
            )
            return
        file = f"{self._files:05d}.npy"
        assert self.folder is not None
        with open(os.path.join(self.folder, file), "xb", buffering=0) as out:
            _write(out, head)
            if values.nbytes:
                _write(out, values.reshape(-1).view(np.uint8).data)
        self._files += 1
        self._bytes += len(head) + values.nbytes
        line = {
            "name": name,
            **entry,
            "order": self._order,
            "file": file,
            "dtype": str(tensor.dtype).replace("torch.", ""),
            "shape": list(tensor.shape),
        }
        if self.rank is not None:
            line["rank"] = self.rank
        if note:
            line["note"] = note
        self._order += 1
        self._line(line)

    # ---- What is recorded ----------------------------------------------------------

    def module(self, module: torch.nn.Module, out: Any, root: torch.nn.Module) -> None:
        """Record the output of a module's call."""
        outermost = module is root
        if not (outermost or "modules" in self.what or "grads" in self.what):
            return
        try:
            with self._guard:
                name = (
                    self._names.root(module)
                    if outermost
                    else self._names.inner(module, root)
                )
                call = self._calls[name]
                self._calls[name] += 1
        except Exception as error:  # noqa: BLE001
            self._stop(str(error))
            return
        entry = {
            "module": name,
            "type": type_name(module),
            "kind": "output" if outermost else "module",
            "pass": "forward",
            "call": call,
        }
        for suffix, tensor in parts(out):
            if "modules" in self.what or (outermost and "outputs" in self.what):
                self.store(name + suffix, tensor, entry)
            if "grads" in self.what and tensor.requires_grad:
                self._watch(name + suffix, tensor, entry)

    def _watch(self, name: str, tensor: torch.Tensor, entry: dict[str, Any]) -> None:
        back = {**entry, "kind": "grad", "pass": "backward"}
        with self._guard:
            # A module that returns its input has been watched as that already.
            tensor.register_hook(lambda grad: self.store(name, grad, back))

    def enter(self, root: torch.nn.Module) -> None:
        """Name what is inside an outermost module, before any of it is called."""
        try:
            with self._guard:
                self._names.root(root)
        except Exception as error:  # noqa: BLE001
            self._stop(str(error))
        if "params" in self.what and not any(r is root for r in self._roots):
            self._roots.append(root)

    def named(self, name: str, tensor: torch.Tensor) -> None:
        """Record what the program names."""
        with self._guard:
            call = self._calls["record", name]
            self._calls["record", name] += 1
        self.store(name, tensor, {"kind": "record", "pass": "forward", "call": call})

    def _parameters(self) -> None:
        seen: set[int] = set()
        for root in self._roots:
            before = self._names.prefix(root)
            for kind, named in (
                ("param", root.named_parameters()),
                ("grad", root.named_parameters()),
                ("param", root.named_buffers()),
            ):
                for name, tensor in named:
                    if kind == "grad":
                        tensor = tensor.grad
                    if tensor is None or id(tensor) in seen:
                        continue
                    seen.add(id(tensor))
                    entry = {"kind": kind, "pass": "end", "call": 0}
                    name = before + name.replace("_orig_mod.", "")
                    self.store(name, tensor, entry)

    def finish(self) -> None:
        """Take the parameters, and write the last line."""
        if self._ended:
            return
        with self._guard:
            try:
                self._parameters()
                if self._index >= 0:
                    self._line(
                        {
                            "end": True,
                            "tensors": self._order,
                            "bytes": self._bytes,
                            "stopped_by_limit": self._limited,
                        }
                        if self._limited or not self._stopped
                        else {"stopped": True}
                    )
            except Exception as error:  # noqa: BLE001
                self._stop(str(error))
            self._ended = True
            self._roots.clear()

    def forked(self) -> None:
        """In a forked child: a record of its own, if it records at all."""
        if self._index >= 0:
            os.close(self._index)
        self._begin()

    def in_worker(self) -> None:
        """In a child of multiprocessing, which ends past atexit."""
        util.Finalize(None, self._finish_child, exitpriority=0)

    def _finish_child(self) -> None:
        if self._index >= 0:
            self.finish()


def _write(out: Any, data: Any) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


current: Recorder | None = None


def get() -> Recorder | None:
    """Return the recorder of this process, made at the first call; None outside fuzzyrun."""
    global current
    setting = os.environ.get("FUZZY_RECORD", "")
    if current is None and setting.count(";") >= 2:
        what, limit, root = setting.split(";", 2)
        current = Recorder(set(what.split(",")) - {""}, int(limit), root)
        atexit.register(current.finish)
        os.register_at_fork(after_in_child=current.forked)
        util.register_after_fork(current, Recorder.in_worker)
    return current


def _in_double(value: Any) -> Any:
    """Return floats of an input in double, for the reference run."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_in_double, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_in_double, value))
    if isinstance(value, dict):
        return {key: _in_double(item) for key, item in value.items()}
    return value


def install() -> None:
    """Wrap torch.nn.Module.__call__."""
    recorder = get()
    if recorder is None:
        return
    double = "f64" in recorder.what
    if not recorder.what:
        return
    local = threading.local()
    call = torch.nn.Module.__call__
    tracing = torch._C._get_tracing_state

    @functools.wraps(call)
    def recorded(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if _is_compiling() or tracing() is not None:
            return call(self, *args, **kwargs)
        if type(self).__name__ in _TRANSPARENT:
            return call(self, *args, **kwargs)
        root = getattr(local, "root", None)
        if root is not None:
            out = call(self, *args, **kwargs)
            recorder.module(self, out, root)
            return out
        recorder.enter(self)
        local.root = self
        default = torch.get_default_dtype()
        try:
            if double:
                # Not before: random weights and inputs are other numbers in double.
                self.double()
                args, kwargs = _in_double(args), _in_double(kwargs)
                torch.set_default_dtype(torch.float64)
            out = call(self, *args, **kwargs)
        finally:
            local.root = None
            if double:
                torch.set_default_dtype(default)
        recorder.module(self, out, self)
        return out

    torch.nn.Module.__call__ = recorded  # type: ignore[method-assign]
