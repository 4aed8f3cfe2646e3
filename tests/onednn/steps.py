"""Programs for test_onednn.py; each prints what it computed, one line a result.

SPDX-License-Identifier: Apache-2.0

Usage: steps.py resnet|ways|quantized|narrow|rest
"""

from __future__ import annotations

import copy
import hashlib
import os
import sys
import threading

import library
import torch
from torch import nn
from torch.nn import functional


def digest(t: torch.Tensor) -> str:
    """Return a name of the bits."""
    return hashlib.md5(t.detach().contiguous().numpy().tobytes()).hexdigest()[:16]


class Block(nn.Module):
    """A residual block with a projection."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.two = nn.Conv2d(outer, outer, 3, padding=1)
        self.past = nn.Conv2d(inner, outer, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both ways, added."""
        y = functional.relu(self.norm(self.one(x)))
        return functional.relu(self.two(y) + self.past(x))


def resnet() -> None:
    """One step of training of a network like ResNet."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=2, padding=3),
        nn.MaxPool2d(2),
        Block(16, 16, 1),
        Block(16, 24, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    )
    y = net(torch.randn(4, 3, 48, 48))
    functional.cross_entropy(y, torch.arange(4)).backward()
    print("y", digest(y))
    for name, p in net.named_parameters():
        print(name, digest(p.grad))


def small() -> tuple[nn.Module, torch.Tensor]:
    """Return a convolution for oneDNN, and what it is applied to."""
    torch.manual_seed(1)
    return nn.Conv2d(8, 16, 3, padding=1), torch.randn(4, 8, 12, 12)


def ways() -> None:
    """A convolution asked for in several ways, each from the same seed."""
    m, x = small()
    torch.set_num_threads(1)
    asked = {"eager": m, "script": torch.jit.script(m), "trace": torch.jit.trace(m, x)}

    def reseed() -> None:
        if os.environ.get("LD_PRELOAD"):
            library.seed(1)

    for name, f in asked.items():
        reseed()
        with torch.no_grad():
            print(name, digest(f(x)))
    reseed()
    replicas = [copy.deepcopy(m) for _ in range(3)]
    out: list = [None] * 3

    def replica(i: int) -> None:
        out[i] = replicas[i](x)
        out[i].sum().backward()

    threads = [threading.Thread(target=replica, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, r in enumerate(replicas):
        print(f"replica{i}", digest(out[i]))
        print(f"replica{i}.gw", digest(r.weight.grad)) if i == 0 else None
    reseed()
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        print("disabled", digest(m(x)))


def quantized() -> None:
    """An integer convolution of oneDNN."""
    m, x = small()
    torch.backends.quantized.engine = "onednn"
    qx = torch.quantize_per_tensor(x, 0.05, 64, torch.quint8)
    qw = torch.quantize_per_tensor(m.weight.detach(), 0.01, 0, torch.qint8)
    ops = torch.ops.quantized
    packed = ops.conv2d_prepack(qw, m.bias, [1, 1], [1, 1], [1, 1], 1)
    print("y", digest(ops.conv2d.new(qx, packed, 0.1, 64).int_repr()))


def narrow() -> None:
    """f32 to bf16 by oneDNN: the share of elements that are neighbours of the exact value,
    and of those that are the nearest; the mean error in its own standard errors."""
    torch.manual_seed(1)
    x = torch.randn(16, 24, 13, 13)
    got = [x.to_mkldnn(torch.bfloat16).to_dense() for _ in range(8)]
    unit = torch.exp2(torch.frexp(x)[1] - 8.0)
    off = torch.stack([(y.float() - x) / unit for y in got]).double()
    near = torch.stack([y == x.bfloat16() for y in got]).double()
    print("neighbours", float((off.abs() < 1).double().mean()))
    print("nearest", float(near.mean()))
    print("t", float(off.mean() / off.std() * off.numel() ** 0.5))
    print("same", len({digest(y.view(torch.int16)) for y in got}))
    wide = got[0].to_mkldnn().to_dense(torch.float32)
    print("wide", torch.equal(wide, got[0].float()))


def rest() -> None:
    """A primitive that is asked for seldom, and five that are not executed."""
    import torch.utils.mkldnn

    torch.manual_seed(1)
    x = torch.randn(2, 8, 9, 9)
    with torch.no_grad():
        print("deconvolution", digest(nn.ConvTranspose2d(8, 4, 3)(x)))
        m = x.to_mkldnn()
        print("pooling", digest(functional.avg_pool2d(m, 2).to_dense()))
        print("sum", digest((m + m).to_dense()))
        print("binary", digest((m * m).to_dense()))
        print("softmax", digest(torch.softmax(m, 1).to_dense()))
        norm = torch.utils.mkldnn.to_mkldnn(nn.BatchNorm2d(8).eval())
        print("norm", digest(norm(m).to_dense()))


if __name__ == "__main__":
    programs = (resnet, ways, quantized, narrow, rest)
    {f.__name__: f for f in programs}[sys.argv[1]]()
