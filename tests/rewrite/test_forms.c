/* Each instruction form through the real emitter: moved, run, compared.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Three comparisons, bit for bit, on random operands dense in special values:
 *   definition in nearest against the original instruction (operand orders, lanes, merges,
 *     memory operands: nothing of the emitter's own reading of the form is used);
 *   code in line (sr, ud) against the definition with the same random words;
 *   sr's code with the word that makes it round to nearest against the original.
 * Besides: registers that were not lent, flags, and the random state.
 */
#include <cpuid.h>
#include <fenv.h>
#include <stdio.h>
#include <sys/mman.h>

#include <immintrin.h>

#include "../../prism/stream.h"
#include "forms.h"

struct machine {
    uint8_t in[16][32], out[16][32];
    uint64_t flags, flags_out;
};

static bool has_vaes(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 9 & 1;
}

static bool has_avx512(void)
{
    return has_vaes() && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static unsigned registers_of(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *o)
{
    unsigned used = 0;
    for (int i = 0; i < x->operand_count; i++)
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            int v = fz_vector_register(o[i].reg.value);
            if (v >= 0)
                used |= 1u << v;
        }
    return used;
}

/* With EVEX: what is held in f64 from one site to the next is tested by a second form behind
 * the first, and by pinned registers. */
static bool high, lent_out; /* lent_out: what the host uses of it is given back */
static const form *second_form;
static int pins; /* how many */
static bool keep;

static void pin(fz_emit *e, bool vex)
{
    static const uint8_t lanes[] = {1, 4, 8};
    memset(e->held, 0, sizeof e->held);
    for (int i = 0; i < pins; i++) {
        struct fz_held *h = &e->held[next() % 16];
        if (!h->at)
            *h = (struct fz_held){(int8_t)(30 - i), lanes[next() % (vex ? 3 : 2)], true};
    }
    fz_emit_pins_load(e);
}

/* Every pinned register must hold what it stands for. */
static void check_pins(fz_code *c, const fz_emit *e)
{
    for (int v = 0; v < 16; v++) {
        const struct fz_held *h = &e->held[v];
        if (!h->at)
            continue;
        /* The same by a fresh conversion; a difference leads to ud2. */
        int l = h->lanes == 1 ? 0 : h->lanes == 4 ? 1 : 2;
        fz_ev(c, h->lanes == 1 ? EV_CVTSS2SD : EV_CVTPS2PD, l, 31, l ? 0 : v, v, 0);
        fz_ev(c, FZ_OP(3, 1, 1, 0x1f), l, 1, 31, h->at, 0); /* vpcmpneqq */
        fz_put(c, 4);
        if (l == 0) { /* kshiftlb $7, %k1, %k1 */
            fz_rrri(c, FZ_OP(3, 1, 0, 0x32), 0, 1, 0, 1, 7);
        }
        fz_rrr(c, OP_KORTESTB, 0, 1, 0, 1);
        fz_put(c, 0x74); /* jz over ud2 */
        fz_put(c, 2);
        fz_put(c, 0x0f);
        fz_put(c, 0x0b);
    }
}

