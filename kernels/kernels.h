/* kernels: arrays and matrices, every operation rounded by prism's laws.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A kernel knows no environment, no torch and no BLAS calling convention. Its arguments have
 * been checked: kernels cannot fail. Matrices are given by two strides, so one signature
 * serves row-major, column-major and both transposes. Equal operands and key give equal bits
 * on every ISA and for every number of threads.
 */
#ifndef FZ_KERNELS_H
#define FZ_KERNELS_H

#include "../prism/prism.h"

/* How a kernel shares its work: run body(arg, i) for i = 0 .. n-1, each once, on any
 * threads, and return when all have ended. The shim implements it over the host's OpenMP
 * run time. max() is the number of threads that may be used now (1 inside a parallel
 * region). */
typedef struct fz_threads {
    int (*max)(void);
    void (*run)(void (*body)(void *arg, int i), void *arg, int n);
} fz_threads;

/* How one call rounds: the law, its precision for the type of the routine, and the stream
 * of this call. threads may be NULL: the calling thread does all. */
typedef struct fz_job {
    enum prism_mode mode;
    int t;
    prism_key key;
    const fz_threads *threads;
} fz_job;

/* C[i,j] = round(alpha*acc[i,j] + round(beta*C[i,j])), one fma, where
 * acc[i,j] = sum over k = 0 .. K-1, in that order, of A[i,k]*B[k,j], each multiply-add
 * rounded once. X[i,j] is x[i*rsx + j*csx]; strides are in elements and may be negative or
 * zero for A and B. beta == 0 overwrites C (NaN in C does not leak); alpha == 0 or K == 0
 * does not read A and B. m, n or k may be 0. C must not overlap A or B. */
typedef void fz_gemm_f32_fn(const fz_job *job, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                            f32 alpha, const f32 *a, ptrdiff_t rsa, ptrdiff_t csa,
                            const f32 *b, ptrdiff_t rsb, ptrdiff_t csb,
                            f32 beta, f32 *c, ptrdiff_t rsc, ptrdiff_t csc);
/* B packed once for many products: n <= FZ_PACK_COLS columns of k rows, to `to`, which is
 * aligned to 64 and has room for fz_pack_bytes(n, k). 0: not for this law. */
typedef int fz_pack_f32_fn(const fz_job *job, ptrdiff_t n, ptrdiff_t k, const f32 *b,
                           ptrdiff_t rsb, ptrdiff_t csb, void *to);
/* gemm with alpha 1 and C's columns side by side, n > 1 of them. `packed` is B's by the law
 * of the job; the result is the same, B is still read where the law's quicker path is none
 * for A. */
typedef void fz_packed_f32_fn(const fz_job *job, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                              const f32 *a, ptrdiff_t rsa, ptrdiff_t csa, const f32 *b,
                              ptrdiff_t rsb, ptrdiff_t csb, const void *packed, f32 beta,
                              f32 *c, ptrdiff_t rsc);

#define FZ_PACK_COLS 128

static inline size_t fz_pack_bytes(ptrdiff_t n, ptrdiff_t k)
{
    return (size_t)((n + 15) / 16 * 16 * k) * sizeof(f64) + (size_t)(k / 256 + 1) * 64;
}

typedef void fz_gemm_f64_fn(const fz_job *job, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                            f64 alpha, const f64 *a, ptrdiff_t rsa, ptrdiff_t csa,
                            const f64 *b, ptrdiff_t rsb, ptrdiff_t csb,
                            f64 beta, f64 *c, ptrdiff_t rsc, ptrdiff_t csc);

/* Sum of x[i*incx]*y[i*incy], i = 0 .. n-1 (increments may be negative: x points at element
 * 0). Chunks of FZ_DOT_CHUNK elements, each in 32 partial sums (element i to sum i mod 32),
 * reduced as a tree, then chunk after chunk; docs/design.md. */
typedef f32 fz_dot_f32_fn(const fz_job *job, ptrdiff_t n, const f32 *x, ptrdiff_t incx,
                          const f32 *y, ptrdiff_t incy);
typedef f64 fz_dot_f64_fn(const fz_job *job, ptrdiff_t n, const f64 *x, ptrdiff_t incx,
                          const f64 *y, ptrdiff_t incy);

/* y = round(alpha*x + y), one fma each. */
typedef void fz_axpy_f32_fn(const fz_job *job, ptrdiff_t n, f32 alpha, const f32 *x,
                            ptrdiff_t incx, f32 *y, ptrdiff_t incy);
typedef void fz_axpy_f64_fn(const fz_job *job, ptrdiff_t n, f64 alpha, const f64 *x,
                            ptrdiff_t incx, f64 *y, ptrdiff_t incy);

