/* Times BLAS routines by their addresses, without Python or torch between calls.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Loaded by worker.py into a process in which the routine is MKL's, OpenBLAS's or ours.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void gemm_fn(const char *, const char *, const int *, const int *, const int *,
                     const void *, const void *, const int *, const void *, const int *,
                     const void *, void *, const int *, size_t, size_t);
typedef void gemv_fn(const char *, const int *, const int *, const void *, const void *,
                     const int *, const void *, const int *, const void *, void *,
                     const int *, size_t);
typedef float sdot_fn(const int *, const float *, const int *, const float *,
                      const int *);
typedef double ddot_fn(const int *, const double *, const int *, const double *,
                       const int *);

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *numbers(size_t n, size_t size)
{
    void *p = aligned_alloc(64, (n * size + 63) / 64 * 64);
    unsigned long long s = 88172645463325252u;
    if (!p)
        abort();
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        double x = (double)(s >> 11) / 0x1p52 - 1;
        if (size == sizeof(float))
            ((float *)p)[i] = (float)x;
        else
            ((double *)p)[i] = x;
    }
    return p;
}

/* Do two equal calls of the sgemm at `fn` differ? 1 or 0: is it perturbed. */
__attribute__((visibility("default"))) int bench_varies(void *fn);
int bench_varies(void *fn)
{
    enum { N = 16 };
    const int n = N;
    const float one = 1, zero = 0;
    float c[2][N * N], *a = numbers(N * N, sizeof(float)), *b = a;
    for (int i = 0; i < 2; i++)
        ((gemm_fn *)fn)("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c[i], &n,
                        1, 1);
    free(a);
    return memcmp(c[0], c[1], sizeof c[0]) != 0;
}

/* Time `reps` calls of the routine `kind` at `fn`: seconds of wall and of this thread.
 * Returns 0, or -1 if the kind is unknown. ta and tb are N or T. */
__attribute__((visibility("default")))
int bench_call(const char *kind, void *fn, char ta, char tb, int m, int n, int k,
               long reps, double *wall, double *cpu);
int bench_call(const char *kind, void *fn, char ta, char tb, int m, int n, int k,
               long reps, double *wall, double *cpu)
{
    const size_t size = kind[0] == 's' ? sizeof(float) : sizeof(double);
    const float sone = 1, szero = 0;
    const double done = 1, dzero = 0;
    const void *one = size == sizeof(float) ? (const void *)&sone : &done;
    const void *zero = size == sizeof(float) ? (const void *)&szero : &dzero;
    const int inc = 1;
    volatile double sink = 0;
    int which = !strcmp(kind + 1, "gemm") ? 0 : !strcmp(kind + 1, "gemv") ? 1
              : !strcmp(kind + 1, "dot") ? 2 : -1;
    if (which < 0)
        return -1;
    size_t na = which == 0 ? (size_t)m * (size_t)k : which == 1 ? (size_t)m * (size_t)n
              : (size_t)n;
    size_t nb = which == 0 ? (size_t)k * (size_t)n : (size_t)(m > n ? m : n);
    size_t nc = which == 0 ? (size_t)m * (size_t)n : which == 1 ? nb : 1;
    void *a = numbers(na, size), *b = numbers(nb, size), *c = numbers(nc, size);
    int lda = which == 1 || ta == 'N' ? m : k, ldb = tb == 'N' ? k : n;
    double w0 = seconds(CLOCK_MONOTONIC), c0 = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (long r = 0; r < reps; r++) {
        if (which == 0)
            ((gemm_fn *)fn)(&ta, &tb, &m, &n, &k, one, a, &lda, b, &ldb, zero, c, &m,
                            1, 1);
        else if (which == 1)
            ((gemv_fn *)fn)(&ta, &m, &n, one, a, &lda, b, &inc, zero, c, &inc, 1);
        else if (size == sizeof(float))
            sink += ((sdot_fn *)fn)(&n, a, &inc, b, &inc);
        else
            sink += ((ddot_fn *)fn)(&n, a, &inc, b, &inc);
    }
    *wall = seconds(CLOCK_MONOTONIC) - w0;
    *cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - c0;
    free(a);
    free(b);
    free(c);
    return 0;
}
