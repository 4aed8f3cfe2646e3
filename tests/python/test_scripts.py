"""The scripts behind make: counting of tests, style rules, set-up.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import check_style
import run_checks
from run_checks import Count

import setup


class Closing(unittest.TestCase):
    """Closing lines of test runners."""

    def test_check(self) -> None:
        text = "noise\n50%: Checks: 4, Failures: 1, Errors: 1\n100%: Checks: 7, "
        text += "Failures: 0, Errors: 0\n"
        self.assertEqual(run_checks.count(text), Count(9, 2, 0))

    def test_unittest(self) -> None:
        for tail, count in (
            ("OK", Count(9, 0, 0)),
            ("OK (skipped=2)", Count(7, 0, 2)),
            ("FAILED (failures=1, errors=2, skipped=3)", Count(3, 3, 3)),
            ("FAILED (unexpected successes=1)", Count(8, 1, 0)),
            ("OK (expected failures=1)", Count(9, 0, 0)),
        ):
            with self.subTest(tail=tail):
                text = f"....\n{'-' * 70}\nRan 9 tests in 0.123s\n\n{tail}\n"
                self.assertEqual(run_checks.count(text), count)

    def test_plain_goes_before_the_rest(self) -> None:
        text = "100%: Checks: 7, Failures: 0, Errors: 0\n"
        text += "a: 3 passed, 1 failed\n2 passed, 0 failed, 5 skipped\n"
        self.assertEqual(run_checks.count(text), Count(5, 1, 5))
        self.assertEqual(
            run_checks.count("we saw 3 passed, 1 failed\n"), Count(0, 0, 0)
        )

    def test_settle(self) -> None:
        self.assertEqual(run_checks.settle(Count(3, 0, 0), 0), (Count(3, 0, 0), ""))
        # A suite that dies after its last line, or that runs nothing, has failed.
        self.assertEqual(run_checks.settle(Count(3, 0, 0), 2)[0].failed, 1)
        self.assertEqual(run_checks.settle(Count(0, 0, 0), 0)[0].failed, 1)
        self.assertEqual(run_checks.settle(Count(0, 0, 4), 0)[0].failed, 1)
        self.assertEqual(run_checks.settle(Count(3, 2, 0), 2)[0].failed, 2)


class Suites(unittest.TestCase):
    """run_checks.py as make calls it."""

    def run_suites(
        self, makefile: str, *suites: str
    ) -> subprocess.CompletedProcess[str]:
        """Run suites that a small makefile defines."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Makefile").write_text(makefile, encoding="utf-8")
            env = {
                k: v for k, v in os.environ.items() if "MAKE" not in k and k != "MFLAGS"
            }
            return subprocess.run(
                [
                    sys.executable,
                    str(ROOT / "scripts" / "run_checks.py"),
                    "make",
                    *suites,
                ],
                cwd=folder,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=60,
            )

    def test_sum(self) -> None:
        done = self.run_suites(
            "a:\n\techo 2 passed, 0 failed\nb:\n\techo 3 passed, 0 failed\n", "a", "b"
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(done.stdout.splitlines()[-1], "5 passed, 0 failed")

    def test_all_run_after_a_failure(self) -> None:
        done = self.run_suites("a:\n\tfalse\nb:\n\techo 3 passed, 0 failed\n", "a", "b")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.splitlines()[-1], "3 passed, 1 failed")

    def test_missing_suite(self) -> None:
        done = self.run_suites("a:\n\techo 2 passed, 0 failed\n", "a", "none")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.splitlines()[-1], "2 passed, 1 failed")

    def test_no_suite(self) -> None:
        self.assertNotEqual(self.run_suites("a:\n").returncode, 0)


