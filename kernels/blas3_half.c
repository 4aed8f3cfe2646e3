/* Products of bf16 and f16 matrices, accumulated in f32.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas3.h"
#include "half.h"

/* A block of C, and its panels of one run: 128 and 256 KiB. */
#define ROWS 64
#define COLS 128

typedef struct product {
    fz_parts parts;
    enum fz_type type;
    ptrdiff_t m, n, kk;
    f32 alpha, beta;
    const uint16_t *a, *b;
    f32 *c;
    ptrdiff_t rsa, csa, rsb, csb, rsc, csc, blocks_j;
} product;

static void widen_panel(const uint16_t *src, ptrdiff_t rs, ptrdiff_t cs,
                        enum fz_type type, ptrdiff_t rows, ptrdiff_t cols, f32 *dst)
{
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < cols; j++)
            dst[i * cols + j] = fz_widen(src[i * rs + j * cs], type);
}

static void block(void *arg, int index)
{
    const product *g = arg;
    fz_parts p = fz_parts_task(&g->parts, index);
    const ptrdiff_t i0 = index / g->blocks_j * ROWS, j0 = index % g->blocks_j * COLS;
    const ptrdiff_t rows = g->m - i0 < ROWS ? g->m - i0 : ROWS;
    const ptrdiff_t cols = g->n - j0 < COLS ? g->n - j0 : COLS;
    f32 *c = g->c + i0 * g->rsc + j0 * g->csc;
    f32 *pa = fz_scratch(FZ_SCRATCH_PRODUCT), *pb = pa + ROWS * FZ_HALF_RUN;
    ptrdiff_t k0 = 0;
    do {
        const ptrdiff_t kc = g->kk - k0 < FZ_HALF_RUN ? g->kk - k0 : FZ_HALF_RUN;
        widen_panel(g->a + i0 * g->rsa + k0 * g->csa, g->rsa, g->csa, g->type, rows, kc,
                    pa);
        widen_panel(g->b + k0 * g->rsb + j0 * g->csb, g->rsb, g->csb, g->type, kc, cols,
                    pb);
        const fz_job part = fz_part(&p);
        p.k->gemm_f32(&part, rows, cols, kc, g->alpha, pa, kc, 1, pb, cols, 1,
                      k0 ? 1 : g->beta, c, g->rsc, g->csc);
        k0 += FZ_HALF_RUN;
    } while (k0 < g->kk);
}

void fz_gemm_half(const fz_kernels *k, const fz_job *job, int bf16, ptrdiff_t m,
                  ptrdiff_t n, ptrdiff_t kk, f32 alpha, const uint16_t *a, ptrdiff_t rsa,
                  ptrdiff_t csa, const uint16_t *b, ptrdiff_t rsb, ptrdiff_t csb,
                  f32 beta, f32 *c, ptrdiff_t rsc, ptrdiff_t csc)
{
    if (m <= 0 || n <= 0)
        return;
    product g = {fz_parts_of(k, job),
                 bf16 ? FZ_BF16 : FZ_F16,
                 m,
                 n,
                 alpha == 0 || kk < 0 ? 0 : kk,
                 alpha,
                 beta,
                 a,
                 b,
                 c,
                 rsa,
                 csa,
                 rsb,
                 csb,
                 rsc,
                 csc,
                 (n + COLS - 1) / COLS};
    fz_parts_share(&g.parts, (f64)m * (f64)n * (f64)(g.kk + 1), block, &g,
                   (int)((m + ROWS - 1) / ROWS * g.blocks_j));
}
