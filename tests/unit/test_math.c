/* Math functions against MPFR: wide values by their error, results by the law on every ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "../../kernels/kernels.h"

#include "test.h"

#define COUNT 600
#define BITS 300

/* Where a function is tested: most arguments in [lo, hi], logarithmically if `log`. bound32:
 * units of 2^-53; bound64: log2 of the relative error that docs/math.md states. */
typedef struct about {
    const char *name;
    f64 lo32, hi32, lo64, hi64;
    f64 bound32, bound64;
} about;

static const about abouts[FZ_FNS] = {
    [FZ_FN_EXP] = {"exp", -103, 88.7, -610, 690, 3, -85},
    [FZ_FN_EXP2] = {"exp2", -149, 128, -880, 990, 3, -85},
    [FZ_FN_EXP10] = {"exp10", -45, 38.5, -300, 300, 2, 0},
    [FZ_FN_EXPM1] = {"expm1", -20, 88.7, -60, 690, 4, -96},
    [FZ_FN_LOG] = {"log", 0x1p-149, 0x1.fp127, 0x1p-990, 0x1p1000, 4, -87},
    [FZ_FN_LOG2] = {"log2", 0x1p-149, 0x1.fp127, 0x1p-990, 0x1p1000, 4, -87},
    [FZ_FN_LOG10] = {"log10", 0x1p-149, 0x1.fp127, 0x1p-990, 0x1p1000, 4, -87},
    [FZ_FN_LOG1P] = {"log1p", -0.9999, 1000, -0.9999, 1000, 4, -87},
    [FZ_FN_SIN] = {"sin", -1000, 1000, -1000, 1000, 4, -83},
    [FZ_FN_COS] = {"cos", -1000, 1000, -1000, 1000, 4, -83},
    [FZ_FN_TAN] = {"tan", -1000, 1000, -1000, 1000, 6, -97},
    [FZ_FN_ASIN] = {"asin", -1, 1, -1, 1, 2, 0},
    [FZ_FN_ACOS] = {"acos", -1, 1, -1, 1, 2, 0},
    [FZ_FN_ATAN] = {"atan", -50, 50, -50, 50, 2, 0},
    [FZ_FN_SINH] = {"sinh", -89, 89, -690, 690, 6, -96},
    [FZ_FN_COSH] = {"cosh", -89, 89, -690, 690, 6, -85},
    [FZ_FN_TANH] = {"tanh", -15, 15, -30, 30, 6, -96},
    [FZ_FN_ASINH] = {"asinh", -1000, 1000, -1000, 1000, 2, 0},
    [FZ_FN_ACOSH] = {"acosh", 1, 1000, 1, 1000, 2, 0},
    [FZ_FN_ATANH] = {"atanh", -1, 1, -1, 1, 2, 0},
    [FZ_FN_ERF] = {"erf", -5.5, 5.5, -6, 6, 4, -84},
    [FZ_FN_ERFC] = {"erfc", -5, 12, -6, 26, 2, 0},
    [FZ_FN_LGAMMA] = {"lgamma", 0.1, 60, 0.1, 60, 4, 0},
    [FZ_FN_TGAMMA] = {"tgamma", 0.1, 34, 0.1, 170, 4, 0},
    [FZ_FN_CBRT] = {"cbrt", -1000, 1000, -1000, 1000, 2, 0},
    [FZ_FN_SQRT] = {"sqrt", 0, 1000, 0, 1000, 2, 0},
    [FZ_FN_ERFINV] = {"erfinv", -1, 1, -1, 1, 2, 0},
    [FZ_FN_POW] = {"pow", 0x1p-30, 0x1p30, 0x1p-60, 0x1p60, 6, -79},
    [FZ_FN_ATAN2] = {"atan2", -10, 10, -10, 10, 2, 0},
    [FZ_FN_HYPOT] = {"hypot", -10, 10, -10, 10, 2, 0},
};

