/* Norms, sums of magnitudes and rotations of one type.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with R, NAME, PRISM, ONE and SAFE_LOG2.
 */

/* Real numbers i .. i+some-1 of a vector of n of the given width, in buf. */
static void NAME(take)(const R *x, int width, ptrdiff_t inc, ptrdiff_t i, ptrdiff_t some,
                       R *buf)
{
    for (ptrdiff_t q = 0; q < some; q++)
        buf[q] = width == 1 ? x[(i + q) * inc] : x[(i + q) / 2 * 2 * inc + (i + q) % 2];
}

static void NAME(give)(R *x, int width, ptrdiff_t inc, ptrdiff_t i, ptrdiff_t some,
                       const R *buf)
{
    for (ptrdiff_t q = 0; q < some; q++)
        x[width == 1 ? (i + q) * inc : (i + q) / 2 * 2 * inc + (i + q) % 2] = buf[q];
}

static ptrdiff_t NAME(piece)(ptrdiff_t n, ptrdiff_t i)
{
    return n - i < FZ_DOT_CHUNK ? n - i : FZ_DOT_CHUNK;
}

R NAME(fz_nrm2)(const fz_kernels *k, const fz_job *job, int width, ptrdiff_t n,
                const R *x, ptrdiff_t incx)
{
    fz_parts p = fz_parts_of(k, job);
    R *buf = fz_scratch(FZ_SCRATCH_NORMS), big = 0, sum = 0;
    if (incx < 0)
        x -= (n - 1) * incx * width;
    n *= width;
    for (ptrdiff_t i = 0; i < n; i++) {
        R v;
        NAME(take)(x, width, incx, i, 1, &v);
        v = (R)__builtin_fabs((f64)v);
        if (v != v)
            return v;
        big = v > big ? v : big;
    }
    if (n <= 1 || big == 0 || __builtin_isinf(big)) /* |x| of one number is exact */
        return big;
    int e = fz_exponent((f64)big);
    if (e > -SAFE_LOG2 && e < SAFE_LOG2)
        e = 0;
    for (ptrdiff_t i = 0; i < n; i += FZ_DOT_CHUNK) {
        const ptrdiff_t some = NAME(piece)(n, i);
        NAME(take)(x, width, incx, i, some, buf);
        for (ptrdiff_t q = 0; q < some && e; q++)
            buf[q] = (R)fz_times_power((f64)buf[q], -e);
        const R s = NAME(op_dot)(&p, some, 0, buf, 1, buf, 1);
        sum = i ? PRISM(add)(sum, s, ONE(&p)) : s;
    }
    return (R)fz_times_power((f64)PRISM(sqrt)(sum, ONE(&p)), e);
}

R NAME(fz_asum)(const fz_kernels *k, const fz_job *job, int width, ptrdiff_t n,
                const R *x, ptrdiff_t incx)
{
    fz_parts p = fz_parts_of(k, job);
    R *buf = fz_scratch(FZ_SCRATCH_NORMS), *ones = buf + FZ_DOT_CHUNK, sum = 0;
    n *= width;
    for (ptrdiff_t i = 0; i < n; i += FZ_DOT_CHUNK) {
        const ptrdiff_t some = NAME(piece)(n, i);
        NAME(take)(x, width, incx, i, some, buf);
        for (ptrdiff_t q = 0; q < some; q++) {
            buf[q] = (R)__builtin_fabs((f64)buf[q]);
            ones[q] = 1;
        }
        const R s = NAME(op_dot)(&p, some, 0, buf, 1, ones, 1);
        sum = i ? PRISM(add)(sum, s, ONE(&p)) : s;
    }
    return sum;
}

void NAME(fz_rot)(const fz_kernels *k, const fz_job *job, int width, ptrdiff_t n, R *x,
                  ptrdiff_t incx, R *y, ptrdiff_t incy, R c, R s)
{
    fz_parts p = fz_parts_of(k, job);
    R *bx = fz_scratch(FZ_SCRATCH_NORMS), *by = bx + FZ_DOT_CHUNK;
    R *ox = by + FZ_DOT_CHUNK, *oy = ox + FZ_DOT_CHUNK;
    if (incx < 0)
        x -= (n - 1) * incx * width;
    if (incy < 0)
        y -= (n - 1) * incy * width;
    n *= width;
    /* with an increment of 0 each rotation acts on what the one before left */
    const ptrdiff_t most = incx && incy ? FZ_DOT_CHUNK : width;
    for (ptrdiff_t i = 0; i < n; i += most) {
        const ptrdiff_t some = n - i < most ? n - i : most;
        NAME(take)(x, width, incx, i, some, bx);
        NAME(take)(y, width, incy, i, some, by);
        for (ptrdiff_t q = 0; q < some; q++) {
            ox[q] = by[q];
            oy[q] = bx[q];
        }
        NAME(op_scal)(&p, some, s, ox, 1);
        NAME(op_axpy)(&p, some, c, 0, bx, 1, ox, 1);
        NAME(op_scal)(&p, some, -s, oy, 1);
        NAME(op_axpy)(&p, some, c, 0, by, 1, oy, 1);
        NAME(give)(x, width, incx, i, some, ox);
        NAME(give)(y, width, incy, i, some, oy);
    }
}

void NAME(fz_rotg)(const fz_kernels *k, const fz_job *job, R *a, R *b, R *c, R *s)
{
    fz_parts p = fz_parts_of(k, job);
    const f64 fa = __builtin_fabs((f64)*a), fb = __builtin_fabs((f64)*b),
              big = fa > fb ? fa : fb;
    if (*b == 0) {
        *c = 1;
        *s = 0;
        return; /* r = a, z = 0 = b */
    }
    if (*a == 0) {
        *c = 0;
        *s = 1;
        *a = *b;
        *b = 1;
        return;
    }
    const int e = __builtin_isfinite(big) ? fz_exponent(big) : 0;
    const R x = (R)fz_times_power((f64)*a, -e), y = (R)fz_times_power((f64)*b, -e);
    R r = PRISM(mul)(y, y, ONE(&p));
    r = PRISM(fma)(x, x, r, ONE(&p));
    r = PRISM(sqrt)(r, ONE(&p));
    if (__builtin_signbit(fa > fb ? x : y))
        r = -r;
    *c = PRISM(div)(x, r, ONE(&p));
    *s = PRISM(div)(y, r, ONE(&p));
    const R z = fa > fb ? *s : *c != 0 ? PRISM(div)(1, *c, ONE(&p)) : 1;
    *a = (R)fz_times_power((f64)r, e);
    *b = z;
}
