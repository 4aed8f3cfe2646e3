/* Writes x86-64 code: the VEX forms that rounding needs, and references to be resolved
 * once all code has its place.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_ASM_H
#define FZ_REWRITE_ASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum fz_fix_kind {
    FZ_FIX_BLOB, /* an offset in the moved code's own area (constants, stub) */
    FZ_FIX_HERE, /* an offset in this buffer */
    FZ_FIX_CODE, /* an address of the library: its moved copy where there is one */
    FZ_FIX_DATA, /* an address of the library, as it is */
    FZ_FIX_COUNT, /* the counter of the block that begins at an address of the library */
    FZ_FIX_COUNT_PLAIN /* the same of its runs as it was */
};

/* A 32-bit displacement at `at`, to `target`; `after` bytes of the instruction follow. */
typedef struct fz_fix {
    uint32_t at;
    uint8_t kind, after;
    uint64_t target;
} fz_fix;

typedef struct fz_code {
    uint8_t *bytes;
    size_t n, cap;
    fz_fix *fixes;
    size_t fix_n, fix_cap;
    bool failed; /* no memory */
} fz_code;

static inline void fz_put(fz_code *c, unsigned byte)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 4096;
        uint8_t *p = c->failed ? NULL : realloc(c->bytes, cap);
        if (!p) {
            c->failed = true;
            return;
        }
        c->bytes = p;
        c->cap = cap;
    }
    c->bytes[c->n++] = (uint8_t)byte;
}

static inline void fz_put32(fz_code *c, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        fz_put(c, v >> 8 * i & 255);
}

static inline void fz_put_fix(fz_code *c, enum fz_fix_kind kind, uint64_t target, int after)
{
    if (c->fix_n == c->fix_cap) {
        size_t cap = c->fix_cap ? 2 * c->fix_cap : 256;
        fz_fix *p = c->failed ? NULL : realloc(c->fixes, cap * sizeof *p);
        if (!p) {
            c->failed = true;
            return;
        }
        c->fixes = p;
        c->fix_cap = cap;
    }
    c->fixes[c->fix_n++] =
        (fz_fix){(uint32_t)c->n, (uint8_t)kind, (uint8_t)after, target};
    fz_put32(c, 0);
}

/* Point the fix at `index` (of a jump written before its target) to here. */
static inline void fz_fix_here(fz_code *c, size_t index)
{
    if (!c->failed)
        c->fixes[index].target = c->n;
}

static inline size_t fz_jump(fz_code *c, enum fz_fix_kind kind, uint64_t target)
{
    fz_put(c, 0xe9);
    fz_put_fix(c, kind, target, 0);
    return c->fix_n - 1;
}

/* condition: the low nibble of jcc's opcode. */
static inline size_t fz_jump_if(fz_code *c, int condition, enum fz_fix_kind kind,
                                uint64_t target)
{
    fz_put(c, 0x0f);
    fz_put(c, 0x80 | (unsigned)condition);
    fz_put_fix(c, kind, target, 0);
    return c->fix_n - 1;
}

enum { FZ_IF_ZERO = 4, FZ_IF_NOT_ZERO = 5 };

/* ---- Memory operands ------------------------------------------------------------------ */

typedef struct fz_mem {
    uint8_t segment; /* prefix byte, or 0 */
    uint8_t modrm;   /* mod and rm; reg is filled in */
    bool has_sib, x, b;
    uint8_t sib;
    uint8_t disp_size; /* bits */
    int32_t disp;
    bool rip;
    uint64_t target; /* address of the library, where rip */
} fz_mem;

/* The operand 16 bytes further on. */
static inline fz_mem fz_mem_upper(fz_mem m)
{
    const bool no_base = m.modrm >> 6 == 0 && m.has_sib && (m.sib & 7) == 5;
    if (m.rip) {
        m.target += 16;
        return m;
    }
    m.disp = (m.disp_size ? m.disp : 0) + 16;
    m.disp_size = 32;
    if (!no_base)
        m.modrm = (uint8_t)((m.modrm & 0x3f) | 0x80);
    return m;
}

/* ---- VEX ------------------------------------------------------------------------------ */

/* Map (1: 0f, 2: 0f38, 3: 0f3a), mandatory prefix (0: none, 1: 66, 2: f3, 3: f2), W. */
#define FZ_OP(map, pp, w, op) ((unsigned)(map) << 12 | (pp) << 10 | (w) << 8 | (op))