/* Builds area + CODE as a function of (struct machine *, memory): returns lent registers. */
static unsigned build(const form *f, enum fz_variant variant, bool flags_live)
{
    ZydisDecodedInstruction x;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    ck_assert_msg(decode(f, &x, o), "%s", f->text);
    fz_code c = {0};
    fz_emit e = {.code = &c, .variant = variant, .tls = tls_offset(),
                 .wide = x.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY,
                 .vaes = has_vaes(), .high = high, .flags_live = flags_live};
    stubs_to(&e);

    fz_mem in = {.modrm = 0x87, .disp_size = 32}; /* disp32(%rdi) */
    for (int i = 0; i < 16; i++) {
        in.disp = 32 * i;
        fz_rrm(&c, OP_LOAD, e.wide, i, 0, &in);
    }
    static const uint8_t set_rax[] = {0x48, 0x89, 0xf0}; /* mov %rsi, %rax */
    for (size_t i = 0; i < sizeof set_rax; i++)
        fz_put(&c, set_rax[i]);
    static const uint8_t set_flags[] = {0xff, 0xb7}, get_flags[] = {0x9c, 0x8f, 0x87};
    for (size_t i = 0; i < sizeof set_flags; i++) /* pushq disp32(%rdi); popfq */
        fz_put(&c, set_flags[i]);
    fz_put32(&c, offsetof(struct machine, flags));
    fz_put(&c, 0x9d);

    unsigned lent = 0, used = registers_of(&x, o);
    if (variant == FZ_IDENTITY) {
        original(&c, f, &x);
    } else if (high) {
        const char *why;
        ZydisDecodedInstruction y;
        ZydisDecodedOperand p[ZYDIS_MAX_OPERAND_COUNT];
        e.twice = e.wide;
        e.keep = keep;
        int need = fz_emit_need(&e, &x, o, &why);
        ck_assert_msg(need > 0, "%s: %s", f->text, why);
        e.lent = lent_out;
        fz_lend_choose(&e, lent_out ? (unsigned)next() & 0x1f : 0, next() & 0x3e, need,
                       next() & 1);
        fz_lend_all(&e, true);
        pin(&e, e.wide);
        fz_emit_state_load(&e);
        fz_emit_site(&e, &x, o, (uint64_t)(uintptr_t)f->begin);
        if (second_form) {
            e.flags_live = flags_live;
            ck_assert(decode(second_form, &y, p));
            fz_emit_site(&e, &y, p, (uint64_t)(uintptr_t)second_form->begin);
        }
        fz_emit_state_store(&e);
        fz_lend_all(&e, false);
    } else {
        const char *why;
        int need = fz_emit_need(&e, &x, o, &why);
        ck_assert_msg(need > 0, "%s: %s", f->text, why);
        ck_assert_int_le(need, FZ_TEMPS);
        int got = 0;
        for (int v = 15; v >= 0 && got <= need; v--) {
            if (used >> v & 1)
                continue;
            lent |= 1u << v;
            if (got < need)
                e.temp[got] = v;
            else
                e.state = v;
            got++;
        }
        ck_assert_msg(got > need, "%s: too few registers", f->text);
        fz_emit_state_load(&e);
        fz_emit_site(&e, &x, o, (uint64_t)(uintptr_t)f->begin);
        fz_emit_state_store(&e);
    }
    for (size_t i = 0; i < sizeof get_flags; i++) /* pushfq; popq disp32(%rdi) */
        fz_put(&c, get_flags[i]);
    fz_put32(&c, offsetof(struct machine, flags_out));
    if (high && !lent_out && variant == FZ_SR)
        check_pins(&c, &e);
    for (int i = 0; i < 16; i++) {
        in.disp = 512 + 32 * i;
        fz_rrm(&c, OP_STORE, 1, i, 0, &in);
    }
    fz_put(&c, 0xc5); /* vzeroupper; ret */
    fz_put(&c, 0xf8);
    fz_put(&c, 0x77);
    fz_put(&c, 0xc3);
    fz_emit_cold(&e);
    ck_assert(!c.failed);
    ck_assert_uint_le(c.n, AREA - CODE);
    resolve(&c);
    free(c.bytes);
    free(c.fixes);
    free(e.slow);
    return lent;
}

