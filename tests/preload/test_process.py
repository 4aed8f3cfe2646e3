"""Streams of threads and processes, constructors, dlopen, MXCSR: on snippet programs.

SPDX-License-Identifier: Apache-2.0

The snippets call sgemm_ from a library named libtorch_cpu.so, so they need no torch.
"""

from __future__ import annotations

import json
import subprocess
import time
import unittest

import common
from common import build_dir, compile_c, run


def snippet(name: str = "linked") -> str:
    """Return the snippet program: linked with the library, or opening it RTLD_LOCAL."""
    fake = compile_c(
        "fake_torch.c", "libtorch_cpu.so", "-shared", "-fPIC", "-lopenblas"
    )
    if name == "linked":
        flags = ["-DLINKED", str(fake), "-lopenblas", "-Wl,-rpath,$ORIGIN"]
    else:
        flags = ["-ldl"]
    return str(compile_c("snippet.c", name, *flags, "-lpthread"))


def values(out: str) -> dict[str, str]:
    """Parse lines `who bits`, where `who` may carry a prefix."""
    pairs = [line.rsplit(" ", 1) for line in out.splitlines()]
    return {k.removesuffix(" self") if ": " in k else k: v for k, v in pairs}


class Streams(unittest.TestCase):
    """Each lineage has its numbers, and a seed repeats all of them."""

    def both(self, *cmd: str, **env: str) -> dict[str, str]:
        """Run twice with one seed and once with another; return the values of the first."""
        env.setdefault("FUZZY_VERBOSE", "0")
        one = values(run([snippet(), *cmd], FUZZY_SEED="11", **env).stdout)
        again = values(run([snippet(), *cmd], FUZZY_SEED="11", **env).stdout)
        other = values(run([snippet(), *cmd], FUZZY_SEED="12", **env).stdout)
        self.assertEqual(one, again, "the same seed gives the same bits")
        self.assertTrue(one)
        for who, bits in one.items():
            self.assertNotEqual(
                bits, other[who], f"{who}: another seed gives other bits"
            )
        return one

    def distinct(self, got: dict[str, str], n: int) -> None:
        """All n values differ."""
        self.assertEqual(len(got), n, got)
        self.assertEqual(len(set(got.values())), n, got)

    def test_calls(self) -> None:
        """Two calls of one symbol draw different numbers."""
        self.distinct(self.both("twice"), 2)

    def test_fork(self) -> None:
        """Children draw other numbers than the parent and each other."""
        self.distinct(self.both("fork"), 5)

    def test_threads(self) -> None:
        """So do threads, whatever the scheduler does."""
        self.distinct(self.both("thread"), 5)

    def test_exec(self) -> None:
        """So do children by spawn, exec, vfork, system and popen."""
        self.distinct(self.both("exec"), 7)

    def test_exec_inherits_a_drawn_seed(self) -> None:
        """A run with the seed that was drawn repeats the run, children included."""
        p = run([snippet(), "exec"])
        seed = p.stderr.split(" seed ")[1].split()[0]
        again = run([snippet(), "exec"], FUZZY_SEED=seed, FUZZY_VERBOSE="0")
        self.assertEqual(values(p.stdout), values(again.stdout))

    def test_random_seeds_differ(self) -> None:
        """Without FUZZY_SEED two runs differ."""
        one, two = (run([snippet(), "once"]).stdout for _ in range(2))
        self.assertNotEqual(one, two)

    def test_through_a_shell(self) -> None:
        """A shell between us and the program changes nothing of this."""
        cmd = f"{snippet()} once; {snippet()} once"
        p = run(["sh", "-c", cmd], FUZZY_SEED="5", FUZZY_VERBOSE="0")
        again = run(["sh", "-c", cmd], FUZZY_SEED="5", FUZZY_VERBOSE="0")
        self.assertEqual(p.stdout, again.stdout)
        self.assertEqual(len(set(p.stdout.split("\n"))), 3, p.stdout)

    def test_exclude_does_not_shift(self) -> None:
        """A call that policy leaves out takes its place in the stream all the same."""
        env = {"FUZZY_SEED": "3", "FUZZY_VERBOSE": "0", "FUZZY_LIBS": "all"}
        full = values(run([snippet(), "mixed"], **env).stdout)
        rules = build_dir() / "rules"
        rules.write_text("# the program's own call\nsgemm_ linked\n")
        got = values(run([snippet(), "mixed"], FUZZY_EXCLUDE=str(rules), **env).stdout)
        self.assertEqual(full, got)
        without = values(run([snippet(), "twice"], **env).stdout)
        self.assertEqual(full["first"], without["first"])
        self.assertNotEqual(full["second"], without["second"])


