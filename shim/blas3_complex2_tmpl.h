/* Fortran routines of levels 1 and 2 of the complex types alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{c,z}.c. Pass through, check as the reference does, compute.
 */

/* y = alpha*op(A)*x + beta*y as a product with one column. */
static void gemv(const fz_call *c, char trans, long m, long n, T alpha, const T *a,
                 long lda, const T *x, long incx, T beta, T *y, long incy)
{
    const long rows = trans == 'N' ? m : n, cols = trans == 'N' ? n : m;
    FZ(gemm)
    (c->k, &c->job, rows, 1, cols, alpha, trans == 'C', a, trans == 'N' ? 1 : lda,
     trans == 'N' ? lda : 1, 0, fz_start(x, cols, incx, sizeof *x), incx, 1, beta,
     fz_start(y, rows, incy, sizeof *y), incy, 1);
}

FZ_EXPORT void FORTRAN(gemv)(const char *trans, const int *m, const int *n,
                             const T *alpha, const T *a, const int *lda, const T *x,
                             const int *incx, const T *beta, T *y, const int *incy,
                             size_t l1)
{
    fz_call call;
    const char trans_ = fz_letter(trans, "NTC");
    if (!fz_enter(&call, SYMBOL(FORTRAN(gemv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(gemv)) *)call.real)(trans, m, n, alpha, a, lda, x, incx, beta, y,
                                           incy, l1);
    } else {
        const int info = !trans_                 ? 1
                         : *m < 0                ? 2
                         : *n < 0                ? 3
                         : fz_ld_short(*lda, *m) ? 6
                         : *incx == 0            ? 8
                         : *incy == 0            ? 11
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "GEMV ", info);
        else if (!(*m == 0 || *n == 0 || (*alpha == 0 && *beta == 1)))
            gemv(&call, trans_, *m, *n, *alpha, a, *lda, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *m, *n, 1));
}

FZ_EXPORT void FORTRAN(geru)(const int *m, const int *n, const T *alpha, const T *x,
                             const int *incx, const T *y, const int *incy, T *a,
                             const int *lda)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(geru)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(geru)) *)call.real)(m, n, alpha, x, incx, y, incy, a, lda);
    } else {
        const int info = *m < 0                  ? 1
                         : *n < 0                ? 2
                         : *incx == 0            ? 5
                         : *incy == 0            ? 7
                         : fz_ld_short(*lda, *m) ? 9
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "GERU ", info);
        else if (!(*m == 0 || *n == 0 || *alpha == 0))
            FZ(geru)(call.k, &call.job, 0, *m, *n, *alpha, x, *incx, y, *incy, a, *lda);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *m, *n, 1));
}

FZ_EXPORT void FORTRAN(gerc)(const int *m, const int *n, const T *alpha, const T *x,
                             const int *incx, const T *y, const int *incy, T *a,
                             const int *lda)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(gerc)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(gerc)) *)call.real)(m, n, alpha, x, incx, y, incy, a, lda);
    } else {
        const int info = *m < 0                  ? 1
                         : *n < 0                ? 2
                         : *incx == 0            ? 5
                         : *incy == 0            ? 7
                         : fz_ld_short(*lda, *m) ? 9
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "GERC ", info);
        else if (!(*m == 0 || *n == 0 || *alpha == 0))
            FZ(geru)(call.k, &call.job, 1, *m, *n, *alpha, x, *incx, y, *incy, a, *lda);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *m, *n, 1));
}

FZ_EXPORT void FORTRAN(axpy)(const int *n, const T *alpha, const T *x, const int *incx,
                             T *y, const int *incy)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(axpy)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(axpy)) *)call.real)(n, alpha, x, incx, y, incy);
    } else if (!(*n <= 0 || *alpha == 0)) {
        FZ(axpy)
        (call.k, &call.job, *n, *alpha, 0, fz_start(x, *n, *incx, sizeof *x), *incx,
         fz_start(y, *n, *incy, sizeof *y), *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, 1, 1));
}

FZ_EXPORT void FORTRAN(scal)(const int *n, const T *alpha, T *x, const int *incx)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(scal)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(scal)) *)call.real)(n, alpha, x, incx);
    } else if (!(*n <= 0 || *incx <= 0)) {
        FZ(scal)(call.k, &call.job, *n, *alpha, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, 1, 1));
}

FZ_EXPORT void MIXED(scal)(const int *n, const R *alpha, T *x, const int *incx)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(MIXED(scal)), FZ_FROM, sizeof(R))) {
        ((TYPE(MIXED(scal)) *)call.real)(n, alpha, x, incx);
    } else if (!(*n <= 0 || *incx <= 0)) {
        FZ(scal)(call.k, &call.job, *n, *alpha, x, *incx);
    }
    fz_leave(&call, fz_flops(2, *n, 1, 1));
}

FZ_EXPORT void MIXED(rot)(const int *n, T *x, const int *incx, T *y, const int *incy,
                          const R *c, const R *s)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(MIXED(rot)), FZ_FROM, sizeof(R))) {
        ((TYPE(MIXED(rot)) *)call.real)(n, x, incx, y, incy, c, s);
    } else if (!(*n <= 0)) {
        FZR(rot)(call.k, &call.job, 2, *n, (R *)x, *incx, (R *)y, *incy, *c, *s);
    }
    fz_leave(&call, fz_flops(12, *n, 1, 1));
}

FZ_EXPORT R NORM(nrm2)(const int *n, const T *x, const int *incx)
{
    fz_call call;
    R r = 0;
    if (!fz_enter(&call, SYMBOL(NORM(nrm2)), FZ_FROM, sizeof(R))) {
        r = ((TYPE(NORM(nrm2)) *)call.real)(n, x, incx);
    } else if (!(*n <= 0 || *incx == 0)) {
        r = FZR(nrm2)(call.k, &call.job, 2, *n, (const R *)x, *incx);
    }
    fz_leave(&call, fz_flops(4, *n, 1, 1));
    return r;
}

FZ_EXPORT R NORM(asum)(const int *n, const T *x, const int *incx)
{
    fz_call call;
    R r = 0;
    if (!fz_enter(&call, SYMBOL(NORM(asum)), FZ_FROM, sizeof(R))) {
        r = ((TYPE(NORM(asum)) *)call.real)(n, x, incx);
    } else if (!(*n <= 0 || *incx <= 0)) {
        r = FZR(asum)(call.k, &call.job, 2, *n, (const R *)x, *incx);
    }
    fz_leave(&call, fz_flops(2, *n, 1, 1));
    return r;
}
