"""PyTorch's module database: its convolutions and recurrent layers, for test_onednn.py.

SPDX-License-Identifier: Apache-2.0

Usage: modules.py; prints of each module and sample the distance from f64 of results and
gradients, in units of the largest number of each and of 2^-24, and the primitives of oneDNN
that were executed and left.
"""

from __future__ import annotations

import copy
import sys
import warnings

import library
import torch
from torch.utils._pytree import tree_flatten, tree_map

KINDS = (torch.nn.RNNBase, torch.nn.RNNCellBase, torch.nn.modules.conv._ConvNd)


def to(dtype: torch.dtype, x: object) -> object:
    """Return a tensor of real numbers as another type, anything else as it is."""
    real = isinstance(x, torch.Tensor) and x.is_floating_point()
    return x.detach().to(dtype).requires_grad_() if real else x


def compute(m: torch.nn.Module, args: tuple, kwargs: dict, dtype: torch.dtype) -> list:
    """Return results and gradients of a copy of a module."""
    m = copy.deepcopy(m).to(dtype)
    args, kwargs = (tree_map(lambda x: to(dtype, x), x) for x in (args, kwargs))
    out = [
        t for t in tree_flatten(m(*args, **kwargs))[0] if isinstance(t, torch.Tensor)
    ]
    g = [torch.linspace(0.5, 1.5, max(t.numel(), 1))[: t.numel()] for t in out]
    torch.autograd.backward(out, [x.to(dtype).view_as(t) for x, t in zip(g, out)])
    leaves = [*m.parameters(), *tree_flatten((args, kwargs))[0]]
    grads = [t.grad for t in leaves if isinstance(t, torch.Tensor)]
    return [t.detach() for t in out] + [t for t in grads if t is not None]


def main() -> None:
    """Go through the database."""
    warnings.simplefilter("ignore")
    library.databases()
    from torch.testing._internal.common_modules import module_db

    for info in module_db:
        kind = info.module_cls
        if not issubclass(kind, KINDS) or kind.__name__.startswith("Lazy"):
            continue
        torch.manual_seed(1)
        samples = info.module_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
        )
        for i, s in enumerate(samples):
            make, call = s.constructor_input, s.forward_input
            m = kind(*make.args, **make.kwargs)
            before = library.primitives()
            got = compute(m, call.args, call.kwargs, torch.float32)
            ours = [b - a for a, b in zip(before, library.primitives())]
            want = compute(m, call.args, call.kwargs, torch.float64)
            worst = max(
                (
                    float((a - b).abs().max() / (b.abs().max() + 2.0**-60)) * 2.0**24
                    for a, b in zip(got, want)
                    if a.numel()
                ),
                default=0.0,
            )
            print(f"{kind.__name__},{i}", worst, *ours)


if __name__ == "__main__":
    sys.exit(main())
