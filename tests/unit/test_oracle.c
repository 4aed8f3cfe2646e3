/* The oracle itself, against the hardware and MPFR.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <mpfr.h>
#include <stdio.h>

#include "test.h"

/* Nearest at full precision is IEEE arithmetic. */
static f64 hardware(const oracle_case *q)
{
    volatile f32 a = (f32)q->a, b = (f32)q->b;
    if (q->is_f32) {
        switch (q->op) {
        case ORACLE_ADD: return a + b;
        case ORACLE_SUB: return a - b;
        case ORACLE_MUL: return a * b;
        case ORACLE_DIV: return a / b;
        case ORACLE_SQRT: return sqrtf(a);
        case ORACLE_FMA: return fmaf(a, b, (f32)q->c);
        case ORACLE_F64_F32: return (f32)q->a;
        default: return (f32)q->i;
        }
    }
    switch (q->op) {
    case ORACLE_ADD: return q->a + q->b;
    case ORACLE_SUB: return q->a - q->b;
    case ORACLE_MUL: return q->a * q->b;
    case ORACLE_DIV: return q->a / q->b;
    case ORACLE_SQRT: return sqrt(q->a);
    case ORACLE_FMA: return fma(q->a, q->b, q->c);
    default: return (f64)q->i;
    }
}

START_TEST(nearest_is_ieee)
{
    uint64_t seed = test_seed(20261124);
    rng g = {seed};
    for (int k = 0; k < 60000; k++) {
        oracle_case q = {.op = (enum oracle_op)(k % ORACLE_OPS), .mode = PRISM_NEAREST};
        q.is_f32 = q.op < ORACLE_F64_F32 ? k / ORACLE_OPS % 2 : q.op != ORACLE_I64_F64;
        q.t = q.is_f32 ? 24 : 53;
        shape_operands(&g, (enum shape)(k / 20 % SHAPES), &q);
        oracle_answer x = oracle_prepare(&q);
        f64 y = hardware(&q);
        uint64_t got = q.is_f32 ? bits_f32((f32)y) : bits_f64(y);
        ck_assert_msg(oracle_accepts(&x, 0, got) == 1,
                      "FZ_TEST_SEED=%llu %s: oracle %llx, hardware %llx",
                      (unsigned long long)seed, case_text(&q),
                      (unsigned long long)x.nearest, (unsigned long long)got);
    }
}
END_TEST

/* The neighbours are MPFR's roundings toward and away from zero, at every precision, with
 * MPFR's own subnormals where the spacing is the type's smallest number. */
START_TEST(neighbours_are_mpfr)
{
    uint64_t seed = test_seed(20261124);
    rng g = {seed};
    static const int f32_t[] = {24, 23, 17, 11, 8, 2}, f64_t[] = {53, 52, 40, 24, 11, 2};
    for (int k = 0; k < 60000; k++) {
        oracle_case q = {.op = (enum oracle_op)(k % 6), .mode = PRISM_NEAREST};
        q.is_f32 = k / 6 % 2;
        q.t = (q.is_f32 ? f32_t : f64_t)[k / 12 % 6];
        shape_operands(&g, (enum shape)(k / 72 % SHAPES), &q);
        oracle_answer x = oracle_prepare(&q);
        if (x.fixed)
            continue;
        /* the smallest number is 2^(emin-1); precision falls below 2^(emin+t-1) */
        mpfr_set_emin(q.is_f32 ? -148 : -1073);
        mpfr_set_emax(q.is_f32 ? 128 : 1024);
        static const mpfr_rnd_t directions[3] = {MPFR_RNDZ, MPFR_RNDA, MPFR_RNDN};
        const uint64_t want[3] = {x.a, x.inexact ? x.b : x.a, x.nearest};
        for (int d = 0; d < 3; d++) {
            mpfr_t a, b, c, r;
            mpfr_inits2(53, a, b, c, (mpfr_ptr)0);
            mpfr_init2(r, q.t);
            mpfr_set_d(a, q.a, MPFR_RNDN);
            mpfr_set_d(b, q.b, MPFR_RNDN);
            mpfr_set_d(c, q.c, MPFR_RNDN);
            int n = 0;
            switch (q.op) {
            case ORACLE_ADD: n = mpfr_add(r, a, b, directions[d]); break;
            case ORACLE_SUB: n = mpfr_sub(r, a, b, directions[d]); break;
            case ORACLE_MUL: n = mpfr_mul(r, a, b, directions[d]); break;
            case ORACLE_DIV: n = mpfr_div(r, a, b, directions[d]); break;
            case ORACLE_SQRT: n = mpfr_sqrt(r, a, directions[d]); break;
            default: n = mpfr_fma(r, a, b, c, directions[d]);
            }
            n = mpfr_subnormalize(r, n, directions[d]);
            f64 y = mpfr_get_d(r, MPFR_RNDN);
            mpfr_clears(a, b, c, r, (mpfr_ptr)0);
            uint64_t got = q.is_f32 ? bits_f32((f32)y) : bits_f64(y);
            ck_assert_msg(got == want[d],
                          "FZ_TEST_SEED=%llu %s: oracle %llx, MPFR %llx (%d)",
                          (unsigned long long)seed, case_text(&q),
                          (unsigned long long)want[d], (unsigned long long)got, d);
        }
    }
    mpfr_free_cache();
}
END_TEST

