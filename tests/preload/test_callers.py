"""Who asked: rules about functions among the callers, and the table by caller.

SPDX-License-Identifier: Apache-2.0

Run by each Python with torch, for the tests of its torch.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import common
from common import build_dir, compile_c, run


def program(strip: bool = False) -> str:
    """Return the program beside its library, whose symbol table may be taken away."""
    folder = "callers-stripped" if strip else "callers"
    flags = ["-DLIBRARY", "-shared", "-fPIC", "-fopenmp", "-lopenblas", "-lm"]
    flags.append("-fno-toplevel-reorder")
    lib = compile_c("callers.c", f"{folder}/libtorch_cpu.so", *flags)
    if strip:
        subprocess.run(["strip", str(lib)], check=True)
    return str(compile_c("callers.c", f"{folder}/prog", str(lib), "-Wl,-rpath,$ORIGIN"))


def lines(out: str) -> list[tuple[str, str]]:
    """Split what the program prints: who, and the bits of his product."""
    return [(line.split()[0], line.split()[1]) for line in out.splitlines()]


class Case(unittest.TestCase):
    """Runs with rules and a report."""

    def rules(self, text: str) -> str:
        """Write a file of rules; return its path."""
        path = build_dir() / f"rules-{self.id().rsplit('.', 1)[1]}"
        path.write_text(text)
        return str(path)

    def report(
        self, cmd: list[str], *, callers: bool = True, **env: str
    ) -> tuple[dict[str, Any], list[tuple[str, str]], str]:
        """Run with a JSON report; return it, the lines printed, and stderr."""
        path = build_dir() / "callers.json"
        path.unlink(missing_ok=True)
        env.setdefault("FUZZY_SEED", "1")
        env.setdefault("FUZZY_VERBOSE", "0")
        suffix = ",callers" if callers else ""
        p = run(cmd, FUZZY_REPORT=f"{path}{suffix}", **env)
        return json.loads(path.read_text()), lines(p.stdout), p.stderr


def by(rows: list[dict[str, Any]], key: str, what: str = "perturbed") -> dict[str, int]:
    """Add up the calls of rows with an equal key."""
    sums: dict[str, int] = {}
    for row in rows:
        if row[what]["calls"]:
            sums[row[key]] = sums.get(row[key], 0) + row[what]["calls"]
    return sums


class Rules(Case):
    """Lines about functions among the callers."""

    def excluded(
        self, rule: str, *cmd: str, variable: str = "FUZZY_EXCLUDE"
    ) -> set[str]:
        """Return whose products a line leaves out; the others have the bits they had."""
        rules = self.rules(rule + "\n")
        full = self.report([program(), *cmd], callers=False)[1]
        native = lines(run([program(), *cmd], preload=False).stdout)
        r, got, err = self.report([program(), *cmd], callers=False, **{variable: rules})
        self.assertNotIn("never matched", err)
        self.assertTrue(r["rules"][0]["matched"])
        left = {w for (w, g), (_, f) in zip(got, full) if g != f}
        for (who, mine), (_, absent) in zip(got, native):
            if who in left:
                self.assertEqual(mine, absent, who)
        n = sum(who in left for who, _ in got)
        self.assertEqual(r["totals"]["passed"]["calls"], n)
        self.assertEqual(r["totals"]["perturbed"]["calls"], len(got) - n)
        return left

    def test_a_frame(self) -> None:
        """Any frame of the chain: a function of torch, the program's own, by wildcards."""
        self.assertEqual(self.excluded("by_alpha *", "two"), {"alpha"})
        self.assertEqual(self.excluded("by_alpha libtorch_cpu.so", "two"), {"alpha"})
        self.assertEqual(self.excluded("*y_bet* libtorch*", "two"), {"beta"})
        self.assertEqual(self.excluded("main prog", "two"), {"alpha", "beta"})

    def test_a_local_function(self) -> None:
        """One that only .symtab names."""
        self.assertEqual(self.excluded("local_step *", "two"), {"alpha", "beta"})

    def test_mangled(self) -> None:
        """By its mangled name, or by a part of it."""
        for rule in ("*frobnicate*", "_ZN2at4_ops10frobnicate4call*", "*MulBackward*"):
            self.assertEqual(
                self.excluded(f"{rule} *", "operation"), {"operation"}, rule
            )

    def test_include(self) -> None:
        """FUZZY_INCLUDE: only what a line names is perturbed."""
        left = self.excluded("by_alpha *", "two", variable="FUZZY_INCLUDE")
        self.assertEqual(left, {"beta"})

    def test_team(self) -> None:
        """Threads of a parallel region have its opener's callers."""
        self.assertEqual(self.excluded("team_alpha *", "team"), {"alpha"})
        self.assertEqual(self.excluded("main prog", "team"), {"alpha", "beta"})

    def test_equal_frames(self) -> None:
        """Callers are told apart whose frames lie in the same place."""
        self.assertEqual(self.excluded("small prog", "grown"), {"small"})

    def test_symbols_are_not_callers(self) -> None:
        """A line that matches an intercepted symbol is about that symbol alone: `d* *` is
        dgemm_, and not the program's dlarge."""
        rules = self.rules("d* *\nnobody *\n")
        r, _, _ = self.report([program(), "grown"], callers=False, FUZZY_EXCLUDE=rules)
        self.assertEqual(r["totals"]["passed"]["calls"], 0)
        self.assertFalse(r["rules"][0]["matched"])

    def test_never_matched(self) -> None:
        """A line that did nothing is named, in the report and on stderr."""
        rules = self.rules("# none\nby_alpha *\nby_gamma *\nsgemv_ *\n*bet* other.so\n")
        r, _, err = self.report([program(), "two"], callers=False, FUZZY_EXCLUDE=rules)
        self.assertEqual([x["line"] for x in r["rules"] if not x["matched"]], [3, 4, 5])
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn("rules never matched: FUZZY_EXCLUDE line 3 `by_gamma *`", err)
        self.assertNotIn("by_alpha", err)

    def test_matched_in_a_child(self) -> None:
        """What matched in a forked child alone has matched."""
        rules = self.rules("by_beta *\n")
        r, _, err = self.report([program(), "fork"], callers=False, FUZZY_EXCLUDE=rules)
        self.assertEqual(err, "")
        self.assertTrue(r["rules"][0]["matched"])
        self.assertEqual(r["totals"]["passed"]["calls"], 50)

    def test_stripped(self) -> None:
        """Without .symtab a local function has no name, not its neighbour's."""
        rules = self.rules("local_step *\nby_alpha *\n")
        r, _, _ = self.report([program(strip=True), "two"], FUZZY_EXCLUDE=rules)
        self.assertEqual([x["matched"] for x in r["rules"]], [False, True])
        self.assertEqual(r["totals"]["passed"]["calls"], 3)
        rules = self.rules("by_beta *\n")
        r, _, _ = self.report([program(strip=True), "grown"], FUZZY_EXCLUDE=rules)
        self.assertEqual(r["totals"]["passed"]["calls"], 0)


