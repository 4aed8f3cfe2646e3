"""How often the adaptive rule claims too much, by simulation: make check-slow.

SPDX-License-Identifier: Apache-2.0

    python tests/python/simulate_adaptive.py [RUNS] [--table]

Each run draws a study of up to 64 samples and takes all looks. An overclaim is a run in
which any look certifies more than the truth, whenever one would have stopped. The truth is
what a claim says: the bits that one more run agrees in with probability .95, under the law at
hand. Beside it stands the truth by the standard deviation, -log2(sd) - log2 z: the same for
a normal law; a rare wide tail that no sample has shown yet cannot be guarded against there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import support  # noqa: F401  (makes the package importable)
from fuzzytorch import adaptive, measures, statistics
from fuzzytorch.arrays import Array

MOST = 64
Z = 2.0 ** statistics.log2_normal()


class Law(NamedTuple):
    """Noise of standard deviation 1, and what |noise| stays below with probability .95."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    bound: float


def _contaminated(share: float, wide: float) -> Law:
    scale = math.sqrt(1 - share + share * wide * wide)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        sizes = np.where(rng.random(shape) < share, wide, 1.0)
        return sizes * rng.standard_normal(shape) / scale

    def outside(x: float) -> float:
        return (1 - share) * math.erfc(x / math.sqrt(2)) + share * math.erfc(
            x / wide / math.sqrt(2)
        )

    low, high = 0.0, 10 * wide
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if outside(middle) > 0.05 else (low, middle)
    return Law(draw, high / scale)


LAWS = {
    "normal": Law(lambda rng, shape: rng.standard_normal(shape), Z),
    "Laplace": Law(
        lambda rng, shape: rng.laplace(size=shape) / math.sqrt(2),
        -math.log(0.05) / math.sqrt(2),
    ),
    "contaminated (10 % three times as wide)": _contaminated(0.1, 3.0),
    "contaminated (5 % ten times as wide)": _contaminated(0.05, 10.0),
}


class Outcome(NamedTuple):
    """What a number of simulated runs gave."""

    runs: int
    overclaims: int
    by_sd: int
    one_below: float  # samples on average to certify one bit below the truth
    two_below: float


def simulate(
    law: Law,
    runs: int,
    quantities: int = 1,
    elements: int = 1,
    shared: bool = False,
    guard: bool = True,
    seed: int = 1,
) -> Outcome:
    """Simulate studies.

    Parameters
    ----------
    law : Law
        Of the noise.
    runs : int
        Studies.
    quantities, elements : int
        Tensors monitored, and numbers in each.
    shared : bool
        The elements of a tensor have all their noise in common.
    guard : bool
        With the correction for heavy tails, as the rule has it.
    seed : int
        Of the simulation.
    """
    rng = np.random.default_rng(seed)
    sigma = 2.0**-12
    truth = 12 - math.log2(law.bound)
    truth_by_sd = 12 - math.log2(Z)
    sizes = adaptive.looks(MOST)
    overclaims = by_sd = 0
    needed: dict[int, list[int]] = {1: [], 2: []}
    names = [str(j) for j in range(quantities)]
    for _ in range(runs):
        width = 1 if shared else elements
        noise = law.draw(rng, (MOST, quantities, width))
        values = 1.0 + sigma * np.broadcast_to(noise, (MOST, quantities, elements))
        rule = adaptive.Rule(names, None, MOST)
        highest = 0.0
        reached = {1: MOST, 2: MOST}
        for n in sizes:
            seen = {}
            for j, name in enumerate(names):
                rows = [
                    Array((elements,), values.dtype, values[i, j]) for i in range(n)
                ]
                total = measures.moments(rows, exponent=0)
                seen[name] = adaptive.Seen(
                    total.sigma(), total.guarded if guard else 0.0, 52
                )
            rule.add(n, seen)
            highest = max(highest, *(s.low for s in rule.states.values()))
            for below, when in reached.items():
                if when == MOST and rule.certified >= truth - below:
                    reached[below] = n
        overclaims += highest > truth
        by_sd += highest > truth_by_sd
        for below, when in reached.items():
            needed[below].append(when)
    return Outcome(
        runs, overclaims, by_sd, float(np.mean(needed[1])), float(np.mean(needed[2]))
    )


#: Name, law, and the arguments of simulate.
CASES: list[tuple[str, str, dict[str, int | bool]]] = [
    *((name, name, {}) for name in LAWS),
    ("normal, J = 10", "normal", {"quantities": 10}),
    ("normal, 16 elements", "normal", {"elements": 16}),
    (
        "normal, 16 elements, noise in common",
        "normal",
        {"elements": 16, "shared": True},
    ),
    (
        "Laplace, 16 elements, noise in common",
        "Laplace",
        {"elements": 16, "shared": True},
    ),
    ("Laplace, no guard", "Laplace", {"guard": False}),
    (
        "contaminated (5 % ten times as wide), no guard",
        "contaminated (5 % ten times as wide)",
        {"guard": False},
    ),
]


def main() -> None:
    """Print a table; with --table for docs/statistics.md. Fail above 5 %."""
    arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
    runs = int(arguments[0]) if arguments else 4000
    print("| noise | runs | overclaims | by sd | samples, 1 bit below | 2 bits below |")
    print("|---|---|---|---|---|---|")
    failed = passed = 0
    for name, law, options in CASES:
        share = max(1, runs // int(options.get("quantities", 1)))
        found = simulate(LAWS[law], share, **options)  # type: ignore[arg-type]
        rate = found.overclaims / found.runs
        print(
            f"| {name} | {found.runs} | {100 * rate:.2f} % | "
            f"{100 * found.by_sd / found.runs:.2f} % | {found.one_below:.1f} | "
            f"{found.two_below:.1f} |",
            flush=True,
        )
        bad = options.get("guard", True) and rate >= 0.05
        failed += bool(bad)
        passed += not bad
    if "--table" not in sys.argv:
        print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
