"""The rounding of this process: mode, precision and seed while it runs, and counters.

SPDX-License-Identifier: Apache-2.0

All of it holds for the whole process, each thread from its next call on. Scopes nest, end
as they began when an exception leaves them, and what setters set, getters read back.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

#: Names of rounding modes.
OFF, NEAREST, SR, UD, CESTAC = "off", "nearest", "sr", "ud", "cestac"
#: What the community's fuzzy_torch calls round-to-nearest.
RN = NEAREST

_BITS = {"f32": 24, "f64": 53}


class FuzzyNotLoaded(RuntimeError):
    """The library is not in this process, or was started with FUZZY_MODE=off."""


class NothingPerturbed(AssertionError):
    """Nothing was perturbed where something should have been."""


class _State(ctypes.Structure):
    _fields_ = [
        ("mode", ctypes.c_char * 16),
        ("seed", ctypes.c_uint64),
        ("f32_bits", ctypes.c_int),
        ("f64_bits", ctypes.c_int),
        ("restarts", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("torch", ctypes.c_int),
    ]


class _Counts(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "perturbed_calls",
            "passed_calls",
            "perturbed_flops",
            "passed_flops",
        )
    ]

    def as_dict(self) -> dict[str, dict[str, int]]:
        return {
            "perturbed": {"calls": self.perturbed_calls, "flops": self.perturbed_flops},
            "passed": {"calls": self.passed_calls, "flops": self.passed_flops},
        }


@functools.cache
def _loaded() -> Any:
    """Return the library, None where it is not preloaded."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "fuzzy_available"):
        return None
    library.fuzzy_symbol.restype = ctypes.c_char_p
    library.fuzzy_symbol.argtypes = [ctypes.c_uint, ctypes.POINTER(_Counts)]
    library.fuzzy_version.restype = ctypes.c_char_p
    library.fuzzy_set.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_uint64),
        ctypes.c_int,
        ctypes.c_int,
    ]
    library.fuzzy_resume.argtypes = [ctypes.c_uint64, ctypes.c_uint32]
    return library


def available() -> bool:
    """Return whether rounding can be perturbed in this process.

    Returns
    -------
    bool
        False where the library is not preloaded, and where it was started with
        FUZZY_MODE=off, in which it does nothing at all.
    """
    library = _loaded()
    return library is not None and bool(library.fuzzy_available())


def _library() -> Any:
    """Return the library; None where there is none and FUZZY_OPTIONAL=1 permits that."""
    if available():
        return _loaded()
    if os.environ.get("FUZZY_OPTIONAL") == "1":
        return None
    if _loaded() is not None:
        raise FuzzyNotLoaded(
            "this process was started with FUZZY_MODE=off, in which libfuzzytorch does "
            "nothing: start it in another mode, or set FUZZY_OPTIONAL=1"
        )
    raise FuzzyNotLoaded(
        "libfuzzytorch is not loaded: run this as `fuzzyrun python ...`, or set "
        "FUZZY_OPTIONAL=1 to go on without it"
    )


def _state(library: Any) -> _State:
    state = _State()
    library.fuzzy_get(ctypes.byref(state))
    return state


def _fail(code: int, what: str) -> None:
    if code == 0:
        return
    if code == -5:
        raise RuntimeError(
            f"{what}: moved code cannot follow, as a line on stderr says; nothing changed"
        )
    why = {
        1: "the process was started with FUZZY_MODE=off",
        16: "it cannot be changed inside a kernel or parallel region",
        22: "modes are off, nearest, sr, ud and cestac; bits 1 to 24 (f32), 1 to 53 (f64)",
    }
    raise ValueError(f"{what}: {why.get(-code, os.strerror(-code))}")


def _export(library: Any) -> None:
    """Programs that this one starts go on as it does."""
    state = _state(library)
    os.environ["FUZZY_MODE"] = state.mode.decode()
    os.environ["FUZZY_SEED"] = str(state.seed)
    if (state.f32_bits, state.f64_bits) != (24, 53) or "FUZZY_PRECISION" in os.environ:
        bits = f"f32:{state.f32_bits},f64:{state.f64_bits}"
        os.environ["FUZZY_PRECISION"] = bits


def _bits(precision: Any) -> tuple[int, int]:
    """Return bits of f32 and f64; 0 for what stays."""
    if precision is None:
        return 0, 0
    given: dict[str, int] = {}
    try:
        if isinstance(precision, str):
            for word in precision.split(","):
                kind, _, number = word.partition(":")
                given[kind.strip()] = int(number)
        elif isinstance(precision, dict):
            given = {str(k): int(v) for k, v in precision.items()}
        else:
            given = {"f32": int(precision)}
        for kind, bits in given.items():
            if not 1 <= bits <= _BITS[kind]:
                raise ValueError
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"precision {precision!r} is no number of significand bits, nor such as "
            f"'f32:11,f64:53' (1 to 24, 1 to 53)"
        ) from None
    return given.get("f32", 0), given.get("f64", 0)


