/* One kernel call under test: its law, its name, its comparisons.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "trial.h"

/* ---- loops from kernels.h, one correctly rounded operation at a time --------------- */

unsigned plain_csr; /* FTZ and DAZ of the trial */

/* At full precision IEEE's own operations; else, and under FTZ, whose underflow differs
 * from the hardware's by a hair, the scalar operation that test_scalar.c compares with
 * the oracle. */
static f64 scalar_at(enum oracle_op op, int is_f32, int t, f64 a, f64 b, f64 c)
{
    oracle_case q = {.op = op, .is_f32 = is_f32, .a = a, .b = b, .c = c, .t = t};
    q.mode = PRISM_NEAREST;
    q.ftz = (plain_csr & 0x8000u) != 0;
    q.daz = (plain_csr & 0x0040u) != 0;
    uint64_t r = prism_apply(&q, 0);
    return is_f32 ? (f64)f32_bits(r) : f64_bits(r);
}

f64 plain_fma(int is_f32, int t, f64 a, f64 b, f64 c)
{
    if (plain_csr || t != (is_f32 ? 24 : 53))
        return scalar_at(ORACLE_FMA, is_f32, t, a, b, c);
    return is_f32 ? (f64)fmaf((f32)a, (f32)b, (f32)c) : fma(a, b, c);
}

f64 plain_mul(int is_f32, int t, f64 a, f64 b)
{
    if (plain_csr || t != (is_f32 ? 24 : 53))
        return scalar_at(ORACLE_MUL, is_f32, t, a, b, 0);
    return is_f32 ? (f64)((f32)a * (f32)b) : a * b;
}

/* Under DAZ a subnormal alpha or beta is 0. */
f64 plain_scalar(f64 x, int is_f32)
{
    const f64 least = is_f32 ? 0x1p-126 : 0x1p-1022;
    return (plain_csr & 0x0040u) && fabs(x) < least ? copysign(0, x) : x;
}

f64 plain_add(int is_f32, int t, f64 a, f64 b)
{
    return plain_fma(is_f32, t, a, 1, b);
}

/* ---- comparing --------------------------------------------------------------------- */

void trial_check(const trial *q, const char *who, const matrix *got, const matrix *want)
{
    ptrdiff_t bad = matrix_differs(got, want);
    if (bad == -1)
        return;
    if (bad == -2)
        ck_abort_msg("FZ_TEST_SEED=%llu %s %s %s t=%d %s: wrote outside its elements",
                     (unsigned long long)q->seed, who, q->is_f32 ? "f32" : "f64",
                     oracle_mode_name[q->mode], q->t, q->what);
    ck_abort_msg("FZ_TEST_SEED=%llu %s %s %s t=%d csr=%x %s: (%td,%td) got %a want %a",
                 (unsigned long long)q->seed, who, q->is_f32 ? "f32" : "f64",
                 oracle_mode_name[q->mode], q->t, q->csr, q->what, bad / got->n,
                 bad % got->n, matrix_get(got, bad / got->n, bad % got->n),
                 matrix_get(want, bad / got->n, bad % got->n));
}

static void run_under(const trial *q, run_fn *run, enum prism_isa isa, const fz_job *job,
                      void *arg, matrix *out)
{
    call_csr = q->csr;
    run(isa, job, arg, out);
    call_csr = 0;
    ck_assert_msg(!call_csr_after, "%s %s %s csr=%x changed bits %x of MXCSR",
                  prism_isa_name(isa), q->is_f32 ? "f32" : "f64", q->what, q->csr,
                  call_csr_after);
}

/* All ISAs, with one thread and with several, on copies of *out; *out becomes ref's. */
void trial_compare(const trial *q, run_fn *run, void *arg, matrix *out)
{
    matrix want = matrix_copy(out);
    run_under(q, run, PRISM_REF, &q->job, arg, &want);
    for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1))
        for (int threads = isa == PRISM_REF; threads < 2; threads++) {
            fz_job job = q->job;
            job.threads = threads ? &test_threads : NULL;
            matrix got = matrix_copy(out);
            run_under(q, run, (enum prism_isa)isa, &job, arg, &got);
            char who[64];
            snprintf(who, sizeof who, "%s%s", prism_isa_name((enum prism_isa)isa),
                     threads ? " threaded" : "");
            trial_check(q, who, &got, &want);
            matrix_close(&got);
        }
    matrix_close(out);
    *out = want;
}

trial trial_make(rng *g, uint64_t seed, int is_f32, int mode)
{
    static const int f32_t[] = {24, 24, 23, 21, 17, 11, 1};
    static const int f64_t[] = {53, 53, 52, 40, 24, 11, 1};
    trial q = {.seed = seed, .is_f32 = is_f32, .mode = mode};
    q.t = (is_f32 ? f32_t : f64_t)[rng_below(g, 7)];
    q.job = (fz_job){(enum prism_mode)mode, q.t, prism_key_seed(rng_next(g)), NULL};
    if (rng_below(g, 6) == 0)
        q.csr = (rng_next(g) & 1 ? 0x8000u : 0) | (rng_next(g) & 1 ? 0x0040u : 0);
    return q;
}

f64 trial_scale(rng *g, int is_f32)
{
    static const f64 some[] = {0, 1, -1, 0.5, -2, 0x1.4cccccp+0, 0x1p-130, 0x1.8p120};
    f64 x = rng_below(g, 12) ? some[rng_below(g, 8)]
                             : shape_value(g, SHAPE_SPECIAL, is_f32);
    return is_f32 ? (f64)(f32)x : x;
}
