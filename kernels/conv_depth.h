/* Depthwise convolutions, forward and backward data: lanes along channels, each with
 * weights of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by isa_conv.c. A tile is a box of outputs of one image and 16 channels; its
 * inputs are gathered once into a slab [position][channel], which every tap then reads
 * in place. Strands are keyed by image, then by (output, 0, channel), where outputs of a
 * row are counted run by run: no function of tiles.
 */

enum {
    DEPTH_CHANNELS = 16,
    SLAB = 4608,      /* positions */
    DEPTH_TAPS = 448, /* and what fits with them into the panels' area */
    DEPTH_UNITS = DEPTH_CHANNELS / UNIT,
    DEPTH_FEW = 8 /* channels below which lanes would idle */
};

/* What slab.raw, raw_w and w take of the panels' area, and x behind the sums. */
_Static_assert(DEPTH_CHANNELS * (4 * SLAB + 12 * DEPTH_TAPS) <= 8 * (MC + NC) * KC, "panels");
_Static_assert(8 * ((MC + NC) * KC + MC * NC + DEPTH_CHANNELS * SLAB) <= FZ_WORKSPACE, "slab");

/* Where the taps of an output lie along a dimension. */
typedef struct where {
    const fz_run *run;
    ptrdiff_t out, in;
} where;

typedef struct depthwise {
    conv *v;
    ptrdiff_t box[3];   /* of a tile */
    ptrdiff_t boxes[3]; /* how many of them */
    ptrdiff_t channel_blocks;
} depthwise;

/* A tile under way: the slab's corner and extents, and its areas of the workspace. */
typedef struct slab {
    ptrdiff_t low[3], extent[3];
    f32 *raw, *raw_w; /* [unit][position or tap][UNIT] */
    f64 *x, *w;       /* the same in the order of a strand's halves, w scaled */
    int taps;         /* of a channel, in all */
    int quick;        /* the steps of step.h give the law's result */
} slab;

/* The taps of a stretch of outputs: offsets in the slab, and which weights. */
typedef struct tap_list {
    int n;
    ptrdiff_t at[DEPTH_TAPS];
    int w[DEPTH_TAPS];
} tap_list;

/* Output number `rank` of a dimension, counted run by run. */
static where find(const fz_runs *r, ptrdiff_t rank)
{
    const fz_run *x = r->run;
    while (rank >= x->count)
        rank -= x++->count;
    return (where){x, x->out + rank * x->step, x->in + rank * x->in_step};
}

/* The inputs of outputs from .. from+n-1; 0 if there are none. */
static ptrdiff_t reach(const fz_runs *r, ptrdiff_t from, ptrdiff_t n, ptrdiff_t *low)
{
    ptrdiff_t lo = PTRDIFF_MAX, hi = -1;
    for (ptrdiff_t i = from; i < from + n; i++) {
        const where w = find(r, i);
        const ptrdiff_t a = w.in, b = w.in + (w.run->taps - 1) * w.run->in_tap;
        if (!w.run->taps)
            continue;
        lo = a < lo ? a : lo;
        lo = b < lo ? b : lo;
        hi = a > hi ? a : hi;
        hi = b > hi ? b : hi;
    }
    *low = hi < 0 ? 0 : lo;
    return hi < 0 ? 0 : hi - lo + 1;
}

static ptrdiff_t widest(const fz_runs *r, ptrdiff_t size, ptrdiff_t box)
{
    ptrdiff_t most = 0, low;
    for (ptrdiff_t i = 0; i < size; i += box) {
        const ptrdiff_t n = reach(r, i, size - i < box ? size - i : box, &low);
        most = n > most ? n : most;
    }
    return most;
}

/* Boxes whose inputs fit into the slab; 0: there are none. */
static int choose_boxes(depthwise *e)
{
    const conv *v = e->v;
    for (ptrdiff_t w = MC; w; w /= 2) {
        const ptrdiff_t flat = widest(&v->runs[0], v->out_dim[0], 1) *
                               widest(&v->runs[2], v->out_dim[2], w);
        for (ptrdiff_t h = 16; h; h /= 2)
            if (flat * widest(&v->runs[1], v->out_dim[1], h) <= SLAB) {
                e->box[0] = 1;
                e->box[1] = h;
                e->box[2] = w;
                return 1;
            }
    }
    return 0;
}

