/* Products and vectors by one name for real and complex types: what templates are built
 * on.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each takes the next part of a call. conj flags mean nothing to real types.
 */
#ifndef FZ_BLAS_OPS_H
#define FZ_BLAS_OPS_H

#include "complex.h"

#define FZ_REAL_OPS(R)                                                                   \
    static inline void op_gemm_##R(                                                      \
        fz_parts *p, ptrdiff_t m, ptrdiff_t n, ptrdiff_t kk, R alpha, int conja,         \
        const R *a, ptrdiff_t rsa, ptrdiff_t csa, int conjb, const R *b, ptrdiff_t rsb,  \
        ptrdiff_t csb, R beta, R *c, ptrdiff_t rsc, ptrdiff_t csc)                       \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        (void)conja, (void)conjb;                                                        \
        p->k->gemm_##R(&job, m, n, kk, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc,    \
                       csc);                                                             \
    }                                                                                    \
    static inline void op_axpy_##R(fz_parts *p, ptrdiff_t n, R alpha, int conj,          \
                                   const R *x, ptrdiff_t incx, R *y, ptrdiff_t incy)     \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        (void)conj;                                                                      \
        if (n > 0)                                                                       \
            p->k->axpy_##R(&job, n, alpha, x, incx, y, incy);                            \
    }                                                                                    \
    static inline void op_scal_##R(fz_parts *p, ptrdiff_t n, R alpha, R *x,              \
                                   ptrdiff_t incx)                                       \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        if (n > 0)                                                                       \
            p->k->scal_##R(&job, n, alpha, x, incx);                                     \
    }                                                                                    \
    static inline R op_dot_##R(fz_parts *p, ptrdiff_t n, int conj, const R *x,           \
                               ptrdiff_t incx, const R *y, ptrdiff_t incy)               \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        (void)conj;                                                                      \
        return n > 0 ? p->k->dot_##R(&job, n, x, incx, y, incy) : 0;                     \
    }
FZ_REAL_OPS(f32)
FZ_REAL_OPS(f64)
#undef FZ_REAL_OPS

#define FZ_COMPLEX_OPS(X)                                                                \
    static inline void op_gemm_##X(                                                      \
        fz_parts *p, ptrdiff_t m, ptrdiff_t n, ptrdiff_t kk, X alpha, int conja,         \
        const X *a, ptrdiff_t rsa, ptrdiff_t csa, int conjb, const X *b, ptrdiff_t rsb,  \
        ptrdiff_t csb, X beta, X *c, ptrdiff_t rsc, ptrdiff_t csc)                       \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        fz_gemm_##X(p->k, &job, m, n, kk, alpha, conja, a, rsa, csa, conjb, b, rsb, csb, \
                    beta, c, rsc, csc);                                                  \
    }                                                                                    \
    static inline void op_axpy_##X(fz_parts *p, ptrdiff_t n, X alpha, int conj,          \
                                   const X *x, ptrdiff_t incx, X *y, ptrdiff_t incy)     \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        fz_axpy_##X(p->k, &job, n, alpha, conj, x, incx, y, incy);                       \
    }                                                                                    \
    static inline void op_scal_##X(fz_parts *p, ptrdiff_t n, X alpha, X *x,              \
                                   ptrdiff_t incx)                                       \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        fz_scal_##X(p->k, &job, n, alpha, x, incx);                                      \
    }                                                                                    \
    static inline X op_dot_##X(fz_parts *p, ptrdiff_t n, int conj, const X *x,           \
                               ptrdiff_t incx, const X *y, ptrdiff_t incy)               \
    {                                                                                    \
        const fz_job job = fz_part(p);                                                   \
        return fz_dot_##X(p->k, &job, n, conj, x, incx, y, incy);                        \
    }
FZ_COMPLEX_OPS(c32)
FZ_COMPLEX_OPS(c64)
#undef FZ_COMPLEX_OPS

/* x = x/d for n numbers side by side, each part rounded. A complex d with an imaginary
 * part is inverted first: with d' = d*2^-e, its larger part in [1, 2), x is multiplied by
 * d'_r/s - i d'_i/s, s = fma(d'_r, d'_r, d'_i^2), and by 2^-e. */
void fz_divide_f32(fz_parts *p, ptrdiff_t n, f32 *x, f32 d);
void fz_divide_f64(fz_parts *p, ptrdiff_t n, f64 *x, f64 d);
void fz_divide_c32(fz_parts *p, ptrdiff_t n, c32 *x, c32 d);
void fz_divide_c64(fz_parts *p, ptrdiff_t n, c64 *x, c64 d);

#endif
