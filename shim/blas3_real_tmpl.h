/* Fortran routines of the real types alone: norms, rotations.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by blas3_{s,d}.c. Pass through, check as the reference does, compute.
 */

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
