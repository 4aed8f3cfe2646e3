"""A process of one configuration: times what bench.py asks for, a JSON line each.

SPDX-License-Identifier: Apache-2.0

    worker.py torch|openblas CALLS.so

With `torch` the routines are those of libtorch_cpu.so, which the preloaded library (if
there is one) stands before; with `openblas` those of libopenblas.so.0.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable

Timer = Callable[[int], "tuple[float, float]"]


def routines(provider: str) -> Callable[[str], ctypes.c_void_p]:
    """Return how a BLAS routine is found, by name."""
    if provider == "openblas":
        lib = ctypes.CDLL("libopenblas.so.0", ctypes.RTLD_LOCAL)
    else:
        import torch

        lib = ctypes.CDLL(None)
        if not hasattr(lib, "sgemm_"):
            lib = ctypes.CDLL(
                os.path.join(os.path.dirname(torch.__file__), "lib/libtorch_cpu.so")
            )
    return lambda name: ctypes.cast(getattr(lib, name), ctypes.c_void_p)


def library_at(address: int) -> str:
    """Return the path of the library that is mapped at an address."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            if low <= address < high:
                return line.split()[-1]
    return "?"


def blas(
    calls: ctypes.CDLL, find: Callable[[str], ctypes.c_void_p], case: dict
) -> Timer:
    """Return a timer of a BLAS routine."""
    address = find(case["kind"] + "_")
    ta, tb = case.get("trans", "NN").encode()

    def timer(reps: int) -> tuple[float, float]:
        wall, cpu = ctypes.c_double(), ctypes.c_double()
        calls.bench_call(
            case["kind"].encode(),
            address,
            ctypes.c_char(ta),
            ctypes.c_char(tb),
            case.get("m", 1),
            case.get("n", 1),
            case.get("k", 1),
            ctypes.c_long(reps),
            ctypes.byref(wall),
            ctypes.byref(cpu),
        )
        return wall.value, cpu.value

    return timer


def operation(case: dict) -> Timer:
    """Return a timer of an operation of torch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    kind, shape = case["kind"], case["shape"]
    if kind == "conv2d":
        n, cin, cout, side, kernel = shape
        m, x = (
            nn.Conv2d(cin, cout, kernel, padding=kernel // 2),
            torch.randn(n, cin, side, side),
        )
    elif kind == "conv":
        return convolution(shape)
    elif kind == "lstm":
        steps, batch, cin, hidden = shape
        m, x = nn.LSTM(cin, hidden), torch.randn(steps, batch, cin)
    elif kind == "linear":
        batch, cin, cout = shape
        m, x = nn.Linear(cin, cout), torch.randn(batch, cin)
    elif kind == "map":
        name, dtype, n = shape
        x = torch.rand(n, dtype=getattr(torch, dtype)) * 3 + 0.1
        if name == "softmax":
            x = x.view(-1, 1000)
        m = {
            "pow": lambda a: a**2.7,
            "softmax": lambda a: torch.softmax(a, 1),
            "gelu": nn.functional.gelu,
        }.get(name) or getattr(torch, name)
    elif kind == "linalg":
        name, dtype, n = shape
        x = torch.randn(n, n, dtype=getattr(torch, dtype))
        y = torch.randn(n, n, dtype=x.dtype)
        if name == "solve_triangular":
            x = torch.tril(x) + n * torch.eye(n, dtype=x.dtype)
        elif name == "cholesky":
            x = x @ x.mH + n * torch.eye(n, dtype=x.dtype)
        m = {
            "mm": lambda a: a @ y,
            "solve_triangular": lambda a: torch.linalg.solve_triangular(
                a, y, upper=False
            ),
        }.get(name) or getattr(torch.linalg, name)
    else:
        batch, n = shape
        y = torch.randn(batch, n, n)
        m, x = lambda a: torch.bmm(a, y), torch.randn(batch, n, n)

    def timer(reps: int) -> tuple[float, float]:
        with torch.no_grad():
            wall, cpu = time.perf_counter(), time.thread_time()
            for _ in range(reps):
                m(x)
            return time.perf_counter() - wall, time.thread_time() - cpu

    return timer


def convolution(c: dict) -> Timer:
    """Return a timer of one pass of a convolution."""
    import torch
    from torch import nn

    dims, kernel = c.get("dims", 2), c["kernel"]
    cls = getattr(nn, f"Conv{'Transpose' if 'up' in c else ''}{dims}d")
    m = cls(
        c["inner"],
        c["outer"],
        kernel,
        stride=c.get("stride", 1),
        padding=0 if "up" in c else kernel // 2,
        groups=c.get("groups", 1),
    )
    x = torch.randn(c["batch"], c["inner"], *[c["side"]] * dims)
    if c["pass"] == "backward":
        y = m(x.requires_grad_())
        g = torch.randn(y.shape)
        parameters = [x, *m.parameters()]

        def once() -> None:
            torch.autograd.grad(y, parameters, g, retain_graph=True)
    else:

        def once() -> None:
            with torch.no_grad():
                m(x)

    def timer(reps: int) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(reps):
            once()
        return time.perf_counter() - wall, time.thread_time() - cpu

    return timer


def main() -> None:
    """Answer requests until the end of the input."""
    provider = sys.argv[1]
    calls = ctypes.CDLL(sys.argv[2])
    find = routines(provider)
    timers: dict[str, tuple[Timer, int]] = {}
    if provider == "torch":
        import torch

        set_threads = torch.set_num_threads
        about = {"torch": torch.__version__, "config": torch.__config__.show()}
    else:
        lib = ctypes.CDLL("libopenblas.so.0")
        set_threads = lib.openblas_set_num_threads
        lib.openblas_get_config.restype = ctypes.c_char_p
        about = {"openblas": lib.openblas_get_config().decode()}
    address = find("sgemm_")
    about.update(
        varies=bool(calls.bench_varies(address)), library=library_at(address.value)
    )
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        set_threads(case["threads"])
        if line not in timers:
            timer = blas(calls, find, case) if "shape" not in case else operation(case)
            timer(1)
            # A block lasts long enough for the clock and for the start of threads.
            once = max(timer(1)[0], 1e-7)
            if once < 1e-3:
                once = max(timer(20)[0] / 20, 1e-7)
            timers[line] = timer, max(1, min(100000, round(case["block"] / once)))
        timer, reps = timers[line]
        wall, cpu = timer(reps)
        print(
            json.dumps({"wall": wall / reps, "cpu": cpu / reps, "reps": reps}),
            flush=True,
        )


if __name__ == "__main__":
    main()
