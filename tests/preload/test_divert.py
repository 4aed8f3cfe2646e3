"""Functions that a library binds inside itself: diverted at their entry, or left and named.

SPDX-License-Identifier: Apache-2.0

A stand-in for libtorch_cpu.so has its own sgemm_ and calls it directly, as a torch built
with hidden symbols would.
"""

from __future__ import annotations

import json
import subprocess
import unittest

import common
from common import build_dir, compile_c, run

#: The stand-in's own functions. SHAPE chooses how the entry of sgemm_ looks.
SOURCE = r"""
#include <stddef.h>
#include <stdint.h>
#ifdef HIDDEN
#define OWN __attribute__((visibility("hidden"), noinline, noclone, used))
#else
#define OWN __attribute__((noinline, noclone, used))
#endif
OWN void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                const float *alpha, const float *a, const int *lda, const float *b,
                const int *ldb, const float *beta, float *c, const int *ldc, size_t la,
                size_t lb);
#ifdef UNCALLED
/* Exported for others; the library has no call of it. */
OWN double ddot_(const int *n, const double *x, const int *incx, const double *y,
                 const int *incy)
{
    double s = 0;
    for (int i = 0; i < *n; i++)
        s += x[i * *incx] * y[i * *incy];
    return s;
}
#endif
static void product(const int *m, const int *n, const int *k, const float *a,
                    const float *b, float *c);
#ifdef UNKNOWN_ENTRY
/* A call at the entry: it cannot be moved. */
__asm__(".text\n.type sgemm_, @function\n.globl sgemm_\n.hidden sgemm_\nsgemm_:\n"
        "    call 1f\n1:  pop %rax\n    jmp sgemm_body\n.size sgemm_, . - sgemm_\n");
__attribute__((visibility("hidden"), used)) void sgemm_body(
#elif defined(LOOP_ENTRY)
/* A jump back to the second instruction, inside the five bytes. */
__asm__(".text\n.type sgemm_, @function\n.globl sgemm_\n.hidden sgemm_\nsgemm_:\n"
        "    xor %eax, %eax\n1:  add $1, %eax\n    cmp $2, %eax\n    jne 1b\n"
        "    jmp sgemm_body\n.size sgemm_, . - sgemm_\n");
__attribute__((visibility("hidden"), used)) void sgemm_body(
#else
OWN void sgemm_(
#endif
    const char *ta, const char *tb, const int *m, const int *n, const int *k,
    const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
    const float *beta, float *c, const int *ldc, size_t la, size_t lb)
{
    (void)ta, (void)tb, (void)alpha, (void)lda, (void)ldb, (void)beta, (void)ldc, (void)la,
        (void)lb;
    product(m, n, k, a, b, c);
}

/* Its own order, from the end: other bits than any BLAS gives. */
static void product(const int *m, const int *n, const int *k, const float *a,
                    const float *b, float *c)
{
    for (int i = 0; i < *m; i++)
        for (int j = 0; j < *n; j++) {
            float s = 0;
            for (int l = *k; l-- > 0;)
                s += a[i + l * *m] * b[l + j * *k];
            c[i + j * *m] = s;
        }
}

"""

