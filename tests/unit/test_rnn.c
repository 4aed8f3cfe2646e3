/* The LSTM kernels against the definition of kernels/rnn.h, number by number.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The reference is written in scalars, in the documented order, and must be met to the
 * bit in nearest, on every ISA and in every layout. Under SR the mean of many runs meets
 * the f64 cell, and ud stays within its bound.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "../../kernels/math.h"
#include "../../kernels/rnn.h"
#include "matrix.h"
#include "numbers.h"
#include "test.h"

enum { G = 4, PLAIN = 0, TRANSPOSED, BLOCKED16, BLOCKED32, WEIGHTS };

typedef struct net {
    ptrdiff_t t, n, i, h;
    enum fz_type type;
    fz_lstm l;
    f32 *plain[2]; /* weights as (row, gate, column) */
    void *room[64];
    int rooms;
    void *scratch;
} net;

static void *room_for(net *e, size_t bytes)
{
    ck_assert(e->rooms < 64);
    return e->room[e->rooms++] = calloc(bytes + 64, 1);
}

static fz_tensor tensor(net *e, enum fz_type type, int ndims, const ptrdiff_t *dims,
                        rng *g)
{
    fz_tensor t = {.type = type, .ndims = ndims};
    ptrdiff_t n = 1;
    for (int d = ndims - 1; d >= 0; d--) {
        t.dims[d] = t.padded[d] = dims[d];
        t.stride[d] = n;
        n *= dims[d];
    }
    t.data = room_for(e, (size_t)n * 4);
    for (ptrdiff_t i = 0; i < n; i++)
        put(&t, i, g ? some(g) : 0);
    return t;
}

/* Weights in one of the layouts, and plain ones of the same values. */
static fz_tensor weights(net *e, ptrdiff_t rows, int layout, rng *g, f32 **plain)
{
    const ptrdiff_t h = e->h, dims[5] = {1, 1, rows, G, h};
    fz_tensor t = tensor(e, e->type, 5, dims, NULL);
    const ptrdiff_t block = layout == BLOCKED16 ? 16 : 32;
    if (layout == TRANSPOSED) {
        t.stride[2] = 1, t.stride[4] = rows, t.stride[3] = rows * h;
    } else if (layout != PLAIN) {
        const ptrdiff_t blocks = (h + block - 1) / block;
        t.nblocks = 1, t.block[0] = block, t.block_dim[0] = 4,
        t.padded[4] = blocks * block;
        t.stride[2] = block, t.stride[4] = rows * block,
        t.stride[3] = blocks * rows * block;
        t.data = room_for(e, (size_t)(G * blocks * rows * block) * 4);
    }
    *plain = room_for(e, (size_t)(rows * G * h) * sizeof(f32));
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t k = 0; k < G; k++)
            for (ptrdiff_t o = 0; o < h; o++) {
                const ptrdiff_t at = fz_tensor_at(&t, 2, i) + fz_tensor_at(&t, 3, k) +
                                     fz_tensor_at(&t, 4, o);
                put(&t, at, some(g));
                (*plain)[(i * G + k) * h + o] = get(&t, at);
            }
    return t;
}

