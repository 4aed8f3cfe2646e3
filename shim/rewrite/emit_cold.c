/* The way from a site to the definition and back: flags, cold code, stubs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "site.h"

void fz_flags_save(fz_emit *e)
{
    if (!e->flags_live)
        return;
    fz_mov_tls(e->code, 0x89, 0, TLS(e, rax_flags));
    fz_put(e->code, 0x9f); /* lahf */
    fz_put(e->code, 0x0f); /* seto %al */
    fz_put(e->code, 0x90);
    fz_put(e->code, 0xc0);
}

void fz_flags_restore(fz_emit *e)
{
    if (!e->flags_live)
        return;
    fz_put(e->code, 0x04); /* add $127, %al: overflow as it was */
    fz_put(e->code, 0x7f);
    fz_put(e->code, 0x9e); /* sahf */
    fz_mov_tls(e->code, 0x8b, 0, TLS(e, rax_flags));
}

size_t fz_emit_if_plain(fz_emit *e)
{
    fz_flags_save(e);
    fz_put(e->code, 0x64); /* cmpb $0, tls.plain */
    fz_put(e->code, 0x80);
    fz_put(e->code, 0x3c);
    fz_put(e->code, 0x25);
    fz_put32(e->code, (uint32_t)TLS(e, plain));
    fz_put(e->code, 0);
    size_t fix = fz_jump_if(e->code, FZ_IF_NOT_ZERO, FZ_FIX_HERE, 0);
    fz_flags_restore(e);
    return fix;
}

void fz_emit_plain(fz_emit *e, size_t fix)
{
    fz_fix_here(e->code, fix);
    fz_flags_restore(e);
}

void fz_emit_count(fz_emit *e, uint64_t at, bool plain)
{
    fz_flags_save(e);
    fz_put(e->code, 0xf0); /* lock incq counter(%rip) */
    fz_put(e->code, 0x48);
    fz_put(e->code, 0xff);
    fz_put(e->code, 0x05);
    fz_put_fix(e->code, plain ? FZ_FIX_COUNT_PLAIN : FZ_FIX_COUNT, at, 0);
    fz_flags_restore(e);
}

fz_slow *fz_slow_new(fz_emit *e)
{
    if (e->slow_n == e->slow_cap) {
        size_t cap = e->slow_cap ? 2 * e->slow_cap : 16;
        fz_slow *p = realloc(e->slow, cap * sizeof *p);
        if (!p) {
            static fz_slow nowhere;
            e->code->failed = true;
            return &nowhere;
        }
        e->slow = p;
        e->slow_cap = cap;
    }
    fz_slow *s = &e->slow[e->slow_n++];
    memset(s, 0, sizeof *s);
    s->load = -1;
    s->at = e->at;
    s->stub = e->lent ? FZ_STUB_EVEX : e->wide ? FZ_STUB_WIDE : FZ_STUB_NARROW;
    s->state = e->state;
    s->lent = e->lent;
    s->mask_n = e->mask_n;
    memcpy(s->mask, e->mask, sizeof s->mask);
    return s;
}

fz_inst_site fz_slow_site(const fz_emit *e, const site *s, int result)
{
    return (fz_inst_site){.op = (uint8_t)s->op,
                     .lanes = (uint8_t)s->lanes,
                     .a = (uint8_t)s->a,
                     .b = (uint8_t)s->b,
                     .c = (uint8_t)s->c,
                     .result = (uint8_t)result,
                     .state = (uint8_t)e->state,
                     .f64 = s->f64,
                     .minus_product = s->minus_product,
                     .minus_addend = s->minus_addend,
                     .from_unsigned = s->from_unsigned,
                     .legacy = !e->wide,
                     .away = fz_site_away(e, s),
                     .halves = !e->high && fz_site_in_f64(s)};
}

