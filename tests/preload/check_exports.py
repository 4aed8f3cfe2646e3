"""Compare what the library exports with shim/symbols.def and shim/exports.map.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def listed() -> set[str]:
    """Names of FZ_SYMBOL, FZ_HOOK and FZ_CONV entries."""
    text = "".join(p.read_text() for p in sorted((ROOT / "shim").glob("symbols*.def")))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    names = set(re.findall(r"FZ_(?:SYMBOL|HOOK)\((\w+),", text))
    return names | set(re.findall(r"FZ_CONV\(\w+,\s*(\w+)\)", text))


def mapped() -> set[str]:
    """Names of the linker's version script."""
    text = (
        (ROOT / "shim/exports.map").read_text().split("global:")[1].split("local:")[0]
    )
    return set(re.findall(r"(\w+);", text))


def exported(lib: str) -> set[str]:
    """Names that the dynamic linker can bind."""
    out = subprocess.run(
        ["nm", "-D", "--defined-only", lib], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def main() -> int:
    """Print each difference; return their number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", default=str(ROOT / "build/libfuzzytorch.so"))
    lib = parser.parse_args().lib
    want, bad = listed(), 0
    for what, got in (("shim/exports.map", mapped()), (lib, exported(lib))):
        for name in sorted(want - got):
            print(f"{name} is in shim/symbols.def but not in {what}")
            bad += 1
        for name in sorted(got - want):
            print(f"{name} is in {what} but not in shim/symbols.def")
            bad += 1
    print(f"{len(want)} exported symbols, {bad} differences")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
