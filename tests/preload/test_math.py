"""Every symbol of SLEEF, VML and libm: values in each mode, precision, whose calls.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import re
import subprocess
import unittest
from pathlib import Path

import common
from check_exports import ROOT
from common import build_dir, compile_c, run

FLAGS = ("-Wno-psabi", "-Wl,--unresolved-symbols=ignore-all", "-rdynamic", "-lm")


def digest(program: str, *args: str, preload: bool = True, **env: str) -> str:
    """Run math_calls.c, which fails on a wrong value; return the digest of all results."""
    env.setdefault("FUZZY_VERBOSE", "0")
    p = run([program, *args], check=False, preload=preload, **env)
    if p.returncode != 0:
        raise AssertionError(f"{env}:\n{p.stdout}\n{p.stderr}")
    return p.stdout.split("digest ")[1]


def isas() -> list[str]:
    """Return the builds that this CPU can run."""
    flags = Path("/proc/cpuinfo").read_text()
    return ["ref", "sse41", "avx2"] + (["avx512"] if "avx512vl" in flags else [])


class Math(unittest.TestCase):
    """Behaviour of the vector math interfaces."""

    def setUp(self) -> None:
        """Compile the program, which finds no math but the preloaded one."""
        self.program = str(compile_c("math_calls.c", "math_calls", *FLAGS))

    def test_values(self) -> None:
        """Within three units in each mode, each mode other bits, one seed the same bits."""
        got = {
            m: digest(self.program, FUZZY_LIBS="all", FUZZY_MODE=m, FUZZY_SEED="1")
            for m in ("nearest", "sr", "ud", "cestac")
        }
        self.assertEqual(len(set(got.values())), 4, got)
        for seed, same in (("1", True), ("2", False)):
            again = digest(self.program, FUZZY_LIBS="all", FUZZY_SEED=seed)
            self.assertEqual(again == got["sr"], same)

    def test_precision(self) -> None:
        """At 8 bits every f32 result has 8 bits: all of it came from the kernel."""
        digest(self.program, "fit", FUZZY_LIBS="all", FUZZY_PRECISION="f32:8,f64:8")

    def test_isas(self) -> None:
        """Equal seeds give equal bits on every ISA of this CPU."""
        got = {
            i: digest(self.program, FUZZY_LIBS="all", FUZZY_ISA=i, FUZZY_SEED="1")
            for i in isas()
        }
        self.assertEqual(len(set(got.values())), 1, got)

    def test_passed_through(self) -> None:
        """A call that is not ours is nearest where there is no original, and SLEEF's where
        the program has SLEEF."""
        nearest = digest(self.program, FUZZY_LIBS="all", FUZZY_MODE="nearest")
        for env in (
            {"FUZZY_LIBS": "none"},
            {"FUZZY_LIBS": "all", "FUZZY_SCOPE": "blas"},
        ):
            self.assertEqual(digest(self.program, **env), nearest)
        sleef = str(
            compile_c(
                "math_calls.c",
                "sleef_calls",
                *FLAGS,
                "-DONLY_SLEEF",
                "-Wl,--no-as-needed",
                "-l:libsleef.so.3",
            )
        )
        absent = digest(sleef, preload=False)
        self.assertEqual(digest(sleef, FUZZY_LIBS="none"), absent)
        self.assertEqual(digest(sleef, FUZZY_MODE="off"), absent)
        self.assertNotEqual(digest(sleef, FUZZY_LIBS="all"), absent)

    def test_every_symbol_is_called(self) -> None:
        """The report of that program names every math symbol of the list."""
        path = build_dir() / "math.json"
        fake = compile_c("fake_torch.c", "math/libtorch_cpu.so", "-shared", "-fPIC")
        program = compile_c(
            "math_calls.c",
            "math/with_torch",
            *FLAGS,
            "-Wl,--no-as-needed",
            str(fake),
            "-Wl,-rpath,$ORIGIN",
        )
        out = run([str(program)], FUZZY_LIBS="all", FUZZY_REPORT=str(path)).stdout
        called = {
            s["symbol"]
            for s in json.loads(path.read_text())["symbols"]
            if s["perturbed"]["calls"]
        }
        text = (ROOT / "shim/symbols.def").read_text()
        listed = set(re.findall(r"^FZ_SYMBOL\((\w+), MATH", text, flags=re.MULTILINE))
        if "NOT RUN" in out:
            listed = {s for s in listed if not re.search("d8_|f16_", s)}
        self.assertGreater(len(listed), 80)
        self.assertEqual(listed - called, set())


#: exp() is to be a call
CALLS = ("-D_GNU_SOURCE", "-fno-builtin", "-lm", "-ldl")


class Libm(unittest.TestCase):
    """Functions of libm: led away in the libraries in scope, by their own tables."""

    def setUp(self) -> None:
        """Compile the program that calls them all."""
        self.program = str(compile_c("libm_calls.c", "libm_calls", *CALLS))

    def test_values(self) -> None:
        """Within three units in each mode, each mode other bits, one seed the same bits."""
        got = {
            m: digest(self.program, FUZZY_LIBS="all", FUZZY_MODE=m, FUZZY_SEED="1")
            for m in ("nearest", "sr", "ud", "cestac")
        }
        self.assertEqual(len(set(got.values())), 4, got)
        for seed, same in (("1", True), ("2", False)):
            again = digest(self.program, FUZZY_LIBS="all", FUZZY_SEED=seed)
            self.assertEqual(again == got["sr"], same)

    def test_precision(self) -> None:
        """At 8 bits every result has 8 bits: all of it was rounded by us."""
        digest(self.program, "fit", FUZZY_LIBS="all", FUZZY_PRECISION="f32:8,f64:8")

    def test_law(self) -> None:
        """In sr each neighbour comes as often as the law says, two parts independently."""
        digest(self.program, "law", FUZZY_LIBS="all", FUZZY_SEED="1")

    def test_edges(self) -> None:
        """NaN, infinities, zeros and their signs, subnormals, overflow: as libm has them."""
        for mode in ("nearest", "sr", "ud", "cestac"):
            digest(
                self.program, "edges", FUZZY_LIBS="all", FUZZY_MODE=mode, FUZZY_SEED="1"
            )

    def test_exact_results(self) -> None:
        """exp 0, log 1, powers and roots that are representable stay, many times over;
        errno and signgam are set."""
        for mode in ("nearest", "sr", "cestac"):
            digest(self.program, "exact", FUZZY_LIBS="all", FUZZY_MODE=mode)

    def test_isas(self) -> None:
        """Equal seeds give equal bits on every ISA of this CPU."""
        got = {
            i: digest(self.program, FUZZY_LIBS="all", FUZZY_ISA=i, FUZZY_SEED="1")
            for i in isas()
        }
        self.assertEqual(len(set(got.values())), 1, got)

    def test_every_symbol_is_called(self) -> None:
        """The report of that program names every function of the list as perturbed, and as
        passed through where it is left out, with the native bits."""
        fake = compile_c("fake_torch.c", "math/libtorch_cpu.so", "-shared", "-fPIC")
        flags = (*FLAGS, "-Wl,--no-as-needed", str(fake), "-Wl,-rpath,$ORIGIN")
        program = str(compile_c("libm_calls.c", "math/libm_torch", *CALLS, *flags))
        text = (ROOT / "shim/symbols_libm.def").read_text()
        listed = set(re.findall(r"^FZ_SLOT\((\w+), MATH", text, flags=re.MULTILINE))
        self.assertGreater(len(listed), 90)
        path = build_dir() / "libm.json"
        exclude = build_dir() / "exclude"
        exclude.write_text("* libm_torch\n")
        cases: list[tuple[str, dict[str, str]]] = [
            ("perturbed", {}),
            ("scope", {"FUZZY_SCOPE": "blas"}),
            ("excluded", {"FUZZY_EXCLUDE": str(exclude)}),
        ]
        got = {}
        for why, env in cases:
            word = ["native"] if env else []
            got[why] = digest(
                program, *word, FUZZY_LIBS="all", FUZZY_REPORT=str(path), **env
            )
            rows = json.loads(path.read_text())["symbols"]
            path.unlink()
            if why == "perturbed":
                called = {s["symbol"] for s in rows if s["perturbed"]["calls"]}
            else:
                called = {s["symbol"] for s in rows if set(s["why"]) == {why}}
            self.assertEqual(listed - called, set())
        native = digest(self.program, "native", preload=False)
        self.assertEqual([got["scope"], got["excluded"]], [native, native])
        self.assertNotEqual(got["perturbed"], native)

    def test_whose_calls(self) -> None:
        """Whatever the way of a call, those of a library in scope are perturbed, one that is
        a function's last act included; those of the program reach libm itself."""
        main = str(compile_c("tail_main.c", "tail_main", *CALLS))
        scope = {"FUZZY_LIBS": "tail_*.so", "FUZZY_PRECISION": "f32:8,f64:8"}
        ways = {
            "now": ("-Wl,-z,relro,-z,now",),
            "lazy": ("-Wl,-z,lazy",),
            "noplt": ("-fno-plt",),
        }
        for name, flags in ways.items():
            library = compile_c(
                "tail_calls.c",
                f"tail_{name}.so",
                "-O2",
                "-shared",
                "-fPIC",
                *CALLS,
                *flags,
            )
            code = subprocess.run(
                ["objdump", "-d", "--disassemble=tail_exp", str(library)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            self.assertRegex(code, r"jmp +[^\n]*(exp@plt|\(%rip\))")
            self.assertNotRegex(code, r"\bcall\b")
            for env, whose in ((scope, "libfuzzytorch.so"), ({}, "libm.so.6")):
                out = run([main, str(library)], FUZZY_VERBOSE="0", **env).stdout
                lines = dict(line.split() for line in out.splitlines())
                self.assertEqual(lines["program's"], "libm.so.6")
                self.assertEqual(lines["library's"], whose)
                self.assertGreater(int(lines["program"]), 40)
                for f in ("tail_exp", "plain_exp", "pointer_exp", "tail_powf"):
                    low = int(lines[f]) <= 8
                    self.assertEqual(low, env == scope, (name, f, lines))

    def test_random_numbers(self) -> None:
        """Inside at::native::normal_ nothing is perturbed, its arguments arrive; a torch in
        which it cannot be seen has its libm left alone, and says so."""
        main = str(compile_c("tail_main.c", "tail_main", *CALLS))
        env = {"FUZZY_LIBS": "torch", "FUZZY_PRECISION": "f32:8,f64:8"}
        for name, flags in (("lazy", ("-Wl,-z,lazy",)), ("now", ("-Wl,-z,now",))):
            torch = str(
                compile_c(
                    "tail_calls.c",
                    f"{name}/libtorch_cpu.so",
                    *(
                        "-O2",
                        "-shared",
                        "-fPIC",
                        "-DNORMAL",
                        "-fno-inline",
                        *CALLS,
                        *flags,
                    ),
                )
            )
            native = run([main, torch], preload=False).stdout
            out = run([main, torch], FUZZY_VERBOSE="0", **env)
            got, want = (
                dict(x.split() for x in o.splitlines()) for o in (out.stdout, native)
            )
            self.assertEqual(got["drawn0"], want["drawn0"])
            self.assertEqual(got["drawn1"], want["drawn0"])
            self.assertAlmostEqual(float(want["drawn0"]), 88308644.0763, places=3)
            self.assertLessEqual(int(got["tail_exp"]), 8)
            self.assertNotIn("past its own table", out.stderr)
        hidden = str(
            compile_c(
                "tail_calls.c",
                "hidden/libtorch_cpu.so",
                "-O2",
                "-shared",
                "-fPIC",
                *CALLS,
            )
        )
        out = run([main, hidden], FUZZY_VERBOSE="0", **env)
        self.assertEqual(out.stdout, run([main, hidden], preload=False).stdout)
        self.assertIn("past its own table", out.stderr)

    def test_off(self) -> None:
        """Off is absent: the native bits, and libm's own function."""
        main = str(compile_c("tail_main.c", "tail_main", *CALLS))
        library = str(
            compile_c("tail_calls.c", "tail_off.so", "-O2", "-shared", "-fPIC", *CALLS)
        )
        off = {"FUZZY_MODE": "off", "FUZZY_LIBS": "all"}
        self.assertEqual(
            run([main, library], **off).stdout,
            run([main, library], preload=False).stdout,
        )


if __name__ == "__main__":
    common.main()
