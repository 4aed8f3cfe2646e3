/* BLAS beside gemm: all routines against dense sums in long double, ISAs and threads
 * alike.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A result must lie within the bound that its number of roundings allows: with m
 * operations of relative error u in a chain, |error| <= m*u/(1 - m*u) times the sum of
 * magnitudes. u is 2^-t for nearest, twice that for sr and cestac, three times for ud
 * (the nearest, then a unit). Solutions are judged by their residual. What a routine must
 * not touch is compared byte by byte, and so is every ISA and thread count with the
 * scalar build.
 */
#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/blas3.h"
#include "../../kernels/blas_ops.h"
#include "../../kernels/level1.h"
#include "../../kernels/level2.h"
#include "matrix.h"
#include "stats.h"
#include "test.h"

#undef I
typedef long double _Complex wide;

enum routine {
    GEMM,
    SYMM,
    HEMM,
    SYRK,
    HERK,
    SYR2K,
    HER2K,
    TRMM,
    TRSM,
    GEMV,
    SYMV,
    HEMV,
    TRMV,
    TRSV,
    GER,
    SYR,
    HER,
    SYR2,
    HER2,
    GBMV,
    AXPY,
    SCAL,
    DOT,
    NRM2,
    ASUM,
    ROT,
    ROUTINES
};
static const char *const routine_name[ROUTINES] = {
    "gemm", "symm", "hemm", "syrk", "herk", "syr2k", "her2k", "trmm", "trsm",
    "gemv", "symv", "hemv", "trmv", "trsv", "ger",   "syr",   "her",  "syr2",
    "her2", "gbmv", "axpy", "scal", "dot",  "nrm2",  "asum",  "rot"};

/* One call: m x n is the output (a column for a vector), kk the length of a sum. */
typedef struct call {
    enum routine r;
    int right, upper, unit, conj, form;
    char ta, tb;
    ptrdiff_t m, n, kk, kl, ku, lda, ldb, ldc, incx, incy;
    fz_stored stored;
    wide alpha, beta;
    uint64_t seed;
} call;

static const char *call_text(const call *q, const char *type, const fz_job *job)
{
    static char text[400];
    snprintf(
        text, sizeof text,
        "%s %s %s t=%d right=%d upper=%d unit=%d conj=%d stored=%d trans=%c%c m=%td "
        "n=%td "
        "k=%td kl=%td ku=%td ld %td %td %td inc %td %td alpha=%Lg%+Lgi beta=%Lg%+Lgi "
        "FZ_TEST_SEED=%llu",
        routine_name[q->r], type, oracle_mode_name[job->mode], job->t, q->right, q->upper,
        q->unit, q->conj, (int)q->stored.how, q->ta, q->tb, q->m, q->n, q->kk, q->kl,
        q->ku, q->lda, q->ldb, q->ldc, q->incx, q->incy, creall(q->alpha),
        cimagl(q->alpha), creall(q->beta), cimagl(q->beta), (unsigned long long)q->seed);
    return text;
}

/* Room for any operand of a call. */
#define ROOM 95000

/* A dense matrix and its magnitudes. */
typedef struct dense {
    ptrdiff_t m, n;
    wide *x;
} dense;

static dense dense_open(ptrdiff_t m, ptrdiff_t n)
{
    return (dense){m, n, calloc((size_t)(m * n + 1), sizeof(wide))};
}

static wide *at(const dense *d, ptrdiff_t i, ptrdiff_t j)
{
    return &d->x[i + j * d->m];
}

static dense dense_op(dense a, char trans)
{
    if (trans == 'N')
        return a;
    dense t = dense_open(a.n, a.m);
    for (ptrdiff_t i = 0; i < a.m; i++)
        for (ptrdiff_t j = 0; j < a.n; j++)
            *at(&t, j, i) = trans == 'C' ? conjl(*at(&a, i, j)) : *at(&a, i, j);
    free(a.x);
    return t;
}

/* want += alpha*a*b, mag += |alpha||a||b| */
static void dense_add(dense *want, dense *mag, wide alpha, const dense *a, const dense *b)
{
    for (ptrdiff_t j = 0; j < want->n; j++)
        for (ptrdiff_t k = 0; k < a->n; k++) {
            const wide y = alpha * *at(b, k, j);
            for (ptrdiff_t i = 0; i < want->m; i++) {
                *at(want, i, j) += *at(a, i, k) * y;
                *at(mag, i, j) += cabsl(*at(a, i, k)) * cabsl(y);
            }
        }
}

