/* What tests of instruction forms share: forms, and code that the emitter makes of one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_TEST_FORMS_H
#define FZ_TEST_FORMS_H

#include <check.h>

#include "../../shim/rewrite/emit.h"
#include "../../shim/rewrite/evex.h"
#include "../../shim/rewrite/inst.h"

typedef struct form {
    const uint8_t *begin, *end;
    const char *text;
} form;

extern const form forms_begin[], forms_end[];
extern uint8_t near[64];

/* The area: constants, stubs, and from CODE on the code under test. */
enum { CODE = 3 * 4096, AREA = 1 << 20 };

static uint8_t *area;
static uint64_t rng = 88172645463325252u;

static uint64_t next(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    return rng ^= rng << 17;
}

static int32_t tls_offset(void)
{
    char *base;
    __asm__("mov %%fs:0, %0" : "=r"(base));
    return (int32_t)((char *)&fz_inst_self - base);
}

static void resolve(const fz_code *c)
{
    memcpy(area + CODE, c->bytes, c->n);
    for (size_t i = 0; i < c->fix_n; i++) {
        const fz_fix *f = &c->fixes[i];
        const uint8_t *to = f->kind == FZ_FIX_BLOB   ? area + f->target
                            : f->kind == FZ_FIX_HERE ? area + CODE + f->target
                                                     : (const uint8_t *)f->target;
        int64_t d = to - (area + CODE + f->at + 4 + f->after);
        int32_t d32 = (int32_t)d;
        ck_assert_int_eq(d, d32);
        memcpy(area + CODE + f->at, &d32, 4);
    }
}

static bool decode(const form *f, ZydisDecodedInstruction *x, ZydisDecodedOperand *o)
{
    ZydisDecoder d;
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return ZYAN_SUCCESS(
        ZydisDecoderDecodeFull(&d, f->begin, (size_t)(f->end - f->begin), x, o));
}

static void stubs_to(fz_emit *e)
{
    fz_code stubs = {0};
    for (int i = 0; i < FZ_STUBS; i++) {
        e->stub[i] = 4096 + stubs.n;
        fz_emit_stub(&stubs, e->tls, (enum fz_stub_kind)i, 4096);
    }
    fz_area_constants(area);
    void (*definition)(const fz_inst_site *) = fz_inst_definition;
    memcpy(area + FZ_AREA_DEFINITION, &definition, sizeof definition);
    ck_assert_uint_le(stubs.n, CODE - 4096);
    memcpy(area + 4096, stubs.bytes, stubs.n);
    for (size_t i = 0; i < stubs.fix_n; i++) {
        int32_t d = (int32_t)((int64_t)stubs.fixes[i].target - 4096 -
                              (int64_t)stubs.fixes[i].at - 4);
        memcpy(area + 4096 + stubs.fixes[i].at, &d, 4);
    }
    free(stubs.bytes);
    free(stubs.fixes);
}

/* The instruction as it is. */
static void original(fz_code *c, const form *f, const ZydisDecodedInstruction *x)
{
    const size_t start = c->n;
    for (const uint8_t *p = f->begin; p < f->end; p++)
        fz_put(c, *p);
    if (x->raw.modrm.mod == 0 && x->raw.modrm.rm == 5) { /* near(%rip) */
        c->n = start + x->raw.disp.offset;
        fz_put_fix(c, FZ_FIX_DATA, (uint64_t)(uintptr_t)near, 0);
    }
}

/* Calls area + CODE as a function of (machine, memory). */
static void run(void *machine, uint8_t *memory, uint64_t rcx, uint64_t r9)
{
    void *at = machine;
    uint8_t *mem = memory;
    void *f = area + CODE;
    register uint64_t nine __asm__("r9") = r9;
    /* The red zone holds nothing of ours: the frame is left behind. */
    __asm__ volatile("sub $256, %%rsp\n call *%[f]\n add $256, %%rsp"
                     : "+D"(at), "+S"(mem), "+c"(rcx), "+r"(nine)
                     : [f] "r"(f)
                     : "memory", "cc", "rax", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
                       "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                       "xmm13", "xmm14", "xmm15");
    ck_assert_ptr_eq(at, machine);
    ck_assert_ptr_eq(mem, memory);
}

/* Are its operands f64? */
static bool of_f64(const form *f)
{
    ZydisDecodedInstruction x;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    decode(f, &x, o);
    const fz_class c = fz_insn_class(x.mnemonic);
    return c.f64 || c.op == FZ_INST_F64_F32;
}

#endif
