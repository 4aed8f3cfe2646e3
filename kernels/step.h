/* One rounded multiply-add, the quick way, and when that way is the law's.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * f32: stochastic rounding carries the float sums in f64, scaled by 2^-896. The scale
 * puts the float's subnormal range onto the f64's: 2^-126 becomes 2^-1022, and the
 * spacing 2^-149 becomes 29 bits above the f64's own, as it is for normal numbers. So one
 * fma, one integer addition of 29 random bits and one mask are the law, subnormals
 * included: the f64 rounding of the fma is F's rounding to r bits. Only overflow has to
 * be ruled out beforehand.
 *
 * nearest and ud need the nearest float only, which the f32 fma gives; cestac the two
 * directed ones, which it gives with rounding upward as fma(a,b,c) and -(-(ab)-c).
 *
 * f64: stochastic rounding of x = a*b + c with rounding toward zero throughout: TwoProd
 * and TwoSum give x = s + rho, where TwoSum's rest is faithful, not exact, under directed
 * rounding (Boldo, Graillat and Muller 2017), which moves F by less than one unit of
 * 2^-52 and leaves exact results exact. RZ(s + rho) is a, the neighbour nearer zero; its
 * exponent gives the spacing, also at powers of two; and RZ(a + ((x - a) + u*spacing))
 * with u uniform in [0, 1) is b with probability (x - a)/(b - a).
 */
#ifndef FZ_STEP_H
#define FZ_STEP_H

#include "gemm.h"

#define FZ_SCALE 0x1p-896
#define FZ_UNSCALE 0x1p896

/* ---- f32 --------------------------------------------------------------------------- */

/* a*b + c, b and c scaled by FZ_SCALE; w of r bits. */
FZ_INLINE vd fz_sr_f32(vd a, vd b, vd c, vi w, int r)
{
#if FZ_HAVE_FMA
    vd x = vd_fma(a, b, c);
#else
    vd x = a * b + c; /* the product is exact: fz_fast_f32 */
#endif
    return (vd)(((vi)x + w) & ~vi_set((INT64_C(1) << r) - 1));
}

#if FZ_HAVE_FMA
/* r = round(a*b + c); st holds the words in the lanes' sign bits. */
FZ_INLINE vf fz_native_f32(enum prism_mode mode, vf a, vf b, vf c, vw st)
{
    vf r = vf_fma(a, b, c);
    if (mode == PRISM_NEAREST)
        return r;
    if (mode == PRISM_UD) {
#if FZ_VBYTES == 64
        __mmask16 moves = _mm512_test_epi32_mask((__m512i)r,
                                                 _mm512_set1_epi32(0x7fffffff));
        __m512i by = _mm512_or_si512(_mm512_srai_epi32((__m512i)st, 31),
                                     _mm512_set1_epi32(1));
        return (vf)_mm512_mask_sub_epi32((__m512i)r, moves, (__m512i)r, by);
#else
        vw by = (st >> 31) | 1; /* -1 where the bit is 1: up */
        return (vf)((vw)r - (by & ~(vw)(r == 0)));
#endif
    }
#if FZ_VBYTES == 64
    __m512 minus = _mm512_fnmsub_ps(a, b, c);
    __m512 down = (__m512)((vw)minus ^ vw_set(INT32_MIN));
    __mmask16 up = _mm512_movepi32_mask((__m512i)st) |
                   _mm512_cmp_ps_mask(r, down, _CMP_EQ_OQ);
    return _mm512_mask_blend_ps(up, down, r);
#else
    vf minus = _mm256_fnmsub_ps(a, b, c);
    vf down = (vf)((vw)minus ^ vw_set(INT32_MIN));
    return _mm256_blendv_ps(down, r, (__m256)(st | (vw)(r == down)));
#endif
}
#endif

#if FZ_VBYTES == 64
/* fz_native_f32 with the word in the bit of st that `pick` names, so that nothing is
 * shifted. With `on_grid` (fz_on_grid_f32) cestac is the two directed results themselves:
 * an exact 0 may come out as -0, which no later sum can tell from +0 unless it is zero
 * as well, and fz_unsigned_zero_f32() puts right. */
