/* What prism's laws give, from the exact result in GMP integers. Shares no code with
 * prism.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The exact magnitude is a rational, or the square root of one. All that is asked of it
 * is floor(x * 2^k) for some k and whether anything was cut off; the laws follow from
 * that.
 */
#include "oracle.h"

#include <gmp.h>
#include <math.h>
#include <string.h>

const char *const oracle_op_name[ORACLE_OPS] = {"add",     "sub",    "mul",     "div",
                                                "sqrt",    "fma",    "f64_f32", "i32_f32",
                                                "i64_f32", "i64_f64"};
const char *const oracle_mode_name[4] = {"nearest", "sr", "ud", "cestac"};

uint64_t bits_f64(f64 x)
{
    uint64_t b;
    memcpy(&b, &x, 8);
    return b;
}

uint64_t bits_f32(f32 x)
{
    uint32_t b;
    memcpy(&b, &x, 4);
    return b;
}

f64 f64_bits(uint64_t b)
{
    f64 x;
    memcpy(&x, &b, 8);
    return x;
}

f32 f32_bits(uint64_t b)
{
    uint32_t u = (uint32_t)b;
    f32 x;
    memcpy(&x, &u, 4);
    return x;
}

typedef struct real {
    mpq_t q;            /* >= 0 */
    int negative, root; /* x = +-q or +-sqrt(q) */
} real;

/* z = floor(|x| * 2^k); 1 if that is exact. */
static int scaled(mpz_t z, const real *x, long k)
{
    mpz_t num, den, rest;
    mpz_inits(num, den, rest, NULL);
    mpz_set(num, mpq_numref(x->q));
    mpz_set(den, mpq_denref(x->q));
    long shift = x->root ? 2 * k : k;
    if (shift >= 0)
        mpz_mul_2exp(num, num, (mp_bitcnt_t)shift);
    else
        mpz_mul_2exp(den, den, (mp_bitcnt_t)-shift);
    mpz_fdiv_qr(z, rest, num, den);
    int exact = mpz_sgn(rest) == 0;
    if (x->root) {
        mpz_sqrtrem(z, rest, z);
        exact = exact && mpz_sgn(rest) == 0;
    }
    mpz_clears(num, den, rest, NULL);
    return exact;
}

/* e with 2^e <= |x| < 2^(e+1), x != 0 */
static long exponent(const real *x)
{
    mpz_t z;
    mpz_init(z);
    long k = 4400; /* beyond (2^-1074)^2 / 2^1024 */
    scaled(z, x, k);
    long e = (long)mpz_sizeinbase(z, 2) - 1 - k;
    mpz_clear(z);
    return e;
}

typedef struct format {
    int p, emin, emax; /* 2^emin smallest number, 2^emax the first too large */
} format;

/* The pattern of n * 2^s, which must be representable; inf from 2^emax on. */
static uint64_t encode(const mpz_t n, long s, format f)
{
    uint64_t inf = (uint64_t)(f.emax * 2 - 1) << (f.p - 1);
    if (mpz_sgn(n) == 0)
        return 0;
    long e = (long)mpz_sizeinbase(n, 2) - 1 + s;
    if (e >= f.emax)
        return inf;
    /* in units of the last place of its binade */
    long unit = e - f.p + 1 > f.emin ? e - f.p + 1 : f.emin;
    mpz_t m;
    mpz_init(m);
    if (s >= unit)
        mpz_mul_2exp(m, n, (mp_bitcnt_t)(s - unit));
    else
        mpz_tdiv_q_2exp(m, n, (mp_bitcnt_t)(unit - s));
    uint64_t sig = mpz_get_ui(m);
    mpz_clear(m);
    /* the leading bit, if there is one, counts as the first exponent step */
    return ((uint64_t)(unit - f.emin) << (f.p - 1)) + sig;
}

static int is_subnormal(f64 x, int is_f32)
{
    return x != 0 && fabs(x) < (is_f32 ? 0x1p-126 : 0x1p-1022);
}

