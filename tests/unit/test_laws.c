/* The laws of single operations and of sums, by statistics; each test also rejects wrong
 * laws.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A test is a function from a sampler to the smallest p-value of its assertions. It must
 * be at least STAT_ALARM for prism and below it for each sampler of a wrong law.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"
#include "test.h"

static enum prism_isa isa_used(int i)
{
    return (enum prism_isa)(i ? prism_isa_best(prism_isa_detected()) : PRISM_REF);
}

/* ---- one operation ----------------------------------------------------------------- */

#define N 20000

/* N results of one case, as patterns. */
typedef void sampler_fn(const oracle_case *q, const oracle_answer *x, enum prism_isa isa,
                        uint64_t seed, uint64_t *out);

static void sample_prism(const oracle_case *q, const oracle_answer *x, enum prism_isa isa,
                         uint64_t seed, uint64_t *out)
{
    static f32 s[4][N];
    static f64 d[4][N];
    const prism_key key = prism_key_seed(seed);
    (void)x;
    for (int i = 0; i < N; i++) {
        s[0][i] = (f32)(d[0][i] = q->a);
        s[1][i] = (f32)(d[1][i] = q->b);
        s[2][i] = (f32)(d[2][i] = q->c);
    }
    if (q->op == ORACLE_F64_F32)
        prism_arrays(isa)->cvt(PRISM_F64_F32, N, d[0], s[3], q->mode, q->t, key);
    else if (q->is_f32)
        prism_arrays(isa)->op_f32((enum prism_op)q->op, N, s[0], s[1], s[2], s[3],
                                  q->mode, q->t, key);
    else
        prism_arrays(isa)->op_f64((enum prism_op)q->op, N, d[0], d[1], d[2], d[3],
                                  q->mode, q->t, key);
    for (int i = 0; i < N; i++)
        out[i] = q->is_f32 ? bits_f32(s[3][i]) : bits_f64(d[3][i]);
}

/* Wrong: P(up) = 1/2 under sr, P(up) = f under cestac, no move of exact results under ud.
 */
static void sample_wrong_law(const oracle_case *q, const oracle_answer *x,
                             enum prism_isa isa, uint64_t seed, uint64_t *out)
{
    oracle_case other = *q;
    oracle_answer y;
    other.mode = q->mode == PRISM_CESTAC ? PRISM_SR : PRISM_CESTAC;
    y = oracle_prepare(&other);
    (void)x;
    sample_prism(&other, &y, isa, seed, out);
}

/* Wrong: one random word for all. */
static void sample_reused(const oracle_case *q, const oracle_answer *x,
                          enum prism_isa isa, uint64_t seed, uint64_t *out)
{
    rng g = {seed};
    uint64_t w = rng_next(&g);
    (void)isa;
    (void)x;
    for (int i = 0; i < N; i++)
        out[i] = prism_apply(q, w);
}

static double single_operation(sampler_fn *sample, enum prism_mode mode,
                               enum prism_isa isa)
{
    static uint64_t out[N];
    static const int f32_t[] = {24, 24, 11, 2}, f64_t[] = {53, 53, 24, 2};
    static const enum shape shapes[] = {SHAPE_UNIFORM, SHAPE_SUBNORMAL, SHAPE_TIE,
                                        SHAPE_EXACT, SHAPE_OVERFLOW};
    rng g = {UINT64_C(99) + (uint64_t)mode};
    double p = 1;
    for (int k = 0; k < 140; k++) {
        oracle_case q = {.op = (enum oracle_op)(k % 7), .mode = mode};
        q.is_f32 = q.op == ORACLE_F64_F32 || k / 7 % 2;
        q.t = (q.is_f32 ? f32_t : f64_t)[k / 14 % 4];
        shape_operands(&g, shapes[k % 5], &q);
        oracle_answer x = oracle_prepare(&q);
        if (x.is_nan)
            continue;
        sample(&q, &x, isa, UINT64_C(5000) + (uint64_t)k, out);
        uint64_t lo = x.a, hi = x.b;
        double up = oracle_probability_up(&x);
        if (x.mode == PRISM_UD) {
            lo = x.down;
            hi = x.up;
            up = 0.5;
        } else if (x.mode == PRISM_CESTAC) {
            up = 0.5;
        }
        if (x.fixed || (x.mode != PRISM_UD && !x.inexact))
            hi = lo = oracle_pick(&x, 0);
        double ups = 0;
        for (int i = 0; i < N; i++) {
            if (out[i] != lo && out[i] != hi)
                return 0; /* a value that no word gives */
            ups += hi != lo && out[i] == hi;
        }
        if (hi != lo)
            p = stat_min(p, stat_binomial(N, ups, up));
    }
    return p;
}

