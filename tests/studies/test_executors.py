"""Executors: dask with real schedulers and workers, Slurm with a stand-in; fuzzyrun status.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import unittest
from collections import Counter
from pathlib import Path
from typing import Any

from common import LIBRARY, PYTHON, ROOT, StudyCase

#: Says when it starts and ends, and computes something in between.
LOGGED = """\
import os, sys, time, torch
def log(what):
    fd = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what} {os.environ['FUZZY_SAMPLE']} {os.getpid()}\\n".encode())
    os.close(fd)
log("start")
torch.manual_seed(0)
print((torch.rand(50, 50) @ torch.rand(50, 50)).double().sum().item())
time.sleep(float(sys.argv[1]) if os.environ["FUZZY_SAMPLE"] != "1" else 0)
log("end")
"""

#: What is known of sbatch: runs the script it is handed, once for each index of the array.
SBATCH = """\
#!{python}
import os, re, subprocess, sys
script = sys.argv[-1]
open("sbatch.log", "a").write(" ".join(sys.argv[1:]) + "\\n")
print("4711", flush=True)
text = open(script).read()
last = int(re.search(r"^#SBATCH --array=0-(\\d+)%\\d+$", text, re.M)[1])
output = re.search(r"^#SBATCH --output=(.*)$", text, re.M)[1]
bad = 0
for i in range(last + 1):
    out = open(output.replace("%A", "4711").replace("%a", str(i)), "w")
    env = dict(os.environ, SLURM_ARRAY_TASK_ID=str(i), SLURM_PROCID="0")
    if os.environ.get("STANDIN_LOSES") == str(i):
        continue
    bad |= subprocess.run([script], env=env, stdout=out, stderr=out).returncode
sys.exit(bad)
"""


class Executors(StudyCase):
    """Samples made elsewhere are the samples that fuzzyrun makes itself."""

    def log(self, what: str) -> Counter[str]:
        """Return how often each sample has logged a word."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(li.split()[1] for li in lines if li.split()[0] == what)

    def outputs(self, folder: str) -> list[str]:
        """Return stdout of all samples."""
        found = sorted((self.folder / folder).glob("sample-*/stdout"))
        return [p.read_text() for p in found]

    def sampled(self, folder: str, *words: str, seconds: str = "0", **env: str) -> str:
        """Run fuzzyrun for three samples and one control; return its stderr."""
        return self.fuzzyrun(
            "-n", 3, "-s", 7, "--control", 1, "-j", 2, "-o", folder, *words,
            "--", sys.executable, self.folder / "script.py", seconds, **env,
        ).stderr  # fmt: skip


