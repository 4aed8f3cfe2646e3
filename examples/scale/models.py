"""The models of this study: shapes of published ones, weights drawn with a fixed seed.

SPDX-License-Identifier: Apache-2.0

Nothing is fetched: transformers ships the configurations' code, not the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch


class Model(NamedTuple):
    """A model, an input, and the outputs' targets."""

    net: torch.nn.Module
    inputs: dict[str, torch.Tensor]


def _bert(layers: int, hidden: int, heads: int, vocabulary: int = 30522) -> Callable:
    def make(length: int) -> Model:
        from transformers import BertConfig, BertForMaskedLM

        config = BertConfig(
            vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers,
            num_attention_heads=heads, intermediate_size=4 * hidden,
        )  # fmt: skip
        tokens = torch.randint(vocabulary, (1, length))
        return Model(BertForMaskedLM(config), {"input_ids": tokens, "labels": tokens})

    return make


def _gpt2(layers: int, hidden: int, heads: int) -> Callable:
    def make(length: int) -> Model:
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(n_layer=layers, n_embd=hidden, n_head=heads)
        tokens = torch.randint(config.vocab_size, (1, length))
        return Model(GPT2LMHeadModel(config), {"input_ids": tokens, "labels": tokens})

    return make


def _vit() -> Callable:
    def make(length: int) -> Model:
        from transformers import ViTConfig, ViTForImageClassification

        config = ViTConfig(num_labels=1000)
        pixels = torch.rand(1, 3, config.image_size, config.image_size)
        labels = torch.randint(1000, (1,))
        net = ViTForImageClassification(config)
        return Model(net, {"pixel_values": pixels, "labels": labels})

    return make


def _wavlm(large: bool) -> Callable:
    def make(length: int) -> Model:
        from transformers import WavLMConfig, WavLMForSequenceClassification

        shape: dict[str, Any] = {"num_labels": 10, "mask_time_prob": 0.0}
        if large:
            shape.update(
                hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                intermediate_size=4096, feat_extract_norm="layer",
                do_stable_layer_norm=True,
            )  # fmt: skip
        net = WavLMForSequenceClassification(WavLMConfig(**shape))
        # A second of noise at 16 kHz.
        return Model(
            net, {"input_values": torch.randn(1, 16000), "labels": torch.tensor([3])}
        )

    return make


#: By name, in order of size.
MODELS: dict[str, Callable[[int], Model]] = {
    "bert 1M": _bert(2, 128, 2, 4000),
    "bert-tiny": _bert(2, 128, 2),
    "bert-mini": _bert(4, 256, 4),
    "gpt2 small": _gpt2(4, 256, 4),
    "bert-small": _bert(4, 512, 8),
    "bert-medium": _bert(8, 512, 8),
    "vit-base": _vit(),
    "wavlm-base-plus": _wavlm(False),
    "bert-base": _bert(12, 768, 12),
    "gpt2": _gpt2(12, 768, 12),
    "wavlm-large": _wavlm(True),
    "bert-large": _bert(24, 1024, 16),
}


def build(name: str, length: int = 128) -> Model:
    """Return a model with weights and input drawn from seed 0.

    Parameters
    ----------
    name : str
        A key of MODELS.
    length : int
        Tokens of the input, where it is text.
    """
    torch.manual_seed(0)
    model = MODELS[name](length)
    # No dropout: what differs between two runs is rounding.
    model.net.eval()
    return model
