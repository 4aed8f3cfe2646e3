/* Convolutions as implicit products: tiles, their operands, and what follows the sums.
 * The unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Implicit gemm after Chetlur et al. (2014, "cuDNN"): a tile of outputs is a block of a
 * product whose panels are gathered from the tensors, so nothing of the size of a tensor
 * is copied. conv_plan.h says how padding and strides become dense products.
 */
#include "conv_tile.h"

/* Names of the streams of one call: a group and class each, then what is made of the
 * gradient of the bias; depthwise convolutions have one for each image. */
#define BIAS_STREAM (UINT64_C(1) << 63)
#define DEPTH_STREAM (UINT64_C(1) << 62)

/* ---- forward, and backward data ---------------------------------------------------- */

/* Pixels p0 .. p0+n-1 of a class: their places in a tensor with these strides along
 * batch and space; `first` and `step` give the position of a run's element. */
static void pixels(const axis *batch, const ptrdiff_t stride[3], const ptrdiff_t first[3],
                   const ptrdiff_t step[3], const ptrdiff_t count[3], ptrdiff_t p0, int n,
                   ptrdiff_t *place)
{
    ptrdiff_t q[3], by[3], base = 0;
    for (int d = 2; d >= 0; d--) {
        q[d] = p0 % count[d];
        p0 /= count[d];
        by[d] = step[d] * stride[d];
        base += first[d] * stride[d];
    }
    ptrdiff_t image = p0;
    for (int i = 0; i < n;) {
        ptrdiff_t x = base + at(batch, image);
        x += q[0] * by[0] + q[1] * by[1] + q[2] * by[2];
        for (; i < n && q[2] < count[2]; i++, q[2]++, x += by[2])
            place[i] = x;
        if (q[2] == count[2]) {
            q[2] = 0;
            if (++q[1] == count[1]) {
                q[1] = 0;
                if (++q[0] == count[0]) {
                    q[0] = 0;
                    image++;
                }
            }
        }
    }
}

typedef struct tap_walk {
    const fz_run *run[3];
    ptrdiff_t u[3], channel; /* where the next run of K begins */
    fz_side *in, *w;
} tap_walk;

static void next_taps(void *state, tile *t, ptrdiff_t k, int kc)
{
    tap_walk *s = state;
    (void)k; /* the state has moved on */
    const conv *v = t->v;
    for (int i = 0; i < kc;) {
        ptrdiff_t in = 0, w = 0;
        for (int d = 0; d < 3; d++) {
            in += s->u[d] * s->run[d]->in_tap * v->in_stride[d];
            w += (s->run[d]->tap + s->u[d] * s->run[d]->tap_step) * v->w_stride[d];
        }
        const ptrdiff_t base = t->group * v->ic;
        for (; i < kc && s->channel < v->ic; i++, s->channel++) {
            s->in->k[i] = in + at(&v->in_c, base + s->channel);
            s->w->k[i] = w + at(&v->w_in, s->channel);
        }
        if (s->channel == v->ic) {
            s->channel = 0;
            for (int d = 2; d >= 0; d--) {
                if (++s->u[d] < s->run[d]->taps)
                    break;
                s->u[d] = 0;
            }
        }
    }
}

/* Places of the tile in an operand of a post-op. */
static void places(const tile *t, const fz_tensor *x, const fz_run *const run[3],
                   other *o)
{
    const conv *v = t->v;
    ptrdiff_t *pixel = v->by_channel ? o->row : o->col;
    ptrdiff_t *channel = v->by_channel ? o->col : o->row;
    const int np = v->by_channel ? t->rows : t->cols;
    const int nc = v->by_channel ? t->cols : t->rows;
    axis batch = axis_of(x, 0), chan = axis_of(x, 1);
    ptrdiff_t stride[3] = {0}, first[3], step[3], count[3];
    if (x->dims[0] == 1)
        batch = (axis){x, 0, 1, 0, 0, 0, 0};
    if (x->dims[1] == 1)
        chan = (axis){x, 1, 1, 0, 0, 0, 0};
    for (int d = 0; d < 3; d++) {
        const int at_d = d - (3 - v->c->spatial) + 2;
        if (at_d >= 2 && x->dims[at_d] != 1)
            stride[d] = x->stride[at_d];
        first[d] = run[d]->out;
        step[d] = run[d]->step;
        count[d] = run[d]->count;
    }
    o->base = x->data;
    o->type = x->type;
    pixels(&batch, stride, first, step, count, t->pixel0, np, pixel);
    for (int c = 0; c < nc; c++)
        channel[c] =
            at(&chan, t->group * v->oc + (v->by_channel ? t->col0 : t->row0) + c);
}

