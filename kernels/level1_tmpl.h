/* dot, axpy, scal and ger of one type.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with T, IS_F32, NAME(base), and what serves the type: SCALAR_ADD, RANGE,
 * NATIVE. Vectors with a stride go through a buffer of one chunk; a chunk is the work of
 * one thread and has strands of its own.
 */

#define GROUP 32 /* lanes, and partial sums of a dot product */

typedef struct NAME(vectors) {
    const fz_job *job;
    fz_law law;
    ptrdiff_t n, incx, incy, n2, rsa, csa;
    T alpha;
    const T *x;
    T *y, *partial;
    unsigned ftz;
} NAME(vectors);

/* Elements i .. i+31 of x in buf, `fill` beyond the end; or where they lie, if they can
 * be used there. */
FZ_INLINE const T *NAME(gather)(const T *x, ptrdiff_t inc, int n, T *buf, T fill)
{
    if (inc == 1 && n >= GROUP)
        return x;
    for (int i = 0; i < GROUP; i++)
        buf[i] = i < n ? x[i * inc] : fill;
    return buf;
}

/* One row or chunk: y = round(alpha*x + y), or y = round(alpha*y) where x is NULL.
 * Strands are those of (key, a, b). */
FZ_INLINE void NAME(update)(fz_law l, prism_key key, uint32_t a, uint32_t b, ptrdiff_t n,
                            T alpha, const T *x, ptrdiff_t incx, T *y, ptrdiff_t incy)
{
    enum { VECS = GROUP / L };
    const int skip = fz_gap(l), every = fz_law_every(l);
    const vd va = vd_set(alpha);
    vi st[FZ_STATES(GROUP, 1)];
    fz_lanes_open(st, l, GROUP, key, a, b, 0);
    for (ptrdiff_t i = 0, step = 0; i < n; i += GROUP, step++) {
        T bx[GROUP], by[GROUP];
        int left = n - i < GROUP ? (int)(n - i) : GROUP;
        const T *px = x ? NAME(gather)(x + i * incx, incx, left, bx, 1) : NULL;
        const T *py = NAME(gather)(y + i * incy, incy, left, by, 1);
        T *out = py == by ? by : y + i * incy;
        if (l.r && step && step % every == 0)
            fz_lanes_step(st, l, GROUP);
        for (int v = 0; v < VECS; v++) {
            int e = fz_at(l, v);
            vd vy = fz_load(py, IS_F32, e, skip);
            vi w = fz_word(st, l, v, (int)(step % 64));
            vd r = px ? fz_op(PRISM_FMA, l, va, fz_load(px, IS_F32, e, skip), vy, w)
                      : fz_op(PRISM_MUL, l, va, vy, vy, w);
            fz_store(out, IS_F32, e, skip, r);
        }
        if (out == by)
            for (int q = 0; q < left; q++)
                y[(i + q) * incy] = by[q];
    }
}

/* The same with the law's branches resolved. */
static void NAME(update_law)(fz_law l, prism_key key, uint32_t a, uint32_t b, ptrdiff_t n,
                             T alpha, const T *x, ptrdiff_t incx, T *y, ptrdiff_t incy)
{
    const int full = IS_F32 ? 24 : 53;
    if (l.mode == PRISM_SR && l.t == full)
        NAME(update)
        (fz_law_of(PRISM_SR, IS_F32, full), key, a, b, n, alpha, x, incx, y, incy);
    else if (l.mode == PRISM_SR)
        NAME(update)(l, key, a, b, n, alpha, x, incx, y, incy);
    else if (l.mode == PRISM_UD)
        NAME(update)
        (fz_law_of(PRISM_UD, IS_F32, l.t), key, a, b, n, alpha, x, incx, y, incy);
    else if (l.mode == PRISM_CESTAC)
        NAME(update)
        (fz_law_of(PRISM_CESTAC, IS_F32, l.t), key, a, b, n, alpha, x, incx, y, incy);
    else
        NAME(update)
        (fz_law_of(PRISM_NEAREST, IS_F32, l.t), key, a, b, n, alpha, x, incx, y, incy);
}