/* erf(y) = x by bisection between doubles' neighbours would lose bits: Newton in MPFR. */
static void erfinv(mpfr_t r, mpfr_t x)
{
    mpfr_t y, f, d, c;
    mpfr_inits2(BITS + 200, y, f, d, c, NULL);
    mpfr_const_pi(c, MPFR_RNDN);
    mpfr_sqrt(c, c, MPFR_RNDN);
    mpfr_ui_div(c, 2, c, MPFR_RNDN);
    /* bisection to 2^-40, then Newton */
    double lo = -7, hi = 7;
    for (int i = 0; i < 60; i++) {
        double mid = (lo + hi) / 2;
        mpfr_set_d(y, mid, MPFR_RNDN);
        mpfr_erf(f, y, MPFR_RNDN);
        *(mpfr_cmp(f, x) < 0 ? &lo : &hi) = mid;
    }
    mpfr_set_d(y, (lo + hi) / 2, MPFR_RNDN);
    for (int i = 0; i < 6; i++) {
        mpfr_erf(f, y, MPFR_RNDN);
        mpfr_sub(f, f, x, MPFR_RNDN);
        mpfr_sqr(d, y, MPFR_RNDN);
        mpfr_neg(d, d, MPFR_RNDN);
        mpfr_exp(d, d, MPFR_RNDN);
        mpfr_mul(d, d, c, MPFR_RNDN);
        mpfr_div(f, f, d, MPFR_RNDN);
        mpfr_sub(y, y, f, MPFR_RNDN);
    }
    mpfr_set(r, y, MPFR_RNDN);
    mpfr_clears(y, f, d, c, NULL);
}

static void exact_value(mpfr_t r, enum fz_fn fn, f64 dx, f64 dy)
{
    const mpfr_rnd_t n = MPFR_RNDN;
    mpfr_t x, y;
    mpfr_init2(x, 53);
    mpfr_init2(y, 53);
    mpfr_set_d(x, dx, n);
    mpfr_set_d(y, dy, n);
    int sign;
    switch (fn) {
    case FZ_FN_EXP: mpfr_exp(r, x, n); break;
    case FZ_FN_EXP2: mpfr_exp2(r, x, n); break;
    case FZ_FN_EXP10: mpfr_exp10(r, x, n); break;
    case FZ_FN_EXPM1: mpfr_expm1(r, x, n); break;
    case FZ_FN_LOG: mpfr_log(r, x, n); break;
    case FZ_FN_LOG2: mpfr_log2(r, x, n); break;
    case FZ_FN_LOG10: mpfr_log10(r, x, n); break;
    case FZ_FN_LOG1P: mpfr_log1p(r, x, n); break;
    case FZ_FN_SIN: mpfr_sin(r, x, n); break;
    case FZ_FN_COS: mpfr_cos(r, x, n); break;
    case FZ_FN_TAN: mpfr_tan(r, x, n); break;
    case FZ_FN_ASIN: mpfr_asin(r, x, n); break;
    case FZ_FN_ACOS: mpfr_acos(r, x, n); break;
    case FZ_FN_ATAN: mpfr_atan(r, x, n); break;
    case FZ_FN_SINH: mpfr_sinh(r, x, n); break;
    case FZ_FN_COSH: mpfr_cosh(r, x, n); break;
    case FZ_FN_TANH: mpfr_tanh(r, x, n); break;
    case FZ_FN_ASINH: mpfr_asinh(r, x, n); break;
    case FZ_FN_ACOSH: mpfr_acosh(r, x, n); break;
    case FZ_FN_ATANH: mpfr_atanh(r, x, n); break;
    case FZ_FN_ERF: mpfr_erf(r, x, n); break;
    case FZ_FN_ERFC: mpfr_erfc(r, x, n); break;
    case FZ_FN_LGAMMA: mpfr_lgamma(r, &sign, x, n); break;
    case FZ_FN_TGAMMA: mpfr_gamma(r, x, n); break;
    case FZ_FN_CBRT: mpfr_cbrt(r, x, n); break;
    case FZ_FN_SQRT: mpfr_sqrt(r, x, n); break;
    case FZ_FN_POW: mpfr_pow(r, x, y, n); break;
    case FZ_FN_ATAN2: mpfr_atan2(r, x, y, n); break;
    case FZ_FN_HYPOT: mpfr_hypot(r, x, y, n); break;
    default:
        if (!(fabs(dx) < 1) || dx == 0)
            mpfr_set_d(r, dx == 0 ? dx : fabs(dx) == 1 ? dx * INFINITY : NAN, n);
        else
            erfinv(r, x);
    }
    mpfr_clears(x, y, NULL);
}

