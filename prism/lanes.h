/* Lanes and their words: how a vector width maps to strands, and single lanes by
 * definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef PRISM_LANES_H
#define PRISM_LANES_H

#include "round.h"

/* How to round: mode, precision, bits of a word, and whether a strand serves 4 lanes
 * (wide) or 8. is_f32: the type of operands and results. */
typedef struct fz_law {
    enum prism_mode mode;
    int t, r, wide, is_f32;
} fz_law;

FZ_INLINE fz_law fz_law_of(enum prism_mode mode, int is_f32, int t)
{
    const int r = mode == PRISM_SR        ? (is_f32 ? 53 - t : 52)
                  : mode == PRISM_NEAREST ? 0
                                          : 1;
    return (fz_law){mode, t, r, !is_f32 || r > 32, is_f32};
}

/* Steps that one state of a strand serves. */
FZ_INLINE int fz_law_every(fz_law l)
{
    return l.r > 1 ? 1 : l.wide ? 64 : 32;
}

/* Vectors of state for `lanes` lanes. */
#define FZ_STATES(lanes, wide) ((lanes) / ((wide) ? 4 : 8) * NV / SPV)

/* Strands of lanes 0 .. lanes-1 of (key, a, b); the first strand serves lane `first` of
 * the row that they belong to. */
FZ_INLINE void fz_lanes_open(vi *st, fz_law l, int lanes, prism_key key, uint32_t a,
                             uint32_t b, uint32_t first)
{
    const int per = l.wide ? 4 : 8;
    if (!l.r) {
        for (int i = 0; i < FZ_STATES(lanes, l.wide); i++)
            st[i] = vi_set(0);
        return;
    }
    for (int i = 0; i < lanes / per; i += SPV)
        fz_strands_open(st + i * NV / SPV, key, a, b,
                        (first / (uint32_t)per + (uint32_t)i) |
                            (l.wide ? FZ_STRAND_WIDE : 0));
}

FZ_INLINE void fz_lanes_step(vi *st, fz_law l, int lanes)
{
    for (int i = 0; i < FZ_STATES(lanes, l.wide); i++)
        st[i] = fz_strand_step(st[i]);
}

/* First element of vector v. Narrow strands hand their top halves to lanes 0-3 and their
 * bottom halves to lanes 4-7, so with 8 lanes a vector spans two strands and two runs of
 * four elements: lane i of it is element fz_at(v) + i + (i >= 4 ? gap : 0). */
FZ_INLINE int fz_at(fz_law l, int v)
{
    if (l.wide || L <= 4)
        return v * L;
    return v / 2 * 16 + v % 2 * 4;
}

FZ_INLINE int fz_gap(fz_law l)
{
    return !l.wide && L == 8 ? 4 : 0;
}

/* Words of vector v at step `step`. */
FZ_INLINE vi fz_word(const vi *st_, fz_law l, int v, int step)
{
    if (l.r == 0)
        return (vi){};
    if (l.wide) {
        vi st = st_[v];
        return l.r > 1 ? (vi)((vu)st >> (64 - l.r))
                       : (vi)((vu)st >> (63 - step % 64)) & 1;
    }
    if (l.r > 1) {
        int per = NV; /* vectors a half strand */
        vi st = st_[v / (2 * per) * per + v % per];
        return v / per % 2 ? fz_word_lo(st, l.r) : fz_word_hi(st, l.r);
    }
    /* one bit a lane, dword i of the strand to lane i */
    typedef uint32_t vwh __attribute__((vector_size(FZ_VBYTES / 2)));
    const char *q = (const char *)st_ + 4 * fz_at(l, v);
    vwh h;
    if (L == 8) {
        memcpy(&h, q, 16);
        memcpy((char *)&h + 16, q + 16 + 4 * fz_gap(l), 16);
    } else {
        memcpy(&h, q, sizeof h);
    }
    return __builtin_convertvector(h >> (31 - step % 32) & 1, vi);
}

