/* Seeded, shaped operands: where rounding goes wrong, not where it is easy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inputs.h"

#include <math.h>
#include <stdlib.h>

const char *const shape_name[SHAPES] = {"uniform",   "wide",   "cancel", "overflow",
                                        "subnormal", "exact",  "power",  "tie",
                                        "gap",       "special"};

uint64_t rng_next(rng *g)
{
    uint64_t z = (g->s += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t rng_below(rng *g, uint64_t n)
{
    return rng_next(g) % n; /* the bias is of no matter to a choice of inputs */
}

double rng_unit(rng *g)
{
    return (double)(rng_next(g) >> 11) * 0x1p-53;
}

uint64_t test_seed(uint64_t fixed)
{
    const char *s = getenv("FZ_TEST_SEED");
    return s && *s ? strtoull(s, NULL, 0) : fixed;
}

/* volatile: gcc 12.2 at -O2 drops (f64)(f32) where two of them stand next to each other.
 */
static f64 narrow(f64 x, int is_f32)
{
    volatile f32 y = (f32)x;
    return is_f32 ? (f64)y : x;
}

static int sign(rng *g)
{
    return rng_next(g) & 1 ? 1 : -1;
}

/* A significand of p bits whose last `zeros` bits are 0, in [1, 2). */
static f64 mantissa(rng *g, int p, int zeros)
{
    uint64_t m = UINT64_C(1) << (p - 1) | (rng_next(g) >> (65 - p));
    m = m >> zeros << zeros;
    return ldexp((f64)m, 1 - p);
}

static f64 of_exponent(rng *g, int is_f32, int lo, int hi)
{
    int e = lo + (int)rng_below(g, (uint64_t)(hi - lo + 1));
    return narrow(sign(g) * ldexp(mantissa(g, is_f32 ? 24 : 53, 0), e), is_f32);
}

static f64 any_pattern(rng *g, int is_f32)
{
    for (;;) {
        uint64_t b = rng_next(g);
        f64 x = is_f32 ? (f64)f32_bits(b) : f64_bits(b);
        if (isfinite(x))
            return x;
    }
}

static f64 next_by(f64 x, int k, int is_f32)
{
    for (; k; k -= k > 0 ? 1 : -1)
        x = is_f32 ? (f64)nextafterf((f32)x, k > 0 ? INFINITY : -INFINITY)
                   : nextafter(x, k > 0 ? INFINITY : -INFINITY);
    return x;
}

f64 shape_value(rng *g, enum shape shape, int is_f32)
{
    const int p = is_f32 ? 24 : 53, emax = is_f32 ? 127 : 1023,
              emin = is_f32 ? -126 : -1022;
    const f64 ends[] = {0.0,
                        -0.0,
                        INFINITY,
                        -INFINITY,
                        NAN,
                        1.0,
                        -1.0,
                        is_f32 ? 0x1p-149 : 0x1p-1074,
                        is_f32 ? -0x1p-149 : -0x1p-1074,
                        is_f32 ? 0x1p-126 : 0x1p-1022,
                        is_f32 ? 0x1.fffffcp-127 : 0x1.ffffffffffffep-1023,
                        is_f32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023,
                        is_f32 ? -0x1.fffffep127 : -0x1.fffffffffffffp1023,
                        is_f32 ? 0x1.fffffcp127 : 0x1.ffffffffffffep1023,
                        is_f32 ? 0x1p127 : 0x1p1023};
    switch (shape) {
    case SHAPE_WIDE: return any_pattern(g, is_f32);
    case SHAPE_OVERFLOW: return of_exponent(g, is_f32, emax / 2, emax);
    case SHAPE_SUBNORMAL:
        return rng_next(g) & 1 ? of_exponent(g, is_f32, emin - p + 1, emin + 1)
                               : of_exponent(g, is_f32, emin / 2 - p, emin / 2 + 2);
    case SHAPE_EXACT:
        return sign(g) * ldexp(mantissa(g, p, p - 1 - (int)rng_below(g, 8)),
                               (int)rng_below(g, 16) - 8);
    case SHAPE_POWER:
        return next_by(sign(g) * ldexp(1.0, (int)rng_below(g, 80) - 40),
                       (int)rng_below(g, 5) - 2, is_f32);
    case SHAPE_TIE:
        return sign(g) * ldexp(mantissa(g, p, (int)rng_below(g, (uint64_t)p)),
                               (int)rng_below(g, 60) - 30);
    case SHAPE_GAP:
        switch (rng_below(g, 3)) {
        case 0: return of_exponent(g, is_f32, emax - 40, emax);
        case 1: return of_exponent(g, is_f32, emin - p + 1, emin + 30);
        default: return of_exponent(g, is_f32, -3, 3);
        }
    case SHAPE_SPECIAL:
        return rng_next(g) & 3 ? ends[rng_below(g, sizeof ends / sizeof *ends)]
                               : any_pattern(g, is_f32);
    default: return of_exponent(g, is_f32, -12, 12);
    }
}

