"""Random C++ programs for the instruction layer.

SPDX-License-Identifier: Apache-2.0

A program is a handful of functions over arrays of float and double: loops, switches, calls,
exceptions, conversions, both widths mixed. It prints the bits of its results, so two runs
that compute the same print the same.
"""

from __future__ import annotations

import random

HEAD = """#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#define N 67
static double d[4][N];
static float s[4][N];
static long state = 12345;
static double draw(void)
{
    state = (state * 6364136223846793005L + 1442695040888963407L);
    return (double)((state >> 33) & 0xffffff) / 4096.0 - 1500.0;
}
"""

TAIL = """
/* Of NaN that there is one: which one is not kept. */
template <class T> static void show(const T *p, size_t n)
{
    unsigned long h = 1469598103934665603UL;
    for (size_t i = 0; i < n / sizeof *p; i++) {
        unsigned char b[sizeof *p];
        memcpy(b, p[i] != p[i] ? "not a number" : (const void *)&p[i], sizeof b);
        for (size_t k = 0; k < sizeof b; k++)
            h = (h ^ b[k]) * 1099511628211UL;
    }
    printf(" %016lx", h);
}
int main(void)
{
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < N; i++) {
            d[j][i] = draw();
            s[j][i] = (float)draw();
        }
    for (int k = 0; k < 12; k++) {
        double sum = 0;
        CALLS
        printf("%d", k);
        show(&sum, sizeof sum);
        show(d[0], sizeof d);
        show(s[0], sizeof s);
        printf("\\n");
    }
    return 0;
}
"""


class Generator:
    """Makes one program from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.functions: list[str] = []

    def leaf(self, index: str, wide: bool) -> str:
        """Return an operand: an array's element, a constant, an index as a number."""
        r = self.random
        choice = r.randrange(8)
        if choice < 3:
            return f"{'d' if wide else 's'}[{r.randrange(4)}][{index}]"
        if choice < 5:
            return f"({'double' if wide else 'float'}){'s' if wide else 'd'}[{r.randrange(4)}][{index}]"
        if choice == 5:
            return f"({'double' if wide else 'float'})({index} * {r.randrange(1, 9)} + k)"
        return f"{r.uniform(-3, 3):.6f}{'' if wide else 'f'}"

    def expression(self, index: str, wide: bool, depth: int) -> str:
        """Return an expression of the width."""
        r = self.random
        if depth == 0:
            return self.leaf(index, wide)
        a = self.expression(index, wide, depth - 1)
        b = self.expression(index, wide, depth - 1)
        kind = r.randrange(9)
        if kind == 0:
            return f"std::sqrt(std::fabs({a}) + 1)" if wide else f"std::sqrt(std::fabs({a}) + 1.0f)"
        if kind == 1:
            return f"({a} / ({'1.0' if wide else '1.0f'} + {b} * {b}))"
        if kind == 2:
            return f"({a} < {b} ? {a} : {b} * {'0.5' if wide else '0.5f'})"
        if kind == 3 and wide:
            return f"std::fma({a}, 0.25, {b})"
        return f"({a} {r.choice('+-*')} {b})"

    def statement(self, level: int) -> str:
        """Return a statement; level bounds the nesting."""
        r = self.random
        wide = bool(r.randrange(2))
        target = f"{'d' if wide else 's'}[{r.randrange(4)}]"
        scale = "0.125" if wide else "0.125f"
        kind = r.randrange(6 if level else 3)
        if kind < 2:
            return (
                f"for (int i = 0; i < N; i++) {target}[i] = "
                f"{scale} * ({self.expression('i', wide, 2)});\n"
            )
        if kind == 2:
            return (
                f"for (int i = 0; i < N; i++) sum += 1e-3 * "
                f"({self.expression('i', True, 1)});\n"
            )
        if kind == 3:
            cases = "".join(
                f"case {c}: {self.statement(0)} {'break;' if r.randrange(3) else ''}\n"
                for c in range(r.randrange(4, 9))
            )
            return f"switch ((k * {r.randrange(1, 9)} + (int)(sum * 1e-6)) & 7) {{\n{cases}}}\n"
        if kind == 4 and self.functions:
            return f"sum += 1e-3 * {r.choice(self.functions)}(k + {r.randrange(3)});\n"
        return (
            "try {\n" + self.statement(0) +
            f"if (k % {r.randrange(2, 5)} == 0) throw std::runtime_error(\"x\");\n" +
            self.statement(0) + "} catch (const std::exception &) {\n" +
            self.statement(0) + "}\n"
        )

    def program(self) -> str:
        """Return the source."""
        text = HEAD
        for i in range(8):
            body = "".join(self.statement(2) for _ in range(self.random.randrange(2, 6)))
            text += (
                f"__attribute__((noinline)) static double f{i}(int k)\n"
                f"{{\ndouble sum = k;\n{body}return sum;\n}}\n"
            )
            self.functions.append(f"f{i}")
        calls = "\n".join(f"sum += f{i}(k);" for i in range(8))
        return text + TAIL.replace("CALLS", calls)
