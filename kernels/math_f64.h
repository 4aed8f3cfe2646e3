/* f64 functions as sums of two doubles.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Relative errors are bounded in near_f64(), which is also the distance to a 53-bit number
 * within which a result is computed once more by the definition. So are results below
 * 2^-890, whose rho may be short of bits.
 */
#ifndef FZ_MATH_F64_H
#define FZ_MATH_F64_H

#include "math_vec.h"

/* |x| < 745 = (64 k + j) ln2/64 + r, |r| < 0.0055, or as given by n */
FZ_INLINE dd reduce_exp_dd(dd x, vd nf)
{
    /* ln2/64 to 33 bits, and the rest: nf times the first part is exact */
    const vd l1 = vd_set(0x1.62e42fefp-7);
    const f64 rest[2] = {0x1.473de6af278edp-40, -0x1.9ff0342542fc3p-96};
    dd p = fz_two_prod(nf, vd_set(rest[0]));
    dd r = fz_two_sum(x.s - nf * l1, -p.s);
    return fz_fast_two_sum(r.s, r.rho + ((x.rho - p.rho) - nf * vd_set(rest[1])));
}

FZ_INLINE vd steps_exp(vd x, vi *n)
{
    vd nf = x * vd_set(0x1.71547652b82fep6) + vd_set(MAGIC);
    *n = (vi)nf - (vi)vd_set(MAGIC);
    return nf - vd_set(MAGIC);
}

/* expm1(r), |r| < 0.0055: rest r^11/11! < 2^-107, relative to 1; the terms in one double,
 * r^4/4! and on, are off by 2^-86 */
FZ_INLINE dd expm1_short(dd r)
{
    vd tail = v_poly(r.s, TAB.fact[0], 4, 10);
    return dd_mul(r, dd_poly(r, TAB.fact, 1, 3, tail, 0));
}

/* expm1(r), |r| < 2^-6: rest r^14/14! < 2^-114, relative to r */
FZ_INLINE dd expm1_long(dd r)
{
    vd tail = v_poly(r.s, TAB.fact[0], 8, 13);
    return dd_mul(r, dd_poly(r, TAB.fact, 1, 7, tail, 0));
}

FZ_INLINE dd table_exp2(vi n)
{
    vi j = n & 63;
    return (dd){v_gather(TAB.exp2[0], j), v_gather(TAB.exp2[1], j)};
}

FZ_INLINE dd scale_dd(dd x, vi k)
{
    vd two = v_pow2(k);
    return (dd){x.s * two, x.rho * two};
}

FZ_INLINE dd exp_steps(dd r, vi n)
{
    dd t = table_exp2(n);
    return scale_dd(dd_add_fast(t, dd_mul(t, expm1_short(r))), n >> 6);
}

FZ_INLINE dd exp_dd(dd x)
{
    vi n;
    vd nf = steps_exp(x.s, &n);
    return exp_steps(reduce_exp_dd(x, nf), n);
}

FZ_INLINE dd exp_f64(vd x, vd y)
{
    (void)y;
    dd e = redo(~((vi)(x < 700) & (vi)(x > -620)), exp_dd((dd){x, vd_set(0)}));
    e = sure((vi)(x > 710), vd_set(__builtin_inf()), e);
    e = sure((vi)(x < -11500), vd_set(0), e);
    return sure((vi)(x == 0) | (vi)(x != x), x + vd_set(1), e);
}

FZ_INLINE dd exp2_f64(vd x, vd y)
{
    (void)y;
    vd nf = x * vd_set(64) + vd_set(MAGIC);
    vi n = (vi)nf - (vi)vd_set(MAGIC);
    vd d = x - (nf - vd_set(MAGIC)) * vd_set(0x1p-6);
    dd e = exp_steps(dd_mul_v(dd_of(TAB.ln2), d), n);
    vi in = (vi)(x < 1000) & (vi)(x > -890);
    e = redo(~in, e);
    e = sure((vi)(x > 1025), vd_set(__builtin_inf()), e);
    e = sure((vi)(x < -16500), vd_set(0), e);
    e = sure((vi)(x != x), x, e);
    return sure(in & (vi)(d == 0) & (vi)((n & 63) == 0), e.s, e);
}

/* |x| < 700 */
FZ_INLINE dd expm1_dd(vd x)
{
    vi n;
    vd nf = steps_exp(x, &n);
    vi small = (vi)(v_abs(x) < 0x1p-6);
    nf = v_select(small, vd_set(0), nf);
    n &= ~small;
    dd e = expm1_long(reduce_exp_dd((dd){x, vd_set(0)}, nf));
    dd t = scale_dd(table_exp2(n), n >> 6);
    dd sum = dd_add(dd_add_v(t, vd_set(-1)), dd_mul(t, e));
    return dd_select(small, e, sum);
}

