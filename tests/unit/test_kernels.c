/* gemm: every ISA, thread count and layout against the scalar build, bit for bit; the
 * scalar build against the definition, one scalar operation and one word at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>

#include "trial.h"

/* ---- the product by its definition, in every mode -----------------------------------
 */

/* Part of the definition of the result: kernels/gemm.h. */
#define K_BLOCK 256
#define EPILOGUE 0xffffffffu

/* Word `step` of row i, column j under (key, block of k): lane j of the strands that
 * prism/rng.h defines. */
static uint64_t word_of(const trial *q, ptrdiff_t i, uint32_t block, ptrdiff_t j,
                        int step)
{
    const int r = prism_word_bits(q->job.mode, q->is_f32 ? 4 : 8, q->t);
    const int wide = !q->is_f32 || r > 32, per = wide ? 4 : 8, lane = (int)(j % per);
    const int every = r > 1 ? 1 : wide ? 64 : 32;
    if (!r)
        return 0;
    prism_strand s = prism_strand_open(q->job.key, (uint32_t)i, block,
                                       (uint32_t)(j / per) | (wide ? 0x80000000u : 0));
    for (int k = 0; k < step / every; k++)
        prism_strand_step(&s);
    if (r == 1 && wide)
        return s.q[lane] >> (63 - step % 64) & 1;
    if (r == 1)
        return s.q[lane / 2] >> (lane % 2 * 32 + 31 - step % 32) & 1;
    return lane < 4 ? s.q[lane] >> (64 - r) : s.q[lane - 4] & ((UINT64_C(1) << r) - 1);
}

static f64 rounded(const trial *q, enum oracle_op op, f64 a, f64 b, f64 c, uint64_t w)
{
    if (q->mode == PRISM_NEAREST)
        return op == ORACLE_MUL ? plain_mul(q->is_f32, q->t, a, b)
                                : plain_fma(q->is_f32, q->t, a, b, c);
    oracle_case one = {.op = op, .is_f32 = q->is_f32, .a = a, .b = b, .c = c, .t = q->t};
    one.mode = q->job.mode;
    one.ftz = (q->csr & 0x8000u) != 0;
    one.daz = (q->csr & 0x0040u) != 0;
    uint64_t bits = prism_apply(&one, w);
    return q->is_f32 ? (f64)f32_bits(bits) : f64_bits(bits);
}

/* Rows and columns of words are those of the transpose where C's unit stride, or its only
 * column, says so. */
static void plain_gemm(const trial *q, ptrdiff_t k, f64 alpha, const matrix *a,
                       const matrix *b, f64 beta, matrix *c)
{
    const int f = c->is_f32;
    const int swap = c->m > 1 && (c->n == 1 || (c->rs == 1 && c->cs != 1));
    plain_csr = q->csr;
    alpha = plain_scalar(alpha, f);
    beta = plain_scalar(beta, f);
    for (ptrdiff_t i = 0; i < c->m; i++)
        for (ptrdiff_t j = 0; j < c->n; j++) {
            const ptrdiff_t row = swap ? j : i, col = swap ? i : j;
            f64 was = 0, acc = 0;
            if (beta != 0) {
                was = matrix_get(c, i, j);
                if (beta != 1)
                    was = rounded(q, ORACLE_MUL, beta, was, 0,
                                  word_of(q, row, EPILOGUE, col, 0));
            }
            if (alpha != 0 && k > 0) {
                for (ptrdiff_t p = 0; p < k; p++)
                    acc = rounded(q, ORACLE_FMA, matrix_get(a, i, p), matrix_get(b, p, j),
                                  acc,
                                  word_of(q, row, (uint32_t)(p / K_BLOCK), col,
                                          (int)(p % K_BLOCK)));
                const uint64_t w = word_of(q, row, EPILOGUE, col, 1);
                if (beta != 0)
                    acc = rounded(q, ORACLE_FMA, alpha, acc, was, w);
                else if (alpha != 1)
                    acc = rounded(q, ORACLE_MUL, alpha, acc, 0, w);
            } else {
                acc = was;
            }
            matrix_set(c, i, j, acc);
        }
}

/* ---- gemm -------------------------------------------------------------------------- */

typedef struct gemm_args {
    ptrdiff_t k;
    f64 alpha, beta;
    const matrix *a, *b;
} gemm_args;

