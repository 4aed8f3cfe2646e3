/* BLAS of level 2 of one type.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with X, NAME, CONJ and REAL.
 */

/* What is stored of column j: `count` elements from row `first` on, the diagonal among
 * them, at its end (upper) or start (lower). */
typedef struct NAME(column) {
    X *p;
    ptrdiff_t first, count;
} NAME(column);

static NAME(column)
    NAME(column_of)(fz_stored s, int upper, ptrdiff_t n, const X *a_, ptrdiff_t j)
{
    X *a = (X *)(uintptr_t)a_;
    const ptrdiff_t band = s.how == FZ_STORED_BAND ? s.band : n;
    const ptrdiff_t first = !upper ? j : j > band ? j - band : 0;
    const ptrdiff_t end = upper ? j + 1 : n - j > band ? j + band + 1 : n;
    if (s.how == FZ_STORED_PACKED)
        a += upper ? j * (j + 1) / 2 : j * n - j * (j - 1) / 2;
    else if (s.how == FZ_STORED_FULL)
        a += first + j * s.ld;
    else
        a += (upper ? band + first - j : 0) + j * s.ld;
    return (NAME(column)){a, first, end - first};
}

static X *NAME(diagonal)(NAME(column) c, int upper)
{
    return upper ? c.p + c.count - 1 : c.p;
}

/* The column without its diagonal. */
static NAME(column) NAME(beside)(NAME(column) c, int upper)
{
    return upper ? (NAME(column)){c.p, c.first, c.count - 1}
                 : (NAME(column)){c.p + 1, c.first + 1, c.count - 1};
}

/* Element 0 of a vector. */
static X *NAME(start)(const X *x, ptrdiff_t n, ptrdiff_t inc)
{
    return (X *)(uintptr_t)(inc < 0 && n > 0 ? x - (n - 1) * inc : x);
}

static X NAME(times)(fz_parts *p, X a, X b)
{
    if (a != 1)
        NAME(op_scal)(p, 1, a, &b, 1);
    return b;
}

/* y = beta*y, and 0 overwrites. */
static void NAME(beta_y)(fz_parts *p, ptrdiff_t n, X beta, X *y, ptrdiff_t incy)
{
    if (beta == 0) {
        for (ptrdiff_t i = 0; i < n; i++)
            y[i * incy] = 0;
    } else if (beta != 1) {
        NAME(op_scal)(p, n, beta, y, incy);
    }
}

void NAME(fz_symv)(const fz_kernels *k, const fz_job *job, fz_stored s, int herm,
                   int upper, ptrdiff_t n, X alpha, const X *a, const X *x,
                   ptrdiff_t incx, X beta, X *y, ptrdiff_t incy)
{
    fz_parts p = fz_parts_of(k, job);
    x = NAME(start)(x, n, incx);
    y = NAME(start)(y, n, incy);
    NAME(beta_y)(&p, n, beta, y, incy);
    for (ptrdiff_t j = 0; j < n && alpha != 0; j++) {
        const NAME(column) c = NAME(column_of)(s, upper, n, a, j);
        const NAME(column) o = NAME(beside)(c, upper);
        const X d = *NAME(diagonal)(c, upper), ax = NAME(times)(&p, alpha, x[j * incx]);
        X sum = herm ? REAL(d) : d;
        NAME(op_axpy)(&p, o.count, ax, 0, o.p, 1, y + o.first * incy, incy);
        NAME(op_axpy)(&p, 1, ax, 0, &sum, 1, y + j * incy, 1);
        sum = NAME(op_dot)(&p, o.count, herm, o.p, 1, x + o.first * incx, incx);
        if (o.count > 0)
            NAME(op_axpy)(&p, 1, alpha, 0, &sum, 1, y + j * incy, 1);
    }
}

void NAME(fz_trmv)(const fz_kernels *k, const fz_job *job, fz_stored s, int upper,
                   char trans, int unit, ptrdiff_t n, const X *a, X *x, ptrdiff_t incx)
{
    fz_parts p = fz_parts_of(k, job);
    const int conj = trans == 'C', forward = (trans == 'N') == !!upper;
    x = NAME(start)(x, n, incx);
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t j = forward ? i : n - 1 - i;
        const NAME(column) c = NAME(column_of)(s, upper, n, a, j);
        const NAME(column) o = NAME(beside)(c, upper);
        const X d = *NAME(diagonal)(c, upper);
        X *xj = x + j * incx, *rows = x + o.first * incx;
        if (trans == 'N' && *xj == 0)
            continue;
        if (trans == 'N')
            NAME(op_axpy)(&p, o.count, *xj, 0, o.p, 1, rows, incx);
        if (!unit)
            NAME(op_scal)(&p, 1, conj ? CONJ(d) : d, xj, 1);
        if (trans != 'N' && o.count > 0) {
            X sum = NAME(op_dot)(&p, o.count, conj, o.p, 1, rows, incx);
            NAME(op_axpy)(&p, 1, 1, 0, &sum, 1, xj, 1);
        }
    }
}

