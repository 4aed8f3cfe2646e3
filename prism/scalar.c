/* The definition: every operation in integer arithmetic, exact, then rounded by the law.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An exact result is sign, m * 2^e with a 128-bit integer m, and a sticky bit for what
 * lies below m. Where sticky is set, m has at least 115 bits, more than the 53 + 52 + 2
 * that a rounding looks at. The vector code serves the normal range faster and falls back
 * to these functions lane by lane elsewhere.
 */
#include "prism.h"
#include "wide.h"

#include <string.h>
#include <xmmintrin.h>

typedef unsigned __int128 u128;

typedef struct exact {
    int sign, sticky;
    int e;
    u128 m;
} exact;

/* A binary format: p significand bits, exponent of the smallest subnormal, of the first
 * power of two that is too large. */
typedef struct format {
    int p, emin, emax;
} format;

static const format fmt32 = {24, -149, 128}, fmt64 = {53, -1074, 1024};

static int ftz(void)
{
    return (_mm_getcsr() & 0x8000) != 0;
}

static int daz(void)
{
    return (_mm_getcsr() & 0x0040) != 0;
}

static int bit_length(u128 m)
{
    uint64_t hi = (uint64_t)(m >> 64), lo = (uint64_t)m;
    return hi ? 128 - __builtin_clzll(hi) : lo ? 64 - __builtin_clzll(lo) : 0;
}

static u128 low_bits(u128 m, int n)
{
    return n >= 128 ? m : m & (((u128)1 << n) - 1);
}

static u128 shift_right(u128 m, int n)
{
    return n >= 128 ? 0 : m >> n;
}

/* Round x > 0 at t bits. Returns the magnitude as a bit pattern of the format (inf for
 * overflow): patterns of one format count its numbers in order. */
static uint64_t round_magnitude(exact x, format f, enum prism_mode mode, int t,
                                uint64_t w)
{
    int top = x.e + bit_length(x.m) - 1; /* x in [2^top, 2^(top+1)) */
    uint64_t inf = (uint64_t)(f.emax - f.emin - f.p + 2) << (f.p - 1);
    if (top >= f.emax)
        return inf;                                      /* beyond b in every mode */
    int q = top - t + 1 > f.emin ? top - t + 1 : f.emin; /* spacing 2^q */
    int sh = q - x.e;
    u128 a, frac = 0;
    if (sh > 0) {
        a = shift_right(x.m, sh);
        frac = low_bits(x.m, sh);
    } else {
        a = x.m << -sh;
    }
    int inexact = frac != 0 || x.sticky;
    int up_nearest = 0;
    if (sh > 128) {
        up_nearest = 0; /* x below a quarter of the spacing */
    } else if (sh > 0) {
        u128 half = (u128)1 << (sh - 1);
        up_nearest = frac > half || (frac == half && (x.sticky || (a & 1)));
    }
    int up;
    switch (mode) {
    case PRISM_SR: {
        int r = f.p == 24 ? 53 - t : 52;
        u128 F;
        if (sh <= r) {
            F = sh > 0 ? frac << (r - sh) : 0; /* sticky implies sh > r */
        } else {
            int d = sh - r;
            F = shift_right(frac, d);
            u128 rest = low_bits(frac, d);
            if (d <= 128) {
                u128 half = (u128)1 << (d - 1);
                F += rest > half || (rest == half && (x.sticky || (F & 1)));
            }
        }
        w &= (UINT64_C(1) << r) - 1;
        up = F + w >= (u128)1 << r;
        break;
    }
    case PRISM_CESTAC: up = inexact && ((w & 1) ^ (uint64_t)x.sign); break;
    default: up = up_nearest;
    }

    /* f64 overflows where nearest does; f32 only where its own rounding reaches 2^128. */
    u128 nearest = a + (u128)up_nearest;
    a += (u128)up;
    if (f.p == 53 && q + bit_length(nearest) - 1 >= f.emax)
        a = nearest;
    int len = bit_length(a);
    if (len && q + len - 1 >= f.emax)
        return inf;

    /* a * 2^q to a pattern: a 1 above p-1 bits is the exponent's. */
    uint64_t bits;
    int norm = q - f.emin; /* a in units of the smallest number */
    if (len + norm < f.p)
        bits = (uint64_t)(a << norm);
    else
        bits = ((uint64_t)(len + norm - f.p) << (f.p - 1)) +
               (uint64_t)(len <= f.p ? a << (f.p - len) : a >> (len - f.p));

    if (mode == PRISM_UD && bits) {
        /* One unit of the t-bit representation of what nearest gave. */
        uint64_t unit;
        if (bits >> (f.p - 1)) {
            unit = UINT64_C(1) << (f.p - t);
        } else {
            int lead = 64 - __builtin_clzll(bits);
            unit = UINT64_C(1) << (lead > t ? lead - t : 0);
        }
        bits = w & 1 ? bits + unit : bits - unit;
        if (bits > inf)
            bits = inf;
    }
    return bits;
}

