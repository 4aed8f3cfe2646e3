/* Vectors of one width: FZ_VBYTES bytes, the width of the ISA that a unit is compiled
 * for.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included by units that are compiled once per ISA. L is the number of f64 lanes. GNU
 * vectors carry most operations; the few that C cannot express are intrinsics here, with
 * a portable form for ref. A vector wider than the ISA would be scalarised by gcc, never
 * split, which is why nothing here is wider than FZ_VBYTES.
 */
#ifndef PRISM_VEC_H
#define PRISM_VEC_H

#include <stdint.h>
#include <string.h>

#include "prism.h"

#define FZ_CAT_(a, b) a##_##b
#define FZ_CAT(a, b) FZ_CAT_(a, b)
/* name of the instance of `base` for this ISA */
#define FZ_FN(base) FZ_CAT(base, FZ_ISA)
#define FZ_INLINE static inline __attribute__((always_inline))

#define L (FZ_VBYTES / 8)

typedef f64 vd __attribute__((vector_size(FZ_VBYTES)));
typedef int64_t vi __attribute__((vector_size(FZ_VBYTES)));
typedef uint64_t vu __attribute__((vector_size(FZ_VBYTES)));
typedef f32 vf __attribute__((vector_size(FZ_VBYTES)));      /* 2L lanes */
typedef int32_t vw __attribute__((vector_size(FZ_VBYTES)));  /* 2L lanes */
typedef f32 vfh __attribute__((vector_size(FZ_VBYTES / 2))); /* L lanes */

#if defined(__SSE4_1__)
#include <immintrin.h>
#else
#include <emmintrin.h>
#endif

#if defined(__FMA__)
#define FZ_HAVE_FMA 1
#else
#define FZ_HAVE_FMA 0
#endif

FZ_INLINE vd vd_set(f64 x)
{
#if FZ_VBYTES == 64
    return _mm512_set1_pd(x);
#elif FZ_VBYTES == 32
    return _mm256_set1_pd(x);
#else
    return (vd){x, x};
#endif
}

FZ_INLINE vi vi_set(int64_t x)
{
#if FZ_VBYTES == 64
    return (vi)_mm512_set1_epi64(x);
#elif FZ_VBYTES == 32
    return (vi)_mm256_set1_epi64x(x);
#else
    return (vi){x, x};
#endif
}

FZ_INLINE vf vf_set(f32 x)
{
#if FZ_VBYTES == 64
    return _mm512_set1_ps(x);
#elif FZ_VBYTES == 32
    return _mm256_set1_ps(x);
#else
    return (vf){x, x, x, x};
#endif
}

FZ_INLINE vw vw_set(int32_t x)
{
#if FZ_VBYTES == 64
    return (vw)_mm512_set1_epi32(x);
#elif FZ_VBYTES == 32
    return (vw)_mm256_set1_epi32(x);
#else
    return (vw){x, x, x, x};
#endif
}

FZ_INLINE vd vd_load(const f64 *p)
{
    vd v;
    memcpy(&v, p, sizeof v);
    return v;
}

FZ_INLINE void vd_store(f64 *p, vd v)
{
    memcpy(p, &v, sizeof v);
}

FZ_INLINE vf vf_load(const f32 *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

FZ_INLINE void vf_store(f32 *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* L floats at p, widened. */
FZ_INLINE vd vd_load_f32(const f32 *p)
{
    vfh h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, vd);
}

/* Narrowed in the current rounding direction; exact for values that are floats. */
FZ_INLINE void vd_store_f32(f32 *p, vd v)
{
    vfh h = __builtin_convertvector(v, vfh);
    memcpy(p, &h, sizeof h);
}

FZ_INLINE vi vd_bits(vd v)
{
    return (vi)v;
}

/* where mask (all ones or zero a lane) take a, else b */
FZ_INLINE vi vi_select(vi mask, vi a, vi b)
{
    return (mask & a) | (~mask & b);
}

/* A bit a lane from the lanes' sign bits. */
FZ_INLINE unsigned vi_signs(vi m)
{
#if FZ_VBYTES == 64
    return _mm512_movepi64_mask((__m512i)m);
#elif FZ_VBYTES == 32
    return (unsigned)_mm256_movemask_pd((__m256d)m);
#else
    return (unsigned)_mm_movemask_pd((__m128d)m);
#endif
}

/* Fused multiply-add, only where the CPU has it; see fz_two_prod for the rest. */
#if FZ_HAVE_FMA
FZ_INLINE vd vd_fma(vd a, vd b, vd c)
{
#if FZ_VBYTES == 64
    return _mm512_fmadd_pd(a, b, c);
#else
    return _mm256_fmadd_pd(a, b, c);
#endif
}

FZ_INLINE vf vf_fma(vf a, vf b, vf c)
{
#if FZ_VBYTES == 64
    return _mm512_fmadd_ps(a, b, c);
#else
    return _mm256_fmadd_ps(a, b, c);
#endif
}
#endif

FZ_INLINE vd vd_sqrt(vd a)
{
#if FZ_VBYTES == 64
    return _mm512_sqrt_pd(a);
#elif FZ_VBYTES == 32
    return _mm256_sqrt_pd(a);
#else
    return _mm_sqrt_pd(a);
#endif
}

/* ---- floating-point environment ---------------------------------------------------- */

#define FZ_CSR_DAZ 0x0040u
#define FZ_CSR_FTZ 0x8000u
#define FZ_CSR_MASKS 0x1f80u
#define FZ_CSR_RN 0x0000u
#define FZ_CSR_RU 0x4000u
#define FZ_CSR_RZ 0x6000u

/* Set rounding direction and FTZ/DAZ bits, all exceptions masked. Returns what was there,
 * which the caller hands back to fz_csr_restore: flags included, so that a host never
 * sees an exception of ours. */
FZ_INLINE unsigned fz_csr_set(unsigned bits)
{
    unsigned old = _mm_getcsr();
    _mm_setcsr(FZ_CSR_MASKS | bits);
    return old;
}

FZ_INLINE void fz_csr_restore(unsigned old)
{
    _mm_setcsr(old);
}

#endif
