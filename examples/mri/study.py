"""The brain extraction study: masks, Dice, entropy of the votes, volume, time, memory.

SPDX-License-Identifier: Apache-2.0

    python examples/mri/study.py [-n N] [--results FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pictures
import studies
from fuzzytorch.measures_labels import vote_entropy


def entropy_map(masks: list[np.ndarray]) -> np.ndarray:
    """Return the entropy of the votes at each voxel, in bits.

    Parameters
    ----------
    masks : list of numpy.ndarray
        One a sample, of one shape.
    """
    rows = np.stack([m.ravel() for m in masks]).astype(np.int64)
    found = np.zeros(rows.shape[1])
    differ = (rows != rows[0]).any(axis=0)
    if differ.any():
        found[differ] = vote_entropy(rows[:, differ])[0]
    return found.reshape(masks[0].shape)


def by_slice(entropy: np.ndarray) -> list[list[float]]:
    """Return the mean entropy of each slice, for the three axes."""
    axes = range(3)
    return [
        [
            float(f"{x:.3g}")
            for x in entropy.mean(axis=tuple(a for a in axes if a != axis))
        ]
        for axis in axes
    ]


def described(
    report: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], np.ndarray]:
    """Return what results.json keeps of one mode, and its entropy map."""
    files = {q["name"]: q for q in report["quantities"]}
    labels = files["mask.npy"]["labels"]
    (brain,) = [x for x in labels["by_label"] if x["label"] == 1]
    masks = [np.load(f) for f in studies.sampled(folder, "mask.npy")]
    entropy = entropy_map(masks)
    volume = studies.numbers(report)["brain volume"]
    boxes = {np.load(f).tobytes() for f in studies.sampled(folder, "box.npy")}
    found = {
        "volume": volume,
        "volumes": [float(m.sum()) / 1000 for m in masks],
        "dice": {k: studies.digits(brain["dice"][k], 9) for k in ("mean", "min")},
        "dice_native": studies.digits(brain["dice_reference"]["mean"], 9),
        "voxels": labels["elements"],
        "brain_voxels": round(brain["elements"]),
        "boxes": len(boxes),
        "differing": labels["elements"] - labels["unanimous"],
        "entropy_max": studies.digits(labels["entropy"]["max"]),
        "entropy_mean": studies.digits(labels["entropy"]["mean"]),
        "probability": studies.bits_of(files["probability.npy"]),
        "entropy_by_slice": by_slice(entropy),
    }
    return found, entropy


def samples(options: argparse.Namespace, command: list[str], picture: Path) -> Any:
    """Extract in all modes; draw where the votes differ."""
    clock = studies.Clock()
    result: dict[str, Any] = {
        "study": "mri",
        "data": "MNI152 T1 of nilearn, 197x233x189",
        "command": options.command,
        "machine": studies.machine("deepbet", "nilearn"),
        "samples": options.n,
        "modes": {},
    }
    maps: dict[str, np.ndarray] = {}
    with studies.Folder(options) as folder:
        for mode in options.modes.split(","):
            place = folder / mode
            report = studies.sample(options, place, mode, command)
            result["modes"][mode], maps[mode] = described(report, place)
            native = np.load(studies.sampled(place, "mask.npy", control=True)[0])
            box = np.load(studies.sampled(place, "box.npy", control=True)[0])
        if "ud" in result["modes"]:
            # ud moves exact coordinates, and with them the box: once more without that.
            place = folder / "ud-held"
            held = [*command, "--box", *map(str, box.ravel())]
            report = studies.sample(options, place, "ud", held)
            result["modes"]["ud, box held"], _ = described(report, place)
    pictures.mri(native, maps, picture)
    result["coverage"] = studies.coverage(options, command)
    result["minutes"] = clock.minutes()
    return result


def main() -> None:
    """Sample, time, write."""
    options = studies.parsed(studies.arguments(__doc__.splitlines()[0], 5))
    command = [sys.executable, str(HERE / "extract.py")]
    path = options.results or HERE / "results.json"
    result = studies.kept(options, path)
    if result is None:
        result = samples(options, command, path.with_name("entropy.png"))
    if options.rounds:
        chosen = ["native", "nearest", *options.modes.split(",")]
        result["time"] = studies.times(options, command, chosen)
    studies.write(path, result)


if __name__ == "__main__":
    main()
