/* The LSTM cell over gemm's products, the array operations and the math functions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rnn_parts.h"

/* Rows of a panel of weights that fit into a thread's scratch. */
#define ROWS(columns) (FZ_SCRATCH_BYTES / ((columns) * (ptrdiff_t)sizeof(f32)))
/* Outputs whose weights are unpacked as a whole: 64 MiB. */
#define WIDEST 2048
/* Outputs whose weights are packed as a whole: 8 MiB. */
#define WIDEST_PACKED 512

/* ---- What is kept between forward and backward ------------------------------------- */

static const uint64_t ours[2] = {0x6c6f6f505a5a5546, 0x1f83d9abfb41bd6b};

typedef struct kept {
    uint64_t magic[2];
    int64_t dims[4];
} kept;

int fz_lstm_kept(const void *p, size_t bytes)
{
    return p && bytes >= FZ_LSTM_HEADER && memcmp(p, ours, sizeof ours) == 0;
}

/* ---- Shapes ------------------------------------------------------------------------ */

static shape shape_of(const fz_lstm *l)
{
    shape s = {l->src.dims[0],       l->src.dims[1], l->src.dims[2], l->dst.dims[2], 0, 0,
               l->src.type != FZ_F32};
    s.step = s.n * s.h;
    s.stretch = l->stretch ? l->stretch : s.step ? FZ_LSTM_STRETCH / s.step : s.t;
    s.stretch = s.stretch < 1 ? 1 : s.stretch > s.t ? s.t : s.stretch;
    return s;
}

static int dense(const fz_tensor *t)
{
    ptrdiff_t stride = 1;
    if (t->nblocks)
        return 0;
    for (int d = t->ndims - 1; d >= 0; d--) {
        if (t->dims[d] != 1 && t->stride[d] != stride)
            return 0;
        stride *= t->dims[d];
    }
    return 1;
}

static int is(const fz_tensor *t, int ndims, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c,
              ptrdiff_t d, ptrdiff_t e)
{
    const ptrdiff_t dims[] = {a, b, c, d, e};
    return t->ndims == ndims && memcmp(t->dims, dims, (size_t)ndims * sizeof *dims) == 0;
}

/* States of one step, those that there are. */
static const char *check_states(const fz_tensor *const states[4], const shape *s)
{
    for (int i = 0; i < 4; i++)
        if (states[i]->data &&
            (!is(states[i], 4, 1, 1, s->n, s->h, 0) || !dense(states[i])))
            return "states that are not dense";
    return NULL;
}

static const char *check_forward(const fz_lstm *l, const shape *s)
{
    const fz_tensor *const states[] = {&l->h0, &l->c0, &l->hn, &l->cn};
    if (!is(&l->src, 3, s->t, s->n, s->i, 0, 0) ||
        !is(&l->dst, 3, s->t, s->n, s->h, 0, 0) ||
        !is(&l->wx, 5, 1, 1, s->i, GATES, s->h) ||
        !is(&l->wh, 5, 1, 1, s->h, GATES, s->h) ||
        (l->bias.data && !is(&l->bias, 4, 1, 1, GATES, s->h, 0)))
        return "dims do not fit";
    if (!l->src.data || !l->dst.data || !l->wx.data || !l->wh.data || s->t < 1)
        return "arguments are missing";
    if (s->i > ROWS(FZ_LSTM_NARROW) || s->h > ROWS(FZ_LSTM_NARROW))
        return "a layer that is too wide";
    if (l->dst.type != l->src.type || (l->h0.data && l->h0.type != l->src.type) ||
        (l->hn.data && l->hn.type != l->src.type))
        return "inputs and outputs of different types";
    if (!dense(&l->src) || !dense(&l->dst) || (l->bias.data && !dense(&l->bias)))
        return "layers that are not dense";
    return check_states(states, s);
}

