"""What a study says: the content of report.json.

SPDX-License-Identifier: Apache-2.0

docs/report-schema.md describes the result.
"""

from __future__ import annotations

import json
import math
import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import (
    __version__,
    curves,
    findings,
    measures,
    measures_labels,
    numbers,
    statistics,
    store,
    summary,
)
from .arrays import Array
from .errors import FuzzyError
from .measures_labels import TopClass
from .store import Run
from .study import Quantity, Study

SCHEMA = 1
REFERENCES = ("mean", "ieee", "f64")


@dataclass
class Options:
    """What the user chose.

    Attributes
    ----------
    reference : str
        What digits are counted against: mean, ieee or f64.
    classes : int or None
        Axis of the classes in outputs; None to take (items, classes) for what it seems.
    read_classes : bool
        Look for classes at all.
    """

    reference: str = "mean"
    classes: int | None = None
    read_classes: bool = True


@dataclass
class Analysis:
    """A result, and the arrays behind each of its quantities.

    Attributes
    ----------
    study : Study
        What was read.
    result : dict
        The content of report.json.
    quantities : list of Quantity
        In the order of result["quantities"].
    """

    study: Study
    result: dict[str, Any]
    quantities: list[Quantity] = field(default_factory=list)


# ---- One quantity -------------------------------------------------------------------


def _reference(quantity: Quantity, options: Options) -> Array | None:
    if options.reference == "mean":
        return None
    found = quantity.stock if options.reference == "ieee" else quantity.exact
    return found if found is not None and found.shape == quantity.shape else None


def _note(quantity: Quantity, options: Options, n: int) -> str | None:
    notes = []
    if quantity.ragged:
        shapes = ", ".join("x".join(map(str, s)) or "()" for s in quantity.shapes[:4])
        notes.append(f"shape depends on the sample ({shapes}): not compared")
    elif n < 2:
        notes.append("in one sample only: no estimate")
    if quantity.missing and n >= 2:
        notes.append(f"missing in {len(quantity.missing)} samples")
    if options.reference != "mean" and _reference(quantity, options) is None:
        notes.append(f"no {options.reference} reference: against the samples' mean")
    if quantity.info.get("note"):
        notes.append(str(quantity.info["note"]))
    return "; ".join(notes) or None


def _labels(
    quantity: Quantity, entry: dict[str, Any], arrays: Sequence[Any], options: Options
) -> None:
    """Add measures of labels, of integers or of the top class of an output."""
    beside = quantity.stock
    if arrays[0].dtype.kind in "biu":
        found: list[Any] = [*arrays] + ([beside] if beside is not None else [])
        labels = measures_labels.labels_of(found)
        if labels is not None:
            entry["labels"] = measures_labels.categorical(arrays, labels, beside)
        return
    if (
        quantity.key.kind not in ("output", "record", "file")
        or not options.read_classes
    ):
        return
    axis = measures_labels.class_axis(quantity.shape, options.classes)
    if axis is None or (quantity.key.kind == "file" and options.classes is None):
        return
    if entry["measures"]["not_finite"] or arrays[0].dtype.kind == "c":
        return
    tops = [TopClass(a, axis) for a in arrays]
    top = TopClass(beside, axis) if beside is not None else None
    entry["class_axis"] = axis
    entry["flips"] = measures_labels.flips(tops, top)
    labels = measures_labels.labels_of([*tops, top] if top is not None else tops)
    if labels is not None:
        entry["labels"] = measures_labels.categorical(tops, labels, top)


def describe(quantity: Quantity, options: Options) -> dict[str, Any]:
    """Return one entry of `quantities`.

    Parameters
    ----------
    quantity : Quantity
        A tensor in all samples.
    options : Options
        What it is compared with.
    """
    arrays = quantity.usable
    key, info = quantity.key, quantity.info
    entry: dict[str, Any] = {
        "label": quantity.label,
        "name": key.name,
        "kind": key.kind,
        "pass": key.pass_,
        "call": key.call,
        "place": key.place,
        "module": info.get("module"),
        "type": info.get("type"),
        "order": info.get("order"),
        "dtype": info.get("dtype"),
        "shape": list(quantity.shape),
        "shapes": [list(s) for s in quantity.shapes] if quantity.ragged else None,
        "n": len(arrays),
        "missing": quantity.missing,
        "note": _note(quantity, options, len(arrays)),
        "significand": quantity.significand,
        "measures": None,
        "labels": None,
        "flips": None,
        "class_axis": None,
        "lost": None,
    }
    if len(arrays) < 2 or not arrays[0].size:
        return entry
    whole = arrays[0].dtype.kind in "biu"
    if whole:
        _labels(quantity, entry, arrays, options)
        if entry["labels"] is not None:
            return entry
    most = 52 if whole else quantity.significand
    entry["measures"] = measures.numeric(
        arrays, most, _reference(quantity, options), quantity.stock
    )
    if not whole:
        _labels(quantity, entry, arrays, options)
    return entry


