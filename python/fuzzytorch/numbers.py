"""The numbers that runs print, lined up between runs.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

# A number is a word of its own, up to a unit or a bracket: not the 2 of "conv2d" or the
# date in "2026-11-24".
_NUMBER = re.compile(
    r"(?<![\w.\-+])([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf))(?![\w\-]|\.\d)",
    re.IGNORECASE,
)


class Value(NamedTuple):
    """One number of the output, in all runs.

    Attributes
    ----------
    label : str
        The words before it on its line, with its place where they occur more than once.
    values : list of float
        One a run.
    printed : int
        Most significant digits that a run printed of it.
    """

    label: str
    values: list[float]
    printed: int


class Aligned(NamedTuple):
    """The numbers that all runs have in common.

    Attributes
    ----------
    values : list of Value
        In the order of the first run's output.
    unmatched : int
        Lines of the first run with numbers that have no counterpart in some other run.
    """

    values: list[Value]
    unmatched: int


def printed_digits(text: str) -> int:
    """Return how many significant digits a printed number has."""
    mantissa = re.split("[eE]", text)[0].lstrip("+-")
    digits = mantissa.replace(".", "").lstrip("0")
    return max(1, len(digits))


def bits_shown(value: Value, most: int) -> int:
    """Return how many bits of a number its print can show, at most `most`.

    Notes
    -----
    A whole number is printed whole; of 0.975, equal in all runs, two digits are sure.
    """
    finite = [abs(v) for v in value.values if math.isfinite(v)]
    whole = all(v == int(v) for v in finite)
    if finite and whole and value.printed == len(str(int(max(finite)))):
        return most
    return max(1, min(most, int((value.printed - 1) * math.log2(10))))


def _label(words: str) -> str:
    cleaned = re.sub(r"[\s:=,;|()\[\]{}<>*#'\"]+", " ", words).strip(" .-")
    return cleaned[-40:].strip()


def _lines(text: str) -> dict[tuple[str, int], str]:
    """Return the lines that hold numbers by (words, how often these words came before)."""
    seen: dict[str, int] = {}
    lines: dict[tuple[str, int], str] = {}
    for line in re.split(r"[\r\n]+", text):
        words = " ".join(_NUMBER.sub("\0", line).split())
        if "\0" in words:
            seen[words] = seen.get(words, -1) + 1
            lines[words, seen[words]] = line
    return lines


def _counts(lines: dict[tuple[str, int], str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for words, _ in lines:
        counts[words] = counts.get(words, 0) + 1
    return counts


def align(texts: Sequence[str]) -> Aligned:
    """Line up the numbers of several outputs.

    Parameters
    ----------
    texts : sequence of str
        The stdout of each run.

    Returns
    -------
    Aligned
        The numbers on lines whose words are the same in all runs, and come as often.
    """
    outputs = [_lines(text) for text in texts]
    counts = [_counts(lines) for lines in outputs]
    rows: list[tuple[str, list[float], int]] = []
    unmatched = 0
    for key in outputs[0]:
        if any(count.get(key[0]) != counts[0][key[0]] for count in counts):
            unmatched += 1
            continue
        found = [list(_NUMBER.finditer(lines[key])) for lines in outputs]
        end = 0
        line = outputs[0][key]
        for column, match in enumerate(found[0]):
            label = (
                _label(line[end : match.start()]) or f"{_label(line[:end]) or 'line'}"
            )
            end = match.end()
            tokens = [matches[column].group(1) for matches in found]
            rows.append(
                (label, [float(t) for t in tokens], max(map(printed_digits, tokens)))
            )
    return Aligned(_named(rows), unmatched)


def _named(rows: list[tuple[str, list[float], int]]) -> list[Value]:
    total: dict[str, int] = {}
    for label, _, _ in rows:
        total[label] = total.get(label, 0) + 1
    count: dict[str, int] = {}
    values = []
    for label, numbers, printed in rows:
        count[label] = count.get(label, 0) + 1
        name = f"{label} [{count[label]}]" if total[label] > 1 else label
        values.append(Value(name, numbers, printed))
    return values


def by_label(aligned: Aligned | None) -> dict[str, Value]:
    """Return the values by label; nothing for None."""
    return {value.label: value for value in aligned.values} if aligned else {}
