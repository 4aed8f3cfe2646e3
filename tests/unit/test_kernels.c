/* Kernels: every ISA, thread count and layout against the scalar build, bit for bit; the
 * scalar build, in mode nearest, against loops written from kernels.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "matrix.h"
#include "test.h"

/* ---- loops from kernels.h, one correctly rounded operation at a time --------------------- */

static unsigned plain_csr;     /* FTZ and DAZ of the trial */

/* At full precision IEEE's own operations; else, and under FTZ, whose underflow differs from
 * the hardware's by a hair, the scalar operation that test_scalar.c compares with the oracle. */
static f64 scalar_at(enum oracle_op op, int is_f32, int t, f64 a, f64 b, f64 c)
{
    oracle_case q = {.op = op, .is_f32 = is_f32, .a = a, .b = b, .c = c, .t = t};
    q.mode = PRISM_NEAREST;
    q.ftz = (plain_csr & 0x8000u) != 0;
    q.daz = (plain_csr & 0x0040u) != 0;
    uint64_t r = prism_apply(&q, 0);
    return is_f32 ? (f64)f32_bits(r) : f64_bits(r);
}

static f64 fma_at(int is_f32, int t, f64 a, f64 b, f64 c)
{
    if (plain_csr || t != (is_f32 ? 24 : 53))
        return scalar_at(ORACLE_FMA, is_f32, t, a, b, c);
    return is_f32 ? (f64)fmaf((f32)a, (f32)b, (f32)c) : fma(a, b, c);
}

static f64 mul_at(int is_f32, int t, f64 a, f64 b)
{
    if (plain_csr || t != (is_f32 ? 24 : 53))
        return scalar_at(ORACLE_MUL, is_f32, t, a, b, 0);
    return is_f32 ? (f64)((f32)a * (f32)b) : a * b;
}

/* Under DAZ a subnormal alpha or beta is 0. */
static f64 flushed(f64 x, int is_f32)
{
    const f64 least = is_f32 ? 0x1p-126 : 0x1p-1022;
    return (plain_csr & 0x0040u) && fabs(x) < least ? copysign(0, x) : x;
}

static f64 add_at(int is_f32, int t, f64 a, f64 b)
{
    return fma_at(is_f32, t, a, 1, b);
}

static void plain_gemm(int t, ptrdiff_t k, f64 alpha, const matrix *a, const matrix *b,
                       f64 beta, matrix *c)
{
    const int f = c->is_f32;
    alpha = flushed(alpha, f);
    beta = flushed(beta, f);
    for (ptrdiff_t i = 0; i < c->m; i++)
        for (ptrdiff_t j = 0; j < c->n; j++) {
            f64 was = 0, acc = 0;
            if (beta != 0) {
                was = matrix_get(c, i, j);
                was = beta == 1 ? was : mul_at(f, t, beta, was);
            }
            if (alpha != 0 && k > 0) {
                for (ptrdiff_t p = 0; p < k; p++)
                    acc = fma_at(f, t, matrix_get(a, i, p), matrix_get(b, p, j), acc);
                if (beta != 0)
                    acc = fma_at(f, t, alpha, acc, was);
                else if (alpha != 1)
                    acc = mul_at(f, t, alpha, acc);
            } else {
                acc = was;
            }
            matrix_set(c, i, j, acc);
        }
}

/* ---- comparing ----------------------------------------------------------------------------- */

typedef struct trial {
    uint64_t seed;
    int is_f32, mode, t;
    unsigned csr;
    fz_job job;
    char what[200];
} trial;

static void check_same(const trial *q, const char *who, const matrix *got, const matrix *want)
{
    ptrdiff_t bad = matrix_differs(got, want);
    if (bad == -1)
        return;
    if (bad == -2)
        ck_abort_msg("FZ_TEST_SEED=%llu %s %s %s t=%d %s: wrote outside its elements",
                     (unsigned long long)q->seed, who, q->is_f32 ? "f32" : "f64",
                     oracle_mode_name[q->mode], q->t, q->what);
    ck_abort_msg("FZ_TEST_SEED=%llu %s %s %s t=%d csr=%x %s: (%td,%td) got %a want %a",
                 (unsigned long long)q->seed, who, q->is_f32 ? "f32" : "f64",
                 oracle_mode_name[q->mode], q->t, q->csr, q->what, bad / got->n, bad % got->n,
                 matrix_get(got, bad / got->n, bad % got->n),
                 matrix_get(want, bad / got->n, bad % got->n));
}

