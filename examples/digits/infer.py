"""Test a trained network: accuracy, test loss, class probabilities, the least sure images.

SPDX-License-Identifier: Apache-2.0

A stock PyTorch program: all it knows of libfuzzytorch is how to train without it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from digits import evaluate, load, network, score

HERE = Path(__file__).resolve().parent


def trained() -> Path:
    """Return a file of trained weights, made by train.py at the first call."""
    place = HERE if os.access(HERE, os.W_OK) else Path(tempfile.gettempdir())
    weights = place / "digits-weights.pt"
    if not weights.exists():
        part = weights.with_suffix(f".{os.getpid()}")
        print(f"{weights} is not there: train.py makes it", file=sys.stderr, flush=True)
        subprocess.run(
            [sys.executable, str(HERE / "train.py"), "--save", str(part)],
            stdout=subprocess.DEVNULL,
            # In plain arithmetic, and not recorded: all samples test the same weights.
            env={
                k: v
                for k, v in os.environ.items()
                if k != "LD_PRELOAD" and not k.startswith("FUZZY_")
            },
            check=True,
        )
        part.replace(weights)
    return weights


@torch.no_grad()
def main() -> None:
    """Load, test, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "weights",
        nargs="?",
        help="a file that train.py --save wrote; without it train.py is run once",
    )
    parser.add_argument("--data", metavar="FOLDER", help="of MNIST's idx files")
    parser.add_argument("--unsure", type=int, default=3, help="how many images to list")
    parser.add_argument(
        "--save", metavar="FILE", help="write the class probabilities here"
    )
    options = parser.parse_args()

    _, _, images, labels = load(options.data)
    model = network(images.shape[-1])
    if options.data and not options.weights:
        parser.error("--data needs weights: train.py --data FOLDER --save FILE")
    file = options.weights or trained()
    model.load_state_dict(torch.load(file, weights_only=True))
    accuracy, loss = evaluate(model, images, labels)
    print(f"test accuracy: {accuracy:.6f}")
    print(f"test loss: {loss:.9g}")
    scores = score(model, images)
    top = scores.topk(2, dim=1)
    margin = top.values[:, 0] - top.values[:, 1]
    for place in margin.argsort()[: options.unsure].tolist():
        print(
            f"image {place}: class {top.indices[place, 0].item()}, "
            f"margin {margin[place].item():.9g}"
        )
    if options.save:
        import numpy as np

        np.save(options.save, scores.softmax(1).numpy())


if __name__ == "__main__":
    main()
