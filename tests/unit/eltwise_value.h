/* The functions of kernels/eltwise.h for one number, in nearest at t bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef ELTWISE_VALUE_H
#define ELTWISE_VALUE_H

#include "../../kernels/eltwise.h"
#include "../../kernels/math.h"

static inline f32 value_add(int t, f32 a, f32 b)
{
    return prism_add_f32(a, b, PRISM_NEAREST, t, 0);
}

static inline f32 value_mul(int t, f32 a, f32 b)
{
    return prism_mul_f32(a, b, PRISM_NEAREST, t, 0);
}

static inline f32 value_fma(int t, f32 a, f32 b, f32 c)
{
    return prism_fma_f32(a, b, c, PRISM_NEAREST, t, 0);
}

static inline f32 value_map(int t, enum fz_fn fn, f32 x)
{
    return fz_math_f32(fn, x, 0, PRISM_NEAREST, t, 0);
}

static inline f32 value_logistic(int t, f32 x)
{
    const f32 e = value_add(t, 1, value_map(t, FZ_FN_EXP, -x));
    return prism_div_f32(1, e, PRISM_NEAREST, t, 0);
}

static inline f32 eltwise_value(enum fz_eltwise_kind kind, f32 alpha, f32 beta, int t,
                                f32 x)
{
    f32 y;
    switch (kind) {
    case FZ_ELTWISE_RELU:
        return x > 0 || x != x ? x : alpha != 0 ? value_mul(t, alpha, x) : 0;
    case FZ_ELTWISE_TANH: return value_map(t, FZ_FN_TANH, x);
    case FZ_ELTWISE_LOGISTIC: return value_logistic(t, x);
    case FZ_ELTWISE_LINEAR: return value_fma(t, alpha, x, beta);
    case FZ_ELTWISE_SWISH:
        return value_mul(t, x, value_logistic(t, alpha == 1 ? x : value_mul(t, alpha, x)));
    case FZ_ELTWISE_HARDSIGMOID:
    case FZ_ELTWISE_HARDSWISH:
        y = value_fma(t, alpha, x, beta);
        y = y < 0 ? 0 : y > 1 ? 1 : y;
        return kind == FZ_ELTWISE_HARDSIGMOID ? y : value_mul(t, x, y);
    case FZ_ELTWISE_GELU_TANH:
        y = value_fma(t, 0.044715f, value_mul(t, x, x), 1);
        y = value_map(t, FZ_FN_TANH, value_mul(t, value_mul(t, x, 0.797884583f), y));
        break;
    default: /* gelu_erf */
        y = value_map(t, FZ_FN_ERF, value_mul(t, x, 0.707106769f));
    }
    return value_mul(t, x, value_add(t, 1, y)) * 0.5f;
}

#endif
