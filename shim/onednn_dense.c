/* Products of matrices and elementwise functions of oneDNN, as kernels/matmul.h and
 * eltwise.h take them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "onednn.h"

/* ---- matmul, inner product --------------------------------------------------------- */

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

/* ---- eltwise ----------------------------------------------------------------------- */

static bool kind_of(int alg, enum fz_eltwise_kind *kind)
{
    switch (alg) {
    case FZ_DNNL_RELU: *kind = FZ_ELTWISE_RELU; return true;
    case FZ_DNNL_TANH: *kind = FZ_ELTWISE_TANH; return true;
    case FZ_DNNL_LINEAR: *kind = FZ_ELTWISE_LINEAR; return true;
    case FZ_DNNL_LOGISTIC: *kind = FZ_ELTWISE_LOGISTIC; return true;
    case FZ_DNNL_GELU_ERF: *kind = FZ_ELTWISE_GELU_ERF; return true;
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
    if (!kind_of(op->alg, &e->kind))
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
