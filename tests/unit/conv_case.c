/* Convolutions under test: random shapes and layouts, and the loop that defines them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "conv_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "../../kernels/half.h"
#include "eltwise_value.h"

#define GUARD 64
#define GUARD_BYTE 0xa5

/* ---- shapes ------------------------------------------------------------------------ */

static ptrdiff_t pick(rng *g, ptrdiff_t lo, ptrdiff_t hi)
{
    return lo + (ptrdiff_t)rng_below(g, (uint64_t)(hi - lo + 1));
}

static void set_dims(fz_tensor *t, int n, const ptrdiff_t *dims)
{
    memset(t, 0, sizeof *t);
    t->ndims = n;
    memcpy(t->dims, dims, (size_t)n * sizeof *dims);
}

static ptrdiff_t at_least_0(ptrdiff_t x)
{
    return x > 0 ? x : 0;
}

static const char *const post_names[] = {"sum", "relu", "linear", "clip", "eltwise",
                                         "add", "sub",  "mul",    "div"};

/* Post-ops of a forward pass, none as often as not. */
static void make_posts(rng *g, fz_conv *c)
{
    c->nposts = rng_below(g, 2) ? (int)pick(g, 1, 3) : 0;
    for (int i = 0; i < c->nposts; i++) {
        fz_post *p = &c->post[i];
        const int plain = rng_below(g, 2) == 0;
        ptrdiff_t dims[5];
        p->kind = (enum fz_post_kind)pick(g, FZ_POST_SUM, FZ_POST_DIV);
        p->fn = (enum fz_eltwise_kind)pick(g, 0, FZ_ELTWISE_KINDS - 1);
        p->alpha = p->kind == FZ_POST_SUM    ? (plain ? 1 : -0.3f)
                   : p->kind == FZ_POST_RELU ? (plain ? 0 : 0.3f)
                   : p->kind == FZ_POST_CLIP ? -0.5f
                                             : 1.7f;
        p->beta = p->kind == FZ_POST_CLIP ? 0.75f : -0.1f;
        for (int d = 0; d < c->spatial + 2; d++)
            dims[d] = rng_below(g, 3) ? c->dst.dims[d] : 1;
        if (fz_post_binary(p->kind))
            set_dims(&p->other, c->spatial + 2, dims);
    }
}