static void build(net *e, rng *g, int train)
{
    const ptrdiff_t src[] = {e->t, e->n, e->i}, dst[] = {e->t, e->n, e->h};
    const ptrdiff_t state[] = {1, 1, e->n, e->h}, bias[] = {1, 1, G, e->h};
    const ptrdiff_t wx[] = {1, 1, e->i, G, e->h}, wh[] = {1, 1, e->h, G, e->h};
    fz_lstm *l = &e->l;
    l->reverse = (int)rng_below(g, 2);
    l->stretch = (ptrdiff_t)rng_below(g, 4);
    l->src = tensor(e, e->type, 3, src, g);
    l->dst = tensor(e, e->type, 3, dst, NULL);
    l->wx = weights(e, e->i, (int)rng_below(g, WEIGHTS), g, &e->plain[0]);
    l->wh = weights(e, e->h, (int)rng_below(g, WEIGHTS), g, &e->plain[1]);
    if (rng_below(g, 4))
        l->bias = tensor(e, e->type, 4, bias, g);
    if (rng_below(g, 4))
        l->h0 = tensor(e, e->type, 4, state, g);
    if (rng_below(g, 4))
        l->c0 = tensor(e, rng_below(g, 2) ? FZ_F32 : e->type, 4, state, g);
    l->hn = tensor(e, e->type, 4, state, NULL);
    l->cn = tensor(e, l->c0.data ? l->c0.type : FZ_F32, 4, state, NULL);
    if (train) {
        l->kept_bytes = fz_lstm_keeps(l);
        ck_assert_uint_eq(l->kept_bytes, (size_t)(e->t * e->n * e->h) *
                                                 (e->type == FZ_F32 ? 20 : 12) +
                                             64);
        l->kept = room_for(e, l->kept_bytes);
        l->dsrc = tensor(e, FZ_F32, 3, src, NULL);
        l->ddst = tensor(e, FZ_F32, 3, dst, g);
        l->dwx = tensor(e, FZ_F32, 5, wx, g);
        l->dwh = tensor(e, FZ_F32, 5, wh, g);
        l->dbias = tensor(e, rng_below(g, 2) ? FZ_F32 : e->type, 4, bias, g);
        l->dh0 = tensor(e, FZ_F32, 4, state, NULL);
        l->dc0 = tensor(e, FZ_F32, 4, state, NULL);
        if (rng_below(g, 4))
            l->dhn = tensor(e, FZ_F32, 4, state, g);
        if (rng_below(g, 4))
            l->dcn = tensor(e, FZ_F32, 4, state, g);
        l->overwrite = (int)rng_below(g, 2);
    }
    const char *why = fz_lstm_refuses(l);
    ck_assert_msg(!why, "refused: %s", why);
    l->backward = train; /* which needs more */
    e->scratch = room_for(e, fz_lstm_scratch(l));
    l->backward = 0;
}

/* States, inputs and gradients so small that what is made of them is subnormal. */
static void make_small(net *e)
{
    const fz_tensor *all[] = {&e->l.src,  &e->l.h0,  &e->l.c0, &e->l.bias,
                              &e->l.ddst, &e->l.dhn, &e->l.dcn};
    for (size_t q = 0; q < sizeof all / sizeof *all; q++)
        for (ptrdiff_t i = 0; all[q]->data && i < fz_tensor_count(all[q]); i++)
            put(all[q], i, get(all[q], i) * 0x1p-125f);
}

static void drop(net *e)
{
    while (e->rooms)
        free(e->room[--e->rooms]);
}

/* ---- The reference ----------------------------------------------------------------- */

static f32 nearest(enum fz_fn fn, f32 x)
{
    return fz_math_f32(fn, x, 0, PRISM_NEAREST, 24, 0);
}

static f32 sigma(f32 z)
{
    return 1 / (1 + nearest(FZ_FN_EXP, -z));
}

static f32 state_of(const fz_tensor *t, ptrdiff_t at)
{
    return t->data ? get(t, at) : 0;
}

typedef struct memory {
    f32 *gate, *c, *h; /* [t][n][G][h], [t][n][h] */
} memory;

/* x as a number of this type. */
static f32 held(enum fz_type type, f32 x)
{
    return type == FZ_F32 ? x : fz_widen(fz_narrow(x, type, PRISM_NEAREST, 0), type);
}

static ptrdiff_t at_of(const net *e, ptrdiff_t t, ptrdiff_t n, ptrdiff_t o)
{
    return (t * e->n + n) * e->h + o;
}

static ptrdiff_t when(const net *e, ptrdiff_t step)
{
    return e->l.reverse ? e->t - 1 - step : step;
}

