"""What PyTorch computes in line, and small training runs: a line with a hash for each.

SPDX-License-Identifier: Apache-2.0

    PYTHON workloads.py THREADS [PREFIX...]

Runs on the wheel and on PyTorch 1.13. Two runs that compute the same print the same.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Case = "tuple[str, Callable[[], object]]"


def digest(value: object) -> str:
    """Return a hash of tensors, bit by bit."""
    h = hashlib.blake2b(digest_size=8)
    for t in value if isinstance(value, (list, tuple)) else [value]:
        t = t.detach().contiguous().reshape(-1)
        if t.dtype.is_floating_point:  # NaN is NaN
            t = t.masked_fill(torch.isnan(t), float("nan"))
        h.update(f"{t.dtype}".encode())
        if t.numel():
            if t.dtype == torch.bfloat16 or t.dtype == torch.float16:
                t = t.view(torch.int16)
            h.update(t.numpy().tobytes())
    return h.hexdigest()


def data(
    *shape: int, dtype: torch.dtype = torch.float32, seed: int = 3
) -> torch.Tensor:
    """Return seeded numbers."""
    g = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.randn(*shape, generator=g, dtype=wide).to(dtype)


def trained(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    optimizer: Callable[..., torch.optim.Optimizer],
    dtype: torch.dtype,
) -> list[torch.Tensor]:
    """Return parameters and losses of a few training steps."""
    torch.manual_seed(1)
    model = make().to(dtype)
    steps = optimizer(model.parameters())
    losses = []
    for i in range(4):
        x = data(*shape, dtype=dtype, seed=i)
        y = torch.arange(shape[0]) % 5
        out = model(x)
        if isinstance(out, tuple):
            out = out[0][:, -1]
        loss = F.cross_entropy(out, y)
        steps.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steps.step()
        losses.append(loss)
    return losses + list(model.parameters())


class Attention(nn.Module):
    """A transformer of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            16, 4, 32, dropout=0.1, activation="gelu", batch_first=True
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return classes of a sequence."""
        return self.head(self.layer(x).mean(1))


def mlp() -> nn.Module:
    """Return a perceptron."""
    return nn.Sequential(
        nn.Linear(20, 33), nn.LayerNorm(33), nn.GELU(), nn.Dropout(0.1),
        nn.Linear(33, 17), nn.Tanh(), nn.Linear(17, 5),
    )  # fmt: skip


def cnn() -> nn.Module:
    """Return a small network of convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, groups=2), nn.GroupNorm(2, 8), nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip


def training() -> Iterator[Case]:
    """Yield the training runs."""

    def sgd(p: object) -> torch.optim.Optimizer:
        return torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=1e-3)

    def adam(p: object) -> torch.optim.Optimizer:
        return torch.optim.AdamW(p, 1e-2)

    def rms(p: object) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(p, 1e-2)

    for dtype in (torch.float32, torch.float64):
        d = str(dtype)[6:]
        yield f"mlp {d}", lambda t=dtype: trained(mlp, (16, 20), sgd, t)
        yield f"cnn {d}", lambda t=dtype: trained(cnn, (8, 1, 12, 12), adam, t)
        yield (
            f"transformer {d}",
            lambda t=dtype: trained(Attention, (4, 7, 16), adam, t),
        )
        yield (
            f"lstm {d}",
            lambda t=dtype: trained(
                lambda: nn.LSTM(9, 11, batch_first=True), (4, 6, 9), rms, t
            ),
        )


