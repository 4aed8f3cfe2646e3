/* BLAS of level 3 of one type.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with X, NAME, CONJ and REAL. Sides, triangles and transpositions are taken
 * away first, by exchanging and negating strides, so that each routine has one form: the
 * triangle is the lower one, the matrix is on the left.
 */
#define BLOCK FZ_BLAS3_BLOCK
#define COLUMNS 128 /* of a task of trmm and trsm */

static ptrdiff_t NAME(least)(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

/* ---- symm, hemm
 * ------------------------------------------------------------------------- */

void NAME(fz_symm)(const fz_kernels *k, const fz_job *job, int herm, int right, int upper,
                   ptrdiff_t m, ptrdiff_t n, X alpha, const X *a, ptrdiff_t lda,
                   const X *b, ptrdiff_t ldb, X beta, X *c, ptrdiff_t ldc)
{
    fz_parts p = fz_parts_of(k, job);
    const ptrdiff_t rsa = upper ? lda : 1, csa = upper ? 1 : lda;
    const ptrdiff_t rsb = right ? ldb : 1, csb = right ? 1 : ldb;
    const ptrdiff_t rsc = right ? ldc : 1, csc = right ? 1 : ldc;
    const ptrdiff_t order = right ? n : m, cols = right ? m : n;
    /* the lower triangle as stored (exchanged for an upper one) is conjugated, or the
     * other */
    const int low = herm && upper != right, high = herm && !low;
    if (alpha == 0) {
        NAME(op_gemm)
        (&p, order, cols, 0, alpha, 0, a, 1, 1, 0, b, 1, 1, beta, c, rsc, csc);
        return;
    }
    X *tile = fz_scratch(FZ_SCRATCH_SOLVE);
    for (ptrdiff_t i0 = 0; i0 < order; i0 += BLOCK) {
        const ptrdiff_t rows = NAME(least)(BLOCK, order - i0), i1 = i0 + rows;
        X *ci = c + i0 * rsc;
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j <= i; j++) {
                X x = a[(i0 + i) * rsa + (i0 + j) * csa];
                if (herm && i == j)
                    x = REAL(x);
                tile[i * BLOCK + j] = low ? CONJ(x) : x;
                tile[j * BLOCK + i] = high ? CONJ(x) : x;
            }
        if (i0)
            NAME(op_gemm)
            (&p, rows, cols, i0, alpha, low, a + i0 * rsa, rsa, csa, 0, b, rsb, csb, beta,
             ci, rsc, csc);
        NAME(op_gemm)
        (&p, rows, cols, rows, alpha, 0, tile, BLOCK, 1, 0, b + i0 * rsb, rsb, csb,
         i0 ? 1 : beta, ci, rsc, csc);
        if (i1 < order)
            NAME(op_gemm)
            (&p, rows, cols, order - i1, alpha, high, a + i1 * rsa + i0 * csa, csa, rsa,
             0, b + i1 * rsb, rsb, csb, 1, ci, rsc, csc);
    }
}

/* ---- syrk, herk, syr2k, her2k
 * ----------------------------------------------------------- */

typedef struct NAME(update) {
    ptrdiff_t n, kk;
    X alpha[2], beta;
    const X *a[2], *b[2];
    ptrdiff_t rsa[2], csa[2], rsb[2], csb[2];
    int conja, conjb, herm, count;
} NAME(update);

/* Block (i.., j..) of C: the products one after the other. */
static void NAME(update_block)(fz_parts *p, const NAME(update) * u, ptrdiff_t i,
                               ptrdiff_t rows, ptrdiff_t j, ptrdiff_t cols, X *c,
                               ptrdiff_t rsc, ptrdiff_t csc)
{
    for (int q = 0; q < u->count; q++)
        NAME(op_gemm)
        (p, rows, cols, u->kk, u->alpha[q], u->conja, u->a[q] + i * u->rsa[q], u->rsa[q],
         u->csa[q], u->conjb, u->b[q] + j * u->csb[q], u->rsb[q], u->csb[q],
         q ? 1 : u->beta, c, rsc, csc);
}

