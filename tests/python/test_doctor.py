"""fuzzyrun doctor: on stand-ins for torch with every kind of gap, and on this torch.

SPDX-License-Identifier: Apache-2.0

FUZZYTORCH_TESTED names the library that is tested, where it is not build/libfuzzytorch.so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unittest

from support import ROOT, FuzzyrunCase

from fuzzytorch import doctor  # isort: skip, support puts it on the path

LIBRARY = os.environ.get("FUZZYTORCH_TESTED", str(ROOT / "build/libfuzzytorch.so"))

#: A package torch around a stand-in for libtorch_cpu.so.
_PACKAGE = """\
import ctypes, os
_lib = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "libtorch_cpu.so"))
__version__ = "9.9"
class __config__:
    show = staticmethod(lambda: "built\\n - with: care")
class backends:
    class mkl:
        is_available = staticmethod(lambda: False)
class ones:
    def __init__(self, *size): pass
    def __truediv__(self, x): return self
    def __matmul__(self, x): return self
    def sum(self): return _lib.product()
"""

_SGEMM = """\
#include <stddef.h>
HIDE void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k,
    const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
    const float *beta, float *c, const int *ldc, size_t la, size_t lb)
"""

_CALLER = """;
int product(void)
{
    int n = 1;
    float x = 1.0f / 3, y = 0, one = 1;
    sgemm_("N", "N", &n, &n, &n, &one, &x, &n, &x, &n, &y, &y, &n, 1, 1);
    return 0;
}
"""

_BODY = """{ *c = *a * *b; }
"""

#: Beside the product: what torch compiles itself, and a call of libm.
_BODY_AND_MORE = """{ *c = *a * *b; }
#include <math.h>
__attribute__((visibility("hidden"), noinline, used))
_Bool _ZNK2at7Context17userEnabledMkldnnEv(void *context) { return context != 0; }
double power(double x, double y) { return pow(x, y); }
/* Without such a call libm is left alone. */
void _ZN2at6native7normal_Ev(void) { __asm__ volatile(""); }
void numbers(void) { _ZN2at6native7normal_Ev(); }
"""

_BODY_AND_ONEDNN = """{ *c = *a * *b; }
static const struct { int major, minor, patch; } version = {4, 2, 1};
const void *dnnl_version(void) { return &version; }
__attribute__((noinline)) int dnnl_primitive_execute(const void *p, void *s, int n, void *a)
{ __asm__ volatile(""); return p && s && n && a; }
"""

_BODY_NOT_MOVABLE = """;
__asm__(".text\\n.type sgemm_, @function\\n.globl sgemm_\\n.hidden sgemm_\\n"
        "sgemm_: call 1f\\n1: pop %rax\\n ret\\n.size sgemm_, . - sgemm_\\n");
