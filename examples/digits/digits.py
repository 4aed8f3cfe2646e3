"""The data and the network of this example: handwritten digits, a small CNN.

MNIST's own files are read where the user has them; nothing is fetched.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import gzip
import math
import struct
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

TEST_IMAGES = 360
Split = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def read_idx(path: Path) -> torch.Tensor:
    """Return the bytes of an idx file, MNIST's format; `path`.gz is read where it is not there.

    Parameters
    ----------
    path : pathlib.Path
        Without the ending .gz.
    """
    packed = path.with_name(f"{path.name}.gz")
    if not path.exists() and not packed.exists():
        sys.exit(
            f"{path}: no such file, nor {packed.name}: --data takes MNIST's folder"
        )
    if path.exists():
        content = path.read_bytes()
    else:
        content = gzip.decompress(packed.read_bytes())
    # Two zeros, the type (8: unsigned bytes), how many axes, their lengths in big-endian.
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        sys.exit(f"{path}: not an idx file of bytes: it begins with {content[:4]!r}")
    axes = content[3]
    start = 4 + 4 * axes
    shape = struct.unpack_from(f">{axes}I", content, 4) if len(content) >= start else ()
    if len(shape) != axes or len(content) - start != math.prod(shape):
        sys.exit(
            f"{path}: {len(content)} bytes, not those of its shape {shape}: cut off?"
        )
    data = torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8)
    return data.reshape(shape)


def mnist(folder: Path) -> Split:
    """Return MNIST from its four files, images scaled to [0, 1]."""
    found = []
    for name in ("train", "t10k"):
        images = read_idx(folder / f"{name}-images-idx3-ubyte")
        labels = read_idx(folder / f"{name}-labels-idx1-ubyte")
        if images.dim() != 3 or labels.shape != images.shape[:1]:
            sys.exit(f"{folder}: {name} has images {tuple(images.shape)} and labels "
                     f"{tuple(labels.shape)}")  # fmt: skip
        found += [images.unsqueeze(1).float() / 255, labels.long()]
    return tuple(found)


def load(folder: str | None = None) -> Split:
    """Return training images and labels, test images and labels.

    Parameters
    ----------
    folder : str, optional
        Of MNIST's idx files; without it the digits of scikit-learn.

    Returns
    -------
    tuple of torch.Tensor
        scikit-learn's 1797 digits of 8x8 pixels, scaled to [0, 1], in a fixed shuffled
        order; the last 360 are for the test.
    """
    if folder is not None:
        return mnist(Path(folder))
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        sys.exit(
            "the digits come with scikit-learn, which this Python lacks: install "
            "scikit-learn (pip) or python3-sklearn (apt)"
        )
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, test = order[:-TEST_IMAGES], order[-TEST_IMAGES:]
    return images[train], labels[train], images[test], labels[test]


def network(side: int = 8) -> nn.Module:
    """Return the CNN, with fresh weights: two convolutions, batch norm, dropout, linear."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 3, padding=1),
            norm1=nn.BatchNorm2d(16),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            norm2=nn.BatchNorm2d(32),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            drop=nn.Dropout(0.25),
            classes=nn.Linear(32 * (side // 2) ** 2, 10),
        )
    )


@torch.no_grad()
def evaluate(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of a model."""
    model.eval()
    scores = score(model, images)
    loss = nn.functional.cross_entropy(scores, labels)
    hits = (scores.argmax(1) == labels).float().mean()
    return hits.item(), loss.item()


def score(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return a model's scores, in pieces of 1000 images: MNIST's test set has 10000."""
    return torch.cat([model(part) for part in images.split(1000)])


def macro_f1(guesses: torch.Tensor, labels: torch.Tensor, classes: int = 10) -> float:
    """Return the mean over classes of the harmonic mean of precision and recall.

    A class that is neither guessed nor there counts 0, as scikit-learn has it.
    """
    total = 0.0
    for k in range(classes):
        both = int(((guesses == k) & (labels == k)).sum())
        either = int((guesses == k).sum()) + int((labels == k).sum())
        total += 2 * both / either if either else 0.0
    return total / classes