START_TEST(probability_up)
{
    for (int mode = PRISM_SR; mode <= PRISM_CESTAC; mode++) {
        for (int i = 0; i < 2; i++) {
            double p = single_operation(sample_prism, (enum prism_mode)mode, isa_used(i));
            ck_assert_msg(p >= STAT_ALARM, "%s %s: p = %g", oracle_mode_name[mode],
                          prism_isa_name(isa_used(i)), p);
        }
        double p = single_operation(sample_wrong_law, (enum prism_mode)mode, isa_used(1));
        ck_assert_msg(p < STAT_ALARM, "%s: a wrong law passed, p = %g",
                      oracle_mode_name[mode], p);
        p = single_operation(sample_reused, (enum prism_mode)mode, isa_used(1));
        ck_assert_msg(p < STAT_ALARM, "%s: a reused word passed, p = %g",
                      oracle_mode_name[mode], p);
    }
    printf("laws: single operations: at most 140 x 6 assertions of %g\n", STAT_ALARM);
}
END_TEST

/* ---- sums of which the distribution is known --------------------------------------- */

#define LANES 4000

enum sum_law { SUM_PRISM, SUM_HALF, SUM_REUSED, SUM_OUTPUT_ONLY, SUM_LAWS };
static const char *const sum_law_name[SUM_LAWS] = {"prism", "P(up) = 1/2", "reused word",
                                                   "output only"};

/* s = start, then `steps` times s += x in f32 at t bits: LANES samples. */
static void sum(enum sum_law law, enum prism_isa isa, f32 start, f32 x, int steps, int t,
                f32 *s)
{
    static f32 xs[LANES];
    const prism_array_ops *ops = prism_arrays(isa);
    const prism_key key = prism_key_seed(77);
    for (int i = 0; i < LANES; i++) {
        s[i] = start;
        xs[i] = x;
    }
    if (law == SUM_OUTPUT_ONLY) {
        static f64 exact[LANES];
        for (int i = 0; i < LANES; i++)
            exact[i] = (f64)start + steps * (f64)x;
        ops->cvt(PRISM_F64_F32, LANES, exact, s, PRISM_SR, t, key);
        return;
    }
    for (int k = 0; k < steps; k++)
        ops->op_f32(PRISM_ADD, LANES, s, xs, NULL, s,
                    law == SUM_HALF ? PRISM_CESTAC : PRISM_SR, t,
                    law == SUM_REUSED ? key : prism_key_derive(key, (uint64_t)k));
}

/* Values in units above a start: the total is Binomial(LANES * steps, f); the variance
 * over lanes is steps * f * (1-f), chi squared but for the binomial's kurtosis, -1/(steps
 * f) about: less spread than the normal's, on the safe side. */
static double binomial_sum(const f32 *s, double start, double unit, int steps, double f)
{
    double total = 0, squares = 0, mean;
    for (int i = 0; i < LANES; i++)
        total += (s[i] - start) / unit;
    mean = total / LANES;
    for (int i = 0; i < LANES; i++)
        squares += pow((s[i] - start) / unit - mean, 2);
    return stat_min(stat_binomial((double)LANES * steps, round(total), f),
                    stat_chi2(squares / (steps * f * (1 - f)), LANES - 1));
}

