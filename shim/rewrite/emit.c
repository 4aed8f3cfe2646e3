/* One rounding instruction, as code that rounds by the mode.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Code in line uses vector registers only, those that the block lends it, so it may stand
 * anywhere: no general register, no stack. f32 is computed in f64, where a random integer
 * below 2^29 on the bit pattern and 29 bits cut is the law; f64 by error-free transforms
 * (TwoSum, TwoProd by fma, Boldo and Muller's error of an fma). Where that does not hold
 * (subnormal results, residuals that underflow, infinities, NaN) a test of the result's
 * exponent leads to cold code behind the block, and from there to the definition in C
 * (definition.c), which rounds lane by lane with prism's exact functions and the same
 * random words. The test is the only thing that touches flags; where they are live they
 * go through rax and back.
 *
 * Results that only fail the test because they are zero are let through by the cold code:
 * zeros are frequent, and exact.
 *
 * Random words of one step of the strand, 256 bits: f32 lanes 0-3 take the upper 29 bits
 * of the qwords, lanes 4-7 the lower 29; f64 lanes take the upper 52. With 128 bits, lanes
 * 0-1 and 2-3. One-bit words: f32 lane i the top of dword i, f64 lane i that of qword i.
 */
#include "site.h"

void fz_emit_state_load(fz_emit *e)
{
    if (!e->high)
        fz_rrt(e->code, OP_LOAD, e->wide, e->state, 0, TLS(e, state));
    else if (e->twice)
        fz_evt(e->code, EV_BROADCAST256, 2, e->state, 0, TLS(e, state));
    else
        fz_evt(e->code, EV_LOADPS, 1, e->state, 0, TLS(e, state));
}

void fz_emit_state_store(fz_emit *e)
{
    if (e->high)
        fz_evt(e->code, EV_STOREPS, 1, e->state, 0, TLS(e, state));
    else
        fz_rrt(e->code, OP_STORE, e->wide, e->state, 0, TLS(e, state));
}

unsigned fz_site_fma(const site *s, int order)
{
    unsigned op = (order == 132 ? 0x98 : order == 213 ? 0xa8 : 0xb8) +
                  (s->minus_product ? 4 : 0) + (s->minus_addend ? 2 : 0) +
                  (s->scalar ? 1 : 0);
    return FZ_OP(2, 1, 1, op);
}

const uint8_t fz_site_opcode[FZ_INST_OPS] = {[FZ_INST_ADD] = 0x58, [FZ_INST_SUB] = 0x5c,
                                               [FZ_INST_MUL] = 0x59, [FZ_INST_DIV] = 0x5e,
                                               [FZ_INST_SQRT] = 0x51};

/* ---- Operands --------------------------------------------------------------------------- */

int fz_vector_register(ZydisRegister r)
{
    ZydisRegisterClass k = ZydisRegisterGetClass(r);
    return k == ZYDIS_REGCLASS_XMM || k == ZYDIS_REGCLASS_YMM || k == ZYDIS_REGCLASS_ZMM
               ? ZydisRegisterGetId(r)
               : -1;
}

fz_mem fz_mem_of(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *o,
                 uint64_t at)
{
    fz_mem m = {.modrm = (uint8_t)(x->raw.modrm.mod << 6 | x->raw.modrm.rm),
                .has_sib = x->raw.modrm.rm == 4,
                .sib = (uint8_t)((x->raw.sib.scale << 6 | x->raw.sib.index << 3 |
                                  x->raw.sib.base) & 255),
                .disp_size = x->raw.disp.size,
                .disp = (int32_t)o->mem.disp.value}; /* EVEX scales eight bits */
    if (o->mem.base == ZYDIS_REGISTER_RIP) {
        m.rip = true;
        m.target = at + x->length + (uint64_t)x->raw.disp.value;
    } else if (o->mem.base != ZYDIS_REGISTER_NONE) {
        m.b = ZydisRegisterGetId(o->mem.base) >= 8;
    }
    m.x = o->mem.index != ZYDIS_REGISTER_NONE && ZydisRegisterGetId(o->mem.index) >= 8;
    if (o->mem.segment == ZYDIS_REGISTER_FS)
        m.segment = 0x64;
    if (o->mem.segment == ZYDIS_REGISTER_GS)
        m.segment = 0x65;
    return m;
}

