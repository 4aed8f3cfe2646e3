/* Fortran routines of level 3 of the complex types alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{c,z}.c. Pass through, check as the reference does, compute.
 */

FZ_EXPORT void FORTRAN(gemm)(const char *ta, const char *tb, const int *m, const int *n,
                             const int *k, const T *alpha, const T *a, const int *lda,
                             const T *b, const int *ldb, const T *beta, T *c,
                             const int *ldc, size_t l1, size_t l2)
{
    fz_call call;
    const char ta_ = fz_letter(ta, "NTC");
    const char tb_ = fz_letter(tb, "NTC");
    if (!fz_enter(&call, SYMBOL(FORTRAN(gemm)), FZ_FROM, sizeof(R))) {
        ((TYPE(FORTRAN(gemm)) *)call.real)(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta,
                                           c, ldc, l1, l2);
    } else {
        const int info = !ta_                                      ? 1
                         : !tb_                                    ? 2
                         : *m < 0                                  ? 3
                         : *n < 0                                  ? 4
                         : *k < 0                                  ? 5
                         : fz_ld_short(*lda, ta_ == 'N' ? *m : *k) ? 8
                         : fz_ld_short(*ldb, tb_ == 'N' ? *k : *n) ? 10
                         : fz_ld_short(*ldc, *m)                   ? 13
                                                                   : 0;
        if (info)
            fz_xerbla(&call, UPPER "GEMM ", info);
        else if (!(*m == 0 || *n == 0 || ((*alpha == 0 || *k == 0) && *beta == 1)))
            FZ(gemm)
            (call.k, &call.job, *m, *n, *k, *alpha, ta_ == 'C', a, ta_ == 'N' ? 1 : *lda,
             ta_ == 'N' ? *lda : 1, tb_ == 'C', b, tb_ == 'N' ? 1 : *ldb,
             tb_ == 'N' ? *ldb : 1, *beta, c, 1, *ldc);
    }
    fz_leave(&call, fz_flops(2 * COUNT, *m, *n, *k));
}