FZ_INLINE dd expm1_f64(vd x, vd y)
{
    (void)y;
    dd e = redo(~(vi)(v_abs(x) < 700), expm1_dd(x));
    e = sure((vi)(x > 710), vd_set(__builtin_inf()), e);
    e = sure((vi)(x < -75), vd_set(-1), e);
    return sure((vi)(x == 0) | (vi)(x != x), x, e);
}

FZ_INLINE dd flip_dd(dd r, vd x)
{
    return (dd){v_flip(r.s, x), v_flip(r.rho, x)};
}

FZ_INLINE dd tanh_f64(vd x, vd y)
{
    (void)y;
    vd a = v_abs(x);
    dd e = expm1_dd(v_min(a + a, vd_set(100)));
    dd r = flip_dd(dd_div(e, dd_add_v(e, vd_set(2))), x);
    r = sure((vi)(a > 37.5), v_flip(vd_set(1), x), r);
    return sure((vi)(x == 0) | (vi)(x != x), x, r);
}

FZ_INLINE dd sinh_f64(vd x, vd y)
{
    (void)y;
    vd a = v_abs(x);
    const vd half = v_flip(vd_set(0.5), x);
    dd e = expm1_dd(v_min(a, vd_set(699)));
    dd r = dd_add(e, dd_div(e, dd_add_v(e, vd_set(1))));
    r = redo(~(vi)(a < 699), (dd){r.s * half, r.rho * half});
    r = sure((vi)(a > 712), v_flip(vd_set(__builtin_inf()), x), r);
    return sure((vi)(x == 0) | (vi)(x != x), x, r);
}

FZ_INLINE dd cosh_f64(vd x, vd y)
{
    (void)y;
    vd a = v_abs(x);
    const vd half = vd_set(0.5);
    dd e = exp_dd((dd){v_min(a, vd_set(699)), vd_set(0)});
    dd r = dd_add(e, dd_div((dd){vd_set(1), vd_set(0)}, e));
    r = redo(~(vi)(a < 699), (dd){r.s * half, r.rho * half});
    r = sure((vi)(a > 712), vd_set(__builtin_inf()), r);
    return sure((vi)(x == 0) | (vi)(x != x), x + vd_set(1), r);
}

/* ---- logarithms ------------------------------------------------------------------------- */

/* log1p(r), |r| < 2^-7: rest r^15/15 < 2^-106 relative to r; the terms in one double, r^5/6
 * and on, are off by 2^-90 */
FZ_INLINE dd log1p_short(dd r)
{
    vd tail = vd_set(TAB.recip[0][15]);
    for (int i = 14; i >= 6; i--)
        tail = v_fma(-tail, r.s, vd_set(TAB.recip[0][i]));
    return dd_mul(r, dd_poly(r, TAB.recip, 1, 5, tail, 1));
}

/* log(u), u.s normal and positive: u = 2^k m, m c = 1 + r, where c and k*ln2's first product
 * are exact */
FZ_INLINE dd log_dd(dd u, vi *k_out, vd *m_out)
{
    vi d = (vi)u.s - vi_set(FZ_LOG_OFF);
    vi k = d >> 52, j = (vi)((vu)d >> 45) & 127;
    vd m = (vd)((vi)u.s - (k << 52)), lo = u.rho * v_pow2(-k);
    vd c = v_gather(TAB.inverse, j);
    dd p = fz_two_prod(m, c);
    dd r = fz_two_sum(p.s - vd_set(1), p.rho);
    dd r2 = fz_two_sum(r.s, lo * c);
    r = fz_fast_two_sum(r2.s, r2.rho + r.rho);
    dd a = dd_mul_v(dd_of(TAB.ln2), v_of_int(k));
    a = dd_add_fast(a, (dd){v_gather(TAB.logc[0], j), v_gather(TAB.logc[1], j)});
    *k_out = k;
    *m_out = m;
    return dd_add_fast(a, log1p_short(r));
}

FZ_INLINE dd log_edges_f64(vd x, vd pole, dd r)
{
    const vd inf = vd_set(__builtin_inf());
    r = sure((vi)(x == inf) | (vi)(x != x), x, r);
    r = sure((vi)(x == pole), -inf, r);
    return sure((vi)(x < pole), vd_set(__builtin_nan("")), r);
}