static bool is_memory(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* The operand in a vector register: loaded to `into` where it is memory. */
static int operand_in(fz_emit *e, const ZydisDecodedInstruction *x,
                      const ZydisDecodedOperand *o, uint64_t at, int bytes, int into)
{
    if (!is_memory(o))
        return fz_vector_register(o->reg.value);
    fz_mem m = fz_mem_of(x, o, at);
    if (e->high)
        fz_evex_load(e, bytes, into, &m);
    else
        fz_rrm(e->code, bytes == 4 ? OP_MOVSS : bytes == 8 ? OP_MOVSD : OP_LOAD,
               bytes == 32, into, 0, &m);
    return into;
}

/* The same, but 256 bits, with EVEX anything, are only loaded where they are needed in a
 * register. */
static int operand_later(fz_emit *e, site *s, const ZydisDecodedInstruction *x,
                         const ZydisDecodedOperand *o, uint64_t at, int bytes, int into)
{
    if ((bytes != 32 && !e->high) || !is_memory(o))
        return operand_in(e, x, o, at, bytes, into);
    s->load = into;
    s->mem = fz_mem_of(x, o, at);
    return into;
}

int fz_emit_need(const fz_emit *e, const ZydisDecodedInstruction *x,
                 const ZydisDecodedOperand *operand, const char **why)
{
    fz_class c = fz_insn_class(x->mnemonic);
    bool vex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    if (x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        return fz_written_need(e, x, operand, why);
    *why = NULL;
    if (!vex && x->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        *why = "unknown encoding";
    else if (!vex && e->wide)
        *why = "legacy encoding among 256-bit code";
    else if (x->address_width != 64)
        *why = "32-bit addresses";
    else if (c.op == FZ_INST_DOT)
        *why = "dot product instruction";
    else if (c.op == FZ_INST_F32_F16 && operand[2].imm.value.u & 3)
        *why = "directed rounding";
    else if (c.op == FZ_INST_F32_F16 && is_memory(&operand[0]))
        return 6;
    else if (operand[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
             fz_vector_register(operand[0].reg.value) < 0)
        *why = "unknown form";
    if (*why)
        return 0;
    return fz_site_need(e, c) + 1; /* memory operand, or a general register's value */
}

int fz_site_need(const fz_emit *e, fz_class c)
{
    int need = 4;
    if (c.op == FZ_INST_FMA && c.f64)
        need = 7 + c.minus_product + 2 * c.minus_addend;
    if (c.op == FZ_INST_FMA && c.f64 && c.minus_addend)
        need = 9;
    if (c.op == FZ_INST_FMA_ALT && c.f64)
        need = 7;
    if (c.f64 && (c.op == FZ_INST_MUL || c.op == FZ_INST_DIV))
        need = 5;
    if (e->high && c.f64 && c.scalar && need < 6)
        need = 6; /* emit_chain.c */
    if (!e->high && e->variant == FZ_CESTAC && !c.f64 && c.op != FZ_INST_MUL &&
        c.op != FZ_INST_DIV && c.op != FZ_INST_SQRT && c.op < FZ_INST_F64_F32)
        need = 6;
    if (c.op == FZ_INST_ADDSUB || c.op == FZ_INST_FMA_ALT)
        need++;
    if (c.op == FZ_INST_HADD || c.op == FZ_INST_HSUB)
        need += 2;
    return need;
}

/* ---- One site --------------------------------------------------------------------------- */

void fz_site_round(fz_emit *e, site *s)
{
    if (e->high)
        fz_evex_round(e, s);
    else
        fz_avx2_round(e, s);
}

/* An instruction of registers alone, in EVEX where that is asked for. */
static void either(fz_emit *e, unsigned op, unsigned evex, int l, int d, int a, int b)
{
    if (e->high)
        fz_ev(e->code, evex, l, d, a, b, 0);
    else
        rr(e, op, l, d, a, b);
}

/* d = a with the signs of a constant changed. */
static void negate(fz_emit *e, int l, int d, int a, int k)
{
    if (e->high)
        fz_evk(e->code, EV_XORQ, l, d, a, 32 * k, 0, 0);
    else
        rk(e, OP_PXOR, l, d, a, k);
}

/* cvtsi2sd of the instruction's own operand, which is exact or about to be found out. */
static void to_f64(fz_emit *e, const ZydisDecodedInstruction *x,
                   const ZydisDecodedOperand *o, uint64_t at, int d, bool from_unsigned)
{
    const unsigned w = x->operand_width == 64 ? 1u << 8 : 0;
    const unsigned evex = (from_unsigned ? EV_CVTUSI2SD : EV_CVTSI2SD) | w;
    either(e, OP_PXOR, EV_XORQ, 0, d, d, d);
    if (is_memory(o)) {
        fz_mem m = fz_mem_of(x, o, at);
        if (e->high)
            fz_evm(e->code, evex, 0, d, d, &m);
        else
            fz_rrm(e->code, OP_CVTSI2SD | w, 0, d, d, &m);
    } else {
        either(e, OP_CVTSI2SD | w, evex, 0, d, d, ZydisRegisterGetId(o->reg.value));
    }
}

/* An integer of fewer than 53 bits is exact in f64; others are left to the definition. */
void fz_site_integer(fz_emit *e, site *s, const ZydisDecodedInstruction *x,
                     const ZydisDecodedOperand *o, uint64_t at, int temp)
{
    int y = e->temp[0];
    s->a = s->b = s->c = temp;
    if (x->operand_width != 64) { /* from here on it is a conversion of f64 */
        to_f64(e, x, o, at, temp, s->from_unsigned);
        s->op = FZ_INST_F64_F32;
        fz_site_round(e, s);
        return;
    }
    if (is_memory(o))
        operand_in(e, x, o, at, 8, temp);
    else
        either(e, OP_MOVQ_R, EV_MOVQ_R, 0, temp, 0, ZydisRegisterGetId(o->reg.value));
    if (e->variant == FZ_DEFINITION) {
        fz_site_round(e, s);
        return;
    }
    if (!e->high)
        fz_avx2_step(e);
    /* While rax, which may lead to the operand, is the host's. */
    to_f64(e, x, o, at, y, s->from_unsigned);
    if (e->high)
        fz_evex_integer(e, s, y);
    else
        fz_avx2_integer(e, s, y);
}

void fz_emit_site(fz_emit *e, const ZydisDecodedInstruction *x,
                  const ZydisDecodedOperand *operand, uint64_t at)
{
    fz_class c = fz_insn_class(x->mnemonic);
    if (x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        fz_written_site(e, x, operand, at);
        return;
    }
    bool vex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    int last = x->operand_count_visible - 1;
    const char *why;
    int need = fz_emit_need(e, x, operand, &why);
    if (e->high)
        fz_evex_lend(e, need);
    int loaded = e->temp[need - 1], extra = e->temp[need - 2], extra2 = e->temp[need - 3];
    site s = {.op = c.op, .f64 = c.f64, .scalar = c.scalar,
              .minus_product = c.minus_product, .minus_addend = c.minus_addend,
              .load = -1};
    s.l = vex && x->raw.vex.L;
    s.result = fz_vector_register(operand[0].reg.value);
    s.merge = vex && c.scalar && last >= 2 ? fz_vector_register(operand[1].reg.value)
                                           : s.result;
    int width = s.l ? 32 : 16;
    int element = c.f64 ? 8 : 4;
    s.lanes = c.scalar ? 1 : width / element;

    switch (c.op) {
    case FZ_INST_F32_F16: {
        s.a = s.b = s.c = fz_vector_register(operand[1].reg.value);
        if (is_memory(&operand[0]))
            s.result = loaded;
        fz_site_round(e, &s);
        if (is_memory(&operand[0])) {
            fz_mem m = fz_mem_of(x, &operand[0], at);
            if (e->high)
                fz_evm(e->code, s.l ? EV_STOREPS : EV_STOREQ, 0, s.result, 0, &m);
            else
                fz_rrm(e->code, s.l ? OP_STORE : OP_STOREQ, 0, s.result, 0, &m);
        }
        return;
    }
    case FZ_INST_INT_F32:
    case FZ_INST_INT_F64:
        fz_site_integer(e, &s, x, &operand[last], at, loaded);
        return;
    case FZ_INST_F64_F32:
        s.lanes = c.scalar ? 1 : width / 8;
        s.a = s.b = s.c =
            operand_in(e, x, &operand[last], at, c.scalar ? 8 : width, loaded);
        fz_site_round(e, &s);
        return;
    case FZ_INST_I32_F32:
    case FZ_INST_SQRT:
        s.a = s.b = s.c = operand_later(e, &s, x, &operand[last], at,
                                        c.scalar ? element : width, loaded);
        fz_site_round(e, &s);
        return;
    case FZ_INST_FMA:
    case FZ_INST_FMA_ALT: {
        s.merge = s.result;
        int two = fz_vector_register(operand[1].reg.value);
        int three = c.op == FZ_INST_FMA
                        ? operand_later(e, &s, x, &operand[2], at,
                                        c.scalar ? element : width, loaded)
                        : operand_in(e, x, &operand[2], at, c.scalar ? element : width,
                                     loaded);
        switch (x->opcode >> 4) {
        case 9: s.a = s.result, s.b = three, s.c = two; break;
        case 0xa: s.a = two, s.b = s.result, s.c = three; break;
        default: s.a = two, s.b = three, s.c = s.result;
        }
        if (c.op == FZ_INST_FMA_ALT) {
            int k = c.f64 ? (c.odd_minus ? FZ_K_ODD64 : FZ_K_EVEN64)
                          : (c.odd_minus ? FZ_K_ODD32 : FZ_K_EVEN32);
            negate(e, s.l, extra, s.c, k);
            s.c = extra;
            s.op = FZ_INST_FMA;
        }
        fz_site_round(e, &s);
        return;
    }
    default:
        s.a = vex ? fz_vector_register(operand[1].reg.value) : s.result;
        s.b = c.op == FZ_INST_ADDSUB || c.op == FZ_INST_HADD || c.op == FZ_INST_HSUB
                  ? operand_in(e, x, &operand[last], at, c.scalar ? element : width, loaded)
                  : operand_later(e, &s, x, &operand[last], at,
                                  c.scalar ? element : width, loaded);
    }

    if (c.op == FZ_INST_ADDSUB) {
        negate(e, s.l, extra, s.b, c.f64 ? FZ_K_EVEN64 : FZ_K_EVEN32);
        s.b = extra;
        s.op = FZ_INST_ADD;
    } else if (c.op == FZ_INST_HADD || c.op == FZ_INST_HSUB) {
        if (c.f64) {
            either(e, OP_UNPCKLPD, EV_UNPCKLPD, s.l, extra, s.a, s.b);
            either(e, OP_UNPCKHPD, EV_UNPCKHPD, s.l, extra2, s.a, s.b);
        } else {
            either(e, OP_SHUFPS, EV_SHUFPS, s.l, extra, s.a, s.b);
            fz_put(e->code, 0x88);
            either(e, OP_SHUFPS, EV_SHUFPS, s.l, extra2, s.a, s.b);
            fz_put(e->code, 0xdd);
        }
        s.a = extra;
        s.b = extra2;
        s.op = c.op == FZ_INST_HADD ? FZ_INST_ADD : FZ_INST_SUB;
    }
    s.c = s.a;
    fz_site_round(e, &s);
}

unsigned fz_emit_widens(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *operand,
                        int *lanes, int *gives)
{
    fz_class c = fz_insn_class(x->mnemonic);
    const bool wide = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && x->raw.vex.L;
    unsigned read = 0;
    *lanes = 0;
    *gives = -1;
    if (x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        *lanes = c.scalar || c.f64 || x->avx.vector_length < 256 ? 1 : 8; /* of the strand */
        return 0;
    }
    if (c.f64 || c.op == FZ_INST_NONE || c.op > FZ_INST_I32_F32 ||
        (c.op == FZ_INST_F64_F32 && !c.scalar && !wide))
        return 0;
    *lanes = c.scalar ? 1 : wide && c.op != FZ_INST_F64_F32 ? 8 : 4;
    *gives = fz_vector_register(operand[0].reg.value);
    if (c.op > FZ_INST_FMA)
        return 0;
    int last = x->operand_count_visible - 1;
    int first = c.op == FZ_INST_SQRT ? last
                : c.op == FZ_INST_FMA || x->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX ? 0 : 1;
    for (int i = first; i <= last; i++)
        if (!is_memory(&operand[i]))
            read |= 1u << fz_vector_register(operand[i].reg.value);
    return read;
}
