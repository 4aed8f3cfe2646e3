/* A site by the definition: lane by lane, with prism's exact functions.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Called by the stub with all vector registers in the frame, from anywhere in the host's
 * code: nothing here may use more than SSE2, allocate, or call the host's libraries. The
 * host's exceptions are masked meanwhile, and its flags stay: prism computes with integers.
 */
#include "../../prism/wide.h"
#include "inst.h"

#include <immintrin.h>

fz_inst_law fz_inst_now = {PRISM_SR, 24, 53};
__thread fz_inst_tls fz_inst_self
    __attribute__((aligned(64), tls_model("initial-exec")));

/* emit.c says which bits a lane takes. */
static uint64_t word(const fz_inst_site *s, const uint64_t *q, int lane, bool f64_lane, int r)
{
    int half = s->legacy ? 2 : 4;
    if (r == 0)
        return 0;
    if (r == 1) {
        if (f64_lane)
            return q[lane] >> 63;
        return ~(q[lane / 2] >> (lane % 2 ? 63 : 31)) & 1;
    }
    if (f64_lane)
        return q[lane] >> (64 - r);
    if (s->op == FZ_INST_F32_BF16) /* the top of each dword */
        return (uint32_t)(q[lane / 2] >> (lane % 2 ? 32 : 0)) >> 16;
    if (lane < half)
        return q[lane] >> (64 - r);
    if (r <= 32)
        return q[lane - half] & ((UINT64_C(1) << r) - 1);
    /* Few bits are kept, many are drawn: the upper lanes take the next step's. */
    prism_strand next = {{q[0], q[1], s->legacy ? 0 : q[2], s->legacy ? 0 : q[3]}};
    prism_strand_step(&next);
    return next.q[lane - half] >> (64 - r);
}

/* Cestac's bit of a lane: towards minus infinity, or away from zero. */
static uint64_t cestac_bit(const fz_inst_site *s, const uint64_t *q, int lane, bool f64_lane)
{
    const int half = s->legacy ? 2 : 4;
    if (f64_lane)
        return q[lane] >> 63;
    if (!s->halves || s->op == FZ_INST_F32_BF16)
        return q[lane / 2] >> (lane % 2 ? 63 : 31) & 1;
    return lane < half ? q[lane] >> 63 : q[lane - half] >> 31 & 1;
}

static f32 round_f32(const fz_inst_site *s, f32 a, f32 b, f32 c, enum prism_mode mode,
                     uint64_t w)
{
    int t = fz_inst_now.t_f32;
    switch (s->op) {
    case FZ_INST_ADD: return prism_add_f32(a, b, mode, t, w);
    case FZ_INST_SUB: return prism_sub_f32(a, b, mode, t, w);
    case FZ_INST_MUL: return prism_mul_f32(a, b, mode, t, w);
    case FZ_INST_DIV: return prism_div_f32(a, b, mode, t, w);
    case FZ_INST_SQRT: return prism_sqrt_f32(a, mode, t, w);
    default:
        return prism_fma_f32(s->minus_product ? -a : a, b, s->minus_addend ? -c : c, mode,
                             t, w);
    }
}

static f64 round_f64(const fz_inst_site *s, f64 a, f64 b, f64 c, enum prism_mode mode,
                     uint64_t w)
{
    int t = fz_inst_now.t_f64;
    switch (s->op) {
    case FZ_INST_ADD: return prism_add_f64(a, b, mode, t, w);
    case FZ_INST_SUB: return prism_sub_f64(a, b, mode, t, w);
    case FZ_INST_MUL: return prism_mul_f64(a, b, mode, t, w);
    case FZ_INST_DIV: return prism_div_f64(a, b, mode, t, w);
    case FZ_INST_SQRT: return prism_sqrt_f64(a, mode, t, w);
    default:
        return prism_fma_f64(s->minus_product ? -a : a, b, s->minus_addend ? -c : c, mode,
                             t, w);
    }
}

/* To half precision: 11 bits of significand, exponents from -14, spacing 2^-24 at least. */
static uint16_t round_f16(f32 x, enum prism_mode mode, uint64_t w)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    uint32_t sign = u >> 31, m = u & 0x7fffff;
    int e = (int)(u >> 23 & 255) - 127, drop = 13;
    if (e == 128)
        return (uint16_t)(sign << 15 | 0x7c00 | (m ? 0x200 | m >> 13 : 0));
    if (e > 15)
        return (uint16_t)(sign << 15 | 0x7c00);
    if (e == -127)
        e = -126;
    else
        m |= 0x800000;
    if (e < -14) {
        drop += -14 - e;
        e = -14;
    }
    uint64_t low, kept;
    if (drop > 40) { /* below 2^-40 units */
        low = m != 0;
        kept = 0;
        drop = 40;
    } else {
        low = m & ((UINT64_C(1) << drop) - 1);
        kept = (uint64_t)m >> drop;
    }
    uint64_t up = 0, half = UINT64_C(1) << (drop - 1);
    if (mode == PRISM_NEAREST) {
        up = low > half || (low == half && kept & 1);
    } else if (mode == PRISM_CESTAC) {
        up = low && ((w & 1) ^ sign);
    } else if (drop <= 29) {
        up = (low << (29 - drop)) + w >= UINT64_C(1) << 29;
    } else {
        int cut = drop - 29;
        uint64_t f = low >> cut, rest = low & ((UINT64_C(1) << cut) - 1),
                 tie = UINT64_C(1) << (cut - 1);
        f += rest > tie || (rest == tie && f & 1);
        up = f + w >= UINT64_C(1) << 29;
    }
    return (uint16_t)(sign << 15 | (((uint32_t)(e + 14) << 10) + (uint32_t)(kept + up)));
}

