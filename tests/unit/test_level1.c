/* dot, axpy, scal and ger against the scalar build, and in mode nearest the loops of
 * kernels.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "trial.h"

/* ---- level 1 ----------------------------------------------------------------------- */

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
            s[i % 32] = plain_fma(f, t, matrix_get(x, i, 0), matrix_get(y, i, 0),
                                  s[i % 32]);
        for (int half = 16; half; half /= 2)
            for (int i = 0; i < half; i++)
                s[i] = plain_add(f, t, s[i], s[i + half]);
        total = at ? plain_add(f, t, total, s[0]) : s[0];
    }
    return total;
}

static const ptrdiff_t lengths[] = {0,    1,    2,    7,    8,    9,    31,   32,
                                    33,   63,   64,   65,   100,  255,  256,  257,
                                    1000, 4095, 4096, 4097, 8191, 8192, 8193, 20000};
#define LENGTHS (sizeof lengths / sizeof *lengths)
static const ptrdiff_t increments[] = {1, 1, 1, 2, -1, -3, 5};

enum kind { DOT, AXPY, SCAL, KINDS };

static void one_level1(rng *g, trial *q, enum kind kind, ptrdiff_t n, enum shape shape,
                       int strays)
{
    static const char *const names[] = {"dot", "axpy", "scal"};
    static run_fn *const runs[] = {run_dot, run_axpy, run_scal};
    const int f = q->is_f32, t = q->t;
    const ptrdiff_t incx = increments[rng_below(g, 7)],
                    incy = increments[rng_below(g, 7)];
    matrix x = vector_open(g, f, n, incx), y = vector_open(g, f, n, incy);
    matrix r = vector_open(g, f, 1, 1);
    matrix_fill(g, &x, shape, strays);
    matrix_fill(g, &y, shape, strays);
    matrix_fill(g, &r, SHAPE_UNIFORM, 0);
    level1_args args = {trial_scale(g, f), &x, &y};
    snprintf(q->what, sizeof q->what, "%s n=%td inc %td %td alpha=%a %s", names[kind], n,
             incx, incy, args.alpha, shape_name[shape]);
    matrix *out = kind == DOT ? &r : &y;
    matrix plain = matrix_copy(out);
    trial_compare(q, runs[kind], &args, out);
    /* a sum that is subnormal under DAZ alone: see test_kernels.c */
    if (q->mode == PRISM_NEAREST && (kind != DOT || q->csr != 0x0040u)) {
        plain_csr = q->csr;
        if (kind == DOT)
            matrix_set(&plain, 0, 0, plain_dot(t, &x, &y));
        for (ptrdiff_t i = 0; kind == AXPY && i < n; i++)
            matrix_set(&plain, i, 0,
                       plain_fma(f, t, args.alpha, matrix_get(&x, i, 0),
                                 matrix_get(&plain, i, 0)));
        for (ptrdiff_t i = 0; kind == SCAL && i < n; i++)
            matrix_set(&plain, i, 0,
                       plain_mul(f, t, args.alpha, matrix_get(&plain, i, 0)));
        trial_check(q, "the loop of kernels.h", &plain, out);
    }
    matrix_close(&plain);
    matrix_close(&x);
    matrix_close(&y);
    matrix_close(&r);
}

START_TEST(level1)
{
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7200) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < (test_long() ? 40 : 4); rep++)
        for (size_t l = 0; l < LENGTHS; l++)
            for (int kind = 0; kind < KINDS; kind++) {
                trial q = trial_make(&g, seed, is_f32, mode);
                one_level1(&g, &q, (enum kind)kind, lengths[l],
                           (enum shape)rng_below(&g, SHAPES), rng_next(&g) & 1 ? 4 : 0);
            }
}
END_TEST

/* Every shape at every precision: where a quick path's preconditions end. */
START_TEST(level1_shapes)
{
    static const int f32_t[] = {24, 23, 22, 21, 20, 11, 2, 1};
    static const int f64_t[] = {53, 52, 51, 40, 24, 11, 2, 1};
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7250) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < (test_long() ? 30 : 2); rep++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int p = 0; p < 8; p++)
                for (int kind = 0; kind < KINDS; kind++) {
                    trial q = trial_make(&g, seed, is_f32, mode);
                    q.t = q.job.t = (is_f32 ? f32_t : f64_t)[p];
                    one_level1(&g, &q, (enum kind)kind, 1 + (ptrdiff_t)rng_below(&g, 300),
                               (enum shape)shape, rep % 2);
                }
}
END_TEST

static const ptrdiff_t sides[] = {0,  1,  2,  3,  4,  7,  8,   9,
                                  16, 31, 32, 33, 64, 65, 129, 257};
#define SIDES (sizeof sides / sizeof *sides)

START_TEST(ger)
{
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7300) + (uint64_t)_i);
    rng g = {seed};
    for (int done = 0; done < (test_long() ? 1000 : 120);) {
        ptrdiff_t m = sides[rng_below(&g, SIDES)], n = sides[rng_below(&g, SIDES)];
        if (m * n > 20000)
            continue;
        trial q = trial_make(&g, seed, is_f32, mode);
        matrix x = vector_open(&g, is_f32, m, increments[rng_below(&g, 7)]);
        matrix y = vector_open(&g, is_f32, n, increments[rng_below(&g, 7)]);
        enum layout layout = (enum layout)rng_below(&g, ZERO_STRIDE);
        matrix a = matrix_open(&g, is_f32, m, n, layout);
        enum shape shape = (enum shape)rng_below(&g, SHAPES);
        matrix_fill(&g, &x, shape, 4);
        matrix_fill(&g, &y, shape, 4);
        matrix_fill(&g, &a, shape, 4);
        level1_args args = {trial_scale(&g, is_f32), &x, &y};
        snprintf(q.what, sizeof q.what, "ger %tdx%td alpha=%a layout %d %s", m, n,
                 args.alpha, layout, shape_name[shape]);
        matrix before = matrix_copy(&a);
        trial_compare(&q, run_ger, &args, &a);
        if (mode == PRISM_NEAREST) {
            plain_csr = q.csr;
            for (ptrdiff_t j = 0; j < n; j++) {
                const f64 alpha = plain_scalar(args.alpha, is_f32);
                f64 ay = matrix_get(&y, j, 0);
                if (alpha != 1)
                    ay = plain_mul(is_f32, q.t, alpha, ay);
                for (ptrdiff_t i = 0; i < m && alpha != 0; i++) /* 0 is BLAS's no-op */
                    matrix_set(&before, i, j,
                               plain_fma(is_f32, q.t, matrix_get(&x, i, 0), ay,
                                         matrix_get(&before, i, j)));
            }
            trial_check(&q, "the loop of kernels.h", &before, &a);
        }
        matrix_close(&before);
        matrix_close(&x);
        matrix_close(&y);
        matrix_close(&a);
        done++;
    }
}
END_TEST

TCase *tcase_level1(void)
{
    TCase *c = tcase_create("level1");
    tcase_set_timeout(c, test_long() ? 7200 : 300);
    tcase_add_loop_test(c, level1, 0, 8);
    tcase_add_loop_test(c, level1_shapes, 0, 8);
    tcase_add_loop_test(c, ger, 0, 8);
    return c;
}
