/* sgemm: microkernels and their preconditions. The unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The steps and what they rest on are in step.h.
 */
#include "panels.h"

#include "step.h"
#include "tables.h"

#define T f32
#define IS_F32 1
#define UNIT (8 * SPV)
#define NAME(base) FZ_FN(base##_f32)

typedef struct block block;
static int fast_block(block *b, ptrdiff_t k0, int kc, uint32_t kblock);

#include "gemm_tmpl.h"

/* ---- packing for SR: f64, B scaled, its columns in the order of a strand's halves ---
 */

static void widen_a(const f32 *src, ptrdiff_t n, f64 *dst)
{
    for (ptrdiff_t i = 0; i < n; i += L)
        vd_store(dst + i, vd_load_f32(src + i));
}

/* Row of a unit: lanes 0-3 of each strand, then lanes 4-7. */
static void widen_b(const f32 *src, ptrdiff_t n, f64 *dst)
{
    const vd scale = vd_set(FZ_SCALE);
    const fz_law l = {PRISM_SR, 24, 29, 0, 1};
    for (ptrdiff_t i = 0; i < n; i += UNIT)
        for (int v = 0; v < UNIT / L; v++)
            vd_store(dst + i + v * L,
                     fz_load(src + i, 1, fz_at(l, v), fz_gap(l)) * scale);
}

/* ---- SR ---------------------------------------------------------------------------- */

/* HALF vectors hold lanes 0-3 of a unit's strands, HALF more its lanes 4-7; NV states. */
#define HALF NV

FZ_INLINE void sr_tile(const int R, const int U, const int t, const block *b, int row,
                       int col, int kc, uint32_t kblock, const f64 *pa, const f64 *pb)
{
    const int r = 53 - t;
    const fz_law l = {PRISM_SR, 24, 29, 0, 1};
    vd acc[R][U][2 * HALF];
    vi st[R][U][NV];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) {
            f32 *sum = b->sum + (row + i) * NC + col + u * UNIT;
            fz_lanes_open(st[i][u], l, UNIT, b->p->job->key, (uint32_t)(b->i0 + row + i),
                          kblock, (uint32_t)(b->j0 + col + u * UNIT));
#pragma GCC unroll 8
            for (int v = 0; v < 2 * HALF; v++)
                acc[i][u][v] = kblock ? fz_load(sum, 1, fz_at(l, v), fz_gap(l)) *
                                            vd_set(FZ_SCALE)
                                      : vd_set(0);
        }
    for (int k = 0; k < kc; k++) {
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) {
            vd x[2 * HALF];
#pragma GCC unroll 8
            for (int v = 0; v < 2 * HALF; v++)
                x[v] = vd_load(pb + (u * kc + k) * UNIT + v * L);
#pragma GCC unroll 8
            for (int i = 0; i < R; i++) {
                const vd a = vd_set(pa[k * MR + i]);
#pragma GCC unroll 8
                for (int v = 0; v < NV; v++) {
                    const vi s = st[i][u][v];
                    acc[i][u][v] = fz_sr_f32(a, x[v], acc[i][u][v], fz_word_hi(s, r), r);
                    acc[i][u][HALF + v] = fz_sr_f32(a, x[HALF + v], acc[i][u][HALF + v],
                                                    fz_word_lo(s, r), r);
                    st[i][u][v] = fz_strand_step(s);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) {
            f32 *sum = b->sum + (row + i) * NC + col + u * UNIT;
#pragma GCC unroll 8
            for (int v = 0; v < 2 * HALF; v++)
                fz_store(sum, 1, fz_at(l, v), fz_gap(l),
                         acc[i][u][v] * vd_set(FZ_UNSCALE));
        }
}

/* ---- nearest, ud, cestac ----------------------------------------------------------- */

#if FZ_HAVE_FMA
FZ_INLINE void native_tile(enum prism_mode mode, int on_grid, const int R, const int U,
                           const block *b, int row, int col, int kc, uint32_t kblock,
                           const f32 *pa, const f32 *pb)
{
    const fz_law l = {mode, 24, mode == PRISM_NEAREST ? 0 : 1, 0, 1};
    vf acc[R][U];
    vi st[R][U];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int u = 0; u < U; u++) {
            f32 *sum = b->sum + (row + i) * NC + col + u * UNIT;
            fz_lanes_open(&st[i][u], l, UNIT, b->p->job->key, (uint32_t)(b->i0 + row + i),
                          kblock, (uint32_t)(b->j0 + col + u * UNIT));
            acc[i][u] = kblock ? vf_load(sum) : vf_set(0);
        }
    for (int k0 = 0; k0 < kc; k0 += 32) {
        vw bits[R][U];
        int end = kc - k0 < 32 ? kc : k0 + 32;
#pragma GCC unroll 8
        for (int i = 0; i < R; i++)
#pragma GCC unroll 8
            for (int u = 0; u < U; u++) {
                bits[i][u] = l.r ? (vw)st[i][u] : (vw){0};
                if (l.r)
                    st[i][u] = fz_strand_step(st[i][u]);
            }
        for (int k = k0; k < end; k++) {
#if FZ_VBYTES == 64
            const vw pick = vw_set((int32_t)(UINT32_C(1) << (31 - (k - k0))));
#endif
#pragma GCC unroll 8
            for (int u = 0; u < U; u++) {
                const vf x = vf_load(pb + (u * kc + k) * UNIT);
#pragma GCC unroll 8
                for (int i = 0; i < R; i++) {
                    const vf a = vf_set(pa[k * MR + i]);
#if FZ_VBYTES == 64
                    acc[i][u] = fz_picked_f32(mode, on_grid, a, x, acc[i][u], bits[i][u],
                                              pick);
#else
                    acc[i][u] = fz_native_f32(mode, a, x, acc[i][u], bits[i][u]);
                    if (l.r)
                        bits[i][u] += bits[i][u];
#endif
                }
            }
        }
    }
    /* Sums start from +0 and are exact where they are 0: never -0. */
    if (mode == PRISM_CESTAC && on_grid)
#pragma GCC unroll 8
        for (int i = 0; i < R; i++)
#pragma GCC unroll 8
            for (int u = 0; u < U; u++)
                acc[i][u] += vf_set(0);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int u = 0; u < U; u++)
            vf_store(b->sum + (row + i) * NC + col + u * UNIT, acc[i][u]);
}
#endif