FZ_INLINE vf fz_picked_f32(enum prism_mode mode, int on_grid, vf a, vf b, vf c, vw st,
                           vw pick)
{
    const __mmask16 up = _mm512_test_epi32_mask((__m512i)st, (__m512i)pick);
    if (mode == PRISM_CESTAC && on_grid) {
        enum { UP = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC,
               DOWN = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC };
        return _mm512_mask_blend_ps(up, _mm512_fmadd_round_ps(a, b, c, DOWN),
                                    _mm512_fmadd_round_ps(a, b, c, UP));
    }
    if (mode == PRISM_UD) {
        const __m512i r = (__m512i)vf_fma(a, b, c);
        const __m512i by = _mm512_mask_blend_epi32(up, _mm512_set1_epi32(-1),
                                                   _mm512_set1_epi32(1));
        const __mmask16 moves = _mm512_test_epi32_mask(r, _mm512_set1_epi32(0x7fffffff));
        return (vf)_mm512_mask_add_epi32(r, moves, r, by);
    }
    return fz_native_f32(mode, a, b, c, (vw)_mm512_movm_epi32(up));
}
#endif

/* Every exact sum of products of numbers in these ranges is a multiple of this. */
FZ_INLINE f64 fz_grid_f32(fz_range a, fz_range b)
{
    return a.min * b.min * 0x1p-46;
}

/* No sum on the grid is rounded because it is subnormal. A result of ud, which moves exact
 * ones too, leaves the grid; those of the other modes are on it. */
FZ_INLINE int fz_on_grid_f32(f64 grid)
{
    return FZ_VBYTES == 64 && grid >= 0x1p-149;
}

/* Whether the answers of fz_fast_f32 and fz_on_grid_f32 depend on the minima of the ranges.
 */
FZ_INLINE int fz_wants_min_f32(enum prism_mode mode, int t, unsigned ftz)
{
    return ftz || (mode == PRISM_SR && (t < 24 || !FZ_HAVE_FMA)) ||
           (mode == PRISM_CESTAC && FZ_VBYTES == 64);
}

/* Whether partial sums bounded by `bound` and multiples of `grid`, of products of numbers in
 * these ranges, may be computed by the steps above, which then give what scalar.c gives. */
FZ_INLINE int fz_fast_f32(enum prism_mode mode, int t, fz_range a, fz_range b, f64 bound,
                          f64 grid, unsigned ftz)
{
    /* No partial sum reaches 2^127, whatever the roundings do: (1 + 2^-23)^k < 2. NaN and
     * inf fail here as well. */
    if (!(bound < 0x1p126))
        return 0;
    /* No subnormals: FTZ and DAZ cannot matter. */
    const int normal = grid >= 0x1p-126 && a.min >= 0x1p-126 && b.min >= 0x1p-126;
    /* Below t = 24 the spacing of subnormals is not what the scale makes of it. */
    if (!normal && (ftz || (mode == PRISM_SR && t < 24)))
        return 0;
    /* Without fma the scaled product itself must be exact. */
    return mode != PRISM_SR || FZ_HAVE_FMA || grid * FZ_SCALE >= 0x1p-1074;
}

/* ---- f64 --------------------------------------------------------------------------- */

/* a*b + c rounded to one of its neighbours; rounding direction toward zero, FTZ and DAZ
 * set, so that a zero's spacing, which is subnormal, costs nothing. The noise goes to
 * what is left above near, not to rho: after a cancellation rho is as large as s, and its
 * own spacing too coarse. 19 operations a vector with the AES round, in a chain of 46
 * cycles from c to the result: hence many sums side by side. */
FZ_INLINE vd fz_sr_f64(vd a, vd b, vd c, vi st)
{
    const vd unit = vd_set(0x1p-52);
    const vd u = (vd)((vi)((vu)st >> 12) | (vi)unit) - unit; /* [0, 1) * 2^-52 */
    fz_sum p = fz_two_prod(a, b);
    vd s = c + p.s, t = s - c;
    vd rho = (c - (s - t)) + ((p.s - t) + p.rho);
    vd near = s + rho, rest = (s - near) + rho;
    vd e = (vd)((vi)near & vi_set(~FZ_MANT)); /* sign and spacing * 2^52 */
#if FZ_HAVE_FMA
    return near + vd_fma(e, u, rest);
#else
    return near + (e * u + rest);
#endif
}