/* Bias and post-ops. Returns how many operations had words. */
static int finish(const tile *t, const fz_run *const run[3])
{
    const conv *v = t->v;
    const fz_conv *c = v->c;
    static const enum prism_op ops[] = {PRISM_ADD, PRISM_SUB, PRISM_MUL, PRISM_DIV};
    int nth = 0;
    other o;
    if (c->bias.data && c->pass == FZ_CONV_FORWARD) {
        const ptrdiff_t first = t->group * v->oc + (v->by_channel ? t->col0 : t->row0);
        ptrdiff_t *channel = v->by_channel ? o.col : o.row;
        memset(&o, 0, sizeof o);
        o.base = c->bias.data;
        o.type = c->bias.type;
        for (int i = 0; i < (v->by_channel ? t->cols : t->rows); i++)
            channel[i] = fz_tensor_at(&c->bias, 0, first + i);
        follow(t, PRISM_ADD, 0, &o, 0, nth++);
    }
    for (int i = 0; i < c->nposts; i++, nth++) {
        const fz_post *p = &c->post[i];
        switch (p->kind) {
        case FZ_POST_SUM:
            places(t, v->out, run, &o);
            follow(t, PRISM_FMA, p->alpha, &o, 0, nth);
            break;
        case FZ_POST_ADD:
        case FZ_POST_SUB:
        case FZ_POST_MUL:
        case FZ_POST_DIV:
            places(t, &p->other, run, &o);
            follow(t, ops[p->kind - FZ_POST_ADD], 0, &o, 0, nth);
            break;
        case FZ_POST_ELTWISE: eltwise(t, p, nth); break;
        case FZ_POST_LINEAR: follow(t, PRISM_FMA, p->alpha, NULL, p->beta, nth); break;
        case FZ_POST_RELU: relu(t, p->alpha, nth); break;
        default: clip_to(t, p->alpha, p->beta);
        }
    }
    return nth;
}

static ptrdiff_t blocks(ptrdiff_t n, ptrdiff_t size)
{
    return (n + size - 1) / size;
}

static ptrdiff_t class_pixels(const conv *v, const fz_run *const run[3])
{
    return v->batch * run[0]->count * run[1]->count * run[2]->count;
}

static ptrdiff_t class_tiles(const conv *v, const fz_run *const run[3])
{
    const ptrdiff_t p = class_pixels(v, run);
    return v->by_channel ? blocks(p, MC) * blocks(v->oc, NC)
                         : blocks(v->oc, MC) * blocks(p, NC);
}

static void runs_of_class(const conv *v, ptrdiff_t class, const fz_run *run[3])
{
    run[2] = v->runs[2].run + class % v->runs[2].n;
    class /= v->runs[2].n;
    run[1] = v->runs[1].run + class % v->runs[1].n;
    run[0] = v->runs[0].run + class / v->runs[1].n;
}

/* Tiles 0 .. n-1, of which there may be more than an int counts. */
static void share_tiles(conv *v, f64 work, void (*body)(void *, int), void *arg,
                        ptrdiff_t n)
{
    enum { AT_ONCE = 1 << 30 };
    for (v->first = 0; v->first < n; v->first += AT_ONCE)
        fz_share(v->job, work, body, arg,
                 (int)(n - v->first < AT_ONCE ? n - v->first : AT_ONCE));
}

