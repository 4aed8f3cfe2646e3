/* Products of matrices and elementwise functions of oneDNN, as kernels/matmul.h and
 * eltwise.h take them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "onednn.h"

/* ---- matmul ------------------------------------------------------------------------ */

static const char *tensors(const fz_dnnl_op *op, fz_matmul *m)
{
    static const int all[] = {FZ_DNNL_SRC,  FZ_DNNL_WEIGHTS,   FZ_DNNL_DST,
                              FZ_DNNL_BIAS, FZ_DNNL_SRC_SCALE, 0};
    static const int matrices[] = {FZ_DNNL_SRC, FZ_DNNL_WEIGHTS, FZ_DNNL_DST,
                                   FZ_DNNL_BIAS, 0};
    fz_tensor *to[] = {&m->a, &m->b, &m->c, &m->bias};
    if (!fz_dnnl_only(op, all))
        return "arguments beside the matrices and the bias";
    const char *why = fz_dnnl_take(op, matrices, to, 3);
    return why ? why : fz_dnnl_scale(op, &m->scale);
}

const char *fz_dnnl_matmul_read(const fz_dnnl_op *op, fz_dnnl_work *work)
{
    fz_matmul *m = &work->matmul;
    *m = (fz_matmul){.scale = 1};
    const char *why = tensors(op, m);
    if (why)
        return why;
    if ((why = fz_dnnl_posts(op, m->c.type, m->post, FZ_CONV_POSTS, &m->nposts)) ||
        (why = fz_matmul_refuses(m)))
        return why;
    work->flops =
        2 * (uint64_t)m->a.dims[m->c.ndims - 1] * (uint64_t)fz_tensor_count(&m->c);
    return NULL;
}

void fz_dnnl_matmul_run(const fz_call *call, const fz_dnnl_work *work)
{
    fz_matmul_run(call->k, &call->job, &work->matmul);
}

/* ---- inner product ----------------------------------------------------------------- */

static fz_tensor transposed(fz_tensor t)
{
    const fz_tensor was = t;
    for (int d = 0; d < 2; d++) {
        t.dims[d] = was.dims[1 - d];
        t.padded[d] = was.padded[1 - d];
        t.stride[d] = was.stride[1 - d];
    }
    for (int b = 0; b < t.nblocks; b++)
        t.block_dim[b] = 1 - t.block_dim[b];
    return t;
}

/* A vector as a matrix of one row. */
static fz_tensor row(fz_tensor t)
{
    t.ndims = 2;
    t.dims[1] = t.dims[0];
    t.padded[1] = t.padded[0];
    t.stride[1] = t.stride[0];
    t.dims[0] = t.padded[0] = 1;
    t.stride[0] = 0;
    for (int b = 0; b < t.nblocks; b++)
        t.block_dim[b] = 1;
    return t;
}

/* dst = src * weights' + bias; backward: diff_src = diff_dst * weights, diff_weights =
 * diff_dst' * src, diff_bias = ones * diff_dst. */
static const char *products(const fz_dnnl_op *op, struct fz_dnnl_inner *in)
{
    static const f32 one = 1;
    static const int args[3][5] = {
        {FZ_DNNL_SRC, FZ_DNNL_WEIGHTS, FZ_DNNL_DST, FZ_DNNL_BIAS, 0},
        {FZ_DNNL_DIFF_DST, FZ_DNNL_WEIGHTS, FZ_DNNL_DIFF_SRC, 0},
        {FZ_DNNL_DIFF_DST, FZ_DNNL_SRC, FZ_DNNL_DIFF_WEIGHTS, FZ_DNNL_DIFF_BIAS, 0}};
    fz_matmul *m = &in->product;
    fz_tensor bias = {0}, *to[] = {&m->a, &m->b, &m->c, &bias};
    int pass = 0;
    switch (op->prop) {
    case FZ_DNNL_FORWARD_TRAINING:
    case FZ_DNNL_FORWARD_INFERENCE: break;
    case FZ_DNNL_BACKWARD_DATA: pass = 1; break;
    case FZ_DNNL_BACKWARD_WEIGHTS: pass = 2; break;
    default: return "a direction that is not known";
    }
    if (!fz_dnnl_only(op, args[pass]))
        return "arguments beside the matrices and the bias";
    const char *why = fz_dnnl_take(op, args[pass], to, 3);
    if (why)
        return why;
    if (m->a.ndims != 2 || m->b.ndims != 2 || m->c.ndims != 2)
        return "an inner product of more than two dimensions";
    if (bias.data)
        bias = row(bias);
    if (pass == 0) {
        m->b = transposed(m->b);
        m->bias = bias;
    } else if (pass == 2) {
        const fz_tensor ones = {.data = (void *)(uintptr_t)&one,
                                .ndims = 2,
                                .dims = {1, m->a.dims[0]},
                                .padded = {1, m->a.dims[0]}};
        in->bias = (fz_matmul){.a = ones, .b = m->a, .c = bias, .scale = 1};
        m->a = transposed(m->a);
    }
    why = fz_dnnl_posts(op, m->c.type, m->post, pass ? 0 : FZ_CONV_POSTS, &m->nposts);
    return why ? why : fz_matmul_refuses(m);
}

