"""Operations of torch for test_torch.py: prints what it is asked for, one line a result.

SPDX-License-Identifier: Apache-2.0

Usage: torch_cases.py bits|fit|mean|scope|workers|spawn|threads
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

Outputs = "dict[str, torch.Tensor]"
# `bits` divides f64 data by this: products of f32 data are exact in f64.
F64_DIVISOR = 1.0


def data(t: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return t in dtype."""
    return t.to(dtype) / F64_DIVISOR if dtype == torch.float64 else t


def conv(
    make: Callable[[], nn.Module],
    *shape: int,
    layout: torch.memory_format | None = None,
) -> Callable[[torch.dtype], Outputs]:
    """Return a function that computes a convolution and both gradients from fixed data."""

    def compute(dtype: torch.dtype) -> Outputs:
        torch.manual_seed(1)
        m, x = make().to(dtype), data(torch.randn(*shape), dtype)
        if layout is not None:
            m, x = m.to(memory_format=layout), x.to(memory_format=layout)
        x.requires_grad_()
        y = m(x)
        g = torch.rand(y.shape, generator=torch.Generator().manual_seed(2))
        y.backward(data(g, dtype))
        return {"y": y.detach(), "gx": x.grad, "gw": m.weight.grad}

    return compute


def recurrent(cls: type) -> Callable[[torch.dtype], Outputs]:
    """Return a function that computes a recurrent layer and its gradients."""

    def compute(dtype: torch.dtype) -> Outputs:
        torch.manual_seed(1)
        m, x = cls(8, 16).to(dtype), data(torch.randn(5, 3, 8), dtype).requires_grad_()
        y = m(x)[0]
        y.sum().backward()
        return {
            "y": y.detach(),
            "gx": x.grad,
            "gw": m.weight_ih_l0.grad,
            "gu": m.weight_hh_l0.grad,
        }

    return compute


def product(
    f: Callable[..., torch.Tensor], *shapes: tuple[int, ...]
) -> Callable[[torch.dtype], Outputs]:
    """Return a function that applies f to fixed random tensors."""

    def compute(dtype: torch.dtype) -> Outputs:
        torch.manual_seed(1)
        return {"y": f(*(data(torch.randn(*s), dtype) for s in shapes))}

    return compute


def no_bias(cls: type, *args: int, **kw: int) -> Callable[[], nn.Module]:
    """Return a maker of a module without bias, whose addition would be another operation."""
    return lambda: cls(*args, bias=False, **kw)


CONVS = {
    "conv1d": conv(no_bias(nn.Conv1d, 4, 6, 3), 2, 4, 20),
    "conv2d": conv(no_bias(nn.Conv2d, 4, 6, 3, padding=1), 2, 4, 12, 12),
    "conv2d_1x1": conv(no_bias(nn.Conv2d, 4, 6, 1), 2, 4, 12, 12),
    "conv2d_stride": conv(no_bias(nn.Conv2d, 4, 6, 3, stride=2), 2, 4, 12, 12),
    "conv3d": conv(no_bias(nn.Conv3d, 4, 6, 3), 2, 4, 6, 6, 6),
    "transposed1d": conv(no_bias(nn.ConvTranspose1d, 4, 6, 3, stride=2), 2, 4, 20),
    "transposed2d": conv(no_bias(nn.ConvTranspose2d, 4, 6, 3, stride=2), 2, 4, 8, 8),
    "transposed3d": conv(no_bias(nn.ConvTranspose3d, 4, 6, 3, stride=2), 2, 4, 5, 5, 5),
    "grouped": conv(no_bias(nn.Conv2d, 4, 8, 3, groups=2), 2, 4, 12, 12),
    "depthwise": conv(no_bias(nn.Conv2d, 4, 4, 3, groups=4), 2, 4, 12, 12),
    "depthwise1d": conv(no_bias(nn.Conv1d, 4, 4, 3, groups=4), 2, 4, 20),
    "depthwise3d": conv(no_bias(nn.Conv3d, 4, 4, 3, groups=4), 2, 4, 6, 6, 6),
    "dilated1d": conv(no_bias(nn.Conv1d, 4, 6, 3, dilation=2), 2, 4, 20),
    "dilated2d": conv(no_bias(nn.Conv2d, 4, 6, 3, dilation=2), 2, 4, 12, 12),
    "dilated3d": conv(no_bias(nn.Conv3d, 4, 6, 3, dilation=2), 2, 4, 8, 8, 8),
    "channels_last": conv(
        no_bias(nn.Conv2d, 8, 6, 3), 2, 8, 12, 12, layout=torch.channels_last
    ),
    "channels_last_3d": conv(
        no_bias(nn.Conv3d, 8, 6, 3), 2, 8, 6, 6, 6, layout=torch.channels_last_3d
    ),
    "channels_last_depthwise": conv(
        no_bias(nn.Conv2d, 8, 8, 3, groups=8), 2, 8, 12, 12, layout=torch.channels_last
    ),
}
RNNS = {"lstm": recurrent(nn.LSTM), "gru": recurrent(nn.GRU), "rnn": recurrent(nn.RNN)}
PRODUCTS = {
    "mm": product(torch.mm, (40, 50), (50, 30)),
    "mm_tn": product(lambda a, b: a.t() @ b, (50, 40), (50, 30)),
    "mm_nt": product(lambda a, b: a @ b.t(), (40, 50), (30, 50)),
    "bmm": product(torch.bmm, (4, 40, 40), (4, 40, 40)),
    "mv": product(torch.mv, (60, 50), (50,)),
    "dot": product(
        lambda a, b: torch.stack([torch.dot(*p) for p in zip(a, b)]),
        (16, 500),
        (16, 500),
    ),
}
# Not perturbed by this layer: here for `off equals absent`.
OTHERS = {
    "randn": product(lambda a: a, (100,)),
    "solve": product(torch.linalg.solve, (60, 60), (60, 5)),
    "svd": product(lambda a: torch.linalg.svd(a)[1], (40, 30)),
    "exp": product(torch.exp, (1000,)),
    "mm_big": product(torch.mm, (300, 300), (300, 300)),
    "conv_big": conv(lambda: nn.Conv2d(8, 16, 3), 8, 8, 30, 30),
}