/* The result as a pattern with its sign; zero keeps x.sign. Where the host flushes, what
 * nearest makes subnormal is zero in every mode, and no result is subnormal. */
static uint64_t round_exact(exact x, format f, enum prism_mode mode, int t, uint64_t w)
{
    uint64_t sign = (uint64_t)x.sign << (f.p == 24 ? 31 : 63);
    if (!x.m)
        return sign;
    uint64_t r = round_magnitude(x, f, mode, t, w);
    if (ftz() &&
        (!(r >> (f.p - 1)) || !(round_magnitude(x, f, PRISM_NEAREST, t, 0) >> (f.p - 1))))
        return sign;
    return sign | r;
}

static f32 f32_round(exact x, enum prism_mode mode, int t, uint64_t w)
{
    uint32_t bits = (uint32_t)round_exact(x, fmt32, mode, t, w);
    f32 r;
    memcpy(&r, &bits, 4);
    return r;
}

static f64 f64_round(exact x, enum prism_mode mode, int t, uint64_t w)
{
    uint64_t bits = round_exact(x, fmt64, mode, t, w);
    f64 r;
    memcpy(&r, &bits, 8);
    return r;
}

/* ---- Exact results ----------------------------------------------------------------- */

static exact of_f64(f64 x)
{
    uint64_t b;
    memcpy(&b, &x, 8);
    int ex = (int)(b >> 52 & 0x7ff);
    uint64_t m = b & ((UINT64_C(1) << 52) - 1);
    if (ex)
        m |= UINT64_C(1) << 52;
    else if (daz())
        m = 0;
    return (exact){(int)(b >> 63), 0, (ex ? ex : 1) - 1075, m};
}

static exact of_f32(f32 x)
{
    uint32_t b;
    memcpy(&b, &x, 4);
    int ex = (int)(b >> 23 & 0xff);
    uint32_t m = b & 0x7fffff;
    if (ex)
        m |= 0x800000;
    else if (daz())
        m = 0;
    return (exact){(int)(b >> 31), 0, (ex ? ex : 1) - 150, m};
}

/* Bring the leading bit to position 125, with room for a carry. */
static exact normalize(exact x)
{
    if (x.m) {
        int s = 126 - bit_length(x.m);
        x.m <<= s;
        x.e -= s;
    }
    return x;
}

/* m of both at most 106 bits long and exact: the sum is exact, or sticky with at least
 * 124 bits: bits are lost only where the exponents differ by more than 20, and then the
 * leading bit falls by one place at most. */
static exact exact_add(exact x, exact y)
{
    if (!x.m || !y.m) {
        exact r = x.m ? x : y;
        if (!x.m && !y.m)
            r.sign = x.sign & y.sign; /* round-to-nearest sign of zero */
        return r;
    }
    x = normalize(x);
    y = normalize(y);
    if (x.e < y.e || (x.e == y.e && x.m < y.m)) {
        exact z = x;
        x = y;
        y = z;
    }
    int d = x.e - y.e;
    x.sticky = low_bits(y.m, d) != 0;
    y.m = shift_right(y.m, d);
    if (x.sign == y.sign) {
        x.m += y.m;
    } else {
        x.m -= y.m + (u128)x.sticky; /* x - (y + f) = (x - y - 1) + (1 - f) */
        if (!x.m && !x.sticky)
            x.sign = 0;
    }
    return x;
}

static exact exact_mul(exact x, exact y)
{
    return (exact){x.sign ^ y.sign, 0, x.e + y.e, x.m * y.m};
}

/* y.m != 0. 124 bits of quotient, then sticky. */
static exact exact_div(exact x, exact y)
{
    if (!x.m)
        return (exact){x.sign ^ y.sign, 0, 0, 0};
    int sx = 53 - bit_length(x.m), sy = 53 - bit_length(y.m);
    u128 n = x.m << sx, d = y.m << sy;
    u128 q1 = (n << 64) / d, r1 = (n << 64) % d;
    u128 q2 = (r1 << 60) / d, r2 = (r1 << 60) % d;
    return (exact){x.sign ^ y.sign, r2 != 0, x.e - sx - y.e + sy - 124, q1 << 60 | q2};
}

