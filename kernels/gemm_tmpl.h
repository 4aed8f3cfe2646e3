/* Matrix product of one type: blocks, packing, the path for any law, and alpha and beta.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with T (f32 or f64), IS_F32, NAME(base) and UNIT (columns processed together),
 * and with fast_block() defined: the microkernels that are quicker and give the same
 * result.
 */

typedef struct product {
    const fz_job *job;
    fz_law law;
    ptrdiff_t m, n, k;
    T alpha, beta;
    const T *a, *b;
    T *c;
    ptrdiff_t rsa, csa, rsb, csb, rsc, csc;
    ptrdiff_t blocks_j;
    unsigned ftz; /* the host's FTZ and DAZ bits */
    const char *packed; /* f32: B, as isa_gemm32.c packs it, or NULL */
} product;

/* One block of C and its scratch. */
typedef struct block {
    const product *p;
    ptrdiff_t i0, j0;
    int rows, cols;
    T *sum;        /* MC x NC */
    void *pa, *pb; /* packed panels */
    f64 bound;     /* of |sum|, so far */
    f64 grid;      /* f32: sums so far are multiples of it */
    int deep;      /* f64: no sum near the subnormals */
} block;

/* ---- packing ----------------------------------------------------------------------- */

/* Panels of MR rows, k by k; rows beyond the edge are zero. */
static void pack_a(const block *b, ptrdiff_t k0, int kc, T *dst)
{
    const product *p = b->p;
    for (int i = 0; i < b->rows; i += MR) {
        int rows = b->rows - i < MR ? b->rows - i : MR;
        const T *src = p->a + (b->i0 + i) * p->rsa + k0 * p->csa;
        if (rows < MR)
            memset(dst, 0, (size_t)kc * MR * sizeof *dst);
        if (IS_F32 && p->csa == 1 && rows == MR) {
            const f32 *from = (const f32 *)(const void *)src;
            f32 *to = (f32 *)(void *)dst;
            int k = 0;
            for (; k + 4 <= kc; k += 4, from += 4) {
                __m128 x[MR];
                for (int r = 0; r < MR; r++)
                    x[r] = _mm_loadu_ps(from + r * p->rsa);
                _MM_TRANSPOSE4_PS(x[0], x[1], x[2], x[3]);
                for (int r = 0; r < MR; r++)
                    _mm_storeu_ps(to + (k + r) * MR, x[r]);
            }
            for (; k < kc; k++, from++)
                for (int r = 0; r < MR; r++)
                    to[k * MR + r] = from[r * p->rsa];
        } else if (p->csa == 1) {
            for (int r = 0; r < rows; r++)
                for (int k = 0; k < kc; k++)
                    dst[k * MR + r] = src[r * p->rsa + k];
        } else {
            for (int k = 0; k < kc; k++)
                for (int r = 0; r < rows; r++)
                    dst[k * MR + r] = src[r * p->rsa + k * p->csa];
        }
        dst += kc * MR;
    }
}

/* Units of UNIT columns, k by k; columns beyond the edge are zero. */
static void pack_b(const block *b, ptrdiff_t k0, int kc, T *dst)
{
    const product *p = b->p;
    for (int j = 0; j < b->cols; j += UNIT) {
        int cols = b->cols - j < UNIT ? b->cols - j : UNIT;
        const T *src = p->b + k0 * p->rsb + (b->j0 + j) * p->csb;
        if (cols < UNIT)
            memset(dst, 0, (size_t)kc * UNIT * sizeof *dst);
        if (cols == UNIT && p->csb == 1) {
            for (int k = 0; k < kc; k++)
                memcpy(dst + k * UNIT, src + k * p->rsb, UNIT * sizeof *dst);
        } else if (p->rsb == 1) {
            for (int c = 0; c < cols; c++)
                for (int k = 0; k < kc; k++)
                    dst[k * UNIT + c] = src[c * p->csb + k];
        } else {
            for (int k = 0; k < kc; k++)
                for (int c = 0; c < cols; c++)
                    dst[k * UNIT + c] = src[k * p->rsb + c * p->csb];
        }
        dst += kc * UNIT;
    }
}

/* ---- any law, any operands --------------------------------------------------------- */

