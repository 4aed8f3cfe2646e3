/* gemm and dot by statistics: the mean, the variance law, and the words of neighbours.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A row of A repeated (stride 0) makes each row of C a sample of one dot product. First
 * order, Var = c * sum of ulp(x_k)^2 over the partial sums, c = E[f(1-f)] = 1/6 for sr, 1
 * for ud, 1/4 for cestac. Accepted: .75 to 1.33 with 4000 samples, of which the standard
 * error is .022, so that STAT_ALARM leaves .13 on either side for the first order.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"
#include "stats.h"
#include "test.h"

#define ROWS 4000
#define COLS 3

enum sham { TRUE_LAW, HALF, REUSED, OUTPUT_ONLY, SHAMS };
static const char *const sham_name[SHAMS] = {"prism", "P(up) = 1/2", "reused word",
                                             "output only"};

typedef struct experiment {
    int is_f32, t, k;
    enum prism_mode mode;
    enum sham sham;
    enum prism_isa isa;
    int is_dot;
    matrix a, b; /* 1 x k, k x COLS */
    f64 out[COLS][ROWS];
} experiment;

static double ulp(double x, int t)
{
    return x == 0 ? 0 : ldexp(1, ilogb(x) - t + 1);
}

static f64 scalar_fma(const experiment *e, f64 a, f64 b, f64 c, enum prism_mode mode,
                      uint64_t w)
{
    return e->is_f32 ? (f64)prism_fma_f32((f32)a, (f32)b, (f32)c, mode, e->t, w)
                     : prism_fma_f64(a, b, c, mode, e->t, w);
}

/* Samples of the wrong laws that no mode gives. */
static void sample_sham(experiment *e)
{
    rng g = {31};
    for (int j = 0; j < COLS; j++)
        for (int i = 0; i < ROWS; i++) {
            const uint64_t w = rng_next(&g);
            f64 s = 0;
            for (int k = 0; k < e->k; k++)
                s = scalar_fma(e, matrix_get(&e->a, 0, k), matrix_get(&e->b, k, j), s,
                               e->sham == REUSED ? e->mode : PRISM_NEAREST, w);
            if (e->sham == OUTPUT_ONLY) /* noise of one rounding on a nearest result */
                s += (rng_unit(&g) - 0.5) * sqrt(2) * ulp(s, e->t);
            e->out[j][i] = s;
        }
}

static void sample(experiment *e)
{
    if (e->sham == REUSED || e->sham == OUTPUT_ONLY) {
        sample_sham(e);
        return;
    }
    fz_job job = {e->sham == HALF ? PRISM_CESTAC : e->mode, e->t, prism_key_seed(1234),
                  NULL};
    const prism_key key = job.key;
    if (e->is_dot) {
        matrix x = e->a;
        x.m = e->k;
        x.rs = e->a.cs;
        for (int j = 0; j < COLS; j++) {
            matrix y = e->b;
            y.m = e->k;
            y.base = e->b.base + j * e->b.cs * (e->is_f32 ? 4 : 8);
            for (int i = 0; i < ROWS; i++) {
                job.key = prism_key_derive(key, (uint64_t)(i * COLS + j));
                e->out[j][i] = call_dot(e->isa, &job, &x, &y);
            }
        }
        return;
    }
    rng g = {1};
    matrix c = matrix_open(&g, e->is_f32, ROWS, COLS, ROW_MAJOR), a = e->a;
    a.m = ROWS;
    a.rs = 0;
    call_gemm(e->isa, &job, e->k, 1, &a, &e->b, 0, &c);
    for (int j = 0; j < COLS; j++)
        for (int i = 0; i < ROWS; i++)
            e->out[j][i] = matrix_get(&c, i, j);
    matrix_close(&c);
}

/* Exact enough: 113 bits against noise of 53 and less. */
typedef __float128 wide;