/* Random bits, with exponents that meet, special values, and lanes that cancel. */
static uint32_t value32(void)
{
    static const uint32_t special[] = {0, 1, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff,
                                       0x7f800000, 0x7fc00000, 0x3f800000, 0x3f7fffff,
                                       0x00ffffff, 0x4b800000, 0x20000000, 0x1f800000};
    uint64_t w = next();
    switch (w >> 60) {
    case 0: return special[w >> 8 & 0xff & 15 % 14] | (uint32_t)(w << 31);
    case 1: return special[(w >> 8) % 14] | (uint32_t)(w << 31);
    case 2: return (uint32_t)w;
    case 3: return (uint32_t)(w & 0x80ffffff) | 0x1f000000; /* products near 2^-126 */
    case 4: return (uint32_t)(w & 0x807f0000) | 0x3f000000; /* few bits: exact results */
    default: return (uint32_t)(w & 0x83ffffff) | 0x3e000000;
    }
}

static uint64_t value64(void)
{
    static const uint64_t special[] = {
        0, 1, 0xfffffffffffff, 0x10000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
        0x7ff8000000000000, 0x3ff0000000000000, 0x3fefffffffffffff, 0x4330000000000000,
        0x2000000000000000, 0x1ff0000000000001, 0x36a0000000000000, 0x380fffffffffffff};
    uint64_t w = next();
    switch (w >> 60) {
    case 0:
    case 1: return special[(w >> 8) % 14] | w << 63;
    case 2: return w << 4 ^ next();
    case 3: return (next() & 0x801fffffffffffff) | 0x3800000000000000; /* f32 edges */
    case 4: return (next() & 0x800fff0000000000) | 0x3fe0000000000000;
    case 5: return (next() & 0x803fffffffffffff) | 0x1fc0000000000000;
    default: return (next() & 0x807fffffffffffff) | 0x3fc0000000000000;
    }
}

static void fill(uint8_t *p, size_t n, bool f64_values)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = f64_values ? value64() : value32() | (uint64_t)value32() << 32;
        memcpy(p + i, &v, 8);
    }
}

/* Is the result of f32? */
static bool narrows(const form *f)
{
    return strstr(f->text, "2ss") || strstr(f->text, "2ps");
}

/* NaNs are equal whatever their payload. */
static bool same(const uint8_t *a, const uint8_t *b, bool f64_values)
{
    if (!memcmp(a, b, 32))
        return true;
    for (int i = 0; i < 32; i += f64_values ? 8 : 4) {
        double x = 0, y = 0;
        float p, q;
        if (f64_values) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
        } else {
            memcpy(&p, a + i, 4);
            memcpy(&q, b + i, 4);
            x = (double)p;
            y = (double)q;
        }
        if (x != x && y != y)
            continue;
        if (memcmp(a + i, b + i, f64_values ? 8 : 4) != 0)
            return false;
    }
    return true;
}

static void show(const char *what, const struct machine *m, const uint8_t *a,
                 const uint8_t *b, int reg)
{
    (void)m;
    fprintf(stderr, "%s: register %d\n", what, reg);
    for (int i = 0; i < 32; i += 4) {
        uint32_t u, v;
        memcpy(&u, a + i, 4);
        memcpy(&v, b + i, 4);
        fprintf(stderr, "  %08x %08x%s\n", u, v, u == v ? "" : " <");
    }
}

static int trials = 400;

/* Sums whose word decides by a unit, ties among them: with A in [1, 2) and B = m·2^-106, F is
 * m/4 rounded to even, or 2^52 less that. The state is one whose next step gives the word. */
static bool border;

__attribute__((target("aes"))) static void at_the_border(struct machine *m, uint64_t *state)
{
    const uint64_t a = (next() & 0xfffffffffffff) | UINT64_C(0x3ff) << 52;
    const uint64_t quarters = (next() & 0x3ffffffffffff) | UINT64_C(1) << 50;
    const f64 b = (f64)quarters * 0x1p-106;
    const bool minus_a = next() & 1, minus_b = next() & 1;
    uint64_t x = a | (uint64_t)minus_a << 63, y;
    memcpy(&y, &b, 8);
    y |= (uint64_t)minus_b << 63;
    memcpy(m->in[2], &x, 8);
    memcpy(m->in[3], &y, 8);
    uint64_t w = quarters / 4 + next() % 4 - 1;
    if (next() & 1)
        w = (UINT64_C(1) << 52) - w;
    const __m128i key = _mm_set_epi64x((long long)FZ_PI1, (long long)FZ_PI0);
    __m128i q = _mm_set_epi64x((long long)next(), (long long)(w << 12 | next() >> 52));
    q = _mm_aesdeclast_si128(_mm_aesimc_si128(_mm_xor_si128(q, key)), _mm_setzero_si128());
    memcpy(state, &q, 16);
}