FZ_INLINE dd log_f64(vd x, vd y)
{
    (void)y;
    vi k;
    vd m;
    dd r = redo((vi)(x < 0x1p-1000), log_dd((dd){x, vd_set(0)}, &k, &m));
    r = sure((vi)(x == 1), vd_set(0), r);
    return log_edges_f64(x, vd_set(0), r);
}

FZ_INLINE dd log2_f64(vd x, vd y)
{
    (void)y;
    vi k;
    vd m;
    dd r = dd_mul(log_dd((dd){x, vd_set(0)}, &k, &m), dd_of(TAB.log2e));
    r = redo((vi)(x < 0x1p-1000), sure((vi)(m == 1), v_of_int(k), r));
    return log_edges_f64(x, vd_set(0), r);
}

FZ_INLINE dd log10_f64(vd x, vd y)
{
    (void)y;
    vi k;
    vd m;
    dd r = dd_mul(log_dd((dd){x, vd_set(0)}, &k, &m), dd_of(TAB.log10e));
    r = redo((vi)(x < 0x1p-1000), r);
    r = sure((vi)(x == 1), vd_set(0), r);
    return log_edges_f64(x, vd_set(0), r);
}

FZ_INLINE dd log1p_f64(vd x, vd y)
{
    (void)y;
    vi k;
    vd m;
    dd r = log_dd(fz_two_sum(vd_set(1), x), &k, &m);
    r = redo((vi)(x > 0x1p900), r);
    r = log_edges_f64(x, vd_set(-1), r);
    return sure((vi)(x == 0), x, r);
}

FZ_INLINE dd pow_f64(vd x, vd y)
{
    const vd one = vd_set(1), inf = vd_set(__builtin_inf());
    vi k;
    vd m;
    dd l = dd_mul_v(log_dd((dd){x, vd_set(0)}, &k, &m), y);
    dd e = exp_dd(l);
    vi in = (vi)(x > 0x1p-1000) & (vi)(x < inf) & (vi)(v_abs(y) < 0x1p900) &
            (vi)(l.s < 700) & (vi)(l.s > -620);
    e = redo(~in, e);
    e = sure((vi)(x == one) | (vi)(y == 0), one, e);
    return sure((vi)(y == one), x, e);
}

/* ---- trigonometric functions ------------------------------------------------------------ */

/* x = n pi/2 + r, |x| < 2^20; pi/2 in parts of 33 bits, so that n times one is exact. */
FZ_INLINE dd reduce_trig_dd(vd x, vi *n)
{
    vd nf = x * vd_set(0x1.45f306dc9c883p-1) + vd_set(MAGIC);
    *n = (vi)nf;
    nf -= vd_set(MAGIC);
    vd a = x - nf * vd_set(0x1.921fb544p+0);
    dd r = fz_two_sum(a, -(nf * vd_set(0x1.0b4611a6p-34)));
    dd t = fz_two_sum(r.s, -(nf * vd_set(0x1.3198a2ep-69)));
    r = fz_fast_two_sum(t.s, t.rho + r.rho);
    return fz_fast_two_sum(r.s, r.rho - nf * vd_set(0x1.b839a252049c1p-104));
}

/* sum of (-z)^i / (2i + first)! for i < 7 in two doubles, then to 14 in one */
FZ_INLINE dd trig_poly(dd z, int first)
{
    vd tail = v_poly2(z.s, TAB.fact[0], first + 18, first + 28);
    dd s = {-z.s, -z.rho};
    dd q = fz_fast_two_sum(vd_set(TAB.fact[0][first + 16]), s.s * tail);
    q.rho += vd_set(TAB.fact[1][first + 16]);
    for (int i = first + 14; i >= first; i -= 2)
        q = dd_add_fast((dd){vd_set(TAB.fact[0][i]), vd_set(TAB.fact[1][i])}, dd_mul(s, q));
    return q;
}

/* 1/i! for cosine where odd, 1/(i+1)! for sine */
FZ_INLINE vd either_fact(const f64 fact[32], vi odd, int i)
{
    return v_select(odd, vd_set(fact[i]), vd_set(fact[i + 1]));
}

/* trig_poly of one function or the other: terms 0 .. 5 in two doubles, to 12 in one, off by
 * 2^-85 */