static void reference(net *e, memory *m)
{
    const fz_lstm *l = &e->l;
    m->gate = room_for(e, (size_t)(G * e->t * e->n * e->h) * 4);
    m->c = room_for(e, (size_t)(e->t * e->n * e->h) * 4);
    m->h = room_for(e, (size_t)(e->t * e->n * e->h) * 4);
    for (ptrdiff_t q = 0; q < e->t; q++)
        for (ptrdiff_t n = 0; n < e->n; n++)
            for (ptrdiff_t o = 0; o < e->h; o++) {
                const ptrdiff_t t = when(e, q), at = at_of(e, t, n, o);
                f32 *gate = m->gate + G * at;
                for (ptrdiff_t k = 0; k < G; k++) {
                    f32 x = 0, h = 0;
                    for (ptrdiff_t i = 0; i < e->i; i++)
                        x = fmaf(get(&l->src, (t * e->n + n) * e->i + i),
                                 e->plain[0][(i * G + k) * e->h + o], x);
                    if (l->bias.data)
                        x += get(&l->bias, k * e->h + o);
                    for (ptrdiff_t i = 0; i < e->h; i++)
                        h = fmaf(q ? m->h[at_of(e, when(e, q - 1), n, i)]
                                   : state_of(&l->h0, n * e->h + i),
                                 e->plain[1][(i * G + k) * e->h + o], h);
                    gate[k] = x + h;
                }
                gate[0] = sigma(gate[0]);
                gate[1] = sigma(gate[1]);
                gate[2] = nearest(FZ_FN_TANH, gate[2]);
                gate[3] = sigma(gate[3]);
                const f32 c = q ? m->c[at_of(e, when(e, q - 1), n, o)]
                                : state_of(&l->c0, n * e->h + o);
                const f32 kept = gate[1] * c;
                m->c[at] = fmaf(gate[0], gate[2], kept);
                m->h[at] = gate[3] * nearest(FZ_FN_TANH, m->c[at]);
                m->h[at] = held(e->type, m->h[at]);
                for (ptrdiff_t k = 0; k < G; k++) /* as backward sees it */
                    gate[k] = held(e->type, gate[k]);
            }
}

static f32 slope(f32 a, f32 b, f32 v, f32 w)
{
    const f32 u = a * b, s = fmaf(-v, v, w);
    return u * s;
}

