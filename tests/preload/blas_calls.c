/* Calls every BLAS symbol of the list and compares it with OpenBLAS; checks illegal
 * arguments.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Usage: blas_calls values   every routine, all transposes, odd strides, against
 * OpenBLAS's f64 within the rounding error of a sum of k terms; prints a digest of all
 * results blas_calls illegal  parameter numbers that xerbla and cblas_xerbla get, and
 * that nothing is written
 */
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FZ_EXPORT
/* The list's BLAS entries; math functions have a program of their own. */
#define FZ_SYMBOL(name, family, kernel, need, result, args) \
    DECLARE_##family(name, result, args)
#define DECLARE_BLAS(name, result, args) \
    typedef result fn_##name args; \
    result name args;
#define DECLARE_MATH(name, result, args)
#define DECLARE_LAPACK(name, result, args)
#define DECLARE_CONV(name, result, args)
typedef float f32;
typedef double f64;
typedef long fz_int;
#include "../../shim/symbols.def"

static void *openblas;
static int failures, checks;
static uint64_t digest = 0xcbf29ce484222325u;
static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) * 0x1p-53 - 0.5;
}

static int pick(int lo, int hi)
{
    return lo + (int)((uniform() + 0.5) * (hi - lo + 1));
}

static void mix(const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++)
        digest = (digest ^ c[i]) * 0x100000001b3u;
}

static void wrong(const char *what, int i, double got, double want, double bound)
{
    if (failures++ < 20)
        printf("%s element %d: %.9g, wanted %.9g within %.3g\n", what, i, got, want,
               bound);
}

int seen_info;
char seen_name[64];

void xerbla_(const char *name, const int *info, size_t n)
{
    seen_info = *info;
    snprintf(seen_name, sizeof seen_name, "%.*s", (int)n, name);
}

void cblas_xerbla(int info, const char *name, const char *format, ...)
{
    (void)format;
    seen_info = info;
    snprintf(seen_name, sizeof seen_name, "%s", name);
}

#define CAT_(a, b, c) a##b##c
#define CAT(a, b, c) CAT_(a, b, c)
#define STR_(x) #x
#define STR(x) STR_(x)

#define T f32
#define LETTER s
#define UNIT 0x1p-23
#include "blas_calls_tmpl.h"
#undef T
#undef LETTER
#undef UNIT
#define T f64
#define LETTER d
#define UNIT 0x1p-52
#include "blas_calls_tmpl.h"

/* Packed products: A, B or both packed, both layouts, against a plain sum. */
static void packs(void)
{
    for (int round = 0; round < 40; round++) {
        int row = pick(0, 1), m = pick(1, 9), n = pick(1, 9), k = pick(1, 9);
        int layout = row ? 101 : 102, which = pick(1, 3), ta = pick(0, 1),
            tb = pick(0, 1);
        int lda = 12, ldb = 13, ldc = 14;
        f32 a[200], b[200], c[200], want[200], alpha = which == 3 ? 1 : 2,
                                               beta = pick(0, 1);
        for (int i = 0; i < 200; i++) {
            a[i] = (f32)uniform();
            b[i] = (f32)uniform();
            want[i] = c[i] = (f32)uniform();
        }
        f32 *pa =
            aligned_alloc(64, (cblas_sgemm_pack_get_size(161, m, n, k) + 63) & ~63ul);
        f32 *pb =
            aligned_alloc(64, (cblas_sgemm_pack_get_size(162, m, n, k) + 63) & ~63ul);
        cblas_sgemm_pack(layout, 161, ta ? 112 : 111, m, n, k, alpha, a, lda, pa);
        cblas_sgemm_pack(layout, 162, tb ? 112 : 111, m, n, k, alpha, b, ldb, pb);
        cblas_sgemm_compute(layout,
                            which & 1 ? 151
                            : ta      ? 112
                                      : 111,
                            which & 2 ? 151
                            : tb      ? 112
                                      : 111,
                            m, n, k, which & 1 ? pa : a, lda, which & 2 ? pb : b, ldb,
                            beta, c, ldc);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                double s = 0, size = 0;
                for (int l = 0; l < k; l++) {
                    f32 x = a[ta == row ? i + l * lda : i * lda + l];
                    f32 y = b[tb == row ? l + j * ldb : l * ldb + j];
                    s += (double)x * y;
                    size += fabs((double)x * y);
                }
                int at = row ? i * ldc + j : i + j * ldc;
                s = s * alpha + beta * want[at];
                double bound = (k + 3) * 0x1p-22 * (size * alpha + fabs(want[at]));
                checks++;
                if (!(fabs(c[at] - s) <= bound))
                    wrong("cblas_sgemm_compute", at, c[at], s, bound);
                want[at] = c[at];
            }
        for (int i = 0; i < 200; i++)
            if (c[i] != want[i])
                wrong("cblas_sgemm_compute wrote outside", i, c[i], want[i], 0);
        mix(c, sizeof c);
        free(pa);
        free(pb);
    }
}

