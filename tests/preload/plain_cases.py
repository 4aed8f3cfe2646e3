"""Under torch, for test_plain.py: random tensors and grids as digests; math by every module.

SPDX-License-Identifier: Apache-2.0

plain_cases.py random: prints JSON, the digest of each seeded tensor, with 1 and 2 threads.
plain_cases.py math: calls what torch.linalg, torch.special, torch.fft and the elementwise
functions have, and prints the names of those that no call succeeded of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterable
from typing import Callable

import torch

F32, F64 = torch.float32, torch.float64


def digest(t: torch.Tensor) -> str:
    """Name the bits of a tensor."""
    return hashlib.sha1(t.detach().contiguous().numpy().tobytes()).hexdigest()


def random_cases(dtype: torch.dtype, n: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Operations that draw numbers or make grids."""
    a = torch.arange(1, n + 1).to(dtype) * (3.0 / n)
    empty = lambda: torch.empty(n, dtype=dtype)
    aten = torch.ops.aten
    d = torch.distributions
    one = torch.ones((), dtype=dtype)
    return {
        "normal_": lambda: empty().normal_(1.5, 2),
        "randn": lambda: torch.randn(n, dtype=dtype),
        "randn_like": lambda: torch.randn_like(a),
        "rand": lambda: torch.rand(n, dtype=dtype),
        "randint": lambda: torch.randint(1000, (n,)),
        "randperm": lambda: torch.randperm(n),
        "normal of tensors": lambda: torch.normal(a, a),
        "normal of a number": lambda: torch.normal(1.0, a),
        "normal by the dispatcher": lambda: aten.normal_(empty(), 0.0, 1.0),
        "normal_functional": lambda: aten.normal_functional(empty(), 0.0, 1.0),
        "log_normal_": lambda: empty().log_normal_(0.5, 1.5),
        "exponential_": lambda: empty().exponential_(1.7),
        "cauchy_": lambda: empty().cauchy_(0.5, 1.5),
        "geometric_": lambda: empty().geometric_(0.3),
        "uniform_": lambda: empty().uniform_(-1, 2),
        "random_": lambda: empty().random_(100),
        "bernoulli_": lambda: empty().bernoulli_(0.3),
        "bernoulli": lambda: torch.bernoulli(a / 4),
        "poisson": lambda: torch.poisson(a * 10),
        "binomial": lambda: torch.binomial(a.round() * 20, a / 4),
        "gamma": lambda: torch._standard_gamma(a),
        "dirichlet": lambda: torch._sample_dirichlet(a.reshape(1, -1)),
        "multinomial": lambda: torch.multinomial(a, 7),
        "multinomial, replaced": lambda: torch.multinomial(a, 100, True),
        "dropout": lambda: torch.nn.functional.dropout(a, 0.4),
        "alpha_dropout": lambda: torch.nn.functional.alpha_dropout(a, 0.4),
        "rrelu": lambda: torch.nn.functional.rrelu(-a, training=True),
        "Gamma": lambda: d.Gamma(a[:3], a[:3]).sample((50,)),
        "Beta": lambda: d.Beta(a[:3], a[:3]).sample((50,)),
        "Normal": lambda: d.Normal(one, one).sample((50,)),
        "arange": lambda: torch.arange(0, n * 0.37, 0.37, dtype=dtype),
        "linspace": lambda: torch.linspace(0.1, 7, n, dtype=dtype),
        "logspace": lambda: torch.logspace(-3, 3, n, dtype=dtype),
        "histc": lambda: torch.histc(a, 50),
        "histogram": lambda: torch.histogram(a, 50)[0],
        "bucketize": lambda: torch.bucketize(a, a[::3].contiguous()),
        "interpolate": lambda: torch.nn.functional.interpolate(
            a[:2000].reshape(1, 1, -1), scale_factor=1.7, mode="linear"
        ),
        "quantile": lambda: torch.quantile(a[:2000], 0.37),
    }


def random() -> None:
    """Print the digest of each case."""
    out = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for dtype in (F32, F64):
            # 7: normal_ draws fewer than 16 numbers another way; 70003: in parallel
            for n in (7, 1000, 70003):
                for name, case in random_cases(dtype, n).items():
                    torch.manual_seed(5)
                    out[f"{name}, {dtype}, {n}, {threads} threads"] = digest(case())
    print(json.dumps(out))


