/* Norms, sums of magnitudes and rotations of both types.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "level1.h"

#include "blas_ops.h"

#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
#define NAME(base) JOIN(JOIN(base, _), R)
#define PRISM(op) JOIN(JOIN(JOIN(prism_, op), _), R)
#define ONE(p) (p)->job.mode, (p)->job.t, fz_part_word(p, sizeof(R))

#define R f32
#define SAFE_LOG2 40 /* squares of 2^-40 .. 2^40, and 2^46 of them, are normal */
#include "level1_more_tmpl.h"
#undef R
#undef SAFE_LOG2

#define R f64
#define SAFE_LOG2 400
#include "level1_more_tmpl.h"
