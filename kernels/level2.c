/* BLAS of level 2 of the four types.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "level2.h"

#include "blas_ops.h"

#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
#define NAME(base) JOIN(JOIN(base, _), X)

#define CONJ(x) (x)
#define REAL(x) (x)
#define X f32
#include "level2_tmpl.h"
#undef X
#define X f64
#include "level2_tmpl.h"
#undef X
#undef CONJ
#undef REAL

#define CONJ(x) (~(x)) /* GNU C's conjugate */
#define REAL(x) ((X) __real__(x))
#define X c32
#include "level2_tmpl.h"
#undef X
#define X c64
#include "level2_tmpl.h"