def _set(
    library: Any,
    mode: str | None = None,
    seed: int | None = None,
    precision: Any = None,
) -> None:
    f32, f64 = _bits(precision)
    if seed is not None and not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed!r} is not an integer from 0 to 2^64-1")
    word = None if seed is None else ctypes.byref(ctypes.c_uint64(seed))
    name = None if mode is None else str(mode).encode()
    _fail(library.fuzzy_set(name, word, f32, f64), f"mode {mode!r}")
    _export(library)


def set_seed(seed: int) -> None:
    """Restart all streams of random numbers under a seed.

    Parameters
    ----------
    seed : int
        From 0 to 2^64-1. The same seed gives the same noise again.
    """
    library = _library()
    if library is not None:
        _set(library, seed=seed)


def get_seed() -> int | None:
    """Return the seed in force, None without the library."""
    library = _library()
    return None if library is None else int(_state(library).seed)


def set_rounding_mode(mode: str) -> None:
    """Set the rounding mode: off, nearest, sr, ud or cestac."""
    library = _library()
    if library is not None:
        _set(library, mode=mode)


def get_rounding_mode() -> str:
    """Return the rounding mode in force; off without the library."""
    library = _library()
    return OFF if library is None else _state(library).mode.decode()


def set_precision(precision: Any) -> None:
    """Set the virtual precision.

    Parameters
    ----------
    precision : int, str or dict
        Significand bits of f32; or `"f32:11,f64:53"`; or `{"f64": 30}`. What is not named
        stays.
    """
    library = _library()
    if library is not None:
        _set(library, precision=precision)
    else:
        _bits(precision)


def get_precision(kind: str = "f32") -> int:
    """Return the significand bits of f32 or f64."""
    if kind not in _BITS:
        raise ValueError(f"{kind!r} is neither f32 nor f64")
    library = _library()
    if library is None:
        return _BITS[kind]
    return int(getattr(_state(library), f"{kind}_bits"))


class mode(contextlib.ContextDecorator):
    """A scope with its own rounding; also a decorator.

    Parameters
    ----------
    name : str, optional
        Rounding mode; None leaves it.
    seed : int, optional
        Streams start anew under it. At the scope's end they go on under the seed before,
        with noise that was not there yet.
    precision : int, str or dict, optional
        As for `set_precision`.

    Examples
    --------
    >>> with fuzzytorch.mode("sr", seed=1, precision=11):
    ...     y = model(x)
    """

    def __init__(
        self, name: str | None = None, *, seed: int | None = None, precision: Any = None
    ) -> None:
        self._wanted = (name, seed, precision)
        self._before: list[_State | None] = []

    def _recreate_cm(self) -> mode:
        return mode(self._wanted[0], seed=self._wanted[1], precision=self._wanted[2])

    def __enter__(self) -> Self:
        library = _library()
        if library is None:
            self._before.append(None)
            return self
        before = _state(library)
        _set(library, *self._wanted)
        self._before.append(before)
        return self

    def __exit__(self, *exception: object) -> None:
        before = self._before.pop()
        if before is None:
            return
        library = _loaded()
        code = library.fuzzy_set(before.mode, None, before.f32_bits, before.f64_bits)
        _fail(code, "the end of a rounding scope")
        if self._wanted[1] is not None:
            library.fuzzy_resume(before.seed, before.generation + 1)
        _export(library)


def rounding(name: str | None = None, precision: Any = None) -> mode:
    """Return a scope with a rounding mode and a precision: `mode` without a seed."""
    return mode(name, precision=precision)


