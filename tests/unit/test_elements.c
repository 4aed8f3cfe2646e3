/* The elementwise functions and reorders of oneDNN against the definitions of
 * kernels/eltwise.h and reorder.h, number by number.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "../../kernels/reorder.h"
#include "eltwise_value.h"
#include "matrix.h"
#include "numbers.h"

#define SEED 0x656c656d

static f32 nearest(enum fz_fn fn, f32 x)
{
    return fz_math_f32(fn, x, 0, PRISM_NEAREST, 24, 0);
}

static f32 value(const fz_eltwise *e, f32 x, f32 d)
{
    if (e->backward && e->kind == FZ_ELTWISE_RELU)
        return x > 0 ? d : e->alpha * d;
    if (e->backward) {
        const f32 v = x * 0x1.6a09e6p-1f, c = v * 0x1.20dd76p0f, q = v * v;
        const f32 w = c * nearest(FZ_FN_EXP, -q), one = 1 + nearest(FZ_FN_ERF, v);
        const f32 slope = w + one;
        return d * slope * 0.5f;
    }
    return eltwise_value(e->kind, e->alpha, e->beta, 24, x);
}

START_TEST(eltwise_is_the_definition)
{
    const uint64_t seed = test_seed(SEED + 3);
    rng g = {seed};
    for (int trial = 0; trial < 150; trial++) {
        const ptrdiff_t n = 1 + (ptrdiff_t)rng_below(&g, 3000);
        const enum fz_type type = (enum fz_type)(trial % 3);
        fz_eltwise e = {.kind = (enum fz_eltwise_kind)rng_below(&g, FZ_ELTWISE_KINDS),
                        .alpha = rng_below(&g, 2) ? 0 : some(&g),
                        .beta = some(&g)};
        e.backward = (e.kind == FZ_ELTWISE_RELU || e.kind == FZ_ELTWISE_GELU_ERF) &&
                     rng_below(&g, 2);
        e.src = (fz_tensor){
            .type = type, .ndims = 1, .dims = {n}, .padded = {n}, .stride = {1}};
        e.diff = e.to = e.src;
        e.src.data = malloc((size_t)n * 4);
        e.diff.data = malloc((size_t)n * 4);
        e.to.data = malloc((size_t)n * 4);
        const unsigned host = _mm_getcsr(), flush = rng_below(&g, 4) ? 0 : 0x8040;
        const f32 by = flush && type != FZ_F16 ? 0x1p-126f : 1;
        for (ptrdiff_t i = 0; i < n; i++) {
            put(&e.src, i, 6 * some(&g) * by);
            put(&e.diff, i, some(&g) * by);
        }
        if (flush)
            e.beta *= by;
        ck_assert(!fz_eltwise_refuses(&e));
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            const fz_job job = {PRISM_NEAREST, 24, prism_key_seed(seed),
                                flush ? &unlike_threads : NULL};
            _mm_setcsr(host | flush);
            fz_eltwise_run(fz_kernels_for((enum prism_isa)isa), &job, &e);
            _mm_setcsr(host);
            for (ptrdiff_t i = 0; i < n; i++) {
                _mm_setcsr(host | flush);
                f32 want = value(&e, get(&e.src, i), get(&e.diff, i));
                _mm_setcsr(host);
                if (type != FZ_F32)
                    want = fz_widen(fz_narrow(want, type, PRISM_NEAREST, 0), type);
                ck_assert_msg(get(&e.to, i) == want,
                              "FZ_TEST_SEED=%llu kind %d backward %d on %s: f(%a) is %a, "
                              "not %a",
                              (unsigned long long)seed, (int)e.kind, e.backward,
                              prism_isa_name((enum prism_isa)isa), (f64)get(&e.src, i),
                              (f64)get(&e.to, i), (f64)want);
            }
        }
        free(e.src.data);
        free(e.diff.data);
        free(e.to.data);
    }
}
END_TEST

/* In each mode all ISAs give the same bits, whoever shares the work, and rounding shows. */
START_TEST(eltwise_is_the_same_everywhere)
{
    enum { N = 3000 };
    const uint64_t seed = test_seed(SEED + 6);
    rng g = {seed};
    for (int trial = 0; trial < 6 * FZ_ELTWISE_KINDS; trial++) {
        const enum fz_type type = (enum fz_type)(trial % 3);
        static f32 x[N], d[N], first[N], plain[N], y[N];
        static uint16_t half[3][N];
        fz_eltwise e = {.kind = (enum fz_eltwise_kind)(trial / 3 % FZ_ELTWISE_KINDS),
                        .alpha = 0.3f,
                        .beta = 0.1f};
        e.backward = (e.kind == FZ_ELTWISE_RELU || e.kind == FZ_ELTWISE_GELU_ERF) &&
                     rng_below(&g, 2);
        e.src = (fz_tensor){
            .type = type, .ndims = 1, .dims = {N}, .padded = {N}, .stride = {1}};
        e.diff = e.to = e.src;
        e.src.data = type == FZ_F32 ? (void *)x : half[0];
        e.diff.data = type == FZ_F32 ? (void *)d : half[1];
        e.to.data = type == FZ_F32 ? (void *)y : half[2];
        for (ptrdiff_t i = 0; i < N; i++) {
            put(&e.src, i, 3 * some(&g));
            put(&e.diff, i, some(&g));
        }
        const prism_key key = prism_key_seed(rng_next(&g));
        for (int mode = PRISM_NEAREST; mode <= PRISM_CESTAC; mode++) {
            int runs = 0, differ = 0;
            for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
                const fz_job job = {(enum prism_mode)mode, 24, key,
                                    runs % 2 ? &test_threads : NULL};
                fz_eltwise_run(fz_kernels_for((enum prism_isa)isa), &job, &e);
                for (ptrdiff_t i = 0; i < N; i++) {
                    const f32 got = get(&e.to, i);
                    first[i] = runs ? first[i] : got;
                    plain[i] = mode == PRISM_NEAREST ? got : plain[i];
                    differ += got != plain[i];
                    ck_assert_msg(got == first[i],
                                  "FZ_TEST_SEED=%llu kind %d backward %d mode %d on %s: "
                                  "element %td is %a, was %a",
                                  (unsigned long long)seed, (int)e.kind, e.backward, mode,
                                  prism_isa_name((enum prism_isa)isa), i, (f64)got,
                                  (f64)first[i]);
                }
                runs++;
            }
            ck_assert_int_ge(differ, mode == PRISM_NEAREST ? 0 : runs * N / 16);
        }
    }
}
END_TEST

