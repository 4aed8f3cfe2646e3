/* One kernel call under test: its law, its name, its comparisons.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_TRIAL_H
#define TEST_TRIAL_H

#include "matrix.h"
#include "test.h"

typedef struct trial {
    uint64_t seed;
    int is_f32, mode, t;
    unsigned csr;
    fz_job job;
    char what[200];
} trial;

/* A call under test: `run` works on *out for one ISA. */
typedef void run_fn(enum prism_isa isa, const fz_job *job, void *arg, matrix *out);

/* A trial of random precision, under FTZ and DAZ now and then. */
trial trial_make(rng *g, uint64_t seed, int is_f32, int mode);

/* An alpha or beta, special values among them. */
f64 trial_scale(rng *g, int is_f32);

/* All ISAs, with one thread and with several, on copies of *out; *out becomes ref's. */
void trial_compare(const trial *q, run_fn *run, void *arg, matrix *out);

/* Fails unless the two are equal bit for bit, bytes between and around them included. */
void trial_check(const trial *q, const char *who, const matrix *got, const matrix *want);

/* Nearest at t bits, one operation at a time, under FTZ and DAZ as in plain_csr; a scalar
 * as the kernel sees it. */
extern unsigned plain_csr;
f64 plain_fma(int is_f32, int t, f64 a, f64 b, f64 c);
f64 plain_mul(int is_f32, int t, f64 a, f64 b);
f64 plain_add(int is_f32, int t, f64 a, f64 b);
f64 plain_scalar(f64 x, int is_f32);

/* dot, axpy, scal, ger: in test_level1.c. */
TCase *tcase_level1(void);

#endif