/* Index of the stored element (i, j) of a triangle, or -1. */
static ptrdiff_t stored_at(fz_stored s, int upper, ptrdiff_t n, ptrdiff_t i, ptrdiff_t j)
{
    const ptrdiff_t band = s.how == FZ_STORED_BAND ? s.band : n;
    if (upper ? i > j || j - i > band : i < j || i - j > band)
        return -1;
    if (s.how == FZ_STORED_FULL)
        return i + j * s.ld;
    if (s.how == FZ_STORED_BAND)
        return (upper ? band + i - j : i - j) + j * s.ld;
    return upper ? i + j * (j + 1) / 2 : i - j + j * (2 * n - j + 1) / 2;
}

static double unit_of(const fz_job *job)
{
    const double u = ldexp(1, -job->t);
    return job->mode == PRISM_NEAREST ? u : job->mode == PRISM_UD ? 3 * u : 2 * u;
}

static ptrdiff_t random_size(rng *g)
{
    static const ptrdiff_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33, 40};
    static const ptrdiff_t large[] = {63, 64, 65, 100, 127, 128, 129, 140};
    return rng_below(g, 8) ? sizes[rng_below(g, 15)] : large[rng_below(g, 8)];
}

static call random_call(rng *g, enum routine r, int complex_type, uint64_t seed)
{
    static const char trans[] = "NTC";
    static const ptrdiff_t incs[] = {1, 1, 2, -1, -3};
    call q = {.r = r, .seed = seed};
    q.right = (int)rng_below(g, 2);
    q.upper = (int)rng_below(g, 2);
    q.unit = (int)rng_below(g, 2);
    q.conj = (int)rng_below(g, 2);
    q.ta = trans[rng_below(g, 3)];
    q.tb = trans[rng_below(g, 3)];
    q.m = random_size(g);
    q.n = r >= GEMV ? 1 : random_size(g);
    q.kk = random_size(g);
    if (rng_below(g, 16) == 0 && r == GEMM)
        q.kk = 300; /* two runs */
    if (r == GER || r == GBMV)
        q.n = random_size(g);
    q.kl = (ptrdiff_t)rng_below(g, 6);
    q.ku = (ptrdiff_t)rng_below(g, 6);
    q.incx = incs[rng_below(g, 5)];
    q.incy = incs[rng_below(g, 5)];
    if (r == SCAL || r == NRM2 || r == ASUM)
        q.incx = 1 + (ptrdiff_t)rng_below(g, 3);
    if (r >= AXPY && rng_below(g, 8) == 0)
        q.m = 9000;
    const int band = r == SYMV || r == HEMV || r == TRMV || r == TRSV;
    q.stored.how = r < GEMV ? FZ_STORED_FULL : (int)rng_below(g, band ? 3 : 2);
    q.stored.band = (ptrdiff_t)rng_below(g, 8);
    const double parts[] = {0, 1, -1, 0.7, -2.5};
    q.alpha = parts[rng_below(g, 5)] +
              (complex_type && rng_below(g, 2) ? 0.6L * _Complex_I : 0);
    q.beta = parts[rng_below(g, 5)] +
             (complex_type && rng_below(g, 2) ? -0.8L * _Complex_I : 0);
    if (r == HERK || r == HER)
        q.alpha = creall(q.alpha);
    if (q.alpha == 0 && (r == HER || r == HER2)) /* returns at once: no real diagonal */
        q.alpha = 1;
    if (r == HERK || r == HER2K)
        q.beta = creall(q.beta);
    if ((r == SYRK || r == SYR2K) && q.ta == 'C')
        q.ta = 'T';
    if ((r == HERK || r == HER2K) && q.ta == 'T')
        q.ta = 'C';
    return q;
}

#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
#define NAME(base) JOIN(JOIN(base, _), X)
#define QUOTE(x) #x
#define QUOTED(x) QUOTE(x)
#define TYPE_TEXT QUOTED(X)
#define FZ(base) JOIN(JOIN(fz_, base), JOIN(_, X))

#define R f32
#define X f32
#define COMPLEX 0
#define ROOT fz_nrm2_f32
#define SUM fz_asum_f32
#define TURN fz_rot_f32
#include "test_blas3_tmpl.h"
#undef X
#define X c32
#undef COMPLEX
#define COMPLEX 1
#include "test_blas3_tmpl.h"
#undef R
#undef X
#undef ROOT
#undef SUM
#undef TURN
#define R f64
#define X c64
#define ROOT fz_nrm2_f64
#define SUM fz_asum_f64
#define TURN fz_rot_f64
#include "test_blas3_tmpl.h"
#undef X
#undef COMPLEX
#define X f64
#define COMPLEX 0
#include "test_blas3_tmpl.h"

