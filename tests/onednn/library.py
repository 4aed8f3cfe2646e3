"""The library that is preloaded into this process, by its C API.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import types
import unittest


class _Counts(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("perturbed", "passed", "perturbed_flops", "passed_flops")
    ]


def _api() -> ctypes.CDLL:
    api = ctypes.CDLL(None)
    api.fuzzy_symbol.restype = ctypes.c_char_p
    return api


def mode(name: str) -> None:
    """Set the mode."""
    if _api().fuzzy_set_mode(name.encode()):
        raise ValueError(name)


def seed(number: int) -> None:
    """Start every stream anew."""
    if _api().fuzzy_set_seed(ctypes.c_uint64(number)):
        raise ValueError(number)


def calls(prefix: str) -> tuple[int, int]:
    """Return how many calls of symbols that begin so were perturbed, and passed through."""
    api, counts, total, i = _api(), _Counts(), [0, 0], 0
    while name := api.fuzzy_symbol(i, ctypes.byref(counts)):
        if name.decode().startswith(prefix):
            total[0] += counts.perturbed
            total[1] += counts.passed
        i += 1
    return total[0], total[1]


def databases() -> None:
    """Make PyTorch's databases importable where expecttest is not installed: they import it
    for their test cases only."""
    if importlib.util.find_spec("expecttest") is None:
        stand_in = types.ModuleType("expecttest")
        stand_in.TestCase = unittest.TestCase  # type: ignore[attr-defined]
        stand_in.ACCEPT = False  # type: ignore[attr-defined]
        sys.modules["expecttest"] = stand_in


def convolutions() -> tuple[int, int]:
    """Return how many convolutions of oneDNN were executed, and left to it. ATen's own way
    asks it for products of bf16 and f16 only."""
    both = calls("dnnl_convolution"), calls("dnnl_deconvolution")
    return both[0][0] + both[1][0], both[0][1] + both[1][1]


def primitives() -> tuple[int, int]:
    """Return how many primitives of oneDNN were executed, and left to it."""
    return calls("dnnl_")