/* What IEEE says where no rounding is involved: inf, NaN, division by zero. */
static oracle_answer special(const oracle_case *q, f64 a, f64 b, f64 c)
{
    oracle_answer x = {.fixed = 1};
    f64 r;
    switch (q->op) {
    case ORACLE_ADD: r = a + b; break;
    case ORACLE_SUB: r = a - b; break;
    case ORACLE_MUL: r = a * b; break;
    case ORACLE_DIV: r = a / b; break;
    case ORACLE_SQRT: r = sqrt(a); break;
    case ORACLE_FMA: r = fma(a, b, c); break;
    default: r = a;
    }
    x.is_nan = r != r;
    x.nearest = q->is_f32 ? bits_f32((f32)r) : bits_f64(r);
    return x;
}

static int finite3(const oracle_case *q, f64 a, f64 b, f64 c)
{
    switch (q->op) {
    case ORACLE_SQRT: return isfinite(a) && (a >= 0);
    case ORACLE_DIV: return isfinite(a) && isfinite(b) && b != 0;
    case ORACLE_FMA: return isfinite(a) && isfinite(b) && isfinite(c);
    case ORACLE_F64_F32: return isfinite(a);
    case ORACLE_I32_F32:
    case ORACLE_I64_F32:
    case ORACLE_I64_F64: return 1;
    default: return isfinite(a) && isfinite(b);
    }
}

/* The exact result; the sign of a zero one in x->negative. */
static void compute(real *x, const oracle_case *q, f64 a, f64 b, f64 c)
{
    mpq_t qa, qb, qc;
    mpq_inits(qa, qb, qc, NULL);
    mpq_set_d(qa, isfinite(a) ? a : 0);
    mpq_set_d(qb, isfinite(b) ? b : 0);
    mpq_set_d(qc, isfinite(c) ? c : 0);
    int sa = signbit(a) != 0, sb = signbit(b) != 0, sc = signbit(c) != 0;
    int zero_sign = 0; /* of an exactly zero result */
    switch (q->op) {
    case ORACLE_ADD:
        mpq_add(x->q, qa, qb);
        zero_sign = sa && sb;
        break;
    case ORACLE_SUB:
        mpq_sub(x->q, qa, qb);
        zero_sign = sa && !sb;
        break;
    case ORACLE_MUL:
        mpq_mul(x->q, qa, qb);
        zero_sign = sa ^ sb;
        break;
    case ORACLE_DIV:
        mpq_div(x->q, qa, qb);
        zero_sign = sa ^ sb;
        break;
    case ORACLE_FMA:
        mpq_mul(x->q, qa, qb);
        zero_sign = (sa ^ sb) && sc;
        mpq_add(x->q, x->q, qc);
        break;
    case ORACLE_SQRT:
        x->root = 1;
        /* fall through */
    case ORACLE_F64_F32:
        mpq_set(x->q, qa);
        zero_sign = sa;
        break;
    default: mpz_set_si(mpq_numref(x->q), (long)q->i); mpz_set_ui(mpq_denref(x->q), 1);
    }
    x->negative = mpq_sgn(x->q) ? mpq_sgn(x->q) < 0 : zero_sign;
    mpq_abs(x->q, x->q);
    mpq_clears(qa, qb, qc, NULL);
}

/* One unit of the t-bit representation of the finite non-zero pattern m, up and down. */
static void move(oracle_answer *x, uint64_t m, format f, int t)
{
    uint64_t inf = (uint64_t)(f.emax * 2 - 1) << (f.p - 1);
    int width = 0; /* of the significand as it stands in the pattern */
    if (m >> (f.p - 1))
        width = f.p;
    else
        for (uint64_t k = m; k; k >>= 1)
            width++;
    uint64_t unit = width > t ? UINT64_C(1) << (width - t) : 1;
    x->down = m - unit;
    x->up = m + unit > inf ? inf : m + unit;
}

