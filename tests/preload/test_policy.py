"""The environment: every variable's good and bad values, and what bad ones say.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import unittest

import common
from common import build_dir, run
from test_process import snippet


class BadValues(unittest.TestCase):
    """A bad value ends any process at once: status 2, one line, nothing computed."""

    def dies(self, name: str, value: str, *says: str) -> None:
        """Check a value in a process with torch and in one without."""
        for cmd in ([snippet(), "once"], ["sh", "-c", "echo ran"]):
            p = run(cmd, check=False, **{name: value})
            with self.subTest(name=name, value=value, cmd=cmd[-1]):
                self.assertEqual(p.returncode, 2, p.stderr)
                self.assertEqual(p.stdout, "")
                self.assertEqual(len(p.stderr.splitlines()), 1, p.stderr)
                for part in (f"{name}={value}", *says):
                    self.assertIn(part, p.stderr)

    def test_mode(self) -> None:
        """FUZZY_MODE."""
        for bad in ("SR", "srr", "stochastic", "on", "1"):
            self.dies("FUZZY_MODE", bad, "off, nearest, sr, ud or cestac")

    def test_seed(self) -> None:
        """FUZZY_SEED."""
        for bad in ("x", "1.5", "1e3", "18446744073709551616", "12 ", "-", "Random"):
            self.dies("FUZZY_SEED", bad, "64-bit integer")

    def test_precision(self) -> None:
        """FUZZY_PRECISION."""
        for bad in (
            "24",
            "f32:0",
            "f32:25",
            "f64:54",
            "f32",
            "f16:8",
            "f32:24;f64:53",
            "f32:",
        ):
            self.dies("FUZZY_PRECISION", bad, "f32:24,f64:53")

    def test_scope(self) -> None:
        """FUZZY_SCOPE."""
        for bad in ("bls", "blas,convs", "all", ",blas"):
            self.dies("FUZZY_SCOPE", bad, "blas,lapack,conv,math,inst")

    def test_libs(self) -> None:
        """FUZZY_LIBS."""
        self.dies("FUZZY_LIBS", ",", "patterns")

    def test_isa(self) -> None:
        """FUZZY_ISA."""
        for bad in ("avx", "AVX2", "neon", "avx1024"):
            self.dies("FUZZY_ISA", bad, "ref, sse41, avx2, avx2+vaes or avx512")

    def test_verbose(self) -> None:
        """FUZZY_VERBOSE."""
        for bad in ("4", "-1", "yes", "11"):
            self.dies("FUZZY_VERBOSE", bad, "0, 1, 2 or 3")

    def test_lineage(self) -> None:
        """FUZZY_LINEAGE."""
        for bad in ("x", "0" * 32, "g" * 32 + "." + "0" * 16):
            self.dies("FUZZY_LINEAGE", bad, "set for exec'd children")

    def test_rules(self) -> None:
        """FUZZY_EXCLUDE and FUZZY_INCLUDE."""
        for name in ("FUZZY_EXCLUDE", "FUZZY_INCLUDE"):
            self.dies(name, "/nowhere/rules", "No such file", "symbol library")
            self.dies(name, str(build_dir()), "not a regular file")
            bad = build_dir() / "bad-rules"
            bad.write_text("# fine\nsgemm_ *\nonlyone\n")
            self.dies(name, str(bad), "line 3", "onlyone")

    def test_report(self) -> None:
        """FUZZY_REPORT: a folder that is not there, or not writable, or a folder."""
        self.dies("FUZZY_REPORT", "/nowhere/at/all.json", "/nowhere/at", "No such file")
        self.dies("FUZZY_REPORT", str(build_dir()), "is a folder")
        self.dies("FUZZY_REPORT", "x-%q.json", "it takes p, r or %")
        self.dies("FUZZY_REPORT", ",callers", "stderr or a path")
        self.dies("FUZZY_REPORT", "/proc/self/nofile", "/proc/self")

    @unittest.skipIf(os.geteuid() == 0, "root writes everywhere")
    def test_report_not_writable(self) -> None:
        """FUZZY_REPORT in a folder without permission."""
        folder = build_dir() / "locked"
        folder.mkdir()
        folder.chmod(0o500)
        self.dies("FUZZY_REPORT", str(folder / "r.json"), "Permission denied")

    def test_cache(self) -> None:
        """FUZZY_CACHE that is a file."""
        self.dies("FUZZY_CACHE", "/etc/passwd", "a folder")

    def test_off_is_checked_too(self) -> None:
        """Mode off does not hide another variable's bad value."""
        p = run(["true"], check=False, FUZZY_MODE="off", FUZZY_SCOPE="no")
        self.assertEqual(p.returncode, 2)