static void NAME(update_chunk)(void *arg, int index)
{
    const NAME(vectors) *p = arg;
    const ptrdiff_t at = (ptrdiff_t)index * FZ_DOT_CHUNK;
    const ptrdiff_t n = p->n - at < FZ_DOT_CHUNK ? p->n - at : FZ_DOT_CHUNK;
    const unsigned old = fz_csr_set(p->ftz);
    NAME(update_law)
    (p->law, p->job->key, (uint32_t)index, 0, n, p->alpha,
     p->x ? p->x + at * p->incx : NULL, p->incx, p->y + at * p->incy, p->incy);
    fz_csr_restore(old);
}

void NAME(fz_axpy)(const fz_job *job, ptrdiff_t n, T alpha, const T *x, ptrdiff_t incx,
                   T *y, ptrdiff_t incy)
{
    NAME(vectors)
    p = {.job = job,
         .law = fz_law_of(job->mode, IS_F32, job->t),
         .n = n,
         .incx = incx,
         .incy = incy,
         .alpha = alpha,
         .x = x,
         .y = y,
         .ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ)};
    /* with incy == 0 every element is the same number: one after the other */
    const int chunks = (int)((n + FZ_DOT_CHUNK - 1) / FZ_DOT_CHUNK);
    if (incy == 0) {
        const unsigned old = fz_csr_set(p.ftz);
        for (ptrdiff_t i = 0; i < n; i++)
            NAME(update_law)
            (p.law, job->key, (uint32_t)i, (uint32_t)(i >> 32) | 1u << 31, 1, alpha,
             x + i * incx, 1, y, 1);
        fz_csr_restore(old);
        return;
    }
    fz_share(job, (f64)n, NAME(update_chunk), &p, chunks);
}

void NAME(fz_scal)(const fz_job *job, ptrdiff_t n, T alpha, T *x, ptrdiff_t incx)
{
    NAME(vectors)
    p = {.job = job,
         .law = fz_law_of(job->mode, IS_F32, job->t),
         .n = n,
         .incy = incx,
         .alpha = alpha,
         .y = x,
         .ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ)};
    fz_share(job, (f64)n, NAME(update_chunk), &p,
             (int)((n + FZ_DOT_CHUNK - 1) / FZ_DOT_CHUNK));
}

/* ---- dot --------------------------------------------------------------------------- */

/* Rows of GROUP elements of a chunk: contiguous, the last padded with zeros. */
typedef struct NAME(rows) {
    const T *x, *y;
    ptrdiff_t full; /* rows in x and y */
    int rest;       /* one more, here */
    T tail_x[GROUP], tail_y[GROUP];
} NAME(rows);

FZ_INLINE const T *NAME(row)(const NAME(rows) * r, int of_y, ptrdiff_t i)
{
    if (i == r->full)
        return of_y ? r->tail_y : r->tail_x;
    return (of_y ? r->y : r->x) + i * GROUP;
}

static void NAME(rows_of)(NAME(rows) * r, ptrdiff_t n, const T *x, ptrdiff_t incx,
                          const T *y, ptrdiff_t incy)
{
    T *space = fz_workspace();
    r->full = n / GROUP;
    r->rest = n % GROUP != 0;
    for (int of_y = 0; of_y < 2; of_y++) {
        const T *v = of_y ? y : x;
        const ptrdiff_t inc = of_y ? incy : incx;
        T *tail = of_y ? r->tail_y : r->tail_x;
        for (int i = 0; i < GROUP; i++)
            tail[i] = r->full * GROUP + i < n ? v[(r->full * GROUP + i) * inc] : 0;
        if (inc != 1) {
            T *copy = space + of_y * FZ_DOT_CHUNK;
            for (ptrdiff_t i = 0; i < r->full * GROUP; i++)
                copy[i] = v[i * inc];
            v = copy;
        }
        *(of_y ? &r->y : &r->x) = v;
    }
}

