/* Fortran routines of level 2 that all four types have.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{s,d,c,z}.c. Pass through, check as the reference does, compute.
 */

FZ_EXPORT void FORTRAN(trmv)(const char *uplo, const char *trans, const char *diag,
                             const int *n, const T *a, const int *lda, T *x,
                             const int *incx, size_t l1, size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(trmv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(trmv)) *)call.real)(uplo, trans, diag, n, a, lda, x, incx, l1, l2,
                                           l3);
    } else {
        const int info = !uplo_                  ? 1
                         : !trans_               ? 2
                         : !diag_                ? 3
                         : *n < 0                ? 4
                         : fz_ld_short(*lda, *n) ? 6
                         : *incx == 0            ? 8
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "TRMV ", info);
        else if (!(*n == 0))
            FZ(trmv)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, uplo_ == 'U',
             trans_, diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(tpmv)(const char *uplo, const char *trans, const char *diag,
                             const int *n, const T *a, T *x, const int *incx, size_t l1,
                             size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(tpmv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(tpmv)) *)call.real)(uplo, trans, diag, n, a, x, incx, l1, l2, l3);
    } else {
        const int info = !uplo_       ? 1
                         : !trans_    ? 2
                         : !diag_     ? 3
                         : *n < 0     ? 4
                         : *incx == 0 ? 7
                                      : 0;
        if (info)
            fz_xerbla(&call, UPPER "TPMV ", info);
        else if (!(*n == 0))
            FZ(trmv)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, uplo_ == 'U', trans_,
             diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(tbmv)(const char *uplo, const char *trans, const char *diag,
                             const int *n, const int *k, const T *a, const int *lda, T *x,
                             const int *incx, size_t l1, size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(tbmv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(tbmv)) *)call.real)(uplo, trans, diag, n, k, a, lda, x, incx, l1,
                                           l2, l3);
    } else {
        const int info = !uplo_          ? 1
                         : !trans_       ? 2
                         : !diag_        ? 3
                         : *n < 0        ? 4
                         : *k < 0        ? 5
                         : *lda < *k + 1 ? 7
                         : *incx == 0    ? 9
                                         : 0;
        if (info)
            fz_xerbla(&call, UPPER "TBMV ", info);
        else if (!(*n == 0))
            FZ(trmv)
            (call.k, &call.job, (fz_stored){FZ_STORED_BAND, *lda, *k}, uplo_ == 'U',
             trans_, diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *k + 1, 1));
}

FZ_EXPORT void FORTRAN(trsv)(const char *uplo, const char *trans, const char *diag,
                             const int *n, const T *a, const int *lda, T *x,
                             const int *incx, size_t l1, size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(trsv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(trsv)) *)call.real)(uplo, trans, diag, n, a, lda, x, incx, l1, l2,
                                           l3);
    } else {
        const int info = !uplo_                  ? 1
                         : !trans_               ? 2
                         : !diag_                ? 3
                         : *n < 0                ? 4
                         : fz_ld_short(*lda, *n) ? 6
                         : *incx == 0            ? 8
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER "TRSV ", info);
        else if (!(*n == 0))
            FZ(trsv)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, uplo_ == 'U',
             trans_, diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(tpsv)(const char *uplo, const char *trans, const char *diag,
                             const int *n, const T *a, T *x, const int *incx, size_t l1,
                             size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(tpsv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(tpsv)) *)call.real)(uplo, trans, diag, n, a, x, incx, l1, l2, l3);
    } else {
        const int info = !uplo_       ? 1
                         : !trans_    ? 2
                         : !diag_     ? 3
                         : *n < 0     ? 4
                         : *incx == 0 ? 7
                                      : 0;
        if (info)
            fz_xerbla(&call, UPPER "TPSV ", info);
        else if (!(*n == 0))
            FZ(trsv)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, uplo_ == 'U', trans_,
             diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(tbsv)(const char *uplo, const char *trans, const char *diag,
                             const int *n, const int *k, const T *a, const int *lda, T *x,
                             const int *incx, size_t l1, size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(tbsv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(tbsv)) *)call.real)(uplo, trans, diag, n, k, a, lda, x, incx, l1,
                                           l2, l3);
    } else {
        const int info = !uplo_          ? 1
                         : !trans_       ? 2
                         : !diag_        ? 3
                         : *n < 0        ? 4
                         : *k < 0        ? 5
                         : *lda < *k + 1 ? 7
                         : *incx == 0    ? 9
                                         : 0;
        if (info)
            fz_xerbla(&call, UPPER "TBSV ", info);
        else if (!(*n == 0))
            FZ(trsv)
            (call.k, &call.job, (fz_stored){FZ_STORED_BAND, *lda, *k}, uplo_ == 'U',
             trans_, diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *k + 1, 1));
}

FZ_EXPORT void FORTRAN(gbmv)(const char *trans, const int *m, const int *n, const int *kl,
                             const int *ku, const T *alpha, const T *a, const int *lda,
                             const T *x, const int *incx, const T *beta, T *y,
                             const int *incy, size_t l1)
{
    fz_call call;
    const char trans_ = fz_letter(trans, "NTC");
    if (!fz_enter(&call, SYMBOL(FORTRAN(gbmv)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(gbmv)) *)call.real)(trans, m, n, kl, ku, alpha, a, lda, x, incx,
                                           beta, y, incy, l1);
    } else {
        const int info = !trans_                ? 1
                         : *m < 0               ? 2
                         : *n < 0               ? 3
                         : *kl < 0              ? 4
                         : *ku < 0              ? 5
                         : *lda < *kl + *ku + 1 ? 8
                         : *incx == 0           ? 10
                         : *incy == 0           ? 13
                                                : 0;
        if (info)
            fz_xerbla(&call, UPPER "GBMV ", info);
        else if (!(*m == 0 || *n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(gbmv)
            (call.k, &call.job, trans_, *m, *n, *kl, *ku, *alpha, a, *lda, x, *incx,
             *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *kl + *ku + 1, 1));
}
