/* Kernels against OpenBLAS: what BLAS means by its arguments, within rounding error
 * bounds.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * OpenBLAS is opened RTLD_LOCAL: its symbols must not replace anyone's. Bound: both
 * results lie within gamma of the exact one, gamma = n * (1.5 ulp + 0.5 ulp) of the sum
 * of magnitudes, 1.5 ulp the most that one rounding under ud errs.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "matrix.h"
#include "test.h"

static void *openblas;

static void open_blas(void)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    openblas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(openblas != NULL,
                  "libopenblas.so.0 is missing: install libopenblas0 (%s)", dlerror());
}

/* Symbol "s" or "d" + name. */
static void *blas(int is_f32, const char *name)
{
    char symbol[32];
    snprintf(symbol, sizeof symbol, "%c%s", is_f32 ? 's' : 'd', name);
    void *p = dlsym(openblas, symbol);
    ck_assert_msg(p != NULL, "OpenBLAS has no %s", symbol);
    return p;
}

/* Scalars are passed by reference: 4 or 8 bytes. */
typedef union scalar {
    f32 s;
    f64 d;
} scalar;

static scalar scalar_of(int is_f32, f64 x)
{
    scalar v;
    if (is_f32)
        v.s = (f32)x;
    else
        v.d = x;
    return v;
}

typedef struct pick {
    int is_f32;
    fz_job job;
    enum prism_isa isa;
} pick;

static pick pick_one(rng *g, int is_f32, int mode)
{
    pick p = {
        is_f32,
        {(enum prism_mode)mode, is_f32 ? 24 : 53, prism_key_seed(rng_next(g)), NULL},
        PRISM_REF};
    do
        p.isa = (enum prism_isa)rng_below(g, PRISM_ISAS);
    while (!(prism_isa_detected() >> p.isa & 1));
    return p;
}

static void check_near(const pick *p, const char *what, uint64_t seed, f64 got, f64 want,
                       f64 sum, ptrdiff_t terms)
{
    const f64 gamma = 2.0 * (f64)(terms + 2) * (p->is_f32 ? 0x1p-23 : 0x1p-52);
    const f64 tiny = p->is_f32 ? 0x1p-140 : 0x1p-1060;
    const int same = (got != got && want != want) || got == want;
    ck_assert_msg(
        same || fabs(got - want) <= gamma * sum + tiny,
        "FZ_TEST_SEED=%llu %s %s %s %s: got %a, OpenBLAS %a, sum of magnitudes %a",
        (unsigned long long)seed, what, p->is_f32 ? "f32" : "f64",
        oracle_mode_name[p->job.mode], prism_isa_name(p->isa), got, want, sum);
}

/* The operand of a transposed argument, seen through its strides. */
static matrix transposed(const matrix *a)
{
    matrix t = *a;
    t.m = a->n;
    t.n = a->m;
    t.rs = a->cs;
    t.cs = a->rs;
    return t;
}

static f64 some_scale(rng *g)
{
    static const f64 v[] = {0, 1, -1, 0.5, -1.75};
    return v[rng_below(g, 5)];
}

