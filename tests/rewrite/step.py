"""One training step of the digits example's network, on random images.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/digits"))

import torch
from digits import network
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
model = network()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
images, labels = torch.rand(64, 1, 8, 8), torch.randint(0, 10, (64,))
model.train()
optimizer.zero_grad()
loss = nn.functional.cross_entropy(model(images), labels)
loss.backward()
optimizer.step()
print(loss.item())