/* Rows of one unit, each multiply-add by fz_op: the definition of the product. */
FZ_INLINE void any_unit(const block *b, fz_law l, int row, int col, int kc,
                        uint32_t kblock, const T *pa, const T *pb)
{
    enum { VECS = UNIT / L };
    T *sum = b->sum + row * NC + col;
    const int skip = fz_gap(l), every = fz_law_every(l);
    vi st[FZ_STATES(UNIT, 1)];
    vd acc[VECS];
    fz_lanes_open(st, l, UNIT, b->p->job->key, (uint32_t)(b->i0 + row), kblock,
                  (uint32_t)(b->j0 + col));
    for (int v = 0; v < VECS; v++)
        acc[v] = kblock ? fz_load(sum, IS_F32, fz_at(l, v), skip) : vd_set(0);
    for (int k = 0; k < kc; k++) {
        if (l.r && k && k % every == 0)
            fz_lanes_step(st, l, UNIT);
        const vd a = vd_set(pa[k * MR]);
        for (int v = 0; v < VECS; v++)
            acc[v] = fz_op(PRISM_FMA, l, a,
                           fz_load(pb + k * UNIT, IS_F32, fz_at(l, v), skip), acc[v],
                           fz_word(st, l, v, k));
    }
    for (int v = 0; v < VECS; v++)
        fz_store(sum, IS_F32, fz_at(l, v), skip, acc[v]);
}

static void any_block(const block *b, int kc, uint32_t kblock)
{
    const fz_law l = b->p->law;
    const T *pa = b->pa, *pb = b->pb;
    for (int j = 0; j < b->cols; j += UNIT)
        for (int i = 0; i < b->rows; i++) {
            const T *a = pa + i / MR * MR * kc + i % MR, *u = pb + j * kc;
            if (l.mode == PRISM_SR && !l.wide)
                any_unit(b, (fz_law){PRISM_SR, l.t, l.r, 0, IS_F32}, i, j, kc, kblock, a,
                         u);
            else if (l.mode == PRISM_SR)
                any_unit(b, (fz_law){PRISM_SR, l.t, l.r, 1, IS_F32}, i, j, kc, kblock, a,
                         u);
            else if (l.mode == PRISM_UD)
                any_unit(b, fz_law_of(PRISM_UD, IS_F32, l.t), i, j, kc, kblock, a, u);
            else if (l.mode == PRISM_CESTAC)
                any_unit(b, fz_law_of(PRISM_CESTAC, IS_F32, l.t), i, j, kc, kblock, a, u);
            else
                any_unit(b, fz_law_of(PRISM_NEAREST, IS_F32, l.t), i, j, kc, kblock, a,
                         u);
        }
}

/* ---- alpha and beta ---------------------------------------------------------------- */

FZ_INLINE void finish_by(const block *b, const fz_law l)
{
    enum { VECS = UNIT / L };
    const product *p = b->p;
    const int skip = fz_gap(l), every = fz_law_every(l);
    const int no_sum = p->alpha == 0 || p->k == 0;
    const vd alpha = vd_set(p->alpha), beta = vd_set(p->beta);
    const int plain = p->alpha == 1 && p->beta == 0 && !no_sum;
    for (int i = 0; i < b->rows; i++) {
        for (int j = 0; j < b->cols; j += UNIT) {
            int cols = b->cols - j < UNIT ? b->cols - j : UNIT;
            T *c = p->c + (b->i0 + i) * p->rsc + (b->j0 + j) * p->csc;
            T *sum = b->sum + i * NC + j;
            if (!plain) {
                T was[UNIT] = {0};
                vi st[FZ_STATES(UNIT, 1)];
                if (p->beta != 0)
                    for (int q = 0; q < cols; q++)
                        was[q] = c[q * p->csc];
                fz_lanes_open(st, l, UNIT, p->job->key, (uint32_t)(b->i0 + i),
                              FZ_EPILOGUE, (uint32_t)(b->j0 + j));
                for (int v = 0; v < VECS && p->beta != 0 && p->beta != 1; v++) {
                    int e = fz_at(l, v);
                    vd x = fz_load(was, IS_F32, e, skip);
                    fz_store(was, IS_F32, e, skip,
                             fz_op(PRISM_MUL, l, beta, x, x, fz_word(st, l, v, 0)));
                }
                if (no_sum) {
                    sum = was;
                } else {
                    if (l.r && every == 1)
                        fz_lanes_step(st, l, UNIT);
                    for (int v = 0; v < VECS; v++) {
                        int e = fz_at(l, v);
                        vd x = fz_load(sum, IS_F32, e, skip);
                        vd y = fz_load(was, IS_F32, e, skip);
                        vi w = fz_word(st, l, v, 1);
                        y = p->beta == 0 ? fz_op(PRISM_MUL, l, alpha, x, x, w)
                                         : fz_op(PRISM_FMA, l, alpha, x, y, w);
                        fz_store(sum, IS_F32, e, skip, y);
                    }
                }
            }
            if (p->csc == 1)
                memcpy(c, sum, (size_t)cols * sizeof *c);
            else
                for (int q = 0; q < cols; q++)
                    c[q * p->csc] = sum[q];
        }
    }
}