#: Who calls it: a unit of its own, since a compiler knows of a function in the same unit which
#: registers it leaves alone, and may count on it.
CALLER = r"""#include <stddef.h>
#include <stdint.h>
#ifdef HIDDEN
#define OWN __attribute__((visibility("hidden"), noinline, noclone, used))
#else
#define OWN __attribute__((noinline, noclone, used))
#endif
OWN void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                const float *alpha, const float *a, const int *lda, const float *b,
                const int *ldb, const float *beta, float *c, const int *ldc, size_t la,
                size_t lb);
enum { N = 24, K = 1000 };
uint64_t torch_product(void)
{
    static const int n = N, k = K;
    static const float one = 1, zero = 0;
    static float a[N * K], b[K * N];
    float c[N * N];
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < N * K; i++) {
        a[i] = 1.0f / (float)(3 + i % 97);
        b[i] = 1.0f / (float)(7 + i % 89);
    }
    sgemm_("N", "N", &n, &n, &k, &one, a, &n, b, &k, &zero, c, &n, 1, 1);
    for (int i = 0; i < N * N; i++) {
        union { float f; uint32_t u; } x = {c[i]};
        h = (h ^ x.u) * 0x100000001b3u;
    }
    return h;
}

/* The eight bytes at the entry of sgemm_. */
uint64_t torch_entry(void)
{
#ifdef NO_ADDRESS
    return 0;
#else
    union { void *p; const uint64_t *u; } x = {(void *)sgemm_};
    return *x.u;
#endif
}
"""

MAIN = r"""
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef LINKED
uint64_t torch_product(void), torch_entry(void);
#endif
static void *sleeper(void *p) { pause(); return p; }
int main(int argc, char **argv)
{
    uint64_t (*product)(void), (*entry)(void);
    if (argc > 1 && !strcmp(argv[1], "threads")) {
        pthread_t t;
        pthread_create(&t, NULL, sleeper, NULL);
    }
#ifdef LINKED
    product = torch_product;
    entry = torch_entry;
#else
    char path[4096];
    strcpy(path, argv[0]);
    strcpy(strrchr(path, '/') + 1, "libtorch_cpu.so");
    void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!h) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&product = dlsym(h, "torch_product");
    *(void **)&entry = dlsym(h, "torch_entry");
    const uint64_t *uncalled = dlsym(h, "ddot_");
    if (uncalled && argc > 1 && !strcmp(argv[1], "uncalled"))
        printf("%016lx ", (unsigned long)*uncalled);
#endif
    printf("%016lx ", (unsigned long)product());
    printf("%016lx %016lx\n", (unsigned long)product(), (unsigned long)entry());
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, " rwxp") || strstr(line, " rwxs"))
            printf("writable and executable: %s", line);
    fclose(maps);
    return 0;
}
"""

#: What users have; run() leaves the instruction layer out.
EVERYTHING = {"FUZZY_SCOPE": "blas,lapack,conv,math,inst"}


def program(shape: str, *flags: str, linked: bool = False, strip: bool = False) -> str:
    """Build the stand-in and a program beside it; return the program's path."""
    folder = build_dir() / f"divert-{shape}{'-linked' if linked else ''}"
    if not folder.exists():
        folder.mkdir()
        (folder / "torch.c").write_text(SOURCE)
        (folder / "caller.c").write_text(CALLER)
        (folder / "main.c").write_text(MAIN)
        lib = compile_c(
            str(folder / "torch.c"),
            f"{folder.name}/libtorch_cpu.so",
            str(folder / "caller.c"),
            "-shared",
            "-fPIC",
            *flags,
        )
        if strip:
            subprocess.run(["strip", str(lib)], check=True)
        more = ["-DLINKED", str(lib), "-Wl,-rpath,$ORIGIN"] if linked else []
        compile_c(
            str(folder / "main.c"), f"{folder.name}/prog", *more, "-ldl", "-lpthread"
        )
    return str(folder / "prog")


def hidden(linked: bool = False) -> str:
    """Return a program whose library hides its sgemm_."""
    return program("hidden", "-DHIDDEN", linked=linked)


def native(prog: str) -> list[str]:
    """Return what the program prints without the library."""
    return run([prog], preload=False).stdout.split()