static void output_tile(void *arg, int index)
{
    const conv *v = arg;
    const fz_run *run[3];
    const ptrdiff_t number = v->first + index;
    ptrdiff_t class = 0, left = number % v->tiles;
    tile t;
    for (;; class++) {
        runs_of_class(v, class, run);
        const ptrdiff_t n = class_tiles(v, run);
        if (left < n)
            break;
        left -= n;
    }
    t.v = v;
    t.group = number / v->tiles;
    t.job = *v->job;
    t.job.key = prism_key_derive(prism_key_derive(v->job->key, (uint64_t)t.group),
                                 (uint64_t)class);
    const ptrdiff_t np = class_pixels(v, run);
    const ptrdiff_t m = v->by_channel ? np : v->oc, n = v->by_channel ? v->oc : np;
    t.row0 = left / blocks(n, NC) * MC;
    t.col0 = left % blocks(n, NC) * NC;
    t.rows = (int)(m - t.row0 < MC ? m - t.row0 : MC);
    t.cols = (int)(n - t.col0 < NC ? n - t.col0 : NC);

    tap_walk s = {.in = v->by_channel ? &t.a : &t.b, .w = v->by_channel ? &t.b : &t.a};
    ptrdiff_t from[3], to[3], from_step[3], to_step[3], count[3], depth = v->ic;
    for (int d = 0; d < 3; d++) {
        s.run[d] = run[d];
        from[d] = run[d]->in;
        from_step[d] = run[d]->in_step;
        to[d] = run[d]->out;
        to_step[d] = run[d]->step;
        count[d] = run[d]->count;
        depth *= run[d]->taps;
    }
    const ptrdiff_t p0 = t.pixel0 = v->by_channel ? t.row0 : t.col0;
    const ptrdiff_t c0 = v->by_channel ? t.col0 : t.row0;
    const int pixel_count = v->by_channel ? t.rows : t.cols;
    const int channels = v->by_channel ? t.cols : t.rows;
    ptrdiff_t *to_pixel = v->by_channel ? t.out_row : t.out_col;
    ptrdiff_t *to_channel = v->by_channel ? t.out_col : t.out_row;
    pixels(&v->in_n, v->in_stride, from, from_step, count, p0, pixel_count, s.in->at);
    pixels(&v->out_n, v->out_stride, to, to_step, count, p0, pixel_count, to_pixel);
    const ptrdiff_t group_w =
        v->c->grouped ? fz_tensor_at(&v->c->weights, 0, t.group) : 0;
    for (int i = 0; i < channels; i++) {
        to_channel[i] = at(&v->out_c, t.group * v->oc + c0 + i);
        s.w->at[i] = group_w + at(&v->w_out, c0 + i);
    }
    s.in->base = v->in->data;
    s.in->type = v->in->type;
    s.w->base = v->c->weights.data;
    s.w->type = v->c->weights.type;
    sums(&t, depth, next_taps, &s);
    const int nth = finish(&t, run);
    put(&t, v->out, nth);
}

#include "conv_depth.h"

/* What rows x cols sums cost, in slots of 16 lanes and panels of 4 rows: the same answer
 * on every ISA, since which side has the lanes decides which words are whose. */
static f64 slots(ptrdiff_t rows, ptrdiff_t cols)
{
    return (f64)blocks(cols, 16) * (rows == 1 ? 2 : 4 * (f64)blocks(rows, 4));
}

static int choose_lanes(const conv *v)
{
    f64 along_pixels = 0, along_channels = 0;
    const ptrdiff_t classes = v->runs[0].n * v->runs[1].n * v->runs[2].n;
    for (ptrdiff_t i = 0; i < classes; i++) {
        const fz_run *run[3];
        runs_of_class(v, i, run);
        const f64 k = (f64)(run[0]->taps * run[1]->taps * run[2]->taps) + 1;
        const ptrdiff_t p = class_pixels(v, run);
        along_pixels += k * slots(v->oc, p);
        along_channels += k * slots(p, v->oc);
    }
    return along_channels < along_pixels;
}

static void make_runs(conv *v, int small, const fz_tensor *out, const fz_tensor *in)
{
    const fz_conv *c = v->c;
    for (int d = 0; d < 3; d++) {
        const int s = d - (3 - c->spatial), x = s + 2, w = x + (c->grouped != 0);
        if (s < 0)
            fz_runs_make(&v->runs[d], 1, 1, 1, 1, 1, 1, 0);
        else
            fz_runs_make(&v->runs[d], small, out->dims[x], in->dims[x],
                         c->weights.dims[w], c->stride[s], c->dilation[s], c->pad[s]);
    }
}

static void run_tiles(conv *v)
{
    const fz_conv *c = v->c;
    const ptrdiff_t classes = v->runs[0].n * v->runs[1].n * v->runs[2].n;
    v->by_channel = choose_lanes(v);
    f64 work = 0;
    for (ptrdiff_t i = 0; i < classes; i++) {
        const fz_run *run[3];
        runs_of_class(v, i, run);
        v->tiles += class_tiles(v, run);
        work += (f64)class_pixels(v, run) *
                (f64)(run[0]->taps * run[1]->taps * run[2]->taps * v->ic + 1);
    }
    share_tiles(v, work * (f64)(v->oc * c->groups), output_tile, v, v->tiles * c->groups);
}

