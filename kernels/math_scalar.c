/* Math functions lane by lane: the definition, in binary128.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * libm's binary128 functions (glibc 2.26 and later) have errors of a few units of 2^-113;
 * rounding them to 105 bits gives the wide value but for one argument in about 2^6, where it
 * is off by one unit of 2^-105. Everything here is integer or x87 code: MXCSR's FTZ and DAZ
 * count only in the last rounding.
 */
#include "math.h"

#include <math.h>
#include <string.h>

typedef _Float128 f128;
typedef unsigned __int128 u128;

/* Inverse error function: Newton's steps on erf, beyond 1/2 on erfc, whose argument 1 - |x|
 * is exact. */
static f128 erfinv_f128(f128 x)
{
    f128 a = fabsf128(x);
    if (!(a < 1))
        return a == 1 ? x / 0.0f128 : (f128)NAN;
    if (a == 0)
        return x;
    f128 c = 1 - a, y;
    const f128 scale = 1.12837916709551257389615890312154517f128;   /* 2/sqrt(pi) */
    if (a < 0.5f128) {
        y = a / scale;
    } else {
        /* erfc(y) ~ exp(-y^2)/(y sqrt(pi)); Winitzki's formula starts well everywhere */
        long double l = logl((long double)(c * (2 - c)));
        long double s = 4.3307467508L + l / 2;                       /* 2/(pi*0.147) */
        y = (f128)sqrtl(sqrtl(s * s - l / 0.147L) - s);
    }
    for (int i = 0; i < 5; i++) {
        f128 miss = a < 0.5f128 ? erff128(y) - a : c - erfcf128(y);
        f128 u = miss / (scale * expf128(-y * y));
        y -= u / (1 + y * u);                                        /* Halley */
    }
    return x < 0 ? -y : y;
}

static f128 evaluate(enum fz_fn fn, f128 x, f128 y)
{
    switch (fn) {
    case FZ_FN_EXP: return expf128(x);
    case FZ_FN_EXP2: return exp2f128(x);
    case FZ_FN_EXP10: return exp10f128(x);
    case FZ_FN_EXPM1: return expm1f128(x);
    case FZ_FN_LOG: return logf128(x);
    case FZ_FN_LOG2: return log2f128(x);
    case FZ_FN_LOG10: return log10f128(x);
    case FZ_FN_LOG1P: return log1pf128(x);
    case FZ_FN_SIN: return sinf128(x);
    case FZ_FN_COS: return cosf128(x);
    case FZ_FN_TAN: return tanf128(x);
    case FZ_FN_ASIN: return asinf128(x);
    case FZ_FN_ACOS: return acosf128(x);
    case FZ_FN_ATAN: return atanf128(x);
    case FZ_FN_SINH: return sinhf128(x);
    case FZ_FN_COSH: return coshf128(x);
    case FZ_FN_TANH: return tanhf128(x);
    case FZ_FN_ASINH: return asinhf128(x);
    case FZ_FN_ACOSH: return acoshf128(x);
    case FZ_FN_ATANH: return atanhf128(x);
    case FZ_FN_ERF: return erff128(x);
    case FZ_FN_ERFC: return erfcf128(x);
    case FZ_FN_LGAMMA: {
        int sign;
        return lgammaf128_r(x, &sign);
    }
    case FZ_FN_TGAMMA: return tgammaf128(x);
    case FZ_FN_CBRT: return cbrtf128(x);
    case FZ_FN_SQRT: return sqrtf128(x);
    case FZ_FN_ERFINV: return erfinv_f128(x);
    case FZ_FN_POW: return powf128(x, y);
    case FZ_FN_ATAN2: return atan2f128(x, y);
    default: return hypotf128(x, y);
    }
}