START_TEST(gemm_and_gemv)
{
    typedef void gemm_fn(const char *, const char *, const int *, const int *,
                         const int *, const scalar *, const void *, const int *,
                         const void *, const int *, const scalar *, void *, const int *);
    typedef void gemv_fn(const char *, const int *, const int *, const scalar *,
                         const void *, const int *, const void *, const int *,
                         const scalar *, void *, const int *);
    open_blas();
    const int is_f32 = _i;
    uint64_t seed = test_seed(UINT64_C(900) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < 240; rep++) {
        const int vector = rep % 3 == 2;
        pick p = pick_one(&g, is_f32, rep % 4);
        const ptrdiff_t m = (ptrdiff_t)rng_below(&g, 70),
                        k = (ptrdiff_t)rng_below(&g, 90);
        const ptrdiff_t n = vector ? 1 : (ptrdiff_t)rng_below(&g, 70);
        const int ta = (int)rng_below(&g, 2), tb = vector ? 0 : (int)rng_below(&g, 2);
        matrix a = matrix_open(&g, is_f32, ta ? k : m, ta ? m : k, COL_MAJOR);
        matrix b = matrix_open(&g, is_f32, tb ? n : k, tb ? k : n, COL_MAJOR);
        matrix c = matrix_open(&g, is_f32, m, n, COL_MAJOR);
        matrix_fill(&g, &a, SHAPE_UNIFORM, 0);
        matrix_fill(&g, &b, SHAPE_UNIFORM, 0);
        matrix_fill(&g, &c, SHAPE_UNIFORM, 0);
        const f64 alpha = some_scale(&g), beta = some_scale(&g);
        if (beta == 0 && m && n)
            matrix_set(&c, m - 1, n - 1, NAN); /* must not leak */
        /* No NaN in A with alpha == 0, which BLAS does not read: OpenBLAS 0.3.21's
         * kernels for small matrices do. test_kernels.c has that case. */
        matrix want = matrix_copy(&c), was = matrix_copy(&c);
        const scalar sa = scalar_of(is_f32, alpha), sb = scalar_of(is_f32, beta);
        const int im = (int)m, in = (int)n, ik = (int)k, one = 1;
        const int lda = (int)a.cs, ldb = (int)b.cs, ldc = (int)c.cs;
        if (vector && m && k) {
            const int rows = (int)a.m, cols = (int)a.n;
            ((gemv_fn *)blas(is_f32, "gemv_"))(ta ? "T" : "N", &rows, &cols, &sa, a.base,
                                               &lda, b.base, &one, &sb, want.base, &one);
        } else {
            ((gemm_fn *)blas(is_f32, "gemm_"))(ta ? "T" : "N", tb ? "T" : "N", &im, &in,
                                               &ik, &sa, a.base, &lda, b.base, &ldb, &sb,
                                               want.base, &ldc);
        }
        matrix oa = ta ? transposed(&a) : a, ob = tb ? transposed(&b) : b;
        call_gemm(p.isa, &p.job, k, alpha, &oa, &ob, beta, &c);
        for (ptrdiff_t i = 0; i < m; i++)
            for (ptrdiff_t j = 0; j < n; j++) {
                f64 sum = beta == 0 ? 0 : fabs(beta * matrix_get(&was, i, j));
                for (ptrdiff_t q = 0; q < k && alpha != 0; q++)
                    sum += fabs(alpha * matrix_get(&oa, i, q) * matrix_get(&ob, q, j));
                check_near(&p, vector ? "gemv" : "gemm", seed, matrix_get(&c, i, j),
                           matrix_get(&want, i, j), sum, k);
            }
        matrix_close(&want);
        matrix_close(&was);
        matrix_close(&a);
        matrix_close(&b);
        matrix_close(&c);
    }
}
END_TEST

/* BLAS points at the lowest address, the kernels at element 0. */
static void *lowest(const matrix *x)
{
    return x->base + (x->rs < 0 ? (x->m - 1) * x->rs * (x->is_f32 ? 4 : 8) : 0);
}

static f64 blas_dot(int n, const matrix *x, const matrix *y)
{
    typedef f32 sdot_fn(const int *, const void *, const int *, const void *,
                        const int *);
    typedef f64 ddot_fn(const int *, const void *, const int *, const void *,
                        const int *);
    const int ix = (int)x->rs, iy = (int)y->rs;
    if (x->is_f32)
        return (f64)((sdot_fn *)blas(1, "dot_"))(&n, lowest(x), &ix, lowest(y), &iy);
    return ((ddot_fn *)blas(0, "dot_"))(&n, lowest(x), &ix, lowest(y), &iy);
}