class Table(Case):
    """FUZZY_REPORT=...,callers."""

    def test_two(self) -> None:
        """A row a caller; the rows add up to the symbols' counts."""
        r, _, _ = self.report([program(), "two"])
        rows = r["callers"]
        self.assertEqual(by(rows, "function"), {"product": 6})
        self.assertEqual(by(rows, "symbol"), {"sgemm_": 6})
        self.assertEqual(sum(x["perturbed"]["flops"] for x in rows), 6 * 54)

    def test_operator(self) -> None:
        """The operator that asked, and the outermost one."""
        r, _, _ = self.report([program(), "operation"])
        rows = {x["operator"]: x for x in r["callers"]}
        self.assertEqual(set(rows), {"aten::frobnicate", ""})
        self.assertEqual(rows["aten::frobnicate"]["outer"], "MulBackward")
        self.assertEqual(
            rows["aten::frobnicate"]["perturbed"], {"calls": 1, "flops": 54}
        )

    def test_excluded(self) -> None:
        """What a rule leaves out is in the table as passed through."""
        rules = self.rules("*frobnicate* *\n")
        r, _, _ = self.report([program(), "operation"], FUZZY_EXCLUDE=rules)
        self.assertEqual(
            by(r["callers"], "operator", "passed"), {"aten::frobnicate": 1}
        )
        self.assertEqual(by(r["callers"], "operator"), {"": 1})

    def test_children(self) -> None:
        """Fifty children, half of them killed: their rows are there, and add up."""
        r, _, _ = self.report([program(), "fork"])
        self.assertEqual(by(r["callers"], "symbol"), {"sgemm_": 101})
        self.assertEqual(len(r["callers"]), 1)

    def test_children_with_files(self) -> None:
        """With %p each has its own rows."""
        where = build_dir() / "caller-pids"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        run([program(), "fork"], FUZZY_REPORT=f"{where}/%p.json,callers")
        sums = []
        for f in where.glob("*.json"):
            r = json.loads(f.read_text())
            sums.append(by(r["callers"], "symbol")["sgemm_"])
            self.assertEqual(r["totals"]["perturbed"]["calls"], sums[-1])
        self.assertEqual(sorted(sums), [1] + [2] * 25)

    def test_tail_jump(self) -> None:
        """A call that returns to another library is counted for the one that made it."""
        rules = self.rules("nobody *\n")
        r, _, _ = self.report([program(), "tail"], FUZZY_EXCLUDE=rules)
        row = r["callers"][0]
        self.assertEqual((row["symbol"], row["library"]), ("exp", "libtorch_cpu.so"))
        self.assertEqual(row["perturbed"]["calls"], 1)

    def test_deep(self) -> None:
        """Chains longer than what is looked at, each another one."""
        r, _, _ = self.report([program(), "deep"])
        self.assertEqual(by(r["callers"], "symbol"), {"sgemm_": 400})
        # product, local_step 1 + i times, by_alpha: the 128th frame at i = 125.
        rules = self.rules("by_alpha *\n")
        r, _, _ = self.report([program(), "deep"], callers=False, FUZZY_EXCLUDE=rules)
        self.assertEqual(r["totals"]["passed"]["calls"], 126)

    def test_more_ways_than_are_kept(self) -> None:
        """65,536 ways to one product: half of them are kept, all are counted."""
        r, _, _ = self.report([program(), "ways"])
        self.assertEqual(by(r["callers"], "symbol"), {"sgemm_": 65536})

    def test_generated_code(self) -> None:
        """Frames without unwind tables end the chain, and nothing else."""
        rules = self.rules("step prog\nmain libc.so*\n")
        r, _, err = self.report([program(), "generated"], FUZZY_EXCLUDE=rules)
        self.assertEqual(by(r["callers"], "symbol", "passed"), {"sgemm_": 18})
        self.assertIn("line 2 `main libc.so*`", err)

    def test_threads(self) -> None:
        """Threads that find the same 4096 ways at once: every call has its row."""
        rules = self.rules("crowd *\n")
        r, _, _ = self.report([program(), "crowd"], FUZZY_INCLUDE=rules)
        self.assertEqual(by(r["callers"], "symbol"), {"sgemm_": 16384})
        self.assertEqual(r["totals"]["perturbed"]["calls"], 16384)

    def test_stderr(self) -> None:
        """As text."""
        p = run([program(), "operation"], FUZZY_REPORT="stderr,callers", FUZZY_SEED="1")
        self.assertRegex(
            p.stderr,
            r"sgemm_ for aten::frobnicate by product, asked for by MulBackward: "
            r"perturbed 1 calls, 54 flops",
        )

    def test_same_bits(self) -> None:
        """The table changes no number."""
        with_table = self.report([program(), "team"])[1]
        without = self.report([program(), "team"], callers=False)[1]
        self.assertEqual(with_table, without)