class Places(unittest.TestCase):
    """Where calls may come from."""

    def test_constructor(self) -> None:
        """A call from a constructor that runs before ours is perturbed."""
        env = {"SNIPPET_CONSTRUCTOR": "1", "FUZZY_VERBOSE": "0"}
        native = values(run([snippet(), "once"], FUZZY_MODE="off", **env).stdout)
        got = values(run([snippet(), "once"], FUZZY_SEED="1", **env).stdout)
        again = values(run([snippet(), "once"], FUZZY_SEED="1", **env).stdout)
        self.assertEqual(got, again)
        self.assertNotEqual(got["constructor"], native["constructor"])
        self.assertNotEqual(got["constructor"], got["self"])

    def test_dlopen_local(self) -> None:
        """A library opened RTLD_LOCAL is found, announced, perturbed, and passed through."""
        prog = snippet("local")
        absent = run([prog, "once"], preload=False).stdout
        off = run([prog, "once"], FUZZY_MODE="off")
        self.assertEqual(off.stdout, absent)
        self.assertEqual(off.stderr, "")
        out = run([prog, "once"], FUZZY_MODE="sr", FUZZY_SEED="1")
        self.assertNotEqual(out.stdout, absent)
        self.assertIn("mode sr seed 1", out.stderr)
        passed = run([prog, "once"], FUZZY_LIBS="libother*", FUZZY_REPORT="stderr")
        self.assertEqual(passed.stdout, absent)
        self.assertIn("passed through 1 calls", passed.stderr)
        self.assertIn("nothing was perturbed", passed.stderr)

    def test_nearest_is_not_native(self) -> None:
        """The product of the snippets tells our nearest kernel from OpenBLAS's."""
        absent = run([snippet(), "once"], preload=False).stdout
        near = run([snippet(), "once"], FUZZY_MODE="nearest", FUZZY_VERBOSE="0").stdout
        self.assertNotEqual(absent, near)

    def test_off_equals_absent(self) -> None:
        """Mode off: the same bits, no output, no change of the environment."""
        for what in ("once", "fork", "thread", "exec"):
            absent = run([snippet(), what], preload=False)
            off = run([snippet(), what], FUZZY_MODE="off")
            # Threads print in any order.
            self.assertEqual(values(off.stdout), values(absent.stdout), what)
            self.assertEqual(off.stderr, absent.stderr, what)
        env = run(["env"], FUZZY_MODE="off").stdout
        self.assertNotIn("FUZZY_LINEAGE", env)

    def test_mxcsr(self) -> None:
        """Control bits of MXCSR are left as the host set them, in every mode."""
        native = run([snippet(), "mxcsr"], preload=False).stdout
        for mode in ("off", "nearest", "sr", "ud", "cestac"):
            got = run([snippet(), "mxcsr"], FUZZY_MODE=mode, FUZZY_VERBOSE="0").stdout
            self.assertEqual(got, native, mode)

    def test_without_torch(self) -> None:
        """A process that never maps torch prints nothing and makes no file."""
        report = build_dir() / "none.json"
        p = run(["sh", "-c", "/bin/true; ls / >/dev/null"], FUZZY_REPORT=str(report))
        self.assertEqual((p.stdout, p.stderr), ("", ""))
        self.assertFalse(report.exists())

    def test_loading_is_cheap(self) -> None:
        """Off or without torch: less than 1 ms. The least of many runs, against none."""

        def least(**kw: object) -> float:
            best = 1e9
            for _ in range(40):
                t = time.perf_counter()
                run(["/bin/true"], **kw)  # type: ignore[arg-type]
                best = min(best, time.perf_counter() - t)
            return best

        base = least(preload=False)
        for mode in ("off", "sr"):
            cost = least(FUZZY_MODE=mode) - base
            self.assertLess(
                cost, 1e-3, f"mode {mode} costs {cost * 1e3:.2f} ms to load"
            )


