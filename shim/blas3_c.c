/* BLAS routines of c32 beside gemm's family.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas3.h"

#define T c32
#define R f32
#define LETTER c
#define UPPER "C"
#define COUNT 4 /* real multiply-adds that one of T takes */
#define SYRK_TRANS "NT"
#define MIXED(routine) JOIN(cs, routine, _)
#define NORM(routine) JOIN(sc, routine, _)
#define TRI_KIND m
#define TRI_LETTER "M"
#include "blas3_triangular_tmpl.h"
#define TRI_KIND s
#define TRI_LETTER "S"
#include "blas3_triangular_tmpl.h"
#define HERMITIAN 0
#include "blas3_symmetric_tmpl.h"
#define HERMITIAN 1
#include "blas3_symmetric_tmpl.h"
#include "blas3_level2_tmpl.h"
#include "blas3_complex_tmpl.h"
#include "blas3_complex2_tmpl.h"
