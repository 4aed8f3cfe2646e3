"""Odd arguments to ours and to the original, in one process; prints a line a difference.

SPDX-License-Identifier: Apache-2.0

Both are asked for by name: in the global scope, where ours is, and in the library that has the
original, MKL's in the wheel's libtorch_cpu.so, else OpenBLAS. Run with FUZZY_LIBS=all, in
mode nearest.
"""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

INT_MIN = -(2**31)
GARBAGE = 0x5EADBEEF << 32  # what may be in the upper half of an int's register
checks = 0

ours = ctypes.CDLL(None)
_torch = glob.glob(
    os.path.join(os.path.dirname(torch.__file__), "lib/libtorch_cpu.so*")
)
original = ctypes.CDLL(_torch[0]) if _torch else ctypes.CDLL("libopenblas.so.0")
if not hasattr(original, "vmsExp"):
    original = ctypes.CDLL("libopenblas.so.0")


def both(name: str) -> list[Callable[..., object]]:
    """Return our function of that name and the original, which must be two."""
    f, g = getattr(ours, name), getattr(original, name)
    addresses = {ctypes.cast(h, ctypes.c_void_p).value for h in (f, g)}
    if len(addresses) != 2:
        print(f"{name}: no original to compare with")
    return [f, g]


def equal(what: str, got: np.ndarray, want: np.ndarray, units: float = 4) -> None:
    """Compare whole buffers, what must not be touched included."""
    global checks
    checks += 1
    close = np.abs(got - want) <= units * np.spacing(np.abs(want))
    same = close | (np.isnan(got) & np.isnan(want)) | (got == want)
    if not same.all():
        i = int(np.argmin(same))
        print(f"{what}: element {i} is {got[i]!r}, the original's {want[i]!r}")


class Buffer:
    """Numbers at an address that need not be a multiple of their size."""

    def __init__(self, values: np.ndarray, shift: int = 0) -> None:
        self.itemsize = values.itemsize
        self.bytes = np.zeros(values.nbytes + 64, np.uint8)
        start = -self.bytes.ctypes.data % 64 + shift
        self.view = self.bytes[start : start + values.nbytes]
        self.view[:] = values.view(np.uint8)
        self.dtype = values.dtype

    def at(self, i: int = 0) -> ctypes.c_void_p:
        """Return the address of element i."""
        return ctypes.c_void_p(self.view.ctypes.data + i * self.itemsize)

    @property
    def values(self) -> np.ndarray:
        """The numbers, copied."""
        return np.frombuffer(self.view.tobytes(), self.dtype)


def vml() -> Iterator[tuple[str, type]]:
    """Names of the functions of MKL that take a mode, and their type."""
    for path in Path(__file__).parents[2].glob("shim/symbols*.def"):
        for name in re.findall(
            r"^FZ_SYMBOL\((vm[sd]\w+),", path.read_text(), re.MULTILINE
        ):
            yield name, np.float32 if name[2] == "s" else np.float64


def check_vml() -> None:
    """n of 0, negative, with garbage above; unaligned, in place, result behind argument."""
    for name, dtype in vml():
        two = both(name)
        for n in (0, -1, INT_MIN, 1, 37, 700):
            for shift in (0, 1, 3):
                for off in (0, -1, -7, 800):  # 800: elsewhere
                    x = np.linspace(0.05, 0.95, 1800).astype(dtype)
                    buffers = [Buffer(x, shift), Buffer(x, shift)]
                    for f, b in zip(two, buffers):
                        f(
                            ctypes.c_uint64((n & 0xFFFFFFFF) | GARBAGE),
                            b.at(50),
                            b.at(50 + off),
                            ctypes.c_longlong(2),
                        )
                    got, want = (b.values for b in buffers)
                    equal(f"{name} n {n} shift {shift} result {off:+d}", got, want)


def level1(c: type, n: int, inc: int) -> dict[str, Callable[..., object]]:
    """Return calls of routines of level 1 on a function and a buffer."""
    i, k = (ctypes.byref(ctypes.c_int(v)) for v in (n, inc))
    by3, by_half, by_more = (ctypes.byref(c(v)) for v in (3, 0.5, 0.75))

    def value(f: object, *args: object) -> object:
        f.restype = c  # type: ignore[attr-defined]
        return f(*args)  # type: ignore[operator]

    calls = {
        "axpy": lambda f, b: f(i, by3, b.at(), k, b.at(150), k),
        "axpy in place": lambda f, b: f(i, by3, b.at(), k, b.at(), k),
        "rot": lambda f, b: f(i, b.at(), k, b.at(150), k, by_half, by_more),
        "dot": lambda f, b: value(f, i, b.at(), k, b.at(150), k),
    }
    # Below 0: nrm2 and asum are an error by the standard; scal does nothing in the reference,
    # OpenBLAS and ours, and scales in MKL.
    if inc > 0:
        calls["scal"] = lambda f, b: f(i, by3, b.at(), k)
        calls["nrm2"] = lambda f, b: value(f, i, b.at(), k)
        calls["asum"] = lambda f, b: value(f, i, b.at(), k)
    return calls


