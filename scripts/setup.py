"""Install what `make demo` or `make check` needs and this machine lacks; say it first.

SPDX-License-Identifier: Apache-2.0

    python3 scripts/setup.py demo FILE    the Python that the demo is to use goes to FILE
    python3 scripts/setup.py check
    python3 scripts/setup.py long

Debian packages come from apt (as root, or the line to type is printed), Python packages go
into .venv. Nothing that is there already is touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple, NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
DEBIAN_PYTHON = "/usr/bin/python3"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

OLDEST_TORCH = (1, 13)
TESTED_TORCH = ((1, 13), (2, 13))
#: The pinned PyTorch has wheels for this Python and later ones.
OLDEST_PYTHON_OF_WHEEL = (3, 10)


def say(text: str) -> None:
    """Print a line of ours at once, before what a child prints."""
    print(f"setup: {text}", flush=True)


def stop(text: str) -> NoReturn:
    """End with a line on stderr."""
    sys.exit(f"setup: {text}")


def run(command: list[str], **options: object) -> None:
    """Run a command that must succeed."""
    say(" ".join(command))
    try:
        subprocess.run(command, check=True, **options)  # type: ignore[call-overload]
    except subprocess.CalledProcessError as error:
        stop(f"{command[0]} failed with status {error.returncode}, see above")


# ---- Debian packages -----------------------------------------------------------------


def packages(purposes: set[str]) -> dict[str, str]:
    """Return the packages of packages.txt for some purposes, with the reason of each."""
    wanted = {}
    for line in (HERE / "packages.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            purpose, name, why = line.split(None, 2)
            if purpose in purposes:
                wanted[name] = why
    return wanted


def installed(name: str) -> bool:
    """Return whether a Debian package is installed."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.returncode == 0 and done.stdout == "installed"


def apt(wanted: dict[str, str]) -> None:
    """Install the Debian packages that are missing."""
    if not wanted:
        return
    if shutil.which("dpkg-query") is None:
        say(
            f"not a Debian system: see to the counterparts of {' '.join(wanted)} yourself"
        )
        return
    missing = {name: why for name, why in wanted.items() if not installed(name)}
    if not missing:
        return
    say("to be installed from Debian:")
    for name, why in missing.items():
        print(f"         {name:<18} {why}", flush=True)
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        stop(
            f"not root; type this, then the same make again:\n"
            f"  sudo apt-get update && sudo {' '.join(install)}"
        )
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    wait = ["-o", "DPkg::Lock::Timeout=300", "-q"]
    run([install[0], *wait, "update"], env=env)
    run([install[0], *wait, *install[1:]], env=env)


# ---- Pythons -------------------------------------------------------------------------


class Python(NamedTuple):
    """A Python and what it can import.

    Attributes
    ----------
    path : str
        As it is to be started.
    version : tuple of int
        Its version, two numbers.
    venv : bool
        It can make virtual environments with pip in them.
    modules : dict
        Versions of torch, numpy and sklearn, of those that it can import.
    """

    path: str
    version: tuple[int, int]
    venv: bool
    modules: dict[str, str]

    @property
    def torch(self) -> tuple[int, int] | None:
        """Version of its torch, two numbers."""
        found = re.match(r"(\d+)\.(\d+)", self.modules.get("torch", ""))
        return (int(found[1]), int(found[2])) if found else None


_PROBE = """
import importlib, json, sys
modules = {}
for name in sys.argv[1:]:
    try:
        modules[name] = str(getattr(importlib.import_module(name), "__version__", "?"))
    except Exception:
        pass
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
print("PROBE", json.dumps([sys.version_info[:2], has_venv, modules]))
"""


def probe(path: str, *modules: str) -> Python | None:
    """Return what a Python can do, None if it cannot be started."""
    try:
        done = subprocess.run(
            [path, "-c", _PROBE, *modules],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd="/",
            check=False,
        )
    except OSError:
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("PROBE ")]
    if not lines:
        return None
    version, venv, found = json.loads(lines[-1][6:])
    return Python(path, (version[0], version[1]), venv, found)


def candidates() -> list[str]:
    """Return the Pythons to look at, best first."""
    paths = [
        os.environ.get("PYTHON"),
        str(VENV_PYTHON) if VENV_PYTHON.exists() else None,
        shutil.which("python3"),
        shutil.which("python"),
        DEBIAN_PYTHON,
    ]
    return list(dict.fromkeys(p for p in paths if p))


# ---- Python packages -----------------------------------------------------------------


def pip(*arguments: str) -> list[str]:
    """Return a command line of the pip of .venv."""
    return [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]


