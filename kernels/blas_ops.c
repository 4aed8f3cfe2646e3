/* Rounded division of vectors by one number.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas_ops.h"

enum { PIECE = 128 };

void fz_divide_f32(fz_parts *p, ptrdiff_t n, f32 *x, f32 d)
{
    f32 by[PIECE];
    for (ptrdiff_t i = 0; i < PIECE && i < n; i++)
        by[i] = d;
    for (ptrdiff_t i = 0; i < n; i += PIECE) {
        const fz_job job = fz_part(p);
        prism_arrays(fz_kernels_isa(p->k))
            ->op_f32(PRISM_DIV, (size_t)(n - i < PIECE ? n - i : PIECE), x + i, by, by,
                     x + i, job.mode, job.t, job.key);
    }
}

void fz_divide_f64(fz_parts *p, ptrdiff_t n, f64 *x, f64 d)
{
    f64 by[PIECE];
    for (ptrdiff_t i = 0; i < PIECE && i < n; i++)
        by[i] = d;
    for (ptrdiff_t i = 0; i < n; i += PIECE) {
        const fz_job job = fz_part(p);
        prism_arrays(fz_kernels_isa(p->k))
            ->op_f64(PRISM_DIV, (size_t)(n - i < PIECE ? n - i : PIECE), x + i, by, by,
                     x + i, job.mode, job.t, job.key);
    }
}

/* Exponent of the larger part, 0 where there is none. */
static int exponent(f64 re, f64 im)
{
    re = __builtin_fabs(re);
    im = __builtin_fabs(im);
    const f64 big = re > im ? re : im;
    return __builtin_isfinite(big) ? fz_exponent(big) : 0;
}

void fz_divide_c32(fz_parts *p, ptrdiff_t n, c32 *x, c32 d)
{
    const enum prism_mode mode = p->job.mode;
    const int t = p->job.t;
    if (__imag__ d == 0) {
        fz_divide_f32(p, 2 * n, (f32 *)x, __real__ d);
        return;
    }
    const int e = exponent(__real__ d, __imag__ d);
    const f32 re = (f32)fz_times_power(__real__ d, -e);
    const f32 im = (f32)fz_times_power(__imag__ d, -e);
    f32 s = prism_mul_f32(im, im, mode, t, fz_part_word(p, sizeof(f32)));
    s = prism_fma_f32(re, re, s, mode, t, fz_part_word(p, sizeof(f32)));
    c32 inverse;
    __real__ inverse = prism_div_f32(re, s, mode, t, fz_part_word(p, sizeof(f32)));
    __imag__ inverse = prism_div_f32(-im, s, mode, t, fz_part_word(p, sizeof(f32)));
    op_scal_c32(p, n, inverse, x, 1);
    for (ptrdiff_t i = 0; i < 2 * n && e; i++)
        ((f32 *)x)[i] = (f32)fz_times_power(((f32 *)x)[i], -e);
}

void fz_divide_c64(fz_parts *p, ptrdiff_t n, c64 *x, c64 d)
{
    const enum prism_mode mode = p->job.mode;
    const int t = p->job.t;
    if (__imag__ d == 0) {
        fz_divide_f64(p, 2 * n, (f64 *)x, __real__ d);
        return;
    }
    const int e = exponent(__real__ d, __imag__ d);
    const f64 re = fz_times_power(__real__ d, -e), im = fz_times_power(__imag__ d, -e);
    f64 s = prism_mul_f64(im, im, mode, t, fz_part_word(p, sizeof(f64)));
    s = prism_fma_f64(re, re, s, mode, t, fz_part_word(p, sizeof(f64)));
    c64 inverse;
    __real__ inverse = prism_div_f64(re, s, mode, t, fz_part_word(p, sizeof(f64)));
    __imag__ inverse = prism_div_f64(-im, s, mode, t, fz_part_word(p, sizeof(f64)));
    op_scal_c64(p, n, inverse, x, 1);
    for (ptrdiff_t i = 0; i < 2 * n && e; i++)
        ((f64 *)x)[i] = fz_times_power(((f64 *)x)[i], -e);
}
