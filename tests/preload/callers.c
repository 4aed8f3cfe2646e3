/* Ways to one product: a library named libtorch_cpu.so and its program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <alloca.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP __attribute__((noinline, noclone))

uint64_t product(void);
uint64_t by_alpha(int depth), by_beta(int depth), operation(void), grown(int bytes);
uint64_t way(unsigned bits, int steps);
double by_tail(double x);
void crowd(void);
void team_alpha(uint64_t *bits), team_beta(uint64_t *bits);
uint64_t node(void) __asm__("_ZN5torch8autograd9generated11MulBackward5applyEv");
uint64_t frobnicate(void) __asm__("_ZN2at4_ops10frobnicate4callERKNS_6TensorE");

#ifdef LIBRARY
void sgemm_(const char *, const char *, const int *, const int *, const int *,
            const float *, const float *, const int *, const float *, const int *,
            const float *, float *, const int *, size_t, size_t);

static volatile int kept; /* keeps calls from becoming jumps */

/* A torch that makes random numbers through its table: without one libm is left alone. */
void normal(void) __asm__("_ZN2at6native7normal_Ev");
void random_numbers(void);

STEP void normal(void)
{
    kept++;
}

STEP void random_numbers(void)
{
    normal();
    kept++;
}

/* Its call returns to its caller, in another library. */
__asm__(".text\n.globl by_tail\n.type by_tail, @function\nby_tail: jmp exp@plt\n"
        ".size by_tail, . - by_tail\n");

STEP uint64_t product(void)
{
    static const int n = 3;
    static const float one = 1, zero = 0;
    float a[9], c[9];
    uint64_t h = 0;
    for (int i = 0; i < 9; i++)
        a[i] = 1.0f / (float)(3 + i);
    sgemm_("N", "N", &n, &n, &n, &one, a, &n, a, &n, &zero, c, &n, 1, 1);
    for (int i = 0; i < 9; i++) {
        uint32_t u;
        memcpy(&u, &c[i], 4);
        h = (h ^ u) * 0x100000001b3u;
    }
    return h;
}

STEP static uint64_t local_step(int depth)
{
    uint64_t h = depth > 0 ? local_step(depth - 1) : product();
    kept++;
    return h;
}

STEP uint64_t by_alpha(int depth)
{
    uint64_t h = local_step(depth);
    kept++;
    return h;
}

STEP uint64_t by_beta(int depth)
{
    uint64_t h = local_step(depth);
    kept--;
    return h;
}

/* Behind an exported function; its own name is in .symtab only. */
STEP static uint64_t local_late(void)
{
    uint64_t h = product();
    kept++;
    return h;
}

/* A frame of a size of the caller's choice, left as it was found. */
STEP uint64_t grown(int bytes)
{
    volatile char *p = alloca((size_t)bytes);
    uint64_t h = local_late();
    return h + (bytes < 0 ? (uint64_t)*p : 0);
}

STEP uint64_t frobnicate(void)
{
    uint64_t h = local_step(0);
    kept++;
    return h;
}

STEP uint64_t operation(void)
{
    uint64_t h = node();
    kept++;
    return h;
}

STEP uint64_t node(void)
{
    uint64_t h = frobnicate();
    kept++;
    return h;
}

/* As many ways as there are bits patterns. */
STEP uint64_t way(unsigned bits, int steps)
{
    uint64_t h;
    if (steps == 0)
        return product();
    if (bits & 1) {
        h = way(bits >> 1, steps - 1);
        kept++;
    } else {
        h = way(bits >> 1, steps - 1);
        kept -= 3;
    }
    return h;
}

/* Four threads that all find new ways at once. */
STEP void crowd(void)
{
#pragma omp parallel for num_threads(4) schedule(static, 1)
    for (int i = 0; i < 1 << 14; i++)
        way((unsigned)i >> 2, 12);
    kept++;
}

#define TEAM(name)                                  \
    STEP void name(uint64_t *bits)                  \
    {                                               \
        _Pragma("omp parallel for num_threads(4)") \
        for (int i = 0; i < 4; i++)                 \
            bits[i] = product();                    \
        kept++;                                     \
    }
TEAM(team_alpha)
TEAM(team_beta)

#else
static void show(const char *who, uint64_t bits)
{
    printf("%s %016lx\n", who, (unsigned long)bits);
    fflush(stdout);
}

/* Two callers whose frames have one place on the stack, so that by chance the return
 * address that the other one left lies where it lay. */
STEP static uint64_t small(void)
{
    return grown(16) + 1;
}

STEP static uint64_t dlarge(void)
{
    return grown(16) + 2;
}

static void step(void)
{
    by_alpha(0);
}

/* Code that was made at run time, without unwind tables, and with anything in the register
 * that elsewhere points at the frame. */
static void generated(void)
{
    static const unsigned char code[] = {
        0x55, 0x48, 0x89, 0xf5, 0xff, 0xd7, 0x5d, 0xc3 /* push rbp; mov rbp, rsi;
        call rdi; pop rbp; ret */
    };
    const uintptr_t anything[] = {(uintptr_t)anything, 0, 1, 16, 0x7fff00000000,
                                  0xdeadbeefdeadbeef};
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void (*f)(void (*)(void), uintptr_t) = NULL;
    if (p == MAP_FAILED)
        exit(3);
    memcpy(p, code, sizeof code);
    *(void **)&f = p;
    for (int i = 0; i < 18; i++)
        f(step, anything[i % 6]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "two")) {
        for (int i = 0; i < 3; i++) {
            show("alpha", by_alpha(2));
            show("beta", by_beta(2));
        }
    } else if (!strcmp(what, "operation")) {
        show("operation", operation());
        show("alpha", by_alpha(0));
    } else if (!strcmp(what, "team")) {
        uint64_t bits[8];
        team_alpha(bits);
        team_beta(bits + 4);
        for (int i = 0; i < 8; i++)
            show(i < 4 ? "alpha" : "beta", bits[i]);
    } else if (!strcmp(what, "generated")) {
        generated();
    } else if (!strcmp(what, "crowd")) {
        crowd();
    } else if (!strcmp(what, "tail")) {
        printf("tail %a\n", by_tail(0.1));
    } else if (!strcmp(what, "grown")) {
        for (int i = 0; i < 4; i++) {
            show("small", small());
            show("large", dlarge());
        }
    } else if (!strcmp(what, "deep")) {
        for (int i = 0; i < 400; i++)
            by_alpha(i);
    } else if (!strcmp(what, "ways")) {
        for (unsigned i = 0; i < 1 << 16; i++)
            way(i, 16);
    } else if (!strcmp(what, "fork")) {
        by_alpha(0);
        for (int i = 0; i < 50; i++) {
            if (fork() == 0) {
                by_alpha(0);
                by_beta(0); /* a row that the parent does not know */
                if (i % 2)
                    raise(SIGKILL);
                _exit(0);
            }
        }
        while (wait(NULL) > 0)
            continue;
    }
    return 0;
}
#endif
