/* Rows of numbers of any type widened; fz_kernels.narrow is the way back.
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

#endif
