/* Writes EVEX instructions: vector registers 16 to 31, masks, broadcast constants.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_EVEX_H
#define FZ_REWRITE_EVEX_H

#include "asm.h"

/* Typed operations (add, mul, …) have their W from the type; the rest are here. */
#define EV_LOADPS FZ_OP(1, 0, 0, 0x10)
#define EV_STOREPS FZ_OP(1, 0, 0, 0x11)
#define EV_MOVSS FZ_OP(1, 2, 0, 0x10)
#define EV_MOVSD FZ_OP(1, 3, 1, 0x10)
#define EV_MOVAPS FZ_OP(1, 0, 0, 0x28)
#define EV_MOVAPD FZ_OP(1, 1, 1, 0x28)
#define EV_STOREQ FZ_OP(1, 1, 1, 0xd6)
#define EV_MOVQ_R FZ_OP(1, 1, 1, 0x6e)
#define EV_BROADCAST256 FZ_OP(2, 1, 1, 0x5b)
#define EV_AESENC FZ_OP(2, 1, 0, 0xdc)
#define EV_CVTPS2PD FZ_OP(1, 0, 0, 0x5a)
#define EV_CVTPD2PS FZ_OP(1, 1, 1, 0x5a)
#define EV_CVTSS2SD FZ_OP(1, 2, 0, 0x5a)
#define EV_CVTSD2SS FZ_OP(1, 3, 1, 0x5a)
#define EV_CVTDQ2PD FZ_OP(1, 2, 0, 0xe6)
#define EV_CVTSI2SD FZ_OP(1, 3, 0, 0x2a)
#define EV_ANDQ FZ_OP(1, 1, 1, 0xdb)
#define EV_ANDNQ FZ_OP(1, 1, 1, 0xdf)
#define EV_ORD FZ_OP(1, 1, 0, 0xeb)
#define EV_ORQ FZ_OP(1, 1, 1, 0xeb)
#define EV_XORQ FZ_OP(1, 1, 1, 0xef)
#define EV_ADDD FZ_OP(1, 1, 0, 0xfe)
#define EV_ADDQ FZ_OP(1, 1, 1, 0xd4)
#define EV_SUBQ FZ_OP(1, 1, 1, 0xfb)
#define EV_SHIFTQ FZ_OP(1, 1, 1, 0x73) /* reg: 2 right, 6 left */
#define EV_SRAQ FZ_OP(1, 1, 1, 0x72)   /* reg: 4; of dwords with W 0 */
#define EV_SRAD FZ_OP(1, 1, 0, 0x72)
#define EV_SRLVQ FZ_OP(2, 1, 1, 0x45)
#define EV_TERNQ FZ_OP(3, 1, 1, 0x25)
#define EV_CMPUD FZ_OP(3, 1, 0, 0x1e)
#define EV_SUBD FZ_OP(1, 1, 0, 0xfa)
#define EV_TESTNMD FZ_OP(2, 2, 0, 0x27)
#define EV_MOVD2M FZ_OP(2, 2, 0, 0x39)
#define EV_MOVQ2M FZ_OP(2, 2, 1, 0x39)
#define EV_BLENDPS FZ_OP(2, 1, 0, 0x65)
#define EV_BLENDPD FZ_OP(2, 1, 1, 0x65)
#define EV_CMPQ FZ_OP(3, 1, 1, 0x1f)
#define EV_CMPUQ FZ_OP(3, 1, 1, 0x1e)
#define EV_TESTMQ FZ_OP(2, 1, 1, 0x27)
#define EV_TESTNMQ FZ_OP(2, 2, 1, 0x27)
#define EV_CLASSPS FZ_OP(3, 1, 0, 0x66)
#define EV_CLASSSS FZ_OP(3, 1, 0, 0x67)
#define EV_CLASSPD FZ_OP(3, 1, 1, 0x66)
#define EV_RANGEPD FZ_OP(3, 1, 1, 0x50)
#define EV_RANGESD FZ_OP(3, 1, 1, 0x51)
#define EV_UNPCKLPD FZ_OP(1, 1, 1, 0x14)
#define EV_UNPCKHPD FZ_OP(1, 1, 1, 0x15)
#define EV_SHUFPS FZ_OP(1, 0, 0, 0xc6)
#define EV_LOADPD FZ_OP(1, 1, 1, 0x10)
#define EV_MOV16 FZ_OP(1, 3, 1, 0x6f)
#define EV_MOVQ FZ_OP(1, 2, 1, 0x7e)
#define EV_BROADCASTD FZ_OP(2, 1, 0, 0x58)
#define EV_BROADCASTQ FZ_OP(2, 1, 1, 0x59)
#define EV_CVTUDQ2PD FZ_OP(1, 2, 0, 0x7a)
#define EV_CVTUSI2SD FZ_OP(1, 3, 0, 0x7b)
#define EV_EXTRACT256 FZ_OP(3, 1, 1, 0x1b)
#define EV_INSERT128PS FZ_OP(3, 1, 0, 0x18)
#define EV_INSERT256PS FZ_OP(3, 1, 0, 0x1a)
#define EV_INSERT256PD FZ_OP(3, 1, 1, 0x1a)

