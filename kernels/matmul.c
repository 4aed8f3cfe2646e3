/* oneDNN's matmul: tiles of C in f32, widened panels in front, narrowing behind.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "matmul.h"

#include "array_run.h"
#include "conv_plan.h"
#include "half_rows.h"

/* A tile of C, and its panels of one run: 32, 128 and 256 KiB. */
#define ROWS 64
#define COLS 128

typedef struct product {
    fz_parts parts;
    const fz_matmul *m;
    ptrdiff_t rows, cols, k, tiles_i, tiles_j;
    int nd;
    f32 alpha, beta; /* of fz_gemm_narrow */
} product;

/* ---- Checks ------------------------------------------------------------------------ */

/* 1 in a dimension: repeated. */
static int fits(const fz_tensor *t, const fz_tensor *c, int first, int last)
{
    if (t->ndims != c->ndims)
        return 0;
    for (int d = first; d < last; d++)
        if (t->dims[d] != c->dims[d] && t->dims[d] != 1)
            return 0;
    return 1;
}

const char *fz_matmul_refuses(const fz_matmul *m)
{
    const fz_tensor *a = &m->a, *b = &m->b, *c = &m->c;
    const int nd = c->ndims;
    if (nd < 2 || !fits(a, c, 0, nd - 2) || !fits(b, c, 0, nd - 2) ||
        a->dims[nd - 2] != c->dims[nd - 2] || b->dims[nd - 1] != c->dims[nd - 1] ||
        a->dims[nd - 1] != b->dims[nd - 2] || (m->bias.data && !fits(&m->bias, c, 0, nd)))
        return "dims do not fit";
    f64 all = 1;
    for (int d = 0; d < nd; d++)
        all *= (f64)(d < nd - 2 ? c->dims[d]
                                : c->dims[d] / (d == nd - 1 ? COLS : ROWS) + 1);
    if (all > 0x1p31 - 1) /* tiles */
        return "a result that is too large";
    for (int i = 0; i < m->nposts; i++)
        if (fz_post_binary(m->post[i].kind) &&
            !fits(&m->post[i].other, c, 0, nd))
            return "dims do not fit";
    return NULL;
}

/* ---- Panels ------------------------------------------------------------------------ */

static ptrdiff_t place(const fz_tensor *t, int d, ptrdiff_t x)
{
    return t->dims[d] == 1 ? 0 : fz_tensor_at(t, d, x);
}

/* Contiguous, without a branch an element: vectors. */
static void widen_run(const void *src, enum fz_type type, ptrdiff_t n, f32 *out)
{
    const uint16_t *p = src;
    uint32_t *bits = (uint32_t *)(void *)out;
    if (type == FZ_F32)
        memcpy(out, src, (size_t)n * sizeof *out);
    else if (type == FZ_BF16)
        for (ptrdiff_t i = 0; i < n; i++)
            bits[i] = (uint32_t)p[i] << 16;
    else
        fz_widen_row(src, type, 1, n, out);
}

/* dst[i][j] of rows r0 .., columns c0 .. of a matrix of the batch's entry at `base`. */
static void panel(const fz_tensor *t, ptrdiff_t base, ptrdiff_t r0, ptrdiff_t rows,
                  ptrdiff_t c0, ptrdiff_t cols, f32 *dst)
{
    const int nd = t->ndims;
    const ptrdiff_t size = (ptrdiff_t)fz_type_size(t->type);
    const char *data = t->data;
    if (!t->nblocks && t->stride[nd - 1] != 1 && t->stride[nd - 2] == 1 && rows > 1) {
        f32 *column = fz_scratch(FZ_SCRATCH_VECTORS);
        for (ptrdiff_t j = 0; j < cols; j++) {
            widen_run(data + (base + r0 + (c0 + j) * t->stride[nd - 1]) * size, t->type,
                      rows, column);
            for (ptrdiff_t i = 0; i < rows; i++)
                dst[i * cols + j] = column[i];
        }
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i++) {
        const ptrdiff_t at = base + fz_tensor_at(t, nd - 2, r0 + i);
        if (!t->nblocks && t->stride[nd - 1] == 1)
            widen_run(data + (at + c0) * size, t->type, cols, dst + i * cols);
        else
            for (ptrdiff_t j = 0; j < cols; j++)
                fz_widen_row(data + (at + fz_tensor_at(t, nd - 1, c0 + j)) * size,
                             t->type, 1, 1, dst + i * cols + j);
    }
}