ONE = [
    "acos",
    "acosh",
    "angle",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "i0",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "logit",
    "reciprocal",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "abs",
    "sgn",
    "frac",
    "round",
    "trunc",
    "floor",
    "ceil",
]
TWO = [
    "atan2",
    "copysign",
    "float_power",
    "fmod",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "nextafter",
    "pow",
    "remainder",
    "xlogy",
    "igamma",
    "igammac",
]
COMPLEX = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "log",
    "log10",
    "log2",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "abs",
    "angle",
    "sgn",
    "sigmoid",
    "reciprocal",
    "rsqrt",
    "square",
]
LAYERS = [
    "GELU",
    "SiLU",
    "Softplus",
    "ELU",
    "SELU",
    "Mish",
    "LogSigmoid",
    "Tanh",
    "Sigmoid",
    "CELU",
    "Softsign",
]
LINALG = [
    "cholesky",
    "det",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "matrix_exp",
    "matrix_norm",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "svd",
    "svdvals",
    "lu_factor",
    "cond",
]


class Calls:
    """Functions of a module, called with each of several lists of arguments."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.done: set[str] = set()

    def __call__(
        self, where: object, names: Iterable[str], *tries: tuple[object, ...]
    ) -> None:
        """Call those that are there and take such arguments."""
        for name in names:
            self.tried.add(name)
            for args in tries:
                try:
                    getattr(where, name)(*args)
                    self.done.add(name)
                except (
                    AttributeError,
                    TypeError,
                    RuntimeError,
                    ValueError,
                    IndexError,
                ):
                    pass


def math() -> None:
    """Call everything, in vectors, with strides, and a few elements at a time."""
    call = Calls()
    # An exception must not leave the thread marked as drawing random numbers.
    with contextlib.suppress(RuntimeError):
        torch.empty(3).normal_(0, -1)
    module = torch.special
    special = [
        f for f in dir(module) if f[0].islower() and callable(getattr(module, f))
    ]
    torch.manual_seed(1)
    for dtype in (F32, F64):
        a = torch.linspace(0.05, 0.95, 300, dtype=dtype)
        b = a.flip(0)
        strided = torch.stack([a, b], 1)[:, 0]
        for x, y in ((a, b), (strided, b), (a[:3], b[:3])):
            call(torch, ONE, (x,))
            call(torch, TWO, (x, y))
            call(module, special, (x,), (x, y), (x, 0), (x, 1), (1, x))
            c = torch.complex(x, y)
            call(torch, COMPLEX, (c,))
            call(torch, ["pow"], (c, c))
        for f in LAYERS:
            getattr(torch.nn, f)()(a)
        torch.softmax(a, 0), torch.log_softmax(a, 0), torch.logsumexp(a, 0)
        torch.logcumsumexp(a, 0), torch.polygamma(2, a), torch.mvlgamma(a + 3, 2)
        torch.cdist(a.reshape(30, 10), b.reshape(30, 10), p=2.5)
        torch.nn.LSTM(5, 4).to(dtype)(a[:30].reshape(3, 2, 5))
        torch.nn.GRU(5, 4).to(dtype)(a[:30].reshape(3, 2, 5))
        m = torch.eye(6, dtype=dtype) * 4 + a[:6, None] * b[:6]
        s = m @ m.T
        for matrix in (s, torch.complex(s, s - s.T)):
            call(torch.linalg, LINALG, (matrix,))
            torch.linalg.solve(matrix, matrix), torch.linalg.lstsq(matrix, matrix)
            torch.linalg.multi_dot([matrix, matrix, matrix])
            torch.linalg.vector_norm(matrix, 3.3)
        torch.linalg.householder_product(m, a[:6])
    torch.fft.fft(a), torch.fft.ifft(a), torch.fft.fft2(m), torch.fft.rfft(a[:100])
    torch.fft.irfft(torch.fft.rfft(a)), torch.fft.hfft(a)
    print(*sorted(call.tried - call.done))


if __name__ == "__main__":
    {"random": random, "math": math}[sys.argv[1]]()