/* A call under test: `run` works on *out for one ISA. */
typedef void run_fn(enum prism_isa isa, const fz_job *job, void *arg, matrix *out);

static void run_under(const trial *q, run_fn *run, enum prism_isa isa, const fz_job *job,
                      void *arg, matrix *out)
{
    call_csr = q->csr;
    run(isa, job, arg, out);
    call_csr = 0;
    ck_assert_msg(!call_csr_after, "%s %s %s csr=%x changed bits %x of MXCSR",
                  prism_isa_name(isa), q->is_f32 ? "f32" : "f64", q->what, q->csr,
                  call_csr_after);
}

/* All ISAs, with one thread and with several, on copies of *out; *out becomes ref's. */
static void compare(const trial *q, run_fn *run, void *arg, matrix *out)
{
    matrix want = matrix_copy(out);
    run_under(q, run, PRISM_REF, &q->job, arg, &want);
    for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1))
        for (int threads = isa == PRISM_REF; threads < 2; threads++) {
            fz_job job = q->job;
            job.threads = threads ? &test_threads : NULL;
            matrix got = matrix_copy(out);
            run_under(q, run, (enum prism_isa)isa, &job, arg, &got);
            char who[64];
            snprintf(who, sizeof who, "%s%s", prism_isa_name((enum prism_isa)isa),
                     threads ? " threaded" : "");
            check_same(q, who, &got, &want);
            matrix_close(&got);
        }
    matrix_close(out);
    *out = want;
}

static trial make_trial(rng *g, uint64_t seed, int is_f32, int mode)
{
    static const int f32_t[] = {24, 24, 23, 21, 17, 11, 1};
    static const int f64_t[] = {53, 53, 52, 40, 24, 11, 1};
    trial q = {.seed = seed, .is_f32 = is_f32, .mode = mode};
    q.t = (is_f32 ? f32_t : f64_t)[rng_below(g, 7)];
    q.job = (fz_job){(enum prism_mode)mode, q.t, prism_key_seed(rng_next(g)), NULL};
    if (rng_below(g, 6) == 0)
        q.csr = (rng_next(g) & 1 ? 0x8000u : 0) | (rng_next(g) & 1 ? 0x0040u : 0);
    return q;
}

static f64 scale_factor(rng *g, int is_f32)
{
    static const f64 some[] = {0, 1, -1, 0.5, -2, 0x1.4cccccp+0, 0x1p-130, 0x1.8p120};
    f64 x = rng_below(g, 12) ? some[rng_below(g, 8)] : shape_value(g, SHAPE_SPECIAL, is_f32);
    return is_f32 ? (f64)(f32)x : x;
}

/* ---- gemm ---------------------------------------------------------------------------------- */

typedef struct gemm_args {
    ptrdiff_t k;
    f64 alpha, beta;
    const matrix *a, *b;
} gemm_args;

static void run_gemm(enum prism_isa isa, const fz_job *job, void *arg, matrix *out)
{
    const gemm_args *p = arg;
    call_gemm(isa, job, p->k, p->alpha, p->a, p->b, p->beta, out);
}

