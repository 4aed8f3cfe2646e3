/* Convolutions and deconvolutions of oneDNN, as kernels/conv.h takes them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The algorithm that oneDNN chose does not matter: what is executed is the definition.
 */
#include "onednn.h"

/* What the tensors of a pass are called. */
static const struct pass {
    int src, weights, bias, dst;
} passes[] = {
    [FZ_CONV_FORWARD] = {FZ_DNNL_SRC, FZ_DNNL_WEIGHTS, FZ_DNNL_BIAS, FZ_DNNL_DST},
    [FZ_CONV_BACKWARD_DATA] = {FZ_DNNL_DIFF_SRC, FZ_DNNL_WEIGHTS, 0, FZ_DNNL_DIFF_DST},
    [FZ_CONV_BACKWARD_WEIGHTS] = {FZ_DNNL_SRC, FZ_DNNL_DIFF_WEIGHTS, FZ_DNNL_DIFF_BIAS,
                                  FZ_DNNL_DIFF_DST},
};

static const char *tensors(const fz_dnnl_op *op, fz_conv *c)
{
    const struct pass *p = &passes[c->pass];
    const int all[] = {p->src, p->weights, p->dst, p->bias, 0};
    fz_tensor *to[] = {&c->src, &c->weights, &c->dst, &c->bias};
    const char *why = fz_dnnl_take(op, all, to, 3);
    if (why)
        return why;
    return fz_dnnl_only(op, all) ? NULL : "arguments beside the tensors and the bias";
}

/* Two for each multiply-add, those with the padding included. */
static uint64_t flops(const fz_conv *c)
{
    const fz_tensor *positions = c->deconv ? &c->src : &c->dst;
    uint64_t n = 2 * (uint64_t)fz_tensor_count(&c->weights);
    for (int d = 0; d < positions->ndims; d++)
        n *= d == 1 ? 1 : (uint64_t)positions->dims[d];
    return n;
}

const char *fz_dnnl_conv_read(const fz_dnnl_op *op, fz_dnnl_work *work)
{
    fz_conv *c = &work->conv;
    const char *why;
    *c = (fz_conv){.deconv = op->kind == FZ_DNNL_DECONVOLUTION, .groups = 1};
    switch (op->prop) {
    case FZ_DNNL_FORWARD_TRAINING:
    case FZ_DNNL_FORWARD_INFERENCE: c->pass = FZ_CONV_FORWARD; break;
    case FZ_DNNL_BACKWARD_DATA: c->pass = FZ_CONV_BACKWARD_DATA; break;
    case FZ_DNNL_BACKWARD_WEIGHTS: c->pass = FZ_CONV_BACKWARD_WEIGHTS; break;
    default: return "a direction that is not known";
    }
    if ((why = tensors(op, c)))
        return why;
    c->spatial = c->src.ndims - 2;
    if (c->spatial < 1 || c->spatial > 3)
        return "dimensions that are not 1, 2 or 3";
    if (!op->stride || !op->dilation || !op->pad)
        return "strides that cannot be read";
    c->grouped = c->weights.ndims == c->src.ndims + 1;
    if (c->grouped)
        c->groups = c->weights.dims[0];
    for (int i = 0; i < c->spatial; i++) {
        c->stride[i] = op->stride[i];
        c->dilation[i] = op->dilation[i] + 1;
        c->pad[i] = op->pad[i];
    }
    work->flops = flops(c);
    why = fz_dnnl_posts(op, c->dst.type, c->post,
                        c->pass == FZ_CONV_FORWARD ? FZ_CONV_POSTS : 0, &c->nposts);
    return why ? why : fz_conv_refuses(c);
}

void fz_dnnl_conv_run(const fz_call *call, const fz_dnnl_work *work)
{
    call->k->conv(&call->job, &work->conv);
}
