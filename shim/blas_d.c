/* BLAS routines of f64: dgemm_, cblas_dgemm and their kin.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas.h"
#include "blas_names.h"

#define T f64
#define LETTER d
#define UPPER "D"
#include "blas_tmpl.h"