static const char *check_backward(const fz_lstm *l, const shape *s)
{
    const fz_tensor *const states[] = {&l->dh0, &l->dc0, &l->dhn, &l->dcn};
    const fz_tensor *all[] = {&l->dsrc, &l->dh0,  &l->dc0, &l->dwx,
                              &l->dwh,  &l->ddst, &l->dhn, &l->dcn};
    if (!is(&l->dsrc, 3, s->t, s->n, s->i, 0, 0) ||
        !is(&l->ddst, 3, s->t, s->n, s->h, 0, 0) ||
        !is(&l->dwx, 5, 1, 1, s->i, GATES, s->h) ||
        !is(&l->dwh, 5, 1, 1, s->h, GATES, s->h) ||
        (l->dbias.data && !is(&l->dbias, 4, 1, 1, GATES, s->h, 0)))
        return "dims do not fit";
    if (!l->dsrc.data || !l->ddst.data || !l->dwx.data || !l->dwh.data)
        return "arguments are missing";
    if (!dense(&l->dsrc) || !dense(&l->ddst) || (l->dbias.data && !dense(&l->dbias)) ||
        l->dwx.nblocks || l->dwh.nblocks)
        return "gradients that are not dense";
    const char *why = check_states(states, s);
    for (size_t i = 0; !why && i < sizeof all / sizeof *all; i++)
        if (all[i]->data && all[i]->type != FZ_F32)
            why = "gradients that are not f32";
    /* As many bits as the layer has are enough for these. */
    const fz_tensor *either[] = {&l->dbias, &l->c0};
    for (size_t i = 0; !why && i < sizeof either / sizeof *either; i++)
        if (either[i]->data && either[i]->type != FZ_F32 &&
            either[i]->type != l->src.type)
            why = "gradients that are not f32";
    return why;
}

size_t fz_lstm_keeps(const fz_lstm *l)
{
    const shape s = shape_of(l);
    const size_t gate = fz_type_size(l->src.type);
    return FZ_LSTM_HEADER + (GATES * gate + sizeof(f32)) * (size_t)(s.t * s.step);
}

const char *fz_lstm_refuses(const fz_lstm *l)
{
    const shape s = shape_of(l);
    const char *why = check_forward(l, &s);
    if (why)
        return why;
    if (l->kept && l->kept_bytes < fz_lstm_keeps(l))
        return "a workspace that is too small";
    if (!l->backward)
        return NULL;
    const kept *k = l->kept;
    const int64_t dims[4] = {s.t, s.n, s.i, s.h};
    if (!fz_lstm_kept(k, l->kept_bytes))
        return "a workspace that the original has filled";
    if (memcmp(k->dims, dims, sizeof dims))
        return "a workspace of another layer";
    return check_backward(l, &s);
}

/* ---- Scratch ----------------------------------------------------------------------- */

/* n numbers at the end of a room, whose first number is p. */
static f32 *take(room *a, f32 *p, ptrdiff_t n)
{
    f32 *mine = p + a->size;
    a->size += ((size_t)n + 15) / 16 * 16;
    return mine;
}

/* Weights that every step reads: laid out as rows of f32 once a call, if they are not. */
static int unpacked(const fz_lstm *l, const shape *s)
{
    return (l->wh.type != FZ_F32 || l->wh.nblocks) && s->t > 1 && s->h <= WIDEST;
}

/* Weights that every step multiplies by: packed once a call. A piece is FZ_LSTM_CHUNK
 * columns of a gate; of a single column gemm makes a row. */
static int is_packed(const shape *s)
{
    return s->t > 1 && s->h <= WIDEST_PACKED && s->h % FZ_LSTM_CHUNK != 1;
}

static room room_of(const fz_lstm *l, f32 *p)
{
    const shape s = shape_of(l);
    room a = {.size = 0};
    a.gates = take(&a, p, GATES * s.stretch * s.step);
    a.c = take(&a, p, s.step);
    a.h = take(&a, p, s.step);
    if (s.half)
        a.x = take(&a, p, s.stretch * s.n * s.i);
    if (unpacked(l, &s))
        a.wh = take(&a, p, GATES * s.h * s.h);
    if (is_packed(&s))
        a.packed = take(&a, p, GATES * fz_lstm_chunks(s.h) *
                                   (ptrdiff_t)(fz_pack_bytes(FZ_LSTM_CHUNK, s.h) / 4));
    if (s.half && l->backward) {
        a.before = take(&a, p, s.stretch * s.step);
        a.edge = take(&a, p, s.step);
        a.bias = take(&a, p, GATES * s.h);
    }
    return a;
}

size_t fz_lstm_scratch(const fz_lstm *l)
{
    static f32 none[1];
    return room_of(l, none).size * sizeof(f32);
}

/* ---- Products ---------------------------------------------------------------------- */

/* C = A*B + beta*C, C of some columns. B is a slice of weights: its rows are index `row`,
 * its columns index `col` of their dimensions, and the gate is fixed. */
