"""Recording: what is stored, under which names, and that it changes nothing.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import subprocess
import sys
import unittest

import numpy as np
from common import INJECT, LIBRARY, PYTHON, StudyCase

#: Trains a network of many kinds of layers and prints every bit of what it got.
TRAIN = """\
import hashlib, random, numpy, torch
from torch import nn
torch.manual_seed(0), random.seed(0), numpy.random.seed(0)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.lstm = nn.LSTM(4 * 6, 16)
        self.attn = nn.MultiheadAttention(16, 2)
        self.drop = nn.Dropout(.5)
        self.out = nn.Linear(16, 3)
    def forward(self, x):
        h = self.conv(x).permute(2, 0, 1, 3).flatten(2)
        h, state = self.lstm(h)
        h, weights = self.attn(h, h, h)
        return {"logits": self.out(self.drop(h[-1])), "state": state}
net, loss = Net(), nn.CrossEntropyLoss()
opt = torch.optim.Adam(net.parameters(), 1e-2)
x, y = torch.randn(8, 1, 8, 8), torch.randint(3, (8,))
for step in range(3):
    opt.zero_grad()
    l = loss(net(x)["logits"], y)
    l.backward()
    opt.step()
    print(l.item().hex())
net.eval()
h = hashlib.sha256()
for t in [*net.state_dict().values(), *(p.grad for p in net.parameters())]:
    h.update(t.detach().contiguous().numpy().tobytes())
h.update(net(x)["logits"].detach().numpy().tobytes())
print(h.hexdigest(), torch.rand(1).item(), random.random(), numpy.random.rand())
"""

#: Saves what the recorder should have seen, under its name.
KNOWN = """\
import numpy, torch
from torch import nn
torch.manual_seed(0)
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Tanh()
    def forward(self, x):
        y = self.b(self.a(x))
        numpy.save("block.npy", y.detach().numpy())
        return y.t(), {"twice": [y, (2 * y).bfloat16()], "n": (y > 0).sum()}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.list = nn.ModuleList([nn.Identity()])
    def forward(self, x):
        y = self.first(x)[0]
        return self.list[0](y * float("nan") if x.sum() > 1e9 else y)
net = Net()
net(torch.randn(5, 4))
net(torch.randn(2, 4))
"""

#: Ways of wrapping a module, each called once.
WRAPPED = """\
import sys, torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 2)
    def forward(self, x):
        return self.lin(x)
x = torch.ones(3, 4)
how = sys.argv[1]
net = Net()
if how == "parallel":
    net = nn.DataParallel(net)
elif how == "script":
    net = torch.jit.script(net)
elif how == "trace":
    net = torch.jit.trace(net, x)
elif how == "compile":
    net = torch.compile(net, backend="eager", fullgraph=True)
elif how == "raising":
    class Bad(nn.Module):
        def forward(self, x):
            raise KeyError("bad")
    try:
        Bad()(x)
    except KeyError:
        pass
