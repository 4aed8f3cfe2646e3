"""The Python API, inside a process that has the library: LD_PRELOAD=... in_process.py.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

import fuzzytorch as ft
from fuzzytorch.store import Run, Store

torch.manual_seed(0)
A, B = torch.randn(40, 40), torch.randn(40, 40)


def bits(t: torch.Tensor) -> bytes:
    """Return a tensor's bytes."""
    return t.detach().contiguous().numpy().tobytes()


def noise() -> bytes:
    """Return a product, whose bits tell the noise."""
    return bits(A @ B)


def in_thread() -> bytes:
    """Return the product of a new thread."""
    out: list[bytes] = []
    thread = threading.Thread(target=lambda: out.append(noise()))
    thread.start()
    thread.join()
    return out[0]


def in_process() -> str:
    """Return the product's digest of a started Python."""
    code = (
        "import torch; torch.manual_seed(0); a, b = torch.randn(40, 40), "
        "torch.randn(40, 40); print((a @ b).double().sum().item().hex())"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def in_fork() -> bytes:
    """Return the product of a forked child."""
    end, start = os.pipe()
    if os.fork() == 0:
        os.write(start, noise()[:4096])
        os._exit(0)
    os.close(start)
    out = os.read(end, 4096)
    os.close(end)
    os.wait()
    return out


class Seeds(unittest.TestCase):
    """The same seed gives the same noise, at any time."""

    def test_restart(self) -> None:
        """Calls, threads, forked and started processes repeat."""
        got = []
        for seed in (5, 6, 5):
            ft.set_seed(seed)
            self.assertEqual(ft.get_seed(), seed)
            one = [noise(), noise(), in_thread(), in_thread(), in_fork(), in_fork()]
            one.append(in_process().encode())
            one.append(in_process().encode())
            self.assertEqual(len(set(one)), len(one), "all draw their own")
            got.append(one)
        self.assertEqual(got[0], got[2])
        self.assertFalse(set(got[0]) & set(got[1]))

    def test_seed_of_the_environment(self) -> None:
        """set_seed gives what FUZZY_SEED gives."""
        code = (
            f"import sys; sys.path.insert(0, {sys.path[0]!r}); import fuzzytorch, torch\n"
            "torch.manual_seed(0); a, b = torch.randn(40, 40), torch.randn(40, 40)\n"
            "a @ b; fuzzytorch.set_seed(int(sys.argv[1])) if sys.argv[1:] else 0\n"
            "print((a @ b).double().sum().item().hex())"
        )
        # Nobody's children: started without the library, which they then load.
        own = ("FUZZY_LINEAGE", "LD_PRELOAD")
        env = {k: v for k, v in os.environ.items() if k not in own}
        out = []
        for seed, words in (("77", []), ("5", ["77"]), ("77", ["77"])):
            command = ["env", f"LD_PRELOAD={os.environ['LD_PRELOAD']}"]
            done = subprocess.run(
                [*command, sys.executable, "-c", code.replace("a @ b; ", "", not words)]
                + words,
                env={**env, "FUZZY_SEED": seed},
                capture_output=True,
                text=True,
                check=True,
            )
            out.append(done.stdout)
        self.assertEqual(len(set(out)), 1, out)

    def test_scope_goes_back(self) -> None:
        """After a seeded scope the seed is the one before, its noise new, and repeatable."""
        runs = []
        for _ in range(2):
            ft.set_seed(5)
            before = noise()
            with ft.mode(seed=9):
                inside = noise()
                with ft.mode(seed=9):
                    self.assertEqual(noise(), inside)
            self.assertEqual(ft.get_seed(), 5)
            after = [noise(), in_thread(), in_fork(), in_process().encode()]
            with ft.mode(seed=9):
                self.assertEqual(noise(), inside)
            again = [noise(), in_thread(), in_fork(), in_process().encode()]
            all_of_them = [before, inside, *after, *again]
            self.assertEqual(len(set(all_of_them)), len(all_of_them))
            runs.append(all_of_them)
        self.assertEqual(*runs)

    def test_bad(self) -> None:
        """Seeds out of range."""
        for seed in (-1, 1 << 64):
            with self.assertRaises(ValueError):
                ft.set_seed(seed)


class Modes(unittest.TestCase):
    """Scopes nest, are exception-safe, and restore what was there."""

    def tearDown(self) -> None:
        """What the test set must be gone."""
        self.assertEqual(ft.get_rounding_mode(), "sr")
        self.assertEqual((ft.get_precision(), ft.get_precision("f64")), (24, 53))

    def test_laws(self) -> None:
        """Modes do what they say: off is native, nearest repeats, sr does not."""
        with ft.mode("off"):
            off = noise()
            self.assertEqual(off, noise())
            calls = ft.perturbed_calls()
            noise()
            self.assertEqual(ft.perturbed_calls(), calls)
        with ft.mode("nearest"):
            self.assertEqual(noise(), noise())
        self.assertNotEqual(noise(), noise())
        env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        code = (
            "import torch; torch.manual_seed(0); a, b = torch.randn(40, 40), "
            "torch.randn(40, 40); print((a @ b).numpy().tobytes().hex())"
        )
        stock = subprocess.run(
            [sys.executable, "-c", code],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        self.assertEqual(off.hex(), stock)

    def test_off_takes_places(self) -> None:
        """Calls in mode off take their places in the streams, as excluded ones do."""
        ft.set_seed(3)
        want = [noise() for _ in range(3)]
        ft.set_seed(3)
        first = noise()
        with ft.mode("off"):
            noise()
        self.assertEqual([first, noise()], [want[0], want[2]])

    def test_precision(self) -> None:
        """Virtual precision narrows results; every way of saying it."""
        for given, f32, f64 in (
            (11, 11, 53),
            ("f64:30", 24, 30),
            ("f32:8,f64:20", 8, 20),
            ({"f32": 9}, 9, 53),
        ):
            with ft.mode("nearest", precision=given):
                self.assertEqual((ft.get_precision(), ft.get_precision("f64")), (f32, f64))
                low = (A @ B).numpy().view(np.uint32)
                self.assertEqual(bool((low & ((1 << (24 - f32)) - 1)).any()), False)
        ft.set_precision(12)
        self.assertEqual(ft.get_precision(), 12)
        ft.set_precision("f32:24")
        for bad in (0, 25, "f32:0", "f64:54", "f16:3", "x", {"f32": None}):
            with self.assertRaisesRegex(ValueError, "significand bits"):
                ft.set_precision(bad)

    def test_nesting(self) -> None:
        """Inner scopes end as they began, exceptions or not."""
        with ft.rounding("nearest", 12):
            try:
                with ft.mode("cestac", precision=5):
                    self.assertEqual(ft.get_rounding_mode(), "cestac")
                    with ft.rounding("off"):
                        raise KeyError
            except KeyError:
                pass
            self.assertEqual((ft.get_rounding_mode(), ft.get_precision()), ("nearest", 12))
        scope = ft.mode("ud")
        with scope, scope:
            self.assertEqual(ft.get_rounding_mode(), "ud")

    def test_decorator(self) -> None:
        """Each call is a scope of its own, also in recursion."""

        @ft.mode("cestac", seed=4)
        def work(depth: int) -> bytes:
            """Its docstring."""
            self.assertEqual(ft.get_rounding_mode(), "cestac")
            return noise() if depth == 0 else work(depth - 1)

        self.assertEqual(work(0), work(2))
        self.assertEqual(work.__doc__, "Its docstring.")

    def test_bad_mode(self) -> None:
        """A wrong mode changes nothing."""
        with self.assertRaisesRegex(ValueError, "off, nearest, sr, ud"), ft.mode("fuzzy"):
            pass
        with self.assertRaises(ValueError):
            ft.set_rounding_mode("")
        ft.set_rounding_mode(ft.RN)
        self.assertEqual(ft.get_rounding_mode(), "nearest")
        ft.set_rounding_mode(ft.SR)

    def test_inside_a_parallel_region(self) -> None:
        """Refused there, and nothing is changed."""
        said: list[str] = []

        def body(_: int | None) -> None:
            for change in (lambda: ft.set_seed(1), lambda: ft.set_rounding_mode("off")):
                try:
                    change()
                except ValueError as error:
                    said.append(str(error))

        before = ft.get_seed()
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(body)
        ctypes.CDLL(None).GOMP_parallel(function, None, 1, 0)
        self.assertEqual(len(said), 2)
        self.assertIn("inside a kernel or parallel region", said[0])
        self.assertEqual(ft.get_seed(), before)

    def test_environment_follows(self) -> None:
        """Started programs go on as this one does."""
        with ft.mode("nearest"):
            self.assertEqual(in_process(), in_process())
            self.assertEqual(os.environ["FUZZY_MODE"], "nearest")
        self.assertEqual(os.environ["FUZZY_MODE"], "sr")
        self.assertNotEqual(in_process(), in_process())

    def test_threads_follow(self) -> None:
        """A change holds for threads that are there already."""
        ask, told = threading.Event(), threading.Event()
        out: list[bytes] = []

        def work() -> None:
            for _ in range(2):
                ask.wait()
                ask.clear()
                out.append(noise())
                told.set()

        thread = threading.Thread(target=work)
        thread.start()
        for name in ("off", "sr"):
            with ft.mode(name):
                ask.set()
                told.wait()
                told.clear()
        thread.join()
        with ft.mode("off"):
            self.assertEqual(out[0], noise())
        self.assertNotEqual(out[1], out[0])

    def test_convolutions(self) -> None:
        """oneDNN stays enabled, and mode off gives a convolution its own bits back."""
        conv, x = torch.nn.Conv2d(3, 4, 3), torch.randn(2, 3, 9, 9)
        enabled = torch._C._get_mkldnn_enabled
        self.assertTrue(enabled())
        with ft.mode("off"):
            self.assertTrue(enabled())
            self.assertEqual(bits(conv(x)), bits(conv(x)))
        self.assertNotEqual(bits(conv(x)), bits(conv(x)))


class Instrument(unittest.TestCase):
    """Modules with a rounding of their own."""

    def net(self) -> torch.nn.Sequential:
        """Two layers; the second raises on NaN."""

        class Picky(torch.nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                if x.isnan().any():
                    raise FloatingPointError
                return super().forward(x)

        return torch.nn.Sequential(torch.nn.Linear(8, 8), Picky(8, 8)).eval()

    def test_whole_and_parts(self) -> None:
        """Only the forward pass of what is chosen; removed without a trace."""
        net, x, seen = self.net(), torch.randn(4, 8), []
        for layer in net:
            layer.register_forward_hook(lambda m, *_: seen.append(ft.get_rounding_mode()))
        with ft.instrument(net[1], "nearest", 11):
            net(x)
            self.assertEqual(seen, ["sr", "sr"], "hooks lie outside of forward")
        done = ft.instrument(net, "off", select="0")
        self.assertEqual(len(done), 1)
        self.assertEqual(bits(net[0](x)), bits(net[0](x)))
        self.assertNotEqual(bits(net[1](x)), bits(net[1](x)))
        done.remove()
        self.assertNotEqual(bits(net[0](x)), bits(net[0](x)))
        for layer in net:
            self.assertNotIn("forward", vars(layer))

    def test_exceptions(self) -> None:
        """A forward that raises leaves the rounding as it was: hooks would not."""
        net = self.net()
        with ft.instrument(net, "nearest", select=lambda name, _: name == "1"):
            with self.assertRaises(FloatingPointError):
                net(torch.full((1, 8), float("nan")))
            self.assertEqual(ft.get_rounding_mode(), "sr")
        with self.assertRaisesRegex(ValueError, "no module"):
            ft.instrument(net, "nearest", select="encoder.*")


class Samples(unittest.TestCase):
    """The loop of samples in one process."""

    def model(self) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        """Return a model with state of all kinds, and its optimizer."""
        torch.manual_seed(1)
        net = torch.nn.Sequential(
            torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5)
        )
        return net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)

    def step(self, net: torch.nn.Module, opt: torch.optim.Optimizer) -> bytes:
        """Train one step; return all bits of the state, and of the generators."""
        opt.zero_grad()
        net(torch.randn(16, 8)).square().sum().backward()
        opt.step()
        net.eval()
        tail = f"{random.random()} {np.random.rand()} {torch.rand(1).item()}"
        state = b"".join(bits(t) for t in net.state_dict().values())
        moment = [bits(s["momentum_buffer"]) for s in opt.state.values()]
        return state + b"".join(moment) + tail.encode()

    def test_state_is_put_back(self) -> None:
        """Parameters, buffers, gradients, modes, generators and optimizers, each sample."""
        net, opt = self.model()
        self.step(net, opt)
        net.train()
        with ft.mode("nearest"):
            same = {self.step(net, opt) for _ in ft.samples(3, net, opt)}
            self.assertEqual(len(same), 1, "nothing else than rounding may vary")
            net.train()
            kept = {self.step(net, opt) for _ in ft.samples(3, net, opt, keep_state=True)}
            self.assertEqual(len(kept), 3)
        for _ in ft.samples(1, net):
            grads = [p.grad for p in net.parameters()]
            self.assertTrue(all(g is not None for g in grads))

    def test_all_modules(self) -> None:
        """Without a list, what is alive."""
        net, opt = self.model()
        before = bits(net[0].weight)
        seen = []
        for _ in ft.samples(2):
            seen.append(bits(net[0].weight))
            self.step(net, opt)
        self.assertEqual(seen, [before, before])

    def test_noise(self) -> None:
        """Seeds count up; the same first seed repeats all; the seed before comes back."""
        ft.set_seed(3)
        one = [(s.seed, noise()) for s in ft.samples(4, seed=10)]
        two = [(s.seed, noise()) for s in ft.samples(4, seed=10)]
        self.assertEqual([seed for seed, _ in one], [10, 11, 12, 13])
        self.assertEqual(one, two)
        self.assertEqual(len({n for _, n in one}), 4)
        self.assertEqual(ft.get_seed(), 3)
        by_env = [noise() for s in ft.samples(2, seed=11)]
        self.assertEqual(by_env, [n for _, n in one[1:3]], "sample k is its seed's")

    def test_break_and_raise(self) -> None:
        """However the loop ends, the rounding is as before."""
        for _ in ft.samples(3, mode="nearest", seed=1):
            break
        self.assertEqual(ft.get_rounding_mode(), "sr")

        def loop() -> None:
            for _ in ft.samples(3, mode="nearest", precision=9):
                raise KeyError

        with self.assertRaises(KeyError):
            loop()
        self.assertEqual((ft.get_rounding_mode(), ft.get_precision()), ("sr", 24))
        with self.assertRaisesRegex(RuntimeError, "no sample is under way"):
            ft.record("x", A)

    def test_check(self) -> None:
        """The check in mode off passes what is deterministic, and nothing else."""
        self.assertEqual(len(list(ft.samples(2, check=lambda: A @ torch.randn(40, 2)))), 2)
        count = iter(range(100))
        with self.assertRaisesRegex(ft.NotDeterministic, "result"):
            list(ft.samples(2, check=lambda: torch.tensor(next(count))))
        with self.assertRaisesRegex(ft.NotDeterministic, "no tensor"):
            list(ft.samples(2, check=lambda: None))
        seen = []
        for s in ft.samples(2, check=True):
            seen.append((s.index, s.control, ft.get_rounding_mode()))
            ft.record("y", A @ B)
        off, on = (0, True, "off"), (False, "sr")
        self.assertEqual(seen, [off, off, (1, *on), (2, *on)])

    def test_records(self) -> None:
        """Copies, by name, several of one name; with a folder, a study."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "study"
            out, got = torch.zeros(3, dtype=torch.bfloat16), []
            for s in ft.samples(2, seed=4, check=True, folder=folder):
                ft.record("y", A @ B)
                out += 1
                ft.record("out", out)
                ft.record("out", 2.5)
                got.append(s.records)
                out.zero_()
            self.assertEqual([len(r["out"]) for r in got], [2] * 4)
            self.assertEqual(got[0]["out"][0].tolist(), [1.0] * 3)
            runs = Store(folder).runs()
            self.assertEqual([r.status["seed"] for r in runs], [4, 5])
            self.assertEqual(len(Store(folder).runs(control=True)), 2)
            for run, records in zip(runs, got[2:]):
                self.check_run(run, records)
            with self.assertRaises(FileExistsError):
                list(ft.samples(1, folder=folder))

    def check_run(self, run: Run, records: dict[str, list[np.ndarray]]) -> None:
        """The study's files are the records."""
        text = (run.folder / "record/index.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in text]
        self.assertTrue(lines[-1]["end"])
        self.assertGreater(run.perturbed() or 0, 0)
        for line in lines[:-1]:
            want = records[line["name"]][line["call"]]
            array = np.load(run.folder / "record" / line["file"])
            self.assertEqual(array.tobytes(), want.tobytes())


class Effect(unittest.TestCase):
    """Counters."""

    def test_report(self) -> None:
        """Counts go up by what is computed."""
        before = ft.report()["totals"]["perturbed"]
        noise()
        now = ft.report()
        self.assertEqual(now["totals"]["perturbed"]["calls"], before["calls"] + 1)
        flops = now["totals"]["perturbed"]["flops"] - before["flops"]
        self.assertEqual(flops, 2 * 40**3)
        names = {s["symbol"] for s in now["symbols"]}
        self.assertTrue({"sgemm_"} <= names, names)
        self.assertEqual((now["mode"], now["precision"]["f32"]), ("sr", 24))

    def test_assert_effective(self) -> None:
        """Raises where nothing was perturbed."""
        self.assertTrue(torch.is_tensor(ft.assert_effective(lambda: A @ B)))
        ft.assert_effective()
        with self.assertRaisesRegex(ft.NothingPerturbed, "nothing was perturbed"):
            ft.assert_effective(lambda: A.t())
        with ft.mode("off"), self.assertRaises(ft.NothingPerturbed):
            ft.assert_effective(lambda: A @ B)


if __name__ == "__main__":
    if not ft.available():
        sys.exit("in_process.py: run it with LD_PRELOAD=libfuzzytorch.so")
    unittest.main()