/* A reorder is narrowing row by row, whatever the layouts and threads; padding is zero. */
START_TEST(reorder_is_the_definition)
{
    enum { A = 3, B = 5, C = 70, PADDED = 8, ROOM = A * PADDED * C };
    const uint64_t seed = test_seed(SEED + 7);
    rng g = {seed};
    static f32 x[A * B * C];
    static uint16_t y[ROOM], row[C];
    for (int trial = 0; trial < 96; trial++) {
        const int blocked = trial % 2, last = trial / 2 % 2;
        const enum fz_type type = trial / 4 % 2 ? FZ_BF16 : FZ_F16;
        fz_tensor from = {.data = x, .ndims = 3, .dims = {A, B, C}, .padded = {A, B, C},
                          .stride = {B * C, C, 1}};
        fz_tensor to = {.data = y, .type = type, .ndims = 3, .dims = {A, B, C},
                        .padded = {A, B, C}, .stride = {B * C, C, 1}};
        if (last) { /* the middle dimension innermost in memory */
            from.stride[1] = 1;
            from.stride[2] = B;
        }
        if (blocked) { /* by 4 */
            to.padded[1] = PADDED;
            to.stride[0] = PADDED * C;
            to.stride[1] = 4 * C;
            to.stride[2] = 4;
            to.nblocks = 1;
            to.block[0] = 4;
            to.block_dim[0] = 1;
        }
        for (int i = 0; i < A * B * C; i++)
            x[i] = some(&g);
        memset(y, 0xff, sizeof y);
        const int isa = test_next_isa(trial % PRISM_ISAS);
        const fz_kernels *k = fz_kernels_for((enum prism_isa)(isa < PRISM_ISAS ? isa : 0));
        const fz_job job = {(enum prism_mode)(trial / 8 % 4), 24,
                            prism_key_seed(rng_next(&g)),
                            rng_below(&g, 2) ? &test_threads : NULL};
        ck_assert(!fz_reorder_refuses(&from, &to));
        fz_reorder(k, &job, &from, &to);
        for (int a = 0; a < A; a++)
            for (int b = 0; b < to.padded[1]; b++) {
                f32 wide[C];
                for (int c = 0; c < C && b < B; c++)
                    wide[c] = last ? x[(a * C + c) * B + b] : x[(a * B + b) * C + c];
                if (b < B)
                    narrow_row(wide, C, type, job.mode,
                               prism_key_derive(prism_key_derive(job.key, (uint64_t)(a * B + b)), 0),
                               row);
                for (int c = 0; c < C; c++) {
                    const uint16_t got = blocked ? y[((a * 2 + b / 4) * C + c) * 4 + b % 4]
                                                 : y[(a * B + b) * C + c];
                    ck_assert_msg(got == (b < B ? row[c] : 0),
                                  "FZ_TEST_SEED=%llu trial %d: %d, %d, %d is %04x",
                                  (unsigned long long)seed, trial, a, b, c, got);
                }
            }
    }
}
END_TEST

Suite *suite_elements(void)
{
    Suite *s = suite_create("elements");
    TCase *c = tcase_create("elements");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, eltwise_is_the_definition);
    tcase_add_test(c, eltwise_is_the_same_everywhere);
    tcase_add_test(c, reorder_is_the_definition);
    suite_add_tcase(s, c);
    return s;
}