class Dask(Executors):
    """dask.distributed."""

    def test_own_cluster(self) -> None:
        """Worker processes of fuzzyrun's own: the same bits, records too."""
        self.script(LOGGED)
        self.sampled("here")
        self.sampled("there", "--executor", "dask")
        self.assertEqual(self.outputs("here"), self.outputs("there"))
        self.assertEqual(len(set(self.outputs("there"))), 3)
        self.assertEqual(self.log("start"), {"0": 2, "1": 2, "2": 2, "3": 2})
        status = self.status("there/sample-0002")
        self.assertEqual((status["executor"], status["seed"]), ("dask", 8))
        state = json.loads(self.fuzzyrun("status", "--json", "there").stdout)
        self.assertEqual((state["finished"], state["executor"]), (3, "dask"))
        self.assertTrue(state["complete"])
        # The same study, whoever goes on with it.
        self.fuzzyrun(
            "-n", 4, "-s", 7, "--control", 1, "-j", 2, "-o", "there",
            "--", sys.executable, self.folder / "script.py", "0",
        )  # fmt: skip
        self.assertEqual(self.log("start")["4"], 1)
        self.assertEqual(self.log("start")["1"], 2)

    def test_a_worker_is_killed(self) -> None:
        """Finished samples stay and are not made again; the killed one is, once."""
        from distributed import LocalCluster

        self.script(LOGGED)
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self.addCleanup(cluster.close)
        words = ["-n", "5", "-s", "1", "--control", "0", "-j", "2", "-o", "d"]
        words += ["--executor", f"dask:{cluster.scheduler_address}"]
        with subprocess.Popen(
            [sys.executable, str(ROOT / "fuzzyrun"), *words, "--", sys.executable,
             str(self.folder / "script.py"), "3"],
            cwd=self.folder, env=self.env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            done, under_way = self.wait_for_two()
            os.kill(self.worker_of(cluster, done[0]), signal.SIGKILL)
            out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("5 of 5 samples finished", out)
        starts, ends = self.log("start"), self.log("end")
        self.assertEqual(ends, {str(k): 1 for k in range(1, 6)}, "each ended once")
        self.assertTrue(done)
        for name in done:
            self.assertEqual(starts[str(int(name[-4:]))], 1, f"{name} was made again")
        again = [k for k, n in starts.items() if n == 2]
        self.assertEqual(sum(starts.values()), 6, starts)
        self.assertIn(f"sample-{int(again[0]):04d}", under_way)
        self.assertEqual(len(set(self.outputs("d"))), 5)
        self.assertFalse(list((self.folder / "d").glob(".part-*")))

    def worker_of(self, cluster: Any, name: str) -> int:
        """Return the process of the worker that holds a finished sample's result.

        The scheduler has that task made anew when the worker dies.
        """
        from distributed import Client

        with Client(cluster) as client:
            for _ in range(1200):
                for address, keys in client.has_what().items():
                    if any(f"-{name}-" in str(key) for key in keys):
                        nannies = cluster.workers.values()
                        nanny = next(n for n in nannies if n.worker_address == address)
                        return int(nanny.process.process.pid)
                time.sleep(0.02)
        raise AssertionError(f"no worker has {name}")

    def wait_for_two(self) -> tuple[list[str], list[str]]:
        """Wait until a sample is finished and two are under way; return their names."""
        study = self.folder / "d"
        for _ in range(600):
            done = [p.parent.name for p in study.glob("sample-*/status.json")]
            parts = [p.name.replace(".part-", "") for p in study.glob(".part-*")]
            lines = self.log("start")
            if done and len(parts) == 2 and all(lines[str(int(p[-4:]))] for p in parts):
                return done, parts
            time.sleep(0.05)
        raise AssertionError("no sample got finished")

    def test_trouble(self) -> None:
        """No scheduler, no dask: one line."""
        self.script(LOGGED)
        (self.folder / "distributed.py").write_text("raise ImportError\n")
        done = self.fuzzyrun(
            "-n", 1, "--executor", "dask", "--", sys.executable, "script.py",
            status=2, PYTHONPATH=str(self.folder),
        )  # fmt: skip
        self.assertIn("pip install 'fuzzytorch[dask]'", done.stderr.splitlines()[-1])


class Slurm(Executors):
    """sbatch, here a stand-in that runs the script it is handed."""

    def setUp(self) -> None:
        """Put the stand-in on PATH."""
        super().setUp()
        (self.folder / "bin").mkdir()
        sbatch = self.script(SBATCH.format(python=sys.executable), "bin/sbatch")
        sbatch.chmod(0o755)
        self.env["PATH"] = f"{self.folder}/bin:{self.env['PATH']}"
        self.script(LOGGED)

    def test_array(self) -> None:
        """One array for controls, one for samples; the same bits."""
        self.sampled("here")
        err = self.sampled("there", "--executor", "slurm")
        self.assertEqual(self.outputs("here"), self.outputs("there"))
        calls = (self.folder / "sbatch.log").read_text().splitlines()
        self.assertEqual(len(calls), 2)
        for call in calls:
            self.assertTrue(call.startswith("--wait --parsable "), call)
        self.assertIn("job array of 3 runs submitted", err)
        text = (self.folder / "there/.jobs/array-2.sh").read_text()
        self.assertIn("--array=0-2%2\n", text)
        self.assertEqual(self.status("there/sample-0003")["executor"], "slurm")

    def test_a_task_is_lost(self) -> None:
        """Said; the same command makes what is missing and nothing else."""
        words = ["-n", 3, "-s", 7, "--control", 0, "-o", "d", "--executor", "slurm"]
        words += ["--", sys.executable, self.folder / "script.py", "0"]
        done = self.fuzzyrun(*words, status=1, STANDIN_LOSES="1")
        self.assertIn("1 of 3 runs", done.stderr.splitlines()[-1])
        self.fuzzyrun(*words)
        self.assertEqual(self.log("start"), {"1": 1, "2": 1, "3": 1})

    def test_no_sbatch(self) -> None:
        """One line."""
        self.env["PATH"] = "/usr/bin:/bin"
        done = self.fuzzyrun(
            "-n", 1, "--executor", "slurm", "--", sys.executable, "script.py", status=2
        )
        self.assertIn("no sbatch on PATH", done.stderr.splitlines()[-1])


class Attempt(Executors):
    """attempt.py, one run of a study."""

    def start(self, name: str) -> subprocess.Popen[str]:
        """Start an attempt as a worker would."""
        process = subprocess.Popen(
            [sys.executable, str(PYTHON / "fuzzytorch/attempt.py"), "--watch",
             str(self.folder / "d"), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.env) + "\n")
        process.stdin.flush()
        return process

    def study(self) -> None:
        """Make a study of one sample whose recipe is there."""
        from fuzzytorch import store

        self.script(LOGGED)
        self.fuzzyrun(
            "-n", 1, "-s", 1, "--control", 0, "-o", "d",
            "--", sys.executable, self.folder / "script.py", "1",
        )  # fmt: skip
        (self.folder / "d/.jobs").mkdir()
        recipe = {"program": sys.executable, "library": LIBRARY, "jobs": 1}
        store.write_json(self.folder / "d/.jobs/recipe.json", recipe)

    def test_one_at_a_time(self) -> None:
        """Two attempts at a run: one makes it, the other finds it made."""
        self.study()
        both = [self.start("sample-0002") for _ in range(2)]
        out = []
        for process in both:
            assert process.stdout is not None
            out.append(json.loads(process.stdout.read()))
            process.communicate()
        self.assertEqual(out[0], out[1])
        self.assertEqual(self.log("start"), {"1": 1, "2": 1})

    def test_ends_while_it_waits(self) -> None:
        """One that waits for another when its worker goes does not begin."""
        self.study()
        first, second = self.start("sample-0002"), None
        for _ in range(1200):
            if self.log("start")["2"]:
                break
            time.sleep(0.05)
        second = self.start("sample-0002")
        time.sleep(0.3)
        for process in (second, first):  # and then the first one's goes, too
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        for process in (first, second):
            assert process.stdout is not None
            self.assertEqual(process.wait(60), 3)
            process.stdout.close()
        self.assertEqual(self.log("start"), {"1": 1, "2": 1})

    def test_ends_with_its_worker(self) -> None:
        """When the worker's pipe closes, the run ends at once and does not count."""
        self.study()
        process = self.start("sample-0002")
        for _ in range(1200):
            if self.log("start")["2"]:
                break
            time.sleep(0.05)
        pid = int((self.folder / "log").read_text().splitlines()[-1].split()[2])
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        self.assertEqual(process.wait(60), 3)
        assert process.stdout is not None
        process.stdout.close()
        self.assertFalse(Path(f"/proc/{pid}").exists() and self.alive(pid))
        self.assertEqual(self.log("end"), {"1": 1})
        self.assertFalse((self.folder / "d/sample-0002").exists())

    @staticmethod
    def alive(pid: int) -> bool:
        """Return whether a process is more than a zombie."""
        try:
            return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False


class Status(Executors):
    """fuzzyrun status."""

    def test_running_and_stopped(self) -> None:
        """While it runs, after a kill, and when it is complete."""
        self.script(LOGGED)
        words = [sys.executable, str(ROOT / "fuzzyrun"), "-n", "3", "-s", "1"]
        words += ["--control", "0", "-o", "d", "--", sys.executable]
        words += [str(self.folder / "script.py"), "30"]
        with subprocess.Popen(
            words, cwd=self.folder, env=self.env, stderr=subprocess.DEVNULL
        ) as process:
            for _ in range(1200):
                if self.log("start")["2"]:
                    break
                time.sleep(0.05)
            text = self.fuzzyrun("status", self.folder / "d").stdout
            self.assertIn("1 of 3 samples, running", text)
            self.assertIn("sample-0002: under way for 0:0", text)
            child = (self.folder / "log").read_text().splitlines()[-1].split()[2]
            process.kill()
        os.kill(int(child), signal.SIGKILL)
        state = json.loads(self.fuzzyrun("status", "--json", "d").stdout)
        self.assertFalse(state["active"] or state["complete"])
        self.assertEqual((state["finished"], state["wanted"]), (1, 3))

    def test_failed_and_damaged(self) -> None:
        """Named, each with what to do."""
        self.script("import os, sys\nsys.exit(os.environ['FUZZY_SAMPLE'] == '2')\n")
        self.fuzzyrun(
            "-n", 3, "-o", "d", "--control", 0, "--", sys.executable, "script.py",
            status=1,
        )  # fmt: skip
        (self.folder / "d/sample-0003/status.json").write_text('{"exit')
        text = self.fuzzyrun("status", "d").stdout
        self.assertIn("1 of 3 samples", text)
        self.assertIn("sample-0002: failed, see d/sample-0002/stderr", text)
        self.assertIn("sample-0003: status.json is damaged", text)

    def test_not_a_study(self) -> None:
        """One line."""
        for words in (["status", "."], ["status"], ["status", "none"]):
            done = self.fuzzyrun(*words, status=2)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
