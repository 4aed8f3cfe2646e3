"""oneDNN's primitives under the library, in the torch of the interpreter that runs this.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/onednn/test_onednn.py [--lib LIBRARY]

The rows of the list are counted here, those of ROWS_OF_LAYERS in test_layers.py. ONEDNN_CASES multiplies the number of
convolutions that are drawn.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "preload"), str(HERE.parent / "e2e")]

import common
import laws
import torch
from common import build_dir, run

STEPS, CONVS = str(HERE / "steps.py"), str(HERE / "convs.py")
MANY = int(os.environ.get("ONEDNN_CASES", "1"))
MODERN = int(torch.__version__.split(".")[0]) > 1
SAMPLES = 24  # as in convs.py
ENTRY = "dnnl_primitive_execute"  # all calls come by it; it has no row of its own
ROWS_OF_LAYERS = ("dnnl_rnn", "dnnl_matmul", "dnnl_inner_product", "dnnl_eltwise")


def step(what: str, **env: str) -> tuple[dict[str, str], dict]:
    """Run steps.py under the library; return its lines by name, and the report."""
    path = build_dir() / f"onednn-{what}.json"
    env = {"FUZZY_VERBOSE": "0", "FUZZY_SEED": "1", "FUZZY_REPORT": str(path), **env}
    out = run([sys.executable, STEPS, what], **env).stdout
    return dict(line.split(" ", 1) for line in out.splitlines()), json.loads(
        path.read_text()
    )


@functools.cache
def native(what: str) -> dict[str, str]:
    """Run steps.py without the library."""
    out = run([sys.executable, STEPS, what], preload=False).stdout
    return dict(line.split(" ", 1) for line in out.splitlines())


@functools.cache
def convs(
    what: str, n: int, seed: int = 1, threads: int = 1, mode: str = "sr"
) -> dict[tuple[str, str], list[str]]:
    """Return what convs.py prints, by case and output."""
    args = [sys.executable, CONVS, what, str(n * MANY), str(seed), str(threads)]
    env = {"FUZZY_MODE": mode, "FUZZY_SEED": "1", "FUZZY_VERBOSE": "0"}
    if mode == "cestac":
        env["INSTEAD_OF_sr"] = "cestac"
    out = run(args, **env).stdout
    rows = [line.split() for line in out.splitlines()]
    return {(case, name): rest for case, name, *rest in rows if case != "failed"}


def rows(report: dict) -> dict[str, dict]:
    """Return oneDNN's rows of a report by symbol."""
    return {s["symbol"]: s for s in report["symbols"] if s["symbol"].startswith("dnnl")}