typedef struct product {
    fz_parts parts;
    const fz_tensor *w;
    const f32 *plain; /* the same unpacked, or NULL */
    const char *packed; /* the same packed, or NULL */
    size_t piece;
    int row, col;     /* 2: inputs, 4: outputs */
    ptrdiff_t m, cols, k,
        plane; /* plane: of A (backward) or C (forward), a gate's size */
    const f32 *a;
    f32 beta, *c;
    ptrdiff_t lda, ldc;
    int over_gates; /* A has a plane a gate, and C is their sum */
} product;

/* Rows and columns of one gate of weights, and how far rows are apart in the copy. */
typedef struct block {
    ptrdiff_t gate;
    int row, col; /* which dimension is which, as in product */
    ptrdiff_t r0, rows, c0, cols, apart;
} block;

static void unpack(const fz_tensor *w, const block *b, f32 *into)
{
    const ptrdiff_t base = fz_tensor_at(w, 3, b->gate);
    ptrdiff_t at[FZ_LSTM_CHUNK];
    for (ptrdiff_t j = 0; j < b->cols; j++)
        at[j] = base + fz_tensor_at(w, b->col, b->c0 + j);
    for (ptrdiff_t i = 0; i < b->rows; i++) {
        const ptrdiff_t r = fz_tensor_at(w, b->row, b->r0 + i);
        f32 *to = into + i * b->apart;
        if (w->type == FZ_F32)
            for (ptrdiff_t j = 0; j < b->cols; j++)
                to[j] = ((const f32 *)w->data)[r + at[j]];
        else
            for (ptrdiff_t j = 0; j < b->cols; j++)
                to[j] = fz_widen(((const uint16_t *)w->data)[r + at[j]], w->type);
    }
}

/* FZ_LSTM_CHUNK columns of all rows of a gate of wh. */
static void unpack_task(void *arg, int index)
{
    const layer *y = arg;
    const ptrdiff_t h = y->s.h, chunks = fz_lstm_chunks(h);
    const ptrdiff_t gate = index / chunks, c0 = index % chunks * FZ_LSTM_CHUNK;
    const block b = {gate, 2, 4, 0, h, c0, h - c0 < FZ_LSTM_CHUNK ? h - c0 : FZ_LSTM_CHUNK,
                     h};
    unpack(&y->l->wh, &b, y->m.wh + gate * h * h + c0);
}

static void unpack_weights(layer *y)
{
    const ptrdiff_t h = y->s.h;
    if (y->m.wh)
        fz_parts_share(&y->parts, (f64)(GATES * h * h), unpack_task, y,
                       (int)(GATES * fz_lstm_chunks(h)));
}

/* Rows 0 .. k-1, columns from c0 of a slice: in place where its strides are regular. */
static const f32 *slice(const product *p, ptrdiff_t gate, ptrdiff_t c0, ptrdiff_t cols,
                        ptrdiff_t *rs, ptrdiff_t *cs)
{
    const fz_tensor *w = p->w;
    const ptrdiff_t base = fz_tensor_at(w, 3, gate), h = w->dims[4];
    if (p->plain) { /* [gate][input][output] */
        *rs = p->row == 2 ? h : 1;
        *cs = p->row == 2 ? 1 : h;
        return p->plain + gate * w->dims[2] * h + c0 * *cs;
    }
    if (w->type == FZ_F32 && !w->nblocks) {
        *rs = w->stride[p->row];
        *cs = w->stride[p->col];
        return (const f32 *)w->data + base + c0 * *cs;
    }
    f32 *into = fz_scratch(FZ_SCRATCH_PRODUCT);
    const block b = {gate, p->row, p->col, 0, p->k, c0, cols, cols};
    unpack(w, &b, into);
    *rs = cols;
    *cs = 1;
    return into;
}

static ptrdiff_t chunk_of(ptrdiff_t k)
{
    return k > ROWS(FZ_LSTM_CHUNK) ? FZ_LSTM_NARROW : FZ_LSTM_CHUNK;
}

