"""Long-lived processes that time what they are asked for, one of them native.

SPDX-License-Identifier: Apache-2.0

Used by inst.py and training.py, which ask them in turns: ATEN_CPU_CAPABILITY=avx2 in all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Worker:
    """The script with the argument `worker`: a line of JSON to it, a line of JSON back."""

    def __init__(self, script: str, build: Path, scope: str, mode: str = "sr") -> None:
        """Start it under the library of BUILD; native if scope or mode is empty."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY")}
        env.pop("LD_PRELOAD", None)
        env.update(PYTHONPATH="", ATEN_CPU_CAPABILITY="avx2")
        if scope and mode:
            cache = build / "tests/bench/cache"
            cache.mkdir(parents=True, exist_ok=True)
            env.update(
                LD_PRELOAD=str(build / "libfuzzytorch.so"),
                FUZZY_SCOPE=scope,
                FUZZY_MODE=mode,
                FUZZY_SEED="1",
                FUZZY_VERBOSE="0",
                FUZZY_CACHE=str(cache),
            )
        self.process = subprocess.Popen(
            [sys.executable, script, "worker"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: list[Any]) -> Any:
        """Return the answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