class Convolutions(unittest.TestCase):
    """Convolutions of every kind against f64."""

    def test_bound(self) -> None:
        """In nearest each output and gradient is within the bound of its own number of
        roundings."""
        got = convs("bound", 120, mode="nearest")
        self.assertGreater(len(got), 200 * MANY)
        off = {k: v for k, (v,) in got.items() if not float(v) <= 1}
        self.assertEqual(off, {})
        self.assertGreater(max(float(v) for (v,) in got.values()), 0.1, "it could fail")

    @staticmethod
    def biased(line: list[str]) -> str:
        """Say that the mean of sr is not that of f64, beyond its error.

        mean t^2 of 23 degrees of freedom is 23/21, its variance 2.78 an element.
        """
        size, t, square = (float(line[i]) for i in (0, 3, 4))
        if t > laws.t_quantile(laws.ALPHA / size, SAMPLES - 1):
            return f"an element is {t:.1f} standard errors off"
        if size >= 200 and square > 23 / 21 + 7 * (2.78 / size) ** 0.5:
            return f"mean t^2 is {square:.3f}"
        return ""

    @staticmethod
    def vary(size: float, varies: float, inexact: float) -> bool:
        """Say that as many inexact elements vary as may by chance.

        One rounding of a fraction f goes one way in all samples with f^24 + (1-f)^24: 2/25
        of the elements, as binomial counts have it; 0.1 for fractions that are not uniform.
        """
        n, still = round(size * inexact), round(size * max(inexact - varies, 0))
        log = math.lgamma
        tail = sum(
            math.exp(
                log(n + 1)
                - log(i + 1)
                - log(n - i + 1)
                + i * math.log(0.1)
                + (n - i) * math.log(0.9)
            )
            for i in range(still, n + 1)
        )
        return tail > laws.ALPHA

    def test_mean(self) -> None:
        """In sr the mean of each element is that of f64, within its own error; in ud it is
        at most twice as far from it as nearest is. What is inexact varies."""
        off, seen = {}, convs("mean", 26)
        for key, line in seen.items():
            _, varies, inexact, _, _, ud, near, sd = map(float, line)
            if bias := self.biased(line):
                off[key] = f"sr: {bias}"
            if ud > 2 * near + 4 * sd / SAMPLES**0.5:
                off[key] = f"ud: {ud:.3g} from f64, nearest {near:.3g}, sd {sd:.3g}"
            if not self.vary(float(line[0]), varies, inexact):
                off[key] = f"{varies:.3f} vary, {inexact:.3f} are inexact"
        self.assertEqual(off, {})
        self.assertGreater(len(seen), 12 * MANY)

    def test_power(self) -> None:
        """The same test refuses cestac for most outputs with many elements."""
        large = [
            v
            for (case, _), v in convs("mean", 26, mode="cestac").items()
            if float(v[0]) > 500 and case.endswith("float32")
        ]
        self.assertGreater(len(large), 3)
        self.assertGreater(sum(self.biased(v) != "" for v in large), len(large) / 2)

    def test_threads_and_seeds(self) -> None:
        """What oneDNN is asked for does not depend on the number of threads; a seed
        repeats it; all of it is executed."""
        one, two = convs("digest", 60), convs("digest", 60, threads=2)
        ours = {k for k in one if one[k][1:] == two[k][1:] and one[k][1] != "0"}
        self.assertGreater(len(ours), 30 * MANY)
        self.assertEqual([k for k in ours if one[k] != two[k]], [])
        self.assertEqual([k for k in one if one[k][2] != "0"], [])

    def test_operator_database(self) -> None:
        """The convolutions of PyTorch's own tests, in nearest, within a bound."""
        args = [sys.executable, str(HERE / "ops.py")]
        out = run(args, FUZZY_MODE="nearest", FUZZY_VERBOSE="0").stdout
        rows = [line.split() for line in out.splitlines()]
        self.assertGreater(len(rows), 50)
        self.assertGreater(sum(r[2] != "0" for r in rows), 15, "by oneDNN")
        off = [r for r in rows if not float(r[1]) <= 1 or r[3] != "0"]
        self.assertEqual(off, [])


class Modules(unittest.TestCase):
    """The module database of PyTorch's own tests: convolutions, LSTM, GRU, RNN, cells."""

    def test_database(self) -> None:
        """In nearest results and gradients are about as far from f64 as torch's own, and
        what oneDNN is asked for is executed."""
        lines = {}
        for mode in ("off", "nearest"):
            env = {"FUZZY_MODE": mode, "FUZZY_VERBOSE": "0"}
            out = run([sys.executable, str(HERE / "modules.py")], **env).stdout
            lines[mode] = {a: b for a, *b in map(str.split, out.splitlines())}
        self.assertGreater(len(lines["nearest"]), 80)
        off = [
            (name, line, lines["off"][name])
            for name, line in lines["nearest"].items()
            if not float(line[0]) <= 8 * float(lines["off"][name][0]) + 20
            or line[2] != "0"
        ]
        self.assertEqual(off, [])
        asked = {
            n.split(",")[0] for n, line in lines["nearest"].items() if line[1] != "0"
        }
        want = {"Conv1d", "Conv2d", "Conv3d"} | ({"LSTM"} if MODERN else set())
        self.assertLessEqual(want, asked)


