/* What the matrix products of both types share: blocking, preconditions, words of a tile.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Loop structure after Goto and van de Geijn (2008), with the loop over k inside the
 * block of C: rounding makes the arithmetic so much dearer than packing that a block
 * packs its own panels of A and B, and blocks share nothing, which leaves threads nothing
 * to wait for.
 */
#ifndef FZ_GEMM_H
#define FZ_GEMM_H

#include "../prism/lanes.h"
#include "kernels.h"
#include "workspace.h"

/* A block of C, and the length of a run of k under one opening of its strands. Part of
 * the definition of the result (KC) or of the choice between two paths that agree (MC,
 * NC): never a function of ISA, cache or threads. */
#define MC 64
#define NC 128
#define KC 256
#define MR 4 /* rows of a packed panel of A */

/* Products below this many multiply-adds stay on the calling thread. */
#define FZ_PARALLEL_FMAS 32768

/* Strands of row i are opened with (key, i, index of the k block, column); the two
 * roundings of alpha and beta have a block index of their own. */
#define FZ_EPILOGUE 0xffffffffu

/* Largest magnitude, and smallest but zero, of a packed panel. */
typedef struct fz_range {
    f64 max, min;
} fz_range;

FZ_INLINE vw fz_max_u32(vw a, vw b)
{
#if FZ_VBYTES == 64
    return (vw)_mm512_max_epu32((__m512i)a, (__m512i)b);
#elif FZ_VBYTES == 32
    return (vw)_mm256_max_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vw)_mm_max_epu32((__m128i)a, (__m128i)b);
#else
    for (int i = 0; i < 2 * L; i++)
        a[i] = (uint32_t)a[i] > (uint32_t)b[i] ? a[i] : b[i];
    return a;
#endif
}

FZ_INLINE vw fz_min_u32(vw a, vw b)
{
#if FZ_VBYTES == 64
    return (vw)_mm512_min_epu32((__m512i)a, (__m512i)b);
#elif FZ_VBYTES == 32
    return (vw)_mm256_min_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE4_1__)
    return (vw)_mm_min_epu32((__m128i)a, (__m128i)b);
#else
    for (int i = 0; i < 2 * L; i++)
        a[i] = (uint32_t)a[i] < (uint32_t)b[i] ? a[i] : b[i];
    return a;
#endif
}

/* Largest dword. */
FZ_INLINE uint32_t fz_top_u32(vw a)
{
    uint32_t top = 0;
    for (int i = 0; i < 2 * L; i++)
        top = (uint32_t)a[i] > top ? (uint32_t)a[i] : top;
    return top;
}

/* n elements, whole vectors. The minimum costs as much again: 0 where it is not wanted.
 */
FZ_INLINE fz_range fz_range_f32(const f32 *p, ptrdiff_t n, int want_min)
{
    /* -a as an unsigned number falls with a, and is 0 for a = 0 */
    vw hi = vw_set(0), lo = vw_set(0);
#pragma GCC unroll 4
    for (ptrdiff_t i = 0; i < n; i += 2 * L) {
        vw a = (vw)vf_load(p + i) & 0x7fffffff;
        hi = fz_max_u32(hi, a);
        if (want_min)
            lo = fz_max_u32(lo, -a);
    }
    uint32_t h = fz_top_u32(hi), l = -fz_top_u32(lo);
    if (!l)
        l = 0x7f800000; /* all zero: no smallest number */
    f32 fh, fl;
    memcpy(&fh, &h, 4);
    memcpy(&fl, &l, 4);
    return (fz_range){fh, want_min ? fl : 0};
}

/* The same to the 20 bits of the upper dword: max is rounded up, min down. */
FZ_INLINE fz_range fz_range_f64(const f64 *p, ptrdiff_t n, int want_min)
{
    const vi one = vi_set(INT64_C(1) << 32), upper = vi_set(INT64_C(0x7fffffff) << 32);
    vw hi = vw_set(0), lo = vw_set(0);
#pragma GCC unroll 4
    for (ptrdiff_t i = 0; i < n; i += L) {
        vi x = (vi)vd_load(p + i);
        vw a = (vw)(x & upper);
        if (want_min) {
            a |= fz_min_u32((vw)(x << 32), (vw)one); /* not zero, if only below */
            lo = fz_max_u32(lo, -a);
        }
        hi = fz_max_u32(hi, a);
    }
    uint64_t h = fz_top_u32(hi), l = -fz_top_u32(lo);
    h = h >= 0x7ff00000 ? UINT64_C(0x7ff) << 52 : (h + 1) << 32;
    l = l ? l << 32 : UINT64_C(0x7ff) << 52;
    fz_range r;
    memcpy(&r.max, &h, 8);
    memcpy(&r.min, &l, 8);
    if (!want_min)
        r.min = 0;
    return r;
}

/* Run body(arg, 0 .. n-1), shared where the work is worth it. */
static inline void fz_share(const fz_job *job, f64 work, void (*body)(void *, int),
                            void *arg, int n)
{
    if (n > 1 && job->threads && work >= FZ_PARALLEL_FMAS && job->threads->max() > 1) {
        job->threads->run(body, arg, n);
        return;
    }
    for (int i = 0; i < n; i++)
        body(arg, i);
}

#endif