/* ---- the slab ---------------------------------------------------------------------- */

/* n places of k, for all units. */
static void gather(const fz_side *side, int channels, const ptrdiff_t *k, int n,
                   ptrdiff_t all, ptrdiff_t from, f32 *dst)
{
    fz_side s;
    s.base = side->base;
    s.type = side->type;
    memcpy(s.k, k, (size_t)n * sizeof *k);
    for (int u = 0; u < DEPTH_UNITS; u++) {
        const int left = channels - u * UNIT, live = left < UNIT ? left : UNIT;
        f32 *to = dst + (u * all + from) * UNIT;
        if (live <= 0) {
            memset(to, 0, (size_t)n * UNIT * sizeof *to);
            continue;
        }
        memcpy(s.at, side->at + u * UNIT, (size_t)live * sizeof *s.at);
        fz_pack_cols(&s, live, n, to);
    }
}

static void fill_slab(const conv *v, slab *s, ptrdiff_t image, ptrdiff_t channel,
                      int channels)
{
    fz_side side;
    ptrdiff_t k[KC], from = 0;
    int n = 0;
    const ptrdiff_t all = s->extent[0] * s->extent[1] * s->extent[2];
    side.base = v->in->data;
    side.type = v->in->type;
    for (int c = 0; c < channels; c++)
        side.at[c] = at(&v->in_c, channel + c);
    for (ptrdiff_t p = 0; p < all; p++) {
        const ptrdiff_t x = p % s->extent[2], y = p / s->extent[2] % s->extent[1];
        const ptrdiff_t z = p / s->extent[2] / s->extent[1];
        k[n++] = at(&v->in_n, image) + (s->low[0] + z) * v->in_stride[0] +
                 (s->low[1] + y) * v->in_stride[1] + (s->low[2] + x) * v->in_stride[2];
        if (n == KC || p + 1 == all) {
            gather(&side, channels, k, n, all, from, s->raw);
            from += n;
            n = 0;
        }
    }
    const fz_tensor *w = &v->c->weights;
    side.base = w->data;
    side.type = w->type;
    for (int c = 0; c < channels; c++)
        side.at[c] = fz_tensor_at(w, 0, channel + c);
    from = 0;
    for (int p = 0; p < s->taps; p++) {
        const ptrdiff_t x = p % v->kernel[2], y = p / v->kernel[2] % v->kernel[1];
        const ptrdiff_t z = p / v->kernel[2] / v->kernel[1];
        k[n++] = z * v->w_stride[0] + y * v->w_stride[1] + x * v->w_stride[2];
        if (n == KC || p + 1 == s->taps) {
            gather(&side, channels, k, n, s->taps, from, s->raw_w);
            from += n;
            n = 0;
        }
    }
}

static void widen(const f32 *src, ptrdiff_t n, f64 scale, f64 *dst)
{
    const fz_law l = fz_law_of(PRISM_SR, 1, 24);
    const vd by = vd_set(scale);
    for (ptrdiff_t i = 0; i < n; i += UNIT)
        for (int v = 0; v < UNIT / L; v++)
            vd_store(dst + i + v * L,
                     fz_load(src + i, 1, fz_at(l, v), fz_gap(l)) * by);
}

/* Whether the quick steps may be taken, and their operands. */
static void prepare(const conv *v, slab *s)
{
    const fz_law l = v->law;
    const ptrdiff_t nx = DEPTH_CHANNELS * s->extent[0] * s->extent[1] * s->extent[2];
    const ptrdiff_t nw = DEPTH_CHANNELS * s->taps;
    s->quick = l.mode == PRISM_SR ? l.t >= 21 : l.t == 24 && FZ_HAVE_FMA;
    if (!s->quick)
        return;
    const int min = fz_wants_min_f32(l.mode, l.t, v->ftz);
    const fz_range x = fz_range_f32(s->raw, nx, min), w = fz_range_f32(s->raw_w, nw, min);
    s->quick = fz_fast_f32(l.mode, l.t, x, w, x.max * w.max * s->taps,
                           fz_grid_f32(x, w), v->ftz);
    if (s->quick && l.mode == PRISM_SR) {
        _mm_setcsr(fz_fast_csr(l.mode, 1));
        widen(s->raw, nx, 1, s->x);
        widen(s->raw_w, nw, FZ_SCALE, s->w);
    }
}