/* Gradients; dg: those of the gates, [t][n][G][h]. */
static void reference_back(net *e, const memory *m, f32 *dsrc, f32 *dh, f32 *dc,
                           f32 *dw[3])
{
    const fz_lstm *l = &e->l;
    const ptrdiff_t h = e->h;
    f32 *dg = room_for(e, (size_t)(G * e->t * e->n * h) * 4);
    for (ptrdiff_t i = 0; i < e->n * h; i++) {
        dh[i] = state_of(&l->dhn, i);
        dc[i] = state_of(&l->dcn, i);
    }
    for (ptrdiff_t q = e->t - 1; q >= 0; q--) {
        const ptrdiff_t t = when(e, q);
        for (ptrdiff_t n = 0; n < e->n; n++)
            for (ptrdiff_t o = 0; o < h; o++) {
                const ptrdiff_t at = at_of(e, t, n, o), s = n * h + o;
                const f32 *gate = m->gate + G * at;
                const f32 y = nearest(FZ_FN_TANH, m->c[at]);
                const f32 d = get(&l->ddst, at) + dh[s];
                const f32 u = fmaf(-y, y, 1), x = gate[3] * d;
                const f32 before = q ? m->c[at_of(e, when(e, q - 1), n, o)]
                                     : state_of(&l->c0, s);
                dc[s] = fmaf(u, x, dc[s]);
                dg[G * at] = slope(gate[2], dc[s], gate[0], gate[0]);
                dg[G * at + 1] = slope(before, dc[s], gate[1], gate[1]);
                dg[G * at + 2] = slope(gate[0], dc[s], gate[2], 1);
                dg[G * at + 3] = slope(y, d, gate[3], gate[3]);
                dc[s] *= gate[1];
                for (ptrdiff_t k = 0; k < G; k++)
                    dg[G * at + k] = held(e->type, dg[G * at + k]);
            }
        for (ptrdiff_t n = 0; n < e->n; n++)
            for (int wh = 0; wh < 2; wh++)
                for (ptrdiff_t i = 0; i < (wh ? h : e->i); i++) {
                    f32 sum = 0;
                    for (ptrdiff_t k = 0; k < G; k++) {
                        f32 acc = 0;
                        for (ptrdiff_t o = 0; o < h; o++)
                            acc = fmaf(dg[G * at_of(e, t, n, o) + k],
                                       e->plain[wh][(i * G + k) * h + o], acc);
                        sum = k ? sum + acc : acc;
                    }
                    *(wh ? dh + n * h + i : dsrc + (t * e->n + n) * e->i + i) = sum;
                }
    }
    const ptrdiff_t first = when(e, 0);
    const ptrdiff_t stretch = l->stretch && l->stretch < e->t ? l->stretch : e->t;
    for (int which = 0; which < 3; which++)
        for (ptrdiff_t i = 0; i < (which == 0 ? e->i : which == 1 ? h : 1); i++)
            for (ptrdiff_t k = 0; k < G; k++)
                for (ptrdiff_t o = 0; o < h; o++) {
                    const ptrdiff_t w = (i * G + k) * h + o;
                    const fz_tensor *old = which == 0   ? &l->dwx
                                           : which == 1 ? &l->dwh
                                                        : &l->dbias;
                    f32 sum = l->overwrite ? 0 : get(old, w), edge = 0;
                    for (ptrdiff_t end = e->t; end > 0; end -= stretch) {
                        const ptrdiff_t steps = end < stretch ? end : stretch;
                        const ptrdiff_t t0 = l->reverse ? e->t - end : end - steps;
                        f32 acc = 0;
                        for (ptrdiff_t t = t0; t < t0 + steps; t++)
                            for (ptrdiff_t n = 0; n < e->n; n++) {
                                const f32 d = dg[G * at_of(e, t, n, o) + k];
                                const ptrdiff_t to = l->reverse ? t + 1 : t - 1;
                                if (which == 0)
                                    acc = fmaf(get(&l->src, (t * e->n + n) * e->i + i), d,
                                               acc);
                                else if (which == 2)
                                    acc += d;
                                else if (t != first)
                                    acc = fmaf(m->h[at_of(e, to, n, i)], d, acc);
                                else
                                    edge = fmaf(state_of(&l->h0, n * h + i), d, edge);
                            }
                        sum = acc + sum;
                    }
                    dw[which][w] = held(old->type, sum + edge);
                }
}

/* ---- Tests ------------------------------------------------------------------------- */

static int same(f32 a, f32 b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a == 0 && b == 0);
}

static void check_all(const char *what, const fz_tensor *t, const f32 *want, ptrdiff_t n,
                      uint64_t seed, int isa)
{
    for (ptrdiff_t i = 0; i < n && t->data; i++)
        ck_assert_msg(same(get(t, i), want[i]),
                      "FZ_TEST_SEED=%llu %s of %s: %td is %a, not %a",
                      (unsigned long long)seed, what, prism_isa_name((enum prism_isa)isa),
                      i, (f64)get(t, i), (f64)want[i]);
}

static void shape(net *e, rng *g)
{
    e->t = 1 + (ptrdiff_t)rng_below(g, 6);
    e->n = 1 + (ptrdiff_t)rng_below(g, 5);
    e->i = 1 + (ptrdiff_t)rng_below(g, 40);
    e->h = 1 + (ptrdiff_t)rng_below(g, rng_below(g, 2) ? 80 : 20);
}

