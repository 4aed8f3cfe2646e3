/* Floor, ceil and trunc as compilers write them without SSE4.1: exact.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The number is cut to an integer and converted back; 0 or 1, masked out by a comparison, is
 * added or subtracted. All of that is exact at full precision. Perturbed by ud, or to fewer
 * bits, it would not give whole numbers: torch takes sizes of LAPACK's workspaces so.
 */
#include "body.h"

/* What a block is known to have in its registers. */
typedef struct known {
    uint8_t cut[16];   /* general: an integer cut from f32 (1) or f64 (2) */
    uint8_t whole[16]; /* vector: such an integer as f32 or f64 */
    bool mask[16];     /* 0, or the same bits of something, by a comparison */
} known;

static int vector(const ZydisDecodedOperand *o)
{
    const int v = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? fz_vector_register(o->reg.value)
                                                         : -1;
    return v < 16 ? v : -1;
}

static int general(const ZydisDecodedOperand *o)
{
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return -1;
    const ZydisRegister r =
        ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value);
    return r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15 ? (int)(r - ZYDIS_REGISTER_RAX)
                                                              : -1;
}

static void forget_written(known *at, const ZydisDecodedInstruction *x,
                           const ZydisDecodedOperand *o)
{
    for (int i = 0; i < x->operand_count; i++) {
        if (!(o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        const int v = vector(&o[i]), g = general(&o[i]);
        if (v >= 0) {
            at->whole[v] = 0;
            at->mask[v] = false;
        }
        if (g >= 0)
            at->cut[g] = 0;
    }
}

/* Follows one instruction; is it part of a floor, ceil or trunc? */
static bool follow(known *at, const ZydisDecodedInstruction *x, const ZydisDecodedOperand *o)
{
    const fz_class c = fz_insn_class(x->mnemonic);
    /* The two sources of an instruction with a result: of legacy code the first is it. */
    const bool vex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    const int a = vector(&o[vex ? 1 : 0]), b = vector(&o[vex ? 2 : 1]);
    const uint8_t type = c.f64 ? 2 : 1;
    uint8_t cut = 0, whole = 0;
    bool mask = false, exact = false;
    if (x->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && !vex) { /* EVEX: may be masked */
        forget_written(at, x, o);
        return false;
    }
    switch (x->mnemonic) {
    case ZYDIS_MNEMONIC_CVTTSS2SI:
    case ZYDIS_MNEMONIC_VCVTTSS2SI: cut = 1; break;
    case ZYDIS_MNEMONIC_CVTTSD2SI:
    case ZYDIS_MNEMONIC_VCVTTSD2SI: cut = 2; break;
    case ZYDIS_MNEMONIC_MOVAPS:
    case ZYDIS_MNEMONIC_MOVAPD:
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD: {
        const int from = vector(&o[1]);
        whole = from >= 0 ? at->whole[from] : 0;
        mask = from >= 0 && at->mask[from];
        break;
    }
    case ZYDIS_MNEMONIC_CMPSS:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_VCMPSS:
    case ZYDIS_MNEMONIC_VCMPSD: mask = true; break;
    case ZYDIS_MNEMONIC_ANDPS:
    case ZYDIS_MNEMONIC_ANDPD:
    case ZYDIS_MNEMONIC_VANDPS:
    case ZYDIS_MNEMONIC_VANDPD: mask = (a >= 0 && at->mask[a]) || (b >= 0 && at->mask[b]); break;
    case ZYDIS_MNEMONIC_ANDNPS:
    case ZYDIS_MNEMONIC_ANDNPD:
    case ZYDIS_MNEMONIC_VANDNPS:
    case ZYDIS_MNEMONIC_VANDNPD: mask = b >= 0 && at->mask[b]; break;
    default: break;
    }
    if (c.op == FZ_INST_INT_F32 || c.op == FZ_INST_INT_F64) {
        const int g = general(&o[vex ? 2 : 1]);
        exact = g >= 0 && at->cut[g] == type;
    }
    if (c.scalar && (c.op == FZ_INST_ADD || c.op == FZ_INST_SUB) && a >= 0 && b >= 0)
        exact = (at->whole[a] == type && at->mask[b]) || (at->whole[b] == type && at->mask[a]);
    forget_written(at, x, o);
    const int v = vector(&o[0]), g = general(&o[0]);
    if (v >= 0) {
        at->whole[v] = exact ? type : whole;
        at->mask[v] = mask;
    }
    if (g >= 0 && cut)
        at->cut[g] = cut;
    return exact;
}

void fz_whole_find(worker *w)
{
    for (size_t i = 0; i < w->block_n; i++) {
        known at = {0};
        for (size_t k = w->blocks[i].first; k < w->blocks[i].last; k++) {
            ZydisDecodedInstruction x;
            ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
            if (!fz_body_decode(w, k, &x, o))
                break;
            w->insns[k].whole = follow(&at, &x, o);
        }
    }
}