/* The partial sums by the quicker step of the mode; 0: its preconditions do not hold. */
FZ_INLINE int NAME(dot_fast)(enum prism_mode mode, const NAME(rows) * rows, prism_key key,
                             uint32_t chunk, unsigned ftz, T sum[GROUP])
{
    const fz_law l = fz_law_of(mode, IS_F32, IS_F32 ? 24 : 53);
    const ptrdiff_t steps = rows->full + rows->rest;
    fz_range r[2];
    for (int of_y = 0; of_y < 2; of_y++) {
        const int min = WANTS_MIN(mode, l.t, ftz);
        fz_range a = RANGE(NAME(row)(rows, of_y, 0), rows->full * GROUP, min);
        fz_range b = RANGE(NAME(row)(rows, of_y, rows->full), GROUP, min);
        r[of_y] = (fz_range){!(a.max < b.max) ? a.max : b.max,
                             a.min < b.min ? a.min : b.min};
        if (!(b.max < 0x1p1023)) /* inf, or NaN, which < passes over */
            return 0;
    }
    if (mode != PRISM_SR && !FZ_HAVE_FMA)
        return 0;
    const f64 bound = r[0].max * r[1].max * (f64)steps;
#if IS_F32
    if (!fz_fast_f32(mode, 24, r[0], r[1], bound, fz_grid_f32(r[0], r[1]), ftz))
        return 0;
#else
    if (!fz_fast_f64(mode, r[0], r[1], bound, fz_deep_f64(r[0], r[1]), ftz))
        return 0;
#endif
    const int every = fz_law_every(l), skip = fz_gap(l);
    (void)every; /* without an fma only SR comes here */
    vi st[FZ_STATES(GROUP, 1)];
    fz_lanes_open(st, l, GROUP, key, chunk, 0, 0);
    _mm_setcsr(fz_fast_csr(mode, IS_F32));
    if (mode == PRISM_SR) {
        enum { VECS = GROUP / L };
        vd acc[VECS];
        for (int v = 0; v < VECS; v++)
            acc[v] = vd_set(0);
        for (ptrdiff_t i = 0; i < steps; i++) {
            const T *px = NAME(row)(rows, 0, i), *py = NAME(row)(rows, 1, i);
            if (i)
                fz_lanes_step(st, l, GROUP);
            for (int v = 0; v < VECS; v++) {
                vd x = fz_load(px, IS_F32, fz_at(l, v), skip);
                vd y = fz_load(py, IS_F32, fz_at(l, v), skip);
#if IS_F32
                acc[v] = fz_sr_f32(x, y * vd_set(FZ_SCALE), acc[v], fz_word(st, l, v, 0),
                                   29);
#else
                acc[v] = fz_sr_f64(x, y, acc[v], st[v]);
#endif
            }
        }
        for (int v = 0; v < VECS; v++)
            fz_store(sum, IS_F32, fz_at(l, v), skip,
                     IS_F32 ? acc[v] * vd_set(FZ_UNSCALE) : acc[v]);
    }
#if FZ_HAVE_FMA
    else {
#if IS_F32
        typedef vf vec;
        typedef vw word;
#else
        typedef vd vec;
        typedef vi word;
#endif
        enum { W = FZ_VBYTES / (int)sizeof(T), VECS = GROUP / W };
        vec acc[VECS] = {0};
        word bits[VECS];
        for (ptrdiff_t i0 = 0; i0 < steps; i0 += every) {
            const ptrdiff_t end = steps - i0 < every ? steps : i0 + every;
            if (l.r && i0)
                fz_lanes_step(st, l, GROUP);
            for (int v = 0; v < VECS; v++)
                bits[v] = (word)st[v];
            for (ptrdiff_t i = i0; i < end; i++) {
                const T *px = NAME(row)(rows, 0, i), *py = NAME(row)(rows, 1, i);
                for (int v = 0; v < VECS; v++) {
                    vec x, y;
                    memcpy(&x, px + v * W, sizeof x);
                    memcpy(&y, py + v * W, sizeof y);
                    acc[v] = NATIVE(mode, x, y, acc[v], bits[v]);
                    bits[v] += bits[v];
                }
            }
        }
        memcpy(sum, acc, sizeof acc);
    }
#endif
    return 1;
}

