/* Which instructions round, and what they compute.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Comparisons, minimum and maximum, sign and bit operations, conversions to a wider type
 * or to integers are exact or cut by definition; rcpps and rsqrtps are tables of the CPU.
 */
#include "insn.h"

#define FOUR(m, o) \
    case ZYDIS_MNEMONIC_##m##PS: \
    case ZYDIS_MNEMONIC_V##m##PS: return (fz_class){.op = (o)}; \
    case ZYDIS_MNEMONIC_##m##PD: \
    case ZYDIS_MNEMONIC_V##m##PD: return (fz_class){.op = (o), .f64 = true}; \
    case ZYDIS_MNEMONIC_##m##SS: \
    case ZYDIS_MNEMONIC_V##m##SS: return (fz_class){.op = (o), .scalar = true}; \
    case ZYDIS_MNEMONIC_##m##SD: \
    case ZYDIS_MNEMONIC_V##m##SD: \
        return (fz_class){.op = (o), .f64 = true, .scalar = true};

#define PACKED(m, o) \
    case ZYDIS_MNEMONIC_##m##PS: \
    case ZYDIS_MNEMONIC_V##m##PS: return (fz_class){.op = (o)}; \
    case ZYDIS_MNEMONIC_##m##PD: \
    case ZYDIS_MNEMONIC_V##m##PD: return (fz_class){.op = (o), .f64 = true};

#define ORDERS(m, type) \
    case ZYDIS_MNEMONIC_V##m##132##type: \
    case ZYDIS_MNEMONIC_V##m##213##type: \
    case ZYDIS_MNEMONIC_V##m##231##type:

#define FUSED(m, p, a) \
    ORDERS(m, PS) return (fz_class){FZ_INST_FMA, false, false, p, a, .quads = false}; \
    ORDERS(m, PD) return (fz_class){FZ_INST_FMA, true, false, p, a, .quads = false}; \
    ORDERS(m, SS) return (fz_class){FZ_INST_FMA, false, true, p, a, .quads = false}; \
    ORDERS(m, SD) return (fz_class){FZ_INST_FMA, true, true, p, a, .quads = false};

#define ALTERNATING(m, odd) \
    ORDERS(m, PS) return (fz_class){.op = FZ_INST_FMA_ALT, .odd_minus = (odd)}; \
    ORDERS(m, PD) \
        return (fz_class){.op = FZ_INST_FMA_ALT, .f64 = true, .odd_minus = (odd)};

fz_class fz_insn_class(ZydisMnemonic m)
{
    switch (m) {
        FOUR(ADD, FZ_INST_ADD)
        FOUR(SUB, FZ_INST_SUB)
        FOUR(MUL, FZ_INST_MUL)
        FOUR(DIV, FZ_INST_DIV)
        FOUR(SQRT, FZ_INST_SQRT)
        PACKED(ADDSUB, FZ_INST_ADDSUB)
        PACKED(HADD, FZ_INST_HADD)
        PACKED(HSUB, FZ_INST_HSUB)
        PACKED(DP, FZ_INST_DOT)
        FUSED(FMADD, false, false)
        FUSED(FMSUB, false, true)
        FUSED(FNMADD, true, false)
        FUSED(FNMSUB, true, true)
        ALTERNATING(FMADDSUB, false)
        ALTERNATING(FMSUBADD, true)
    case ZYDIS_MNEMONIC_CVTPD2PS:
    case ZYDIS_MNEMONIC_VCVTPD2PS: return (fz_class){.op = FZ_INST_F64_F32};
    case ZYDIS_MNEMONIC_CVTSD2SS:
    case ZYDIS_MNEMONIC_VCVTSD2SS:
        return (fz_class){.op = FZ_INST_F64_F32, .scalar = true};
    case ZYDIS_MNEMONIC_CVTDQ2PS:
    case ZYDIS_MNEMONIC_VCVTDQ2PS: return (fz_class){.op = FZ_INST_I32_F32};
    case ZYDIS_MNEMONIC_CVTSI2SS:
    case ZYDIS_MNEMONIC_VCVTSI2SS:
        return (fz_class){.op = FZ_INST_INT_F32, .scalar = true};
    case ZYDIS_MNEMONIC_CVTSI2SD:
    case ZYDIS_MNEMONIC_VCVTSI2SD:
        return (fz_class){.op = FZ_INST_INT_F64, .f64 = true, .scalar = true};
    case ZYDIS_MNEMONIC_VCVTPS2PH: return (fz_class){.op = FZ_INST_F32_F16};
    case ZYDIS_MNEMONIC_VCVTUDQ2PS:
        return (fz_class){.op = FZ_INST_I32_F32, .from_unsigned = true};
    case ZYDIS_MNEMONIC_VCVTUSI2SS:
        return (fz_class){.op = FZ_INST_INT_F32, .scalar = true, .from_unsigned = true};
    case ZYDIS_MNEMONIC_VCVTUSI2SD:
        return (fz_class){
            .op = FZ_INST_INT_F64, .f64 = true, .scalar = true, .from_unsigned = true};
    case ZYDIS_MNEMONIC_VCVTQQ2PS:
    case ZYDIS_MNEMONIC_VCVTUQQ2PS:
        return (fz_class){.op = FZ_INST_INT_F32,
                          .quads = true,
                          .from_unsigned = m == ZYDIS_MNEMONIC_VCVTUQQ2PS};
    case ZYDIS_MNEMONIC_VCVTQQ2PD:
    case ZYDIS_MNEMONIC_VCVTUQQ2PD:
        return (fz_class){.op = FZ_INST_INT_F64,
                          .f64 = true,
                          .quads = true,
                          .from_unsigned = m == ZYDIS_MNEMONIC_VCVTUQQ2PD};
    default: return (fz_class){.op = FZ_INST_NONE};
    }
}

