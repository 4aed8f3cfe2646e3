/* Vectors and sums of two doubles for the math functions.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Equal bits on every ISA: where there is no fma, it is computed exactly (slowly), and nothing
 * else depends on the ISA. Constants are Taylor coefficients and tables from binary128.
 */
#ifndef FZ_MATH_VEC_H
#define FZ_MATH_VEC_H

#include "../prism/lanes.h"

#include "math.h"

#define TAB fz_math_constants
#define MAGIC 0x1.8p52                     /* x + MAGIC has round(x) in its low bits */

/* The wide value s + rho. rho == inf: s is the wide value itself, and certainly so; rho NaN:
 * not served here, take the scalar definition. */
typedef fz_sum dd;

FZ_INLINE vd v_fma(vd a, vd b, vd c)
{
#if FZ_HAVE_FMA
    return vd_fma(a, b, c);
#else
    return fz_fma_sum(a, b, c).s;
#endif
}

FZ_INLINE vd v_select(vi mask, vd a, vd b)
{
    return (vd)vi_select(mask, (vi)a, (vi)b);
}

FZ_INLINE vd v_abs(vd x)
{
    return (vd)((vi)x & vi_set(FZ_ABS));
}

FZ_INLINE vd v_min(vd a, vd b)
{
    return v_select((vi)(a < b), a, b);
}

/* |x| with the sign of s, added to x's own */
FZ_INLINE vd v_flip(vd x, vd s)
{
    return (vd)((vi)x ^ ((vi)s & vi_set(INT64_MIN)));
}

FZ_INLINE vd v_of_int(vi k)
{
    return (vd)(k + (vi)vd_set(MAGIC)) - vd_set(MAGIC);
}

/* 2^k, -1022 <= k <= 1023 */
FZ_INLINE vd v_pow2(vi k)
{
    return (vd)((k << 52) + (vi)vd_set(1));
}

FZ_INLINE vd v_gather(const f64 *table, vi i)
{
#if FZ_VBYTES == 64
    return _mm512_i64gather_pd((__m512i)i, table, 8);
#elif FZ_VBYTES == 32
    return _mm256_i64gather_pd(table, (__m256i)i, 8);
#else
    return (vd){table[i[0]], table[i[1]]};
#endif
}

/* table[i % 16] */
FZ_INLINE vd v_table16(const f64 table[16], vi i)
{
#if FZ_VBYTES == 64
    return _mm512_permutex2var_pd(vd_load(table), (__m512i)i, vd_load(table + 8));
#else
    return v_gather(table, i & 15);
#endif
}

/* c[first] + x*(c[first+1] + ... + x*c[last]) */
FZ_INLINE vd v_poly(vd x, const f64 *c, int first, int last)
{
    vd p = vd_set(c[last]);
    for (int i = last - 1; i >= first; i--)
        p = v_fma(p, x, vd_set(c[i]));
    return p;
}

/* the same in steps of 2 with alternating signs */
FZ_INLINE vd v_poly2(vd x2, const f64 *c, int first, int last)
{
    vd p = vd_set(c[last]);
    for (int i = last - 2; i >= first; i -= 2)
        p = v_fma(p, -x2, vd_set(c[i]));
    return p;
}

/* ---- sums of two doubles, |rho| <= ulp(s)/2 --------------------------------------------- */

FZ_INLINE dd dd_of(const f64 c[2])
{
    return (dd){vd_set(c[0]), vd_set(c[1])};
}

/* relative error below 2^-102 */
FZ_INLINE dd dd_mul(dd a, dd b)
{
    dd p = fz_two_prod(a.s, b.s);
    return fz_fast_two_sum(p.s, v_fma(a.s, b.rho, v_fma(a.rho, b.s, p.rho)));
}

FZ_INLINE dd dd_mul_v(dd a, vd b)
{
    dd p = fz_two_prod(a.s, b);
    return fz_fast_two_sum(p.s, v_fma(a.rho, b, p.rho));
}

/* |a| >= |b| */
FZ_INLINE dd dd_add_fast(dd a, dd b)
{
    dd s = fz_fast_two_sum(a.s, b.s);
    return fz_fast_two_sum(s.s, s.rho + (a.rho + b.rho));
}

FZ_INLINE dd dd_add(dd a, dd b)
{
    dd s = fz_two_sum(a.s, b.s), t = fz_two_sum(a.rho, b.rho);
    s = fz_fast_two_sum(s.s, s.rho + t.s);
    return fz_fast_two_sum(s.s, s.rho + t.rho);
}

FZ_INLINE dd dd_add_v(dd a, vd b)
{
    dd s = fz_two_sum(a.s, b);
    return fz_fast_two_sum(s.s, s.rho + a.rho);
}

FZ_INLINE dd dd_div(dd a, dd b)
{
    vd q = a.s / b.s;
    dd p = fz_two_prod(q, b.s);
    vd rest = (((a.s - p.s) - p.rho) + a.rho) - q * b.rho;
    return fz_fast_two_sum(q, rest / b.s);
}

FZ_INLINE dd dd_select(vi mask, dd a, dd b)
{
    return (dd){v_select(mask, a.s, b.s), v_select(mask, a.rho, b.rho)};
}

/* c[first] + r*(c[first+1] + ... + r*(c[last] + r*tail)), |c[i]| > |r*c[i+1]| */
FZ_INLINE dd dd_poly(dd r, const f64 c[2][32], int first, int last, vd tail, int alternate)
{
    const vd sign = vd_set(alternate ? -1 : 1);
    dd q = fz_fast_two_sum(vd_set(c[0][last]), sign * (r.s * tail));
    q.rho += vd_set(c[1][last]);
    dd s = {sign * r.s, sign * r.rho};
    for (int i = last - 1; i >= first; i--)
        q = dd_add_fast((dd){vd_set(c[0][i]), vd_set(c[1][i])}, dd_mul(s, q));
    return q;
}

/* ---- marks ------------------------------------------------------------------------------ */

FZ_INLINE dd sure(vi mask, vd s, dd x)
{
    return dd_select(mask, (dd){s, vd_set(__builtin_inf())}, x);
}

FZ_INLINE dd redo(vi mask, dd x)
{
    x.rho = v_select(mask, vd_set(__builtin_nan("")), x.rho);
    return x;
}

#endif
