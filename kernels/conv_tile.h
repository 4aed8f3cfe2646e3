/* Tiles of a convolution: places, sums over packed panels, and what follows the sums.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_CONV_TILE_H
#define FZ_CONV_TILE_H

#include "conv_plan.h"

#include "array_run.h"
#include "conv_pack.h"
#include "step.h"
#include "tables.h"

#define UNIT FZ_PANEL_UNIT

/* Names the streams of functions behind the sums. */
#define POST_STREAM (UINT64_C(1) << 61)

/* Places along a dimension that may be blocked. */
typedef struct axis {
    const fz_tensor *t;
    int d, simple, shift;
    ptrdiff_t mask, inner, stride;
} axis;

typedef struct conv {
    const fz_job *job;
    const fz_conv *c;
    fz_law law;
    unsigned ftz;
    const fz_tensor *out, *in; /* not of backward weights: small and large side */
    axis out_n, out_c, in_n, in_c, w_out, w_in;
    ptrdiff_t batch, oc, ic; /* channels of a group, as outputs and inputs of the pass */
    int by_channel;          /* lanes run along output channels, else along pixels */
    ptrdiff_t kernel[3];     /* taps of each dimension */
    ptrdiff_t out_stride[3], in_stride[3], w_stride[3];
    ptrdiff_t out_dim[3];
    fz_runs runs[3];
    ptrdiff_t tiles; /* of one group */
    ptrdiff_t first; /* tile number 0 of what is shared now */
} conv;

/* One tile: rows x cols outputs, places of both in all that is read or written. */
typedef struct tile {
    const conv *v;
    ptrdiff_t group;
    fz_job job; /* with the key of the tile's class */
    ptrdiff_t row0, col0;
    ptrdiff_t pixel0; /* of its class, for post-ops */
    int rows, cols;
    fz_side a, b;
    ptrdiff_t out_row[MC], out_col[NC];
} tile;

/* ---- places ------------------------------------------------------------------------ */

static axis axis_of(const fz_tensor *t, int d)
{
    axis a = {t, d, 1, 0, 0, 0, t->stride[d]};
    ptrdiff_t inner = 1;
    int blocks = 0;
    for (int b = t->nblocks - 1; b >= 0; b--) {
        if (t->block_dim[b] == d) {
            a.simple = ++blocks == 1 && !(t->block[b] & (t->block[b] - 1));
            a.shift = __builtin_ctzll((unsigned long long)t->block[b]);
            a.mask = t->block[b] - 1;
            a.inner = inner;
        }
        inner *= t->block[b];
    }
    return a;
}

FZ_INLINE ptrdiff_t at(const axis *a, ptrdiff_t x)
{
    if (a->simple)
        return (x >> a->shift) * a->stride + (x & a->mask) * a->inner;
    return fz_tensor_at(a->t, a->d, x);
}

/* ---- sums -------------------------------------------------------------------------- */

static fz_panels panels_of(const tile *t)
{
    return (fz_panels){.law = t->v->law,
                       .ftz = t->v->ftz,
                       .row0 = (uint32_t)t->row0,
                       .col0 = (uint32_t)t->col0,
                       .rows = t->rows,
                       .cols = t->cols};
}

/* The sums of a tile over `depth` products; next() makes the k places of a run. */
static void sums(tile *t, ptrdiff_t depth,
                 void (*next)(void *state, tile *t, ptrdiff_t k, int kc), void *state)
{
    char *const space = fz_workspace();
    fz_panels p = panels_of(t);
    const unsigned old = _mm_getcsr();
    if (depth == 0)
        memset(fz_panel_sum(space), 0, MC * NC * sizeof(f32));
    for (ptrdiff_t k = 0; k < depth; k += KC) {
        const int kc = (int)(depth - k < KC ? depth - k : KC);
        next(state, t, k, kc);
        fz_pack_rows(&t->a, t->rows, kc, fz_panel_a(space, t->rows, kc));
        fz_pack_cols(&t->b, t->cols, kc, fz_panel_b(space, t->cols, kc));
        FZ_FN(fz_panels_f32)(&t->job, &p, kc, (uint32_t)(k / KC));
    }
    _mm_setcsr(old);
}

/* ---- what follows the sums --------------------------------------------------------- */

/* Operand of an operation behind the sums. */
typedef struct other {
    const void *base; /* NULL: none */
    enum fz_type type;
    ptrdiff_t row[MC], col[NC];
} other;

