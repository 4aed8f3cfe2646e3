"""Write the tables of the READMEs and docs/results.md from the studies' results.json.

SPDX-License-Identifier: Apache-2.0

    python examples/tables.py            writes them where they differ
    python examples/tables.py --check    says where they differ; status 1 then

A table or picture stands between `<!-- table: NAME -->` and `<!-- end -->`. No number in it is typed.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cells import (
    RESULTS,
    ROOT,
    Result,
    bits_text,
    coverage,
    digits_of,
    figure,
    interval,
    load,
    made_by,
    seconds,
    source,
    table,
    time_table,
)

HERE = Path(__file__).resolve().parent
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

# ---- digits --------------------------------------------------------------------------


def digits_training() -> str:
    """Training: numbers at the end."""
    r = load("digits")
    rows = []
    for mode, found in r["training"].items():
        for name in sorted((k for k in found if k[0] == "n"), key=lambda k: int(k[1:])):
            numbers = found[name]["numbers"]
            flips = found[name]["probabilities"]
            rows.append(
                [
                    mode,
                    name[1:],
                    figure(numbers["test loss"]["mean"], 6),
                    digits_of(numbers["test loss"]["bits"]),
                    figure(numbers["test accuracy"]["mean"], 5),
                    figure(numbers["test accuracy"]["sd"], 2),
                    figure(numbers["test F1"]["mean"], 5),
                    f"{flips['flipped']} of {flips['items']}",
                ]
            )
    native = next(iter(r["training"].values()))
    numbers = next(v for k, v in native.items() if k[0] == "n")["numbers"]
    rows.insert(
        0,
        [
            "native", 1, figure(numbers["test loss"]["native"], 6), "",
            figure(numbers["test accuracy"]["native"], 5), "",
            figure(numbers["test F1"]["native"], 5), "",
        ],
    )  # fmt: skip
    head = [
        "mode", "samples", "test loss", "its digits (95 %)", "accuracy", "sd", "F1",
        "classes that flip",
    ]  # fmt: skip
    return table(head, rows) + source(r)


def digits_testing() -> str:
    """Testing fixed weights."""
    r = load("digits")
    rows = []
    for mode, found in r["testing"].items():
        bias = found["bias"]
        rows.append(
            [
                mode,
                digits_of(found["test loss"]["bits"]),
                bits_text(found["scores"]),
                found["flipped"],
                interval(bias["along"], bias["low"], bias["high"], 2),
            ]
        )
    head = [
        "mode", "digits of the loss", "bits of the scores", "flips",
        "scores' bias against f64, relative",
    ]  # fmt: skip
    ceiling = next(iter(r["testing"].values()))["scores"]["ceiling"]
    return table(head, rows) + (
        f"\n{r['samples']} samples can show {ceiling:.1f} bits, "
        f"{ceiling * 0.30103:.2f} digits.\n"
    )


def digits_classes() -> str:
    """Probabilities by class."""
    r = load("digits")
    modes = list(r["training"])
    rows = []
    for k, one in enumerate(r["training"][modes[0]]["classes"]):
        cells: list[object] = [one["class"], one["images"], figure(one["mean"], 6)]
        for mode in modes:
            found = r["training"][mode]["classes"][k]
            cells.append(f"{figure(found['sd'], 2)}, {figure(found['digits'], 2)}")
        rows.append(cells)
    head = [
        "class",
        "images",
        f"mean ({modes[0]})",
        *(f"{m}: sd, digits" for m in modes),
    ]
    return table(head, rows)


# ---- harmonic ------------------------------------------------------------------------

PAPER_HARMONIC = {
    "native": "15.4037", "sr": "16.695 ± .005", "ud": "15.403 ± .005",
    "cestac": "21.57 ± .01",
}  # fmt: skip


def harmonic() -> str:
    """The harmonic sum."""
    r = load("harmonic")
    found = r["program"]["harmonic"]
    law = {"sr": r["law"]["sr_sd"], "ud": r["law"]["ud_sd"]}
    first = next(iter(found.values()))
    rows = [
        ["exact", "", figure(first["exact"], 8), "", "", ""],
        ["native", 1, figure(first["native"], 8), "0", "", PAPER_HARMONIC["native"]],
    ]
    for mode, one in found.items():
        rows.append(
            [
                mode,
                one.get("samples", r["samples"]),
                figure(one["mean"], 8),
                figure(one["sd"])
                + (
                    f" ({'–'.join(map(figure, one['sd_interval']))})"
                    if "sd_interval" in one
                    else ""
                ),
                figure(law.get(mode)),
                PAPER_HARMONIC[mode],
            ]
        )
    head = [
        "", "samples", "mean", "standard deviation (95 %)", "by the law",
        "published, Fuzzy PyTorch",
    ]  # fmt: skip
    return table(head, rows) + source(r)


def _known(found: Result) -> list[list[object]]:
    rows = []
    for name, modes in found.items():
        if name == "harmonic":
            continue
        first = next(iter(modes.values()))
        rows.append(
            [
                name,
                figure(first["exact"], 9),
                figure(first["native"], 9),
                *(
                    f"{figure(m['mean'], 9)}, {figure(m['sd'], 2)}"
                    for m in modes.values()
                ),
            ]
        )
    return rows


def cancellation() -> str:
    """Sums with cancellation, of the C program."""
    found = load("harmonic")["program"]
    modes = list(found["plain"])
    head = ["", "exact", "native", *(f"{m}: mean, sd" for m in modes)]
    return table(head, _known(found))


def torch_sums() -> str:
    """Sums with cancellation, of PyTorch."""
    r = load("harmonic")
    modes = list(r["torch"]["sum"])
    head = ["", "exact", "native", *(f"{m}: mean, sd" for m in modes)]
    text = f"\nCoverage: {coverage(r['torch_coverage'])}.\n"
    return table(head, _known(r["torch"])) + text


# ---- mri, speech, scale ---------------------------------------------------------------


def mri() -> str:
    """Masks and volumes."""
    r = load("mri")
    rows = []
    for mode, found in r["modes"].items():
        volume = found["volume"]
        rows.append(
            [
                mode,
                f"{figure(volume['mean'], 7)} ± {figure(volume['sd'], 2)}",
                digits_of(volume["bits"]),
                f"{found['dice']['min']:.6f}",
                f"{found['dice']['mean']:.6f}",
                found.get("boxes", "–"),
                f"{found['differing']} of {found['voxels']}",
                figure(found["entropy_max"], 3),
            ]
        )
    native = next(iter(r["modes"].values()))["volume"]["native"]
    head = [
        "mode", "volume, ml", "its digits", "least Dice", "mean Dice", "boxes",
        "voxels that differ",
        "largest entropy, bits",
    ]  # fmt: skip
    return table(head, rows) + f"\nNative volume: {figure(native, 7)} ml.\n" + source(r)


def speech() -> str:
    """Embeddings, cosines, decisions."""
    r = load("speech")
    rows = []
    for mode, found in r["modes"].items():
        decision = found["decision"]
        rows.append(
            [
                mode,
                bits_text(found["embeddings"]),
                figure(found["embeddings"]["worst_element"]),
                bits_text(found["cosines"]),
                f"{decision['flipped']} of {decision['pairs']}",
                f"{figure(decision['nearest'])}, {figure(decision['nearest_in_sd'])} sd",
            ]
        )
    ceiling = next(iter(r["modes"].values()))["embeddings"]["ceiling"]
    head = [
        "mode", "bits of the embeddings", "worst element", "bits of the cosines",
        "decisions that flip", "nearest to the threshold",
    ]  # fmt: skip
    text = f"\n{r['samples']} samples can show {ceiling:.1f} bits.\n"
    return table(head, rows) + text + source(r)


def scale() -> str:
    """Models by size."""
    r = load("scale")
    rows = []
    for name, m in r["models"].items():
        layers = m["modes"]["sr"]["layers"]
        time = m["time"]["configurations"]["sr"]
        native = m["time"]["configurations"]["native"]
        share = m["coverage"]["share"]
        rows.append(
            [
                name,
                f"{m['parameters'] / 1e6:.1f} M",
                m["samples"],
                bits_text(layers["output"]),
                f"{figure(layers['least']['bits'])} ({layers['least']['name']})",
                f"{figure(native['forward_seconds'])} s, {figure(time['forward_ratio'])}×",
                f"{figure(native['seconds'])} s, {figure(time['ratio'])}×",
                f"{native.get('mib', '–')} MiB, {figure(time.get('memory_ratio'))}×",
                "calls only" if share is None else f"{100 * share:.2f} %",
            ]
        )
    head = [
        "model (random weights)", "parameters", "samples", "bits of the output",
        "least layer", "forward: native, sr", "training step: native, sr",
        "peak memory: native, sr", "perturbed",
    ]  # fmt: skip
    groups: dict[str, list[str]] = {}
    for name, m in r["models"].items():
        groups.setdefault(made_by(m), []).append(name)
    taken = [m["minutes"] for m in r["models"].values() if "minutes" in m]
    text = "\n"
    for words, names in groups.items():
        of = "" if len(groups) == 1 else f"{', '.join(names)}: "
        text += f"{of}{words}\n"
    if len(taken) == len(rows):
        text += f"All together took {figure(sum(taken))} minutes.\n"
    return table(head, rows) + text


# ---- results.md ----------------------------------------------------------------------


def peers() -> str:
    """The benchmark: make bench-peers."""
    r = load("peers")
    rows = []
    modes = ("nearest", "sr", "ud", "cestac")
    for row in r["rows"]:
        cells = [row["operation"], seconds(statistics.median(row["seconds"]["native"]))]
        for mode in modes:
            one = row["ratio"][mode]
            cells.append(
                f"{figure(one['median'])} ({figure(one['low'])}–{figure(one['high'])})"
            )
        for peer in ("verrou average", "fuzzy pytorch sr", "pychop"):
            if peer in row["ratio"]:
                cells.append(figure(row["ratio"][peer]["median"]))
            else:
                value = row["published"].get(peer)
                cells.append("–" if value is None else f"*{figure(value, 4)}*")
        faster = row.get("faster_than_verrou")
        cells.append("–" if faster is None else f"{figure(faster)}×")
        rows.append(cells)
    head = [
        "", "native", *modes, "Verrou SR", "Fuzzy PyTorch SR", "pychop", "sr over Verrou",
    ]  # fmt: skip
    about = r["machine"]
    return table(head, rows) + (
        f"\n`make bench-peers`, {about['date']}: {about['cpu']}, {about['cpus']} CPUs "
        f"({', '.join(about['isa'])}), torch {about['torch']}. Ratios to native, median of "
        f"{r['rounds'][0]} rounds (use cases: {r['rounds'][1]}; least–largest), one thread, "
        f"processor time; load average {about['load_before']} to {about['load_after']}. "
        "Figures in italics are published, on other machines.\n"
    )


def targets() -> str:
    """What was aimed at and what was reached."""
    rows: list[list[object]] = []

    def add(
        name: str, value: float, most: float, published: str, unit: str = "×"
    ) -> None:
        met = "met" if value <= most else "**missed**"
        rows.append(
            [name, f"≤ {most:g}{unit}", f"{figure(value)}{unit}", met, published]
        )

    def timed(name: str) -> Result:
        found = load(name) if (ROOT / RESULTS[name]).exists() else {}
        return found.get("time", {}).get("configurations", {}).get("sr", {})

    for name, label, most, published in (
        ("digits", "digits, training", 4, "10.9×"),
        ("mri", "mri", 3, "4.1× (against a build without oneDNN)"),
        ("speech", "speech", 5, "53×"),
    ):
        sr = timed(name)
        if sr:
            add(f"{label}, time", sr["ratio"], most, published)
        if sr and name == "mri":
            add("mri, peak memory", sr["memory_ratio"], 1.15, "–")
    models = load("scale")["models"] if (ROOT / RESULTS["scale"]).exists() else {}
    if "bert-large" in models:
        sr = models["bert-large"]["time"]["configurations"]["sr"]
        add("BERT-large, forward, time", sr["forward_ratio"], 6, "–")
    listed = load("peers")["rows"] if (ROOT / RESULTS["peers"]).exists() else []
    for row in listed:
        if row["kind"] == "operation" and row["met"] is not None:
            met = "met" if row["met"] else "**missed**"
            rows.append(
                [
                    f"{row['operation']}, faster than Verrou SR",
                    f"≥ {row['target']:g}×",
                    f"{figure(row['faster_than_verrou'])}×",
                    met,
                    "8–49×",
                ]
            )
    head = ["ratio to native on the same threads", "target", "sr", "", "Fuzzy PyTorch"]
    return table(head, rows)


def _ordered(label: str, bits: dict[str, Any]) -> list[object]:
    """Return a row about bits by mode: variances are 1/6, 1/4, 1 ulp^2 an operation."""
    got = {m: b["bits"] for m, b in bits.items() if b}
    order = [m for m in ("sr", "cestac", "ud") if m in got]
    held = all(got[a] >= got[b] for a, b in zip(order, order[1:]))
    return [
        f"{label}: bits",
        ", ".join(f"{m} {figure(got[m])}" for m in order),
        " ≥ ".join(order),
        "as expected" if held else "**not so**",
    ]


def _inside(low: float, high: float, value: float) -> str:
    return "inside" if low <= value <= high else "**outside**"


def correctness() -> str:
    """What theory says of the studies' numbers, and what they are."""
    r = load("digits")
    rows: list[list[object]] = []
    for mode in ("sr",):
        bias = r["testing"][mode]["bias"]
        rows.append(
            [
                f"digits, fixed weights, {mode}: scores beside f64, relative",
                interval(bias["along"], bias["low"], bias["high"], 2),
                "0 in the interval",
                _inside(bias["low"], bias["high"], 0.0),
            ]
        )
    rows.append(
        _ordered("digits, scores", {m: f["scores"] for m, f in r["testing"].items()})
    )
    h = load("harmonic")
    for mode, law in (("sr", "sr_sd"), ("ud", "ud_sd")):
        one = h["program"]["harmonic"][mode]
        expected = h["law"][law]
        if "sd_interval" in one:
            low, high = one["sd_interval"]
            rows.append(
                [
                    f"harmonic, {mode}: standard deviation, {one['samples']} samples",
                    interval(one["sd"], low, high),
                    figure(expected),
                    _inside(low, high, expected),
                ]
            )
        if mode == "sr":
            n = one.get("samples", h["samples"])
            half = 1.96 * one["sd"] / n**0.5
            ends = one["mean"] - half, one["mean"] + half
            rows.append(
                [
                    f"harmonic, {mode}: mean, {n} samples",
                    f"{figure(one['mean'], 7)} ± {figure(half, 2)}",
                    figure(one["exact"], 7),
                    _inside(*ends, one["exact"]),
                ]
            )
    s = load("speech")["modes"]
    rows.append(
        _ordered("speech, embeddings", {m: f["embeddings"] for m, f in s.items()})
    )
    found = dict(load("mri")["modes"])
    # ud with its box left to itself compares two boxes, see the study.
    held = found.pop("ud, box held", None)
    if held:
        found["ud"] = held
    bits = {m: f["probability"] for m, f in found.items()}
    rows.append(
        _ordered("mri, probabilities" + (" (ud: box held)" if held else ""), bits)
    )
    rows.append(
        [
            "mri, sr: least Dice",
            f"{found['sr']['dice']['min']:.6f}",
            "published, FastSurfer: .999987",
            "",
        ]
    )
    return table(["", "measured", "expected", ""], rows)


