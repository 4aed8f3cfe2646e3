"""Samples inside one process: import and model loading are paid once.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import copy
import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import api


class NotDeterministic(AssertionError):
    """Two samples in mode off differ: the spread would not be rounding's alone."""


class Sample:
    """One pass of the loop over `samples`.

    Attributes
    ----------
    index : int
        From 1; 0 in a control.
    seed : int or None
        The seed in force; None without the library.
    control : bool
        In mode off, before the first sample.
    records : dict
        What was recorded: name to a list of arrays, one for each time.
    """

    def __init__(self, index: int, seed: int | None, control: bool = False) -> None:
        self.index = index
        self.seed = seed
        self.control = control
        self.records: dict[str, list[Any]] = {}

    def record(self, name: str, tensor: Any) -> Any:
        """Keep a copy of a tensor, array or number; return it."""
        self.records.setdefault(name, []).append(_copied(tensor))
        return tensor

    def __repr__(self) -> str:
        return f"Sample({self.index}, seed={self.seed}, control={self.control})"


def _copied(value: Any) -> Any:
    import numpy as np

    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        from .recorder import array

        return array(value)[0].copy()
    return np.array(value)


def _same(a: dict[str, list[Any]], b: dict[str, list[Any]]) -> str | None:
    """Return the first name under which two samples differ by a bit."""
    for name in [*a, *b]:
        one, two = a.get(name, []), b.get(name, [])
        if len(one) != len(two) or any(
            x.dtype != y.dtype or x.shape != y.shape or x.tobytes() != y.tobytes()
            for x, y in zip(one, two)
        ):
            return name
    return None


class _Module:
    """A module's parameters, buffers and gradients, as they were."""

    def __init__(self, module: Any) -> None:
        import torch

        self._no_grad = torch.no_grad
        self.module = module
        self.kept = []
        for t in [*module.parameters(), *module.buffers()]:
            if t.device.type != "meta":
                grad = t.grad.detach().clone() if t.grad is not None else None
                self.kept.append((t, t.detach().clone(), grad))
        self.training = [(m, m.training) for m in module.modules()]
        self._note()

    def _note(self) -> None:
        self.seen = [(t._version, t.data_ptr(), id(t.grad)) for t, _, _ in self.kept]

    def restore(self) -> None:
        """Put back what changed; nothing is copied where nothing did."""
        for module, training in self.training:
            module.training = training
        now = [(t._version, t.data_ptr(), id(t.grad)) for t, _, _ in self.kept]
        if now == self.seen and all(grad is None for _, _, grad in self.kept):
            return
        with self._no_grad():
            for t, value, grad in self.kept:
                if t.shape == value.shape:
                    t.copy_(value)
                else:
                    t.data = value.clone()
                t.grad = None if grad is None else grad.clone()
        self._note()


class _Stateful:
    """An optimizer, scheduler or the like, as it was."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.state = copy.deepcopy(thing.state_dict())

    def restore(self) -> None:
        """Load the state anew."""
        self.thing.load_state_dict(copy.deepcopy(self.state))


class _Generators:
    """States of Python's, NumPy's and torch's random number generators."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._numpy = sys.modules.get("numpy")
        self._states = (
            random.getstate(),
            self._numpy.random.get_state() if self._numpy else None,
            torch.get_rng_state(),
        )

    def restore(self) -> None:
        """Set all three."""
        random.setstate(self._states[0])
        if self._numpy is not None:
            self._numpy.random.set_state(self._states[1])
        self._torch.set_rng_state(self._states[2])


def _outermost_modules() -> list[Any]:
    """Return all modules that are in no other one."""
    import torch

    found = [o for o in gc.get_objects() if issubclass(type(o), torch.nn.Module)]
    inside = {id(child) for module in found for child in module.children()}
    return [module for module in found if id(module) not in inside]


