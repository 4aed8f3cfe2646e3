/* BLAS of level 1 beside dot, axpy and scal: norms, sums of magnitudes, rotations.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * copy, swap and i?amax do no arithmetic that rounds (amax compares as the reference
 * does) and have no kernel. Increments as BLAS has them, negative ones with the lowest
 * address.
 */
#ifndef FZ_LEVEL1_H
#define FZ_LEVEL1_H

#include "blas_parts.h"

/* A complex vector of n is a real one of 2n in pairs: `width` is 2 then, else 1.
 *
 * nrm2  s * sqrt(sum of (x/s)^2): dot's law on runs of FZ_DOT_CHUNK, s a power of two, 1
 *       where all squares are normal numbers
 * asum  dot's law of |x| with ones
 * rot   x = fma(c, x, round(s*y)), y = fma(c, y, -round(s*x))
 * rotg  r = sign * 2^e * sqrt(fma(a, a, b^2)) of a and b scaled by 2^-e; c = a/r, s = b/r
 */
#define FZ_LEVEL1_DECLARE(R)                                                             \
    R fz_nrm2_##R(const fz_kernels *k, const fz_job *job, int width, ptrdiff_t n,        \
                  const R *x, ptrdiff_t incx);                                           \
    R fz_asum_##R(const fz_kernels *k, const fz_job *job, int width, ptrdiff_t n,        \
                  const R *x, ptrdiff_t incx);                                           \
    void fz_rot_##R(const fz_kernels *k, const fz_job *job, int width, ptrdiff_t n,      \
                    R *x, ptrdiff_t incx, R *y, ptrdiff_t incy, R c, R s);               \
    void fz_rotg_##R(const fz_kernels *k, const fz_job *job, R *a, R *b, R *c, R *s);
FZ_LEVEL1_DECLARE(f32)
FZ_LEVEL1_DECLARE(f64)
#undef FZ_LEVEL1_DECLARE

#endif
