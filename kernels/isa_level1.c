/* dot, axpy, scal and ger: the unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "step.h"

#include "tables.h"

#define T f32
#define IS_F32 1
#define NAME(base) FZ_FN(base##_f32)
#define SCALAR_ADD prism_add_f32
#define RANGE fz_range_f32
#define WANTS_MIN fz_wants_min_f32
#define NATIVE fz_native_f32
#include "level1_tmpl.h"
#undef T
#undef IS_F32
#undef NAME
#undef SCALAR_ADD
#undef RANGE
#undef WANTS_MIN
#undef NATIVE

#define T f64
#define IS_F32 0
#define NAME(base) FZ_FN(base##_f64)
#define SCALAR_ADD prism_add_f64
#define RANGE fz_range_f64
#define WANTS_MIN fz_wants_min_f64
#define NATIVE fz_native_f64
#include "level1_tmpl.h"