def samples(
    n: int,
    *state: Any,
    mode: str | None = None,
    seed: int | None = None,
    precision: Any = None,
    keep_state: bool = False,
    check: bool | Callable[[], Any] = False,
    folder: str | os.PathLike[str] | None = None,
) -> Iterator[Sample]:
    """Yield n samples, each under a seed of its own, all from the same state.

    Parameters
    ----------
    n : int
        Number of samples.
    *state : object
        What to put back before each sample: modules (parameters, buffers, gradients), and
        things with `state_dict` and `load_state_dict`, such as optimizers. All modules
        that are alive, if none is given.
    mode, precision
        As for `fuzzytorch.mode`; what is in force, if None.
    seed : int, optional
        Of the first sample; the others count up. The seed in force, if None.
    keep_state : bool
        Put nothing back, random number generators included.
    check : bool or callable
        Whether the loop gives the same twice by itself. A function is called twice in
        mode off before the first sample, and what it returns and records must agree bit
        for bit. True: the loop is passed twice more, first, as controls in mode off
        (`sample.control`); what they record must agree.
    folder : path, optional
        Keep what is recorded as a study there, for `fuzzyrun report`.

    Yields
    ------
    Sample
        Its `record`, and `fuzzytorch.record`, keep tensors in its `records`.

    Raises
    ------
    NotDeterministic
        The check failed.

    Notes
    -----
    Without the library, where FUZZY_OPTIONAL=1, the loop is passed n times in plain
    arithmetic. Threads and processes that live longer than a sample (persistent workers
    of a DataLoader) keep the seed they started with.
    """
    library = api._library()
    if n < 1:
        raise ValueError(f"samples({n}): at least one is needed")
    first = seed if seed is not None else (api.get_seed() or 0)
    kept: list[Any] = []
    if not keep_state:
        kept = [_Generators(), *_keepers(state)]
    keeper = _Folder(folder, n, first) if folder is not None else None

    def one(sample: Sample) -> Iterator[Sample]:
        for part in kept:
            part.restore()
        api._takers.append(sample.record)
        try:
            with api.mode(
                api.OFF if sample.control else mode,
                seed=None if sample.control else sample.seed,
                precision=precision,
            ):
                yield sample
        finally:
            api._takers.remove(sample.record)
        if keeper is not None:
            keeper.write(sample)

    try:
        yield from _loop(n, first, check, library is not None, one)
    finally:
        if keeper is not None:
            keeper.home.close()


def _loop(
    n: int,
    first: int,
    check: bool | Callable[[], Any],
    loaded: bool,
    one: Callable[[Sample], Iterator[Sample]],
) -> Iterator[Sample]:
    if check:
        controls = [Sample(0, first if loaded else None, True) for _ in range(2)]
        for control in controls:
            if check is True:
                yield from one(control)
            else:
                for _ in one(control):
                    _record_all(control, check())
        _compare(*controls)
    for i in range(n):
        number = (first + i) % (1 << 64)
        yield from one(Sample(i + 1, number if loaded else None))


def _keepers(state: tuple[Any, ...]) -> Iterator[Any]:
    import torch

    for thing in state or _outermost_modules():
        if isinstance(thing, torch.nn.Module):
            yield _Module(thing)
        elif hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
            yield _Stateful(thing)
        else:
            raise TypeError(
                f"samples: a {type(thing).__name__} is no module and has no state_dict"
            )


def _record_all(sample: Sample, value: Any) -> None:
    from .recorder import parts

    for suffix, tensor in parts(value):
        sample.record(f"result{suffix}", tensor)
    if isinstance(value, (int, float, complex)):
        sample.record("result", value)


def _compare(one: Sample, two: Sample) -> None:
    if not one.records:
        raise NotDeterministic(
            "samples: the check saw no tensor: let its function return one, or record "
            "one in the loop"
        )
    name = _same(one.records, two.records)
    if name is not None:
        raise NotDeterministic(
            f"{name!r} differs between two samples in mode off: something other than "
            f"rounding varies (random numbers, threads, state that is not restored)"
        )


class _Folder:
    """A study on disk, as fuzzyrun -n makes one: see docs/study-format.md."""

    def __init__(self, folder: str | os.PathLike[str], n: int, seed: int) -> None:
        from . import store

        self.home = store.Store(Path(folder).absolute())
        if self.home.open() is not None:
            self.home.close()
            raise FileExistsError(f"{folder} holds a study: name a new folder")
        store.write_json(
            self.home.manifest,
            {
                "format": store.FORMAT,
                "command": sys.argv or [""],
                "folder": os.getcwd(),
                "scripts": {},
                "mode": api.get_rounding_mode(),
                "seed": seed,
                "settings": {},
                "environment": {},
                "library": "in process",
                "record": ["record"],
                "wanted": n,
                "executor": "in process",
            },
        )
        self.controls = 0

    def write(self, sample: Sample) -> None:
        """Write a finished sample."""
        import json
        import time

        from .recorder import Recorder

        if sample.control:
            self.controls += 1
        index = self.controls if sample.control else sample.index
        name = self.home.name(index, sample.control)
        part = self.home.start(name)
        for stream in ("stdout", "stderr"):
            (part / stream).touch()
        if not sample.control and api.available():
            (part / "report.json").write_text(json.dumps(api.report()), "utf-8")
        import torch

        writer = Recorder(set(), 1 << 62, str(part / "record"))
        for label, values in sample.records.items():
            for value in values:
                writer.named(label, torch.from_numpy(value))
        writer.finish()
        self.home.finish(
            name,
            {
                "exit_status": 0,
                "signal": None,
                "wall_seconds": 0.0,
                "cpu_seconds": 0.0,
                "max_rss_kib": 0,
                "started": time.time(),
                "mode": api.OFF if sample.control else api.get_rounding_mode(),
                "seed": sample.seed,
                "sample": sample.index,
                "command": sys.argv or [""],
                "files": str(part / "files"),
                "jobs": 1,
                "environment": {},
                "executor": "in process",
            },
        )