/* ---- Behind the sum ---------------------------------------------------------------- */

/* A row of one tile. */
typedef struct row {
    fz_array_run on;
    const ptrdiff_t *index; /* of its first element, a number each dimension */
    f32 *x, *tmp, *tmp2, *room;
} row;

static void op(row *r, enum prism_op which, const f32 *a, const f32 *b, const f32 *c,
               f32 *out)
{
    fz_array_op(&r->on, which, a, b, c, out);
}

static ptrdiff_t start(const fz_tensor *t, const ptrdiff_t *index)
{
    ptrdiff_t at = 0;
    for (int d = 0; d < t->ndims - 1; d++)
        at += place(t, d, index[d]);
    return at;
}

/* What another tensor has beside this row. */
static const f32 *beside(const row *r, const fz_tensor *t)
{
    const int last = t->ndims - 1;
    const ptrdiff_t at = start(t, r->index), size = (ptrdiff_t)fz_type_size(t->type);
    if (!t->nblocks && t->stride[last] == 1 && t->dims[last] > 1) {
        widen_run((const char *)t->data + (at + r->index[last]) * size, t->type, (ptrdiff_t)r->on.n,
                  r->tmp);
        return r->tmp;
    }
    for (ptrdiff_t j = 0; j < (ptrdiff_t)r->on.n; j++)
        fz_widen_row((const char *)t->data +
                         (at + place(t, last, r->index[last] + j)) * size,
                     t->type, 1, 1, r->tmp + j);
    return r->tmp;
}

static f32 *constant(const row *r, f32 x)
{
    return fz_array_fill(&r->on, x, r->tmp2);
}

static void post(row *r, const fz_post *p, const fz_tensor *c)
{
    f32 *x = r->x;
    switch (p->kind) {
    case FZ_POST_SUM: {
        const f32 *was = beside(r, c);
        if (p->alpha == 1)
            op(r, PRISM_ADD, was, x, x, x);
        else
            op(r, PRISM_FMA, constant(r, p->alpha), was, x, x);
        return;
    }
    case FZ_POST_ADD:
    case FZ_POST_SUB:
    case FZ_POST_MUL:
    case FZ_POST_DIV: {
        static const enum prism_op ops[] = {PRISM_ADD, PRISM_SUB, PRISM_MUL, PRISM_DIV};
        const f32 *other = beside(r, &p->other);
        op(r, ops[p->kind - FZ_POST_ADD], x, other, x, x);
        return;
    }
    case FZ_POST_ELTWISE:
        fz_array_eltwise(&r->on, p->fn, p->alpha, p->beta, x, r->room);
        return;
    case FZ_POST_LINEAR: {
        const f32 *slope = fz_array_fill(&r->on, p->alpha, r->tmp);
        op(r, PRISM_FMA, slope, x, constant(r, p->beta), x);
        return;
    }
    case FZ_POST_CLIP:
        for (ptrdiff_t j = 0; j < (ptrdiff_t)r->on.n; j++)
            x[j] = x[j] < p->alpha ? p->alpha : x[j] > p->beta ? p->beta : x[j];
        return;
    case FZ_POST_RELU:
        if (p->alpha == 0) {
            for (ptrdiff_t j = 0; j < (ptrdiff_t)r->on.n; j++)
                x[j] = x[j] < 0 ? 0 : x[j];
            return;
        }
        op(r, PRISM_MUL, constant(r, p->alpha), x, x, r->tmp);
        for (ptrdiff_t j = 0; j < (ptrdiff_t)r->on.n; j++)
            x[j] = x[j] < 0 ? r->tmp[j] : x[j];
        return;
    }
}