START_TEST(lstm_is_the_definition)
{
    const uint64_t seed = test_seed(0x726e6e);
    rng g = {seed};
    for (int trial = 0; trial < (test_long() ? 2000 : 60); trial++) {
        net e = {.type = trial % 4 == 0 ? FZ_BF16 : trial % 4 == 1 ? FZ_F16 : FZ_F32};
        const int train = rng_below(&g, 3) > 0;
        shape(&e, &g);
        if (trial % 20 == 3) { /* panels of fewer columns */
            e.i = 4097 + (ptrdiff_t)rng_below(&g, 9);
            e.t = 2;
        }
        build(&e, &g, train);
        fz_lstm *l = &e.l;
        memory m;
        const unsigned host = _mm_getcsr(), flush = trial % 3 ? 0 : 0x8040;
        if (flush && e.type != FZ_F16)
            make_small(&e);
        _mm_setcsr(host | flush); /* not while results are compared */
        reference(&e, &m);
        const ptrdiff_t step = e.n * e.h, all = e.t * step, last = when(&e, e.t - 1);
        f32 *dsrc = room_for(&e, (size_t)(e.t * e.n * e.i) * 4);
        f32 *dh = room_for(&e, (size_t)step * 4), *dc = room_for(&e, (size_t)step * 4);
        f32 *dw[3] = {room_for(&e, (size_t)(e.i * G * e.h) * 4),
                      room_for(&e, (size_t)(e.h * G * e.h) * 4),
                      room_for(&e, (size_t)(G * e.h) * 4)};
        if (train)
            reference_back(&e, &m, dsrc, dh, dc, dw);
        _mm_setcsr(host);
        f32 *cn = room_for(&e, (size_t)step * 4), *was[3] = {0};
        for (ptrdiff_t i = 0; i < step; i++)
            cn[i] = held(l->cn.type, m.c[last * step + i]);
        const fz_tensor *grad[3] = {&l->dwx, &l->dwh, &l->dbias};
        const ptrdiff_t size[3] = {e.i * G * e.h, e.h * G * e.h, G * e.h};
        for (int w = 0; w < 3 && train; w++) {
            was[w] = room_for(&e, (size_t)size[w] * 4);
            memcpy(was[w], grad[w]->data, (size_t)size[w] * 4);
        }
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            const fz_kernels *k = fz_kernels_for((enum prism_isa)isa);
            fz_job job = {PRISM_NEAREST, 24, prism_key_seed(rng_next(&g)),
                          flush ? &unlike_threads : NULL};
            l->backward = 0;
            _mm_setcsr(host | flush);
            fz_lstm_run(k, &job, l, e.scratch);
            _mm_setcsr(host);
            check_all("dst", &l->dst, m.h, all, seed, isa);
            check_all("last h", &l->hn, m.h + last * step, step, seed, isa);
            check_all("last c", &l->cn, cn, step, seed, isa);
            if (!train)
                continue;
            l->backward = 1;
            const char *why = fz_lstm_refuses(l);
            ck_assert_msg(!why, "backward refused: %s", why);
            _mm_setcsr(host | flush);
            fz_lstm_run(k, &job, l, e.scratch);
            _mm_setcsr(host);
            check_all("dsrc", &l->dsrc, dsrc, e.t * e.n * e.i, seed, isa);
            check_all("dh0", &l->dh0, dh, step, seed, isa);
            check_all("dc0", &l->dc0, dc, step, seed, isa);
            for (int w = 0; w < 3; w++) {
                check_all("dw", grad[w], dw[w], size[w], seed, isa);
                memcpy(grad[w]->data, was[w], (size_t)size[w] * 4);
            }
        }
        drop(&e);
    }
}
END_TEST

/* Equal key and operands: equal bits on every ISA, in every layout of the weights, and by
 * any number of threads; forward and backward. */
