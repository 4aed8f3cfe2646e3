"""Stacks with moved code, as unwinders, debuggers and profilers walk them.

SPDX-License-Identifier: Apache-2.0

Reference is the same program without the layer: which functions stand behind each function.
"""

from __future__ import annotations

import bisect
import re
import shutil
import statistics
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

from layer import DEFINITION, HERE, can_move, environment, ours, run, said

#: What gdb prints of a frame: number, address where there is one, function.
FRAME = re.compile(r"^#\d+ +(?:0x[0-9a-f]+ in )?([\w.]+)(?:\[[^]]*\])?", re.MULTILINE)


class Symbols:
    """Functions of an ELF file by address, as nm lists them."""

    def __init__(self, path: Path) -> None:
        """Read them."""
        text = subprocess.run(
            ["nm", "-S", "--defined-only", path], check=True, capture_output=True, text=True
        ).stdout  # fmt: skip
        rows = [line.split() for line in text.splitlines()]
        self.rows = sorted(
            (int(r[0], 16), int(r[1], 16), r[3])
            for r in rows
            if len(r) == 4 and r[2] in "tTwW"
        )
        self.starts = [r[0] for r in self.rows]

    def __call__(self, address: int) -> str:
        """Return the function that holds an address, "" if none does."""
        i = bisect.bisect_right(self.starts, address) - 1
        if i < 0 or address >= sum(self.rows[i][:2]):
            return ""
        return self.rows[i][2]


class Map(NamedTuple):
    """An executable mapping of a plan."""

    lo: int
    hi: int
    offset: int
    path: Path


def segments(plan: Path) -> list[tuple[int, int, int]]:
    """Return offset, address and size of a plan's executable segments."""
    text = subprocess.run(
        ["readelf", "-lW", plan], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split() for line in text.splitlines() if "LOAD" in line and "E" in line]
    return [(int(r[1], 16), int(r[2], 16), int(r[4], 16)) for r in rows]


