/* The fast way of f32 functions with 24 bits, in every mode: loaded, evaluated, rounded and stored
 * in one pass, 16 elements a step.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The bits are those of the general way, and so is the evaluation: a unit of 16 elements, one of
 * which lies outside a function's core range or next to a float, is left to it. The host's MXCSR
 * must be at its default; where it has the inexact flag up, as a program's has after its first
 * operations, it is never written.
 */
#ifndef FZ_MATH_FAST_H
#define FZ_MATH_FAST_H

#include "math_f32.h"

#define UNIT 16
#define UNITV (UNIT / L)

/* A lane's truth, as compares give it. */
#if FZ_VBYTES == 64
typedef __mmask8 vm;
#define VM_DIFFER(a, b) _mm512_cmp_pd_mask(a, b, _CMP_NEQ_UQ)
#define VM_ANY(m) ((m) != 0)
#else
typedef vi vm;
#define VM_DIFFER(a, b) ((vi)((a) != (b)))
#define VM_ANY(m) (vi_signs(m) != 0)
#endif

/* Not in [lo, hi), both positive: so are negative numbers and NaN. */
FZ_INLINE vm fast_beyond(vd x, f64 lo, f64 hi)
{
#if FZ_VBYTES == 64
    const __m512i low = (__m512i)vd_set(lo);
    return _mm512_cmpge_epu64_mask(_mm512_sub_epi64((__m512i)x, low),
                                   _mm512_sub_epi64((__m512i)vd_set(hi), low));
#else
    return ~((vi)(x >= lo) & (vi)(x < hi));
#endif
}

/* Arguments for which the general way's wide value is not the core's, or the result is too
 * large or small to be rounded here (round.h). Zeros are sorted out by the caller. */
FZ_INLINE vm fast_outside(enum fz_fn fn, vd x, vd l)
{
    switch (fn) {
    case FZ_FN_POW: return fast_beyond(v_abs(l), 0, 86.5) | fast_beyond(x, 0x1p-149, 0x1p127);
    case FZ_FN_LOG1P:
        return fast_beyond(v_abs(x), 0x1p-124, 0x1p100) |
               fast_beyond(x + vd_set(1), 0x1p-10, 0x1p101);
    case FZ_FN_EXP: return fast_beyond(v_abs(x), 0, 86.5);
    case FZ_FN_LOG: return fast_beyond(x, 0x1p-149, 0x1p127);
    case FZ_FN_TANH: return fast_beyond(v_abs(x), 0x1p-124, 19);
    case FZ_FN_EXPM1: return fast_beyond(v_abs(x), 0x1p-124, 37);
    case FZ_FN_ERF: return fast_beyond(v_abs(x), 0x1p-124, 6);
    case FZ_FN_SIN: return fast_beyond(v_abs(x), 0x1p-124, 0x1p20);
    default: return fast_beyond(v_abs(x), 0, 0x1p20); /* cos */
    }
}

FZ_INLINE vd fast_core(enum fz_fn fn, vd x, vd y, vd *l)
{
    switch (fn) {
    case FZ_FN_POW: return pow_core(x, y, l);
    case FZ_FN_LOG1P: return log1p_core(x);
    case FZ_FN_EXP: return exp_core(x);
    case FZ_FN_LOG: return log_core(x);
    case FZ_FN_TANH: return tanh_core(x);
    case FZ_FN_EXPM1: return expm1_v(x);
    case FZ_FN_ERF: return erf_core(x);
    case FZ_FN_SIN: return sin_cos_core(x, 0);
    default: return sin_cos_core(x, 1);
    }
}

/* Next to a float: as round_wide() has it. */
FZ_INLINE vm fast_close(vd s)
{
    const vi near = (vi)s + 8, m = vi_set((INT64_C(1) << 29) - 16);
#if FZ_VBYTES == 64
    return _mm512_testn_epi64_mask((__m512i)near, (__m512i)m);
#else
    return (vi)((near & m) == 0);
#endif
}

/* Elements in the order of their words: with 8 lanes, 0-3, 8-11, 4-7, 12-15. */
FZ_INLINE void fast_load(vd x[UNITV], const f32 *p, int n)
{
#if FZ_VBYTES == 64
    const __m512 one = _mm512_set1_ps(1);
    __m512 v = n < UNIT ? _mm512_mask_loadu_ps(one, (__mmask16)((1u << n) - 1), p)
                        : _mm512_loadu_ps(p);
    v = _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(3, 1, 2, 0));
    x[0] = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    x[1] = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
#else
    f32 some[UNIT];
    if (n < UNIT) {
        for (int i = 0; i < UNIT; i++)
            some[i] = i < n ? p[i] : 1;
        p = some;
    }
    for (int v = 0; v < UNITV; v++)
        x[v] = vd_load_f32(p + v * L);
#endif
}