/* ---- tiles of a block -------------------------------------------------------------- */

/* One tile of R rows and U units by the path of the mode. pa: f64 for SR, f32 else. full:
 * SR at t = 24, cestac on a grid. */
FZ_INLINE void tile(enum prism_mode mode, int full, const int R, const int U,
                    const block *b, int row, int col, int kc, uint32_t kblock)
{
    ptrdiff_t at_a = (ptrdiff_t)row * kc, at_b = (ptrdiff_t)col * kc;
    if (mode == PRISM_SR)
        sr_tile(R, U, full ? 24 : b->p->law.t, b, row, col, kc, kblock,
                (const f64 *)b->pa + at_a, (const f64 *)b->pb + at_b);
#if FZ_HAVE_FMA
    else
        native_tile(mode, full, R, U, b, row, col, kc, kblock, (const f32 *)b->pa + at_a,
                    (const f32 *)b->pb + at_b);
#endif
}

/* The tile that most products consist of, kept apart: inlined among the others it gets
 * fewer registers. */
static __attribute__((noinline)) void sr_tile_4x1(const block *b, int row, int col,
                                                  int kc, uint32_t kblock)
{
    sr_tile(4, 1, 24, b, row, col, kc, kblock, (const f64 *)b->pa + (ptrdiff_t)row * kc,
            (const f64 *)b->pb + (ptrdiff_t)col * kc);
}

/* The tiles of U units of columns. */
FZ_INLINE void column(enum prism_mode mode, int full, const int U, const block *b, int j,
                      int kc, uint32_t kblock)
{
    for (int i = 0; i < b->rows; i += MR)
        switch (b->rows - i) {
        case 1: tile(mode, full, 1, U, b, i, j, kc, kblock); break;
        case 2: tile(mode, full, 2, U, b, i, j, kc, kblock); break;
        case 3: tile(mode, full, 3, U, b, i, j, kc, kblock); break;
        default:
            if (mode == PRISM_SR && full && U == 1)
                sr_tile_4x1(b, i, j, kc, kblock);
            else
                tile(mode, full, 4, U, b, i, j, kc, kblock);
        }
}