/* Of an fma of f64: its result may be zero, its product if a factor is. */
static void cold_zeros_of_fma(fz_emit *e, fz_slow *s)
{
    const int reg[2] = {s->s, s->u}, out[2] = {s->hi, s->y};
    for (int i = 0; i < 2; i++) {
        rr(e, OP_PADDQ, s->l, s->tmp, reg[i], reg[i]);
        rk(e, OP_PSUBQ, s->l, out[i], s->tmp, FZ_K_RANGE64);
        rk(e, OP_PCMPEQQ, s->l, s->tmp, s->tmp, FZ_K_ZERO);
        if (i == 1) {
            shift(e, OP_SHIFTQ, 6, s->l, s->p, s->site.a, 1);
            rk(e, OP_PCMPEQQ, s->l, s->p, s->p, FZ_K_ZERO);
            shift(e, OP_SHIFTQ, 6, s->l, s->q, s->site.b, 1);
            rk(e, OP_PCMPEQQ, s->l, s->q, s->q, FZ_K_ZERO);
            rr(e, OP_POR, s->l, s->p, s->p, s->q);
            rr(e, OP_PAND, s->l, s->tmp, s->tmp, s->p);
        }
        rr(e, OP_PANDN, s->l, out[i], s->tmp, out[i]);
    }
    rr(e, OP_POR, s->l, s->y, s->y, s->hi);
    if (s->scalar)
        rk(e, OP_TESTPD, 0, s->y, 0, FZ_K_LANE0);
    else
        rr(e, OP_TESTPD, s->l, s->y, 0, s->y);
    fz_jump_if(e->code, FZ_IF_ZERO, FZ_FIX_HERE, s->resume);
}

static void cold_zeros(fz_emit *e, fz_slow *s)
{
    if (s->site.f64 && s->site.op == FZ_INST_FMA) {
        cold_zeros_of_fma(e, s);
        return;
    }
    unsigned test = s->pair ? OP_TESTPS : OP_TESTPD;
    if (s->pair) {
        fz_rrri(e->code, OP_SHUFPS, s->l, s->tmp, s->s, s->hi, 0xdd);
        rr(e, OP_PADDD, s->l, s->tmp, s->tmp, s->tmp); /* either sign */
        rk(e, OP_PCMPEQD, s->l, s->tmp, s->tmp, FZ_K_ZERO);
    } else {
        rr(e, OP_PADDQ, s->l, s->tmp, s->s, s->s);
        rk(e, OP_PCMPEQQ, s->l, s->tmp, s->tmp, FZ_K_ZERO);
    }
    /* A product of f64 that is zero must have a zero factor; so must a quotient its
     * dividend; the residual of a quotient needs a finite divisor. */
    int op = s->site.op;
    if (s->site.f64 && (op == FZ_INST_MUL || op == FZ_INST_DIV)) {
        shift(e, OP_SHIFTQ, 6, s->l, s->hi, s->site.a, 1);
        rk(e, OP_PCMPEQQ, s->l, s->hi, s->hi, FZ_K_ZERO);
        if (op == FZ_INST_MUL) {
            shift(e, OP_SHIFTQ, 6, s->l, s->p, s->site.b, 1);
            rk(e, OP_PCMPEQQ, s->l, s->p, s->p, FZ_K_ZERO);
            rr(e, OP_POR, s->l, s->hi, s->hi, s->p);
        } else { /* 0/inf has no residual */
            rk(e, OP_PAND, s->l, s->p, s->site.b, FZ_K_EXP64);
            rk(e, OP_PCMPEQQ, s->l, s->p, s->p, FZ_K_EXP64);
            rr(e, OP_PANDN, s->l, s->hi, s->p, s->hi);
        }
        rr(e, OP_PAND, s->l, s->tmp, s->tmp, s->hi);
    }
    rr(e, OP_PANDN, s->l, s->y, s->tmp, s->y);
    if (s->scalar)
        rk(e, test, 0, s->y, 0, FZ_K_LANE0);
    else
        rr(e, test, s->l, s->y, 0, s->y);
    fz_jump_if(e->code, FZ_IF_ZERO, FZ_FIX_HERE, s->resume);
}

