"""fuzzyrun -n: samples, controls, resuming, and what can go wrong on the way.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import unittest

import support  # noqa: F401  (makes the package importable)
from fuzzytorch.statistics import significant
from support import COUNTED, FUZZYRUN, NOISY, FuzzyrunCase, library


class Samples(FuzzyrunCase):
    """A study that goes well."""

    def sample(
        self, *arguments: object, n: int = 3, o: str = "out", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Sample script.py without controls."""
        return self.fuzzyrun(
            "-n",
            n,
            "-o",
            o,
            "--control",
            0,
            *arguments,
            "--",
            sys.executable,
            "script.py",
            **env,
        )

    def test_folder(self) -> None:
        self.script(NOISY + "import sys\nprint('to stderr', file=sys.stderr)\n")
        done = self.fuzzyrun(
            "-n",
            3,
            "-s",
            40,
            "-m",
            "ud",
            "-o",
            "out",
            "--",
            sys.executable,
            "script.py",
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        names = sorted(p.name for p in (self.folder / "out").iterdir())
        self.assertEqual(
            names,
            [
                "control-1",
                "control-2",
                "lock",
                "sample-0001",
                "sample-0002",
                "sample-0003",
                "study.json",
            ],
        )
        for k in (1, 2, 3):
            folder = self.folder / "out" / f"sample-{k:04d}"
            self.assertIn("accuracy: 0.975", (folder / "stdout").read_text())
            self.assertEqual((folder / "stderr").read_text(), "to stderr\n")
            self.assertEqual((folder / "files" / "seed.txt").read_text(), str(39 + k))
            self.assertIn("perturbed", (folder / "report.json").read_text())
            status = self.status(f"out/sample-{k:04d}")
            self.assertEqual(
                (
                    status["exit_status"],
                    status["seed"],
                    status["mode"],
                    status["sample"],
                ),
                (0, 39 + k, "ud", k),
            )
            self.assertEqual(status["command"], [sys.executable, "script.py"])
            self.assertGreater(status["wall_seconds"], 0)
        self.assertEqual(self.status("out/control-1")["mode"], "off")
        self.assertFalse((self.folder / "out" / "control-1" / "report.json").exists())
        self.assertIn("3 of 3 samples finished", done.stdout)
        self.assertIn("2 runs in mode off give the same stdout and files", done.stdout)
        self.assertIn("1 collected, 1 vary: seed.txt", done.stdout)

    def test_digits(self) -> None:
        self.script(NOISY)
        done = self.sample("-s", 1, n=5)
        values = []
        for k in range(1, 6):
            text = (self.folder / "out" / f"sample-{k:04d}" / "stdout").read_text()
            values.append(float(text.split("loss: ")[1].split(",")[0]))
        self.assertEqual(len(set(values)), 5)
        digits = significant(values).digits
        row = next(
            line for line in done.stdout.splitlines() if line.split()[:1] == ["loss"]
        )
        self.assertEqual(row.split()[3], f"{digits:.2f}")
        self.assertIn("delta(5) = 2.494 bits", done.stdout)
        self.assertIn("6.17 in f32", done.stdout)
        self.assertIn("3 numbers in all samples, 1 vary, 2 are equal", done.stdout)
        self.assertIn("probability 0.55 only", done.stdout)

    def test_environment(self) -> None:
        self.script(
            "import os\n"
            "names = ('PYTHONHASHSEED', 'OMP_NUM_THREADS', 'FUZZY_SAMPLE')\n"
            "print(*(os.environ[n] for n in names), 'FUZZY_LINEAGE' in os.environ)\n"
        )
        cores = len(os.sched_getaffinity(0))
        self.sample("-j", 2, FUZZY_LINEAGE="7")
        text = (self.folder / "out" / "sample-0002" / "stdout").read_text()
        self.assertEqual(text, f"0 {max(1, cores // 2)} 2 False\n")
        study = json.loads((self.folder / "out" / "study.json").read_text())
        self.assertEqual(
            study["environment"],
            {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": str(max(1, cores // 2))},
        )
        self.sample(o="set", OMP_NUM_THREADS="3", PYTHONHASHSEED="5")
        text = (self.folder / "set" / "sample-0002" / "stdout").read_text()
        self.assertEqual(text, "5 3 2 False\n")
        self.assertEqual(
            self.status("set/sample-0001")["environment"],
            {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "3"},
        )

    def test_jobs_run_together(self) -> None:
        # Each waits for a file of the other: one at a time they would never end.
        self.script(
            "import os, time\n"
            "me = int(os.environ['FUZZY_SAMPLE'])\n"
            "open(f'here{me}', 'w').close()\n"
            "end = time.monotonic() + 20\n"
            "while not os.path.exists(f'here{3 - me}'):\n"
            "    assert time.monotonic() < end\n"
            "    time.sleep(0.01)\n"
        )
        self.assertEqual(self.sample("-j", 2, n=2).returncode, 0)

    def test_seed_is_drawn_and_kept(self) -> None:
        self.script(NOISY)
        self.sample(o="a", n=1)
        self.sample(o="b", n=1)
        first = self.status("a/sample-0001")["seed"]
        self.assertNotEqual(first, self.status("b/sample-0001")["seed"])
        self.assertEqual(self.sample(o="a", n=2).returncode, 0)
        self.assertEqual(self.status("a/sample-0002")["seed"], first + 1)

    def test_seeds_wrap(self) -> None:
        self.script(NOISY)
        self.assertEqual(self.sample("-s", (1 << 64) - 1, n=2).returncode, 0)
        self.assertEqual(self.status("out/sample-0002")["seed"], 0)

    def test_default_folder(self) -> None:
        self.script(NOISY)
        for k in (1, 2):
            self.fuzzyrun("-n", 1, "--control", 0, sys.executable, "script.py")
            self.assertTrue(
                (self.folder / f"fuzzy-samples-{k}" / "sample-0001").is_dir()
            )

    def test_percent_in_the_folders_name(self) -> None:
        # The library takes %p in FUZZY_REPORT for the pid, %% for a percent sign.
        self.script("import os; print('REPORT', os.environ['FUZZY_REPORT'])")
        self.sample(o="a%p", n=1)
        text = (self.folder / "a%p" / "sample-0001" / "stdout").read_text()
        self.assertIn("/a%%p/", text)

    def test_progress_lines_and_bar(self) -> None:
        self.script(NOISY)
        done = self.sample(n=2)
        self.assertRegex(
            done.stderr, r"sample-0001 \[1/2\] done in [\d.]+ s, \d+:\d\d left"
        )
        self.assertNotIn("\r", done.stderr)
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [
                FUZZYRUN,
                "-n",
                "2",
                "--control",
                "0",
                "-o",
                "tty",
                "--",
                sys.executable,
                "script.py",
            ],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError:
            pass
        os.close(master)
        self.assertEqual(process.wait(60), 0)
        self.assertRegex(shown.decode(), r"\r\[#*\.+\] 0/2 runs")
        self.assertRegex(shown.decode(), r"1/2 runs, \d+:\d\d so far, \d+:\d\d left")


class Control(FuzzyrunCase):
    """What the command does by itself."""

    def test_not_deterministic(self) -> None:
        self.script(
            "import os\nprint('pid:', os.getpid())\nprint('loss: 0.5')\n"
            "open(os.environ['FUZZY_SAMPLE_DIR'] + '/pid', 'w').write(str(os.getpid()))"
        )
        done = self.fuzzyrun("-n", 2, "-o", "out", "--", sys.executable, "script.py")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("NOT deterministic by itself", done.stdout)
        self.assertIn("stdout and files (pid) differ", done.stdout)
        head = next(x for x in done.stdout.splitlines() if x.split()[:1] == ["value"])
        row = next(x for x in done.stdout.splitlines() if x.split()[:1] == ["pid"])
        self.assertTrue(head.endswith("native sd"))
        self.assertGreater(float(row.split()[-1]), 0)

    def test_own_folder_in_the_output_is_no_difference(self) -> None:
        self.script("import os\nprint('saved to', os.environ['FUZZY_SAMPLE_DIR'])")
        done = self.fuzzyrun("-n", 2, "-o", "out", "--", sys.executable, "script.py")
        self.assertIn("give the same stdout", done.stdout)

    def test_fails_by_itself(self) -> None:
        self.script(COUNTED + "raise SystemExit(3)")
        done = self.fuzzyrun("-n", 2, "-o", "out", "--", sys.executable, "script.py")
        self.assertEqual(done.returncode, 1)
        self.assertIn("fails by itself", done.stderr.splitlines()[-1])
        self.assertIn("exit status 3", done.stderr.splitlines()[-1])
        self.assertEqual((self.folder / "started").read_text(), "0\n0\n")

    def test_nothing_perturbed_is_said(self) -> None:
        self.script(NOISY)
        done = self.fuzzyrun(
            "-n",
            2,
            "-o",
            "out",
            "--control",
            0,
            "--",
            sys.executable,
            "script.py",
            PRETEND_NOTHING="1",
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("NOTHING PERTURBED in 2 of 2", done.stdout)
        self.assertIn("nothing was perturbed in 2 of 2", done.stderr.splitlines()[-1])
        done = self.fuzzyrun(
            "-n",
            2,
            "-o",
            "off",
            "--control",
            0,
            "-m",
            "off",
            "--",
            sys.executable,
            "script.py",
        )
        self.assertEqual(done.returncode, 0, done.stderr)


class Resume(FuzzyrunCase):
    """The same command and the same folder, again."""

    def start(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Sample script.py three times into out/."""
        return self.fuzzyrun(
            "-n",
            3,
            "-s",
            5,
            "-o",
            "out",
            *arguments,
            "--",
            sys.executable,
            "script.py",
            **env,
        )

    def started(self) -> list[str]:
        """Return the samples that began so far."""
        return (self.folder / "started").read_text().split()

    def test_nothing_left(self) -> None:
        self.script(COUNTED)
        first = self.start()
        second = self.start()
        self.assertEqual((first.returncode, second.returncode), (0, 0), second.stderr)
        self.assertEqual(self.started(), ["0", "0", "1", "2", "3"])
        self.assertEqual(first.stdout, second.stdout)

    def test_only_what_is_missing(self) -> None:
        self.script(COUNTED)
        self.start("--control", 0)
        shutil.rmtree(self.folder / "out" / "sample-0002")
        # A run that was cut short: never counted, whatever it holds.
        half = self.folder / "out" / ".part-sample-0003"
        (self.folder / "out" / "sample-0003").rename(half)
        done = self.start("--control", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.started(), ["1", "2", "3", "2", "3"])
        self.assertFalse(half.exists())

    def test_more_and_fewer_samples(self) -> None:
        self.script(COUNTED)
        self.start("--control", 0)
        more = self.start("--control", 0, "-n", 4)
        self.assertIn("4 of 4", more.stdout)
        fewer = self.start("--control", 0, "-n", 2)
        self.assertIn("2 of 2", fewer.stdout)
        self.assertEqual(self.started(), ["1", "2", "3", "4"])

    def test_another_study(self) -> None:
        script = self.script(COUNTED)
        self.assertEqual(self.start("--control", 0).returncode, 0)
        before = {
            p: p.stat().st_mtime_ns
            for p in (self.folder / "out").rglob("*")
            if p.name != "lock" and p.is_file()
        }
        error = (2, "another study", "-o")
        self.assert_error(self.start("-m", "ud"), *error, "mode")
        self.assert_error(self.start("-s", 6), *error, "seed")
        self.assert_error(self.start(OMP_NUM_THREADS="7"), *error, "OMP_NUM_THREADS")
        self.assert_error(
            self.start(FUZZY_PRECISION="f32:12"), *error, "FUZZY_PRECISION"
        )
        self.assert_error(
            self.fuzzyrun("-n", 3, "-s", 5, "-o", "out", "true"), *error, "command"
        )
        script.write_text(COUNTED + "# changed\n", encoding="utf-8")
        self.assert_error(self.start(), *error, "script")
        self.assertEqual(self.started(), ["1", "2", "3"])
        after = {
            p: p.stat().st_mtime_ns
            for p in (self.folder / "out").rglob("*")
            if p.name != "lock" and p.is_file()
        }
        self.assertEqual(before, after)

    def test_another_library(self) -> None:
        self.script(COUNTED)
        self.start("--control", 0)
        other = self.folder / "other.so"
        other.write_bytes(library().read_bytes() + b"\0")
        self.assert_error(self.start(FUZZYRUN_LIB=str(other)), 2, "library")

    def test_failing_sample_is_kept_and_tried_again(self) -> None:
        self.script(
            COUNTED + "if os.environ['FUZZY_SAMPLE'] == '2' and "
            "not os.path.exists('mended'):\n    raise SystemExit(9)\nprint('x 1.5')"
        )
        done = self.start("--control", 0)
        self.assertEqual(done.returncode, 1)
        self.assertIn("2 of 3 samples finished", done.stdout)
        self.assertIn("sample 2 (seed 6) failed with exit status 9", done.stdout)
        self.assertIn("sample-0002", done.stderr)
        self.assertEqual(self.status("out/sample-0002")["exit_status"], 9)
        (self.folder / "mended").touch()
        done = self.start("--control", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.started(), ["1", "2", "3", "2"])
        self.assertEqual(self.status("out/sample-0002")["exit_status"], 0)

    def test_killed_sample(self) -> None:
        self.script("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
        done = self.start("--control", 0)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.status("out/sample-0001")["signal"], "SIGSEGV")
        self.assertEqual(self.status("out/sample-0001")["exit_status"], 139)

    def test_damaged_folder(self) -> None:
        self.script(COUNTED)
        self.start("--control", 0)
        (self.folder / "out" / "study.json").write_text("{")
        self.assert_error(self.start(), 1, "study.json", "damaged")


if __name__ == "__main__":
    unittest.main()
