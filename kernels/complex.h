/* Complex products and vectors, by real kernels over twice the length.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A complex multiply-add is four real ones, each rounded once:
 *   re = fma(x_i, -y_i, fma(x_r, y_r, re))     im = fma(x_i, y_r, fma(x_r, y_i, im))
 * Where a scalar's imaginary part is 0, the operations with it are left out.
 */
#ifndef FZ_COMPLEX_H
#define FZ_COMPLEX_H

#include "blas_parts.h"

/* C = alpha*A*B + beta*C, as fz_gemm_f32_fn says, with these additions. conja, conjb:
 * conjugate that operand. k goes in runs of FZ_COMPLEX_RUN, each summed in order with x
 * from A and y from B (exchanged where m > 1 and C is column-major or has one column),
 * then C = alpha*run + C, by fma, run after run. */
#define FZ_COMPLEX_RUN 256

/* y = alpha*x + y: with the real part of alpha first, then with its imaginary one.
 * x = alpha*x: the real part of alpha times x, rounded, then as axpy with x as it was. */
/* Sum of x[i]*y[i], conj: of conj(x[i])*y[i]; the real dot products, over 2n, of
 * (x_r, x_i) with (y_r, -y_i) and with (y_i, y_r), FZ_COMPLEX_CHUNK elements at a time.
 */
#define FZ_COMPLEX_CHUNK (FZ_DOT_CHUNK / 2)

#define FZ_COMPLEX_DECLARE(X)                                                            \
    void fz_gemm_##X(const fz_kernels *k, const fz_job *job, ptrdiff_t m, ptrdiff_t n,   \
                     ptrdiff_t kk, X alpha, int conja, const X *a, ptrdiff_t rsa,        \
                     ptrdiff_t csa, int conjb, const X *b, ptrdiff_t rsb, ptrdiff_t csb, \
                     X beta, X *c, ptrdiff_t rsc, ptrdiff_t csc);                        \
    void fz_axpy_##X(const fz_kernels *k, const fz_job *job, ptrdiff_t n, X alpha,       \
                     int conj, const X *x, ptrdiff_t incx, X *y, ptrdiff_t incy);        \
    void fz_scal_##X(const fz_kernels *k, const fz_job *job, ptrdiff_t n, X alpha, X *x, \
                     ptrdiff_t incx);                                                    \
    X fz_dot_##X(const fz_kernels *k, const fz_job *job, ptrdiff_t n, int conj,          \
                 const X *x, ptrdiff_t incx, const X *y, ptrdiff_t incy);
FZ_COMPLEX_DECLARE(c32)
FZ_COMPLEX_DECLARE(c64)
#undef FZ_COMPLEX_DECLARE

#endif