/* `out` is what is made, or in a gradient of weights the side whose positions are counted: the
 * smaller one, or dst for a bias. */
static void sides(conv *v, const fz_tensor *out, const fz_tensor *in)
{
    v->out = out;
    v->in = in;
    v->out_n = axis_of(out, 0);
    v->in_n = axis_of(in, 0);
    v->out_c = axis_of(out, 1);
    v->in_c = axis_of(in, 1);
    for (int d = 0; d < 3; d++) {
        const int s = d - (3 - v->c->spatial), x = s + 2, g = v->c->grouped != 0;
        v->out_stride[d] = s < 0 ? 0 : out->stride[x];
        v->in_stride[d] = s < 0 ? 0 : in->stride[x];
        v->w_stride[d] = s < 0 ? 0 : v->c->weights.stride[x + g];
        v->out_dim[d] = s < 0 ? 1 : out->dims[x];
        v->kernel[d] = s < 0 ? 1 : v->c->weights.dims[x + g];
    }
}

static void run_outputs(conv *v)
{
    const fz_conv *c = v->c;
    const int forward = c->pass == FZ_CONV_FORWARD, g = c->grouped != 0;
    sides(v, forward ? &c->dst : &c->src, forward ? &c->src : &c->dst);
    v->w_out = axis_of(&c->weights, forward ? g : g + 1);
    v->w_in = axis_of(&c->weights, forward ? g + 1 : g);
    v->oc = c->weights.dims[forward ? g : g + 1];
    v->ic = c->weights.dims[forward ? g + 1 : g];
    make_runs(v, forward != (c->deconv != 0), v->out, v->in);
    if (!run_depth(v))
        run_tiles(v);
    for (int d = 0; d < 3; d++)
        fz_runs_free(&v->runs[d]);
    fz_tensor_clear_padding(v->out);
}

/* ---- backward weights -------------------------------------------------------------- */

/* K is the positions of the smaller side, class by class: those of one class have the
 * same taps. One side of a tile is the channels of the smaller side, the other (the long
 * one) taps and channels of the larger side; where a class lacks taps, what belongs to
 * them sits out. */
typedef struct part {
    int n; /* of the tile's rows or columns, those that take part */
    int which[NC];
} part;

/* A tile under way. */
typedef struct gradient {
    tile t;
    fz_panels p;
    int long_cols;                 /* the long side is the columns */
    ptrdiff_t long_at[NC];         /* places in the larger side */
    ptrdiff_t tap[NC][3];
    ptrdiff_t short_at[NC];        /* in the smaller side */
    uint32_t kblock;
    f32 *total;                    /* MC x NC: the sums of all, not of a class's part */
} gradient;

static part taking_part(const gradient *g, const fz_run *const run[3])
{
    part x = {0};
    const int n = g->long_cols ? g->t.cols : g->t.rows;
    for (int i = 0; i < n; i++) {
        int in = 1;
        for (int d = 0; d < 3; d++)
            in &= g->tap[i][d] >= run[d]->tap &&
                  g->tap[i][d] < run[d]->tap + run[d]->taps;
        if (in)
            x.which[x.n++] = i;
    }
    return x;
}

/* Sums of the part to and from where the panels are summed. */
static void exchange(const gradient *g, const part *x, int rows, int cols, int out)
{
    f32 *sum = fz_panel_sum(fz_workspace());
    for (int i = 0; i < rows; i++) {
        f32 *total = g->total + (g->long_cols ? i : x->which[i]) * NC;
        f32 *mine = sum + i * NC;
        for (int j = 0; j < cols; j++) {
            f32 *other_ = total + (g->long_cols ? x->which[j] : j);
            if (out)
                *other_ = mine[j];
            else
                mine[j] = *other_;
        }
    }
}

