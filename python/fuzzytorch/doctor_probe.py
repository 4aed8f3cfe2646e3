"""What `fuzzyrun doctor` runs under the library, in the Python that it looks at.

SPDX-License-Identifier: Apache-2.0

Imports torch, does a few operations, and reads for every symbol that the library exports
where the dynamic linker has bound the calls of torch's libraries: the words that their
relocations name. A function that torch has inside itself is looked up in .symtab, and its
first bytes are read. Writes a JSON file. A program of its own: it imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from typing import Any

_TORCH = ("libtorch.so", "libtorch_", "libc10", "_C.", "libaoti_", "libshm.so")
_FUNC, _IFUNC = 2, 10


class Elf:
    """The tables of one 64-bit little-endian ELF file."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        offset = struct.unpack_from("<Q", self.data, 40)[0]
        size, number = struct.unpack_from("<HH", self.data, 58)
        #: (type, offset, size, link) of each section
        self.sections = []
        for i in range(number):
            s = struct.unpack_from("<IIQQQQIIQQ", self.data, offset + i * size)
            self.sections.append((s[1], s[4], s[5], s[6]))

    def _table(self, kind: int) -> tuple[bytes, bytes] | None:
        for type_, offset, size, link in self.sections:
            if type_ == kind:
                _, at, length, _ = self.sections[link]
                return self.data[offset : offset + size], self.data[at : at + length]
        return None

    def symbols(self, wanted: set[bytes], full: bool) -> dict[int, tuple[bytes, bool, int]]:
        """Map index to (name, defined, value) in .dynsym, or in .symtab if `full`."""
        table = self._table(2 if full else 11)
        if table is None:
            return {}
        entries, strings = table
        found = {}
        for i, s in enumerate(struct.iter_unpack("<IBBHQQ", entries)):
            if full and s[1] & 15 not in (_FUNC, _IFUNC):
                continue
            name = strings[s[0] : strings.index(b"\0", s[0])]
            if name in wanted:
                found[i] = (name, s[3] != 0, s[4])
        return found

    @property
    def stripped(self) -> bool:
        """Is there no .symtab?"""
        return not any(s[0] == 2 for s in self.sections)

    def relocations(self, symbols: dict[int, Any]) -> dict[int, list[int]]:
        """Map each of these .dynsym indices to the addresses that are bound to it."""
        where: dict[int, list[int]] = {}
        for type_, offset, size, _ in self.sections:
            if type_ != 4:
                continue
            part = self.data[offset : offset + size]
            for at, info, _addend in struct.iter_unpack("<QQq", part):
                if info >> 32 in symbols and info & 0xFFFFFFFF in (1, 6, 7):
                    where.setdefault(info >> 32, []).append(at)
        return where


def mapped() -> dict[str, tuple[int, int]]:
    """Return the address range of every mapped file."""
    ranges: dict[str, tuple[int, int]] = {}
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            part = line.rstrip("\n").split(None, 5)
            if len(part) == 6 and part[5].startswith("/"):
                low, high = (int(x, 16) for x in part[0].split("-"))
                old = ranges.get(part[5], (low, high))
                ranges[part[5]] = (min(low, old[0]), max(high, old[1]))
    return ranges


def word(address: int) -> int:
    """Read eight bytes of memory."""
    return ctypes.c_uint64.from_address(address).value


def diverted(entry: int, ours: tuple[int, int]) -> bool:
    """Is there a jump at this entry that ends in the library?"""
    code = ctypes.string_at(entry, 5)
    if code[0] != 0xE9:
        return False
    slot = entry + 5 + struct.unpack("<i", code[1:])[0]
    if ctypes.string_at(slot, 6) != b"\xff\x25\0\0\0\0":
        return False
    return ours[0] <= word(slot + 6) < ours[1]


def listed(library: str) -> list[bytes]:
    """Return every symbol that the library counts, exported or not."""
    symbol = ctypes.CDLL(library).fuzzy_symbol
    symbol.restype = ctypes.c_char_p
    symbol.argtypes = [ctypes.c_uint, ctypes.c_char_p]
    counts, names = ctypes.create_string_buffer(256), []
    while (name := symbol(len(names), counts)) is not None:
        names.append(name)
    return names


