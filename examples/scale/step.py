"""A forward pass and a training step of a model with random weights.

SPDX-License-Identifier: Apache-2.0

A stock PyTorch program: AdamW, dropout off.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import torch
from models import MODELS, build


def main() -> None:
    """Build, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--length", type=int, default=128, help="tokens (default 128)")
    parser.add_argument(
        "--timed", action="store_true", help="a forward pass before, and one by itself"
    )
    parser.add_argument(
        "--forward", action="store_true", help="time a second forward pass, no more"
    )
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    net, inputs = build(options.model, options.length)
    print(f"parameters: {sum(p.numel() for p in net.parameters())}")
    if options.timed or options.forward:
        with torch.no_grad():
            net(**inputs)
            begin = time.process_time()
            net(**inputs)
        spent = time.process_time() - begin
        word = "work" if options.forward else "forward"
        print(f"{word}: {spent:.4f} s processor", file=sys.stderr)
        if options.forward:
            return
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    begin = time.process_time()
    loss = net(**inputs).loss
    loss.backward()
    optimizer.step()
    print(f"work: {time.process_time() - begin:.4f} s processor", file=sys.stderr)
    print(f"loss: {loss.item():.9g}")
    with torch.no_grad():
        print(f"loss after the step: {net(**inputs).loss.item():.9g}")


if __name__ == "__main__":
    main()
