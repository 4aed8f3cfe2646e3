/* BLAS routines of f32: sgemm_, cblas_sgemm and their kin.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas.h"
#include "blas_names.h"

#define T f32
#define LETTER s
#define UPPER "S"
#include "blas_tmpl.h"
