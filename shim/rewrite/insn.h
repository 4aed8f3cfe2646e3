/* Which instructions round, and what they compute.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_INSN_H
#define FZ_REWRITE_INSN_H

#include <Zydis/Zydis.h>

#include "area.h"

typedef struct fz_class {
    uint8_t op;       /* enum fz_inst_op */
    bool f64, scalar; /* type of the operands of arithmetic */
    bool minus_product, minus_addend; /* of an fma */
    bool odd_minus;   /* FMA_ALT: the odd lanes subtract (fmsubadd), else the even ones */
    bool from_unsigned; /* of a conversion from integers */
    bool quads;       /* packed integers of 64 bits */
} fz_class;

/* FZ_INST_NONE for whatever does not round. */
fz_class fz_insn_class(ZydisMnemonic m);

/* Does it round? What counts as a floating-point operation in the report. */
bool fz_insn_rounds(const ZydisDecodedInstruction *x);

/* Does its encoding say how it rounds ({rn-sae} and others)? Then it stays exact. */
bool fz_insn_directed(const ZydisDecodedInstruction *x);

/* Does x87 arithmetic, which is never moved; one of both, for the scan. */
bool fz_insn_x87(const ZydisDecodedInstruction *x);
bool fz_insn_counts(const ZydisDecodedInstruction *x);

/* Operations of one execution: an fma is two, a conversion one, each times its lanes. */
unsigned fz_insn_operations(const ZydisDecodedInstruction *x);

#endif
