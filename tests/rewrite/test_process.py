"""Processes under the instruction layer: exceptions, signals, caches in trouble.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from layer import HERE, PYTHONS, can_move, environment, ours, run, said

SLOW = os.environ.get("FZ_TEST_SLOW") == "1"
#: Prints what tells whether torch was perturbed, the same each time under one seed.
TORCH = """\
import torch
torch.set_num_threads(1)
x = torch.arange(1, 2001) / 7
print((x / 3).double().sum().item().hex())
"""
#: Training with timers that interrupt it a thousand times a second, one of whose handlers
#: is moved code.
TIMED = """\
import ctypes, signal, sys
sys.path.insert(0, sys.argv[1])
import torch, workloads
ticks = 0
def tick(*_):
    global ticks
    ticks += 1
signal.signal(signal.SIGPROF, tick)
if sys.argv[2] == "timer":
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    ctypes.CDLL(sys.argv[3]).begin()
torch.set_num_threads(1)
for _ in range(int(sys.argv[4])):
    for name, f in workloads.training():
        torch.manual_seed(5)
        print(name, workloads.digest(f()))
signal.setitimer(signal.ITIMER_PROF, 0)
assert ticks > 50 or sys.argv[2] != "timer", ticks
"""
#: Modes that are set while no plan can be written, and then again.
CHANGES = """\
import ctypes, resource, signal, sys
from fuzzytorch import api
ctypes.CDLL(sys.argv[1])
ctypes.CDLL(None).dlopen(b"./none", 1)  # a moment to notice it
us = ctypes.CDLL(None)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limit[1]))
print(us.fuzzy_set_mode(b"ud"), api.get_rounding_mode())
try:
    api.set_rounding_mode("ud")