static void one_gemm(rng *g, trial *q, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, enum shape shape,
                     int strays)
{
    enum layout la = (enum layout)rng_below(g, LAYOUTS), lb = (enum layout)rng_below(g, LAYOUTS);
    enum layout lc = (enum layout)rng_below(g, ZERO_STRIDE);
    matrix a = matrix_open(g, q->is_f32, m, k, la), b = matrix_open(g, q->is_f32, k, n, lb);
    matrix c = matrix_open(g, q->is_f32, m, n, lc);
    matrix_fill(g, &a, shape, strays);
    matrix_fill(g, &b, rng_next(g) & 1 ? shape : SHAPE_UNIFORM, strays);
    matrix_fill(g, &c, shape, strays);
    f64 alpha = rng_next(g) & 1 ? 1 : scale_factor(g, q->is_f32);
    f64 beta = rng_next(g) & 1 ? 0 : scale_factor(g, q->is_f32);
    if (beta == 0)
        matrix_fill(g, &c, SHAPE_SPECIAL, 0);         /* NaN that must not leak */
    gemm_args args = {k, alpha, beta, &a, &b};
    if (alpha == 0 && rng_next(g) & 1) {
        args.a = args.b = &(matrix){0};               /* not to be read */
    }
    snprintf(q->what, sizeof q->what, "gemm %tdx%tdx%td alpha=%a beta=%a layouts %d%d%d %s", m,
             n, k, alpha, beta, la, lb, lc, shape_name[shape]);
    matrix before = matrix_copy(&c);
    compare(q, run_gemm, &args, &c);
    /* Not under DAZ alone: sums stay in registers, where a subnormal one is no operand yet. */
    if (q->mode == PRISM_NEAREST && q->csr != 0x0040u) {
        plain_csr = q->csr;
        plain_gemm(q->t, k, alpha, &a, &b, beta, &before);
        check_same(q, "the loop of kernels.h", &before, &c);
    }
    matrix_close(&before);
    matrix_close(&a);
    matrix_close(&b);
    matrix_close(&c);
}

static void any_gemm(rng *g, trial *q, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    enum shape shape = rng_below(g, 3) ? SHAPE_UNIFORM : (enum shape)rng_below(g, SHAPES);
    one_gemm(g, q, m, n, k, shape, rng_below(g, 3) ? 0 : (int)rng_below(g, 16));
}

static const ptrdiff_t edges[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65,
                                  95, 96, 97, 127, 128, 129, 255, 256, 257};
#define EDGES (sizeof edges / sizeof *edges)

START_TEST(gemm)
{
    const int is_f32 = _i / 4, mode = _i % 4;
    const double limit = test_long() ? 2e6 : 1e5;
    uint64_t seed = test_seed(UINT64_C(7000) + (uint64_t)_i);
    rng g = {seed};
    for (int done = 0; done < (test_long() ? 1500 : 170);) {
        ptrdiff_t m = edges[rng_below(&g, EDGES)], n = edges[rng_below(&g, EDGES)];
        ptrdiff_t k = edges[rng_below(&g, EDGES)];
        if (rng_below(&g, 8) == 0)
            k = 500 + (ptrdiff_t)rng_below(&g, 100);  /* more than one block of k */
        if ((double)m * (double)n * (double)k > limit)
            continue;
        trial q = make_trial(&g, seed, is_f32, mode);
        any_gemm(&g, &q, m, n, k);
        done++;
    }
    /* every edge once for each dimension */
    for (size_t i = 0; i < EDGES; i++)
        for (int d = 0; d < 3; d++) {
            ptrdiff_t s[3] = {9, 17, 5};
            s[d] = edges[i];
            trial q = make_trial(&g, seed, is_f32, mode);
            any_gemm(&g, &q, s[0], s[1], s[2]);
        }
}
END_TEST

/* The shapes that the blocks are cut at, together. */
START_TEST(gemm_blocks)
{
    static const ptrdiff_t sizes[][3] = {{64, 128, 32}, {65, 129, 33}, {129, 257, 9},
                                         {257, 8, 257}, {1, 256, 300}, {256, 1, 300},
                                         {66, 40, 257}, {4, 300, 513}, {8, 8, 1030}};
    uint64_t seed = test_seed(UINT64_C(7100) + (uint64_t)_i);
    rng g = {seed};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int mode = 0; mode < 4; mode++) {
            trial q = make_trial(&g, seed, _i, mode);
            any_gemm(&g, &q, sizes[i][0], sizes[i][1], sizes[i][2]);
        }
}
END_TEST

/* Every shape at every precision: where a quick path's preconditions end. */
START_TEST(gemm_shapes)
{
    static const int f32_t[] = {24, 23, 22, 21, 20, 11, 2, 1};
    static const int f64_t[] = {53, 52, 51, 40, 24, 11, 2, 1};
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7150) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < (test_long() ? 30 : 3); rep++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int p = 0; p < 8; p++) {
                trial q = make_trial(&g, seed, is_f32, mode);
                q.t = q.job.t = (is_f32 ? f32_t : f64_t)[p];
                one_gemm(&g, &q, 1 + (ptrdiff_t)rng_below(&g, 9),
                         1 + (ptrdiff_t)rng_below(&g, 20), 1 + (ptrdiff_t)rng_below(&g, 20),
                         (enum shape)shape, rep % 3 == 1);
            }
}
END_TEST

