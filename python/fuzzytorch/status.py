"""fuzzyrun status: how far a study is, from anywhere that sees its folder.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import FuzzyError
from .progress import clock
from .store import PART, Run, Store, read_json

USAGE = """\
usage: fuzzyrun status [--json] DIR...

Says how many runs of the studies are finished, failed, and under way. Takes no lock and
writes nothing.
"""


def look(path: Path) -> dict[str, Any]:
    """Return the state of a study.

    Parameters
    ----------
    path : pathlib.Path
        Its folder.

    Returns
    -------
    dict
        `wanted`, `finished`, `failed` (names), `under_way` (name: seconds so far),
        `controls`, `active` (a fuzzyrun is at work), `seconds` (mean of a sample),
        `complete`.
    """
    home = Store(path)
    if not home.manifest.exists():
        raise FuzzyError(f"{path} is not a study: there is no study.json in it")
    study = read_json(home.manifest)
    runs: list[Run] = []
    damaged = []
    for folder in sorted(path.glob("sample-*")):
        try:
            if (folder / "status.json").exists():
                runs.append(Run(folder))
        except FuzzyError:
            damaged.append(folder.name)
    good = [run for run in runs if run.ok]
    wanted = study.get("wanted", len(runs))
    under_way = {}
    for part in sorted(path.glob(f"{PART}*")):
        name = part.name[len(PART) :]
        try:
            started = json.loads((part / "started.json").read_text())["started"]
            under_way[name] = max(0.0, time.time() - started)
        except (OSError, ValueError, KeyError):
            under_way[name] = 0.0
    walls = [run.status["wall_seconds"] for run in good]
    return {
        "folder": str(path),
        "command": study["command"],
        "mode": study["mode"],
        "seed": study["seed"],
        "executor": study.get("executor", "local"),
        "wanted": wanted,
        "finished": len(good),
        "failed": [run.folder.name for run in runs if not run.ok],
        "damaged": damaged,
        "under_way": under_way,
        "controls": len(list(path.glob("control-*/status.json"))),
        "active": home.in_use(),
        "seconds": sum(walls) / len(walls) if walls else None,
        "complete": len(good) >= wanted,
    }


def lines(state: dict[str, Any]) -> list[str]:
    """Return what `look` found as text."""
    if state["complete"]:
        what = "complete"
    elif state["active"] or state["under_way"]:
        what = "running" if state["active"] else "under way without a fuzzyrun"
    else:
        what = "stopped: the same fuzzyrun command goes on"
    text = [
        f"{state['folder']}: {state['finished']} of {state['wanted']} samples, {what}",
        f"  command: {' '.join(state['command'])}",
        (
            f"  mode {state['mode']}, seeds from {state['seed']}, executor "
            f"{state['executor']}, {state['controls']} controls"
        ),
    ]
    if state["seconds"] is not None:
        left = max(0, state["wanted"] - state["finished"]) * state["seconds"]
        text.append(
            f"  {state['seconds']:.1f} s a sample"
            + (f", {clock(left)} of run time left" if left else "")
        )
    for name, seconds in state["under_way"].items():
        text.append(f"  {name}: under way for {clock(seconds)}")
    for name in state["failed"]:
        text.append(f"  {name}: failed, see {state['folder']}/{name}/stderr")
    for name in state["damaged"]:
        text.append(f"  {name}: status.json is damaged; remove the folder")
    return text


def main(argv: Sequence[str]) -> int:
    """Run `fuzzyrun status`."""
    words = list(argv)
    if words in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    as_json = "--json" in words
    folders = [w for w in words if w != "--json"]
    if not folders or any(w.startswith("-") for w in folders):
        raise FuzzyError("usage: fuzzyrun status [--json] DIR...")
    states = [look(Path(w)) for w in folders]
    if as_json:
        print(json.dumps(states if len(states) > 1 else states[0], indent=2))
    else:
        print("\n".join(line for state in states for line in lines(state)))
    return 0