static void (*const trial_of[4])(rng *, enum routine, enum prism_mode, int,
                                 uint64_t) = {trial_f32, trial_c32, trial_c64, trial_f64};

/* Patterns of bf16 and f16, widened exactly, against gemm_f32's law by the bound. */
static f64 half_value(uint16_t h, int bf16)
{
    const int e = bf16 ? h >> 7 & 255 : h >> 10 & 31, f = bf16 ? h & 127 : h & 1023;
    const int bits = bf16 ? 7 : 10, bias = bf16 ? 127 : 15;
    const f64 x = e ? ldexp(1 + ldexp(f, -bits), e - bias) : ldexp(f, 1 - bias - bits);
    return h >> 15 ? -x : x;
}

START_TEST(half)
{
    const int bf16 = _i % 2, mode = _i / 2;
    const uint64_t seed = test_seed(UINT64_C(9900) + (uint64_t)_i);
    rng g = {seed};
    for (int rep = 0; rep < 12; rep++) {
        const ptrdiff_t m = random_size(&g), n = random_size(&g);
        const ptrdiff_t kk = rep ? random_size(&g) : FZ_HALF_RUN + 40;
        const fz_job job = {(enum prism_mode)mode, 24, prism_key_seed(rng_next(&g)),
                            NULL};
        const f32 alpha = rng_next(&g) & 1 ? 1 : 0.5f,
                  beta = rng_next(&g) & 1 ? 0 : -1.5f;
        uint16_t *a = malloc(2 * (size_t)(m * kk + 1)),
                 *b = malloc(2 * (size_t)(n * kk + 1));
        f32 *c = malloc(4 * (size_t)(m * n + 1)), *d = malloc(4 * (size_t)(m * n + 1));
        f32 *was = malloc(4 * (size_t)(m * n + 1));
        /* magnitudes about 1, and f16's subnormals and smallest numbers among them */
        for (ptrdiff_t i = 0; i < m * kk + n * kk; i++) {
            uint16_t *h = i < m * kk ? &a[i] : &b[i - m * kk];
            const uint64_t w = rng_next(&g);
            *h = (uint16_t)(bf16    ? (w & 0x807f) | (120 + w % 13) << 7
                            : w % 5 ? (w & 0x83ff) | (10 + w % 7) << 10
                                    : (w & 0x87ff));
        }
        for (ptrdiff_t i = 0; i < m * n; i++)
            was[i] = c[i] = (f32)rng_unit(&g);
        /* A by rows, B by columns, C by columns */
        fz_gemm_half(fz_kernels_for(PRISM_REF), &job, bf16, m, n, kk, alpha, a, kk, 1, b,
                     1, kk, beta, c, 1, m);
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            fz_job shared = job;
            shared.threads = &test_threads;
            memcpy(d, was, 4 * (size_t)(m * n));
            fz_gemm_half(fz_kernels_for((enum prism_isa)isa), &shared, bf16, m, n, kk,
                         alpha, a, kk, 1, b, 1, kk, beta, d, 1, m);
            ck_assert_msg(!memcmp(c, d, 4 * (size_t)(m * n)),
                          "half: %s differs, seed %llu",
                          prism_isa_name((enum prism_isa)isa), (unsigned long long)seed);
        }
        for (ptrdiff_t i = 0; i < m; i++)
            for (ptrdiff_t j = 0; j < n; j++) {
                long double sum = (long double)beta * was[i + j * m], mag = fabsl(sum);
                for (ptrdiff_t k = 0; k < kk; k++) {
                    const long double x = (long double)alpha *
                                          half_value(a[i * kk + k], bf16) *
                                          half_value(b[j * kk + k], bf16);
                    sum += x;
                    mag += fabsl(x);
                }
                const double u = unit_of(&job) * (double)(kk + 4);
                ck_assert_msg(fabsl(c[i + j * m] - sum) <= u / (1 - u) * mag,
                              "%s %s: %a, exactly %La, bound %Lg, seed %llu",
                              bf16 ? "bf16" : "f16", oracle_mode_name[mode],
                              (f64)c[i + j * m], sum, u * mag, (unsigned long long)seed);
            }
        free(a);
        free(b);
        free(c);
        free(d);
        free(was);
    }
}
END_TEST

