"""Find libfuzzytorch.so, put it into LD_PRELOAD, and run a command under it.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import NoReturn

from .errors import FuzzyError

LIBRARY = "libfuzzytorch.so"

#: Values of FUZZY_MODE, aliases included, as the library knows them.
MODES = (
    "off",
    "nearest",
    "sr",
    "ud",
    "cestac",
    "ieee",
    "random",
    "average",
    "nearness",
    "updown",
)

_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}


def _candidates() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    root = package.parent.parent
    yield root / "build" / LIBRARY
    yield package / LIBRARY
    # Installed: <prefix>/lib/python3.x/site-packages/fuzzytorch, or <prefix>/share/….
    for parent in package.parents:
        yield parent / "lib" / LIBRARY
        yield parent / "lib" / "fuzzytorch" / LIBRARY


def _elf_kind(path: Path) -> tuple[int, int, int]:
    """Return (class, byte order, machine) of an ELF file."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except OSError as error:
        raise FuzzyError(f"{path}: {error.strerror}") from None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise FuzzyError(f"{path} is not a shared library: run make again")
    order = "<" if head[5] == 1 else ">"
    return head[4], head[5], struct.unpack(order + "H", head[18:20])[0]


def _kind_name(kind: tuple[int, int, int]) -> str:
    name = _MACHINES.get(kind[2], f"machine {kind[2]}")
    return f"{32 if kind[0] == 1 else 64}-bit {name}"


def find_library() -> Path:
    """Return the absolute path of the library, after a look at what it was built for.

    Returns
    -------
    pathlib.Path
        $FUZZYRUN_LIB where that is set; else the build folder beside this package, the
        package itself, or the lib folder of the prefix it was installed under.

    Raises
    ------
    FuzzyError
        There is none, or it was built for another kind of machine.
    """
    chosen = os.environ.get("FUZZYRUN_LIB")
    if chosen:
        path = Path(chosen).absolute()
        if not path.exists():
            raise FuzzyError(f"FUZZYRUN_LIB={chosen}: no such file")
    else:
        found = next((p for p in _candidates() if p.exists()), None)
        if found is None:
            raise FuzzyError(
                f"{next(_candidates())} is not there: run make first, or name "
                f"the library in FUZZYRUN_LIB"
            )
        path = found
    # The dynamic linker only warns about a library it cannot use, and the run would go on
    # unperturbed.
    kind, own = _elf_kind(path), _elf_kind(Path("/proc/self/exe"))
    if kind != own:
        raise FuzzyError(
            f"{path} is built for {_kind_name(kind)}, this machine runs "
            f"{_kind_name(own)}: build it here with make clean all"
        )
    return path


def _private_folder(name: str) -> Path:
    """Return a folder of ours alone, in a temporary folder without blank or colon.

    It is found again by its name, so that exec, after which nobody cleans up, does not
    leave one more behind at every run.
    """
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    place = next(
        (p for p in places if not _breaks_preload(p) and os.access(p, os.W_OK)), None
    )
    if place is None:
        raise FuzzyError(
            "no temporary folder without a blank or a colon in its path: set "
            "TMPDIR to one"
        )
    folder = Path(place) / f"fuzzyrun-{os.getuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        info = folder.lstat()
    except OSError as error:
        raise FuzzyError(f"{folder}: {error.strerror}", 1) from None
    if (
        not stat.S_ISDIR(info.st_mode)
        or info.st_uid != os.getuid()
        or stat.S_IMODE(info.st_mode) & 0o077
    ):
        return Path(tempfile.mkdtemp(prefix="fuzzyrun-", dir=place))
    return folder


def _breaks_preload(path: str) -> bool:
    # The dynamic linker splits LD_PRELOAD at white space and colons, without any escape,
    # and expands $ORIGIN and its like.
    return re.search(r"[\s:$]", path) is not None


