/* Fortran routines with a symmetric or a Hermitian matrix, of levels 2 and 3.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{s,d}.c with HERMITIAN 0 and by blas3_{c,z}.c with 0 and 1; symmetric
 * routines of level 2 and complex type are LAPACK's. Pass through, check as the reference
 * does, compute.
 */
#if HERMITIAN
#define SYM_y(routine) he##routine
#define SYM_p(routine) hp##routine
#define SYM_b(routine) hb##routine
#define SYM_UPPER_y "HE"
#define SYM_UPPER_p "HP"
#define SYM_UPPER_b "HB"
#define SYM_TRANS "NC"
#define SYM_SCALAR R /* factors that must be real */
#else
#define SYM_y(routine) sy##routine
#define SYM_p(routine) sp##routine
#define SYM_b(routine) sb##routine
#define SYM_UPPER_y "SY"
#define SYM_UPPER_p "SP"
#define SYM_UPPER_b "SB"
#define SYM_TRANS SYRK_TRANS
#define SYM_SCALAR T
#endif
/* storage: y full, p packed, b band */
#define SYM(storage, routine) SYM_##storage(routine)
#define SYM_UPPER(storage) SYM_UPPER_##storage

FZ_EXPORT void FORTRAN(SYM(y, mm))(const char *side, const char *uplo, const int *m,
                             const int *n, const T *alpha, const T *a, const int *lda,
                             const T *b, const int *ldb, const T *beta, T *c,
                             const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char side_ = fz_letter(side, "LR");
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(y, mm))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(y, mm))) *)call.real)(side, uplo, m, n, alpha, a, lda, b, ldb, beta,
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
            fz_xerbla(&call, UPPER SYM_UPPER(y) "MM ", info);
        else if (!(*m == 0 || *n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symm)
            (call.k, &call.job, HERMITIAN, side_ == 'R', uplo_ == 'U', *m, *n, *alpha, a, *lda, b,
             *ldb, *beta, c, *ldc);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *m, *n, side_ == 'L' ? *m : *n));
}

FZ_EXPORT void FORTRAN(SYM(y, rk))(const char *uplo, const char *trans, const int *n,
                             const int *k, const SYM_SCALAR *alpha, const T *a, const int *lda,
                             const SYM_SCALAR *beta, T *c, const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, SYM_TRANS);
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(y, rk))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(y, rk))) *)call.real)(uplo, trans, n, k, alpha, a, lda, beta, c, ldc,
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
            fz_xerbla(&call, UPPER SYM_UPPER(y) "RK ", info);
        else if (!(*n == 0 || ((*alpha == 0 || *k == 0) && *beta == 1)))
            FZ(syrk)
            (call.k, &call.job, HERMITIAN, uplo_ == 'U', trans_, *n, *k, *alpha, a, *lda, *beta,
             c, *ldc);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, *k));
}

FZ_EXPORT void FORTRAN(SYM(y, r2k))(const char *uplo, const char *trans, const int *n,
                              const int *k, const T *alpha, const T *a, const int *lda,
                              const T *b, const int *ldb, const SYM_SCALAR *beta, T *c,
                              const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    const char trans_ = fz_letter(trans, SYM_TRANS);
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(y, r2k))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(y, r2k))) *)call.real)(uplo, trans, n, k, alpha, a, lda, b, ldb,
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
            fz_xerbla(&call, UPPER SYM_UPPER(y) "R2K", info);
        else if (!(*n == 0 || ((*alpha == 0 || *k == 0) && *beta == 1)))
            FZ(syr2k)
            (call.k, &call.job, HERMITIAN, uplo_ == 'U', trans_, *n, *k, *alpha, a, *lda, b, *ldb,
             *beta, c, *ldc);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, *k));
}

#if HERMITIAN || COUNT == 1

