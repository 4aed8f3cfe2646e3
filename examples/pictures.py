"""Pictures of the studies, drawn from their results.

SPDX-License-Identifier: Apache-2.0

SVG on white, so that they can be read in light and dark viewers; a few ten KB each.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

#: Colours of the modes, told apart by those who see few colours too.
COLOURS = {
    "native": "#555555",
    "nearest": "#999999",
    "sr": "#0072b2",
    "ud": "#d55e00",
    "cestac": "#009e73",
    "published": "#cc79a7",
}
_STYLE = {
    "svg.hashsalt": "fuzzytorch",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure without a date, so that the same numbers give the same file."""
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
    figure.savefig(
        path, bbox_inches="tight", pad_inches=0.06, dpi=110, metadata=metadata
    )
    if path.suffix == ".svg":
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        path.write_text(re.sub(r" +\n", "\n", text), encoding="utf-8")


def digits(result: dict[str, Any], path: Path) -> None:
    """Draw the training curves of all modes with their envelopes, and their digits."""
    training = result["training"]
    labels = [c["label"] for c in next(iter(training.values()))["curves"]]
    if not labels:  # of one epoch
        return
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.4, 2.6 * len(labels)))
        grid = figure.subplots(len(labels), 2, squeeze=False)
        for row, label in zip(grid, labels):
            for mode, found in training.items():
                curve = next((c for c in found["curves"] if c["label"] == label), None)
                if curve is None:
                    continue
                mean, low, high, sd = (
                    np.array([np.nan if v is None else v for v in curve[k]], float)
                    for k in ("mean", "low", "high", "sd")
                )
                x = np.arange(1, len(mean) + 1)
                colour = COLOURS[mode]
                row[0].fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
                row[0].plot(x, mean, color=colour, linewidth=1.2, label=mode)
                spread = np.where(sd > 0, sd / np.abs(mean), np.nan)
                row[1].plot(
                    x, -np.log10(spread), color=colour, marker="o", markersize=3
                )
            row[0].set_ylabel(label)
            row[1].set_ylabel("−log₁₀ relative sd")
            row[1].set_ylim(bottom=0)
            for axes in row:
                axes.set_xlabel("epoch")
        grid[0][0].legend()
        figure.tight_layout()
        save(figure, path)


def mri(mask: np.ndarray, maps: dict[str, np.ndarray], path: Path) -> None:
    """Draw where the votes differ: along each axis, the largest entropy over the slices.

    Parameters
    ----------
    mask : numpy.ndarray
        Of the native run, for the outline of the head's inside.
    maps : dict
        Entropy of the votes, by mode.
    path : pathlib.Path
        Where the picture goes.
    """
    with matplotlib.rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.2, 2.7 * len(maps)))
        grid = figure.subplots(len(maps), 3, squeeze=False)
        shown = None
        for row, (mode, entropy) in zip(grid, maps.items()):
            for axis, axes in enumerate(row):
                middle = np.take(mask, mask.shape[axis] // 2, axis).T
                highest = entropy.max(axis=axis).T
                axes.imshow(middle, cmap="gray", origin="lower", vmin=0, vmax=4)
                shown = axes.imshow(
                    np.ma.masked_equal(highest, 0),
                    cmap="plasma", origin="lower", vmin=0, vmax=1, interpolation="nearest",
                )  # fmt: skip
                axes.set_title(f"{mode}, largest over axis {axis}", fontsize=8)
                axes.set_xticks([])
                axes.set_yticks([])
        if shown is not None:
            bar = figure.colorbar(shown, ax=list(grid.ravel()), fraction=0.02, pad=0.02)
            bar.set_label("entropy of the votes, bits")
        save(figure, path)


def speech(result: dict[str, Any], path: Path) -> None:
    """Draw how far rounding moves each pair's cosine, beside where the decision is taken."""
    threshold = result["threshold"]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.4))
        axes = figure.subplots()
        for mode, found in result["modes"].items():
            decision = found["decision"]
            axes.plot(
                decision["cosine"], decision["cosine_sd"], ".", label=mode,
                color=COLOURS[mode], alpha=0.6, markersize=5,
            )  # fmt: skip
        axes.axvline(threshold, color="#555555", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_xlabel("cosine of a pair (line: the threshold)")
        axes.set_ylabel("its standard deviation")
        axes.legend(loc="lower left")
        save(figure, path)


def scale(result: dict[str, Any], path: Path) -> None:
    """Draw bits, time and memory against the number of parameters."""
    models = result["models"]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.4, 5.6))
        (bits, time), (layers, memory) = figure.subplots(2, 2)
        sizes = [m["parameters"] / 1e6 for m in models.values()]
        for axes in (bits, time, memory):
            axes.set_xscale("log")
            axes.set_xlabel("parameters, millions")
        for mode in next(iter(models.values()))["modes"]:
            colour = COLOURS[mode]
            found = [m["modes"][mode]["layers"] for m in models.values()]
            least = [f["least"]["bits"] for f in found]
            output = [f["output"]["bits"] for f in found]
            bits.plot(sizes, output, "o", color=colour, label=f"{mode}, output")
            bits.plot(
                sizes, least, "v", color=colour, alpha=0.5, label=f"{mode}, least layer"
            )
        bits.axhline(24, color="#999999", linewidth=0.8)
        bits.set_ylabel("significant bits of 24")
        bits.set_ylim(0, 25)
        bits.legend(loc="lower left")
        rows = [m["time"]["configurations"]["sr"] for m in models.values()]
        for axes, key, label, marker, fill in (
            (time, "forward_ratio", "forward", "o", "full"),
            (time, "ratio", "training step", "s", "none"),
            (memory, "memory_ratio", "training step", "s", "none"),
        ):
            pairs = [(x, row[key]) for x, row in zip(sizes, rows) if key in row]
            axes.plot(
                *zip(*pairs), marker, color=COLOURS["sr"], fillstyle=fill,
                label=f"sr, {label}",
            )  # fmt: skip
        time.set_ylabel("time, ratio to native")
        memory.set_ylabel("peak memory, ratio to native")
        for axes in (time, memory):
            axes.set_ylim(bottom=0)
            axes.legend()
        shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(models)))
        for (name, m), shade in zip(models.items(), shades):
            one = m["modes"]["sr"]["layers"]["bits"]
            depth = np.linspace(0, 1, len(one))
            layers.plot(depth, one, color=shade, linewidth=0.9, label=name)
        layers.set_xlabel("depth: modules in the order of execution")
        layers.set_ylabel("significant bits")
        layers.legend(fontsize=6, ncol=2)
        figure.tight_layout()
        save(figure, path)
