/* BLAS routines of f64 beside gemm's family.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas3.h"

#define T f64
#define R f64
#define LETTER d
#define UPPER "D"
#define COUNT 1 /* real multiply-adds that one of T takes */
#define SYRK_TRANS "NTC"
#define TRI_KIND m
#define TRI_LETTER "M"
#include "blas3_triangular_tmpl.h"
#define TRI_KIND s
#define TRI_LETTER "S"
#include "blas3_triangular_tmpl.h"
#define HERMITIAN 0
#include "blas3_symmetric_tmpl.h"
#include "blas3_level2_tmpl.h"
#include "blas3_real_tmpl.h"
