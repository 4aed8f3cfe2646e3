/* oneDNN's elementwise functions, those that torch sends.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * In f32, bf16 and f16 being widened and narrowed, each operation rounded in this order
 * (halving is exact but for subnormals and rounds to nearest there):
 *
 *   relu       x > 0 ? x : alpha*x; nothing is rounded for alpha = 0
 *   tanh       tanh(x)
 *   logistic   1 / (1 + exp(-x))
 *   linear     fma(alpha, x, beta)
 *   gelu_erf   (x * (1 + erf(x*0.70710677))) / 2
 *   gelu_tanh  (x * (1 + tanh((x*0.79788458) * fma(0.044715, x*x, 1)))) / 2
 *   swish      x * logistic(alpha*x); alpha = 1 is no operation
 *   hardsigmoid  fma(alpha, x, beta), clipped to [0, 1]
 *   hardswish  x * hardsigmoid(x)
 *
 *   backward, d the gradient of the result:
 *   relu       x > 0 ? d : alpha*d
 *   gelu_erf   v = x*0.70710677,  w = (v*1.1283792) * exp(-(v*v)),
 *              (d * (w + (1 + erf(v)))) / 2
 */
#ifndef FZ_ELTWISE_H
#define FZ_ELTWISE_H

#include "kernels.h"
#include "tensor.h"

enum fz_eltwise_kind {
    FZ_ELTWISE_RELU,
    FZ_ELTWISE_TANH,
    FZ_ELTWISE_LOGISTIC,
    FZ_ELTWISE_LINEAR,
    FZ_ELTWISE_GELU_ERF,
    FZ_ELTWISE_GELU_TANH,
    FZ_ELTWISE_SWISH,
    FZ_ELTWISE_HARDSIGMOID,
    FZ_ELTWISE_HARDSWISH,
    FZ_ELTWISE_KINDS
};

/* Tensors of equal layout, without gaps. to: the result, or its gradient with respect to
 * src; diff: the gradient of the result, backward only. to may be src or diff. */
typedef struct fz_eltwise {
    enum fz_eltwise_kind kind;
    int backward;
    f32 alpha, beta;
    fz_tensor src, diff, to;
} fz_eltwise;

/* NULL, or why it must be left to the original. */
const char *fz_eltwise_refuses(const fz_eltwise *e);
void fz_eltwise_run(const fz_kernels *k, const fz_job *job, const fz_eltwise *e);

#endif