"""


class Doctor(FuzzyrunCase):
    """What it says, and its status."""

    def setUp(self) -> None:
        """The real library this time."""
        super().setUp()
        self.env["FUZZYRUN_LIB"] = LIBRARY

    def stand_in(self, body: str, *flags: str, strip: bool = False) -> None:
        """Build a package torch with its own sgemm_ and put it on PYTHONPATH."""
        package = self.folder / "torch"
        package.mkdir()
        (package / "__init__.py").write_text(_PACKAGE)
        (self.folder / "own.c").write_text(_SGEMM + body)
        (self.folder / "caller.c").write_text(_SGEMM + _CALLER)
        lib = package / "libtorch_cpu.so"
        command = [
            "gcc",
            "-O1",
            "-shared",
            "-fPIC",
            "-o",
            str(lib),
            "own.c",
            "caller.c",
        ]
        subprocess.run([*command, *flags], cwd=self.folder, check=True)
        if strip:
            subprocess.run(["strip", str(lib)], check=True)
        self.env["PYTHONPATH"] = str(self.folder)

    def examined(self) -> tuple[int, dict[str, dict[str, str]], str]:
        """Run doctor --json; return its status, blas's symbols, and the gaps as text."""
        done = self.fuzzyrun("doctor", "--json", "--", sys.executable)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        got = json.loads(done.stdout)
        return (
            done.returncode,
            got["families"]["blas"]["symbols"],
            "\n".join(gap["what"] for gap in got["gaps"]),
        )

    def test_bound(self) -> None:
        """A symbol that the dynamic linker binds."""
        self.stand_in(_BODY, "-DHIDE=", "-fopenmp", "-Wl,--no-as-needed", "-lgomp")
        status, symbols, gaps = self.examined()
        self.assertEqual(symbols["sgemm_"]["state"], "bound")
        self.assertEqual(symbols["dgemm_"]["state"], "absent")
        self.assertEqual((status, gaps), (0, ""))

    def test_hidden(self) -> None:
        """A hidden one is diverted, and that is no gap."""
        hide = '-DHIDE=__attribute__((visibility("hidden")))'
        self.stand_in(_BODY, hide, "-fopenmp", "-Wl,--no-as-needed", "-lgomp")
        status, symbols, gaps = self.examined()
        self.assertEqual(symbols["sgemm_"]["state"], "diverted")
        self.assertEqual((status, gaps), (0, ""))

    def test_not_movable(self) -> None:
        """A hidden one whose entry cannot be moved is a gap."""
        hide = '-DHIDE=__attribute__((visibility("hidden")))'
        self.stand_in(_BODY_NOT_MOVABLE, hide)
        status, symbols, gaps = self.examined()
        self.assertEqual(symbols["sgemm_"]["state"], "unbound")
        self.assertRegex(gaps, "sgemm_: .*not diverted: .*can be moved")
        self.assertEqual(status, 1)

    def test_unknown_onednn(self) -> None:
        """A oneDNN that cannot be read is named, and torch is led past it."""
        flags = ["-DHIDE=", "-fopenmp", "-Wl,--no-as-needed", "-lgomp"]
        self.stand_in(_BODY_AND_ONEDNN, *flags)
        done = self.fuzzyrun("doctor", "--", sys.executable)
        said = "oneDNN   4.2.1, led past, to BLAS: this version of oneDNN is not known"
        self.assertIn(said, done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_functions_of_at(self) -> None:
        """Hidden functions of at:: are not diverted: the advice is what the program can do.
        A function of libm is led to us by the table of the library."""
        flags = [
            "-DHIDE=",
            "-fopenmp",
            "-fno-builtin",
            "-Wl,--no-as-needed",
            "-lgomp",
            "-lm",
        ]
        self.stand_in(_BODY_AND_MORE, *flags)
        done = self.fuzzyrun("doctor", "--json", "--", sys.executable)
        got = json.loads(done.stdout)
        (gap,) = got["gaps"]
        self.assertIn("userEnabledMkldnn", gap["what"])
        self.assertIn("torch.backends.mkldnn.enabled = False", gap["do"])
        symbols = got["families"]["math"]["symbols"]
        self.assertEqual(symbols["pow"]["state"], "bound")
        self.assertEqual(symbols["exp"]["state"], "absent")
        names = [s for f in got["families"].values() for s in f["symbols"]]
        self.assertEqual([s for s in names if s.startswith(("fuzzy_", "_fft_"))], [])
        # The library must not have written into it either.
        text = self.fuzzyrun("doctor", "--", sys.executable).stdout
        self.assertRegex(text, r"conv +0 +0 +1 ")

    def test_stripped(self) -> None:
        """A hidden one without .symtab cannot be seen: the missing product is a gap."""
        hide = '-DHIDE=__attribute__((visibility("hidden")))'
        self.stand_in(_BODY, hide, strip=True)
        status, symbols, gaps = self.examined()
        self.assertEqual(symbols["sgemm_"]["state"], "absent")
        self.assertIn("libtorch_cpu.so has no .symtab", gaps)
        self.assertEqual(status, 1)

    def test_out_of_scope(self) -> None:
        """What policy leaves out is said."""
        self.stand_in(_BODY, "-DHIDE=", "-fopenmp", "-Wl,--no-as-needed", "-lgomp")
        self.env["FUZZY_LIBS"] = "nothing"
        status, _, gaps = self.examined()
        self.assertEqual(status, 1)
        self.assertIn("not perturbed", gaps)

    def test_no_torch(self) -> None:
        """A Python without torch: one line, status 1."""
        (self.folder / "torch").mkdir()
        (self.folder / "torch/__init__.py").write_text(
            "raise ImportError('no torch')\n"
        )
        self.env["PYTHONPATH"] = str(self.folder)
        done = self.fuzzyrun("doctor", "--", sys.executable)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
        self.assertIn("no PyTorch", done.stdout)

    def test_this_torch(self) -> None:
        """The torch of the Python that runs the tests: all bound, by name."""
        done = self.fuzzyrun("doctor", "--", sys.executable)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("All calls of this torch", done.stdout)
        _, symbols, _ = self.examined()
        self.assertEqual(symbols["sgemm_"]["state"], "bound")

    def test_wrong_use(self) -> None:
        """Options that there are not."""
        self.assert_error(self.fuzzyrun("doctor", "--jsn"), 2, "--jsn")
        self.assert_error(self.fuzzyrun("doctor", "--"), 2, "no command")
        self.assert_error(self.fuzzyrun("doctor", "--", "./none"), 127, "./none")


class Examined(unittest.TestCase):
    """What is made of the library's report."""

    def test_no_liblapack3(self) -> None:
        """LAPACK that went to the original for want of liblapack3 is a gap."""
        report = {
            "layers": ["blas", "lapack"],
            "not_diverted": [],
            "totals": {"perturbed": {"calls": 1}},
            "symbols": [{"symbol": "spotrf_", "why": {"no_liblapack3": 1}}],
        }
        row = {"symbol": "sgemm_", "library": "x", "state": "bound", "why": ""}
        result = {
            "rows": [row],
            "exports": ["sgemm_"],
            "stripped": [],
            "openmp": ["libgomp"],
        }
        (gap,) = doctor.examine({**result, "report": report})["gaps"]
        self.assertEqual(gap["do"], "install liblapack3")
        report["symbols"][0]["why"] = {}
        self.assertEqual(doctor.examine({**result, "report": report})["gaps"], [])


class Families(unittest.TestCase):
    """The family is told from the name, as shim/symbols.def has it."""

    def test_families(self) -> None:
        """Every symbol of the lists."""
        text = "".join(
            p.read_text() for p in sorted((ROOT / "shim").glob("symbols*.def"))
        )
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        pairs = re.findall(
            r"^FZ_(?:SYMBOL|SLOT)\((\w+),\s*(BLAS|LAPACK|MATH|CONV),", text, re.MULTILINE
        )
        self.assertGreater(len(pairs), 400)
        wrong = [
            (n, f, doctor.family(n)) for n, f in pairs if doctor.family(n) != f.lower()
        ]
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