const char *fz_dnnl_inner_read(const fz_dnnl_op *op, fz_dnnl_work *work)
{
    struct fz_dnnl_inner *in = &work->inner;
    in->product = (fz_matmul){.scale = 1};
    in->bias = (fz_matmul){.scale = 1};
    const char *why = products(op, in);
    if (!why && in->bias.c.data)
        why = fz_matmul_refuses(&in->bias);
    if (why)
        return why;
    work->flops =
        2 * (uint64_t)in->product.a.dims[1] * (uint64_t)fz_tensor_count(&in->product.c);
    return NULL;
}

void fz_dnnl_inner_run(const fz_call *call, const fz_dnnl_work *work)
{
    fz_job job = call->job;
    fz_matmul_run(call->k, &job, &work->inner.product);
    if (!work->inner.bias.c.data)
        return;
    job.key = prism_key_derive(job.key, UINT64_MAX);
    fz_matmul_run(call->k, &job, &work->inner.bias);
}

/* ---- eltwise ----------------------------------------------------------------------- */

bool fz_dnnl_function(int alg, enum fz_eltwise_kind *kind)
{
    switch (alg) {
    case FZ_DNNL_RELU: *kind = FZ_ELTWISE_RELU; return true;
    case FZ_DNNL_TANH: *kind = FZ_ELTWISE_TANH; return true;
    case FZ_DNNL_LINEAR: *kind = FZ_ELTWISE_LINEAR; return true;
    case FZ_DNNL_LOGISTIC: *kind = FZ_ELTWISE_LOGISTIC; return true;
    case FZ_DNNL_GELU_ERF: *kind = FZ_ELTWISE_GELU_ERF; return true;
    case FZ_DNNL_GELU_TANH: *kind = FZ_ELTWISE_GELU_TANH; return true;
    case FZ_DNNL_SWISH: *kind = FZ_ELTWISE_SWISH; return true;
    case FZ_DNNL_HARDSIGMOID: *kind = FZ_ELTWISE_HARDSIGMOID; return true;
    case FZ_DNNL_HARDSWISH: *kind = FZ_ELTWISE_HARDSWISH; return true;
    default: return false;
    }
}

const char *fz_dnnl_eltwise_read(const fz_dnnl_op *op, fz_dnnl_work *work)
{
    fz_eltwise *e = &work->eltwise;
    static const int forward[] = {FZ_DNNL_SRC, FZ_DNNL_DST, 0};
    static const int backward[] = {FZ_DNNL_SRC, FZ_DNNL_DIFF_SRC, FZ_DNNL_DIFF_DST, 0};
    int posts;
    fz_post none;
    *e = (fz_eltwise){.alpha = op->alpha, .beta = op->beta};
    if (!fz_dnnl_function(op->alg, &e->kind))
        return "an algorithm that torch does not send";
    switch (op->prop) {
    case FZ_DNNL_FORWARD_TRAINING:
    case FZ_DNNL_FORWARD_INFERENCE: break;
    case FZ_DNNL_BACKWARD:
    case FZ_DNNL_BACKWARD_DATA: e->backward = 1; break;
    default: return "a direction that is not known";
    }
    const int *args = e->backward ? backward : forward;
    fz_tensor *to[] = {&e->src, &e->to, &e->diff};
    if (!fz_dnnl_only(op, args))
        return "arguments beside source and result";
    const char *why = fz_dnnl_take(op, args, to, e->backward ? 3 : 2);
    if (why || (why = fz_dnnl_posts(op, e->to.type, &none, 0, &posts)) ||
        (why = fz_eltwise_refuses(e)))
        return why;
    work->flops = (uint64_t)fz_tensor_count(&e->src);
    return NULL;
}

void fz_dnnl_eltwise_run(const fz_call *call, const fz_dnnl_work *work)
{
    fz_eltwise_run(call->k, &call->job, &work->eltwise);
}