/* ---- sums of R outputs, `apart` positions of the slab apart ------------------------ */

FZ_INLINE void sr_depth(const int R, const int r, const tap_list *taps, const f64 *x,
                        const f64 *w, ptrdiff_t apart, prism_key key, const vi *base,
                        uint32_t row, f32 *sum)
{
    const fz_law l = fz_law_of(PRISM_SR, 1, 24);
    vd acc[R][2 * NV];
    vi st[R][NV];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            st[i][v] = fz_strands_from(base[v], key, row + (uint32_t)i);
            acc[i][v] = acc[i][NV + v] = vd_set(0);
        }
    for (int k = 0; k < taps->n; k++) {
        const f64 *p = x + taps->at[k] * UNIT, *q = w + taps->w[k] * UNIT;
        vd b[2 * NV];
#pragma GCC unroll 4
        for (int v = 0; v < 2 * NV; v++)
            b[v] = vd_load(q + v * L);
#pragma GCC unroll 4
        for (int i = 0; i < R; i++)
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) {
                const f64 *a = p + i * apart * UNIT + v * L;
                const vi s = st[i][v];
                acc[i][v] = fz_sr_f32(vd_load(a), b[v], acc[i][v], fz_word_hi(s, r), r);
                acc[i][NV + v] = fz_sr_f32(vd_load(a + NV * L), b[NV + v],
                                           acc[i][NV + v], fz_word_lo(s, r), r);
                st[i][v] = fz_strand_step(s);
            }
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int v = 0; v < 2 * NV; v++)
            fz_store(sum + i * NC, 1, fz_at(l, v), fz_gap(l),
                     acc[i][v] * vd_set(FZ_UNSCALE));
}

#if FZ_HAVE_FMA
FZ_INLINE void native_depth(enum prism_mode mode, const int R, const tap_list *taps,
                            const f32 *x, const f32 *w, ptrdiff_t apart, prism_key key,
                            const vi *base, uint32_t row, f32 *sum)
{
    vf acc[R];
    vi st[R];
    vw bits[R];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++) {
        st[i] = fz_strands_from(base[0], key, row + (uint32_t)i);
        acc[i] = vf_set(0);
    }
    for (int k = 0; k < taps->n; k++) {
        const vf b = vf_load(w + taps->w[k] * UNIT);
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) {
            if (k % 32 == 0) {
                bits[i] = (vw)st[i];
                st[i] = fz_strand_step(st[i]);
            }
            acc[i] = fz_native_f32(mode, vf_load(x + (taps->at[k] + i * apart) * UNIT), b,
                                   acc[i], bits[i]);
            bits[i] += bits[i];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
        vf_store(sum + i * NC, acc[i]);
}
#endif

/* One output, any law, any operands: the definition. */
static void any_depth(fz_law l, const tap_list *taps, const f32 *x, const f32 *w,
                      prism_key key, uint32_t row, uint32_t col, f32 *sum)
{
    enum { VECS = UNIT / L };
    const int skip = fz_gap(l), every = fz_law_every(l);
    vi st[FZ_STATES(UNIT, 1)];
    vd acc[VECS];
    fz_lanes_open(st, l, UNIT, key, row, 0, col);
    for (int v = 0; v < VECS; v++)
        acc[v] = vd_set(0);
    for (int k = 0; k < taps->n; k++) {
        if (l.r && k && k % every == 0)
            fz_lanes_step(st, l, UNIT);
        for (int v = 0; v < VECS; v++) {
            const int e = fz_at(l, v);
            acc[v] = fz_op(PRISM_FMA, l, fz_load(x + taps->at[k] * UNIT, 1, e, skip),
                           fz_load(w + taps->w[k] * UNIT, 1, e, skip), acc[v],
                           fz_word(st, l, v, k));
        }
    }
    for (int v = 0; v < VECS; v++)
        fz_store(sum, 1, fz_at(l, v), skip, acc[v]);
}

/* ---- tiles ------------------------------------------------------------------------- */

