/* The area of moved code, and what moved code and the library share: no Zydis here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_AREA_H
#define FZ_REWRITE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What moved code does at a site. */
enum fz_variant {
    FZ_IDENTITY,   /* the original instruction */
    FZ_SR,         /* in line for t = 24 and 53, rare lanes by the definition */
    FZ_UD,
    FZ_DEFINITION, /* every mode and precision, by the definition, one lane at a time */
    FZ_CESTAC,     /* in line for t = 24 and 53, as sr and ud */
    FZ_SR_NEAREST, /* for tests: SR's code, with the word that makes it round to nearest */
    FZ_VARIANTS
};

/* Operations as a site's descriptor names them. */
enum fz_inst_op {
    FZ_INST_NONE,
    FZ_INST_ADD,
    FZ_INST_SUB,
    FZ_INST_MUL,
    FZ_INST_DIV,
    FZ_INST_SQRT,
    FZ_INST_FMA,     /* all of vfmadd, vfmsub, vfnmadd, vfnmsub */
    FZ_INST_FMA_ALT, /* vfmaddsub, vfmsubadd */
    FZ_INST_ADDSUB,
    FZ_INST_HADD,
    FZ_INST_HSUB,
    FZ_INST_F64_F32,
    FZ_INST_I32_F32,
    FZ_INST_INT_F32, /* from a general register or memory */
    FZ_INST_INT_F64, /* the same; of 32 bits it is exact and not a site */
    FZ_INST_F32_F16,
    FZ_INST_F32_BF16, /* integers: what is added before 16 bits are cut */
    FZ_INST_DOT, /* dpps, dppd: counted, not perturbed yet */
    FZ_INST_OPS
};

/* Thread-local memory of moved code. */
typedef struct fz_inst_tls {
    uint8_t saved[16][32]; /* vector registers that a block lends to its sites */
    uint64_t state[4];     /* the strand of random words */
    uint8_t spill[3][32];  /* operands on their way from f32 to f64 */
    uint64_t in_use;       /* state components, by xgetbv */
    uint64_t rax_flags, rax, flags, gpr[8];
    uint8_t frame[24][32]; /* all vector registers, while the definition runs, and more */
    uint8_t plain;         /* nothing that this thread computes now is perturbed */
    uint8_t high[16][64];  /* registers 16 to 31 that are lent where the host uses them */
    uint64_t masks[5];     /* and masks */
    uint8_t uppers[16][32]; /* bits 256 to 511 of all others, while the definition runs */
} fz_inst_tls;

/* What the definition needs to know of a site; lies FZ_SITE_BEHIND bytes behind the place
 * in the site's cold code to which the stub returns. */
typedef struct fz_inst_site {
    uint8_t op, lanes;
    uint8_t a, b, c, result, state; /* vector registers */
    uint8_t f64 : 1, minus_product : 1, minus_addend : 1, legacy : 1;
    uint8_t from_unsigned : 1;
    uint8_t biased : 1, later : 1; /* bf16: x has 0x7fff already; it will be added */
    uint8_t away : 1, halves : 1;  /* cestac: what its bits say, and where they are */
} fz_inst_site;

enum { FZ_SITE_BEHIND = 13 };

/* Layout of the area; plan.h says what for. */
enum {
    FZ_PAGE = 4096,
    FZ_AREA_STUBS = 4096,
    FZ_AREA_TABLE = 16384,
    FZ_AREA_VARIANT = 0xc000000, /* room for the code of each, at the most */
    FZ_SLOT = 8
};

/* The page of constants: 32 bytes each, and a pointer to fz_inst_definition behind them. */
enum fz_constant {
    FZ_K_KEY,
    FZ_K_LOW29,
    FZ_K_HIGH35,
    FZ_K_RANGE32,  /* of f32 operations held in f64 */
    FZ_K_RANGE32H, /* the same on high halves */
    FZ_K_RANGE64,
    FZ_K_LANE0,
    FZ_K_ZERO,
    FZ_K_SIGN64,
    FZ_K_EXP64,
    FZ_K_SCALE64,
    FZ_K_MAGIC64,
    FZ_K_UNBIAS64,
    FZ_K_MINUS1,
    FZ_K_ABS32,
    FZ_K_ONE32,
    FZ_K_LAST32,
    FZ_K_ABS64,
    FZ_K_MAX64,
    FZ_K_ONE64,
    FZ_K_EVEN32, /* signs of even lanes */
    FZ_K_ODD32,
    FZ_K_EVEN64,
    FZ_K_ODD64,
    FZ_K_BIAS16, /* of bf16, and its negative */
    FZ_K_UNBIAS16,
    FZ_K_HALF29,
    FZ_K_HALF52,
    FZ_K_TWO52,  /* lane 0: is an integer of fewer than 53 bits? */
    FZ_K_HIGH11,
    FZ_K_KEY512, /* of 64 bytes, and at a multiple of them */
    FZ_K_SHIFT512 = FZ_K_KEY512 + 2,
    FZ_K_RANGE32_1 = FZ_K_SHIFT512 + 2, /* in lane 0 only */
    FZ_K_SIGN64_1,
    FZ_K_SPAN32, /* of f32 operations that do not overflow either */
    FZ_K_SPAN32_1, /* all of lane 1 */
    FZ_K_REAL32,   /* 1.0 */
    FZ_K_REAL64,
    FZ_K_SIGN32,
    FZ_K_SUM32, /* of sums of f32 in f32: from 2^-102 up to 2^127 */
    FZ_K_SUM32_SPAN,
    FZ_K_SUM32_SPAN_1, /* in lane 0, others always */
    FZ_K_NORMAL32, /* of f32 by directed rounding: above 2^-126, below the largest */
    FZ_K_NORMAL32_SPAN,
    FZ_K_NORMAL32_SPAN_1,
    FZ_K_FAR32, /* c from there on: a·b + c is zero only if it is exact */
    FZ_K_FAR64,
    FZ_K_TWO51,   /* the bits of 2^51 */
    FZ_K_NOT52,   /* makes w the bits of 2^53 - 1 - w */
    FZ_K_UNDER52, /* 2^52 - 1/2 */
    FZ_K_TO_UNIT, /* to bits, for an exponent: times 2^-52 and the spacing */
    FZ_K_TO_ULP,  /* from the bits of a power of two */
    FZ_K_ONE64_1,
    FZ_CONSTANTS
};

enum { FZ_AREA_DEFINITION = 32 * FZ_CONSTANTS };

/* Fill the page of constants, the pointer apart (constants.c). */
void fz_area_constants(uint8_t page[FZ_PAGE]);

#endif
