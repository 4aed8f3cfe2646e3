/* Numbers of a tensor, whatever its type, for tests of the kernels on tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <xmmintrin.h>

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

/* Threads of a host that has set FTZ and DAZ in one thread only: tasks begin without. */
static int unlike_max(void)
{
    return 2;
}

static void unlike_run(void (*body)(void *, int), void *arg, int n)
{
    const unsigned old = _mm_getcsr();
    _mm_setcsr(old & ~0x8040u);
    for (int i = 0; i < n; i++)
        body(arg, i);
    _mm_setcsr(old);
}

static const fz_threads unlike_threads = {unlike_max, unlike_run};

/* The definition of fz_kernels.narrow, which is quicker. */
static inline void narrow_row(const f32 *x, ptrdiff_t n, enum fz_type type,
                       enum prism_mode mode, prism_key key, uint16_t *out)
{
    prism_strand s = prism_strand_open(key, 0, 0, 0);
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i && i % 8 == 0)
            prism_strand_step(&s);
        const uint32_t w = (uint32_t)(s.q[i % 8 / 2] >> i % 2 * 32);
        out[i] = fz_narrow(x[i], type, mode, w);
    }
}

#endif
