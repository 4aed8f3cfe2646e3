/* Random words as they are used: quick tests; dieharder.sh runs the long ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stats.h"
#include "test.h"
#include "words.h"

#define COUNT (1 << 18)
static uint64_t words[COUNT];
static int assertions;

static double counted(double p)
{
    assertions++;
    return p;
}

/* The smallest p-value of the battery over COUNT words of r bits. */
static double battery(int r)
{
    double p = 1;
    /* each bit of the word */
    for (int b = 0; b < r; b++) {
        unsigned ones = 0;
        for (int i = 0; i < COUNT; i++)
            ones += words[i] >> b & 1;
        p = stat_min(p, counted(stat_binomial(COUNT, ones, 0.5)));
    }
    /* each byte, from the top and from the bottom */
    for (int shift = 0; shift + 8 <= r; shift += (r - 8) / 3) {
        unsigned cells[256] = {0};
        for (int i = 0; i < COUNT; i++)
            cells[words[i] >> shift & 255]++;
        p = stat_min(p, counted(stat_uniform_cells(cells, 256)));
    }
    static const int lags[] = {1, 2, 3, 4, 7, 8, 16, 31, 32, 64, 128, 4096};
    for (size_t l = 0; l < sizeof lags / sizeof *lags; l++) {
        const int lag = lags[l];
        /* serial correlation of the values: mean 0, variance 1 of each product of
         * standardised uniforms */
        double sum = 0;
        const double scale = ldexp(sqrt(12), -r), half = sqrt(3);
        for (int i = 0; i + lag < COUNT; i++)
            sum += ((double)words[i] * scale - half) *
                   ((double)words[i + lag] * scale - half);
        p = stat_min(p, counted(stat_normal(sum / sqrt(COUNT - lag))));
        /* four bits of each of a pair, at the top and at the bottom */
        for (int low = 0; low < 2; low++) {
            unsigned cells[256] = {0};
            const int shift = low ? 0 : r - 4;
            for (int i = 0; i + lag < COUNT; i++)
                cells[(words[i] >> shift & 15) << 4 | (words[i + lag] >> shift & 15)]++;
            p = stat_min(p, counted(stat_uniform_cells(cells, 256)));
        }
        /* any bit that is a copy, or the complement, of a bit of the word `lag` on */
        for (int b = 0; b < r; b++) {
            unsigned equal = 0;
            for (int i = 0; i + lag < COUNT; i++)
                equal += (~(words[i] ^ words[i + lag]) >> b) & 1;
            p = stat_min(p, counted(stat_binomial(COUNT - lag, equal, 0.5)));
        }
    }
    return p;
}

START_TEST(orders)
{
    const enum words_order order = (enum words_order)(_i / 2);
    words_source s;
    words_open(&s, order, _i % 2 ? sizeof(f64) : sizeof(f32), 20261124);
    for (int i = 0; i < COUNT; i++)
        words[i] = words_next(&s);
    double p = battery(s.r);
    ck_assert_msg(p >= STAT_ALARM, "%s %s: p = %g", words_order_name[order],
                  _i % 2 ? "f64" : "f32", p);
    printf("words: %s %s: %d assertions of %g, smallest p %.2g\n",
           words_order_name[order], _i % 2 ? "f64" : "f32", assertions, STAT_ALARM, p);
}
END_TEST

/* What the battery is for. */
START_TEST(bad_words_fail)
{
    static const char *const defects[] = {"a counter",
                                          "each word twice",
                                          "a bit that is stuck",
                                          "a biased bit",
                                          "lanes 32 apart equal",
                                          "two strands that share every second word"};
    for (int k = 0; k < 6; k++) {
        rng g = {99};
        for (int i = 0; i < COUNT; i++) {
            uint64_t w = rng_next(&g) >> 35;
            switch (k) {
            case 0: w = (uint64_t)i << 11; break;
            case 1: w = i & 1 ? words[i - 1] : w; break;
            case 2: w |= 1 << 13; break;
            case 3: w |= (uint64_t)(rng_below(&g, 50) == 0) << 28; break;
            case 4: w = i % 64 >= 32 ? words[i - 32] : w; break;
            default: w = i % 4 == 3 ? words[i - 2] : w;
            }
            words[i] = w;
        }
        double p = battery(29);
        ck_assert_msg(p < STAT_ALARM, "%s passed, p = %g", defects[k], p);
    }
}
END_TEST

/* The streams tested here are those of the arrays. */
START_TEST(words_are_prisms)
{
    ck_assert_int_eq(words_selftest(), 0);
    for (size_t size = 4; size <= 8; size += 4) {
        words_source s;
        words_open(&s, WORDS_LANES, size, 3);
        enum { STEPS = 128 };                   /* one opening of the array's strands */
        const int served = size == 4 ? 32 : 16; /* lanes of four strands */
        static uint64_t w[32 * STEPS];
        prism_words(s.key, PRISM_SR, size, size == 4 ? 24 : 53, 0, 32 * STEPS, w);
        for (int k = 0; k < STEPS; k++)
            for (int i = 0; i < served; i++) {
                uint64_t v = words_next(&s);
                ck_assert_msg(v == w[32 * k + i],
                              "size %zu step %d lane %d: %llx, array %llx", size, k, i,
                              (unsigned long long)v, (unsigned long long)w[32 * k + i]);
            }
    }
}
END_TEST

Suite *suite_words(void)
{
    Suite *s = suite_create("words");
    TCase *c = tcase_create("words");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, words_are_prisms);
    tcase_add_loop_test(c, orders, 0, 2 * WORDS_ORDERS);
    tcase_add_test(c, bad_words_fail);
    suite_add_tcase(s, c);
    return s;
}
