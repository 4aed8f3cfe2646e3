/* Reorders of oneDNN that narrow f32 to bf16 or f16; all others are exact.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "onednn.h"

const char *fz_dnnl_reorder_read(const fz_dnnl_op *op, fz_dnnl_work *work)
{
    static const int all[] = {FZ_DNNL_SRC, FZ_DNNL_DST, 0};
    struct fz_dnnl_reorder *r = &work->reorder;
    fz_post none;
    int n;
    fz_tensor *to[] = {&r->from, &r->to};
    const char *why = fz_dnnl_take(op, all, to, 2);
    if (why)
        return why;
    if (!fz_dnnl_only(op, all))
        return "arguments beside source and destination";
    if ((why = fz_dnnl_posts(op, r->to.type, &none, 0, &n)) ||
        (why = fz_reorder_refuses(&r->from, &r->to)))
        return why;
    work->flops = (uint64_t)fz_tensor_count(&r->to);
    return NULL;
}

void fz_dnnl_reorder_run(const fz_call *call, const fz_dnnl_work *work)
{
    fz_reorder(call->k, &call->job, &work->reorder.from, &work->reorder.to);
}