static int packed; /* products with B packed before that were compared */

static void run_gemm(enum prism_isa isa, const fz_job *job, void *arg, matrix *out)
{
    const gemm_args *p = arg;
    matrix again = matrix_copy(out);
    call_gemm(isa, job, p->k, p->alpha, p->a, p->b, p->beta, out);
    if (p->alpha == 1 && call_packed(isa, job, p->k, p->a, p->b, p->beta, &again)) {
        ck_assert_msg(matrix_differs(out, &again) == -1, "%s %tdx%tdx%td: packed",
                      prism_isa_name(isa), out->m, out->n, p->k);
        packed++;
    }
    matrix_close(&again);
}

static int by_definition;

static void one_gemm(rng *g, trial *q, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                     enum shape shape, int strays)
{
    enum layout la = (enum layout)rng_below(g, LAYOUTS),
                lb = (enum layout)rng_below(g, LAYOUTS);
    enum layout lc = (enum layout)rng_below(g, ZERO_STRIDE);
    matrix a = matrix_open(g, q->is_f32, m, k, la),
           b = matrix_open(g, q->is_f32, k, n, lb);
    matrix c = matrix_open(g, q->is_f32, m, n, lc);
    matrix_fill(g, &a, shape, strays);
    matrix_fill(g, &b, rng_next(g) & 1 ? shape : SHAPE_UNIFORM, strays);
    matrix_fill(g, &c, shape, strays);
    f64 alpha = rng_next(g) & 1 ? 1 : trial_scale(g, q->is_f32);
    f64 beta = rng_next(g) & 1 ? 0 : trial_scale(g, q->is_f32);
    if (beta == 0)
        matrix_fill(g, &c, SHAPE_SPECIAL, 0); /* NaN that must not leak */
    gemm_args args = {k, alpha, beta, &a, &b};
    if (alpha == 0 && rng_next(g) & 1) {
        args.a = args.b = &(matrix){0}; /* not to be read */
    }
    snprintf(q->what, sizeof q->what,
             "gemm %tdx%tdx%td alpha=%a beta=%a layouts %d%d%d %s", m, n, k, alpha, beta,
             la, lb, lc, shape_name[shape]);
    matrix before = matrix_copy(&c);
    trial_compare(q, run_gemm, &args, &c);
    /* Not under DAZ alone: sums stay in registers, where a subnormal one is no operand
     * yet. Words are computed one by one: a product of moderate size. */
    const f64 cost = (f64)m * (f64)n * (f64)k * (q->mode == PRISM_NEAREST ? 1 : (f64)k);
    if (q->csr != 0x0040u && cost < (test_long() ? 2e6 : q->mode ? 4e4 : 1e6)) {
        plain_gemm(q, k, alpha, &a, &b, beta, &before);
        trial_check(q, "the definition", &before, &c);
        by_definition++;
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

static const ptrdiff_t edges[] = {0,  1,  2,  3,   4,   5,   7,   8,   9,
                                  15, 16, 17, 31,  32,  33,  63,  64,  65,
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
            k = 500 + (ptrdiff_t)rng_below(&g, 100); /* more than one block of k */
        if ((double)m * (double)n * (double)k > limit)
            continue;
        trial q = trial_make(&g, seed, is_f32, mode);
        any_gemm(&g, &q, m, n, k);
        done++;
    }
    /* every edge once for each dimension */
    for (size_t i = 0; i < EDGES; i++)
        for (int d = 0; d < 3; d++) {
            ptrdiff_t s[3] = {9, 17, 5};
            s[d] = edges[i];
            trial q = trial_make(&g, seed, is_f32, mode);
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
            trial q = trial_make(&g, seed, _i, mode);
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
                trial q = trial_make(&g, seed, is_f32, mode);
                q.t = q.job.t = (is_f32 ? f32_t : f64_t)[p];
                one_gemm(&g, &q, 1 + (ptrdiff_t)rng_below(&g, 9),
                         1 + (ptrdiff_t)rng_below(&g, 20),
                         1 + (ptrdiff_t)rng_below(&g, 20), (enum shape)shape,
                         rep % 3 == 1);
            }
    /* the comparison is not void */
    ck_assert_int_gt(by_definition, 150);
    ck_assert_int_eq(packed > 10, is_f32);
}
END_TEST

/* Several blocks of k with B packed before, in all modes at full precision; rows and columns
 * of zeros, whose sums are +0 in every mode. */
START_TEST(gemm_packed)
{
    static const int sizes[][3] = {{5, 64, 600}, {8, 40, 300}, {1, 17, 520}, {2, 128, 257}};
    uint64_t seed = test_seed(UINT64_C(7160) + (uint64_t)_i);
    rng g = {seed};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        trial q = trial_make(&g, seed, 1, _i);
        q.t = q.job.t = 24;
        q.csr = 0;
        snprintf(q.what, sizeof q.what, "gemm packed %dx%dx%d", m, n, k);
        matrix a = matrix_open(&g, 1, m, k, ROW_MAJOR), b = matrix_open(&g, 1, k, n, STRIDED);
        matrix c = matrix_open(&g, 1, m, n, ROW_MAJOR);
        matrix_fill(&g, &a, SHAPE_UNIFORM, 0);
        matrix_fill(&g, &b, SHAPE_UNIFORM, 0);
        matrix_fill(&g, &c, SHAPE_UNIFORM, 0);
        for (int p = 0; p < k; p++) {
            matrix_set(&a, m - 1, p, 0);
            matrix_set(&b, p, n / 2, 0);
        }
        const int before = packed;
        gemm_args args = {k, 1, i % 2 ? 1 : 0, &a, &b};
        trial_compare(&q, run_gemm, &args, &c);
        ck_assert_int_gt(packed, before);
        matrix_close(&a);
        matrix_close(&b);
        matrix_close(&c);
    }
}
END_TEST