bool fz_insn_rounds(const ZydisDecodedInstruction *x)
{
    fz_class c = fz_insn_class(x->mnemonic);
    if (c.op == FZ_INST_INT_F64 && !c.quads && x->operand_width != 64)
        return false; /* 32 bits fit */
    return c.op != FZ_INST_NONE;
}

unsigned fz_insn_operations(const ZydisDecodedInstruction *x)
{
    const fz_class c = fz_insn_class(x->mnemonic);
    const bool vex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    const bool evex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    const unsigned bytes = evex ? x->avx.vector_length / 8 : vex && x->raw.vex.L ? 32 : 16;
    const unsigned each = c.op == FZ_INST_FMA || c.op == FZ_INST_FMA_ALT ? 2 : 1;
    if (c.scalar)
        return each;
    return bytes / (c.f64 || c.quads || c.op == FZ_INST_F64_F32 ? 8 : 4) * each;
}

bool fz_insn_x87(const ZydisDecodedInstruction *x)
{
    switch (x->mnemonic) {
    case ZYDIS_MNEMONIC_FADD:
    case ZYDIS_MNEMONIC_FADDP:
    case ZYDIS_MNEMONIC_FIADD:
    case ZYDIS_MNEMONIC_FSUB:
    case ZYDIS_MNEMONIC_FSUBP:
    case ZYDIS_MNEMONIC_FISUB:
    case ZYDIS_MNEMONIC_FSUBR:
    case ZYDIS_MNEMONIC_FSUBRP:
    case ZYDIS_MNEMONIC_FISUBR:
    case ZYDIS_MNEMONIC_FMUL:
    case ZYDIS_MNEMONIC_FMULP:
    case ZYDIS_MNEMONIC_FIMUL:
    case ZYDIS_MNEMONIC_FDIV:
    case ZYDIS_MNEMONIC_FDIVP:
    case ZYDIS_MNEMONIC_FIDIV:
    case ZYDIS_MNEMONIC_FDIVR:
    case ZYDIS_MNEMONIC_FDIVRP:
    case ZYDIS_MNEMONIC_FIDIVR:
    case ZYDIS_MNEMONIC_FSQRT: return true;
    default: return false;
    }
}

bool fz_insn_directed(const ZydisDecodedInstruction *x)
{
    return x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
           x->avx.rounding.mode != ZYDIS_ROUNDING_MODE_INVALID;
}

bool fz_insn_counts(const ZydisDecodedInstruction *x)
{
    return fz_insn_rounds(x) || fz_insn_x87(x);
}
