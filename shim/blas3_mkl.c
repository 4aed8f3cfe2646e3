/* MKL's own: batches of complex products, products of bf16 and f16.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas3.h"

#define SHARES 64

#define T c32
#define R f32
#define LETTER c
#include "blas3_batch_tmpl.h"
#undef T
#undef R
#undef LETTER
#define T c64
#define R f64
#define LETTER z
#include "blas3_batch_tmpl.h"

static void half(const fz_call *call, const char *name, int bf16, int layout, int ta,
                 int tb, int m, int n, int k, f32 alpha, const uint16_t *a, int lda,
                 const uint16_t *b, int ldb, f32 beta, f32 *c, int ldc)
{
    const int info = fz_cblas_gemm_info(layout, ta, tb, m, n, k, lda, ldb, ldc);
    if (info) {
        fz_cblas_xerbla(call, name, info);
        return;
    }
    if (m == 0 || n == 0 || ((alpha == 0 || k == 0) && beta == 1))
        return;
    const bool row = layout == FZ_ROW;
    const bool ra = fz_cblas_trans(ta) == row, rb = fz_cblas_trans(tb) == row;
    fz_gemm_half(call->k, &call->job, bf16, m, n, k, alpha, a, ra ? 1 : lda, ra ? lda : 1,
                 b, rb ? 1 : ldb, rb ? ldb : 1, beta, c, row ? ldc : 1, row ? 1 : ldc);
}

FZ_EXPORT void cblas_gemm_bf16bf16f32(fz_int layout, fz_int ta, fz_int tb, fz_int m,
                                      fz_int n, fz_int k, f32 alpha, const uint16_t *a,
                                      fz_int lda, const uint16_t *b, fz_int ldb, f32 beta,
                                      f32 *c, fz_int ldc)
{
    fz_call call;
    if (!fz_enter(&call, FZ_SYM_cblas_gemm_bf16bf16f32, FZ_FROM, sizeof(f32)))
        ((fn_cblas_gemm_bf16bf16f32 *)call.real)(layout, ta, tb, m, n, k, alpha, a, lda,
                                                 b, ldb, beta, c, ldc);
    else
        half(&call, "cblas_gemm_bf16bf16f32", 1, (int)layout, (int)ta, (int)tb, (int)m,
             (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
    fz_leave(&call, fz_flops(2, (int)m, (int)n, (int)k));
}

FZ_EXPORT void cblas_gemm_f16f16f32(fz_int layout, fz_int ta, fz_int tb, fz_int m,
                                    fz_int n, fz_int k, f32 alpha, const uint16_t *a,
                                    fz_int lda, const uint16_t *b, fz_int ldb, f32 beta,
                                    f32 *c, fz_int ldc)
{
    fz_call call;
    if (!fz_enter(&call, FZ_SYM_cblas_gemm_f16f16f32, FZ_FROM, sizeof(f32)))
        ((fn_cblas_gemm_f16f16f32 *)call.real)(layout, ta, tb, m, n, k, alpha, a, lda, b,
                                               ldb, beta, c, ldc);
    else
        half(&call, "cblas_gemm_f16f16f32", 0, (int)layout, (int)ta, (int)tb, (int)m,
             (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
    fz_leave(&call, fz_flops(2, (int)m, (int)n, (int)k));
}
