/* Convolutions of one to three dimensions, forward and backward, in any layout that
 * tensor.h can describe.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each output is a sum of products in a documented order, every multiply-add rounded
 * once, as in gemm: acc = round(a*b + acc) from acc = +0. What falls into the padding is
 * no operation. The orders, k from first to last, each loop inside the one before it:
 *
 *   forward, backward data   taps (depth, height, width) rising, then input channels
 *   backward weights         classes of positions of the smaller side (conv_plan.h), in
 *                            each images, then positions (depth, height, width)
 *   gradient of the bias     images, then positions of dst, as round(x + acc)
 *
 * Behind the sum, forward: round(acc + bias), then the post-ops in their order.
 * Operands of bf16 and f16 are widened, which is exact, sums are f32, and the result is
 * narrowed by the mode (conversions follow sr under ud; prism.h).
 *
 * Streams are keyed by group, by class (outputs that have the same taps) and by place
 * within it: the result does not depend on layouts, threads or ISA.
 */
#ifndef FZ_CONV_H
#define FZ_CONV_H

#include "eltwise.h"
#include "kernels.h"
#include "tensor.h"

#define FZ_CONV_POSTS 8

enum fz_conv_pass { FZ_CONV_FORWARD, FZ_CONV_BACKWARD_DATA, FZ_CONV_BACKWARD_WEIGHTS };

enum fz_post_kind {
    FZ_POST_SUM,    /* x = round(alpha*was + x), was: the output before this call */
    FZ_POST_RELU,   /* x < 0: round(alpha*x) */
    FZ_POST_LINEAR, /* round(alpha*x + beta) */
    FZ_POST_CLIP,   /* to [alpha, beta] */
    FZ_POST_ELTWISE, /* x = fn(x), as in eltwise.h */
    FZ_POST_ADD,    /* x = round(x + other), and so on */
    FZ_POST_SUB,
    FZ_POST_MUL,
    FZ_POST_DIV
};

/* Does it have an operand of its own? */
static inline int fz_post_binary(enum fz_post_kind kind)
{
    return kind >= FZ_POST_ADD;
}

typedef struct fz_post {
    enum fz_post_kind kind;
    enum fz_eltwise_kind fn;
    f32 alpha, beta;
    fz_tensor other; /* dims of the output, or 1 where it is repeated */
} fz_post;

/* dims: src (n, ic, spatial), dst (n, oc, spatial), weights ([groups,] oc, ic of one
 * group, kernel), bias (oc). In backward passes the tensor that is made holds gradients,
 * and so does dst. A deconvolution exchanges the roles of src and dst: position i of src
 * meets position i*stride - pad + tap*dilation of dst; else the other way round. The
 * padding on the right follows from the dims. Sizes may be 0. */
typedef struct fz_conv {
    enum fz_conv_pass pass;
    int deconv;
    int spatial; /* 1, 2 or 3 */
    int grouped; /* weights have the dimension of groups in front */
    ptrdiff_t groups;
    ptrdiff_t stride[3], dilation[3], pad[3]; /* dilation 1: dense */
    fz_tensor src, weights, dst;
    fz_tensor bias; /* data NULL: none. Backward weights: its gradient */
    int nposts;     /* forward only */
    fz_post post[FZ_CONV_POSTS];
} fz_conv;

/* NULL, or why this convolution must be left to the original: "dims do not fit", ... */
const char *fz_conv_refuses(const fz_conv *c);

/* The kernel, fz_conv_fn of kernels.h, writes dst, src, or weights and bias, whichever
 * the pass makes; the padding of its blocks becomes 0. fz_conv_refuses() must have said
 * NULL. Outputs must not overlap inputs (`other` of a post-op may be the output itself).
 */

#endif