void NAME(fz_trsv)(const fz_kernels *k, const fz_job *job, fz_stored s, int upper,
                   char trans, int unit, ptrdiff_t n, const X *a, X *x, ptrdiff_t incx)
{
    fz_parts p = fz_parts_of(k, job);
    const int conj = trans == 'C', forward = (trans == 'N') != !!upper;
    x = NAME(start)(x, n, incx);
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t j = forward ? i : n - 1 - i;
        const NAME(column) c = NAME(column_of)(s, upper, n, a, j);
        const NAME(column) o = NAME(beside)(c, upper);
        const X d = *NAME(diagonal)(c, upper);
        X *xj = x + j * incx, *rows = x + o.first * incx;
        if (trans == 'N' && *xj == 0)
            continue;
        if (trans != 'N' && o.count > 0) {
            X sum = NAME(op_dot)(&p, o.count, conj, o.p, 1, rows, incx);
            NAME(op_axpy)(&p, 1, -1, 0, &sum, 1, xj, 1);
        }
        if (!unit)
            NAME(fz_divide)(&p, 1, xj, conj ? CONJ(d) : d);
        if (trans == 'N')
            NAME(op_axpy)(&p, o.count, -*xj, 0, o.p, 1, rows, incx);
    }
}

/* A Hermitian matrix has a real diagonal, whatever was stored. */
static void NAME(real_diagonal)(NAME(column) c, int herm, int upper)
{
    X *d = NAME(diagonal)(c, upper);
    if (herm)
        *d = REAL(*d);
}

void NAME(fz_syr)(const fz_kernels *k, const fz_job *job, fz_stored s, int herm,
                  int upper, ptrdiff_t n, X alpha, const X *x, ptrdiff_t incx, X *a)
{
    fz_parts p = fz_parts_of(k, job);
    x = NAME(start)(x, n, incx);
    for (ptrdiff_t j = 0; j < n && alpha != 0; j++) {
        const NAME(column) c = NAME(column_of)(s, upper, n, a, j);
        const X xj = x[j * incx];
        NAME(real_diagonal)(c, herm, upper);
        if (xj != 0)
            NAME(op_axpy)
            (&p, c.count, NAME(times)(&p, alpha, herm ? CONJ(xj) : xj), 0,
             x + c.first * incx, incx, c.p, 1);
        NAME(real_diagonal)(c, herm, upper);
    }
}

void NAME(fz_syr2)(const fz_kernels *k, const fz_job *job, fz_stored s, int herm,
                   int upper, ptrdiff_t n, X alpha, const X *x, ptrdiff_t incx,
                   const X *y, ptrdiff_t incy, X *a)
{
    fz_parts p = fz_parts_of(k, job);
    x = NAME(start)(x, n, incx);
    y = NAME(start)(y, n, incy);
    for (ptrdiff_t j = 0; j < n && alpha != 0; j++) {
        const NAME(column) c = NAME(column_of)(s, upper, n, a, j);
        const X xj = x[j * incx], yj = y[j * incy];
        NAME(real_diagonal)(c, herm, upper);
        if (xj != 0 || yj != 0) {
            /* alpha*x*y^H + conj(alpha)*y*x^H */
            const X u = NAME(times)(&p, alpha, herm ? CONJ(yj) : yj);
            const X v = NAME(times)(&p, herm ? CONJ(alpha) : alpha, herm ? CONJ(xj) : xj);
            NAME(op_axpy)(&p, c.count, u, 0, x + c.first * incx, incx, c.p, 1);
            NAME(op_axpy)(&p, c.count, v, 0, y + c.first * incy, incy, c.p, 1);
        }
        NAME(real_diagonal)(c, herm, upper);
    }
}

void NAME(fz_gbmv)(const fz_kernels *k, const fz_job *job, char trans, ptrdiff_t m,
                   ptrdiff_t n, ptrdiff_t kl, ptrdiff_t ku, X alpha, const X *a,
                   ptrdiff_t lda, const X *x, ptrdiff_t incx, X beta, X *y,
                   ptrdiff_t incy)
{
    fz_parts p = fz_parts_of(k, job);
    const ptrdiff_t leny = trans == 'N' ? m : n;
    x = NAME(start)(x, trans == 'N' ? n : m, incx);
    y = NAME(start)(y, leny, incy);
    NAME(beta_y)(&p, leny, beta, y, incy);
    for (ptrdiff_t j = 0; j < n && alpha != 0; j++) {
        const ptrdiff_t lo = j > ku ? j - ku : 0, hi = j + kl < m ? j + kl + 1 : m;
        const X *col = a + j * lda + ku + lo - j;
        if (lo >= hi)
            continue;
        if (trans == 'N') {
            NAME(op_axpy)
            (&p, hi - lo, NAME(times)(&p, alpha, x[j * incx]), 0, col, 1, y + lo * incy,
             incy);
        } else {
            X sum = NAME(op_dot)(&p, hi - lo, trans == 'C', col, 1, x + lo * incx, incx);
            NAME(op_axpy)(&p, 1, alpha, 0, &sum, 1, y + j * incy, 1);
        }
    }
}

void NAME(fz_geru)(const fz_kernels *k, const fz_job *job, int conj, ptrdiff_t m,
                   ptrdiff_t n, X alpha, const X *x, ptrdiff_t incx, const X *y,
                   ptrdiff_t incy, X *a, ptrdiff_t lda)
{
    fz_parts p = fz_parts_of(k, job);
    x = NAME(start)(x, m, incx);
    y = NAME(start)(y, n, incy);
    for (ptrdiff_t j = 0; j < n && alpha != 0; j++) {
        const X yj = y[j * incy];
        if (yj != 0)
            NAME(op_axpy)
            (&p, m, NAME(times)(&p, alpha, conj ? CONJ(yj) : yj), 0, x, incx, a + j * lda,
             1);
    }
}
