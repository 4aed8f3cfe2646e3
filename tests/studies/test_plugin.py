"""The pytest marker, in a pytest of its own under fuzzyrun.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import re
import subprocess
import sys
import unittest

import numpy as np
from common import PYTHON, StudyCase

CASES = """\
import pytest, torch, fuzzytorch
torch.manual_seed(0)
A = torch.randn(64, 64)

@pytest.fixture
def x():
    return torch.ones(64, 64)

@pytest.mark.significant_bits(12, samples=5)
def test_good(x):
    return {"product": A @ x, "count": (A > 0).sum()}

@pytest.mark.significant_bits(12, samples=5)
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_bad(scale):
    big = 1e4 * torch.ones(1, 64)
    fuzzytorch.record("fine", A @ A)
    fuzzytorch.record("cancelled", big @ A.t() - (big @ A.t()).double().float() * scale)
    fuzzytorch.record("worse", (A @ A - A @ A) / scale)

@pytest.mark.significant_bits(10, samples=4, precision=8)
def test_low_precision():
    return A @ A

@pytest.mark.significant_bits(12, samples=3)
def test_flips():
    return ((A @ A) * 2**20).long()

@pytest.mark.significant_bits(12, samples=3)
def test_nothing_recorded():
    A @ A

@pytest.mark.significant_bits(12, samples=3)
def test_nothing_perturbed():
    return A + 1

@pytest.mark.significant_bits(12, sample=3)
def test_misspelt():
    return A @ A

@pytest.mark.significant_bits(12, samples=3)
def test_raises():
    raise KeyError("own")

def test_unmarked():
    assert fuzzytorch.get_rounding_mode() == "sr" and fuzzytorch.get_precision() == 24
"""


class Plugin(StudyCase):
    """@pytest.mark.significant_bits."""

    def pytest(self, *words: str, fuzzy: bool = True, status: int) -> str:
        """Run pytest on the cases; return what it prints."""
        self.script(CASES, "test_cases.py")
        plugin = ["-p", "fuzzytorch.pytest_plugin", "-p", "no:cacheprovider", "-rs"]
        command = [sys.executable, "-m", "pytest", *plugin, *words, "test_cases.py"]
        if fuzzy:
            return self.fuzzyrun(
                "-s", 1, *command, status=status, PYTHONPATH=str(PYTHON)
            ).stdout
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.env, "PYTHONPATH": str(PYTHON)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def test_under_fuzzyrun(self) -> None:
        """What keeps its bits passes; failures list the worst tensors first."""
        text = self.pytest(status=1)
        self.assertRegex(text, r"8 failed, 2 passed")
        part = text.split("test_bad[0.001]")[1]
        lines = re.findall(r"(?m)^  (\w+) .*?(?:: (-?[\d.]+) bits|: mean 0.*)$", part)
        self.assertEqual(lines[0][0], "worse", part)
        self.assertNotIn("fine", [name for name, _ in lines])
        found = re.search(r"result \[64, 64\]: ([\d.]+) bits", text)
        assert found is not None, text
        self.assertTrue(2 < float(found[1]) < 5, f"8 bits less those of 64 sums: {found[1]}")
        for words in (
            "returns no tensor and records none",
            "nothing was perturbed",
            "significant_bits takes bits and samples, mode, seed, precision, not sample",
            "result [64, 64]: integers or booleans that differ",
            "KeyError: 'own'",
        ):
            self.assertIn(words, text)

    def test_without(self) -> None:
        """Plain pytest skips them, visibly; or fails them, if asked to."""
        text = self.pytest("-k", "good", fuzzy=False, status=0)
        self.assertIn("fuzzyrun python -m pytest", text)
        self.assertIn("1 skipped", text)
        text = self.pytest("-k", "good", "--fuzzy-required", fuzzy=False, status=1)
        self.assertIn("1 failed", text)

    def test_bits(self) -> None:
        """The figure is that of known noise: closed forms, and the ceiling if equal."""
        from fuzzytorch import statistics
        from fuzzytorch.pytest_plugin import significant_bits

        step = 2.0**-10
        values = [np.full((1000,), 1 + k * step) for k in (-1.0, 0.0, 1.0)]
        got, note = significant_bits(values)
        assert got is not None
        self.assertAlmostEqual(got, 10 - statistics.delta(3), places=9)
        self.assertEqual(note, "")
        same, note = significant_bits([np.ones(3, np.float32)] * 4)
        self.assertEqual(same, statistics.ceiling_bits(4))
        nan = [np.array([1.0, np.nan]), np.array([1.0, 2.0])]
        self.assertEqual(significant_bits(nan)[1], "non-finite in some samples only")
        both = [np.array([1.0, np.nan]), np.array([2.0, np.nan])]
        bits, note = significant_bits(both)
        assert bits is not None
        self.assertEqual(note, "")
        ragged = [np.ones(2), np.ones(3)]
        self.assertIn("shapes", significant_bits(ragged)[1])


if __name__ == "__main__":
    unittest.main()