class Diverted(unittest.TestCase):
    """Calls inside the library reach us."""

    def perturbed(self, prog: str) -> None:
        """The two products differ from native and from each other; a seed repeats both."""
        plain = native(prog)
        self.assertEqual(plain[0], plain[1])
        p = run([prog], FUZZY_SEED="3", FUZZY_VERBOSE="0")
        got = p.stdout.split()
        self.assertEqual(p.stderr, "")
        self.assertEqual(len(got), 3, p.stdout)  # no page is writable and executable
        self.assertEqual(len({plain[0], *got[:2]}), 3, got)
        self.assertNotEqual(got[2], plain[2])
        self.assertEqual(got[2][-2:], "e9")
        again = run([prog], FUZZY_SEED="3", FUZZY_VERBOSE="0").stdout.split()
        self.assertEqual(again[:2], got[:2])

    def test_hidden_opened(self) -> None:
        """Hidden visibility, a library that is opened."""
        self.perturbed(hidden())

    def test_hidden_linked(self) -> None:
        """Hidden visibility, a library that the program links."""
        self.perturbed(hidden(linked=True))

    def test_symbolic(self) -> None:
        """Exported, but bound inside by -Bsymbolic or -Bsymbolic-functions."""
        self.perturbed(program("symbolic", "-Wl,-Bsymbolic"))
        self.perturbed(program("symbolic-functions", "-Wl,-Bsymbolic-functions"))

    def test_stripped_symbolic(self) -> None:
        """What is exported is found without .symtab; the rest is left, and it is said."""
        prog = program("stripped-symbolic", "-Wl,-Bsymbolic", strip=True)
        plain = native(prog)
        p = run([prog], FUZZY_SEED="3", FUZZY_VERBOSE="0", **EVERYTHING)
        self.assertEqual(len({plain[0], *p.stdout.split()[:2]}), 3, p.stdout)
        (said,) = p.stderr.splitlines()
        self.assertIn("libtorch_cpu.so are left as they are: it is stripped", said)

    def test_version_script(self) -> None:
        """Made local by a version script, without hidden visibility."""
        script = build_dir() / "local.map"
        script.write_text("{ global: torch_*; local: *; };\n")
        self.perturbed(program("script", f"-Wl,--version-script={script}"))

    def test_counted(self) -> None:
        """The report counts the calls as perturbed."""
        path = build_dir() / "divert.json"
        run([hidden()], FUZZY_REPORT=str(path))
        report = json.loads(path.read_text())
        self.assertEqual(report["totals"]["perturbed"]["calls"], 2)

    def test_nearest_is_ours(self) -> None:
        """Mode nearest is our kernel: the same twice, and not the library's own order."""
        plain, got = native(hidden()), run([hidden()], FUZZY_MODE="nearest").stdout.split()
        self.assertEqual(got[0], got[1])
        self.assertNotEqual(got[0], plain[0])


class Original(unittest.TestCase):
    """What was at the entry stays callable."""

    def passed(self, reason: str, **env: str) -> None:
        """A call that is passed through gives the library's own bits."""
        path = build_dir() / f"{reason}.json"
        for prog in (hidden(), hidden(linked=True)):
            path.unlink(missing_ok=True)
            got = run([prog], FUZZY_REPORT=str(path), **env).stdout.split()
            self.assertEqual(got[:2], native(prog)[:2])
            symbol = json.loads(path.read_text())["symbols"][0]
            self.assertEqual(symbol["why"], {reason: 2})
            self.assertEqual(symbol["original"], "process")

    def test_excluded(self) -> None:
        """FUZZY_EXCLUDE."""
        rules = build_dir() / "divert-exclude"
        rules.write_text("sgemm_ *\n")
        self.passed("excluded", FUZZY_EXCLUDE=str(rules))

    def test_library(self) -> None:
        """FUZZY_LIBS."""
        self.passed("library", FUZZY_LIBS="nothing")