static long double evaluate_extended(enum fz_fn fn, long double x, long double y)
{
    switch (fn) {
    case FZ_FN_EXP: return expl(x);
    case FZ_FN_EXP2: return exp2l(x);
    case FZ_FN_EXP10: return exp10l(x);
    case FZ_FN_EXPM1: return expm1l(x);
    case FZ_FN_LOG: return logl(x);
    case FZ_FN_LOG2: return log2l(x);
    case FZ_FN_LOG10: return log10l(x);
    case FZ_FN_LOG1P: return log1pl(x);
    case FZ_FN_SIN: return sinl(x);
    case FZ_FN_COS: return cosl(x);
    case FZ_FN_TAN: return tanl(x);
    case FZ_FN_ASIN: return asinl(x);
    case FZ_FN_ACOS: return acosl(x);
    case FZ_FN_ATAN: return atanl(x);
    case FZ_FN_SINH: return sinhl(x);
    case FZ_FN_COSH: return coshl(x);
    case FZ_FN_TANH: return tanhl(x);
    case FZ_FN_ASINH: return asinhl(x);
    case FZ_FN_ACOSH: return acoshl(x);
    case FZ_FN_ATANH: return atanhl(x);
    case FZ_FN_ERF: return erfl(x);
    case FZ_FN_ERFC: return erfcl(x);
    case FZ_FN_LGAMMA: {
        int sign;
        return lgammal_r(x, &sign);
    }
    case FZ_FN_TGAMMA: return tgammal(x);
    case FZ_FN_CBRT: return cbrtl(x);
    case FZ_FN_SQRT: return sqrtl(x);
    case FZ_FN_POW: return powl(x, y);
    case FZ_FN_ATAN2: return atan2l(x, y);
    case FZ_FN_HYPOT: return hypotl(x, y);
    default: return (long double)erfinv_f128((f128)x);
    }
}

int fz_math_binary(enum fz_fn fn)
{
    return fn >= FZ_FN_POW;
}

/* Finite v, rounded to `bits` bits but to no multiple of less than 2^emin. */
static prism_wide wide_of(f128 v, int bits, int emin)
{
    u128 b;
    memcpy(&b, &v, sizeof b);
    const int ex = (int)(b >> 112) & 0x7fff;
    prism_wide x = {(int)(b >> 127), (ex ? ex : 1) - 16383 - 112,
                    b & (((u128)1 << 112) - 1)};
    if (ex)
        x.m |= (u128)1 << 112;
    int drop = 113 - bits;
    if (x.e + drop < emin)
        drop = emin - x.e;
    if (drop > 120) {
        x.m = 0;
        return x;
    }
    const u128 half = (u128)1 << (drop - 1);
    const u128 even = x.m >> drop & 1;
    x.m = (x.m + half - 1 + even) >> drop;
    x.e += drop;
    return x;
}

/* ud moves what is inexact; what both directions of cestac leave in place is exact. */
static f32 round_f32(prism_wide x, enum prism_mode mode, int t, uint64_t w)
{
    if (mode == PRISM_UD) {
        f32 a = prism_round_wide_f32(x, PRISM_CESTAC, t, 0);
        if (a == prism_round_wide_f32(x, PRISM_CESTAC, t, 1))
            return a;
    }
    return prism_round_wide_f32(x, mode, t, w);
}

static f64 round_f64(prism_wide x, enum prism_mode mode, int t, uint64_t w)
{
    if (mode == PRISM_UD) {
        f64 a = prism_round_wide_f64(x, PRISM_CESTAC, t, 0);
        if (a == prism_round_wide_f64(x, PRISM_CESTAC, t, 1))
            return a;
    }
    return prism_round_wide_f64(x, mode, t, w);
}

f32 fz_math_f32(enum fz_fn fn, f32 x, f32 y, enum prism_mode mode, int t, uint64_t w)
{
    f128 v = evaluate(fn, x, y);
    if (!(fabsf128(v) < (f128)INFINITY))
        return (f32)v;
    return round_f32(wide_of(v, 53, -1074), mode, t, w);
}