static void gradient_of_class(gradient *g, const fz_run *const run[3])
{
    const conv *v = g->t.v;
    const part x = taking_part(g, run);
    const ptrdiff_t depth = class_pixels(v, run);
    if (!x.n || !depth)
        return;
    fz_side *large = g->long_cols ? &g->t.b : &g->t.a;
    fz_side *small = g->long_cols ? &g->t.a : &g->t.b;
    const int shorts = g->long_cols ? g->t.rows : g->t.cols;
    const int rows = g->long_cols ? shorts : x.n, cols = g->long_cols ? x.n : shorts;
    ptrdiff_t first[3], count[3], from[3], step[3];
    static const ptrdiff_t ones[3] = {1, 1, 1};
    for (int d = 0; d < 3; d++) {
        const int c = d - (3 - v->c->spatial);
        first[d] = run[d]->out;
        count[d] = run[d]->count;
        step[d] = c < 0 ? 1 : v->c->stride[c];
        from[d] = c < 0 ? 0 : first[d] * step[d] - v->c->pad[c];
    }
    for (int i = 0; i < x.n; i++)
        large->at[i] = g->long_at[x.which[i]];
    memcpy(small->at, g->short_at, (size_t)shorts * sizeof *small->at);
    char *const space = fz_workspace();
    exchange(g, &x, rows, cols, 0);
    g->p.rows = rows;
    g->p.cols = cols;
    for (ptrdiff_t k = 0; k < depth; k += KC) {
        const int kc = (int)(depth - k < KC ? depth - k : KC);
        pixels(&v->out_n, v->out_stride, first, ones, count, k, kc, small->k);
        pixels(&v->in_n, v->in_stride, from, step, count, k, kc, large->k);
        fz_pack_rows(&g->t.a, rows, kc, fz_panel_a(space, rows, kc));
        fz_pack_cols(&g->t.b, cols, kc, fz_panel_b(space, cols, kc));
        FZ_FN(fz_panels_f32)(&g->t.job, &g->p, kc, g->kblock++);
    }
    exchange(g, &x, rows, cols, 1);
}

/* dst and src are the two tensors, whichever is the smaller. */
static void weights_tile(void *arg, int index)
{
    const conv *v = arg;
    const fz_conv *c = v->c;
    const ptrdiff_t all = v->kernel[0] * v->kernel[1] * v->kernel[2];
    const ptrdiff_t longs = all * v->ic, shorts = v->oc;
    const ptrdiff_t m = v->by_channel ? shorts : longs;
    const ptrdiff_t n = v->by_channel ? longs : shorts;
    const ptrdiff_t number = v->first + index, left = number % v->tiles;
    char *const space = fz_workspace();
    gradient g;
    tile *const t = &g.t;
    t->v = v;
    t->group = number / v->tiles;
    t->job = *v->job;
    t->job.key = prism_key_derive(v->job->key, (uint64_t)t->group);
    t->row0 = left / blocks(n, NC) * MC;
    t->col0 = left % blocks(n, NC) * NC;
    t->rows = (int)(m - t->row0 < MC ? m - t->row0 : MC);
    t->cols = (int)(n - t->col0 < NC ? n - t->col0 : NC);
    g.long_cols = v->by_channel;
    g.kblock = 1; /* 0 would start from +0, which `total` does */
    g.total = fz_panel_sum(space) + MC * NC;
    memset(g.total, 0, MC * NC * sizeof *g.total);
    g.p = panels_of(t);
    fz_side *large = v->by_channel ? &t->b : &t->a;
    fz_side *small = v->by_channel ? &t->a : &t->b;
    large->base = v->in->data;
    large->type = v->in->type;
    small->base = v->out->data;
    small->type = v->out->type;
    ptrdiff_t *long_out = v->by_channel ? t->out_col : t->out_row;
    ptrdiff_t *short_out = v->by_channel ? t->out_row : t->out_col;
    const int nlong = v->by_channel ? t->cols : t->rows;
    const int nshort = v->by_channel ? t->rows : t->cols;
    const ptrdiff_t l0 = v->by_channel ? t->col0 : t->row0;
    const ptrdiff_t s0 = v->by_channel ? t->row0 : t->col0;
    const ptrdiff_t w = c->grouped ? fz_tensor_at(&c->weights, 0, t->group) : 0;
    for (int i = 0; i < nlong; i++) {
        const ptrdiff_t channel = (l0 + i) % v->ic;
        ptrdiff_t tap = (l0 + i) / v->ic;
        g.long_at[i] = at(&v->in_c, t->group * v->ic + channel);
        long_out[i] = at(&v->w_in, channel);
        for (int d = 2; d >= 0; d--) {
            const int x = d - (3 - c->spatial);
            g.tap[i][d] = tap % v->kernel[d];
            tap /= v->kernel[d];
            if (x >= 0)
                g.long_at[i] += g.tap[i][d] * c->dilation[x] * v->in_stride[d];
            long_out[i] += g.tap[i][d] * v->w_stride[d];
        }
    }
    for (int i = 0; i < nshort; i++) {
        g.short_at[i] = at(&v->out_c, t->group * v->oc + s0 + i);
        short_out[i] = w + at(&v->w_out, s0 + i);
    }
    const unsigned old = _mm_getcsr();
    const ptrdiff_t classes = v->runs[0].n * v->runs[1].n * v->runs[2].n;
    for (ptrdiff_t i = 0; i < classes; i++) {
        const fz_run *run[3];
        runs_of_class(v, i, run);
        gradient_of_class(&g, run);
    }
    _mm_setcsr(old);
    memcpy(fz_panel_sum(space), g.total, MC * NC * sizeof *g.total);
    put(t, &c->weights, 0);
}

