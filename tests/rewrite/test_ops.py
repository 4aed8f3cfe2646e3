"""PyTorch's operator database under the instruction layer: make check-rewrite-slow.

SPDX-License-Identifier: Apache-2.0

Every operator of torch.testing's op_db on its sample inputs, forward and backward, in f32,
f64, bf16 and complex64, each configuration in one process (ops.py); one that ends early names
its operator and goes on behind it. FZ_TEST_OPS=FIRST:LAST runs a part.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
import unittest
from pathlib import Path

from layer import (
    HERE,
    IDENTITY,
    PYTHONS,
    SR_TO_NEAREST,
    TRAPS,
    can_move,
    environment,
    ours,
    run,
)

DTYPES = ("float32", "float64", "bfloat16", "complex64")
#: Not compared bit by bit, and why; ops.py has the others.
NO_VALUES = {
    "empty", "empty_like", "empty_permuted", "empty_strided", "new_empty",
    "new_empty_strided", "resize_", "resize_as_", "linalg.lstsq",
    "linalg.lstsq.grad_oriented",
}  # fmt: skip
#: Equal to native in every mode.
EXACT = (
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial",
    "normal.in_place", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "uniform", "arange", "linspace", "linspace.tensor_overload", "logspace",
    "logspace.tensor_overload", "bucketize", "searchsorted",
)  # fmt: skip
#: Should be, and are not: known defects, each of which has to show itself.
INEXACT = {
    "normal": "of a tensor of means or deviations: torch scales by ordinary mul and add",
    "normal.number_mean": "the same",
}
#: Differ under SR_TO_NEAREST: not yet explained.
NOT_NEAREST = {
    ("nn.functional.grid_sample", "bfloat16"),
    ("grid_sampler_2d", "bfloat16"),
}

Key = "tuple[str, str]"


def database(env: dict[str, str]) -> tuple[dict[Key, dict], list[str]]:
    """Return results by operator and dtype, and what ended the process."""
    first, last = os.environ.get("FZ_TEST_OPS", "0:100000").split(":")
    # Some operators go through sets of strings.
    env = {**env, "PYTHONHASHSEED": "0"}
    env["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    results: dict[Key, dict] = {}
    ended: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        while True:
            out = Path(folder, "out")
            out.write_text("", encoding="utf-8")
            done = run(
                [PYTHONS["wheel"], HERE / "ops.py", out, first, last, *DTYPES],
                env, check=False, timeout=3600,
            )  # fmt: skip
            lines = [json.loads(x) for x in out.read_text("utf-8").splitlines()]
            results.update(
                {
                    (x["op"], x["dtype"]): x
                    for x in lines
                    if "op" in x and "begins" not in x
                }
            )
            if not lines:
                raise AssertionError(f"ops.py ended at once:\n{done.stderr[-2000:]}")
            if "done" in lines[-1]:
                return results, ended
            at = lines[-1]
            ended.append(f"{at['op']} {at['dtype']}: status {done.returncode}")
            first = str(at["i"] + 1)


@functools.cache
def native() -> dict[Key, dict]:
    """Return the results without the library."""
    results, ended = database(environment())
    assert not ended, ended
    return results


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Operators(unittest.TestCase):
    """The database in each variant of moved code."""

    def compared(self, env: dict[str, str], *what: str) -> dict[Key, dict]:
        """Assert that parts of all results equal native's; return the results."""
        got, ended = database(env)
        self.assertEqual(ended, [])
        self.assertEqual(got.keys(), native().keys())
        wrong = []
        for key, plain in native().items():
            mine = got[key]
            for field in ("samples", "errors", "failed"):
                if mine.get(field) != plain.get(field):
                    wrong.append((*key, field, mine.get(field)))
            for way in ("forward", "backward"):
                for name in what:
                    if name in ("bits", "values", "whole") and key[0] in NO_VALUES:
                        continue
                    # Inputs that were computed may differ, and integers with them.
                    if name == "whole" and mine.get("given") != plain.get("given"):
                        continue
                    if name == "values" and key in NOT_NEAREST:
                        continue
                    if mine.get(way, {}).get(name) != plain.get(way, {}).get(name):
                        wrong.append((*key, way, name))
        self.assertEqual(wrong, [])
        return got

    def test_identity(self) -> None:
        """Moved as it is."""
        self.compared(ours(**IDENTITY), "bits", "form")

    def test_identity_with_traps(self) -> None:
        """The same, with a trap in every dead byte."""
        self.compared(ours(**IDENTITY, **TRAPS), "bits", "form")

    def test_sr_to_nearest(self) -> None:
        """The code of sr, rounding to nearest: equal but for the bits of NaN."""
        self.compared(ours(**SR_TO_NEAREST, **TRAPS), "values", "form")

    def perturbed(self, mode: str) -> None:
        """Assert what holds in a mode that perturbs."""
        got = self.compared(ours(FUZZY_MODE=mode), "form", "whole")
        changed = sorted(
            {
                name
                for name, dtype in got
                if name in (*EXACT, *INEXACT)
                and got[name, dtype]["forward"] != native()[name, dtype]["forward"]
            }
        )
        self.assertEqual(changed, sorted(n for n in INEXACT if (n, "float32") in got))

    def test_sr(self) -> None:
        """Shapes, types, integers, booleans, random numbers under sr."""
        self.perturbed("sr")

    def test_ud(self) -> None:
        """The same under ud."""
        self.perturbed("ud")

    def test_cestac(self) -> None:
        """The same under cestac."""
        self.perturbed("cestac")


if __name__ == "__main__":
    unittest.main()
