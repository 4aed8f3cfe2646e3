"""The laws of sr, ud and cestac on torch's own code: prints figures as JSON, for test_laws.py.

SPDX-License-Identifier: Apache-2.0

    PYTHON laws.py law|threads|fork|workers

`law`: for operations that are one rounding each, on fixed data: how many results are none of
the two neighbours of the exact one, and two z-scores over all elements: of the mean error in
units of the last place, and of its covariance with the chance p to be rounded up, which a law
that takes another p for the same mean would show. For cestac, where every inexact result goes
up with a chance of a half, the same two of the results' directions. Exact results are Python's
fractions.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

N = 20000
N_LAW = {torch.float32: 4000, torch.float64: 1500}  # fractions are slow

OPERATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "rsub": torch.rsub,
    "reciprocal": lambda a, b: torch.reciprocal(a),
    "square": lambda a, b: torch.square(a),
}
EXACT: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "rsub": lambda a, b: b - a,
    "reciprocal": lambda a, b: 1 / a,
    "square": lambda a, b: a * a,
}


def data(n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return operands of either sign that are away from zero."""
    g = torch.Generator().manual_seed(11)
    a, b = (torch.empty(n, dtype=dtype).uniform_(0.5, 4, generator=g) for _ in "ab")
    # Signs without an operation that rounds.
    bits = torch.int32 if dtype == torch.float32 else torch.int64
    for t in (a, b):
        minus = torch.randint(0, 2, (n,), generator=g, dtype=torch.bool)
        t.view(bits)[minus] |= torch.iinfo(bits).min
    return a, b


def law(name: str, dtype: torch.dtype) -> dict[str, float]:
    """Return the figures of one operation."""
    n = N_LAW[dtype]
    a, b = data(n, dtype)
    repeats = 16
    results = [OPERATIONS[name](a, b).numpy() for _ in range(repeats)]
    wide = np.float32 if dtype == torch.float32 else np.float64
    x, y = (t.numpy().tolist() for t in (a, b))
    stray = units = 0
    total = variance = slope = slope_variance = 0.0
    half = half_n = half_slope = half_slope_n = 0.0
    for i in range(n):
        exact = EXACT[name](Fraction(x[i]), Fraction(y[i]))
        near = wide(float(exact))
        low = (
            near
            if Fraction(float(near)) <= exact
            else np.nextafter(near, wide(-np.inf))
        )
        high = np.nextafter(low, wide(np.inf))
        if Fraction(float(low)) == exact:
            high = low
        ulp = Fraction(float(high)) - Fraction(float(low))
        up = float((exact - Fraction(float(low))) / ulp) if ulp else 0.0
        variance += repeats * up * (1 - up)
        slope_variance += repeats * up * (1 - up) * (up - 0.5) ** 2
        if ulp:
            half_n += repeats / 4
            half_slope_n += repeats / 4 * (up - 0.5) ** 2
        around = [np.nextafter(near, wide(end)) for end in (np.inf, -np.inf)]
        for r in results:
            v = r[i]
            stray += v not in (low, high)
            if ulp:
                error = float((Fraction(float(v)) - exact) / ulp)
                total += error
                slope += error * (up - 0.5)
                half += (v == high) - 0.5
                half_slope += ((v == high) - 0.5) * (up - 0.5)
            units += v in around
    return {
        "stray": stray,
        "z": total / math.sqrt(variance),
        "z_slope": slope / math.sqrt(slope_variance),
        "z_half": half / math.sqrt(half_n),
        "z_half_slope": half_slope / math.sqrt(half_slope_n),
        "moved": units / (n * repeats),
    }


def differ(results: list[torch.Tensor]) -> list[float]:
    """Return the shares of elements in which pairs of results differ."""
    return [
        float((results[i] != results[j]).double().mean())
        for i in range(len(results))
        for j in range(i)
    ]


class Products(Dataset):
    """Each item is the same product."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> torch.Tensor:
        a, b = data(N, torch.float32)
        return a * b


def threads() -> list[torch.Tensor]:
    """Return what two threads of one region computed from equal operands."""
    torch.set_num_threads(2)
    a, b = data(100000, torch.float32)
    c = torch.cat((a, a)) * torch.cat((b, b))
    return [c[:100000], c[100000:]]


def forked() -> list[torch.Tensor]:
    """Return a product of the parent and of two children."""
    a, b = data(N, torch.float32)
    out = []
    for _ in range(2):
        r, w = os.pipe()
        if os.fork() == 0:
            os.write(w, (a * b)[:4000].numpy().tobytes())
            os._exit(0)
        os.wait()
        out.append(torch.frombuffer(bytearray(os.read(r, 16000)), dtype=torch.float32))
    return [*out, (a * b)[:4000]]


def main() -> None:
    """Print what was asked for."""
    torch.set_num_threads(1)
    what = sys.argv[1]
    if what == "law":
        answer: object = {
            f"{name} {dtype}": law(name, getattr(torch, dtype))
            for name in OPERATIONS
            for dtype in ("float32", "float64")
        }
    elif what == "threads":
        answer = differ(threads())
    elif what == "fork":
        answer = differ(forked())
    elif what == "repeat":
        a, b = data(N, torch.float32)
        answer = [
            (a * b + a / b).double().sum().item().hex(),
            torch.softmax(a, 0)[0].item(),
        ]
    else:
        loader = DataLoader(Products(), batch_size=None, num_workers=4)
        answer = differ(list(loader))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