except RuntimeError as error:
    print(type(error).__name__, api.get_rounding_mode())
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
print(us.fuzzy_set_mode(b"ud"), api.get_rounding_mode())
"""


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Process(unittest.TestCase):
    """A scratch folder, and a small program with moved code."""

    def setUp(self) -> None:
        """Make the folder; compile the program."""
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name).resolve()
        self.cache = self.folder / "plans"
        self.program = self.folder / "throws"
        source = HERE / "throws.cc"
        subprocess.run(
            ["g++", "-O2", "-pthread", "-o", self.program, source], check=True
        )
        self.native = run([self.program], environment()).stdout

    def small(self, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the program under the layer; it must end well."""
        scope = {"FUZZY_LIBS": self.program.name, "FUZZY_CACHE": str(self.cache)}
        return run([self.program], ours(**{**scope, **env}))

    def plan(self) -> Path:
        """Return the only plan in the cache."""
        (plan,) = self.cache.glob("throws-*.plan")
        return plan

    def exceptions(self, *arguments: str) -> None:
        """Assert that all are caught in each of four threads."""
        scope = {"FUZZY_LIBS": self.program.name, "FUZZY_CACHE": str(self.cache)}
        for mode in ("nearest", "sr", "ud", "cestac"):
            env = ours(**scope, FUZZY_MODE=mode)
            done = run([self.program, *arguments], env, check=False)
            self.assertEqual(done.returncode, 0, (mode, done.stderr))
            self.assertTrue(done.stdout.startswith("caught"), (mode, done.stdout))
            self.assertEqual(done.stdout == self.native, mode == "nearest", mode)
            self.assertEqual(said(done.stderr), [])

    def test_exceptions(self) -> None:
        """10,000 in each of four threads, with SIGPROF at 1 kHz."""
        self.exceptions("timer")

    def test_handler_that_rounds(self) -> None:
        """A handler that is moved code itself changes nothing of what it interrupts."""
        self.exceptions("timer", "rounds")

    def handlers(self, name: str, *options: str) -> Path:
        """Compile handlers.c."""
        quiet = "-Wno-deprecated-declarations"
        command = ["gcc", "-O2", quiet, *options, "-o", self.folder / name]
        subprocess.run([*command, HERE / "handlers.c", "-lm"], check=True)
        return self.folder / name

    def test_handlers(self) -> None:
        """10,000 signals a second to handlers that compute: the result stays."""
        program = self.handlers("handlers")
        scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(self.cache)}
        for mode in ("nearest", "sr", "ud", "cestac"):
            env = ours(**scope, FUZZY_MODE=mode)
            n = 20000 if mode == "cestac" else 300000
            alone = run([program, "alone", n], env).stdout
            for case in ("plain", "nested", "once", "stack"):
                done = run([program, case, n, "timer"], env)
                self.assertEqual(done.stdout, alone, (mode, case))
            # What is abandoned has drawn: other noise, no other sum.
            jump = run([program, "jump", n, "timer"], env).stdout
            self.assertAlmostEqual(float.fromhex(jump), float.fromhex(alone), delta=1e-4)

    def test_timer(self) -> None:
        """Signals at 1 kHz do not change a training run under one seed."""
        library = self.handlers("libhandlers.so", "-shared", "-fPIC")
        env = ours(FUZZY_LIBS="torch,libhandlers.so")
        rounds = 3 if SLOW else 1
        texts = [
            run([PYTHONS["wheel"], "-c", TIMED, HERE, timer, library, rounds], env).stdout
            for timer in ("timer", "none")
        ]
        self.assertEqual(*texts)

    def test_damaged(self) -> None:
        """A damaged, cut, foreign or writable plan is made anew; results stay."""
        self.small()
        whole, noisy = self.plan().read_bytes(), self.small().stdout

        def flip(at: int) -> bytes:
            return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

        for bad in (
            b"", whole[:4096], whole[:-1], whole + b"x", flip(0), flip(70),
            flip(len(whole) // 2), flip(len(whole) - 1), os.urandom(len(whole)),
        ):  # fmt: skip
            self.plan().write_bytes(bad)
            done = self.small()
            self.assertEqual(done.stdout, noisy)
            self.assertEqual(self.plan().read_bytes(), whole)
        self.plan().chmod(0o666)
        self.assertEqual(self.small().stdout, noisy)
        self.assertEqual(self.plan().stat().st_mode & 0o022, 0)
        plan = self.plan()
        plan.rename(self.folder / "elsewhere")
        plan.symlink_to(self.folder / "elsewhere")
        self.assertEqual(self.small().stdout, noisy)

    def put(self, name: str, size: int, days: float, head: bytes) -> Path:
        """Put a file into the cache that was used some days ago."""
        path = self.cache / name
        path.write_bytes(head.ljust(size, b"x"))
        path.chmod(0o600)
        then = time.time() - days * 86400
        os.utime(path, (then, then))
        return path

    def test_bounded(self) -> None:
        """Plans that are not used are removed where another is made, in the order of their
        last use; who runs from one keeps it, and nothing else is touched."""
        self.small()
        first = self.plan()
        head = first.read_bytes()[:4096]
        hour = 1 / 24
        forgotten = self.put("a-0123456789abcdef.plan", 9000, 31, head)
        lock = self.put("a-0123456789abcdef.plan.lock", 0, 31, b"")
        orphan = self.put("b-0123456789abcdef.plan.lock", 0, 2, b"")
        unfinished = self.put("b-0123456789abcdef.plan.77.new", 9000, 2, head)
        making = self.put("c-0123456789abcdef.plan.78.new", 9000, hour, head)
        mine = self.put("mine.plan", 9000, 99, b"my plan")
        old = self.put("d-0123456789abcdef.plan", 700000, 9, head)
        new = self.put("e-0123456789abcdef.plan", 700000, 3, head)
        os.utime(first, (0, 0))  # forgotten too, if this run did not use it
        noisy = self.small().stdout
        self.assertLess(time.time() - first.stat().st_mtime, 600)
        self.assertTrue(forgotten.exists())  # none was made yet
        program = self.handlers("handlers")
        scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(self.cache)}
        with subprocess.Popen(
            [program, "plain", "3000000"], env=ours(**scope), stdout=subprocess.DEVNULL
        ) as running:
            while not list(self.cache.glob("handlers-*.plan")):
                time.sleep(0.01)
            self.small(FUZZY_MODE="ud", FUZZY_CACHE_SIZE="2000")
            for path in (forgotten, lock, orphan, unfinished):
                self.assertFalse(path.exists(), path)
            for path in (making, mine, old, new, first):
                self.assertTrue(path.exists(), path)
            self.small(FUZZY_MODE="cestac", FUZZY_CACHE_SIZE="1")
            self.assertEqual((old.exists(), new.exists()), (False, True))
            (plan,) = self.cache.glob("handlers-*.plan")
            os.utime(plan, (0, 0))
            self.small(FUZZY_PRECISION="f32:24,f64:53", FUZZY_ISA="avx2", FUZZY_CACHE_SIZE="1")
            self.assertFalse(plan.exists())
        self.assertEqual(running.returncode, 0)
        self.assertEqual(self.small().stdout, noisy)

    def test_change_refused(self) -> None:
        """Where a mode's plan cannot be made the API says so, and nothing changes."""
        library = self.handlers("libhandlers.so", "-shared", "-fPIC")
        env = ours(FUZZY_LIBS="libhandlers.so", FUZZY_CACHE=str(self.cache))
        env["PYTHONPATH"] = str(HERE.parents[1] / "python")
        done = run([sys.executable, "-c", CHANGES, library], env)
        self.assertEqual(done.stdout.split(), ["-5", "sr", "RuntimeError", "sr", "0", "ud"])
        lines = said(done.stderr)
        self.assertEqual(len([x for x in lines if "stay in the mode" in x]), 2, lines)

    def test_no_home(self) -> None:
        """Without a folder to write to, plans are made for the process alone."""
        noisy = self.small().stdout
        home = self.folder / "home"
        home.mkdir()
        home.chmod(0o500)
        if os.access(home, os.W_OK):  # root writes anywhere but there
            home = Path("/proc/none")
        done = self.small(FUZZY_CACHE="", XDG_CACHE_HOME="", HOME=str(home))
        self.assertEqual(done.stdout, noisy)
        self.assertEqual(said(done.stderr), [])

    def test_full_disk(self) -> None:
        """Where a plan cannot be written, it is said and the program runs as it is."""
        scope = {"FUZZY_LIBS": self.program.name, "FUZZY_CACHE": str(self.cache)}

        def limit() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

        done = subprocess.run(
            [self.program], env=ours(**scope), preexec_fn=limit, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stdout), (0, self.native), done.stderr)
        self.assertIn("left as they are", done.stderr)
        self.assertEqual(list(self.cache.glob("*.plan")), [])
        self.assertEqual(list(self.cache.glob("*.new")), [])

    def test_reopened(self) -> None:
        """A library that is closed and opened again is perturbed again; so is its next."""
        program, library = self.folder / "reopened", self.folder / "libsum.so"
        other = self.folder / "other"
        text = "double sum(int n) {{ double s = {}; while (n--) s += 1.0 / (n + {}); return s; }}"
        for target, start in ((library, "0.1"), (other, "100.1")):
            source = self.folder / "sum.c"
            source.write_text(text.format(start, "3.7"))
            command = ["gcc", "-O2", "-shared", "-fPIC", "-o", target, source]
            subprocess.run(command, check=True)
        source = HERE / "reopened.c"
        subprocess.run(["gcc", "-O2", "-o", program, source, "-ldl"], check=True)
        scope = {"FUZZY_LIBS": library.name, "FUZZY_CACHE": str(self.cache)}
        done = run([program, library, other], ours(**scope))
        lines = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual({line[1] for line in lines}, {"same"}, done.stdout)
        sums = [float.fromhex(line[0]) for line in lines]
        self.assertEqual(len(set(sums)), 4, done.stdout)
        self.assertGreater(sums[2] - sums[1], 99)
        self.assertEqual(said(done.stderr), [])

    def test_hundred(self) -> None:
        """A hundred at once on a cold cache: one plan, and all are perturbed alike."""
        program = self.handlers("handlers")
        scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(self.cache)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [program, "plain", "2000"]
        all_of_them = [
            subprocess.Popen(command, env=ours(**scope), **pipes) for _ in range(100)
        ]
        ends = {(p.communicate(), p.returncode) for p in all_of_them}
        ((text, errors), status) = ends.pop()
        self.assertEqual((ends, errors, status), (set(), "", 0))
        self.assertNotEqual(text, run(command, environment()).stdout)
        self.assertEqual(len(list(self.cache.glob("handlers-*.plan"))), 1)
        self.assertEqual(list(self.cache.glob("*.new")), [])

    def test_rules(self) -> None:
        """A line about moved functions has matched; one of FUZZY_INCLUDE leaves the rest."""
        program = self.handlers("handlers", "-fno-inline")
        plain = run([program, "plain", "2000"], environment()).stdout
        rules = self.folder / "rules"
        scope = {"FUZZY_LIBS": program.name, "FUZZY_CACHE": str(self.cache)}
        for variable, line, native, lines in (
            ("FUZZY_EXCLUDE", "work *", True, 0),
            ("FUZZY_EXCLUDE", "work handlers", True, 0),
            ("FUZZY_EXCLUDE", "work libtorch*", False, 1),
            ("FUZZY_INCLUDE", "work *", False, 0),
            ("FUZZY_INCLUDE", "compute *", True, 0),
        ):
            rules.write_text(line + "\n", encoding="utf-8")
            env = ours(**scope, FUZZY_VERBOSE="1", **{variable: str(rules)})
            done = run([program, "plain", "2000"], env)
            self.assertEqual(done.stdout == plain, native, (variable, line))
            never = [x for x in said(done.stderr) if "never matched" in x]
            self.assertEqual(len(never), lines, (variable, line, done.stderr))

    def torch(self) -> subprocess.Popen[str]:
        """Start torch on a cold cache of its own."""
        return subprocess.Popen(
            [PYTHONS["wheel"], "-c", TORCH],
            env=ours(FUZZY_CACHE=str(self.cache), FUZZY_VERBOSE="1"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @unittest.skipUnless(SLOW, "slow: make check-rewrite-slow")
    def test_cold_starts(self) -> None:
        """20 at once on one cold cache: one plans, others wait, all give the same."""
        all_of_them = [self.torch() for _ in range(20)]
        planners = 0
        while any(p.poll() is None for p in all_of_them):
            planners = max(planners, self.planners())
            time.sleep(0.02)
        ends = [(p.returncode, *p.communicate()) for p in all_of_them]
        self.assertEqual({e[0] for e in ends}, {0}, ends)
        self.assertEqual(len({e[1] for e in ends}), 1, ends)
        self.assertEqual(planners, 1)
        self.assertEqual(list(self.cache.glob("*.new")), [])

    def planners(self) -> int:
        """Return how many planners write to this cache."""
        n = 0
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes().split(b"\0")
            except OSError:
                continue
            n += words[0].endswith(b"fuzzytorch-plan") and any(
                w.startswith(os.fsencode(self.cache)) for w in words
            )
        return n

    def test_killed(self) -> None:
        """A process that is killed while its plan is made leaves a cache that works."""
        p = self.torch()
        while p.poll() is None and not self.planners():
            time.sleep(0.01)
        self.assertIsNone(p.poll())
        p.kill()
        p.communicate()
        two = [self.torch() for _ in range(2)]
        ends = [(q.communicate()[0], q.returncode) for q in two]
        self.assertEqual(ends[0], ends[1])
        self.assertEqual(ends[0][1], 0)


if __name__ == "__main__":
    unittest.main()