/* The whole word counts: with the strand of (key, row, block of k, column) opened as
 * prism/rng.h says, the second step of 1*1 + a*b takes the word w, and goes up iff
 * F + w >= 2^r. F = a*b is made to miss that by -2 .. 2. */
START_TEST(gemm_takes_whole_words)
{
    enum { ROWS = 3, COLS = 24 };
    rng g = {77};
    int met = 0;
    for (int k = 0; k < 60; k++)
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            const int is_f32 = k % 2, per = is_f32 ? 8 : 4, r = is_f32 ? 29 : 52;
            fz_job job = {PRISM_SR, is_f32 ? 24 : 53, prism_key_seed(rng_next(&g)), NULL};
            matrix a = matrix_open(&g, is_f32, ROWS, 2, ROW_MAJOR);
            matrix b = matrix_open(&g, is_f32, 2, COLS, ROW_MAJOR);
            matrix c = matrix_open(&g, is_f32, ROWS, COLS, ROW_MAJOR);
            const int row = (int)rng_below(&g, ROWS);
            uint64_t word[COLS], F[COLS];
            const f64 unit = is_f32 ? 0x1p-52 : 0x1p-104, factor = is_f32 ? 33 + 2 * (k % 16) : 1;
            for (int i = 0; i < ROWS; i++) {
                matrix_set(&a, i, 0, 1);
                matrix_set(&a, i, 1, factor * unit);
            }
            for (int j = 0; j < COLS; j++) {
                prism_strand s = prism_strand_open(job.key, (uint32_t)row, 0,
                                                   (uint32_t)(j / per) |
                                                       (is_f32 ? 0 : 0x80000000u));
                prism_strand_step(&s);
                const int l = j % per;
                word[j] = l < 4 ? s.q[l] >> (64 - r) : s.q[l - 4] & ((1u << r) - 1);
                F[j] = (UINT64_C(1) << r) - word[j] + rng_below(&g, 5) - 2;
                /* the multiple of the factor that is as near */
                F[j] = (uint64_t)(F[j] / (uint64_t)factor) * (uint64_t)factor +
                       (F[j] % (uint64_t)factor > (uint64_t)factor / 2 ? (uint64_t)factor : 0);
                matrix_set(&b, 0, j, 1);
                matrix_set(&b, 1, j, (f64)(F[j] / (uint64_t)factor));
                const int64_t miss = (int64_t)(F[j] + word[j] - (UINT64_C(1) << r));
                met += miss >= -2 && miss <= 2;
            }
            call_gemm((enum prism_isa)isa, &job, 2, 1, &a, &b, 0, &c);
            for (int j = 0; j < COLS; j++) {
                int up = matrix_get(&c, row, j) > 1;
                ck_assert_msg(up == (F[j] + word[j] >= UINT64_C(1) << r),
                              "%s %s (%d,%d): F %llx, word %llx: %s",
                              prism_isa_name((enum prism_isa)isa), is_f32 ? "f32" : "f64", row, j,
                              (unsigned long long)F[j], (unsigned long long)word[j],
                              up ? "went up" : "stayed");
            }
            matrix_close(&a);
            matrix_close(&b);
            matrix_close(&c);
        }
    ck_assert_int_gt(met, 300);
}
END_TEST

/* ---- level 1 ------------------------------------------------------------------------------- */

typedef struct level1_args {
    f64 alpha;
    const matrix *x, *y;
} level1_args;

static void run_dot(enum prism_isa isa, const fz_job *job, void *arg, matrix *out)
{
    const level1_args *p = arg;
    matrix_set(out, 0, 0, call_dot(isa, job, p->x, p->y));
}

static void run_axpy(enum prism_isa isa, const fz_job *job, void *arg, matrix *out)
{
    const level1_args *p = arg;
    call_axpy(isa, job, p->alpha, p->x, out);
}

static void run_scal(enum prism_isa isa, const fz_job *job, void *arg, matrix *out)
{
    const level1_args *p = arg;
    call_scal(isa, job, p->alpha, out);
}

