/* A tensor in another layout and a narrower type.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reorder.h"

#include <stdbool.h>

#include "blas_parts.h"

enum { CHUNK = 256, SHARE = 16384 };

const char *fz_reorder_refuses(const fz_tensor *from, const fz_tensor *to)
{
    if (from->type != FZ_F32 || to->type == FZ_F32)
        return "a change of type that is not executed";
    if (from->ndims != to->ndims || to->ndims < 1)
        return "dims do not fit";
    for (int d = 0; d < to->ndims; d++)
        if (from->dims[d] != to->dims[d] || to->padded[d] < to->dims[d])
            return "dims do not fit";
    return NULL;
}

struct reorder {
    const fz_kernels *k;
    const fz_job *job;
    const fz_tensor *from, *to;
    ptrdiff_t rows, share; /* of the outer indices, padding included */
};

/* Where row r begins in both tensors, and its number without padding; false: it is
 * padding. */
static bool row_at(const struct reorder *x, ptrdiff_t r, ptrdiff_t *from, ptrdiff_t *to,
                   uint64_t *number)
{
    bool inside = true;
    ptrdiff_t rows = 1;
    *from = *to = 0;
    *number = 0;
    for (int d = x->to->ndims - 2; d >= 0; d--) {
        const ptrdiff_t i = r % x->to->padded[d];
        r /= x->to->padded[d];
        inside &= i < x->to->dims[d];
        *number += (uint64_t)(i * rows);
        rows *= x->to->dims[d];
        *to += fz_tensor_at(x->to, d, i);
        *from += fz_tensor_at(x->from, d, i);
    }
    return inside;
}

static void row(const struct reorder *x, ptrdiff_t r)
{
    const int last = x->to->ndims - 1;
    const ptrdiff_t n = x->to->dims[last];
    const f32 *from = x->from->data;
    uint16_t *to = x->to->data, half[CHUNK];
    f32 wide[CHUNK];
    ptrdiff_t a, b;
    uint64_t number;
    const bool inside = row_at(x, r, &a, &b, &number);
    const prism_key key = prism_key_derive(x->job->key, number);
    for (ptrdiff_t i = 0; inside && i < n; i += CHUNK) {
        const ptrdiff_t m = n - i < CHUNK ? n - i : CHUNK;
        for (ptrdiff_t k = 0; k < m; k++)
            wide[k] = from[a + fz_tensor_at(x->from, last, i + k)];
        fz_job part = *x->job;
        part.key = prism_key_derive(key, (uint64_t)(i / CHUNK));
        x->k->narrow(&part, x->to->type == FZ_BF16, m, wide, half);
        for (ptrdiff_t k = 0; k < m; k++)
            to[b + fz_tensor_at(x->to, last, i + k)] = half[k];
    }
    for (ptrdiff_t i = inside ? n : 0; i < x->to->padded[last]; i++)
        to[b + fz_tensor_at(x->to, last, i)] = 0;
}

static void share(void *arg, int i)
{
    const struct reorder *x = arg;
    const ptrdiff_t end = (i + 1) * x->share;
    for (ptrdiff_t r = i * x->share; r < end && r < x->rows; r++)
        row(x, r);
}

void fz_reorder(const fz_kernels *k, const fz_job *job, const fz_tensor *from,
                const fz_tensor *to)
{
    struct reorder x = {k, job, from, to, 1, 1};
    const ptrdiff_t length = to->padded[to->ndims - 1];
    for (int d = 0; d < to->ndims - 1; d++)
        x.rows *= to->padded[d];
    if (x.rows == 0 || length == 0)
        return;
    x.share = length < SHARE ? SHARE / length : 1;
    const fz_parts p = fz_parts_of(k, job);
    fz_parts_share(&p, 16.0 * (f64)x.rows * (f64)length, share, &x,
                   (int)((x.rows + x.share - 1) / x.share));
}