/* One form: runs `second` against `first` (variant, law) on the same inputs and state. */
static void compare(const form *f, enum fz_variant first, fz_inst_law law1,
                    enum fz_variant second, fz_inst_law law2, bool flags_live,
                    int (*tolerate)(const form *, const struct machine *, int))
{
    static struct machine m[512];
    static uint8_t memory[512][128] __attribute__((aligned(64)));
    static uint64_t rcx[512], r9[512], state[512][4], after[512][4];
    bool wide_values = of_f64(f);
    for (int i = 0; i < trials; i++) {
        fill(m[i].in[0], sizeof m[i].in, wide_values);
        if (f->text[0] != 'v') /* uppers are clean in legacy code */
            for (int v = 0; v < 16; v++)
                memset(m[i].in[v] + 16, 0, 16);
        fill(memory[i], sizeof memory[i], wide_values);
        m[i].flags = 0x202 | (next() & 0x8d5);
        rcx[i] = i % 3 ? next() >> (next() & 63) : 0;
        r9[i] = next() >> (next() & 63);
        for (int k = 0; k < 4; k++)
            state[i][k] = next();
        if (border)
            at_the_border(&m[i], state[i]);
        if (strstr(f->text, "%rcx,8") ||
            (second_form && strstr(second_form->text, "%rcx,8")))
            rcx[i] = i % 4;
    }
    static uint8_t out1[512][16][32], memory1[512][128];
    for (int pass = 0; pass < 2; pass++) {
        unsigned lent = build(f, pass ? second : first, flags_live);
        fz_inst_now = pass ? law2 : law1;
        for (int i = 0; i < trials; i++) {
            uint8_t image[128] __attribute__((aligned(64)));
            memcpy(near, memory[i] + 64, sizeof near);
            memcpy(image, memory[i], sizeof image);
            memcpy(fz_inst_self.state, state[i], 32);
            run(&m[i], image, rcx[i], r9[i]);
            for (int v = 0; v < 16; v++)
                if (lent >> v & 1)
                    memcpy(m[i].out[v], m[i].in[v], 32);
            if (flags_live)
                ck_assert_msg((m[i].flags & 0x8d5) == (m[i].flags_out & 0x8d5),
                              "%s: flags %lx became %lx", f->text, (long)m[i].flags,
                              (long)m[i].flags_out);
            if (!pass) {
                memcpy(out1[i], m[i].out, sizeof out1[i]);
                memcpy(memory1[i], image, sizeof image);
                memcpy(after[i], fz_inst_self.state, 32);
                continue;
            }
            ck_assert_msg(!memcmp(memory1[i], image, sizeof image), "%s: memory", f->text);
            for (int v = 0; v < 16; v++)
                if (!same(out1[i][v], m[i].out[v], wide_values && !narrows(f)) &&
                    !(tolerate && tolerate(f, &m[i], v))) {
                    show(f->text, &m[i], out1[i][v], m[i].out[v], v);
                    ck_abort_msg("%s; %s: trial %d: variants %d and %d differ%s", f->text,
                                 second_form ? second_form->text : "", i, first, second,
                                 high ? ", EVEX" : "");
                }
            if (first != FZ_IDENTITY)
                ck_assert_msg(!memcmp(after[i], fz_inst_self.state, f->text[0] == 'v' ? 32 : 16),
                              "%s: random state", f->text);
        }
    }
}

