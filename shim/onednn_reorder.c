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
    const char *why = fz_dnnl_tensor(op, FZ_DNNL_SRC, &r->from);
    if (why || (why = fz_dnnl_tensor(op, FZ_DNNL_DST, &r->to)))
        return why;
    if (!fz_dnnl_only(op, all))
        return "arguments beside source and destination";
    if ((why = fz_dnnl_posts(op, r->to.type, &none, 0, &n)) ||
        (why = fz_reorder_refuses(&r->from, &r->to)))
        return why;
    work->flops = 1;
    for (int d = 0; d < r->to.ndims; d++)
        work->flops *= (uint64_t)r->to.dims[d];
    return NULL;
}

void fz_dnnl_reorder_run(const fz_call *call, const fz_dnnl_work *work)
{
    fz_reorder(&call->job, &work->reorder.from, &work->reorder.to);
}
