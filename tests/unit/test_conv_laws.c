/* Convolutions by statistics: mean and variance of sums, unrelated streams, narrowing,
 * and that what falls into the padding is no operation.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Tensors whose values depend on the index of the sum alone make every output a sample of
 * one dot product; its law is test_gemm_laws.c's: Var = c * sum of ulp(partial sum)^2,
 * accepted from .75 to 1.33.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernels/half.h"
#include "conv_case.h"
#include "stats.h"

typedef __float128 wide;

enum { BY_PIXEL, BY_CHANNEL, DEPTHWISE, STRIDED_BACK, WEIGHTS, LAWS };
static const char *const law_name[LAWS] = {"lanes along pixels", "lanes along channels",
                                           "depthwise", "backward data, stride 2",
                                           "backward weights"};

/* One-dimensional, no padding: n, groups, oc, ic, taps, outputs, stride. */
static const ptrdiff_t law_shape[LAWS][7] = {{2, 2, 4, 100, 3, 600, 1},
                                             {2, 2, 64, 100, 3, 24, 1},
                                             {2, 40, 1, 1, 64, 120, 1},
                                             {2, 2, 50, 4, 4, 500, 2},
                                             {1, 2, 48, 48, 1, 300, 1}};

static f64 some(int side, ptrdiff_t k)
{
    rng g = {(uint64_t)(1000 * side + k)};
    rng_next(&g);
    const f64 x = rng_unit(&g);
    return (f32)(side ? x : 2 * x - 1);
}

static conv_case law_case(int law)
{
    const ptrdiff_t *s = law_shape[law];
    const ptrdiff_t in = (s[5] - 1) * s[6] + s[4];
    conv_case k;
    fz_conv *c = &k.c;
    memset(&k, 0, sizeof k);
    c->pass = law == STRIDED_BACK ? FZ_CONV_BACKWARD_DATA
              : law == WEIGHTS    ? FZ_CONV_BACKWARD_WEIGHTS
                                  : FZ_CONV_FORWARD;
    c->spatial = 1;
    c->grouped = 1;
    c->groups = s[1];
    c->stride[0] = s[6];
    c->dilation[0] = 1;
    c->src = (fz_tensor){.ndims = 3, .dims = {s[0], s[1] * s[3], in}};
    c->dst = (fz_tensor){.ndims = 3, .dims = {s[0], s[1] * s[2], s[5]}};
    c->weights = (fz_tensor){.ndims = 4, .dims = {s[1], s[2], s[3], s[4]}};
    snprintf(k.what, sizeof k.what, "%s", law_name[law]);
    conv_case_fill(&k, 1, CONV_PLAIN, FZ_F32, FZ_F32, SHAPE_UNIFORM, 0);
    for (size_t i = 0; i < conv_elements(&c->src) && law != STRIDED_BACK; i++) {
        const ptrdiff_t channel = (ptrdiff_t)i / in % s[3], x = (ptrdiff_t)i % in;
        ((f32 *)c->src.data)[i] = (f32)some(0, law == WEIGHTS ? x : channel);
    }
    for (size_t i = 0; i < conv_elements(&c->dst) && c->pass; i++) {
        const ptrdiff_t channel = (ptrdiff_t)i / s[5] % s[2], x = (ptrdiff_t)i % s[5];
        ((f32 *)c->dst.data)[i] = (f32)some(1, law == WEIGHTS ? x : channel);
    }
    for (size_t i = 0; i < conv_elements(&c->weights) && law != WEIGHTS; i++) {
        const ptrdiff_t tap = (ptrdiff_t)i % s[4], ci = (ptrdiff_t)i / s[4] % s[3];
        const ptrdiff_t co = (ptrdiff_t)i / s[4] / s[3] % s[2];
        /* stride 2 gives an output two of four taps: 0 and 2, or 1 and 3 */
        ((f32 *)c->weights.data)[i] =
            (f32)(law == STRIDED_BACK ? some(2, tap / 2 * s[2] + co)
                                      : some(2, tap * s[3] + ci));
    }
    return k;
}

/* The exact sum, and the sum of ulp^2 along it. */
static wide follow(int law, double *squares)
{
    const ptrdiff_t *s = law_shape[law];
    const ptrdiff_t depth = law == STRIDED_BACK ? 2 * s[2]
                            : law == WEIGHTS    ? s[5]
                                                : s[3] * s[4];
    wide sum = 0;
    *squares = 0;
    for (ptrdiff_t k = 0; k < depth; k++) {
        sum += law == STRIDED_BACK ? (wide)some(1, k % s[2]) * some(2, k)
               : law == WEIGHTS    ? (wide)some(0, k) * some(1, k)
                                   : (wide)some(0, k % s[3]) * some(2, k);
        *squares += pow(ldexp(1, ilogb((double)sum) - 23), 2);
    }
    return sum;
}