/* Batches of several entries: each is its own product, whatever the others are. */
static void batches(void)
{
    for (int round = 0; round < 20; round++) {
        enum { N = 4, ENTRIES = 7, SIZE = ENTRIES * N * N };
        f64 a[SIZE], b[SIZE], c[2][SIZE], al[2] = {1, 0.5}, be[2] = {0, 1};
        const f64 *pa[ENTRIES], *pb[ENTRIES];
        f64 *pc[ENTRIES];
        int t1[2] = {111, 112}, t2[2] = {112, 111}, n[2] = {N, N - 1}, ld[2] = {N, N};
        int size[2] = {pick(0, ENTRIES), 0}, layout = pick(101, 102);
        size[1] = ENTRIES - size[0];
        for (int i = 0; i < SIZE; i++) {
            a[i] = uniform();
            b[i] = uniform();
            c[0][i] = c[1][i] = uniform();
        }
        for (int e = 0; e < ENTRIES; e++) {
            pa[e] = a + (ENTRIES - 1 - e) * N * N;
            pb[e] = b + e * N * N;
            pc[e] = c[0] + e * N * N;
        }
        cblas_dgemm_batch(layout, t1, t2, n, n, n, al, pa, ld, pb, ld, be, pc, ld, 2,
                          size);
        for (int e = 0; e < ENTRIES; e++) {
            int g = e >= size[0];
            cblas_dgemm(layout, t1[g], t2[g], n[g], n[g], n[g], al[g], pa[e], N, pb[e], N,
                        be[g], c[1] + e * N * N, N);
        }
        for (int call = 0; call < 2; call++) {
            for (int i = 0; i < SIZE; i++) {
                checks++;
                if (!(fabs(c[0][i] - c[1][i]) <= 0x1p-48))
                    wrong("batch of several", i, c[0][i], c[1][i], 0x1p-48);
            }
            mix(c[0], sizeof c[0]);
            cblas_dgemm_batch_strided(layout, 111, 112, N, N, N, 1, a, N, N * N, b, N,
                                      N * N, 1, c[0], N, N * N, ENTRIES);
            for (int e = 0; e < ENTRIES; e++)
                cblas_dgemm(layout, 111, 112, N, N, N, 1, a + e * N * N, N, b + e * N * N,
                            N, 1, c[1] + e * N * N, N);
        }
    }
}

static void expect(const char *what, int info, const f32 *c, const f32 *before,
                   size_t size)
{
    checks++;
    if (seen_info != info || memcmp(c, before, size)) {
        printf("%s: parameter %d (%s), expected %d%s\n", what, seen_info, seen_name, info,
               memcmp(c, before, size) ? "; it wrote" : "");
        failures++;
    }
    seen_info = 0;
}

