"""What torch hands to oneDNN as one primitive: convolutions and linear layers with a function
or an operation behind them, as inductor and to_mkldnn ask for them. For layers.py.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

Tensors = dict[str, torch.Tensor]
Case = tuple[str, torch.dtype, int, Callable[[torch.dtype], Tensors]]


def single(x: float) -> float:
    """Return x as f32 holds it: oneDNN's constants."""
    return float(torch.tensor(x))


def gelu(x: torch.Tensor) -> torch.Tensor:
    """GELU with oneDNN's 1/sqrt(2)."""
    return x * (1 + torch.erf(x * single(0.5**0.5))) / 2


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """The other GELU with oneDNN's constants."""
    v = x * single(0.79788458347320556640625)
    return x * (1 + torch.tanh(v * (1 + single(0.044715) * x * x))) / 2


def hardsigmoid(x: torch.Tensor) -> torch.Tensor:
    """Hard sigmoid with oneDNN's 1/6."""
    return (x * single(1 / 6) + 0.5).clamp(0, 1)


#: By torch's name of the function and of its form: its numbers, and what it is.
UNARY: dict[tuple[str, str], tuple[list[float], Callable]] = {
    ("none", ""): ([], lambda x: x),
    ("relu", ""): ([], torch.relu),
    ("leaky_relu", ""): ([0.1], lambda x: functional.leaky_relu(x, single(0.1))),
    ("hardtanh", ""): ([-0.5, 0.75], lambda x: x.clamp(-0.5, 0.75)),
    ("sigmoid", ""): ([], torch.sigmoid),
    ("tanh", ""): ([], torch.tanh),
    ("swish", ""): ([], functional.silu),
    ("hardsigmoid", ""): ([], hardsigmoid),
    ("hardswish", ""): ([], lambda x: x * hardsigmoid(x)),
    ("gelu", "none"): ([], gelu),
    ("gelu", "tanh"): ([], gelu_tanh),
}
BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}


def pointwise(half: torch.dtype) -> Callable[[torch.dtype], Tensors]:
    """Return a function of a type: every fused form, of numbers that `half` holds."""

    def work(dtype: torch.dtype) -> Tensors:
        g, ops = torch.Generator().manual_seed(6), torch.ops.mkldnn

        def numbers(*shape: int, by: float = 1) -> torch.Tensor:
            return (torch.randn(*shape, generator=g) * by).to(half).to(dtype)

        x, w, b = (
            numbers(2, 8, 6, 6),
            numbers(10, 8, 3, 3, by=0.06),
            numbers(10, by=0.3),
        )
        d, dw = numbers(2, 9, 6, 6), numbers(9, 1, 3, 3, by=0.2)
        z, o = numbers(7, 70), numbers(7, 33)
        v, c = numbers(33, 70, by=0.06), numbers(33, by=0.3)
        o = o + o.sign()  # for the division
        exact, out = dtype == torch.float64, {}
        one = [1, 1]
        for (name, form), (values, f) in UNARY.items():
            if exact:
                conv = f(functional.conv2d(x, w, b, padding=1))
                depth = f(functional.conv2d(d, dw, None, padding=1, groups=9))
                linear = f(functional.linear(z, v, c))
            else:
                how = (name, values, form)
                conv = ops._convolution_pointwise(x, w, b, one, one, one, 1, *how)
                depth = ops._convolution_pointwise(d, dw, None, one, one, one, 9, *how)
                linear = ops._linear_pointwise(z, v, c, *how)
            out[f"conv-{name}{form}"] = conv
            out[f"depthwise-{name}{form}"] = depth
            out[f"linear-{name}{form}"] = linear
        for name, f in BINARY.items():
            if exact:
                out[f"linear-{name}"] = f(functional.linear(z, v, c), o)
            else:
                out[f"linear-{name}"] = ops._linear_pointwise.binary(z, o, v, c, name)
        if exact:
            out["packed"] = functional.linear(z, v, c)
        else:
            packed = ops._reorder_linear_weight(v, 7)
            out["packed"] = ops._linear_pointwise(z, packed, c, "none", [], "")
        return out

    return work


def inner(dtype: torch.dtype) -> Tensors:
    """A linear layer of oneDNN's own tensors, and its gradients."""
    torch.manual_seed(7)
    x, w, b = (
        torch.randn(*s).to(dtype).requires_grad_() for s in ((7, 70), (33, 70), (33,))
    )
    exact = dtype == torch.float64
    y = functional.linear(x if exact else x.to_mkldnn(), w, b)
    y = y if exact else y.to_dense()
    y.backward(torch.randn(7, 33).to(dtype))
    return {"y": y, "x": x.grad, "w": w.grad, "b": b.grad}


def cases() -> Iterator[Case]:
    """Yield what layers.py's cases() yields."""
    yield "inner-float32", torch.float32, 80, inner
    ops = torch.ops.mkldnn
    if not hasattr(ops, "_linear_pointwise"):
        return
    yield "fused-float32", torch.float32, 90, pointwise(torch.float32)
    for half, known in (
        (torch.bfloat16, "_is_mkldnn_bf16_supported"),
        (torch.float16, "_is_mkldnn_fp16_supported"),
    ):
        if getattr(ops, known)():
            yield f"fused-{str(half).split('.')[1]}", half, 4, pointwise(half)
