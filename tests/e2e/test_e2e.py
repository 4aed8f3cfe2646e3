"""Results of a stock torch under the library: right on the mean, spread by the law.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/e2e/test_e2e.py [--lib LIBRARY]

tests the torch of PYTHON. Seeds are fixed, so a result is the same at each run; ALPHA in
laws.py is the probability that one assertion fails for a fresh seed although the law holds,
for Gaussian means.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import laws
import numpy as np
from operations import OPERATIONS, tensor
from worker import VARIANCE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIB = ""
FOLDER = Path(tempfile.mkdtemp(prefix="fuzzytorch-e2e-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

Results = "dict[str, np.ndarray]"
SAMPLES = {"sr": 256, "ud": 64, "cestac": 64, "nearest": 3}


def start(
    *argv: str, mode: str | None, seed: int = 1, threads: int = 1, **env: str
) -> str:
    """Run a script under the library (mode None: without it), return what it prints."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("FUZZY_")}
    full.pop("LD_PRELOAD", None)
    # Threads that spin while others work take most of the time on a busy machine.
    full.update(OMP_WAIT_POLICY="passive", OMP_NUM_THREADS=str(threads), **env)
    if mode is not None:
        full.update(LD_PRELOAD=LIB, FUZZY_MODE=mode, FUZZY_SEED=str(seed))
        full.setdefault("FUZZY_VERBOSE", "0")
    p = subprocess.run(
        [sys.executable, *argv],
        check=False,
        env=full,
        capture_output=True,
        text=True,
        timeout=900,
    )
    # The examples say how long their work took.
    said = [x for x in p.stderr.splitlines() if not x.startswith("work: ")]
    if p.returncode != 0 or said:
        raise AssertionError(
            f"{argv} in mode {mode} ended with {p.returncode}:\n{p.stderr}"
        )
    return p.stdout


@functools.cache
def worker(
    what: str, n: int, mode: str | None, seed: int = 1, run: int = 0, threads: int = 1
) -> Results:
    """Return what worker.py computes; another `run` is a fresh process of the same."""
    path = FOLDER / f"{what}-{n}-{mode}-{seed}-{run}-{threads}.npz"
    args = [str(HERE / "worker.py"), what, str(path), str(n)]
    if what == "samples":
        worker("reference", 0, None)
        args.append(str(FOLDER / "reference-0-None-1-0-1.npz"))
    # The layers of which this suite speaks; others have their own.
    start(*args, mode=mode, seed=seed, threads=threads, FUZZY_SCOPE="blas,conv")
    return dict(np.load(path))


def samples(mode: str, seed: int = 1, run: int = 0) -> Results:
    """Return samples in a mode: many for seed 1, two to compare bits with."""
    return worker(
        "samples", SAMPLES[mode] if (seed, run) == (1, 0) else 2, mode, seed, run
    )


def outputs(*, plain: bool = True) -> Iterator[tuple[str, int]]:
    """Yield every output's name and how many native roundings its mean may be off by."""
    exact = worker("reference", 0, None)
    for full in exact:
        name, key = full.split(".")
        if plain or key not in OPERATIONS[name].plain:
            yield full, OPERATIONS[name].native.get(key, 0)


def mean_misfit(mode: str, full: str, native: int) -> tuple[float, float, float, float]:
    """Return how far the mean is from the exact result, and how far it may be: for the
    worst element, in its standard errors, and for the sum along the signs.

    An element that varies less than the median one, for its words seldom decide, is held
    to the median's standard error.
    """
    exact, got = worker("reference", 0, None)[full], samples(mode)
    n = len(got[f"{full} error"])
    allowed = native * 2.0**-24 * np.abs(exact).max()
    off = np.abs(got[f"{full} mean"] - exact)
    sd = np.maximum(got[f"{full} sd"], np.median(got[f"{full} sd"]))
    if not sd.any():
        return off.max(), allowed, 0.0, 0.0
    excess = np.maximum(off - allowed, 0)
    z = (excess / np.where(sd > 0, sd, np.inf)).max() * n**0.5
    error = got[f"{full} error"]
    t = max(abs(error.mean()) - allowed, 0) / error.std(ddof=1) * n**0.5
    return (
        z,
        laws.t_quantile(laws.ALPHA / exact.size, n - 1),
        t,
        laws.t_quantile(laws.ALPHA, n - 1),
    )