START_TEST(law_of_sums)
{
    const int law = _i;
    double squares, worst = 1, least = 1;
    const wide y = follow(law, &squares);
    int assertions = 0;
    for (int mode = PRISM_SR; mode <= PRISM_CESTAC; mode++)
        for (int isa = test_next_isa(PRISM_AVX2); isa < PRISM_ISAS;
             isa = test_next_isa(isa + 1)) {
            conv_case k = law_case(law);
            const fz_job job = {(enum prism_mode)mode, 24,
                                prism_key_seed((uint64_t)(77 + law)), NULL};
            const double unit = mode == PRISM_UD ? 1 : mode == PRISM_SR ? 1.0 / 6 : 0.25;
            fz_kernels_for((enum prism_isa)isa)->conv(&job, &k.c);
            const fz_tensor *out = conv_case_out(&k, 0);
            const ptrdiff_t last = out->dims[out->ndims - 1];
            ptrdiff_t first = 0, end = last;
            if (law == STRIDED_BACK) { /* the others have one tap only */
                first = 2;
                end = last - 2;
            }
            const size_t rows = conv_elements(out) / (size_t)last;
            double sum = 0, sum2 = 0, n = 0;
            for (size_t r = 0; r < rows; r++)
                for (ptrdiff_t x = first; x < end; x++, n++) {
                    const double e =
                        (double)((wide)conv_element(out, r * (size_t)last + (size_t)x) -
                                 y);
                    sum += e;
                    sum2 += e * e;
                }
            const double mean = sum / n, var = (sum2 - sum * mean) / (n - 1);
            const double ratio = var / (unit * squares);
            ck_assert_msg(ratio > 0.75 && ratio < 1.33, "%s %s %s: variance %.3f",
                          law_name[law], prism_isa_name((enum prism_isa)isa),
                          oracle_mode_name[mode], ratio);
            worst = fabs(log(ratio)) > fabs(log(worst)) ? ratio : worst;
            if (mode == PRISM_SR) { /* of the three, only sr promises the mean */
                const double p = stat_normal(mean / sqrt(var / n));
                ck_assert_msg(p >= STAT_ALARM, "%s %s: mean, p = %g", law_name[law],
                              prism_isa_name((enum prism_isa)isa), p);
                least = stat_min(least, p);
                assertions++;
            }
            /* errors of any two outputs `lag` apart, in the order of the tensor */
            static const size_t lags[] = {1, 2, 3, 4, 8, 16, 32};
            const size_t all = rows * (size_t)(end - first), row = (size_t)(end - first);
            double *e = malloc(all * sizeof *e);
            for (size_t i = 0; i < all; i++)
                e[i] = (double)((wide)conv_element(out, i / row * (size_t)last +
                                                            i % row + (size_t)first) -
                                y) -
                       mean;
            for (size_t l = 0; l < 7 + 8 + 1; l++) {
                /* along a row, then channel by channel, then the other half: groups */
                const size_t lag = l < 7 ? lags[l] : l < 15 ? row << (l - 7) : all / 2;
                double c = 0;
                if (lag >= all)
                    continue;
                for (size_t i = 0; i + lag < all; i++)
                    c += e[i] * e[i + lag];
                const double p = stat_normal(c / var / sqrt((double)(all - lag)));
                ck_assert_msg(p >= STAT_ALARM,
                              "%s %s %s: outputs %zu apart are alike, p = %g",
                              law_name[law], prism_isa_name((enum prism_isa)isa),
                              oracle_mode_name[mode], lag, p);
                least = stat_min(least, p);
                assertions++;
            }
            free(e);
            conv_case_free(&k);
        }
    printf("laws: conv, %s: %d assertions of %g, smallest p %.2g, variance %.3f\n",
           law_name[law], assertions, STAT_ALARM, least, worst);
}
END_TEST

