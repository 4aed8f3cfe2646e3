"""The study of scale: 1 to 335 million parameters, bits by layer, times, memory.

SPDX-License-Identifier: Apache-2.0

    python examples/scale/study.py [--models NAME,...] [-n N] [--results FILE]

All weights are random, drawn with seed 0. One model after the other; results.json is written
after each, and models that it has already are made again only where --models names them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pictures
import studies
from models import MODELS


def layers(report: dict[str, Any]) -> dict[str, Any]:
    """Return bits of modules in the order of execution, loss included."""
    found = [
        q
        for q in report["quantities"]
        # The first call: that of the training step.
        if q["kind"] in ("output", "module") and q["call"] == 0 and studies.bits_of(q)
    ]
    inner = [q for q in found if q["kind"] == "module"]
    bits = [round(q["measures"]["significant"]["bits"], 2) for q in inner]
    worst = min(inner, key=lambda q: q["measures"]["significant"]["bits"])
    outputs = [q for q in found if q["kind"] == "output"]
    least = min(outputs, key=lambda q: q["measures"]["significant"]["bits"])
    return {
        "bits": bits,
        "least": {"name": worst["name"], **studies.bits_of(worst)},
        "output": {"name": least["name"], **studies.bits_of(least)},
    }


def study(
    options: argparse.Namespace, name: str, folder: Path, had: dict[str, Any]
) -> dict[str, Any]:
    """Sample and time one model; time it only where it had its samples."""
    step = [sys.executable, str(HERE / "step.py"), name]
    found: dict[str, Any] = had if options.times else {"modes": {}}
    for mode in options.modes.split(",") if not options.times else ():
        more = ("--record", "modules", "--control", "1")
        report = studies.sample(options, folder / mode, mode, step, *more)
        taken = studies.numbers(report)
        found["parameters"] = int(taken["parameters"]["mean"])
        found["modes"][mode] = {
            "loss": taken["loss"],
            "after": taken["loss after the step"],
            "layers": layers(report),
        }
    if not options.times:
        found["coverage"] = studies.coverage(options, step)
    if options.rounds:
        chosen = ["native", *options.modes.split(",")]
        found["time"] = studies.times(
            options, [*step, "--timed"], chosen, also="forward"
        )
    return found


def main() -> None:
    """Go through the models, write after each."""
    parser = studies.arguments(__doc__.splitlines()[0], 3)
    parser.set_defaults(modes="sr", rounds=2)
    parser.add_argument("--models", help="with commas (default: all)")
    options = studies.parsed(parser)
    names = options.models.split(",") if options.models else list(MODELS)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(MODELS)}")
    path = options.results or HERE / "results.json"
    result: dict[str, Any] = {}
    if (options.models or options.times) and path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
    about = studies.machine("transformers")
    # Each model has its own: they need not be of one run.
    result.update(study="scale", data="random weights and inputs, seed 0")
    result.pop("machine", None)
    result.pop("command", None)
    had = result.pop("models", {})
    result["models"] = had
    for name in names:
        with studies.Folder(options) as folder:
            clock = studies.Clock()
            made = {"samples": options.n, "command": options.command, "machine": about}
            old = had.get(name, {}) if options.times else made
            had[name] = {**old, **study(options, name, folder, old)}
            if not options.times:
                had[name]["minutes"] = clock.minutes()
        ordered = {k: had[k] for k in MODELS if k in had}
        result["models"] = had = ordered
        studies.write(path, result)
    pictures.scale(result, path.with_name("scale.svg"))


if __name__ == "__main__":
    main()
