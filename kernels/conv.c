/* Convolutions: what is refused, and the runs of outputs that share their taps.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "conv_plan.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what is refused --------------------------------------------------------------- */

static int bad_tensor(const fz_tensor *t, int ndims)
{
    if (t->ndims != ndims || t->type > FZ_F16 || t->nblocks < 0 ||
        t->nblocks > FZ_TENSOR_BLOCKS)
        return 1;
    for (int d = 0; d < ndims; d++)
        if (t->dims[d] < 0 || t->padded[d] < t->dims[d])
            return 1;
    for (int b = 0; b < t->nblocks; b++)
        if (t->block[b] <= 0 || t->block_dim[b] < 0 || t->block_dim[b] >= ndims)
            return 1;
    return 0;
}

static int blocked_from(const fz_tensor *t, int d)
{
    for (int b = 0; b < t->nblocks; b++)
        if (t->block_dim[b] >= d)
            return 1;
    return 0;
}

static const char *bad_posts(const fz_conv *c)
{
    if (c->nposts < 0 || c->nposts > FZ_CONV_POSTS)
        return "too many post-ops";
    if (c->nposts && c->pass != FZ_CONV_FORWARD)
        return "post-ops of a backward pass";
    for (int i = 0; i < c->nposts; i++) {
        const fz_post *p = &c->post[i];
        if (p->kind > FZ_POST_DIV)
            return "unknown post-op";
        if (!fz_post_binary(p->kind))
            continue;
        if (bad_tensor(&p->other, c->spatial + 2) || blocked_from(&p->other, 2))
            return "operand of a post-op";
        for (int d = 0; d < c->spatial + 2; d++)
            if (p->other.dims[d] != 1 && p->other.dims[d] != c->dst.dims[d])
                return "operand of a post-op";
    }
    return NULL;
}

/* Strands are numbered by place in a class, in 32 bits. */
static int too_many(const fz_conv *c)
{
    const int weights = c->pass == FZ_CONV_BACKWARD_WEIGHTS;
    const fz_tensor *out = weights                            ? &c->weights
                           : c->pass == FZ_CONV_BACKWARD_DATA ? &c->src
                                                              : &c->dst;
    f64 rows = weights ? 1 : (f64)out->dims[0];
    for (int d = weights ? 0 : 2; d < out->ndims; d++)
        rows *= (f64)out->dims[d];
    return rows >= 0x1p32 || c->src.dims[1] >= INT64_C(1) << 32 ||
           c->dst.dims[1] >= INT64_C(1) << 32;
}

const char *fz_conv_refuses(const fz_conv *c)
{
    const int nd = c->spatial + 2, g = c->grouped != 0;
    if (c->spatial < 1 || c->spatial > 3)
        return "number of dimensions";
    if (bad_tensor(&c->src, nd) || bad_tensor(&c->dst, nd) ||
        bad_tensor(&c->weights, nd + g) || (c->bias.data && bad_tensor(&c->bias, 1)))
        return "layout of a tensor";
    if (blocked_from(&c->src, 2) || blocked_from(&c->dst, 2) ||
        blocked_from(&c->weights, 2 + g))
        return "blocks of a spatial dimension";
    const ptrdiff_t *w = c->weights.dims + g;
    if (c->groups < 1 || (!g && c->groups != 1) || (g && c->weights.dims[0] != c->groups))
        return "groups do not fit";
    if (c->src.dims[0] != c->dst.dims[0] || c->dst.dims[1] != w[0] * c->groups ||
        c->src.dims[1] != w[1] * c->groups ||
        (c->bias.data && c->bias.dims[0] != c->dst.dims[1]))
        return "dims do not fit";
    for (int d = 0; d < c->spatial; d++)
        if (c->stride[d] < 1 || c->dilation[d] < 1)
            return "stride or dilation";
    return too_many(c) ? "more than 2^32 outputs of one kind" : bad_posts(c);
}

/* ---- runs -------------------------------------------------------------------------- */

