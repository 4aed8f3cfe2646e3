"""The digits study: training and test in three modes, 5 and 10 samples, times, coverage.

SPDX-License-Identifier: Apache-2.0

    python examples/digits/study.py [--data FOLDER] [--results FILE]

Writes results.json and, from it, the picture of the training curves.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pictures
import studies
from digits import load
from fuzzytorch import statistics

NUMBERS = ("test accuracy", "test loss", "test F1")


def per_class(files: list[Path], labels: np.ndarray) -> list[dict[str, Any]]:
    """Return, by class, the mean probability that its own images get, and its digits.

    Parameters
    ----------
    files : list of pathlib.Path
        Class probabilities, one a sample.
    labels : numpy.ndarray
        The true classes.
    """
    samples = [np.load(file).astype(np.float64) for file in files]
    found = []
    for k in range(samples[0].shape[1]):
        own = labels == k
        values = [float(p[own, k].mean()) for p in samples]
        one = statistics.significant(values)
        found.append(
            {
                "class": k,
                "images": int(own.sum()),
                "mean": studies.digits(one.mean, 7),
                "sd": studies.digits(one.sd, 3),
                "digits": studies.digits(one.digits, 3),
            }
        )
    return found


def described(report: dict[str, Any]) -> dict[str, Any]:
    """Return what results.json keeps of the class probabilities."""
    (entry,) = [q for q in report["quantities"] if q["name"] == "probabilities.npy"]
    return {
        "bits": studies.bits_of(entry),
        "worst_element": studies.digits(entry["measures"]["elementwise"]["min"]),
        "flipped": entry["flips"]["flipped"],
        "items": entry["flips"]["items"],
    }


def training(
    options: Any, folder: Path, mode: str, labels: np.ndarray, more: list[str]
) -> dict[str, Any]:
    """Train in one mode, 5 samples and then all; return numbers, classes, curves."""
    script = HERE / "train.py"
    command = [
        "sh", "-c",
        'exec "$0" "$@" --probabilities "$FUZZY_SAMPLE_DIR/probabilities.npy"',
        sys.executable, str(script), "--curve", "--epochs", str(options.epochs), *more,
    ]  # fmt: skip
    found: dict[str, Any] = {}
    for n in sorted({min(5, options.n), options.n}):
        fewer = copy.copy(options)
        fewer.n = n
        report = studies.sample(fewer, folder, mode, command, classes="1")
        taken = studies.numbers(report)
        found[f"n{n}"] = {
            "numbers": {name: taken[name] for name in NUMBERS},
            "probabilities": described(report),
        }
    files = studies.sampled(folder, "probabilities.npy")
    found["classes"] = per_class(files, labels)
    found["curves"] = [
        {
            k: [studies.digits(x, 7) for x in v] if isinstance(v, list) else v
            for k, v in curve.items()
        }
        for curve in report["curves"]
        if not curve["label"].startswith("files")
    ]
    return found


def testing(
    options: Any, folder: Path, mode: str, weights: Path, more: list[str]
) -> dict[str, Any]:
    """Test fixed weights in one mode, beside a run in double."""
    command = [
        sys.executable,
        str(HERE / "infer.py"),
        str(weights),
        "--unsure",
        "0",
        *more,
    ]
    wanted = ("--record", "outputs", "--reference", "f64")
    report = studies.sample(options, folder, mode, command, *wanted, classes="1")
    against = studies.against_f64(options, folder)
    entry = next(q for q in report["quantities"] if q["kind"] == "output")
    taken = studies.numbers(report)
    return {
        "test loss": taken["test loss"],
        "scores": studies.bits_of(entry),
        "flipped": entry["flips"]["flipped"],
        "bias": next(q["measures"]["bias"] for q in against if q["kind"] == "output"),
    }


def samples(options: Any, more: list[str]) -> dict[str, Any]:
    """Train and test in all modes."""
    labels = load(options.data)[3].numpy()
    result: dict[str, Any] = {
        "study": "digits",
        "data": "MNIST" if options.data else "scikit-learn's digits",
        "command": options.command,
        "machine": studies.machine("scikit-learn"),
        "samples": options.n,
        "training": {},
        "testing": {},
    }
    with studies.Folder(options) as folder:
        weights = folder / "weights.pt"
        subprocess.run(
            [sys.executable, str(HERE / "train.py"), "--save", str(weights), *more],
            env=studies.environment(options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        for mode in options.modes.split(","):
            place = folder / f"train-{mode}"
            result["training"][mode] = training(options, place, mode, labels, more)
            place = folder / f"test-{mode}"
            result["testing"][mode] = testing(options, place, mode, weights, more)
    return result


def main() -> None:
    """Sample, time, write."""
    parser = studies.arguments(__doc__.splitlines()[0], 10)
    parser.add_argument("--data", help="folder of MNIST's idx files")
    parser.add_argument("--epochs", type=int, default=8)
    options = studies.parsed(parser)
    more = ["--data", options.data] if options.data else []
    path = options.results or HERE / "results.json"
    command = [sys.executable, str(HERE / "train.py"), *more]
    result = studies.kept(options, path)
    if result is None:
        clock = studies.Clock()
        result = samples(options, more)
        result["coverage"] = studies.coverage(options, command)
        result["minutes"] = clock.minutes()
        pictures.digits(result, path.with_name("curves.svg"))
    if options.rounds:
        result["time"] = studies.times(options, command)
    studies.write(path, result)


if __name__ == "__main__":
    main()