UNARY = [
    "neg",
    "abs",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "erf",
    "erfinv",
    "lgamma",
    "digamma",
    "floor",
    "frac",
    "square",
    "atan",
    "asinh",
    "i0",
    "sinc",
    "nan_to_num",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "atan2",
    "fmod",
    "remainder",
    "maximum",
    "hypot",
    "true_divide",
]
REDUCE = [
    "sum",
    "mean",
    "prod",
    "var",
    "std",
    "logsumexp",
    "cumsum",
    "cumprod",
    "softmax",
    "log_softmax",
    "amax",
]
SHAPED = {
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:], eps=1e-5),
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x.float(), approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "mse_loss": lambda x: F.mse_loss(x, x * 0.5),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x * 0.5 - 1),
    "kl_div": lambda x: F.kl_div(
        F.log_softmax(x, -1), F.softmax(x + 1, -1), reduction="sum"
    ),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "addcmul": lambda x: torch.addcmul(x, x, x.flip(0), value=0.3),
    "addcdiv": lambda x: torch.addcdiv(x, x, x.abs() + 1, value=0.3),
    "lerp": lambda x: torch.lerp(x, x.flip(0), 0.3),
    "norm": lambda x: torch.norm(x),
    "clamp": lambda x: x.clamp(-0.7, 0.9),
    "cdist": lambda x: torch.cdist(x.float(), x.flip(0).float()),
    "where": lambda x: torch.where(x > 0, x * 2, x / 3),
    "pow": lambda x: x.abs().pow(1.7),
    "scalar": lambda x: (x * 0.1 + 0.7) / 3.3 - 1,
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "avg_pool": lambda x: F.avg_pool1d(x[None], 3, 2),
    "interpolate": lambda x: F.interpolate(
        x[None, None], scale_factor=1.7, mode="bilinear", align_corners=False
    ),
    "half": lambda x: x.to(torch.float16),
    "bfloat": lambda x: x.to(torch.bfloat16),
    "widths": lambda x: x.double() * 1.1 + x.float(),
    "integers": lambda x: torch.arange(2000).to(x.dtype) / 7,
    "cut": lambda x: (x * 1000).to(torch.int32),
    "sparse": lambda x: torch.sparse.sum(x.float().relu().to_sparse(), 0).to_dense(),
    "fft": lambda x: torch.view_as_real(torch.fft.fft(x.float())),
    "complex": lambda x: torch.view_as_real(
        torch.complex(x.float(), x.flip(0).float()) ** 2
    ),
    "small products": lambda x: torch.bmm(x.float()[:12].view(4, 3, -1), x.float()[:12].view(4, -1, 3)),
}  # fmt: skip


def given(f: Callable[[np.ndarray], np.ndarray], *shape: int) -> torch.Tensor:
    """Return f of 1/8, 2/8, …: numbers that torch has not computed."""
    x = f(np.arange(1, 1 + int(np.prod(shape)), dtype=np.float64) / 8)
    return torch.from_numpy(x.astype(np.float32).reshape(shape))


def eighths(*shape: int) -> torch.Tensor:
    """Return 1/8, 2/8, …"""
    return given(lambda x: x, *shape)


def waves(*shape: int) -> torch.Tensor:
    """Return numbers from -1 to 1."""
    return given(lambda x: x * 37.3 % 2 - 1, *shape)