/* The partial sums of a chunk, and their tree. */
FZ_INLINE T NAME(dot_run)(fz_law l, prism_key key, uint32_t chunk,
                          const NAME(rows) * rows, unsigned ftz)
{
    enum { VECS = GROUP / L };
    const int skip = fz_gap(l), every = fz_law_every(l);
    const ptrdiff_t steps = rows->full + rows->rest;
    vi st[FZ_STATES(GROUP, 1)];
    T sum[2 * GROUP] = {0};
    int fast = 0;
    if (l.t == (IS_F32 ? 24 : 53))
        fast = NAME(dot_fast)(l.mode, rows, key, chunk, ftz, sum);
    _mm_setcsr(FZ_CSR_MASKS | FZ_CSR_RN | ftz);
    fz_lanes_open(st, l, GROUP, key, chunk, 0, 0);
    if (fast) { /* spend the words it used */
        for (ptrdiff_t i = every; l.r && i < steps; i += every)
            fz_lanes_step(st, l, GROUP);
    } else {
        vd acc[VECS];
        for (int v = 0; v < VECS; v++)
            acc[v] = vd_set(0);
        for (ptrdiff_t i = 0; i < steps; i++) {
            const T *px = NAME(row)(rows, 0, i), *py = NAME(row)(rows, 1, i);
            if (l.r && i && i % every == 0)
                fz_lanes_step(st, l, GROUP);
            for (int v = 0; v < VECS; v++) {
                int e = fz_at(l, v);
                acc[v] = fz_op(PRISM_FMA, l, fz_load(px, IS_F32, e, skip),
                               fz_load(py, IS_F32, e, skip), acc[v],
                               fz_word(st, l, v, (int)(i % 64)));
            }
        }
        for (int v = 0; v < VECS; v++)
            fz_store(sum, IS_F32, fz_at(l, v), skip, acc[v]);
    }
    /* Tree: sum i takes sum i + half. Lanes beyond half compute too, and are dropped. */
    int used = (int)steps;
    for (int half = GROUP / 2; half; half /= 2, used++) {
        if (l.r && used && used % every == 0)
            fz_lanes_step(st, l, GROUP);
        T next[GROUP];
        for (int v = 0; v < VECS; v++) {
            int e = fz_at(l, v);
            vd a = fz_load(sum, IS_F32, e, skip),
               b = fz_load(sum + half, IS_F32, e, skip);
            fz_store(next, IS_F32, e, skip,
                     fz_op(PRISM_ADD, l, a, b, a, fz_word(st, l, v, used % 64)));
        }
        memcpy(sum, next, (size_t)half * sizeof *sum);
        memset(sum + half, 0, (size_t)half * sizeof *sum);
    }
    return sum[0];
}

static void NAME(dot_chunk)(void *arg, int index)
{
    const NAME(vectors) *p = arg;
    const fz_law l = p->law;
    const int full = IS_F32 ? 24 : 53;
    const ptrdiff_t at = (ptrdiff_t)index * FZ_DOT_CHUNK;
    const ptrdiff_t n = p->n - at < FZ_DOT_CHUNK ? p->n - at : FZ_DOT_CHUNK;
    const prism_key key = p->job->key;
    const uint32_t chunk = (uint32_t)index;
    const unsigned old = fz_csr_set(p->ftz);
    NAME(rows) rows;
    T r;
    NAME(rows_of)(&rows, n, p->x + at * p->incx, p->incx, p->y + at * p->incy, p->incy);
    if (l.mode == PRISM_SR && l.t == full)
        r = NAME(dot_run)(fz_law_of(PRISM_SR, IS_F32, full), key, chunk, &rows, p->ftz);
    else if (l.mode == PRISM_UD)
        r = NAME(dot_run)(fz_law_of(PRISM_UD, IS_F32, l.t), key, chunk, &rows, p->ftz);
    else if (l.mode == PRISM_CESTAC)
        r = NAME(dot_run)(fz_law_of(PRISM_CESTAC, IS_F32, l.t), key, chunk, &rows,
                          p->ftz);
    else
        r = NAME(dot_run)(l, key, chunk, &rows, p->ftz);
    p->partial[index] = r;
    fz_csr_restore(old);
}

