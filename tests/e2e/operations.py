"""Operations of torch with fixed data: each gives its result and all its gradients.

SPDX-License-Identifier: Apache-2.0

The data are f32 numbers from numpy, so that every torch and every dtype starts from the
same values: in f64 the same operation is the exact result for our purposes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Run = Callable[[], "dict[str, torch.Tensor]"]


class Operation(NamedTuple):
    """An operation, and what this layer leaves plain in it.

    Attributes
    ----------
    build : callable
        Takes a dtype, returns a function that computes the operation anew.
    native : dict
        By output, how many plain roundings (additions after the product, as in col2im, or
        math functions) the mean may be off by, in units of 2^-24 of the largest element.
    plain : frozenset
        Outputs that no product makes: sums of the incoming gradient, and outer products,
        which torch computes element by element.
    """

    build: Callable[[torch.dtype], Run]
    native: dict[str, int]
    plain: frozenset[str]


def values(name: str, *shape: int) -> np.ndarray:
    """Return fixed standard normal f32 numbers."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    return rng.standard_normal(shape).astype(np.float32)


def tensor(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return fixed numbers as a tensor."""
    return torch.from_numpy(values(name, *shape)).to(dtype)


def gradients(
    name: str, y: torch.Tensor, inputs: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return y and the gradients of its product with a fixed tensor."""
    out = {"y": y.detach()}
    g = tensor(f"{name} gradient", tuple(y.shape), y.dtype)
    got = torch.autograd.grad(y, list(inputs.values()), g)
    out.update((f"d{key}", t.detach()) for key, t in zip(inputs, got))
    return out


def function(
    f: Callable[..., torch.Tensor],
    *,
    native: dict[str, int] | None = None,
    plain: tuple[str, ...] = (),
    **shapes: tuple[int, ...],
) -> Operation:
    """Return f of named tensors as an operation."""

    def build(dtype: torch.dtype) -> Run:
        args = {k: tensor(k, s, dtype).requires_grad_() for k, s in shapes.items()}
        return lambda: gradients("f", f(*args.values()), args)

    return Operation(build, native or {}, frozenset(plain))


def module(
    make: Callable[[], nn.Module],
    *shape: int,
    layout: torch.memory_format = torch.contiguous_format,
    native: dict[str, int] | None = None,
    plain: tuple[str, ...] = (),
) -> Operation:
    """Return a module as an operation; its weights are scaled to the fan-in."""

    def build(dtype: torch.dtype) -> Run:
        m = make().to(dtype)
        for key, p in m.named_parameters():
            scale = max(1, p[0].numel()) ** -0.5
            p.data = (tensor(key, tuple(p.shape), torch.float32) * scale).to(dtype)
        m = m.to(memory_format=layout)
        x = tensor("x", shape, dtype)
        if layout is not torch.contiguous_format:
            x = x.to(memory_format=layout)
        inputs = {"x": x.requires_grad_(), **dict(m.named_parameters())}

        def run() -> dict[str, torch.Tensor]:
            y = m(x)
            return gradients("module", y[0] if isinstance(y, tuple) else y, inputs)

        return run

    return Operation(build, native or {}, frozenset(plain))


def conv(
    cls: type, kernel: int, *args: int, shape: tuple[int, ...], **kw: int
) -> Operation:
    """Return a convolution as an operation.

    oneDNN's are executed by our kernels, all of them. Where ATen goes its own way (one small
    image, one tap, a transposed one in 1.13) the gradient of the input of a convolution is
    scattered by native additions, as many as the kernel has elements (col2im); so is the
    result of a transposed one, before its bias; and the gradient of the bias is a plain sum.
    """
    layout = kw.pop("layout", torch.contiguous_format)
    rank = len(shape) - 2
    scatter = kernel**rank + 1
    transposed = "Transpose" in cls.__name__
    old = int(torch.__version__.split(".")[0]) < 2
    onednn = shape[0] > 1 and kernel > 1 and not (transposed and old)
    return module(
        lambda: cls(*args, kernel, **kw),
        *shape,
        layout=layout,
        native={} if onednn else {"y" if transposed else "dx": scatter, "dbias": 32},
        plain=() if onednn else ("dbias",),
    )


# Gates are sigmoid and tanh, native in this layer: a few units at each step.
GATES = {
    k: 24
    for k in ("y", "dx", "dweight_ih_l0", "dweight_hh_l0", "dbias_ih_l0", "dbias_hh_l0")
}

OPERATIONS = {
    "mm": function(torch.mm, a=(24, 96), b=(96, 28)),
    "mm_transposed": function(lambda a, b: a.t() @ b.t(), a=(96, 24), b=(28, 96)),
    "addmm": function(torch.addmm, plain=("dc",), c=(24, 28), a=(24, 96), b=(96, 28)),
    # Scalars that f32 has: others would be other numbers in f64. The gradients are scaled by
    # native multiplications.
    "addmm_scaled": function(
        lambda c, a, b: torch.addmm(c, a, b, beta=0.375, alpha=0.75),
        native={"da": 1, "db": 1, "dc": 1},
        plain=("dc",),
        c=(24, 28),
        a=(24, 96),
        b=(96, 28),
    ),
    "bmm": function(torch.bmm, a=(3, 16, 96), b=(3, 96, 20)),
    "baddbmm": function(
        torch.baddbmm, plain=("dc",), c=(3, 16, 20), a=(3, 16, 96), b=(3, 96, 20)
    ),
    "mv": function(torch.mv, native={"da": 1}, plain=("da",), a=(60, 96), b=(96,)),
    "mv_transposed": function(
        lambda a, b: a.t() @ b, native={"da": 1}, plain=("da",), a=(96, 60), b=(96,)
    ),
    "dot": function(
        lambda a, b: torch.stack([torch.dot(*p) for p in zip(a, b)]),
        native={"da": 1, "db": 1},
        plain=("da", "db"),
        a=(24, 200),
        b=(24, 200),
    ),
    "einsum": function(
        lambda a, b: torch.einsum("bij,bkj->bik", a, b), a=(3, 16, 96), b=(3, 20, 96)
    ),
    "linear": module(
        lambda: nn.Linear(96, 28), 24, 96, native={"dbias": 16}, plain=("dbias",)
    ),
    "linear_one": module(
        lambda: nn.Linear(96, 28), 1, 96, native={"dbias": 1}, plain=("dbias",)
    ),
    "conv1d": conv(nn.Conv1d, 3, 16, 12, shape=(2, 16, 24)),
    "conv2d": conv(nn.Conv2d, 3, 8, 6, shape=(2, 8, 10, 10)),
    "conv2d_1x1": conv(nn.Conv2d, 1, 24, 8, shape=(2, 24, 6, 6)),
    "conv2d_strided": conv(
        nn.Conv2d, 3, 8, 6, shape=(2, 8, 11, 11), stride=2, padding=1
    ),
    "conv2d_one": conv(nn.Conv2d, 3, 8, 6, shape=(1, 8, 10, 10)),
    "conv3d": conv(nn.Conv3d, 3, 4, 6, shape=(2, 4, 6, 6, 6)),
    "transposed1d": conv(nn.ConvTranspose1d, 3, 16, 12, shape=(2, 16, 24), stride=2),
    "transposed2d": conv(nn.ConvTranspose2d, 3, 16, 6, shape=(2, 16, 7, 7), stride=2),
    "transposed3d": conv(nn.ConvTranspose3d, 3, 16, 4, shape=(2, 16, 4, 4, 4)),
    "grouped": conv(nn.Conv2d, 3, 8, 6, shape=(2, 8, 10, 10), groups=2),
    "depthwise": conv(nn.Conv2d, 3, 6, 6, shape=(2, 6, 10, 10), groups=6),
    "depthwise1d": conv(nn.Conv1d, 3, 8, 8, shape=(2, 8, 24), groups=8),
    "depthwise3d": conv(nn.Conv3d, 3, 4, 4, shape=(2, 4, 6, 6, 6), groups=4),
    "dilated": conv(nn.Conv2d, 3, 8, 6, shape=(2, 8, 12, 12), dilation=2),
    "dilated3d": conv(nn.Conv3d, 3, 4, 6, shape=(2, 4, 7, 7, 7), dilation=2),
    "channels_last": conv(
        nn.Conv2d, 3, 8, 6, shape=(2, 8, 10, 10), layout=torch.channels_last
    ),
    "channels_last_depthwise": conv(
        nn.Conv2d, 3, 8, 8, shape=(2, 8, 10, 10), groups=8, layout=torch.channels_last
    ),
    "channels_last_3d": conv(
        nn.Conv3d, 3, 8, 6, shape=(1, 8, 6, 6, 6), layout=torch.channels_last_3d
    ),
    "lstm": module(lambda: nn.LSTM(24, 16), 5, 4, 24, native=GATES),
    "gru": module(lambda: nn.GRU(24, 16), 5, 4, 24, native=GATES),
    "rnn": module(lambda: nn.RNN(24, 16), 5, 4, 24, native=GATES),
    "attention": function(
        lambda q, k, v: F.softmax(q @ k.transpose(1, 2) / 8, -1) @ v,
        native={"y": 8, "dq": 16, "dk": 16, "dv": 8},
        q=(3, 16, 64),
        k=(3, 16, 64),
        v=(3, 16, 64),
    ),
}
