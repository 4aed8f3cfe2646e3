/* Names of one type's routines for the templates: T, FORTRAN(gemm), CBLAS(gemm).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_BLAS_NAMES_H
#define FZ_BLAS_NAMES_H

#define JOIN_(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define NAME_(x) #x
#define NAME(x) NAME_(x)
#define FORTRAN(routine) JOIN(LETTER, routine, _)
#define CBLAS(routine) JOIN(cblas_, LETTER, routine)
#define SYMBOL(name) JOIN(FZ_SYM_, name, )
#define TYPE(name) JOIN(fn_, name, )

#endif
