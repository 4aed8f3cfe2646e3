"""What the scan finds in compiled code, against the compiler's own labels and binutils.

SPDX-License-Identifier: Apache-2.0

A sample is compiled with its local labels kept, so that nm knows where each `.L` label of
the compiler lies; then the labels are stripped and the scan has to find them all from the
code, the relocations and the unwind tables: once with symbols, once without. Labels of a
refused function are not asked for.

    FZ_TEST_SCAN names the program built from test_scan.c.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

SCAN = os.environ["FZ_TEST_SCAN"]
LABEL = re.compile(r"\.L\d+$")

SAMPLE = r"""
#include <stdexcept>
extern "C" double other(double), pick(int, double);
extern "C" double pick(int k, double x)
{
    switch (k) {
    case 0: return x + 1;
    case 1: return other(x * 3);
    case 2: return x / 7;
    case 3: return other(x - 2);
    case 4: return x * x;
    case 7: x += 4; /* fall through */
    case 8: return x - 9;
    case 9: if (x < 0) throw std::runtime_error("negative"); return x;
    default: return -x;
    }
}
extern "C" int parse(const unsigned char *p, double *x)
{
    int n = 0;
    for (;; p++, n++)
        switch (*p >> 2) {
        case 0: return n;
        case 1: *x += 1; break;
        case 2: *x *= 2; break;
        case 3: *x -= other(*x); break;
        case 4: *x /= 3; break;
        case 5: try { other(*x); } catch (const std::exception &) { *x = 0; } break;
        case 6: *x = pick(*p, *x); break;
        default: __builtin_unreachable();
        }
}
__attribute__((cold, noinline)) static void bad(int k) { throw k; }
extern "C" double cold(int k, double x)
{
    try {
        if (__builtin_expect(k > 100, 0))
            bad(k);
        for (int i = 0; i < k; i++)
            x = x * 1.5 + other(x);
    } catch (int n) {
        x = n / 3.0;
    } catch (...) {
        x = other(x) - 1;
        throw;
    }
    return x;
}
struct thing { virtual double run(double); };
extern "C" double method(thing *t, double x) { return t->run(x); }
extern "C" double through(double (*f)(double), double x) { return f(x + 1); }
"""

GOTO = r"""
double other(double);
double pointers(const unsigned char *p, double x)
{
    static const void *const to[] = {&&add, &&mul, &&sub, &&end};
    goto *to[*p++];
add: x += 1; goto *to[*p++];
mul: x = other(x * 3); goto *to[*p++];
sub: x -= 2; goto *to[*p++];
end: return x;
}
double differences(const unsigned char *p, double x)
{
    static const int to[] = {&&add - &&add, &&mul - &&add, &&sub - &&add, &&end - &&add};
    goto *(&&add + to[*p++]);
add: x += 1; goto *(&&add + to[*p++]);
mul: x = other(x * 3); goto *(&&add + to[*p++]);
sub: x -= 2; goto *(&&add + to[*p++]);
end: return x;
}
"""


def run(*command: str | Path) -> str:
    """Standard output of a command that has to succeed."""
    return subprocess.run([str(c) for c in command], check=True, text=True,
                          capture_output=True).stdout


class Scan:
    """What the scan printed of a file."""

    def __init__(self, path: Path) -> None:
        self.leaders: set[int] = set()
        self.functions: dict[tuple[int, int], tuple[str, str]] = {}
        for line in run(SCAN, path, "leaders").splitlines():
            kind, *rest = line.split(" ")
            if kind == "L":
                self.leaders.add(int(rest[0], 16))
            else:
                name, refused = rest[2].split("|")[0], " ".join(rest[2:]).split("|")[1]
                self.functions[int(rest[0], 16), int(rest[1], 16)] = name, refused

    def refused(self, address: int) -> bool:
        """Is the address in a function that is left alone?"""
        return any(lo <= address < hi and why
                   for (lo, hi), (_, why) in self.functions.items())


class Labels(unittest.TestCase):
    """Every label of the compiler is a leader, every symbol a function."""

    def compile(self, folder: Path, source: str, ext: str, *flags: str) -> tuple:
        """A library with its labels, and a list of those that code or data refer to."""
        src, asm, lib = folder / f"s{ext}", folder / "s.s", folder / "s.so"
        src.write_text(source)
        run("gcc", *flags, "-S", "-o", asm, src)
        run("gcc", "-shared", "-nostdlib", "-Wa,-L", "-Wl,--discard-none", "-o", lib,
            *[f for f in flags if f.startswith("-fno-p") or f == "-no-pie"], asm)
        text = asm.read_text()
        used = set(re.findall(r"\.L\d+\b(?!:)", text))
        return lib, used

    def check(self, source: str, ext: str, refusable: set[str], *flags: str) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            lib, used = self.compile(folder, source, ext, *flags)
            labels, sizes = {}, {}
            for line in run("nm", "-S", lib).splitlines():
                part = line.split()
                if len(part) >= 3 and LABEL.match(part[-1]) and part[-2] == "t":
                    if part[-1] in used:
                        labels[int(part[0], 16)] = part[-1]
                elif len(part) == 4 and part[2] in "tTwW":
                    sizes[int(part[0], 16), int(part[0], 16) + int(part[1], 16)] = part[3]
            self.assertGreater(len(labels), 5)
            for strip in (["--wildcard", "--strip-symbol=.L*"], ["--strip-all"]):
                bare = folder / "bare.so"
                run("objcopy", *strip, lib, bare)
                scan = Scan(bare)
                if strip[0] == "--wildcard":
                    self.assertEqual({k: v[0] for k, v in scan.functions.items()}, sizes)
                else:
                    self.assertEqual(set(scan.functions), set(sizes))
                gone = {v[0] for v in scan.functions.values() if v[1]}
                self.assertLessEqual({g.split(".")[0] for g in gone}, refusable)
                missed = {n: hex(a) for a, n in labels.items()
                          if a not in scan.leaders and not scan.refused(a)}
                self.assertEqual(missed, {}, f"{flags} {strip}")

    def test_switches_exceptions_cold_parts(self) -> None:
        for level in ("-O0", "-O1", "-O2", "-O3", "-Os"):
            for extra in ((), ("-fcf-protection",), ("-march=haswell",)):
                with self.subTest(level=level, extra=extra):
                    self.check(SAMPLE, ".cpp", set(), level, "-fPIC", *extra)

    def test_computed_goto(self) -> None:
        for level in ("-O0", "-O1", "-O2", "-O3"):
            with self.subTest(level=level):
                self.check(GOTO, ".c", {"differences", "pointers"}, level, "-fPIC")


class Programs(unittest.TestCase):
    """Files at fixed addresses: tables of whole addresses."""

    def test_fixed_addresses(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "s.c").write_text(GOTO.split("double differences")[0] + r"""
