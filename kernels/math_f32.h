/* f32 functions evaluated in f64, to a few units of 2^-53.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Arguments are floats held in f64. Taylor polynomials on ranges where their rest is below
 * 2^-54; the comments name the rest.
 */
#ifndef FZ_MATH_F32_H
#define FZ_MATH_F32_H

#include "math_vec.h"

/* ln 2 to 36 bits, and the rest: k * LN2_HI is exact */
#define LN2_HI 0x1.62e42fefap-1
#define LN2_LO 0x1.cf79abc9e3b3ap-40
#define PIO2_HI 0x1.921fb54442d18p+0
#define PIO2_LO 0x1.1a62633145c07p-54

FZ_INLINE dd v_plain(vd s)
{
    return (dd){s, vd_set(0)};
}

/* x = n ln2/16 + r, |r| < 0.0217; x = n ln2 + r, |r| < 0.347 if steps is 1. n: the low 16
 * bits, what is above them is noise. */
FZ_INLINE vd reduce_exp(vd x, f64 steps, vi *n)
{
    vd nf = v_fma(x, vd_set(0x1.71547652b82fep0 * steps), vd_set(MAGIC));
    *n = (vi)nf;
    nf -= vd_set(MAGIC);
    return v_fma(nf, vd_set(-LN2_LO / steps), v_fma(nf, vd_set(-LN2_HI / steps), x));
}

/* 2^(n/16) exp(r), |r| < 0.0217: interpolated in Chebyshev's points, rest < 2^-56 */
FZ_INLINE vd exp_v(vd r, vi n)
{
    static const f64 c[] = {1, 0.5, 0x1.555555547d216p-3, 0x1.55555554e93b7p-5,
                            0x1.11123d01366d4p-7, 0x1.6c17ed5c1f49ep-10};
    vd two = (vd)((vi)v_table16(TAB.exp16, n) + (n << 48));
    return v_fma(two * r, v_poly(r, c, 0, 5), two);
}

/* expm1 of |r| < 0.347: as above, rest < 2^-60 relative to r */
FZ_INLINE vd expm1_r(vd r)
{
    static const f64 c[] = {0.5, 0x1.5555555555557p-3, 0x1.5555555555556p-5,
                            0x1.11111111100dcp-7, 0x1.6c16c16c162d4p-10,
                            0x1.a01a01abe7fe1p-13, 0x1.a01a01a6d889cp-16,
                            0x1.71de0231960ebp-19, 0x1.27e4db646b17ep-22,
                            0x1.af4de97ca4194p-26, 0x1.1f730349868cep-29};
    return v_fma(r * r, v_poly(r, c, 0, 10), r);
}

/* Beyond 100 exp is above every float and half; below -745.2 its f64 is zero. */
FZ_INLINE dd exp_edges(vd x, dd r)
{
    r = redo((vi)(x < -708), r);
    r = sure((vi)(x > 100), vd_set(__builtin_inf()), r);
    return sure((vi)(x < -745.2), vd_set(0), r);
}

FZ_INLINE vd exp_core(vd x)
{
    vi n;
    vd r = reduce_exp(x, 16, &n);
    return exp_v(r, n);
}

FZ_INLINE dd exp_f32(vd x, vd y)
{
    (void)y;
    dd e = exp_edges(x, v_plain(exp_core(x)));
    return sure((vi)(x == 0) | (vi)(x != x), x + vd_set(1), e);
}

FZ_INLINE dd exp2_f32(vd x, vd y)
{
    (void)y;
    vd nf = v_fma(x, vd_set(16), vd_set(MAGIC));
    vd d = v_fma(nf - vd_set(MAGIC), vd_set(-0x1p-4), x);
    vd s = exp_v(d * vd_set(0x1.62e42fefa39efp-1), (vi)nf);
    dd e = redo((vi)(x < -1020), v_plain(s));
    e = sure((vi)(x > 150), vd_set(__builtin_inf()), e);
    e = sure((vi)(x < -1075.5), vd_set(0), e);
    const vi whole = (vi)((nf - vd_set(MAGIC)) * vd_set(0x1p-4) == x) & (((vi)nf & 15) == 0);
    return sure((whole & (vi)(v_abs(x) < 1000)) | (vi)(x != x), s + (x - x), e);
}