/* The sum and sum of ulp^2 along the partial sums of column j. */
static wide follow(const experiment *e, int j, double *squares)
{
    wide s[32] = {0}, all = 0;
    const int sums = e->is_dot ? 32 : 1;
    *squares = 0;
    for (int k = 0; k < e->k; k++) {
        wide x = (wide)matrix_get(&e->a, 0, k) * matrix_get(&e->b, k, j);
        s[k % sums] += x;
        all += x;
        /* the first product of a sum is rounded too */
        *squares += pow(ulp((double)s[k % sums], e->t), 2);
    }
    for (int half = sums / 2; half; half /= 2)
        for (int i = 0; i < half; i++) {
            s[i] += s[i + half];
            *squares += pow(ulp((double)s[i], e->t), 2);
        }
    return all;
}

/* p-value of the mean; 0 where the variance is out of its bounds. */
static double judge(experiment *e, double *worst_ratio)
{
    const double c = e->mode == PRISM_UD ? 1 : e->mode == PRISM_CESTAC ? 0.25 : 1.0 / 6;
    double p = 1;
    sample(e);
    for (int j = 0; j < COLS; j++) {
        double squares, mean = 0, var = 0;
        wide y = follow(e, j, &squares);
        for (int i = 0; i < ROWS; i++)
            mean += (double)(e->out[j][i] - y) / ROWS;
        for (int i = 0; i < ROWS; i++)
            var += pow((double)(e->out[j][i] - y) - mean, 2) / (ROWS - 1);
        double ratio = var / (c * squares);
        if (fabs(log(ratio)) > fabs(log(*worst_ratio)))
            *worst_ratio = ratio;
        if (!(ratio >= 0.75 && ratio <= 1.33))
            p = 0;
        if (e->mode == PRISM_SR) /* of the three, only sr promises the mean */
            p = stat_min(p, stat_normal(mean / sqrt(var / ROWS)));
    }
    return p;
}

static double run(int is_f32, int t, int k, enum prism_mode mode, enum sham sham,
                  enum prism_isa isa, int is_dot, double *ratio)
{
    experiment *e = calloc(1, sizeof *e);
    *e = (experiment){.is_f32 = is_f32,
                      .t = t,
                      .k = k,
                      .mode = mode,
                      .sham = sham,
                      .isa = isa,
                      .is_dot = is_dot};
    rng g = {UINT64_C(4711) + (uint64_t)(k + t)};
    e->a = matrix_open(&g, is_f32, 1, k, ROW_MAJOR);
    e->b = matrix_open(&g, is_f32, k, COLS, COL_MAJOR);
    for (int i = 0; i < k; i++) {
        matrix_set(&e->a, 0, i, 2 * rng_unit(&g) - 1);
        for (int j = 0; j < COLS; j++)
            matrix_set(&e->b, i, j, rng_unit(&g));
    }
    *ratio = 1;
    double p = judge(e, ratio);
    matrix_close(&e->a);
    matrix_close(&e->b);
    free(e);
    return p;
}

static const int ks[] = {64, 256, 1024};

START_TEST(variance_law)
{
    const int is_dot = _i;
    const enum prism_isa best = prism_isa_best(prism_isa_detected());
    int done = 0;
    double lo = 1, hi = 1, ratio;
    for (int is_f32 = 0; is_f32 < 2; is_f32++)
        for (int mode = PRISM_SR; mode <= PRISM_CESTAC; mode++)
            for (int n = 0; n < 3; n++)
                for (int low = 0; low < 2; low++) {
                    /* low precision still has to hold the sum's binades apart */
                    int t = low ? 18 : is_f32 ? 24 : 53;
                    double p = run(is_f32, t, ks[n], (enum prism_mode)mode, TRUE_LAW,
                                   best, is_dot, &ratio);
                    lo = fmin(lo, ratio);
                    hi = fmax(hi, ratio);
                    ck_assert_msg(p >= STAT_ALARM,
                                  "%s %s %s t=%d k=%d: p = %g, variance %.3f "
                                  "of the law's",
                                  is_dot ? "dot" : "gemm", is_f32 ? "f32" : "f64",
                                  oracle_mode_name[mode], t, ks[n], p, ratio);
                    done += COLS * (mode == PRISM_SR ? 2 : 1);
                }
    printf("laws: %s: %d assertions of %g, variance %.3f to %.3f of the law's\n",
           is_dot ? "dot" : "gemm", done, STAT_ALARM, lo, hi);
}
END_TEST