def preload_entry(library: Path) -> str:
    """Return a path to `library` that may stand in LD_PRELOAD."""
    if not _breaks_preload(str(library)):
        return str(library)
    name = hashlib.sha256(os.fsencode(library)).hexdigest()[:12]
    link = _private_folder(name) / LIBRARY
    try:
        if not link.is_symlink() or os.readlink(link) != str(library):
            fresh = link.with_name(f".{os.getpid()}")
            fresh.symlink_to(library)
            fresh.replace(link)
    except OSError as error:
        raise FuzzyError(f"{link}: {error.strerror}", 1) from None
    return str(link)


def preload(env: MutableMapping[str, str], library: Path) -> None:
    """Append the library to LD_PRELOAD in `env`, after what is there."""
    entry = preload_entry(library)
    there = env.get("LD_PRELOAD", "")
    if entry not in re.split(r"[\s:]+", there):
        env["LD_PRELOAD"] = f"{there}:{entry}" if there.strip(" :") else entry


def choose_libraries(patterns: str | None, env: MutableMapping[str, str]) -> None:
    """Add the instruction layer to the scope in `env`, for these libraries and torch's."""
    scope = env.get("FUZZY_SCOPE") or "blas,lapack,conv,math"
    if "inst" not in scope.split(","):
        scope += ",inst"
    env["FUZZY_SCOPE"] = scope
    if patterns is None:
        return
    words = patterns.split(",")
    if not all(words):
        raise FuzzyError(f"libs {patterns!r}: names or patterns with commas, or all")
    if "all" in words:
        env["FUZZY_LIBS"] = "all"
    else:
        env["FUZZY_LIBS"] = ",".join(words if "torch" in words else ["torch", *words])


def is_static(program: str) -> bool:
    """Return whether a program is an ELF file that no dynamic linker loads."""
    try:
        with open(program, "rb") as file:
            head = file.read(64)
            if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
                return False
            at, size, count = struct.unpack_from("<Q14xHH", head, 32)
            file.seek(at)
            table = file.read(size * count)
    except OSError:
        return False
    kinds = {struct.unpack_from("<I", table, k * size)[0] for k in range(count)}
    return 3 not in kinds  # PT_INTERP


def check_mode(mode: str) -> str:
    """Return `mode` if the library takes it."""
    if mode not in MODES:
        raise FuzzyError(f"mode {mode!r} is none of {', '.join(MODES)}")
    return mode


def parse_seed(text: str) -> int | None:
    """Return the seed as an integer below 2^64, None for `random`."""
    if text == "random":
        return None
    try:
        seed = int(text, 0)
    except ValueError:
        seed = -1
    if not 0 <= seed < 1 << 64:
        raise FuzzyError(
            f"seed {text!r} is neither an integer from 0 to 2^64-1 nor 'random'"
        )
    return seed


def find_command(command: Sequence[str]) -> str:
    """Return the path of the program that `command` names, as the shell would find it."""
    program = command[0]
    path = shutil.which(program)
    if path is not None:
        return path
    if "/" in program and os.path.exists(program):
        raise FuzzyError(f"{program}: not an executable file", 126)
    raise FuzzyError(f"{program}: command not found", 127)


def run(command: Sequence[str], mode: str | None, seed: str | None) -> NoReturn:
    """Become `command`, with the library preloaded; what is None stays as the caller has it.

    Raises
    ------
    FuzzyError
        If there is no such command or no usable library.
    """
    env = dict(os.environ)
    if mode is not None:
        env["FUZZY_MODE"] = check_mode(mode)
    if seed is not None:
        parse_seed(seed)
        env["FUZZY_SEED"] = seed
    path = find_command(command)
    preload(env, find_library())
    if is_static(path):
        print(
            f"fuzzyrun: warning: {path} is statically linked: nothing in it is perturbed",
            file=sys.stderr,
        )
    try:
        os.execve(path, list(command), env)
    except OSError as error:
        raise FuzzyError(f"{path}: {error.strerror}", 126) from None
