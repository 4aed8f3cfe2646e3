"""The findings of a report in plain words, most important first.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

from typing import Any

from . import statistics

#: Kinds of tensors that are results, not steps on the way.
_OUTPUTS = ("output", "record", "file")
#: Explicit significand bits of a type, and all its bits of precision as people count them.
_PRECISION = {52: 53, 23: 24, 10: 11, 7: 8}


def plural(count: int, one: str, more: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def layer_rows(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry a layer, of several calls the one that keeps least.

    Parameters
    ----------
    entries : list of dict
        `quantities` of a report.

    Returns
    -------
    list of dict
        Entries with measures, in the order of execution. Added to each: `calls`, and `title`,
        the label without the call where there are several.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry in entries:
        if entry["measures"] is None:
            continue
        key = (entry["place"], entry["name"], entry["kind"], entry["pass"])
        groups.setdefault(key, []).append(entry)

    def least(entry: dict[str, Any]) -> float:
        found = entry["measures"]
        if found["not_finite"]:
            return -1.0
        return found["significant"]["bits"] if found["significant"] else 1e9

    rows = []
    for group in groups.values():
        worst = min(group, key=least)
        title = worst["label"]
        if len(group) > 1:
            title = title.removesuffix(f" (call {worst['call'] + 1})")
        rows.append({**worst, "calls": len(group), "title": title})
    return rows


def _keeps(entry: dict[str, Any], what: str) -> str:
    found = entry["measures"]
    n = entry["n"]
    whole = _PRECISION.get(entry["significand"], entry["significand"] + 1)
    if found["not_finite"]:
        return (
            f"{what} {entry['title']} is not finite in "
            f"{len(found['not_finite_in'])} of {n} samples."
        )
    if found["all_equal"]:
        proof = statistics.unanimous_probability(n)
        return (
            f"{what} {entry['title']} is the same in all {n} samples: as much as "
            f"{plural(n, 'sample')} can show, {found['ceiling']:.1f} of {whole} bits. "
            f"Another run agrees with probability {proof:.2f} or more (95 % confidence)."
        )
    if found["significant"] is None:
        return f"{what} {entry['title']} is 0 on average: relative digits mean nothing."
    bits = found["significant"]
    high = f"{bits['high']:.1f}" if bits["high"] is not None else "no bound"
    return (
        f"{what} {entry['title']} keeps {bits['bits']:.1f} of {whole} bits, "
        f"{bits['digits']:.1f} decimal digits (95 %: {bits['low']:.1f} to {high} bits, "
        f"{n} samples)."
    )


def decisions(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the outputs with labels or top classes; counters among buffers are none."""
    return [
        e
        for e in entries
        if (e["labels"] is not None or e["flips"] is not None)
        and e["kind"] in _OUTPUTS
        and e["call"] == 0
    ]


def _outputs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in rows if r["kind"] in _OUTPUTS and r["pass"] != "backward"]


def _bits(entry: dict[str, Any]) -> float | None:
    found = entry["measures"]
    if found["not_finite"]:
        return 0.0
    return found["significant"]["bits"] if found["significant"] else None


def _rank(entry: dict[str, Any]) -> float:
    """Return what puts the least stable first; 0 on average goes last."""
    bits = _bits(entry)
    return 1e9 if bits is None else bits