/* |x| < 700, relative error a few units */
FZ_INLINE vd expm1_v(vd x)
{
    vi k;
    vd p = expm1_r(reduce_exp(x, 1, &k));
    vd two = (vd)((k << 52) + (vi)vd_set(1));
    return v_fma(two, p, two - vd_set(1));
}

FZ_INLINE dd expm1_f32(vd x, vd y)
{
    (void)y;
    dd e = v_plain(expm1_v(x));
    e = sure((vi)(x > 100), vd_set(__builtin_inf()), e);
    e = sure((vi)(x < -38), vd_set(-1), e);
    return sure((vi)(x == 0) | (vi)(x != x), x, e);
}

/* |x| < 300 */
FZ_INLINE vd tanh_core(vd x)
{
    vd a = v_abs(x), e = expm1_v(a + a);
    return v_flip(e / (e + vd_set(2)), x);
}

FZ_INLINE dd tanh_f32(vd x, vd y)
{
    (void)y;
    vd a = v_abs(x);
    dd r = v_plain(tanh_core(v_flip(v_min(a, vd_set(30)), x)));
    r = sure((vi)(a > 19.1), v_flip(vd_set(1), x), r);
    return sure((vi)(x == 0) | (vi)(x != x), x, r);
}

FZ_INLINE dd sinh_f32(vd x, vd y)
{
    (void)y;
    vd a = v_abs(x), e = expm1_v(v_min(a, vd_set(120)));
    dd r = v_plain(v_flip(vd_set(0.5) * (e + e / (e + vd_set(1))), x));
    r = sure((vi)(a > 100), v_flip(vd_set(__builtin_inf()), x), r);
    return sure((vi)(x == 0) | (vi)(x != x), x, r);
}

FZ_INLINE dd cosh_f32(vd x, vd y)
{
    (void)y;
    vd a = v_abs(x), e = expm1_v(v_min(a, vd_set(120))) + vd_set(1);
    dd r = v_plain(vd_set(0.5) * (e + vd_set(1) / e));
    r = sure((vi)(a > 100), vd_set(__builtin_inf()), r);
    return sure((vi)(x == 0) | (vi)(x != x), x + vd_set(1), r);
}

/* ---- logarithms ------------------------------------------------------------------------- */

/* u = 2^k m, m in [sqrt(1/2), sqrt(2)) */
FZ_INLINE vd split_log(vd u, vi *k)
{
    vi d = (vi)u - vi_set(INT64_C(0x3fe6a09e667f3bcd));
    *k = d >> 52;
    return (vd)((vi)u - (*k << 52));
}

/* What log(m) is beyond 2f, f = (m-1)/(m+1), |f| < 0.1716: rest f^25/12 < 2^-66 */
FZ_INLINE vd log_tail(vd f)
{
    vd z = f * f, p = vd_set(2.0 / 23);
    for (int i = 21; i >= 3; i -= 2)
        p = v_fma(p, z, vd_set(2.0 / i));
    return f * z * p;
}

FZ_INLINE vd log_sum(vd num, vd den, vd kf)
{
    vd f = num / den;
    vd lo = v_fma(kf, vd_set(LN2_LO), log_tail(f));
    return v_fma(kf, vd_set(LN2_HI), f + f + lo);
}

/* x == 0, x < 0, inf, NaN, as every logarithm has them; `at` gives zero */
FZ_INLINE dd log_edges(vd x, vd pole, dd r)
{
    const vd inf = vd_set(__builtin_inf());
    r = sure((vi)(x == inf) | (vi)(x != x), x, r);
    r = sure((vi)(x == pole), -inf, r);
    return sure((vi)(x < pole), vd_set(__builtin_nan("")), r);
}

/* u = 2^k m, m c = 1 + r exactly for m of 24 bits, |r| < 0.0322; -log(c) as hi and lo */
FZ_INLINE vd reduce_log(vd u, vd *kf, vd *hi, vi *index)
{
    vi d = (vi)u - vi_set(FZ_LOG_OFF16), j = (vi)((vu)d >> 48);
    vd m = (vd)((vi)u - (d & vi_set(~FZ_MANT)));
    *kf = v_of_int(d >> 52);
    *hi = v_table16(TAB.log16[0], j);
    *index = j;
    return v_fma(m, v_table16(TAB.inv16, j), vd_set(-1));
}