#if FZ_HAVE_FMA
/* nearest, ud, cestac; st holds the words in the lanes' sign bits. */
FZ_INLINE vd fz_native_f64(enum prism_mode mode, vd a, vd b, vd c, vi st)
{
    vd r = vd_fma(a, b, c);
    if (mode == PRISM_NEAREST)
        return r;
    if (mode == PRISM_UD) {
        vi by = (vi)(st >= 0) | 1; /* -1 where the bit is 0 */
        return (vd)((vi)r + (by & ~(vi)(r == 0)));
    }
#if FZ_VBYTES == 64
    __m512d down = (__m512d)((vi)_mm512_fnmsub_pd(a, b, c) ^ vi_set(INT64_MIN));
    __mmask8 up = _mm512_movepi64_mask((__m512i)st) |
                  _mm512_cmp_pd_mask(r, down, _CMP_EQ_OQ);
    return _mm512_mask_blend_pd(up, down, r);
#else
    vd down = (vd)((vi)_mm256_fnmsub_pd(a, b, c) ^ vi_set(INT64_MIN));
    return _mm256_blendv_pd(down, r, (__m256d)(st | (vi)(r == down)));
#endif
}
#endif

#if FZ_VBYTES == 64
FZ_INLINE vd fz_picked_f64(enum prism_mode mode, int on_grid, vd a, vd b, vd c, vi st,
                           vi pick)
{
    const __mmask8 up = _mm512_test_epi64_mask((__m512i)st, (__m512i)pick);
    if (mode == PRISM_CESTAC && on_grid) {
        enum { UP = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC,
               DOWN = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC };
        return _mm512_mask_blend_pd(up, _mm512_fmadd_round_pd(a, b, c, DOWN),
                                    _mm512_fmadd_round_pd(a, b, c, UP));
    }
    if (mode == PRISM_UD) {
        const __m512i r = (__m512i)vd_fma(a, b, c);
        const __m512i by = _mm512_mask_blend_epi64(up, _mm512_set1_epi64(-1),
                                                   _mm512_set1_epi64(1));
        const __mmask8 moves = _mm512_test_epi64_mask(r, _mm512_set1_epi64(FZ_ABS));
        return (vd)_mm512_mask_add_epi64(r, moves, r, by);
    }
    return fz_native_f64(mode, a, b, c, (vi)_mm512_movm_epi64(up));
}
#endif

/* Every exact sum is a multiple of a.min * b.min * 2^-104: transforms are exact, noise
 * and results are normal numbers. */
FZ_INLINE int fz_deep_f64(fz_range a, fz_range b)
{
    return a.min >= 0x1p-900 && b.min >= 0x1p-900 && a.min * b.min >= 0x1p-780;
}

FZ_INLINE int fz_wants_min_f64(enum prism_mode mode, int t, unsigned ftz)
{
    (void)t;
    return ftz || mode == PRISM_SR || (mode == PRISM_CESTAC && FZ_VBYTES == 64);
}

/* As fz_fast_f32. SR needs `deep`; the others only where the host flushes. */
FZ_INLINE int fz_fast_f64(enum prism_mode mode, fz_range a, fz_range b, f64 bound,
                          int deep, unsigned ftz)
{
    if (!(bound < 0x1p1000 && a.max < 0x1p900 && b.max < 0x1p900))
        return 0;
    return deep || (mode != PRISM_SR && !ftz);
}

/* MXCSR for the steps of a mode. */
FZ_INLINE unsigned fz_fast_csr(enum prism_mode mode, int is_f32)
{
    if (mode == PRISM_CESTAC)
        return FZ_CSR_MASKS | FZ_CSR_RU;
    if (mode == PRISM_SR && !is_f32)
        return FZ_CSR_MASKS | FZ_CSR_RZ | FZ_CSR_FTZ | FZ_CSR_DAZ;
    return FZ_CSR_MASKS | FZ_CSR_RN;
}

#endif
