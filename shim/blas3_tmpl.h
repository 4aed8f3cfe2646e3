/* Fortran routines of level 3 that all four types have.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{s,d,c,z}.c. Pass through, check as the reference does, compute.
 */

FZ_EXPORT void FORTRAN(trmm)(const char *side, const char *uplo, const char *trans,
                             const char *diag, const int *m, const int *n, const T *alpha,
                             const T *a, const int *lda, T *b, const int *ldb, size_t l1,
                             size_t l2, size_t l3, size_t l4)
{
    fz_call call;
    const char side_ = fz_letter(side, "LR");
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(trmm)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(trmm)) *)call.real)(side, uplo, trans, diag, m, n, alpha, a, lda,
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
            fz_xerbla(&call, UPPER "TRMM ", info);
        else if (!(*m == 0 || *n == 0))
            FZ(trmm)
            (call.k, &call.job, side_ == 'R', uplo_ == 'U', trans_, diag_ == 'U', *m, *n,
             *alpha, a, *lda, b, *ldb);
    }
    fz_leave(&call, fz_flops(COUNT, *m, *n, side_ == 'L' ? *m : *n));
}

FZ_EXPORT void FORTRAN(trsm)(const char *side, const char *uplo, const char *trans,
                             const char *diag, const int *m, const int *n, const T *alpha,
                             const T *a, const int *lda, T *b, const int *ldb, size_t l1,
                             size_t l2, size_t l3, size_t l4)
{
    fz_call call;
    const char side_ = fz_letter(side, "LR");
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, "NTC");
    const char diag_ = fz_letter(diag, "NU");
    if (!fz_enter(&call, SYMBOL(FORTRAN(trsm)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(trsm)) *)call.real)(side, uplo, trans, diag, m, n, alpha, a, lda,
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
            fz_xerbla(&call, UPPER "TRSM ", info);
        else if (!(*m == 0 || *n == 0))
            FZ(trsm)
            (call.k, &call.job, side_ == 'R', uplo_ == 'U', trans_, diag_ == 'U', *m, *n,
             *alpha, a, *lda, b, *ldb);
    }
    fz_leave(&call, fz_flops(COUNT, *m, *n, side_ == 'L' ? *m : *n));
}

FZ_EXPORT void FORTRAN(symm)(const char *side, const char *uplo, const int *m,
                             const int *n, const T *alpha, const T *a, const int *lda,
                             const T *b, const int *ldb, const T *beta, T *c,
                             const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char side_ = fz_letter(side, "LR");
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(symm)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(symm)) *)call.real)(side, uplo, m, n, alpha, a, lda, b, ldb, beta,
                                           c, ldc, l1, l2);
    } else {
        const int info = !side_                                      ? 1
                         : !uplo_                                    ? 2
                         : *m < 0                                    ? 3
                         : *n < 0                                    ? 4
                         : fz_ld_short(*lda, side_ == 'L' ? *m : *n) ? 7
                         : fz_ld_short(*ldb, *m)                     ? 9
                         : fz_ld_short(*ldc, *m)                     ? 12
                                                                     : 0;
        if (info)
            fz_xerbla(&call, UPPER "SYMM ", info);
        else if (!(*m == 0 || *n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symm)
            (call.k, &call.job, 0, side_ == 'R', uplo_ == 'U', *m, *n, *alpha, a, *lda, b,
             *ldb, *beta, c, *ldc);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *m, *n, side_ == 'L' ? *m : *n));
}

FZ_EXPORT void FORTRAN(syrk)(const char *uplo, const char *trans, const int *n,
                             const int *k, const T *alpha, const T *a, const int *lda,
                             const T *beta, T *c, const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, SYRK_TRANS);
    if (!fz_enter(&call, SYMBOL(FORTRAN(syrk)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(syrk)) *)call.real)(uplo, trans, n, k, alpha, a, lda, beta, c, ldc,
                                           l1, l2);
    } else {
        const int info = !uplo_                                       ? 1
                         : !trans_                                    ? 2
                         : *n < 0                                     ? 3
                         : *k < 0                                     ? 4
                         : fz_ld_short(*lda, trans_ == 'N' ? *n : *k) ? 7
                         : fz_ld_short(*ldc, *n)                      ? 10
                                                                      : 0;
        if (info)
            fz_xerbla(&call, UPPER "SYRK ", info);
        else if (!(*n == 0 || ((*alpha == 0 || *k == 0) && *beta == 1)))
            FZ(syrk)
            (call.k, &call.job, 0, uplo_ == 'U', trans_, *n, *k, *alpha, a, *lda, *beta,
             c, *ldc);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, *k));
}

FZ_EXPORT void FORTRAN(syr2k)(const char *uplo, const char *trans, const int *n,
                              const int *k, const T *alpha, const T *a, const int *lda,
                              const T *b, const int *ldb, const T *beta, T *c,
                              const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, SYRK_TRANS);
    if (!fz_enter(&call, SYMBOL(FORTRAN(syr2k)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(syr2k)) *)call.real)(uplo, trans, n, k, alpha, a, lda, b, ldb,
                                            beta, c, ldc, l1, l2);
    } else {
        const int info = !uplo_                                       ? 1
                         : !trans_                                    ? 2
                         : *n < 0                                     ? 3
                         : *k < 0                                     ? 4
                         : fz_ld_short(*lda, trans_ == 'N' ? *n : *k) ? 7
                         : fz_ld_short(*ldb, trans_ == 'N' ? *n : *k) ? 9
                         : fz_ld_short(*ldc, *n)                      ? 12
                                                                      : 0;
        if (info)
            fz_xerbla(&call, UPPER "SYR2K", info);
        else if (!(*n == 0 || ((*alpha == 0 || *k == 0) && *beta == 1)))
            FZ(syr2k)
            (call.k, &call.job, 0, uplo_ == 'U', trans_, *n, *k, *alpha, a, *lda, b, *ldb,
             *beta, c, *ldc);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, *k));
}
