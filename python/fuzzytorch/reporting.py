"""fuzzyrun report: what a study says, on the terminal, as JSON and as one HTML page.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import getopt
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import extras, findings, statistics
from .errors import FuzzyError
from .summary import table

USAGE = """\
usage: fuzzyrun report [--reference R] [--classes AXIS] [--no-html] [-o FOLDER] DIR

Prints what the study in DIR says, and writes report.json and report.html.

      --reference R   what digits are counted against: mean (of the samples, default),
                      ieee (the run in mode off) or f64 (the run in double)
      --classes AXIS  the axis of outputs that holds classes, or none; by default it is the
                      second one of outputs of two dimensions
      --no-html       no report.html
  -o, --output FOLDER where the two files go (default: DIR)

The exit status is 0, 1 if there is no estimate or a file cannot be written, 2 for wrong use.
"""

_WORST_ROWS = 40


def _interval(bits: dict[str, Any] | None) -> str:
    if bits is None:
        return "-"
    high = "" if bits["high"] is None else f"{bits['high']:.1f}"
    return f"{bits['low']:.1f}-{high}"


def bits_cell(entry: dict[str, Any]) -> str:
    """Return what stands in the column of bits."""
    found = entry["measures"]
    if found["not_finite"]:
        return "not finite"
    if found["all_equal"]:
        return "all equal"
    return f"{found['significant']['bits']:.1f}" if found["significant"] else "mean 0"


def _lost_cell(entry: dict[str, Any]) -> str:
    lost = entry["lost"]
    if lost is None:
        return ""
    return f"{lost['bits']:+.1f}" + (" <" if lost["clear"] else "")


def layer_table(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table of tensors, its head first."""
    rows = [["tensor", "type", "bits", "95 %", "worst element", "ceiling", "lost here"]]
    entries = findings.layer_rows(result["quantities"])
    if len(entries) > _WORST_ROWS:
        order = sorted(
            range(len(entries)),
            key=lambda i: (
                (entries[i]["measures"]["significant"] or {"bits": 99.0})["bits"]
                if not entries[i]["measures"]["not_finite"]
                else -1.0
            ),
        )
        entries = [entries[i] for i in sorted(order[:_WORST_ROWS])]
    for entry in entries:
        found = entry["measures"]
        name = entry["title"]
        if entry["pass"] == "backward":
            name += " (backward)"
        elif entry["kind"] in ("grad", "param"):
            name += f" ({entry['kind']})"
        if entry["calls"] > 1:
            name += f" [{entry['call'] + 1}. of {entry['calls']} calls]"
        worst = found["elementwise"]
        rows.append(
            [
                name,
                entry["type"] or entry["dtype"] or "",
                bits_cell(entry),
                _interval(found["significant"]) if not found["not_finite"] else "-",
                f"{worst['min']:.1f}" if worst else "-",
                f"{found['ceiling']:.1f}",
                _lost_cell(entry),
            ]
        )
    return rows