class Untouched(unittest.TestCase):
    """Where nothing may or can be written."""

    def same(self, prog: str, *args: str, **env: str) -> str:
        """Results and entry are the native ones; return stderr."""
        p = run([prog, *args], **env)
        self.assertEqual(p.stdout.split(), native(prog))
        return p.stderr

    def test_off(self) -> None:
        """Mode off leaves the text as it is."""
        self.assertEqual(self.same(hidden(), FUZZY_MODE="off"), "")
        self.assertEqual(self.same(hidden(linked=True), FUZZY_MODE="off"), "")

    def test_stripped(self) -> None:
        """Without .symtab nothing is guessed, and it is said."""
        prog = program("stripped", "-DHIDDEN", strip=True)
        said = self.same(prog, FUZZY_VERBOSE="0", **EVERYTHING).splitlines()
        self.assertEqual(len(said), 3, said)
        self.assertIn("left as they are: it is stripped", said[0])
        self.assertIn("no call of sgemm_ shows", said[1])
        self.assertIn("nothing was perturbed", said[2])

    def test_unknown_entry(self) -> None:
        """An entry that cannot be moved: native, named once, and in the report."""
        prog = program("unknown", "-DHIDDEN", "-DUNKNOWN_ENTRY")
        path = build_dir() / "unknown.json"
        said = self.same(prog, FUZZY_VERBOSE="0", FUZZY_REPORT=str(path))
        refused = json.loads(path.read_text())["not_diverted"]
        self.assertEqual([x["symbol"] for x in refused], ["sgemm_"])
        self.assertIn("can be moved", refused[0]["why"])
        text = run([prog], FUZZY_REPORT="stderr").stderr
        self.assertRegex(text, r"  sgemm_: native, bound inside torch .*can be moved")
        run([hidden()], FUZZY_REPORT=str(path))
        self.assertEqual(json.loads(path.read_text())["not_diverted"], [])
        self.assertEqual(said.count("sgemm_"), 1, said)
        self.assertRegex(said, r"binds 1 function inside itself .*: sgemm_ \(")
        self.assertIn("nothing was perturbed", said)
        self.assertIn("can be moved", said)

    def test_threads_before(self) -> None:
        """Threads that were there before the library is opened do not keep us from it."""
        got = run([hidden(), "threads"], FUZZY_SEED="3").stdout.split()
        self.assertEqual(got[2][-2:], "e9")
        linked = self.same(hidden(linked=True), FUZZY_MODE="off")
        self.assertEqual(linked, "")

    def test_jump_into_the_entry(self) -> None:
        """A jump back into the bytes that would be replaced: native, named."""
        prog = program("loop", "-DHIDDEN", "-DLOOP_ENTRY")
        self.assertIn("jump back", self.same(prog, FUZZY_VERBOSE="0"))

    def test_exported_is_left_to_the_linker(self) -> None:
        """A plain shared library is the dynamic linker's affair: no entry is written."""
        prog = program("plain")
        plain, got = native(prog), run([prog], FUZZY_SEED="3").stdout.split()
        self.assertNotEqual(got[0], plain[0])
        # What is at the address of sgemm_, which is ours here as well: no jump.
        self.assertNotEqual(got[2][-2:], "e9")
        # Nor at that of an exported one without a call. The library's own call is a jump
        # slot, or an address in the GOT.
        for name, flags in (("got", []), ("plt", ["-DNO_ADDRESS"])):
            prog = program(f"uncalled-{name}", "-DUNCALLED", *flags)
            got = run([prog, "uncalled"], FUZZY_SEED="3").stdout.split()
            self.assertEqual(len(got), 4, got)
            self.assertNotEqual(got[0][-2:], "e9", name)
        # Where calls inside are not the linker's it is: calls that we cannot see.
        prog = program("uncalled-symbolic", "-DUNCALLED", "-Wl,-Bsymbolic")
        got = run([prog, "uncalled"], FUZZY_SEED="3").stdout.split()
        self.assertEqual(got[0][-2:], "e9")
        prog = program("plain")
        verbose = run([prog], FUZZY_VERBOSE="2").stderr
        self.assertNotIn("diverted", verbose)
        self.assertIn("diverted", run([hidden()], FUZZY_VERBOSE="2").stderr)


if __name__ == "__main__":
    common.main()