/* Enough chains of additions side by side to hide their latency: SR has eight in four
 * rows of a unit, the others four, and fewer rows want more columns. */
FZ_INLINE void tiles(enum prism_mode mode, int full, const block *b, int kc,
                     uint32_t kblock)
{
    for (int j = 0; j < b->cols;) {
        int units = (b->cols - j + UNIT - 1) / UNIT, step = 1;
        if (b->rows == 1 && units >= 4) {
            tile(mode, full, 1, 4, b, 0, j, kc, kblock);
            step = 4;
        } else if (units >= 2 && (mode != PRISM_SR || b->rows == 2)) {
            column(mode, full, 2, b, j, kc, kblock);
            step = 2;
        } else {
            column(mode, full, 1, b, j, kc, kblock);
        }
        j += step * UNIT;
    }
}

/* The quicker path on panels of f32, where its preconditions hold; b->pa and b->pb are those
 * that the tiles read, which SR widens. bb NULL: b->pb has been made before, of numbers in
 * range rb. 0: nothing was done. */
static int fast_panels(block *b, const f32 *a, ptrdiff_t na, const f32 *bb, ptrdiff_t nb,
                       fz_range rb, int kc, uint32_t kblock)
{
    const product *p = b->p;
    const fz_law l = p->law;
    const int sr = l.mode == PRISM_SR, min = fz_wants_min_f32(l.mode, l.t, p->ftz);
    const fz_range ra = fz_range_f32(a, na, min);
    if (bb)
        rb = fz_range_f32(bb, nb, min);
    const f64 grid = fz_grid_f32(ra, rb);
    b->bound += ra.max * rb.max * kc;
    b->grid = kblock && b->grid < grid ? b->grid : grid;
    if (!fz_fast_f32(l.mode, l.t, ra, rb, b->bound, b->grid, p->ftz))
        return 0;
    _mm_setcsr(fz_fast_csr(l.mode, 1));
    if (sr) {
        widen_a(a, na, b->pa);
        if (bb)
            widen_b(bb, nb, b->pb);
        if (l.t == 24)
            tiles(PRISM_SR, 1, b, kc, kblock);
        else
            tiles(PRISM_SR, 0, b, kc, kblock);
    } else if (l.mode == PRISM_UD) {
        tiles(PRISM_UD, 1, b, kc, kblock);
    } else if (l.mode == PRISM_CESTAC && fz_on_grid_f32(b->grid)) {
        tiles(PRISM_CESTAC, 1, b, kc, kblock);
    } else if (l.mode == PRISM_CESTAC) {
        tiles(PRISM_CESTAC, 0, b, kc, kblock);
    } else {
        tiles(PRISM_NEAREST, 1, b, kc, kblock);
    }
    return 1;
}

/* Panels of B that were packed before: for each block of k this, and the panel, of f64 for
 * SR. */
typedef struct packed_head {
    fz_range range;
    char pad[64 - sizeof(fz_range)];
} packed_head;

static int has_fast(const product *p)
{
    const fz_law l = p->law;
    return p->k <= 1 << 22 && (l.mode == PRISM_SR ? l.t >= 21 : l.t == 24 && FZ_HAVE_FMA);
}

static int fast_block(block *b, ptrdiff_t k0, int kc, uint32_t kblock)
{
    const product *p = b->p;
    const ptrdiff_t na = fz_panel_rows(b->rows) * kc, nb = fz_panel_cols(b->cols) * kc;
    const int sr = p->law.mode == PRISM_SR;
    const fz_range none = {0, 0};
    if (!has_fast(p))
        return 0;
    f32 *a = sr ? fz_panel_a(b->pa, b->rows, kc) : b->pa;
    f32 *bb = sr ? fz_panel_b(b->pa, b->cols, kc) : b->pb;
    pack_a(b, k0, kc, a);
    if (!p->packed) {
        pack_b(b, k0, kc, bb);
        return fast_panels(b, a, na, bb, nb, none, kc, kblock);
    }
    const ptrdiff_t before = fz_panel_cols(b->cols) * k0; /* numbers */
    const char *at = p->packed + kblock * sizeof(packed_head) +
                     (size_t)before * (sr ? sizeof(f64) : sizeof(f32));
    const packed_head *head = (const packed_head *)(const void *)at;
    block c = *b;
    c.pb = (void *)(uintptr_t)(head + 1);
    const int done = fast_panels(&c, a, na, NULL, nb, head->range, kc, kblock);
    b->bound = c.bound;
    b->grid = c.grid;
    return done;
}

