/* Numbers of a tensor, whatever its type, for tests of the kernels on tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NUMBERS_H
#define NUMBERS_H

#include "../../kernels/half_rows.h"
#include "test.h"

/* In [-1, 1). */
static inline f32 some(rng *g)
{
    return (f32)((f64)(int64_t)rng_next(g) * 0x1p-63);
}

/* At an element, not an index. */
static inline void put(const fz_tensor *t, ptrdiff_t at, f32 x)
{
    if (t->type == FZ_F32)
        ((f32 *)t->data)[at] = x;
    else
        ((uint16_t *)t->data)[at] = fz_narrow(x, t->type, PRISM_NEAREST, 0);
}

static inline f32 get(const fz_tensor *t, ptrdiff_t at)
{
    f32 x;
    fz_widen_row((char *)t->data + at * (ptrdiff_t)fz_type_size(t->type), t->type, 1, 1,
                 &x);
    return x;
}

#endif
