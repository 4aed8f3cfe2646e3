"""Study folders for the tests, made by hand as docs/study-format.md describes them.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import support  # noqa: F401  (makes the package importable)


class MadeStudy:
    """A study folder that is filled run by run.

    Parameters
    ----------
    path : pathlib.Path
        Where it goes.
    wanted : int, optional
        Samples that study.json says were asked for.
    """

    def __init__(self, path: Path, wanted: int | None = None, **manifest: Any) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        study = {
            "format": 1,
            "command": ["python", "infer.py"],
            "folder": "/somewhere",
            "scripts": {},
            "mode": "sr",
            "seed": 7,
            "settings": {},
            "environment": {"OMP_NUM_THREADS": "1"},
            "library": "0" * 64,
            **manifest,
        }
        if wanted is not None:
            study["wanted"] = wanted
        (path / "study.json").write_text(json.dumps(study), encoding="utf-8")

    def run(
        self,
        name: str,
        tensors: Sequence[tuple[Mapping[str, Any], np.ndarray]] = (),
        stdout: str = "",
        files: Mapping[str, bytes] | None = None,
        end: bool = True,
        **status: Any,
    ) -> Path:
        """Add a finished run; `tensors` are lines of the index, each with its values."""
        folder = self.path / name
        (folder / "files").mkdir(parents=True)
        (folder / "stdout").write_text(stdout, encoding="utf-8")
        (folder / "stderr").write_text("", encoding="utf-8")
        sample = int(name.split("-")[1]) if name.startswith("sample") else 0
        if sample:
            report = {
                "totals": {"perturbed": {"calls": 12}, "unperturbed": {"calls": 3}}
            }
            (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
        for file, data in (files or {}).items():
            (folder / "files" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / file).write_bytes(data)
        full = {
            "exit_status": 0,
            "signal": None,
            "wall_seconds": 1.0,
            "cpu_seconds": 1.0,
            "max_rss_kib": 1000,
            "started": 0.0,
            "mode": "sr" if sample else "off",
            "seed": 6 + max(1, sample),
            "sample": sample,
            "command": ["python", "infer.py"],
            "files": "/files",
            "jobs": 1,
            "environment": {"OMP_NUM_THREADS": "1"},
            **status,
        }
        (folder / "status.json").write_text(json.dumps(full), encoding="utf-8")
        if tensors:
            self._record(folder / "record", tensors, end)
        return folder

    def _record(
        self,
        folder: Path,
        tensors: Sequence[tuple[Mapping[str, Any], np.ndarray]],
        end: bool,
    ) -> None:
        folder.mkdir()
        lines = []
        for order, (given, values) in enumerate(tensors):
            np.save(folder / f"{order:05d}.npy", values)
            lines.append(
                {
                    "name": "Net",
                    "kind": "output",
                    "pass": "forward",
                    "call": 0,
                    "order": order,
                    "file": f"{order:05d}.npy",
                    "dtype": str(values.dtype),
                    "shape": list(values.shape),
                    **given,
                }
            )
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if end:
            text += json.dumps({"end": True, "stopped_by_limit": False}) + "\n"
        (folder / "index.jsonl").write_text(text, encoding="utf-8")


def noisy(
    value: np.ndarray, sigma: float, rng: np.random.Generator, dtype: Any = np.float32
) -> np.ndarray:
    """Return `value` with normal noise of relative standard deviation `sigma`."""
    return (value * (1 + sigma * rng.standard_normal(value.shape))).astype(dtype)


def layered(
    path: Path,
    n: int = 10,
    layers: Sequence[tuple[str, str, float]] = (
        ("stem", "Conv2d", 2.0**-20),
        ("encoder.0", "Linear", 2.0**-19.5),
        ("encoder.attn", "Attention", 2.0**-13),
        ("head", "Linear", 2.0**-12.5),
    ),
    shape: tuple[int, ...] = (64, 10),
    seed: int = 5,
    wanted: int | None = None,
) -> MadeStudy:
    """Make a study of a network whose layers have a relative noise each."""
    rng = np.random.default_rng(seed)
    values = [rng.uniform(1.0, 2.0, shape).astype(np.float32) for _ in layers]
    study = MadeStudy(path, wanted)

    def tensors(scale: float) -> list[tuple[dict[str, Any], np.ndarray]]:
        found = [
            ({"name": name, "type": kind, "kind": "module", "module": name},
             noisy(value, scale * sigma, rng))
            for (name, kind, sigma), value in zip(layers, values)
        ]  # fmt: skip
        found.append(({"name": "Net", "type": "Net", "module": "Net"}, found[-1][1]))
        return found

    for k in (1, 2):
        study.run(f"control-{k}", tensors(0.0), "step 1 loss: 0.5\nstep 2 loss: 0.25\n")
    for k in range(1, n + 1):
        loss = 0.5 + 1e-5 * rng.standard_normal(2)
        study.run(
            f"sample-{k:04d}",
            tensors(1.0),
            f"step 1 loss: {loss[0]:.9f}\nstep 2 loss: {loss[1] / 2:.9f}\n",
        )
    return study