# ---- Bits along the network ---------------------------------------------------------


def bits_of(entry: dict[str, Any]) -> float | None:
    """Return the significant bits of an entry, 0 where samples are not even finite."""
    found = entry["measures"]
    if found is None:
        return None
    if found["not_finite"]:
        return 0.0
    return found["significant"]["bits"] if found["significant"] else None


def sequences(entries: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the entries of layers, forward and then backward, each in its order.

    Notes
    -----
    Only innermost modules, whose name is no part of another's: what a container gives is
    what its last layer gives.
    """
    found = []
    for wanted in ("forward", "backward"):
        kinds = ("module", "output") if wanted == "forward" else ("grad",)
        layers = [
            e
            for e in entries
            if e["pass"] == wanted and e["kind"] in kinds and e["n"] > 1
        ]
        modules = {e["module"] or e["name"] for e in layers}
        parents = {
            ".".join(name.split(".")[:k])
            for name in modules
            for k in range(1, name.count(".") + 1)
        }
        roots = {e["module"] for e in layers if e["kind"] == "output"}
        alone = modules <= roots
        leaves = [
            e
            for e in layers
            if (e["module"] or e["name"]) not in parents
            and (alone or (e["module"] or e["name"]) not in roots)
        ]
        leaves.sort(key=lambda e: (e["place"], e["order"] or 0))
        found.append(leaves)
    return found


def mark_losses(entries: Sequence[dict[str, Any]]) -> None:
    """Set `lost`: the bits of what ran before a layer less the layer's own.

    Notes
    -----
    The first layer is compared with its type, whose inputs are exact. A loss is `clear` if
    it is more than twice its standard error, (1/(2 nu_1) + 1/(2 nu_2))^(1/2) / ln 2 bits for
    noises that are independent; noise handed on from layer to layer is not, so that its
    differences are surer than this says.
    """
    for leaves in sequences(entries):
        before: dict[str, dict[str, Any]] = {}
        for entry in leaves:
            bits = bits_of(entry)
            if bits is None:
                continue
            place = entry["place"]
            previous = before.get(place)
            before[place] = entry
            degrees = entry["measures"]["degrees"]
            if previous is None:
                if entry["pass"] == "backward":
                    continue
                top = max(0.0, entry["significand"] - statistics.log2_normal())
                lost, variance, origin = top - bits, 0.5 / degrees, None
            else:
                lost = (bits_of(previous) or 0.0) - bits
                variance = 0.5 / degrees + 0.5 / previous["measures"]["degrees"]
                origin = previous["label"]
            error = math.sqrt(variance) / math.log(2)
            entry["lost"] = {
                "bits": lost,
                "error": error,
                "clear": lost > max(0.5, 2 * error),
                "after": origin,
            }


# ---- The runs -----------------------------------------------------------------------


def _library_reports(run: Run) -> list[dict[str, Any]]:
    found = []
    for path in sorted(run.folder.glob("report.json*")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(report, dict):
            found.append(report)
    return found


def coverage(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Return what the library says of the samples: what was perturbed, what was not.

    Parameters
    ----------
    runs : sequence of Run
        Samples.

    Returns
    -------
    dict or None
        Sums over all samples; None without a report.
    """
    reports = [r for run in runs for r in _library_reports(run)]
    if not reports:
        return None
    calls: Counter[str] = Counter()
    symbols: dict[tuple[str, str], Counter[str]] = {}
    why: dict[tuple[str, str], Counter[str]] = {}
    for report in reports:
        try:
            for kind in ("perturbed", "passed"):
                one = report.get("totals", {}).get(kind, {})
                calls[kind] += int(one.get("calls", 0))
                calls[f"{kind} flops"] += int(one.get("flops", 0))
            for row in report.get("symbols", ()):
                key = (str(row["symbol"]), str(row.get("family", "")))
                for kind in ("perturbed", "passed"):
                    count = int(row.get(kind, {}).get("calls", 0))
                    symbols.setdefault(key, Counter())[kind] += count
                reasons = row.get("why", {})
                if isinstance(reasons, dict):
                    why.setdefault(key, Counter()).update(
                        {str(k): int(v) for k, v in reasons.items()}
                    )
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    first = reports[0]
    return {
        "perturbed_calls": calls["perturbed"],
        "passed_calls": calls["passed"],
        "perturbed_flops": calls["perturbed flops"],
        "passed_flops": calls["passed flops"],
        "layers": first.get("layers"),
        "scope": first.get("scope"),
        "isa": first.get("isa"),
        "torch": first.get("torch"),
        "version": first.get("version"),
        "precision": first.get("precision"),
        "symbols": [
            {
                "symbol": name,
                "family": family,
                "perturbed": count["perturbed"],
                "passed": count["passed"],
                "why": dict(why.get((name, family), {})),
            }
            for (name, family), count in sorted(
                symbols.items(), key=lambda item: -item[1]["perturbed"]
            )
        ],
    }


def _control(study: Study, quantities: Sequence[Quantity]) -> dict[str, Any]:
    """Return whether runs in mode off are equal."""
    runs = study.controls
    differing = []
    if len(runs) > 1:
        if len({run.text() for run in runs}) > 1:
            differing.append("stdout")
        for q in quantities:
            arrays = list(q.controls.values())
            if len(arrays) > 1 and not _same(arrays):
                differing.append(q.label)
    return {
        "runs": len(runs),
        "deterministic": not differing if len(runs) > 1 else None,
        "differing": differing,
    }


def _same(arrays: Sequence[Array]) -> bool:
    if len({a.shape for a in arrays}) > 1:
        return False
    return all(measures.same(rows).all() for _, rows in measures.pieces(arrays))


def _run(run: Run, study: Study) -> dict[str, Any]:
    status = run.status
    record = study.record(run) if run.ok else None
    return {
        "name": run.folder.name,
        "mode": status.get("mode"),
        "seed": status.get("seed"),
        "exit_status": status.get("exit_status"),
        "signal": status.get("signal"),
        "wall_seconds": status.get("wall_seconds"),
        "max_rss_kib": status.get("max_rss_kib"),
        "host": status.get("host"),
        "started": status.get("started"),
        "perturbed_calls": run.perturbed(),
        "tensors": len(record.entries) if record else None,
        "record": None
        if record is None or not record.entries
        else "stopped at the limit"
        if record.limited
        else "partial"
        if record.partial
        else "complete",
    }


def _cpu() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or None


def _adaptive(path: Path) -> dict[str, Any] | None:
    try:
        found = store.read_json(path / "adaptive.json")
    except FuzzyError:
        return None
    return found if isinstance(found, dict) and "reason" in found else None


def analyse(study: Study, options: Options) -> Analysis:
    """Return what a study says.

    Parameters
    ----------
    study : Study
        Finished or not.
    options : Options
        What the user chose.
    """
    quantities = study.quantities()
    if options.reference == "ieee" and not study.controls:
        raise FuzzyError(
            f"{study.path} has no run in mode off to compare with: --control 1"
        )
    if options.reference == "f64" and study.exact is None:
        raise FuzzyError(
            f"{study.path} has no run in double: sample with --reference f64"
        )
    entries = [describe(q, options) for q in quantities]
    mark_losses(entries)
    texts = [run.text() for run in study.samples]
    printed = numbers.align(texts) if len(texts) > 1 else numbers.Aligned([], 0)
    control = (
        numbers.by_label(numbers.align([study.controls[0].text()]))
        if study.controls
        else {}
    )
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "generator": f"fuzzytorch {__version__}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "study": {
            "path": str(study.path.resolve()),
            **{
                k: study.manifest.get(k)
                for k in (
                    "command",
                    "folder",
                    "mode",
                    "seed",
                    "settings",
                    "environment",
                    "record",
                    "collect",
                    "executor",
                    "scripts",
                    "library",
                )
            },
            "samples": len(study.samples),
            "failed": len(study.failed),
            "wanted": study.wanted,
            "controls": len(study.controls),
            "running": study.running,
            "under_way": study.under_way,
            "partial": study.partial,
        },
        "reference": options.reference,
        "verdict": {},
        "coverage": coverage(study.samples),
        "unperturbed": [r.folder.name for r in summary.unperturbed(study.samples)],
        "control": _control(study, quantities),
        "quantities": entries,
        "stdout": {
            "unmatched": printed.unmatched,
            "numbers": [curves.number(v, control.get(v.label)) for v in printed.values],
        },
        "curves": curves.printed(printed, control) + curves.stored(quantities),
        "adaptive": _adaptive(study.path),
        "runs": [
            _run(r, study)
            for r in [
                *study.controls,
                *([study.exact] if study.exact else []),
                *study.samples,
                *study.failed,
            ]
        ],
        "machine": {
            "cpu": _cpu(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "host": platform.node(),
        },
        "problems": study.problems,
    }
    result["verdict"] = findings.verdict(result)
    return Analysis(study, result, quantities)