/* x >= 0. Restoring square root: 120 bits, then sticky. */
static exact exact_sqrt(exact x)
{
    if (!x.m)
        return x;
    int s = 54 - bit_length(x.m);
    if ((x.e - s) & 1)
        s--;           /* an even exponent */
    u128 n = x.m << s; /* 53 or 54 bits */
    int e = x.e - s;
    u128 root = 0, rest = 0;
    for (int i = 0; i < 120; i++) {
        unsigned two = i < 27 ? (unsigned)(n >> (52 - 2 * i) & 3) : 0;
        rest = rest << 2 | two;
        root <<= 1;
        u128 trial = root << 1 | 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    return (exact){0, rest != 0, e / 2 - (120 - 27), root};
}

/* ---- Operations -------------------------------------------------------------------- */

/* inf or NaN: the hardware's own result is that of every mode. By bits, since the
 * compiler may not assume and DAZ must not decide. */
static int special_f32(f32 x)
{
    uint32_t b;
    memcpy(&b, &x, 4);
    return (b >> 23 & 0xff) == 0xff;
}

static int special_f64(f64 x)
{
    uint64_t b;
    memcpy(&b, &x, 8);
    return (b >> 52 & 0x7ff) == 0x7ff;
}

f32 prism_add_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f32(a) || special_f32(b))
        return a + b;
    return f32_round(exact_add(of_f32(a), of_f32(b)), mode, t, w);
}

f32 prism_sub_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f32(a) || special_f32(b))
        return a - b;
    return prism_add_f32(a, -b, mode, t, w);
}

f32 prism_mul_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f32(a) || special_f32(b))
        return a * b;
    return f32_round(exact_mul(of_f32(a), of_f32(b)), mode, t, w);
}

f32 prism_div_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w)
{
    exact x = of_f32(a), y = of_f32(b);
    if (special_f32(a) || special_f32(b) || !y.m)
        return a / b;
    return f32_round(exact_div(x, y), mode, t, w);
}

f32 prism_sqrt_f32(f32 a, enum prism_mode mode, int t, uint64_t w)
{
    exact x = of_f32(a);
    if (special_f32(a) || (x.sign && x.m))
        return x.sign || a != a ? a - a + (a - a) / (a - a) : a;
    return f32_round(exact_sqrt(x), mode, t, w);
}

f32 prism_fma_f32(f32 a, f32 b, f32 c, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f32(a) || special_f32(b))
        return a * b + c;
    if (special_f32(c))
        return c + c;
    return f32_round(exact_add(exact_mul(of_f32(a), of_f32(b)), of_f32(c)), mode, t, w);
}

f64 prism_add_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f64(a) || special_f64(b))
        return a + b;
    return f64_round(exact_add(of_f64(a), of_f64(b)), mode, t, w);
}

f64 prism_sub_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f64(a) || special_f64(b))
        return a - b;
    return prism_add_f64(a, -b, mode, t, w);
}

f64 prism_mul_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f64(a) || special_f64(b))
        return a * b;
    return f64_round(exact_mul(of_f64(a), of_f64(b)), mode, t, w);
}

f64 prism_div_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w)
{
    exact x = of_f64(a), y = of_f64(b);
    if (special_f64(a) || special_f64(b) || !y.m)
        return a / b;
    return f64_round(exact_div(x, y), mode, t, w);
}

f64 prism_sqrt_f64(f64 a, enum prism_mode mode, int t, uint64_t w)
{
    exact x = of_f64(a);
    if (special_f64(a) || (x.sign && x.m))
        return x.sign || a != a ? a - a + (a - a) / (a - a) : a;
    return f64_round(exact_sqrt(x), mode, t, w);
}

f64 prism_fma_f64(f64 a, f64 b, f64 c, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f64(a) || special_f64(b))
        return a * b + c;
    if (special_f64(c))
        return c + c;
    return f64_round(exact_add(exact_mul(of_f64(a), of_f64(b)), of_f64(c)), mode, t, w);
}

/* ---- Conversions: under ud they follow sr, so that exact ones stay ----------------- */

static enum prism_mode of_conversion(enum prism_mode mode)
{
    return mode == PRISM_UD ? PRISM_SR : mode;
}

static exact of_i64(int64_t x)
{
    return (exact){x < 0, 0, 0, x < 0 ? -(u128)x & ~UINT64_C(0) : (u128)x};
}

f32 prism_f64_to_f32(f64 x, enum prism_mode mode, int t, uint64_t w)
{
    if (special_f64(x))
        return (f32)x;
    return f32_round(of_f64(x), of_conversion(mode), t, w);
}

f32 prism_i32_to_f32(int32_t x, enum prism_mode mode, int t, uint64_t w)
{
    return f32_round(of_i64(x), of_conversion(mode), t, w);
}

f32 prism_i64_to_f32(int64_t x, enum prism_mode mode, int t, uint64_t w)
{
    return f32_round(of_i64(x), of_conversion(mode), t, w);
}

f64 prism_i64_to_f64(int64_t x, enum prism_mode mode, int t, uint64_t w)
{
    return f64_round(of_i64(x), of_conversion(mode), t, w);
}

/* ---- Results of more bits ---------------------------------------------------------- */

f32 prism_round_wide_f32(prism_wide x, enum prism_mode mode, int t, uint64_t w)
{
    return f32_round((exact){x.sign, 0, x.e, x.m}, mode, t, w);
}

f64 prism_round_wide_f64(prism_wide x, enum prism_mode mode, int t, uint64_t w)
{
    return f64_round((exact){x.sign, 0, x.e, x.m}, mode, t, w);
}