static ptrdiff_t div_floor(ptrdiff_t a, ptrdiff_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static ptrdiff_t div_ceil(ptrdiff_t a, ptrdiff_t b)
{
    return -div_floor(-a, b);
}

/* most: the runs that there can be. */
static void add_position(fz_runs *r, fz_run x, ptrdiff_t most)
{
    fz_run *last = r->n ? &r->run[r->n - 1] : NULL;
    if (last && last->out + last->count * last->step == x.out && last->tap == x.tap &&
        last->taps == x.taps) {
        last->count++;
        return;
    }
    if (r->n == r->room) {
        r->mapped = sizeof *r->run * (size_t)most; /* untouched pages cost nothing */
        fz_run *more = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (more == MAP_FAILED) {
            static const char msg[] = "fuzzytorch: out of memory (convolution)\n";
            if (write(2, msg, sizeof msg - 1) < 0)
                _exit(127);
            _exit(127);
        }
        memcpy(more, r->here, sizeof r->here);
        r->run = more;
        r->room = most;
    }
    r->run[r->n++] = x;
}

static ptrdiff_t gcd(ptrdiff_t a, ptrdiff_t b)
{
    while (b) {
        const ptrdiff_t c = a % b;
        a = b;
        b = c;
    }
    return a;
}

/* Taps u = lo .. hi-1 of `taps` for which 0 <= at + u*by < in. */
static fz_run clip(fz_run x, ptrdiff_t at, ptrdiff_t by, ptrdiff_t taps, ptrdiff_t in)
{
    ptrdiff_t lo, hi;
    if (by > 0) {
        lo = div_ceil(-at, by);
        hi = div_floor(in - 1 - at, by) + 1;
    } else {
        lo = div_ceil(at - (in - 1), -by);
        hi = div_floor(at, -by) + 1;
    }
    lo = lo < 0 ? 0 : lo;
    hi = hi > taps ? taps : hi;
    if (hi <= lo) {
        x.tap = x.taps = x.in = x.in_step = x.in_tap = 0;
        x.tap_step = 1;
        return x;
    }
    x.tap += lo * x.tap_step;
    x.taps = hi - lo;
    x.in = at + lo * by;
    x.in_tap = by;
    return x;
}

void fz_runs_make(fz_runs *r, int small, ptrdiff_t out, ptrdiff_t in, ptrdiff_t taps,
                  ptrdiff_t stride, ptrdiff_t dilation, ptrdiff_t pad)
{
    r->n = 0;
    r->room = FZ_RUNS;
    r->run = r->here;
    r->mapped = 0;
    if (small) {
        for (ptrdiff_t o = 0; o < out; o++)
            add_position(r, clip((fz_run){o, 1, 1, 0, 1, 0, 0, stride, 0},
                                 o * stride - pad, dilation, taps, in),
                         out);
        return;
    }
    const ptrdiff_t g = gcd(stride, dilation), every = stride / g;
    for (ptrdiff_t phase = 0; phase < stride && phase < out; phase++) {
        ptrdiff_t first = 0;
        while (first < every && (phase + pad - first * dilation) % stride)
            first++;
        const ptrdiff_t mine =
            first < every && first < taps ? (taps - first + every - 1) / every : 0;
        for (ptrdiff_t o = phase; o < out; o += stride)
            add_position(r, clip((fz_run){o, stride, 1, first, every, 0, 0, 1, 0},
                                 div_floor(o + pad - first * dilation, stride),
                                 -(dilation / g), mine, in),
                         out);
    }
}

void fz_runs_free(fz_runs *r)
{
    if (r->mapped)
        munmap(r->run, r->mapped);
}

/* ---- padding of blocks ------------------------------------------------------------- */

/* All elements whose index of dimension `at` lies in the padding; dimensions before it
 * stay inside, so that each is met once. */
static void clear(const fz_tensor *t, int at, int d, ptrdiff_t place)
{
    if (d == t->ndims) {
        memset((char *)t->data + place * (ptrdiff_t)fz_type_size(t->type), 0,
               fz_type_size(t->type));
        return;
    }
    const ptrdiff_t from = d == at ? t->dims[d] : 0;
    const ptrdiff_t to = d < at ? t->dims[d] : t->padded[d];
    for (ptrdiff_t x = from; x < to; x++)
        clear(t, at, d + 1, place + fz_tensor_at(t, d, x));
}

void fz_tensor_clear_padding(const fz_tensor *t)
{
    for (int d = 0; d < t->ndims; d++)
        if (t->padded[d] > t->dims[d])
            clear(t, d, 0, 0);
}
