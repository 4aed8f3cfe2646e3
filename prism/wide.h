/* Rounding of a result that was computed to more bits than it keeps.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef PRISM_WIDE_H
#define PRISM_WIDE_H

#include "prism.h"

/* The number m * 2^e, negated if sign: m below 2^125, taken as exact. */
typedef struct prism_wide {
    int sign, e;
    unsigned __int128 m;
} prism_wide;

/* Rounded at t bits by the law, under the caller's FTZ. A zero keeps its sign. */
f32 prism_round_wide_f32(prism_wide x, enum prism_mode mode, int t, uint64_t w);
f64 prism_round_wide_f64(prism_wide x, enum prism_mode mode, int t, uint64_t w);

#endif