/* The wide value that math.h defines. */
static void widen(mpfr_t r, int is_f32)
{
    if (is_f32)
        mpfr_set_d(r, mpfr_get_d(r, MPFR_RNDN), MPFR_RNDN);
    else if (mpfr_regular_p(r) && mpfr_get_exp(r) < -16494)
        mpfr_set_zero(r, mpfr_sgn(r));                /* below binary128's range */
    else
        mpfr_prec_round(r, 105, MPFR_RNDN);
}

/* ---- the law on a wide value ------------------------------------------------------------ */

typedef struct want {
    int special;               /* inf, NaN or zero: `value`; else the law */
    f64 value;
    int negative, inexact, overflow;
    f64 a, b, nearest, down, up;      /* magnitudes; b may be inf */
    f64 F;                     /* (x-a)/(b-a) * 2^r, exact in f64 up to 2^53 */
    int r;
} want;

/* |n| * 2^s as the type has it: inf beyond its range. */
static f64 magnitude(const mpz_t n, long s, int is_f32)
{
    mpfr_t v;
    mpfr_init2(v, 200);
    mpfr_set_z_2exp(v, n, s, MPFR_RNDN);
    f64 x = mpfr_get_d(v, MPFR_RNDN);
    mpfr_clear(v);
    return is_f32 && x >= 0x1p128 ? INFINITY : x;
}

static want law(mpfr_t wide, int is_f32, int t)
{
    want q = {.r = is_f32 ? 53 - t : 52, .negative = mpfr_signbit(wide) != 0};
    if (!mpfr_regular_p(wide)) {
        q.special = 1;
        q.value = mpfr_get_d(wide, MPFR_RNDN);
        return q;
    }
    const long emin = is_f32 ? -149 : -1074, emax = is_f32 ? 128 : 1024;
    const long e = mpfr_get_exp(wide) - 1;
    if (e >= emax) {
        q.special = 1;
        q.value = q.negative ? -INFINITY : INFINITY;
        return q;
    }
    const long s = e - t + 1 > emin ? e - t + 1 : emin;
    mpfr_t x, f;
    mpfr_init2(x, 400);
    mpfr_init2(f, 400);
    mpz_t a, b, g;
    mpz_inits(a, b, g, NULL);
    mpfr_abs(x, wide, MPFR_RNDN);
    mpfr_mul_2si(x, x, -s, MPFR_RNDN);
    mpfr_get_z(a, x, MPFR_RNDZ);
    mpz_add_ui(b, a, 1);
    mpfr_sub_z(f, x, a, MPFR_RNDN);
    q.inexact = !mpfr_zero_p(f);
    const int half = mpfr_cmp_d(f, 0.5);
    const int up = half > 0 || (half == 0 && mpz_odd_p(a));
    mpfr_mul_2si(f, f, q.r, MPFR_RNDN);
    mpfr_get_z(g, f, MPFR_RNDN);
    q.F = mpz_get_d(g);
    q.a = magnitude(a, s, is_f32);
    q.b = magnitude(b, s, is_f32);
    q.nearest = up ? q.b : q.a;
    if (!is_f32 && isinf(q.nearest)) {
        q.special = 1;
        q.value = q.negative ? -INFINITY : INFINITY;
    }
    /* one unit of nearest's own representation */
    q.up = q.down = q.nearest;
    if (q.nearest != 0 && !isinf(q.nearest)) {
        const long n = ilogb(q.nearest);
        const long unit = n - t + 1 > emin ? n - t + 1 : emin;
        mpz_set(g, up ? b : a);
        q.up = q.nearest + ldexp(1, (int)unit);
        if (is_f32 && q.up >= 0x1p128)
            q.up = INFINITY;
        /* patterns count down: below a power of two the unit is half, but for subnormals */
        const long below = q.nearest == ldexp(1, (int)n) && n - 1 >= emin + t - 1 &&
                                   n > (is_f32 ? -126 : -1022)
                               ? n - t
                               : unit;
        q.down = q.nearest - ldexp(1, (int)(below > emin ? below : emin));
    }
    mpz_clears(a, b, g, NULL);
    mpfr_clears(x, f, NULL);
    return q;
}

