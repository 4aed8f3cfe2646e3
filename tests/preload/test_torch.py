"""The library under a real torch: that of the interpreter which runs this script.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import functools
import json
import re
import sys
import unittest

import common
from common import HERE, build_dir, run

CASES = str(HERE / "torch_cases.py")


def cases(what: str, *, preload: bool = True, **env: str) -> dict[str, str]:
    """Run torch_cases.py and return its lines by name."""
    if preload:
        env.setdefault("FUZZY_VERBOSE", "0")
    out = run([sys.executable, CASES, what], preload=preload, **env).stdout
    return dict(line.split(" ", 1) for line in out.splitlines())


@functools.cache
def bits(mode: str, seed: str = "1") -> dict[str, str]:
    """Digests of every operation in a mode; `absent` is without the library."""
    if mode == "absent":
        return cases("bits", preload=False)
    return cases("bits", FUZZY_MODE=mode, FUZZY_SEED=seed)


def scattered(name: str) -> bool:
    """Is the output gathered after the product, by native additions (col2im)?"""
    case, out = name.split(".")
    if case.startswith("transposed"):
        return out == "y"
    return out == "gx" and case != "conv2d_1x1"


def perturbed(name: str) -> bool:
    """Is the operation one that this layer reaches?"""
    return name.split(".")[0] != "randn"


class Bits(unittest.TestCase):
    """The same or other bits."""

    def test_off_equals_absent(self) -> None:
        """Mode off: mm, bmm, conv, LSTM, solve, svd, exp and randn are bit for bit native."""
        self.assertEqual(bits("off"), bits("absent"))

    def test_seed(self) -> None:
        """One seed gives one result, another one another, in everything that is reached."""
        one, two = bits("sr"), bits("sr", "2")
        self.assertEqual(one, cases("bits", FUZZY_MODE="sr", FUZZY_SEED="1"))
        same = [n for n in one if perturbed(n) and one[n] == two[n]]
        self.assertEqual(same, [])

    def test_everything_is_perturbed(self) -> None:
        """Each output and gradient differs from nearest; what is not reached does not."""
        sr, nearest = bits("sr"), bits("nearest")
        same = [n for n in sr if perturbed(n) and sr[n] == nearest[n]]
        self.assertEqual(same, [])
        other = [n for n in sr if not perturbed(n) and sr[n] != bits("absent")[n]]
        self.assertEqual(other, [])


class Reach(unittest.TestCase):
    """All of an operation comes from the kernels, and is right on the mean."""

    def test_every_element_is_from_a_kernel(self) -> None:
        """At 8 bits every element of a product has 8 bits: none came from elsewhere."""
        got = cases("fit", FUZZY_MODE="nearest", FUZZY_PRECISION="f32:8")
        native = cases("fit", preload=False)
        whole = {n: v for n, v in got.items() if not scattered(n)}
        self.assertGreater(len(whole), 35)
        self.assertEqual({n: v for n, v in whole.items() if float(v) != 1}, {})
        few = [n for n in whole if float(native[n]) > 0.5]
        self.assertEqual(few, [], "natively they have more bits, so this test can fail")

    def test_mean(self) -> None:
        """The mean of 64 samples is that of f64 within its own error.

        mean z squared is 1 +- sqrt(2/elements) for independent elements; max |z| stays below
        9 (63 degrees of freedom, 1e-12 an element). Where native additions follow (col2im,
        gates of recurrent layers) their own rounding is allowed: 8 units of 2^-24 max|y|.
        """
        for name, line in cases("mean", FUZZY_SEED="1").items():
            z2, zmax, varies, units = map(float, line.split())
            with self.subTest(name=name, z2=z2, zmax=zmax, varies=varies, units=units):
                self.assertGreater(varies, 0.8, "perturbed at all")
                if scattered(name) or name.split(".")[0] in ("lstm", "gru", "rnn"):
                    self.assertLess(units, 8)
                else:
                    self.assertLess(zmax, 9)
                    self.assertGreater(z2, 0.2)
                    self.assertLess(z2, 3)

    def test_scope_conv(self) -> None:
        """conv without blas: products of convolutions only, after an exception too; and what
        asks for oneDNN by name is served without a crash."""
        near = cases("scope", FUZZY_MODE="nearest")
        got = cases("scope", FUZZY_SEED="1", FUZZY_SCOPE="conv")
        native = cases("scope", preload=False)
        for name in ("mm.y", "mm_after.y"):
            self.assertEqual(got[name], native[name], name)
        for name in ("conv.y", "conv.gx", "conv.gw"):
            self.assertNotEqual(got[name], near[name], name)

    def test_scope_blas(self) -> None:
        """blas without conv: torch takes its own way through a convolution."""
        native = cases("scope", preload=False)
        got = cases("scope", FUZZY_SEED="1", FUZZY_SCOPE="blas")
        self.assertEqual(got["conv.y"], native["conv.y"])
        self.assertNotEqual(got["mm.y"], native["mm.y"])


class Processes(unittest.TestCase):
    """Workers and threads of torch."""

    def test_fifty_workers(self) -> None:
        """Each of 50 workers draws its own numbers, a seed repeats them, counts add up."""
        path = build_dir() / f"workers-{sys.version_info.minor}.json"
        one = cases("workers", FUZZY_SEED="1", FUZZY_REPORT=str(path))
        self.assertEqual(len(one), 51)
        self.assertEqual(len(set(one.values())), 51)
        self.assertEqual(one, cases("workers", FUZZY_SEED="1"))
        symbols = {s["symbol"]: s for s in json.loads(path.read_text())["symbols"]}
        self.assertEqual(
            symbols["sgemm_"]["perturbed"], {"calls": 51, "flops": 51 * 2 * 30**3}
        )

    def test_spawned_workers(self) -> None:
        """So do spawned ones, which import torch anew."""
        one = cases("spawn", FUZZY_SEED="1")
        self.assertEqual(len(set(one.values())), 3, one)
        self.assertEqual(one, cases("spawn", FUZZY_SEED="1"))

    def test_threads(self) -> None:
        """torch.set_num_threads is respected; another number gives the same bits."""
        got = cases("threads", FUZZY_SEED="1", FUZZY_MODE="nearest")
        self.assertEqual(got["mm1"], got["mm2"])
        self.assertLess(int(got["tasks1"]), int(got["tasks2"]))
        native = cases("threads", preload=False)
        self.assertEqual(got["tasks1"], native["tasks1"], "no threads of ours")

    def test_parallel_regions(self) -> None:
        """Products inside a parallel region repeat with the seed, not with the region."""
        one = cases("threads", FUZZY_SEED="1")
        two = cases("threads", FUZZY_SEED="1")
        self.assertEqual(one["conv"], two["conv"])
        self.assertEqual(one["conv_again"], two["conv_again"])
        self.assertNotEqual(one["conv"], one["conv_again"])

    def test_start_line(self) -> None:
        """importing torch prints the line before anything is computed."""
        code = "import torch, os; os.write(2, b'imported\\n')"
        p = run([sys.executable, "-c", code], FUZZY_SEED="3")
        lines = p.stderr.splitlines()
        self.assertRegex(
            lines[0], r"^libfuzzytorch: \S+ mode sr seed 3 layers blas,lapack,conv,math isa "
        )
        self.assertEqual(lines[1], "imported")
        self.assertIn("nothing was perturbed", lines[2])
        self.assertEqual(len(lines), 3)

    def test_os_exit(self) -> None:
        """A process that leaves by os._exit reports all the same."""
        code = "import torch, os; a = torch.ones(9, 9) / 3; a @ a; os._exit(3)"
        p = run([sys.executable, "-c", code], check=False, FUZZY_REPORT="stderr")
        self.assertEqual(p.returncode, 3)
        self.assertTrue(
            re.search(r"sgemm_: perturbed 1 calls, 1458 flops", p.stderr), p.stderr
        )


if __name__ == "__main__":
    common.main()
