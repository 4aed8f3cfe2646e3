"""What the tables of the studies share: results, cells, what stands under a table.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = {
    "digits": "examples/digits/results.json",
    "harmonic": "examples/harmonic/results.json",
    "mri": "examples/mri/results.json",
    "speech": "examples/speech/results.json",
    "scale": "examples/scale/results.json",
    "peers": "docs/peers.json",
}
Result = dict[str, Any]


def load(name: str) -> Result:
    """Return a study's results."""
    return json.loads((ROOT / RESULTS[name]).read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def figure(value: float | None, count: int = 3) -> str:
    """Return a number in few digits; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:.{count}g}"
    return f"{value:.0f}" if "e+" in text and value < 1e7 else text


def digits_of(bits: dict[str, Any] | None) -> str:
    """Return significant decimal digits with the interval's ends; = where at the ceiling."""
    if bits is None:
        return "–"
    scale = 0.30103
    if bits["high"] is None:
        return f"≥ {bits['low'] * scale:.2f}"
    return (
        f"{bits['digits']:.2f} ({bits['low'] * scale:.2f}–{bits['high'] * scale:.2f})"
    )


def bits_text(bits: dict[str, Any] | None) -> str:
    """Return significant bits with the interval's ends."""
    if bits is None:
        return "–"
    if bits["high"] is None:
        return f"≥ {bits['low']:.1f}"
    return f"{bits['bits']:.1f} ({bits['low']:.1f}–{bits['high']:.1f})"


def coverage(found: Result) -> str:
    """Say what share of the operations was perturbed."""
    done, left = found["perturbed"], found["left"]
    if found["share"] is None:
        return (
            f"layers {', '.join(found['layers'])}: {figure(done)} operations perturbed; the "
            "instructions of PyTorch's own code were not, nor are they counted"
        )
    share = "100 %" if not left else f"{100 * found['share']:.4f} %"
    calls = 100 * found["by_calls"] / done if done else 0
    text = (
        f"{share} of {figure(done + left)} counted operations that can round were perturbed "
        f"({calls:.1f} % by calls, {100 - calls:.1f} % as instructions)"
    )
    if found["unknown_sites"]:
        text += (
            f"; {found['unknown_sites']} places in code that is not moved "
            "(docs/rewriting.md says which) are not counted"
        )
    return text


def source(result: Result) -> str:
    """Say what a table was measured on, how, and what was perturbed."""
    lines = [made_by(result), f"{result['samples']} samples of each mode."]
    if "minutes" in result:
        lines.append(f"Samples and coverage took {figure(result['minutes'])} minutes.")
    if "coverage" in result:
        lines.append(f"Coverage: {coverage(result['coverage'])}.")
    return "\n" + "\n".join(lines) + "\n"


def made_by(result: Result) -> str:
    """Say by what command results were made, when, and on what."""
    machine = result["machine"]
    packages = ", ".join(f"{k} {v}" for k, v in machine["packages"].items() if v)
    return (
        f"`{result['command']}`, {machine['date']}: {machine['cpu']}, {machine['cpus']} "
        f"CPUs ({', '.join(machine['isa'])}), Python {machine['python']}, {packages}."
    )


def time_table(time: Result, also: str | None = None) -> str:
    """Return times and memory of configurations."""
    found = time["configurations"]
    rows = []
    for name, row in found.items():
        ratio = (
            "1"
            if name == "native"
            else f"{figure(row['ratio'])} ({figure(row['low'])}–{figure(row['high'])})"
        )
        memory = "–"
        if "mib" in row:
            memory = f"{row['mib']} MiB"
            if "memory_ratio" in row:
                memory += f", {figure(row['memory_ratio'])}×"
        rows.append(
            [
                name,
                f"{figure(row['seconds'])} s",
                ratio,
                figure(row.get("process_ratio", 1.0)),
                memory,
            ]
        )
    head = [
        "",
        "processor time",
        "ratio (least–largest)",
        "whole process",
        "peak memory",
    ]
    threads = time["threads"]
    return table(head, rows) + (
        f"\n`{time['command']}`, {threads} thread{'s' * (threads > 1)}, median of "
        f"{time['rounds']} round{'s' * (time['rounds'] > 1)} in turns; load average "
        f"{time['load'][0]} to {time['load'][1]}; {time['date']}, commit {time['commit']}"
        + (f", {figure(time['minutes'])} minutes" if "minutes" in time else "")
        + ". Time is that of the work, without imports.\n"
    )


def interval(value: float, low: float, high: float, count: int = 3) -> str:
    """Return a number with its interval."""
    return f"{figure(value, count)} ({figure(low, count)} to {figure(high, count)})"


def seconds(value: float) -> str:
    """Return a time with its unit."""
    for unit, scale in (("µs", 1e-6), ("ms", 1e-3)):
        if value < 1000 * scale:
            return f"{figure(value / scale)} {unit}"
    return f"{figure(value)} s"