unittest.TestCase.maxDiff = None


class Mean(unittest.TestCase):
    """The mean of the samples, against f64."""

    def test_sr(self) -> None:
        """In sr every output and gradient is unbiased: each rounding has mean error zero.

        STATISTICS 4 sd/sqrt(N) would alarm falsely for one element in 10^4 of the 10^5
        here; t quantiles at ALPHA (5.3 to 8.3 standard errors) stand in its place, for
        each element and for the mean error along the signs of the result.
        """
        off = {}
        for full, native in outputs():
            z, z_max, t, t_max = mean_misfit("sr", full, native)
            if z > z_max or t > t_max:
                off[full] = (
                    f"worst element {z:.1f} > {z_max:.1f} or mean {t:.1f} > {t_max:.1f}"
                )
        self.assertEqual(off, {})

    def test_power(self) -> None:
        """The same test refuses cestac, whose steps are biased by up to half a unit."""
        refused, pure = [], []
        for full, native in outputs(plain=False):
            if native or OPERATIONS[full.split(".")[0]].native:
                continue
            if full.endswith("dbias"):
                continue  # too few elements for a bias that differs from one to the next
            z, z_max, t, t_max = mean_misfit("cestac", full, native)
            pure.append(full)
            if z > z_max or t > t_max:
                refused.append(full)
        self.assertGreater(len(pure), 15)
        self.assertEqual(set(pure) - set(refused), set())

    def test_ud_and_cestac(self) -> None:
        """There the steps are biased as those of nearest are, so their mean is at most
        twice as far from f64 as nearest is, beside its standard error."""
        exact, near, off = worker("reference", 0, None), samples("nearest"), {}
        for mode in ("ud", "cestac"):
            got = samples(mode)
            for full, native in outputs():
                want = exact[full]
                rms = [
                    float(np.sqrt(np.mean(np.square(v))))
                    for v in (
                        got[f"{full} mean"] - want,
                        near[f"{full} mean"] - want,
                        got[f"{full} sd"],
                    )
                ]
                allowed = (
                    2 * rms[1]
                    + 4 * rms[2] / SAMPLES[mode] ** 0.5
                    + native * 2.0**-24 * np.abs(want).max()
                )
                if rms[0] > allowed:
                    off[f"{mode} {full}"] = (
                        f"{rms[0]:.3g} > {allowed:.3g}, sd {rms[2]:.3g}"
                    )
        self.assertEqual(off, {})


class Perturbed(unittest.TestCase):
    """What is reached, and what decides the words."""

    def test_every_output_varies(self) -> None:
        """Nine elements in ten vary between samples (eight where native additions, which
        may hide a unit, follow); what no product makes is as it was."""
        off = {}
        for mode in ("sr", "ud", "cestac"):
            got = samples(mode)
            for full, native in outputs():
                name, key = full.split(".")
                varies = float((got[f"{full} sd"] > 0).mean())
                least = 0.8 if native else 0.9
                if (varies != 0) if key in OPERATIONS[name].plain else (varies < least):
                    off[f"{mode} {full}"] = varies
        self.assertEqual(off, {})

    def test_seeds(self) -> None:
        """A seed repeats the bits in a fresh process, another seed gives others."""
        off = []
        for mode in ("sr", "ud", "cestac"):
            one, again, two = samples(mode), samples(mode, 1, 1), samples(mode, 2)
            for full, _ in outputs(plain=False):
                bits = f"{full} bits"
                if list(one[bits]) != list(again[bits]):
                    off.append(f"{mode} {full} is not repeated")
                if len({*one[bits], *two[bits]}) != 4:
                    off.append(f"{mode} {full} is the same in two samples")
        self.assertEqual(off, [])

    def test_nearest(self) -> None:
        """nearest knows no seed: every sample of every run is the same."""
        one, two = samples("nearest"), samples("nearest", 2)
        off = [
            full
            for full, _ in outputs()
            if len({*one[f"{full} bits"], *two[f"{full} bits"]}) != 1
        ]
        self.assertEqual(off, [])


