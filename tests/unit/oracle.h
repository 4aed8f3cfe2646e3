/* What prism's laws give, from the exact result in GMP integers. Shares no code with
 * prism.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_ORACLE_H
#define TEST_ORACLE_H

#include <stdint.h>

#include "../../prism/prism.h"

enum oracle_op {
    ORACLE_ADD,
    ORACLE_SUB,
    ORACLE_MUL,
    ORACLE_DIV,
    ORACLE_SQRT,
    ORACLE_FMA,
    ORACLE_F64_F32,
    ORACLE_I32_F32,
    ORACLE_I64_F32,
    ORACLE_I64_F64,
    ORACLE_OPS
};

extern const char *const oracle_op_name[ORACLE_OPS];
extern const char *const oracle_mode_name[4];

/* One operation. f32 operands are given widened, which is exact. */
typedef struct oracle_case {
    enum oracle_op op;
    int is_f32;  /* of the result */
    f64 a, b, c; /* operands of an operation and of f64 -> f32 */
    int64_t i;   /* operand of an integer conversion */
    enum prism_mode mode;
    int t, ftz, daz;
} oracle_case;

/* All that one case can give; the word only picks. Patterns are of the result's type. */
typedef struct oracle_answer {
    int fixed;  /* every word gives `nearest` */
    int is_nan; /* and that is any NaN */
    int inexact;
    unsigned negative;
    enum prism_mode mode; /* the law that is followed: conversions know no ud */
    int r;
    uint64_t a, b, nearest; /* a nearer zero; b may be inf */
    uint64_t down, up;      /* nearest moved by one unit */
    uint64_t F;             /* (x-a)/(b-a) * 2^r to nearest even, 0 .. 2^r */
    uint64_t F8;            /* the same * 256, rounded down */
    int F8_exact;
    int slack; /* F may be off by one unit: f64, inexact */
} oracle_answer;

oracle_answer oracle_prepare(const oracle_case *q);

/* The result for word w. */
uint64_t oracle_pick(const oracle_answer *x, uint64_t w);

/* Is `got` right for w? -1: yes, but only thanks to the slack of f64. */
int oracle_accepts(const oracle_answer *x, uint64_t w, uint64_t got);

/* P(result is b) under sr, as the real number that the words average to. */
double oracle_probability_up(const oracle_answer *x);

uint64_t bits_f64(f64 x);
uint64_t bits_f32(f32 x);
f64 f64_bits(uint64_t b);
f32 f32_bits(uint64_t b);

#endif