static void next_positions(void *state, tile *t, ptrdiff_t k, int kc)
{
    const conv *v = t->v;
    static const ptrdiff_t zeros[3], ones[3] = {1, 1, 1};
    (void)state;
    memset(t->a.k, 0, sizeof t->a.k);
    pixels(&v->out_n, v->out_stride, zeros, ones, v->out_dim, k, kc, t->b.k);
}

/* NC channels of the gradient of the bias: 1*x + acc. */
static void bias_tile(void *arg, int index)
{
    static const f32 one = 1;
    const conv *v = arg;
    const fz_conv *c = v->c;
    tile t;
    const axis channel = axis_of(&c->dst, 1);
    t.v = v;
    t.group = 0;
    t.job = *v->job;
    t.job.key = prism_key_derive(v->job->key, BIAS_STREAM);
    t.row0 = 0;
    t.rows = 1;
    t.col0 = (ptrdiff_t)index * NC;
    t.cols = (int)(c->dst.dims[1] - t.col0 < NC ? c->dst.dims[1] - t.col0 : NC);
    t.a.base = &one;
    t.a.type = FZ_F32;
    t.a.at[0] = t.out_row[0] = 0;
    t.b.base = c->dst.data;
    t.b.type = c->dst.type;
    for (int j = 0; j < t.cols; j++) {
        t.b.at[j] = at(&channel, t.col0 + j);
        t.out_col[j] = fz_tensor_at(&c->bias, 0, t.col0 + j);
    }
    sums(&t, v->batch * v->out_dim[0] * v->out_dim[1] * v->out_dim[2], next_positions,
         NULL);
    put(&t, &c->bias, 0);
}

static void run_weights(conv *v)
{
    const fz_conv *c = v->c;
    const int g = c->grouped != 0;
    /* of the smaller side, and of the larger one */
    v->oc = c->weights.dims[c->deconv ? g + 1 : g];
    v->ic = c->weights.dims[c->deconv ? g : g + 1];
    v->w_out = axis_of(&c->weights, c->deconv ? g + 1 : g);
    v->w_in = axis_of(&c->weights, c->deconv ? g : g + 1);
    sides(v, c->deconv ? &c->src : &c->dst, c->deconv ? &c->dst : &c->src);
    make_runs(v, 1, v->out, v->in);
    const ptrdiff_t longs = v->kernel[0] * v->kernel[1] * v->kernel[2] * v->ic;
    v->by_channel = slots(v->oc, longs) < slots(longs, v->oc);
    v->tiles = v->by_channel ? blocks(v->oc, MC) * blocks(longs, NC)
                             : blocks(longs, MC) * blocks(v->oc, NC);
    const f64 depth =
        (f64)v->batch * (f64)(v->out_dim[0] * v->out_dim[1] * v->out_dim[2]);
    share_tiles(v, depth * (f64)(longs * v->oc * c->groups), weights_tile, v,
                v->tiles * c->groups);
    for (int d = 0; d < 3; d++)
        fz_runs_free(&v->runs[d]);
    fz_tensor_clear_padding(&c->weights);
    if (c->bias.data) {
        sides(v, &c->dst, &c->dst);
        fz_share(v->job, depth * (f64)c->dst.dims[1], bias_tile, v,
                 (int)blocks(c->dst.dims[1], NC));
        fz_tensor_clear_padding(&c->bias);
    }
}

void FZ_FN(fz_conv)(const fz_job *job, const fz_conv *c)
{
    conv v = {.job = job,
              .c = c,
              .law = fz_law_of(job->mode, 1, job->t),
              .ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ),
              .batch = c->src.dims[0]};
    if (c->pass == FZ_CONV_BACKWARD_WEIGHTS)
        run_weights(&v);
    else
        run_outputs(&v);
}
