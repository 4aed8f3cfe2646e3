/* Fortran and CBLAS routines of one type; blas.c includes it with T, FORTRAN, CBLAS,
 * UPPER.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every routine has the same three parts: pass through, check as the reference does,
 * compute. Increments: BLAS's x points at the lowest address; ours at element 0.
 */

#define KERNEL(name) JOIN(name, _, T)

static void gemm(const fz_call *c, bool ta, bool tb, long m, long n, long k, T alpha,
                 const T *a, long lda, const T *b, long ldb, T beta, T *cc, long ldc,
                 bool row)
{
    if (m == 0 || n == 0 || ((alpha == 0 || k == 0) && beta == 1))
        return;
    /* X[i,j] lies at i + j*ld in a column-major matrix; the layout and a transposition
     * both exchange the two strides. */
    long rsa = ta == row ? 1 : lda, csa = ta == row ? lda : 1;
    long rsb = tb == row ? 1 : ldb, csb = tb == row ? ldb : 1;
    c->k->KERNEL(gemm)(&c->job, m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, cc,
                       row ? ldc : 1, row ? 1 : ldc);
}

static void gemv(const fz_call *c, bool trans, long m, long n, T alpha, const T *a,
                 long rsa, long csa, const T *x, long incx, T beta, T *y, long incy)
{
    if (m == 0 || n == 0 || (alpha == 0 && beta == 1))
        return;
    long rows = trans ? n : m, cols = trans ? m : n;
    long rs = trans ? csa : rsa, cs = trans ? rsa : csa;
    if (incx < 0)
        x -= (cols - 1) * incx;
    if (incy < 0) {
        /* y backwards is the product of the rows backwards: C's strides stay positive. */
        a += (rows - 1) * rs;
        rs = -rs;
        incy = -incy;
    }
    c->k->KERNEL(gemm)(&c->job, rows, 1, cols, alpha, a, rs, cs, x, incx, 1, beta, y,
                       incy, 1);
}

static void ger(const fz_call *c, long m, long n, T alpha, const T *x, long incx,
                const T *y, long incy, T *a, long rsa, long csa)
{
    if (m == 0 || n == 0 || alpha == 0)
        return;
    if (incx < 0)
        x -= (m - 1) * incx;
    if (incy < 0)
        y -= (n - 1) * incy;
    c->k->KERNEL(ger)(&c->job, m, n, alpha, x, incx, y, incy, a, rsa, csa);
}

static T dot(const fz_call *c, long n, const T *x, long incx, const T *y, long incy)
{
    if (n <= 0)
        return 0;
    if (incx < 0)
        x -= (n - 1) * incx;
    if (incy < 0)
        y -= (n - 1) * incy;
    return c->k->KERNEL(dot)(&c->job, n, x, incx, y, incy);
}

static void axpy(const fz_call *c, long n, T alpha, const T *x, long incx, T *y,
                 long incy)
{
    if (n <= 0 || alpha == 0)
        return;
    if (incx < 0)
        x -= (n - 1) * incx;
    if (incy < 0)
        y -= (n - 1) * incy;
    if (incy != 0) {
        c->k->KERNEL(axpy)(&c->job, n, alpha, x, incx, y, incy);
        return;
    }
    /* All into one element: one after another, as the reference loop does. */
    fz_job one = c->job;
    for (long i = 0; i < n; i++) {
        one.key = prism_key_derive(c->job.key, (uint64_t)i);
        c->k->KERNEL(axpy)(&one, 1, alpha, x + i * incx, 1, y, 1);
    }
}

static void scal(const fz_call *c, long n, T alpha, T *x, long incx)
{
    if (n > 0 && incx > 0)
        c->k->KERNEL(scal)(&c->job, n, alpha, x, incx);
}

/* ---- Fortran ----------------------------------------------------------------------- */