double other(double x) { return x; }
int sw(int k) { switch (k) { case 0: return other(1); case 1: return other(5); case 2:
return other(k) + 3; case 3: return k * k; case 4: return other(9) - 2; } return 8; }
int main(int n, char **v) { return (int)pointers((void *)v[0], n) + sw(n); }
""")
            lib, bare = folder / "full", folder / "bare"
            flags = ["-O2", "-fno-pic", "-no-pie", "-fno-tree-switch-conversion"]
            run("gcc", *flags, "-S", "-o", folder / "s.s", folder / "s.c")
            run("gcc", "-no-pie", "-Wa,-L", "-Wl,--discard-none", "-o", lib, folder / "s.s")
            run("objcopy", "--wildcard", "--strip-symbol=.L*", lib, bare)
            used = set(re.findall(r"\.L\d+\b(?!:)", (folder / "s.s").read_text()))
            scan = Scan(bare)
            labels = [line.split() for line in run("nm", lib).splitlines()]
            targets = {n: int(a, 16) for a, t, n in (p for p in labels if len(p) == 3)
                       if t == "t" and n in used}
            self.assertGreater(len(targets), 5)
            self.assertEqual({n for n, a in targets.items() if a not in scan.leaders}, set())


class Refusals(unittest.TestCase):
    """What is no library says so in a line."""

    def reason(self, data: bytes) -> str:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = subprocess.run([SCAN, file.name], text=True, capture_output=True,
                                  check=False)
        self.assertEqual(done.returncode, 1, done)
        return done.stdout.strip()

    def test_reasons(self) -> None:
        good = Path(SCAN).read_bytes()
        self.assertEqual(self.reason(b""), "refused: an empty file")
        self.assertEqual(self.reason(b"x" * 100), "refused: not an ELF file")
        self.assertEqual(self.reason(good[:18] + b"\xb7" + good[19:]),
                         "refused: not for x86-64")
        self.assertIn("damaged", self.reason(good[: len(good) // 2]))
        bare = good[:40] + bytes(8) + good[48:60] + bytes(4) + good[64:]
        self.assertEqual(self.reason(bare), "refused: its section headers were stripped")


if __name__ == "__main__":
    unittest.main()
