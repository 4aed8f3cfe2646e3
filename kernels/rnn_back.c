/* The LSTM cell backward: from the last step to the first, a stretch of steps at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rnn_parts.h"

/* out = u * fma(-v, v, w), u = round(a*b) */
static void slope(fz_array_run *r, const f32 *a, const f32 *b, const f32 *v, const f32 *w,
                  f32 *out)
{
    f32 *u = tmp_of(4), *s = tmp_of(5);
    fz_array_op(r, PRISM_MUL, a, b, a, u);
    fz_array_minus(r, v, s);
    fz_array_op(r, PRISM_FMA, s, v, w, s);
    fz_array_op(r, PRISM_MUL, u, s, u, out);
}

static void backward_task(void *arg, int index)
{
    const step *st = arg;
    layer *y = st->y;
    const shape *s = &y->s;
    ptrdiff_t from;
    fz_array_run r = run_of(y, &st->parts, index, &from);
    const ptrdiff_t at = st->at * s->step + from;
    const f32 *was[GATES], *dh = (const f32 *)y->l->ddst.data + at;
    const enum fz_type type = y->l->src.type;
    f32 *to[GATES], *one = tmp_of(0), *th = tmp_of(1), *sum = tmp_of(2), *x = tmp_of(3);
    f32 *dc = st->dc + from;
    for (int g = 0; g < GATES; g++) {
        const ptrdiff_t place = g * s->t * s->step + at;
        was[g] = s->half ? tmp_of(7 + g) : (const f32 *)st->was + place;
        if (s->half)
            fz_widen_row((const uint16_t *)st->was + place, type, 1, (ptrdiff_t)r.n,
                         tmp_of(7 + g));
        to[g] = y->gates + g * y->rows * s->h + (st->at - y->base) * s->step + from;
    }
    fz_array_fill(&r, 1, one);
    fz_array_map(&r, FZ_FN_TANH, st->cell + at, th);
    if (st->dh) {
        fz_array_op(&r, PRISM_ADD, dh, st->dh + from, dh, sum);
        dh = sum;
    }
    f32 *u = tmp_of(4);
    fz_array_minus(&r, th, u);
    fz_array_op(&r, PRISM_FMA, u, th, one, u);
    fz_array_op(&r, PRISM_MUL, was[3], dh, dh, x);
    fz_array_op(&r, PRISM_FMA, u, x, dc, dc);
    slope(&r, was[2], dc, was[0], was[0], to[0]);
    if (st->before)
        slope(&r, st->before + from, dc, was[1], was[1], to[1]);
    else
        fz_array_fill(&r, 0, to[1]);
    slope(&r, was[0], dc, was[2], one, to[2]);
    slope(&r, th, dh, was[3], was[3], to[3]);
    fz_array_op(&r, PRISM_MUL, dc, was[1], dc, dc);
    for (int g = 0; g < GATES && s->half; g++)
        narrow(&r, to[g], type, (uint16_t *)(void *)tmp_of(6), to[g]);
}

/* dW += A' * gradients of the gates: m rows of C, k rows of A and of the gates. */
typedef struct outer {
    fz_parts parts;
    const layer *y;
    ptrdiff_t m, k, r0;
    const f32 *a; /* (k, m), strides rsa and csa of its transpose */
    ptrdiff_t csa, rsa;
    f32 beta, *c;
    ptrdiff_t rsc, gate, csc;
} outer;

static void outer_task(void *arg, int index)
{
    const outer *p = arg;
    const ptrdiff_t h = p->y->s.h, chunks = fz_lstm_chunks(h);
    const ptrdiff_t c0 = index % chunks * FZ_LSTM_CHUNK, g = index / chunks;
    const ptrdiff_t cols = h - c0 < FZ_LSTM_CHUNK ? h - c0 : FZ_LSTM_CHUNK;
    fz_parts parts = fz_parts_task(&p->parts, index);
    const fz_job job = fz_part(&parts);
    parts.k->gemm_f32(&job, p->m, cols, p->k, 1, p->a, p->rsa, p->csa,
                      p->y->gates + (g * p->y->rows + p->r0) * h + c0, h, 1, p->beta,
                      p->c + g * p->gate + c0 * p->csc, p->rsc, p->csc);
}

static void share_outer(layer *y, outer *p)
{
    p->y = y;
    p->parts = fz_lstm_phase(y);
    fz_parts_share(&p->parts, (f64)p->m * (f64)p->k * (f64)(GATES * y->s.h), outer_task,
                   p, (int)(GATES * fz_lstm_chunks(y->s.h)));
}

/* n numbers of a dense tensor as f32, in place where they are. */
static const f32 *rows_of(const fz_tensor *t, ptrdiff_t from, ptrdiff_t n, f32 *wide)
{
    if (t->type == FZ_F32)
        return (const f32 *)t->data + from;
    fz_lstm_widen(t, from, n, wide);
    return wide;
}

