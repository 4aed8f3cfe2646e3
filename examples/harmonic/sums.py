"""Sums and dot products of PyTorch whose exact results are known: those of integers.

SPDX-License-Identifier: Apache-2.0

The same terms as in sums.c: multiples of 2^-23 in [-1, 1), whose sums cancel in part.
"""

from __future__ import annotations

import argparse

import torch


def terms(n: int) -> list[int]:
    """Return n integers below 2^23 in size, by a linear congruence."""
    state, found = 12345, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        found.append((state >> 8) - (1 << 23))
    return found


def main() -> None:
    """Compute, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=100_000)
    parser.add_argument("--exact", action="store_true", help="print exact results only")
    options = parser.parse_args()
    k = terms(options.n)
    if options.exact:
        total = sum(k) / 2**23
        dot = sum(a * b for a, b in zip(k, reversed(k))) / 2**46
        for name, exact in (
            ("sum", total),
            ("cumsum", total),
            ("dot", dot),
            ("mv", dot),
        ):
            print(f"{name} {exact:.17g}")
        return
    x = torch.tensor(k, dtype=torch.float32) / 2**23
    print(f"sum {x.sum().item():.9g}")
    print(f"cumsum {x.cumsum(0)[-1].item():.9g}")
    print(f"dot {torch.dot(x, x.flip(0)).item():.9g}")
    print(f"mv {torch.mv(x[None], x.flip(0)).item():.9g}")


if __name__ == "__main__":
    main()
