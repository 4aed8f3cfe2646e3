"""fuzzytorch: samples, records and statistics of runs under libfuzzytorch.

SPDX-License-Identifier: Apache-2.0

The functions of the API are imported when they are first asked for: fuzzyrun itself needs
none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "api": (
        "CESTAC",
        "FuzzyNotLoaded",
        "Instrumented",
        "NEAREST",
        "NothingPerturbed",
        "OFF",
        "RN",
        "SR",
        "UD",
        "assert_effective",
        "available",
        "get_precision",
        "get_rounding_mode",
        "get_seed",
        "instrument",
        "mode",
        "perturbed_calls",
        "record",
        "report",
        "rounding",
        "set_precision",
        "set_rounding_mode",
        "set_seed",
    ),
    "inprocess": ("NotDeterministic", "Sample", "samples"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
