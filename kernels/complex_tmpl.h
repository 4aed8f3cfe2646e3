/* Complex products and vectors of one precision.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with R, X and ADD. A complex array is addressed as pairs of R.
 */
#define NAME(base) JOIN(JOIN(base, _), X)
#define KERNEL(base) JOIN(JOIN(base, _), R)

/* ---- vectors
 * ---------------------------------------------------------------------------- */

/* n complex numbers side by side; where they lie, if they already are. */
static const R *NAME(gather)(const X *x_, ptrdiff_t inc, int conj, ptrdiff_t n, R *buf)
{
    const R *x = (const R *)x_;
    if (inc == 1 && !conj)
        return x;
    for (ptrdiff_t i = 0; i < n; i++) {
        buf[2 * i] = x[2 * i * inc];
        buf[2 * i + 1] = conj ? -x[2 * i * inc + 1] : x[2 * i * inc + 1];
    }
    return buf;
}

static void NAME(scatter)(const R *buf, ptrdiff_t n, X *x_, ptrdiff_t inc)
{
    R *x = (R *)x_;
    if (buf == x)
        return;
    for (ptrdiff_t i = 0; i < n; i++) {
        x[2 * i * inc] = buf[2 * i];
        x[2 * i * inc + 1] = buf[2 * i + 1];
    }
}

/* i*x: (-im, re). */
static void NAME(turn)(const R *x, ptrdiff_t n, R *out)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        out[2 * i] = -x[2 * i + 1];
        out[2 * i + 1] = x[2 * i];
    }
}

void NAME(fz_axpy)(const fz_kernels *k, const fz_job *job, ptrdiff_t n, X alpha, int conj,
                   const X *x, ptrdiff_t incx, X *y, ptrdiff_t incy)
{
    /* with incy == 0 every element is the same number: one after the other */
    const ptrdiff_t most = incy ? FZ_COMPLEX_CHUNK : 1;
    const R ar = __real__ alpha, ai = __imag__ alpha;
    fz_parts p = fz_parts_of(k, job);
    R *bx = fz_scratch(FZ_SCRATCH_VECTORS), *by = bx + FZ_DOT_CHUNK,
      *bt = by + FZ_DOT_CHUNK;
    for (ptrdiff_t i = 0; i < n; i += most) {
        const ptrdiff_t some = n - i < most ? n - i : most;
        const R *px = NAME(gather)(x + i * incx, incx, conj, some, bx);
        R *py = (R *)(uintptr_t)NAME(gather)(y + i * incy, incy, 0, some, by);
        fz_job part = fz_part(&p);
        k->KERNEL(axpy)(&part, 2 * some, ar, px, 1, py, 1);
        if (ai != 0) {
            NAME(turn)(px, some, bt);
            part = fz_part(&p);
            k->KERNEL(axpy)(&part, 2 * some, ai, bt, 1, py, 1);
        }
        NAME(scatter)(py, some, y + i * incy, incy);
    }
}

void NAME(fz_scal)(const fz_kernels *k, const fz_job *job, ptrdiff_t n, X alpha, X *x,
                   ptrdiff_t incx)
{
    const R ar = __real__ alpha, ai = __imag__ alpha;
    fz_parts p = fz_parts_of(k, job);
    R *bx = fz_scratch(FZ_SCRATCH_VECTORS), *bt = bx + 2 * FZ_DOT_CHUNK;
    for (ptrdiff_t i = 0; i < n; i += FZ_COMPLEX_CHUNK) {
        const ptrdiff_t some = n - i < FZ_COMPLEX_CHUNK ? n - i : FZ_COMPLEX_CHUNK;
        R *px = (R *)(uintptr_t)NAME(gather)(x + i * incx, incx, 0, some, bx);
        if (ai != 0)
            NAME(turn)(px, some, bt);
        fz_job part = fz_part(&p);
        k->KERNEL(scal)(&part, 2 * some, ar, px, 1);
        if (ai != 0) {
            part = fz_part(&p);
            k->KERNEL(axpy)(&part, 2 * some, ai, bt, 1, px, 1);
        }
        NAME(scatter)(px, some, x + i * incx, incx);
    }
}