def operands(name: str) -> dict[str, np.ndarray]:
    """Return the data of an operation of VARIANCE in f64, its cotangent as g."""
    import torch

    if name == "conv2d":
        x = tensor("x", (2, 16, 9, 9), torch.float32)
        w = tensor("weight", (4, 16, 3, 3), torch.float32) * 144**-0.5
        data = {
            "x": x,
            "w": w,
            "g": tensor("module gradient", (2, 4, 7, 7), torch.float32),
        }
    else:
        shapes = {
            "mm": ((16, 200), (200, 20), (16, 20)),
            "bmm": ((2, 10, 200), (2, 200, 16), (2, 10, 16)),
            "mv": ((200, 200), (200,), (200,)),
        }[name]
        data = {
            k: tensor(t, s, torch.float32)
            for k, t, s in zip("abg", ("a", "b", "f gradient"), shapes)
        }
    return {k: v.numpy().astype(np.float64) for k, v in data.items()}


def transpose(x: np.ndarray) -> np.ndarray:
    """Return the transposed matrices."""
    return np.swapaxes(x, -1, -2)


def predicted(name: str) -> dict[str, np.ndarray]:
    """Return the first-order variance in sr of the outputs of an operation of VARIANCE."""
    d = operands(name)
    if name == "conv2d":
        return {
            "y": laws.conv2d(d["x"], d["w"]),
            "dweight": laws.conv2d_weight(d["x"], d["g"], 3),
        }
    if name == "mv":
        return {
            "y": laws.matmul(d["a"], d["b"][:, None])[:, 0],
            "db": laws.matmul(d["a"].T, d["g"][:, None])[:, 0],
        }
    return {
        "y": laws.matmul(d["a"], d["b"]),
        "da": laws.matmul(d["g"], transpose(d["b"])),
        "db": laws.matmul(transpose(d["a"]), d["g"]),
    }


class Variance(unittest.TestCase):
    """Var y = (1/6) sum ulp(x_k)^2 over the partial sums: each step of a product is rounded.

    The ratio is that of sums over the elements, 200 to 3200 of them at N = 1000: its own
    relative error is at most sqrt(2/(999·200)) = .3 %; the window is that of the first order.
    """

    LOW, HIGH, N = 0.75, 4 / 3, 1000

    def ratios(self, mode: str) -> dict[str, float]:
        """Return measured over predicted variance by output."""
        got = worker("variance", self.N, mode)
        return {
            f"{name}.{key}": float(got[f"{name}.{key} var"].sum() / want.sum())
            for name in VARIANCE
            for key, want in predicted(name).items()
        }

    def test_law(self) -> None:
        """mm, bmm, mv, conv2d and gradients of real torch in sr."""
        for full, ratio in self.ratios("sr").items():
            with self.subTest(output=full, ratio=ratio):
                self.assertTrue(self.LOW < ratio < self.HIGH, ratio)

    def test_refuses_probability_one_half(self) -> None:
        """cestac, P(up) = 1/2, has half as much again: the window must refuse it."""
        for full, ratio in self.ratios("cestac").items():
            with self.subTest(output=full, ratio=ratio):
                self.assertGreater(ratio, self.HIGH)

    def test_refuses_noise_on_the_output_only(self) -> None:
        """A sham that rounds exact products once, stochastically, has far too little."""
        rng = np.random.default_rng(1)
        for name in VARIANCE:
            d = operands(name)
            if name == "conv2d":
                y = np.stack(
                    [
                        (p @ d["w"].transpose(0, 2, 3, 1).reshape(4, -1).T).T.reshape(
                            4, 7, 7
                        )
                        for p in laws.patches(d["x"], 3)
                    ]
                )
            else:
                y = d["a"] @ d["b"]
            unit = laws.ulp(y)
            low = np.floor(y / unit)
            sham = (low + (rng.random((self.N, *y.shape)) < y / unit - low)) * unit
            ratio = float(sham.var(0, ddof=1).sum() / predicted(name)["y"].sum())
            with self.subTest(name=name, ratio=ratio):
                self.assertLess(ratio, self.LOW / 4)


