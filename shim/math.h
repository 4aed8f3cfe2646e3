/* One call of a math function: the kernel on n elements, or the original.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_SHIM_MATH_H
#define FZ_SHIM_MATH_H

#include "shim.h"

/* FZ_FN_ of the functions that a call computes: what follows the first is sincos's. */
static inline void fz_map_f32(const fz_call *c, enum fz_fn fn, long n, const f32 *x,
                              const f32 *y, f32 *out)
{
    c->k->map_f32(&c->job, fn, n, x, y, out);
}

static inline void fz_map_f64(const fz_call *c, enum fz_fn fn, long n, const f64 *x,
                              const f64 *y, f64 *out)
{
    c->k->map_f64(&c->job, fn, n, x, y, out);
}

/* Sine and cosine of one call: streams of their own. */
static inline void fz_second(fz_call *c)
{
    c->job.key = prism_key_derive(c->job.key, 1);
}

#endif
