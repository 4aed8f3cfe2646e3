/* Elementwise functions over the array operations and the math functions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "eltwise.h"

#include "array_run.h"
#include "half_rows.h"

#define RUN FZ_ELTWISE_RUN

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

static void halve(const fz_array_run *r, f32 *x)
{
    for (size_t i = 0; i < r->n; i++)
        x[i] *= 0.5f;
}

/* y, or alpha*y where x is not above 0; NaN stays. a, b: room. y may be x. */
static void relu(fz_array_run *r, f32 alpha, const f32 *x, f32 *y, f32 *a, f32 *b)
{
    if (alpha != 0)
        fz_array_op(r, PRISM_MUL, fz_array_fill(r, alpha, a), y, y, b);
    else
        fz_array_fill(r, 0, b);
    for (size_t i = 0; i < r->n; i++)
        y[i] = x[i] > 0 || x[i] != x[i] ? y[i] : b[i];
}

/* fma(alpha, x, beta) clipped to [0, 1]; a, b: room, the result is in b. */
static void hardsigmoid(fz_array_run *r, f32 alpha, f32 beta, const f32 *x, f32 *a,
                        f32 *b)
{
    fz_array_op(r, PRISM_FMA, fz_array_fill(r, alpha, a), x, fz_array_fill(r, beta, b), b);
    for (size_t i = 0; i < r->n; i++)
        b[i] = b[i] < 0 ? 0 : b[i] > 1 ? 1 : b[i];
}

void fz_array_eltwise(fz_array_run *r, enum fz_eltwise_kind f, f32 alpha, f32 beta, f32 *x,
                      f32 *room)
{
    f32 *one = room, *a = room + FZ_ELTWISE_RUN, *b = room + 2 * FZ_ELTWISE_RUN;
    fz_array_fill(r, 1, one);
    switch (f) {
    case FZ_ELTWISE_RELU: relu(r, alpha, x, x, a, b); return;
    case FZ_ELTWISE_TANH: fz_array_map(r, FZ_FN_TANH, x, x); return;
    case FZ_ELTWISE_LOGISTIC: fz_array_logistic(r, one, x); return;
    case FZ_ELTWISE_LINEAR:
        fz_array_op(r, PRISM_FMA, fz_array_fill(r, alpha, a), x,
                    fz_array_fill(r, beta, b), x);
        return;
    case FZ_ELTWISE_SWISH:
        memcpy(b, x, r->n * sizeof *x);
        if (alpha != 1)
            fz_array_op(r, PRISM_MUL, fz_array_fill(r, alpha, a), b, b, b);
        fz_array_logistic(r, one, b);
        fz_array_op(r, PRISM_MUL, x, b, b, x);
        return;
    case FZ_ELTWISE_HARDSIGMOID:
        hardsigmoid(r, alpha, beta, x, a, b);
        memcpy(x, b, r->n * sizeof *x);
        return;
    case FZ_ELTWISE_HARDSWISH:
        hardsigmoid(r, alpha, beta, x, a, b);
        fz_array_op(r, PRISM_MUL, x, b, b, x);
        return;
    case FZ_ELTWISE_GELU_TANH:
        fz_array_op(r, PRISM_MUL, x, x, x, b);
        fz_array_op(r, PRISM_FMA, fz_array_fill(r, 0x1.6e4e26p-5f, a), b, one, b);
        fz_array_op(r, PRISM_MUL, x, fz_array_fill(r, 0x1.988454p-1f, a), a, a);
        fz_array_op(r, PRISM_MUL, a, b, b, a);
        fz_array_map(r, FZ_FN_TANH, a, a);
        break;
    default: /* gelu_erf */
        fz_array_op(r, PRISM_MUL, x, fz_array_fill(r, 0x1.6a09e6p-1f, a), x, a);
        fz_array_map(r, FZ_FN_ERF, a, a);
    }
    fz_array_op(r, PRISM_ADD, one, a, a, a);
    fz_array_op(r, PRISM_MUL, x, a, a, x);
    halve(r, x);
}

static f32 *backward(run *r)
{
    f32 *v = r->a, *w = r->b, *d = r->d;
    if (r->e->kind == FZ_ELTWISE_RELU) {
        relu(&r->on, r->e->alpha, r->x, d, v, w);
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
    halve(&r->on, d);
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
    const f32 *out = r.x;
    if (e->backward)
        out = backward(&r);
    else
        fz_array_eltwise(&r.on, e->kind, e->alpha, e->beta, r.x, r.one);
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
