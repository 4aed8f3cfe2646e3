/* Rows of numbers of any type widened, and narrowed where there is no table of kernels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_HALF_ROWS_H
#define FZ_HALF_ROWS_H

#include "half.h"

/* out[i] = x[i*inc], of any type. */
static inline void fz_widen_row(const void *x, enum fz_type type, ptrdiff_t inc,
                                ptrdiff_t n, f32 *out)
{
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = type == FZ_F32 ? ((const f32 *)x)[i * inc]
                                : fz_widen(((const uint16_t *)x)[i * inc], type);
}

/* The definition of fz_kernels.narrow, which is quicker. */
static inline void fz_narrow_row(const f32 *x, ptrdiff_t n, enum fz_type type,
                                 enum prism_mode mode, prism_key key, uint16_t *out,
                                 ptrdiff_t inc)
{
    prism_strand s = prism_strand_open(key, 0, 0, 0);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i && i % 8 == 0)
            prism_strand_step(&s);
        const uint32_t w = (uint32_t)(s.q[i % 8 / 2] >> i % 2 * 32);
        out[i * inc] = fz_narrow(x[i], type, mode, w);
    }
}

#endif