#: What equals native under every mode: random numbers, indices, sizes, Python's scalars.
EXACT = {
    "randn": lambda: torch.randn(1000),
    "randn f64": lambda: torch.randn(1000, dtype=torch.float64),
    "rand": lambda: torch.rand(1000),
    "normal_": lambda: torch.empty(777).normal_(1, 2),
    "bernoulli": lambda: torch.bernoulli(torch.linspace(0, 1, 999)),
    "exponential_": lambda: torch.empty(777).exponential_(1.3),
    "cauchy_": lambda: torch.empty(777).cauchy_(),
    "log_normal_": lambda: torch.empty(777).log_normal_(),
    "geometric_": lambda: torch.empty(777).geometric_(0.3),
    "poisson": lambda: torch.poisson(torch.linspace(0, 20, 777)),
    "multinomial": lambda: torch.multinomial(torch.linspace(0, 1, 77), 40),
    "gamma": lambda: torch._standard_gamma(torch.linspace(0.1, 9, 777)),
    "dirichlet": lambda: torch._sample_dirichlet(torch.ones(50, 5)),
    "randperm": lambda: torch.randperm(777),
    "arange": lambda: torch.arange(0, 3, 0.3),
    "linspace": lambda: torch.linspace(0, 1, 777),
    "logspace": lambda: torch.logspace(0, 1, 777),
    "histc": lambda: torch.histc(data(5000), 30),
    "dropout": lambda: F.dropout(torch.ones(2000), 0.5) != 0,
    "normal of tensors": lambda: torch.normal(eighths(500), eighths(500)),
    "normal of means": lambda: torch.normal(eighths(500), 1.3),
    "normal of deviations": lambda: torch.normal(0.3, eighths(500).double()),
    "normal out": lambda: torch.normal(
        eighths(500), eighths(500), out=torch.empty(500)
    ),
    "Dirichlet": lambda: torch.distributions.Dirichlet(eighths(20, 5)).sample(),
    "binomial": lambda: torch.binomial(
        given(lambda x: np.floor(x), 200), torch.full((200,), 0.3)
    ),
    "complex": lambda: torch.view_as_real(torch.randn(300, dtype=torch.complex64)),
    "layers": lambda: list(nn.LSTM(9, 7).parameters()),
    "pool": lambda: F.fractional_max_pool2d(
        eighths(1, 1, 16, 16), 2, output_ratio=(0.6, 0.7)
    ),
    "histogram": lambda: torch.histogram(waves(1000), 33)[0],
    "histogramdd": lambda: torch.histogramdd(waves(300, 2), [7, 9])[0],
    "bucketize": lambda: torch.bucketize(waves(300), eighths(60)),
    "searchsorted": lambda: torch.searchsorted(eighths(60), waves(300)),
    "nearest": lambda: F.interpolate(
        waves(1, 1, 37, 41), scale_factor=(1.7, 2.3), mode="nearest"
    ),
    "nearest exact": lambda: F.interpolate(
        waves(1, 1, 37, 41), size=(111, 99), mode="nearest-exact"
    ),
    "size": lambda: torch.tensor(
        F.interpolate(waves(1, 1, 37, 41), scale_factor=(1.7, 2.3), mode="bilinear").shape
    ),
    "grid": lambda: F.grid_sample(
        waves(1, 1, 16, 16), waves(1, 9, 9, 2), mode="nearest", align_corners=False
    ),
    "list": lambda: torch.tensor([0.1 * k for k in range(100)]),
    "full": lambda: torch.full((50,), 0.1),
    "fill_": lambda: torch.empty(50).fill_(0.1),
    "times": lambda: given(np.ones_like, 50) * 0.1,
    "plus": lambda: given(np.zeros_like, 50) + 0.1,
    "over": lambda: 0.1 / given(np.ones_like, 50),
    "alpha": lambda: torch.add(
        given(np.zeros_like, 50), given(np.ones_like, 50), alpha=0.1
    ),
    "value": lambda: torch.addcmul(
        given(np.zeros_like, 50), given(np.ones_like, 50), given(np.ones_like, 50), value=0.1
    ),
    "where": lambda: torch.where(waves(50) > 2, waves(50), 0.1),
    "clamp": lambda: given(np.zeros_like, 50).clamp(min=0.1),
    "masked_fill": lambda: waves(50).masked_fill(waves(50) < 2, 0.1),
    "slope": lambda: F.leaky_relu(given(lambda x: -np.ones_like(x), 50), 0.1),
    "pad": lambda: F.pad(waves(50), (2, 2), value=0.1),
    "foreach": lambda: torch._foreach_mul([given(np.ones_like, 50)], 0.1)[0],
}


def single() -> Iterator[Case]:
    """Yield single operations."""
    types = (torch.float32, torch.float64, torch.bfloat16)
    for dtype in types:
        d = str(dtype)[6:]
        # 67: neither a multiple of a vector's width nor of its half.
        x, y = data(31, 67, dtype=dtype), data(31, 67, dtype=dtype, seed=4)
        for f in UNARY:
            yield f"{f} {d}", lambda f=f, x=x: getattr(torch, f)(x)
        for f in BINARY:
            yield f"{f} {d}", lambda f=f, x=x, y=y: getattr(torch, f)(x, y)
            # Not contiguous, and broadcast.
            yield (
                f"{f} strided {d}",
                lambda f=f, x=x, y=y: getattr(torch, f)(x[:, ::2], y[:, :1]),
            )
        for f in REDUCE:
            one = f in ("prod", "sum", "mean", "var", "std")
            args = () if one else (1,)
            yield f"{f} {d}", lambda f=f, x=x, a=args: getattr(torch, f)(x, *a)
            yield f"{f} inner {d}", lambda f=f, x=x: getattr(torch, f)(x, 0)
        for f, g in SHAPED.items():
            yield f"{f} {d}", lambda g=g, x=x: g(x)
    x = torch.randn(30000, generator=torch.Generator().manual_seed(9))
    yield "large sum float32", lambda: x.sum()
    yield "large softmax float32", lambda: x.view(30, 1000).softmax(1)
    yield "large mul float32", lambda: x * 1.1 + x


def main() -> None:
    """Run all of it, or what begins with a prefix."""
    torch.set_num_threads(int(sys.argv[1]))
    torch.use_deterministic_algorithms(True, warn_only=True)
    only = tuple(sys.argv[2:])
    cases = [*training(), *single()]
    cases += [(f"exact {k}", f) for k, f in EXACT.items()]
    for name, f in cases:
        if only and not name.startswith(only):
            continue
        torch.manual_seed(5)
        try:
            print(name, digest(f()), sep="\t", flush=True)
        except (RuntimeError, TypeError, AttributeError, NotImplementedError) as e:
            print(name, f"refused {type(e).__name__}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