def picture(path: str, alt: str, base: str) -> Callable[[], str]:
    """Return what shows a picture on a page of a folder, once its study has drawn it."""

    def shown() -> str:
        if not (ROOT / path).exists():
            raise FileNotFoundError(2, "no such file", str(ROOT / path))
        return f"![{alt}]({os.path.relpath(path, base)})\n"

    return shown


PICTURES = {
    "digits": ("examples/digits/curves.svg", "Training curves with envelopes"),
    "mri": ("examples/mri/entropy.png", "Where the votes differ, and by how much"),
    "speech": ("examples/speech/cosines.svg", "Spread of the pairs' cosines by mode"),
    "scale": ("examples/scale/scale.svg", "Bits, time and memory by size"),
}
TABLES: dict[str, Callable[[], str]] = {
    "digits-training": digits_training,
    "digits-testing": digits_testing,
    "digits-classes": digits_classes,
    "digits-time": lambda: time_table(load("digits")["time"]),
    "harmonic": harmonic,
    "harmonic-time": lambda: time_table(load("harmonic")["time"]),
    "cancellation": cancellation,
    "torch-sums": torch_sums,
    "mri": mri,
    "mri-time": lambda: time_table(load("mri")["time"]),
    "speech": speech,
    "speech-time": lambda: time_table(load("speech")["time"]),
    "scale": scale,
    "peers": peers,
    "targets": targets,
    "correctness": correctness,
    "peers-picture": picture("docs/peers.png", "Slow-downs on a log scale", "docs"),
}
for _name, (_path, _alt) in PICTURES.items():
    TABLES[f"{_name}-picture"] = picture(_path, _alt, f"examples/{_name}")
    TABLES[f"results-{_name}-picture"] = picture(_path, _alt, "docs")


def pages() -> list[Path]:
    """Return the files that have tables."""
    return [*sorted(HERE.glob("*/README.md")), ROOT / "docs" / "results.md"]


def made(name: str) -> str:
    """Return a table, or what says that its study has left no results here."""
    try:
        return TABLES[name]()
    except FileNotFoundError as error:
        missing = str(error.filename).replace(f"{ROOT}/", "")
        return f"*Not measured in this version: {missing} is not there.*\n"


def filled(text: str) -> str:
    """Return a page with its tables made anew."""
    return BLOCK.sub(lambda m: f"{m[1]}{made(m[2])}{m[3]}", text)


def main(argv: Sequence[str]) -> int:
    """Write, or compare."""
    check = list(argv) == ["--check"]
    if argv and not check:
        print("usage: tables.py [--check]", file=sys.stderr)
        return 2
    differ = 0
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if old != new:
            differ += 1
            if check:
                print(f"{page.relative_to(ROOT)}: tables differ from results.json")
            else:
                page.write_text(new, encoding="utf-8")
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
