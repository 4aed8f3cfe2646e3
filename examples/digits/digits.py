"""The data and the network of this example: handwritten digits, a small CNN.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import sys
from collections import OrderedDict

import torch
from torch import nn

TEST_IMAGES = 360


def load() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return training images and labels, test images and labels.

    Returns
    -------
    tuple of torch.Tensor
        scikit-learn's 1797 digits of 8x8 pixels, scaled to [0, 1], in a fixed shuffled
        order; the last 360 are for the test.
    """
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


def network() -> nn.Module:
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
            classes=nn.Linear(32 * 4 * 4, 10),
        )
    )


@torch.no_grad()
def evaluate(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of a model."""
    model.eval()
    scores = model(images)
    loss = nn.functional.cross_entropy(scores, labels)
    hits = (scores.argmax(1) == labels).float().mean()
    return hits.item(), loss.item()
