/* Products of matrices of bf16, f16 or f32, alone or in batches, with what oneDNN puts
 * behind them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * acc: gemm's product of the operands, widened exactly, on runs of FZ_HALF_RUN of k, each
 * from +0 and added to those before it; then, each rounded if it is there,
 * scale*acc, x + bias, the post-ops in their order (conv.h), and the narrowing to bf16 or
 * f16 by the mode (conversions follow sr under ud).
 */
#ifndef FZ_MATMUL_H
#define FZ_MATMUL_H

#include "blas3.h"
#include "conv.h"

/* a (batch, m, k), b (batch, k, n), c (batch, m, n): any number of batch dimensions, 1
 * where one is repeated. bias: as c, 1 where it is repeated; data NULL: none. */
typedef struct fz_matmul {
    fz_tensor a, b, c, bias;
    f32 scale;
    int nposts;
    fz_post post[FZ_CONV_POSTS];
} fz_matmul;

/* NULL, or why it must be left to the original. */
const char *fz_matmul_refuses(const fz_matmul *m);
void fz_matmul_run(const fz_kernels *k, const fz_job *job, const fz_matmul *m);

/* The other forms of a product in bf16 and f16, where C or y are of the same type: sums
 * in f32 as above, C = narrow(fma(alpha, acc, beta*C)), beta = 0 does not read C. */
void fz_gemm_narrow(const fz_kernels *k, const fz_job *job, enum fz_type type,
                    ptrdiff_t m, ptrdiff_t n, ptrdiff_t kk, f32 alpha, const uint16_t *a,
                    ptrdiff_t rsa, ptrdiff_t csa, const uint16_t *b, ptrdiff_t rsb,
                    ptrdiff_t csb, f32 beta, uint16_t *c, ptrdiff_t rsc, ptrdiff_t csc);

/* Sum of x[i*incx]*y[i*incy]: dot's law on runs of FZ_DOT_CHUNK, one added to the other.
 */
f32 fz_dot_half(const fz_kernels *k, const fz_job *job, enum fz_type type, ptrdiff_t n,
                const uint16_t *x, ptrdiff_t incx, const uint16_t *y, ptrdiff_t incy);

#endif