START_TEST(shams_fail)
{
    double ratio;
    for (int is_f32 = 0; is_f32 < 2; is_f32++)
        for (int n = 0; n < 2; n++)
            for (int sham = HALF; sham < SHAMS; sham++) {
                double p = run(is_f32, is_f32 ? 24 : 53, ks[n], PRISM_SR, (enum sham)sham,
                               prism_isa_best(prism_isa_detected()), 0, &ratio);
                ck_assert_msg(p < STAT_ALARM, "%s k=%d: %s passed, p = %g, variance %.3f",
                              is_f32 ? "f32" : "f64", ks[n], sham_name[sham], p, ratio);
                if (is_f32 && n == 0)
                    printf(
                        "laws: rejected as it must be: %s, variance %.3f of the law's\n",
                        sham_name[sham], ratio);
            }
}
END_TEST

/* ---- the words that a product uses, read off its results --------------------------- */

/* In cestac, and in sr at f = 1/2, 1 + tiny goes up with one bit of the word. C after k+1
 * terms less C after k is the bit of step k, for every element. */
#define M 64
#define NN 96
#define STEPS 40

static uint8_t bits[2][STEPS][M][NN];

static void read_bits(int is_f32, enum prism_mode mode, prism_key key,
                      uint8_t out[STEPS][M][NN])
{
    const double unit = ldexp(1, is_f32 ? -23 : -52);
    rng g = {1};
    matrix a = matrix_open(&g, is_f32, M, STEPS + 1, ROW_MAJOR);
    matrix b = matrix_open(&g, is_f32, STEPS + 1, NN, ROW_MAJOR);
    matrix c = matrix_open(&g, is_f32, M, NN, ROW_MAJOR);
    static uint8_t before[M][NN];
    for (int k = 0; k <= STEPS; k++) {
        for (int i = 0; i < M; i++)
            matrix_set(&a, i, k, k ? unit / 2 : 1);
        for (int j = 0; j < NN; j++)
            matrix_set(&b, k, j, 1);
    }
    fz_job job = {mode, is_f32 ? 24 : 53, key, NULL};
    for (int k = 0; k <= STEPS; k++) {
        call_gemm(prism_isa_best(prism_isa_detected()), &job, k + 1, 1, &a, &b, 0, &c);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < NN; j++) {
                int ups = (int)((matrix_get(&c, i, j) - 1) / unit);
                int bit = ups - before[i][j];
                ck_assert_msg(k ? bit == 0 || bit == 1 : ups == 0,
                              "step %d of (%d,%d) went up by %d", k, i, j, bit);
                before[i][j] = (uint8_t)ups;
                if (k)
                    out[k - 1][i][j] = (uint8_t)bit;
            }
    }
    memset(before, 0, sizeof before);
    matrix_close(&a);
    matrix_close(&b);
    matrix_close(&c);
}

/* p-value of "this many of n pairs of bits are equal". */
static double pairs(double equal, double n)
{
    return stat_binomial(n, equal, 0.5);
}

/* Equal bits (dk steps, di rows, dj columns) apart, in the whole array and at its
 * thinnest: a shared word at some rows or columns only must not drown. */
static double apart(uint8_t x[STEPS][M][NN], uint8_t y[STEPS][M][NN], int dk, int di,
                    int dj, int *assertions)
{
    double p = 1, all = 0, n = 0;
    static double row_equal[M], col_equal[NN], row_n[M], col_n[NN];
    memset(row_equal, 0, sizeof row_equal);
    memset(col_equal, 0, sizeof col_equal);
    memset(row_n, 0, sizeof row_n);
    memset(col_n, 0, sizeof col_n);
    for (int k = 0; k + dk < STEPS; k++)
        for (int i = 0; i + di < M; i++)
            for (int j = 0; j + dj < NN; j++) {
                int e = x[k][i][j] == y[k + dk][i + di][j + dj];
                all += e;
                n++;
                row_equal[i] += e;
                row_n[i]++;
                col_equal[j] += e;
                col_n[j]++;
            }
    p = stat_min(p, pairs(all, n));
    *assertions += 1;
    for (int i = 0; i + di < M; i++, ++*assertions)
        p = stat_min(p, pairs(row_equal[i], row_n[i]));
    for (int j = 0; j + dj < NN; j++, ++*assertions)
        p = stat_min(p, pairs(col_equal[j], col_n[j]));
    return p;
}

