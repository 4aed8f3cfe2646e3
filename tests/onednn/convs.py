"""Convolutions of every kind that ATen can ask for, drawn at random, for test_onednn.py.

SPDX-License-Identifier: Apache-2.0

Usage: convs.py bound|mean|digest CASES SEED [THREADS]

bound prints the distance from f64 of each output and gradient, in units of its bound; mean
what many samples say of it; digest its bits. Reference and bound are computed in f64, by
ATen's own route over dgemm.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import warnings
from typing import NamedTuple

import library
import torch
from torch.nn import functional

SAMPLES = 24


class Case(NamedTuple):
    """One convolution."""

    dims: int
    transposed: bool
    batch: int
    inner: int
    outer: int
    groups: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    last: bool
    bias: bool
    weight_last: bool
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """Say what it is in one word."""

        def per(x: tuple[int, ...] | str) -> str:
            return x if isinstance(x, str) else "x".join(map(str, x))

        return (
            f"{'transposed' if self.transposed else 'conv'}{self.dims}d"
            f",n{self.batch},{self.inner}to{self.outer},g{self.groups},i{per(self.size)}"
            f",k{per(self.kernel)},s{per(self.stride)},p{per(self.padding)}"
            f",d{per(self.dilation)},o{per(self.output_padding)}"
            f"{',last' if self.last else ''}{',wlast' if self.weight_last else ''}"
            f"{',bias' if self.bias else ''},{str(self.dtype).split('.')[1]}"
        )


def draw(r: random.Random) -> Case:
    """Return a case whose output is not empty, unless the batch is."""
    while True:
        dims, transposed = r.choice((1, 2, 2, 3)), r.random() < 0.25
        groups = r.choice((1, 1, 1, 2, 3, 0))
        if groups == 0:  # depthwise, with one or two outputs a channel
            groups = inner = r.choice((3, 8, 16, 20))
            outer = groups * r.choice((1, 1, 2))
        else:
            inner = groups * r.choice((1, 2, 3, 7, 8, 15, 16, 17))
            outer = groups * r.choice((1, 2, 5, 8, 13, 16, 24))

        def per(*of: int, n: int = dims) -> tuple[int, ...]:
            return tuple(r.choice(of) for _ in range(n))

        size = per(*{1: (5, 30, 61), 2: (1, 6, 9, 14), 3: (3, 4, 7)}[dims])
        kernel, stride = per(1, 2, 3, 3, 4), per(1, 1, 2, 3)
        dilation, padding = per(1, 1, 2), per(0, 1, 2)
        if not transposed and r.random() < 0.2:
            padding, stride = "same", (1,) * dims
        output_padding = (0,) * dims
        if transposed:
            output_padding = tuple(
                r.randrange(max(s, d)) for s, d in zip(stride, dilation)
            )
        case = Case(
            dims,
            transposed,
            r.choice((0, 1, 2, 2, 3)),
            inner,
            outer,
            groups,
            size,
            kernel,
            stride,
            padding,
            dilation,
            output_padding,
            dims > 1 and r.random() < 0.3,
            r.random() < 0.5,
            dims > 1 and r.random() < 0.2,
            r.choice((torch.float32, torch.float32, torch.bfloat16, torch.float16)),
        )
        if padding == "same" or all(
            (n - 1) * s - 2 * p + d * (k - 1) + o + 1 > 0
            if transposed
            else n + 2 * p >= d * (k - 1) + 1
            for n, s, p, d, k, o in zip(
                size, stride, padding, dilation, kernel, output_padding
            )
        ):
            return case


def cases(n: int, seed: int) -> list[Case]:
    """Return n cases."""
    r = random.Random(seed)
    return [draw(r) for _ in range(n)]


def convolve(
    c: Case, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None
) -> torch.Tensor:
    """Return the convolution."""
    if not c.transposed:
        f = getattr(functional, f"conv{c.dims}d")
        return f(x, w, b, c.stride, c.padding, c.dilation, c.groups)
    f = getattr(functional, f"conv_transpose{c.dims}d")
    return f(x, w, b, c.stride, c.padding, c.output_padding, c.groups, c.dilation)


class Problem:
    """The tensors of a case."""

    def __init__(self, c: Case, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        per = c.outer // c.groups if c.transposed else c.inner // c.groups
        first = c.inner if c.transposed else c.outer
        self.case = c
        self.bits = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}[c.dtype]

        def numbers(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=g).to(c.dtype).float()

        self.x = numbers(c.batch, c.inner, *c.size)
        self.w = numbers(first, per, *c.kernel)
        self.b = numbers(c.outer) if c.bias else None
        self.g = numbers(*self.forward(torch.float64).shape)

    def layout(self, t: torch.Tensor, *, last: bool) -> torch.Tensor:
        """Return the tensor, channels last if that is asked for."""
        last_of = {2: torch.channels_last, 3: torch.channels_last_3d}
        if not last:
            return t
        return t.contiguous(memory_format=last_of[self.case.dims])

    def forward(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the output."""
        b = None if self.b is None else self.b.to(dtype)
        return convolve(self.case, self.x.to(dtype), self.w.to(dtype), b)

    def compute(self, dtype: torch.dtype, *, size: bool = False) -> dict:
        """Return output and gradients; of the operands' sizes if asked for."""
        c = self.case
        x, w, b, g = (
            None if t is None else (t.abs() if size else t.clone()).to(dtype)
            for t in (self.x, self.w, self.b, self.g)
        )
        x = self.layout(x, last=c.last).requires_grad_()
        w = self.layout(w, last=c.last or c.weight_last).requires_grad_()
        b = None if b is None else b.requires_grad_()
        y = convolve(c, x, w, b)
        y.backward(self.layout(g, last=c.last))
        out = {"y": y.detach(), "gx": x.grad, "gw": w.grad}
        if b is not None:
            out["gb"] = b.grad
        return {name: t for name, t in out.items() if t is not None}

    def onednn(self) -> bool:
        """Return whether this is computed by oneDNN's convolutions."""
        before = library.convolutions()
        self.compute(self.case.dtype)
        return library.convolutions() != before

    def terms(self) -> dict[str, int]:
        """Return how many roundings an element can have."""
        c, taps = self.case, 1
        for k in c.kernel:
            taps *= k
        inner, outer = taps * c.inner // c.groups, taps * c.outer // c.groups
        positions = c.batch * max(self.x[0, 0].numel() if c.batch else 0, 1)
        made = self.g.numel() // c.outer
        return {
            "y": inner + 2,
            "gx": outer + 1,
            "gw": max(positions, made) + 1,
            "gb": made + 1,
        }