static void put_bytes(fz_code *c, const char *hex)
{
    for (; hex[0] && hex[1]; hex += 2) {
        char byte[3] = {hex[0], hex[1], 0};
        fz_put(c, (unsigned)strtoul(byte, NULL, 16));
    }
}

static void row(const fz_emit *e, const fz_slow *s, int pushed)
{
    if (e->row)
        e->row(e->row_of, s->at, pushed);
}

/* A call, so that unwinders find their way out of the definition; below the red zone. */
static void call_stub(fz_emit *e, fz_slow *s)
{
    fz_code *c = e->code;
    put_bytes(c, "488d642480"); /* lea -128(%rsp), %rsp */
    row(e, s, 128);
    fz_put(c, 0xe8); /* call stub */
    fz_put_fix(c, FZ_FIX_BLOB, e->stub[s->stub], 0);
    put_bytes(c, "488da42480000000"); /* lea 128(%rsp), %rsp */
    row(e, s, 0);
    fz_jump(c, FZ_FIX_HERE, s->high ? c->n + 5 + sizeof s->site : s->back);
    const uint8_t *p = (const uint8_t *)&s->site;
    for (size_t j = 0; j < sizeof s->site; j++)
        fz_put(c, p[j]);
}

void fz_emit_cold(fz_emit *e)
{
    fz_code *c = e->code;
    for (size_t i = 0; i < e->slow_n && !c->failed; i++) {
        fz_slow *s = &e->slow[i];
        fz_fix_here(c, s->jump);
        e->state = s->state;
        e->lent = s->lent;
        e->mask_n = s->mask_n;
        memcpy(e->mask, s->mask, sizeof e->mask);
        row(e, s, 0);
        if (s->again) {
            fz_evex_again(e, s);
            fz_jump(c, FZ_FIX_HERE, s->resume);
            continue;
        }
        if (s->cestac)
            fz_cestac_cold(e, s);
        else if (s->zeros && s->high)
            fz_evex_zeros(e, s);
        else if (s->zeros)
            cold_zeros(e, s);
        const bool borrows = s->load >= 0 && s->flags_saved;
        if (borrows) { /* rax holds them, and may lead to the operand */
            fz_mov_tls(c, 0x89, 0, TLS(e, rax));
            fz_mov_tls(c, 0x8b, 0, TLS(e, rax_flags));
        }
        if (s->high)
            fz_evex_cold(e, s);
        else if (s->load >= 0)
            fz_rrm(c, OP_LOAD, 1, s->load, 0, &s->mem);
        if (borrows)
            fz_mov_tls(c, 0x8b, 0, TLS(e, rax));
        call_stub(e, s);
        if (s->high)
            fz_evex_resume(e, s);
    }
    e->slow_n = 0;
}

/* ---- The stubs --------------------------------------------------------------------------- */

/* Registers that a C function may change, rax apart. */
static const uint8_t saved_gpr[] = {1, 2, 6, 7, 8, 9, 10, 11};

/* An instruction of zmm register v with its place in tls.uppers. */
static void upper_half(fz_emit *e, unsigned op, int v, int from)
{
    fz_code *c = e->code;
    fz_put(c, 0x64);
    fz_evex(c, op, 2, v, from, false, false, 0);
    fz_put(c, (unsigned)(v & 7) << 3 | 4);
    fz_put(c, 0x25);
    fz_put32(c, (uint32_t)(TLS(e, uppers) + 32 * v));
    fz_put(c, 1);
}

/* testb $bits, tls.in_use; jz to the fix that is returned. */
static size_t unless_in_use(fz_emit *e, unsigned bits)
{
    put_bytes(e->code, "64f60425");
    fz_put32(e->code, (uint32_t)TLS(e, in_use));
    fz_put(e->code, bits);
    return fz_jump_if(e->code, FZ_IF_ZERO, FZ_FIX_BLOB, 0);
}