/* n outputs of a row that have the same taps, to the rows of the sums. */
static void stretch(const tile *t, const slab *s, const tap_list *taps, ptrdiff_t x,
                    ptrdiff_t apart, int n)
{
    const conv *v = t->v;
    const fz_law l = v->law;
    const ptrdiff_t all = s->extent[0] * s->extent[1] * s->extent[2];
    f32 *const sum = fz_panel_sum(fz_workspace());
    const int r = 53 - l.t;
    for (int u = 0; u < DEPTH_UNITS && u * UNIT < t->cols; u++) {
        const uint32_t row = (uint32_t)t->row0, col = (uint32_t)(t->col0 + u * UNIT);
        const prism_key key = t->job.key;
        const f32 *raw = s->raw + (u * all + x) * UNIT, *raw_w = s->raw_w;
        const f64 *wide = s->x + (u * all + x) * UNIT, *wide_w = s->w;
        raw_w += u * s->taps * UNIT;
        wide_w += u * s->taps * UNIT;
        vi base[NV];
        fz_strands_base(base, key, 0, col / 8);
        _mm_setcsr(s->quick ? fz_fast_csr(l.mode, 1)
                            : FZ_CSR_MASKS | FZ_CSR_RN | v->ftz);
        for (int i = 0; i < n;) {
            f32 *to = sum + i * NC + u * UNIT;
            const f64 *p = wide + i * apart * UNIT;
            const uint32_t mine = row + (uint32_t)i;
            const int four = i + 4 <= n;
            if (!s->quick) {
                any_depth(l, taps, raw + i * apart * UNIT, raw_w, key, mine, col, to);
                i++;
                continue;
            }
            if (l.mode == PRISM_SR && four && r == 29)
                sr_depth(4, 29, taps, p, wide_w, apart, key, base, mine, to);
            else if (l.mode == PRISM_SR && four)
                sr_depth(4, r, taps, p, wide_w, apart, key, base, mine, to);
            else if (l.mode == PRISM_SR)
                sr_depth(1, r, taps, p, wide_w, apart, key, base, mine, to);
#if FZ_HAVE_FMA
            const f32 *q = raw + i * apart * UNIT;
            if (l.mode == PRISM_UD && four)
                native_depth(PRISM_UD, 4, taps, q, raw_w, apart, key, base, mine, to);
            else if (l.mode == PRISM_UD)
                native_depth(PRISM_UD, 1, taps, q, raw_w, apart, key, base, mine, to);
            else if (l.mode == PRISM_CESTAC)
                native_depth(PRISM_CESTAC, 1, taps, q, raw_w, apart, key, base, mine, to);
            else if (l.mode == PRISM_NEAREST)
                native_depth(PRISM_NEAREST, 1, taps, q, raw_w, apart, key, base, mine,
                             to);
            i += four && (l.mode == PRISM_SR || l.mode == PRISM_UD) ? 4 : 1;
#else
            i += four ? 4 : 1;
#endif
        }
    }
}

static void list_taps(const conv *v, const slab *s, const where at_[3], tap_list *list)
{
    const fz_run *z = at_[0].run, *y = at_[1].run, *x = at_[2].run;
    list->n = 0;
    for (ptrdiff_t a = 0; a < z->taps; a++)
        for (ptrdiff_t b = 0; b < y->taps; b++)
            for (ptrdiff_t c = 0; c < x->taps; c++) {
                const ptrdiff_t iz = at_[0].in + a * z->in_tap - s->low[0];
                const ptrdiff_t iy = at_[1].in + b * y->in_tap - s->low[1];
                const ptrdiff_t kz = z->tap + a * z->tap_step;
                const ptrdiff_t ky = y->tap + b * y->tap_step;
                const ptrdiff_t kx = x->tap + c * x->tap_step;
                list->at[list->n] =
                    (iz * s->extent[1] + iy) * s->extent[2] + c * x->in_tap;
                list->w[list->n++] = (int)((kz * v->kernel[1] + ky) * v->kernel[2] + kx);
            }
}