/* What is added to x before its lower 16 bits are cut: a rounding to bf16. */
static uint32_t bf16_word(uint32_t x, enum prism_mode mode, uint64_t w)
{
    if (mode == PRISM_NEAREST)
        return 0x7fff + (x >> 16 & 1);
    if (mode == PRISM_CESTAC)
        return w & 1 ? 0xffff : 0;
    return (uint32_t)w;
}

static uint32_t round_bf16(const fz_inst_site *s, uint32_t from, enum prism_mode mode,
                           uint64_t w)
{
    uint32_t x = from - (s->biased ? 0x7fff : 0);
    return x + bf16_word(x, mode, w) - (s->later ? 0x7fff : 0);
}

union vector {
    f32 f[8];
    f64 d[4];
    uint16_t h[16];
    int32_t i[8];
    uint32_t u32[8];
    int64_t q[4];
    uint64_t u[4];
};

static enum prism_mode of_conversion(enum prism_mode mode)
{
    return mode == PRISM_UD ? PRISM_SR : mode;
}

static f32 u64_f32(uint64_t x, enum prism_mode mode, int t, uint64_t w)
{
    return prism_round_wide_f32((prism_wide){.m = x}, of_conversion(mode), t, w);
}

static f64 u64_f64(uint64_t x, enum prism_mode mode, int t, uint64_t w)
{
    return prism_round_wide_f64((prism_wide){.m = x}, of_conversion(mode), t, w);
}

static void round_lane(const fz_inst_site *s, union vector *out, const union vector *a,
                       const union vector *b, const union vector *c, int i,
                       enum prism_mode mode, uint64_t w)
{
    int t = s->f64 ? fz_inst_now.t_f64 : fz_inst_now.t_f32;
    switch (s->op) {
    case FZ_INST_F32_BF16: out->u32[i] = round_bf16(s, a->u32[i], mode, w); break;
    case FZ_INST_F32_F16: out->h[i] = round_f16(a->f[i], mode, w); break;
    case FZ_INST_F64_F32: out->f[i] = prism_f64_to_f32(a->d[i], mode, t, w); break;
    case FZ_INST_I32_F32:
        out->f[i] = s->from_unsigned ? prism_i64_to_f32(a->u32[i], mode, t, w)
                                     : prism_i32_to_f32(a->i[i], mode, t, w);
        break;
    case FZ_INST_INT_F32:
        out->f[i] = s->from_unsigned ? u64_f32(a->u[i], mode, t, w)
                                     : prism_i64_to_f32(a->q[i], mode, t, w);
        break;
    case FZ_INST_INT_F64:
        out->d[i] = s->from_unsigned ? u64_f64(a->u[i], mode, t, w)
                                     : prism_i64_to_f64(a->q[i], mode, t, w);
        break;
    default:
        if (s->f64)
            out->d[i] = round_f64(s, a->d[i], b->d[i], c->d[i], mode, w);
        else
            out->f[i] = round_f32(s, a->f[i], b->f[i], c->f[i], mode, w);
    }
}

/* prism's word says up or down: away from zero is told by the nearest result's sign. */
static uint64_t cestac_word(const fz_inst_site *s, const union vector *a,
                            const union vector *b, const union vector *c, const uint64_t *q,
                            int i)
{
    const uint64_t bit = cestac_bit(s, q, i, s->f64);
    if (s->op == FZ_INST_F32_BF16)
        return bit;
    if (!s->away)
        return !bit;
    union vector near = {.u = {0}};
    round_lane(s, &near, a, b, c, i, PRISM_NEAREST, 0);
    uint64_t sign = s->op == FZ_INST_F32_F16 ? near.h[i] >> 15
                    : s->f64                 ? near.u[i] >> 63 : near.u32[i] >> 31;
    return bit ^ sign;
}

static void round_lanes(const fz_inst_site *s, union vector *out, const union vector *a,
                        const union vector *b, const union vector *c, const uint64_t *q)
{
    bool conversion = s->op >= FZ_INST_F64_F32;
    enum prism_mode mode = fz_inst_now.mode;
    int t = s->f64 ? fz_inst_now.t_f64 : fz_inst_now.t_f32;
    /* Conversions under ud follow sr. */
    int r = prism_word_bits(conversion ? of_conversion(mode) : mode,
                            s->f64 ? sizeof(f64) : sizeof(f32), t);
    if (s->op == FZ_INST_F32_F16)
        r = mode == PRISM_NEAREST ? 0 : 29;
    if (s->op == FZ_INST_F32_BF16) {
        memcpy(out, a, 16); /* lanes that are not rounded */
        r = mode == PRISM_NEAREST ? 0 : 16;
    }
    for (int i = 0; i < s->lanes; i++) {
        uint64_t w = mode == PRISM_CESTAC ? cestac_word(s, a, b, c, q, i)
                                          : word(s, q, i, s->f64, r);
        round_lane(s, out, a, b, c, i, mode, w);
    }
}

void fz_inst_definition(const fz_inst_site *s)
{
    fz_inst_tls *self = &fz_inst_self;
    union vector a, b, c, out = {.u = {0}};
    uint64_t q[4];
    unsigned host = _mm_getcsr();
    _mm_setcsr((host & 0x8040) | 0x1f80);
    memcpy(&a, self->frame[s->a], sizeof a);
    memcpy(&b, self->frame[s->b], sizeof b);
    memcpy(&c, self->frame[s->c], sizeof c);
    memcpy(q, self->frame[s->state], sizeof q);
    round_lanes(s, &out, &a, &b, &c, q);
    memcpy(self->frame[s->result], &out, sizeof out);
    _mm_setcsr(host);
}