conv_case conv_case_make(rng *g, enum fz_conv_pass pass, int deconv, int big)
{
    conv_case k;
    fz_conv *c = &k.c;
    memset(&k, 0, sizeof k);
    c->pass = pass;
    c->deconv = deconv;
    c->spatial = (int)pick(g, 1, 3);
    c->grouped = rng_below(g, 2) == 0;
    c->groups = c->grouped ? pick(g, 1, 4) : 1;
    ptrdiff_t oc = pick(g, 1, 9), ic = pick(g, 1, 9), batch = pick(g, 0, 3);
    if (rng_below(g, 3) == 0)
        oc = pick(g, 15, 35);
    if (rng_below(g, 3) == 0)
        ic = pick(g, 15, 35);
    if (c->grouped && rng_below(g, 3) == 0) { /* depthwise */
        c->groups = pick(g, 1, 40);
        ic = oc = 1;
        if (rng_below(g, 3) == 0)
            *(deconv ? &ic : &oc) = 2;
    }
    if (big) {
        batch = pick(g, 1, 2);
        if (rng_below(g, 2))
            oc = pick(g, 60, 140);
        else
            ic = pick(g, 60, 300);
    }
    ptrdiff_t small[5] = {batch, deconv ? ic * c->groups : oc * c->groups};
    ptrdiff_t large[5] = {batch, deconv ? oc * c->groups : ic * c->groups};
    ptrdiff_t weights[6], *w = weights;
    if (c->grouped)
        *w++ = c->groups;
    *w++ = oc;
    *w++ = ic;
    for (int d = 0; d < c->spatial; d++) {
        const ptrdiff_t most = c->spatial == 1 ? 60 : c->spatial == 2 ? 12 : 6;
        const ptrdiff_t taps = pick(g, 1, c->spatial == 3 ? 3 : 4);
        c->stride[d] = rng_below(g, 2) ? 1 : pick(g, 1, 3);
        c->dilation[d] = rng_below(g, 3) ? 1 : pick(g, 1, 3);
        c->pad[d] = rng_below(g, 3) ? pick(g, 0, 3) : 0;
        const ptrdiff_t right = rng_below(g, 2) ? c->pad[d] : pick(g, 0, 3);
        const ptrdiff_t span = c->dilation[d] * (taps - 1) + 1;
        w[d] = taps;
        if (deconv) {
            small[d + 2] = pick(g, rng_below(g, 9) == 0 ? 0 : 1, most / 2);
            large[d + 2] = at_least_0((small[d + 2] - 1) * c->stride[d] - c->pad[d] -
                                      right + span + pick(g, 0, c->stride[d] - 1));
        } else {
            large[d + 2] = pick(g, rng_below(g, 9) == 0 ? 0 : 1, most);
            const ptrdiff_t room = large[d + 2] + c->pad[d] + right - span;
            small[d + 2] = room < 0 ? 0 : room / c->stride[d] + 1;
        }
    }
    set_dims(&c->src, c->spatial + 2, deconv ? small : large);
    set_dims(&c->dst, c->spatial + 2, deconv ? large : small);
    set_dims(&c->weights, c->spatial + 2 + c->grouped, weights);
    if (pass != FZ_CONV_BACKWARD_DATA && rng_below(g, 2)) {
        set_dims(&c->bias, 1, c->dst.dims + 1);
        c->bias.data = &k; /* wanted */
    }
    if (pass == FZ_CONV_FORWARD)
        make_posts(g, c);
    snprintf(k.what, sizeof k.what,
             "%s%s %dd n=%td g=%td oc=%td ic=%td in=%td,%td,%td out=%td,%td,%td "
             "k=%td,%td,%td s=%td,%td,%td d=%td,%td,%td p=%td,%td,%td%s",
             deconv ? "deconv " : "",
             pass == FZ_CONV_FORWARD         ? "forward"
             : pass == FZ_CONV_BACKWARD_DATA ? "backward data"
                                             : "backward weights",
             c->spatial, batch, c->groups, oc, ic, c->src.dims[2], c->src.dims[3],
             c->src.dims[4], c->dst.dims[2], c->dst.dims[3], c->dst.dims[4], w[0],
             c->spatial > 1 ? w[1] : 0, c->spatial > 2 ? w[2] : 0, c->stride[0],
             c->stride[1], c->stride[2], c->dilation[0], c->dilation[1], c->dilation[2],
             c->pad[0], c->pad[1], c->pad[2], c->bias.data ? " bias" : "");
    for (int i = 0; i < c->nposts; i++) {
        const size_t n = strlen(k.what);
        snprintf(k.what + n, sizeof k.what - n, " %s", post_names[c->post[i].kind]);
    }
    return k;
}

fz_tensor *conv_case_out(conv_case *k, int bias)
{
    if (bias)
        return &k->c.bias;
    return k->c.pass == FZ_CONV_FORWARD         ? &k->c.dst
           : k->c.pass == FZ_CONV_BACKWARD_DATA ? &k->c.src
                                                : &k->c.weights;
}

/* ---- layouts ----------------------------------------------------------------------- */

/* Bytes of the elements: of whole blocks, without guards. */
static size_t span(const fz_tensor *t)
{
    ptrdiff_t last = 0, inner = 1;
    for (int b = 0; b < t->nblocks; b++)
        inner *= t->block[b];
    for (int d = 0; d < t->ndims; d++) {
        ptrdiff_t per = 1;
        for (int b = 0; b < t->nblocks; b++)
            per *= t->block_dim[b] == d ? t->block[b] : 1;
        if (t->padded[d] == 0)
            return 0;
        last += (t->padded[d] / per - 1) * t->stride[d];
    }
    return (size_t)(last + inner) * fz_type_size(t->type);
}

/* Outer dimensions in `order`, outermost first, with `gap` elements left between the
 * rows. */
static void lay_out(fz_tensor *t, enum fz_type type, const int *order, int gap)
{
    ptrdiff_t step = 1;
    t->type = type;
    for (int b = 0; b < t->nblocks; b++)
        step *= t->block[b];
    for (int i = t->ndims - 1; i >= 0; i--) {
        const int d = order[i];
        ptrdiff_t per = 1;
        for (int b = 0; b < t->nblocks; b++)
            per *= t->block_dim[b] == d ? t->block[b] : 1;
        const ptrdiff_t outer = (t->dims[d] + per - 1) / per;
        t->padded[d] = outer * per;
        t->stride[d] = step;
        step = step * (outer ? outer : 1) + (i == t->ndims - 1 ? gap : 0);
    }
}

