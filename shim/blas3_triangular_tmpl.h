/* Fortran routines with a triangular matrix, of levels 2 and 3: products and solutions.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included twice by blas3_{s,d,c,z}.c, with TRI_KIND m (multiply) and s (solve), and
 * TRI_LETTER its capital. Pass through, check as the reference does, compute.
 */
#define TRI(shape, operand) JOIN(shape, TRI_KIND, operand)

FZ_EXPORT void FORTRAN(TRI(tr, m))(const char *side, const char *uplo, const char *trans,
                             const char *diag, const int *m, const int *n, const T *alpha,
                             const T *a, const int *lda, T *b, const int *ldb, size_t l1,
                             size_t l2, size_t l3, size_t l4)
{
    fz_call call;
    const char side_ = fz_letter(side, "LR");
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(TRI(tr, m))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(TRI(tr, m))) *)call.real)(side, uplo, trans, diag, m, n, alpha, a, lda,
                                           b, ldb, l1, l2, l3, l4);
    } else {
        const int info = !side_                                      ? 1
                         : !uplo_                                    ? 2
                         : !trans_                                   ? 3
                         : !diag_                                    ? 4
                         : *m < 0                                    ? 5
                         : *n < 0                                    ? 6
                         : fz_ld_short(*lda, side_ == 'L' ? *m : *n) ? 9
                         : fz_ld_short(*ldb, *m)                     ? 11
                                                                     : 0;
        if (info)
            fz_xerbla(&call, UPPER "TR" TRI_LETTER "M ", info);
        else if (!(*m == 0 || *n == 0))
            FZ(TRI(tr, m))
            (call.k, &call.job, side_ == 'R', uplo_ == 'U', trans_, diag_ == 'U', *m, *n,
             *alpha, a, *lda, b, *ldb);
    }
    fz_leave(&call, fz_flops(COUNT, *m, *n, side_ == 'L' ? *m : *n));
}

FZ_EXPORT void FORTRAN(TRI(tr, v))(const char *uplo, const char *trans, const char *diag,
                             const int *n, const T *a, const int *lda, T *x,
                             const int *incx, size_t l1, size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(TRI(tr, v))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(TRI(tr, v))) *)call.real)(uplo, trans, diag, n, a, lda, x, incx, l1, l2,
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
            fz_xerbla(&call, UPPER "TR" TRI_LETTER "V ", info);
        else if (!(*n == 0))
            FZ(TRI(tr, v))
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, uplo_ == 'U',
             trans_, diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(TRI(tp, v))(const char *uplo, const char *trans, const char *diag,
                             const int *n, const T *a, T *x, const int *incx, size_t l1,
                             size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(TRI(tp, v))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(TRI(tp, v))) *)call.real)(uplo, trans, diag, n, a, x, incx, l1, l2, l3);
    } else {
        const int info = !uplo_       ? 1
                         : !trans_    ? 2
                         : !diag_     ? 3
                         : *n < 0     ? 4
                         : *incx == 0 ? 7
                                      : 0;
        if (info)
            fz_xerbla(&call, UPPER "TP" TRI_LETTER "V ", info);
        else if (!(*n == 0))
            FZ(TRI(tr, v))
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, uplo_ == 'U', trans_,
             diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(TRI(tb, v))(const char *uplo, const char *trans, const char *diag,
                             const int *n, const int *k, const T *a, const int *lda, T *x,
                             const int *incx, size_t l1, size_t l2, size_t l3)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(TRI(tb, v))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(TRI(tb, v))) *)call.real)(uplo, trans, diag, n, k, a, lda, x, incx, l1,
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
            fz_xerbla(&call, UPPER "TB" TRI_LETTER "V ", info);
        else if (!(*n == 0))
            FZ(TRI(tr, v))
            (call.k, &call.job, (fz_stored){FZ_STORED_BAND, *lda, *k}, uplo_ == 'U',
             trans_, diag_ == 'U', *n, a, x, *incx);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *k + 1, 1));
}

#undef TRI
#undef TRI_KIND
#undef TRI_LETTER