/* A piece of the packed weights from the weights, for the products of this pass. */
static void pack_task(void *arg, int index)
{
    const layer *y = arg;
    const ptrdiff_t h = y->s.h, chunks = fz_lstm_chunks(h);
    const ptrdiff_t gate = index / chunks, c0 = index % chunks * FZ_LSTM_CHUNK;
    const product p = {.w = &y->l->wh,
                       .plain = y->m.wh,
                       .row = y->l->backward ? 4 : 2,
                       .col = y->l->backward ? 2 : 4,
                       .k = h};
    const ptrdiff_t cols = h - c0 < FZ_LSTM_CHUNK ? h - c0 : FZ_LSTM_CHUNK;
    ptrdiff_t rs, cs;
    const f32 *b = slice(&p, gate, c0, cols, &rs, &cs);
    y->parts.k->pack_f32(&y->parts.job, cols, h, b, rs, cs,
                         (char *)y->m.packed + (size_t)index * y->piece);
}

static void pack_weights(layer *y)
{
    const ptrdiff_t h = y->s.h;
    char none[16 * sizeof(f64) + 64] __attribute__((aligned(64))); /* fz_pack_bytes(1, 1) */
    const f32 zero = 0;
    if (!y->m.packed || !y->parts.k->pack_f32(&y->parts.job, 1, 1, &zero, 1, 1, none))
        return;
    y->piece = fz_pack_bytes(FZ_LSTM_CHUNK, h);
    fz_parts_share(&y->parts, (f64)(GATES * h * h), pack_task, y,
                   (int)(GATES * fz_lstm_chunks(h)));
}

/* C = A*B + beta*C of one gate, columns from c0. */
static void multiply(const product *p, const fz_job *job, ptrdiff_t gate, ptrdiff_t c0,
                     ptrdiff_t cols, const f32 *a, f32 beta, f32 *c)
{
    const fz_kernels *k = p->parts.k;
    ptrdiff_t rs, cs;
    const f32 *b = slice(p, gate, c0, cols, &rs, &cs);
    if (!p->packed) {
        k->gemm_f32(job, p->m, cols, p->k, 1, a, p->lda, 1, b, rs, cs, beta, c, p->ldc, 1);
        return;
    }
    const ptrdiff_t chunks = fz_lstm_chunks(p->cols);
    const char *piece =
        p->packed + (size_t)(gate * chunks + c0 / FZ_LSTM_CHUNK) * p->piece;
    k->packed_f32(job, p->m, cols, p->k, a, p->lda, 1, b, rs, cs, piece, beta, c, p->ldc);
}

static void product_task(void *arg, int index)
{
    const product *p = arg;
    fz_parts parts = fz_parts_task(&p->parts, index);
    const ptrdiff_t chunk = chunk_of(p->k), chunks = (p->cols + chunk - 1) / chunk;
    const ptrdiff_t c0 = index % chunks * chunk, gate = index / chunks;
    const ptrdiff_t cols = p->cols - c0 < chunk ? p->cols - c0 : chunk;
    if (!p->over_gates) {
        const fz_job job = fz_part(&parts);
        multiply(p, &job, gate, c0, cols, p->a, p->beta, p->c + gate * p->plane + c0);
        return;
    }
    for (ptrdiff_t g = 0; g < GATES; g++) {
        const fz_job job = fz_part(&parts);
        multiply(p, &job, g, c0, cols, p->a + g * p->plane, g ? 1 : p->beta, p->c + c0);
    }
}

static const f32 *plain_of(const layer *y, const fz_tensor *w)
{
    return w == &y->l->wh ? y->m.wh : NULL;
}

static const char *packed_of(const layer *y, const fz_tensor *w)
{
    return w == &y->l->wh && y->piece ? (const char *)y->m.packed : NULL;
}

fz_parts fz_lstm_phase(layer *y)
{
    const fz_job job = fz_part(&y->parts);
    return fz_parts_of(y->parts.k, &job);
}

void fz_lstm_into_gates(layer *y, const fz_tensor *w, ptrdiff_t r0, ptrdiff_t rows,
                        const f32 *a, ptrdiff_t k, f32 beta)
{
    const ptrdiff_t h = y->s.h;
    product p = {.parts = fz_lstm_phase(y),
                 .w = w,
                 .plain = plain_of(y, w),
                 .packed = packed_of(y, w),
                 .piece = y->piece,
                 .row = 2,
                 .col = 4,
                 .m = rows,
                 .cols = h,
                 .k = k,
                 .plane = y->rows * h,
                 .a = a,
                 .beta = beta,
                 .c = y->gates + r0 * h,
                 .lda = k,
                 .ldc = h};
    fz_parts_share(&p.parts, (f64)rows * (f64)k * (f64)(GATES * h), product_task, &p,
                   (int)(GATES * ((h + chunk_of(k) - 1) / chunk_of(k))));
}

