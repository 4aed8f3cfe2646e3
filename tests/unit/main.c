/* Runs the unit suites: main [SUITE...]; FZ_TEST_SEED repeats a failure, FZ_TEST_LONG
 * widens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "test.h"

int test_long(void)
{
    const char *s = getenv("FZ_TEST_LONG");
    return s && *s && strcmp(s, "0");
}

int test_next_isa(int from)
{
    while (from < PRISM_ISAS && !(prism_isa_detected() >> from & 1))
        from++;
    return from;
}

static uint64_t call(const oracle_case *q, f32 a, f32 b, f32 c, uint64_t w)
{
    const enum prism_mode m = q->mode;
    const int t = q->t;
    switch (q->op) {
    case ORACLE_F64_F32: return bits_f32(prism_f64_to_f32(q->a, m, t, w));
    case ORACLE_I32_F32: return bits_f32(prism_i32_to_f32((int32_t)q->i, m, t, w));
    case ORACLE_I64_F32: return bits_f32(prism_i64_to_f32(q->i, m, t, w));
    case ORACLE_I64_F64: return bits_f64(prism_i64_to_f64(q->i, m, t, w));
    default: break;
    }
    if (q->is_f32) {
        switch (q->op) {
        case ORACLE_ADD: return bits_f32(prism_add_f32(a, b, m, t, w));
        case ORACLE_SUB: return bits_f32(prism_sub_f32(a, b, m, t, w));
        case ORACLE_MUL: return bits_f32(prism_mul_f32(a, b, m, t, w));
        case ORACLE_DIV: return bits_f32(prism_div_f32(a, b, m, t, w));
        case ORACLE_SQRT: return bits_f32(prism_sqrt_f32(a, m, t, w));
        default: return bits_f32(prism_fma_f32(a, b, c, m, t, w));
        }
    }
    switch (q->op) {
    case ORACLE_ADD: return bits_f64(prism_add_f64(q->a, q->b, m, t, w));
    case ORACLE_SUB: return bits_f64(prism_sub_f64(q->a, q->b, m, t, w));
    case ORACLE_MUL: return bits_f64(prism_mul_f64(q->a, q->b, m, t, w));
    case ORACLE_DIV: return bits_f64(prism_div_f64(q->a, q->b, m, t, w));
    case ORACLE_SQRT: return bits_f64(prism_sqrt_f64(q->a, m, t, w));
    default: return bits_f64(prism_fma_f64(q->a, q->b, q->c, m, t, w));
    }
}

uint64_t prism_apply(const oracle_case *q, uint64_t w)
{
    /* narrowed before FTZ is on, which would flush them */
    volatile f32 a = (f32)q->a, b = (f32)q->b, c = (f32)q->c;
    unsigned old = _mm_getcsr();
    _mm_setcsr(old | (q->ftz ? 0x8000u : 0) | (q->daz ? 0x0040u : 0));
    uint64_t got = call(q, a, b, c, w);
    _mm_setcsr(old);
    return got;
}

const char *case_text(const oracle_case *q)
{
    static char text[256];
    snprintf(text, sizeof text, "%s %s %s t=%d%s%s a=%a b=%a c=%a i=%lld",
             oracle_op_name[q->op], q->is_f32 ? "f32" : "f64", oracle_mode_name[q->mode],
             q->t, q->ftz ? " FTZ" : "", q->daz ? " DAZ" : "", q->a, q->b, q->c,
             (long long)q->i);
    return text;
}

/* Check cannot skip: say what this CPU does not let us run, fail if it was demanded. */
static int report_isas(void)
{
    const char *required = getenv("FZ_REQUIRE_ISA");
    unsigned mask = prism_isa_detected();
    int known = 0, bad = 0;
    printf("unit: ISAs tested:");
    for (int i = 0; i < PRISM_ISAS; i++)
        if (mask >> i & 1)
            printf(" %s", prism_isa_name((enum prism_isa)i));
    printf("\n");
    for (int i = 0; i < PRISM_ISAS; i++) {
        const char *name = prism_isa_name((enum prism_isa)i);
        int here = mask >> i & 1;
        if (!here)
            printf("unit: NOT RUN on this CPU: %s\n", name);
        if (required && !strcmp(required, name)) {
            known = 1;
            bad = !here;
        }
    }
    if (required && *required && !known)
        printf("unit: FZ_REQUIRE_ISA=%s is no ISA's name\n", required);
    else if (bad)
        printf("unit: FZ_REQUIRE_ISA=%s, which this CPU cannot run\n", required);
    return required && *required && (!known || bad);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        Suite *(*make)(void);
    } suites[] = {{"oracle", suite_oracle},       {"scalar", suite_scalar},
                  {"arrays", suite_arrays},       {"laws", suite_laws},
                  {"words", suite_words},         {"kernels", suite_kernels},
                  {"gemm_laws", suite_gemm_laws}, {"blas", suite_blas}, {"blas3", suite_blas3},
                  {"math", suite_math},           {"conv", suite_conv},
                  {"rnn", suite_rnn},             {"dense", suite_dense},
                  {"elements", suite_elements}};
    const int count = sizeof suites / sizeof *suites;
    setvbuf(stdout, NULL, _IOLBF, 0);
    int bad = report_isas();
    SRunner *runner = NULL;
    for (int i = 0; i < count; i++) {
        int wanted = argc == 1;
        for (int j = 1; j < argc; j++)
            wanted |= !strcmp(argv[j], suites[i].name);
        if (!wanted)
            continue;
        if (runner)
            srunner_add_suite(runner, suites[i].make());
        else
            runner = srunner_create(suites[i].make());
    }
    if (!runner) {
        printf("unit: no such suite; there are:");
        for (int i = 0; i < count; i++)
            printf(" %s", suites[i].name);
        printf("\n");
        return 2;
    }
    srunner_run_all(runner, CK_NORMAL);
    bad |= srunner_ntests_failed(runner) != 0;
    srunner_free(runner);
    return bad;
}
