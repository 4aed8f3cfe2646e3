/* Each EVEX form through the real emitter: moved, run, compared.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As in test_forms.c: the definition in nearest against the original instruction, code in
 * line against the definition. All 32 registers of 512 bits and all masks are compared, lent
 * ones too, since what is lent here is the host's. Besides: lanes that a mask leaves out read
 * no memory and raise nothing.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <xmmintrin.h>

#include "forms.h"

enum { BYTES = 192 };

typedef struct machine {
    uint8_t in[32][64], out[32][64];
    uint64_t mask[8], mask_out[8];
    uint64_t flags, flags_out;
} machine;

/* Registers 16 to 31, masks. */
static void used_by(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *o,
                    unsigned *high, unsigned *masks)
{
    *high = *masks = 0;
    for (int i = 0; i < x->operand_count; i++) {
        if (o[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        const int v = fz_vector_register(o[i].reg.value);
        if (v >= 16)
            *high |= 1u << (v - 16);
        if (ZydisRegisterGetClass(o[i].reg.value) == ZYDIS_REGCLASS_MASK)
            *masks |= 1u << ZydisRegisterGetId(o[i].reg.value);
    }
}

static void put(fz_code *c, const char *hex)
{
    for (; hex[0]; hex += 2) {
        const char byte[3] = {hex[0], hex[1], 0};
        fz_put(c, (unsigned)strtoul(byte, NULL, 16));
    }
}

/* Registers and masks to or from a field of the machine at %rdi. */
static void all(fz_code *c, bool store)
{
    fz_mem at = {.modrm = 0x87, .disp_size = 32};
    for (int i = 0; i < 32; i++) {
        at.disp = (int32_t)(store ? offsetof(machine, out) : 0) + 64 * i;
        fz_evm(c, store ? EV_STOREPS : EV_LOADPS, 2, i, 0, &at);
    }
    for (int i = 1; i < 8; i++) {
        at.disp = (int32_t)(store ? offsetof(machine, mask_out) : offsetof(machine, mask)) +
                  8 * i;
        fz_rrm(c, store ? OP_KSTORE : OP_KLOAD, 0, i, 0, &at);
    }
}

static void build(const form *f, enum fz_variant variant, bool flags_live)
{
    ZydisDecodedInstruction x;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    unsigned high, masks;
    const char *why;
    ck_assert_msg(decode(f, &x, o), "%s", f->text);
    fz_code c = {0};
    fz_emit e = {.code = &c, .variant = variant, .tls = tls_offset(), .high = true,
                 .lent = true, .wide = true, .twice = true, .vaes = true,
                 .flags_live = flags_live};
    stubs_to(&e);
    all(&c, false);
    put(&c, "4889f0"); /* mov %rsi, %rax; pushq disp32(%rdi); popfq */
    put(&c, "ffb7");
    fz_put32(&c, offsetof(machine, flags));
    put(&c, "9d");
    if (variant == FZ_IDENTITY) {
        original(&c, f, &x);
    } else {
        const int need = fz_emit_need(&e, &x, o, &why);
        ck_assert_msg(need > 0, "%s: %s", f->text, why);
        ck_assert_int_le(need, FZ_TEMPS);
        used_by(&x, o, &high, &masks);
        ck_assert_msg(fz_lend_fits(high, masks, need), "%s: too few registers", f->text);
        fz_lend_choose(&e, high, masks, need, next() & 1);
        fz_lend_all(&e, true);
        fz_emit_state_load(&e);
        fz_emit_site(&e, &x, o, (uint64_t)(uintptr_t)f->begin);
        fz_emit_state_store(&e);
        fz_lend_all(&e, false);
    }
    put(&c, "9c8f87"); /* pushfq; popq disp32(%rdi) */
    fz_put32(&c, offsetof(machine, flags_out));
    all(&c, true);
    put(&c, "c5f877c3"); /* vzeroupper; ret */
    fz_emit_cold(&e);
    ck_assert(!c.failed);
    ck_assert_uint_le(c.n, AREA - CODE);
    resolve(&c);
    free(c.bytes);
    free(c.fixes);
    free(e.slow);
}

/* ---- Operands --------------------------------------------------------------------------- */

/* Exponents that meet, special values, few bits, anything. */
static uint32_t value32(void)
{
    static const uint32_t special[] = {0, 1, 0x7fffff, 0x800000, 0x7f7fffff, 0x7f800000,
                                       0x7fc00000, 0x3f800000, 0x3f7fffff, 0x00ffffff};
    const uint64_t w = next();
    switch (w >> 60) {
    case 0:
    case 1: return special[(w >> 8) % 10] | (uint32_t)(w << 31);
    case 2: return (uint32_t)w;
    case 3: return (uint32_t)(w & 0x80ffffff) | 0x1f000000;
    case 4: return (uint32_t)(w & 0x807f0000) | 0x3f000000;
    default: return (uint32_t)(w & 0x83ffffff) | 0x3e000000;
    }
}

static uint64_t value64(void)
{
    static const uint64_t special[] = {
        0, 1, 0xfffffffffffff, 0x10000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
        0x7ff8000000000000, 0x3ff0000000000000, 0x3fefffffffffffff, 0x4330000000000000};
    const uint64_t w = next();
    switch (w >> 60) {
    case 0: return special[(w >> 8) % 10] | w << 63;
    case 1: return (next() & 0x801fffffffffffff) | 0x3800000000000000;
    case 2: return w << 4 ^ next();
    case 3: return next() >> (next() & 63); /* integers */
    case 4: return (next() & 0x800fff0000000000) | 0x3fe0000000000000;
    case 5: return (next() & 0x803fffffffffffff) | 0x1fc0000000000000;
    default: return (next() & 0x807fffffffffffff) | 0x3fc0000000000000;
    }
}

static void fill(uint8_t *p, size_t n, bool f64_values)
{
    for (size_t i = 0; i < n; i += 8) {
        const uint64_t v = f64_values ? value64() : value32() | (uint64_t)value32() << 32;
        memcpy(p + i, &v, 8);
    }
}

/* NaNs are equal whatever their payload, by elements of the result. */
static bool same(const uint8_t *a, const uint8_t *b, bool f64_values)
{
    for (int i = 0; i < 64; i += f64_values ? 8 : 4) {
        double x = 0, y = 0;
        float p, q;
        if (!memcmp(a + i, b + i, f64_values ? 8 : 4))
            continue;
        if (f64_values) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
        } else {
            memcpy(&p, a + i, 4);
            memcpy(&q, b + i, 4);
            x = (double)p;
            y = (double)q;
        }
        if (x == x || y == y)
            return false;
    }
    return true;
}

static int trials = 50;

enum { MOST = 512, RAISED = 1 | 4 /* invalid, divide by zero */ };

static void compare(const form *f, enum fz_variant first, fz_inst_law law1,
                    enum fz_variant second, fz_inst_law law2, bool flags_live)
{
    static machine m[MOST];
    static uint8_t memory[MOST][BYTES] __attribute__((aligned(64)));
    static uint64_t rcx[MOST], r9[MOST], state[MOST][4], after[MOST][4];
    static uint8_t out1[MOST][32][64], memory1[MOST][BYTES];
    static unsigned raised[MOST];
    const bool wide = of_f64(f), wide_results = wide && !strstr(f->text, "2ps") &&
                                                !strstr(f->text, "2ss");
    for (int i = 0; i < trials; i++) {
        fill(m[i].in[0], sizeof m[i].in, wide);
        fill(memory[i], sizeof memory[i], wide);
        for (int k = 1; k < 8; k++)
            m[i].mask[k] = next() >> (next() & 63) ^ (next() & 1 ? ~UINT64_C(0) : 0);
        m[i].flags = 0x202 | (next() & 0x8d5);
        rcx[i] = strstr(f->text, "%rcx,8") ? next() % 4 : next() >> (next() & 63);
        r9[i] = next() >> (next() & 63);
        for (int k = 0; k < 4; k++)
            state[i][k] = next();
    }
    for (int pass = 0; pass < 2; pass++) {
        build(f, pass ? second : first, flags_live);
        fz_inst_now = pass ? law2 : law1;
        for (int i = 0; i < trials; i++) {
            uint8_t image[BYTES] __attribute__((aligned(64)));
            memcpy(near, memory[i] + 64, sizeof near);
            memcpy(image, memory[i], sizeof image);
            memcpy(fz_inst_self.state, state[i], 32);
            const unsigned csr = _mm_getcsr();
            _mm_setcsr(0x1f80);
            run(&m[i], image, rcx[i], r9[i]);
            const unsigned now = _mm_getcsr() & RAISED;
            _mm_setcsr(csr);
            if (flags_live)
                ck_assert_msg((m[i].flags & 0x8d5) == (m[i].flags_out & 0x8d5),
                              "%s: flags", f->text);
            ck_assert_msg(!memcmp(m[i].mask + 1, m[i].mask_out + 1, 56), "%s: masks",
                          f->text);
            if (!pass) {
                memcpy(out1[i], m[i].out, sizeof out1[i]);
                memcpy(memory1[i], image, sizeof image);
                memcpy(after[i], fz_inst_self.state, 32);
                raised[i] = now;
                continue;
            }
            ck_assert_msg(!memcmp(memory1[i], image, sizeof image), "%s: memory", f->text);
            if (first == FZ_IDENTITY)
                ck_assert_msg(!(now & ~raised[i]), "%s: raises %x", f->text, now);
            else
                ck_assert_msg(!memcmp(after[i], fz_inst_self.state, 32), "%s: state",
                              f->text);
            for (int v = 0; v < 32; v++)
                ck_assert_msg(same(out1[i][v], m[i].out[v], wide_results),
                              "%s: trial %d, register %d: variants %d and %d differ",
                              f->text, i, v, first, second);
        }
    }
}

static const fz_inst_law nearest = {PRISM_NEAREST, 24, 53};

static void each(enum fz_variant first, fz_inst_law law1, enum fz_variant second,
                 fz_inst_law law2, bool flags_live)
{
    int n = 0;
    for (const form *f = forms_begin; f < forms_end; f++, n++)
        compare(f, first, law1, second, law2, flags_live);
    ck_assert_int_gt(n, 800);
}

START_TEST(definition_in_nearest_is_the_instruction)
{
    each(FZ_IDENTITY, nearest, FZ_DEFINITION, nearest, true);
}
END_TEST

START_TEST(sr_in_line_is_the_definition)
{
    fz_inst_law sr = {PRISM_SR, 24, 53};
    each(FZ_DEFINITION, sr, FZ_SR, sr, true);
}
END_TEST

/* But for fma of f32, which by way of f64 round twice. */
START_TEST(sr_to_nearest_is_the_instruction)
{
    fz_inst_law sr = {PRISM_NEAREST, 24, 53};
    for (const form *f = forms_begin; f < forms_end; f++)
        if (!strstr(f->text, "vf") || of_f64(f))
            compare(f, FZ_IDENTITY, nearest, FZ_SR_NEAREST, sr, false);
}
END_TEST

START_TEST(sr_where_flags_are_dead)
{
    fz_inst_law sr = {PRISM_SR, 24, 53};
    each(FZ_DEFINITION, sr, FZ_SR, sr, false);
}
END_TEST

START_TEST(ud_in_line_is_the_definition)
{
    fz_inst_law ud = {PRISM_UD, 24, 53};
    each(FZ_DEFINITION, ud, FZ_UD, ud, true);
}
END_TEST

START_TEST(cestac_in_line_is_the_definition)
{
    fz_inst_law cestac = {PRISM_CESTAC, 24, 53};
    each(FZ_DEFINITION, cestac, FZ_CESTAC, cestac, true);
}
END_TEST

/* sr's code raises what the instruction raises, and no more: inactive lanes nothing. */
START_TEST(nothing_is_raised)
{
    static machine m;
    static uint8_t memory[BYTES] __attribute__((aligned(64)));
    fz_inst_now = (fz_inst_law){PRISM_SR, 24, 53};
    for (const form *f = forms_begin; f < forms_end; f++) {
        if (!strstr(f->text, "{%k"))
            continue;
        /* All lanes are left out, and would raise. */
        for (int v = 0; v < 32; v++)
            for (int i = 0; i < 64; i += 8) {
                const uint64_t bad = of_f64(f) ? (v % 2 ? 0 : UINT64_C(0x7ff0) << 48)
                                               : (v % 2 ? 0 : UINT64_C(0x7f8000007f800000));
                memcpy(m.in[v] + i, &bad, 8);
            }
        memset(m.mask, 0, sizeof m.mask);
        m.flags = 0x202;
        build(f, FZ_SR, false);
        _mm_setcsr(0x1f80);
        run(&m, memory, 0, 0);
        const unsigned now = _mm_getcsr() & RAISED;
        _mm_setcsr(0x1f80);
        ck_assert_msg(!now, "%s: raises %x", f->text, now);
    }
}
END_TEST

/* An operand in memory whose first lane is there, and the others not. */
START_TEST(lanes_left_out_are_not_read)
{
    static machine m;
    uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    int n = 0;
    ck_assert(two != MAP_FAILED && !mprotect(two + 4096, 4096, PROT_NONE));
    fz_inst_now = nearest;
    for (const form *f = forms_begin; f < forms_end; f++) {
        if (!strstr(f->text, "64(%rsi)") || !strstr(f->text, "{%k"))
            continue;
        const bool one = strstr(f->text, "{1to") != NULL;
        for (int k = 1; k < 8; k++)
            m.mask[k] = one ? 0 : 1;
        m.flags = 0x202;
        for (int v = 0; v < 2; v++) {
            build(f, v ? FZ_SR : FZ_DEFINITION, false);
            run(&m, two + 4096 - (one ? 0 : 8) - 64, 0, 0);
        }
        n++;
    }
    ck_assert_int_gt(n, 50);
    munmap(two, 8192);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        trials = atoi(argv[1]) < MOST ? atoi(argv[1]) : MOST;
    if (!__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("vaes")) {
        printf("100%%: Checks: 0, Failures: 0, Errors: 0\n");
        fprintf(stderr, "not run: evex: this CPU has no AVX-512\n");
        return 0;
    }
    area = mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (area == MAP_FAILED)
        return 1;
    Suite *suite = suite_create("evex");
    TCase *t = tcase_create("evex");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, definition_in_nearest_is_the_instruction);
    tcase_add_test(t, sr_in_line_is_the_definition);
    tcase_add_test(t, sr_to_nearest_is_the_instruction);
    tcase_add_test(t, sr_where_flags_are_dead);
    tcase_add_test(t, ud_in_line_is_the_definition);
    tcase_add_test(t, cestac_in_line_is_the_definition);
    tcase_add_test(t, nothing_is_raised);
    tcase_add_test(t, lanes_left_out_are_not_read);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    if (getenv("CK_FORK") == NULL)
        srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
