/* SLEEF's entry points of 512 bits: compiled for AVX-512F, run only if the process calls them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "math.h"

#define T f32
#define V f32x16
#define NAME(base) f32x16_##base
#define MAP fz_map_f32
#include "math_sleef_tmpl.h"
#undef T
#undef V
#undef NAME
#undef MAP

#define T f64
#define V f64x8
#define NAME(base) f64x8_##base
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

UNARY(f64x8, Sleef_acosd8_u10, ACOS)
UNARY(f32x16, Sleef_acosf16_u10, ACOS)
UNARY(f64x8, Sleef_asind8_u10, ASIN)
UNARY(f32x16, Sleef_asinf16_u10, ASIN)
BINARY(f64x8, Sleef_atan2d8_u10, ATAN2)
BINARY(f32x16, Sleef_atan2f16_u10, ATAN2)
UNARY(f64x8, Sleef_atand8_u10, ATAN)
UNARY(f32x16, Sleef_atanf16_u10, ATAN)
UNARY(f64x8, Sleef_atanhd8_u10, ATANH)
UNARY(f32x16, Sleef_atanhf16_u10, ATANH)
UNARY(f64x8, Sleef_cosd8_u10, COS)
UNARY(f32x16, Sleef_cosf16_u10, COS)
UNARY(f64x8, Sleef_coshd8_u10, COSH)
UNARY(f32x16, Sleef_coshf16_u10, COSH)
UNARY(f64x8, Sleef_erfcd8_u15, ERFC)
UNARY(f32x16, Sleef_erfcf16_u15, ERFC)
UNARY(f64x8, Sleef_erfd8_u10, ERF)
UNARY(f32x16, Sleef_erff16_u10, ERF)
UNARY(f64x8, Sleef_exp2d8_u10, EXP2)
UNARY(f32x16, Sleef_exp2f16_u10, EXP2)
UNARY(f64x8, Sleef_expd8_u10, EXP)
UNARY(f32x16, Sleef_expf16_u10, EXP)
UNARY(f64x8, Sleef_expm1d8_u10, EXPM1)
UNARY(f32x16, Sleef_expm1f16_u10, EXPM1)
BINARY(f64x8, Sleef_hypotd8_u05, HYPOT)
BINARY(f32x16, Sleef_hypotf16_u05, HYPOT)
UNARY(f64x8, Sleef_lgammad8_u10, LGAMMA)
UNARY(f32x16, Sleef_lgammaf16_u10, LGAMMA)
UNARY(f64x8, Sleef_log10d8_u10, LOG10)
UNARY(f32x16, Sleef_log10f16_u10, LOG10)
UNARY(f64x8, Sleef_log1pd8_u10, LOG1P)
UNARY(f32x16, Sleef_log1pf16_u10, LOG1P)
UNARY(f64x8, Sleef_log2d8_u10, LOG2)
UNARY(f32x16, Sleef_log2f16_u10, LOG2)
UNARY(f64x8, Sleef_logd8_u10, LOG)
UNARY(f32x16, Sleef_logf16_u10, LOG)
BINARY(f64x8, Sleef_powd8_u10, POW)
BINARY(f32x16, Sleef_powf16_u10, POW)
PAIR(f64x8, Sleef_sincosd8_u10)
PAIR(f32x16, Sleef_sincosf16_u10)
UNARY(f64x8, Sleef_sind8_u10, SIN)
UNARY(f32x16, Sleef_sinf16_u10, SIN)
UNARY(f64x8, Sleef_sinhd8_u10, SINH)
UNARY(f32x16, Sleef_sinhf16_u10, SINH)
UNARY(f64x8, Sleef_tand8_u10, TAN)
UNARY(f32x16, Sleef_tanf16_u10, TAN)
UNARY(f64x8, Sleef_tanhd8_u10, TANH)
UNARY(f32x16, Sleef_tanhf16_u10, TANH)
