"""fuzzyrun --libs, prepare and cache, on a program compiled here.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = r"""
#include <stdio.h>
int main(void)
{
    volatile float third = 3;
    float s = 0;
    for (int i = 1; i < 1000; i++)
        s += 1 / (third * (float)i);
    printf("sum %.9g\n", s);
    return 0;
}
"""


class Plans(unittest.TestCase):
    """The commands, in a folder of their own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="fuzzy-plans-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "sum.c").write_text(SOURCE, encoding="utf-8")
        self.compile("sum", "-O2")

    def compile(self, name: str, *flags: str) -> None:
        subprocess.run(["cc", *flags, "-o", name, "sum.c"], cwd=self.folder, check=True)

    def fuzzyrun(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = dict(
            os.environ, FUZZY_CACHE=str(self.folder / "cache"), FUZZY_VERBOSE="0"
        )
        env.update(more)
        return subprocess.run(
            [sys.executable, ROOT / "fuzzyrun", *words],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_libs_perturbs_a_program(self) -> None:
        native = subprocess.run(
            [self.folder / "sum"], capture_output=True, text=True, check=True
        ).stdout
        seen = {
            self.fuzzyrun("--libs", "sum", "-s", str(k), "--", "./sum").stdout
            for k in range(8)
        }
        self.assertGreater(len(seen), 3)
        self.assertEqual(self.fuzzyrun("--libs", "other", "--", "./sum").stdout, native)

    def test_samples_of_a_program_count_as_perturbed(self) -> None:
        done = self.fuzzyrun(
            "-n", "3", "-s", "1", "-o", "d", "--libs", "sum", "--", "./sum"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(
            (self.folder / "d" / "sample-0001" / "report.json").read_text()
        )
        (row,) = report["instructions"]
        self.assertEqual(Path(row["library"]).name, "sum")
        self.assertGreater(row["perturbed"], 0)
        self.assertEqual(report["libs"], "torch,sum")
        done = self.fuzzyrun("-n", "2", "-o", "e", "--libs", "other", "--", "./sum")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing was perturbed in 2 of 2", done.stderr)

    def test_static_program_is_named(self) -> None:
        self.compile("fixed", "-static")
        done = self.fuzzyrun("--libs", "all", "--", "./fixed")
        self.assertEqual(done.returncode, 0)
        self.assertIn("statically linked", done.stderr)
        self.assertEqual(self.fuzzyrun("prepare", "./fixed").returncode, 1)

    def test_stripped_and_fixed_address_programs(self) -> None:
        for name, flags in (("s", ["-s"]), ("n", ["-no-pie", "-s", "-O3"])):
            self.compile(name, *flags)
            with self.subTest(flags=flags):
                seen = {
                    self.fuzzyrun(
                        "--libs", name, "-s", str(k), "--", f"./{name}"
                    ).stdout
                    for k in range(8)
                }
                self.assertGreater(len(seen), 3)

    def test_x87_is_named(self) -> None:
        self.compile("long", "-O2", "-mfpmath=387")
        done = self.fuzzyrun(
            "--libs", "long", "./long", FUZZY_REPORT=str(self.folder / "r.json")
        )
        (row,) = json.loads((self.folder / "r.json").read_text())["instructions"]
        self.assertEqual([entry["why"] for entry in row["left"]], ["x87"])
        self.assertEqual(row["perturbed"], 0)
        self.assertIn("nothing was perturbed", done.stderr)

    def test_prepare_and_cache(self) -> None:
        done = self.fuzzyrun("prepare", "--libs", "sum", "--", "./sum")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            [line.split(",")[0] for line in done.stdout.splitlines()],
            ["sr: 1 new plans", "ud: 1 new plans"],
        )
        self.assertNotIn("sum 0", done.stdout)  # main did not run
        listed = self.fuzzyrun("cache").stdout
        self.assertRegex(listed, r"(?m)^  sum\s+sr\s")
        self.assertRegex(listed, r"(?m)^  sum\s+ud\s")
        before = sorted((self.folder / "cache").glob("*.plan"))
        self.fuzzyrun("--libs", "sum", "-m", "ud", "--", "./sum")
        self.assertEqual(sorted((self.folder / "cache").glob("*.plan")), before)
        (self.folder / "cache" / "mine.txt").write_text("x")
        self.assertIn("2 plans removed", self.fuzzyrun("cache", "--clear").stdout)
        self.assertEqual(
            [p.name for p in (self.folder / "cache").iterdir()], ["mine.txt"]
        )


if __name__ == "__main__":
    unittest.main()