def check_level1() -> None:
    """n of 0 and negative, steps below 0, no alignment, x that is y.

    OpenBLAS's sscal_ ends the process at an address that is no multiple of 4: there ours is
    compared with itself.
    """
    for letter, c, dtype in (
        ("s", ctypes.c_float, np.float32),
        ("d", ctypes.c_double, np.float64),
    ):
        x = np.linspace(-1, 1, 300).astype(dtype)
        for n in (0, -1, INT_MIN, 1, 40):
            for inc in (1, 2, -1, -3):
                for name, call in level1(c, n, inc).items():
                    symbol = f"{letter}{name.split()[0]}_"
                    mine = getattr(ours, symbol)
                    theirs = getattr(original, symbol, None)
                    results = []
                    for f, shift in (
                        (theirs, 0),
                        (theirs, x.itemsize),
                        (mine, x.itemsize),
                        (mine, 0),
                        (mine, 1),
                        (mine, 3),
                    ):
                        if f is not None:
                            b = Buffer(x, shift)
                            r = call(f, b) if name in ("dot", "nrm2", "asum") else 0
                            if r == 0:
                                call(f, b)
                            results.append(np.append(b.values, dtype(r)))
                    for r in results[1:]:
                        equal(f"{letter}{name} n {n} inc {inc}", r, results[0], 64)


def check_nothing_to_do() -> None:
    """Products of huge dimensions without an element, or that leave C as it is: no memory is
    touched (the originals' small-matrix kernels end the process). No alignment."""
    big, zero, four = (ctypes.byref(ctypes.c_int(v)) for v in (2**31 - 1, 0, 4))
    length = ctypes.c_size_t(1)
    for letter, dtype, c in (
        ("s", np.float32, ctypes.c_float),
        ("d", np.float64, ctypes.c_double),
    ):
        f = getattr(ours, f"{letter}gemm_")
        n1, n0 = ctypes.byref(c(1)), ctypes.byref(c(0))
        for m, n, k, alpha, beta in (
            (zero, big, big, n1, n0),
            (big, zero, big, n1, n0),
            (big, big, zero, n1, n1),
            (big, big, big, n0, n1),
        ):
            x = Buffer(np.ones(64, dtype))
            f(b"N", b"N", m, n, k, alpha, x.at(), big, x.at(), big, beta, x.at(16), big,
              length, length)  # fmt: skip
            equal(f"{letter}gemm_ of nothing", x.values, np.ones(64, dtype), 0)
        results = []
        for shift in (0, 1, 3):
            x = Buffer(np.linspace(0, 1, 64).astype(dtype), shift)
            f(b"N", b"T", four, four, four, n1, x.at(), four, x.at(16), four, n1, x.at(32),
              four, length, length)  # fmt: skip
            results.append(x.values)
        for r in results[1:]:
            equal(f"{letter}gemm_ without alignment", r, results[0], 0)


def huge(n: int) -> tuple[int, np.ndarray]:
    """Return the address of n floats, whose last page is their own, and the last eight.

    The others are 2 MiB mapped again and again.
    """
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 4]
    fixed, no_reserve, piece = 0x10, 0x4000, 2**21
    size = n * 4 + piece
    file = os.memfd_create("piece")
    os.ftruncate(file, piece)
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    start = libc.mmap(None, size, 0, anonymous | no_reserve, -1, 0)
    for at in range(start, start + size, piece):
        own = at + piece == start + size
        kind = anonymous if own else mmap.MAP_SHARED
        if libc.mmap(at, piece, 3, kind | fixed, -1 if own else file, 0) != at:
            raise MemoryError("no address space for 2 GiB")
    last = ctypes.cast(start + size - piece, ctypes.POINTER(ctypes.c_float))
    return start, np.ctypeslib.as_array(last, (8,))


def check_huge() -> None:
    """2^29 + 3 floats, more bytes than an int can say."""
    n = 2**29
    start, end = huge(n)
    x = ctypes.c_void_p(start)
    end[:] = 4
    ours.vmsSqrt(ctypes.c_int(n + 3), x, x, ctypes.c_longlong(2))
    equal("vmsSqrt of 2^29 + 3", end, np.float32([2] * 3 + [4] * 5), 0)
    end[:] = 1
    count, step, by = ctypes.c_int(n + 3), ctypes.c_int(1), ctypes.c_float(3)
    ours.sscal_(ctypes.byref(count), ctypes.byref(by), x, ctypes.byref(step))
    equal("sscal_ of 2^29 + 3", end, np.float32([3] * 3 + [1] * 5), 0)


if __name__ == "__main__":
    {
        "vml": check_vml,
        "level1": check_level1,
        "nothing": check_nothing_to_do,
        "huge": check_huge,
    }[sys.argv[1]]()
    print(f"{checks} checks")