/* Is `got` what word w gives, for some F within `slack` of the true one? */
static int accepts(const want *q, enum prism_mode mode, uint64_t w, f64 got, f64 slack)
{
    if (q->special)
        return isnan(q->value) ? isnan(got)
                               : got == q->value && signbit(got) == signbit(q->value);
    if (signbit(got) != q->negative)
        return 0;
    got = fabs(got);
    if (!q->inexact)
        return got == q->a;
    const f64 full = ldexp(1, q->r);
    const f64 word = (f64)(w & ((UINT64_C(1) << q->r) - 1));
    switch (mode) {
    case PRISM_SR:
        if (q->F + word >= full + slack)
            return got == q->b;
        return q->F + word < full - slack ? got == q->a : got == q->a || got == q->b;
    case PRISM_CESTAC:
        return got == ((w & 1) != (uint64_t)q->negative ? q->b : q->a);
    case PRISM_UD:
        return got == (w & 1 ? q->up : q->down) || (fabs(q->F - full / 2) <= slack);
    default:
        return got == q->nearest || fabs(q->F - full / 2) <= slack;
    }
}

/* ---- arguments -------------------------------------------------------------------------- */

static f64 argument(rng *g, f64 lo, f64 hi, int is_f32)
{
    f64 x = lo + (hi - lo) * rng_unit(g);
    switch (rng_below(g, 4)) {
    case 0:                                           /* near zero, all exponents alike */
        if (lo <= 0)
            x = (rng_below(g, 2) && lo < 0 ? lo : hi) * exp2(-20 * rng_unit(g));
        break;
    case 1:                                           /* near one */
        x = (1 + (rng_unit(g) - 0.5) * exp2(-10 * rng_unit(g))) * (rng_below(g, 2) ? 1 : -1);
        break;
    default: break;
    }
    if (lo > 0 && hi / lo > 1e6 && rng_below(g, 2))
        x = exp2(log2(lo) + (log2(hi) - log2(lo)) * rng_unit(g));
    if (!(x >= lo && x <= hi))
        x = lo > 0 && hi > 1e300 ? exp2(rng_unit(g)) : lo + (hi - lo) * rng_unit(g);
    return is_f32 ? (f64)(f32)x : x;
}

static void arguments(rng *g, enum fz_fn fn, int is_f32, f64 *x, f64 *y, int n)
{
    const about *u = &abouts[fn];
    for (int i = 0; i < n; i++) {
        x[i] = argument(g, is_f32 ? u->lo32 : u->lo64, is_f32 ? u->hi32 : u->hi64, is_f32);
        y[i] = argument(g, -10, 10, is_f32);
    }
}

/* Edges: specials, exact cases, subnormals, over- and underflow, huge and tiny arguments. */
static int edges(int is_f32, f64 *x, f64 *y)
{
    static const f64 v[] = {
        0.0, -0.0, INFINITY, -INFINITY, NAN, 1, -1, 2, -2, 3, -3, 4, 8, 9, 10, 27, 100, 1000,
        0.5, -0.5, 0.25, 1.5, 5, 12, 64, 125, 1024, 0x1p-126, -0x1p-126, 0x1p-149, 0x1.8p-130,
        0x1.fffffep127, -0x1.fffffep127, 0x1p-20, -0x1p-20, 0x1p-60, 88.7228, 88.73, 89,
        -87.4, -88, -100, -103.2, -103.98, -104, -110, -150, -149, -149.5, -126, 127, 128,
        127.9999, 38.5, -37.9, -45, -45.5, 0x1.921fb6p0, 0x1.921fb6p1, 0x1.c7p20, 0x1.1p40,
        1e30, -745, -745.3, -800, -1e9, 16, 17, 18.5, 20, 5.9, 6, 6.1, 10.5, 0.999999940395,
        1.00000011920929, 35, 36, 34.5, 170, 171.7, 708, 709.7, 710, -708, -690, -11400,
        1023, 1024.5, -1022, -1074, -1075.5, 26, 27.5, -20, -40, 7.5, 0x1p20, 0x1.fp19, 22, 23};
    enum { N = sizeof v / sizeof *v };
    static const f64 more[] = {0x1p-1074, -0x1p-1074, 0x1.234p-1030, 0x1p-1022,
                               0x1.fffffffffffffp1023, 0x1p-300, 0x1p-600, 0x1.3p900,
                               -0x1.3p-900, 0x1.921fb54442d18p0, 0x1.921fb54442d18p10,
                               0x1.6ac5b262ca1ffp849, 0x1p-40, 0x1p-50, 1 + 0x1p-52,
                               1 - 0x1p-53, 709.78271289338397, -745.13321910194122};
    enum { M = sizeof more / sizeof *more };
    int n = 0;
    for (int i = 0; i < N + (is_f32 ? 0 : M); i++)
        for (int j = 0; j < 5; j++) {
            f64 a = i < N ? v[i] : more[i - N];
            f64 b = j == 0 ? v[(i * 7 + 3) % N] : j == 1 ? 2 : j == 2 ? -3 : j == 3 ? 0.5 : 1;
            x[n] = is_f32 ? (f64)(f32)a : a;
            y[n++] = is_f32 ? (f64)(f32)b : b;
        }
    return n;
}

