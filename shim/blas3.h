/* What the files of the wider BLAS share: letters, vectors, names of a type's routines.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_SHIM_BLAS3_H
#define FZ_SHIM_BLAS3_H

#include "../kernels/blas3.h"
#include "../kernels/complex.h"
#include "../kernels/level1.h"
#include "../kernels/level2.h"
#include "blas.h"
#include "blas_names.h"

/* The capital letter of an option, 0 if it is none of `allowed`. */
static inline char fz_letter(const char *option, const char *allowed)
{
    const char c = (char)(*option & ~0x20);
    for (; *allowed; allowed++)
        if (c == *allowed)
            return c;
    return 0;
}

/* Element 0 of a vector that BLAS gives by its lowest address. */
static inline void *fz_start(const void *x, long n, long inc, size_t size)
{
    const char *p = x;
    return (void *)(uintptr_t)(inc < 0 && n > 0 ? p - (n - 1) * inc * (long)size : p);
}

/* A kernel of T, and one of its real type. */
#define FZ(base) JOIN(JOIN(fz_, base, _), T, )
#define FZR(base) JOIN(JOIN(fz_, base, _), R, )

#endif
