/* SLEEF's entry points of 256 bits: compiled for AVX, run only if the process calls them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "math.h"

#define T f32
#define V f32x8
#define NAME(base) f32x8_##base
#define MAP fz_map_f32
#include "math_sleef_tmpl.h"
#undef T
#undef V
#undef NAME
#undef MAP

#define T f64
#define V f64x4
#define NAME(base) f64x4_##base
#define MAP fz_map_f64
#include "math_sleef_tmpl.h"
#undef T
#undef V
#undef NAME
#undef MAP

#define UNARY(vector, name, fn)                                                       \
    vector name(vector x)                                                             \
    {                                                                                 \
        return vector##_unary(FZ_SYM_##name, FZ_FN_##fn, x, FZ_FROM);                  \
    }
#define BINARY(vector, name, fn)                                                      \
    vector name(vector x, vector y)                                                   \
    {                                                                                 \
        return vector##_binary(FZ_SYM_##name, FZ_FN_##fn, x, y, FZ_FROM);              \
    }
#define PAIR(vector, name)                                                            \
    vector##_pair name(vector x)                                                      \
    {                                                                                 \
        return vector##_sincos(FZ_SYM_##name, x, FZ_FROM);                             \
    }

UNARY(f64x4, Sleef_acosd4_u10, ACOS)
UNARY(f32x8, Sleef_acosf8_u10, ACOS)
UNARY(f64x4, Sleef_asind4_u10, ASIN)
UNARY(f32x8, Sleef_asinf8_u10, ASIN)
BINARY(f64x4, Sleef_atan2d4_u10, ATAN2)
BINARY(f32x8, Sleef_atan2f8_u10, ATAN2)
UNARY(f64x4, Sleef_atand4_u10, ATAN)
UNARY(f32x8, Sleef_atanf8_u10, ATAN)
UNARY(f64x4, Sleef_atanhd4_u10, ATANH)
UNARY(f32x8, Sleef_atanhf8_u10, ATANH)
UNARY(f64x4, Sleef_cosd4_u10, COS)
UNARY(f32x8, Sleef_cosf8_u10, COS)
UNARY(f32x8, Sleef_cosf8_u35, COS)
UNARY(f64x4, Sleef_coshd4_u10, COSH)
UNARY(f32x8, Sleef_coshf8_u10, COSH)
UNARY(f64x4, Sleef_erfcd4_u15, ERFC)
UNARY(f32x8, Sleef_erfcf8_u15, ERFC)
UNARY(f64x4, Sleef_erfd4_u10, ERF)
UNARY(f32x8, Sleef_erff8_u10, ERF)
UNARY(f64x4, Sleef_exp2d4_u10, EXP2)
UNARY(f32x8, Sleef_exp2f8_u10, EXP2)
UNARY(f64x4, Sleef_expd4_u10, EXP)
UNARY(f32x8, Sleef_expf8_u10, EXP)
UNARY(f64x4, Sleef_expm1d4_u10, EXPM1)
UNARY(f32x8, Sleef_expm1f8_u10, EXPM1)
BINARY(f64x4, Sleef_hypotd4_u05, HYPOT)
BINARY(f32x8, Sleef_hypotf8_u05, HYPOT)
UNARY(f64x4, Sleef_lgammad4_u10, LGAMMA)
UNARY(f32x8, Sleef_lgammaf8_u10, LGAMMA)
UNARY(f64x4, Sleef_log10d4_u10, LOG10)
UNARY(f32x8, Sleef_log10f8_u10, LOG10)
UNARY(f64x4, Sleef_log1pd4_u10, LOG1P)
UNARY(f32x8, Sleef_log1pf8_u10, LOG1P)
UNARY(f64x4, Sleef_log2d4_u10, LOG2)
UNARY(f32x8, Sleef_log2f8_u10, LOG2)
UNARY(f64x4, Sleef_logd4_u10, LOG)
UNARY(f32x8, Sleef_logf8_u10, LOG)
BINARY(f64x4, Sleef_powd4_u10, POW)
BINARY(f32x8, Sleef_powf8_u10, POW)
PAIR(f64x4, Sleef_sincosd4_u10)
PAIR(f32x8, Sleef_sincosf8_u10)
UNARY(f64x4, Sleef_sind4_u10, SIN)
UNARY(f32x8, Sleef_sinf8_u10, SIN)
UNARY(f32x8, Sleef_sinf8_u35, SIN)
UNARY(f64x4, Sleef_sinhd4_u10, SINH)
UNARY(f32x8, Sleef_sinhf8_u10, SINH)
UNARY(f64x4, Sleef_tand4_u10, TAN)
UNARY(f32x8, Sleef_tanf8_u10, TAN)
UNARY(f64x4, Sleef_tanhd4_u10, TANH)
UNARY(f32x8, Sleef_tanhf8_u10, TANH)
