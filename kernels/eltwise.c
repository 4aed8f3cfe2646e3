/* Elementwise functions over the array operations and the math functions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "eltwise.h"

#include "array_run.h"
#include "half_rows.h"

#define RUN 1024

/* ---- Checks ------------------------------------------------------------------------ */

static int alike(const fz_tensor *a, const fz_tensor *b)
{
    if (a->ndims != b->ndims || a->nblocks != b->nblocks)
        return 0;
    for (int d = 0; d < a->ndims; d++)
        if (a->dims[d] != b->dims[d] || (a->dims[d] > 1 && a->stride[d] != b->stride[d]))
            return 0;
    for (int i = 0; i < a->nblocks; i++)
        if (a->block[i] != b->block[i] || a->block_dim[i] != b->block_dim[i])
            return 0;
    return 1;
}

/* Numbers in memory, if they fill it; -1 if there are gaps or padding. */
static ptrdiff_t extent(const fz_tensor *t)
{
    ptrdiff_t n = 1, outer[FZ_TENSOR_DIMS];
    int left = 0;
    for (int d = 0; d < t->ndims; d++) {
        if (t->padded[d] != t->dims[d])
            return -1;
        if (t->dims[d] == 0)
            return 0;
        outer[d] = t->dims[d];
    }
    for (int i = 0; i < t->nblocks; i++) {
        n *= t->block[i];
        outer[t->block_dim[i]] /= t->block[i];
    }
    for (int d = 0; d < t->ndims; d++)
        left += outer[d] > 1;
    while (left) {
        int found = 0;
        for (int d = 0; d < t->ndims && !found; d++)
            if (outer[d] > 1 && t->stride[d] == n) {
                n *= outer[d];
                outer[d] = 1;
                found = 1;
            }
        if (!found)
            return -1;
        left--;
    }
    return n;
}

const char *fz_eltwise_refuses(const fz_eltwise *e)
{
    if (!alike(&e->src, &e->to) || (e->backward && !alike(&e->src, &e->diff)))
        return "tensors of different layout";
    if (e->backward && e->kind != FZ_ELTWISE_RELU && e->kind != FZ_ELTWISE_GELU_ERF)
        return "the gradient of this algorithm";
    const ptrdiff_t n = extent(&e->src);
    return n < 0                  ? "a layout with gaps"
           : n / RUN >= INT32_MAX ? "too many numbers"
                                  : NULL;
}

/* ---- Runs -------------------------------------------------------------------------- */

typedef struct all {
    fz_parts parts;
    const fz_eltwise *e;
    const prism_array_ops *ops;
    ptrdiff_t n;
} all;

typedef struct run {
    fz_array_run on;
    const fz_eltwise *e;
    f32 *x, *d, *one, *a, *b; /* src, diff, and room */
} run;

static void op(run *r, enum prism_op which, const f32 *a, const f32 *b, const f32 *c,
               f32 *out)
{
    fz_array_op(&r->on, which, a, b, c, out);
}

static void map(run *r, enum fz_fn fn, const f32 *x, f32 *out)
{
    fz_array_map(&r->on, fn, x, out);
}

static f32 *fill(const run *r, f32 x, f32 *out)
{
    return fz_array_fill(&r->on, x, out);
}

static void halve(const run *r, const f32 *x, f32 *out)
{
    for (size_t i = 0; i < r->on.n; i++)
        out[i] = x[i] * 0.5f;
}

/* The result of relu from x's sign: y itself or alpha*y. */
static void relu(run *r, f32 *y)
{
    if (r->e->alpha != 0)
        op(r, PRISM_MUL, fill(r, r->e->alpha, r->a), y, y, r->b);
    else
        fill(r, 0, r->b);
    for (size_t i = 0; i < r->on.n; i++)
        y[i] = r->x[i] > 0 || r->x[i] != r->x[i] ? y[i] : r->b[i];
}

static f32 *forward(run *r)
{
    f32 *x = r->x, *a = r->a;
    switch (r->e->kind) {
    case FZ_ELTWISE_RELU:
        memcpy(r->d, x, r->on.n * sizeof *x);
        relu(r, r->d);
        return r->d;
    case FZ_ELTWISE_TANH: map(r, FZ_FN_TANH, x, x); break;
    case FZ_ELTWISE_LOGISTIC:
        fz_array_logistic(&r->on, r->one, x);
        break;
    case FZ_ELTWISE_LINEAR:
        op(r, PRISM_FMA, fill(r, r->e->alpha, a), x, fill(r, r->e->beta, r->b), x);
        break;
    case FZ_ELTWISE_GELU_ERF:
        op(r, PRISM_MUL, x, fill(r, 0x1.6a09e6p-1f, a), x, a);
        map(r, FZ_FN_ERF, a, a);
        op(r, PRISM_ADD, r->one, a, a, a);
        op(r, PRISM_MUL, x, a, a, x);
        halve(r, x, x);
        break;
    }
    return x;
}

static f32 *backward(run *r)
{
    f32 *v = r->a, *w = r->b, *d = r->d;
    if (r->e->kind == FZ_ELTWISE_RELU) {
        relu(r, d);
        return d;
    }
    op(r, PRISM_MUL, r->x, fill(r, 0x1.6a09e6p-1f, v), v, v);
    op(r, PRISM_MUL, v, fill(r, 0x1.20dd76p0f, w), w, w);
    op(r, PRISM_MUL, v, v, v, r->x);
    fz_array_minus(&r->on, r->x, r->x);
    map(r, FZ_FN_EXP, r->x, r->x);
    op(r, PRISM_MUL, w, r->x, w, w);
    map(r, FZ_FN_ERF, v, v);
    op(r, PRISM_ADD, r->one, v, v, v);
    op(r, PRISM_ADD, w, v, w, w);
    op(r, PRISM_MUL, d, w, d, d);
    halve(r, d, d);
    return d;
}

static void task(void *arg, int index)
{
    const all *y = arg;
    const fz_eltwise *e = y->e;
    const ptrdiff_t from = (ptrdiff_t)index * RUN;
    f32 *room = fz_scratch(FZ_SCRATCH_VECTORS);
    const ptrdiff_t n = y->n - from < RUN ? y->n - from : RUN;
    run r = {{fz_parts_task(&y->parts, index), y->ops, (size_t)n},
             e,
             room,
             room + RUN,
             room + 2 * RUN,
             room + 3 * RUN,
             room + 4 * RUN};
#define AT(t) ((char *)(t).data + from * (ptrdiff_t)fz_type_size((t).type))
    fz_widen_row(AT(e->src), e->src.type, 1, n, r.x);
    if (e->backward)
        fz_widen_row(AT(e->diff), e->diff.type, 1, n, r.d);
    fill(&r, 1, r.one);
    const f32 *out = e->backward ? backward(&r) : forward(&r);
    if (e->to.type == FZ_F32)
        memcpy(AT(e->to), out, r.on.n * sizeof *out);
    else
        fz_array_narrow(&r.on, out, e->to.type == FZ_BF16, (uint16_t *)(void *)AT(e->to));
#undef AT
}

void fz_eltwise_run(const fz_kernels *k, const fz_job *job, const fz_eltwise *e)
{
    all y = {fz_parts_of(k, job), e, prism_arrays(fz_kernels_isa(k)), extent(&e->src)};
    fz_parts_share(&y.parts, 16.0 * (f64)y.n, task, &y, (int)((y.n + RUN - 1) / RUN));
}