FZ_EXPORT void FORTRAN(gemm)(const char *ta, const char *tb, const int *m, const int *n,
                             const int *k, const T *alpha, const T *a, const int *lda,
                             const T *b, const int *ldb, const T *beta, T *c,
                             const int *ldc, size_t la, size_t lb)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(gemm)), FZ_FROM, sizeof(T))) {
        ((TYPE(FORTRAN(gemm)) *)call.real)(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta,
                                           c, ldc, la, lb);
    } else {
        int info =
            fz_gemm_info(fz_trans(*ta), fz_trans(*tb), *m, *n, *k, *lda, *ldb, *ldc);
        if (info)
            fz_xerbla(&call, UPPER "GEMM ", info);
        else
            gemm(&call, fz_trans(*ta), fz_trans(*tb), *m, *n, *k, *alpha, a, *lda, b,
                 *ldb, *beta, c, *ldc, false);
    }
    fz_leave(&call, fz_flops(2, *m, *n, *k));
}

FZ_EXPORT void FORTRAN(gemv)(const char *ta, const int *m, const int *n, const T *alpha,
                             const T *a, const int *lda, const T *x, const int *incx,
                             const T *beta, T *y, const int *incy, size_t la)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(gemv)), FZ_FROM, sizeof(T))) {
        ((TYPE(FORTRAN(gemv)) *)call.real)(ta, m, n, alpha, a, lda, x, incx, beta, y,
                                           incy, la);
    } else {
        int info = fz_gemv_info(fz_trans(*ta), *m, *n, *lda, *incx, *incy);
        if (info)
            fz_xerbla(&call, UPPER "GEMV ", info);
        else
            gemv(&call, fz_trans(*ta), *m, *n, *alpha, a, 1, *lda, x, *incx, *beta, y,
                 *incy);
    }
    fz_leave(&call, fz_flops(2, *m, *n, 1));
}

FZ_EXPORT void FORTRAN(ger)(const int *m, const int *n, const T *alpha, const T *x,
                            const int *incx, const T *y, const int *incy, T *a,
                            const int *lda)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(ger)), FZ_FROM, sizeof(T))) {
        ((TYPE(FORTRAN(ger)) *)call.real)(m, n, alpha, x, incx, y, incy, a, lda);
    } else {
        int info = fz_ger_info(*m, *n, *incx, *incy, *lda);
        if (info)
            fz_xerbla(&call, UPPER "GER  ", info);
        else
            ger(&call, *m, *n, *alpha, x, *incx, y, *incy, a, 1, *lda);
    }
    fz_leave(&call, fz_flops(2, *m, *n, 1));
}

FZ_EXPORT T FORTRAN(dot)(const int *n, const T *x, const int *incx, const T *y,
                         const int *incy)
{
    fz_call call;
    T r;
    if (!fz_enter(&call, SYMBOL(FORTRAN(dot)), FZ_FROM, sizeof(T)))
        r = ((TYPE(FORTRAN(dot)) *)call.real)(n, x, incx, y, incy);
    else
        r = dot(&call, *n, x, *incx, y, *incy);
    fz_leave(&call, fz_flops(2, *n, 1, 1));
    return r;
}

FZ_EXPORT void FORTRAN(axpy)(const int *n, const T *alpha, const T *x, const int *incx,
                             T *y, const int *incy)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(axpy)), FZ_FROM, sizeof(T)))
        ((TYPE(FORTRAN(axpy)) *)call.real)(n, alpha, x, incx, y, incy);
    else
        axpy(&call, *n, *alpha, x, *incx, y, *incy);
    fz_leave(&call, fz_flops(2, *n, 1, 1));
}

FZ_EXPORT void FORTRAN(scal)(const int *n, const T *alpha, T *x, const int *incx)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(scal)), FZ_FROM, sizeof(T)))
        ((TYPE(FORTRAN(scal)) *)call.real)(n, alpha, x, incx);
    else
        scal(&call, *n, *alpha, x, *incx);
    fz_leave(&call, fz_flops(1, *n, 1, 1));
}

/* ---- CBLAS ------------------------------------------------------------------------- */