START_TEST(words_of_a_product)
{
    const int is_f32 = _i / 2;
    const enum prism_mode mode = _i % 2 ? PRISM_SR : PRISM_CESTAC;
    static const int distances[][3] = {
        {1, 0, 0},  {2, 0, 0}, {3, 0, 0}, {4, 0, 0}, {8, 0, 0}, {16, 0, 0}, {32, 0, 0},
        {0, 1, 0},  {0, 2, 0}, {0, 3, 0}, {0, 4, 0}, {0, 8, 0}, {0, 16, 0}, {0, 32, 0},
        {0, 0, 1},  {0, 0, 2}, {0, 0, 3}, {0, 0, 4}, {0, 0, 8}, {0, 0, 16}, {0, 0, 32},
        {0, 0, 64}, {0, 1, 1}, {1, 1, 0}, {1, 0, 1}, {1, 0, 8}, {1, 0, 4},  {1, 1, 1}};
    int assertions = 0;
    const prism_key key = prism_key_derive(prism_key_seed(8), 3);
    read_bits(is_f32, mode, key, bits[0]);
    /* monobit, of everything, by step, by row, by column */
    double p = 1, ones = 0;
    for (int k = 0; k < STEPS; k++) {
        double n = 0;
        for (int i = 0; i < M * NN; i++)
            n += bits[0][k][i / NN][i % NN];
        p = stat_min(p, stat_binomial(M * NN, n, 0.5));
        ones += n;
        assertions++;
    }
    p = stat_min(p, stat_binomial((double)STEPS * M * NN, ones, 0.5));
    for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
        const int *v = distances[d];
        double q = apart(bits[0], bits[0], v[0], v[1], v[2], &assertions);
        ck_assert_msg(
            q >= STAT_ALARM, "%s %s: words (%d, %d, %d) apart are alike: p = %g",
            is_f32 ? "f32" : "f64", oracle_mode_name[mode], v[0], v[1], v[2], q);
        p = stat_min(p, q);
    }
    /* the next call, the next seed, another lineage (their keys are derived like these)
     */
    const prism_key others[] = {prism_key_derive(prism_key_seed(8), 4),
                                prism_key_derive(prism_key_seed(9), 3),
                                prism_key_derive(key, 0), prism_key_derive(key, 1)};
    for (int o = 0; o < 4; o++) {
        read_bits(is_f32, mode, others[o], bits[1]);
        double q = apart(bits[0], bits[1], 0, 0, 0, &assertions);
        ck_assert_msg(q >= STAT_ALARM, "%s %s: key %d gives like words: p = %g",
                      is_f32 ? "f32" : "f64", oracle_mode_name[mode], o, q);
        p = stat_min(p, q);
    }
    ck_assert_msg(p >= STAT_ALARM, "%s %s: p = %g", is_f32 ? "f32" : "f64",
                  oracle_mode_name[mode], p);
    printf("words: in gemm, %s %s: %d assertions of %g, smallest p %.2g\n",
           is_f32 ? "f32" : "f64", oracle_mode_name[mode], assertions, STAT_ALARM, p);
    /* power: one row that repeats another's words */
    memcpy(bits[1], bits[0], sizeof bits[0]);
    for (int k = 0; k < STEPS; k++)
        memcpy(bits[1][k][41], bits[1][k][40], NN);
    ck_assert(apart(bits[1], bits[1], 0, 1, 0, &assertions) < STAT_ALARM);
    /* and the wrong stream: the same call twice */
    ck_assert(apart(bits[0], bits[0], 0, 0, 0, &assertions) < STAT_ALARM);
}
END_TEST

