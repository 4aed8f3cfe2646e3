"""Check what the house style asks of every source file and what a program can see.

SPDX-License-Identifier: Apache-2.0

Includes go one way (prism <- kernels <- shim), each file names its licence, nothing asks
for fast-math, no tabs in C, no getenv below shim/, ruff's rules for Python. Lines of more than
90 columns and files of more than 600 lines are warned about.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600
COLUMNS = 90
LAYERS = {
    "prism": {"prism"},
    "kernels": {"kernels", "prism"},
    "shim": {"shim", "kernels", "prism"},
}
C_FILES = (".c", ".h", ".def")
SOURCES = (*C_FILES, ".py", ".sh", ".mk", ".cpp", ".map")
#: Options that let the compiler change a rounding, or that set FTZ at load time.
FAST = re.compile(
    r"-Ofast|-f(?:fast-math|unsafe-math|associative-math|reciprocal-math"
    r"|finite-math)|-f(?:no-signed-zeros)|-ffp-contract=fast"
    r"|fast-math.*\bpragma|\boptimize\s*\(\s*\"[^\"]*fast"
)


def sources() -> list[str]:
    """Return the project's source files: what git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [
        name
        for name in sorted(set(listed))
        if (ROOT / name).is_file() and (name.endswith(SOURCES) or is_script(name))
    ]


def is_script(name: str) -> bool:
    """Return whether a file without a known ending is source: a script, a Makefile."""
    if posixpath.basename(name) == "Makefile":
        return True
    if "." in posixpath.basename(name):
        return False
    with open(ROOT / name, "rb") as file:
        return file.read(2) == b"#!"


def read(name: str) -> str:
    """Return a file's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def layer_of_include(name: str, target: str) -> str:
    """Return the top folder that an include with quotes reaches, '' where it is none."""
    for base in (posixpath.dirname(name), ""):
        path = posixpath.normpath(posixpath.join(base, target))
        if (ROOT / path).is_file():
            return path.split("/")[0]
    return next((d for d in LAYERS if (ROOT / d / target).is_file()), "")


def bad_includes(name: str, text: str) -> Iterator[str]:
    """Includes of a layer above."""
    allowed = LAYERS.get(name.split("/")[0])
    if allowed is None or not name.endswith((*C_FILES, ".cpp")):
        return
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if found and layer_of_include(name, found[1]) not in allowed | {""}:
            yield f"{name}:{number}: includes {found[1]}, which is above its layer"


def no_licence(name: str, text: str) -> Iterator[str]:
    """Files that do not name their licence near the top."""
    if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.splitlines()[:12]):
        yield f"{name}:1: no SPDX-License-Identifier: Apache-2.0 in the first lines"


def fast_math(name: str, text: str) -> Iterator[str]:
    """Options that change roundings, outside comments."""
    if name in NAMES_OF_OPTIONS:
        return
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("#")[0] if not name.endswith((*C_FILES, ".cpp")) else line
        if FAST.search(code) and not line.lstrip().startswith(("*", "//", "/*")):
            yield f"{name}:{number}: fast-math: {line.strip()}"


def tabs(name: str, text: str) -> Iterator[str]:
    """Tabs in C."""
    if not name.endswith(C_FILES):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line:
            yield f"{name}:{number}: a tab"


def getenv_below_shim(name: str, text: str) -> Iterator[str]:
    """The environment is read in shim/ alone."""
    if name.split("/")[0] in ("prism", "kernels"):
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\b(?:secure_)?getenv\s*\(", line):
                yield f"{name}:{number}: getenv below shim/"


#: They speak of fast-math, to find it.
NAMES_OF_OPTIONS = ("scripts/check_style.py", "tests/python/test_scripts.py")

RULES: list[Callable[[str, str], Iterator[str]]] = [
    bad_includes,
    no_licence,
    fast_math,
    tabs,
    getenv_below_shim,
]


def warn(name: str, text: str) -> None:
    """Print what is against the style and no error."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        print(f"{name}: warning: {len(lines)} lines, split it (about {MAX_LINES})")
    long = sum(len(line) > COLUMNS for line in lines)
    if long and name.endswith(C_FILES):
        print(f"{name}: warning: {long} lines of more than {COLUMNS} columns")


def ruff(names: list[str]) -> list[str]:
    """Return what ruff finds in the Python files, by its default rules."""
    beside = Path(os.environ.get("PY_WHEEL", ".venv/bin/python")).parent / "ruff"
    program = str(ROOT / beside) if (ROOT / beside).exists() else shutil.which("ruff")
    if program is None:
        return ["ruff is missing: make check installs it"]
    done = subprocess.run(
        [
            program,
            "check",
            "--no-cache",
            "--output-format",
            "concise",
            "--quiet",
            *names,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.splitlines() if done.returncode else []


def main() -> int:
    """Check all files, print what is wrong and the closing line."""
    names = sources()
    if not names:
        sys.exit("check-style: no source file found")
    failed = 0
    for name in names:
        text = read(name)
        problems = [p for rule in RULES for p in rule(name, text)]
        for problem in problems:
            print(problem)
        failed += bool(problems)
        warn(name, text)
    python = [n for n in names if n.endswith(".py") or n == "fuzzyrun"]
    problems = ruff(python)
    for problem in problems:
        print(problem)
    failed += bool(problems)
    print(f"check-style: {len(names) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