static void run_ger(enum prism_isa isa, const fz_job *job, void *arg, matrix *out)
{
    const level1_args *p = arg;
    call_ger(isa, job, p->alpha, p->x, p->y, out);
}

/* Chunks of FZ_DOT_CHUNK, 32 partial sums, a tree that halves, then chunk after chunk. */
static f64 plain_dot(int t, const matrix *x, const matrix *y)
{
    const int f = x->is_f32;
    f64 total = 0;
    for (ptrdiff_t at = 0; at < x->m; at += FZ_DOT_CHUNK) {
        f64 s[32] = {0};
        for (ptrdiff_t i = at; i < x->m && i < at + FZ_DOT_CHUNK; i++)
            s[i % 32] = fma_at(f, t, matrix_get(x, i, 0), matrix_get(y, i, 0), s[i % 32]);
        for (int half = 16; half; half /= 2)
            for (int i = 0; i < half; i++)
                s[i] = add_at(f, t, s[i], s[i + half]);
        total = at ? add_at(f, t, total, s[0]) : s[0];
    }
    return total;
}

static const ptrdiff_t lengths[] = {0, 1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100, 255, 256, 257,
                                    1000, 4095, 4096, 4097, 8191, 8192, 8193, 20000};
#define LENGTHS (sizeof lengths / sizeof *lengths)
static const ptrdiff_t increments[] = {1, 1, 1, 2, -1, -3, 5};

START_TEST(level1)
{
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7200) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < (test_long() ? 40 : 4); rep++)
        for (size_t l = 0; l < LENGTHS; l++)
            for (int kind = 0; kind < 3; kind++) {
                trial q = make_trial(&g, seed, is_f32, mode);
                ptrdiff_t n = lengths[l];
                ptrdiff_t incx = increments[rng_below(&g, 7)];
                ptrdiff_t incy = increments[rng_below(&g, 7)];
                enum shape shape = (enum shape)rng_below(&g, SHAPES);
                int strays = rng_next(&g) & 1 ? 4 : 0;
                matrix x = vector_open(&g, is_f32, n, incx);
                matrix y = vector_open(&g, is_f32, n, incy);
                matrix r = vector_open(&g, is_f32, 1, 1);
                matrix_fill(&g, &x, shape, strays);
                matrix_fill(&g, &y, shape, strays);
                matrix_fill(&g, &r, SHAPE_UNIFORM, 0);
                level1_args args = {scale_factor(&g, is_f32), &x, &y};
                static const char *const names[] = {"dot", "axpy", "scal"};
                snprintf(q.what, sizeof q.what, "%s n=%td inc %td %td alpha=%a %s", names[kind],
                         n, incx, incy, args.alpha, shape_name[shape]);
                matrix *out = kind == 0 ? &r : &y;
                matrix before = matrix_copy(out);
                compare(&q, kind == 0 ? run_dot : kind == 1 ? run_axpy : run_scal, &args, out);
                if (mode == PRISM_NEAREST && (kind || q.csr != 0x0040u)) {
                    const int t = q.t;
                    plain_csr = q.csr;
                    if (kind == 0)
                        matrix_set(&before, 0, 0, plain_dot(t, &x, &y));
                    for (ptrdiff_t i = 0; kind == 1 && i < n; i++)
                        matrix_set(&before, i, 0, fma_at(is_f32, t, args.alpha,
                                                         matrix_get(&x, i, 0),
                                                         matrix_get(&before, i, 0)));
                    for (ptrdiff_t i = 0; kind == 2 && i < n; i++)
                        matrix_set(&before, i, 0,
                                   mul_at(is_f32, t, args.alpha, matrix_get(&before, i, 0)));
                    check_same(&q, "the loop of kernels.h", &before, out);
                }
                matrix_close(&before);
                matrix_close(&x);
                matrix_close(&y);
                matrix_close(&r);
            }
}
END_TEST

