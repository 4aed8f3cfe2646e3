/* c10's rounding to bf16, by integers, as integers that round by the mode.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Native code adds 0x7fff and the lowest bit that is kept, and cuts 16 bits; a random word of
 * 16 bits in place of both is the law of sr. Dword i of the strand gives the word of lane i.
 * A conversion: ud follows sr.
 */
#include "site.h"

/* What native code adds, from x with its constant in register x, to t. */
static void nearest_word(fz_emit *e, int l, int t, int x, bool biased)
{
    if (biased)
        rk(e, OP_PADDD, l, t, x, FZ_K_UNBIAS16);
    shift(e, OP_SHIFTD, 2, l, t, biased ? t : x, 16);
    rk(e, OP_PAND, l, t, t, FZ_K_ONE32);
    rk(e, OP_PADDD, l, t, t, FZ_K_BIAS16);
}

static void by_definition(fz_emit *e, const fz_bf16 *s, int x, int result)
{
    fz_slow *w = fz_slow_new(e);
    w->site = (fz_inst_site){.op = FZ_INST_F32_BF16,
                             .lanes = s->general ? 1 : s->half ? 2 : s->bytes / 4,
                             .a = (uint8_t)x,
                             .b = (uint8_t)x,
                             .c = (uint8_t)x,
                             .result = (uint8_t)result,
                             .state = (uint8_t)e->state,
                             .biased = s->biased,
                             .later = s->later,
                             .away = true,
                             .legacy = !e->wide};
    w->jump = fz_jump(e->code, FZ_FIX_HERE, 0);
    w->back = e->code->n;
}

void fz_emit_bf16(fz_emit *e, const fz_bf16 *s, const ZydisDecodedInstruction *insn,
                  const ZydisDecodedOperand *operand, uint64_t at)
{
    int t = e->temp[0], x = s->from, l = s->bytes == 32;
    int result = s->general ? t : s->to;
    fz_avx2_step(e);
    if (s->general) {
        x = e->temp[1];
        rr(e, OP_MOVD_R, 0, x, 0, s->from);
    } else if (s->memory) {
        fz_mem m = fz_mem_of(insn, &operand[insn->operand_count_visible - 1], at);
        x = e->temp[1];
        fz_rrm(e->code, OP_LOAD, l, x, 0, &m);
    }
    if (e->variant == FZ_DEFINITION) {
        by_definition(e, s, x, result);
    } else {
        if (e->variant == FZ_SR_NEAREST) {
            nearest_word(e, l, t, x, s->biased);
        } else if (e->variant == FZ_CESTAC) {
            shift(e, OP_SHIFTD, 4, l, t, e->state, 31);
            shift(e, OP_SHIFTD, 2, l, t, t, 16);
        } else {
            shift(e, OP_SHIFTD, 2, l, t, e->state, 16);
        }
        if (s->biased || s->later)
            rk(e, OP_PADDD, l, t, t, FZ_K_UNBIAS16);
        if (s->half)
            rk(e, OP_PAND, l, t, t, FZ_K_LANE0);
        rr(e, OP_PADDD, l, result, t, x);
    }
    if (s->general)
        rr(e, OP_MOVD_TO_R, 0, t, 0, s->to);
}
