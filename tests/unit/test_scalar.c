/* prism's scalar operations against the oracle, fed the same words.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "test.h"

static const int f32_t[] = {24, 23, 17, 11, 8, 2, 1},
                 f64_t[] = {53, 52, 40, 24, 11, 2, 1};
#define PRECISIONS 7

/* One op and type: all shapes, modes, precisions and the words worth trying. */
static void compare(enum oracle_op op, int is_f32, int rounds, int ftz, int daz)
{
    uint64_t seed = test_seed(UINT64_C(310124) + (uint64_t)op);
    rng g = {seed ^ (uint64_t)is_f32 << 40};
    long checked = 0, slack = 0, random_slack = 0;
    for (int k = 0; k < rounds; k++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int p = 0; p < PRECISIONS; p++) {
                oracle_case q = {.op = op, .is_f32 = is_f32, .ftz = ftz, .daz = daz};
                q.t = (is_f32 ? f32_t : f64_t)[p];
                shape_operands(&g, (enum shape)shape, &q);
                for (int mode = 0; mode < 4; mode++) {
                    q.mode = (enum prism_mode)mode;
                    oracle_answer x = oracle_prepare(&q);
                    uint64_t words[WORDS_MAX];
                    int n = shape_words(&g, &x, words);
                    for (int i = 0; i < n; i++) {
                        uint64_t got = prism_apply(&q, words[i]);
                        int ok = oracle_accepts(&x, words[i], got);
                        ck_assert_msg(ok,
                                      "FZ_TEST_SEED=%llu %s shape=%s w=%llx: got %llx "
                                      "want %llx (a %llx b %llx F %llx r %d)",
                                      (unsigned long long)seed, case_text(&q),
                                      shape_name[shape], (unsigned long long)words[i],
                                      (unsigned long long)got,
                                      (unsigned long long)oracle_pick(&x, words[i]),
                                      (unsigned long long)x.a, (unsigned long long)x.b,
                                      (unsigned long long)x.F, x.r);
                        checked++;
                        slack += ok < 0;
                        random_slack += ok < 0 && (i == 3 || i == 4);
                    }
                }
            }
    /* F one unit off: random words meet that about once in 2^51 draws. */
    ck_assert_msg(random_slack == 0, "%ld of %ld random words met F off by one unit",
                  random_slack, checked);
    if (slack)
        printf("scalar: %s %s: %ld of %ld within one unit of 2^-52 at the threshold\n",
               oracle_op_name[op], is_f32 ? "f32" : "f64", slack, checked);
}

START_TEST(scalar_is_oracle)
{
    enum oracle_op op = (enum oracle_op)(_i % ORACLE_OPS);
    int is_f32 = op < ORACLE_F64_F32 ? _i / ORACLE_OPS : op != ORACLE_I64_F64;
    if (op >= ORACLE_F64_F32 && _i / ORACLE_OPS)
        return; /* conversions have one type */
    int rounds = test_long() ? 1500 : 150;
    compare(op, is_f32, rounds, 0, 0);
}
END_TEST

START_TEST(flushed_scalar_is_oracle)
{
    enum oracle_op op = (enum oracle_op)(_i % ORACLE_OPS);
    int is_f32 = op < ORACLE_F64_F32 ? _i / ORACLE_OPS : op != ORACLE_I64_F64;
    if (op >= ORACLE_F64_F32 && _i / ORACLE_OPS)
        return;
    int rounds = test_long() ? 300 : 25;
    compare(op, is_f32, rounds, 1, 1);
    compare(op, is_f32, rounds, 1, 0);
    compare(op, is_f32, rounds, 0, 1);
}
END_TEST

/* Every float pattern of one operand class costs too much; every exponent does not. */
START_TEST(every_exponent)
{
    uint64_t seed = test_seed(7);
    rng g = {seed};
    for (int is_f32 = 0; is_f32 < 2; is_f32++)
        for (int e = is_f32 ? -150 : -1076; e < (is_f32 ? 128 : 1024); e++)
            for (int k = 0; k < 4; k++) {
                oracle_case q = {.op = ORACLE_FMA, .is_f32 = is_f32, .mode = PRISM_SR};
                q.t = is_f32 ? 24 - k * 5 : 53 - k * 11;
                f64 m = 1 + rng_unit(&g);
                q.a = is_f32 ? (f64)(f32)m : m;
                q.b = f64_bits((uint64_t)(1023 + e / 2) << 52);
                q.c = 0;
                /* a*b*2^(e - e/2): a second operand that keeps b normal */
                f64 s = f64_bits((uint64_t)(1023 + e - e / 2) << 52);
                q.b = is_f32 ? (f64)(f32)(q.b * s) : q.b * s;
                if (k & 1)
                    q.c = is_f32 ? (f64)(f32)(q.b * 0x1.8p-26) : q.b * 0x1.8p-55;
                for (int mode = 0; mode < 4; mode++) {
                    q.mode = (enum prism_mode)mode;
                    oracle_answer x = oracle_prepare(&q);
                    uint64_t words[WORDS_MAX];
                    int n = shape_words(&g, &x, words);
                    for (int i = 0; i < n; i++) {
                        uint64_t got = prism_apply(&q, words[i]);
                        ck_assert_msg(oracle_accepts(&x, words[i], got),
                                      "FZ_TEST_SEED=%llu %s w=%llx: got %llx want %llx",
                                      (unsigned long long)seed, case_text(&q),
                                      (unsigned long long)words[i],
                                      (unsigned long long)got,
                                      (unsigned long long)oracle_pick(&x, words[i]));
                    }
                }
            }
}
END_TEST

START_TEST(word_bits)
{
    ck_assert_int_eq(prism_word_bits(PRISM_SR, sizeof(f32), 24), 29);
    ck_assert_int_eq(prism_word_bits(PRISM_SR, sizeof(f32), 1), 52);
    ck_assert_int_eq(prism_word_bits(PRISM_SR, sizeof(f64), 53), 52);
    ck_assert_int_eq(prism_word_bits(PRISM_SR, sizeof(f64), 11), 52);
    for (int size = 4; size <= 8; size += 4) {
        ck_assert_int_eq(prism_word_bits(PRISM_UD, (size_t)size, 20), 1);
        ck_assert_int_eq(prism_word_bits(PRISM_CESTAC, (size_t)size, 20), 1);
        ck_assert_int_eq(prism_word_bits(PRISM_NEAREST, (size_t)size, 20), 0);
    }
}
END_TEST

Suite *suite_scalar(void)
{
    Suite *s = suite_create("scalar");
    TCase *c = tcase_create("scalar");
    tcase_set_timeout(c, test_long() ? 3600 : 300);
    tcase_add_test(c, word_bits);
    tcase_add_loop_test(c, scalar_is_oracle, 0, 2 * ORACLE_OPS);
    tcase_add_loop_test(c, flushed_scalar_is_oracle, 0, 2 * ORACLE_OPS);
    tcase_add_test(c, every_exponent);
    suite_add_tcase(s, c);
    return s;
}
