"""Packages that only reports need: one line where one is missing.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import importlib.util

from .errors import FuzzyError


def need(*names: str, extra: str = "report") -> None:
    """Raise an error that names the pip extra unless all packages can be imported.

    Parameters
    ----------
    *names : str
        Top-level modules.
    extra : str
        The extra of this package that brings them.
    """
    lacking = [name for name in names if importlib.util.find_spec(name) is None]
    if lacking:
        raise FuzzyError(
            f"{', '.join(lacking)}: not installed in this Python: "
            f"pip install 'fuzzytorch[{extra}]'"
        )