/* Whole words: those of the last rounding, alpha*acc + C, found by bisection over C. */
START_TEST(words_of_beta)
{
    enum { MM = 128, NB = 256, BITS = 20 };
    static uint32_t word[MM][NB];
    rng g = {1};
    matrix a = matrix_open(&g, 1, MM, 1, ROW_MAJOR),
           b = matrix_open(&g, 1, 1, NB, ROW_MAJOR);
    matrix c = matrix_open(&g, 1, MM, NB, ROW_MAJOR);
    matrix_fill(&g, &a, SHAPE_UNIFORM, 0);
    for (int i = 0; i < MM; i++)
        matrix_set(&a, i, 0, 1);
    for (int j = 0; j < NB; j++)
        matrix_set(&b, 0, j, 1);
    fz_job job = {PRISM_SR, 24, prism_key_seed(88), NULL};
    memset(word, 0, sizeof word);
    for (int step = BITS - 1; step >= 0; step--) {
        /* up iff F + w >= 2^r, F = (2^BITS - trial) 2^(r - BITS): w's top bits >= trial
         */
        for (int i = 0; i < MM; i++)
            for (int j = 0; j < NB; j++)
                matrix_set(&c, i, j,
                           ldexp((1 << BITS) - (word[i][j] | 1u << step), -23 - BITS));
        call_gemm(prism_isa_best(prism_isa_detected()), &job, 1, 1, &a, &b, 1, &c);
        for (int i = 0; i < MM; i++)
            for (int j = 0; j < NB; j++)
                if (matrix_get(&c, i, j) != 1)
                    word[i][j] |= 1u << step;
    }
    double p = 1;
    int assertions = 0;
    for (int shift = 0; shift <= BITS - 8; shift += 4, assertions++) {
        unsigned cells[256] = {0};
        for (int i = 0; i < MM * NB; i++)
            cells[word[i / NB][i % NB] >> shift & 255]++;
        p = stat_min(p, stat_uniform_cells(cells, 256));
    }
    static const int apart_by[][2] = {{1, 0}, {2, 0}, {4, 0}, {64, 0},  {0, 1},
                                      {0, 2}, {0, 4}, {0, 8}, {0, 128}, {1, 1}};
    for (int d = 0; d < 10; d++, assertions++) {
        unsigned cells[256] = {0};
        const int di = apart_by[d][0], dj = apart_by[d][1];
        for (int i = 0; i + di < MM; i++)
            for (int j = 0; j + dj < NB; j++)
                cells[word[i][j] >> (BITS - 4) << 4 |
                      word[i + di][j + dj] >> (BITS - 4)]++;
        p = stat_min(p, stat_uniform_cells(cells, 256));
    }
    ck_assert_msg(p >= STAT_ALARM, "words of the last rounding: p = %g", p);
    /* 2^15 words of 20 bits: about 512 pairs of equal ones; a stream that repeats has
     * more */
    static uint32_t seen[1 << BITS];
    double equal = 0;
    for (int i = 0; i < MM * NB; i++)
        equal += seen[word[i / NB][i % NB]]++;
    double expect = ldexp((double)MM * NB * (MM * NB - 1) / 2, -BITS);
    ck_assert_msg(stat_normal((equal - expect) / sqrt(expect)) >= STAT_ALARM,
                  "%g equal pairs of words, %g expected", equal, expect);
    printf("words: of alpha and beta in gemm: %d assertions of %g, smallest p %.2g\n",
           assertions + 1, STAT_ALARM, p);
    matrix_close(&a);
    matrix_close(&b);
    matrix_close(&c);
}
END_TEST

Suite *suite_gemm_laws(void)
{
    Suite *s = suite_create("gemm_laws");
    TCase *c = tcase_create("gemm_laws");
    tcase_set_timeout(c, 600);
    tcase_add_loop_test(c, variance_law, 0, 2);
    tcase_add_test(c, shams_fail);
    tcase_add_loop_test(c, words_of_a_product, 0, 4);
    tcase_add_test(c, words_of_beta);
    suite_add_tcase(s, c);
    return s;
}