static double quarter_ulps(enum sum_law law, enum prism_isa isa)
{
    static f32 s[LANES];
    sum(law, isa, 1, 0x1p-25f, 300, 24, s);
    return binomial_sum(s, 1, 0x1p-23, 300, 0.25);
}

/* 400 x 1/40 on the grid 1/8: mean 10, standard deviation 1. From 64 on, ten bits of
 * significand are that grid. */
static double fortieths(enum sum_law law, enum prism_isa isa)
{
    static f32 s[LANES];
    const f32 x = 1.f / 40;
    sum(law, isa, 64, x, 400, 10, s);
    double mean = 0, squares = 0;
    for (int i = 0; i < LANES; i++)
        mean += (s[i] - 64.0) / LANES;
    for (int i = 0; i < LANES; i++)
        squares += pow(s[i] - 64.0 - mean, 2);
    double f = 8.0 * (double)x, sd = sqrt(400 * f * (1 - f)) / 8;
    return stat_min(stat_normal((mean - 400 * (double)x) / (sd / sqrt(LANES))),
                    stat_chi2(squares / (sd * sd), LANES - 1));
}

START_TEST(toy_sums)
{
    static double (*const tests[])(enum sum_law, enum prism_isa) = {quarter_ulps,
                                                                    fortieths};
    static const char *const names[] = {"1 + n * 2^-25", "400 * 1/40"};
    for (int k = 0; k < 2; k++)
        for (int law = 0; law < SUM_LAWS; law++)
            for (int i = law != SUM_PRISM; i < 2; i++) {
                double p = tests[k]((enum sum_law)law, isa_used(i));
                ck_assert_msg((p >= STAT_ALARM) == (law == SUM_PRISM),
                              "%s, %s, %s: p = %g", names[k], sum_law_name[law],
                              prism_isa_name(isa_used(i)), p);
            }
    printf("laws: toy sums: 8 assertions of %g\n", STAT_ALARM);
}
END_TEST

/* E[sr(x)] = x and E[ud(x)] = nearest(x), over many different x rather than many words.
 */
static double unbiased(enum prism_mode law, enum prism_mode expected, int is_f32)
{
    enum { M = 100000 };
    rng g = {4242};
    double z = 0;
    for (int i = 0; i < M; i++) {
        oracle_case q = {.op = ORACLE_MUL, .is_f32 = is_f32, .mode = expected};
        q.t = is_f32 ? 24 : 53;
        q.a = 1 + rng_unit(&g) * 0.4;
        q.b = 1 + rng_unit(&g) * 0.4; /* the product stays in [1, 2) */
        if (is_f32) {
            q.a = ldexp(rint(ldexp(q.a, 23)), -23);
            q.b = ldexp(rint(ldexp(q.b, 23)), -23);
        }
        oracle_answer x = oracle_prepare(&q);
        q.mode = law;
        uint64_t got = prism_apply(&q, rng_next(&g));
        /* the error in ulps: got - (a + f), exactly */
        double up = (double)(int64_t)(got - x.a);
        z += up - (expected == PRISM_SR ? oracle_probability_up(&x)
                                        : (double)(int64_t)(x.nearest - x.a));
    }
    /* |error| <= 1 ulp: variance at most 1/6 for sr, 1 for ud */
    double sd = sqrt(M * (expected == PRISM_SR ? 1.0 / 6 : 1.0));
    return stat_normal(z / sd);
}

START_TEST(unbiasedness)
{
    for (int is_f32 = 0; is_f32 < 2; is_f32++) {
        ck_assert(unbiased(PRISM_SR, PRISM_SR, is_f32) >= STAT_ALARM);
        ck_assert(unbiased(PRISM_UD, PRISM_NEAREST, is_f32) >= STAT_ALARM);
    }
    printf("laws: unbiasedness: 4 assertions of %g\n", STAT_ALARM);
}
END_TEST

Suite *suite_laws(void)
{
    Suite *s = suite_create("laws");
    TCase *c = tcase_create("laws");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, probability_up);
    tcase_add_test(c, toy_sums);
    tcase_add_test(c, unbiasedness);
    suite_add_tcase(s, c);
    return s;
}