class Coverage(unittest.TestCase):
    """No convolution is left out."""

    def test_resnet(self) -> None:
        """A step of a network like ResNet: all convolutions are perturbed inside oneDNN."""
        got, report = step("resnet")
        self.assertEqual(report["onednn"]["left"], [])
        self.assertEqual(report["onednn"]["route"], "primitives")
        row = rows(report)["dnnl_convolution"]
        self.assertEqual(row["passed"]["calls"], 0)
        self.assertGreaterEqual(row["perturbed"]["calls"], 17)
        # Digests of everything behind the first convolution differ from the native ones.
        self.assertEqual({k for k in got if got[k] == native("resnet")[k]}, set())
        self.assertEqual(got, step("resnet")[0])
        self.assertNotEqual(got, step("resnet", FUZZY_SEED="2")[0])

    def test_ways(self) -> None:
        """TorchScript, replicas in threads, a program that switches oneDNN off: perturbed.

        Scripted and traced code draw what the same calls draw eagerly.
        """
        got, report = step("ways")
        same = [k for k in got if got[k] == native("ways")[k]]
        self.assertEqual(same, [])
        self.assertEqual(report["onednn"]["left"], [])
        self.assertEqual(got["script"], got["eager"])
        self.assertEqual(got["trace"], got["eager"])
        symbols = {s["symbol"]: s for s in report["symbols"]}
        self.assertGreater(symbols["sgemm_"]["perturbed"]["calls"], 0, "past oneDNN")


class Reorders(unittest.TestCase):
    """Copies are exact, narrowing rounds."""

    def test_narrow(self) -> None:
        """f32 to bf16 is a neighbour, without bias, in sr and ud; the nearest in nearest."""
        for mode in ("sr", "ud"):
            got, report = step("narrow", FUZZY_MODE=mode)
            self.assertEqual(float(got["neighbours"]), 1)
            self.assertLess(float(got["nearest"]), 0.8)
            self.assertLess(abs(float(got["t"])), 6.1)  # 1e-9
            self.assertEqual((got["same"], got["wide"]), ("8", "True"))
            row = rows(report)["dnnl_reorder"]
            self.assertEqual(row["perturbed"]["calls"], 8)
            self.assertEqual(row["passed"]["calls"], 0)
        got, _ = step("narrow", FUZZY_MODE="nearest")
        self.assertEqual((got["nearest"], got["same"]), ("1.0", "1"))


class Native(unittest.TestCase):
    """What is left to oneDNN is oneDNN's."""

    def test_scope_without_conv(self) -> None:
        """Without conv in scope convolutions are native, bit for bit, and counted."""
        got, report = step("resnet", FUZZY_SCOPE="lapack")
        self.assertEqual(got, native("resnet"))
        row = rows(report)["dnnl_convolution"]
        self.assertEqual(row["perturbed"]["calls"], 0)
        self.assertGreaterEqual(row["passed"]["calls"], 17)
        self.assertEqual(row["why"], {"scope": row["passed"]["calls"]})

    def test_excluded(self) -> None:
        """A line of FUZZY_EXCLUDE for the row leaves convolutions to oneDNN."""
        path = build_dir() / "onednn-exclude"
        path.write_text("dnnl_convolution *\n")
        _, report = step("resnet", FUZZY_EXCLUDE=str(path))
        row = rows(report)["dnnl_convolution"]
        self.assertEqual(row["perturbed"]["calls"], 0)
        self.assertEqual(row["why"], {"excluded": row["passed"]["calls"]})

    def test_integers(self) -> None:
        """Quantized convolutions are left to the original, right, counted and named."""
        got, report = step("quantized")
        self.assertEqual(got, native("quantized"))
        left = [x for x in report["onednn"]["left"] if x["primitive"] == "convolution"]
        self.assertEqual(
            {x["why"] for x in left} - {"data type u8", "data type s8"}, set()
        )
        self.assertGreater(len(left), 0)
        row = rows(report)["dnnl_convolution"]
        self.assertEqual(row["perturbed"]["calls"], 0)
        self.assertEqual(row["why"]["primitive"], sum(x["calls"] for x in left))

    def test_rest(self) -> None:
        """A deconvolution is executed; what is not is native, counted and named."""
        got, report = step("rest", FUZZY_SCOPE="blas,lapack,conv,math")
        plain, found = native("rest"), rows(report)
        self.assertEqual({k for k in got if got[k] != plain[k]}, {"deconvolution"})
        if report["onednn"]["version"].startswith("3"):  # 1.13 takes it past oneDNN
            self.assertEqual(found["dnnl_deconvolution"]["perturbed"]["calls"], 1)
            self.assertEqual(found["dnnl_deconvolution"]["passed"]["calls"], 0)
        self.assertEqual(found["dnnl_other"]["perturbed"]["calls"], 0)
        self.assertEqual(found["dnnl_other"]["why"], {"primitive": 5})
        names = ("pooling", "sum", "binary", "softmax", "batch normalization")
        self.assertEqual(
            {x["primitive"]: x["calls"] for x in report["onednn"]["left"]},
            dict.fromkeys(names, 1),
        )

    def test_named(self) -> None:
        """The report has the version that torch has, and the way to it."""
        _, report = step("resnet", FUZZY_SCOPE="lapack")
        self.assertRegex(report["onednn"]["version"], r"^(2\.6|3\.12)\.\d+$")
        self.assertIn("convolution", report["onednn"]["executed"])


