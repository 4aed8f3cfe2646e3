"""The page of a report: one file that opens without a network.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from . import figures, findings, report_maps, reporting, statistics
from .analysis import Analysis, bits_of, sequences

#: At most so many figures of a kind: a page is to be read.
_HISTOGRAMS = 4
_MAPS = 3
_CURVES = 8
_ROWS = 300


def _along(entries: list[dict[str, Any]]) -> list[tuple[str, Markup]]:
    """Return the plots along the network: forward and backward."""
    found = []
    for name, leaves in zip(("Forward", "Backward"), sequences(entries)):
        rows = [
            e
            for e in findings.layer_rows(leaves)
            if e["measures"]["significant"] is not None
            and not e["measures"]["not_finite"]
        ]
        if len(rows) > 1:
            svg = figures.bits_along(rows, f"Significant bits by layer, {name.lower()}")
            found.append((name, Markup(svg)))
    return found


def _rows(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table of tensors, each with where its bar begins and ends."""
    rows = findings.layer_rows(entries)
    if len(rows) > _ROWS:
        kept = sorted(range(len(rows)), key=lambda i: bits_of(rows[i]) or 0.0)[:_ROWS]
        rows = [rows[i] for i in sorted(kept)]
    for row in rows:
        top = row["significand"] + 1
        found = row["measures"]
        bits = found["significant"]
        row["bar"] = None
        if bits is not None and not found["not_finite"]:
            high = min(top, bits["high"] if bits["high"] is not None else top)
            row["bar"] = {
                "low": 100 * bits["low"] / top,
                "width": 100 * max(0.0, high - bits["low"]) / top,
                "point": 100 * min(top, bits["bits"]) / top,
                "ceiling": 100 * found["ceiling"] / top,
            }
        row["cell"] = reporting.bits_cell(row)
    return rows


def _of_kind(analysis: Analysis, make: Any, most: int) -> list[tuple[str, Markup]]:
    found = []
    for quantity, entry in zip(analysis.quantities, analysis.result["quantities"]):
        if len(found) == most:
            break
        shown = entry["kind"] in ("output", "record", "file") and entry["call"] == 0
        if not shown or entry["n"] < 2:
            continue
        svg = make(quantity, entry)
        if svg is not None:
            found.append((entry["label"], Markup(svg)))
    return found


def _histograms(result: dict[str, Any]) -> list[tuple[str, Markup]]:
    kinds = ("output", "record", "file")
    rows = [r for r in findings.layer_rows(result["quantities"]) if r["kind"] in kinds]
    rows = rows or findings.layer_rows(result["quantities"])
    rows = [
        r
        for r in rows
        if r["measures"]["elementwise"] and r["measures"]["elements"] >= 16
    ]
    rows.sort(key=lambda r: bits_of(r) or 0.0)
    return [(r["label"], Markup(figures.histogram(r))) for r in rows[:_HISTOGRAMS]]


def _hero(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the figure that stands at the top."""
    label = result["verdict"]["output"]
    rows = findings.layer_rows(result["quantities"])
    for row in rows:
        if row["label"] == label:
            bits = row["measures"]["significant"]
            if bits is None or row["measures"]["not_finite"]:
                return None
            return {
                "label": label,
                "bits": bits["bits"],
                "digits": bits["digits"],
                "low": bits["low"],
                "high": bits["high"],
                "of": row["significand"] + 1,
                "ceiling": row["measures"]["ceiling"],
                "equal": row["measures"]["all_equal"],
            }
    return None


def _command(result: dict[str, Any]) -> str:
    """Return the command line that makes this study again."""
    study = result["study"]
    words = ["fuzzyrun", "-n", str(study["wanted"] or study["samples"])]
    words += ["-m", str(study["mode"]), "-s", str(study["seed"])]
    if study["record"]:
        words += ["--record", ",".join(study["record"])]
    for glob in study["collect"] or ():
        words += ["--collect", glob]
    environment = {**(study["environment"] or {}), **(study["settings"] or {})}
    before = [f"{k}={shlex.quote(str(v))}" for k, v in sorted(environment.items())]
    return " ".join([*before, shlex.join([*words, "--", *study["command"]])])


def page(analysis: Analysis) -> str:
    """Return the page.

    Parameters
    ----------
    analysis : Analysis
        Of a study.
    """
    result = analysis.result
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["count"] = lambda number: f"{number:,}".replace(",", "\u202f")
    environment.filters["number"] = lambda x: "–" if x is None else f"{x:.7g}"
    template = environment.get_template("report.html")
    return template.render(
        r=result,
        hero=_hero(result),
        command=_command(result),
        along=_along(result["quantities"]),
        rows=_rows(result["quantities"]),
        histograms=_histograms(result),
        maps=_of_kind(analysis, report_maps.noise, _MAPS),
        votes=_of_kind(analysis, report_maps.votes, _MAPS),
        curves=[
            (c["label"], Markup(figures.curve(c))) for c in result["curves"][:_CURVES]
        ],
        decisions=findings.decisions(result["quantities"]),
        shift=statistics.log2_normal(),
    )