T NAME(fz_dot)(const fz_job *job, ptrdiff_t n, const T *x, ptrdiff_t incx, const T *y,
               ptrdiff_t incy)
{
    /* A batch of chunks at a time, so that their sums have a bounded home. */
    enum { BATCH = 256 };
    T partial[BATCH], total = 0;
    const fz_law l = fz_law_of(job->mode, IS_F32, job->t);
    const prism_key joins = prism_key_derive(job->key, 1);
    NAME(vectors)
    p = {.job = job,
         .law = l,
         .incx = incx,
         .incy = incy,
         .y = (T *)(uintptr_t)y,
         .partial = partial,
         .ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ)};
    int first = 1;
    for (ptrdiff_t done = 0, batch = 0; done < n; batch++) {
        ptrdiff_t m = n - done < BATCH * FZ_DOT_CHUNK ? n - done : BATCH * FZ_DOT_CHUNK;
        int chunks = (int)((m + FZ_DOT_CHUNK - 1) / FZ_DOT_CHUNK);
        fz_job own = *job;
        own.key = batch ? prism_key_derive(job->key, 2 + (uint64_t)batch) : job->key;
        p.job = &own;
        p.n = m;
        p.x = x + done * incx;
        p.y = (T *)(uintptr_t)y + done * incy;
        fz_share(job, (f64)m, NAME(dot_chunk), &p, chunks);
        for (int i = 0; i < chunks; i++) {
            if (first) {
                total = partial[i];
                first = 0;
                continue;
            }
            /* joined one by one, word 0 of a key each */
            uint64_t w;
            prism_key key = prism_key_derive(joins, (uint64_t)(batch * BATCH + i));
            prism_words(key, l.mode, sizeof(T), l.t, 0, 1, &w);
            total = SCALAR_ADD(total, partial[i], l.mode, l.t, w);
        }
        done += m;
    }
    return total;
}

/* ---- ger --------------------------------------------------------------------------- */

static void NAME(ger_rows)(void *arg, int index)
{
    const NAME(vectors) *p = arg;
    const ptrdiff_t end = (index + 1) * (ptrdiff_t)MC < p->n ? (index + 1) * (ptrdiff_t)MC
                                                             : p->n;
    const unsigned old = fz_csr_set(p->ftz);
    for (ptrdiff_t i = index * (ptrdiff_t)MC; i < end; i++)
        NAME(update_law)
        (p->law, p->job->key, (uint32_t)i, 1, p->n2, p->x[i * p->incx], p->partial, 1,
         p->y + i * p->rsa, p->csa);
    fz_csr_restore(old);
}

void NAME(fz_ger)(const fz_job *job, ptrdiff_t m, ptrdiff_t n, T alpha, const T *x,
                  ptrdiff_t incx, const T *y, ptrdiff_t incy, T *a, ptrdiff_t rsa,
                  ptrdiff_t csa)
{
    if (m <= 0 || n <= 0 || alpha == 0)
        return;
    NAME(vectors)
    p = {.job = job,
         .law = fz_law_of(job->mode, IS_F32, job->t),
         .ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ)};
    /* alpha*y, rounded, a stretch of columns at a time; y's own key */
    enum { COLUMNS = 4096 };
    for (ptrdiff_t j = 0; j < n; j += COLUMNS) {
        T *row = fz_workspace();
        ptrdiff_t cols = n - j < COLUMNS ? n - j : COLUMNS;
        for (ptrdiff_t q = 0; q < cols; q++)
            row[q] = y[(j + q) * incy];
        if (alpha != 1) {
            fz_job scale = *job;
            scale.key = prism_key_derive(job->key, 2 * (uint64_t)(j / COLUMNS) + 1);
            scale.threads = NULL;
            NAME(fz_scal)(&scale, cols, alpha, row, 1);
        }
        fz_job own = *job;
        own.key = prism_key_derive(job->key, 2 * (uint64_t)(j / COLUMNS));
        p.job = &own;
        p.n = m;
        p.n2 = cols;
        p.x = x;
        p.incx = incx;
        p.partial = row;
        p.y = a + j * csa;
        p.rsa = rsa;
        p.csa = csa;
        fz_share(job, (f64)m * (f64)cols, NAME(ger_rows), &p, (int)((m + MC - 1) / MC));
    }
}

#undef GROUP
