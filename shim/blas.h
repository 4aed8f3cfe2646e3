/* Arguments of BLAS: checks with the parameter numbers of the reference, operation
 * counts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_BLAS_H
#define FZ_BLAS_H

#include "shim.h"

enum {
    FZ_ROW = 101,
    FZ_COL = 102,
    FZ_NOTRANS = 111,
    FZ_TRANS = 112,
    FZ_CONJ = 113,
    FZ_PACKED = 151,
    FZ_A_MATRIX = 161,
    FZ_B_MATRIX = 162
};

/* 0: as it is, 1: transposed, -1: illegal. */
static inline int fz_trans(char c)
{
    switch (c) {
    case 'N':
    case 'n': return 0;
    case 'T':
    case 't':
    case 'C':
    case 'c': return 1;
    }
    return -1;
}

static inline int fz_cblas_trans(int t)
{
    return t == FZ_NOTRANS ? 0 : t == FZ_TRANS || t == FZ_CONJ ? 1 : -1;
}

static inline bool fz_ld_short(long ld, long rows)
{
    return ld < (rows > 1 ? rows : 1);
}

/* Fortran's numbers: transa 1, transb 2, m 3, n 4, k 5, lda 8, ldb 10, ldc 13. */
static inline int fz_gemm_info(int ta, int tb, long m, long n, long k, long lda, long ldb,
                               long ldc)
{
    if (ta < 0)
        return 1;
    if (tb < 0)
        return 2;
    if (m < 0)
        return 3;
    if (n < 0)
        return 4;
    if (k < 0)
        return 5;
    if (fz_ld_short(lda, ta ? k : m))
        return 8;
    if (fz_ld_short(ldb, tb ? n : k))
        return 10;
    return fz_ld_short(ldc, m) ? 13 : 0;
}

/* trans 1, m 2, n 3, lda 6, incx 8, incy 11. */
static inline int fz_gemv_info(int ta, long m, long n, long lda, long incx, long incy)
{
    if (ta < 0)
        return 1;
    if (m < 0)
        return 2;
    if (n < 0)
        return 3;
    if (fz_ld_short(lda, m))
        return 6;
    if (incx == 0)
        return 8;
    return incy == 0 ? 11 : 0;
}

/* m 1, n 2, incx 5, incy 7, lda 9. */
static inline int fz_ger_info(long m, long n, long incx, long incy, long lda)
{
    if (m < 0)
        return 1;
    if (n < 0)
        return 2;
    if (incx == 0)
        return 5;
    if (incy == 0)
        return 7;
    return fz_ld_short(lda, m) ? 9 : 0;
}

/* CBLAS: one more for the layout; a row-major call is the Fortran call of the transposed
 * problem, whose numbers come back in terms of the caller's arguments, checked in that
 * order as the reference does. */
int fz_cblas_gemm_info(int layout, int ta, int tb, long m, long n, long k, long lda,
                       long ldb, long ldc);
int fz_cblas_gemv_info(int layout, int ta, long m, long n, long lda, long incx,
                       long incy);
int fz_cblas_ger_info(int layout, long m, long n, long incx, long incy, long lda);

static inline uint64_t fz_flops(uint64_t each, long m, long n, long k)
{
    return m > 0 && n > 0 && k > 0 ? each * (uint64_t)m * (uint64_t)n * (uint64_t)k : 0;
}

/* The job of a call that is passed through although there is no original for it. */
void fz_nearest(fz_call *call, size_t size);

#endif