/* Toward zero: what lies below the float is dropped here. */
FZ_INLINE void fast_store(f32 *p, const vd r[UNITV], int n)
{
#if FZ_VBYTES == 64
    __m256 a = _mm512_cvt_roundpd_ps(r[0], _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    __m256 b = _mm512_cvt_roundpd_ps(r[1], _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    __m512 v = _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
    v = _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(3, 1, 2, 0));
    if (n < UNIT)
        _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
    else
        _mm512_storeu_ps(p, v);
#else
    f32 some[UNIT], *to = n < UNIT ? some : p;
    for (int v = 0; v < UNITV; v++)
        vd_store_f32(to + v * L, (vd)((vi)r[v] & ~vi_set((INT64_C(1) << 29) - 1)));
    if (n < UNIT)
        memcpy(p, some, (size_t)n * sizeof(f32));
#endif
}

typedef void slow_fn(enum fz_fn fn, fz_law l, const vi *st, int step, const vd x[UNITV],
                     const vd y[UNITV], vd r[UNITV]);

/* The float, or under sr what truncates to it. */
FZ_INLINE vd fast_round(vd s, fz_law l, vi w)
{
    if (l.mode == PRISM_SR)
        return (vd)((vi)s + w);
    return fz_round_f32((fz_sum){s, vd_set(0)}, l.mode, 24, w);
}

/* Results of arguments at which the function is exact: zeros keep their sign, and ud, which
 * moves what it is given, must not move these. */
FZ_INLINE vd fast_exact(enum fz_fn fn, fz_law l, vi here, vd x, vd r)
{
    const int one = fn == FZ_FN_EXP || fn == FZ_FN_COS;
    if (!one && fn != FZ_FN_LOG)
        return v_select(here, x, r);
    return l.mode == PRISM_UD ? v_select(here, vd_set(one), r) : r;
}

FZ_INLINE void fast_unit(enum fz_fn fn, fz_law l, const vi *st, int step, int n, const f32 *p,
                         const f32 *q, f32 *out, slow_fn *slow)
{
    const f64 at = fn == FZ_FN_LOG ? 1 : 0; /* where the result is exact, zero or one */
    vd x[UNITV], y[UNITV], r[UNITV];
    vm bad[UNITV], any = (vm){0};
    fast_load(x, p, n);
    if (fn == FZ_FN_POW)
        fast_load(y, q, n);
    for (int v = 0; v < UNITV; v++) {
        vd power = x[v];
        vd s = fast_core(fn, x[v], fn == FZ_FN_POW ? y[v] : x[v], &power);
        bad[v] = fast_close(s) | fast_outside(fn, x[v], power);
        any |= bad[v];
        r[v] = fast_round(s, l, fz_word(st, l, v, step));
    }
    if (__builtin_expect(VM_ANY(any), 0)) {
        any = (vm){0};
        for (int v = 0; v < UNITV; v++)
            any |= fn == FZ_FN_POW ? bad[v] : bad[v] & VM_DIFFER(x[v], vd_set(at));
        if (VM_ANY(any))
            slow(fn, l, st, step, x, fn == FZ_FN_POW ? y : x, r);
        else
            for (int v = 0; v < UNITV; v++)
                r[v] = fast_exact(fn, l, (vi)(x[v] == at), x[v], r[v]);
    }
    fast_store(out, r, n);
}

/* Strands of the unit that begins at lane 16 * i of 32: fz_strands_open() with what is known when
 * compiling in constants, since calls are short. */
FZ_INLINE void fast_open(vi st[FZ_STATES(UNIT, 0)], prism_key key, uint64_t chunk, int i)
{
#if FZ_VBYTES == 64
    const vi k = (vi)_mm512_broadcast_i32x4(_mm_set_epi64x((int64_t)key.hi, (int64_t)key.lo));
    const vi head = (vi)_mm512_broadcast_i32x4(_mm_set_epi64x(0, (int64_t)chunk));
    const vi place = {0, 2 * i, 0, 2 * i | INT64_MIN, 0, 2 * i + 1, 0, (2 * i + 1) | INT64_MIN};
    vi x = fz_aesenc(k ^ head ^ place, k);
    x = fz_aesenc(x, fz_dup128(FZ_PI2, FZ_PI3));
    x = fz_aesenc(x, k);
    x = fz_aesenc(x, fz_dup128(FZ_PI4, FZ_PI5));
    st[0] = fz_aesenc(x, k);
#else
    for (int s = 0; s < 2; s++)
        fz_strands_open(st + s * NV, key, (uint32_t)chunk, (uint32_t)(chunk >> 32),
                        (uint32_t)(2 * i + s));
#endif
}

/* Strands of elements 0-15 of a chunk, or of all 32 a step. */
FZ_INLINE void fast_map(enum fz_fn fn, fz_law l, size_t n, const f32 *x, const f32 *y,
                        f32 *out, prism_key key, slow_fn *slow)
{
    vi st[2 * FZ_STATES(UNIT, 0)] = {0};
    if (n <= UNIT) {
        if (l.r)
            fast_open(st, key, 0, 0);
        fast_unit(fn, l, st, 0, (int)n, x, y, out, slow);
        return;
    }
    for (size_t i = 0; i < n; i += 2 * UNIT) {
        const uint64_t chunk = i / CHUNK;
        const int step = (int)(i % CHUNK) / (2 * UNIT);
        const size_t left = n - i;
        if (l.r && !step) {
            fast_open(st, key, chunk, 0);
            fast_open(st + FZ_STATES(UNIT, 0), key, chunk, 1);
        } else if (l.r && step % fz_law_every(l) == 0) {
            fz_lanes_step(st, l, 2 * UNIT);
        }
        fast_unit(fn, l, st, step, left < UNIT ? (int)left : UNIT, x + i, y + i, out + i, slow);
        if (left > UNIT)
            fast_unit(fn, l, st + FZ_STATES(UNIT, 0), step,
                      left < 2 * UNIT ? (int)left - UNIT : UNIT, x + i + UNIT,
                      y + i + UNIT, out + i + UNIT, slow);
    }
}

#endif
