"""What a process under the library computes for test_e2e.py: results to an .npz file.

SPDX-License-Identifier: Apache-2.0

    worker.py reference OUT       every operation once, in f64
    worker.py samples OUT N REF   N samples of every operation in f32: mean, deviation,
                                  mean error along its signs, digests of two more
    worker.py variance OUT N      N samples of mm, conv2d and its gradients
    worker.py threads OUT N       digests with N threads, in Python threads, of equal calls
"""

from __future__ import annotations

import hashlib
import sys
import threading

import numpy as np
import torch
from operations import OPERATIONS, Run, function, module


def digest(t: torch.Tensor) -> str:
    """Return a short name of the bits of a tensor."""
    return hashlib.md5(t.contiguous().numpy().tobytes()).hexdigest()[:16]


def reference() -> dict[str, np.ndarray]:
    """Return every output in f64."""
    out = {}
    for name, op in OPERATIONS.items():
        for key, t in op.build(torch.float64)().items():
            out[f"{name}.{key}"] = t.numpy()
    return out


def many(run: Run, n: int) -> dict[str, np.ndarray]:
    """Return n samples of every output, in f64, the sample first."""
    samples: dict[str, list[np.ndarray]] = {}
    for _ in range(n):
        for key, t in run().items():
            samples.setdefault(key, []).append(t.numpy().astype(np.float64))
    return {key: np.stack(s) for key, s in samples.items()}


def samples(n: int, reference_file: str) -> dict[str, np.ndarray]:
    """Return what the tests of mean and bits need, by output.

    Notes
    -----
    `bits` are digests of two samples, taken of everything before any statistics, so that
    they do not depend on n. `error` holds a sample's mean error along the signs of the
    exact result, a number a sample: independent between samples, however the elements
    depend on each other.
    """
    exact = np.load(reference_file)
    out: dict[str, np.ndarray] = {}
    runs = {name: op.build(torch.float32) for name, op in OPERATIONS.items()}
    for name, run in runs.items():
        pair = run(), run()
        for key in pair[0]:
            out[f"{name}.{key} bits"] = np.array([digest(p[key]) for p in pair])
    for name, run in runs.items():
        for key, s in many(run, n).items() if n > 2 else ():
            full = f"{name}.{key}"
            want = exact[full]
            out[f"{full} mean"] = s.mean(0)
            out[f"{full} sd"] = s.std(0, ddof=1)
            axes = tuple(range(1, s.ndim))
            out[f"{full} error"] = ((s - want) * np.sign(want)).mean(axes)
    return out


VARIANCE = {
    "mm": function(torch.mm, a=(16, 200), b=(200, 20)),
    "bmm": function(torch.bmm, a=(2, 10, 200), b=(2, 200, 16)),
    "mv": function(torch.mv, a=(200, 200), b=(200,)),
    "conv2d": module(lambda: torch.nn.Conv2d(16, 4, 3, bias=False), 2, 16, 9, 9),
}


def variance(n: int) -> dict[str, np.ndarray]:
    """Return the operands, the mean and the variance of n samples of each product."""
    out: dict[str, np.ndarray] = {}
    for name, op in VARIANCE.items():
        for key, s in many(op.build(torch.float32), n).items():
            out[f"{name}.{key} mean"] = s.mean(0)
            out[f"{name}.{key} var"] = s.var(0, ddof=1)
    return out


def threads(n: int) -> dict[str, np.ndarray]:
    """Return digests of products under n threads of torch, by place of computation."""
    torch.set_num_threads(n)
    out: dict[str, str] = {}
    big = {
        "mm": function(torch.mm, a=(300, 310), b=(310, 320)),
        "bmm": function(torch.bmm, a=(8, 64, 64), b=(8, 64, 64)),
        "mv": function(torch.mv, a=(900, 500), b=(500,)),
        "linear": module(lambda: torch.nn.Linear(300, 200), 128, 300),
        "conv2d_one": module(lambda: torch.nn.Conv2d(16, 32, 3), 1, 16, 40, 40),
        "lstm": module(lambda: torch.nn.LSTM(64, 96), 6, 32, 64),
        # With a batch, torch itself computes the images in a parallel region.
        "region_conv2d": module(lambda: torch.nn.Conv2d(8, 16, 3), 8, 8, 24, 24),
        "region_transposed": module(
            lambda: torch.nn.ConvTranspose2d(8, 16, 3), 8, 8, 20, 20
        ),
    }
    for name, op in big.items():
        for key, t in op.build(torch.float32)().items():
            out[f"{name}.{key}"] = digest(t)

    # The images of a batch are the same, so their results tell whether words are.
    m = torch.nn.Conv2d(8, 16, 3, bias=False)
    m.weight.data.copy_(
        torch.from_numpy(
            np.linspace(-1, 1, m.weight.numel(), dtype=np.float32).reshape(
                m.weight.shape
            )
        )
    )
    x = torch.linspace(-1, 1, 8 * 24 * 24).view(1, 8, 24, 24).repeat(6, 1, 1, 1)
    for i, t in enumerate(m(x).detach()):
        out[f"image{i}"] = digest(t)

    # Neighbouring calls, without others between.
    a = torch.linspace(-1, 1, 2 * 40 * 40).view(2, 40, 40)
    for name, f in (
        ("mm", lambda: torch.mm(a[0], a[1])),
        ("bmm", lambda: torch.bmm(a, a)),
        ("mv", lambda: torch.mv(a[0], a[1, 0])),
        ("linear", lambda: torch.nn.functional.linear(a[0], a[1])),
    ):
        for i in range(8):
            out[f"again_{name}{i}"] = digest(f())

    # Python threads, and the backward passes that they start.
    def task(i: int) -> None:
        run = OPERATIONS["mm"].build(torch.float32)
        out.update((f"thread{i}.{key}", digest(t)) for key, t in run().items())

    for i in range(3):
        t = threading.Thread(target=task, args=(i,))
        t.start()
        t.join()
    return {k: np.array(v) for k, v in out.items()}


def main() -> None:
    """Do what the command line asks for."""
    what, path, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if what == "reference":
        out = reference()
    elif what == "samples":
        out = samples(int(rest[0]), rest[1])
    elif what == "variance":
        out = variance(int(rest[0]))
    else:
        out = threads(int(rest[0]))
    np.savez(path, **out)


if __name__ == "__main__":
    main()