START_TEST(level1_and_ger)
{
    typedef void axpy_fn(const int *, const scalar *, const void *, const int *, void *,
                         const int *);
    typedef void scal_fn(const int *, const scalar *, void *, const int *);
    typedef void ger_fn(const int *, const int *, const scalar *, const void *,
                        const int *, const void *, const int *, void *, const int *);
    open_blas();
    static const int incs[] = {1, 1, 2, -1, -3};
    const int is_f32 = _i;
    uint64_t seed = test_seed(UINT64_C(950) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < 300; rep++) {
        pick p = pick_one(&g, is_f32, rep % 4);
        const int n = 1 + (int)rng_below(&g, rep % 20 ? 300 : 20000),
                  kind = (int)rng_below(&g, 4);
        int ix = incs[rng_below(&g, 5)], iy = incs[rng_below(&g, 5)];
        if (kind == 2)
            iy = abs(iy); /* BLAS: scal with inc <= 0 does nothing */
        matrix x = vector_open(&g, is_f32, n, ix);
        const int cols = kind == 3 ? 1 + (int)rng_below(&g, 40) : n;
        matrix y = vector_open(&g, is_f32, cols, iy);
        matrix_fill(&g, &x, SHAPE_UNIFORM, 0);
        matrix_fill(&g, &y, SHAPE_UNIFORM, 0);
        const f64 alpha = some_scale(&g);
        const scalar sa = scalar_of(is_f32, alpha);
        if (kind == 0) {
            f64 sum = 0;
            for (int i = 0; i < n; i++)
                sum += fabs(matrix_get(&x, i, 0) * matrix_get(&y, i, 0));
            check_near(&p, "dot", seed, call_dot(p.isa, &p.job, &x, &y),
                       blas_dot(n, &x, &y), sum, n);
        } else if (kind < 3) {
            matrix want = matrix_copy(&y), was = matrix_copy(&y);
            if (kind == 1) {
                ((axpy_fn *)blas(is_f32, "axpy_"))(&n, &sa, lowest(&x), &ix,
                                                   lowest(&want), &iy);
                call_axpy(p.isa, &p.job, alpha, &x, &y);
            } else {
                ((scal_fn *)blas(is_f32, "scal_"))(&n, &sa, lowest(&want), &iy);
                call_scal(p.isa, &p.job, alpha, &y);
            }
            for (int i = 0; i < n; i++)
                check_near(&p, kind == 1 ? "axpy" : "scal", seed, matrix_get(&y, i, 0),
                           matrix_get(&want, i, 0),
                           kind == 1 ? fabs(alpha * matrix_get(&x, i, 0)) +
                                           fabs(matrix_get(&was, i, 0))
                                     : fabs(alpha * matrix_get(&was, i, 0)),
                           1);
            matrix_close(&want);
            matrix_close(&was);
        } else {
            matrix a = matrix_open(&g, is_f32, n, cols, COL_MAJOR);
            matrix_fill(&g, &a, SHAPE_UNIFORM, 0);
            matrix want = matrix_copy(&a), was = matrix_copy(&a);
            const int lda = (int)a.cs;
            ((ger_fn *)blas(is_f32, "ger_"))(&n, &cols, &sa, lowest(&x), &ix, lowest(&y),
                                             &iy, want.base, &lda);
            call_ger(p.isa, &p.job, alpha, &x, &y, &a);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < cols; j++)
                    check_near(&p, "ger", seed, matrix_get(&a, i, j),
                               matrix_get(&want, i, j),
                               fabs(alpha * matrix_get(&x, i, 0) * matrix_get(&y, j, 0)) +
                                   fabs(matrix_get(&was, i, j)),
                               2);
            matrix_close(&a);
            matrix_close(&want);
            matrix_close(&was);
        }
        matrix_close(&x);
        matrix_close(&y);
    }
}
END_TEST

Suite *suite_blas(void)
{
    Suite *s = suite_create("blas");
    TCase *c = tcase_create("blas");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, gemm_and_gemv, 0, 2);
    tcase_add_loop_test(c, level1_and_ger, 0, 2);
    suite_add_tcase(s, c);
    return s;
}
