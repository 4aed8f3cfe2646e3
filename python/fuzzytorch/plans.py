"""fuzzyrun cache: the plans of moved code that there are, and away with them.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .errors import FuzzyError
from .summary import table

USAGE = """\
usage: fuzzyrun cache [--clear]

Lists the plans of the instruction layer in FUZZY_CACHE (default: fuzzytorch in
XDG_CACHE_HOME or in ~/.cache): library, what its moved code does, size, last use. --clear
removes them; they are made again when they are needed. Those that were not used for 30 days,
or do not fit into FUZZY_CACHE_SIZE megabytes, are removed when another is made.
"""

#: FZ_CACHE_MEGABYTES of shim/shim.h.
MEGABYTES = 2000

_MAGIC = b"fuzzyplan "
#: FZ_PLANFILE_AT of shim/rewrite/planfile.h.
_HEADER = 1024
#: enum fz_variant of shim/rewrite/area.h.
_VARIANTS = ("nearest", "sr", "ud", "any mode or precision", "cestac", "test")
_OURS = re.compile(r".+-[0-9a-f]{16}\.plan(\.lock|\.\d+\.new)?")


class Plan(NamedTuple):
    """A plan in the cache."""

    path: Path
    library: str
    variant: str
    size: int
    unused: float  #: seconds since its last use, an hour more or less


def folder() -> Path:
    """Return the folder of plans, as the library finds it."""
    given, xdg = os.environ.get("FUZZY_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if given:
        return Path(given)
    if xdg.startswith("/"):
        return Path(xdg) / "fuzzytorch"
    home = os.environ.get("HOME", "")
    if not home.startswith("/"):
        raise FuzzyError("there is no folder for plans: set FUZZY_CACHE")
    return Path(home) / ".cache" / "fuzzytorch"


def plans(place: Path) -> list[Plan]:
    """Return the plans in a folder, by library and variant."""
    found = []
    for path in place.glob("*.plan"):
        try:
            with open(path, "rb") as file:
                head = file.read(_HEADER + 256)[_HEADER:]
            info = path.stat()
        except OSError:
            continue  # gone, or somebody else's
        if not head.startswith(_MAGIC):
            continue
        words = head[16:].split(b"\0", 1)[0].decode("ascii", "replace").split()
        try:
            variant = _VARIANTS[int(words[words.index("variant") + 1])]
            if words[words.index("counters") + 1] != "0":
                variant += ", counting"
        except (ValueError, IndexError):
            variant = "unknown"
        library = path.name.rsplit("-", 1)[0]
        found.append(
            Plan(path, library, variant, info.st_size, time.time() - info.st_mtime)
        )
    return sorted(found, key=lambda p: (p.library, p.variant, p.unused))


def _age(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0, seconds):.0f} s"


def clear(place: Path) -> int:
    """Remove plans and what was left of their making; return how many plans.

    A process that runs from a plan keeps it until it ends.
    """
    count = 0
    for path in list(place.iterdir()) if place.is_dir() else []:
        if not _OURS.fullmatch(path.name):
            continue
        try:
            path.unlink()
        except OSError as error:
            raise FuzzyError(f"{path}: {error.strerror}", 1) from None
        count += path.suffix == ".plan"
    return count


def main(argv: Sequence[str]) -> int:
    """Run `fuzzyrun cache`; return the exit status."""
    if list(argv) in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    place = folder()
    if list(argv) == ["--clear"]:
        count = clear(place)
        print(f"{place}: {count} plan{'' if count == 1 else 's'} removed")
        return 0
    if argv:
        raise FuzzyError(f"cache: {argv[0]!r} is not --clear")
    found = plans(place)
    if found:
        rows = [("library", "moved code", "MB", "last used")]
        rows += [
            (p.library, p.variant, f"{p.size / 1e6:.1f}", f"{_age(p.unused)} ago")
            for p in found
        ]
        for line in table(rows):
            print(line)
    total = sum(p.size for p in found) / 1e6
    limit = os.environ.get("FUZZY_CACHE_SIZE") or str(MEGABYTES)
    of = "" if limit == "0" else f" of {limit}"
    print(
        f"{place}: {len(found)} plan{'' if len(found) == 1 else 's'}, {total:.1f}{of} MB"
    )
    return 0
