"""fuzzyrun without -n: it becomes the command, with the library preloaded.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from support import FUZZYRUN, ROOT, FuzzyrunCase, library


class Exec(FuzzyrunCase):
    """What the command sees, and what its caller sees of it."""

    def test_same_process(self) -> None:
        process = subprocess.Popen(
            [FUZZYRUN, "sh", "-c", "echo $$"],
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        out, _ = process.communicate(timeout=60)
        self.assertEqual(int(out), process.pid)

    def test_exit_status(self) -> None:
        for status in (0, 1, 3, 120, 255):
            done = self.fuzzyrun("sh", "-c", f"exit {status}")
            self.assertEqual(done.returncode, status)
            self.assertEqual(done.stderr, "")

    def test_dies_of_the_commands_signal(self) -> None:
        self.assertEqual(self.fuzzyrun("sh", "-c", "kill -SEGV $$").returncode, -11)

    def test_arguments_arrive_as_they_are(self) -> None:
        words = ["", "a b", "-n", "--", "-m", "*", "é"]
        show = "import sys; print(sys.argv[1:])"
        for before in ([], ["--"]):
            done = self.fuzzyrun(
                "-m", "ud", *before, sys.executable, "-c", show, *words
            )
            self.assertEqual(done.stdout.strip(), repr(words))

    def test_mode_and_seed(self) -> None:
        show = 'echo "$FUZZY_MODE $FUZZY_SEED"'
        self.assertEqual(self.fuzzyrun("sh", "-c", show).stdout, " \n")
        self.assertEqual(
            self.fuzzyrun("-m", "ud", "-s", "7", "sh", "-c", show).stdout, "ud 7\n"
        )
        done = self.fuzzyrun("sh", "-c", show, FUZZY_MODE="cestac", FUZZY_SEED="9")
        self.assertEqual(done.stdout, "cestac 9\n")
        done = self.fuzzyrun(
            "--mode=sr",
            "--seed=8",
            "sh",
            "-c",
            show,
            FUZZY_MODE="cestac",
            FUZZY_SEED="9",
        )
        self.assertEqual(done.stdout, "sr 8\n")

    def test_no_sample_variables(self) -> None:
        done = self.fuzzyrun("sh", "-c", "env")
        for name in (
            "FUZZY_SAMPLE",
            "PYTHONHASHSEED",
            "OMP_NUM_THREADS",
            "FUZZY_REPORT",
        ):
            self.assertNotIn(name + "=", done.stdout)


class Preload(FuzzyrunCase):
    """LD_PRELOAD as the command gets it."""

    SHOW = ("sh", "-c", 'echo "$LD_PRELOAD"')

    def mapped(self, done: subprocess.CompletedProcess[str], path: Path) -> None:
        """Assert that the command mapped the library, without complaint of the linker."""
        self.assertEqual(done.stderr, "")
        self.assertIn(str(path), done.stdout)

    def other(self) -> Path:
        """Return one more library that can be preloaded."""
        path = self.folder / "other.so"
        shutil.copy(library(), path)
        return path

    def test_absolute_and_mapped(self) -> None:
        self.assertEqual(self.fuzzyrun(*self.SHOW).stdout, f"{library()}\n")
        self.mapped(self.fuzzyrun("cat", "/proc/self/maps"), library())

    def test_appended(self) -> None:
        other = self.other()
        done = self.fuzzyrun(*self.SHOW, LD_PRELOAD=str(other))
        self.assertEqual(done.stdout, f"{other}:{library()}\n")
        done = self.fuzzyrun("cat", "/proc/self/maps", LD_PRELOAD=str(other))
        self.mapped(done, other)
        self.mapped(done, library())

    def test_not_twice(self) -> None:
        done = self.fuzzyrun(FUZZYRUN, *self.SHOW)
        self.assertEqual(done.stdout, f"{library()}\n")

    def test_blank_and_colon(self) -> None:
        for name in ("a b", "a:b", "tab\there", "$LIB"):
            place = self.folder / name
            place.mkdir()
            path = place / "libfuzzytorch.so"
            shutil.copy(library(), path)
            done = self.fuzzyrun(*self.SHOW, FUZZYRUN_LIB=str(path))
            entry = Path(done.stdout.rstrip("\n"))
            self.assertRegex(str(entry), r"^/[^\s:$]*$")
            self.addCleanup(shutil.rmtree, entry.parent)
            self.assertEqual(entry.resolve(), path)
            self.assertEqual(entry.parent.stat().st_mode & 0o777, 0o700)
            again = self.fuzzyrun(*self.SHOW, FUZZYRUN_LIB=str(path))
            self.assertEqual(again.stdout, done.stdout)
            done = self.fuzzyrun("cat", "/proc/self/maps", FUZZYRUN_LIB=str(path))
            # /proc escapes nothing but newlines.
            self.mapped(done, path)

    def test_a_folder_of_someone_else_is_not_trusted(self) -> None:
        place = self.folder / "a b"
        place.mkdir()
        path = place / "libfuzzytorch.so"
        shutil.copy(library(), path)
        first = Path(
            self.fuzzyrun(*self.SHOW, FUZZYRUN_LIB=str(path)).stdout.rstrip("\n")
        )
        self.addCleanup(shutil.rmtree, first.parent)
        first.parent.chmod(0o777)
        second = Path(
            self.fuzzyrun(*self.SHOW, FUZZYRUN_LIB=str(path)).stdout.rstrip("\n")
        )
        self.addCleanup(shutil.rmtree, second.parent)
        self.assertNotEqual(first.parent, second.parent)

    def test_found_beside_the_script(self) -> None:
        tree = self.folder / "tree"
        (tree / "build").mkdir(parents=True)
        shutil.copytree(ROOT / "python" / "fuzzytorch", tree / "python" / "fuzzytorch")
        shutil.copy(FUZZYRUN, tree / "fuzzyrun")
        shutil.copy(library(), tree / "build")
        link = self.folder / "link"
        link.symlink_to(tree / "fuzzyrun")
        for program in (tree / "fuzzyrun", link):
            done = self.fuzzyrun(*self.SHOW, program=str(program), FUZZYRUN_LIB=None)
            self.assertEqual(done.stdout, f"{tree}/build/libfuzzytorch.so\n")
        (tree / "build" / "libfuzzytorch.so").unlink()
        done = self.fuzzyrun(*self.SHOW, program=str(link), FUZZYRUN_LIB=None)
        self.assert_error(done, 2, f"{tree}/build/libfuzzytorch.so", "make")


class Errors(FuzzyrunCase):
    """One line, and a status that is not 0."""

    def test_no_command(self) -> None:
        self.assert_error(self.fuzzyrun(), 2, "no command")
        self.assert_error(self.fuzzyrun("-m", "sr", "--"), 2, "no command")

    def test_command_not_found(self) -> None:
        self.assert_error(
            self.fuzzyrun("no-such-program"), 127, "no-such-program", "not found"
        )
        self.assert_error(self.fuzzyrun("./no-such-program"), 127, "not found")

    def test_not_executable(self) -> None:
        path = self.script("print(1)")
        path.chmod(0o644)
        self.assert_error(self.fuzzyrun("./script.py"), 126, "not an executable")

    def test_not_a_program(self) -> None:
        path = self.folder / "junk"
        path.write_bytes(b"\x7fELFjunk")
        path.chmod(0o755)
        self.assert_error(self.fuzzyrun("./junk"), 126, "junk")

    def test_options(self) -> None:
        self.assert_error(self.fuzzyrun("-x", "true"), 2, "-x")
        self.assert_error(self.fuzzyrun("-m", "srr", "true"), 2, "'srr'", "cestac")
        for seed in ("x", "-1", str(1 << 64), "1.5", ""):
            self.assert_error(self.fuzzyrun(f"--seed={seed}", "true"), 2, "seed")
        for option in (("-j", "2"), ("-o", "x"), ("--control", "0")):
            self.assert_error(self.fuzzyrun(*option, "true"), 2, option[0], "-n")

    def test_reserved_words(self) -> None:
        self.assert_error(self.fuzzyrun("cache", "x"), 2, "cache", "--clear")
        program = self.folder / "report"
        program.write_text("#!/bin/sh\necho ran\n", encoding="utf-8")
        program.chmod(0o755)
        path = f"{self.folder}:{os.environ['PATH']}"
        self.assertEqual(self.fuzzyrun("--", "report", PATH=path).stdout, "ran\n")
        self.assertEqual(self.fuzzyrun("./report").stdout, "ran\n")

    def test_library_missing(self) -> None:
        done = self.fuzzyrun("true", FUZZYRUN_LIB=str(self.folder / "none.so"))
        self.assert_error(done, 2, "none.so")

    def test_library_of_another_machine(self) -> None:
        original = library().read_bytes()
        for offset, value, name in (
            (18, b"\xb7\x00", "aarch64"),
            (4, b"\x01", "32-bit"),
        ):
            path = self.folder / f"{name}.so"
            path.write_bytes(
                original[:offset] + value + original[offset + len(value) :]
            )
            for arguments in (("true",), ("-n", "2", "-o", "out", "true")):
                done = self.fuzzyrun(*arguments, FUZZYRUN_LIB=str(path))
                self.assert_error(done, 2, name, "make")
            self.assertFalse((self.folder / "out").exists())

    def test_library_not_a_library(self) -> None:
        path = self.folder / "text.so"
        path.write_text("INPUT(-lm)\n", encoding="utf-8")
        self.assert_error(
            self.fuzzyrun("true", FUZZYRUN_LIB=str(path)), 2, "not a shared"
        )


class Help(FuzzyrunCase):
    """What needs no library."""

    def test_help(self) -> None:
        for option in ("-h", "--help"):
            done = self.fuzzyrun(option, FUZZYRUN_LIB="/nowhere")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith("usage: fuzzyrun"))

    def test_version(self) -> None:
        self.assertRegex(
            self.fuzzyrun("--version").stdout, r"^fuzzyrun \d+\.\d+\.\d+\n$"
        )


if __name__ == "__main__":
    unittest.main()