/* Integers of every length; with long runs of equal bits, so that ties are met. */
static int64_t integer(rng *g, enum shape shape)
{
    uint64_t x = rng_next(g) >> rng_below(g, 64);
    if (shape == SHAPE_EXACT || shape == SHAPE_TIE)
        x &= ~UINT64_C(0) << rng_below(g, 63);
    if (shape == SHAPE_POWER)
        x = (UINT64_C(1) << rng_below(g, 64)) + rng_below(g, 3) - 1;
    if (shape == SHAPE_SPECIAL) {
        const int64_t ends[] = {0,
                                1,
                                -1,
                                INT64_MIN,
                                INT64_MAX,
                                INT32_MIN,
                                INT32_MAX,
                                INT64_MIN + 1,
                                (INT64_C(1) << 53) + 1,
                                (1 << 24) + 1};
        return ends[rng_below(g, sizeof ends / sizeof *ends)];
    }
    return (int64_t)(rng_next(g) & 1 ? x : -x);
}

static void gap_operands(rng *g, oracle_case *q)
{
    /* {a, b, c}: the first line's sum, the second line's fma */
    static const f64 f32_gaps[][3] = {{1, 0x1p-149, 0x1p-149},
                                      {0x1p127, 0x1p-149, 0x1p-149},
                                      {1, -0x1p-149, -0x1p-149},
                                      {1, 0x1p-60, 0x1p-60},
                                      {0x1.fffffep127, 0x1p-149, 0x1p-149},
                                      {1, 0x1p-24, 0x1p-149},
                                      {1 + 0x1p-12, 1 + 0x1p-12, 0x1p-80},
                                      {1 + 0x1p-12, 1 + 0x1p-12, -0x1p-80},
                                      {0x1p-75, 0x1p-74, 0x1p-149},
                                      {0x1p-75, 0x1p-75, 1},
                                      {0x1p64, 0x1p64, -0x1p-149},
                                      {0x1.000002p0, 0x1.fffffep-1, -1}};
    static const f64 f64_gaps[][3] = {{0x1p1023, 0x1p-1074, 0x1p-1074},
                                      {1, 0x1p-1074, 0x1p-1074},
                                      {1, -0x1p-1074, -0x1p-1074},
                                      {1, 0x1p-140, 0x1p-140},
                                      {0x1.fffffffffffffp1023, 0x1p-1074, 0x1p-1074},
                                      {1, 0x1p-53, 0x1p-1074},
                                      {1 + 0x1p-27, 1 + 0x1p-27, 0x1p-140},
                                      {1 + 0x1p-27, 1 + 0x1p-27, -0x1p-140},
                                      {0x1p-538, 0x1p-537, 0x1p-1074},
                                      {0x1p-600, 0x1p-600, 1},
                                      {0x1p512, 0x1p511, -0x1p-1074},
                                      {0x1.0000000000001p0, 0x1.fffffffffffffp-1, -1}};
    int k = (int)rng_below(g, 24);
    if (k < 12) {
        const f64 *v = q->is_f32 ? f32_gaps[k] : f64_gaps[k];
        int s = rng_next(g) & 1 ? 1 : -1;
        q->a = s * v[0];
        q->b = q->op == ORACLE_FMA ? v[1] : s * v[1];
        q->c = s * v[2];
        return;
    }
    q->a = shape_value(g, SHAPE_GAP, q->is_f32);
    q->b = shape_value(g, SHAPE_GAP, q->is_f32);
    q->c = shape_value(g, SHAPE_GAP, q->is_f32);
}

/* The third operand near -a*b, or the second near -a or +a. */
static void cancel_operands(rng *g, oracle_case *q)
{
    const int p = q->is_f32 ? 24 : 53;
    q->a = shape_value(g, SHAPE_UNIFORM, q->is_f32);
    q->b = shape_value(g, SHAPE_UNIFORM, q->is_f32);
    int k = (int)rng_below(g, 9) - 4;
    if (q->op == ORACLE_FMA) {
        q->c = next_by(narrow(-q->a * q->b, q->is_f32), k, q->is_f32);
        if (rng_next(g) & 1)
            q->c = ldexp(q->c, -(int)rng_below(g, (uint64_t)(2 * p)));
        return;
    }
    q->b = next_by(q->op == ORACLE_SUB ? q->a : -q->a, k, q->is_f32);
    if (rng_next(g) & 1)
        q->b = narrow(q->b * (1 + ldexp(1, -(int)rng_below(g, (uint64_t)p))), q->is_f32);
    q->c = 0;
}

