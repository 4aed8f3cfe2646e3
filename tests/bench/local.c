/* Times arrays of libprism.a beside plain loops, and loading the library, in turns.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *   local arrays ROUNDS BYTES     a line a round: isa operation place ns-ours ns-plain,
 *                                 an element, of this thread
 *   local load ROUNDS LIBRARY     a line a round: wall and processor ns without, with
 *                                 mode off, with mode sr
 *   local exit                    ends at once: the process that load starts
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../prism/prism.h"

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

__attribute__((noinline, target_clones("avx512f", "avx2", "default")))
static void plain(enum prism_op op, size_t n, const f32 *a, const f32 *b, f32 *out)
{
    if (op == PRISM_ADD)
        for (size_t i = 0; i < n; i++)
            out[i] = a[i] + b[i];
    else
        for (size_t i = 0; i < n; i++)
            out[i] = a[i] * b[i];
    __asm__ volatile("" : : "r"(out) : "memory");
}

static f32 *array(size_t n, unsigned seed)
{
    f32 *p = aligned_alloc(4096, (n * sizeof *p + 4095) / 4096 * 4096);
    if (!p) {
        fprintf(stderr, "local: no memory for %zu numbers\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (f32)seed * 0x1p-32f + 0.5f;
    }
    return p;
}

/* One round of an array length: ours and plain, ns an element each. */
static void one_array(const char *place, enum prism_isa isa, enum prism_op op, size_t n,
                      const f32 *a, const f32 *b, f32 *out)
{
    const prism_array_ops *ops = prism_arrays(isa);
    size_t reps = n < 1000000 ? 4000000 / n : 1;
    double t0 = now(CLOCK_THREAD_CPUTIME_ID);
    for (size_t r = 0; r < reps; r++)
        ops->op_f32(op, n, a, b, NULL, out, PRISM_SR, 24, prism_key_seed(r));
    double t1 = now(CLOCK_THREAD_CPUTIME_ID);
    size_t more = reps > 1 ? reps * 8 : 1;
    for (size_t r = 0; r < more; r++)
        plain(op, n, a, b, out);
    double t2 = now(CLOCK_THREAD_CPUTIME_ID);
    printf("%s %s %s %.9g %.9g\n", prism_isa_name(isa), op == PRISM_ADD ? "add" : "mul",
           place, (t1 - t0) / (double)(n * reps), (t2 - t1) / (double)(n * more));
}

static void arrays(int rounds, size_t bytes)
{
    size_t far = bytes / sizeof(f32) / 3, near = 2048;
    f32 *a = array(far, 1), *b = array(far, 2), *out = array(far, 3);
    unsigned can = prism_isa_detected();
    printf("# in cache %zu numbers an array, out of cache %zu\n", near, far);
    for (int r = 0; r < rounds; r++)
        for (int isa = PRISM_AVX2; isa < PRISM_ISAS; isa++)
            for (int op = PRISM_ADD; op <= PRISM_MUL; op += PRISM_MUL - PRISM_ADD) {
                if (!(can >> isa & 1))
                    continue;
                one_array("in", isa, op, near, a, b, out);
                one_array("out", isa, op, far, a, b, out);
            }
}

static void start(const char *self, const char *library, const char *mode,
                  const char *end)
{
    char preload[4200], fuzzy[64];
    char *const argv[] = {(char *)self, "exit", NULL};
    char *env[] = {fuzzy, preload, NULL};
    struct rusage used;
    pid_t pid;
    int status;
    snprintf(fuzzy, sizeof fuzzy, "FUZZY_MODE=%s", mode);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
    if (!*library)
        env[1] = NULL;
    double t0 = now(CLOCK_MONOTONIC);
    if (posix_spawn(&pid, self, NULL, NULL, argv, env) != 0 ||
        wait4(pid, &status, 0, &used) < 0 || status != 0) {
        fprintf(stderr, "local: a process under LD_PRELOAD=%s failed\n", library);
        exit(1);
    }
    printf("%.9g %.9g%s", now(CLOCK_MONOTONIC) - t0,
           1e9 * (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e3 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec), end);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "exit"))
        _exit(0);
    if (argc == 4 && !strcmp(argv[1], "arrays")) {
        arrays(atoi(argv[2]), strtoull(argv[3], NULL, 10));
    } else if (argc == 4 && !strcmp(argv[1], "load")) {
        for (int r = 0; r < atoi(argv[2]); r++) {
            start(argv[0], "", "", " ");
            start(argv[0], argv[3], "off", " ");
            start(argv[0], argv[3], "sr", "\n");
        }
    } else {
        fputs("usage: local arrays ROUNDS BYTES | load ROUNDS LIBRARY | exit\n", stderr);
        return 2;
    }
    return 0;
}