@unittest.skipUnless(can_move(), "this CPU lacks avx2, fma or aes")
class Walks(unittest.TestCase):
    """A program that walks its own stack, and its functions."""

    def setUp(self) -> None:
        """Compile it, with libunwind where that is installed."""
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name).resolve()
        self.program = self.folder / "walks"
        self.walkers = {"backtrace": self.program}
        command = ["gcc", "-O2", "-o", self.program, HERE / "walks.c", "-lm"]
        subprocess.run(command, check=True)
        command[3] = self.folder / "walks-libunwind"
        command[5:] = ["-DWITH_LIBUNWIND", "-lm", "-lunwind"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            self.walkers["libunwind"] = command[3]
        else:
            print("not run: libunwind (libunwind-dev is not installed)")

    def layer(self, name: str = "walks*", **env: str) -> dict[str, str]:
        """Return the environment of a run under the layer."""
        scope = {"FUZZY_LIBS": name, "FUZZY_CACHE": str(self.folder / "plans")}
        return ours(**scope, **env)

    def chains(self, program: Path, text: str) -> tuple[dict[str, set[str]], int]:
        """Return what stands behind the innermost function, and how many were moved."""
        base, maps, found, moved = 0, [], {}, 0
        functions = Symbols(program)
        plans: dict[Path, tuple[Symbols, list[tuple[int, int, int]]]] = {}
        for line in text.splitlines():
            words = line.split()
            if words[0] == "base":
                base = int(words[1], 16)
            elif words[0] == "map":
                lo, hi = (int(x, 16) for x in words[1].split("-"))
                m = Map(lo, hi, int(words[3], 16), Path(words[6]))
                # Patched pages of the program itself are old code.
                if not base <= lo < base + 0x100000:
                    maps.append(m)
                    plans[m.path] = Symbols(m.path), segments(m.path)
            elif words[0] == "at":
                stack = [int(x, 16) for x in words[1:]]
                names = []
                any_moved = False
                for depth, pc in enumerate(stack):
                    at = pc - (depth > 0)
                    name = functions(at - base)
                    for m in maps:
                        if m.lo <= at < m.hi:
                            symbols, parts = plans[m.path]
                            place = at - m.lo + m.offset
                            for offset, address, size in parts:
                                if offset <= place < offset + size:
                                    name = symbols(place - offset + address)
                            any_moved = True
                    if name and not name.startswith("fuzzytorch_"):
                        names.append(name.removesuffix(".fuzzy"))
                moved += any_moved
                known = [n for n in names if n != "_start"]
                # A slot has a row but no name: one of main's has nothing but _start behind it.
                unnamed = "main" if "_start" in names else hex(stack[0] - base)
                key = known[0] if known else unnamed
                found.setdefault(key, set()).add(" ".join(known))
        return found, moved

    def test_unwinders(self) -> None:
        """Each sample of 1 kHz in moved code has the chain that it has natively."""
        # What the source calls; where little time is spent a native run may have no sample.
        native = {
            "outer": {"outer main"},
            "middle": {"middle outer main"},
            **{f: {f"{f} middle outer main"} for f in ("by_rsp", "by_rbp", "early", "realigned")},
            "tiny": {f"tiny {f} middle outer main" for f in ("by_rbp", "early")},
        }
        for walker, program in self.walkers.items():
            done = run([program, walker, 0.7], environment())
            for key, chains in self.chains(program, done.stdout)[0].items():
                native.setdefault(key, set()).update(chains)
        self.assertEqual(native["by_rsp"], {"by_rsp middle outer main"})
        for mode in ("sr", "cestac", "nearest", "definition"):
            for walker, program in self.walkers.items():
                env = self.layer(FUZZY_MODE=mode)
                if mode == "definition":
                    env = self.layer(**{**DEFINITION, "FUZZY_MODE": "sr"})
                done = run([program, walker, 0.7], env)
                found, moved = self.chains(program, done.stdout)
                self.assertGreater(moved, 200, (mode, walker))
                for key, chains in found.items():
                    extra = chains - native.get(key, chains if key == "main" else set())
                    self.assertEqual(extra, set(), (mode, walker, key))
                self.assertGreaterEqual(len(found), 3, (mode, walker))

    @unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
    def test_gdb(self) -> None:
        """Frames and names in moved code, in cold code, in the definition; a breakpoint."""
        script = self.folder / "script"
        walk = ["echo @\\n", "bt", "echo .\\n"]
        stops = [
            "set pagination off", "set confirm off", "set breakpoint pending on",
            "set debuginfod enabled off", "break fz_inst_definition", "run none 0.05",
            "ignore 1 300", "continue", *walk, "delete",
            "tbreak by_rbp.fuzzy", "continue", *walk, "stepi 40", *walk,
        ]  # fmt: skip
        script.write_text("\n".join(stops) + "\n", encoding="utf-8")
        settings = " ".join(
            f"{k}={v}"
            for k, v in self.layer(**{**DEFINITION, "FUZZY_MODE": "sr"}).items()
            if k.startswith(("FUZZY", "LD_PRELOAD"))
        )
        done = run(
            ["gdb", "-q", "-nx", "-batch", "-ex", f"set exec-wrapper env {settings}",
             "-x", script, self.program],
            environment(), timeout=120,
        )  # fmt: skip
        walks = [
            FRAME.findall(text.split("\n.\n")[0]) for text in done.stdout.split("\n@\n")[1:]
        ]
        self.assertEqual(len(walks), 3, done.stdout + done.stderr)
        in_cold = walks[0]
        self.assertEqual(in_cold[:2], ["fz_inst_definition", "fuzzytorch_stub"])
        chains = ("by_rsp middle outer main", "by_rbp middle outer main",
                  "tiny by_rbp middle outer main", "realigned middle outer main",
                  "middle outer main", "outer main", "main")  # fmt: skip
        names = [w for w in in_cold[2:] if not w.startswith(("__libc", "_start"))]
        self.assertIn(" ".join(names), chains)
        for frames in walks[1:]:
            names = [w for w in frames if not w.startswith(("__libc", "_start"))]
            self.assertIn("by_rbp middle outer main", " ".join(names))
        self.assertIn("by_rbp[fuzzy]", done.stdout)

    def thrower(self) -> Path:
        """Compile the program that throws."""
        program = self.folder / "thrower"
        flags = ["-O2", "-fno-inline", "-fnon-call-exceptions"]
        subprocess.run(["g++", *flags, "-o", program, HERE / "thrower.cc"], check=True)
        return program

    def test_throw_from_handler(self) -> None:
        """Exceptions that leave a signal handler cross the moved frame below it."""
        program = self.thrower()
        for mode in ("nearest", "sr", "cestac"):
            done = run([program], self.layer("thrower", FUZZY_MODE=mode), check=False)
            self.assertEqual((done.returncode, done.stdout), (0, "1000\n"), done.stderr)
            self.assertEqual(said(done.stderr), [])

    def test_exceptions_cost(self) -> None:
        """10,000 exceptions through frames with moved code take little longer."""
        program = self.thrower()
        env = self.layer("thrower", FUZZY_MODE="nearest")
        run([program, 1], env)
        times: dict[str, list[float]] = {"native": [], "ours": []}
        for _ in range(7):
            for who, e in (("native", environment()), ("ours", env)):
                caught, ns = run([program, 10000], e).stdout.split()
                self.assertEqual(caught, "10000")
                times[who].append(float(ns))
        native, mine = (statistics.median(times[w]) for w in ("native", "ours"))
        print(f"an exception: {native:.0f} ns, ours {mine:.0f} ns, {mine / native:.2f} x")
        self.assertLess(min(times["ours"]) / min(times["native"]), 1.5)

    @unittest.skipUnless(shutil.which("perf"), "perf is not installed")
    def test_perf(self) -> None:
        """perf names moved code by its function."""
        data = self.folder / "perf.data"
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-o", data, self.program, "none"]
        env = self.layer()
        run([self.program, "none", 0], env)
        if run(record + ["0.3"], env, check=False).returncode:
            self.skipTest("perf record is not permitted here")
        text = run(
            ["perf", "script", "-i", data, "-F", "ip,sym,dso"], environment()
        ).stdout  # fmt: skip
        lines = [line.split() for line in text.splitlines() if "by_rsp.fuzzy" in line]
        self.assertGreater(len(lines), 50)


if __name__ == "__main__":
    unittest.main()