/* r = c*a + s*b and 0 = c*b - s*a, to a few units, anywhere in the range. */
START_TEST(rotg)
{
    const uint64_t seed = test_seed(UINT64_C(9950) + (uint64_t)_i);
    rng g = {seed};
    for (int i = 0; i < 4000; i++) {
        const fz_job job = {(enum prism_mode)_i, 53, prism_key_seed(rng_next(&g)), NULL};
        const int e = (int)rng_below(&g, 1600) - 800, gap = (int)rng_below(&g, 40) - 20;
        const f64 a = ldexp(2 * rng_unit(&g) - 1, e),
                  b = ldexp(2 * rng_unit(&g) - 1, e + gap);
        f64 r = a, z = b, c, s;
        fz_rotg_f64(fz_kernels_for(PRISM_REF), &job, &r, &z, &c, &s);
        const double u = 12 * unit_of(&job);
        const long double len = hypotl(a, b);
        ck_assert_msg(fabsl(c * (long double)a + s * (long double)b - r) <= u * len &&
                          fabsl(c * (long double)b - s * (long double)a) <= u * len &&
                          fabsl(fabsl(r) - len) <= u * len,
                      "rotg %a %a: r=%a c=%a s=%a", a, b, r, c, s);
        const f64 back = fabs(a) > fabs(b) ? s : c != 0 ? 1 / c : 1;
        ck_assert_msg(fabs(z - back) <= u * fabs(back), "rotg %a %a: z=%a", a, b, z);
    }
    f64 r = 0, z = 0, c, s;
    const fz_job job = {(enum prism_mode)_i, 53, prism_key_seed(1), NULL};
    fz_rotg_f64(fz_kernels_for(PRISM_REF), &job, &r, &z, &c, &s);
    ck_assert_msg(r == 0 && z == 0 && c == 1 && s == 0, "rotg of zeros");
    r = 0, z = -3;
    fz_rotg_f64(fz_kernels_for(PRISM_REF), &job, &r, &z, &c, &s);
    ck_assert_msg(r == -3 && z == 1 && c == 0 && s == 1, "rotg of 0, -3");
}
END_TEST

/* nearest: the order that complex.h states, bit for bit, runs of k included. */
START_TEST(complex_order)
{
    const uint64_t seed = test_seed(UINT64_C(9960));
    rng g = {seed};
    for (int rep = 0; rep < 20; rep++) {
        enum { MOST = 12, K = FZ_COMPLEX_RUN + 30 };
        const ptrdiff_t m = 2 + (ptrdiff_t)rng_below(&g, MOST - 1);
        const ptrdiff_t n = 2 + (ptrdiff_t)rng_below(&g, MOST - 1), kk = rep % 2 ? K : 17;
        const int rows = rep / 2 % 2, conjugate = rep / 4 % 2;
        static c32 a[MOST * K], b[MOST * K], c[MOST * MOST];
        const fz_job job = {PRISM_NEAREST, 24, {0, 0}, NULL};
        for (int i = 0; i < MOST * K; i++) {
            __real__ a[i] = (f32)rng_unit(&g) - 0.5f;
            __imag__ a[i] = (f32)rng_unit(&g) - 0.5f;
            __real__ b[i] = (f32)rng_unit(&g) - 0.5f;
            __imag__ b[i] = (f32)rng_unit(&g) - 0.5f;
        }
        /* row-major C: x is A's element; column-major: B's */
        fz_gemm_c32(fz_kernels_for(prism_isa_best(prism_isa_detected())), &job, m, n, kk,
                    1, conjugate, a, kk, 1, 0, b, n, 1, 0, c, rows ? n : 1, rows ? 1 : m);
        for (ptrdiff_t i = 0; i < m; i++)
            for (ptrdiff_t j = 0; j < n; j++) {
                f32 re = 0, im = 0;
                for (ptrdiff_t k0 = 0; k0 < kk; k0 += FZ_COMPLEX_RUN) {
                    f32 sr = 0, si = 0;
                    for (ptrdiff_t k = k0; k < kk && k < k0 + FZ_COMPLEX_RUN; k++) {
                        c32 x = a[i * kk + k], y = b[k * n + j];
                        if (conjugate)
                            __imag__ x = -__imag__ x;
                        if (!rows) {
                            c32 swap = x;
                            x = y;
                            y = swap;
                        }
                        sr = fmaf(__real__ x, __real__ y, sr);
                        sr = fmaf(__imag__ x, -__imag__ y, sr);
                        si = fmaf(__real__ x, __imag__ y, si);
                        si = fmaf(__imag__ x, __real__ y, si);
                    }
                    re = k0 ? re + sr : sr;
                    im = k0 ? im + si : si;
                }
                const c32 got = c[rows ? i * n + j : i + j * m];
                ck_assert_msg(
                    __real__ got == re && __imag__ got == im,
                    "cgemm %td,%td of %tdx%tdx%td rows=%d: %a %+ai, in order %a %+ai", i,
                    j, m, n, kk, rows, (f64) __real__ got, (f64) __imag__ got, (f64)re,
                    (f64)im);
            }
    }
}
END_TEST

