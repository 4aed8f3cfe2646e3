/* MKL's vector math library: the functions that torch calls.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An accuracy that the caller asks for is met by every mode. Its wish on subnormals is
 * followed: VML_FTZDAZ_OFF in `mode` counts for more than MXCSR. A negative n is an error
 * that MKL only notes: nothing is computed.
 */
#include <xmmintrin.h>

#include "math.h"

#define FTZDAZ 0x3c0000u               /* field of `mode`: the host's MXCSR if it is 0 */
#define FTZDAZ_OFF 0x140000u
#define FTZDAZ_ON 0x280000u
#define CSR_FTZ_DAZ 0x8040u

/* MXCSR as `mode` asks for; the old one. */
static unsigned follow(long long mode)
{
    const unsigned old = _mm_getcsr(), field = (unsigned)mode & FTZDAZ;
    if (field == FTZDAZ_OFF)
        _mm_setcsr(old & ~CSR_FTZ_DAZ);
    else if (field == FTZDAZ_ON)
        _mm_setcsr(old | CSR_FTZ_DAZ);
    return old;
}

typedef void vml_f32_fn(fz_int n, const f32 *a, f32 *r, long long mode);

static void vml_f32(enum fz_symbol s, enum fz_fn fn, fz_int n, const f32 *a, f32 *r,
                    long long mode, const void *from)
{
    fz_call call;
    if (FZ_LIKELY(fz_enter(&call, s, from, sizeof(f32)))) {
        const unsigned old = follow(mode);
        fz_map_f32(&call, fn, (int)n, a, NULL, r);
        _mm_setcsr(old);
    } else {
        ((vml_f32_fn *)call.real)(n, a, r, mode);
    }
    fz_leave(&call, (int)n > 0 ? (uint64_t)(int)n : 0);
}

typedef void vml_f64_fn(fz_int n, const f64 *a, f64 *r, long long mode);

static void vml_f64(enum fz_symbol s, enum fz_fn fn, fz_int n, const f64 *a, f64 *r,
                    long long mode, const void *from)
{
    fz_call call;
    if (FZ_LIKELY(fz_enter(&call, s, from, sizeof(f64)))) {
        const unsigned old = follow(mode);
        fz_map_f64(&call, fn, (int)n, a, NULL, r);
        _mm_setcsr(old);
    } else {
        ((vml_f64_fn *)call.real)(n, a, r, mode);
    }
    fz_leave(&call, (int)n > 0 ? (uint64_t)(int)n : 0);
}

/* The functions without a mode ignore the fourth argument. */
#define V(type, name, fn)                                                             \
    void name(fz_int n, const type *a, type *r)                                       \
    {                                                                                 \
        vml_##type(FZ_SYM_##name, FZ_FN_##fn, n, a, r, 0, FZ_FROM);                    \
    }
#define VM(type, name, fn)                                                            \
    void name(fz_int n, const type *a, type *r, long long mode)                       \
    {                                                                                 \
        vml_##type(FZ_SYM_##name, FZ_FN_##fn, n, a, r, mode, FZ_FROM);                 \
    }

V(f64, vdLn, LOG)
VM(f64, vmdAcos, ACOS)
VM(f64, vmdAsin, ASIN)
VM(f64, vmdAtan, ATAN)
VM(f64, vmdCos, COS)
VM(f64, vmdErf, ERF)
VM(f64, vmdErfInv, ERFINV)
VM(f64, vmdErfc, ERFC)
VM(f64, vmdExp, EXP)
VM(f64, vmdLn, LOG)
VM(f64, vmdLog10, LOG10)
VM(f64, vmdLog2, LOG2)
VM(f64, vmdSin, SIN)
VM(f64, vmdSqrt, SQRT)
VM(f64, vmdTan, TAN)
VM(f64, vmdTanh, TANH)
VM(f32, vmsAcos, ACOS)
VM(f32, vmsAsin, ASIN)
VM(f32, vmsAtan, ATAN)
VM(f32, vmsCos, COS)
VM(f32, vmsErf, ERF)
VM(f32, vmsErfInv, ERFINV)
VM(f32, vmsErfc, ERFC)
VM(f32, vmsExp, EXP)
VM(f32, vmsLn, LOG)
VM(f32, vmsLog10, LOG10)
VM(f32, vmsLog2, LOG2)
VM(f32, vmsSin, SIN)
VM(f32, vmsSqrt, SQRT)
VM(f32, vmsTan, TAN)
VM(f32, vmsTanh, TANH)
V(f32, vsLn, LOG)
