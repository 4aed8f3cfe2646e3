"""The numbers on stdout: found, lined up between runs, named, and shown.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
import unittest

import support  # noqa: F401  (makes the package importable)
from fuzzytorch import summary
from fuzzytorch.numbers import align, bits_shown, printed_digits


def found(line: str) -> list[float]:
    """Return the numbers of one line."""
    return [value.values[0] for value in align([line, line]).values]


class Numbers(unittest.TestCase):
    """What counts as a number."""

    def test_bits_shown(self) -> None:
        for text, bits in (
            ("3", 23),
            ("100", 23),
            ("0", 23),
            ("-12", 23),
            ("1.0", 3),
            ("0.975", 6),
            ("0.5", 1),
            ("0.12345678901", 23),
            ("1e3", 1),
        ):
            (value,) = align([text, text]).values
            self.assertEqual(bits_shown(value, 23), bits, text)

    def test_forms(self) -> None:
        for text, value in (
            ("1", 1),
            ("-2.5", -2.5),
            ("+.5", 0.5),
            ("3.", 3),
            ("1e-3", 0.001),
            ("6.02E+23", 6.02e23),
            ("1.5%", 1.5),
            ("x=4,", 4),
            ("(7)", 7),
            ("tensor(0.25)", 0.25),
            ("loss 2.", 2),
            ("1e400", math.inf),
        ):
            with self.subTest(text=text):
                self.assertEqual(found(text), [value])
        self.assertTrue(math.isnan(found("loss: nan")[0]))
        self.assertEqual(found("-inf"), [-math.inf])

    def test_no_numbers(self) -> None:
        for text in (
            "conv2d",
            "v1.2.3",
            "2.13.0",
            "2026-11-24",
            "sha 0a1b",
            "info",
            "nano",
            "12s",
            "1_000",
            "e5",
            "-",
            ".",
        ):
            with self.subTest(text=text):
                self.assertEqual(found(text), [])

    def test_several(self) -> None:
        self.assertEqual(
            found("epoch 3/10 [1.5, -2]: loss=0.25"), [3, 10, 1.5, -2, 0.25]
        )

    def test_printed_digits(self) -> None:
        for text, digits in (
            ("0.0123", 3),
            ("1.250", 4),
            ("-12e-5", 2),
            ("0", 1),
            ("0.00", 1),
            ("100", 3),
        ):
            with self.subTest(text=text):
                self.assertEqual(printed_digits(text), digits)


class Align(unittest.TestCase):
    """Numbers of several runs."""

    def test_names(self) -> None:
        text = "test loss: 0.5\n  accuracy = 0.25 (best 0.75)\n0.125\n"
        labels = [value.label for value in align([text, text]).values]
        self.assertEqual(labels, ["test loss", "accuracy", "best", "line"])

    def test_repeated_names(self) -> None:
        text = "epoch 1: loss 0.5\nepoch 2: loss 0.4\n"
        labels = [value.label for value in align([text, text]).values]
        self.assertEqual(labels, ["epoch [1]", "loss [1]", "epoch [2]", "loss [2]"])

    def test_values_by_run(self) -> None:
        aligned = align(["a 1 b 2\nc 3\n", "a 4 b 5\nc 6\n", "a 7 b nan\nc 9\n"])
        self.assertEqual(aligned.values[0].values, [1, 4, 7])
        self.assertTrue(math.isnan(aligned.values[1].values[2]))
        self.assertEqual(aligned.values[2].values, [3, 6, 9])
        self.assertEqual(aligned.unmatched, 0)

    def test_an_extra_line_shifts_nothing(self) -> None:
        aligned = align(
            ["loss 1\nacc 2\n", "warning: slow\nfound 5 things\nloss 3\nacc 4\n"]
        )
        self.assertEqual([v.values for v in aligned.values], [[1, 3], [2, 4]])

    def test_lines_that_come_less_often_are_left_out(self) -> None:
        # Early stopping: which step is which is unknown, so none is compared.
        aligned = align(["step 1\nstep 2\nend 3\n", "step 1\nend 4\n"])
        self.assertEqual([v.label for v in aligned.values], ["end"])
        self.assertEqual(aligned.unmatched, 2)

    def test_carriage_returns(self) -> None:
        aligned = align(["a 1\ra 2\rb 3\n", "a 1\ra 2\rb 4\n"])
        self.assertEqual([v.values for v in aligned.values], [[1, 1], [2, 2], [3, 4]])


class Table(unittest.TestCase):
    """The digits as they are printed."""

    def lines(self, texts: list[str], native: list[str] | None = None) -> list[str]:
        """Return the part of the summary on the numbers of some outputs."""
        beside = align(native) if native else None
        return summary.digits_lines(align(texts), beside, len(texts))

    def cells(self, lines: list[str], name: str) -> list[str]:
        """Return the cells of a row."""
        return next(line.split() for line in lines if line.split()[:1] == [name])

    def test_native_spread(self) -> None:
        lines = self.lines(
            ["a 1.00001\nb 5.00001\n", "a 1.00002\nb 5.00002\n"],
            ["a 1.5\nb 5\n", "a 1.5\nb 6\n"],
        )
        self.assertEqual(self.cells(lines, "a")[-1], "same")
        self.assertEqual(self.cells(lines, "b")[-1], "0.71")

    def test_not_finite(self) -> None:
        lines = self.lines(["a nan\n", "a 1.5\n", "a 1.5\n"])
        self.assertIn("1 not finite", "\n".join(lines))

    def test_few_printed_digits_are_marked(self) -> None:
        lines = self.lines(
            [f"a {v}\nb {v}0001\n" for v in ("0.98", "0.98", "0.99", "0.98")]
        )
        self.assertNotIn("*", self.cells(lines, "b")[3])
        lines = self.lines([f"a {v}\n" for v in ("9998", "9999", "9998", "9999")])
        self.assertIn("*", self.cells(lines, "a")[3])
        self.assertIn("print more", "\n".join(lines))

    def test_many_rows_are_cut(self) -> None:
        texts = [
            "".join(
                f"x{chr(97 + i)}: {1 + k * 10.0 ** -(i % 20):.22f}\n" for i in range(26)
            )
            for k in range(2)
        ]
        lines = self.lines(texts)
        self.assertLess(len(lines), 26)
        self.assertIn("more vary less", "\n".join(lines))
        self.assertTrue(self.cells(lines, "xz"))

    def test_no_numbers(self) -> None:
        self.assertEqual(len(self.lines(["words\n", "words\n"])), 1)


if __name__ == "__main__":
    unittest.main()
