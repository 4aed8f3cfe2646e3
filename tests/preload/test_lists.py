"""Lists that must agree: exported symbols, and what docs/reference.md documents.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import sys
import unittest

import check_exports
import check_reference
import common


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


if __name__ == "__main__":
    common.main()