static void NAME(update_lower)(fz_parts *p, const NAME(update) * u, X *c, ptrdiff_t rsc,
                               ptrdiff_t csc)
{
    X *tile = fz_scratch(FZ_SCRATCH_SOLVE);
    for (ptrdiff_t j0 = 0; j0 < u->n; j0 += BLOCK) {
        const ptrdiff_t cols = NAME(least)(BLOCK, u->n - j0), j1 = j0 + cols;
        X *cj = c + j0 * (rsc + csc);
        memset(tile, 0, BLOCK * BLOCK * sizeof *tile);
        for (ptrdiff_t i = 0; i < cols && u->beta != 0; i++)
            for (ptrdiff_t j = 0; j <= i; j++)
                tile[i * BLOCK + j] = u->herm && i == j ? REAL(cj[i * (rsc + csc)])
                                                        : cj[i * rsc + j * csc];
        NAME(update_block)(p, u, j0, cols, j0, cols, tile, BLOCK, 1);
        for (ptrdiff_t i = 0; i < cols; i++)
            for (ptrdiff_t j = 0; j <= i; j++)
                cj[i * rsc + j * csc] = u->herm && i == j ? REAL(tile[i * BLOCK + j])
                                                          : tile[i * BLOCK + j];
        if (j1 < u->n)
            NAME(update_block)(p, u, j1, u->n - j1, j0, cols, cj + cols * rsc, rsc, csc);
    }
}

/* The operand that stands on the left (n x k) and, transposed, on the right. */
static void NAME(update_operand)(NAME(update) * u, int q, const X *left, ptrdiff_t ldl,
                                 const X *right, ptrdiff_t ldr, int trans)
{
    u->a[q] = left;
    u->rsa[q] = trans ? ldl : 1;
    u->csa[q] = trans ? 1 : ldl;
    u->b[q] = right;
    u->rsb[q] = trans ? 1 : ldr;
    u->csb[q] = trans ? ldr : 1;
}

void NAME(fz_syrk)(const fz_kernels *k, const fz_job *job, int herm, int upper,
                   char trans, ptrdiff_t n, ptrdiff_t kk, X alpha, const X *a,
                   ptrdiff_t lda, X beta, X *c, ptrdiff_t ldc)
{
    fz_parts p = fz_parts_of(k, job);
    NAME(update)
    u = {.n = n,
         .kk = alpha == 0 ? 0 : kk,
         .alpha = {alpha},
         .beta = beta,
         .herm = herm,
         .count = 1};
    NAME(update_operand)(&u, 0, a, lda, a, lda, trans != 'N');
    /* the upper triangle is the lower one of the transpose, which conj(A)*A^T gives */
    u.conja = herm && (trans != 'N') != upper;
    u.conjb = herm && !u.conja;
    NAME(update_lower)(&p, &u, c, upper ? ldc : 1, upper ? 1 : ldc);
}

void NAME(fz_syr2k)(const fz_kernels *k, const fz_job *job, int herm, int upper,
                    char trans, ptrdiff_t n, ptrdiff_t kk, X alpha, const X *a,
                    ptrdiff_t lda, const X *b, ptrdiff_t ldb, X beta, X *c, ptrdiff_t ldc)
{
    fz_parts p = fz_parts_of(k, job);
    NAME(update)
    u = {.n = n,
         .kk = alpha == 0 ? 0 : kk,
         .beta = beta,
         .herm = herm,
         .count = alpha == 0 || kk == 0 ? 1 : 2};
    u.alpha[0] = herm && upper ? CONJ(alpha) : alpha;
    u.alpha[1] = herm && !upper ? CONJ(alpha) : alpha;
    NAME(update_operand)(&u, 0, a, lda, b, ldb, trans != 'N');
    NAME(update_operand)(&u, 1, b, ldb, a, lda, trans != 'N');
    u.conja = herm && (trans != 'N') != upper;
    u.conjb = herm && !u.conja;
    NAME(update_lower)(&p, &u, c, upper ? ldc : 1, upper ? 1 : ldc);
}

/* ---- trmm, trsm
 * ------------------------------------------------------------------------- */

/* L*B or L\B with L lower triangular, by strides. */
typedef struct NAME(triangle) {
    fz_parts parts;
    ptrdiff_t order, cols;
    X alpha;
    const X *a;
    X *b;
    ptrdiff_t rsa, csa, rsb, csb;
    int conj, unit;
} NAME(triangle);

