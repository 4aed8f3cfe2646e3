"""Fail if docs/reference.md lacks a FUZZY_ variable or an intercepted symbol.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Print what is missing; return 1 if anything is."""
    page = (ROOT / "docs/reference.md").read_text()
    sources = [
        p
        for folder in ("shim", "python", "prism", "kernels")
        for p in (ROOT / folder).rglob("*.[chp]*")
    ] + [ROOT / "fuzzyrun"]
    variables = set()
    for path in sources:
        if path.is_file():
            variables |= set(re.findall(r'"(FUZZY_[A-Z_]*[A-Z])[="]', path.read_text()))
    lists = "".join(p.read_text() for p in sorted((ROOT / "shim").glob("symbols*.def")))
    text = re.sub(r"/\*.*?\*/", "", lists, flags=re.DOTALL)
    symbols = set(
        re.findall(r"^FZ_(?:SYMBOL|SLOT)\((\w+),", text, flags=re.MULTILINE)
    ) - {"name"}
    bad = [v for v in sorted(variables) if f"`{v}`" not in page]
    bad += [s for s in sorted(symbols) if f"`{s}`" not in page]
    for name in bad:
        print(f"{name} is not in docs/reference.md")
    print(f"{len(variables)} variables, {len(symbols)} symbols, {len(bad)} missing")
    return 1 if bad or not variables or not symbols else 0


if __name__ == "__main__":
    sys.exit(main())