static void finish(const block *b)
{
    const fz_law l = b->p->law;
    if (IS_F32 && l.mode == PRISM_SR && l.t == 24)
        finish_by(b, fz_law_of(PRISM_SR, 1, 24));
    else
        finish_by(b, l);
}

/* ---- the product ------------------------------------------------------------------- */

static void body(void *arg, int index)
{
    const product *p = arg;
    char *space = fz_workspace();
    block b = {
        p, index / p->blocks_j * MC, index % p->blocks_j * NC, 0, 0, NULL, NULL, NULL, 0,
        0, 0};
    b.rows = (int)(p->m - b.i0 < MC ? p->m - b.i0 : MC);
    b.cols = (int)(p->n - b.j0 < NC ? p->n - b.j0 : NC);
    b.pa = space;
    b.pb = space + MC * KC * sizeof(f64);
    b.sum = (T *)(void *)(space + (MC + NC) * KC * sizeof(f64));
    const unsigned old = _mm_getcsr();
    if (p->alpha != 0)
        for (ptrdiff_t k0 = 0; k0 < p->k; k0 += KC) {
            int kc = (int)(p->k - k0 < KC ? p->k - k0 : KC);
            uint32_t kblock = (uint32_t)(k0 / KC);
            if (fast_block(&b, k0, kc, kblock))
                continue;
            _mm_setcsr(FZ_CSR_MASKS | FZ_CSR_RN | p->ftz);
            pack_a(&b, k0, kc, b.pa);
            pack_b(&b, k0, kc, b.pb);
            any_block(&b, kc, kblock);
        }
    _mm_setcsr(FZ_CSR_MASKS | FZ_CSR_RN | p->ftz);
    finish(&b);
    _mm_setcsr(old);
}

static void run(product *p)
{
    p->law = fz_law_of(p->job->mode, IS_F32, p->job->t);
    p->blocks_j = (p->n + NC - 1) / NC;
    p->ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ);
    const ptrdiff_t blocks = (p->m + MC - 1) / MC * p->blocks_j;
    fz_share(p->job, (f64)p->m * (f64)p->n * (f64)(p->k + 1), body, p, (int)blocks);
}

void NAME(fz_gemm)(const fz_job *job, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T alpha,
                   const T *a, ptrdiff_t rsa, ptrdiff_t csa, const T *b, ptrdiff_t rsb,
                   ptrdiff_t csb, T beta, T *c, ptrdiff_t rsc, ptrdiff_t csc)
{
    if (m <= 0 || n <= 0)
        return;
    if (m > 1 && (n == 1 || (rsc == 1 && csc != 1))) {
        /* lanes run along the unit stride of C, or along its only column: the transpose
         */
        NAME(fz_gemm)(job, n, m, k, alpha, b, csb, rsb, a, csa, rsa, beta, c, csc, rsc);
        return;
    }
    product p = {.job = job,
                 .m = m,
                 .n = n,
                 .k = k > 0 ? k : 0,
                 .alpha = alpha,
                 .beta = beta,
                 .a = a,
                 .b = b,
                 .c = c,
                 .rsa = rsa,
                 .csa = csa,
                 .rsb = rsb,
                 .csb = csb,
                 .rsc = rsc,
                 .csc = csc};
    run(&p);
}
