"""PyTorch's operator database: its convolutions, for test_onednn.py.

SPDX-License-Identifier: Apache-2.0

Usage: ops.py; prints of each operator and sample the distance from f64 of result and
gradients, in units of a bound for any order of summation.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import library
import torch
from torch.utils._pytree import tree_map


def compute(op: Callable, args: tuple, kwargs: dict, map_: Callable) -> list:
    """Return the result and the gradients with regard to every tensor given."""
    leaves = []

    def leaf(t: object) -> object:
        if not isinstance(t, torch.Tensor):
            return t
        leaves.append(map_(t.detach().clone()).requires_grad_())
        return leaves[-1]

    y = op(*tree_map(leaf, args), **tree_map(leaf, kwargs))
    g = torch.linspace(0.5, 1.5, max(y.numel(), 1), dtype=torch.float32)[: y.numel()]
    y.backward(g.to(y.dtype).view_as(y))
    return [y.detach(), *(t.grad for t in leaves)]


def main() -> None:
    """Go through the database."""
    warnings.simplefilter("ignore")
    library.databases()
    from torch.testing._internal.common_methods_invocations import op_db

    torch.manual_seed(1)
    for op in op_db:
        if not op.name.startswith("nn.functional.conv"):
            continue
        for i, s in enumerate(op.sample_inputs("cpu", torch.float32)):
            call = (op.op, (s.input, *s.args), s.kwargs)
            before = library.primitives()
            got = compute(*call, lambda t: t)
            ours = [b - a for a, b in zip(before, library.primitives())]
            want = compute(*call, lambda t: t.double())
            size = compute(*call, lambda t: t.double().abs())
            terms = sum(t.numel() for t in got if t is not None) + 2
            worst = 0.0
            for a, b, c in zip(got, want, size):
                if a is not None and a.numel():
                    unit = terms * 2.0**-24 * c + 2.0**-140
                    worst = max(worst, float(((a - b).abs() / unit).max()))
            print(f"{op.name},{i}", worst, *ours)


if __name__ == "__main__":
    sys.exit(main())
