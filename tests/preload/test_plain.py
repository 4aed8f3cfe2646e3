"""What is left plain under this Python's torch: random numbers, grids, and what the docs say.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

import common
from check_exports import ROOT
from common import HERE, build_dir, run

CASES = str(HERE / "plain_cases.py")
#: torch's own libraries
OWN = re.compile(r"/(libtorch[^/]*|libc10[^/]*|libshm|_C\.[^/]*)\.so[.\d]*$")


def documented(title: str) -> set[str]:
    """Names in the first column of the table below a line of docs/reference.md."""
    page = (ROOT / "docs/reference.md").read_text()
    part = page.split(f"\n### {title}\n")[1].split("\n#")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("|")]
    return set(re.findall(r"`(\w+)`", " ".join(rows)))


class Plain(unittest.TestCase):
    """Calls of libraries that are not perturbed."""

    def test_random_numbers(self) -> None:
        """Seeded tensors and grids are the native ones, bit for bit, in every mode."""
        python = [sys.executable, CASES, "random"]
        native = json.loads(run(python, preload=False).stdout)
        self.assertGreater(len(native), 400)
        for env in (
            {"FUZZY_MODE": "sr", "FUZZY_PRECISION": "f32:8,f64:8"},
            {"FUZZY_MODE": "ud"},
            {"FUZZY_MODE": "cestac"},
            {"FUZZY_MODE": "nearest", "FUZZY_PRECISION": "f32:8,f64:8"},
        ):
            got = json.loads(run(python, FUZZY_VERBOSE="0", **env).stdout)
            self.assertEqual([k for k in native if got[k] != native[k]], [], env)

    def test_report_of_everything(self) -> None:
        """linalg, special and elementwise functions: only documented calls stay plain; each
        Fourier transform has a row that says so."""
        path = build_dir() / "plain.json"
        python = [sys.executable, CASES, "math"]
        out = run(python, FUZZY_SEED="1", FUZZY_REPORT=str(path)).stdout
        self.assertEqual(out.split(), [], "no call of these succeeded")
        rows = json.loads(path.read_text())["symbols"]
        # Those of NumPy and other libraries are not torch's; pocketfft's sines are named.
        plain = {
            s["symbol"]
            for s in rows
            if set(s["why"]) - {"library"}
            and not (s["symbol"] == "sincos" and set(s["why"]) == {"instruction_layer"})
        }
        self.assertEqual(plain - documented("Library calls that stay plain"), set())
        perturbed = {s["symbol"] for s in rows if s["perturbed"]["calls"]}
        for name in (
            "expf",
            "log",
            "pow",
            "cexpf",
            "csqrt",
            "lgamma",
            "sgetrf_",
            "sgemm_",
        ):
            self.assertIn(name, perturbed)
        self.assertGreater(len(perturbed), 180)
        fft = {s["symbol"]: s for s in rows if s["family"] == "FFT"}
        self.assertEqual(set(fft), {"_fft_c2c", "_fft_r2c", "_fft_c2r"})
        for s in fft.values():
            self.assertEqual(set(s["why"]), {"instruction_layer"})
            self.assertEqual(s["perturbed"]["calls"], 0)
        # hfft is a c2r; fft and ifft of real numbers are r2c with the other half filled in
        self.assertEqual(fft["_fft_c2r"]["passed"]["calls"], 2)

    def test_imports(self) -> None:
        """Whatever torch's libraries call of libm, SLEEF and VML by their tables is in our
        lists or documented as exact."""
        code = "import torch; print(open('/proc/self/maps').read())"
        maps = run([sys.executable, "-c", code], preload=False).stdout
        paths = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
        libm = next(p for p in paths if Path(p).name == "libm.so.6")
        math = symbols(libm, "--defined-only")
        used: set[str] = set()
        for path in paths:
            if OWN.search(path):
                used |= symbols(path, "--undefined-only") & math
        self.assertGreater(len(used), 80)
        vectors = slots(next(p for p in paths if "/libtorch_cpu" in p))
        self.assertGreater(len(vectors), 80)
        used |= vectors
        text = "".join(p.read_text() for p in (ROOT / "shim").glob("symbols*.def"))
        ours = set(re.findall(r"^FZ_(?:SLOT|SYMBOL)\((\w+),", text, flags=re.MULTILINE))
        stay = documented("Library calls that stay plain")
        self.assertEqual(used - ours - stay, set())


def slots(path: str) -> set[str]:
    """Names of SLEEF and VML that a library calls by its table; not those with a suffix for
    an instruction set, which SLEEF has for itself."""
    out = subprocess.run(
        ["readelf", "-rW", path], capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(
        r"JUMP_SLOT\w* +\w+ +(Sleef_\w*[df](?:4|8|16)\w*|vm?[sd][A-Z]\w+)", out
    )
    return {n for n in names if not re.search(r"(avx|avx2|fma4|avx512f)$", n)}


def symbols(path: str, which: str) -> set[str]:
    """Names of a library's dynamic symbols, without versions."""
    out = subprocess.run(
        ["nm", "-D", which, path], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


if __name__ == "__main__":
    common.main()