FZ_EXPORT void CBLAS(gemm)(fz_int layout, fz_int ta, fz_int tb, fz_int m, fz_int n,
                           fz_int k, T alpha, const T *a, fz_int lda, const T *b,
                           fz_int ldb, T beta, T *c, fz_int ldc)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(CBLAS(gemm)), FZ_FROM, sizeof(T))) {
        ((TYPE(CBLAS(gemm)) *)call.real)(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb,
                                         beta, c, ldc);
    } else {
        int info = fz_cblas_gemm_info((int)layout, (int)ta, (int)tb, (int)m, (int)n,
                                      (int)k, (int)lda, (int)ldb, (int)ldc);
        if (info)
            fz_cblas_xerbla(&call, NAME(CBLAS(gemm)), info);
        else
            gemm(&call, fz_cblas_trans((int)ta), fz_cblas_trans((int)tb), (int)m, (int)n,
                 (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc,
                 (int)layout == FZ_ROW);
    }
    fz_leave(&call, fz_flops(2, (int)m, (int)n, (int)k));
}

FZ_EXPORT void CBLAS(gemv)(fz_int layout, fz_int ta, fz_int m, fz_int n, T alpha,
                           const T *a, fz_int lda, const T *x, fz_int incx, T beta, T *y,
                           fz_int incy)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(CBLAS(gemv)), FZ_FROM, sizeof(T))) {
        ((TYPE(CBLAS(gemv)) *)call.real)(layout, ta, m, n, alpha, a, lda, x, incx, beta,
                                         y, incy);
    } else {
        bool row = (int)layout == FZ_ROW;
        int info = fz_cblas_gemv_info((int)layout, (int)ta, (int)m, (int)n, (int)lda,
                                      (int)incx, (int)incy);
        if (info)
            fz_cblas_xerbla(&call, NAME(CBLAS(gemv)), info);
        else
            gemv(&call, fz_cblas_trans((int)ta), (int)m, (int)n, alpha, a,
                 row ? (int)lda : 1, row ? 1 : (int)lda, x, (int)incx, beta, y,
                 (int)incy);
    }
    fz_leave(&call, fz_flops(2, (int)m, (int)n, 1));
}

FZ_EXPORT void CBLAS(ger)(fz_int layout, fz_int m, fz_int n, T alpha, const T *x,
                          fz_int incx, const T *y, fz_int incy, T *a, fz_int lda)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(CBLAS(ger)), FZ_FROM, sizeof(T))) {
        ((TYPE(CBLAS(ger)) *)call.real)(layout, m, n, alpha, x, incx, y, incy, a, lda);
    } else {
        bool row = (int)layout == FZ_ROW;
        int info = fz_cblas_ger_info((int)layout, (int)m, (int)n, (int)incx, (int)incy,
                                     (int)lda);
        if (info)
            fz_cblas_xerbla(&call, NAME(CBLAS(ger)), info);
        else
            ger(&call, (int)m, (int)n, alpha, x, (int)incx, y, (int)incy, a,
                row ? (int)lda : 1, row ? 1 : (int)lda);
    }
    fz_leave(&call, fz_flops(2, (int)m, (int)n, 1));
}

FZ_EXPORT T CBLAS(dot)(fz_int n, const T *x, fz_int incx, const T *y, fz_int incy)
{
    fz_call call;
    T r;
    if (!fz_enter(&call, SYMBOL(CBLAS(dot)), FZ_FROM, sizeof(T)))
        r = ((TYPE(CBLAS(dot)) *)call.real)(n, x, incx, y, incy);
    else
        r = dot(&call, (int)n, x, (int)incx, y, (int)incy);
    fz_leave(&call, fz_flops(2, (int)n, 1, 1));
    return r;
}

FZ_EXPORT void CBLAS(axpy)(fz_int n, T alpha, const T *x, fz_int incx, T *y, fz_int incy)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(CBLAS(axpy)), FZ_FROM, sizeof(T)))
        ((TYPE(CBLAS(axpy)) *)call.real)(n, alpha, x, incx, y, incy);
    else
        axpy(&call, (int)n, alpha, x, (int)incx, y, (int)incy);
    fz_leave(&call, fz_flops(2, (int)n, 1, 1));
}

FZ_EXPORT void CBLAS(scal)(fz_int n, T alpha, T *x, fz_int incx)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(CBLAS(scal)), FZ_FROM, sizeof(T)))
        ((TYPE(CBLAS(scal)) *)call.real)(n, alpha, x, incx);
    else
        scal(&call, (int)n, alpha, x, (int)incx);
    fz_leave(&call, fz_flops(1, (int)n, 1, 1));
}

#undef KERNEL