def number_table(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table of numbers on stdout, its head first."""
    rows = [["number on stdout", "mean", "sd", "bits", "95 %", "ceiling"]]
    moving = [v for v in result["stdout"]["numbers"] if not v["equal"]]
    if len(moving) > _WORST_ROWS:
        moving = moving[: _WORST_ROWS // 2] + moving[-_WORST_ROWS // 2 :]
    for value in moving:
        bits = value["significant"]
        lacking = value["n"] - value["finite"]
        rows.append(
            [
                value["label"],
                "-" if value["mean"] is None else f"{value['mean']:.8g}",
                "-" if value["sd"] is None else f"{value['sd']:.2g}",
                f"{lacking} not finite"
                if lacking
                else f"{bits['bits']:.1f}"
                if bits
                else "-",
                _interval(bits),
                f"{bits['ceiling']:.1f}" if bits else "-",
            ]
        )
    return rows


def lines(result: dict[str, Any], width: int = 90) -> list[str]:
    """Return the report for a terminal.

    Parameters
    ----------
    result : dict
        The content of report.json.
    width : int
        Columns.
    """
    verdict = result["verdict"]
    text = []
    for sentence in verdict["warnings"]:
        text += textwrap.wrap(f"! {sentence}", width, subsequent_indent="  ")
    for sentence in verdict["sentences"]:
        text += textwrap.wrap(sentence, width, subsequent_indent="  ")
    found = result["coverage"]
    if found is not None:
        calls = found["perturbed_calls"], found["passed_calls"]
        layers = ", ".join(found["layers"] or ()) or "?"
        text += [
            "",
            (
                f"perturbed: {calls[0]} calls ({layers}), left alone: {calls[1]}, "
                f"all samples together"
            ),
        ]
    rows = layer_table(result)
    if len(rows) > 1:
        total = len(findings.layer_rows(result["quantities"]))
        text += ["", *table(rows)]
        if total > len(rows) - 1:
            text.append(
                f"  {total - len(rows) + 1} more keep more: the worst {_WORST_ROWS} are "
                f"shown, all are in report.json"
            )
        if any(row[-1].endswith("<") for row in rows):
            text.append("  < lost here, clearly more than its standard error")
    rows = number_table(result)
    if len(rows) > 1:
        text += ["", *table(rows)]
    for entry in findings.decisions(result["quantities"]):
        if entry["labels"] is not None and not entry["labels"]["all_equal"]:
            text += ["", *_label_lines(entry)]
    n = result["study"]["samples"]
    if n > 1:
        text += [
            "",
            *textwrap.wrap(
                f"bits: -log2 of the relative spread, pooled over elements, less "
                f"log2 z = {statistics.log2_normal():.2f}: what one more run agrees in with "
                f"probability .95. Worst element: by CNH, at 95 % confidence. Ceiling: what "
                f"{n} equal samples would show. docs/statistics.md has the formulas.",
                width,
            ),
        ]
    return text


def _label_lines(entry: dict[str, Any]) -> list[str]:
    found = entry["labels"]
    rows = [["label", "elements", "Dice mean", "min", "against ieee", "Jaccard"]]
    for one in found["by_label"][:20]:
        if one["dice"] is None:
            continue
        against = one["dice_reference"]
        rows.append(
            [
                str(one["label"]),
                f"{one['elements']:.0f}",
                f"{one['dice']['mean']:.4f}",
                f"{one['dice']['min']:.4f}",
                f"{against['mean']:.4f}" if against else "-",
                f"{one['jaccard']:.4f}",
            ]
        )
    entropy = found["entropy"]
    return [
        (
            f"{entry['label']}: {found['unanimous']} of {found['elements']} labels are the "
            f"same in all samples; entropy of votes {entropy['miller_madow']:.3g} bits "
            f"(at most {entropy['ceiling']:.2f})"
        ),
        *table(rows),
    ]


def show(result: dict[str, Any]) -> None:
    """Print the report; with colour and boxes where rich is there and stdout is a terminal."""
    width = shutil.get_terminal_size((90, 24)).columns
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        try:
            _show_rich(result)
            return
        except ImportError:
            pass
    print("\n".join(lines(result, max(60, min(width, 100)))))


def _show_rich(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for sentence in result["verdict"]["warnings"]:
        console.print(Text(f"! {sentence}", style="bold yellow"))
    for i, sentence in enumerate(result["verdict"]["sentences"]):
        console.print(Text(sentence, style="bold" if i == 0 else ""))
    for rows in (layer_table(result), number_table(result)):
        if len(rows) < 2:
            continue
        grid = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2))
        for i, head in enumerate(rows[0]):
            grid.add_column(head, justify="left" if i < 1 else "right", no_wrap=i > 0)
        for row in rows[1:]:
            style = "red" if row[-1].endswith("<") else ""
            grid.add_row(*(Text(cell) for cell in row), style=style)
        console.print()
        console.print(grid)
    for entry in findings.decisions(result["quantities"]):
        if entry["labels"] is not None and not entry["labels"]["all_equal"]:
            console.print()
            console.print(Text("\n".join(_label_lines(entry))))


def clean(value: Any) -> Any:
    """Return a value with None for each number that JSON cannot hold."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise FuzzyError(
            f"{path}: {error.strerror}: name a folder that can be written with -o", 1
        ) from None


def main(argv: Sequence[str]) -> int:
    """Run fuzzyrun report.

    Parameters
    ----------
    argv : sequence of str
        Arguments after `report`.

    Returns
    -------
    int
        The exit status.
    """
    try:
        pairs, rest = getopt.gnu_getopt(
            list(argv), "o:h", ["output=", "reference=", "classes=", "no-html", "help"]
        )
    except getopt.GetoptError as error:
        raise FuzzyError(f"report: {error} (fuzzyrun report --help)") from None
    given = dict(pairs)
    if "-h" in given or "--help" in given:
        print(USAGE, end="")
        return 0
    if len(rest) != 1:
        raise FuzzyError("report: name one study folder (fuzzyrun report --help)")
    html = "--no-html" not in given
    extras.need("numpy", "scipy")
    if html:
        extras.need("matplotlib", "jinja2")
    from .analysis import REFERENCES, Options, analyse
    from .study import Study

    options = Options(given.get("--reference", "mean"))
    if options.reference not in REFERENCES:
        raise FuzzyError(
            f"reference {options.reference!r} is none of {', '.join(REFERENCES)}"
        )
    axis = given.get("--classes")
    if axis == "none":
        options.read_classes = False
    elif axis is not None:
        try:
            options.classes = int(axis)
        except ValueError:
            raise FuzzyError(
                f"classes {axis!r} is no axis: an integer or none"
            ) from None
    study = Study(rest[0])
    analysis = analyse(study, options)
    show(analysis.result)
    sys.stdout.flush()
    folder = Path(given.get("-o", given.get("--output", rest[0])))
    if not folder.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FuzzyError(f"{folder}: {error.strerror}", 1) from None
    text = json.dumps(clean(analysis.result), indent=1, allow_nan=False) + "\n"
    write(folder / "report.json", text)
    written = [folder / "report.json"]
    if html:
        from .report_html import page

        write(folder / "report.html", page(analysis))
        written.append(folder / "report.html")
    print(f"\nwritten: {' '.join(map(str, written))}")
    for problem in study.problems[:10]:
        print(f"fuzzyrun: warning: {problem}", file=sys.stderr)
    if len(study.problems) > 10:
        more = len(study.problems) - 10
        print(f"fuzzyrun: warning: {more} more, see report.json", file=sys.stderr)
    return 0 if len(study.samples) > 1 else 1