class Instrumented:
    """Modules whose forward passes have their own rounding; `remove` gives it back.

    Also a context manager, which removes at its end.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def _add(self, module: Any, wanted: dict[str, Any]) -> None:
        forward = module.forward
        had = "forward" in vars(module)

        @functools.wraps(forward)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            with mode(wanted["name"], precision=wanted["precision"]):
                return forward(*args, **kwargs)

        try:
            module.forward = scoped
        except (AttributeError, RuntimeError, TypeError):
            raise TypeError(
                f"a {type(module).__name__} cannot be instrumented: use "
                f"fuzzytorch.mode around its calls"
            ) from None

        def undo() -> None:
            if had:
                module.forward = forward
            elif vars(module).get("forward") is scoped:
                del module.forward

        self._undo.append(undo)

    def remove(self) -> None:
        """Give the modules their own forward back."""
        while self._undo:
            self._undo.pop()()

    def __len__(self) -> int:
        return len(self._undo)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def instrument(
    module: Any,
    mode: str | None = None,
    precision: Any = None,
    select: str | Callable[[str, Any], bool] | None = None,
) -> Instrumented:
    """Give a module's forward pass its own rounding.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    mode : str, optional
        Rounding mode inside; None leaves it.
    precision : int, str or dict, optional
        As for `set_precision`.
    select : str or callable, optional
        Which modules inside it instead of the whole: a pattern of qualified names
        (`encoder.*`), or a function of name and module.

    Returns
    -------
    Instrumented
        To be removed. Backward passes are not covered: they run when the loss asks.
    """
    if mode is not None and mode not in (OFF, NEAREST, SR, UD, CESTAC):
        raise ValueError(f"mode {mode!r} is none of off, nearest, sr, ud, cestac")
    _bits(precision)
    _library()
    done = Instrumented()
    wanted = {"name": mode, "precision": precision}
    if select is None:
        done._add(module, wanted)
        return done
    chosen = (
        (lambda name, _: fnmatchcase(name, str(select)))
        if isinstance(select, str)
        else select
    )
    try:
        for name, inner in module.named_modules():
            if chosen(name, inner):
                done._add(inner, wanted)
    except BaseException:
        done.remove()
        raise
    if not len(done):
        raise ValueError(f"no module of the {type(module).__name__} is selected")
    return done


# ---- Counters ------------------------------------------------------------------------


def _counts(library: Any) -> _Counts:
    counts = _Counts()
    library.fuzzy_counters(ctypes.byref(counts))
    return counts


def perturbed_calls() -> int:
    """Return how many calls have been perturbed since the process started."""
    library = _library()
    return 0 if library is None else int(_counts(library).perturbed_calls)


def report() -> dict[str, Any]:
    """Return settings and counters of this process.

    Returns
    -------
    dict
        `version`, `mode`, `seed` (a string), `precision`, `totals` and `symbols`, as in
        the JSON report; empty without the library, where FUZZY_OPTIONAL=1.
    """
    library = _library()
    if library is None:
        return {}
    state, counts, symbols, i = _state(library), _Counts(), [], 0
    while True:
        name = library.fuzzy_symbol(i, ctypes.byref(counts))
        if name is None:
            break
        if counts.perturbed_calls or counts.passed_calls:
            symbols.append({"symbol": name.decode(), **counts.as_dict()})
        i += 1
    return {
        "version": library.fuzzy_version().decode(),
        "mode": state.mode.decode(),
        "seed": str(state.seed),
        "precision": {"f32": state.f32_bits, "f64": state.f64_bits},
        "torch": bool(state.torch),
        "totals": _counts(library).as_dict(),
        "symbols": symbols,
    }


@contextlib.contextmanager
def _effective_scope(library: Any) -> Iterator[None]:
    before = int(_counts(library).perturbed_calls)
    yield
    if int(_counts(library).perturbed_calls) == before:
        raise NothingPerturbed(_nothing(library, "here"))


def _nothing(library: Any, where: str) -> str:
    now = _state(library).mode.decode()
    totals = _counts(library)
    return (
        f"nothing was perturbed {where}: mode {now}, {totals.passed_calls} calls passed "
        f"through (fuzzyrun doctor says what this PyTorch calls)"
    )


def assert_effective(function: Callable[[], Any] | None = None) -> Any:
    """Raise NothingPerturbed if nothing was perturbed.

    Parameters
    ----------
    function : callable, optional
        What is to be perturbed: it is called, and only what it did counts. Without it all
        counts since the process started.

    Returns
    -------
    Any
        What the function returned.
    """
    library = _library()
    if library is None:
        return function() if function is not None else None
    if function is not None:
        with _effective_scope(library):
            return function()
    if _counts(library).perturbed_calls == 0:
        raise NothingPerturbed(_nothing(library, "in this process"))
    return None


# ---- Recording -----------------------------------------------------------------------

#: Who takes what is recorded, innermost last: the samples under way.
_takers: list[Callable[[str, Any], None]] = []


def record(name: str, tensor: Any) -> Any:
    """Keep a tensor (array, number) of this sample under a name.

    Parameters
    ----------
    name : str
        The same in all samples; several of one name are told by their count.
    tensor : torch.Tensor, numpy.ndarray or number
        What to keep; it is copied.

    Returns
    -------
    Any
        The tensor.

    Notes
    -----
    Inside `samples` it goes to the sample under way, else to the record of the run that
    `fuzzyrun -n` started.
    """
    if _takers:
        _takers[-1](name, tensor)
        return tensor
    if os.environ.get("FUZZY_RECORD"):
        import torch

        recorder = _recorder()
        recorder.named(
            name, tensor if isinstance(tensor, torch.Tensor) else torch.as_tensor(tensor)
        )
        return tensor
    _library()  # raises, where it is not loaded and not optional
    if os.environ.get("FUZZY_OPTIONAL") != "1":
        raise RuntimeError(
            f"record({name!r}): no sample is under way: call it inside "
            f"fuzzytorch.samples or under fuzzyrun -n"
        )
    return tensor


def _recorder() -> Any:
    """Return the recorder of a run under fuzzyrun -n."""
    module = sys.modules.get("_fuzzytorch_record")
    if module is None:
        from . import recorder as module

        sys.modules["_fuzzytorch_record"] = module
    return module.get()