/* An output that has one tap is one operation: ud moves it by one unit, no more. */
START_TEST(padding_is_no_operation)
{
    enum { N = 64 };
    conv_case k;
    int up = 0;
    memset(&k, 0, sizeof k);
    k.c = (fz_conv){.spatial = 2,
                    .groups = 1,
                    .stride = {1, 1},
                    .dilation = {1, 1},
                    .pad = {1, 1},
                    .src = {.ndims = 4, .dims = {N, 1, 1, 1}},
                    .dst = {.ndims = 4, .dims = {N, 1, 1, 1}},
                    .weights = {.ndims = 4, .dims = {1, 1, 3, 3}}};
    for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
        const fz_job job = {PRISM_UD, 24, prism_key_seed(5), NULL};
        conv_case_fill(&k, 3, CONV_PLAIN, FZ_F32, FZ_F32, SHAPE_UNIFORM, 0);
        for (int i = 0; i < N; i++)
            ((f32 *)k.c.src.data)[i] = 1.5f;
        for (int i = 0; i < 9; i++)
            ((f32 *)k.c.weights.data)[i] = i == 4 ? 1.25f : (f32)INFINITY;
        fz_kernels_for((enum prism_isa)isa)->conv(&job, &k.c);
        for (int i = 0; i < N; i++) {
            const f32 x = conv_element(&k.c.dst, (size_t)i);
            ck_assert_msg(x == nextafterf(1.875f, 2) || x == nextafterf(1.875f, 1),
                          "%s: %a", prism_isa_name((enum prism_isa)isa), (f64)x);
            up += x > 1.875f;
        }
        conv_case_free(&k);
    }
    ck_assert_msg(up > 0, "never up");
}
END_TEST

/* Up iff F + w >= 2^32, F = (x - a)/(b - a) * 2^32: at both sides of the threshold. */
START_TEST(narrowing)
{
    const enum fz_type type = _i ? FZ_F16 : FZ_BF16;
    const int bits = type == FZ_BF16 ? 8 : 11, least = type == FZ_BF16 ? -133 : -24;
    rng g = {test_seed(55)};
    for (int n = 0; n < 200000; n++) {
        const enum shape shape = (enum shape)rng_below(&g, SHAPES);
        f32 x = (f32)shape_value(&g, shape, 1);
        if (n % 2 && type == FZ_F16) /* into its range, subnormals included */
            x = ldexpf(x / ldexpf(1, ilogbf(x == 0 || !isfinite(x) ? 1 : x)),
                       (int)rng_below(&g, 44) - 27);
        const f32 nearest = fz_widen(fz_narrow(x, type, PRISM_NEAREST, 0), type);
        const f32 expect = conv_narrowed(x, type);
        ck_assert_msg((isnan(x) && isnan(nearest)) || nearest == expect,
                      "%a to nearest: %a, want %a", (f64)x, (f64)nearest, (f64)expect);
        if (!isfinite(x) || x == 0)
            continue;
        int e = ilogb((f64)x) - bits + 1;
        e = e < least ? least : e;
        const f64 q = ldexp(fabs((f64)x), -e), a = floor(q), F = ldexp(q - a, 32);
        const f64 high = type == FZ_BF16 ? 0x1p128 : 0x1p16;
        const f64 ends[2] = {ldexp(a, e), q == a ? ldexp(a, e) : ldexp(a + 1, e)};
        if (fabs((f64)x) >= high)
            continue;
        for (int i = 0; i < 4; i++) {
            const f64 at = 0x1p32 - nearbyint(F); /* the least w that goes up */
            const f64 w = i == 0 ? at - 1 : i == 1 ? at : i == 2 ? 0 : 0xffffffff;
            if (w < 0 || w > 0xffffffff)
                continue;
            const f64 want = ends[q != a && w >= at];
            const f32 got = fz_widen(fz_narrow(x, type, PRISM_SR, (uint32_t)w), type);
            ck_assert_msg(fabs((f64)got) == (want >= high ? INFINITY : want),
                          "%a, word %.0f: %a, want %a", (f64)x, w, (f64)got, want);
            const f32 c = fz_widen(fz_narrow(x, type, PRISM_CESTAC, i & 1), type);
            const f64 way = (i & 1) == (x > 0) ? ends[1] : ends[0];
            ck_assert_msg(fabs((f64)c) == (way >= high ? INFINITY : way),
                          "cestac, %a: %a", (f64)x, (f64)c);
        }
    }
}
END_TEST

void conv_laws(Suite *s)
{
    TCase *c = tcase_create("conv_laws");
    tcase_set_timeout(c, 600);
    tcase_add_loop_test(c, law_of_sums, 0, LAWS);
    tcase_add_test(c, padding_is_no_operation);
    tcase_add_loop_test(c, narrowing, 0, 2);
    suite_add_tcase(s, c);
}