/* Half a unit at precision t, exactly or missed by the least that can be. */
static void tie_operands(rng *g, oracle_case *q)
{
    const int p = q->is_f32 ? 24 : 53, t = q->t;
    f64 m = ldexp(mantissa(g, p, p - t < p ? p - t : p - 1), (int)rng_below(g, 9) - 4);
    f64 half = ldexp(1, ilogb(m) - t);
    f64 hair = rng_next(g) & 1 ? 0
                               : ldexp(half, -(int)rng_below(g, q->is_f32 ? 60 : 120));
    if (rng_next(g) & 1)
        hair = -hair;
    int s = sign(g);
    switch (q->op) {
    case ORACLE_FMA:
        q->a = s * m;
        q->b = 1;
        q->c = s * (half + hair);
        if (hair == 0 || rng_next(g) & 1) { /* the product itself is a tie */
            q->a = s * (1 + ldexp(1, -(p / 2)));
            q->b = 1 + ldexp(1, -(p - p / 2));
            q->c = hair;
        }
        break;
    case ORACLE_MUL:
        q->a = s * narrow(m, q->is_f32);
        q->b = 1 + ldexp(1, -(int)rng_below(g, (uint64_t)p));
        break;
    case ORACLE_DIV:
        q->b = shape_value(g, SHAPE_EXACT, q->is_f32);
        q->a = q->b * narrow(s * (m + half), q->is_f32);
        break;
    case ORACLE_SQRT:
        m = mantissa(g, p, p - p / 2);
        q->a = next_by(m * m, (int)rng_below(g, 3) - 1, q->is_f32);
        break;
    case ORACLE_F64_F32: q->a = s * (m + half + hair); break;
    default: q->a = s * m; q->b = (q->op == ORACLE_SUB ? -s : s) * (half + hair);
    }
    q->a = q->op == ORACLE_F64_F32 ? q->a : narrow(q->a, q->is_f32);
    q->b = narrow(q->b, q->is_f32);
    q->c = narrow(q->c, q->is_f32);
}

void shape_operands(rng *g, enum shape shape, oracle_case *q)
{
    q->i = integer(g, shape);
    if (q->op == ORACLE_I32_F32)
        q->i = (int32_t)q->i;
    if (q->op >= ORACLE_I32_F32)
        return;
    q->c = 0;
    if (shape == SHAPE_TIE) {
        tie_operands(g, q);
        return;
    }
    if (q->op == ORACLE_F64_F32) {
        /* the ranges of f32, with bits that it lacks */
        q->a = shape_value(g, shape, rng_next(g) % 4 != 0);
        if (rng_next(g) & 1)
            q->a = f64_bits(bits_f64(q->a) ^ rng_next(g) >> (36 + rng_below(g, 27)));
        return;
    }
    switch (shape) {
    case SHAPE_CANCEL: cancel_operands(g, q); return;
    case SHAPE_GAP: gap_operands(g, q); return;
    default:
        q->a = shape_value(g, shape, q->is_f32);
        q->b = shape_value(g, shape, q->is_f32);
        q->c = shape_value(g, shape, q->is_f32);
    }
    if (shape == SHAPE_OVERFLOW) {
        const f64 max = q->is_f32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
        if (rng_next(g) & 1) { /* right at the edge */
            q->a = sign(g) * max;
            f64 tiny = ldexp(max, -(int)rng_below(g, q->is_f32 ? 60 : 110));
            if (q->op == ORACLE_MUL || q->op == ORACLE_FMA)
                q->b = 1 + (rng_next(g) & 1 ? 0 : ldexp(1, q->is_f32 ? -23 : -52));
            else if (q->op == ORACLE_DIV)
                q->b = 1 - (rng_next(g) & 1 ? 0 : ldexp(1, q->is_f32 ? -24 : -53));
            else
                q->b = narrow(sign(g) * tiny, q->is_f32);
            q->c = narrow(sign(g) * tiny, q->is_f32);
        } else if (q->op == ORACLE_DIV) {
            q->b = 1 / q->b;
            q->b = narrow(q->b, q->is_f32);
        }
    }
    if (shape == SHAPE_SUBNORMAL && q->op == ORACLE_DIV && rng_next(g) & 1)
        q->b = narrow(ldexp(q->b, q->is_f32 ? 130 : 1030), q->is_f32);
    if (q->op == ORACLE_SQRT && rng_next(g) % 8)
        q->a = fabs(q->a);
}

int shape_words(rng *g, const oracle_answer *x, uint64_t *w)
{
    int n = 0;
    uint64_t junk = rng_next(g);
    if (x->mode == PRISM_NEAREST || x->fixed) {
        w[n++] = junk;
        return n;
    }
    if (x->mode != PRISM_SR) { /* one bit counts, the rest must be ignored */
        w[n++] = 0;
        w[n++] = 1;
        w[n++] = junk | 1;
        w[n++] = junk & ~UINT64_C(1);
        return n;
    }
    uint64_t full = UINT64_C(1) << x->r, high = junk & ~(full - 1);
    w[n++] = 0;
    w[n++] = full - 1;
    w[n++] = high;
    w[n++] = junk;
    w[n++] = rng_next(g);
    for (int k = -2; k <= 2; k++) {
        uint64_t v = full - x->F + (uint64_t)(int64_t)k;
        if (v < full)
            w[n++] = v | (k & 1 ? high : 0);
    }
    return n;
}