/* (log1p(r) - r)/r^2, |r| < 0.0322: interpolated in Chebyshev's points, rest of log1p < 2^-61
 * relative to r */
static const f64 log_c[] = {-0.5, 0x1.5555555555520p-2, -0x1.fffffffffff9fp-3,
                            0x1.9999999af96c8p-3, -0x1.5555555697d8ap-3,
                            0x1.2492356545ea4p-3, -0x1.ffffdbcbc1a5dp-4,
                            0x1.c7ee943c32033p-4, -0x1.9a5a39fb5632fp-4};

/* x positive and finite */
FZ_INLINE vd log_core(vd x)
{
    vd kf, hi;
    vi j;
    vd r = reduce_log(x, &kf, &hi, &j);
    vd base = v_fma(kf, vd_set(0x1.62e42fefa39efp-1), hi);
    return base + v_fma(r * r, v_poly(r, log_c, 0, 8), r);
}

FZ_INLINE dd log_f32(vd x, vd y)
{
    (void)y;
    dd r = v_plain(log_core(x));
    r = sure((vi)(x == 1), vd_set(0), r);
    return log_edges(x, vd_set(0), r);
}

FZ_INLINE dd log2_f32(vd x, vd y)
{
    (void)y;
    vi k;
    vd m = split_log(x, &k), one = vd_set(1), kf = v_of_int(k);
    vd l = log_sum(m - one, m + one, vd_set(0));
    dd r = v_plain(v_fma(l, vd_set(0x1.71547652b82fep0), kf));
    r = sure((vi)(m == one), kf, r);
    return log_edges(x, vd_set(0), r);
}

FZ_INLINE dd log10_f32(vd x, vd y)
{
    dd r = log_f32(x, y);
    r.s *= vd_set(0x1.bcb7b1526e50ep-2);
    return r;
}

/* -1 < x */
FZ_INLINE vd log1p_core(vd x)
{
    vi k;
    const vd one = vd_set(1);
    vd m = split_log(x + one, &k), kf = v_of_int(k);
    vi small = (vi)(x > -0.25) & (vi)(x < 0.4);
    return log_sum(v_select(small, x, m - one), v_select(small, vd_set(2) + x, m + one),
                   v_select(small, vd_set(0), kf));
}

FZ_INLINE dd log1p_f32(vd x, vd y)
{
    (void)y;
    dd r = v_plain(log1p_core(x));
    r = log_edges(x, vd_set(-1), r);
    return sure((vi)(x == 0), x, r);
}

/* x^y for 0 < x < inf and |y log x| < 700, which goes to *at: log to about 2^-61 as a sum of two
 * doubles. */
FZ_INLINE vd pow_core(vd x, vd y, vd *at)
{
    vi n, j;
    vd kf, hi;
    vd r = reduce_log(x, &kf, &hi, &j);
    dd square = fz_two_prod(r, r * vd_set(-0.5));
    dd base = fz_fast_two_sum(kf * vd_set(LN2_HI), hi), l = fz_two_sum(base.s, r);
    dd p = fz_two_sum(l.s, square.s);
    vd low = v_fma(square.s * r, v_poly(r, log_c, 1, 8) * vd_set(-2), square.rho);
    low += v_fma(kf, vd_set(LN2_LO), v_table16(TAB.log16[1], j) + base.rho);
    l = (dd){p.s, p.rho + (l.rho + low)};
    p = fz_two_prod(l.s, y);
    vd lo = v_fma(l.rho, y, p.rho);
    *at = p.s;
    r = reduce_exp(p.s, 16, &n) + lo;
    return exp_v(r, n);
}