class GoodValues(unittest.TestCase):
    """Values that are taken, and what they change."""

    def bits(self, **env: str) -> str:
        """Return the bits of one product."""
        env.setdefault("FUZZY_VERBOSE", "0")
        return run([snippet(), "once"], **env).stdout

    def test_default_is_sr(self) -> None:
        """Loaded without FUZZY_MODE, or with an empty one: sr."""
        want = self.bits(FUZZY_SEED="1", FUZZY_MODE="sr")
        self.assertEqual(self.bits(FUZZY_SEED="1"), want)
        self.assertEqual(self.bits(FUZZY_SEED="1", FUZZY_MODE=""), want)

    def test_aliases(self) -> None:
        """The names of other tools."""
        for alias, mode in (
            ("ieee", "nearest"),
            ("random", "cestac"),
            ("average", "sr"),
            ("nearness", "sr"),
            ("updown", "ud"),
        ):
            self.assertEqual(
                self.bits(FUZZY_SEED="1", FUZZY_MODE=alias),
                self.bits(FUZZY_SEED="1", FUZZY_MODE=mode),
                alias,
            )

    def test_modes_differ(self) -> None:
        """Four modes, four results."""
        got = {
            m: self.bits(FUZZY_SEED="1", FUZZY_MODE=m)
            for m in ("nearest", "sr", "ud", "cestac")
        }
        self.assertEqual(len(set(got.values())), 4, got)

    def test_seed_forms(self) -> None:
        """Decimal, hexadecimal and negative integers of 64 bits."""
        self.assertEqual(self.bits(FUZZY_SEED="255"), self.bits(FUZZY_SEED="0xff"))
        self.assertEqual(
            self.bits(FUZZY_SEED="-1"), self.bits(FUZZY_SEED="18446744073709551615")
        )
        self.assertNotEqual(self.bits(FUZZY_SEED="0"), self.bits(FUZZY_SEED="1"))

    def test_precision(self) -> None:
        """Fewer bits give other results, in nearest mode too; f64's do not matter to f32."""
        full = self.bits(FUZZY_MODE="nearest")
        self.assertNotEqual(
            full, self.bits(FUZZY_MODE="nearest", FUZZY_PRECISION="f32:12")
        )
        self.assertEqual(
            full, self.bits(FUZZY_MODE="nearest", FUZZY_PRECISION="f64:12")
        )

    def test_isa(self) -> None:
        """Equal bits on each ISA that this CPU has; another one is refused."""
        want = self.bits(FUZZY_SEED="4", FUZZY_ISA="ref")
        ran = []
        for isa in ("sse41", "avx2", "avx2+vaes", "avx512"):
            p = run([snippet(), "once"], check=False, FUZZY_SEED="4", FUZZY_ISA=isa)
            if p.returncode == 2:
                self.assertIn("this CPU does not have it", p.stderr)
                print(f"not run: FUZZY_ISA={isa}, the CPU does not have it")
                continue
            ran.append(isa)
            self.assertEqual(p.stdout, want, isa)
        needed = os.environ.get("FZ_REQUIRE_ISA", "")
        self.assertTrue(not needed or needed in [*ran, "ref"], f"{needed} did not run")

    def test_unknown_variable(self) -> None:
        """It is named once, with the nearest known one; the run goes on."""
        p = run([snippet(), "exec"], FUZZY_MOD="off", FUZZY_SEED="1")
        self.assertIn("FUZZY_MOD is not a variable", p.stderr)
        self.assertIn("did you mean FUZZY_MODE?", p.stderr)
        p = run(["true"], FUZZY_MOD="off")
        self.assertEqual(p.stderr, "")

    def test_libs(self) -> None:
        """Patterns by name and path, `torch`, `all`."""
        native = run([snippet(), "once"], preload=False).stdout
        for good in ("all", "torch", "libtorch_cpu*", "x,torch", f"{build_dir()}/*"):
            self.assertNotEqual(self.bits(FUZZY_LIBS=good), native, good)
        for other in ("libc.so*", "libtorch", "torc"):
            self.assertEqual(self.bits(FUZZY_LIBS=other), native, other)

    def test_verbose(self) -> None:
        """Level 2 shows every setting, level 3 each pair of library and symbol as it comes."""
        two = run([snippet(), "once"], FUZZY_VERBOSE="2").stderr
        self.assertIn(
            "precision f32:24,f64:53 scope blas,lapack,conv,math libs torch", two
        )
        three = run([snippet(), "once"], FUZZY_VERBOSE="3").stderr
        self.assertIn("sgemm_ called by libtorch_cpu.so: perturbed", three)


if __name__ == "__main__":
    common.main()
