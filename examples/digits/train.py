"""Train a small CNN on handwritten digits, test it, print accuracy and test loss.

SPDX-License-Identifier: Apache-2.0

A stock PyTorch program: it knows nothing of libfuzzytorch. Its own seed is fixed, so that
two plain runs print the same.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from digits import evaluate, load, macro_f1, network, score
from torch import nn


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights, dropout and batches"
    )
    parser.add_argument("--data", metavar="FOLDER", help="of MNIST's idx files")
    parser.add_argument("--curve", action="store_true", help="test after each epoch")
    parser.add_argument("--save", metavar="FILE", help="write the trained weights here")
    parser.add_argument(
        "--probabilities", metavar="FILE", help="write those of the test images, .npy"
    )
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    images, labels, test_images, test_labels = load(options.data)
    model = network(images.shape[-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    begin = time.process_time()
    for epoch in range(options.epochs):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1}: training loss {total / len(labels):.9g}", flush=True)
        if options.curve:
            hits, loss = evaluate(model, test_images, test_labels)
            print(f"after {epoch + 1}: held out, loss {loss:.9g}, hits {hits:.6f}")
    accuracy, loss = evaluate(model, test_images, test_labels)
    print(f"test accuracy: {accuracy:.6f}")
    print(f"test loss: {loss:.9g}")
    print(f"work: {time.process_time() - begin:.3f} s processor", file=sys.stderr)
    with torch.no_grad():
        scores = score(model, test_images)
    print(f"test F1: {macro_f1(scores.argmax(1), test_labels):.6f}")
    if options.probabilities:
        import numpy as np

        np.save(options.probabilities, scores.softmax(1).numpy())
    if options.save:
        torch.save(model.state_dict(), options.save)


if __name__ == "__main__":
    main()