/* Masks are written in VEX. */
#define OP_KORTESTB FZ_OP(1, 1, 0, 0x98)
#define OP_KANDB FZ_OP(1, 1, 0, 0x41)
#define OP_KANDNB FZ_OP(1, 1, 0, 0x42)
#define OP_KORB FZ_OP(1, 1, 0, 0x45)
#define OP_KLOAD FZ_OP(1, 0, 1, 0x90)
#define OP_KSTORE FZ_OP(1, 0, 1, 0x91)

/* Embedded rounding, of 512 bits and scalars: in the place of their length, with
 * EV_NO_FLAGS. */
enum { EV_DOWN = 1, EV_UP = 2, EV_CUT = 3 };

/* How an EVEX form is used. */
enum {
    EV_NO_FLAGS = 8, /* all exceptions suppressed; or a broadcast element of memory */
    EV_ZEROING = 16
    /* below them: the mask register */
};

/* l: 0, 1, 2 for 128, 256, 512 bits. x and b: the bits that extend a memory operand, or
 * bits 4 and 3 of a register. */
static inline void fz_evex(fz_code *c, unsigned op, int l, int reg, int v, bool x, bool b,
                           int how)
{
    fz_put(c, 0x62);
    fz_put(c, (unsigned)!(reg & 8) << 7 | (unsigned)!x << 6 | (unsigned)!b << 5 |
                  (unsigned)!(reg & 16) << 4 | op >> 12);
    fz_put(c, (op >> 8 & 1) << 7 | (~(unsigned)v & 15) << 3 | 4 | (op >> 10 & 3));
    fz_put(c, (how & EV_ZEROING ? 128u : 0) | (unsigned)l << 5 |
                  (how & EV_NO_FLAGS ? 16u : 0) |
                  (unsigned)!(v & 16) << 3 | (unsigned)(how & 7));
    fz_put(c, op & 255);
}

static inline void fz_ev(fz_code *c, unsigned op, int l, int reg, int v, int rm, int how)
{
    fz_evex(c, op, l, reg, v, rm & 16, rm & 8, how);
    fz_put(c, 0xc0 | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

/* With a constant of the area at `offset`; EV_NO_FLAGS: its first element in all lanes.
 * `after`: bytes that follow, an immediate. */
static inline void fz_evk(fz_code *c, unsigned op, int l, int reg, int v, int offset,
                          int how, int after)
{
    fz_evex(c, op, l, reg, v, false, false, how);
    fz_put(c, (unsigned)(reg & 7) << 3 | 5);
    fz_put_fix(c, FZ_FIX_BLOB, (uint64_t)offset, after);
}

static inline void fz_evt(fz_code *c, unsigned op, int l, int reg, int v, int32_t offset)
{
    fz_put(c, 0x64);
    fz_evex(c, op, l, reg, v, false, false, 0);
    fz_put(c, (unsigned)(reg & 7) << 3 | 4);
    fz_put(c, 0x25);
    fz_put32(c, (uint32_t)offset);
}

/* With an operand of the library's. A displacement of eight bits would be scaled: here it
 * always has 32. */
static inline void fz_evm_how(fz_code *c, unsigned op, int l, int reg, int v,
                              const fz_mem *m, int how)
{
    const bool no_base = m->modrm >> 6 == 0 && m->has_sib && (m->sib & 7) == 5;
    unsigned modrm = (m->modrm & 0xc7u) | (unsigned)(reg & 7) << 3;
    if (m->segment)
        fz_put(c, m->segment);
    fz_evex(c, op, l, reg, v, m->x, m->b, how);
    if (m->disp_size == 8 && !no_base)
        modrm = (modrm & 0x3f) | 0x80;
    fz_put(c, modrm);
    if (m->has_sib)
        fz_put(c, m->sib);
    if (m->rip)
        fz_put_fix(c, FZ_FIX_DATA, m->target, 0);
    else if (m->disp_size)
        fz_put32(c, (uint32_t)m->disp);
}

static inline void fz_evm(fz_code *c, unsigned op, int l, int reg, int v, const fz_mem *m)
{
    fz_evm_how(c, op, l, reg, v, m, 0);
}

#endif
