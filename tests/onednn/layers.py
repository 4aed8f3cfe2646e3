"""Recurrent layers, GELU, products in bf16 and f16, and fused layers, for test_layers.py.

SPDX-License-Identifier: Apache-2.0

Usage: layers.py bound | mean | switch | step

bound and mean print a line a tensor, switch and step what was computed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Iterator

import fused
import torch
from torch import nn
from torch.nn import functional

SAMPLES = 24
MODERN = int(torch.__version__.split(".")[0]) >= 2
HALVES = (torch.bfloat16, torch.float16) if MODERN else (torch.bfloat16,)
#: Unit roundoffs.
ROUND = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}

Tensors = dict[str, torch.Tensor]


def lstm(
    bidirectional: bool, layers: int, train: bool
) -> Callable[[torch.dtype], Tensors]:
    """Return a function of a type that runs an LSTM and gives outputs and gradients."""

    def work(dtype: torch.dtype) -> Tensors:
        torch.manual_seed(2)
        net = nn.LSTM(9, 13, layers, bidirectional=bidirectional).to(dtype)
        x = torch.randn(6, 3, 9).to(dtype).requires_grad_(train)
        if not train:
            with torch.no_grad():
                y, (h, c) = net(x)
            return {"y": y, "h": h, "c": c}
        y, (h, c) = net(x)
        weight = torch.randn(y.shape).to(dtype)
        ((y * weight).sum() + h.sum() + (c * c).sum()).backward()
        grads = {name: p.grad for name, p in net.named_parameters()}
        return {"y": y, "h": h, "c": c, "x": x.grad, **grads}

    return work


def gelu(half: torch.dtype) -> Callable[[torch.dtype], Tensors]:
    """GELU of numbers that a narrow type holds, and its gradient."""

    def work(dtype: torch.dtype) -> Tensors:
        torch.manual_seed(3)
        x = (torch.randn(40, 7) / 2).to(half).to(dtype).requires_grad_()
        grad = torch.randn(40, 7).to(half).to(dtype)
        if dtype == torch.float64:  # 1/sqrt(2) as oneDNN has it
            y = x * (1 + torch.erf(x * 0.707106769084930419921875)) / 2
        else:
            y = functional.gelu(x)
        y.backward(grad)
        return {"y": y, "x": x.grad}

    return work


def products(half: torch.dtype) -> Callable[[torch.dtype], Tensors]:
    """Products of every kind that torch has ways of its own for."""

    def work(dtype: torch.dtype) -> Tensors:
        torch.manual_seed(4)
        a, b = torch.randn(40, 70).to(half), torch.randn(70, 33).to(half)
        c, d = torch.randn(40, 33).to(half), torch.randn(4, 40, 70).to(half)
        a, b, c, d = (t.to(dtype) for t in (a, b, c, d))
        out = {
            "mm": a @ b,
            "mm_t": b.t() @ a.t(),
            "small": a[:5, :7] @ b[:7, :3],
            "addmm": torch.addmm(c, a, b, beta=0.5, alpha=2),
            "small_addmm": torch.addmm(
                c[:5, :3], a[:5, :7], b[:7, :3], beta=0.5, alpha=2
            ),
            "bmm": d @ d.transpose(1, 2),
            "linear": functional.linear(d, b.t().contiguous(), c[0]),
            "mv": a @ b[:, 0].contiguous(),
            "small_mv": a[:6, :5].contiguous() @ b[:5, 0].contiguous(),
        }
        if MODERN:
            out["dot"] = a[0] @ a[1]
            with torch.no_grad():
                q = torch.randn(3, 1, 2, 256, 32).to(half).to(dtype)
                out["attention"] = functional.scaled_dot_product_attention(*q)
        return out

    return work


def cases() -> Iterator[tuple[str, torch.dtype, int, Callable[[torch.dtype], Tensors]]]:
    """Yield name, type, the number of roundings of a result, and work."""
    for both in (False, True):
        for layers in (1, 2):
            for train in (False, True):
                name = (
                    f"lstm-{layers}{'-both' if both else ''}{'-train' if train else ''}"
                )
                steps = 6 * layers * (2 if train else 1)
                roundings = steps * (26 + 13 + 20)
                yield name, torch.float32, roundings, lstm(both, layers, train)
    yield "gelu-float32", torch.float32, 12, gelu(torch.float32)
    for half in HALVES:
        name = str(half).split(".")[1]
        yield f"gelu-{name}", half, 2, gelu(half)
        yield f"products-{name}", half, 3, products(half)
        if MODERN:
            yield f"lstm-{name}", half, 24, lstm(False, 1, False)
    if MODERN:
        yield "lstm-both-train-bfloat16", torch.bfloat16, 24, lstm(True, 1, True)
    yield from fused.cases()


def bound() -> None:
    """Print each tensor's distance from f64 in units of its bound."""
    for name, dtype, roundings, work in cases():
        exact = work(torch.float64)
        for key, got in work(dtype).items():
            want = exact[key]
            # an operand may be as large as the largest
            unit = roundings * ROUND[dtype] * want.abs().max()
            print(name, key, float((got.double() - want).abs().max() / unit))


def mean() -> None:
    """Print size, largest t of the mean over samples, and the share that varies."""
    for name, dtype, _, work in cases():
        exact = work(torch.float64)
        runs = [work(dtype) for _ in range(SAMPLES)]
        for key, want in exact.items():
            off = torch.stack([r[key].detach().double() - want.detach() for r in runs])
            spread = off.std(0)
            share = float((spread > 0).double().mean())
            # what one result in 24 shows of a rare neighbour is no deviation
            spread = spread.clamp_min(ROUND[dtype] / 2 * want.abs())
            t = off.mean(0).abs() / spread * SAMPLES**0.5
            print(name, key, want.numel(), float(t.max()), share)


def switch() -> None:
    """Forward perturbed, backward with the mode off: print the gradients' distances."""
    library = ctypes.CDLL(None)
    library.fuzzy_set_mode.argtypes = [ctypes.c_char_p]
    grads = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(5)
        net = nn.LSTM(9, 13).to(dtype)
        y = net(torch.randn(6, 3, 9).to(dtype))[0]
        library.fuzzy_set_mode(b"off")
        y.pow(2).sum().backward()
        library.fuzzy_set_mode(b"sr")
        grads.append([p.grad.double() for p in net.parameters()])
    for got, want in zip(*grads):
        print("gradient", float((got - want).abs().max() / want.abs().max()))


def step() -> None:
    """A step of training and one of inference; print digests."""
    for name, dtype, _, work in cases():
        for key, t in work(dtype).items():
            data = t.detach().contiguous().view(-1).float().numpy().tobytes()
            print(f"{name}/{key}", hashlib.md5(data).hexdigest()[:16])


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("LAYERS_THREADS", "1")))
    {"bound": bound, "mean": mean, "switch": switch, "step": step}[sys.argv[1]]()