def look(
    library: str, names: set[bytes], tables: set[bytes]
) -> tuple[list[dict[str, str]], list[str]]:
    """Return (symbol, library, state, reason) rows, and the libraries without .symtab.

    `tables` are functions that have no global name of ours and are led to us by the tables
    of the libraries that call them.
    """
    ranges = mapped()
    ours = ranges[os.path.realpath(library)]
    rows, stripped = [], []
    for path in sorted(ranges):
        base = os.path.basename(path)
        # Moved code lies in files of its own, which bear their library's name.
        if not base.startswith(_TORCH) or ".so" not in base or base.endswith(".plan"):
            continue
        elf, start = Elf(path), ranges[path][0]
        dynamic = elf.symbols(names | tables, False)
        bound = elf.relocations(dynamic)
        inside = {n: v for n, d, v in elf.symbols(names, True).values() if d}
        if elf.stripped:
            stripped.append(path)
        seen = set()
        for i, places in bound.items():
            name = dynamic[i][0]
            seen.add(name)
            targets = [word(start + at) for at in places]
            if all(ours[0] <= t < ours[1] for t in targets):
                state, why = "bound", ""
            else:
                other = next(t for t in targets if not ours[0] <= t < ours[1])
                owner = [p for p, (a, b) in ranges.items() if a <= other < b]
                state = "unbound"
                why = f"bound to {owner[0] if owner else hex(other)}"
            rows.append((name, base, state, why))
        exported = {n for n, d, _ in dynamic.values() if d}
        for name, value in inside.items():
            if name in seen:
                continue
            if diverted(start + value, ours):
                rows.append((name, base, "diverted", ""))
            elif name in exported:
                rows.append((name, base, "uncalled", "there, and not called by torch"))
            else:
                rows.append(
                    (name, base, "unbound", "bound inside the library and not diverted")
                )
    keys = ("symbol", "library", "state", "why")
    return [
        dict(zip(keys, (os.fsdecode(n), *rest))) for n, *rest in sorted(rows)
    ], stripped


def main() -> None:
    """Write the JSON file named by the second argument."""
    library, output = sys.argv[1:3]
    result: dict[str, Any] = {"python": sys.executable}
    try:
        import torch
    except Exception as error:  # noqa: BLE001 an import of torch may raise anything
        result["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        result["torch"] = torch.__version__
        result["path"] = os.path.dirname(torch.__file__)
        info = torch.__config__.show()
        result["blas"] = "MKL" if torch.backends.mkl.is_available() else "other"
        result["build"] = [x.strip(" -") for x in info.splitlines()[1:5]]
        a = torch.ones(32, 32) / 3
        float((a @ a).sum())
        try:
            torch.linalg.cholesky(torch.eye(4) * 3)
        except (AttributeError, RuntimeError) as error:  # a torch without LAPACK
            result["lapack"] = str(error).splitlines()[0]
        elf = Elf(library)
        exports = [s for s in elf.symbols(_All(), False).values() if s[1]]
        names = {s[0] for s in exports if not s[0].startswith(b"fuzzy_")}
        tables = {n for n in listed(library) if not n.startswith(b"_fft_")} - names
        rows, stripped = look(library, names, tables)
        result.update(
            exports=sorted(map(os.fsdecode, names | tables)), rows=rows, stripped=stripped
        )
        files = [os.path.basename(p) for p in mapped()]
        result["openmp"] = [f for f in files if f.startswith(("libgomp", "libiomp", "libomp"))]
        result["runtime"] = {"libunwind.so.8": _opens("libunwind.so.8")}
    with open(output, "w", encoding="utf-8") as file:
        json.dump(result, file)


class _All(set):  # type: ignore[type-arg]
    """The set of every name."""

    def __contains__(self, name: object) -> bool:
        return bool(name)


def _opens(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
