/* What the vector forms of the math functions share with the scalar definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The wide value of a function: the exact value rounded to nearest at 53 bits (in f64's
 * range) for f32 functions, at 105 bits (in binary128's range) for f64 ones. The law is
 * applied to the wide value, taken as exact; docs/math.md.
 */
#ifndef FZ_MATH_H
#define FZ_MATH_H

#include "kernels.h"

#include "../prism/wide.h"

#define FZ_ERF_STEPS 400

/* The definition, lane by lane: binary128 functions of libm (about 113 bits), then the law. */
f32 fz_math_f32(enum fz_fn fn, f32 x, f32 y, enum prism_mode mode, int t, uint64_t w);
f64 fz_math_f64(enum fz_fn fn, f64 x, f64 y, enum prism_mode mode, int t, uint64_t w);

/* The wide value of an f32 function to 64 bits (extended precision), then to 53: up to half
 * a unit of 2^-53 off, and so never to be trusted next to a number of t bits. */
f64 fz_math_wide_f32(enum fz_fn fn, f64 x, f64 y);

/* The law on a wide value of an f32 function. */
f32 fz_math_round_f32(f64 wide, enum prism_mode mode, int t, uint64_t w);

int fz_math_binary(enum fz_fn fn);

/* Constants as sums of two doubles, computed once from binary128. */
typedef struct fz_math_tables {
    f64 exp2[2][64];           /* 2^(j/64) */
    f64 exp16[16];             /* 2^(j/16), less j*2^48 in its bits */
    f64 inv16[16];             /* c near 1/m, at most 28 bits; 1 around m = 1 */
    f64 log16[2][16];          /* -log(c) */
    f64 inverse[128];          /* c near 1/m, at most 10 bits; 1 around m = 1 */
    f64 logc[2][128];          /* -log(c) */
    f64 fact[2][32];           /* 1/n! */
    f64 recip[2][32];          /* 1/n */
    f64 ln2[2], log2e[2], log10e[2], two_over_sqrt_pi[2];
    f64 erf[2][FZ_ERF_STEPS + 1];    /* erf(j/64) */
    f64 slope[2][FZ_ERF_STEPS + 1];  /* 2/sqrt(pi) exp(-(j/64)^2) */
} fz_math_tables;

/* Where log's intervals begin: 1 lies in the middle of one of them. */
#define FZ_LOG_OFF (INT64_C(0x3fe6000000000000) + (INT64_C(1) << 44))
#define FZ_LOG_OFF16 (INT64_C(0x3fe6000000000000) + (INT64_C(1) << 47))

extern fz_math_tables fz_math_constants;
void fz_math_init(void);       /* may race: every thread computes the same */

#endif
