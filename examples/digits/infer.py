"""Test weights that train.py saved: accuracy, test loss, and the least sure images.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse

import torch
from digits import evaluate, load, network


@torch.no_grad()
def main() -> None:
    """Load, test, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="a file that train.py --save wrote")
    parser.add_argument("--unsure", type=int, default=3, help="how many images to list")
    options = parser.parse_args()

    _, _, images, labels = load()
    model = network()
    model.load_state_dict(torch.load(options.weights))
    accuracy, loss = evaluate(model, images, labels)
    print(f"test accuracy: {accuracy:.6f}")
    print(f"test loss: {loss:.9g}")
    top = model(images).topk(2, dim=1)
    margin = top.values[:, 0] - top.values[:, 1]
    for place in margin.argsort()[: options.unsure].tolist():
        print(
            f"image {place}: class {top.indices[place, 0].item()}, "
            f"margin {margin[place].item():.9g}"
        )


if __name__ == "__main__":
    main()