static void depth_tile(void *arg, int index)
{
    const depthwise *e = arg;
    const conv *v = e->v;
    ptrdiff_t i = v->first + index, from[3], n[3];
    slab s;
    tile t;
    tap_list taps;
    for (int d = 2; d >= 0; d--) {
        from[d] = i % e->boxes[d] * e->box[d];
        i /= e->boxes[d];
        n[d] = v->out_dim[d] - from[d] < e->box[d] ? v->out_dim[d] - from[d] : e->box[d];
        s.extent[d] = reach(&v->runs[d], from[d], n[d], &s.low[d]);
    }
    const ptrdiff_t image = i / e->channel_blocks;
    char *const space = fz_workspace();
    t.v = v;
    t.group = 0;
    t.job = *v->job;
    t.job.key = prism_key_derive(v->job->key, DEPTH_STREAM | (uint64_t)image);
    t.col0 = i % e->channel_blocks * DEPTH_CHANNELS;
    const ptrdiff_t left = v->c->groups - t.col0;
    t.cols = (int)(left < DEPTH_CHANNELS ? left : DEPTH_CHANNELS);
    s.taps = (int)(v->kernel[0] * v->kernel[1] * v->kernel[2]);
    s.raw = (f32 *)(void *)space;
    s.raw_w = s.raw + DEPTH_CHANNELS * SLAB;
    s.w = (f64 *)(void *)(s.raw_w + DEPTH_CHANNELS * DEPTH_TAPS);
    s.x = (f64 *)(void *)(fz_panel_sum(space) + 2 * MC * NC);
    const unsigned old = _mm_getcsr();
    fill_slab(v, &s, image, t.col0, t.cols);
    prepare(v, &s);
    _mm_setcsr(old);
    for (int c = 0; c < t.cols; c++)
        t.out_col[c] = at(&v->out_c, t.col0 + c);
    for (ptrdiff_t y = from[1]; y < from[1] + n[1]; y++) {
        where w[3] = {find(&v->runs[0], from[0]), find(&v->runs[1], y)};
        for (ptrdiff_t x = from[2]; x < from[2] + n[2]; x += t.rows) {
            w[2] = find(&v->runs[2], x);
            const fz_run *r = w[2].run;
            /* to the end of the run or of the box */
            const ptrdiff_t same = r->count - (w[2].out - r->out) / r->step;
            const ptrdiff_t mine = from[2] + n[2] - x;
            t.rows = (int)(same < mine ? same : mine);
            t.row0 = (from[0] * v->out_dim[1] + y) * v->out_dim[2] + x;
            t.pixel0 = image * t.rows;
            list_taps(v, &s, w, &taps);
            stretch(&t, &s, &taps, taps.n ? w[2].in - s.low[2] : 0, r->in_step, t.rows);
            _mm_setcsr(old);
            const ptrdiff_t place = at(&v->out_n, image) + w[0].out * v->out_stride[0] +
                                    w[1].out * v->out_stride[1];
            for (int j = 0; j < t.rows; j++)
                t.out_row[j] = place + (w[2].out + j * r->step) * v->out_stride[2];
            const fz_run here[3] = {{.out = w[0].out, .count = 1},
                                    {.out = w[1].out, .count = 1},
                                    {.out = w[2].out, .step = r->step, .count = t.rows}};
            const fz_run *const run[3] = {&here[0], &here[1], &here[2]};
            const int nth = finish(&t, run);
            put(&t, v->out, nth);
        }
    }
}

/* 0: not a depthwise convolution, or not one for these lanes; a matter of shapes only. */
static int run_depth(conv *v)
{
    const fz_conv *c = v->c;
    depthwise e = {.v = v};
    ptrdiff_t taps = 1, boxes = v->batch;
    if (!c->grouped || v->oc != 1 || v->ic != 1 || c->groups < DEPTH_FEW)
        return 0;
    for (int d = 0; d < 3; d++)
        taps *= v->kernel[d];
    if (taps > DEPTH_TAPS || !choose_boxes(&e))
        return 0;
    for (int d = 0; d < 3; d++) {
        e.boxes[d] = blocks(v->out_dim[d], e.box[d]);
        boxes *= e.boxes[d];
    }
    e.channel_blocks = blocks(c->groups, DEPTH_CHANNELS);
    v->by_channel = 1;
    share_tiles(v,
                (f64)v->batch * (f64)(c->groups * taps) *
                    (f64)(v->out_dim[0] * v->out_dim[1] * v->out_dim[2]),
                depth_tile, &e, boxes * e.channel_blocks);
    return 1;
}
