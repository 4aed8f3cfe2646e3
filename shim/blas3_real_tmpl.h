/* Fortran routines of the real types alone: symmetric ones of level 2, norms, rotations.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{s,d,c,z}.c. Pass through, check as the reference does, compute.
 */

FZ_EXPORT void FORTRAN(symv)(const char *uplo, const int *n, const T *alpha, const T *a,
                             const int *lda, const T *x, const int *incx, const T *beta,
                             T *y, const int *incy, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(symv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(symv)) *)call.real)(uplo, n, alpha, a, lda, x, incx, beta, y, incy,
                                           l1);
    } else {
        const int info = !uplo_                  ? 1
                         : *n < 0                ? 2
                         : fz_ld_short(*lda, *n) ? 5
                         : *incx == 0            ? 7
                         : *incy == 0            ? 10
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "SYMV ", info);
        else if (!(*n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symv)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, 0, uplo_ == 'U', *n,
             *alpha, a, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(spmv)(const char *uplo, const int *n, const T *alpha, const T *a,
                             const T *x, const int *incx, const T *beta, T *y,
                             const int *incy, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(spmv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(spmv)) *)call.real)(uplo, n, alpha, a, x, incx, beta, y, incy, l1);
    } else {
        const int info = !uplo_ ? 1 : *n < 0 ? 2 : *incx == 0 ? 6 : *incy == 0 ? 9 : 0;
        if (info)
            fz_xerbla(&call, UPPER "SPMV ", info);
        else if (!(*n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symv)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, 0, uplo_ == 'U', *n,
             *alpha, a, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(sbmv)(const char *uplo, const int *n, const int *k, const T *alpha,
                             const T *a, const int *lda, const T *x, const int *incx,
                             const T *beta, T *y, const int *incy, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(sbmv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(sbmv)) *)call.real)(uplo, n, k, alpha, a, lda, x, incx, beta, y,
                                           incy, l1);
    } else {
        const int info = !uplo_          ? 1
                         : *n < 0        ? 2
                         : *k < 0        ? 3
                         : *lda < *k + 1 ? 6
                         : *incx == 0    ? 8
                         : *incy == 0    ? 11
                                         : 0;
        if (info)
            fz_xerbla(&call, UPPER "SBMV ", info);
        else if (!(*n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symv)
            (call.k, &call.job, (fz_stored){FZ_STORED_BAND, *lda, *k}, 0, uplo_ == 'U',
             *n, *alpha, a, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(4 * COUNT, *n, *k + 1, 1));
}

FZ_EXPORT void FORTRAN(syr)(const char *uplo, const int *n, const T *alpha, const T *x,
                            const int *incx, T *a, const int *lda, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(syr)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(syr)) *)call.real)(uplo, n, alpha, x, incx, a, lda, l1);
    } else {
        const int info = !uplo_                  ? 1
                         : *n < 0                ? 2
                         : *incx == 0            ? 5
                         : fz_ld_short(*lda, *n) ? 7
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "SYR  ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, 0, uplo_ == 'U', *n,
             *alpha, x, *incx, a);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(spr)(const char *uplo, const int *n, const T *alpha, const T *x,
                            const int *incx, T *a, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(spr)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(spr)) *)call.real)(uplo, n, alpha, x, incx, a, l1);
    } else {
        const int info = !uplo_ ? 1 : *n < 0 ? 2 : *incx == 0 ? 5 : 0;
        if (info)
            fz_xerbla(&call, UPPER "SPR  ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, 0, uplo_ == 'U', *n,
             *alpha, x, *incx, a);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(syr2)(const char *uplo, const int *n, const T *alpha, const T *x,
                             const int *incx, const T *y, const int *incy, T *a,
                             const int *lda, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(syr2)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(syr2)) *)call.real)(uplo, n, alpha, x, incx, y, incy, a, lda, l1);
    } else {
        const int info = !uplo_                  ? 1
                         : *n < 0                ? 2
                         : *incx == 0            ? 5
                         : *incy == 0            ? 7
                         : fz_ld_short(*lda, *n) ? 9
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "SYR2 ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr2)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, 0, uplo_ == 'U', *n,
             *alpha, x, *incx, y, *incy, a);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(spr2)(const char *uplo, const int *n, const T *alpha, const T *x,
                             const int *incx, const T *y, const int *incy, T *a,
                             size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(spr2)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(spr2)) *)call.real)(uplo, n, alpha, x, incx, y, incy, a, l1);
    } else {
        const int info = !uplo_ ? 1 : *n < 0 ? 2 : *incx == 0 ? 5 : *incy == 0 ? 7 : 0;
        if (info)
            fz_xerbla(&call, UPPER "SPR2 ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr2)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, 0, uplo_ == 'U', *n,
             *alpha, x, *incx, y, *incy, a);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(rot)(const int *n, T *x, const int *incx, T *y, const int *incy,
                            const R *c, const R *s)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(rot)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(rot)) *)call.real)(n, x, incx, y, incy, c, s);
    } else if (!(*n <= 0)) {
        FZR(rot)(call.k, &call.job, 1, *n, x, *incx, y, *incy, *c, *s);
    }
    fz_leave(&call, fz_flops(6, *n, 1, 1));
}

FZ_EXPORT void FORTRAN(rotg)(R *a, R *b, R *c, R *s)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(FORTRAN(rotg)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(rotg)) *)call.real)(a, b, c, s);
    } else {
        FZR(rotg)(call.k, &call.job, a, b, c, s);
    }
    fz_leave(&call, 8);
}

FZ_EXPORT R FORTRAN(nrm2)(const int *n, const T *x, const int *incx)
{
    fz_call call;
    R r = 0;
    if (!fz_enter(&call, SYMBOL(FORTRAN(nrm2)), FZ_FROM, sizeof(R))) {
        r = ((TYPE(FORTRAN(nrm2)) *)call.real)(n, x, incx);
    } else if (!(*n <= 0 || *incx == 0)) {
        r = FZR(nrm2)(call.k, &call.job, 1, *n, x, *incx);
    }
    fz_leave(&call, fz_flops(2, *n, 1, 1));
    return r;
}

FZ_EXPORT R FORTRAN(asum)(const int *n, const T *x, const int *incx)
{
    fz_call call;
    R r = 0;
    if (!fz_enter(&call, SYMBOL(FORTRAN(asum)), FZ_FROM, sizeof(R))) {
        r = ((TYPE(FORTRAN(asum)) *)call.real)(n, x, incx);
    } else if (!(*n <= 0 || *incx <= 0)) {
        r = FZR(asum)(call.k, &call.job, 1, *n, x, *incx);
    }
    fz_leave(&call, fz_flops(1, *n, 1, 1));
    return r;
}