static void block_by(fz_tensor *t, int d, ptrdiff_t size)
{
    t->block_dim[t->nblocks] = d;
    t->block[t->nblocks++] = size;
}

static void lay_out_activations(fz_tensor *t, enum fz_type type, enum conv_layout layout)
{
    int order[5] = {0, 1, 2, 3, 4};
    if (layout == CONV_LAST) {
        order[t->ndims - 1] = 1;
        for (int d = 2; d < t->ndims; d++)
            order[d - 1] = d;
    } else if (layout == CONV_BLOCK8 || layout == CONV_BLOCK16) {
        block_by(t, 1, layout == CONV_BLOCK8 ? 8 : 16);
    } else if (layout == CONV_ODD) { /* channels in two blocks, images in one */
        block_by(t, 1, 3);
        block_by(t, 0, 2);
        block_by(t, 1, 4);
    }
    lay_out(t, type, order, layout == CONV_ODD ? 5 : 0);
}

static void lay_out_weights(fz_tensor *t, int grouped, enum fz_type type,
                            enum conv_layout layout)
{
    int order[6] = {0, 1, 2, 3, 4, 5};
    const int o = grouped, i = grouped + 1;
    const int depthwise = grouped && t->dims[o] == 1 && t->dims[i] == 1;
    if (layout == CONV_LAST) { /* as torch stores transposed weights */
        order[o] = i;
        order[i] = o;
    } else if (layout == CONV_BLOCK8 || layout == CONV_BLOCK16) {
        const ptrdiff_t b = layout == CONV_BLOCK8 ? 8 : 16;
        if (depthwise) {
            block_by(t, 0, b);
        } else {
            block_by(t, layout == CONV_BLOCK8 ? i : o, b);
            block_by(t, layout == CONV_BLOCK8 ? o : i, b);
        }
    } else if (layout == CONV_ODD) {
        block_by(t, i, 4);
        block_by(t, o, 16);
        block_by(t, i, 4);
    }
    lay_out(t, type, order, 0);
}

/* ---- elements ---------------------------------------------------------------------- */

size_t conv_elements(const fz_tensor *t)
{
    size_t n = 1;
    for (int d = 0; d < t->ndims; d++)
        n *= (size_t)t->dims[d];
    return n;
}

/* Place of an index, by cutting each dimension's index from the outside: another way
 * than tensor.h's. */
static ptrdiff_t place(const fz_tensor *t, const ptrdiff_t *index)
{
    ptrdiff_t at = 0, rest[FZ_TENSOR_DIMS], size[FZ_TENSOR_DIMS];
    for (int d = 0; d < t->ndims; d++) {
        size[d] = 1;
        for (int b = 0; b < t->nblocks; b++)
            size[d] *= t->block_dim[b] == d ? t->block[b] : 1;
        at += index[d] / size[d] * t->stride[d];
        rest[d] = index[d] % size[d];
    }
    ptrdiff_t in = 0;
    for (int b = 0; b < t->nblocks; b++) {
        const int d = t->block_dim[b];
        size[d] /= t->block[b];
        in = in * t->block[b] + rest[d] / size[d];
        rest[d] %= size[d];
    }
    return at + in;
}

static void index_of(const fz_tensor *t, size_t i, ptrdiff_t *index)
{
    for (int d = t->ndims - 1; d >= 0; d--) {
        index[d] = (ptrdiff_t)(i % (size_t)t->dims[d]);
        i /= (size_t)t->dims[d];
    }
}

static f32 at(const fz_tensor *t, const ptrdiff_t *index)
{
    const ptrdiff_t p = place(t, index);
    return t->type == FZ_F32 ? ((const f32 *)t->data)[p]
                             : fz_widen(((const uint16_t *)t->data)[p], t->type);
}

f32 conv_element(const fz_tensor *t, size_t i)
{
    ptrdiff_t index[FZ_TENSOR_DIMS] = {0};
    index_of(t, i, index);
    return at(t, index);
}

