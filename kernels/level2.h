/* BLAS of level 2 beside gemv, by columns, for full, packed and banded storage.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Column-major as in Fortran; arguments are checked. A vector with a negative increment
 * is given by its lowest address, as BLAS has it. Each routine goes column by column, as
 * the reference does, by axpy and dot on the stored part of the column; columns whose
 * factor is 0 are skipped where the reference skips them.
 */
#ifndef FZ_LEVEL2_H
#define FZ_LEVEL2_H

#include "blas_parts.h"

/* Where column j of a triangle is. ld: the leading dimension; band: diagonals beside the
 * main one. */
typedef struct fz_stored {
    enum { FZ_STORED_FULL, FZ_STORED_PACKED, FZ_STORED_BAND } how;
    ptrdiff_t ld, band;
} fz_stored;

/* herm: hemv, her, her2 (real alpha for her). trans: 'N', 'T' or 'C'. conj: gerc. */
#define FZ_LEVEL2_DECLARE(X)                                                             \
    void fz_symv_##X(const fz_kernels *k, const fz_job *job, fz_stored s, int herm,      \
                     int upper, ptrdiff_t n, X alpha, const X *a, const X *x,            \
                     ptrdiff_t incx, X beta, X *y, ptrdiff_t incy);                      \
    void fz_trmv_##X(const fz_kernels *k, const fz_job *job, fz_stored s, int upper,     \
                     char trans, int unit, ptrdiff_t n, const X *a, X *x,                \
                     ptrdiff_t incx);                                                    \
    void fz_trsv_##X(const fz_kernels *k, const fz_job *job, fz_stored s, int upper,     \
                     char trans, int unit, ptrdiff_t n, const X *a, X *x,                \
                     ptrdiff_t incx);                                                    \
    void fz_syr_##X(const fz_kernels *k, const fz_job *job, fz_stored s, int herm,       \
                    int upper, ptrdiff_t n, X alpha, const X *x, ptrdiff_t incx, X *a);  \
    void fz_syr2_##X(const fz_kernels *k, const fz_job *job, fz_stored s, int herm,      \
                     int upper, ptrdiff_t n, X alpha, const X *x, ptrdiff_t incx,        \
                     const X *y, ptrdiff_t incy, X *a);                                  \
    void fz_gbmv_##X(const fz_kernels *k, const fz_job *job, char trans, ptrdiff_t m,    \
                     ptrdiff_t n, ptrdiff_t kl, ptrdiff_t ku, X alpha, const X *a,       \
                     ptrdiff_t lda, const X *x, ptrdiff_t incx, X beta, X *y,            \
                     ptrdiff_t incy);                                                    \
    void fz_geru_##X(const fz_kernels *k, const fz_job *job, int conj, ptrdiff_t m,      \
                     ptrdiff_t n, X alpha, const X *x, ptrdiff_t incx, const X *y,       \
                     ptrdiff_t incy, X *a, ptrdiff_t lda);
FZ_LEVEL2_DECLARE(f32)
FZ_LEVEL2_DECLARE(f64)
FZ_LEVEL2_DECLARE(c32)
FZ_LEVEL2_DECLARE(c64)
#undef FZ_LEVEL2_DECLARE

#endif