static NAME(triangle)
    NAME(triangle_of)(const fz_kernels *k, const fz_job *job, int right, int upper,
                      char trans, int unit, ptrdiff_t m, ptrdiff_t n, X alpha, const X *a,
                      ptrdiff_t lda, X *b, ptrdiff_t ldb)
{
    /* B*op(A) is the transpose of op(A)^T*B^T */
    const int turned = (trans != 'N') != right;
    NAME(triangle)
    t = {fz_parts_of(k, job),
         right ? n : m,
         right ? m : n,
         alpha,
         a,
         b,
         turned ? lda : 1,
         turned ? 1 : lda,
         right ? ldb : 1,
         right ? 1 : ldb,
         trans == 'C',
         unit};
    if (upper != turned && t.order > 0) { /* upper: the last row is the first */
        t.a += (t.order - 1) * (t.rsa + t.csa);
        t.b += (t.order - 1) * t.rsb;
        t.rsa = -t.rsa;
        t.csa = -t.csa;
        t.rsb = -t.rsb;
    }
    return t;
}

static X NAME(diagonal)(const NAME(triangle) * t, ptrdiff_t i)
{
    const X x = t->a[i * (t->rsa + t->csa)];
    return t->conj ? CONJ(x) : x;
}

/* rows of block i0: lo .. hi-1 += alpha * A * (rows from .. lo-1), in the tile. */
static void NAME(add_rows)(fz_parts *p, const NAME(triangle) * t, X *tile, ptrdiff_t cols,
                           ptrdiff_t i0, ptrdiff_t from, ptrdiff_t lo, ptrdiff_t hi,
                           X alpha)
{
    NAME(op_gemm)
    (p, hi - lo, cols, lo - from, alpha, t->conj,
     t->a + (i0 + lo) * t->rsa + (i0 + from) * t->csa, t->rsa, t->csa, 0,
     tile + from * cols, cols, 1, 1, tile + lo * cols, cols, 1);
}

static ptrdiff_t NAME(middle)(ptrdiff_t lo, ptrdiff_t hi)
{
    return lo + ((hi - lo) / 2 + 3) / 4 * 4;
}

static void NAME(solve)(fz_parts *p, const NAME(triangle) * t, X *tile, ptrdiff_t cols,
                        ptrdiff_t i0, ptrdiff_t lo, ptrdiff_t hi)
{
    if (hi - lo > 4) {
        const ptrdiff_t mid = NAME(middle)(lo, hi);
        NAME(solve)(p, t, tile, cols, i0, lo, mid);
        NAME(add_rows)(p, t, tile, cols, i0, lo, mid, hi, -1);
        NAME(solve)(p, t, tile, cols, i0, mid, hi);
        return;
    }
    for (ptrdiff_t i = lo; i < hi; i++) {
        if (i > lo)
            NAME(add_rows)(p, t, tile, cols, i0, lo, i, i + 1, -1);
        if (!t->unit)
            NAME(fz_divide)(p, cols, tile + i * cols, NAME(diagonal)(t, i0 + i));
    }
}

static void NAME(multiply)(fz_parts *p, const NAME(triangle) * t, X *tile, ptrdiff_t cols,
                           ptrdiff_t i0, ptrdiff_t lo, ptrdiff_t hi)
{
    if (hi - lo > 4) {
        const ptrdiff_t mid = NAME(middle)(lo, hi);
        NAME(multiply)(p, t, tile, cols, i0, mid, hi);
        NAME(add_rows)(p, t, tile, cols, i0, lo, mid, hi, 1);
        NAME(multiply)(p, t, tile, cols, i0, lo, mid);
        return;
    }
    for (ptrdiff_t i = hi - 1; i >= lo; i--) {
        if (!t->unit)
            NAME(op_scal)(p, cols, NAME(diagonal)(t, i0 + i), tile + i * cols, 1);
        if (i > lo)
            NAME(add_rows)(p, t, tile, cols, i0, lo, i, i + 1, 1);
    }
}

/* Rows i0 .. of a task's columns into the tile, or back. */
static void NAME(move)(const NAME(triangle) * t, X *b, ptrdiff_t rows, ptrdiff_t cols,
                       X *tile, int back)
{
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < cols; j++) {
            X *x = b + i * t->rsb + j * t->csb;
            if (back)
                *x = tile[i * cols + j];
            else
                tile[i * cols + j] = *x;
        }
}