static void fill(fz_tensor *t, uint64_t seed, enum shape shape, int strays)
{
    const size_t bytes = span(t);
    char *raw = malloc(bytes + 2 * GUARD);
    rng g = {seed};
    memset(raw, GUARD_BYTE, bytes + 2 * GUARD);
    t->data = raw + GUARD;
    for (size_t i = 0; i < conv_elements(t); i++) {
        ptrdiff_t index[FZ_TENSOR_DIMS];
        const enum shape s = (int)rng_below(&g, 256) < strays
                                 ? (enum shape)rng_below(&g, SHAPES)
                                 : shape;
        const f32 x = (f32)shape_value(&g, s, 1);
        index_of(t, i, index);
        if (t->type == FZ_F32)
            ((f32 *)t->data)[place(t, index)] = x;
        else
            ((uint16_t *)t->data)[place(t, index)] =
                fz_narrow(x, t->type, PRISM_NEAREST, 0);
    }
}

void conv_case_fill(conv_case *k, uint64_t seed, enum conv_layout layout,
                    enum fz_type type, enum fz_type out_type, enum shape shape,
                    int strays)
{
    fz_conv *c = &k->c;
    static const int one[1] = {0};
    fz_tensor *out = conv_case_out(k, 0);
    lay_out_activations(&c->src, out == &c->src ? out_type : type, layout);
    lay_out_activations(&c->dst, out == &c->dst ? out_type : type, layout);
    lay_out_weights(&c->weights, c->grouped, out == &c->weights ? out_type : type,
                    layout);
    fill(&c->src, seed, shape, strays);
    fill(&c->dst, seed + 1, shape, strays);
    fill(&c->weights, seed + 2, shape, strays);
    if (c->bias.data) {
        lay_out(&c->bias, FZ_F32, one, 0);
        fill(&c->bias, seed + 3, shape, strays);
    }
    for (int i = 0; i < c->nposts; i++)
        if (c->post[i].other.ndims) {
            lay_out_activations(&c->post[i].other, type, layout);
            fill(&c->post[i].other, seed + 4 + (uint64_t)i, shape, strays);
        }
    if (c->pass == FZ_CONV_FORWARD) {
        k->was = malloc((conv_elements(out) + 1) * sizeof *k->was);
        for (size_t i = 0; i < conv_elements(out); i++)
            k->was[i] = conv_element(out, i);
    }
}

void conv_case_free(conv_case *k)
{
    fz_tensor *all[] = {&k->c.src, &k->c.dst, &k->c.weights, &k->c.bias};
    for (int i = 0; i < 4; i++)
        if (all[i]->data)
            free((char *)all[i]->data - GUARD);
    for (int i = 0; i < k->c.nposts; i++)
        if (k->c.post[i].other.data)
            free((char *)k->c.post[i].other.data - GUARD);
    free(k->was);
}

const char *conv_case_guards(const fz_tensor *t)
{
    const size_t bytes = span(t), size = fz_type_size(t->type);
    const uint8_t *p = t->data;
    static uint8_t seen[1 << 24];
    if (bytes > sizeof seen)
        return "too large for the test";
    for (size_t i = 0; i < GUARD; i++)
        if (p[-1 - (ptrdiff_t)i] != GUARD_BYTE || p[bytes + i] != GUARD_BYTE)
            return "wrote outside the tensor";
    memset(seen, 0, bytes);
    fz_tensor whole = *t;
    memcpy(whole.dims, t->padded, sizeof whole.dims);
    for (size_t i = 0; i < conv_elements(&whole); i++) {
        ptrdiff_t index[FZ_TENSOR_DIMS];
        int padding = 0;
        index_of(&whole, i, index);
        for (int d = 0; d < t->ndims; d++)
            padding |= index[d] >= t->dims[d];
        const ptrdiff_t q = place(t, index) * (ptrdiff_t)size;
        memset(seen + q, 1, size);
        for (size_t b = 0; b < size && padding; b++)
            if (p[q + (ptrdiff_t)b])
                return "padding is not 0";
    }
    for (size_t i = 0; i < bytes; i++)
        if (!seen[i] && p[i] != GUARD_BYTE)
            return "wrote between the elements";
    return NULL;
}

/* ---- the loops of conv.h ----------------------------------------------------------- */

/* Position of the larger side for tap u and position q of the smaller one. */
static ptrdiff_t meets(const fz_conv *c, int d, ptrdiff_t q, ptrdiff_t u)
{
    return q * c->stride[d] - c->pad[d] + u * c->dilation[d];
}

/* The position of the other side that tap u joins to position x, or -1. small: x is the
 * smaller side's. */