def make_venv(base: str | None, site: bool = False) -> None:
    """Make .venv, from `base` or a Python that the pinned PyTorch has a wheel for."""
    if VENV_PYTHON.exists() and probe(str(VENV_PYTHON)) is not None:
        return
    if base is None:
        usable = (probe(p) for p in candidates() if p != str(VENV_PYTHON))
        found = next(
            (p for p in usable if p and p.venv and p.version >= OLDEST_PYTHON_OF_WHEEL),
            None,
        )
        if found is None:
            apt({"python3-venv": "makes the virtual environment .venv"})
            found = probe(DEBIAN_PYTHON)
        if found is None or not found.venv or found.version < OLDEST_PYTHON_OF_WHEEL:
            stop(
                "no Python of 3.10 or later that can make a virtual environment: name one "
                "with PYTHON=/path/to/python3"
            )
        base = found.path
    say(f"a virtual environment goes into {VENV}")
    run(
        [
            base,
            "-m",
            "venv",
            "--clear",
            *(["--system-site-packages"] if site else []),
            str(VENV),
        ]
    )
    # Older ones fetch whole wheels only to learn what they depend on.
    subprocess.run(pip("install", "-q", "--upgrade", "pip"), check=False)


def size_of(url: str) -> int | None:
    """Return the size in bytes of what a URL names, None if nobody says."""
    parts = urllib.parse.urlsplit(url)
    try:
        if parts.scheme == "file":
            return os.stat(urllib.request.url2pathname(parts.path)).st_size
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, TypeError, ValueError):
        return None


def announce(arguments: list[str]) -> None:
    """Say what pip will install, how large it is, and whether it is a CUDA build."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            pip("install", "-q", "--dry-run", "--report", str(report), *arguments),
            check=False,
        )
        if done.returncode != 0 or not report.exists():
            say("pip cannot say beforehand what it will install")
            return
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    if not items:
        return
    names = [f"{i['metadata']['name']} {i['metadata']['version']}" for i in items]
    sizes = [size_of(i["download_info"]["url"]) for i in items]
    known = sum(s for s in sizes if s)
    more = f", and {sizes.count(None)} of unknown size" if None in sizes else ""
    say(
        f"to be installed into .venv, {known / 1e6:.0f} MB to fetch{more}: "
        f"{', '.join(names)}"
    )
    if any(n.startswith(("nvidia-", "cuda-", "triton ")) for n in names):
        say(
            "this is a CUDA build of PyTorch, several GB once unpacked. The CPU build is "
            "enough; to get it, stop this and type\n"
            f"         PIP_EXTRA_INDEX_URL={CPU_INDEX} make …"
        )


def pip_install(*arguments: str) -> None:
    """Install into .venv what the arguments of pip ask for."""
    announce(list(arguments))
    run(pip("install", "-q", *arguments))


def venv_lacks(file: Path) -> bool:
    """Return whether .venv lacks something that a requirements file names."""
    if not VENV_PYTHON.exists():
        return True
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            if venv_lacks(file.parent / line[3:].strip()):
                return True
        elif line and not line.startswith("#"):
            name, _, pinned = line.partition("==")
            done = subprocess.run(
                [
                    str(VENV_PYTHON),
                    "-c",
                    (
                        "import sys, importlib.metadata as m\n"
                        "print(m.version(sys.argv[1]))"
                    ),
                    name,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=False,
            )
            have = done.stdout.strip().split("+")[0]
            if done.returncode != 0 or pinned not in ("", have):
                return True
    return False


# ---- What the targets need -----------------------------------------------------------


def demo() -> str:
    """Set up the demo, return the Python to run it with."""
    apt(packages({"build"}))
    for path in candidates():
        python = probe(path, "torch", "numpy", "sklearn")
        if (
            python is not None
            and python.torch is not None
            and python.torch >= OLDEST_TORCH
        ):
            return use(python)
    say(f"no PyTorch of {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]} or later to be imported")
    make_venv(None)
    pip_install("-r", str(HERE / "requirements.txt"))
    return str(VENV_PYTHON)


def use(python: Python) -> str:
    """Take a Python that has PyTorch, and add what else the example needs."""
    say(f"PyTorch {python.modules['torch']} of {python.path} is used as it is")
    if python.torch not in TESTED_TORCH:
        say(
            "warning: tested are PyTorch 2.13 and Debian's 1.13 only; this one may call "
            "what is not intercepted"
        )
    if "sklearn" in python.modules and "numpy" in python.modules:
        return python.path
    if python.path == DEBIAN_PYTHON and installed("python3-torch"):
        # pip's would bring a NumPy that Debian's PyTorch does not know.
        apt({"python3-sklearn": "the digits of the example"})
        return python.path
    fixed = (
        [f"numpy=={python.modules['numpy']}"]
        if "numpy" in python.modules
        else ["numpy"]
    )
    make_venv(python.path, site=True)
    pip_install("scikit-learn", *fixed)
    return str(VENV_PYTHON)


def check(purposes: set[str]) -> None:
    """Set up the tests: both PyTorch builds."""
    apt(packages(purposes))
    if venv_lacks(HERE / "requirements-check.txt"):
        make_venv(None)
        pip_install("-r", str(HERE / "requirements-check.txt"))


def main() -> None:
    """Read the arguments."""
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "demo":
        python = demo()
        if len(sys.argv) > 2:
            file = Path(sys.argv[2])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(python + "\n", encoding="utf-8")
    elif what == "check":
        check({"build", "check"})
    elif what == "long":
        check({"build", "check", "long"})
    else:
        stop("usage: python3 scripts/setup.py demo [FILE] | check | long")


if __name__ == "__main__":
    main()