void fz_lstm_out_of_gates(layer *y, const fz_tensor *w, ptrdiff_t r0, ptrdiff_t rows,
                          ptrdiff_t width, f32 *c)
{
    const ptrdiff_t h = y->s.h;
    product p = {.parts = fz_lstm_phase(y),
                 .w = w,
                 .plain = plain_of(y, w),
                 .packed = packed_of(y, w),
                 .piece = y->piece,
                 .row = 4,
                 .col = 2,
                 .m = rows,
                 .cols = width,
                 .k = h,
                 .plane = y->rows * h,
                 .a = y->gates + r0 * h,
                 .c = c,
                 .lda = h,
                 .ldc = width,
                 .over_gates = 1};
    fz_parts_share(&p.parts, (f64)rows * (f64)width * (f64)(GATES * h), product_task, &p,
                   (int)((width + chunk_of(h) - 1) / chunk_of(h)));
}

/* ---- Forward ----------------------------------------------------------------------- */

void fz_lstm_widen(const fz_tensor *t, ptrdiff_t from, ptrdiff_t n, f32 *to)
{
    const char *data = t->data;
    fz_widen_row(data + from * (ptrdiff_t)fz_type_size(t->type), t->type, 1, n, to);
}

static void forward_task(void *arg, int index)
{
    const step *st = arg;
    layer *y = st->y;
    ptrdiff_t from;
    fz_array_run r = run_of(y, &st->parts, index, &from);
    const ptrdiff_t plane = y->rows * y->s.h;
    f32 *gate[GATES], *one = tmp_of(0), *x = tmp_of(1), *h = tmp_of(2), *c = st->c + from;
    for (int g = 0; g < GATES; g++)
        gate[g] = y->gates + g * plane + (st->at - y->base) * y->s.step + from;
    fz_array_fill(&r, 1, one);
    fz_array_logistic(&r, one, gate[0]);
    fz_array_logistic(&r, one, gate[1]);
    fz_array_map(&r, FZ_FN_TANH, gate[2], gate[2]);
    fz_array_logistic(&r, one, gate[3]);
    if (st->before)
        fz_array_op(&r, PRISM_MUL, gate[1], st->before + from, x, x);
    else
        fz_array_fill(&r, 0, x);
    fz_array_op(&r, PRISM_FMA, gate[0], gate[2], x, c);
    fz_array_map(&r, FZ_FN_TANH, c, h);
    const ptrdiff_t to = st->at * y->s.step + from;
    if (!y->s.half) {
        fz_array_op(&r, PRISM_MUL, gate[3], h, h, (f32 *)y->l->dst.data + to);
        return;
    }
    fz_array_op(&r, PRISM_MUL, gate[3], h, h, h);
    narrow(&r, h, y->l->dst.type, (uint16_t *)y->l->dst.data + to, y->m.h + from);
    for (int g = 0; g < GATES && y->kept; g++)
        narrow(&r, gate[g], y->l->src.type, y->kept + g * y->s.t * y->s.step + to, NULL);
}

typedef struct narrowing {
    layer *y;
    fz_parts parts;
    const f32 *x;
    const fz_tensor *to;
    ptrdiff_t n;
} narrowing;

static void narrow_task(void *arg, int index)
{
    const narrowing *w = arg;
    const ptrdiff_t from = (ptrdiff_t)index * FZ_LSTM_RUN, left = w->n - from;
    fz_array_run r = {fz_parts_task(&w->parts, index), w->y->ops,
                      (size_t)(left < FZ_LSTM_RUN ? left : FZ_LSTM_RUN)};
    narrow(&r, w->x + from, w->to->type, (uint16_t *)w->to->data + from, NULL);
}

void fz_lstm_narrow(layer *y, const f32 *x, const fz_tensor *to, ptrdiff_t n)
{
    narrowing w = {y, fz_lstm_phase(y), x, to, n};
    fz_parts_share(&w.parts, 8.0 * (f64)n, narrow_task, &w,
                   (int)((n + FZ_LSTM_RUN - 1) / FZ_LSTM_RUN));
}

