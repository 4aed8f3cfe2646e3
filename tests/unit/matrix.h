/* Strided operands with guard bytes, and calls of kernels by type: for kernel tests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_MATRIX_H
#define TEST_MATRIX_H

#include "../../kernels/kernels.h"
#include "inputs.h"

/* A matrix (or, with one column, a vector) inside a buffer: element (i, j) is at
 * base + (i*rs + j*cs) elements; strides may be negative. All other bytes are guards. */
typedef struct matrix {
    int is_f32;
    ptrdiff_t m, n, rs, cs;
    uint8_t *raw, *base;
    size_t bytes;
} matrix;

enum layout { ROW_MAJOR, COL_MAJOR, STRIDED, NEGATIVE, ZERO_STRIDE, LAYOUTS };

matrix matrix_open(rng *g, int is_f32, ptrdiff_t m, ptrdiff_t n, enum layout layout);
matrix vector_open(rng *g, int is_f32, ptrdiff_t n, ptrdiff_t inc);
matrix matrix_copy(const matrix *a);
void matrix_close(matrix *a);

f64 matrix_get(const matrix *a, ptrdiff_t i, ptrdiff_t j);
void matrix_set(matrix *a, ptrdiff_t i, ptrdiff_t j, f64 x);

/* Mostly one shape, `strays` in 256 elements of any shape. */
void matrix_fill(rng *g, matrix *a, enum shape shape, int strays);

/* Elements that differ (NaN equals NaN) or, as -2, bytes outside the elements; else -1.
 * The two must be copies of one matrix. */
ptrdiff_t matrix_differs(const matrix *a, const matrix *b);

/* FTZ and DAZ bits for the calls below; control bits of MXCSR that the last one changed
 * (the exception flags are free: BLAS raises some too). */
extern unsigned call_csr, call_csr_after;

/* Kernels by type. */
void call_gemm(enum prism_isa isa, const fz_job *job, ptrdiff_t k, f64 alpha,
               const matrix *a, const matrix *b, f64 beta, matrix *c);
/* alpha 1, B packed before; 0: this law or these shapes have no packed product. */
int call_packed(enum prism_isa isa, const fz_job *job, ptrdiff_t k, const matrix *a,
                const matrix *b, f64 beta, matrix *c);
f64 call_dot(enum prism_isa isa, const fz_job *job, const matrix *x, const matrix *y);
void call_axpy(enum prism_isa isa, const fz_job *job, f64 alpha, const matrix *x,
               matrix *y);
void call_scal(enum prism_isa isa, const fz_job *job, f64 alpha, matrix *x);
void call_ger(enum prism_isa isa, const fz_job *job, f64 alpha, const matrix *x,
              const matrix *y, matrix *a);

/* Several threads, for the kernels' interface. */
extern const fz_threads test_threads;

#endif
