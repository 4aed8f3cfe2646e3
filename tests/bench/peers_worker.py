"""Time operations of torch that peers.py asks for, a JSON line each.

SPDX-License-Identifier: Apache-2.0

The operations are those of which figures of other tools have been published. One thread,
inference; a time is of one call.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

ELEMENTS = 1 << 18


def operations() -> dict[str, Callable[[], object]]:
    """Return the operations by name."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.manual_seed(0)
    found: dict[str, Callable[[], object]] = {}

    def product(n: int, dtype: torch.dtype) -> Callable[[], object]:
        a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
        out = torch.empty(n, n, dtype=dtype)
        return lambda: torch.mm(a, b, out=out)

    for n in (128, 256, 384):
        found[f"mm f32 {n}"] = product(n, torch.float32)
    found["mm f64 256"] = product(256, torch.float64)
    image, weights = torch.randn(1, 16, 32, 32), torch.randn(32, 16, 3, 3)
    found["conv2d 16 to 32, 3x3, 32x32"] = lambda: F.conv2d(image, weights, padding=1)
    x, y = torch.rand(ELEMENTS) + 0.5, torch.rand(ELEMENTS) + 0.5
    out = torch.empty_like(x)
    found["add f32"] = lambda: torch.add(x, y, out=out)
    found["mul f32"] = lambda: torch.mul(x, y, out=out)
    found["exp f32"] = lambda: torch.exp(x, out=out)
    found["tanh f32"] = lambda: torch.tanh(x, out=out)
    found["gelu f32"] = lambda: F.gelu(x)
    rows = torch.randn(256, 1024)
    found["softmax 256x1024"] = lambda: torch.softmax(rows, 1)
    found["layer_norm 256x1024"] = lambda: F.layer_norm(rows, (1024,))
    heads = torch.randn(1, 4, 64, 32)
    if hasattr(F, "scaled_dot_product_attention"):
        found["attention 4x64x32"] = lambda: F.scaled_dot_product_attention(
            heads, heads, heads
        )
    mlp = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).eval()
    batch = torch.randn(64, 256)
    found["MLP 64x256-512-10"] = lambda: mlp(batch)
    cnn = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 49, 10),
    ).eval()
    digits = torch.randn(16, 1, 28, 28)
    found["small CNN 16x1x28x28"] = lambda: cnn(digits)
    return found


def pychop() -> dict[str, Callable[[], object]]:
    """Return what pychop emulates: results in f64, rounded to f32's format at random."""
    import torch
    from pychop import Chop

    chop = Chop(exp_bits=8, sig_bits=23, rmode=5, random_state=1)
    torch.manual_seed(0)
    x, y = (torch.rand(ELEMENTS, dtype=torch.float64) + 0.5 for _ in "xy")
    return {
        "add f32": lambda: chop(x + y),
        "mul f32": lambda: chop(x * y),
        "exp f32": lambda: chop(torch.exp(x)),
        "tanh f32": lambda: chop(torch.tanh(x)),
    }


def main() -> None:
    """Answer requests until the end of the input."""
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    made = pychop() if sys.argv[1] == "pychop" else operations()
    print(json.dumps({"operations": list(made)}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        f = made[asked["operation"]]
        f()
        count, spent = 0, 0.0
        end = time.perf_counter() + asked["block"]
        while count == 0 or time.perf_counter() < end:
            start = time.thread_time()
            f()
            spent += time.thread_time() - start
            count += 1
        print(json.dumps(spent / count), flush=True)


if __name__ == "__main__":
    main()