def problems(n: int, seed: int) -> list[Problem]:
    """Return those of n problems that this torch can compute (1.13 fails in the gradient of
    some, with the library or without)."""
    good = []
    for i, c in enumerate(cases(n, seed)):
        try:
            p = Problem(c, seed + i)
            p.compute(c.dtype)
            good.append(p)
        except RuntimeError as e:
            print("failed", c.name, str(e).splitlines()[0].replace(" ", "_"))
    return good


def lines(p: Problem, out: str, *figures: object) -> None:
    """Print a result."""
    print(p.case.name, out, *figures)


def bound(n: int, seed: int) -> None:
    """Print max |error| / (terms * 2^-24 * sum of |products|) of each output."""
    for p in problems(n, seed):
        if p.bits < 24 and not p.onednn():
            continue  # ATen adds in bf16 and f16
        got, want = p.compute(p.case.dtype), p.compute(torch.float64)
        size, terms = p.compute(torch.float64, size=True), p.terms()
        for out, t in got.items():
            if not t.numel() or not p.case.batch:  # nothing, or sums of nothing
                lines(p, out, float(t.any()) * 1e9)
                continue
            unit = terms[out] * 2.0**-24 * size[out] + 2.0**-140
            if p.bits < 24:  # narrowed, to subnormal numbers of f16 too
                unit = unit + 2.0**-p.bits * (want[out].abs() + unit) + 2.0**-25
            ratio = (t.double() - want[out]).abs() / unit
            lines(p, out, float(ratio.nan_to_num(nan=1e9).max()))


def mean(n: int, seed: int) -> None:
    """Print of each output of oneDNN what SAMPLES of it in sr and in ud say: the number of
    elements; the share of them that varies in sr, and in nearest is inexact; max |t| and
    mean t^2 of the mean of sr against f64; the rms of the mean of ud, of nearest against f64, and of the
    standard deviation of ud."""
    for p in problems(n, seed):
        if not p.case.batch:
            continue
        if not p.onednn():
            continue  # ATen's own way, whose scattered additions are native
        want, size = p.compute(torch.float64), p.compute(torch.float64, size=True)
        samples: dict[str, list[dict]] = {}
        for mode, often in (("sr", SAMPLES), ("ud", SAMPLES), ("nearest", 1)):
            library.mode(os.environ.get("INSTEAD_OF_" + mode, mode))
            samples[mode] = [p.compute(p.case.dtype) for _ in range(often)]
        for out, exact in want.items():
            sr, ud, near = (
                torch.stack([x[out].double() for x in samples[m]]) - exact
                for m in ("sr", "ud", "nearest")
            )
            sd = sr.std(0)
            # One rounding, that seldom goes the other way, shows no spread in few samples:
            # its standard deviation is at most half a unit of the largest sum there is.
            half = torch.exp2(torch.frexp(size[out])[1] - p.bits - 1.0)
            z = sr.mean(0) / torch.maximum(sd, half) * SAMPLES**0.5
            rms = [
                float(x.square().mean().sqrt()) for x in (ud.mean(0), near, ud.std(0))
            ]
            share = [float((x != 0).double().mean()) for x in (sd, near)]
            of_z = float(z.abs().max()), float(z.square().mean())
            lines(p, out, exact.numel(), *share, *of_z, *rms)


def digest(n: int, seed: int) -> None:
    """Print the bits of each output, from one seed for each case, and how many convolutions
    of oneDNN were executed and left to it."""
    for p in problems(n, seed):
        library.seed(1)
        before = library.convolutions()
        got = p.compute(p.case.dtype)
        counts = [b - a for a, b in zip(before, library.convolutions())]
        for out, t in got.items():
            data = t.contiguous().float().numpy().tobytes()
            lines(p, out, hashlib.md5(data).hexdigest()[:16], *counts)


def main() -> None:
    """Do what is asked for, by one thread if not told otherwise."""
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    warnings.simplefilter("ignore")
    what = {"bound": bound, "mean": mean, "digest": digest}[sys.argv[1]]
    what(int(sys.argv[2]), int(sys.argv[3]))


if __name__ == "__main__":
    main()