FZ_INLINE dd either_poly(dd z, vi odd)
{
    dd s = {-z.s, -z.rho};
    vd tail = either_fact(TAB.fact[0], odd, 24);
    for (int i = 22; i >= 12; i -= 2)
        tail = v_fma(tail, s.s, either_fact(TAB.fact[0], odd, i));
    dd q = fz_fast_two_sum(either_fact(TAB.fact[0], odd, 10), s.s * tail);
    q.rho += either_fact(TAB.fact[1], odd, 10);
    for (int i = 8; i >= 0; i -= 2)
        q = dd_add_fast((dd){either_fact(TAB.fact[0], odd, i),
                             either_fact(TAB.fact[1], odd, i)}, dd_mul(s, q));
    return q;
}

/* outside: huge arguments, and those so near a multiple of pi/2 that r is short of bits */
FZ_INLINE vi trig_outside(vd x, dd r)
{
    return ~((vi)(v_abs(x) < 0x1p20) &
             ((vi)(v_abs(r.s) > 0x1p-25) | (vi)(v_abs(x) < 0.5)));
}

FZ_INLINE dd sin_dd(dd r, dd z)
{
    return dd_mul(r, trig_poly(z, 1));
}

FZ_INLINE dd sin_cos_f64(vd x, int turn)
{
    vi n;
    dd r = reduce_trig_dd(x, &n), z = dd_mul(r, r);
    n += turn;
    const vi odd = -(n & 1);
    const dd one = {vd_set(1), vd_set(0)};
    dd s = dd_mul(dd_select(odd, one, r), either_poly(z, odd));
    return redo(trig_outside(x, r), flip_dd(s, (vd)((n & 2) << 62)));
}

FZ_INLINE dd sin_f64(vd x, vd y)
{
    (void)y;
    return sure((vi)(x == 0), x, sin_cos_f64(x, 0));
}

FZ_INLINE dd cos_f64(vd x, vd y)
{
    (void)y;
    return sure((vi)(x == 0), vd_set(1), sin_cos_f64(x, 1));
}

FZ_INLINE dd tan_f64(vd x, vd y)
{
    (void)y;
    vi n;
    dd r = reduce_trig_dd(x, &n), z = dd_mul(r, r);
    dd s = sin_dd(r, z), c = trig_poly(z, 0);
    vi odd = -(n & 1);
    dd t = dd_div(dd_select(odd, (dd){-c.s, -c.rho}, s), dd_select(odd, s, c));
    return sure((vi)(x == 0), x, redo(trig_outside(x, r), t));
}

/* ---- erf -------------------------------------------------------------------------------- */

/* As erf_f32, terms 0 .. 5 in two doubles, to 19 in one, off by
 * 2^-86. */
FZ_INLINE dd erf_f64(vd x, vd y)
{
    (void)y;
    const vd top = vd_set(6.2);
    vd ax = v_min(v_abs(x), top);
    vd jf = ax * vd_set(64) + vd_set(MAGIC);
    vi j = (vi)jf - (vi)vd_set(MAGIC);
    vd a = (jf - vd_set(MAGIC)) * vd_set(0x1p-6), h = ax - a;
    dd b = fz_two_prod(vd_set(-2) * a, h), h2 = fz_two_prod(vd_set(-2) * h, h);
    dd t0 = {vd_set(1), vd_set(0)}, t1 = b;
    dd sum = dd_add_fast(t0, (dd){b.s * vd_set(0.5), b.rho * vd_set(0.5)});
    for (int n = 1; n < 5; n++) {
        dd t2 = dd_add(dd_mul(b, t1), dd_mul(dd_mul_v(h2, vd_set(n)), t0));
        dd c = {vd_set(TAB.fact[0][n + 2]), vd_set(TAB.fact[1][n + 2])};
        sum = dd_add_fast(sum, dd_mul(t2, c));
        t0 = t1;
        t1 = t2;
    }
    vd u0 = t0.s, u1 = t1.s, rest = vd_set(0);
    for (int n = 5; n < 19; n++) {
        vd u2 = v_fma(b.s, u1, h2.s * vd_set(n) * u0);
        rest = v_fma(u2, vd_set(TAB.fact[0][n + 2]), rest);
        u0 = u1;
        u1 = u2;
    }
    sum = dd_add_v(sum, rest);
    dd slope = {v_gather(TAB.slope[0], j), v_gather(TAB.slope[1], j)};
    dd at = {v_gather(TAB.erf[0], j), v_gather(TAB.erf[1], j)};
    dd r = flip_dd(dd_add(at, dd_mul(dd_mul_v(slope, h), sum)), x);
    r = redo((vi)(v_abs(x) >= top), r);
    r = sure((vi)(v_abs(x) > 9), v_flip(vd_set(1), x), r);
    return sure((vi)(x == 0) | (vi)(x != x), x, r);
}

#endif