@unittest.skipIf(MODERN, "the wheel's oneDNN binds its own functions")
class Unknown(unittest.TestCase):
    """A oneDNN that says what we do not know: native, counted, named, never wrong.

    liar.c tells us so, and torch the truth.
    """

    def lied(self, lie: str) -> tuple[dict[str, str], dict]:
        """Run a step of training, with this lie."""
        liar, path = build_dir() / "liar.so", build_dir() / f"lie-{lie}.json"
        plain = build_dir() / "no-blas"
        plain.write_text("sgemm_ *\nsgemv_ *\n")  # so that only oneDNN is ours
        if not liar.exists():
            make = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-shared", "-fPIC"]
            run([*make, str(HERE / "liar.c"), "-o", str(liar), "-ldl"], preload=False)
        out = run(
            [sys.executable, STEPS, "resnet"],
            preload=False,
            LD_PRELOAD=f"{common.LIB}:{liar}",
            LIE=lie,
            FUZZY_SCOPE="conv",
            FUZZY_EXCLUDE=str(plain),
            FUZZY_SEED="1",
            FUZZY_REPORT=str(path),
        )
        got = dict(line.split(" ", 1) for line in out.stdout.splitlines())
        return got, json.loads(path.read_text())

    def test_primitives(self) -> None:
        """An unknown kind, data type or layout is left to the original."""
        for lie, why, row in (
            ("kind", "not executed by this version", "dnnl_other"),
            ("type", "unknown data type", "dnnl_convolution"),
            ("layout", "an opaque layout", "dnnl_convolution"),
        ):
            with self.subTest(lie):
                got, report = self.lied(lie)
                self.assertEqual(got, native("resnet"))
                found = rows(report)[row]
                self.assertEqual(found["perturbed"]["calls"], 0)
                self.assertGreater(found["passed"]["calls"], 16)
                self.assertEqual(set(found["why"]), {"primitive"})
                left = {x["why"]: x["calls"] for x in report["onednn"]["left"]}
                self.assertGreater(left[why], 16)

    def test_version(self) -> None:
        """With an unknown version torch is led past it, and the report says so."""
        got, report = self.lied("version")
        self.assertGreater(len(got), 10)
        self.assertEqual(report["onednn"]["version"], "5.0.1")
        self.assertEqual(report["onednn"]["route"], "im2col")
        self.assertIn("not known", report["onednn"]["why"])
        self.assertEqual(rows(report), {})


if __name__ == "__main__":
    common.main()