static void start_gates(layer *y, ptrdiff_t rows)
{
    const ptrdiff_t h = y->s.h;
    if (!y->l->bias.data)
        return;
    for (ptrdiff_t g = 0; g < GATES; g++) {
        f32 *to = y->gates + g * y->rows * h;
        for (ptrdiff_t r = 0; r < rows; r++)
            fz_lstm_widen(&y->l->bias, g * h, h, to + r * h);
    }
}

/* Steps q .. q+n-1; c: the state before them, or NULL. Returns that behind them. */
static const f32 *forward_stretch(layer *y, ptrdiff_t q, ptrdiff_t n, const f32 *c)
{
    const fz_lstm *l = y->l;
    const shape *s = &y->s;
    const ptrdiff_t first = l->reverse ? s->t - q - n : q; /* position */
    const f32 *x = y->m.x;
    y->base = first;
    y->rows = n * s->n;
    if (l->kept && !s->half) {
        y->base = 0;
        y->rows = s->t * s->n;
    }
    if (s->half)
        fz_lstm_widen(&l->src, first * s->n * s->i, n * s->n * s->i, y->m.x);
    else
        x = (const f32 *)l->src.data + first * s->n * s->i;
    start_gates(y, y->rows);
    fz_lstm_into_gates(y, &l->wx, (first - y->base) * s->n, n * s->n, x, s->i,
                       l->bias.data ? 1 : 0);
    for (ptrdiff_t j = 0; j < n; j++) {
        const ptrdiff_t at = l->reverse ? first + n - 1 - j : first + j;
        const f32 *h = y->m.h;
        if (q + j == 0) {
            if (s->half && l->h0.data)
                fz_lstm_widen(&l->h0, 0, s->step, y->m.h);
            else if (!s->half)
                h = l->h0.data;
            if (!l->h0.data)
                h = NULL;
        } else if (!s->half) {
            h = (const f32 *)l->dst.data + (l->reverse ? at + 1 : at - 1) * s->step;
        }
        if (h)
            fz_lstm_into_gates(y, &l->wh, (at - y->base) * s->n, s->n, h, s->h, 1);
        step st = {.y = y, .at = at, .before = c, .c = y->m.c};
        if (y->cells)
            st.c = y->cells + at * s->step;
        share_step(&st, forward_task);
        c = st.c;
    }
    return c;
}

static void forward(layer *y)
{
    const fz_lstm *l = y->l;
    const shape *s = &y->s;
    const f32 *c = NULL;
    y->gates = y->m.gates;
    if (l->kept) {
        kept *k = l->kept;
        const kept head = {{ours[0], ours[1]}, {s->t, s->n, s->i, s->h}};
        *k = head;
        char *gates = (char *)l->kept + FZ_LSTM_HEADER;
        if (s->half)
            y->kept = (uint16_t *)(void *)gates;
        else
            y->gates = (f32 *)(void *)gates;
        y->cells = fz_lstm_cells(l, s);
    }
    const ptrdiff_t stretch = l->kept && !s->half ? s->t : s->stretch;
    if (l->c0.data) {
        fz_lstm_widen(&l->c0, 0, s->step, y->m.c);
        c = y->m.c;
    }
    for (ptrdiff_t q = 0; q < s->t; q += stretch)
        c = forward_stretch(y, q, s->t - q < stretch ? s->t - q : stretch, c);
    const size_t size = fz_type_size(l->dst.type);
    if (l->hn.data)
        memcpy(l->hn.data,
               (char *)l->dst.data +
                   (size_t)((l->reverse ? 0 : s->t - 1) * s->step) * size,
               (size_t)s->step * size);
    if (l->cn.data && l->cn.type == FZ_F32) {
        memcpy(l->cn.data, c, (size_t)s->step * sizeof *c);
    } else if (l->cn.data) {
        fz_lstm_narrow(y, c, &l->cn, s->step);
    }
}

void fz_lstm_run(const fz_kernels *k, const fz_job *job, const fz_lstm *l, void *scratch)
{
    layer y = {.l = l,
               .s = shape_of(l),
               .parts = fz_parts_of(k, job),
               .ops = prism_arrays(fz_kernels_isa(k)),
               .m = room_of(l, scratch)};
    if (y.s.step == 0)
        return;
    unpack_weights(&y);
    pack_weights(&y);
    if (l->backward)
        fz_lstm_backward(&y);
    else
        forward(&y);
}