static void write_row(row *r, const fz_tensor *c)
{
    const int last = c->ndims - 1;
    const ptrdiff_t at = start(c, r->index);
    const fz_job job = fz_part(&r->on.parts);
    const int here = !c->nblocks && c->stride[last] == 1;
    uint16_t *half = (uint16_t *)c->data + at + r->index[last];
    if (!here || c->type == FZ_F32)
        half = (uint16_t *)(void *)r->tmp;
    if (c->type != FZ_F32)
        r->on.parts.k->narrow(&job, c->type == FZ_BF16, (ptrdiff_t)r->on.n, r->x, half);
    if (here && c->type != FZ_F32)
        return;
    for (ptrdiff_t j = 0; j < (ptrdiff_t)r->on.n; j++) {
        const ptrdiff_t to = at + place(c, last, r->index[last] + j);
        if (c->type == FZ_F32)
            ((f32 *)c->data)[to] = r->x[j];
        else
            ((uint16_t *)c->data)[to] = half[j];
    }
}

/* ---- Tiles ------------------------------------------------------------------------- */

static void tile(void *arg, int number)
{
    const product *g = arg;
    const fz_matmul *m = g->m;
    fz_parts p = fz_parts_task(&g->parts, number);
    ptrdiff_t index[FZ_TENSOR_DIMS], rest = number;
    const int nd = g->nd;
    const ptrdiff_t j0 = rest % g->tiles_j * COLS;
    rest /= g->tiles_j;
    const ptrdiff_t i0 = rest % g->tiles_i * ROWS;
    rest /= g->tiles_i;
    ptrdiff_t base_a = 0, base_b = 0;
    for (int d = nd - 3; d >= 0; d--) {
        index[d] = rest % m->c.dims[d];
        rest /= m->c.dims[d];
        base_a += place(&m->a, d, index[d]);
        base_b += place(&m->b, d, index[d]);
    }
    const ptrdiff_t rows = g->rows - i0 < ROWS ? g->rows - i0 : ROWS;
    const ptrdiff_t cols = g->cols - j0 < COLS ? g->cols - j0 : COLS;
    f32 *sum = fz_scratch(FZ_SCRATCH_SOLVE), *tmp = sum + ROWS * COLS;
    f32 *pa = fz_scratch(FZ_SCRATCH_PRODUCT), *pb = pa + ROWS * FZ_HALF_RUN;
    ptrdiff_t k0 = 0;
    do {
        const ptrdiff_t kc = g->k - k0 < FZ_HALF_RUN ? g->k - k0 : FZ_HALF_RUN;
        panel(&m->a, base_a, i0, rows, k0, kc, pa);
        panel(&m->b, base_b, k0, kc, j0, cols, pb);
        const fz_job part = fz_part(&p);
        p.k->gemm_f32(&part, rows, cols, kc, 1, pa, kc, 1, pb, cols, 1, k0 ? 1 : 0, sum,
                      COLS, 1);
        k0 += FZ_HALF_RUN;
    } while (k0 < g->k);
    row r = {{p, prism_arrays(fz_kernels_isa(p.k)), (size_t)cols}, index, NULL, tmp,
             tmp + COLS, tmp + 2 * COLS};
    index[nd - 1] = j0;
    for (ptrdiff_t i = 0; i < rows; i++) {
        r.x = sum + i * COLS;
        index[nd - 2] = i0 + i;
        if (g->beta != 0) {
            const f32 *was = beside(&r, &m->c);
            if (g->beta != 1)
                op(&r, PRISM_MUL, constant(&r, g->beta), was, was, r.tmp);
            op(&r, PRISM_FMA, constant(&r, g->alpha), r.x, r.tmp, r.x);
        } else if (g->alpha != 1) {
            op(&r, PRISM_MUL, constant(&r, g->alpha), r.x, r.x, r.x);
        }
        if (m->scale != 1)
            op(&r, PRISM_MUL, constant(&r, m->scale), r.x, r.x, r.x);
        if (m->bias.data)
            op(&r, PRISM_ADD, r.x, beside(&r, &m->bias), r.x, r.x);
        for (int q = 0; q < m->nposts; q++)
            post(&r, &m->post[q], &m->c);
        write_row(&r, &m->c);
    }
}