#define MOST 2000

static void to_type(const f64 *v, int n, int is_f32, void *out)
{
    for (int i = 0; i < n; i++)
        if (is_f32)
            ((f32 *)out)[i] = (f32)v[i];
        else
            ((f64 *)out)[i] = v[i];
}

/* One array through every ISA, mode and precision. */
static void check_law(rng *g, uint64_t seed, enum fz_fn fn, int is_f32, const f64 *x,
                      const f64 *y, int n, int edge)
{
    static f64 ax[MOST], ay[MOST], out[MOST];
    static uint64_t words[MOST];
    static want q[MOST];
    const int full = is_f32 ? 24 : 53, t = rng_below(g, 3) ? full : 1 + (int)rng_below(g, full);
    const f64 slack = is_f32 ? abouts[fn].bound32 + 2
                             : 2 + (abouts[fn].bound64 < 0 ? exp2(105 + abouts[fn].bound64) : 0);
    to_type(x, n, is_f32, ax);
    to_type(y, n, is_f32, ay);
    for (int i = 0; i < n; i++) {
        mpfr_t v;
        mpfr_init2(v, BITS);
        exact_value(v, fn, x[i], y[i]);
        widen(v, is_f32);
        q[i] = law(v, is_f32, t);
        mpfr_clear(v);
    }
    for (int mode = 0; mode < 4; mode++) {
        fz_job job = {(enum prism_mode)mode, t, prism_key_derive(prism_key_seed(seed),
                                                                 rng_next(g)), NULL};
        prism_words(job.key, job.mode, is_f32 ? 4 : 8, t, 0, (size_t)n, words);
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            const fz_kernels *k = fz_kernels_for((enum prism_isa)isa);
            const unsigned csr = _mm_getcsr();
            if (is_f32)
                k->map_f32(&job, fn, n, (f32 *)ax, (f32 *)ay, (f32 *)out);
            else
                k->map_f64(&job, fn, n, ax, ay, out);
            ck_assert_msg(_mm_getcsr() == csr, "%s changed MXCSR", abouts[fn].name);
            for (int i = 0; i < n; i++) {
                f64 got = is_f32 ? (f64)((f32 *)out)[i] : out[i];
                if (edge && fn == FZ_FN_LGAMMA && x[i] <= 0)
                    continue;                         /* signs at poles: conventions differ */
                if (edge && fn == FZ_FN_TGAMMA && x[i] == 0)
                    continue;
                ck_assert_msg(accepts(&q[i], job.mode, words[i], got, slack),
                              "FZ_TEST_SEED=%llu %s %s %s %s t=%d x=%a y=%a w=%llx: got %a; "
                              "a=%s%a b=%a nearest=%a F=%.0f inexact=%d special=%d (%a)",
                              (unsigned long long)seed, prism_isa_name((enum prism_isa)isa),
                              abouts[fn].name, is_f32 ? "f32" : "f64",
                              oracle_mode_name[mode], t, x[i], y[i],
                              (unsigned long long)words[i], got, q[i].negative ? "-" : "",
                              q[i].a, q[i].b, q[i].nearest, q[i].F, q[i].inexact,
                              q[i].special, q[i].value);
            }
        }
    }
}