net(x)
"""


def names(lines: list[dict]) -> list[str]:
    """Return names of the tensors."""
    return [line["name"] for line in lines if "file" in line]


class Unchanged(StudyCase):
    """A recorded run is the run."""

    def test_bit_for_bit(self) -> None:
        """The same seed gives the same bits, whatever is recorded."""
        self.script(TRAIN)
        for mode in ("sr", "off"):
            plain = self.run_python("script.py", FUZZY_MODE=mode, FUZZY_SEED="3")
            root = self.folder / f"record-{mode}"
            kept = self.run_python(
                "script.py",
                record=f"modules,params,grads;{1 << 30};{root}",
                FUZZY_MODE=mode,
                FUZZY_SEED="3",
            )
            self.assertEqual(plain.stdout, kept.stdout, mode)
            self.assertEqual(plain.stderr, kept.stderr, mode)
            lines = self.index(root.name)
            kinds = {line.get("kind") for line in lines}
            self.assertLessEqual({"output", "module", "param", "grad"}, kinds)
            self.assertTrue(lines[-1]["end"])
            self.assertFalse((root / "process-2").exists())
        other = self.run_python("script.py", FUZZY_MODE="sr", FUZZY_SEED="4")
        one = self.run_python("script.py", FUZZY_MODE="sr", FUZZY_SEED="3")
        self.assertNotEqual(one.stdout, other.stdout, "the comparison can fail")

    def test_start(self) -> None:
        """Start-up imports no torch, leaves sys.path as it was, and runs what is hidden."""
        hidden = self.folder / "hidden"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text("import sys\nsys.seen = __file__\n")
        self.script(
            "import sys\nprint('torch' in sys.modules, 'numpy' in sys.modules,"
            "sys.seen, sys.modules['sitecustomize'].__file__, 'inject' in str(sys.path))"
        )
        record = f"modules;1000;{self.folder}/record"
        done = self.run_python("script.py", record=record, PYTHONPATH=str(hidden))
        file = str(hidden / "sitecustomize.py")
        self.assertEqual(done.stdout.split(), ["False", "False", file, file, "False"])
        self.assertFalse((self.folder / "record").exists())
        holds = {p.name for p in INJECT.iterdir()} - {"__pycache__"}
        self.assertEqual(holds, {"sitecustomize.py"})

    def test_a_hidden_one_that_fails(self) -> None:
        """Python's own message about it, as without us."""
        hidden = self.folder / "hidden"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text("import no_such_module_at_all\n")
        self.script("print('on')")
        done = self.run_python(
            "script.py",
            record=f"modules;1000;{self.folder}/record",
            PYTHONPATH=str(hidden),
        )
        self.assertEqual(done.stdout, "on\n")
        self.assertIn("no_such_module_at_all", done.stderr)