class Missing(Case):
    """No libunwind at run time: here one that is not a library, found first."""

    def setUp(self) -> None:
        """Put it where the dynamic linker looks first."""
        folder = build_dir() / "no-unwind"
        folder.mkdir(exist_ok=True)
        source = build_dir() / "empty.c"
        source.write_text("int nothing;\n")
        lib = compile_c(str(source), "no-unwind/libunwind.so.8", "-shared", "-fPIC")
        self.env = {"LD_LIBRARY_PATH": str(lib.parent)}

    def test_rules(self) -> None:
        """A rule about callers cannot be obeyed: the process ends at once, with one line."""
        rules = self.rules("sgemv_ *\nby_alpha *\n")
        for more in ({}, {"FUZZY_REPORT": "stderr,callers"}):
            p = run(
                [program(), "two"], check=False, FUZZY_EXCLUDE=rules, **self.env, **more
            )
            self.assertEqual(p.returncode, 2)
            self.assertEqual(p.stdout, "")
            said = [x for x in p.stderr.splitlines() if "mode sr" not in x]
            self.assertEqual(len(said), 1, p.stderr)
            self.assertIn("FUZZY_EXCLUDE line 2", said[0])
            self.assertIn("install libunwind8", said[0])

    def test_other_rules(self) -> None:
        """One about intercepted symbols needs no libunwind."""
        rules = self.rules("sg*m_ *\n")
        r, _, err = self.report(
            [program(), "two"], callers=False, FUZZY_EXCLUDE=rules, **self.env
        )
        self.assertEqual(r["totals"]["passed"]["calls"], 6)
        self.assertNotIn("libunwind", err)

    def test_table(self) -> None:
        """The table is missing, which is said once, and in the report."""
        r, _, err = self.report([program(), "team"], **self.env)
        self.assertEqual(err.count("libunwind.so.8"), 1, err)
        self.assertIsNone(r["callers"])
        self.assertIn("install libunwind8", r["callers_missing"])
        self.assertEqual(r["totals"]["perturbed"]["calls"], 8)


