"""What torch.compile gives, hashed or as statistics, for test_compile.py.

SPDX-License-Identifier: Apache-2.0

    compile_torch.py exact | noise | train mlp|cnn [dynamic]
"""

from __future__ import annotations

import hashlib
import sys

import torch

functional = torch.nn.functional


def digest(*tensors: torch.Tensor) -> str:
    """Return a hash of tensors' shapes and bits."""
    state = hashlib.sha256()
    for t in tensors:
        state.update(str(tuple(t.shape)).encode() + t.detach().numpy().tobytes())
    return state.hexdigest()[:16]


class Folded(torch.nn.Module):
    """Holds a product of constants, which is folded when the module is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.linspace(1, 2, 4096))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return max(x, 1.1 w): nothing that rounds is left to be computed."""
        return torch.maximum(x, self.w * 1.1)


def exact() -> None:
    """Print what must equal native in every mode: folded constants, random numbers, indices."""
    from torch._inductor import config

    x = torch.linspace(-1, 1, 4096)

    def random(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return functional.dropout(t, 0.3, True) == 0, torch.randn_like(t)

    def resized(t: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(t.view(1, 1, 64, 64), scale_factor=0.7)

    torch.manual_seed(5)
    mask, normal = torch.compile(random)(x)
    for name, value in (
        ("mask", mask),
        ("randn", normal),
        ("nearest", torch.compile(resized)(x)),
    ):
        print(name, digest(value), sep="\t")
    with torch.no_grad(), config.patch(freezing=True):
        print("folded", digest(torch.compile(Folded())(torch.zeros(4096))), sep="\t")


def noise() -> None:
    """Print the spread of a compiled function, and of the same one as it is."""

    def function(t: torch.Tensor) -> torch.Tensor:
        return (t * 1.1 + t.square()) / 3

    x = torch.linspace(1, 2, 4096)
    compiled = torch.compile(function)
    for name, f in (("compiled", compiled), ("eager", function)):
        f(x)
        samples = torch.stack([f(x) for _ in range(20)]).double()
        print(name, samples.std(0).mean().item(), sep="\t")


def train(kind: str, dynamic: bool) -> None:
    """Print the losses of four steps, and a hash of the parameters after them."""
    nn = torch.nn
    torch.manual_seed(0)
    sizes = (32, 48, 40, 32) if dynamic else (32,) * 4
    if kind == "mlp":
        model = nn.Sequential(
            nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 10)
        )
        inputs = [torch.randn(n, 64) for n in sizes]
    else:
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 10),
        )
        inputs = [torch.randn(n, 3, 16, 16) for n in sizes]
    compiled = torch.compile(model, dynamic=True if dynamic else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for i, x in enumerate(inputs):
        loss = functional.cross_entropy(compiled(x), torch.arange(len(x)) % 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(i, loss.item().hex(), sep="\t")
    print("parameters", digest(*model.parameters()), sep="\t")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "train":
        train(sys.argv[2], "dynamic" in sys.argv)
    else:
        for word in sys.argv[1:]:
            {"exact": exact, "noise": noise}[word]()