class Stored(StudyCase):
    """What is in a record."""

    def record(self, text: str, what: str, *words: str, limit: int = 1 << 30) -> list:
        """Run a script, return its record's lines."""
        self.script(text)
        self.done = self.run_python(
            "script.py", *words, record=f"{what};{limit};{self.folder}/record"
        )
        return self.index()

    def load(self, line: dict) -> np.ndarray:
        """Return the array of a line."""
        return np.load(self.folder / "record" / line["file"], allow_pickle=False)

    def test_modules(self) -> None:
        """Names, order, calls and values of all modules."""
        lines = self.record(KNOWN, "modules")
        once = ["first.a", "first.b", "first[0]", "first[1].twice[0]"]
        once += ["first[1].twice[1]", "first[1].n", "list.0", "Net"]
        self.assertEqual(names(lines), once * 2)
        self.assertEqual([li["order"] for li in lines[:-1]], list(range(16)))
        self.assertEqual([li["call"] for li in lines[:-1]], [0] * 8 + [1] * 8)
        self.assertEqual(
            [li["kind"] for li in lines[:8]], ["module"] * 7 + ["output"], lines
        )
        second = {line["name"]: line for line in lines[8:-1]}
        want = np.load(self.folder / "block.npy")
        for name, array in (
            ("first.b", want),
            ("first[0]", want.T),
            ("first[1].twice[0]", want),
            ("Net", want.T),
            ("first[1].n", np.array((want > 0).sum())),
        ):
            got = self.load(second[name])
            self.assertEqual(got.shape, array.shape)
            self.assertEqual(got.tobytes(), np.ascontiguousarray(array).tobytes(), name)
        half = second["first[1].twice[1]"]
        self.assertEqual(half["dtype"], "bfloat16")
        self.assertEqual(half["note"], "bfloat16 stored as float32")
        near = self.load(half)
        self.assertEqual(near.dtype, np.float32)
        self.assertFalse((near.view(np.uint32) & 0xFFFF).any())
        # bf16 is rounded at random too: either neighbour, less than one spacing away.
        self.assertLess(np.abs(near / (2 * want) - 1).max(), 2.0**-7)
        self.assertEqual(lines[-1]["tensors"], 16)

    def test_outputs(self) -> None:
        """Of outermost modules only."""
        lines = self.record(KNOWN, "outputs")
        self.assertEqual(names(lines), ["Net", "Net"])
        self.assertEqual(lines[1]["shape"], [4, 2])

    def test_params_at_the_end(self) -> None:
        """Parameters and gradients, of a model that the script has let go of."""
        text = (
            "import numpy, torch\n"
            "def main():\n"
            "    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))\n"
            "    net(torch.randn(4, 3)).square().sum().backward()\n"
            "    with torch.no_grad():\n"
            "        net[0].weight += 1\n"
            "    numpy.save('w.npy', net[0].weight.detach().numpy())\n"
            "    numpy.save('g.npy', net[0].weight.grad.numpy())\n"
            "main()\n"
        )
        lines = self.record(text, "params")
        ends = {(li["name"], li["kind"]): li for li in lines if li.get("pass") == "end"}
        weight = self.load(ends["0.weight", "param"])
        self.assertEqual(
            weight.tobytes(), np.load(self.folder / "w.npy").tobytes(), "after the step"
        )
        grad = self.load(ends["0.weight", "grad"])
        self.assertEqual(grad.tobytes(), np.load(self.folder / "g.npy").tobytes())
        self.assertIn(("1.running_mean", "param"), ends)
        self.assertEqual(len(ends), 4 + 4 + 3)

    def test_wrappers(self) -> None:
        """DataParallel is seen through; TorchScript is one layer; errors leave no trace."""
        inside, whole = ["lin", "Net"], ["Net"]
        # torch.jit.trace calls the module once more, to compare.
        traced = [*inside, "Net#2"]
        raising = ["Net/lin", "Net"]  # the first outermost module there is Bad
        cases = {"parallel": inside, "script": whole, "trace": traced}
        cases["raising"] = raising
        import torch

        if torch.__version__ >= "2":
            cases["compile"] = whole
        for how, want in cases.items():
            lines = self.record(WRAPPED, "modules", how)
            self.assertEqual(names(lines), want, how)
            for path in (self.folder / "record").iterdir():
                path.unlink()

    def test_strange_tensors(self) -> None:
        """What has no values is noted, the rest goes on."""
        text = (
            "import torch\n"
            "class Odd(torch.nn.Module):\n"
            "    def forward(self, x):\n"
            "        s = torch.eye(3).to_sparse()\n"
            "        return [torch.ones(2, device='meta'), s, x.half(), x.cfloat().conj(),\n"
            "                torch.zeros(0, 3), torch.tensor(True),\n"
            "                torch.quantize_per_tensor(x, .5, 0, torch.qint8)]\n"
            "Odd()(torch.ones(2))\n"
        )
        lines = self.record(text, "outputs")
        self.assertEqual(lines[0]["skipped"], "Odd[0]")
        arrays = [self.load(line) for line in lines[1:-1]]
        self.assertEqual(
            [str(a.dtype) for a in arrays],
            ["float32", "float32", "complex64", "float32", "bool", "int8"],
        )
        self.assertEqual(arrays[3].shape, (0, 3))
        self.assertEqual(arrays[4].shape, ())

    def test_limit(self) -> None:
        """At the limit recording ends, says so, and the run goes on."""
        lines = self.record(KNOWN + "print('on')\n", "modules", limit=900)
        self.assertTrue(lines[-1]["stopped_by_limit"])
        size = sum(p.stat().st_size for p in (self.folder / "record").glob("*"))
        self.assertLess(size, 900 + 200)
        self.assertEqual(self.done.stdout, "on\n")
        self.assertEqual(self.done.stderr.count("limit of 900 bytes"), 1)

    def test_nowhere_to_write(self) -> None:
        """One line; the program goes on."""
        self.script(KNOWN + "print('on')\n")
        (self.folder / "file").touch()
        done = self.run_python("script.py", record=f"modules;9999;{self.folder}/file/x")
        self.assertEqual(done.stdout, "on\n")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("recording stopped", done.stderr)

    def test_killed(self) -> None:
        """A record without its last line is partial; what it lists is whole."""
        self.script(KNOWN + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
        self.run_python(
            "script.py", record=f"modules;99999;{self.folder}/record", check=False
        )
        lines = self.index()
        self.assertEqual(len(lines), 16)
        self.assertNotIn("end", lines[-1])
        for line in lines:
            self.assertEqual(list(self.load(line).shape), line["shape"])

    def test_processes(self) -> None:
        """Forked and spawned processes have records of their own, which end too."""
        text = KNOWN.replace(
            "net(torch.randn(2, 4))\n",
            "def work(n):\n"
            "    with torch.no_grad():\n"
            "        Block()(torch.ones(n, 4))\n"
            "if __name__ == '__main__':\n"
            "    import multiprocessing\n"
            "    for how in ('fork', 'spawn'):\n"
            "        p = multiprocessing.get_context(how).Process(target=work, args=(2,))\n"
            "        p.start(); p.join()\n"
            "        assert p.exitcode == 0\n",
        )
        lines = self.record(text, "outputs")
        self.assertEqual(names(lines), ["Net"])
        # The spawned one runs the script's body too.
        for k, count in ((2, 4), (3, 5)):
            other = self.index(f"record/process-{k}")
            self.assertTrue(other[-1].get("end"), other)
            self.assertEqual(len(names(other)), count)


class Fuzzyrun(StudyCase):
    """--record, --collect and --reference."""

    def test_record_and_reference(self) -> None:
        """Samples differ, controls agree, the reference is in double."""
        self.script(KNOWN)
        self.fuzzyrun(
            "-n", 2, "-s", 5, "-o", "d", "--record", "modules", "--reference", "f64",
            "--", sys.executable, "script.py",
        )  # fmt: skip
        runs = ("control-1", "control-2", "reference-f64", "sample-0001", "sample-0002")
        got = {}
        for run in runs:
            last = [li for li in self.index(f"d/{run}/record") if li.get("name") == "Net"]
            got[run] = np.load(self.folder / "d" / run / "record" / last[-1]["file"])
            state = self.status(f"d/{run}")["record"]
            self.assertEqual((state["tensors"], state["complete"]), (16, True))
        same = got["control-1"].tobytes() == got["control-2"].tobytes()
        self.assertTrue(same)
        self.assertNotEqual(got["sample-0001"].tobytes(), got["sample-0002"].tobytes())
        self.assertEqual(got["reference-f64"].dtype, np.float64)
        self.assertLess(np.abs(got["reference-f64"] - got["control-1"]).max(), 1e-6)
        self.assertNotEqual(
            np.abs(got["reference-f64"] - got["control-1"]).max(), 0, "in double"
        )
        study = json.loads((self.folder / "d/study.json").read_text())
        self.assertEqual(study["record"], ["modules"])
        again = self.fuzzyrun(
            "-n", 2, "-s", 5, "-o", "d", "--", sys.executable, "script.py", status=2
        )
        self.assertIn("what is recorded", again.stderr)

    def test_collect(self) -> None:
        """Files that are new or changed are taken, those of other programs are not."""
        (self.folder / "old.npy").write_bytes(b"old")
        self.script(
            "import os, torch\n"
            "torch.ones(9, 9) @ torch.ones(9, 9)\n"
            "os.makedirs('out/deep', exist_ok=True)\n"
            "open('out/deep/a.npy', 'w').write(os.environ['FUZZY_SEED'])\n"
            "open('other.txt', 'w').close()\n"
        )
        self.fuzzyrun(
            "-n", 2, "-s", 1, "-o", "d", "--collect", "**/*.npy",
            "--", sys.executable, "script.py",
        )  # fmt: skip
        for k in (1, 2):
            files = self.folder / f"d/sample-000{k}/files"
            found = [p for p in files.rglob("*") if p.is_file()]
            self.assertEqual(found, [files / "out/deep/a.npy"])
            self.assertEqual(found[0].read_text(), str(k))
        bad = self.fuzzyrun(
            "-n", 2, "-j", 2, "--collect", "*", "--", sys.executable, "x", status=2
        )
        self.assertIn("--collect", bad.stderr)

    def test_script_that_calls_the_api(self) -> None:
        """fuzzytorch.record needs no --record; scopes do nothing in controls."""
        self.script(
            "import fuzzytorch, torch\n"
            "torch.manual_seed(0)\n"
            "a = torch.rand(9, 9)\n"
            "with fuzzytorch.mode('nearest', precision=5):\n"
            "    fuzzytorch.record('low', a @ a)\n"
            "fuzzytorch.record('full', a @ a)\n"
            "fuzzytorch.record('full', (a > 0).sum().item())\n"
        )
        self.fuzzyrun(
            "-n", 2, "-o", "d", "--control", 1, "--", sys.executable, "script.py",
            PYTHONPATH=str(PYTHON),
        )  # fmt: skip
        got = {}
        for run in ("control-1", "sample-0001", "sample-0002"):
            folder = self.folder / "d" / run / "record"
            for line in self.index(f"d/{run}/record")[:-1]:
                self.assertEqual(line["kind"], "record")
                array = np.load(folder / line["file"])
                got[run, line["name"], line["call"]] = array.tobytes()
        self.assertEqual(len(got), 9)
        one, two, off = "sample-0001", "sample-0002", "control-1"
        self.assertEqual(got[one, "low", 0], got[two, "low", 0])
        self.assertNotEqual(got[one, "low", 0], got[off, "low", 0])
        self.assertNotEqual(got[one, "full", 0], got[two, "full", 0])
        self.assertEqual(got[one, "full", 1], got[off, "full", 1])

    def test_isolated(self) -> None:
        """python -I records nothing: said before and after, the samples are good."""
        self.script("import torch\nprint((torch.rand(9, 9) @ torch.rand(9, 9)).sum())\n")
        done = self.fuzzyrun(
            "-n", 1, "-o", "d", "--control", 0, "--record", "outputs",
            "--", sys.executable, "-I", "script.py",
        )  # fmt: skip
        self.assertEqual(done.stderr.count("-I starts a Python"), 1, done.stderr)
        self.assertEqual(done.stderr.count("nothing was recorded in 1 of 1"), 1)
        self.assertNotIn("record", self.status("d/sample-0001"))

    def test_bad_options(self) -> None:
        """One line each."""
        for words, text in (
            (["--record", "layers"], "outputs, modules, params, grads"),
            (["--record-limit", "2X"], "such as 500M"),
            (["--reference", "f128"], "f64"),
            (["--executor", "cloud"], "local, dask"),
        ):
            done = self.fuzzyrun("-n", 1, *words, "--", sys.executable, status=2)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertIn(text, done.stderr)
        done = self.fuzzyrun("--record", "outputs", "--", sys.executable, status=2)
        self.assertIn("--record is for sampling", done.stderr)


class WithoutNumpy(StudyCase):
    """A Python that cannot record."""

    def test_said(self) -> None:
        """One warning; the program goes on."""
        (self.folder / "numpy.py").write_text("raise ModuleNotFoundError('no numpy here')\n")
        self.script("import torch\nprint('on')\n")
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=self.folder,
            env={
                **self.env,
                "PYTHONPATH": f"{INJECT}",
                "FUZZY_RECORD": f"outputs;9;{self.folder}/record",
                "LD_PRELOAD": LIBRARY,
                "FUZZY_MODE": "off",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stdout, "on\n", done.stderr)
        self.assertIn("nothing is recorded: no numpy here", done.stderr)


if __name__ == "__main__":
    unittest.main()