static const fz_inst_law nearest = {PRISM_NEAREST, 24, 53};

static void each(enum fz_variant first, fz_inst_law law1, enum fz_variant second,
                 fz_inst_law law2, bool flags_live)
{
    int n = 0;
    second_form = NULL;
    pins = 0;
    for (high = lent_out = false;; lent_out = high, high = true) {
        for (const form *f = forms_begin; f < forms_end; f++, n++)
            compare(f, first, law1, second, law2, flags_live, NULL);
        if (lent_out || !has_avx512())
            break;
    }
    high = lent_out = false;
    ck_assert_int_gt(n, 400);
}

/* Two sites, the first one's result and operands held for the second. */
static void pairs(int pinned)
{
    fz_inst_law sr = {PRISM_SR, 24, 53};
    int n = (int)(forms_end - forms_begin);
    if (!has_avx512())
        return;
    high = true;
    for (int i = 0; i < 4 * n; i++) {
        const form *f = &forms_begin[i % n];
        second_form = &forms_begin[next() % (uint64_t)n];
        if ((f->text[0] == 'v') != (second_form->text[0] == 'v') ||
            of_f64(f) != of_f64(second_form) || narrows(f) != narrows(second_form))
            continue;
        pins = i % 2 ? pinned : 0;
        keep = true;
        compare(f, FZ_DEFINITION, sr, FZ_SR, sr, i % 4 < 2, NULL);
    }
    second_form = NULL;
    pins = 0;
    high = keep = false;
}

START_TEST(sites_that_follow_each_other)
{
    pairs(0);
}
END_TEST

START_TEST(pinned_registers)
{
    pairs(5);
}
END_TEST

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

START_TEST(words_at_the_border)
{
    fz_inst_law sr = {PRISM_SR, 24, 53};
    int n = 0;
    border = true;
    for (high = false;; high = true) {
        for (const form *f = forms_begin; f < forms_end; f++)
            if ((strstr(f->text, "addsd %xmm3") || strstr(f->text, "subsd %xmm3") ||
                 strstr(f->text, "addpd %xmm3")) && !strstr(f->text, "h")) {
                for (int k = 0; k < 10; k++, n++)
                    compare(f, FZ_DEFINITION, sr, FZ_SR, sr, true, NULL);
            }
        if (high || !has_avx512())
            break;
    }
    border = high = false;
    ck_assert_int_ge(n, 40);
}
END_TEST

START_TEST(cestac_in_line_is_the_definition)
{
    fz_inst_law cestac = {PRISM_CESTAC, 24, 53};
    each(FZ_DEFINITION, cestac, FZ_CESTAC, cestac, true);
}
END_TEST

START_TEST(cestac_where_flags_are_dead)
{
    fz_inst_law cestac = {PRISM_CESTAC, 24, 53};
    each(FZ_DEFINITION, cestac, FZ_CESTAC, cestac, false);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        trials = atoi(argv[1]);
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("100%%: Checks: 0, Failures: 0, Errors: 0\n");
        fprintf(stderr, "not run: this CPU has no AVX2\n");
        return 0;
    }
    area = mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (area == MAP_FAILED)
        return 1;
    Suite *suite = suite_create("forms");
    TCase *t = tcase_create("forms");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, definition_in_nearest_is_the_instruction);
    tcase_add_test(t, sr_in_line_is_the_definition);
    tcase_add_test(t, sr_where_flags_are_dead);
    tcase_add_test(t, ud_in_line_is_the_definition);
    tcase_add_test(t, words_at_the_border);
    tcase_add_test(t, cestac_in_line_is_the_definition);
    tcase_add_test(t, cestac_where_flags_are_dead);
    tcase_add_test(t, sites_that_follow_each_other);
    tcase_add_test(t, pinned_registers);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    if (getenv("CK_FORK") == NULL)
        srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