FZ_INLINE dd pow_f32(vd x, vd y)
{
    const vd one = vd_set(1), inf = vd_set(__builtin_inf());
    vd l, s = pow_core(x, y, &l);
    dd e = exp_edges(l, v_plain(s));
    e = redo(~((vi)(x > 0) & (vi)(x < inf) & (vi)(v_abs(y) < inf) & (vi)(v_abs(l) < 700)), e);
    e = sure((vi)(x == one) | (vi)(y == 0), one, e);
    return sure((vi)(y == one), x, e);
}

/* ---- trigonometric functions ------------------------------------------------------------ */

/* x = n pi/2 + r, |x| < 2^20: n pi/2's first part is exact by fma, and no float is nearer to
 * a multiple of pi/2 than 2^-34. */
FZ_INLINE vd reduce_trig(vd x, vi *n)
{
    vd nf = x * vd_set(0x1.45f306dc9c883p-1) + vd_set(MAGIC);
    *n = (vi)nf;
    nf -= vd_set(MAGIC);
    return v_fma(nf, vd_set(-PIO2_LO), v_fma(nf, vd_set(-PIO2_HI), x));
}

/* rests r^19/19! < 2^-63, r^18/18! < 2^-58 */
FZ_INLINE vd sin_r(vd r)
{
    vd z = r * r;
    return v_fma(-(r * z), v_poly2(z, TAB.fact[0], 3, 17), r);
}

FZ_INLINE vd cos_r(vd r)
{
    return v_poly2(r * r, TAB.fact[0], 0, 16);
}

FZ_INLINE vd sin_cos_core(vd x, int turn)
{
    vi n;
    vd r = reduce_trig(x, &n);
    n += turn;
    vd s = v_select(-(n & 1), cos_r(r), sin_r(r));
    return (vd)((vi)s ^ (n & 2) << 62);
}

FZ_INLINE dd sin_cos_f32(vd x, int turn)
{
    return redo(~(vi)(v_abs(x) < 0x1p20), v_plain(sin_cos_core(x, turn)));
}

FZ_INLINE dd sin_f32(vd x, vd y)
{
    (void)y;
    return sure((vi)(x == 0), x, sin_cos_f32(x, 0));
}

FZ_INLINE dd cos_f32(vd x, vd y)
{
    (void)y;
    return sure((vi)(x == 0), vd_set(1), sin_cos_f32(x, 1));
}

FZ_INLINE dd tan_f32(vd x, vd y)
{
    (void)y;
    vi n;
    vd r = reduce_trig(x, &n), s = sin_r(r), c = cos_r(r);
    vi odd = -(n & 1);
    dd t = v_plain(v_select(odd, -c, s) / v_select(odd, s, c));
    t = redo(~(vi)(v_abs(x) < 0x1p20), t);
    return sure((vi)(x == 0), x, t);
}

/* ---- erf -------------------------------------------------------------------------------- */

/* erf(a + h) = erf(a) + slope(a) h sum T_n/(n+1)!, T_n = (-h)^n H_n(a), |h| <= 1/128 */
FZ_INLINE vd erf_core(vd x)
{
    vd ax = v_min(v_abs(x), vd_set(6));
    vd jf = ax * vd_set(64) + vd_set(MAGIC);
    vi j = (vi)jf - (vi)vd_set(MAGIC);
    vd a = (jf - vd_set(MAGIC)) * vd_set(0x1p-6), h = ax - a;
    vd b = vd_set(-2) * a * h, h2 = vd_set(-2) * h * h;
    vd t0 = vd_set(1), t1 = b, sum = v_fma(b, vd_set(0.5), vd_set(1));
    for (int n = 1; n < 8; n++) {
        vd t2 = v_fma(b, t1, h2 * vd_set(n) * t0);
        sum = v_fma(t2, vd_set(TAB.fact[0][n + 2]), sum);
        t0 = t1;
        t1 = t2;
    }
    vd s = v_fma(v_gather(TAB.slope[0], j) * h, sum, v_gather(TAB.erf[0], j));
    return v_flip(s, x);
}

FZ_INLINE dd erf_f32(vd x, vd y)
{
    (void)y;
    dd r = sure((vi)(v_abs(x) >= 6), v_flip(vd_set(1), x), v_plain(erf_core(x)));
    return sure((vi)(x == 0) | (vi)(x != x), x, r);
}

#endif
