"""Netlib's BLAS test programs against the library in nearest mode.

SPDX-License-Identifier: Apache-2.0

The programs come from Debian's source package `lapack`, fetched by apt into the build
folder (its lists too: the system's are not touched); nothing of it is kept in the
repository. Without apt, gfortran or a network the suite says so and is skipped.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: {release}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
PROGRAMS = [f"{letter}blat{level}" for level in "123" for letter in "sdcz"]

# Routines that the programs test and the library leaves alone, with the reason.
NOT_OURS = {
    "copy": "no arithmetic",
    "swap": "no arithmetic",
    "amax": "comparisons only",
    "rotm": "neither torch nor LAPACK's drivers call it",
    "rotmg": "neither torch nor LAPACK's drivers call it",
    "dsdot": "neither torch nor LAPACK's drivers call it",
    "rotg": "complex: neither torch nor LAPACK's drivers call it",
}


class Skip(Exception):
    """The tests cannot run here; the reason."""


def sources(work: Path) -> Path:
    """Return the folder of the test programs, fetched if need be."""
    found = sorted(work.glob("lapack-*/BLAS/TESTING"))
    if found:
        return found[0]
    if not shutil.which("apt-get"):
        raise Skip("no apt-get to fetch Debian's source package lapack")
    (work / "lists/partial").mkdir(parents=True, exist_ok=True)
    told = Path("/etc/os-release").read_text()
    release = re.search(r"^VERSION_CODENAME=(\w+)", told, flags=re.MULTILINE)
    if "debian" not in told or not release:
        raise Skip("this is not Debian, whose source package lapack is used")
    (work / "lapack.sources").write_text(SOURCES.format(release=release[1]))
    apt = ["apt-get", "-q"]
    for option in (
        f"Dir::Etc::sourcelist={work}/lapack.sources",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={work}/lists",
        "Dir::Cache::srcpkgcache=",
        "Dir::Cache::pkgcache=",
        "APT::Sandbox::User=root",
        "APT::Get::List-Cleanup=false",
        "Acquire::http::Timeout=30",
    ):
        apt += ["-o", option]
    for command in (["update"], ["source", "--download-only", "lapack"]):
        p = subprocess.run(
            apt + command, cwd=work, capture_output=True, text=True, check=False
        )
        if p.returncode:
            reason = (p.stderr.strip() or "no reason given").splitlines()[-1]
            raise Skip(f"apt cannot fetch the source package lapack: {reason}")
    archive = sorted(work.glob("lapack_*.orig.tar.*"))
    if not archive:
        raise Skip("apt fetched no lapack_*.orig.tar.*")
    with tarfile.open(archive[0]) as tar:
        members = [m for m in tar.getmembers() if "/BLAS/TESTING/" in m.name]
        tar.extractall(work, members)
    found = sorted(work.glob("*/BLAS/TESTING"))
    if not found:
        raise Skip(f"{archive[0].name} has no BLAS/TESTING")
    return found[0]


def build(work: Path, folder: Path, name: str) -> Path:
    """Compile one program; its XERBLA must be visible to the library."""
    program = work / name
    if not program.exists():
        flags = ["-O1", "-w", "-std=legacy", "-rdynamic", "-ffp-contract=off"]
        command = ["gfortran", *flags, "-o", str(program), str(folder / f"{name}.f")]
        p = subprocess.run(
            [*command, "-lblas"], capture_output=True, text=True, check=False
        )
        if p.returncode:
            raise Skip(f"{name} does not build: {p.stderr.strip().splitlines()[-1]}")
    return program


def run(program: Path, folder: Path, lib: Path, mode: str) -> tuple[str, set[str]]:
    """Return what the program reports, and the symbols of ours that it reached."""
    name = program.name
    for old in program.parent.glob(f"{name}*.out"):
        old.unlink()
    given = folder / f"{name}.in"
    env = {
        "PATH": "/usr/bin:/bin",
        "LD_PRELOAD": str(lib),
        "FUZZY_MODE": mode,
        "FUZZY_SEED": "1",
        "FUZZY_LIBS": "all",
        "FUZZY_SCOPE": "blas,lapack,conv,math",
        "FUZZY_VERBOSE": "3",
        "OPENBLAS_NUM_THREADS": "1",
    }
    p = subprocess.run(
        [str(program)],
        check=False,
        cwd=program.parent,
        env=env,
        capture_output=True,
        text=True,
        stdin=given.open() if given.exists() else subprocess.DEVNULL,
        timeout=1200,
    )
    text = p.stdout + "".join(
        f.read_text() for f in program.parent.glob(f"{name}*.out")
    )
    if p.returncode:
        text += f"\n{name} ended with status {p.returncode}: FAIL\n"
    reached = set(re.findall(r"(\w+) called by \S+: perturbed", p.stderr))
    return text, reached


def tested(text: str) -> dict[str, bool]:
    """Routines that a report names as passed (True) or not."""
    result: dict[str, bool] = {}
    for line in text.splitlines():
        m = re.match(r"\s*(\w+)\s+PASSED THE (COMPUTATIONAL TESTS|TESTS OF)", line)
        if m:
            result.setdefault(m[1].lower(), True)
        elif re.search(r"FAIL|SUSPECT|ERROR[ -]EXIT.*NOT|\*\*\*\*", line):
            m = re.search(r"\b([SDCZI]\w{3,6})\b", line)
            key = m[1].lower() if m else "?"
            if not re.search(r"COMPUTATIONAL TESTS|TESTS OF ERROR-EXITS", line) or (
                "FAIL" in line or "SUSPECT" in line
            ):
                result[key] = False
    return result


def level1(text: str) -> dict[str, bool]:
    """The same of a level 1 program: a heading, then PASS or FAIL."""
    result: dict[str, bool] = {}
    name = ""
    for line in text.splitlines():
        m = re.match(r"\s*Test of subprogram number\s+\d+\s+(\w+)", line)
        if m:
            name = m[1].lower()
            result[name] = False
        elif "----- PASS -----" in line and name:
            result[name] = True
        elif "FAIL" in line:
            result[name or "?"] = False
            name = ""
    return result


def more(work: Path, lib: Path, mode: str) -> tuple[str, set[str]]:
    """Build and run calls.c, what Netlib does not call; its last line and its symbols."""
    source = ROOT / "tests/blas/calls.c"
    flags = ["gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra"]
    loose = ["-Wl,--unresolved-symbols=ignore-all", "-rdynamic"]
    hidden = work / "libtorch_calls.so"
    commands = [
        [*flags, "-DHIDDEN", "-shared", "-fPIC", "-o", str(hidden), str(source), "-lm"],
        [*flags, *loose, "-o", str(work / "calls"), str(source), str(hidden)]
        + ["-Wl,-rpath,$ORIGIN", "-lm"],
    ]
    for command in commands:
        subprocess.run(command, check=True)
    return run(work / "calls", work, lib, mode)


def listed() -> set[str]:
    """Symbols of shim/symbols_blas3.def."""
    text = (ROOT / "shim/symbols_blas3.def").read_text()
    return set(re.findall(r"^FZ_SYMBOL\((\w+),", text, flags=re.MULTILINE))


def left_alone(routine: str) -> bool:
    """Is this one of NOT_OURS?"""
    base = re.sub(r"^i?[sdcz]", "", routine)
    if base == "rotg":
        return routine[0] in "cz"
    return base in NOT_OURS or routine in ("dsdot", "sdsdot")


def main() -> int:
    """Run all programs; print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", type=Path, default=ROOT / "build/libfuzzytorch.so")
    parser.add_argument("--work", type=Path, default=ROOT / "build/netlib")
    parser.add_argument("--mode", default="nearest")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    good = bad = 0
    text, called = more(work, args.lib.resolve(), args.mode)
    if text.strip() == "0 wrong":
        good += 1
    else:
        bad += 1
        print(text)
    try:
        if not shutil.which("gfortran"):
            raise Skip("gfortran is missing")
        folder = sources(work)
        for name in PROGRAMS:
            program = build(work, folder, name)
            text, reached = run(program, folder, args.lib.resolve(), args.mode)
            results = (level1 if name.endswith("1") else tested)(text)
            failed = sorted(r for r, ok in results.items() if not ok)
            ours = {r for r in results if not left_alone(r)}
            past = sorted(r for r in ours if f"{r}_" not in reached)
            called |= reached
            good += len(results) - len(set(failed) | set(past))
            bad += len(set(failed) | set(past)) + (not results)
            line = f"{name}: {len(results)} routines, {len(ours)} of them ours"
            if failed:
                line += "; FAILED: " + " ".join(failed)
            if past:
                line += "; not by the library: " + " ".join(past)
            print(line)
    except Skip as reason:
        print(f"tests/blas: SKIPPED, {reason}")
        print(f"{good} passed, {bad} failed")
        return min(bad, 1)
    missing = sorted(listed() - called)
    if missing:
        print("no test calls " + " ".join(missing))
    bad += len(missing)
    print(f"{good} passed, {bad} failed")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