static ptrdiff_t partner(const fz_conv *c, int d, int small, ptrdiff_t x, ptrdiff_t u,
                         ptrdiff_t size)
{
    if (small) {
        const ptrdiff_t y = meets(c, d, x, u);
        return y >= 0 && y < size ? y : -1;
    }
    for (ptrdiff_t y = 0; y < size; y++)
        if (meets(c, d, y, u) == x)
            return y;
    return -1;
}

/* The post-ops of element i. */
static f64 reference_posts(const conv_case *k, int t, size_t i, const ptrdiff_t *index, f64 x)
{
    const unsigned host = _mm_getcsr();
    for (int q = 0; q < k->c.nposts; q++) {
        const fz_post *p = &k->c.post[q];
        ptrdiff_t at_other[FZ_TENSOR_DIMS];
        for (int d = 0; d < p->other.ndims; d++)
            at_other[d] = p->other.dims[d] == 1 ? 0 : index[d];
        switch (p->kind) {
        case FZ_POST_SUM: x = plain_fma(1, t, p->alpha, k->was[i], x); break;
        case FZ_POST_RELU:
            if (x < 0)
                x = p->alpha != 0 ? plain_mul(1, t, p->alpha, x) : 0;
            break;
        case FZ_POST_LINEAR: x = plain_fma(1, t, p->alpha, x, p->beta); break;
        case FZ_POST_CLIP: x = x < p->alpha ? p->alpha : x > p->beta ? p->beta : x; break;
        case FZ_POST_ELTWISE:
            _mm_setcsr(host | plain_csr);
            x = (f64)eltwise_value(p->fn, p->alpha, p->beta, t, (f32)x);
            _mm_setcsr(host);
            break;
        case FZ_POST_ADD: x = plain_add(1, t, x, at(&p->other, at_other)); break;
        case FZ_POST_SUB: x = plain_add(1, t, x, -at(&p->other, at_other)); break;
        case FZ_POST_DIV:
            _mm_setcsr(host | plain_csr);
            x = (f64)prism_div_f32((f32)x, (f32)at(&p->other, at_other), PRISM_NEAREST, t,
                                   0);
            _mm_setcsr(host);
            break;
        case FZ_POST_MUL: x = plain_mul(1, t, x, at(&p->other, at_other)); break;
        }
    }
    return x;
}

static f32 reference_output(const conv_case *k, int t, size_t i, const ptrdiff_t *index)
{
    const fz_conv *c = &k->c;
    const int forward = c->pass == FZ_CONV_FORWARD, g = c->grouped;
    const fz_tensor *in = forward ? &c->src : &c->dst;
    const int small = forward != c->deconv;
    const ptrdiff_t oc = c->weights.dims[g + !forward], ic = c->weights.dims[g + forward];
    const ptrdiff_t group = index[1] / oc;
    ptrdiff_t wi[6] = {0}, ii[5] = {index[0]}, u[3] = {0}, taps[3] = {1, 1, 1};
    for (int d = 0; d < c->spatial; d++)
        taps[d] = c->weights.dims[2 + g + d];
    if (g)
        wi[0] = group;
    wi[g + !forward] = index[1] % oc;
    f64 acc = 0;
    for (u[0] = 0; u[0] < taps[0]; u[0]++)
        for (u[1] = 0; u[1] < taps[1]; u[1]++)
            for (u[2] = 0; u[2] < taps[2]; u[2]++) {
                int inside = 1;
                for (int d = 0; d < c->spatial; d++) {
                    ii[2 + d] = partner(c, d, small, index[2 + d], u[d], in->dims[2 + d]);
                    inside &= ii[2 + d] >= 0;
                    wi[2 + g + d] = u[d];
                }
                for (ptrdiff_t q = 0; q < ic && inside; q++) {
                    ii[1] = group * ic + q;
                    wi[g + forward] = q;
                    acc = plain_fma(1, t, at(in, ii), at(&c->weights, wi), acc);
                }
            }
    if (forward && c->bias.data)
        acc = plain_add(1, t, acc, at(&c->bias, index + 1));
    return (f32)reference_posts(k, t, i, index, acc);
}