/* The whole word counts: with the strand of (key, row, block of k, column) opened as
 * prism/rng.h says, the second step of 1*1 + a*b takes the word w, and goes up iff
 * F + w >= 2^r. a*b is made so that this is missed by -2 .. 2, from 1 up, and from 1 down
 * to the number below it, which is half as far. */
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
            const int below = k / 2 % 2;
            const f64 sign = k / 4 % 2 ? -1 : 1;
            const f64 unit = (is_f32 ? 0x1p-52 : 0x1p-104) * (below ? -0.5 : 1);
            const f64 factor = is_f32 ? 33 + 2 * (k % 16) : 1;
            const uint64_t full = UINT64_C(1) << r, d = (uint64_t)factor;
            for (int i = 0; i < ROWS; i++) {
                matrix_set(&a, i, 0, sign);
                matrix_set(&a, i, 1, sign * factor * unit);
            }
            for (int j = 0; j < COLS; j++) {
                prism_strand s = prism_strand_open(job.key, (uint32_t)row, 0,
                                                   (uint32_t)(j / per) |
                                                       (is_f32 ? 0 : 0x80000000u));
                prism_strand_step(&s);
                const int l = j % per;
                word[j] = l < 4 ? s.q[l] >> (64 - r) : s.q[l - 4] & ((1u << r) - 1);
                F[j] = full - word[j] + rng_below(&g, 5) - 2;
                /* the distance from 1, as a multiple of the factor */
                uint64_t far = below ? full - F[j] : F[j];
                far = (far + d / 2) / d * d;
                F[j] = below ? full - far : far;
                matrix_set(&b, 0, j, 1);
                matrix_set(&b, 1, j, (f64)(far / d));
                const int64_t miss = (int64_t)(F[j] + word[j] - full);
                met += miss >= -2 && miss <= 2;
            }
            call_gemm((enum prism_isa)isa, &job, 2, 1, &a, &b, 0, &c);
            for (int j = 0; j < COLS; j++) {
                const f64 size = fabs(matrix_get(&c, row, j));
                const int up = below ? size == 1 : size > 1;
                ck_assert_msg(up == (F[j] + word[j] >= full),
                              "%s %s (%d,%d): F %llx, word %llx: %s",
                              prism_isa_name((enum prism_isa)isa), is_f32 ? "f32" : "f64",
                              row, j, (unsigned long long)F[j],
                              (unsigned long long)word[j], up ? "went up" : "stayed");
            }
            matrix_close(&a);
            matrix_close(&b);
            matrix_close(&c);
        }
    ck_assert_int_gt(met, 300);
}
END_TEST

