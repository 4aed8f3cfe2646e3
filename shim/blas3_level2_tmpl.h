/* Fortran routines of level 2 that all four types have.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{s,d,c,z}.c. Pass through, check as the reference does, compute.
 */

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
