"""Figures of a report, as SVG that takes its colours and font from the page.

SPDX-License-Identifier: Apache-2.0

matplotlib draws with stand-in colours, which become CSS variables afterwards: the same figure
serves a light and a dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Stand-in colours and the variables of the page that they become.
_COLOURS = {
    "ink": "#0a0b01",
    "muted": "#0a0b02",
    "line": "#0a0b03",
    "accent": "#0a0b04",
    "warm": "#0a0b05",
    "soft": "#0a0b06",
}
INK, MUTED, LINE, ACCENT, WARM, SOFT = _COLOURS.values()

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fuzzytorch",
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
_WIDE = 9.4
_LABELLED = 36


def _svg(figure: Figure, title: str, tight: bool = True) -> str:
    """Return a figure as an element of a page, without empty margins if `tight`."""
    out = io.StringIO()
    figure.savefig(
        out,
        format="svg",
        transparent=True,
        bbox_inches="tight" if tight else None,
        pad_inches=0.04,
        metadata={"Date": None, "Creator": None},
    )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    # Of matplotlib 3.11, and of those before it.
    text = re.sub(r'font-family: [^;"]*', "font-family: var(--sans)", text)
    text = re.sub(r"(font: [^;\"']*?px) '[^;\"]*", r"\1 var(--sans)", text)
    text = re.sub(r' width="[\d.]+pt"', "", text, count=1)
    text = re.sub(r' height="[\d.]+pt"', "", text, count=1)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def short(name: str, most: int = 26) -> str:
    """Return a name whose beginning is left out where it is long."""
    return name if len(name) <= most else "…" + name[-most + 1 :]


def bits_along(entries: Sequence[dict[str, Any]], title: str) -> str:
    """Return the bits of layers in the order of execution.

    Parameters
    ----------
    entries : sequence of dict
        Entries of `quantities` that have significant bits.
    title : str
        For those who do not see it.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDE, 3.1))
        axes = figure.add_subplot()
        x = np.arange(len(entries))
        found = [e["measures"]["significant"] for e in entries]
        ceiling = [e["measures"]["ceiling"] for e in entries]
        top = [e["significand"] + 1 for e in entries]
        points = np.array([f["bits"] for f in found])
        low = np.array([f["low"] for f in found])
        high = np.array(
            [f["high"] if f["high"] is not None else t for f, t in zip(found, top)]
        )
        high = np.minimum(high, top)
        axes.fill_between(x, low, high, color=SOFT, linewidth=0)
        axes.plot(x, ceiling, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.plot(
            x, points, color=ACCENT, linewidth=1.6, marker="o", markersize=3.6,
            markeredgewidth=0,
        )  # fmt: skip
        lost = [
            i
            for i, e in enumerate(entries)
            if e["lost"] is not None and e["lost"]["clear"]
        ]
        axes.plot(
            x[lost], points[lost], color=WARM, linestyle="", marker="o", markersize=5.4,
            markeredgewidth=0,
        )  # fmt: skip
        deepest = sorted(lost, key=lambda i: -entries[i]["lost"]["bits"])[:3]
        for i in deepest:
            bits = entries[i]["lost"]["bits"]
            axes.annotate(
                f"−{bits:.1f}", (x[i], points[i]), xytext=(7, 5),
                textcoords="offset points", color=WARM, fontsize=9,
            )  # fmt: skip
        axes.annotate(
            "ceiling", (x[-1], ceiling[-1]), xytext=(0, 4), textcoords="offset points",
            color=MUTED, fontsize=8, ha="right",
        )  # fmt: skip
        axes.set_ylim(0, max(top) + 0.5)
        axes.set_xlim(-0.4, len(entries) - 0.6)
        axes.set_ylabel("significant bits")
        axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
        step = max(1, -(-len(entries) // _LABELLED))
        axes.set_xticks(x[::step])
        long = max(len(e["title"]) for e in entries) > 6 or len(entries) > 16
        axes.set_xticklabels(
            [short(e["title"]) for e in entries][::step],
            rotation=40 if long else 0,
            ha="right" if long else "center",
            rotation_mode="anchor",
            fontsize=8,
        )
        return _svg(figure, title)


def histogram(entry: dict[str, Any]) -> str:
    """Return the histogram of an entry's elementwise bits."""
    found = entry["measures"]
    counts = np.array(found["histogram"]["counts"], np.float64)
    width = found["histogram"]["width"]
    # Bars of whole bits where a quarter would be a comb.
    used = np.flatnonzero(counts)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.5, 2.1))
        axes = figure.add_subplot()
        edges = np.arange(len(counts)) * width
        axes.bar(
            edges, 100 * counts / max(1.0, counts.sum()), width * 0.92, align="edge",
            color=ACCENT, linewidth=0,
        )  # fmt: skip
        axes.axvline(
            found["ceiling"], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3))
        )
        if used.size:
            low = max(0.0, edges[used[0]] - 1)
            axes.set_xlim(low, max(found["ceiling"], edges[used[-1]]) + 1)
        axes.set_xlabel("significant bits of an element (CNH, 95 %)")
        axes.set_ylabel("% of elements")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        return _svg(figure, f"Histogram of bits of {entry['label']}")


def curve(found: dict[str, Any]) -> str:
    """Return a curve over steps with the envelope of the samples."""

    def line(values: Sequence[float | None]) -> np.ndarray:
        return np.array([np.nan if v is None else v for v in values], np.float64)

    mean, low, high = (line(found[k]) for k in ("mean", "low", "high"))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.5, 2.3))
        upper, lower = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1], "hspace": 0.16}
        )
        x = np.arange(1, len(mean) + 1)
        upper.fill_between(x, low, high, color=SOFT, linewidth=0)
        if found["control"] is not None:
            upper.plot(
                x,
                line(found["control"]),
                color=MUTED,
                linewidth=1,
                linestyle=(0, (2, 2)),
            )
        upper.plot(x, mean, color=ACCENT, linewidth=1.4)
        upper.set_ylabel("value")
        with np.errstate(all="ignore"):
            spread = line(found["sd"]) / np.abs(mean)
            bits = -np.log2(np.where(spread > 0, spread, np.nan))
        lower.plot(x, bits, color=WARM, linewidth=1.2)
        lower.set_ylabel("−log₂ sd")
        lower.set_xlabel("step")
        lower.yaxis.set_major_locator(MaxNLocator(3))
        upper.yaxis.set_major_locator(MaxNLocator(4))
        lower.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.align_ylabels()
        return _svg(figure, f"Curve of {found['label']}")


def maps(images: Sequence[tuple[str, np.ndarray, str, str]], title: str) -> str:
    """Return images side by side, each with its colours explained.

    Parameters
    ----------
    images : sequence of (str, numpy.ndarray, str, str)
        Caption, values, name of a colour map, and what its colours mean.
    title : str
        For those who do not see it.
    """
    with matplotlib.rc_context({**_STYLE, "axes.grid": False}):
        columns = 3  # also of two: letters keep their size on the page
        rows = -(-len(images) // columns)
        figure = Figure(figsize=(_WIDE, 2.5 * rows))
        for i, (caption, values, colours, meaning) in enumerate(images):
            axes = figure.add_subplot(rows, columns, i + 1)
            shown = axes.imshow(values, cmap=colours, interpolation="nearest")
            axes.set_title(caption, fontsize=9, color=INK, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            bar = figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03)
            bar.outline.set_visible(False)
            bar.set_label(meaning, fontsize=8)
            bar.ax.yaxis.set_major_locator(MaxNLocator(4))
        figure.tight_layout(w_pad=1.2)
        return _svg(figure, title, tight=False)
