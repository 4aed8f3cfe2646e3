"""The pure parts of the studies, and their tables against what they measured.

SPDX-License-Identifier: Apache-2.0

What needs torch or NumPy runs in the Python of PY_WHEEL; the tables need neither.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))

import studies
import tables

WHEEL = os.environ.get("PY_WHEEL", sys.executable)


def in_wheel(folder: str, code: str, *words: str) -> subprocess.CompletedProcess:
    """Run some lines in the Python that has torch, from a folder of examples/."""
    path = f"{EXAMPLES / folder}{os.pathsep}{ROOT / 'python'}"
    return subprocess.run(
        [WHEEL, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


IDX = """
import gzip, struct, sys
from pathlib import Path
import digits, torch
folder = Path(sys.argv[1])
def idx(name, shape, values, pack=False):
    data = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(values)
    if pack:
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
    else:
        (folder / name).write_bytes(data)
idx("train-images-idx3-ubyte", (3, 2, 4), range(24))
idx("train-labels-idx1-ubyte", (3,), [7, 0, 9])
idx("t10k-images-idx3-ubyte", (2, 2, 4), [255] * 16, pack=True)
idx("t10k-labels-idx1-ubyte", (2,), [1, 2], pack=True)
images, labels, test_images, test_labels = digits.load(str(folder))
assert images.shape == (3, 1, 2, 4) and images.dtype == torch.float32
assert torch.equal(images[1, 0], torch.arange(8, 16).reshape(2, 4) / 255)
assert labels.tolist() == [7, 0, 9] and labels.dtype == torch.int64
assert test_images.unique().tolist() == [1.0] and test_labels.tolist() == [1, 2]
"""


class Digits(unittest.TestCase):
    """MNIST's files and the F1 score."""

    def test_idx_files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = in_wheel("digits", IDX, folder)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_broken_idx_files_are_told(self) -> None:
        code = "import digits, sys; from pathlib import Path; digits.read_idx(Path(sys.argv[1]))"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "x-idx1-ubyte"
            for content, told in (
                (None, "no such file"),
                (b"not idx", "not an idx file"),
                (b"\0\0\x08\1\0\0\0\5abc", "cut off"),
            ):
                if content is not None:
                    file.write_bytes(content)
                done = in_wheel("digits", code, str(file))
                self.assertEqual(done.returncode, 1)
                self.assertIn(told, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_f1(self) -> None:
        code = (
            "import torch, digits; from sklearn.metrics import f1_score\n"
            "g = torch.Generator().manual_seed(1)\n"
            "a, b = torch.randint(10, (2, 200), generator=g)\n"
            "b[:150] = a[:150]\n"
            "assert abs(digits.macro_f1(a, b) - f1_score(b, a, average='macro')) < 1e-12\n"
        )
        done = in_wheel("digits", code)
        self.assertEqual(done.returncode, 0, done.stderr)


class Votes(unittest.TestCase):
    """Entropy of votes, by hand."""

    def test_entropy_map(self) -> None:
        code = (
            "import sys, types; sys.modules['pictures'] = types.ModuleType('pictures')\n"
            "import numpy as np; from study import by_slice, entropy_map\n"
            "m = [np.zeros((2, 3, 4), np.uint8) for _ in range(4)]\n"
            "m[0][1, 2, 3] = 1; m[0][0, 0, 0] = m[1][0, 0, 0] = 1\n"
            "e = entropy_map(m)\n"
            "h = -(.25 * np.log2(.25) + .75 * np.log2(.75))\n"
            "assert abs(e[1, 2, 3] - h) < 1e-12 and e[0, 0, 0] == 1\n"
            "assert np.count_nonzero(e) == 2\n"
            "assert [len(x) for x in by_slice(e)] == [2, 3, 4]\n"
            "assert abs(by_slice(e)[0][0] - 1 / 12) < 1e-3\n"
        )
        done = in_wheel("mri", code)
        self.assertEqual(done.returncode, 0, done.stderr)


class Sums(unittest.TestCase):
    """The laws of the harmonic sum that the table has."""

    def test_predicted(self) -> None:
        code = (
            "from study import predicted; import math\n"
            "p = predicted(1000)\n"
            "exact = math.fsum(1 / k for k in range(1, 1001))\n"
            "assert abs(p['exact'] - exact) < 1e-12\n"
            "ud = sum(4.0 ** (math.floor(math.log2(math.fsum(1 / j for j in "
            "range(1, k + 1)))) - 23) for k in range(1, 1001))\n"
            "assert abs(p['ud_sd'] / ud ** .5 - 1) < 1e-6\n"
            "assert .3 < p['sr_sd'] / p['ud_sd'] < .5\n"
        )
        done = in_wheel("harmonic", code)
        self.assertEqual(done.returncode, 0, done.stderr)


REPORT = {
    "layers": ["blas", "inst"],
    "isa": "avx2",
    "totals": {"perturbed": {"calls": 9, "flops": 900}, "passed": {"flops": 5}},
    "instructions": [
        {"operations": {"perturbed": 90, "exact": 7, "left": 5}, "unknown_sites": 3},
        {"operations": None},
    ],
}


class Tables(unittest.TestCase):
    """What is counted, and that pages say what was measured."""

    def test_coverage(self) -> None:
        found = studies.counted(REPORT)
        self.assertEqual(found["share"], 0.99)
        self.assertEqual(
            (found["perturbed"], found["exact"], found["left"]), (990, 7, 10)
        )
        self.assertIn("99.0000 % of 1000", tables.coverage(found))
        self.assertIn("3 places", tables.coverage(found))
        without = studies.counted({**REPORT, "layers": ["blas"], "instructions": []})
        self.assertIsNone(without["share"])
        self.assertIn("nor are they counted", tables.coverage(without))

    def test_turns_and_ratios(self) -> None:
        options = studies.arguments("", 1).parse_args(["--rounds", "3"])
        code = "import sys; print('work: 2.5 s processor', file=sys.stderr)"
        found = studies.times(options, [sys.executable, "-c", code], ["native"])
        self.assertEqual(found["configurations"]["native"]["seconds"], 2.5)

    def test_a_run_that_was_not_ours_ends_the_study(self) -> None:
        row = {"library": "/x/libtorch_cpu.so", "sites": 5, "why": None}
        mine = {**REPORT, "mode": "sr", "instructions": [row]}
        studies.effective("sr", mine)
        studies.effective("sr", {**mine, "layers": ["blas"], "instructions": []})
        for other, told in (
            ({**mine, "mode": "off"}, "mode off"),
            ({**mine, "instructions": [{**row, "why": "no plan"}]}, "no plan"),
            ({**mine, "instructions": [{**row, "sites": 0}]}, "no site"),
            ({**mine, "instructions": []}, "nothing was perturbed"),
            (
                {
                    **mine,
                    "layers": ["blas"],
                    "totals": {"perturbed": {"calls": 0}},
                    "instructions": [],
                },
                "nothing was perturbed",
            ),
        ):
            with self.assertRaisesRegex(SystemExit, told):
                studies.effective("sr", other)

    def test_times_of_a_run_without_the_library_are_refused(self) -> None:
        options = studies.arguments("", 1).parse_args(["--rounds", "1"])
        alone = [sys.executable, "-c", "pass"]
        with (
            mock.patch.object(studies, "find_library", lambda: "/dev/null"),
            self.assertRaisesRegex(SystemExit, "was not loaded"),
        ):
            studies.times(options, alone, ["native", "sr"])

    def test_commands_are_those_that_one_types(self) -> None:
        parser = studies.arguments("", 10)
        parser.add_argument("--models")
        parser.add_argument("--epochs", type=int, default=8)
        script = str(EXAMPLES / "digits" / "study.py")
        given = "-n 5 --models=a,b -o /tmp/x --scope blas,inst --epochs=8 -j 2 --times"
        inside = str(ROOT / ".venv-studies" / "bin" / "python")
        with (
            mock.patch.object(sys, "argv", [script, *given.split()]),
            mock.patch.object(sys, "executable", inside),
        ):
            found = studies.parsed(parser).command
        want = "python examples/digits/study.py -n 5 --scope blas,inst"
        self.assertEqual(found, want)

    def test_pages_have_the_tables_of_their_results(self) -> None:
        seen = set()
        for page in tables.pages():
            text = page.read_text(encoding="utf-8")
            seen |= {m[2] for m in tables.BLOCK.finditer(text)}
            self.assertEqual(text.count("<!-- table:"), text.count("<!-- end -->"))
            self.assertEqual(
                tables.filled(text), text, f"{page}: run examples/tables.py"
            )
        self.assertEqual(seen, set(tables.TABLES))

    def test_a_changed_number_is_noticed(self) -> None:
        text = "<!-- table: peers -->\n| 1 |\n<!-- end -->\n"
        self.assertNotEqual(tables.filled(text), text)

    def test_results_say_how_they_were_made(self) -> None:
        for name, path in tables.RESULTS.items():
            file = ROOT / path
            if not file.exists() or name == "peers":
                continue
            result = json.loads(file.read_text(encoding="utf-8"))
            self.assertEqual(result["study"], name)
            # A study of several models has a machine and a command for each.
            for part in result.get("models", {"": result}).values():
                self.assertRegex(part["machine"]["commit"], r"^[0-9a-f]{7,}\+?$")
                self.assertTrue(part["machine"]["packages"]["torch"])
                self.assertTrue(part["command"].startswith("python examples/"))
            self.assertIsNone(re.search(r"/(tmp|root|home)/", file.read_text()), path)

    def test_pictures_are_there_and_small(self) -> None:
        for page in tables.pages():
            if page.parent.name == "nas":
                continue
            for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
                picture = page.parent / name
                self.assertTrue(picture.exists(), f"{page}: {name}")
                self.assertLess(picture.stat().st_size, 150_000, picture)


if __name__ == "__main__":
    unittest.main()
