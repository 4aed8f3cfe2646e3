"""fuzzyrun -n when it is interrupted, shut out, given nonsense, or out of room.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from support import FUZZYRUN, NOISY, FuzzyrunCase


class Interrupted(FuzzyrunCase):
    """Ctrl-C, and a second fuzzyrun meanwhile."""

    SLOW = (
        "import os, signal, sys, time\n"
        "def told(*_):\n"
        "    open('told', 'w').close()\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, told)\n"
        "me = os.environ['FUZZY_SAMPLE']\n"
        "open('started' + me, 'w').write(str(os.getpid()))\n"
        "if me == '2' and not os.path.exists('quick'):\n"
        "    time.sleep(60)\n"
        "print('x 0.5')\n"
    )

    def launch(self) -> subprocess.Popen[str]:
        """Start a study whose second sample does not end, wait until it runs."""
        self.script(self.SLOW)
        # In the background of a script SIGINT comes ignored, and would be handed on.
        self.addCleanup(
            signal.signal,
            signal.SIGINT,
            signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        process = subprocess.Popen(
            [
                FUZZYRUN,
                "-n",
                "2",
                "-s",
                "1",
                "--control",
                "0",
                "-o",
                "out",
                "--",
                sys.executable,
                "script.py",
            ],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.until(
            lambda: (
                (self.folder / "started2").exists()
                and (self.folder / "started2").read_text() != ""
            )
        )
        return process

    def until(self, condition) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), end, "waited in vain")
            time.sleep(0.01)

    def again(self) -> subprocess.CompletedProcess[str]:
        """Run the same command once more."""
        return self.fuzzyrun(
            "-n",
            2,
            "-s",
            1,
            "--control",
            0,
            "-o",
            "out",
            "--",
            sys.executable,
            "script.py",
        )

    def test_finished_samples_stay(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                process = self.launch()
                child = int((self.folder / "started2").read_text())
                process.send_signal(number)
                _, err = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 130, err)
                self.assertIn("interrupted", err.splitlines()[-1])
                self.assertNotIn("Traceback", err)
                # Asked to end, not only killed.
                (self.folder / "told").unlink()
                with self.assertRaises(ProcessLookupError):
                    os.kill(child, 0)
                names = sorted(p.name for p in (self.folder / "out").iterdir())
                self.assertEqual(names, ["lock", "sample-0001", "study.json"])
                (self.folder / "quick").touch()
                self.assertEqual(self.again().returncode, 0)
                self.assertTrue(
                    (self.folder / "out" / "sample-0002" / "status.json").exists()
                )
                shutil.rmtree(self.folder / "out")
                (self.folder / "quick").unlink()
                (self.folder / "started2").unlink()

    def test_lock(self) -> None:
        process = self.launch()
        self.assert_error(
            self.again(), 1, "in use by another fuzzyrun", str(process.pid), "-o"
        )
        self.assertTrue((self.folder / "out" / ".part-sample-0002").is_dir())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        (self.folder / "quick").touch()
        self.assertEqual(self.again().returncode, 0)

    def test_killed_fuzzyrun_leaves_no_lock(self) -> None:
        process = self.launch()
        process.kill()
        process.communicate()
        os.kill(int((self.folder / "started2").read_text()), signal.SIGKILL)
        (self.folder / "quick").touch()
        self.assertEqual(self.again().returncode, 0)
        names = sorted(p.name for p in (self.folder / "out").iterdir())
        self.assertEqual(names, ["lock", "sample-0001", "sample-0002", "study.json"])


class Errors(FuzzyrunCase):
    """One line, a status that is not 0, and no folder made for nothing."""

    def test_counts(self) -> None:
        for n in ("0", "-3", "x", "1.5", ""):
            self.assert_error(self.fuzzyrun("-n", n, "true"), 2, "number of samples")
        self.assert_error(self.fuzzyrun("-n", 1, "-j", 0, "true"), 2, "number of jobs")
        self.assert_error(
            self.fuzzyrun("-n", 1, "--control", -1, "true"), 2, "controls"
        )
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_command_not_found(self) -> None:
        self.assert_error(
            self.fuzzyrun("-n", 2, "-o", "out", "no-such-program"),
            127,
            "no-such-program",
            "not found",
        )
        self.assert_error(
            self.fuzzyrun("-n", 2, "-o", "out", FUZZYRUN_LIB="/none.so"), 2
        )
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_bad_environment(self) -> None:
        self.assert_error(self.fuzzyrun("-n", 2, "true", FUZZY_MODE="srr"), 2, "srr")
        self.assert_error(self.fuzzyrun("-n", 2, "true", FUZZY_SEED="1x"), 2, "1x")

    def test_folder_of_something_else(self) -> None:
        (self.folder / "work").mkdir()
        (self.folder / "work" / "precious").touch()
        self.assert_error(
            self.fuzzyrun("-n", 2, "-o", "work", "true"), 2, "other things"
        )
        self.assertEqual(
            [p.name for p in (self.folder / "work").iterdir()], ["precious"]
        )
        (self.folder / "file").touch()
        self.assert_error(self.fuzzyrun("-n", 2, "-o", "file", "true"), 1, "file")

    def test_stdout_full(self) -> None:
        self.script(NOISY)
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [FUZZYRUN, "-n", "2", "-o", "out", "--", sys.executable, "script.py"],
                cwd=self.folder,
                env=self.env,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn("full", done.stderr.splitlines()[-1])
        self.assertNotIn("Traceback", done.stderr)
        self.assertTrue((self.folder / "out" / "sample-0002").is_dir())

    def test_disk_full(self) -> None:
        disk = self.folder / "disk"
        disk.mkdir()
        mount = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        probe = subprocess.run(
            [*mount, "mount", "-t", "tmpfs", "tmpfs", str(disk)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if probe.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted here: {probe.stderr.strip()}")
        # The second sample fills the disk and pretends that all is well.
        self.script(
            "import os\n"
            "print('x 0.5')\n"
            "if os.environ['FUZZY_SAMPLE'] == '2':\n"
            "    try:\n"
            "        with open(os.environ['FUZZY_SAMPLE_DIR'] + '/big', 'wb') as file:\n"
            "            while True:\n"
            "                file.write(bytes(4096))\n"
            "                file.flush()\n"
            "    except OSError:\n"
            "        os._exit(0)\n"
        )
        inside = (
            f"mount -t tmpfs -o size=400k tmpfs '{disk}' && '{FUZZYRUN}' -n 3 -s 1 "
            f"--control 0 -o '{disk}/out' -- '{sys.executable}' script.py; "
            f"echo status $?; ls -A '{disk}/out'"
        )
        done = subprocess.run(
            [*mount, "sh", "-c", inside],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertIn("status 1", done.stdout)
        self.assertIn("the disk is full", done.stderr.splitlines()[-1])
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(
            done.stdout.split("\n")[1:4], ["lock", "sample-0001", "study.json"]
        )


if __name__ == "__main__":
    unittest.main()