class Report(unittest.TestCase):
    """What is counted, and where it goes."""

    def report(self, *cmd: str, name: str = "r.json", **env: str) -> dict:
        """Run with a JSON report and return it."""
        path = build_dir() / name
        path.unlink(missing_ok=True)
        run([snippet(), *cmd], FUZZY_REPORT=str(path), FUZZY_SEED="1", **env)
        return json.loads(path.read_text())

    def test_counts(self) -> None:
        """Two products of 24 by 1000 by 24 are two calls, 2 * 2 * 24 * 24 * 1000 flops."""
        r = self.report("twice")
        self.assertEqual(
            r["totals"]["perturbed"], {"calls": 2, "flops": 4 * 24 * 24 * 1000}
        )
        self.assertEqual([s["symbol"] for s in r["symbols"]], ["sgemm_"])
        self.assertEqual((r["mode"], r["seed"], r["schema"]), ("sr", "1", 1))

    def test_passed(self) -> None:
        """What is left out is counted with its reason."""
        rules = build_dir() / "exclude"
        rules.write_text("sgemm_ libtorch*\n")
        r = self.report("twice", FUZZY_EXCLUDE=str(rules))
        self.assertEqual(
            r["totals"]["passed"], {"calls": 2, "flops": 4 * 24 * 24 * 1000}
        )
        self.assertEqual(r["symbols"][0]["why"], {"excluded": 2})
        self.assertEqual(
            self.report("twice", FUZZY_LIBS="x")["symbols"][0]["why"], {"library": 2}
        )
        r = self.report("twice", FUZZY_SCOPE="math")
        self.assertEqual(r["symbols"][0]["why"], {"scope": 2})
        r = self.report("twice", FUZZY_SCOPE="conv")
        self.assertEqual(r["symbols"][0]["why"], {"not_in_convolution": 2})
        rules.write_text("dgemm_ *\n")
        r = self.report("twice", FUZZY_INCLUDE=str(rules))
        self.assertEqual(r["symbols"][0]["why"], {"not_included": 2})

    def test_children_add_up(self) -> None:
        """Counts of forked children are there, even of one that was killed."""
        self.assertEqual(self.report("fork")["totals"]["perturbed"]["calls"], 5)
        self.assertEqual(self.report("killed")["totals"]["perturbed"]["calls"], 1)
        self.assertEqual(self.report("thread")["totals"]["perturbed"]["calls"], 5)

    def test_path_with_pid(self) -> None:
        """With %p each process has its own file, with its own counts."""
        where = build_dir() / "pids"
        where.mkdir(exist_ok=True)
        run([snippet(), "fork"], FUZZY_REPORT=str(where / "r-%p-%r.json"), RANK="7")
        files = sorted(where.glob("r-*-7.json"))
        calls = [
            json.loads(f.read_text())["totals"]["perturbed"]["calls"] for f in files
        ]
        self.assertEqual(sorted(calls), [1, 1, 1, 2])

    def test_two_processes_one_path(self) -> None:
        """The first that mapped torch has the file; an exec'd child says where its own is."""
        path = build_dir() / "shared.json"
        p = run([snippet(), "exec"], FUZZY_REPORT=str(path))
        self.assertEqual(
            json.loads(path.read_text())["totals"]["perturbed"]["calls"], 1
        )
        self.assertEqual(p.stderr.count("another process has the report"), 6)
        self.assertEqual(len(list(build_dir().glob("shared.json.*"))), 6)

    def test_full_disk(self) -> None:
        """A report that cannot be written is one line, and the program ends as it would."""
        p = run([snippet(), "once"], FUZZY_REPORT="/dev/full", FUZZY_VERBOSE="0")
        self.assertIn("error: the report /dev/full could not be written", p.stderr)

    def test_start_line(self) -> None:
        """One line, with all that it has to say; FUZZY_VERBOSE=0 silences it."""
        p = run([snippet(), "once"], FUZZY_SEED="9", FUZZY_MODE="ud")
        self.assertEqual(len(p.stderr.splitlines()), 1)
        for part in (
            "0.1.0",
            "mode ud",
            "seed 9",
            "layers blas,lapack,conv,math",
            "FUZZY_MODE=off",
        ):
            self.assertIn(part, p.stderr)
        self.assertEqual(run([snippet(), "once"], FUZZY_VERBOSE="0").stderr, "")

    def test_nothing_perturbed(self) -> None:
        """torch was there and nothing was perturbed: one warning."""
        p = run([snippet(), "none"])
        self.assertIn("warning: mode sr, but nothing was perturbed", p.stderr)


class Openblas(unittest.TestCase):
    """Where no original can be found."""

    def test_openblas_serves(self) -> None:
        """A symbol without an original is served by OpenBLAS, not put in the global scope."""
        fake = compile_c("fake_torch.c", "bare/libtorch_cpu.so", "-shared", "-fPIC")
        prog = compile_c(
            "snippet.c",
            "bare/linked",
            "-DLINKED",
            str(fake),
            "-lpthread",
            "-Wl,-rpath,$ORIGIN",
            "-Wl,--unresolved-symbols=ignore-all",
        )
        path = build_dir() / "bare.json"
        p = run([str(prog), "once"], FUZZY_LIBS="none", FUZZY_REPORT=str(path))
        self.assertIn("self ", p.stdout)
        self.assertEqual(
            json.loads(path.read_text())["symbols"][0]["original"], "openblas"
        )

    def test_the_library_needs_no_blas(self) -> None:
        """The library itself links nothing but the C library."""
        out = subprocess.run(
            ["readelf", "-dW", common.LIB], capture_output=True, text=True, check=True
        ).stdout
        needed = [
            line.split("[")[1].rstrip("]")
            for line in out.splitlines()
            if "NEEDED" in line
        ]
        allowed = ("libc.so", "ld-linux", "libm.so", "libdl.so", "libpthread.so")
        self.assertEqual([n for n in needed if not n.startswith(allowed)], [])


if __name__ == "__main__":
    common.main()