/* x = round(a*x + b) or round(x + b), with the words of operation number `nth`. */
static void follow(const tile *t, enum prism_op op, f32 a, const other *o, f32 b, int nth)
{
    enum { VECS = UNIT / L };
    const fz_law l = t->v->law;
    const int skip = fz_gap(l);
    f32 *sum = fz_panel_sum(fz_workspace());
    const unsigned old = _mm_getcsr();
    _mm_setcsr(FZ_CSR_MASKS | FZ_CSR_RN | t->v->ftz);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j += UNIT) {
            const int cols = t->cols - j < UNIT ? t->cols - j : UNIT;
            f32 *x = sum + i * NC + j, y[UNIT];
            vi st[FZ_STATES(UNIT, 1)];
            for (int q = 0; q < UNIT; q++)
                y[q] = b;
            for (int q = 0; q < cols && o; q++)
                y[q] = fz_side_get(o->base, o->type, o->row[i] + o->col[j + q]);
            fz_lanes_open(st, l, UNIT, t->job.key, (uint32_t)(t->row0 + i),
                          FZ_EPILOGUE - (uint32_t)nth, (uint32_t)(t->col0 + j));
            for (int v = 0; v < VECS; v++) {
                const int e = fz_at(l, v);
                const vd s = fz_load(x, 1, e, skip), z = fz_load(y, 1, e, skip);
                const vi w = fz_word(st, l, v, 0);
                vd r;
                if (op == PRISM_ADD)
                    r = fz_op(PRISM_ADD, l, s, z, s, w);
                else if (op == PRISM_SUB)
                    r = fz_op(PRISM_SUB, l, s, z, s, w);
                else if (op == PRISM_MUL)
                    r = fz_op(PRISM_MUL, l, s, z, s, w);
                else if (op == PRISM_DIV)
                    r = fz_op(PRISM_DIV, l, s, z, s, w);
                else /* alpha scales the operand, or the sum where there is none */
                    r = o ? fz_op(PRISM_FMA, l, vd_set(a), z, s, w)
                          : fz_op(PRISM_FMA, l, vd_set(a), s, z, w);
                fz_store(x, 1, e, skip, r);
            }
        }
    _mm_setcsr(old);
}

/* x < 0 becomes round(alpha*x); NaN stays. */
static void relu(const tile *t, f32 alpha, int nth)
{
    f32 *sum = fz_panel_sum(fz_workspace());
    f32 *was = sum + MC * NC;
    memcpy(was, sum, MC * NC * sizeof *was);
    if (alpha != 0)
        follow(t, PRISM_MUL, 0, NULL, alpha, nth);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++) {
            f32 *x = &sum[i * NC + j];
            if (!(was[i * NC + j] < 0))
                *x = was[i * NC + j];
            else if (alpha == 0)
                *x = 0;
        }
}

static void clip_to(const tile *t, f32 lo, f32 hi)
{
    f32 *sum = fz_panel_sum(fz_workspace());
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++) {
            f32 *x = &sum[i * NC + j];
            *x = *x < lo ? lo : *x > hi ? hi : *x;
        }
}

/* The functions of eltwise.h, a row of the tile at a time; streams are those of operation
 * number `nth` and of the place in the class, as everywhere behind the sums. */
static void eltwise(const tile *t, const fz_post *p, int nth)
{
    enum { ISA_ref = PRISM_REF, ISA_sse41 = PRISM_SSE41, ISA_avx2 = PRISM_AVX2,
           ISA_avx2vaes = PRISM_AVX2_VAES, ISA_avx512 = PRISM_AVX512 };
    const enum prism_isa isa = (enum prism_isa)FZ_CAT(ISA, FZ_ISA);
    f32 *sum = fz_panel_sum(fz_workspace()), *room = fz_scratch(FZ_SCRATCH_VECTORS);
    const prism_key key = prism_key_derive(t->job.key, POST_STREAM | (uint64_t)nth);
    const unsigned old = _mm_getcsr();
    _mm_setcsr((old & ~(FZ_CSR_FTZ | FZ_CSR_DAZ)) | t->v->ftz);
    for (int i = 0; i < t->rows; i++) {
        fz_array_run r = {.ops = prism_arrays(isa), .n = (size_t)t->cols};
        r.parts = fz_parts_of(fz_kernels_for(isa), &t->job);
        r.parts.job.threads = NULL;
        r.parts.job.key = prism_key_derive(prism_key_derive(key, (uint64_t)(t->row0 + i)),
                                           (uint64_t)t->col0);
        fz_array_eltwise(&r, p->fn, p->alpha, p->beta, sum + i * NC, room);
    }
    _mm_setcsr(old);
}

/* Sums to their places, narrowed where the output is. */
static void put(const tile *t, const fz_tensor *out, int nth)
{
    const f32 *sum = fz_panel_sum(fz_workspace());
    const fz_law l = {t->v->law.mode, 8, t->v->law.mode == PRISM_NEAREST ? 0 : 32, 0, 1};
    for (int j = 0; j < t->cols; j += UNIT) {
        const int cols = t->cols - j < UNIT ? t->cols - j : UNIT;
        const ptrdiff_t *place = t->out_col + j;
        const int in_row = fz_in_row(place, cols);
        for (int i = 0; i < t->rows; i++) {
            const f32 *x = sum + i * NC + j;
            if (out->type == FZ_F32) {
                f32 *y = (f32 *)out->data + t->out_row[i];
                if (in_row && cols == UNIT)
                    memcpy(y + place[0], x, UNIT * sizeof *y); /* one move */
                else if (in_row)
                    memcpy(y + place[0], x, (size_t)cols * sizeof *y);
                else
                    for (int q = 0; q < cols; q++)
                        y[place[q]] = x[q];
                continue;
            }
            vi st[FZ_STATES(UNIT, 1)];
            uint32_t w[UNIT];
            fz_lanes_open(st, l, UNIT, t->job.key, (uint32_t)(t->row0 + i),
                          FZ_EPILOGUE - (uint32_t)nth, (uint32_t)(t->col0 + j));
            memcpy(w, st, sizeof w);
            uint16_t *y = (uint16_t *)out->data + t->out_row[i];
            for (int q = 0; q < cols; q++)
                y[place[q]] = fz_narrow(x[q], out->type, l.mode, w[q]);
        }
    }
}

#endif
