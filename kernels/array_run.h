/* A run of f32 numbers and elementwise operations on it, each a part with a stream of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_ARRAY_RUN_H
#define FZ_ARRAY_RUN_H

#include "blas_parts.h"
#include "eltwise.h"

typedef struct fz_array_run {
    fz_parts parts;
    const prism_array_ops *ops; /* of the same ISA as parts.k */
    size_t n;
} fz_array_run;

static inline void fz_array_op(fz_array_run *r, enum prism_op op, const f32 *a, const f32 *b,
                             const f32 *c, f32 *out)
{
    const fz_job job = fz_part(&r->parts);
    r->ops->op_f32(op, r->n, a, b, c, out, job.mode, job.t, job.key);
}

static inline void fz_array_map(fz_array_run *r, enum fz_fn fn, const f32 *x, f32 *out)
{
    const fz_job job = fz_part(&r->parts);
    r->parts.k->map_f32(&job, fn, (ptrdiff_t)r->n, x, x, out);
}

static inline void fz_array_narrow(fz_array_run *r, const f32 *x, int bf16, uint16_t *out)
{
    const fz_job job = fz_part(&r->parts);
    r->parts.k->narrow(&job, bf16, (ptrdiff_t)r->n, x, out);
}

static inline void fz_array_minus(const fz_array_run *r, const f32 *x, f32 *out)
{
    for (size_t i = 0; i < r->n; i++)
        out[i] = -x[i];
}

static inline f32 *fz_array_fill(const fz_array_run *r, f32 x, f32 *out)
{
    for (size_t i = 0; i < r->n; i++)
        out[i] = x;
    return out;
}

/* x = 1 / (1 + exp(-x)); one: ones */
static inline void fz_array_logistic(fz_array_run *r, const f32 *one, f32 *x)
{
    fz_array_minus(r, x, x);
    fz_array_map(r, FZ_FN_EXP, x, x);
    fz_array_op(r, PRISM_ADD, x, one, x, x);
    fz_array_op(r, PRISM_DIV, one, x, x, x);
}

/* x = f(x), forward (eltwise.c). At most FZ_ELTWISE_RUN numbers; room for 3 times as many.
 */
#define FZ_ELTWISE_RUN 1024
void fz_array_eltwise(fz_array_run *r, enum fz_eltwise_kind f, f32 alpha, f32 beta, f32 *x,
                      f32 *room);

#endif
