"""Time whole training steps: all layers against all but the instruction layer, and native.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/bench/training.py full|quick BUILD

One long-lived process each for native, the library layers and all layers, by sr, one thread,
ATEN_CPU_CAPABILITY=avx2 in all of them, in turns, processor time. The aim for a step with all
layers is 1.1 times one without the instruction layer plus a native one. Writes
BUILD/bench-training.json.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from turns import Worker

STEPS = {"full": (9, 3), "quick": (3, 1)}
SCOPES = {
    "native": "",
    "library": "blas,lapack,conv,math",
    "all": "blas,lapack,conv,math,inst",
}
NAMES = ("MLP", "CNN", "transformer", "LSTM")


def models() -> dict[str, Callable[[], None]]:
    """Return a training step of each model."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Sequence(nn.Module):
        """A recurrent network, read at its last step."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(64, 128, batch_first=True)
            self.out = nn.Linear(128, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return scores."""
            return self.out(self.lstm(x)[0][:, -1])

    encoder = nn.TransformerEncoderLayer(128, 4, 512, activation="gelu", batch_first=True)
    made = {
        "MLP": (
            nn.Sequential(
                nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                nn.Linear(512, 10),
            ),
            torch.randn(128, 256),
        ),
        "CNN": (
            nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.BatchNorm2d(32), nn.ReLU(),
                nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.BatchNorm2d(64), nn.ReLU(),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
            ),
            torch.randn(32, 3, 32, 32),
        ),
        "transformer": (
            nn.Sequential(
                nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False),
                nn.Flatten(), nn.Linear(32 * 128, 10),
            ),
            torch.randn(16, 32, 128),
        ),
        "LSTM": (Sequence(), torch.randn(32, 32, 64)),
    }  # fmt: skip

    def step_of(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
        optimizer = torch.optim.Adam(model.parameters())
        labels = torch.arange(len(x)) % 10

        def step() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return step

    return {name: step_of(*made[name]) for name in NAMES}


def worker() -> None:
    """Time what is asked for on stdin until it closes: the quickest of some steps."""
    import torch

    torch.set_num_threads(1)
    steps = models()
    for step in steps.values():
        step()
    for line in sys.stdin:
        name, count = json.loads(line)
        took = []
        for _ in range(count):
            start = time.thread_time()
            steps[name]()
            took.append(time.thread_time() - start)
        print(json.dumps(min(took)), flush=True)


def main() -> None:
    """Measure and print all of it."""
    rounds, count = STEPS[sys.argv[1]]
    build = Path(sys.argv[2]).resolve()
    workers = {k: Worker(__file__, build, scope) for k, scope in SCOPES.items()}
    print(
        f"\nTraining steps by sr, one thread, median of {rounds} rounds; load average "
        f"{os.getloadavg()[0]:.1f}\n{'':<16}{'native':>10}{'library':>10}{'all':>10}"
        f"  all over 1.1 library + native"
    )
    rows = []
    for name in NAMES:
        times: dict[str, list[float]] = {k: [] for k in SCOPES}
        for r in range(rounds):
            order = list(SCOPES)
            for k in order[r % 3 :] + order[: r % 3]:
                times[k].append(workers[k].ask([name, count]))
        ratios = [
            a / (1.1 * b + n)
            for a, b, n in zip(times["all"], times["library"], times["native"])
        ]
        value = statistics.median(ratios)
        print(
            f"{name:<16}"
            + "".join(f"{statistics.median(times[k]) * 1e3:>8.1f}ms" for k in SCOPES)
            + f"  {value:.2f} ({min(ratios):.2f}..{max(ratios):.2f}), "
            f"{'met' if value <= 1 else 'MISSED'}",
            flush=True,
        )
        rows.append({"model": name, "seconds": times, "ratio": value})
    for w in workers.values():
        w.close()
    (build / "bench-training.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        worker()
    elif len(sys.argv) == 3 and sys.argv[1] in STEPS:
        main()
    else:
        sys.exit(f"training: usage: PYTHON {sys.argv[0]} {'|'.join(STEPS)} BUILD")
