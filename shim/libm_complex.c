/* libm's complex functions, called by libraries in scope.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each part of a result is rounded by the law, from a wide value of that part: f32's is
 * what libm gives in f64, f64's what it gives in binary128, at 105 bits. docs/math.md has
 * their errors.
 */
#include <complex.h>
#include <string.h>

#include "../prism/wide.h"
#include "../kernels/math.h"
#include "math.h"
#include "slots.h"

typedef _Float128 f128;
typedef unsigned __int128 u128;
typedef _Complex _Float128 c128;

/* The law on a wide value; like kernels/math_scalar.c, where ud keeps what is exact. */
static f64 round_f64(f128 v, const fz_job *job, uint64_t w)
{
    enum { BITS = 105 };
    u128 b;
    memcpy(&b, &v, sizeof b);
    const int ex = (int)(b >> 112) & 0x7fff;
    if (ex == 0x7fff)
        return (f64)v;
    prism_wide x = {(int)(b >> 127), (ex ? ex : 1) - 16383 - 112,
                    b & (((u128)1 << 112) - 1)};
    if (ex)
        x.m |= (u128)1 << 112;
    const int drop = 113 - BITS;
    const u128 half = (u128)1 << (drop - 1), even = x.m >> drop & 1;
    x.m = (x.m + half - 1 + even) >> drop;
    x.e += drop;
    if (job->mode == PRISM_UD) {
        f64 a = prism_round_wide_f64(x, PRISM_CESTAC, job->t, 0);
        if (a == prism_round_wide_f64(x, PRISM_CESTAC, job->t, 1))
            return a;
    }
    return prism_round_wide_f64(x, job->mode, job->t, w);
}

static c32 round_c32(c64 v, const fz_job *job)
{
    uint64_t w[2];
    prism_words(job->key, job->mode, sizeof(f32), job->t, 0, 2, w);
    return CMPLXF(fz_math_round_f32(creal(v), job->mode, job->t, w[0]),
                  fz_math_round_f32(cimag(v), job->mode, job->t, w[1]));
}

static c64 round_c64(c128 v, const fz_job *job)
{
    uint64_t w[2];
    prism_words(job->key, job->mode, sizeof(f64), job->t, 0, 2, w);
    return CMPLX(round_f64(crealf128(v), job, w[0]), round_f64(cimagf128(v), job, w[1]));
}

#define ENTER(name, type) \
    fz_call call; \
    const bool ours = fz_enter_from(&call, FZ_SYM_##name, \
                                    fz_slots_caller(FZ_SYM_##name, FZ_FROM), FZ_FROM, \
                                    sizeof(type))

#define UNARY(name) \
    static c64 in_##name(c64 x) \
    { \
        ENTER(name, f64); \
        c64 r = FZ_LIKELY(ours) ? round_c64(name##f128(x), &call.job) \
                                : ((fn_##name *)call.real)(x); \
        fz_leave(&call, 2); \
        return r; \
    } \
    static c32 in_##name##f(c32 x) \
    { \
        ENTER(name##f, f32); \
        c32 r = FZ_LIKELY(ours) ? round_c32(name(x), &call.job) \
                                : ((fn_##name##f *)call.real)(x); \
        fz_leave(&call, 2); \
        return r; \
    }

#define FUNCTIONS(X) \
    X(cacos) X(casin) X(catan) X(cacosh) X(casinh) \
    X(catanh) X(ccos) X(csin) X(ctan) X(ccosh) \
    X(csinh) X(ctanh) X(cexp) X(clog) X(csqrt)
FUNCTIONS(UNARY)

static c64 in_cpow(c64 x, c64 y)
{
    ENTER(cpow, f64);
    c64 r = FZ_LIKELY(ours) ? round_c64(cpowf128(x, y), &call.job)
                            : ((fn_cpow *)call.real)(x, y);
    fz_leave(&call, 2);
    return r;
}

static c32 in_cpowf(c32 x, c32 y)
{
    ENTER(cpowf, f32);
    c32 r = FZ_LIKELY(ours) ? round_c32(cpow(x, y), &call.job)
                            : ((fn_cpowf *)call.real)(x, y);
    fz_leave(&call, 2);
    return r;
}

static f64 in_cabs(c64 x)
{
    const f64 re = creal(x), im = cimag(x);
    f64 r;
    ENTER(cabs, f64);
    if (FZ_LIKELY(ours))
        fz_map_f64(&call, FZ_FN_HYPOT, 1, &re, &im, &r);
    else
        r = ((fn_cabs *)call.real)(x);
    fz_leave(&call, 1);
    return r;
}

static f32 in_cabsf(c32 x)
{
    const f32 re = crealf(x), im = cimagf(x);
    f32 r;
    ENTER(cabsf, f32);
    if (FZ_LIKELY(ours))
        fz_map_f32(&call, FZ_FN_HYPOT, 1, &re, &im, &r);
    else
        r = ((fn_cabsf *)call.real)(x);
    fz_leave(&call, 1);
    return r;
}

const fz_slot_entry fz_complex_entries[] = {
#define ENTRY(name) {#name, FZ_SYM_##name, (void (*)(void))in_##name},
#define BOTH(name) ENTRY(name) ENTRY(name##f)
    FUNCTIONS(BOTH) BOTH(cpow) BOTH(cabs)
    {NULL, FZ_SYMBOLS, NULL}};