X NAME(fz_dot)(const fz_kernels *k, const fz_job *job, ptrdiff_t n, int conj, const X *x,
               ptrdiff_t incx, const X *y, ptrdiff_t incy)
{
    fz_parts p = fz_parts_of(k, job);
    R *bx = fz_scratch(FZ_SCRATCH_VECTORS), *by = bx + FZ_DOT_CHUNK,
      *bt = by + FZ_DOT_CHUNK;
    R sum[2] = {0, 0};
    for (ptrdiff_t i = 0; i < n; i += FZ_COMPLEX_CHUNK) {
        const ptrdiff_t some = n - i < FZ_COMPLEX_CHUNK ? n - i : FZ_COMPLEX_CHUNK;
        const R *px = NAME(gather)(x + i * incx, incx, conj, some, bx);
        const R *py = NAME(gather)(y + i * incy, incy, 0, some, bt);
        for (ptrdiff_t q = 0; q < some; q++) {
            by[2 * q] = py[2 * q];
            by[2 * q + 1] = -py[2 * q + 1];
        }
        for (int part = 0; part < 2; part++) {
            fz_job own = fz_part(&p);
            if (part)
                for (ptrdiff_t q = 0; q < some; q++) {
                    by[2 * q + 1] = py[2 * q];
                    by[2 * q] = py[2 * q + 1];
                }
            R s = k->KERNEL(dot)(&own, 2 * some, px, 1, by, 1);
            if (i)
                s = ADD(sum[part], s, job->mode, job->t, fz_part_word(&p, sizeof(R)));
            sum[part] = s;
        }
    }
    X result;
    memcpy(&result, sum, sizeof result);
    return result;
}

/* ---- product
 * ---------------------------------------------------------------------------- */

/* Sides of a block of C: with a run of k in real numbers, one block of the real product.
 */
#define BLOCK 64

typedef struct NAME(product) {
    fz_parts parts;
    ptrdiff_t m, n, kk;
    X alpha, beta;
    int conja, conjb;
    const X *a, *b;
    X *c;
    ptrdiff_t rsa, csa, rsb, csb, rsc, csc, blocks_j;
} NAME(product);

/* Rows (re, im, re, im, ...) of a block of A. */
static void NAME(pack_a)(const X *a, ptrdiff_t rs, ptrdiff_t cs, int conj, ptrdiff_t rows,
                         ptrdiff_t kc, R *dst)
{
    for (ptrdiff_t i = 0; i < rows; i++, dst += 2 * kc)
        for (ptrdiff_t q = 0; q < kc; q++) {
            const R *x = (const R *)(a + i * rs + q * cs);
            dst[2 * q] = x[0];
            dst[2 * q + 1] = conj ? -x[1] : x[1];
        }
}

/* Two rows for each of B's: (re, im) to meet the real part of A, (-im, re) its imaginary
 * one. */
static void NAME(pack_b)(const X *b, ptrdiff_t rs, ptrdiff_t cs, int conj, ptrdiff_t kc,
                         ptrdiff_t cols, R *dst)
{
    for (ptrdiff_t q = 0; q < kc; q++, dst += 4 * cols)
        for (ptrdiff_t j = 0; j < cols; j++) {
            const R *y = (const R *)(b + q * rs + j * cs);
            const R im = conj ? -y[1] : y[1];
            dst[2 * j] = y[0];
            dst[2 * j + 1] = im;
            dst[2 * cols + 2 * j] = -im;
            dst[2 * cols + 2 * j + 1] = y[0];
        }
}

/* C = beta*C, and 0 overwrites. */
static void NAME(beta_rows)(fz_parts *p, X beta, ptrdiff_t rows, ptrdiff_t cols, X *c,
                            ptrdiff_t rsc, ptrdiff_t csc)
{
    for (ptrdiff_t i = 0; i < rows && beta != 1; i++) {
        if (beta == 0) {
            for (ptrdiff_t j = 0; j < cols; j++)
                c[i * rsc + j * csc] = 0;
        } else {
            fz_job part = fz_part(p);
            NAME(fz_scal)(p->k, &part, cols, beta, c + i * rsc, csc);
        }
    }
}

/* One run that is added by rows: alpha or beta is not real, or C has no unit stride. */
static void NAME(add_run)(fz_parts *p, X alpha, X *sum, int first_of_zero, ptrdiff_t rows,
                          ptrdiff_t cols, X *c, ptrdiff_t rsc, ptrdiff_t csc)
{
    for (ptrdiff_t i = 0; i < rows; i++, sum += cols) {
        if (!first_of_zero) {
            fz_job part = fz_part(p);
            NAME(fz_axpy)(p->k, &part, cols, alpha, 0, sum, 1, c + i * rsc, csc);
            continue;
        }
        if (alpha != 1) {
            fz_job part = fz_part(p);
            NAME(fz_scal)(p->k, &part, cols, alpha, sum, 1);
        }
        for (ptrdiff_t j = 0; j < cols; j++)
            c[i * rsc + j * csc] = sum[j];
    }
}

