"""What other tools need, as published: slow-downs over their own native run.

SPDX-License-Identifier: Apache-2.0

Verrou: version 2.7 on Valgrind 3.26, torch 2.13.0 from PyPI, one thread of an AMD EPYC with
AVX2. Fuzzy PyTorch: arXiv 2605.25991 and its artefacts, one thread; its native run is a
PyTorch without oneDNN.
"""

from __future__ import annotations

#: Operation: native and Verrou, random rounding and SR, in ms.
VERROU_MS: dict[str, tuple[float, float, float]] = {
    "mm f32 128": (0.060, 52, 74),
    "mm f32 256": (0.362, 420, 645),
    "mm f32 384": (1.20, 1740, 2216),
    "mm f64 256": (1.00, 479, 723),
    "conv2d 16 to 32, 3x3, 32x32": (0.166, 187, 224),
    "add f32": (0.049, 7.7, 11),
    "mul f32": (0.043, 5.3, 6.4),
    "exp f32": (0.28, 62, 95),
    "tanh f32": (0.84, 50, 86),
    "gelu f32": (0.30, 202, 206),
    "softmax 256x1024": (0.34, 103, 105),
    "layer_norm 256x1024": (0.28, 42, 54),
    "attention 4x64x32": (0.08, 36, 59),
    "MLP 64x256-512-10": (0.33, 293, 437),
    "small CNN 16x1x28x28": (1.31, 140, 173),
}

#: Use case: slow-down of Fuzzy PyTorch UD and SR, of Verrou CESTAC and SR. Their networks and
#: data are of the kind of ours, not the same.
FUZZY_PYTORCH: dict[str, tuple[float, float, float, float]] = {
    "digits training": (7.9, 10.9, 311, 335),
    "mri": (3.6, 4.1, 214, 198),
    "speech": (64, 53, 364, 419),
}

#: How many times faster than Verrou SR ours is to be, by the kind of the row.
FASTER: dict[str, float] = {
    "mm f32 128": 100,
    "mm f32 256": 200,
    "mm f32 384": 200,
    "mm f64 256": 60,
    "conv2d 16 to 32, 3x3, 32x32": 100,
    "add f32": 20,
    "mul f32": 20,
    "exp f32": 20,
    "tanh f32": 20,
    "gelu f32": 20,
    "softmax 256x1024": 20,
    "layer_norm 256x1024": 20,
}

#: Largest slow-down in sr that is aimed at.
CASES: dict[str, float] = {
    "digits training": 4,
    "mri": 3,
    "speech": 5,
    "BERT-large, forward": 6,
}
