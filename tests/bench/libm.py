"""Time a call of libm: alone, out of scope, passed through, perturbed. Part of make bench.

SPDX-License-Identifier: Apache-2.0

    python3 tests/bench/libm.py PROGRAM LIBRARY
"""

from __future__ import annotations

import os
import subprocess
import sys

#: column: FUZZY_ variables; None is without the library
CASES: dict[str, dict[str, str] | None] = {
    "alone": None,
    "out of scope": {"FUZZY_LIBS": "none"},
    "passed": {"FUZZY_LIBS": "all", "FUZZY_SCOPE": "blas"},
    "sr": {"FUZZY_LIBS": "all"},
    "ud": {"FUZZY_LIBS": "all", "FUZZY_MODE": "ud"},
}
ROUNDS = 3
#: nanoseconds that the interception itself may take
TARGET = 20.0


def times(program: str, library: str, env: dict[str, str] | None) -> dict[str, float]:
    """Run the program once; return nanoseconds by function."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
    full.pop("LD_PRELOAD", None)
    if env is not None:
        full.update(env, LD_PRELOAD=library, FUZZY_SEED="1", FUZZY_VERBOSE="0")
    out = subprocess.run(
        [program], env=full, capture_output=True, text=True, check=True
    ).stdout
    return {name: float(ns) for name, ns in (line.split() for line in out.splitlines())}


def main() -> None:
    """Print a row a function: the least of some rounds, in turns."""
    program, library = sys.argv[1], os.path.abspath(sys.argv[2])
    best: dict[str, dict[str, float]] = {name: {} for name in CASES}
    for _ in range(ROUNDS):
        for name, env in CASES.items():
            for function, ns in times(program, library, env).items():
                best[name][function] = min(ns, best[name].get(function, ns))
    print(f"\nlibm, ns a call{'':9}" + "".join(f"{name:>14}" for name in CASES))
    for function in best["alone"]:
        row = "".join(f"{best[name][function]:14.1f}" for name in CASES)
        print(f"{function:24}{row}")
    alone = best["alone"]
    for name in ("out of scope", "passed"):
        extra = sorted(best[name][f] - alone[f] for f in alone)
        middle = extra[len(extra) // 2]
        print(
            f"interception, {name}: {middle:.1f} ns (median; at most {extra[-1]:.1f}), "
            f"target {TARGET:.0f}: {'met' if middle <= TARGET else 'missed'}"
        )


if __name__ == "__main__":
    main()
