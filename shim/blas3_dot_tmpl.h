/* One complex dot product; blas3_dot.c includes it with T, R, LETTER, ROUTINE, CONJUGATE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

FZ_EXPORT T FORTRAN(ROUTINE)(void *a0, void *a1, void *a2, void *a3, void *a4, void *a5)
{
    fz_call call;
    T r = 0;
    uint64_t flops = 0;
    void *a[6] = {a0, a1, a2, a3, a4, a5};
    const bool ours = fz_enter(&call, SYMBOL(FORTRAN(ROUTINE)), FZ_FROM, sizeof(R));
    if (!ours)
        r = ((TYPE(FORTRAN(ROUTINE)) *)call.real)(a0, a1, a2, a3, a4, a5);
    order(&call, a);
    const int n = *(const int *)a[1];
    if (ours) {
        const int incx = *(const int *)a[3], incy = *(const int *)a[5];
        if (n > 0)
            r = FZ(dot)(call.k, &call.job, n, CONJUGATE,
                        fz_start(a[2], n, incx, sizeof(T)), incx,
                        fz_start(a[4], n, incy, sizeof(T)), incy);
        if (a[0])
            *(T *)a[0] = r;
    }
    flops = fz_flops(8, n, 1, 1);
    fz_leave(&call, flops);
    return r;
}