def _least(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the least stable output; of what was recorded otherwise, if there is none."""
    forward = [r for r in rows if r["pass"] != "backward"]
    true_outputs = [r for r in forward if r["kind"] == "output"]
    some = true_outputs or _outputs(rows) or forward or rows
    return min(some, key=_rank, default=None)


def _layers(result: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    """Return sentences on where bits are lost."""
    rows = [
        r
        for r in layer_rows(result["quantities"])
        if r["lost"] is not None and r["pass"] == "forward"
    ]
    if len(rows) < 2:
        return []
    least = min(rows, key=_rank)
    producer = max(rows, key=lambda r: r["lost"]["bits"])
    verdict["least_stable"] = least["label"]
    text = f"The least stable layer is {least['title']}"
    text += f" ({least['type']})" if least["type"] else ""
    sentences = [f"{text}: {_bits(least) or 0.0:.1f} bits."]
    if producer["lost"]["clear"]:
        verdict["producer"] = producer["label"]
        kind = f" ({producer['type']})" if producer["type"] else ""
        sentences.append(
            f"Most is lost at {producer['title']}{kind}: "
            f"{producer['lost']['bits']:.1f} bits."
        )
    else:
        sentences.append("No layer loses clearly more than the others.")
    return sentences


def _decisions(result: dict[str, Any]) -> list[str]:
    """Return sentences on labels and top classes."""
    sentences = []
    for entry in decisions(result["quantities"]):
        flips, labels = entry["flips"], entry["labels"]
        if flips is not None:
            if flips["flipped"]:
                first = flips["largest_margins"][0]
                sentences.append(
                    f"The top class of {flips['flipped']} of {flips['items']} items of "
                    f"{entry['label']} depends on the rounding; the largest margin that "
                    f"did not hold is {first['margin']:.3g} (item {first['item']})."
                )
            else:
                sentences.append(
                    f"The top class of all {flips['items']} items of {entry['label']} is "
                    f"the same in all {flips['n']} samples, which proves agreement with "
                    f"probability {flips['proves']:.2f} only, at 95 % confidence."
                )
        else:
            dices = [
                (one["dice"]["min"], one["label"])
                for one in labels["by_label"]
                if one["dice"]
            ]
            if labels["all_equal"]:
                sentences.append(
                    f"The labels of {entry['label']} are the same in all {labels['n']} "
                    f"samples, which proves agreement with probability "
                    f"{labels['proves']:.2f} only, at 95 % confidence."
                )
            elif dices:
                low, label = min(dices)
                moved = labels["elements"] - labels["unanimous"]
                sentences.append(
                    f"{moved} of {labels['elements']} labels of {entry['label']} depend on "
                    f"the rounding; the lowest Dice of two samples is {low:.4f} "
                    f"(label {label})."
                )
    return sentences[:4]


def _numbers(result: dict[str, Any]) -> list[str]:
    """Return a sentence on stdout where no tensor was recorded."""
    moving = [
        v for v in result["stdout"]["numbers"] if not v["equal"] and v["significant"]
    ]
    all_numbers = result["stdout"]["numbers"]
    if not all_numbers:
        return []
    if not moving:
        return [
            (
                f"All {plural(len(all_numbers), 'number')} on stdout are equal in "
                f"{all_numbers[0]['n']} samples."
            )
        ]
    worst = min(moving, key=lambda v: v["significant"]["bits"])
    bits = worst["significant"]["bits"]
    return [
        (
            f"Of {plural(len(all_numbers), 'number')} on stdout {len(moving)} vary; "
            f"{worst['label']} keeps least: {bits:.1f} bits, "
            f"{statistics.bits_to_digits(bits):.1f} decimal digits."
        )
    ]


def verdict(result: dict[str, Any]) -> dict[str, Any]:
    """Return `verdict` of a report: the state, the findings, and the names in them.

    Parameters
    ----------
    result : dict
        All else of the report.
    """
    study = result["study"]
    n = study["samples"]
    found: dict[str, Any] = {
        "state": "ok",
        "warnings": [],
        "sentences": [],
        "least_stable": None,
        "producer": None,
        "output": None,
    }
    warn, say = found["warnings"], found["sentences"]
    if study["partial"]:
        found["state"] = "partial"
        of = f" of {study['wanted']}" if study["wanted"] else ""
        how = "still running" if study["running"] else "not finished"
        warn.append(f"Partial: {n}{of} samples so far, the study is {how}.")
    if study["failed"]:
        warn.append(f"{plural(study['failed'], 'sample')} failed and are left out.")
    if n < 2:
        found["state"] = "no estimate"
        warn.append(
            f"{plural(n, 'sample')}: no estimate, at least two are needed (-n 10 is usual)."
        )
        return found
    if result["unperturbed"]:
        bare = len(result["unperturbed"])
        found["state"] = "not perturbed"
        warn.append(
            f"Nothing was perturbed in {bare} of {n} samples: the figures say nothing "
            f"about rounding."
        )
    if result["control"]["deterministic"] is False:
        what = ", ".join(result["control"]["differing"][:3])
        warn.append(
            f"The command is not deterministic by itself: {what} differ between runs in "
            f"mode off, so part of the spread is its own."
        )
    ragged = [e["label"] for e in result["quantities"] if e["shapes"]]
    if ragged:
        warn.append(
            f"The shape of {', '.join(ragged[:3])} depends on the rounding: not compared."
        )
    broken = [
        e["label"]
        for e in result["quantities"]
        if e["measures"] and e["measures"]["not_finite"]
    ]
    if broken:
        warn.append(
            f"{plural(len(broken), 'tensor')} not finite in some samples, first "
            f"{broken[0]}."
        )
    if result["problems"]:
        warn.append(f"{plural(len(result['problems']), 'file')} could not be read.")
    rows = layer_rows(result["quantities"])
    least = _least(rows)
    if least is not None:
        found["output"] = least["label"]
        nouns = {"output": "The output", "module": "The layer", "file": "The file"}
        say.append(_keeps(least, nouns.get(least["kind"], "The tensor")))
        others = [r for r in _outputs(rows) if _rank(r) < _rank(least)]
        if others:
            worst = min(others, key=_rank)
            say.append(
                f"{worst['title']} keeps less: {_bits(worst) or 0.0:.1f} bits."
                + (f" So do {len(others) - 1} more." if len(others) > 1 else "")
            )
    say += _layers(result, found)
    say += _decisions(result)
    if least is None:
        say += _numbers(result)
    if result["adaptive"]:
        say.append(f"Adaptive sampling: {result['adaptive']['reason']}.")
    if not say:
        say.append(
            "Nothing was recorded and no number is on stdout (--record outputs)."
        )
    return found
