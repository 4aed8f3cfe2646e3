/* CBLAS argument checks: the Fortran ones of the problem that a row-major call stands
 * for.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas.h"

/* The caller's number of an argument that the transposed problem calls `info`. */
static int exchange(int info, int a, int b)
{
    return info == a ? b : info == b ? a : info;
}

int fz_cblas_gemm_info(int layout, int ta, int tb, long m, long n, long k, long lda,
                       long ldb, long ldc)
{
    int info;
    if (layout != FZ_ROW && layout != FZ_COL)
        return 1;
    /* The reference looks at both transpositions before anything else. */
    if (fz_cblas_trans(ta) < 0)
        return 2;
    if (fz_cblas_trans(tb) < 0)
        return 3;
    if (layout == FZ_COL) {
        info =
            fz_gemm_info(fz_cblas_trans(ta), fz_cblas_trans(tb), m, n, k, lda, ldb, ldc);
        return info ? info + 1 : 0;
    }
    info = fz_gemm_info(fz_cblas_trans(tb), fz_cblas_trans(ta), n, m, k, ldb, lda, ldc);
    return info ? exchange(exchange(info + 1, 4, 5), 9, 11) : 0;
}

int fz_cblas_gemv_info(int layout, int ta, long m, long n, long lda, long incx, long incy)
{
    int info, t = fz_cblas_trans(ta);
    if (layout != FZ_ROW && layout != FZ_COL)
        return 1;
    if (t < 0)
        return 2;
    if (layout == FZ_COL) {
        info = fz_gemv_info(t, m, n, lda, incx, incy);
        return info ? info + 1 : 0;
    }
    info = fz_gemv_info(!t, n, m, lda, incx, incy);
    return info ? exchange(info + 1, 3, 4) : 0;
}

int fz_cblas_ger_info(int layout, long m, long n, long incx, long incy, long lda)
{
    int info;
    if (layout != FZ_ROW && layout != FZ_COL)
        return 1;
    if (layout == FZ_COL) {
        info = fz_ger_info(m, n, incx, incy, lda);
        return info ? info + 1 : 0;
    }
    info = fz_ger_info(n, m, incy, incx, lda);
    return info ? exchange(exchange(info + 1, 2, 3), 6, 8) : 0;
}