START_TEST(lstm_is_the_same_everywhere)
{
    enum { OUTPUTS = 6 };
    const uint64_t seed = test_seed(0x726e6e);
    rng g = {seed};
    for (int trial = 0; trial < 24; trial++) {
        net e = {.type = trial % 3 ? FZ_F32 : FZ_BF16};
        shape(&e, &g);
        if (trial % 4 == 0) { /* enough for threads */
            e.n = 16;
            e.h = 80;
        }
        build(&e, &g, 1);
        fz_lstm *l = &e.l;
        const fz_tensor *const out[OUTPUTS] = {&l->dst, &l->dsrc, &l->dh0,
                                               &l->dwx, &l->dwh,  &l->dbias};
        fz_job job = {(enum prism_mode)(1 + trial % 3), 24, prism_key_seed(rng_next(&g)),
                      NULL};
        f32 *first[OUTPUTS], *was[OUTPUTS];
        ptrdiff_t n[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) {
            n[o] = out[o]->data ? fz_tensor_count(out[o]) : 0;
            first[o] = room_for(&e, (size_t)n[o] * 4);
            was[o] = room_for(&e, (size_t)n[o] * 4);
            if (n[o])
                memcpy(was[o], out[o]->data, (size_t)n[o] * fz_type_size(out[o]->type));
        }
        int runs = 0;
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1))
            for (int plain = 0; plain < 2; plain++) {
                fz_lstm here = *l;
                if (plain && e.type == FZ_F32) {
                    here.wx = here.dwx;
                    here.wx.data = e.plain[0];
                    here.wh = here.dwh;
                    here.wh.data = e.plain[1];
                }
                job.threads = rng_below(&g, 2) ? &test_threads : NULL;
                for (int o = 1; o < OUTPUTS; o++) /* gradients may be added to */
                    if (n[o])
                        memcpy(out[o]->data, was[o],
                               (size_t)n[o] * fz_type_size(out[o]->type));
                for (here.backward = 0; here.backward < 2; here.backward++)
                    fz_lstm_run(fz_kernels_for((enum prism_isa)isa), &job, &here,
                                e.scratch);
                for (int o = 0; o < OUTPUTS; o++) {
                    for (ptrdiff_t i = 0; i < n[o] && !runs; i++)
                        first[o][i] = get(out[o], i);
                    check_all("an output again", out[o], first[o], n[o], seed, isa);
                }
                runs++;
            }
        drop(&e);
    }
}
END_TEST

static f64 sigma64(f64 z)
{
    return 1 / (1 + exp(-z));
}

/* One step of the cell in f64. */
static void cell64(const net *e, f64 *h, f64 *c)
{
    const fz_lstm *l = &e->l;
    f64 *z = malloc((size_t)(G * e->h) * sizeof *z);
    for (ptrdiff_t k = 0; k < G; k++)
        for (ptrdiff_t o = 0; o < e->h; o++) {
            f64 sum = state_of(&l->bias, k * e->h + o);
            for (ptrdiff_t i = 0; i < e->i; i++)
                sum += (f64)get(&l->src, i) * (f64)e->plain[0][(i * G + k) * e->h + o];
            for (ptrdiff_t i = 0; i < e->h; i++)
                sum += (f64)state_of(&l->h0, i) *
                       (f64)e->plain[1][(i * G + k) * e->h + o];
            z[k * e->h + o] = sum;
        }
    for (ptrdiff_t o = 0; o < e->h; o++) {
        c[o] = sigma64(z[e->h + o]) * (f64)state_of(&l->c0, o) +
               sigma64(z[o]) * tanh(z[2 * e->h + o]);
        h[o] = sigma64(z[3 * e->h + o]) * tanh(c[o]);
    }
    free(z);
}

/* z-test of the mean of RUNS runs, two-sided, alpha 1e-6 over all outputs by Bonferroni
 * (at most 2 * 20 of them: 5.5 standard errors). The bias of SR's second order is below
 * 2^-40 and does not count. Every output must vary. ud errs at most one unit of each of
 * the operations, whose derivatives are at most 1. */