START_TEST(ger)
{
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7300) + (uint64_t)_i);
    rng g = {seed};
    for (int done = 0; done < (test_long() ? 1000 : 120);) {
        ptrdiff_t m = edges[rng_below(&g, EDGES)], n = edges[rng_below(&g, EDGES)];
        if (m * n > 20000)
            continue;
        trial q = make_trial(&g, seed, is_f32, mode);
        matrix x = vector_open(&g, is_f32, m, increments[rng_below(&g, 7)]);
        matrix y = vector_open(&g, is_f32, n, increments[rng_below(&g, 7)]);
        enum layout layout = (enum layout)rng_below(&g, ZERO_STRIDE);
        matrix a = matrix_open(&g, is_f32, m, n, layout);
        enum shape shape = (enum shape)rng_below(&g, SHAPES);
        matrix_fill(&g, &x, shape, 4);
        matrix_fill(&g, &y, shape, 4);
        matrix_fill(&g, &a, shape, 4);
        level1_args args = {scale_factor(&g, is_f32), &x, &y};
        snprintf(q.what, sizeof q.what, "ger %tdx%td alpha=%a layout %d %s", m, n, args.alpha,
                 layout, shape_name[shape]);
        matrix before = matrix_copy(&a);
        compare(&q, run_ger, &args, &a);
        if (mode == PRISM_NEAREST) {
            plain_csr = q.csr;
            for (ptrdiff_t j = 0; j < n; j++) {
                const f64 alpha = flushed(args.alpha, is_f32);
                f64 ay = matrix_get(&y, j, 0);
                if (alpha != 1)
                    ay = mul_at(is_f32, q.t, alpha, ay);
                for (ptrdiff_t i = 0; i < m && alpha != 0; i++) /* 0 is BLAS's no-op */
                    matrix_set(&before, i, j,
                               fma_at(is_f32, q.t, matrix_get(&x, i, 0), ay,
                                      matrix_get(&before, i, j)));
            }
            check_same(&q, "the loop of kernels.h", &before, &a);
        }
        matrix_close(&before);
        matrix_close(&x);
        matrix_close(&y);
        matrix_close(&a);
        done++;
    }
}
END_TEST

/* The same bits again, other bits under another key: or nothing here was perturbed. */
START_TEST(keys_matter)
{
    rng g = {5};
    for (int is_f32 = 0; is_f32 < 2; is_f32++)
        for (int mode = PRISM_SR; mode <= PRISM_CESTAC; mode++) {
            matrix a = matrix_open(&g, is_f32, 33, 40, ROW_MAJOR);
            matrix b = matrix_open(&g, is_f32, 40, 35, COL_MAJOR);
            matrix c[3];
            matrix_fill(&g, &a, SHAPE_UNIFORM, 0);
            matrix_fill(&g, &b, SHAPE_UNIFORM, 0);
            c[0] = matrix_open(&g, is_f32, 33, 35, ROW_MAJOR);
            for (int i = 0; i < 3; i++) {
                if (i)
                    c[i] = matrix_copy(&c[0]);
                fz_job job = {(enum prism_mode)mode, is_f32 ? 24 : 53,
                              prism_key_seed(i == 2 ? 12 : 11), NULL};
                call_gemm(prism_isa_best(prism_isa_detected()), &job, 40, 1, &a, &b, 0, &c[i]);
            }
            ck_assert_int_eq(matrix_differs(&c[0], &c[1]), -1);
            int other = 0;
            for (int i = 0; i < 33 * 35; i++)
                other += matrix_get(&c[0], i / 35, i % 35) != matrix_get(&c[2], i / 35, i % 35);
            ck_assert_msg(other > 33 * 35 / 2, "%s: another key changed %d of %d elements",
                          oracle_mode_name[mode], other, 33 * 35);
            for (int i = 0; i < 3; i++)
                matrix_close(&c[i]);
            matrix_close(&a);
            matrix_close(&b);
        }
}
END_TEST

Suite *suite_kernels(void)
{
    Suite *s = suite_create("kernels");
    TCase *c = tcase_create("kernels");
    tcase_set_timeout(c, test_long() ? 7200 : 300);
    tcase_add_test(c, keys_matter);
    tcase_add_test(c, gemm_takes_whole_words);
    tcase_add_loop_test(c, gemm, 0, 8);
    tcase_add_loop_test(c, gemm_blocks, 0, 2);
    tcase_add_loop_test(c, gemm_shapes, 0, 8);
    tcase_add_loop_test(c, level1, 0, 8);
    tcase_add_loop_test(c, ger, 0, 8);
    suite_add_tcase(s, c);
    return s;
}
