/* BLAS of level 3 beside gemm, column-major as in Fortran, on products of blocks.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Arguments are those of the Fortran routines, checked. The orders of operations below
 * are part of the definition; docs/design.md. BLOCK is FZ_BLAS3_BLOCK; "product" is
 * gemm's law.
 *
 * syrk   each block of columns: its diagonal block, then what is below (or beside) it, a
 *        product each; the other triangle is not touched
 * syr2k  the same with two products one after the other
 * symm   for each block of rows of A: its part before the diagonal, the diagonal block
 *        spread out, the part behind, a product each, added to beta*C in this order
 * trmm   B_i = alpha*A_ij*B_j + alpha*(A_ii*B_i), where the product with a diagonal block
 *        halves it down to 4 rows, then takes row by row
 * trsm   B_i = alpha*B_i - A_ij*X_j, then the diagonal block: halved down to 4 rows, then
 * a row each: subtract a product, divide (fz_divide)
 */
#ifndef FZ_BLAS3_H
#define FZ_BLAS3_H

#include "blas_parts.h"

#define FZ_BLAS3_BLOCK 64

/* trans: 'N', 'T' or 'C'. herm: the conjugate forms hemm, herk, her2k (for herk the
 * imaginary parts of alpha and beta are 0, for her2k that of beta). */
#define FZ_BLAS3_DECLARE(X)                                                              \
    void fz_symm_##X(const fz_kernels *k, const fz_job *job, int herm, int right,        \
                     int upper, ptrdiff_t m, ptrdiff_t n, X alpha, const X *a,           \
                     ptrdiff_t lda, const X *b, ptrdiff_t ldb, X beta, X *c,             \
                     ptrdiff_t ldc);                                                     \
    void fz_syrk_##X(const fz_kernels *k, const fz_job *job, int herm, int upper,        \
                     char trans, ptrdiff_t n, ptrdiff_t kk, X alpha, const X *a,         \
                     ptrdiff_t lda, X beta, X *c, ptrdiff_t ldc);                        \
    void fz_syr2k_##X(const fz_kernels *k, const fz_job *job, int herm, int upper,       \
                      char trans, ptrdiff_t n, ptrdiff_t kk, X alpha, const X *a,        \
                      ptrdiff_t lda, const X *b, ptrdiff_t ldb, X beta, X *c,            \
                      ptrdiff_t ldc);                                                    \
    void fz_trmm_##X(const fz_kernels *k, const fz_job *job, int right, int upper,       \
                     char trans, int unit, ptrdiff_t m, ptrdiff_t n, X alpha,            \
                     const X *a, ptrdiff_t lda, X *b, ptrdiff_t ldb);                    \
    void fz_trsm_##X(const fz_kernels *k, const fz_job *job, int right, int upper,       \
                     char trans, int unit, ptrdiff_t m, ptrdiff_t n, X alpha,            \
                     const X *a, ptrdiff_t lda, X *b, ptrdiff_t ldb);
FZ_BLAS3_DECLARE(f32)
FZ_BLAS3_DECLARE(f64)
FZ_BLAS3_DECLARE(c32)
FZ_BLAS3_DECLARE(c64)
#undef FZ_BLAS3_DECLARE

/* C = alpha*A*B + beta*C with A and B of bf16 or f16 patterns, widened exactly: gemm_f32
 * on runs of FZ_HALF_RUN of k, C = alpha*run + C from the second run on. */
#define FZ_HALF_RUN 512
void fz_gemm_half(const fz_kernels *k, const fz_job *job, int bf16, ptrdiff_t m,
                  ptrdiff_t n, ptrdiff_t kk, f32 alpha, const uint16_t *a, ptrdiff_t rsa,
                  ptrdiff_t csa, const uint16_t *b, ptrdiff_t rsb, ptrdiff_t csb,
                  f32 beta, f32 *c, ptrdiff_t rsc, ptrdiff_t csc);

#endif