/* F at hand-worked places. */
START_TEST(fractions)
{
    oracle_case q = {.op = ORACLE_ADD, .is_f32 = 1, .mode = PRISM_SR, .t = 24};
    q.a = 1;
    q.b = 0x1p-25; /* a quarter of an ulp */
    oracle_answer x = oracle_prepare(&q);
    ck_assert_int_eq(x.r, 29);
    ck_assert_uint_eq(x.F, UINT64_C(1) << 27);
    ck_assert_uint_eq(x.a, 0x3f800000);
    ck_assert_uint_eq(x.b, 0x3f800001);
    ck_assert_uint_eq(oracle_pick(&x, (UINT64_C(3) << 27) - 1), x.a);
    ck_assert_uint_eq(oracle_pick(&x, UINT64_C(3) << 27), x.b);
    q.a = 0x1.fffffep127; /* half way from the largest number to 2^128 */
    q.b = 0x1p103;
    x = oracle_prepare(&q);
    ck_assert_uint_eq(x.F, UINT64_C(1) << 28);
    ck_assert_uint_eq(x.a, 0x7f7fffff);
    ck_assert_uint_eq(x.b, 0x7f800000);
    q.b = 0x1p104; /* 2^128 itself */
    x = oracle_prepare(&q);
    ck_assert(x.fixed && x.nearest == 0x7f800000);
    q.op = ORACLE_MUL; /* 3/4 of the smallest number */
    q.a = 0x1.8p-100;
    q.b = 0x1p-50;
    x = oracle_prepare(&q);
    ck_assert_uint_eq(x.F, UINT64_C(3) << 27);
    ck_assert_uint_eq(x.a, 0);
    ck_assert_uint_eq(x.b, 1);
    q.op = ORACLE_FMA; /* one unit of 2^-29 ulp and a half: to even, 2 */
    q.a = q.b = 1;
    q.c = 0x1.8p-52;
    x = oracle_prepare(&q);
    ck_assert_uint_eq(x.F, 2);
    q.mode = PRISM_UD; /* below a power of two the unit is the lower binade's */
    q.c = 0;
    x = oracle_prepare(&q);
    ck_assert_uint_eq(oracle_pick(&x, 0), 0x3f7fffff);
    ck_assert_uint_eq(oracle_pick(&x, 1), 0x3f800001);
}
END_TEST

Suite *suite_oracle(void)
{
    Suite *s = suite_create("oracle");
    TCase *c = tcase_create("oracle");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, nearest_is_ieee);
    tcase_add_test(c, neighbours_are_mpfr);
    tcase_add_test(c, fractions);
    suite_add_tcase(s, c);
    return s;
}
