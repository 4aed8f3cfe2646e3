/* Convolutions: against the loops that define them, between ISAs, threads and layouts,
 * and the laws.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "../../kernels/half.h"
#include "conv_case.h"
#include "stats.h"

static void run(enum prism_isa isa, const fz_job *job, conv_case *k)
{
    const char *why = fz_conv_refuses(&k->c);
    ck_assert_msg(!why, "%s: refused: %s", k->what, why ? why : "");
    const unsigned host = _mm_getcsr(), was = (host | plain_csr) & 0xffc0u;
    _mm_setcsr(host | plain_csr);
    fz_kernels_for(isa)->conv(job, &k->c);
    const unsigned now = _mm_getcsr() & 0xffc0u;
    _mm_setcsr(host);
    ck_assert_msg(now == was, "%s: MXCSR changed", k->what);
    for (int bias = 0; bias < 2; bias++) {
        const fz_tensor *out = conv_case_out(k, bias);
        why = out->data ? conv_case_guards(out) : NULL;
        ck_assert_msg(!why, "%s %s: %s", prism_isa_name(isa), k->what, why ? why : "");
    }
}

static int has_bias_gradient(const conv_case *k)
{
    return k->c.pass == FZ_CONV_BACKWARD_WEIGHTS && k->c.bias.data;
}

static int same(f32 a, f32 b)
{
    return (isnan(a) && isnan(b)) || bits_f32(a) == bits_f32(b);
}

/* A shape in nearest mode is what the loops give; in each mode all ISAs, threads and
 * layouts give what ref gives in the plain one. */
static void one_case(rng *g, uint64_t seed, enum fz_conv_pass pass, int deconv, int big)
{
    static const enum fz_type types[] = {FZ_F32, FZ_F32, FZ_F32, FZ_BF16, FZ_F16};
    static const int precisions[] = {24, 24, 24, 23, 21, 11};
    conv_case k = conv_case_make(g, pass, deconv, big);
    const enum fz_type type = types[rng_below(g, 5)];
    const enum fz_type out_type = rng_below(g, 2) ? type : FZ_F32;
    const enum shape any = rng_below(g, 4) ? SHAPE_UNIFORM
                                           : (enum shape)rng_below(g, SHAPES);
    const int strays = rng_below(g, 4) ? 0 : 3, t = precisions[rng_below(g, 6)];
    const enum prism_mode mode = (enum prism_mode)rng_below(g, 4);
    static const unsigned flushes[] = {0, 0, 0, 0x8000, 0x8040};
    plain_csr = flushes[rng_below(g, 5)];
    const enum shape shape = plain_csr && rng_below(g, 2) ? SHAPE_SUBNORMAL : any;
    const uint64_t data = rng_next(g);
    const prism_key key = prism_key_seed(rng_next(g));

    for (int m = 0; m < 2; m++) { /* nearest against the loops, then the mode */
        conv_case first = k;
        fz_job job = {m ? mode : PRISM_NEAREST, t, key, NULL};
        conv_case_fill(&first, data, CONV_PLAIN, type, out_type, shape, strays);
        run(PRISM_REF, &job, &first);
        for (int bias = 0; bias <= has_bias_gradient(&first) && !m; bias++) {
            const fz_tensor *out = conv_case_out(&first, bias);
            size_t n = conv_elements(out), by = 1 + n / (big ? 200 : 600);
            for (size_t i = rng_below(g, by); i < n; i += by) {
                const f32 want =
                    conv_narrowed(conv_reference(&first, t, bias, i), out->type);
                const f32 got = conv_element(out, i);
                ck_assert_msg(same(got, want),
                              "FZ_TEST_SEED=%llu t=%d MXCSR|%x %s%s: element %zu: %a, "
                              "want %a",
                              (unsigned long long)seed, t, plain_csr, first.what,
                              bias ? " (gradient of the bias)" : "", i, (f64)got,
                              (f64)want);
            }
        }
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            const enum conv_layout layout = (enum conv_layout)rng_below(g, CONV_LAYOUTS);
            conv_case other = k;
            job.threads = rng_below(g, 2) ? &test_threads : NULL;
            conv_case_fill(&other, data, layout, type, out_type, shape, strays);
            run((enum prism_isa)isa, &job, &other);
            for (int bias = 0; bias <= has_bias_gradient(&first); bias++) {
                const fz_tensor *a = conv_case_out(&first, bias);
                const fz_tensor *b = conv_case_out(&other, bias);
                for (size_t i = 0; i < conv_elements(a); i++)
                    ck_assert_msg(same(conv_element(a, i), conv_element(b, i)),
                                  "FZ_TEST_SEED=%llu %s %s t=%d layout %d%s types %d %d "
                                  "%s%s: element %zu: %a, ref %a",
                                  (unsigned long long)seed,
                                  prism_isa_name((enum prism_isa)isa),
                                  oracle_mode_name[job.mode], t, (int)layout,
                                  job.threads ? " threads" : "", type, out_type, k.what,
                                  bias ? " (gradient of the bias)" : "", i,
                                  (f64)conv_element(b, i), (f64)conv_element(a, i));
            }
            conv_case_free(&other);
        }
        conv_case_free(&first);
    }
    plain_csr = 0;
}

