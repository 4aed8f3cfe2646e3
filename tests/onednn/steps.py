"""Programs for test_onednn.py; each prints what it computed, one line a result.

SPDX-License-Identifier: Apache-2.0

Usage: steps.py resnet
"""

from __future__ import annotations

import hashlib
import sys

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


if __name__ == "__main__":
    {"resnet": resnet}[sys.argv[1]]()
