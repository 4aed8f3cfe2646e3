"""Results of bf16 in torch, as bit patterns beside what was rounded: for test_bf16.py.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json

import torch


def bits(x: torch.Tensor) -> list[int]:
    """Return patterns of f32 or bf16."""
    if x.dtype == torch.bfloat16:
        return [v & 0xFFFF for v in x.contiguous().view(torch.int16).tolist()]
    return x.view(torch.int32).tolist()


torch.set_num_threads(1)
generator = torch.Generator().manual_seed(3)
pattern = torch.randint(0, 1 << 23, (20011,), generator=generator, dtype=torch.int32)
x = (pattern | 0x3F800000).view(torch.float32)
short = ((pattern & ~0xFFFF) | 0x3F800000).view(torch.float32)
a, c = short.bfloat16(), (short.flip(0) / 128).bfloat16()  # exact
pair = torch.stack([x, x], 1)
# Sums and products of bf16 are exact in f32 here.
cases = {
    "convert": (x, x.bfloat16()),
    "strided": (x, pair[:, 0].bfloat16()),
    "copy": (x, torch.empty(len(x), dtype=torch.bfloat16).copy_(x)),
    "add": (a.float() + c.float(), a + c),
    "mul": (a.float() * a.float(), a * a),
}
inf = float("inf")
special = torch.tensor([float("nan"), inf, -inf, 0.0, -0.0, 1.0, -1.5, 2.0**-133])
exact = {
    "special": bits(special.bfloat16()),
    "full": bits(torch.full((5,), 0.1, dtype=torch.bfloat16)),
    "randn": bits(torch.randn(64, generator=generator, dtype=torch.bfloat16)),
    "rand": bits(torch.rand(64, generator=generator, dtype=torch.bfloat16)),
}
print(
    json.dumps(
        {"cases": {k: (bits(w), bits(y)) for k, (w, y) in cases.items()}, "exact": exact}
    )
)
