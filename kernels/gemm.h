/* What the matrix products of both types share: blocking, preconditions, words of a tile.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Loop structure after Goto and van de Geijn (2008), with the loop over k inside the block of
 * C: rounding makes the arithmetic so much dearer than packing that a block packs its own
 * panels of A and B, and blocks share nothing, which leaves threads nothing to wait for.
 */
#ifndef FZ_GEMM_H
#define FZ_GEMM_H

#include "../prism/lanes.h"
#include "kernels.h"
#include "workspace.h"

/* A block of C, and the length of a run of k under one opening of its strands. Part of the
 * definition of the result (KC) or of the choice between two paths that agree (MC, NC): never
 * a function of ISA, cache or threads. */
#define MC 64
#define NC 128
#define KC 256
#define MR 4                   /* rows of a packed panel of A */

/* Products below this many multiply-adds stay on the calling thread. */
#define FZ_PARALLEL_FMAS 32768

/* Strands of row i are opened with (key, i, index of the k block, column); the two roundings
 * of alpha and beta have a block index of their own. */
#define FZ_EPILOGUE 0xffffffffu

/* Largest magnitude, and smallest but zero, of a packed panel. */
typedef struct fz_range {
    f64 max, min;
} fz_range;

FZ_INLINE fz_range fz_range_f64(const f64 *p, ptrdiff_t n)
{
    vi hi = vi_set(0), lo = vi_set(FZ_ABS);
    for (ptrdiff_t i = 0; i < n; i += L) {            /* panels are whole vectors */
        vi a = (vi)vd_load(p + i) & vi_set(FZ_ABS);
        vi b = a | ((vi)(a == 0) & vi_set(FZ_ABS));
        hi = vi_select((vi)(a > hi), a, hi);
        lo = vi_select((vi)(b < lo), b, lo);
    }
    int64_t h = 0, l = FZ_ABS;
    for (int i = 0; i < L; i++) {
        h = hi[i] > h ? hi[i] : h;
        l = lo[i] < l ? lo[i] : l;
    }
    if (l == FZ_ABS)
        l = INT64_C(0x7ff) << 52;                     /* all zero: no smallest number */
    fz_range r;
    memcpy(&r.max, &h, 8);
    memcpy(&r.min, &l, 8);
    return r;
}

FZ_INLINE fz_range fz_range_f32(const f32 *p, ptrdiff_t n)
{
    vw hi = vw_set(0), lo = vw_set(0x7fffffff);
    for (ptrdiff_t i = 0; i < n; i += 2 * L) {
        vw a = (vw)vf_load(p + i) & 0x7fffffff;
        vw b = a | ((vw)(a == 0) & 0x7fffffff);
        vw gt = (vw)(a > hi), lt = (vw)(b < lo);
        hi = (gt & a) | (~gt & hi);
        lo = (lt & b) | (~lt & lo);
    }
    int32_t h = 0, l = 0x7fffffff;
    for (int i = 0; i < 2 * L; i++) {
        h = hi[i] > h ? hi[i] : h;
        l = lo[i] < l ? lo[i] : l;
    }
    if (l == 0x7fffffff)
        l = 0x7f800000;
    f32 fh, fl;
    memcpy(&fh, &h, 4);
    memcpy(&fl, &l, 4);
    return (fz_range){fh, fl};
}

/* Run body(arg, 0 .. n-1), shared where the work is worth it. */
static inline void fz_share(const fz_job *job, f64 work, void (*body)(void *, int), void *arg,
                            int n)
{
    if (n > 1 && job->threads && work >= FZ_PARALLEL_FMAS && job->threads->max() > 1) {
        job->threads->run(body, arg, n);
        return;
    }
    for (int i = 0; i < n; i++)
        body(arg, i);
}

#endif