START_TEST(law_on_samples)
{
    static f64 x[MOST], y[MOST];
    const enum fz_fn fn = (enum fz_fn)_i;
    const uint64_t seed = test_seed(20261201 + (uint64_t)_i);
    rng g = {seed};
    for (int is_f32 = 0; is_f32 < 2; is_f32++) {
        const int n = test_long() ? MOST : COUNT;
        arguments(&g, fn, is_f32, x, y, n);
        check_law(&g, seed, fn, is_f32, x, y, n, 0);
    }
}
END_TEST

START_TEST(law_on_edges)
{
    static f64 x[MOST], y[MOST];
    const enum fz_fn fn = (enum fz_fn)_i;
    const uint64_t seed = test_seed(20261301 + (uint64_t)_i);
    rng g = {seed};
    for (int is_f32 = 0; is_f32 < 2; is_f32++) {
        int n = edges(is_f32, x, y);
        for (int repeat = 0; repeat < 3; repeat++)
            check_law(&g, seed, fn, is_f32, x, y, n, 1);
    }
}
END_TEST

/* The error of the wide values, and that ordinary arguments are served by them. */
START_TEST(wide_values)
{
    enum { N = 4000 };
    static f64 x[N], y[N], s[N], rho[N], s0[N], rho0[N];
    const enum fz_fn fn = (enum fz_fn)_i;
    const uint64_t seed = test_seed(20261401 + (uint64_t)_i);
    rng g = {seed};
    for (int is_f32 = 0; is_f32 < 2; is_f32++) {
        const int n = test_long() ? N : N / 4;
        arguments(&g, fn, is_f32, x, y, n);
        f64 worst = 0, at_x = 0, at_y = 0;
        int unserved = 0;
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            fz_kernels_for((enum prism_isa)isa)->math_wide(fn, is_f32, n, x, y, s, rho);
            if (isa == test_next_isa(0)) {
                memcpy(s0, s, sizeof s);
                memcpy(rho0, rho, sizeof rho);
                continue;
            }
            for (int i = 0; i < n; i++)
                ck_assert_msg((rho[i] != rho[i] && rho0[i] != rho0[i]) ||
                                  (!memcmp(&s[i], &s0[i], 8) && rho[i] == rho0[i]) ||
                                  (s[i] != s[i] && s0[i] != s0[i]),
                              "%s %s x=%a y=%a: %s %a + %a, first ISA %a + %a", abouts[fn].name,
                              is_f32 ? "f32" : "f64", x[i], y[i],
                              prism_isa_name((enum prism_isa)isa), s[i], rho[i], s0[i],
                              rho0[i]);
        }
        for (int i = 0; i < n; i++) {
            if (rho[i] != rho[i]) {
                unserved++;
                continue;
            }
            mpfr_t v, d;
            mpfr_init2(v, BITS);
            mpfr_init2(d, BITS);
            exact_value(v, fn, x[i], y[i]);
            if (isinf(rho[i])) {
                widen(v, is_f32);
                f64 e = mpfr_get_d(v, MPFR_RNDN);
                ck_assert_msg(e == s[i] || (e != e && s[i] != s[i]) ||
                                  (is_f32 && isinf(s[i]) && fabs(e) > 0x1p128),
                              "%s x=%a y=%a: certain of %a, is %a", abouts[fn].name, x[i],
                              y[i], s[i], e);
            } else {
                mpfr_set_d(d, s[i], MPFR_RNDN);
                mpfr_add_d(d, d, rho[i], MPFR_RNDN);
                mpfr_sub(d, d, v, MPFR_RNDN);
                mpfr_div(d, d, v, MPFR_RNDN);
                f64 e = fabs(mpfr_get_d(d, MPFR_RNDN));
                if (e > worst) {
                    worst = e;
                    at_x = x[i];
                    at_y = y[i];
                }
            }
            mpfr_clears(v, d, NULL);
        }
        if (getenv("FZ_TEST_SHOW"))
            printf("math: %-7s %s error 2^%.1f (%.2f units) at x=%a y=%a, %d of %d by definition\n",
                   abouts[fn].name, is_f32 ? "f32" : "f64", log2(worst), worst * 0x1p53, at_x,
                   at_y, unserved, n);
        const f64 bound = is_f32 ? abouts[fn].bound32 * 0x1p-53
                                 : abouts[fn].bound64 < 0 ? exp2(abouts[fn].bound64) : 0;
        ck_assert_msg(worst <= bound, "FZ_TEST_SEED=%llu %s %s: error 2^%.1f at x=%a y=%a",
                      (unsigned long long)seed, abouts[fn].name, is_f32 ? "f32" : "f64",
                      log2(worst), at_x, at_y);
        if (is_f32 || abouts[fn].bound64 < 0)
            ck_assert_msg(unserved * 20 < n, "%s %s: %d of %d by definition",
                          abouts[fn].name, is_f32 ? "f32" : "f64", unserved, n);
    }
}
END_TEST