/* Numbers the stretches of the smaller side's positions that have the same taps. */
static void stretches(const fz_conv *c, int d, ptrdiff_t small, ptrdiff_t large,
                      ptrdiff_t *number)
{
    const ptrdiff_t taps = c->weights.dims[2 + c->grouped + d];
    unsigned before = 0;
    for (ptrdiff_t q = 0; q < small; q++) {
        unsigned have = 0;
        for (ptrdiff_t u = 0; u < taps; u++)
            if (meets(c, d, q, u) >= 0 && meets(c, d, q, u) < large)
                have |= 1u << u;
        number[q] = q ? number[q - 1] + (have != before) : 0;
        before = have;
    }
}

static f32 reference_bias(const conv_case *k, int t, const ptrdiff_t *index)
{
    const fz_tensor *dst = &k->c.dst;
    f64 acc = 0;
    for (size_t q = 0; q < conv_elements(dst); q++) {
        ptrdiff_t s[5];
        index_of(dst, q, s);
        if (s[1] == index[0])
            acc = plain_add(1, t, at(dst, s), acc);
    }
    return (f32)acc;
}

static f32 reference_weight(const conv_case *k, int t, const ptrdiff_t *index)
{
    enum { MOST = 64 };
    const fz_conv *c = &k->c;
    const int g = c->grouped;
    const fz_tensor *small = c->deconv ? &c->src : &c->dst;
    const fz_tensor *large = c->deconv ? &c->dst : &c->src;
    const ptrdiff_t group = g ? index[0] : 0;
    const ptrdiff_t o = group * c->weights.dims[g] + index[g];
    const ptrdiff_t i = group * c->weights.dims[g + 1] + index[g + 1];
    ptrdiff_t number[3][MOST] = {{0}}, s[5] = {0}, l[5] = {0}, size[3] = {1, 1, 1};
    f64 acc = 0;
    for (int d = 0; d < c->spatial; d++) {
        size[d] = small->dims[2 + d];
        ck_assert(size[d] <= MOST);
        stretches(c, d, size[d], large->dims[2 + d], number[d]);
    }
    if (!size[0] || !size[1] || !size[2])
        return 0;
    const ptrdiff_t n0 = number[0][size[0] - 1] + 1, n1 = number[1][size[1] - 1] + 1,
                    n2 = number[2][size[2] - 1] + 1;
    for (ptrdiff_t class = 0; class < n0 * n1 * n2; class ++)
        for (s[0] = 0; s[0] < small->dims[0]; s[0]++)
            for (ptrdiff_t q = 0; q < size[0] * size[1] * size[2]; q++) {
                const ptrdiff_t x[3] = {q / size[2] / size[1], q / size[2] % size[1],
                                        q % size[2]};
                int inside = (number[0][x[0]] * n1 + number[1][x[1]]) * n2 +
                                 number[2][x[2]] ==
                             class;
                for (int d = 0; d < c->spatial; d++) {
                    s[2 + d] = x[d];
                    l[2 + d] = meets(c, d, x[d], index[2 + g + d]);
                    inside &= l[2 + d] >= 0 && l[2 + d] < large->dims[2 + d];
                }
                if (!inside)
                    continue;
                s[1] = c->deconv ? i : o;
                l[0] = s[0];
                l[1] = c->deconv ? o : i;
                acc = plain_fma(1, t, at(small, s), at(large, l), acc);
            }
    return (f32)acc;
}

f32 conv_reference(const conv_case *k, int t, int bias, size_t i)
{
    ptrdiff_t index[FZ_TENSOR_DIMS] = {0};
    const fz_tensor *out = conv_case_out((conv_case *)k, bias);
    index_of(out, i, index);
    if (bias)
        return reference_bias(k, t, index);
    return k->c.pass == FZ_CONV_BACKWARD_WEIGHTS ? reference_weight(k, t, index)
                                                 : reference_output(k, t, i, index);
}

f32 conv_narrowed(f32 x, enum fz_type type)
{
    if (type == FZ_F32 || isnan(x) || isinf(x) || x == 0)
        return x;
    const int bits = type == FZ_BF16 ? 8 : 11, least = type == FZ_BF16 ? -133 : -24;
    int e = ilogb((f64)x) - bits + 1;
    e = e < least ? least : e;
    const f64 y = ldexp(nearbyint(ldexp((f64)x, -e)), e);
    return fabs(y) >= (type == FZ_BF16 ? 0x1p128 : 0x1p16) ? (f32)copysign(INFINITY, y)
                                                           : (f32)y;
}