class Style(unittest.TestCase):
    """Each rule sees what it is there for."""

    def test_includes_go_one_way(self) -> None:
        def bad(name: str, include: str) -> bool:
            return bool(list(check_style.bad_includes(name, f'#include "{include}"\n')))

        self.assertTrue(bad("prism/x.c", "../kernels/kernels.h"))
        self.assertTrue(bad("kernels/x.h", "../shim/shim.h"))
        self.assertTrue(bad("prism/x.c", "kernels/kernels.h"))
        self.assertTrue(bad("prism/x.c", "kernels.h"))
        self.assertFalse(bad("kernels/x.c", "../prism/prism.h"))
        self.assertFalse(bad("kernels/x.c", "kernels.h"))
        self.assertFalse(bad("shim/x.c", "../kernels/kernels.h"))
        self.assertFalse(bad("tests/unit/x.c", "../../shim/shim.h"))
        self.assertFalse(bad("prism/x.c", "prism.h"))

    def test_licence(self) -> None:
        line = "SPDX-License-Identifier: Apache-2.0"
        self.assertTrue(list(check_style.no_licence("a.c", "/* none */\n")))
        self.assertTrue(list(check_style.no_licence("a.c", "\n" * 20 + line)))
        self.assertFalse(list(check_style.no_licence("a.c", f"/* x\n * {line}\n */\n")))

    def test_fast_math(self) -> None:
        for name, text, bad in (
            ("Makefile", "CFLAGS = -Ofast\n", True),
            ("Makefile", "LDFLAGS += -ffast-math\n", True),
            ("Makefile", "# never -ffast-math\n", False),
            ("x.mk", "F := -O3 -funsafe-math-optimizations\n", True),
            ("Makefile", "F := -fno-math-errno -ffp-contract=off\n", False),
            ("a.c", '__attribute__((optimize("fast-math")))\n', True),
            ("a.c", " * no -ffast-math here\n", False),
        ):
            with self.subTest(text=text):
                self.assertEqual(bool(list(check_style.fast_math(name, text))), bad)

    def test_getenv(self) -> None:
        line = '    x = getenv("A");\n'
        self.assertTrue(list(check_style.getenv_below_shim("kernels/a.c", line)))
        self.assertFalse(list(check_style.getenv_below_shim("shim/a.c", line)))


class SetUp(unittest.TestCase):
    """What set-up finds out before it installs."""

    def test_packages_have_reasons(self) -> None:
        build = setup.packages({"build"})
        self.assertIn("gcc", build)
        self.assertNotIn("check", build)
        self.assertTrue(all(setup.packages({"build", "check", "long"}).values()))

    def test_installed(self) -> None:
        self.assertTrue(setup.installed("libc6"))
        self.assertFalse(setup.installed("no-such-package-of-debian"))

    def test_not_root(self) -> None:
        # As another user it installs nothing, and prints the line to type.
        code = (
            "import os, sys; sys.path.insert(0, sys.argv[1]); import setup\n"
            "os.geteuid = lambda: 1000\n"
            "setup.run = lambda *a, **k: print('RAN')\n"
            "setup.apt({'no-such-package-of-debian': 'a test'})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(ROOT / "scripts")],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("sudo apt-get install", done.stderr)
        self.assertIn("a test", done.stdout)
        self.assertNotIn("RAN", done.stdout)

    def test_probe(self) -> None:
        python = setup.probe(sys.executable, "json", "no_such_module")
        self.assertEqual(python.version, sys.version_info[:2])
        self.assertEqual(list(python.modules), ["json"])
        self.assertIsNone(python.torch)
        self.assertIsNone(setup.probe("/nowhere/python3"))

    def test_torch_version(self) -> None:
        for text, version in (
            ("2.13.0+cpu", (2, 13)),
            ("1.13.0a0", (1, 13)),
            ("?", None),
        ):
            python = setup.Python("p", (3, 11), True, {"torch": text})
            self.assertEqual(python.torch, version)

    def test_size_of(self) -> None:
        with tempfile.NamedTemporaryFile(suffix=" +.whl") as file:
            file.write(bytes(1234))
            file.flush()
            self.assertEqual(setup.size_of(Path(file.name).as_uri()), 1234)
        self.assertIsNone(setup.size_of("file:///nowhere"))
        self.assertIsNone(setup.size_of("http://127.0.0.1:9/none"))


if __name__ == "__main__":
    unittest.main()
