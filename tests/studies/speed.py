"""What recording and the loop in process cost: make bench-studies, on an idle machine.

SPDX-License-Identifier: Apache-2.0

The model has 20 M parameters (six transformer layers of width 512) and reads 8 sequences of
64. Each figure is the median over rounds in which the two variants alternate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
LIBRARY = os.environ.get("FUZZYTORCH_TESTED", str(ROOT / "build/libfuzzytorch.so"))
ROUNDS = 5

SAMPLE = """\
import time, torch
begin = time.monotonic()
torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
net = torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()
count = sum(p.numel() for p in net.parameters())
x = torch.randn(8, 64, 512)
with torch.no_grad():
    for _ in range(FORWARDS):
        net(x)
print(count, time.monotonic() - begin)
"""


def sample(record: str | None, forwards: int) -> tuple[int, float, float]:
    """Run a sample; return parameters, seconds of the whole process and of the script."""
    with tempfile.TemporaryDirectory() as folder:
        env = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY")}
        env.update(LD_PRELOAD=LIBRARY, FUZZY_VERBOSE="0", FUZZY_SEED="1")
        if record is not None:
            env["PYTHONPATH"] = str(ROOT / "python/fuzzytorch/inject")
            env["FUZZY_RECORD"] = f"{record};{2 << 30};{folder}/record"
        code = SAMPLE.replace("FORWARDS", str(forwards))
        begin = time.monotonic()
        out = subprocess.run(
            [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=True
        ).stdout.split()
        return int(out[0]), time.monotonic() - begin, float(out[1])


def recording() -> None:
    """A sample with and without --record modules."""
    for forwards in (1, 4):
        plain, kept, inside, inside_kept = [], [], [], []
        for _ in range(ROUNDS):
            count, whole, part = sample(None, forwards)
            plain.append(whole)
            inside.append(part)
            _, whole, part = sample("modules", forwards)
            kept.append(whole)
            inside_kept.append(part)
        print(
            f"record modules, {count / 1e6:.1f} M parameters, {forwards} forward passes: "
            f"{median(plain):.2f} s, recorded {median(kept):.2f} s a sample, "
            f"{100 * (median(kept) / median(plain) - 1):+.1f} % (target < 20 %); without "
            f"start-up and import {100 * (median(inside_kept) / median(inside) - 1):+.1f} %"
        )


def loop() -> None:
    """samples(n) against n forward passes: run in a process with the library."""
    import fuzzytorch
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    net = torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()
    n = 10
    for batch in (1, 8):
        x = torch.randn(batch, 64, 512)
        plain, looped = [], []
        with torch.no_grad():
            net(x)
            for _ in range(ROUNDS):
                begin = time.monotonic()
                for _ in range(n):
                    net(x)
                plain.append(time.monotonic() - begin)
                begin = time.monotonic()
                for _ in fuzzytorch.samples(n, net, seed=1):
                    net(x)
                looped.append(time.monotonic() - begin)
        print(
            json.dumps(
                {"batch": batch, "plain": median(plain), "samples": median(looped)}
            )
        )


def main() -> None:
    """Print the figures."""
    if sys.argv[1:] == ["loop"]:
        loop()
        return
    env = dict(os.environ, LD_PRELOAD=LIBRARY, FUZZY_VERBOSE="0")
    out = subprocess.run(
        [sys.executable, __file__, "loop"], env=env, stdout=subprocess.PIPE, check=True
    ).stdout
    for line in out.splitlines():
        got = json.loads(line)
        more = 100 * (got["samples"] / got["plain"] - 1)
        print(
            f"samples(10), batch {got['batch']}: 10 forward passes {got['plain']:.2f} s, "
            f"in the loop {got['samples']:.2f} s, {more:+.1f} % (target 5 %)"
        )
    recording()


if __name__ == "__main__":
    main()