def bits() -> None:
    """Print a digest of every output, in f32 and f64."""
    global F64_DIVISOR
    F64_DIVISOR = 3.0
    for dtype in (torch.float32, torch.float64):
        for name, f in {**PRODUCTS, **CONVS, **RNNS, **OTHERS}.items():
            for out, t in f(dtype).items():
                digest = hashlib.md5(t.contiguous().numpy().tobytes()).hexdigest()[:16]
                print(f"{name}.{out}.{str(dtype)[6:]} {digest}")


def fit() -> None:
    """Print for each output the share of elements that have at most 8 significant bits."""
    for name, f in {**PRODUCTS, **CONVS}.items():
        for out, t in f(torch.float32).items():
            low = t.contiguous().view(torch.int32) & 0xFFFF
            print(f"{name}.{out} {(low == 0).double().mean().item():.4f}")


def mean() -> None:
    """Print for each output: mean z squared and max |z| of the samples' mean against f64,
    the share of elements that vary, and the largest distance in units of 2^-24 max|y|."""
    n = 64
    for name, f in {**PRODUCTS, **CONVS, **RNNS}.items():
        exact = f(torch.float64)
        samples = [f(torch.float32) for _ in range(n)]
        for out, want in exact.items():
            s = torch.stack([x[out].double() for x in samples])
            d, sd = s.mean(0) - want, s.std(0)
            varies = sd > 0
            z = d[varies] / sd[varies] * n**0.5
            z = z if z.numel() else torch.full((1,), float("inf"))
            unit = 2.0**-24 * want.abs().max()
            print(
                f"{name}.{out} {(z * z).mean().item():.3f} {z.abs().max().item():.2f} "
                f"{varies.double().mean().item():.3f} {(d.abs().max() / unit).item():.3f}"
            )


def scope() -> None:
    """Print digests of a product, a convolution and a product, after an exception."""
    x, w = torch.ones(1, 4, 9, 9), torch.ones(5, 3, 3, 3)
    for _ in range(3):
        try:
            nn.functional.conv2d(x, w)
            print("no exception")
        except RuntimeError:
            pass
    with torch.backends.mkldnn.flags(enabled=True):
        for name, f in (
            ("mm", PRODUCTS["mm"]),
            ("conv", CONVS["conv2d"]),
            ("mm_after", PRODUCTS["mm_nt"]),
            ("lstm", RNNS["lstm"]),
        ):
            for out, t in f(torch.float32).items():
                print(
                    f"{name}.{out}", hashlib.md5(t.numpy().tobytes()).hexdigest()[:16]
                )


class Products(Dataset):
    """Each item is the digest of the same product, computed in a worker."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        """Return the number of items."""
        return self.n

    def __getitem__(self, i: int) -> str:
        """Compute the product."""
        a = torch.arange(900, dtype=torch.float32).view(30, 30) / 7
        return hashlib.md5((a @ a).numpy().tobytes()).hexdigest()[:16]


def workers(n: int = 50, context: str = "fork") -> None:
    """Print the digests that n DataLoader workers compute, and the main process's."""
    items = Products(n)
    loader = DataLoader(
        items, batch_size=1, num_workers=n, multiprocessing_context=context
    )
    for i, (digest,) in enumerate(loader):
        print(f"worker{i} {digest}")
    print(f"main {items[0]}")


def threads() -> None:
    """Print digests and the number of tasks of the process under 1 and 2 threads."""
    f, g = OTHERS["mm_big"], CONVS["conv2d"]
    for n in (1, 2):
        torch.set_num_threads(n)
        digest = hashlib.md5(f(torch.float32)["y"].numpy().tobytes()).hexdigest()[:16]
        print(f"mm{n} {digest}")
        print(f"tasks{n} {len(os.listdir('/proc/self/task'))}")
    # A batch shared by two threads, each in a stream of this parallel region.
    for name in ("conv", "conv_again"):
        y = g(torch.float32)["y"]
        print(name, hashlib.md5(y.numpy().tobytes()).hexdigest()[:16])


if __name__ == "__main__":
    what = sys.argv[1]
    if what == "spawn":
        workers(2, "spawn")
    else:
        {
            "bits": bits,
            "fit": fit,
            "mean": mean,
            "scope": scope,
            "workers": workers,
            "threads": threads,
        }[what]()
