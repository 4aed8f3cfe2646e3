/* A function's instructions and blocks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "body.h"

static uint8_t pack_flags(uint32_t f)
{
    return (uint8_t)((f & ZYDIS_CPUFLAG_CF ? 1 : 0) | (f & ZYDIS_CPUFLAG_PF ? 2 : 0) |
                     (f & ZYDIS_CPUFLAG_AF ? 4 : 0) | (f & ZYDIS_CPUFLAG_ZF ? 8 : 0) |
                     (f & ZYDIS_CPUFLAG_SF ? 16 : 0) | (f & ZYDIS_CPUFLAG_OF ? 32 : 0));
}

static void registers(insn *out, const ZydisDecodedInstruction *x,
                      const ZydisDecodedOperand *o)
{
    uint32_t reads = 0, writes = 0, use = 0;
    for (int i = 0; i < x->operand_count; i++) {
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            const ZydisRegisterClass class = ZydisRegisterGetClass(o[i].reg.value);
            int v = fz_vector_register(o[i].reg.value);
            if (class == ZYDIS_REGCLASS_MASK)
                out->masks |= (uint8_t)(1 << ZydisRegisterGetId(o[i].reg.value));
            if (v > 15)
                out->high |= (uint16_t)(1 << (v - 16));
            if (v < 0 || v > 15)
                continue;
            use |= 1u << v;
            bool ymm = class == ZYDIS_REGCLASS_YMM || class == ZYDIS_REGCLASS_ZMM;
            if (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ) {
                reads |= 1u << v;
                out->reads256 |= (uint16_t)(ymm << v);
            }
            if (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
                out->changes |= (uint16_t)(1 << v);
            if (o[i].actions & ZYDIS_OPERAND_ACTION_WRITE)
                out->kills256 |= (uint16_t)(1 << v);
            if (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
                out->writes256 |= (uint16_t)(ymm << v);
            if (o[i].actions == ZYDIS_OPERAND_ACTION_WRITE)
                writes |= 1u << v;
        } else if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY && o[i].mem.index) {
            int v = fz_vector_register(o[i].mem.index);
            if (v > 15)
                out->high |= (uint16_t)(1 << (v - 16));
            if (v >= 0 && v < 16) {
                use |= 1u << v;
                reads |= 1u << v;
            }
        }
    }
    out->use = (uint16_t)use;
    const bool clears = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
                        x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    /* VEX clears what it does not write; legacy code keeps the upper half. */
    if (!clears)
        out->kills256 = 0;
    out->writes = clears ? (uint16_t)(writes & ~reads) : 0;
}

static void describe(insn *out, const fz_image *im, const ZydisDecodedInstruction *x,
                     const ZydisDecodedOperand *o, uint64_t at)
{
    memset(out, 0, sizeof *out);
    out->at = at;
    out->length = x->length;
    registers(out, x, o);
    if (x->cpu_flags) {
        out->flags_read = pack_flags(x->cpu_flags->tested);
        out->flags_set = pack_flags(x->cpu_flags->modified | x->cpu_flags->set_0 |
                                    x->cpu_flags->set_1 | x->cpu_flags->undefined);
    }
    bool relative = x->raw.imm[0].is_relative;
    if (relative)
        out->target = at + x->length + (uint64_t)x->raw.imm[0].value.s;
    switch (x->meta.category) {
    case ZYDIS_CATEGORY_CALL:
        out->kind = BEFORE;
        out->no_flags = true;
        out->callee = relative ? fz_image_callee(im, out->target) : FZ_CALLEE_ANY;
        return;
    case ZYDIS_CATEGORY_RET:
        out->kind = LAST;
        out->no_flags = true;
        return;
    case ZYDIS_CATEGORY_UNCOND_BR: out->kind = relative ? JUMP : LAST; break;
    case ZYDIS_CATEGORY_COND_BR: {
        bool jcc = x->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT ? x->opcode >> 4 == 7
                                                             : x->opcode >> 4 == 8;
        out->kind = relative && jcc ? BRANCH : BEFORE;
        out->condition = x->opcode & 15;
        return;
    }
    case ZYDIS_CATEGORY_NOP: out->kind = NOTHING; return;
    default: break;
    }
    if (out->kind == PLAIN && relative) { /* xbegin and whatever else */
        out->kind = BEFORE;
        return;
    }
    if (x->mnemonic == ZYDIS_MNEMONIC_UD2 || x->mnemonic == ZYDIS_MNEMONIC_HLT)
        out->kind = LAST;
    if (x->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER || x->mnemonic == ZYDIS_MNEMONIC_VZEROALL ||
        x->meta.category == ZYDIS_CATEGORY_XSAVE ||
        x->meta.category == ZYDIS_CATEGORY_XSAVEOPT || x->mnemonic == ZYDIS_MNEMONIC_FXSAVE ||
        x->mnemonic == ZYDIS_MNEMONIC_FXRSTOR || x->mnemonic == ZYDIS_MNEMONIC_SYSCALL)
        out->kind = BARRIER;
    if (x->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER || x->mnemonic == ZYDIS_MNEMONIC_VZEROALL)
        out->kills256 = UINT16_MAX;
    if (x->attributes & ZYDIS_ATTRIB_IS_RELATIVE && x->raw.modrm.mod == 0 &&
        x->raw.modrm.rm == 5 && x->raw.disp.size == 32) {
        out->disp_at = x->raw.disp.offset;
        out->target = at + x->length + (uint64_t)x->raw.disp.value;
    }
    out->x87 = fz_insn_x87(x);
    out->directed = fz_insn_directed(x);
    if (fz_insn_rounds(x))
        out->kind = SITE;
    out->memory256 = out->kind == SITE && x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
                     x->raw.vex.L && !(out->reads256 | out->writes256);
}