/* sr: E = the exact value and Var = sum of ulp(x_k)^2/6 over the kernel's own partial
 * sums, as of any product. N samples of one element of cgemm over two runs of k with
 * equal operands: had they one stream, their errors would add up to twice that variance.
 */
START_TEST(complex_laws)
{
    enum { RUN = FZ_COMPLEX_RUN, K = 2 * RUN, N = 1500 };
    rng g = {test_seed(UINT64_C(9970))};
    static c32 a[K], b[K];
    for (int i = 0; i < RUN; i++) {
        __real__ a[i] = (f32)rng_unit(&g) + 0.5f;
        __imag__ a[i] = (f32)rng_unit(&g) - 1.5f;
        __real__ b[i] = (f32)rng_unit(&g) + 0.5f;
        __imag__ b[i] = (f32)rng_unit(&g) + 0.5f;
    }
    memcpy(a + RUN, a, RUN * sizeof *a);
    memcpy(b + RUN, b, RUN * sizeof *b);
    /* C is one number, so x is A's */
    double exact[2] = {0, 0}, law[2] = {0, 0};
    for (int i = 0; i < RUN; i++) {
        const double xr = __real__ a[i], xi = __imag__ a[i], yr = __real__ b[i];
        const double yi = __imag__ b[i];
        const double steps[2][2] = {{xr * yr, xr * yi}, {-xi * yi, xi * yr}};
        for (int s = 0; s < 2; s++)
            for (int q = 0; q < 2; q++) {
                exact[q] += steps[s][q];
                law[q] += 2 * pow(ldexp(1, ilogb(exact[q]) - 23), 2) / 6;
            }
    }
    double sum[2] = {0, 0}, square[2] = {0, 0};
    for (int i = 0; i < N; i++) {
        const fz_job job = {PRISM_SR, 24, prism_key_seed(77000 + (uint64_t)i), NULL};
        c32 c;
        fz_gemm_c32(fz_kernels_for(prism_isa_best(prism_isa_detected())), &job, 1, 1, K,
                    1, 0, a, K, 1, 0, b, 1, 1, 0, &c, 1, 1);
        const double d[2] = {__real__ c - 2 * exact[0], __imag__ c - 2 * exact[1]};
        for (int q = 0; q < 2; q++) {
            sum[q] += d[q];
            square[q] += d[q] * d[q];
        }
    }
    for (int q = 0; q < 2; q++) {
        const double var = square[q] / N - pow(sum[q] / N, 2);
        const double p = stat_normal(sum[q] / N / sqrt(var / N));
        law[q] += pow(ldexp(1, ilogb(2 * exact[q]) - 23), 2) /
                  6; /* of the last addition */
        ck_assert_msg(p > STAT_ALARM, "mean of part %d is off by %g, p = %g", q,
                      sum[q] / N, p);
        ck_assert_msg(var / law[q] > 0.75 && var / law[q] < 1.33,
                      "variance of part %d: ratio %g", q, var / law[q]);
    }
}
END_TEST

/* Loop index: type, mode, routine. */
START_TEST(routines)
{
    const int type = _i % 4, mode = _i / 4 % 4;
    const enum routine r = (enum routine)(_i / 16);
    const uint64_t seed = test_seed(UINT64_C(9100) + (uint64_t)_i);
    rng g = {seed};
    for (int i = 0; i < (test_long() ? 200 : 6); i++) {
        int t = type == 0 || type == 1 ? 24 : 53;
        if (rng_below(&g, 4) == 0)
            t = type < 2 ? 20 : 44;
        trial_of[type](&g, r, (enum prism_mode)mode, t, seed);
    }
}
END_TEST

Suite *suite_blas3(void)
{
    Suite *s = suite_create("blas3");
    TCase *c = tcase_create("blas3");
    tcase_set_timeout(c, test_long() ? 7200 : 120);
    tcase_add_loop_test(c, routines, 0, 16 * ROUTINES);
    tcase_add_loop_test(c, half, 0, 8);
    tcase_add_loop_test(c, rotg, 0, 4);
    tcase_add_test(c, complex_order);
    tcase_add_test(c, complex_laws);
    suite_add_tcase(s, c);
    return s;
}
