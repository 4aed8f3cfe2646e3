"""The speech study: bits of embeddings and cosines, decisions that flip, times.

SPDX-License-Identifier: Apache-2.0

    python examples/speech/study.py [-n N] [--results FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pictures
import studies
import voices
from embed import THRESHOLD


def margins(files: list[Path]) -> dict[str, Any]:
    """Return how near a cosine comes to the threshold, in its own standard deviations."""
    cosines = np.stack([np.load(file) for file in files]).astype(np.float64)
    above = cosines > THRESHOLD
    gap = np.abs(cosines.mean(axis=0) - THRESHOLD)
    k = int(gap.argmin())
    sd = float(cosines[:, k].std(ddof=1))
    return {
        "pairs": cosines.shape[1],
        "sd": studies.digits(float(np.sqrt(cosines.var(axis=0, ddof=1).mean())), 3),
        "nearest": studies.digits(float(gap[k])),
        "nearest_in_sd": studies.digits(float(gap[k]) / sd) if sd else None,
        "flipped": int((above != above[0]).any(axis=0).sum()),
        "cosine": [studies.digits(x, 5) for x in cosines.mean(axis=0).tolist()],
        "cosine_sd": [
            studies.digits(x, 3) for x in cosines.std(axis=0, ddof=1).tolist()
        ],
    }


def described(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what results.json keeps of one mode."""
    files = {q["name"]: q for q in report["quantities"]}
    taken = studies.numbers(report)
    found: dict[str, Any] = {
        name: taken[name]["mean"] for name in ("missed pairs", "false pairs")
    }
    for name in ("embeddings", "cosines"):
        entry = files[f"{name}.npy"]
        found[name] = {
            **studies.bits_of(entry),
            "worst_element": studies.digits(entry["measures"]["elementwise"]["min"]),
        }
    found["decision"] = margins(studies.sampled(folder, "cosines.npy"))
    return found


def samples(options: Any, command: list[str], folder: Path) -> dict[str, Any]:
    """Embed in all modes."""
    clock = studies.Clock()
    result: dict[str, Any] = {
        "study": "speech",
        "data": f"espeak-ng: {len(voices.VOICES)} voices, {len(voices.SENTENCES)} sentences",
        "command": options.command,
        "machine": studies.machine("Resemblyzer", "librosa"),
        "samples": options.n,
        "threshold": THRESHOLD,
        "modes": {},
    }
    for mode in options.modes.split(","):
        report = studies.sample(options, folder / mode, mode, command)
        result["modes"][mode] = described(report, folder / mode)
    result["coverage"] = studies.coverage(options, command)
    result["minutes"] = clock.minutes()
    return result


def main() -> None:
    """Make the speech, sample, time, write."""
    options = studies.parsed(studies.arguments(__doc__.splitlines()[0], 10))
    path = options.results or HERE / "results.json"
    with studies.Folder(options) as folder:
        waves = folder / "wav"
        voices.make(waves)
        command = [sys.executable, str(HERE / "embed.py"), str(waves)]
        result = studies.kept(options, path)
        if result is None:
            result = samples(options, command, folder)
            pictures.speech(result, path.with_name("cosines.svg"))
        if options.rounds:
            chosen = ["native", "nearest", *options.modes.split(",")]
            result["time"] = studies.times(options, command, chosen)
            result["time"]["command"] = "python examples/speech/embed.py FOLDER"
    studies.write(path, result)


if __name__ == "__main__":
    main()
