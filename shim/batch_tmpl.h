/* Batched gemm of one type; mkl.c includes it with T and LETTER.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Entry e of a batch draws from prism_key_derive(key, e), so the result does not depend
 * on how entries are shared: many entries one to a thread, few entries each by all
 * threads.
 */

#define ENTRY JOIN(LETTER, _entry, )
#define BATCH JOIN(LETTER, _batch, )

struct ENTRY {
    bool ta, tb;
    long m, n, k, lda, ldb, ldc;
    T alpha, beta;
    const T *a, *b;
    T *c;
};

struct BATCH {
    const fz_call *call;
    bool row;
    long total;
    /* pointer arrays, by group */
    const int *ta, *tb, *m, *n, *k, *lda, *ldb, *ldc, *size;
    const T *alpha, *beta, *const *a, *const *b;
    T *const *c;
    /* strided: the first entry, and the distances */
    struct ENTRY first;
    long stridea, strideb, stridec;
};

static struct ENTRY JOIN(LETTER, _entry_at, )(const struct BATCH *x, long e)
{
    struct ENTRY r = x->first;
    if (!x->size) {
        r.a += e * x->stridea;
        r.b += e * x->strideb;
        r.c += e * x->stridec;
        return r;
    }
    long g = 0;
    for (long before = e; before >= x->size[g]; g++)
        before -= x->size[g];
    return (struct ENTRY){
        fz_cblas_trans(x->ta[g]), fz_cblas_trans(x->tb[g]), x->m[g], x->n[g], x->k[g],
        x->lda[g], x->ldb[g], x->ldc[g], x->alpha[g], x->beta[g], x->a[e], x->b[e],
        x->c[e]};
}

static void JOIN(LETTER, _one, )(const struct BATCH *x, long e,
                                 const fz_threads *threads)
{
    struct ENTRY r = JOIN(LETTER, _entry_at, )(x, e);
    fz_job job = x->call->job;
    if (r.m == 0 || r.n == 0 || ((r.alpha == 0 || r.k == 0) && r.beta == 1))
        return;
    job.key = prism_key_derive(job.key, (uint64_t)e);
    job.threads = threads;
    x->call->k->JOIN(gemm, _, T)(
        &job, r.m, r.n, r.k, r.alpha, r.a, r.ta == x->row ? 1 : r.lda,
        r.ta == x->row ? r.lda : 1, r.b, r.tb == x->row ? 1 : r.ldb,
        r.tb == x->row ? r.ldb : 1, r.beta, r.c, x->row ? r.ldc : 1, x->row ? 1 : r.ldc);
}

/* A share of consecutive entries: the tasks are few enough to cost nothing. */
static void JOIN(LETTER, _share, )(void *arg, int i)
{
    const struct BATCH *x = arg;
    for (long e = x->total * i / SHARES; e < x->total * (i + 1) / SHARES; e++)
        JOIN(LETTER, _one, )(x, e, NULL);
}

static void JOIN(LETTER, _run, )(struct BATCH *x)
{
    if (x->total >= fz_host_threads.max() && x->total > 1) {
        fz_host_threads.run(JOIN(LETTER, _share, ), x, SHARES);
        return;
    }
    for (long e = 0; e < x->total; e++)
        JOIN(LETTER, _one, )(x, e, &fz_host_threads);
}

FZ_EXPORT void CBLAS(gemm_batch)(fz_int layout, const int *ta, const int *tb,
                                 const int *m, const int *n, const int *k, const T *alpha,
                                 const T **a, const int *lda, const T **b, const int *ldb,
                                 const T *beta, T **c, const int *ldc, fz_int groups,
                                 const int *size)
{
    fz_call call;
    uint64_t flops = 0;
    long total = 0;
    int info =
        (int)layout == FZ_ROW || (int)layout == FZ_COL ? (int)groups < 0 ? 15 : 0 : 1;
    for (int g = 0; g < (int)groups && !info; g++) {
        info = size[g] < 0 ? 16
                           : fz_cblas_gemm_info((int)layout, ta[g], tb[g], m[g], n[g],
                                                k[g], lda[g], ldb[g], ldc[g]);
        flops += (uint64_t)(size[g] > 0 ? size[g] : 0) * fz_flops(2, m[g], n[g], k[g]);
        total += size[g] > 0 ? size[g] : 0;
    }
    if (!fz_enter(&call, SYMBOL(CBLAS(gemm_batch)), FZ_FROM, sizeof(T))) {
        ((TYPE(CBLAS(gemm_batch)) *)call.real)(layout, ta, tb, m, n, k, alpha, a, lda, b,
                                               ldb, beta, c, ldc, groups, size);
    } else if (info) {
        fz_cblas_xerbla(&call, NAME(CBLAS(gemm_batch)), info);
    } else if (total > 0) {
        struct BATCH x = {
            .call = &call, .row = (int)layout == FZ_ROW, .total = total, .ta = ta,
            .tb = tb, .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc,
            .size = size, .alpha = alpha, .beta = beta, .a = (const T *const *)a,
            .b = (const T *const *)b, .c = c};
        JOIN(LETTER, _run, )(&x);
    }
    fz_leave(&call, flops);
}

FZ_EXPORT void CBLAS(gemm_batch_strided)(fz_int layout, fz_int ta, fz_int tb, fz_int m,
                                         fz_int n, fz_int k, T alpha, const T *a,
                                         fz_int lda, fz_int stridea, const T *b,
                                         fz_int ldb, fz_int strideb, T beta, T *c,
                                         fz_int ldc, fz_int stridec, fz_int batch)
{
    fz_call call;
    if (!fz_enter(&call, SYMBOL(CBLAS(gemm_batch_strided)), FZ_FROM, sizeof(T))) {
        ((TYPE(CBLAS(gemm_batch_strided)) *)call.real)(layout, ta, tb, m, n, k, alpha, a,
                                                       lda, stridea, b, ldb, strideb,
                                                       beta, c, ldc, stridec, batch);
    } else {
        int info = fz_cblas_gemm_info((int)layout, (int)ta, (int)tb, (int)m, (int)n,
                                      (int)k, (int)lda, (int)ldb, (int)ldc);
        /* The strides stand between the arguments of gemm: a 8, lda 9, stridea 10, ... */
        info = info == 11                    ? 12
               : info == 14                  ? 16
               : info == 0 && (int)batch < 0 ? 18
                                             : info;
        if (info) {
            fz_cblas_xerbla(&call, NAME(CBLAS(gemm_batch_strided)), info);
        } else {
            struct BATCH x = {
                .call = &call, .row = (int)layout == FZ_ROW, .total = (int)batch,
                .first = {fz_cblas_trans((int)ta), fz_cblas_trans((int)tb), (int)m,
                          (int)n, (int)k, (int)lda, (int)ldb, (int)ldc, alpha, beta,
                          a, b, c},
                .stridea = (int)stridea, .strideb = (int)strideb,
                .stridec = (int)stridec};
            JOIN(LETTER, _run, )(&x);
        }
    }
    fz_leave(&call, (uint64_t)((int)batch > 0 ? (int)batch : 0) *
                        fz_flops(2, (int)m, (int)n, (int)k));
}

#undef ENTRY
#undef BATCH