/* Where the host uses EVEX code it may have 512 bits in use, or no more than 128, whatever
 * this function shows (gcc's -fipa-ra); and to load an upper half that is not in use would
 * put it in use. */
static void uppers_stay(fz_emit *e)
{
    put_bytes(e->code, "b901000000"); /* mov $1, %ecx; xgetbv; mov %rax, tls.in_use */
    put_bytes(e->code, "0f01d0");
    fz_mov_tls(e->code, 0x89, 0, TLS(e, in_use));
    for (int v = 0; v < 16; v++)
        upper_half(e, EV_EXTRACT256, v, 0);
}

static void registers_back(fz_emit *e, int l)
{
    for (int v = 0; v < 16; v++)
        fz_rrt(e->code, OP_LOAD, l, v, 0, TLS(e, frame) + 32 * v);
}

static void uppers_back(fz_emit *e, uint64_t start)
{
    enum { YMM = 4, ZMM = 0x40 };
    fz_code *c = e->code;
    registers_back(e, 0);
    const size_t narrow = unless_in_use(e, YMM | ZMM);
    registers_back(e, 1);
    const size_t wide = unless_in_use(e, ZMM);
    for (int v = 0; v < 16; v++)
        upper_half(e, EV_INSERT256PD, v, v);
    if (!c->failed)
        c->fixes[narrow].target = c->fixes[wide].target = start + c->n;
}

void fz_emit_stub(fz_code *c, int32_t tls, enum fz_stub_kind kind, uint64_t start)
{
    fz_emit at = {.code = c, .tls = tls};
    fz_emit *e = &at;
    const int wide = kind != FZ_STUB_NARROW;
    /* unwind.c knows how this begins and ends. r10 may lead to the host's frame. */
    put_bytes(c, "554889e54152"); /* push %rbp; mov %rsp, %rbp; push %r10 */
    fz_mov_tls(c, 0x89, 0, TLS(e, rax));
    put_bytes(c, "9c648f0425"); /* pushfq; popq tls.flags */
    fz_put32(c, (uint32_t)TLS(e, flags));
    for (size_t i = 0; i < sizeof saved_gpr; i++)
        fz_mov_tls(c, 0x89, saved_gpr[i], TLS(e, gpr) + 8 * (int32_t)i);
    for (int v = 0; v < 16; v++)
        fz_rrt(c, OP_STORE, wide, v, 0, TLS(e, frame) + 32 * v);
    if (kind == FZ_STUB_EVEX)
        uppers_stay(e);
    if (wide)
        put_bytes(c, "c5f877"); /* vzeroupper */
    put_bytes(c, "4883e4c0fc"); /* and $-64, %rsp; cld */
    put_bytes(c, "488b7d08");   /* mov 8(%rbp), %rdi; add $FZ_SITE_BEHIND, %rdi */
    put_bytes(c, "4883c70d");
    put_bytes(c, "ff15");       /* call *table(%rip) */
    fz_put_fix(c, FZ_FIX_BLOB, FZ_AREA_DEFINITION, 0);
    if (kind == FZ_STUB_EVEX)
        uppers_back(e, start);
    else
        registers_back(e, wide);
    for (size_t i = 0; i < sizeof saved_gpr; i++)
        fz_mov_tls(c, 0x8b, saved_gpr[i], TLS(e, gpr) + 8 * (int32_t)i);
    put_bytes(c, "64ff3425"); /* pushq tls.flags; popfq */
    fz_put32(c, (uint32_t)TLS(e, flags));
    put_bytes(c, "9d");
    fz_mov_tls(c, 0x8b, 0, TLS(e, rax));
    put_bytes(c, "c9c3"); /* leave; ret */
}
