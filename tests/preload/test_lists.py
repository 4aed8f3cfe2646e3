"""Lists that must agree: exported symbols, and what docs/reference.md documents.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import re
import sys
import unittest

import check_exports
import check_reference
import common

#: Which test fails if a symbol is called by none: of each list and family.
CALLED_BY = {
    ("symbols.def", "BLAS"): "tests/preload/test_blas.py",
    ("symbols.def", "MATH"): "tests/preload/test_math.py",
    ("symbols_blas3.def", "BLAS"): "tests/blas/netlib.py",
    ("symbols_lapack.def", "LAPACK"): "tests/blas/test_lapack.py",
    ("symbols_libm.def", "MATH"): "tests/preload/test_math.py",
    ("symbols_onednn.def", "CONV"): "tests/onednn/test_onednn.py",
    ("symbols_aten.def", "BLAS"): "tests/onednn/test_layers.py",
    ("symbols_libm.def", "FFT"): "tests/preload/test_plain.py",
}


class Lists(unittest.TestCase):
    """Each list against the code."""

    def test_exports(self) -> None:
        """The library exports exactly shim/symbols.def."""
        argv, sys.argv = sys.argv, ["check_exports.py", "--lib", common.LIB]
        try:
            self.assertEqual(check_exports.main(), 0)
        finally:
            sys.argv = argv

    def test_reference(self) -> None:
        """docs/reference.md has every variable and every symbol."""
        self.assertEqual(check_reference.main(), 0)

    def test_every_symbol_has_its_check(self) -> None:
        """No list and no family is left out by the tests that count which symbols are called."""
        found: dict[tuple[str, str], list[str]] = {}
        for path in check_exports.ROOT.glob("shim/symbols*.def"):
            text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
            entry = r"^FZ_(?:SYMBOL|SLOT)\((\w+),\s*([A-Z]+)"
            for symbol, family in re.findall(entry, text, re.MULTILINE):
                found.setdefault((path.name, family), []).append(symbol)
        self.assertEqual(set(found), set(CALLED_BY))
        for (name, family), test in CALLED_BY.items():
            text = (check_exports.ROOT / test).read_text()
            unnamed = [s for s in found[name, family] if f'"{s}"' not in text]
            self.assertTrue(f"shim/{name}" in text or not unnamed, f"{test}: {unnamed}")


if __name__ == "__main__":
    common.main()
