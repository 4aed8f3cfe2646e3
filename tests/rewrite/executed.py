"""Floating-point operations that a program executed, by valgrind and objdump.

SPDX-License-Identifier: Apache-2.0

An account that shares nothing with the layer's own: callgrind counts how often each
instruction ran (`--dump-instr=yes`), objdump says what it is. Lackey, valgrind's own counter
of operations, does not tell integer vectors from floating-point ones.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

#: Room for an instruction, and for the one that a disassembler sees behind it.
SLOT, LONGEST = 32, 15

TYPE = r"(?P<type>[ps][sd])"
ARITHMETIC = re.compile(rf"v?(add|sub|mul|div|sqrt|addsub|hadd|hsub){TYPE}$")
FUSED = re.compile(rf"vfn?m(add|sub)(add|sub)?(132|213|231){TYPE}$")
CONVERSION = {
    "cvtsd2ss": 1,
    "cvtsi2ss": 1,
    "cvtsi2ssl": 1,
    "cvtsi2ssq": 1,
    "cvtsi2sdq": 1,
}


def operations(mnemonic: str, operands: str) -> tuple[str, int]:
    """Return the type and the number of operations of one instruction; 0 if it is none.

    A fused multiply-add is two, a conversion one, each times its lanes; what is exact by
    definition (to a wider type, comparisons) is none.
    """
    width = 32 if "%ymm" in operands else 16
    match = ARITHMETIC.match(mnemonic) or FUSED.match(mnemonic)
    if match:
        kind = match["type"]
        size = 8 if kind[1] == "d" else 4
        lanes = 1 if kind[0] == "s" else width // size
        fused = 2 if mnemonic.startswith(("vfm", "vfn")) else 1
        return ("f64" if size == 8 else "f32"), lanes * fused
    plain = mnemonic.removeprefix("v")
    if plain in CONVERSION:
        return "conversion", 1
    if plain in ("cvtsi2sd", "cvtsi2sdl"):  # of 32 bits: exact
        return "conversion", int(bool(re.match(r"%r([a-ds][ix]|[sb]p|\d+),", operands)))
    if plain == "cvtdq2ps" or plain == "cvtps2ph":
        return "conversion", width // 4
    if plain.startswith("cvtpd2ps"):
        wide = "%ymm" in operands or plain.endswith("y")
        return "conversion", 4 if wide else 2
    return "", 0


def parse(path: Path) -> dict[str, dict[str, dict[int, int]]]:
    """Return executions by object, function and address from callgrind's output."""
    names: dict[str, dict[str, str]] = {"ob": {}, "fn": {}}
    counts: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    current = {"ob": "", "fn": ""}
    at = 0
    skip = False
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            head = line[:3]
            if head in ("ob=", "fn="):
                number, _, name = line[3:].strip().partition(" ")
                key = head[:2]
                if name:
                    names[key][number] = name
                current[key] = names[key].get(number, number)
            elif line.startswith(("cob=", "cfn=")):
                number, _, name = line[4:].strip().partition(" ")
                if name:
                    names[line[1:3]][number] = name
            elif line.startswith("calls="):
                skip = True
            elif line[0] in "0+-*":
                fields = line.split()
                where = fields[0]
                if where.startswith("0x"):
                    at = int(where, 16)
                elif where != "*":
                    at += int(where)
                if skip:
                    skip = False
                elif len(fields) > 2:
                    of = counts[current["ob"]][current["fn"]]
                    of[at] = of.get(at, 0) + int(fields[2])
    return counts


def segments(path: Path) -> list[tuple[int, int, int]]:
    """Return address, offset and size of what is mapped from a file."""
    text = subprocess.run(
        ["readelf", "-lW", path], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)", text)
    return [(int(a, 16), int(o, 16), int(n, 16)) for o, a, n in found]


def decode(path: Path, addresses: list[int]) -> Iterator[tuple[int, str, str]]:
    """Yield address, mnemonic and operands of the instructions at addresses of a file."""
    maps = segments(path)
    with path.open("rb") as library, tempfile.NamedTemporaryFile() as image:
        for address in addresses:
            for start, offset, size in maps:
                if start <= address < start + size:
                    library.seek(address - start + offset)
                    break
            image.write(library.read(LONGEST).ljust(SLOT, b"\x90"))
        image.flush()
        dump = subprocess.Popen(
            ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-w",
             "--no-show-raw-insn", image.name],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert dump.stdout
        for line in dump.stdout:
            place, tab, text = line.partition(":\t")
            if not tab or int(place, 16) % SLOT:
                continue
            mnemonic, _, operands = text.strip().partition(" ")
            yield addresses[int(place, 16) // SLOT], mnemonic, operands.strip()
        dump.stdout.close()
        dump.wait()


def count(
    path: Path, functions: dict[str, dict[int, int]]
) -> dict[str, dict[str, int]]:
    """Return operations by function and type of one library."""
    owner: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for name, of in functions.items():
        for address, n in of.items():
            owner[address].append((name, n))
    done: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for address, mnemonic, operands in decode(path, sorted(owner)):
        kind, each = operations(mnemonic, operands)
        for name, n in owner[address] if each else []:
            done[name][kind] += n * each
    return done