class Threads(unittest.TestCase):
    """Bits under several threads."""

    def test_number_of_threads(self) -> None:
        """1 and 2 threads of torch share one product and give the same bits."""
        one, two = (worker("threads", n, "sr", threads=n) for n in (1, 2))
        names = [n for n in one if "." in n and not n.startswith(("region", "thread"))]
        self.assertGreater(len(names), 15)
        self.assertEqual([n for n in names if one[n] != two[n]], [])

    def test_repeat(self) -> None:
        """With 2 threads a seed repeats everything, in parallel regions and threads too;
        nothing is equal under another seed but plain sums."""
        one, again, two = (
            worker("threads", 2, "sr", s, run, 2) for s, run in ((1, 0), (1, 1), (2, 0))
        )
        self.assertEqual([n for n in one if one[n] != again[n]], [])
        same = [
            n for n in one if one[n] == two[n] and not n.endswith(("dbias", "mv.da"))
        ]
        self.assertEqual(same, [])

    def test_words_differ(self) -> None:
        """Equal images of a batch, computed by several threads of a parallel region, and
        equal products and backward passes in Python threads, and equal calls one after the
        other: none sees another's words."""
        for n in (1, 2):
            got = worker("threads", n, "sr", threads=n)
            with self.subTest(threads=n):
                self.assertEqual(len({str(got[f"image{i}"]) for i in range(6)}), 6)
                for name in ("mm", "bmm", "mv", "linear"):
                    bits = {str(got[f"again_{name}{i}"]) for i in range(8)}
                    self.assertEqual(len(bits), 8, name)
                for key in ("y", "da", "db"):
                    self.assertEqual(
                        len({str(got[f"thread{i}.{key}"]) for i in range(3)}), 3
                    )


class Training(unittest.TestCase):
    """The first example."""

    def test_digits(self) -> None:
        """Three samples differ in loss; their accuracy is the native one within noise: 4
        standard deviations of the difference of two shares of the 360 test images."""
        try:
            import sklearn  # noqa: F401
        except ImportError:
            self.skipTest("scikit-learn is missing")
        script = str(ROOT / "examples/digits/train.py")

        def train(seed: int) -> tuple[float, float]:
            out = start(script, "--epochs", "3", mode="sr" if seed else None, seed=seed)
            return tuple(
                float(re.search(rf"test {what}: (\S+)", out).group(1))
                for what in ("accuracy", "loss")
            )

        with ThreadPoolExecutor(2) as pool:
            (native, loss), *sampled = pool.map(train, range(4))
        self.assertGreater(native, 0.9)
        noise = 4 * (2 * native * (1 - native) / 360) ** 0.5
        for accuracy, _ in sampled:
            self.assertLess(abs(accuracy - native), noise)
        self.assertEqual(len({loss, *(s[1] for s in sampled)}), 4)


def prepare() -> None:
    """Run the slow processes two at a time; the tests then find them done."""
    worker("reference", 0, None)
    jobs = [
        (samples, (m, *x)) for m in ("sr", "ud", "cestac") for x in ((), (1, 1), (2,))
    ]
    jobs += [(samples, ("nearest",)), (samples, ("nearest", 2))]
    jobs += [(worker, ("variance", Variance.N, m)) for m in ("sr", "cestac")]
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(f, *args) for f, args in jobs]:
            future.result()


def main() -> None:
    """Parse --lib, run the tests."""
    global LIB
    parser = argparse.ArgumentParser()
    parser.add_argument("--lib", default=str(ROOT / "build/libfuzzytorch.so"))
    args, rest = parser.parse_known_args()
    LIB = str(Path(args.lib).resolve())
    if not Path(LIB).is_file():
        sys.exit(f"{LIB} is not there: run make first")
    if not any(a.startswith(("Training", "Threads")) for a in rest):
        prepare()
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