/* Gradients of the weights over positions first .. first+n-1, whose gates' gradients are
 * rows 0 .. */
static void weights(layer *y, ptrdiff_t first, ptrdiff_t n, int fresh)
{
    static const f32 one = 1;
    const fz_lstm *l = y->l;
    const shape *s = &y->s;
    const fz_tensor *wx = &l->dwx, *wh = &l->dwh;
    const f32 beta = fresh ? 0 : 1;
    outer p = {.m = s->i, .k = n * s->n, .rsa = 1, .csa = s->i, .beta = beta};
    p.a = rows_of(&l->src, first * s->n * s->i, n * s->n * s->i, y->m.x);
    p.c = wx->data, p.rsc = wx->stride[2], p.gate = wx->stride[3], p.csc = wx->stride[4];
    share_outer(y, &p);
    if (l->dbias.data) {
        f32 *to = l->dbias.type == FZ_F32 ? l->dbias.data : y->m.bias;
        outer b = {.m = 1,
                   .k = n * s->n,
                   .a = &one,
                   .beta = beta,
                   .c = to,
                   .rsc = s->h,
                   .gate = s->h,
                   .csc = 1};
        share_outer(y, &b);
    }
    /* h of the step before: dst one position off, or h0 */
    const ptrdiff_t edge = l->reverse ? first + n == s->t : first == 0;
    outer q = {.m = s->h,
               .rsa = 1,
               .csa = s->h,
               .beta = beta,
               .c = wh->data,
               .rsc = wh->stride[2],
               .gate = wh->stride[3],
               .csc = wh->stride[4]};
    q.k = (n - edge) * s->n;
    q.r0 = l->reverse ? 0 : edge * s->n;
    q.a = rows_of(&l->dst, (l->reverse ? first + 1 : first - 1 + edge) * s->step,
                  (n - edge) * s->step, y->m.before);
    if (q.k || !q.beta)
        share_outer(y, &q);
    if (edge && l->h0.data) {
        q.k = s->n;
        q.r0 = l->reverse ? (n - 1) * s->n : 0;
        q.a = rows_of(&l->h0, 0, s->step, y->m.edge);
        q.beta = 1;
        share_outer(y, &q);
    }
}

void fz_lstm_backward(layer *y)
{
    const fz_lstm *l = y->l;
    const shape *s = &y->s;
    const void *was = (const char *)l->kept + FZ_LSTM_HEADER;
    const f32 *cell = fz_lstm_cells(l, s), *dh = l->dhn.data, *c0 = NULL;
    if (l->c0.data)
        c0 = rows_of(&l->c0, 0, s->step, y->m.edge);
    if (l->dbias.data && l->dbias.type != FZ_F32 && !l->overwrite)
        fz_lstm_widen(&l->dbias, 0, GATES * s->h, y->m.bias);
    y->gates = y->m.gates;
    if (l->dcn.data)
        memcpy(y->m.c, l->dcn.data, (size_t)s->step * sizeof(f32));
    else
        memset(y->m.c, 0, (size_t)s->step * sizeof(f32));
    for (ptrdiff_t end = s->t; end > 0;) { /* steps end-n .. end-1 */
        const ptrdiff_t n = end < s->stretch ? end : s->stretch;
        const ptrdiff_t first = l->reverse ? s->t - end : end - n;
        y->base = first;
        y->rows = n * s->n;
        for (ptrdiff_t q = end - 1; q >= end - n; q--) {
            const ptrdiff_t at = l->reverse ? s->t - 1 - q : q;
            step st = {.y = y,
                       .at = at,
                       .dh = dh,
                       .dc = y->m.c,
                       .was = was,
                       .cell = cell,
                       .before = q ? cell + (l->reverse ? at + 1 : at - 1) * s->step
                                   : c0};
            share_step(&st, backward_task);
            fz_lstm_out_of_gates(y, &l->wh, (at - first) * s->n, s->n, s->h, y->m.h);
            dh = y->m.h;
        }
        fz_lstm_out_of_gates(y, &l->wx, 0, n * s->n, s->i,
                             (f32 *)l->dsrc.data + first * s->n * s->i);
        weights(y, first, n, l->overwrite && end == s->t);
        end -= n;
    }
    if (l->dbias.data && l->dbias.type != FZ_F32)
        fz_lstm_narrow(y, y->m.bias, &l->dbias, GATES * s->h);
    if (l->dh0.data)
        memcpy(l->dh0.data, y->m.h, (size_t)s->step * sizeof(f32));
    if (l->dc0.data)
        memcpy(l->dc0.data, y->m.c, (size_t)s->step * sizeof(f32));
}