f64 fz_math_f64(enum fz_fn fn, f64 x, f64 y, enum prism_mode mode, int t, uint64_t w)
{
    f128 v = evaluate(fn, x, y);
    if (!(fabsf128(v) < (f128)INFINITY))
        return (f64)v;
    return round_f64(wide_of(v, 105, -100000), mode, t, w);
}

f64 fz_math_wide_f32(enum fz_fn fn, f64 x, f64 y)
{
    return (f64)evaluate_extended(fn, x, y);
}

f32 fz_math_round_f32(f64 wide, enum prism_mode mode, int t, uint64_t w)
{
    uint64_t b;
    memcpy(&b, &wide, sizeof b);
    const int ex = (int)(b >> 52) & 0x7ff;
    if (ex == 0x7ff)
        return (f32)wide;
    const uint64_t m = (b & ((UINT64_C(1) << 52) - 1)) | (ex ? UINT64_C(1) << 52 : 0);
    return round_f32((prism_wide){(int)(b >> 63), (ex ? ex : 1) - 1075, m}, mode, t, w);
}

/* ---- constants -------------------------------------------------------------------------- */

fz_math_tables fz_math_constants;

static void put(f64 pair[2], f128 v)
{
    pair[0] = (f64)v;
    pair[1] = (f64)(v - (f128)pair[0]);
}

static void put2(f64 *hi, f64 *lo, f128 v)
{
    f64 pair[2];
    put(pair, v);
    *hi = pair[0];
    *lo = pair[1];
}

void fz_math_init(void)
{
    static int done;
    if (__atomic_load_n(&done, __ATOMIC_ACQUIRE))
        return;
    fz_math_tables *c = &fz_math_constants;
    for (int j = 0; j < 64; j++)
        put2(&c->exp2[0][j], &c->exp2[1][j], exp2f128((f128)j / 64));
    for (int j = 0; j < 128; j++) {
        /* the middle of interval j, then 1/m to multiples of 2^-9 */
        int64_t bits = FZ_LOG_OFF + ((int64_t)j << 45) + (INT64_C(1) << 44);
        f64 m;
        memcpy(&m, &bits, sizeof m);
        f64 inverse = m > 0x1.fcp-1 && m < 0x1.02p0 ? 1 : (f64)rintl(512 / (long double)m) / 512;
        c->inverse[j] = inverse;
        put2(&c->logc[0][j], &c->logc[1][j], -logf128(inverse));
    }
    for (int j = 0; j < 16; j++) {
        int64_t bits;
        f64 v = (f64)exp2f128((f128)j / 16);
        memcpy(&bits, &v, sizeof bits);
        bits -= (int64_t)j << 48;
        memcpy(&c->exp16[j], &bits, sizeof bits);
        bits = FZ_LOG_OFF16 + ((int64_t)j << 48) + (INT64_C(1) << 47);
        memcpy(&v, &bits, sizeof v);
        c->inv16[j] = (f64)rintl(0x1p27L / (long double)v) * 0x1p-27;
        put2(&c->log16[0][j], &c->log16[1][j], -logf128(c->inv16[j]));
    }
    f128 f = 1;
    for (int n = 0; n < 32; n++) {
        f = n ? f * n : f;
        put2(&c->fact[0][n], &c->fact[1][n], 1 / f);
        put2(&c->recip[0][n], &c->recip[1][n], n ? 1 / (f128)n : 0);
    }
    put(c->ln2, logf128(2));
    put(c->log2e, 1 / logf128(2));
    put(c->log10e, 1 / logf128(10));
    const f128 root = 2 / sqrtf128(acosf128(-1));
    put(c->two_over_sqrt_pi, root);
    for (int j = 0; j <= FZ_ERF_STEPS; j++) {
        f128 a = (f128)j / 64;
        put2(&c->erf[0][j], &c->erf[1][j], erff128(a));
        put2(&c->slope[0][j], &c->slope[1][j], root * expf128(-a * a));
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
}
