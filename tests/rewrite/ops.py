"""PyTorch's operator database, a line of JSON for each operator and dtype.

SPDX-License-Identifier: Apache-2.0

    PYTHON ops.py OUT FIRST LAST [DTYPE...]

Runs the operators FIRST to LAST (counted over the database, LAST left out) on their sample
inputs, forward and backward, and appends what came out to OUT. A line is written before an
operator begins, so that the last line names the one that ended the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
import warnings

import torch
from torch.utils._pytree import tree_flatten, tree_map_only

#: Samples of an operator and dtype; some have hundreds that differ in a flag.
SAMPLES = 24

#: Uninitialised memory, or addresses: nothing to compare.
NO_VALUES = {
    "empty": "uninitialised memory",
    "empty_like": "uninitialised memory",
    "empty_permuted": "uninitialised memory",
    "empty_strided": "uninitialised memory",
    "new_empty": "uninitialised memory",
    "new_empty_strided": "uninitialised memory",
    "resize_": "uninitialised memory behind what there was",
    "resize_as_": "uninitialised memory behind what there was",
    "linalg.lstsq": "residuals that it does not compute are uninitialised",
    "linalg.lstsq.grad_oriented": "the same",
}


def raw(t: torch.Tensor) -> bytes:
    """Return the values of a tensor, bit by bit."""
    t = t.detach()
    if t.layout != torch.strided:
        t = t.to_dense()
    if t.is_quantized:
        t = t.int_repr()
    t = t.resolve_conj().resolve_neg().contiguous().reshape(-1)
    if t.numel() == 0:
        return b""
    return t.view(torch.uint8).numpy().tobytes()


def one_nan(t: torch.Tensor) -> torch.Tensor:
    """Return a tensor whose NaN are all the same."""
    t = t.detach()
    if t.layout != torch.strided:
        t = t.to_dense()
    t = t.resolve_conj().resolve_neg()
    if t.dtype.is_complex:
        t = torch.view_as_real(t)
    return t.masked_fill(torch.isnan(t), float("nan"))


class Digest:
    """Hashes of results: bits; bits but for NaN's; shapes, types; integers, booleans."""

    def __init__(self) -> None:
        self.all, self.value, self.form, self.whole = (
            hashlib.blake2b(digest_size=8) for _ in range(4)
        )

    def add(self, value: object) -> None:
        """Add a tree of results."""
        for leaf in tree_flatten(value)[0]:
            if isinstance(leaf, torch.Tensor):
                self.form.update(f"{tuple(leaf.shape)}{leaf.dtype}".encode())
                if leaf.device.type != "cpu":
                    continue
                bits = raw(leaf)
                self.all.update(bits)
                if leaf.dtype.is_floating_point or leaf.dtype.is_complex:
                    bits = raw(one_nan(leaf))
                else:
                    self.whole.update(bits)
                self.value.update(bits)
            else:
                self.form.update(type(leaf).__name__.encode())
                self.all.update(repr(leaf).encode())
                self.value.update(repr(leaf).encode())
                if isinstance(leaf, (int, bool)):
                    self.whole.update(repr(leaf).encode())

    def texts(self) -> dict[str, str]:
        """Return the hashes."""
        return {
            "bits": self.all.hexdigest(),
            "values": self.value.hexdigest(),
            "form": self.form.hexdigest(),
            "whole": self.whole.hexdigest(),
        }


def copied(tree: object) -> object:
    """Return a tree with its tensors copied: operators may work in place."""
    return tree_map_only(torch.Tensor, lambda t: t.detach().clone(), tree)


def backward(op: object, sample: object) -> object:
    """Return gradients of the sum of an operator's results, as far as there are any."""
    leaves = [
        t
        for t in tree_flatten((sample.input, sample.args, sample.kwargs))[0]
        if isinstance(t, torch.Tensor) and t.requires_grad
    ]
    outs = op(sample.input, *sample.args, **sample.kwargs)
    if sample.output_process_fn_grad is not None:
        outs = sample.output_process_fn_grad(outs)
    outs = [
        t
        for t in tree_flatten(outs)[0]
        if isinstance(t, torch.Tensor) and t.requires_grad and t.layout == torch.strided
    ]
    if not leaves or not outs:
        return ()
    return torch.autograd.grad(
        outs, leaves, [torch.ones_like(t) for t in outs], allow_unused=True
    )


def seeded() -> None:
    """Start all generators anew."""
    torch.manual_seed(7)
    random.seed(7)


def one(op: object, dtype: torch.dtype) -> dict:
    """Return what an operator gives for a dtype."""
    seeded()
    back = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
    given, forward, gradients = Digest(), Digest(), Digest()
    errors: list[str] = []
    n = 0
    for sample in op.sample_inputs("cpu", dtype, requires_grad=back):
        if n == SAMPLES:
            break
        n += 1
        given.add((sample.input, sample.args, sample.kwargs))
        try:
            seeded()
            with torch.no_grad():
                args, kwargs = (
                    copied((sample.input, sample.args)),
                    copied(sample.kwargs),
                )
                forward.add(op(args[0], *args[1], **kwargs))
            if back:
                seeded()
                gradients.add(backward(op, sample))
        except Exception as e:  # noqa: BLE001 (what an operator refuses is a result too)
            errors.append(type(e).__name__)
        seeded()
    return {
        "samples": n,
        "given": given.texts()["bits"],
        "forward": forward.texts(),
        "backward": gradients.texts(),
        "errors": errors,
    }


def main() -> None:
    """Run a part of the database."""
    out, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    dtypes = [getattr(torch, d) for d in sys.argv[4:]] or [torch.float32]
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ.get("OPS_THREADS", "1")))
    from torch.testing._internal.common_methods_invocations import op_db

    with open(out, "a", encoding="utf-8") as file:

        def say(**line: object) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        for i in range(first, min(last, len(op_db))):
            op = op_db[i]
            name = op.name + (
                f".{op.variant_test_name}" if op.variant_test_name else ""
            )
            for dtype in dtypes:
                if dtype not in op.supported_dtypes("cpu"):
                    continue
                key = {"i": i, "op": name, "dtype": str(dtype).removeprefix("torch.")}
                say(begins=True, **key)
                start = time.monotonic()
                try:
                    result = one(op, dtype)
                except Exception as e:  # noqa: BLE001
                    result = {"failed": f"{type(e).__name__}: {e}"[:200]}
                say(**key, **result, seconds=round(time.monotonic() - start, 3))
        say(done=True, n=len(op_db))


if __name__ == "__main__":
    main()