/* Block row i0 of a task: tile = sign*A*(rows above) + alpha*tile, with the factor of the
 * product for trmm; the block row before it has nothing above. */
static void NAME(rows_above)(fz_parts *p, const NAME(triangle) * t, const X *b,
                             ptrdiff_t i0, ptrdiff_t rows, ptrdiff_t cols, X factor,
                             X *tile)
{
    if (i0)
        NAME(op_gemm)
        (p, rows, cols, i0, factor, t->conj, t->a + i0 * t->rsa, t->rsa, t->csa, 0, b,
         t->rsb, t->csb, t->alpha, tile, cols, 1);
    else if (t->alpha != 1)
        NAME(op_scal)(p, rows * cols, t->alpha, tile, 1);
}

static void NAME(solve_columns)(void *arg, int index)
{
    const NAME(triangle) *t = arg;
    fz_parts p = fz_parts_task(&t->parts, index);
    X *tile = fz_scratch(FZ_SCRATCH_SOLVE), *b = t->b + index * COLUMNS * t->csb;
    const ptrdiff_t cols = NAME(least)(COLUMNS, t->cols - index * (ptrdiff_t)COLUMNS);
    for (ptrdiff_t i0 = 0; i0 < t->order; i0 += BLOCK) {
        const ptrdiff_t rows = NAME(least)(BLOCK, t->order - i0);
        NAME(move)(t, b + i0 * t->rsb, rows, cols, tile, 0);
        NAME(rows_above)(&p, t, b, i0, rows, cols, -1, tile);
        NAME(solve)(&p, t, tile, cols, i0, 0, rows);
        NAME(move)(t, b + i0 * t->rsb, rows, cols, tile, 1);
    }
}

static void NAME(multiply_columns)(void *arg, int index)
{
    const NAME(triangle) *t = arg;
    fz_parts p = fz_parts_task(&t->parts, index);
    X *tile = fz_scratch(FZ_SCRATCH_SOLVE), *b = t->b + index * COLUMNS * t->csb;
    const ptrdiff_t cols = NAME(least)(COLUMNS, t->cols - index * (ptrdiff_t)COLUMNS);
    for (ptrdiff_t i0 = (t->order - 1) / BLOCK * BLOCK; i0 >= 0; i0 -= BLOCK) {
        const ptrdiff_t rows = NAME(least)(BLOCK, t->order - i0);
        NAME(move)(t, b + i0 * t->rsb, rows, cols, tile, 0);
        NAME(multiply)(&p, t, tile, cols, i0, 0, rows);
        NAME(rows_above)(&p, t, b, i0, rows, cols, t->alpha, tile);
        NAME(move)(t, b + i0 * t->rsb, rows, cols, tile, 1);
    }
}

static void NAME(run_triangle)(NAME(triangle) * t, void (*body)(void *, int))
{
    if (t->order <= 0 || t->cols <= 0)
        return;
    if (t->alpha == 0) {
        for (ptrdiff_t i = 0; i < t->order; i++)
            for (ptrdiff_t j = 0; j < t->cols; j++)
                t->b[i * t->rsb + j * t->csb] = 0;
        return;
    }
    fz_parts_share(&t->parts, (f64)t->order * (f64)t->order * (f64)t->cols / 2, body, t,
                   (int)((t->cols + COLUMNS - 1) / COLUMNS));
}

void NAME(fz_trmm)(const fz_kernels *k, const fz_job *job, int right, int upper,
                   char trans, int unit, ptrdiff_t m, ptrdiff_t n, X alpha, const X *a,
                   ptrdiff_t lda, X *b, ptrdiff_t ldb)
{
    NAME(triangle)
    t = NAME(triangle_of)(k, job, right, upper, trans, unit, m, n, alpha, a, lda, b, ldb);
    NAME(run_triangle)(&t, NAME(multiply_columns));
}

void NAME(fz_trsm)(const fz_kernels *k, const fz_job *job, int right, int upper,
                   char trans, int unit, ptrdiff_t m, ptrdiff_t n, X alpha, const X *a,
                   ptrdiff_t lda, X *b, ptrdiff_t ldb)
{
    NAME(triangle)
    t = NAME(triangle_of)(k, job, right, upper, trans, unit, m, n, alpha, a, lda, b, ldb);
    NAME(run_triangle)(&t, NAME(solve_columns));
}

#undef BLOCK
#undef COLUMNS