START_TEST(lstm_means_the_cell)
{
    enum { RUNS = 400, H = 20 };
    const uint64_t seed = test_seed(0x726e6e);
    rng g = {seed};
    net e = {.t = 1, .n = 1, .i = 17, .h = H, .type = FZ_F32};
    build(&e, &g, 0);
    const fz_kernels *k = fz_kernels_for(prism_isa_best(prism_isa_detected()));
    f64 want[2][H], sum[2][H] = {0}, squares[2][H] = {0};
    cell64(&e, want[0], want[1]);
    for (int run = 0; run < RUNS; run++) {
        const fz_job job = {PRISM_SR, 24, prism_key_seed(rng_next(&g)), NULL};
        fz_lstm_run(k, &job, &e.l, e.scratch);
        for (int which = 0; which < 2; which++)
            for (ptrdiff_t o = 0; o < H; o++) {
                const f64 d = (f64)get(which ? &e.l.cn : &e.l.hn, o) - want[which][o];
                sum[which][o] += d;
                squares[which][o] += d * d;
            }
    }
    for (int which = 0; which < 2; which++)
        for (int o = 0; o < H; o++) {
            const f64 mean = sum[which][o] / RUNS;
            const f64 var = squares[which][o] / RUNS - mean * mean;
            ck_assert_msg(var > 0, "FZ_TEST_SEED=%llu output %d never varies",
                          (unsigned long long)seed, o);
            ck_assert_msg(fabs(mean) <= 5.5 * sqrt(var / RUNS) + 0x1p-40,
                          "FZ_TEST_SEED=%llu output %d: mean off by %a, deviation %a",
                          (unsigned long long)seed, o, mean, sqrt(var));
        }
    const fz_job job = {PRISM_UD, 24, prism_key_seed(rng_next(&g)), NULL};
    fz_lstm_run(k, &job, &e.l, e.scratch);
    for (ptrdiff_t o = 0; o < H; o++) {
        const f64 d = fabs((f64)get(&e.l.hn, o) - want[0][o]);
        ck_assert_msg(d > 0 && d < 0x1p-23 * (17 + H + 30) * 8, "ud is off by %a", d);
    }
    drop(&e);
}
END_TEST

/* Why a layer is not taken. */
START_TEST(lstm_refuses)
{
    rng g = {test_seed(0x726e6e)};
    net e = {.t = 2, .n = 2, .i = 3, .h = 4, .type = FZ_F32};
    build(&e, &g, 1);
    fz_lstm *l = &e.l, broken = *l;
    l->backward = 1;
    ck_assert_str_eq(fz_lstm_refuses(l), "a workspace that the original has filled");
    broken.kept_bytes--;
    ck_assert_str_eq(fz_lstm_refuses(&broken), "a workspace that is too small");
    broken = *l;
    broken.dst.stride[1]++;
    ck_assert_str_eq(fz_lstm_refuses(&broken), "layers that are not dense");
    broken = *l;
    broken.wh.dims[3] = 3;
    ck_assert_str_eq(fz_lstm_refuses(&broken), "dims do not fit");
    l->backward = 0;
    fz_job job = {PRISM_SR, 24, prism_key_seed(1), NULL};
    fz_lstm_run(fz_kernels_for(PRISM_REF), &job, l, e.scratch);
    ck_assert(fz_lstm_kept(l->kept, l->kept_bytes));
    l->backward = 1;
    ck_assert(!fz_lstm_refuses(l));
    l->src.dims[0] = l->dst.dims[0] = l->dsrc.dims[0] = l->ddst.dims[0] = 1;
    ck_assert_str_eq(fz_lstm_refuses(l), "a workspace of another layer");
    drop(&e);
}
END_TEST

Suite *suite_rnn(void)
{
    Suite *s = suite_create("rnn");
    TCase *c = tcase_create("lstm");
    tcase_set_timeout(c, 600);
    tcase_add_test(c, lstm_is_the_definition);
    tcase_add_test(c, lstm_is_the_same_everywhere);
    tcase_add_test(c, lstm_means_the_cell);
    tcase_add_test(c, lstm_refuses);
    suite_add_tcase(s, c);
    return s;
}