static void round_it(oracle_answer *out, const real *x, const oracle_case *q)
{
    format f = q->is_f32 ? (format){24, -149, 128} : (format){53, -1074, 1024};
    uint64_t sign = (uint64_t)x->negative << (q->is_f32 ? 31 : 63);
    uint64_t inf = (uint64_t)(f.emax * 2 - 1) << (f.p - 1);
    out->negative = (unsigned)x->negative;
    if (mpq_sgn(x->q) == 0) {
        out->fixed = 1;
        out->nearest = sign;
        return;
    }
    long e = exponent(x);
    if (e >= f.emax) {
        out->fixed = 1;
        out->nearest = sign | inf;
        return;
    }
    long s = e - q->t + 1 > f.emin ? e - q->t + 1 : f.emin;
    mpz_t a, b, g, h;
    mpz_inits(a, b, g, h, NULL);
    out->inexact = !scaled(a, x, -s);
    mpz_add_ui(b, a, 1);

    /* G = floor(x * 2^(r+8-s)): F with eight bits to spare */
    out->r = q->is_f32 ? 53 - q->t : 52;
    int exact = scaled(g, x, out->r + 8 - s);
    mpz_mul_2exp(h, a, (mp_bitcnt_t)(out->r + 8));
    mpz_sub(g, g, h);
    out->F8 = mpz_get_ui(g);
    out->F8_exact = exact;
    uint64_t F = out->F8 >> 8, rest = out->F8 & 255;
    out->F = F + (rest > 128 || (rest == 128 && (!exact || (F & 1))));
    out->slack = !q->is_f32 && out->inexact;

    /* nearest: the half way is one more bit */
    exact = scaled(g, x, 1 - s);
    int half = mpz_odd_p(g);
    int up = half && (!exact || mpz_odd_p(a));
    uint64_t nearest = encode(up ? b : a, s, f);
    out->a = sign | encode(a, s, f);
    out->b = sign | encode(b, s, f);
    out->nearest = sign | nearest;
    if (nearest && nearest != inf) {
        move(out, nearest, f, q->t);
        out->down |= sign;
        out->up |= sign;
    } else {
        out->down = out->up = out->nearest;
    }
    if (q->ftz && nearest < UINT64_C(1) << (f.p - 1)) {
        out->fixed = 1;
        out->nearest = sign;
    } else if (q->ftz) {
        /* no word gives a subnormal either */
        uint64_t *all[] = {&out->a, &out->b, &out->down, &out->up};
        for (int i = 0; i < 4; i++)
            if (*all[i] - sign < UINT64_C(1) << (f.p - 1))
                *all[i] = sign;
    }
    if (!q->is_f32 && nearest == inf)
        out->fixed = 1;
    mpz_clears(a, b, g, h, NULL);
}

oracle_answer oracle_prepare(const oracle_case *q)
{
    f64 v[3] = {q->a, q->b, q->c};
    int operand_f32 = q->is_f32 && q->op != ORACLE_F64_F32;
    for (int i = 0; i < 3; i++)
        if (q->daz && is_subnormal(v[i], operand_f32))
            v[i] = copysign(0.0, v[i]);
    oracle_answer out = {0};
    if (!finite3(q, v[0], v[1], v[2])) {
        out = special(q, v[0], v[1], v[2]);
    } else {
        real x = {.root = 0};
        mpq_init(x.q);
        compute(&x, q, v[0], v[1], v[2]);
        round_it(&out, &x, q);
        mpq_clear(x.q);
    }
    out.mode = q->op >= ORACLE_F64_F32 && q->mode == PRISM_UD ? PRISM_SR : q->mode;
    return out;
}

uint64_t oracle_pick(const oracle_answer *x, uint64_t w)
{
    if (x->fixed)
        return x->nearest;
    switch (x->mode) {
    case PRISM_SR: {
        uint64_t full = UINT64_C(1) << x->r;
        return x->F + (w & (full - 1)) >= full ? x->b : x->a;
    }
    case PRISM_UD: return w & 1 ? x->up : x->down;
    case PRISM_CESTAC: return x->inexact && (w & 1) != x->negative ? x->b : x->a;
    default: return x->nearest;
    }
}

int oracle_accepts(const oracle_answer *x, uint64_t w, uint64_t got)
{
    if (x->fixed && x->is_nan) {
        uint64_t inf = x->nearest >> 32 ? UINT64_C(0x7ff) << 52 : 0x7f800000;
        return (got & (x->nearest >> 32 ? ~UINT64_C(0) >> 1 : 0x7fffffff)) > inf;
    }
    if (got == oracle_pick(x, w))
        return 1;
    if (x->fixed || x->mode != PRISM_SR || !x->slack || (got != x->a && got != x->b))
        return 0;
    /* |F + w - 2^r| <= 1 for the real F */
    uint64_t full = UINT64_C(1) << x->r;
    int64_t d = (int64_t)(x->F8 + ((w & (full - 1)) << 8)) - (int64_t)(full << 8);
    return d >= -256 && (d < 256 || (d == 256 && x->F8_exact)) ? -1 : 0;
}

double oracle_probability_up(const oracle_answer *x)
{
    return ldexp((double)x->F, -x->r);
}
