"""Time torch's own code under the instruction layer against native, in turns.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/bench/inst.py full|quick BUILD

One long-lived process each for native, sr, ud and cestac, one thread, ATEN_CPU_CAPABILITY=avx2 and
oneDNN off in all of them. A ratio is the median over rounds of the ratio of one round's
processor time. Writes BUILD/bench-inst.json.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from turns import Worker

IN_CACHE = 8192
OUT_OF_CACHE = 1 << 24
#: Largest mean, and largest single ratio, that are aimed at, by size and dtype.
TARGETS = {
    ("in", "float32"): (2.0, 5.0),
    ("out", "float32"): (1.6, 4.0),
    ("in", "float64"): (2.5, math.inf),
}
OPTIONS = {"full": (7, 0.03), "quick": (3, 0.01)}


def operations(n: int, dtype: str) -> dict[str, Callable[[], object]]:
    """Return the operations on n elements."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(1)
    kind = getattr(torch, dtype)
    rows = 1 << (n.bit_length() - 1) // 2
    x, y, z = (torch.rand(rows, n // rows, dtype=kind) + 0.5 for _ in "xyz")
    w, b = torch.ones(n // rows, dtype=kind), torch.zeros(n // rows, dtype=kind)
    out = torch.empty_like(x)
    p = x.clone().requires_grad_()
    p.grad = y.clone()
    adam = torch.optim.Adam([p], fused=True)
    image = x.view(1, rows, -1)
    return {
        "add": lambda: torch.add(x, y, out=out),
        "sub": lambda: torch.sub(x, y, out=out),
        "mul": lambda: torch.mul(x, y, out=out),
        "div": lambda: torch.div(x, y, out=out),
        "addcmul": lambda: torch.addcmul(x, y, z, out=out),
        "addcdiv": lambda: torch.addcdiv(x, y, z, out=out),
        "lerp": lambda: torch.lerp(x, y, z, out=out),
        "reciprocal": lambda: torch.reciprocal(x, out=out),
        "sum": lambda: x.sum(),
        "mean": lambda: x.mean(1),
        "var": lambda: x.var(1),
        "norm": lambda: torch.linalg.vector_norm(x),
        "cumsum": lambda: torch.cumsum(x, 1, out=out),
        "logsumexp": lambda: torch.logsumexp(x, 1),
        "softmax": lambda: torch.softmax(x, 1),
        "log_softmax": lambda: torch.log_softmax(x, 1),
        "layer_norm": lambda: F.layer_norm(x, w.shape, w, b),
        "batch_norm": lambda: F.batch_norm(image, None, None, training=True),
        "group_norm": lambda: F.group_norm(image, min(8, rows)),
        "gelu": lambda: F.gelu(x),
        "mse_loss": lambda: F.mse_loss(x, y),
        "Adam, fused": lambda: adam.step(),
    }


def worker() -> None:
    """Time what is asked for on stdin until it closes."""
    import torch

    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)
    made: dict[tuple[int, str], dict[str, Callable[[], object]]] = {}
    for line in sys.stdin:
        n, dtype, name, block = json.loads(line)
        if (n, dtype) not in made:
            made.clear()
            made[n, dtype] = operations(n, dtype)
        f = made[n, dtype][name]
        f()
        count, spent, least = 0, 0.0, math.inf
        end = time.perf_counter() + block
        while count == 0 or time.perf_counter() < end:
            start = time.thread_time()
            for _ in range(1 if n > IN_CACHE else 20):
                f()
            took = time.thread_time() - start
            least = min(least, took)
            spent += took
            count += 1
        print(json.dumps([spent / count, least]), flush=True)


def main() -> None:
    """Measure and print all of it."""
    rounds, block = OPTIONS[sys.argv[1]]
    build = Path(sys.argv[2]).resolve()
    modes = ("", "sr", "ud", "cestac")
    workers = {m: Worker(__file__, build, "inst", m) for m in modes}
    rows = []
    print(
        f"\nTorch's own code, one thread, ours over native (avx2), median of {rounds} rounds; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    for (place, dtype), (mean_target, worst_target) in TARGETS.items():
        n = IN_CACHE if place == "in" else OUT_OF_CACHE
        print(f"\n{dtype}, {n} elements, {place} of cache" if place == "out" else
              f"\n{dtype}, {n} elements, in cache")  # fmt: skip
        print(f"{'operation':<16}{'native':>10}{'sr':>8}{'ud':>8}{'cestac':>8}  spread of sr")
        all_of_them: dict[str, list[float]] = {m: [] for m in modes[1:]}
        for name in operations(64, dtype):
            times: dict[str, list[float]] = {m: [] for m in modes}
            for r in range(rounds):
                for m in modes[r % 4 :] + modes[: r % 4]:
                    times[m].append(workers[m].ask([n, dtype, name, block])[1])
            ratios = {
                m: sorted(a / b for a, b in zip(times[m], times[""]))
                for m in modes[1:]
            }
            value = {m: statistics.median(r) for m, r in ratios.items()}
            for m, v in value.items():
                all_of_them[m].append(v)
            each = 1e6 / (1 if n > IN_CACHE else 20)
            print(
                f"{name:<16}{statistics.median(times['']) * each:>8.1f}us"
                f"{value['sr']:>8.2f}{value['ud']:>8.2f}{value['cestac']:>8.2f}  "
                f"{ratios['sr'][0]:.2f}..{ratios['sr'][-1]:.2f}"
                f"{'' if value['sr'] <= worst_target else '  MISSED'}",
                flush=True,
            )
            rows.append(
                {
                    "operation": name,
                    "dtype": dtype,
                    "n": n,
                    "seconds": times,
                    "ratio": value,
                }
            )
        means = {m: statistics.geometric_mean(v) for m, v in all_of_them.items()}
        met = "met" if means["sr"] <= mean_target else "MISSED"
        print(
            f"{'geometric mean':<16}{'':>10}{means['sr']:>8.2f}{means['ud']:>8.2f}"
            f"{means['cestac']:>8.2f}  "
            f"sr <= {mean_target:g} {met}"
        )
    for w in workers.values():
        w.close()
    (build / "bench-inst.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        worker()
    elif len(sys.argv) == 3 and sys.argv[1] in OPTIONS:
        main()
    else:
        sys.exit(f"inst: usage: PYTHON {sys.argv[0]} {'|'.join(OPTIONS)} BUILD")
