/* dgemm: microkernels and their preconditions. The unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The steps and what they rest on are in step.h.
 */
#include "gemm.h"

#include "step.h"
#include "tables.h"

#define T f64
#define IS_F32 0
#define UNIT 8
#define NAME(base) FZ_FN(base##_f64)

typedef struct block block;
static int fast_block(block *b, ptrdiff_t k0, int kc, uint32_t kblock);

#include "gemm_tmpl.h"

/* Vectors, and as many states, of a unit. */
#define VECS (UNIT / L)

FZ_INLINE void tile(enum prism_mode mode, int on_grid, const int R, const int U,
                    const block *b, int row, int col, int kc, uint32_t kblock)
{
    const int V = U * VECS;
    const fz_law l = fz_law_of(mode, 0, 53);
    (void)on_grid; /* asked where cestac has two directed results */
    const f64 *pa = (const f64 *)b->pa + (ptrdiff_t)row * kc;
    const f64 *pb = (const f64 *)b->pb + (ptrdiff_t)col * kc;
    vd acc[R][V];
    vi st[R][V];
    for (int i = 0; i < R; i++) {
        f64 *sum = b->sum + (row + i) * NC + col;
        fz_lanes_open(st[i], l, U * UNIT, b->p->job->key, (uint32_t)(b->i0 + row + i),
                      kblock, (uint32_t)(b->j0 + col));
        for (int v = 0; v < V; v++)
            acc[i][v] = kblock ? vd_load(sum + v * L) : vd_set(0);
    }
    if (mode == PRISM_SR)
        for (int k = 0; k < kc; k++)
            for (int v = 0; v < V; v++) {
                const vd x = vd_load(pb + (v / VECS * kc + k) * UNIT + v % VECS * L);
                for (int i = 0; i < R; i++) {
                    acc[i][v] = fz_sr_f64(vd_set(pa[k * MR + i]), x, acc[i][v], st[i][v]);
                    st[i][v] = fz_strand_step(st[i][v]);
                }
            }
#if FZ_HAVE_FMA
    else
        for (int k0 = 0; k0 < kc; k0 += 64) {
            vi bits[R][V];
            int end = kc - k0 < 64 ? kc : k0 + 64;
            for (int i = 0; i < R; i++)
                for (int v = 0; v < V; v++) {
                    bits[i][v] = st[i][v];
                    if (l.r)
                        st[i][v] = fz_strand_step(st[i][v]);
                }
            for (int k = k0; k < end; k++) {
#if FZ_VBYTES == 64
                const vi pick = vi_set((int64_t)(UINT64_C(1) << (63 - (k - k0))));
#endif
                for (int v = 0; v < V; v++) {
                    const vd x = vd_load(pb + (v / VECS * kc + k) * UNIT + v % VECS * L);
                    for (int i = 0; i < R; i++) {
                        const vd a = vd_set(pa[k * MR + i]);
#if FZ_VBYTES == 64
                        acc[i][v] = fz_picked_f64(mode, on_grid, a, x, acc[i][v],
                                                  bits[i][v], pick);
#else
                        acc[i][v] = fz_native_f64(mode, a, x, acc[i][v], bits[i][v]);
                        if (l.r)
                            bits[i][v] += bits[i][v];
#endif
                    }
                }
            }
        }
    /* Sums start from +0 and are exact where they are 0: never -0. */
    if (mode == PRISM_CESTAC && on_grid)
        for (int i = 0; i < R; i++)
            for (int v = 0; v < V; v++)
                acc[i][v] += vd_set(0);
#endif
    for (int i = 0; i < R; i++)
        for (int v = 0; v < V; v++)
            vd_store(b->sum + (row + i) * NC + col + v * L, acc[i][v]);
}

/* Units side by side: with 8 lanes a unit is one vector, four chains too few for SR. */
FZ_INLINE void tile_rows(enum prism_mode mode, int on_grid, const int U, const block *b,
                         int i, int j, int kc, uint32_t kblock)
{
    switch (b->rows - i) {
    case 1: tile(mode, on_grid, 1, U, b, i, j, kc, kblock); break;
    case 2: tile(mode, on_grid, 2, U, b, i, j, kc, kblock); break;
    case 3: tile(mode, on_grid, 3, U, b, i, j, kc, kblock); break;
    default: tile(mode, on_grid, 4, U, b, i, j, kc, kblock);
    }
}

FZ_INLINE void tiles(enum prism_mode mode, int on_grid, const block *b, int kc,
                     uint32_t kblock)
{
    enum { WIDE = L == 8 ? 2 : 1 };
    int j = 0;
    for (; b->cols - j > (WIDE - 1) * UNIT; j += WIDE * UNIT)
        for (int i = 0; i < b->rows; i += MR)
            tile_rows(mode, on_grid, WIDE, b, i, j, kc, kblock);
    for (; j < b->cols; j += UNIT)
        for (int i = 0; i < b->rows; i += MR)
            tile_rows(mode, on_grid, 1, b, i, j, kc, kblock);
}

/* The quicker path, where its preconditions hold. 0: nothing was done. */
static int fast_block(block *b, ptrdiff_t k0, int kc, uint32_t kblock)
{
    const product *p = b->p;
    const fz_law l = p->law;
    const ptrdiff_t na = (ptrdiff_t)((b->rows + MR - 1) / MR) * MR * kc;
    const ptrdiff_t nb = (ptrdiff_t)((b->cols + UNIT - 1) / UNIT) * UNIT * kc;
    if (p->k > INT64_C(1) << 40 || l.t != 53 || (l.mode != PRISM_SR && !FZ_HAVE_FMA))
        return 0;
    pack_a(b, k0, kc, b->pa);
    pack_b(b, k0, kc, b->pb);
    const int min = fz_wants_min_f64(l.mode, l.t, p->ftz);
    const fz_range ra = fz_range_f64(b->pa, na, min), rb = fz_range_f64(b->pb, nb, min);
    b->bound += ra.max * rb.max * kc;
    /* A sum carried over from a block before may be off that grid. */
    b->deep = fz_deep_f64(ra, rb) && (!kblock || b->deep);
    if (!fz_fast_f64(l.mode, ra, rb, b->bound, b->deep, p->ftz))
        return 0;
    _mm_setcsr(fz_fast_csr(l.mode, 0));
    if (l.mode == PRISM_SR)
        tiles(PRISM_SR, 1, b, kc, kblock);
    else if (l.mode == PRISM_UD)
        tiles(PRISM_UD, 0, b, kc, kblock);
    else if (l.mode == PRISM_CESTAC && b->deep && FZ_VBYTES == 64)
        tiles(PRISM_CESTAC, 1, b, kc, kblock);
    else if (l.mode == PRISM_CESTAC)
        tiles(PRISM_CESTAC, 0, b, kc, kblock);
    else
        tiles(PRISM_NEAREST, 0, b, kc, kblock);
    return 1;
}