/* Representable results stay in every mode. */
START_TEST(exact_stays)
{
    static const struct { enum fz_fn fn; f64 x, y, r; } cases[] = {
        {FZ_FN_EXP, 0, 0, 1}, {FZ_FN_EXP, -0.0, 0, 1}, {FZ_FN_LOG, 1, 0, 0},
        {FZ_FN_EXP2, 10, 0, 1024}, {FZ_FN_EXP2, -20, 0, 0x1p-20}, {FZ_FN_EXP2, -140, 0, 0x1p-140},
        {FZ_FN_EXP10, 3, 0, 1000}, {FZ_FN_LOG2, 1024, 0, 10}, {FZ_FN_LOG2, 0x1p-140, 0, -140},
        {FZ_FN_LOG10, 1000, 0, 3}, {FZ_FN_LOG10, 1, 0, 0}, {FZ_FN_POW, 1.5, 2, 2.25},
        {FZ_FN_POW, 3, 5, 243}, {FZ_FN_POW, -3, 3, -27}, {FZ_FN_POW, 0.25, 0.5, 0.5},
        {FZ_FN_POW, 7, 1, 7}, {FZ_FN_POW, 7, 0, 1}, {FZ_FN_POW, 4, -1, 0.25},
        {FZ_FN_CBRT, 27, 0, 3}, {FZ_FN_CBRT, -0.125, 0, -0.5}, {FZ_FN_SQRT, 2.25, 0, 1.5},
        {FZ_FN_SIN, 0, 0, 0}, {FZ_FN_COS, 0, 0, 1}, {FZ_FN_TANH, 0, 0, 0},
        {FZ_FN_TANH, 60, 0, 1}, {FZ_FN_ERF, 0, 0, 0}, {FZ_FN_ERF, -20, 0, -1},
        {FZ_FN_LGAMMA, 2, 0, 0}, {FZ_FN_TGAMMA, 5, 0, 24}, {FZ_FN_HYPOT, 3, 4, 5},
        {FZ_FN_COSH, 0, 0, 1}, {FZ_FN_EXPM1, -100, 0, -1}, {FZ_FN_LOG1P, 0, 0, 0},
        {FZ_FN_ACOS, 1, 0, 0}, {FZ_FN_EXP, -INFINITY, 0, 0}, {FZ_FN_SIN, -0.0, 0, -0.0},
        {FZ_FN_TANH, -0.0, 0, -0.0}, {FZ_FN_ERF, -0.0, 0, -0.0}, {FZ_FN_EXPM1, -0.0, 0, -0.0},
        {FZ_FN_LOG1P, -0.0, 0, -0.0}, {FZ_FN_COS, -0.0, 0, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int mode = 0; mode < 4; mode++)
            for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
                enum { N = 67 };
                f32 x[N], y[N], r[N];
                f64 dx[N], dy[N], dr[N];
                for (int i = 0; i < N; i++) {
                    x[i] = (f32)(dx[i] = cases[c].x);
                    y[i] = (f32)(dy[i] = cases[c].y);
                }
                fz_job job = {(enum prism_mode)mode, 24, prism_key_seed(c), NULL};
                const fz_kernels *k = fz_kernels_for((enum prism_isa)isa);
                k->map_f32(&job, cases[c].fn, N, x, y, r);
                job.t = 53;
                k->map_f64(&job, cases[c].fn, N, dx, dy, dr);
                for (int i = 0; i < N; i++)
                    ck_assert_msg(r[i] == cases[c].r && dr[i] == cases[c].r &&
                                      !signbit(r[i]) == !signbit(cases[c].r) &&
                                      !signbit(dr[i]) == !signbit(cases[c].r),
                                  "%s(%g, %g) %s %s: %a %a", abouts[cases[c].fn].name,
                                  cases[c].x, cases[c].y, oracle_mode_name[mode],
                                  prism_isa_name((enum prism_isa)isa), (f64)r[i], dr[i]);
            }
}
END_TEST