static void run(const fz_kernels *k, const fz_job *job, const fz_matmul *m, f32 alpha,
                f32 beta)
{
    const int nd = m->c.ndims;
    product g = {fz_parts_of(k, job),
                 m,
                 m->c.dims[nd - 2],
                 m->c.dims[nd - 1],
                 alpha == 0 ? 0 : m->a.dims[nd - 1],
                 0,
                 0,
                 nd,
                 alpha,
                 beta};
    ptrdiff_t batch = 1;
    for (int d = 0; d < nd - 2; d++)
        batch *= m->c.dims[d];
    if (g.rows <= 0 || g.cols <= 0 || batch <= 0)
        return;
    g.tiles_i = (g.rows + ROWS - 1) / ROWS;
    g.tiles_j = (g.cols + COLS - 1) / COLS;
    fz_parts_share(&g.parts, (f64)batch * (f64)g.rows * (f64)g.cols * (f64)(g.k + 1),
                   tile, &g, (int)(batch * g.tiles_i * g.tiles_j));
}

void fz_matmul_run(const fz_kernels *k, const fz_job *job, const fz_matmul *m)
{
    run(k, job, m, 1, 0);
    fz_tensor_clear_padding(&m->c);
}

static fz_tensor matrix(enum fz_type type, const void *p, ptrdiff_t m, ptrdiff_t n,
                        ptrdiff_t rs, ptrdiff_t cs)
{
    return (fz_tensor){.data = (void *)(uintptr_t)p,
                       .type = type,
                       .ndims = 2,
                       .dims = {m, n},
                       .padded = {m, n},
                       .stride = {rs, cs}};
}

void fz_gemm_narrow(const fz_kernels *k, const fz_job *job, enum fz_type type,
                    ptrdiff_t m, ptrdiff_t n, ptrdiff_t kk, f32 alpha, const uint16_t *a,
                    ptrdiff_t rsa, ptrdiff_t csa, const uint16_t *b, ptrdiff_t rsb,
                    ptrdiff_t csb, f32 beta, uint16_t *c, ptrdiff_t rsc, ptrdiff_t csc)
{
    const fz_matmul x = {.a = matrix(type, a, m, kk, rsa, csa),
                         .b = matrix(type, b, kk, n, rsb, csb),
                         .c = matrix(type, c, m, n, rsc, csc),
                         .scale = 1};
    run(k, job, &x, alpha, beta);
}

f32 fz_dot_half(const fz_kernels *k, const fz_job *job, enum fz_type type, ptrdiff_t n,
                const uint16_t *x, ptrdiff_t incx, const uint16_t *y, ptrdiff_t incy)
{
    fz_parts p = fz_parts_of(k, job);
    f32 *bx = fz_scratch(FZ_SCRATCH_PRODUCT), *by = bx + FZ_DOT_CHUNK, sum = 0;
    for (ptrdiff_t i = 0; i < n; i += FZ_DOT_CHUNK) {
        const ptrdiff_t some = n - i < FZ_DOT_CHUNK ? n - i : FZ_DOT_CHUNK;
        fz_widen_row(x + i * incx, type, incx, some, bx);
        fz_widen_row(y + i * incy, type, incy, some, by);
        const fz_job part = fz_part(&p);
        const f32 s = k->dot_f32(&part, some, bx, 1, by, 1);
        sum = i ? prism_add_f32(sum, s, job->mode, job->t, fz_part_word(&p, sizeof s))
                : s;
    }
    return sum;
}
