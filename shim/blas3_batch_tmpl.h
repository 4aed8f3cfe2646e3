/* Batched complex gemm of one type; blas3_mkl.c includes it with T, R and LETTER.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As batch_tmpl.h: entry e draws from prism_key_derive(key, e), however entries are
 * shared.
 */

typedef struct JOIN(LETTER, _batch, ) {
    const fz_call *call;
    bool row;
    long total;
    const int *ta, *tb, *m, *n, *k, *lda, *ldb, *ldc, *size;
    const T *alpha, *beta, *const *a, *const *b;
    T *const *c;
} JOIN(LETTER, _batch, );

static void JOIN(LETTER, _one, )(const JOIN(LETTER, _batch, ) * x, long e,
                                 const fz_threads *threads)
{
    long g = 0;
    for (long before = e; before >= x->size[g]; g++)
        before -= x->size[g];
    const T alpha = x->alpha[g], beta = x->beta[g];
    if (x->m[g] == 0 || x->n[g] == 0 || ((alpha == 0 || x->k[g] == 0) && beta == 1))
        return;
    fz_job job = x->call->job;
    job.key = prism_key_derive(job.key, (uint64_t)e);
    job.threads = threads;
    const bool ra = fz_cblas_trans(x->ta[g]) == x->row,
               rb = fz_cblas_trans(x->tb[g]) == x->row;
    FZ(gemm)
    (x->call->k, &job, x->m[g], x->n[g], x->k[g], alpha, x->ta[g] == FZ_CONJ, x->a[e],
     ra ? 1 : x->lda[g], ra ? x->lda[g] : 1, x->tb[g] == FZ_CONJ, x->b[e],
     rb ? 1 : x->ldb[g], rb ? x->ldb[g] : 1, beta, x->c[e], x->row ? x->ldc[g] : 1,
     x->row ? 1 : x->ldc[g]);
}

static void JOIN(LETTER, _share, )(void *arg, int i)
{
    const JOIN(LETTER, _batch, ) *x = arg;
    for (long e = x->total * i / SHARES; e < x->total * (i + 1) / SHARES; e++)
        JOIN(LETTER, _one, )(x, e, NULL);
}

FZ_EXPORT void CBLAS(gemm_batch)(fz_int layout, const int *ta, const int *tb,
                                 const int *m, const int *n, const int *k, const T *alpha,
                                 const T **a, const int *lda, const T **b, const int *ldb,
                                 const T *beta, T **c, const int *ldc, fz_int groups,
                                 const int *size)
{
    fz_call call;
    uint64_t flops = 0;
    JOIN(LETTER, _batch, )
    x = {&call, (int)layout == FZ_ROW,
         0,     ta,
         tb,    m,
         n,     k,
         lda,   ldb,
         ldc,   size,
         alpha, beta,
         a,     b,
         c};
    int info = (int)layout != FZ_ROW && (int)layout != FZ_COL ? 1
               : (int)groups < 0                              ? 15
                                                              : 0;
    for (int g = 0; g < (int)groups && !info; g++) {
        info = size[g] < 0 ? 16
                           : fz_cblas_gemm_info((int)layout, ta[g], tb[g], m[g], n[g],
                                                k[g], lda[g], ldb[g], ldc[g]);
        flops += (uint64_t)(size[g] > 0 ? size[g] : 0) * fz_flops(8, m[g], n[g], k[g]);
        x.total += size[g] > 0 ? size[g] : 0;
    }
    if (!fz_enter(&call, SYMBOL(CBLAS(gemm_batch)), FZ_FROM, sizeof(R)))
        ((TYPE(CBLAS(gemm_batch)) *)call.real)(layout, ta, tb, m, n, k, alpha, a, lda, b,
                                               ldb, beta, c, ldc, groups, size);
    else if (info)
        fz_cblas_xerbla(&call, NAME(CBLAS(gemm_batch)), info);
    else if (x.total > 1 && x.total >= fz_host_threads.max())
        fz_host_threads.run(JOIN(LETTER, _share, ), &x, SHARES);
    else
        for (long e = 0; e < x.total; e++)
            JOIN(LETTER, _one, )(&x, e, &fz_host_threads);
    fz_leave(&call, flops);
}
