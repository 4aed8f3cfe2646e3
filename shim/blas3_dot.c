/* Complex dot products, whose result comes back in one of two ways.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *   in registers              gfortran, OpenBLAS, reference LAPACK: (n, x, incx, y, incy)
 *   by a hidden first argument  f2c, MKL: (result, n, x, incx, y, incy)
 * All are addresses in integer registers, and a complex result is in others, so one
 * function serves both. Which it is depends on the caller, who was compiled one way: both
 * torch builds pass the hidden argument. (Debian's torch 1.13 does so to an OpenBLAS that
 * returns in registers: its torch.vdot and torch.dot of complex tensors give 0. Computed
 * here, they are right; passed through, they are what they were.)
 */
#include "blas3.h"

/* The six argument words in the order of the hidden convention. */
static void order(const fz_call *call, void *a[6])
{
    if (fz_match_list("libtorch*,libmkl*", call->lib->name))
        return;
    for (int i = 5; i > 0; i--)
        a[i] = a[i - 1];
    a[0] = NULL;
}

#define T c32
#define R f32
#define LETTER c
#define CONJUGATE 0
#define ROUTINE dotu
#include "blas3_dot_tmpl.h"
#undef CONJUGATE
#undef ROUTINE
#define CONJUGATE 1
#define ROUTINE dotc
#include "blas3_dot_tmpl.h"
#undef T
#undef R
#undef LETTER
#undef CONJUGATE
#undef ROUTINE

#define T c64
#define R f64
#define LETTER z
#define CONJUGATE 0
#define ROUTINE dotu
#include "blas3_dot_tmpl.h"
#undef CONJUGATE
#undef ROUTINE
#define CONJUGATE 1
#define ROUTINE dotc
#include "blas3_dot_tmpl.h"