/* x = round(alpha*x). */
typedef void fz_scal_f32_fn(const fz_job *job, ptrdiff_t n, f32 alpha, f32 *x,
                            ptrdiff_t incx);
typedef void fz_scal_f64_fn(const fz_job *job, ptrdiff_t n, f64 alpha, f64 *x,
                            ptrdiff_t incx);

/* A[i,j] = round(x[i]*round(alpha*y[j]) + A[i,j]). */
typedef void fz_ger_f32_fn(const fz_job *job, ptrdiff_t m, ptrdiff_t n, f32 alpha,
                           const f32 *x, ptrdiff_t incx, const f32 *y, ptrdiff_t incy,
                           f32 *a, ptrdiff_t rsa, ptrdiff_t csa);
typedef void fz_ger_f64_fn(const fz_job *job, ptrdiff_t m, ptrdiff_t n, f64 alpha,
                           const f64 *x, ptrdiff_t incx, const f64 *y, ptrdiff_t incy,
                           f64 *a, ptrdiff_t rsa, ptrdiff_t csa);

#define FZ_DOT_CHUNK 8192

/* Math functions of one or two arguments (pow, atan2, hypot). */
enum fz_fn {
    FZ_FN_EXP, FZ_FN_EXP2, FZ_FN_EXP10, FZ_FN_EXPM1, FZ_FN_LOG, FZ_FN_LOG2, FZ_FN_LOG10,
    FZ_FN_LOG1P, FZ_FN_SIN, FZ_FN_COS, FZ_FN_TAN, FZ_FN_ASIN, FZ_FN_ACOS, FZ_FN_ATAN,
    FZ_FN_SINH, FZ_FN_COSH, FZ_FN_TANH, FZ_FN_ASINH, FZ_FN_ACOSH, FZ_FN_ATANH, FZ_FN_ERF,
    FZ_FN_ERFC, FZ_FN_LGAMMA, FZ_FN_TGAMMA, FZ_FN_CBRT, FZ_FN_SQRT, FZ_FN_ERFINV, FZ_FN_POW,
    FZ_FN_ATAN2, FZ_FN_HYPOT, FZ_FNS
};

/* out[i] = round(fn(x[i])) or round(fn(x[i], y[i])); y is ignored by functions of one
 * argument. Element i takes word i of prism_words(). out may equal x or y. Exact results stay
 * in every mode, ud included; docs/math.md. */
typedef void fz_map_f32_fn(const fz_job *job, enum fz_fn fn, ptrdiff_t n, const f32 *x,
                           const f32 *y, f32 *out);
typedef void fz_map_f64_fn(const fz_job *job, enum fz_fn fn, ptrdiff_t n, const f64 *x,
                           const f64 *y, f64 *out);

/* The wide values that a map rounds: s + rho where rho is finite, for certain s where it is
 * inf; NaN: the map takes the definition of math.h for this element. x and y as f64. */
typedef void fz_math_wide_fn(enum fz_fn fn, int is_f32, ptrdiff_t n, const f64 *x,
                             const f64 *y, f64 *s, f64 *rho);

/* A convolution; conv.h. */
struct fz_conv;
typedef void fz_conv_fn(const fz_job *job, const struct fz_conv *c);

/* out[i] = x[i] narrowed to bf16 or f16 (conversions follow sr under ud): half.h, with
 * dword i mod 8 of step i / 8 of strand (key, 0, 0, 0). */
typedef void fz_narrow_fn(const fz_job *job, int bf16, ptrdiff_t n, const f32 *x,
                          uint16_t *out);

/* A complete table an ISA, no NULL entry. gemv is gemm with n = 1; a batch is a loop over
 * its entries with keys prism_key_derive(job.key, entry). */
typedef struct fz_kernels {
    fz_gemm_f32_fn *gemm_f32;
    fz_gemm_f64_fn *gemm_f64;
    fz_dot_f32_fn *dot_f32;
    fz_dot_f64_fn *dot_f64;
    fz_axpy_f32_fn *axpy_f32;
    fz_axpy_f64_fn *axpy_f64;
    fz_scal_f32_fn *scal_f32;
    fz_scal_f64_fn *scal_f64;
    fz_ger_f32_fn *ger_f32;
    fz_ger_f64_fn *ger_f64;
    fz_map_f32_fn *map_f32;
    fz_map_f64_fn *map_f64;
    fz_math_wide_fn *math_wide;
    fz_narrow_fn *narrow;
    fz_conv_fn *conv;
    fz_pack_f32_fn *pack_f32;
    fz_packed_f32_fn *packed_f32;
} fz_kernels;

const fz_kernels *fz_kernels_for(enum prism_isa isa);

#endif