/* One product against every ISA and the definition. */
static void check_gemm(const trial *q, const matrix *a, const matrix *b, matrix *c)
{
    gemm_args args = {a->n, 1, 0, a, b};
    matrix plain = matrix_copy(c);
    trial_compare(q, run_gemm, &args, c);
    plain_gemm(q, a->n, 1, a, b, 0, &plain);
    trial_check(q, "the definition", &plain, c);
    matrix_close(&plain);
}

/* a*b - a*b is the error of the first rounding, an exact number: whatever that rounding
 * was, the second may not change it. Long sums hide a residual that is off by its last
 * bit. */
START_TEST(gemm_residuals)
{
    enum { M = 60, N = 60 };
    const int is_f32 = _i / 4, mode = _i % 4;
    uint64_t seed = test_seed(UINT64_C(7180) + (uint64_t)_i);
    rng g = {seed};
    trial q = trial_make(&g, seed, is_f32, mode);
    q.t = q.job.t = is_f32 ? 24 : 53;
    q.csr = 0;
    snprintf(q.what, sizeof q.what, "gemm a*b - a*b");
    matrix a = matrix_open(&g, is_f32, M, 2, ROW_MAJOR);
    matrix b = matrix_open(&g, is_f32, 2, N, ROW_MAJOR);
    matrix c = matrix_open(&g, is_f32, M, N, ROW_MAJOR);
    for (int i = 0; i < M; i++) {
        matrix_set(&a, i, 0, shape_value(&g, SHAPE_UNIFORM, is_f32));
        matrix_set(&a, i, 1, -matrix_get(&a, i, 0));
    }
    for (int j = 0; j < N; j++) {
        matrix_set(&b, 0, j, shape_value(&g, SHAPE_UNIFORM, is_f32));
        matrix_set(&b, 1, j, matrix_get(&b, 0, j));
    }
    check_gemm(&q, &a, &b, &c);
    matrix_close(&a);
    matrix_close(&b);
    matrix_close(&c);
}
END_TEST

/* ud at one bit doubles: from 2^127 to inf, and a sum that is inf stays it. */
START_TEST(gemm_overflow_of_one_bit)
{
    rng g = {7190};
    for (int mode = 0; mode < 4; mode++)
        for (int t = 1; t < 4; t++) {
            trial q = trial_make(&g, 7190, 1, mode);
            q.t = q.job.t = t;
            q.csr = 0;
            snprintf(q.what, sizeof q.what, "gemm near overflow");
            matrix a = matrix_open(&g, 1, 40, 2, ROW_MAJOR);
            matrix b = matrix_open(&g, 1, 2, 9, ROW_MAJOR);
            matrix c = matrix_open(&g, 1, 40, 9, ROW_MAJOR);
            for (int i = 0; i < 40; i++) {
                matrix_set(&a, i, 0, ldexp(1 + i / 20.0, 126 - i % 2));
                matrix_set(&a, i, 1, -0x1.fffffep127);
            }
            for (int j = 0; j < 9; j++) {
                matrix_set(&b, 0, j, 1);
                matrix_set(&b, 1, j, 1 + j / 64.0); /* back from 2^128, were it finite */
            }
            check_gemm(&q, &a, &b, &c);
            matrix_close(&a);
            matrix_close(&b);
            matrix_close(&c);
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
                call_gemm(prism_isa_best(prism_isa_detected()), &job, 40, 1, &a, &b, 0,
                          &c[i]);
            }
            ck_assert_int_eq(matrix_differs(&c[0], &c[1]), -1);
            int other = 0;
            for (int i = 0; i < 33 * 35; i++)
                other += matrix_get(&c[0], i / 35, i % 35) !=
                         matrix_get(&c[2], i / 35, i % 35);
            ck_assert_msg(other > 33 * 35 / 2,
                          "%s: another key changed %d of %d elements",
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
    tcase_add_loop_test(c, gemm_packed, 0, 4);
    tcase_add_loop_test(c, gemm_residuals, 0, 8);
    tcase_add_test(c, gemm_overflow_of_one_bit);
    tcase_add_loop_test(c, gemm, 0, 8);
    tcase_add_loop_test(c, gemm_blocks, 0, 2);
    tcase_add_loop_test(c, gemm_shapes, 0, 8);
    suite_add_tcase(s, c);
    suite_add_tcase(s, tcase_level1());
    return s;
}
