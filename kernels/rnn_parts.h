/* What the passes of the LSTM share: a call's layout, its products and elementwise steps.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Gates lie in planes, [gate][step and batch][output], so that a step of one gate is one
 * array. A product is cut into tasks of FZ_LSTM_CHUNK columns of a gate, an elementwise
 * step into tasks of FZ_LSTM_RUN numbers.
 */
#ifndef FZ_RNN_PARTS_H
#define FZ_RNN_PARTS_H

#include "array_run.h"
#include "half_rows.h"
#include "rnn.h"

#define GATES 4
#define FZ_LSTM_CHUNK 64
#define FZ_LSTM_NARROW 16 /* where a panel of k rows would not fit into the scratch */
#define FZ_LSTM_RUN 1024
/* In front of what is kept. */
#define FZ_LSTM_HEADER 64

typedef struct shape {
    ptrdiff_t t, n, i, h;
    ptrdiff_t step;    /* n*h */
    ptrdiff_t stretch; /* steps */
    int half;
} shape;

typedef struct room {
    f32 *gates;  /* [4][stretch * n][h] */
    f32 *c, *h;  /* a step each */
    f32 *x;      /* half: a stretch of src, widened */
    f32 *wh;     /* [4][h][h], where the weights are blocked or half; or NULL */
    f32 *packed; /* wh as products take it, a piece for each task; or NULL */
    f32 *before; /* half, backward: h of the steps before a stretch */
    f32 *edge;   /* half, backward: c or h before the first step */
    f32 *bias;   /* half, backward: the gradient, in f32 */
    size_t size; /* in numbers */
} room;

typedef struct layer {
    const fz_lstm *l;
    shape s;
    fz_parts parts; /* the phases of the call */
    const prism_array_ops *ops;
    room m;
    f32 *gates; /* planes of `rows` rows, the first row that of position `base` */
    ptrdiff_t rows;
    ptrdiff_t base;
    f32 *cells; /* training: c of each position */
    uint16_t *kept; /* half, training: gates of each position */
    size_t piece;   /* bytes of a piece of m.packed; 0: there are none for this law */
} layer;

/* The stream of the next phase of a call. */
fz_parts fz_lstm_phase(layer *y);
/* The gates' sums of `rows` rows from row r0 on: A (rows, k) times weights + beta*sums.
 */
void fz_lstm_into_gates(layer *y, const fz_tensor *w, ptrdiff_t r0, ptrdiff_t rows,
                        const f32 *a, ptrdiff_t k, f32 beta);
/* The other way: C, of `width` columns, = gates' gradients times weights, transposed. */
void fz_lstm_out_of_gates(layer *y, const fz_tensor *w, ptrdiff_t r0, ptrdiff_t rows,
                          ptrdiff_t width, f32 *c);
/* c of all positions in what is kept, behind the gates. */
static inline f32 *fz_lstm_cells(const fz_lstm *l, const shape *s)
{
    const size_t gates = GATES * (size_t)(s->t * s->step) * fz_type_size(l->src.type);
    return (f32 *)(void *)((char *)l->kept + FZ_LSTM_HEADER + gates);
}

/* n numbers of a tensor from number `from` on. */
void fz_lstm_widen(const fz_tensor *t, ptrdiff_t from, ptrdiff_t n, f32 *to);
/* f32 numbers to a tensor of a half type, by the mode. */
void fz_lstm_narrow(layer *y, const f32 *x, const fz_tensor *to, ptrdiff_t n);
void fz_lstm_backward(layer *y);

/* ---- Elementwise steps ------------------------------------------------------------- */

/* The numbers of one task. */
static inline fz_array_run run_of(const layer *y, const fz_parts *p, int index, ptrdiff_t *from)
{
    *from = (ptrdiff_t)index * FZ_LSTM_RUN;
    const ptrdiff_t left = y->s.step - *from;
    return (fz_array_run){fz_parts_task(p, index), y->ops,
                    (size_t)(left < FZ_LSTM_RUN ? left : FZ_LSTM_RUN)};
}

/* Pieces of FZ_LSTM_CHUNK columns that n columns make. */
static inline ptrdiff_t fz_lstm_chunks(ptrdiff_t n)
{
    return (n + FZ_LSTM_CHUNK - 1) / FZ_LSTM_CHUNK;
}

/* Room of the calling thread for a task's numbers, i = 0 .. 10. */
static inline f32 *tmp_of(int i)
{
    return (f32 *)fz_scratch(FZ_SCRATCH_VECTORS) + i * FZ_LSTM_RUN;
}

/* out[i] = x narrowed; back: what it is now worth. */
static inline void narrow(fz_array_run *r, const f32 *x, enum fz_type type, uint16_t *out,
                          f32 *back)
{
    fz_array_narrow(r, x, type == FZ_BF16, out);
    for (size_t i = 0; i < r->n && back; i++)
        back[i] = fz_widen(out[i], type);
}

typedef struct step {
    layer *y;
    fz_parts parts;
    ptrdiff_t at;      /* position in time */
    const f32 *before; /* c before this step; NULL: zeros */
    f32 *c;
    const f32 *dh; /* backward: from the step behind; NULL: zeros */
    f32 *dc;
    const void *was; /* gates, kept; of the layer's type */
    const f32 *cell; /* c, kept */
} step;

static inline void share_step(step *st, void (*task)(void *, int))
{
    layer *y = st->y;
    st->parts = fz_lstm_phase(y);
    fz_parts_share(&st->parts, 64.0 * (f64)y->s.step, task, st,
                   (int)((y->s.step + FZ_LSTM_RUN - 1) / FZ_LSTM_RUN));
}

#endif
