"""Both builds of torch under the instruction layer: equal to native where nothing is rounded.

SPDX-License-Identifier: Apache-2.0

    python3 tests/rewrite/test_torch.py          with FZ_TEST_SLOW=1: all variants

Moved code with the original instructions, and sr's code with the word that rounds to nearest,
give native's bits; what must stay exact equals native under sr as well.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
import unittest
from pathlib import Path

from layer import (
    DEFINITION,
    HERE,
    IDENTITY,
    PYTHONS,
    SR_TO_NEAREST,
    TRAPS,
    can_move,
    environment,
    has_avx512,
    ours,
    run,
    said,
)

EMPTY = ("libtorch_global_deps.so", "libtorch.so")
SLOW = os.environ.get("FZ_TEST_SLOW") == "1"


def results(python: str, env: dict[str, str], *arguments: object) -> dict[str, str]:
    """Return hashes by the name of a case."""
    done = run([PYTHONS[python], HERE / "workloads.py", *arguments], env)
    # Debian has two files without any function, which the layer says at each start.
    lines = [x for x in said(done.stderr) if not any(e in x for e in EMPTY)]
    assert not lines, done.stderr
    return dict(line.split("\t") for line in done.stdout.splitlines())


@functools.cache
def native(python: str, threads: int) -> dict[str, str]:
    """Return the hashes without the library."""
    return results(python, environment(), threads)


@functools.cache
def perturbed(python: str) -> dict[str, str]:
    """Return the hashes under sr."""
    return results(python, ours(FUZZY_MODE="sr"), 1)


def different(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Return the cases that differ."""
    assert a.keys() == b.keys()
    return [k for k in a if a[k] != b[k]]


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Torch(unittest.TestCase):
    """Tests on the wheel."""

    python = "wheel"

    def equal(self, threads: int, **env: str) -> None:
        """Assert that all cases equal native."""
        self.assertEqual(
            different(
                native(self.python, threads), results(self.python, ours(**env), threads)
            ),
            [],
        )

    def test_identity(self) -> None:
        """Moved, with the original instructions; a trap in every dead byte."""
        self.equal(1, **IDENTITY, **TRAPS)

    def test_sr_to_nearest(self) -> None:
        """The code of sr, rounding to nearest; a trap in every dead byte."""
        self.equal(1, **SR_TO_NEAREST, **TRAPS)

    def test_sr_differs(self) -> None:
        """Under sr the workloads differ from native, and repeat."""
        one, plain = perturbed(self.python), native(self.python, 1)
        changed = different(plain, one)
        for name in (
            "mlp",
            "cnn",
            "transformer",
            "lstm",
            "add",
            "mul",
            "div",
            "softmax",
        ):
            for dtype in ("float32", "float64"):
                self.assertIn(f"{name} {dtype}", changed)
        again = results(self.python, ours(FUZZY_MODE="sr"), 1, "mlp float32")
        self.assertEqual(again, {"mlp float32": one["mlp float32"]})

    def test_exact(self) -> None:
        """Random numbers, indices, sizes and Python's scalars are native's, run after run."""
        for seed in ("1", "2"):
            now = results(self.python, ours(FUZZY_SEED=seed), 1, "exact")
            plain = {k: v for k, v in native(self.python, 1).items() if k in now}
            self.assertEqual(different(plain, now), [])
            self.assertGreater(len(now), 40)

    def test_account(self) -> None:
        """Of each library every site is perturbed, exact by rule, or left for a reason."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            env = ours(FUZZY_REPORT=str(report))
            run([PYTHONS[self.python], "-c", "import torch; torch.ones(3) / 3"], env)
            rows = json.loads(report.read_text(encoding="utf-8"))["instructions"]
        for row in rows:
            with self.subTest(row["library"]):
                self.assertIsNone(row["why"])
                left = sum(x["sites"] for x in row["left"])
                self.assertEqual(row["sites"], row["perturbed"] + row["exact"] + left)
        self.assertGreater(max(row["perturbed"] for row in rows if row["left"]), 1e5)

    @unittest.skipUnless(SLOW, "slow: make check-rewrite-slow")
    def test_two_threads(self) -> None:
        """Two threads, both variants."""
        self.equal(2, **IDENTITY, **TRAPS)
        self.equal(2, **SR_TO_NEAREST, **TRAPS)

    @unittest.skipUnless(SLOW, "slow: make check-rewrite-slow")
    def test_avx2(self) -> None:
        """The code of sr for CPUs without AVX-512."""
        self.equal(1, **SR_TO_NEAREST, **TRAPS, FUZZY_ISA="avx2")

    @unittest.skipUnless(SLOW, "slow: make check-rewrite-slow")
    def test_without_traps(self) -> None:
        """Nearest, as users have it."""
        self.equal(1, **IDENTITY)

    @unittest.skipUnless(SLOW, "slow: make check-rewrite-slow")
    def test_definition(self) -> None:
        """The definition at every site, to nearest."""
        self.equal(1, **DEFINITION)


@unittest.skipUnless(has_avx512(), "this CPU lacks AVX-512 or VAES")
class Evex(unittest.TestCase):
    """The wheel's AVX-512 kernels, which torch runs if it is told to."""

    def test_kernels(self) -> None:
        """Equal to native where nothing is rounded, and not under sr."""
        told = {"ATEN_CPU_CAPABILITY": "avx512"}
        plain = results("wheel", environment(**told), 1)
        moved = results("wheel", ours(**SR_TO_NEAREST, **TRAPS, **told), 1)
        self.assertEqual(different(plain, moved), [])
        noisy = results("wheel", ours(**told), 1)
        changed = different(plain, noisy)
        for name in ("mlp", "transformer", "add", "mul", "div", "softmax"):
            for dtype in ("float32", "float64"):
                self.assertIn(f"{name} {dtype}", changed)


class Debian(Torch):
    """The same on a stripped library."""

    python = "debian"

    @unittest.skipUnless(SLOW, "slow: make check-rewrite-slow")
    def test_sr_to_nearest(self) -> None:
        """As on the wheel."""
        super().test_sr_to_nearest()


if __name__ == "__main__":
    unittest.main()