int FZ_FN(fz_pack_f32)(const fz_job *job, ptrdiff_t n, ptrdiff_t k, const f32 *b,
                       ptrdiff_t rsb, ptrdiff_t csb, void *to)
{
    const product p = {.job = job, .law = fz_law_of(job->mode, 1, job->t),
                       .n = n, .k = k, .b = b, .rsb = rsb, .csb = csb};
    const block all = {.p = &p, .cols = (int)n};
    const int sr = p.law.mode == PRISM_SR;
    if (!has_fast(&p))
        return 0;
    const unsigned old = fz_csr_set(FZ_CSR_RN);
    char *at = to;
    for (ptrdiff_t k0 = 0; k0 < k; k0 += KC) {
        const int kc = (int)(k - k0 < KC ? k - k0 : KC);
        const ptrdiff_t nb = fz_panel_cols((int)n) * kc;
        packed_head *head = (packed_head *)(void *)at;
        f32 *plain = (f32 *)(void *)(at += sizeof *head);
        if (sr)
            plain = fz_panel_b(fz_workspace(), (int)n, kc);
        pack_b(&all, k0, kc, plain);
        head->range = fz_range_f32(plain, nb, 1);
        if (sr)
            widen_b(plain, nb, (f64 *)(void *)at);
        at += (size_t)nb * (sr ? sizeof(f64) : sizeof(f32));
    }
    fz_csr_restore(old);
    return 1;
}

void FZ_FN(fz_packed_f32)(const fz_job *job, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                          const f32 *a, ptrdiff_t rsa, ptrdiff_t csa, const f32 *b,
                          ptrdiff_t rsb, ptrdiff_t csb, const void *packed, f32 beta,
                          f32 *c, ptrdiff_t rsc)
{
    product p = {.job = job,
                 .m = m,
                 .n = n,
                 .k = k,
                 .alpha = 1,
                 .beta = beta,
                 .a = a,
                 .b = b,
                 .c = c,
                 .rsa = rsa,
                 .csa = csa,
                 .rsb = rsb,
                 .csb = csb,
                 .rsc = rsc,
                 .csc = 1,
                 .packed = packed};
    run(&p);
}

/* ---- panels that somebody else has packed ------------------------------------------ */

void FZ_FN(fz_panels_f32)(const fz_job *job, fz_panels *x, int kc, uint32_t kblock)
{
    char *space = fz_workspace();
    product p = {.job = job, .law = x->law, .ftz = x->ftz};
    int done = 0;
    f32 *a = fz_panel_a(space, x->rows, kc), *bb = fz_panel_b(space, x->cols, kc);
    block b = {.p = &p,
               .i0 = (ptrdiff_t)x->row0,
               .j0 = (ptrdiff_t)x->col0,
               .rows = x->rows,
               .cols = x->cols,
               .sum = fz_panel_sum(space),
               .pa = a,
               .pb = bb,
               .bound = x->bound,
           .grid = x->grid};
    if (has_fast(&p)) {
        if (x->law.mode == PRISM_SR) {
            b.pa = space;
            b.pb = (f64 *)(void *)space + MC * KC;
        }
        done = fast_panels(&b, a, fz_panel_rows(b.rows) * kc, bb,
                           fz_panel_cols(b.cols) * kc, (fz_range){0, 0}, kc, kblock);
        x->bound = b.bound;
        x->grid = b.grid;
    }
    if (!done) {
        b.pa = a;
        b.pb = bb;
        _mm_setcsr(FZ_CSR_MASKS | FZ_CSR_RN | x->ftz);
        any_block(&b, kc, kblock);
    }
    /* The bound is that of up to 2^22 products, (1 + 2^-23)^k < 2; deeper sums double it as
     * often as they pass that number. */
    if ((x->depth & ~((1 << 22) - 1)) != ((x->depth + kc) & ~((1 << 22) - 1)))
        x->bound *= 2;
    x->depth += kc;
}
