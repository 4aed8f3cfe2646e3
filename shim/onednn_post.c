/* Scales and post-ops of oneDNN's primitives.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "onednn_api.h"

static const char *post_sum(const void *ops, int i, enum fz_type result, fz_post *post)
{
    static const int numbers_of[] = {[FZ_F32] = 3, [FZ_BF16] = 2, [FZ_F16] = 1};
    int32_t zero = 0;
    int type = 0;
    if (fz_dnnl.post_ops_get_params_sum(ops, i, &post->alpha, &zero, &type) !=
            FZ_DNNL_SUCCESS ||
        zero || (type && type != numbers_of[result]))
        return "a post-op sum of another type";
    post->kind = FZ_POST_SUM;
    return NULL;
}

static const char *post_eltwise(const void *ops, int i, fz_post *post)
{
    f32 scale = 1;
    int alg = 0;
    f32 *a = &post->alpha, *b = &post->beta;
    int rc = fz_dnnl.major == 2
                 ? fz_dnnl.post_ops_get_params_eltwise2(ops, i, &scale, &alg, a, b)
                 : fz_dnnl.post_ops_get_params_eltwise(ops, i, &alg, a, b);
    if (rc != FZ_DNNL_SUCCESS || scale != 1)
        return "a post-op with a scale";
    if (fz_dnnl.major == 2 && alg == 0x8f) { /* bounded_relu */
        post->kind = FZ_POST_CLIP;
        post->beta = post->alpha;
        post->alpha = 0;
        return NULL;
    }
    switch (fz_dnnl_alg_of(alg)) {
    case FZ_DNNL_RELU: post->kind = FZ_POST_RELU; return NULL;
    case FZ_DNNL_LINEAR: post->kind = FZ_POST_LINEAR; return NULL;
    case FZ_DNNL_CLIP:
    case FZ_DNNL_CLIP_V2: post->kind = FZ_POST_CLIP; return NULL;
    }
    post->kind = FZ_POST_ELTWISE;
    return fz_dnnl_function(fz_dnnl_alg_of(alg), &post->fn)
               ? NULL
               : "an eltwise post-op of this algorithm";
}

static const char *post_binary(const fz_dnnl_op *op, const void *ops, int i,
                               fz_post *post)
{
    const void *md;
    int alg = 0, rc = fz_dnnl.post_ops_get_params_binary(ops, i, &alg, &md);
    switch (rc == FZ_DNNL_SUCCESS ? alg : 0) {
    case FZ_DNNL_BINARY_ADD: post->kind = FZ_POST_ADD; break;
    case FZ_DNNL_BINARY_SUB: post->kind = FZ_POST_SUB; break;
    case FZ_DNNL_BINARY_MUL: post->kind = FZ_POST_MUL; break;
    case FZ_DNNL_BINARY_DIV: post->kind = FZ_POST_DIV; break;
    default: return "a binary post-op of this algorithm";
    }
    const int arg = fz_dnnl.post_op * (i + 1) + FZ_DNNL_SRC_1;
    if (!fz_dnnl.post_op)
        return "a binary post-op of this version of oneDNN";
    const char *why = fz_dnnl_tensor(op, arg, &post->other);
    return why ? why : fz_dnnl_has(op, arg) ? NULL : "a post-op without its operand";
}

const char *fz_dnnl_scale(const fz_dnnl_op *op, f32 *scale)
{
    const void *attr = NULL;
    *scale = 1;
    if (fz_dnnl.major == 2) {
        int64_t count = 0;
        int mask = 0;
        const f32 *all = NULL;
        if (fz_dnnl.primitive_desc_get_attr(op->desc, &attr) != FZ_DNNL_SUCCESS ||
            fz_dnnl.primitive_attr_get_output_scales(attr, &count, &mask, &all) !=
                FZ_DNNL_SUCCESS ||
            count != 1 || mask != 0 || !all)
            return "scales of the output";
        *scale = *all;
        return *scale == *scale ? NULL : "scales that are given at the call";
    }
    fz_tensor t;
    const char *why = fz_dnnl_tensor(op, FZ_DNNL_SRC_SCALE, &t);
    if (why || !t.data)
        return why;
    for (int d = 0; d < t.ndims; d++)
        if (t.dims[d] != 1)
            return "more than one scale";
    if (t.type != FZ_F32)
        return "a scale that is not f32";
    *scale = *(const f32 *)t.data;
    return NULL;
}

const char *fz_dnnl_posts(const fz_dnnl_op *op, enum fz_type type, fz_post *post, int cap,
                          int *n)
{
    const void *attr = NULL, *ops = NULL;
    *n = 0;
    if (fz_dnnl.primitive_desc_get_attr(op->desc, &attr) != FZ_DNNL_SUCCESS)
        return "attributes that cannot be read";
    f32 scale;
    const char *bad = op->kind == FZ_DNNL_MATMUL ? NULL : fz_dnnl_scale(op, &scale);
    if (bad || (op->kind != FZ_DNNL_MATMUL && scale != 1))
        return bad ? bad : "scales of the output";
    if (fz_dnnl.primitive_attr_get_post_ops(attr, &ops) != FZ_DNNL_SUCCESS)
        return "post-ops that cannot be read";
    const int len = fz_dnnl.post_ops_len(ops);
    if (len > cap)
        return "too many post-ops";
    for (int i = 0; i < len; i++) {
        const char *why = "a post-op of this kind";
        post[i] = (fz_post){0};
        switch (fz_dnnl_kind_of(fz_dnnl.post_ops_get_kind(ops, i))) {
        case FZ_DNNL_SUM: why = post_sum(ops, i, type, &post[i]); break;
        case FZ_DNNL_ELTWISE: why = post_eltwise(ops, i, &post[i]); break;
        case FZ_DNNL_BINARY: why = post_binary(op, ops, i, &post[i]); break;
        default: break;
        }
        if (why)
            return why;
    }
    *n = len;
    return NULL;
}