FZ_EXPORT void FORTRAN(SYM(y, mv))(const char *uplo, const int *n, const T *alpha, const T *a,
                             const int *lda, const T *x, const int *incx, const T *beta,
                             T *y, const int *incy, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(y, mv))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(y, mv))) *)call.real)(uplo, n, alpha, a, lda, x, incx, beta, y, incy,
                                           l1);
    } else {
        const int info = !uplo_                  ? 1
                         : *n < 0                ? 2
                         : fz_ld_short(*lda, *n) ? 5
                         : *incx == 0            ? 7
                         : *incy == 0            ? 10
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER SYM_UPPER(y) "MV ", info);
        else if (!(*n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symv)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, HERMITIAN, uplo_ == 'U', *n,
             *alpha, a, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(SYM(p, mv))(const char *uplo, const int *n, const T *alpha, const T *a,
                             const T *x, const int *incx, const T *beta, T *y,
                             const int *incy, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(p, mv))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(p, mv))) *)call.real)(uplo, n, alpha, a, x, incx, beta, y, incy, l1);
    } else {
        const int info = !uplo_ ? 1 : *n < 0 ? 2 : *incx == 0 ? 6 : *incy == 0 ? 9 : 0;
        if (info)
            fz_xerbla(&call, UPPER SYM_UPPER(p) "MV ", info);
        else if (!(*n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symv)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, HERMITIAN, uplo_ == 'U', *n,
             *alpha, a, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(SYM(b, mv))(const char *uplo, const int *n, const int *k, const T *alpha,
                             const T *a, const int *lda, const T *x, const int *incx,
                             const T *beta, T *y, const int *incy, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(b, mv))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(b, mv))) *)call.real)(uplo, n, k, alpha, a, lda, x, incx, beta, y,
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
            fz_xerbla(&call, UPPER SYM_UPPER(b) "MV ", info);
        else if (!(*n == 0 || (*alpha == 0 && *beta == 1)))
            FZ(symv)
            (call.k, &call.job, (fz_stored){FZ_STORED_BAND, *lda, *k}, HERMITIAN, uplo_ == 'U',
             *n, *alpha, a, x, *incx, *beta, y, *incy);
    }
    fz_leave(&call, fz_flops(4 * COUNT, *n, *k + 1, 1));
}

FZ_EXPORT void FORTRAN(SYM(y, r))(const char *uplo, const int *n, const SYM_SCALAR *alpha, const T *x,
                            const int *incx, T *a, const int *lda, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(y, r))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(y, r))) *)call.real)(uplo, n, alpha, x, incx, a, lda, l1);
    } else {
        const int info = !uplo_                  ? 1
                         : *n < 0                ? 2
                         : *incx == 0            ? 5
                         : fz_ld_short(*lda, *n) ? 7
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER SYM_UPPER(y) "R  ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, HERMITIAN, uplo_ == 'U', *n,
             *alpha, x, *incx, a);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(SYM(p, r))(const char *uplo, const int *n, const SYM_SCALAR *alpha, const T *x,
                            const int *incx, T *a, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(p, r))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(p, r))) *)call.real)(uplo, n, alpha, x, incx, a, l1);
    } else {
        const int info = !uplo_ ? 1 : *n < 0 ? 2 : *incx == 0 ? 5 : 0;
        if (info)
            fz_xerbla(&call, UPPER SYM_UPPER(p) "R  ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, HERMITIAN, uplo_ == 'U', *n,
             *alpha, x, *incx, a);
    }
    fz_leave(&call, fz_flops(COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(SYM(y, r2))(const char *uplo, const int *n, const T *alpha, const T *x,
                             const int *incx, const T *y, const int *incy, T *a,
                             const int *lda, size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(y, r2))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(y, r2))) *)call.real)(uplo, n, alpha, x, incx, y, incy, a, lda, l1);
    } else {
        const int info = !uplo_                  ? 1
                         : *n < 0                ? 2
                         : *incx == 0            ? 5
                         : *incy == 0            ? 7
                         : fz_ld_short(*lda, *n) ? 9
                                                 : 0;
        if (info)
            fz_xerbla(&call, UPPER SYM_UPPER(y) "R2 ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr2)
            (call.k, &call.job, (fz_stored){FZ_STORED_FULL, *lda, 0}, HERMITIAN, uplo_ == 'U', *n,
             *alpha, x, *incx, y, *incy, a);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

FZ_EXPORT void FORTRAN(SYM(p, r2))(const char *uplo, const int *n, const T *alpha, const T *x,
                             const int *incx, const T *y, const int *incy, T *a,
                             size_t l1)
{
    fz_call call;
    const char uplo_ = fz_letter(uplo, "UL");
    if (!fz_enter(&call, SYMBOL(FORTRAN(SYM(p, r2))), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(SYM(p, r2))) *)call.real)(uplo, n, alpha, x, incx, y, incy, a, l1);
    } else {
        const int info = !uplo_ ? 1 : *n < 0 ? 2 : *incx == 0 ? 5 : *incy == 0 ? 7 : 0;
        if (info)
            fz_xerbla(&call, UPPER SYM_UPPER(p) "R2 ", info);
        else if (!(*n == 0 || *alpha == 0))
            FZ(syr2)
            (call.k, &call.job, (fz_stored){FZ_STORED_PACKED, 0, 0}, HERMITIAN, uplo_ == 'U', *n,
             *alpha, x, *incx, y, *incy, a);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *n, *n, 1));
}

#endif

#undef SYM
#undef SYM_UPPER
#undef SYM_y
#undef SYM_p
#undef SYM_b
#undef SYM_UPPER_y
#undef SYM_UPPER_p
#undef SYM_UPPER_b
#undef SYM_TRANS
#undef SYM_SCALAR
#undef HERMITIAN
