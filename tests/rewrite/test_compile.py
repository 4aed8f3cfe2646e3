"""torch.compile on the wheel: its libraries are moved, its own computations are exact.

SPDX-License-Identifier: Apache-2.0

    python3 tests/rewrite/test_compile.py        with FZ_TEST_SLOW=1: training steps as well

Native runs compile for the CPU that the layer has inductor compile for.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path

from layer import HERE, IDENTITY, PYTHONS, can_move, environment, ours, run

SLOW = os.environ.get("FZ_TEST_SLOW") == "1"
HASWELL = {"TORCHINDUCTOR_CPP_MARCH": "haswell"}
#: One folder for native runs and ours, which keep to a folder of their own in it.
FOLDER = Path(tempfile.mkdtemp(prefix="fuzzytorch-compile-"))


def tearDownModule() -> None:
    """Remove what was compiled."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def results(env: dict[str, str], *arguments: str) -> dict[str, str]:
    """Return what compile_torch.py prints, by name."""
    env = {**env, **HASWELL, "TORCHINDUCTOR_CACHE_DIR": str(FOLDER)}
    done = run([PYTHONS["wheel"], HERE / "compile_torch.py", *arguments], env)
    return dict(line.split("\t") for line in done.stdout.splitlines())


@functools.cache
def native(*arguments: str) -> dict[str, str]:
    """Return the results without the library."""
    return results(environment(), *arguments)


@functools.cache
def perturbed() -> tuple[dict[str, str], dict]:
    """Return the results under ud, which changes exact results too, and the report."""
    native("exact")  # its cache must be of no use to ours
    report = FOLDER / "report.json"
    env = ours(
        FUZZY_MODE="ud",
        FUZZY_SCOPE="blas,lapack,conv,math,inst",
        FUZZY_REPORT=f"{report},operations",
    )
    found = results(env, "exact", "noise")
    return found, json.loads(report.read_text(encoding="utf-8"))


def compiled_libraries(report: dict) -> list[dict]:
    """Return the report's rows of libraries that inductor wrote."""
    return [x for x in report["instructions"] if str(FOLDER) in x["library"]]


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
@unittest.skipUnless(shutil.which("g++"), "inductor needs g++")
class Compile(unittest.TestCase):
    """One compilation under ud, in a new cache; one native."""

    def test_exact(self) -> None:
        """Folded constants, random numbers and indices are native's."""
        found, _ = perturbed()
        self.assertEqual({k: found[k] for k in native("exact")}, native("exact"))

    def test_noise(self) -> None:
        """A compiled function is as noisy as it is eagerly."""
        found, _ = perturbed()
        eager = float(found["eager"])
        self.assertGreater(eager, 0)
        self.assertLess(abs(float(found["compiled"]) / eager - 1), 0.1)

    def test_counted(self) -> None:
        """Inductor's libraries are moved, each operation of them is counted."""
        _, report = perturbed()
        rows = compiled_libraries(report)
        self.assertEqual([x["why"] for x in rows], [None] * len(rows))
        self.assertEqual(sum(x["operations"]["left"] for x in rows), 0)
        # 21 calls of a function of four operations, with 4096 elements.
        done = sum(x["operations"]["perturbed"] for x in rows if x["sites"])
        self.assertEqual(done, 21 * 4 * 4096)

    def test_own_folder(self) -> None:
        """A native run afterwards finds nothing of ours: it equals one before."""
        before = native("exact")
        perturbed()
        folders = [p.name for p in FOLDER.iterdir() if p.is_dir()]
        self.assertIn("fuzzytorch-inductor", folders)
        self.assertEqual(results(environment(), "exact"), before)


@unittest.skipUnless(SLOW and can_move(), "slow: training steps of compiled models")
class Training(unittest.TestCase):
    """Moved code with the original instructions gives native's bits."""

    def check(self, *arguments: str) -> None:
        """Compare four training steps."""
        self.assertEqual(
            results(ours(**IDENTITY), "train", *arguments), native("train", *arguments)
        )
        found = results(ours(FUZZY_MODE="sr"), "train", *arguments)
        self.assertNotEqual(found["parameters"], native("train", *arguments)["parameters"])
        for k, v in native("train", *arguments).items():
            if k != "parameters":
                self.assertLess(abs(float.fromhex(found[k]) - float.fromhex(v)), 1e-3)

    def test_mlp(self) -> None:
        """Linear layers, GELU, layer_norm."""
        self.check("mlp")

    def test_mlp_dynamic(self) -> None:
        """The same with sizes that change."""
        self.check("mlp", "dynamic")

    def test_cnn(self) -> None:
        """Convolution, batch_norm, pooling."""
        self.check("cnn")

    def test_cnn_dynamic(self) -> None:
        """The same with sizes that change."""
        self.check("cnn", "dynamic")


if __name__ == "__main__":
    unittest.main()