/* In place, lengths, guards: equal to the first elements of a long run; a NaN lane is alone. */
START_TEST(shapes_of_calls)
{
    enum { N = 5000 };
    static f32 x[N], all[N], out[N + 8];
    rng g = {test_seed(20261501)};
    for (int i = 0; i < N; i++)
        x[i] = (f32)(rng_unit(&g) * 20 - 10);
    x[3] = NAN;
    x[70] = INFINITY;
    fz_job job = {PRISM_SR, 24, prism_key_seed(5), NULL};
    fz_kernels_for((enum prism_isa)test_next_isa(0))->map_f32(&job, FZ_FN_EXP, N, x, x, all);
    static const int lengths[] = {-3, 0, 1, 7, 31, 32, 33, 255, 257, 4095, 4097, 5000};
    for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1))
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const int n = lengths[i];
            memset(out, 0x5a, sizeof out);
            if (n > 0)
                memcpy(out, x, (size_t)n * 4);
            fz_kernels_for((enum prism_isa)isa)->map_f32(&job, FZ_FN_EXP, n, out, out, out);
            for (int j = 0; j < n; j++)
                ck_assert_msg(out[j] == all[j] || (out[j] != out[j] && all[j] != all[j]),
                              "%s n=%d element %d: %a, in a long run %a",
                              prism_isa_name((enum prism_isa)isa), n, j, (f64)out[j],
                              (f64)all[j]);
            for (int j = n > 0 ? n : 0; j < N + 8; j++)
                ck_assert_msg(bits_f32(out[j]) == 0x5a5a5a5a, "n=%d wrote element %d", n, j);
        }
}
END_TEST

/* FTZ and DAZ of the host: no subnormal in, none out. */
START_TEST(host_flushes)
{
    f32 x[64], r[64];
    for (int i = 0; i < 64; i++)
        x[i] = -87.3f - (f32)i / 32;
    for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
        fz_job job = {PRISM_SR, 24, prism_key_seed(6), NULL};
        const unsigned old = _mm_getcsr();
        _mm_setcsr(old | 0x8040);
        fz_kernels_for((enum prism_isa)isa)->map_f32(&job, FZ_FN_EXP, 64, x, x, r);
        _mm_setcsr(old);
        int zeros = 0;
        for (int i = 0; i < 64; i++) {
            ck_assert_msg(r[i] == 0 || r[i] >= 0x1p-126f, "exp(%a) = %a under FTZ", (f64)x[i],
                          (f64)r[i]);
            zeros += r[i] == 0;
        }
        ck_assert_int_gt(zeros, 30);
        f32 tiny[2] = {0x1p-130f, -0x1p-140f};
        _mm_setcsr(old | 0x8040);
        fz_kernels_for((enum prism_isa)isa)->map_f32(&job, FZ_FN_LOG, 1, tiny, tiny, r);
        fz_kernels_for((enum prism_isa)isa)->map_f32(&job, FZ_FN_SIN, 1, tiny + 1, tiny, r + 1);
        _mm_setcsr(old);
        ck_assert(isinf(r[0]) && r[0] < 0);
        ck_assert(r[1] == 0 && signbit(r[1]));
    }
}
END_TEST

Suite *suite_math(void)
{
    Suite *s = suite_create("math");
    TCase *c = tcase_create("math");
    tcase_set_timeout(c, 600);
    tcase_add_loop_test(c, wide_values, 0, FZ_FNS);
    tcase_add_loop_test(c, law_on_samples, 0, FZ_FNS);
    tcase_add_loop_test(c, law_on_edges, 0, FZ_FNS);
    tcase_add_test(c, exact_stays);
    tcase_add_test(c, shapes_of_calls);
    tcase_add_test(c, host_flushes);
    suite_add_tcase(s, c);
    return s;
}
