/* Seeded, shaped operands: where rounding goes wrong, not where it is easy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_INPUTS_H
#define TEST_INPUTS_H

#include "oracle.h"

typedef struct rng {
    uint64_t s;
} rng;

uint64_t rng_next(rng *g);
uint64_t rng_below(rng *g, uint64_t n);
double rng_unit(rng *g); /* [0, 1) */

/* The seed of a suite: FZ_TEST_SEED if it is set, else `fixed`. */
uint64_t test_seed(uint64_t fixed);

enum shape {
    SHAPE_UNIFORM, /* exponents near each other */
    SHAPE_WIDE,    /* any finite pattern */
    SHAPE_CANCEL,
    SHAPE_OVERFLOW,
    SHAPE_SUBNORMAL,
    SHAPE_EXACT,   /* few significant bits: exact and tied results */
    SHAPE_POWER,   /* powers of two and their neighbours */
    SHAPE_TIE,     /* half way, give or take a hair */
    SHAPE_GAP,     /* operands at opposite ends of the exponent range */
    SHAPE_SPECIAL, /* zeros, inf, NaN, extremes */
    SHAPES
};

extern const char *const shape_name[SHAPES];

/* Fill q->a, b, c (and i) for q->op. */
void shape_operands(rng *g, enum shape shape, oracle_case *q);

/* One array element of the given shape. */
f64 shape_value(rng *g, enum shape shape, int is_f32);

/* Words worth trying on x: the ends, the threshold, a few random ones. Returns how many,
 * at most WORDS_MAX. */
#define WORDS_MAX 12
int shape_words(rng *g, const oracle_answer *x, uint64_t *w);

#endif