FZ_INLINE vd fz_load(const void *p, int is_f32, int e, int skip)
{
    if (!is_f32)
        return vd_load((const f64 *)p + e);
    const f32 *f = (const f32 *)p + e;
#if FZ_VBYTES == 64
    if (skip) {
        __m256 h = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(f)),
                                        _mm_loadu_ps(f + 4 + skip), 1);
        return _mm512_cvtps_pd(h);
    }
#endif
    (void)skip;
    return vd_load_f32(f);
}

FZ_INLINE void fz_store(void *p, int is_f32, int e, int skip, vd x)
{
    if (!is_f32) {
        vd_store((f64 *)p + e, x);
        return;
    }
    f32 *f = (f32 *)p + e;
#if FZ_VBYTES == 64
    if (skip) {
        __m256 h = _mm512_cvtpd_ps(x);
        _mm_storeu_ps(f, _mm256_castps256_ps128(h));
        _mm_storeu_ps(f + 4 + skip, _mm256_extractf128_ps(h, 1));
        return;
    }
#endif
    (void)skip;
    vd_store_f32(f, x);
}

static inline f32 fz_scalar_f32(enum prism_op op, f32 a, f32 b, f32 c, fz_law l,
                                uint64_t w)
{
    switch (op) {
    case PRISM_ADD: return prism_add_f32(a, b, l.mode, l.t, w);
    case PRISM_SUB: return prism_sub_f32(a, b, l.mode, l.t, w);
    case PRISM_MUL: return prism_mul_f32(a, b, l.mode, l.t, w);
    case PRISM_DIV: return prism_div_f32(a, b, l.mode, l.t, w);
    case PRISM_SQRT: return prism_sqrt_f32(a, l.mode, l.t, w);
    default: return prism_fma_f32(a, b, c, l.mode, l.t, w);
    }
}

static inline f64 fz_scalar_f64(enum prism_op op, f64 a, f64 b, f64 c, fz_law l,
                                uint64_t w)
{
    switch (op) {
    case PRISM_ADD: return prism_add_f64(a, b, l.mode, l.t, w);
    case PRISM_SUB: return prism_sub_f64(a, b, l.mode, l.t, w);
    case PRISM_MUL: return prism_mul_f64(a, b, l.mode, l.t, w);
    case PRISM_DIV: return prism_div_f64(a, b, l.mode, l.t, w);
    case PRISM_SQRT: return prism_sqrt_f64(a, l.mode, l.t, w);
    default: return prism_fma_f64(a, b, c, l.mode, l.t, w);
    }
}

/* Lanes of x that left the safe range, once more by the definition. Conversions between
 * the types are exact here, and must stay so where the host flushes subnormals. */
static __attribute__((noinline, cold, unused)) vd fz_redo(enum prism_op op, unsigned bad,
                                                          vd a, vd b, vd c, vd x,
                                                          fz_law l, vi w)
{
    const unsigned host = _mm_getcsr(), exact = host & ~(FZ_CSR_FTZ | FZ_CSR_DAZ);
    for (int i = 0; i < L; i++) {
        if (!(bad >> i & 1))
            continue;
        if (!l.is_f32) {
            x[i] = fz_scalar_f64(op, a[i], b[i], c[i], l, (uint64_t)w[i]);
            continue;
        }
        _mm_setcsr(exact);
        volatile f32 fa = (f32)a[i], fb = (f32)b[i], fc = (f32)c[i];
        _mm_setcsr(host);
        volatile f32 r = fz_scalar_f32(op, fa, fb, fc, l, (uint64_t)w[i]);
        _mm_setcsr(exact);
        x[i] = r;
        _mm_setcsr(host);
    }
    return x;
}

/* One operation on L lanes: rounded, lanes outside the safe range by the definition. */
FZ_INLINE vd fz_op(enum prism_op op, fz_law l, vd a, vd b, vd c, vi w)
{
    fz_sum x = fz_exact(op, l.is_f32, a, b, c);
    vd r = l.is_f32 ? fz_round_f32(x, l.mode, l.t, w) : fz_round_f64(x, l.mode, l.t, w);
    unsigned bad = fz_unsafe(op, l.is_f32, a, b, c, x.s);
    if (__builtin_expect(bad != 0, 0))
        r = fz_redo(op, bad, a, b, c, r, l, w);
    return r;
}

#endif