static void NAME(product_block)(void *arg, int index)
{
    const NAME(product) *g = arg;
    fz_parts p = fz_parts_task(&g->parts, index);
    const ptrdiff_t i0 = index / g->blocks_j * BLOCK, j0 = index % g->blocks_j * BLOCK;
    const ptrdiff_t rows = g->m - i0 < BLOCK ? g->m - i0 : BLOCK;
    const ptrdiff_t cols = g->n - j0 < BLOCK ? g->n - j0 : BLOCK;
    const int direct = g->csc == 1 && __imag__ g->alpha == 0 && __imag__ g->beta == 0;
    R *pa = fz_scratch(FZ_SCRATCH_PRODUCT), *pb = pa + 2 * BLOCK * FZ_COMPLEX_RUN;
    R *sum = pb + 4 * BLOCK * FZ_COMPLEX_RUN;
    X *c = g->c + i0 * g->rsc + j0 * g->csc;
    const ptrdiff_t kk = g->alpha == 0 ? 0 : g->kk;
    if (kk == 0 || !direct)
        NAME(beta_rows)(&p, g->beta, rows, cols, c, g->rsc, g->csc);
    for (ptrdiff_t k0 = 0; k0 < kk; k0 += FZ_COMPLEX_RUN) {
        const ptrdiff_t kc = kk - k0 < FZ_COMPLEX_RUN ? kk - k0 : FZ_COMPLEX_RUN;
        const X *a = g->a + i0 * g->rsa + k0 * g->csa;
        const R *ra = (const R *)a;
        ptrdiff_t rsa = 2 * g->rsa;
        if (g->csa != 1 || g->conja) {
            NAME(pack_a)(a, g->rsa, g->csa, g->conja, rows, kc, pa);
            ra = pa;
            rsa = 2 * kc;
        }
        NAME(pack_b)
        (g->b + k0 * g->rsb + j0 * g->csb, g->rsb, g->csb, g->conjb, kc, cols, pb);
        fz_job part = fz_part(&p);
        if (direct) {
            p.k->KERNEL(gemm)(&part, rows, 2 * cols, 2 * kc, __real__ g->alpha, ra, rsa,
                              1, pb, 2 * cols, 1, k0 ? 1 : __real__ g->beta, (R *)c,
                              2 * g->rsc, 1);
        } else {
            p.k->KERNEL(gemm)(&part, rows, 2 * cols, 2 * kc, 1, ra, rsa, 1, pb, 2 * cols,
                              1, 0, sum, 2 * cols, 1);
            NAME(add_run)
            (&p, g->alpha, (X *)sum, k0 == 0 && g->beta == 0, rows, cols, c, g->rsc,
             g->csc);
        }
    }
}

void NAME(fz_gemm)(const fz_kernels *k, const fz_job *job, ptrdiff_t m, ptrdiff_t n,
                   ptrdiff_t kk, X alpha, int conja, const X *a, ptrdiff_t rsa,
                   ptrdiff_t csa, int conjb, const X *b, ptrdiff_t rsb, ptrdiff_t csb,
                   X beta, X *c, ptrdiff_t rsc, ptrdiff_t csc)
{
    if (m <= 0 || n <= 0)
        return;
    NAME(product)
    g = {fz_parts_of(k, job),
         m,
         n,
         kk > 0 ? kk : 0,
         alpha,
         beta,
         conja,
         conjb,
         a,
         b,
         c,
         rsa,
         csa,
         rsb,
         csb,
         rsc,
         csc,
         0};
    if (m > 1 && (n == 1 || (rsc == 1 && csc != 1))) {
        /* lanes run along the unit stride of C, or along its only column: the transpose
         */
        NAME(product)
        t = {g.parts, n, m,   g.kk, alpha, beta, conjb, conja, b,
             a,       c, csb, rsb,  csa,   rsa,  csc,   rsc,   0};
        g = t;
    }
    g.blocks_j = (g.n + BLOCK - 1) / BLOCK;
    fz_parts_share(&g.parts, 4.0 * (f64)m * (f64)n * (f64)(g.kk + 1), NAME(product_block),
                   &g, (int)((g.m + BLOCK - 1) / BLOCK * g.blocks_j));
}

#undef BLOCK
#undef NAME
#undef KERNEL