#define OP_MOVAPS FZ_OP(1, 0, 0, 0x28)
#define OP_LOAD FZ_OP(1, 0, 0, 0x10)
#define OP_STORE FZ_OP(1, 0, 0, 0x11)
#define OP_MOVSS FZ_OP(1, 2, 0, 0x10)
#define OP_MOVSD FZ_OP(1, 3, 0, 0x10)
#define OP_STOREQ FZ_OP(1, 1, 0, 0xd6)
#define OP_MOVQ_R FZ_OP(1, 1, 1, 0x6e)
#define OP_MOVD_R FZ_OP(1, 1, 0, 0x6e)
#define OP_MOVD_TO_R FZ_OP(1, 1, 0, 0x7e)
#define OP_CVTPS2PD FZ_OP(1, 0, 0, 0x5a)
#define OP_CVTPD2PS FZ_OP(1, 1, 0, 0x5a)
#define OP_CVTSS2SD FZ_OP(1, 2, 0, 0x5a)
#define OP_CVTSD2SS FZ_OP(1, 3, 0, 0x5a)
#define OP_CVTDQ2PD FZ_OP(1, 2, 0, 0xe6)
#define OP_CVTSI2SD FZ_OP(1, 3, 0, 0x2a)
#define OP_EXTRACTF128 FZ_OP(3, 1, 0, 0x19)
#define OP_INSERTF128 FZ_OP(3, 1, 0, 0x18)
#define OP_MOVHLPS FZ_OP(1, 0, 0, 0x12)
#define OP_MOVLHPS FZ_OP(1, 0, 0, 0x16)
#define OP_UNPCKLPD FZ_OP(1, 1, 0, 0x14)
#define OP_UNPCKHPD FZ_OP(1, 1, 0, 0x15)
#define OP_SHUFPS FZ_OP(1, 0, 0, 0xc6)
#define OP_PAND FZ_OP(1, 1, 0, 0xdb)
#define OP_PANDN FZ_OP(1, 1, 0, 0xdf)
#define OP_POR FZ_OP(1, 1, 0, 0xeb)
#define OP_PXOR FZ_OP(1, 1, 0, 0xef)
#define OP_PADDD FZ_OP(1, 1, 0, 0xfe)
#define OP_PADDQ FZ_OP(1, 1, 0, 0xd4)
#define OP_PSUBD FZ_OP(1, 1, 0, 0xfa)
#define OP_PSUBQ FZ_OP(1, 1, 0, 0xfb)
#define OP_PCMPEQD FZ_OP(1, 1, 0, 0x76)
#define OP_PCMPEQQ FZ_OP(2, 1, 0, 0x29)
#define OP_PCMPGTQ FZ_OP(2, 1, 0, 0x37)
#define OP_PCMPGTD FZ_OP(1, 1, 0, 0x66)
#define OP_PMAXUD FZ_OP(2, 1, 0, 0x3f)
#define OP_PMINUD FZ_OP(2, 1, 0, 0x3b)
#define OP_TESTPS FZ_OP(2, 1, 0, 0x0e)
#define OP_TESTPD FZ_OP(2, 1, 0, 0x0f)
#define OP_PTEST FZ_OP(2, 1, 0, 0x17)
#define OP_AESENC FZ_OP(2, 1, 0, 0xdc)
#define OP_SHIFTQ FZ_OP(1, 1, 0, 0x73) /* reg: 2 right, 6 left */
#define OP_SHIFTD FZ_OP(1, 1, 0, 0x72) /* reg: 2 right, 4 arithmetic, 6 left */

static inline void fz_vex(fz_code *c, unsigned op, int l, int reg, int v, bool x, bool b)
{
    fz_put(c, 0xc4);
    fz_put(c, (unsigned)(reg < 8) << 7 | (unsigned)!x << 6 | (unsigned)!b << 5 | op >> 12);
    fz_put(c, (op >> 8 & 1) << 7 | (~(unsigned)v & 15) << 3 | (unsigned)l << 2 |
                  (op >> 10 & 3));
    fz_put(c, op & 255);
}

/* op reg, v, rm with registers; l: 256 bits. v is 0 where the form has none. */
static inline void fz_rrr(fz_code *c, unsigned op, int l, int reg, int v, int rm)
{
    fz_vex(c, op, l, reg, v, false, rm >= 8);
    fz_put(c, 0xc0 | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

static inline void fz_rrri(fz_code *c, unsigned op, int l, int reg, int v, int rm, int imm)
{
    fz_rrr(c, op, l, reg, v, rm);
    fz_put(c, (unsigned)imm);
}

/* The same with a constant of the area at `offset`. */
static inline void fz_rrk(fz_code *c, unsigned op, int l, int reg, int v, int offset)
{
    fz_vex(c, op, l, reg, v, false, false);
    fz_put(c, (unsigned)(reg & 7) << 3 | 5);
    fz_put_fix(c, FZ_FIX_BLOB, (uint64_t)offset, 0);
}

/* The same with thread-local memory at fs:offset. */
static inline void fz_rrt(fz_code *c, unsigned op, int l, int reg, int v, int32_t offset)
{
    fz_put(c, 0x64);
    fz_vex(c, op, l, reg, v, false, false);
    fz_put(c, (unsigned)(reg & 7) << 3 | 4);
    fz_put(c, 0x25);
    fz_put32(c, (uint32_t)offset);
}

/* The same with an operand of the library's. */
static inline void fz_rrm(fz_code *c, unsigned op, int l, int reg, int v, const fz_mem *m)
{
    if (m->segment)
        fz_put(c, m->segment);
    fz_vex(c, op, l, reg, v, m->x, m->b);
    fz_put(c, (m->modrm & 0xc7u) | (unsigned)(reg & 7) << 3);
    if (m->has_sib)
        fz_put(c, m->sib);
    if (m->rip)
        fz_put_fix(c, FZ_FIX_DATA, m->target, 0);
    else if (m->disp_size == 8)
        fz_put(c, (unsigned)m->disp & 255);
    else if (m->disp_size == 32)
        fz_put32(c, (uint32_t)m->disp);
}

/* mov between a general register and thread-local memory: store (0x89) or load (0x8b). */
static inline void fz_mov_tls(fz_code *c, unsigned opcode, int reg, int32_t offset)
{
    fz_put(c, 0x64);
    fz_put(c, 0x48 | (reg >= 8 ? 4u : 0));
    fz_put(c, opcode);
    fz_put(c, (unsigned)(reg & 7) << 3 | 4);
    fz_put(c, 0x25);
    fz_put32(c, (uint32_t)offset);
}

#endif