START_TEST(definition)
{
    const enum fz_conv_pass pass = (enum fz_conv_pass)(_i / 2);
    const uint64_t fixed = test_seed(UINT64_C(600) + (uint64_t)_i);
    const int cases = test_long() ? 4000 : 150, bigs = test_long() ? 60 : 5;
    rng g = {fixed};
    for (int i = 0; i < cases + bigs; i++) {
        const uint64_t seed = g.s;
        one_case(&g, seed, pass, _i % 2, i >= cases);
    }
}
END_TEST

/* Strands have 32 bits for the place in a class; what would wrap is refused. */
START_TEST(too_many_outputs)
{
    static f32 one;
    const fz_tensor image = {.data = &one,
                             .ndims = 4,
                             .dims = {1 << 20, 1, 64, 64},
                             .padded = {1 << 20, 1, 64, 64},
                             .stride = {4096, 4096, 64, 1}};
    fz_conv c = {.spatial = 2,
                 .groups = 1,
                 .stride = {1, 1},
                 .dilation = {1, 1},
                 .src = image,
                 .dst = image,
                 .weights = {.data = &one,
                             .ndims = 4,
                             .dims = {1, 1, 1, 1},
                             .padded = {1, 1, 1, 1},
                             .stride = {1, 1, 1, 1}}};
    const char *const why = "more than 2^32 outputs of one kind";
    for (int pass = FZ_CONV_FORWARD; pass <= FZ_CONV_BACKWARD_DATA; pass++) {
        c.pass = (enum fz_conv_pass)pass;
        c.src.dims[0] = c.dst.dims[0] = 1 << 20;
        ck_assert_pstr_eq(fz_conv_refuses(&c), why);
        c.src.dims[0] = c.dst.dims[0] = (1 << 20) - 1;
        ck_assert_pstr_eq(fz_conv_refuses(&c), NULL);
    }
    c.pass = FZ_CONV_BACKWARD_WEIGHTS; /* whose outputs are few */
    c.src.dims[0] = c.dst.dims[0] = 1 << 20;
    ck_assert_pstr_eq(fz_conv_refuses(&c), NULL);
}
END_TEST

Suite *suite_conv(void)
{
    Suite *s = suite_create("conv");
    TCase *c = tcase_create("conv");
    tcase_set_timeout(c, 600);
    tcase_add_loop_test(c, definition, 0, 6);
    tcase_add_test(c, too_many_outputs);
    suite_add_tcase(s, c);
    conv_laws(s);
    return s;
}