static bool decode(const worker *w, uint64_t at, uint64_t end, ZydisDecodedInstruction *x,
                   ZydisDecodedOperand *o)
{
    const uint8_t *p = fz_image_at(w->rq->image, at);
    return p && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&w->decoder, p, end - at, x, o));
}

static void add_block(worker *w, size_t first, size_t last, uint64_t hi)
{
    if (first == last)
        return;
    w->blocks = fz_grow(w->blocks, w->block_n, &w->block_cap, sizeof *w->blocks,
                        &w->out->failed);
    if (w->out->failed)
        return;
    const insn *end = &w->insns[last - 1];
    block b = {.first = first, .last = last, .lo = w->insns[first].at, .hi = hi,
               .no_flags = end->no_flags, .stops = end->callee >= FZ_CALLEE_NEVER};
    if (end->kind == BEFORE) {
        b.hi = end->at;
        b.last = --last;
        if (first == last) { /* the call alone: who falls into it goes where it goes */
            block *before = w->block_n ? &w->blocks[w->block_n - 1] : NULL;
            if (before && before->hi == b.lo)
                before->stops |= b.stops;
            return;
        }
    } else if (end->kind == JUMP || end->kind == LAST) {
        b.ends = true;
    }
    for (size_t i = first; i < last; i++)
        b.sites += w->insns[i].kind == SITE;
    w->blocks[w->block_n++] = b;
}

static size_t block_from(const worker *w, uint64_t at)
{
    size_t lo = 0, hi = w->block_n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (w->blocks[mid].lo < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool fz_body_inside(const worker *w, uint64_t at)
{
    return at >= w->insns[0].at && at <= w->insns[w->insn_n - 1].at;
}

size_t fz_body_block(const worker *w, uint64_t at)
{
    size_t i = fz_body_inside(w, at) ? block_from(w, at) : w->block_n;
    return i < w->block_n && w->blocks[i].lo == at ? i : w->block_n;
}

bool fz_body_split(worker *w, const fz_function *f)
{
    w->insn_n = w->block_n = 0;
    w->scalar = false;
    size_t first = 0;
    for (uint64_t at = f->lo; at < f->hi;) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        if (!decode(w, at, f->hi, &x, o))
            return false;
        w->insns = fz_grow(w->insns, w->insn_n, &w->insn_cap, sizeof *w->insns,
                           &w->out->failed);
        if (w->out->failed)
            return false;
        if (w->insn_n > first && fz_image_leader(w->rq->image, at)) {
            add_block(w, first, w->insn_n, at);
            first = w->insn_n;
        }
        insn *i = &w->insns[w->insn_n++];
        describe(i, w->rq->image, &x, o, at);
        w->scalar |= i->callee == FZ_CALLEE_SCALAR;
        at += x.length;
        if (i->kind >= JUMP && i->kind <= BEFORE) {
            add_block(w, first, w->insn_n, at);
            first = w->insn_n;
        }
    }
    add_block(w, first, w->insn_n, f->hi);
    if (!fz_loop_find(w))
        return false;
    fz_live_uppers(w);
    return true;
}

bool fz_body_decode(const worker *w, size_t k, ZydisDecodedInstruction *x,
                    ZydisDecodedOperand *o)
{
    const insn *i = &w->insns[k];
    return decode(w, i->at, i->at + i->length, x, o);
}

bool fz_body_site(const worker *w, size_t k, ZydisDecodedInstruction *x,
                  ZydisDecodedOperand *o)
{
    return w->insns[k].kind == SITE && fz_body_decode(w, k, x, o);
}