static void illegal(void)
{
    f32 a[64] = {1}, b[64] = {2}, c[64] = {3}, before[64], one = 1;
    int n = 4, bad = -1, zero = 0, ld = 4, small = 3, inc = 1;
    memcpy(before, c, sizeof c);
#define EXPECT(info, call) \
    do { \
        call; \
        expect(#call, info, c, before, sizeof c); \
    } while (0)
#define GEMM(ta, tb, m, n, k, lda, ldb, ldc) \
    sgemm_(ta, tb, &m, &n, &k, &one, a, &lda, b, &ldb, &one, c, &ldc, 1, 1)
    EXPECT(0, GEMM("n", "c", zero, n, n, ld, ld, ld));
    EXPECT(1, GEMM("x", "n", n, n, n, ld, ld, ld));
    EXPECT(2, GEMM("n", "y", n, n, n, ld, ld, ld));
    EXPECT(3, GEMM("n", "n", bad, n, n, ld, ld, ld));
    EXPECT(4, GEMM("n", "n", n, bad, n, ld, ld, ld));
    EXPECT(5, GEMM("n", "n", n, n, bad, ld, ld, ld));
    EXPECT(8, GEMM("n", "n", n, n, n, small, ld, ld));
    EXPECT(10, GEMM("n", "n", n, n, n, ld, small, ld));
    EXPECT(13, GEMM("t", "t", n, n, n, ld, ld, small));
#define GEMV(ta, m, n, lda, ix, iy) \
    sgemv_(ta, &m, &n, &one, a, &lda, b, &ix, &one, c, &iy, 1)
    EXPECT(1, GEMV("q", n, n, ld, inc, inc));
    EXPECT(2, GEMV("n", bad, n, ld, inc, inc));
    EXPECT(3, GEMV("n", n, bad, ld, inc, inc));
    EXPECT(6, GEMV("n", n, n, small, inc, inc));
    EXPECT(8, GEMV("n", n, n, ld, zero, inc));
    EXPECT(11, GEMV("n", n, n, ld, inc, zero));
#define GER(m, n, ix, iy, lda) sger_(&m, &n, &one, a, &ix, b, &iy, c, &lda)
    EXPECT(1, GER(bad, n, inc, inc, ld));
    EXPECT(2, GER(n, bad, inc, inc, ld));
    EXPECT(5, GER(n, n, zero, inc, ld));
    EXPECT(7, GER(n, n, inc, zero, ld));
    EXPECT(9, GER(n, n, inc, inc, small));
    /* CBLAS: 1 layout, 2 and 3 transposes, 4 m, 5 n, 6 k, 9 lda, 11 ldb, 14 ldc. */
#define CGEMM(layout, ta, tb, m, n, k, lda, ldb, ldc) \
    cblas_sgemm(layout, ta, tb, m, n, k, 1, a, lda, b, ldb, 1, c, ldc)
    EXPECT(1, CGEMM(100, 111, 111, 4, 4, 4, 4, 4, 4));
    EXPECT(2, CGEMM(101, 110, 111, 4, 4, 4, 4, 4, 4));
    EXPECT(3, CGEMM(102, 111, 114, 4, 4, 4, 4, 4, 4));
    for (int layout = 101; layout <= 102; layout++) {
        EXPECT(4, CGEMM(layout, 111, 111, -1, 4, 4, 4, 4, 4));
        EXPECT(5, CGEMM(layout, 111, 111, 4, -1, 4, 4, 4, 4));
        EXPECT(6, CGEMM(layout, 111, 111, 4, 4, -1, 4, 4, 4));
        EXPECT(9, CGEMM(layout, 111, 111, 4, 4, 4, 3, 4, 4));
        EXPECT(11, CGEMM(layout, 111, 111, 4, 4, 4, 4, 3, 4));
        EXPECT(14, CGEMM(layout, 111, 111, 4, 4, 4, 4, 4, 3));
        EXPECT(3, cblas_sgemv(layout, 111, -1, 4, 1, a, 4, b, 1, 1, c, 1));
        EXPECT(4, cblas_sgemv(layout, 111, 4, -1, 1, a, 4, b, 1, 1, c, 1));
        EXPECT(7, cblas_sgemv(layout, 111, 4, 4, 1, a, 3, b, 1, 1, c, 1));
        EXPECT(9, cblas_sgemv(layout, 111, 4, 4, 1, a, 4, b, 0, 1, c, 1));
        EXPECT(12, cblas_sgemv(layout, 111, 4, 4, 1, a, 4, b, 1, 1, c, 0));
        EXPECT(2, cblas_sger(layout, -1, 4, 1, a, 1, b, 1, c, 4));
        EXPECT(3, cblas_sger(layout, 4, -1, 1, a, 1, b, 1, c, 4));
        EXPECT(6, cblas_sger(layout, 4, 4, 1, a, 0, b, 1, c, 4));
        EXPECT(8, cblas_sger(layout, 4, 4, 1, a, 1, b, 0, c, 4));
        EXPECT(10, cblas_sger(layout, 4, 4, 1, a, 1, b, 1, c, 3));
        EXPECT(18, cblas_sgemm_batch_strided(layout, 111, 111, 4, 4, 4, 1, a, 4, 0, b, 4,
                                             0, 1, c, 4, 16, -1));
        EXPECT(16, cblas_sgemm_batch_strided(layout, 111, 111, 4, 4, 4, 1, a, 4, 0, b, 4,
                                             0, 1, c, 3, 16, 1));
        EXPECT(9, cblas_sgemm_pack(layout, 161, 111, 4, 4, 4, 1, a, 3, c));
        EXPECT(2, cblas_sgemm_pack(layout, 160, 111, 4, 4, 4, 1, a, 4, c));
        EXPECT(8, cblas_sgemm_compute(layout, 111, 111, 4, 4, 4, a, 3, b, 4, 1, c, 4));
        EXPECT(10, cblas_sgemm_compute(layout, 111, 111, 4, 4, 4, a, 4, b, 3, 1, c, 4));
        EXPECT(13, cblas_sgemm_compute(layout, 111, 111, 4, 4, 4, a, 4, b, 4, 1, c, 3));
        int t = 111, m = 4, lda = 3;
        const f32 *pa = a, *pb = b;
        f32 *pc = c;
        EXPECT(9, cblas_sgemm_batch(layout, &t, &t, &m, &m, &m, &one, &pa, &lda, &pb, &m,
                                    &one, &pc, &m, 1, &inc));
        EXPECT(15, cblas_sgemm_batch(layout, &t, &t, &m, &m, &m, &one, &pa, &m, &pb, &m,
                                     &one, &pc, &m, -1, &inc));
        EXPECT(16, cblas_sgemm_batch(layout, &t, &t, &m, &m, &m, &one, &pa, &m, &pb, &m,
                                     &one, &pc, &m, 1, &bad));
    }
}

int main(int argc, char **argv)
{
    openblas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!openblas) {
        printf("%s\n", dlerror());
        return 1;
    }
    if (argc > 1 && !strcmp(argv[1], "illegal")) {
        illegal();
    } else {
        s_all();
        d_all();
        packs();
        batches();
    }
    printf("%d checks, %d failures, digest %016lx\n", checks, failures,
           (unsigned long)digest);
    return failures != 0;
}
