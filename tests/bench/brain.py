"""A 3-d U-Net with few channels, as brain extraction has it: time and memory of one pass.

SPDX-License-Identifier: Apache-2.0

Usage: brain.py SIDE THREADS; prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import torch
from torch import nn


class Twice(nn.Sequential):
    """Two convolutions, normed."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        for n in (inner, outer):
            self.append(nn.Conv3d(n, outer, 3, padding=1, bias=False))
            self.append(nn.BatchNorm3d(outer))
            self.append(nn.ReLU(inplace=True))


class Net(nn.Module):
    """Down and up again, three levels."""

    def __init__(self, width: int = 8, levels: int = 4) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(levels)]
        self.down = nn.ModuleList(Twice(a, b) for a, b in zip([1, *widths], widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])
        )
        self.after = nn.ModuleList(Twice(2 * w, w) for w in reversed(widths[:-1]))
        self.last = nn.Conv3d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mask's logits."""
        kept = []
        for i, level in enumerate(self.down):
            x = level(x if i == 0 else nn.functional.max_pool3d(x, 2))
            kept.append(x)
        kept.pop()
        for up, after in zip(self.up, self.after):
            x = after(torch.cat([kept.pop(), up(x)], 1))
        return self.last(x)


def main() -> None:
    """Time one pass after a small one, which makes what is made once."""
    side = int(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(1, 1, side, side, side)
    with torch.no_grad():
        net(torch.randn(1, 1, 16, 16, 16))
        wall, cpu = time.perf_counter(), time.process_time()
        net(x)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}))


if __name__ == "__main__":
    main()