MODEL = """
import hashlib, torch
from torch import nn
torch.manual_seed(0)
def show(who, t):
    print(who, hashlib.md5(t.detach().contiguous().numpy().tobytes()).hexdigest()[:16])
x = torch.randn(6, 32, requires_grad=True)
layer = nn.Linear(32, 32)
y = layer(x)
show("linear", y)
y.sum().backward()
show("backward", layer.weight.grad)
show("mm", torch.mm(x.detach(), x.detach().t()))
show("conv", nn.Conv2d(4, 6, 3)(torch.ones(8, 4, 12, 12) / 3))
show("softmax", torch.softmax(x, 1))
show("exp", torch.exp(torch.linspace(-1, 1, 100000)))
show("svd", torch.linalg.svd(torch.ones(8, 8) + torch.eye(8))[1])
"""


@unittest.skipUnless(importlib.util.find_spec("torch"), "this Python has no torch")
class Torch(Case):
    """The torch of the Python that runs this."""

    def setUp(self) -> None:
        """Make the script."""
        script = build_dir() / "model.py"
        script.write_text(MODEL)
        self.command = [sys.executable, str(script)]

    def test_table(self) -> None:
        """Operators of ATen by name; the rows add up to the symbols' counts."""
        r, _, _ = self.report(self.command)
        rows = r["callers"]
        asked = {(x["operator"], x["outer"]) for x in rows if x["symbol"] == "sgemm_"}
        for pair in (
            ("aten::addmm", "aten::linear"),
            ("aten::mm", "AddmmBackward0"),
            ("aten::mm", "aten::mm"),
        ):
            self.assertIn(pair, asked)
        asked = {
            (x["operator"], x["outer"]) for x in rows if x["symbol"][:5] == "dnnl_"
        }
        self.assertEqual(asked, {("aten::mkldnn_convolution", "aten::conv2d")})
        exps = {x["operator"] for x in rows if "xp" in x["symbol"]}
        self.assertEqual(exps, {"aten::exp", "aten::_softmax"})
        svd = {x["operator"] for x in rows if x["symbol"] in ("sgesdd_", "sger_")}
        self.assertEqual(svd, {"aten::_linalg_svd"})
        for symbol in r["symbols"]:
            mine = [x for x in rows if x["symbol"] == symbol["symbol"]]
            for key in ("calls", "flops"):
                want = symbol["perturbed"][key], symbol["passed"][key]
                got = tuple(
                    sum(x[k][key] for x in mine) for k in ("perturbed", "passed")
                )
                if set(symbol["why"]) <= {"excluded"}:  # callers in scope only
                    self.assertEqual(got, want, symbol["symbol"])

    def test_rules(self) -> None:
        """Lines that name functions of ATen leave out what they name, and nothing else."""
        full = dict(self.report(self.command, callers=False)[1])
        native = dict(lines(run(self.command, preload=False).stdout))
        for rule, left in (
            ("*_ops5addmm*", {"linear"}),
            ("at::_ops::linear::call*", {"linear"}),
            ("*softmax*", {"softmax"}),
            ("*AddmmBackward0*", {"backward"}),
            ("THPVariable_*", set()),
        ):
            with self.subTest(rule=rule):
                rules = self.rules(f"{rule} libtorch_cpu*\n")
                r, got, err = self.report(
                    self.command, callers=False, FUZZY_EXCLUDE=rules
                )
                changed = {who for who, bits in got if bits != full[who]}
                self.assertEqual(changed, left)
                for who in left:
                    self.assertEqual(dict(got)[who], native[who], who)
                self.assertEqual("rule never matched" in err, not left)
                self.assertEqual(r["rules"][0]["matched"], bool(left))

    def test_workers(self) -> None:
        """The counts of 50 workers add up in the table, by operator."""
        script = Path(common.HERE) / "torch_cases.py"
        r, _, _ = self.report([sys.executable, str(script), "workers"])
        rows = [x for x in r["callers"] if x["symbol"] == "sgemm_"]
        self.assertEqual(by(rows, "operator"), {"aten::mm": 51})
        self.assertEqual(sum(x["perturbed"]["flops"] for x in rows), 51 * 2 * 30**3)


if __name__ == "__main__":
    common.main()
