/* libm's functions of one number, called by libraries in scope.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * slots.c leads here what those libraries call by libm's names. A result that is not an
 * ordinary number is asked of the original too, for errno and for lgamma's signgam.
 */
#include "math.h"
#include "slots.h"

/* Neither zero nor infinite nor NaN. */
#define ORDINARY(r) ((r) != 0 && (r) - (r) == 0)

#define ENTER(name, type) \
    fz_call call; \
    const bool ours = fz_enter_from(&call, FZ_SYM_##name, \
                                    fz_slots_caller(FZ_SYM_##name, FZ_FROM), FZ_FROM, \
                                    sizeof(type))

/* The original of a perturbed call; NULL if there is none, which cannot be with libm. */
static void *original(const fz_call *c)
{
    return fz_original(c->lib, c->s);
}

#define UNARY(type, name, fn) \
    static type in_##name(type x) \
    { \
        type r; \
        ENTER(name, type); \
        if (FZ_LIKELY(ours)) { \
            fz_map_##type(&call, FZ_FN_##fn, 1, &x, NULL, &r); \
            fn_##name *real = NULL; \
            if (FZ_UNLIKELY((FZ_FN_##fn == FZ_FN_LGAMMA || !ORDINARY(r)) && \
                            (real = (fn_##name *)original(&call)))) \
                (void)real(x); \
        } else { \
            r = ((fn_##name *)call.real)(x); \
        } \
        fz_leave(&call, 1); \
        return r; \
    }
#define BINARY(type, name, fn) \
    static type in_##name(type x, type y) \
    { \
        type r; \
        ENTER(name, type); \
        if (FZ_LIKELY(ours)) { \
            fz_map_##type(&call, FZ_FN_##fn, 1, &x, &y, &r); \
            fn_##name *real = NULL; \
            if (FZ_UNLIKELY(!ORDINARY(r)) && (real = (fn_##name *)original(&call))) \
                (void)real(x, y); \
        } else { \
            r = ((fn_##name *)call.real)(x, y); \
        } \
        fz_leave(&call, 1); \
        return r; \
    }
#define PAIR(type, name) \
    static void in_##name(type x, type *s, type *c) \
    { \
        ENTER(name, type); \
        if (FZ_LIKELY(ours)) { \
            fz_map_##type(&call, FZ_FN_SIN, 1, &x, NULL, s); \
            fz_second(&call); \
            fz_map_##type(&call, FZ_FN_COS, 1, &x, NULL, c); \
        } else { \
            ((fn_##name *)call.real)(x, s, c); \
        } \
        fz_leave(&call, 2); \
    }
/* An operation of prism, with prism's laws: ud moves exact results too. */
#define FMA(type, name) \
    static type in_##name(type x, type y, type z) \
    { \
        type r; \
        ENTER(name, type); \
        if (FZ_LIKELY(ours)) \
            prism_arrays(fz_policy_get()->isa) \
                ->op_##type(PRISM_FMA, 1, &x, &y, &z, &r, call.job.mode, call.job.t, \
                            call.job.key); \
        else \
            r = ((fn_##name *)call.real)(x, y, z); \
        fz_leave(&call, 2); \
        return r; \
    }

#define REAL(KIND, name, fn) \
    KIND(f64, name, fn) \
    KIND(f32, name##f, fn)
#define FUNCTIONS \
    REAL(UNARY, acos, ACOS) \
    REAL(UNARY, asin, ASIN) \
    REAL(UNARY, atan, ATAN) \
    REAL(UNARY, acosh, ACOSH) \
    REAL(UNARY, asinh, ASINH) \
    REAL(UNARY, atanh, ATANH) \
    REAL(UNARY, cos, COS) \
    REAL(UNARY, sin, SIN) \
    REAL(UNARY, tan, TAN) \
    REAL(UNARY, cosh, COSH) \
    REAL(UNARY, sinh, SINH) \
    REAL(UNARY, tanh, TANH) \
    REAL(UNARY, exp, EXP) \
    REAL(UNARY, exp2, EXP2) \
    REAL(UNARY, expm1, EXPM1) \
    REAL(UNARY, log, LOG) \
    REAL(UNARY, log2, LOG2) \
    REAL(UNARY, log10, LOG10) \
    REAL(UNARY, log1p, LOG1P) \
    REAL(UNARY, erf, ERF) \
    REAL(UNARY, erfc, ERFC) \
    REAL(UNARY, lgamma, LGAMMA) \
    REAL(UNARY, tgamma, TGAMMA) \
    REAL(UNARY, cbrt, CBRT) \
    REAL(UNARY, sqrt, SQRT) \
    REAL(UNARY, exp10, EXP10) \
    REAL(BINARY, pow, POW) \
    REAL(BINARY, atan2, ATAN2) \
    REAL(BINARY, hypot, HYPOT)
FUNCTIONS
PAIR(f64, sincos)
PAIR(f32, sincosf)
FMA(f64, fma)
FMA(f32, fmaf)

const fz_slot_entry fz_libm_entries[] = {
#undef REAL
#define ENTRY(name) {#name, FZ_SYM_##name, (void (*)(void))in_##name},
#define REAL(KIND, name, fn) ENTRY(name) ENTRY(name##f)
    FUNCTIONS
    ENTRY(sincos) ENTRY(sincosf) ENTRY(fma) ENTRY(fmaf)
    {NULL, FZ_SYMBOLS, NULL}};
