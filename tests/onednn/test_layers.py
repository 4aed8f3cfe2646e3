"""Recurrent layers, GELU, products in bf16 and f16, and fused layers, against f64 and by
the report.

SPDX-License-Identifier: Apache-2.0

    PYTHON tests/onednn/test_layers.py [--lib LIBRARY]

The rows of shim/symbols_aten.def are counted here; with MKL at hand no operation is known
that calls at_gemm_no_downcast.
"""

from __future__ import annotations

import functools
import json
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "preload"), str(HERE.parent / "e2e")]

import common
import laws
import torch
from common import build_dir, run

MODERN = int(torch.__version__.split(".")[0]) >= 2
SAMPLES = 24  # as in layers.py
CPU = Path("/proc/cpuinfo").read_text().split()


@functools.cache
def layers(what: str, *settings: tuple[str, str]) -> tuple[list[list[str]], dict]:
    """Return the words of the lines that layers.py prints, and the report."""
    path = build_dir() / f"layers-{what}-{len(settings)}.json"
    env = {"FUZZY_VERBOSE": "0", "FUZZY_SEED": "1", "FUZZY_REPORT": str(path)}
    env.update(settings)
    out = run([sys.executable, str(HERE / "layers.py"), what], **env)
    report = json.loads(path.read_text())
    return [line.split() for line in out.stdout.splitlines()], report


def rows(report: dict) -> dict[str, dict]:
    """Return the rows of oneDNN and ATen that were called, by symbol."""
    return {
        s["symbol"]: s
        for s in report["symbols"]
        if s["symbol"].startswith(("dnnl_", "at_"))
        and s["perturbed"]["calls"] + s["passed"]["calls"]
    }


class Layers(unittest.TestCase):
    """What is computed, and how it is rounded."""

    def test_bound(self) -> None:
        """In nearest each result is within the bound of its number of roundings."""
        lines, _ = layers("bound", ("FUZZY_MODE", "nearest"))
        self.assertGreater(len(lines), 80 if MODERN else 70)
        off = [line for line in lines if not float(line[2]) <= 1]
        self.assertEqual(off, [])
        self.assertGreater(max(float(line[2]) for line in lines), 0.1, "it could fail")

    def test_mean(self) -> None:
        """In sr the mean of each element is that of f64: a t-test of 24 samples a tensor,
        alpha shared by its elements (Bonferroni). f32 results vary nearly everywhere.

        A bf16 or f16 result takes one of two values, of which the rarer may be seen once
        or never in 24: there t says nothing, and that many vary is asked for; the law of
        narrowing has a test of its own (tests/unit/test_dense.c). Attention narrows in
        ATen's own code, and in torch 1.13 so do the cells of an LSTM and mv, in nearest.
        """
        lines, _ = layers("mean", ("FUZZY_MODE", "sr"))
        off = []
        for name, key, size, t, share in lines:
            if key == "attention" or (not MODERN and (key == "mv" or "lstm" in name)):
                continue
            narrow = name.endswith(("bfloat16", "float16"))
            limit = laws.t_quantile(laws.ALPHA / int(size), SAMPLES - 1)
            flat = 0.3 if "relu" in key or "hard" in key else 1  # what is not cut off
            if not narrow and (float(t) > limit or float(share) < 0.9 * flat):
                off.append((name, key, t, limit, share))
            if narrow and int(size) > 20 and float(share) < 0.2 * flat:
                off.append((name, key, share))
        self.assertEqual(off, [])
        self.assertGreater(len(lines), 80 if MODERN else 70)

    def test_switched_off(self) -> None:
        """What our forward pass left, our backward pass reads, whatever the mode is by
        then: nothing is perturbed, and the gradients are right."""
        lines, report = layers("switch", ("FUZZY_MODE", "sr"))
        self.assertEqual(len(lines), 4)
        self.assertEqual([x for _, x in lines if float(x) > 1e-5], [])
        if MODERN:
            row = rows(report)["dnnl_rnn"]
            self.assertEqual(row["perturbed"]["calls"], 1)
            self.assertEqual(row["why"], {"switched_off": 1})


class Coverage(unittest.TestCase):
    """No recurrence, and no product in bf16 or f16, is left out."""

    def test_all(self) -> None:
        """All calls of all rows are perturbed, repeat by seed with any number of threads, and
        differ from those of another seed."""
        lines, report = layers("step", ("FUZZY_MODE", "sr"))
        self.assertEqual(report["onednn"]["left"], [])
        seen = rows(report)
        passed = {k: v["passed"]["calls"] for k, v in seen.items()}
        self.assertEqual({k for k in passed if passed[k]}, set())
        want = {"dnnl_eltwise", "dnnl_inner_product", "at_gemm"}
        want |= {"dnnl_rnn", "dnnl_convolution"} if MODERN else set()
        if MODERN:
            want |= {"at_bf16_dot", "at_fp16_dot", "at_bf16_gemv_trans"}
            want |= {"at_fp16_gemv_trans"}
            if "amx_bf16" in CPU:
                want.add("at_brgemm")
        if "avx512bw" in CPU:  # else oneDNN multiplies no bf16
            want.add("dnnl_matmul")
        self.assertLessEqual(want, set(seen))
        # Attention is cut into tasks by the number of threads; each draws its own noise.
        again, _ = layers("step", ("FUZZY_MODE", "sr"), ("LAYERS_THREADS", "2"))
        apart = [a[0] for a, b in zip(lines, again) if a != b]
        self.assertEqual([x for x in apart if "attention" not in x], [])
        other, _ = layers("step", ("FUZZY_MODE", "sr"), ("FUZZY_SEED", "2"))
        same = [a[0] for a, b in zip(lines, other) if a == b]
        self.assertLess(len(same), 4, f"these never vary: {same}")

    def test_native(self) -> None:
        """Out of scope all of it is torch's own, bit for bit, and counted."""
        out = run(
            [sys.executable, str(HERE / "layers.py"), "step"], preload=False
        ).stdout
        native = [line.split() for line in out.splitlines()]
        got, report = layers("step", ("FUZZY_SCOPE", "lapack"))
        self.assertEqual(got, native)
        for name, row in rows(report).items():
            self.assertEqual(row["perturbed"]["calls"], 0, name)
            self.assertEqual(row["why"], {"scope": row["passed"]["calls"]}, name)


if __name__ == "__main__":
    common.main()
