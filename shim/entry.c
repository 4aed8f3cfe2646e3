/* The first instructions of a function, moved elsewhere, and a jump in their place.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Only instructions whose length follows from the few rules below and which mean the same
 * elsewhere are moved: those that compilers begin functions with. Whatever else is at an
 * entry, the function is left alone.
 */
#include <string.h>

#include "divert.h"

/* ---- Lengths --------------------------------------------------------------------------- */

struct form {
    bool modrm;
    int imm;
};

/* One-byte opcodes; false: not known. */
static bool one_byte(uint8_t op, bool wide, bool short_imm, struct form *f)
{
    *f = (struct form){false, 0};
    if (op >= 0x50 && op <= 0x5f) /* push, pop */
        return true;
    if (op < 0x40 && (op & 7) < 4) { /* add … cmp, two operands */
        f->modrm = true;
        return true;
    }
    if (op < 0x40 && (op & 7) == 4) { /* the same on al */
        f->imm = 1;
        return true;
    }
    switch (op) {
    case 0x63: /* movslq */
    case 0x84: /* test */
    case 0x85:
    case 0x88: /* mov */
    case 0x89:
    case 0x8a:
    case 0x8b:
    case 0x8d: /* lea */
    case 0xd1: /* shift by 1, by cl */
    case 0xd3:
        f->modrm = true;
        return true;
    case 0x6b: /* imul; add … cmp; shift; mov */
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
        *f = (struct form){true, 1};
        return true;
    case 0x69:
    case 0x81:
    case 0xc7:
        *f = (struct form){true, 4};
        return !short_imm;
    case 0xa8:
        f->imm = 1;
        return true;
    case 0x90: return true;
    }
    if (op >= 0xb8 && op <= 0xbf) { /* mov of a constant */
        f->imm = wide ? 8 : 4;
        return !short_imm;
    }
    return false;
}

/* Opcodes after 0f, and those of VEX and EVEX in the same map. */
static bool two_byte(uint8_t op, struct form *f)
{
    *f = (struct form){true, 0};
    if (op == 0x70 || op == 0xc2 || op == 0xc4 || op == 0xc5 || op == 0xc6) {
        f->imm = 1;
        return true;
    }
    return (op >= 0x10 && op <= 0x17) ||  /* moves */
           op == 0x1f ||                  /* nop */
           (op >= 0x28 && op <= 0x2f) ||  /* moves, conversions, compares */
           (op >= 0x40 && op <= 0x4f) ||  /* cmov */
           (op >= 0x51 && op <= 0x6f) ||  /* arithmetic, integer vectors */
           (op >= 0x74 && op <= 0x76) ||  /* compares */
           op == 0x7e || op == 0x7f ||    /* moves */
           (op >= 0x90 && op <= 0x9f) ||  /* set */
           op == 0xaf ||                  /* imul */
           op == 0xb6 || op == 0xb7 ||    /* movz, movs */
           op == 0xbe || op == 0xbf ||    /**/
           (op >= 0xd1 && op <= 0xef && op != 0xd7) || /* integer vectors */
           (op >= 0xf1 && op <= 0xfe && op != 0xf7);
}

/* Length of a ModRM operand from its first byte on, with the place of an offset from the
 * next instruction. */
static size_t operand(const uint8_t *p, size_t n, size_t *relative)
{
    uint8_t mod = p[0] >> 6, rm = p[0] & 7;
    size_t len = 1;
    *relative = 0;
    if (mod == 3)
        return len;
    if (rm == 4) {
        if (n < 2)
            return 0;
        len++;
        if (mod == 0 && (p[1] & 7) == 5)
            len += 4;
    } else if (mod == 0 && rm == 5) {
        *relative = 1;
        len += 4;
    }
    return len + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

size_t fz_entry_length(const uint8_t *p, size_t n, size_t *relative, bool *last)
{
    static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    size_t i = 0, at, len;
    bool wide = false, word = false, legacy = false;
    struct form f;
    *relative = 0;
    *last = false;
    if (n >= 4 && !memcmp(p, endbr64, 4))
        return 4;
    while (i < n && i < 4 &&
           (p[i] == 0x66 || p[i] == 0xf2 || p[i] == 0xf3 || p[i] == 0x64)) {
        word |= p[i++] == 0x66;
        legacy = true;
    }
    if (i < n && (p[i] & 0xf0) == 0x40)
        wide = p[i++] & 8;
    bool plain = i == 0;
    if (i + 1 >= n)
        return 0;

    if (plain && p[0] == 0xc3) {
        *last = true;
        return 1;
    }
    if (plain && p[0] == 0xe9 && n >= 5) { /* jmp */
        *relative = 1;
        *last = true;
        return 5;
    }
    if (plain && p[0] == 0xff && p[1] == 0x25 && n >= 6) { /* jmp through memory */
        *relative = 2;
        *last = true;
        return 6;
    }
    if (p[i] == 0x0f) {
        if (!two_byte(p[i + 1], &f))
            return 0;
        i += 2;
    } else if ((p[i] == 0xc5 || p[i] == 0xc4 || p[i] == 0x62) && !legacy && plain) {
        size_t head = p[0] == 0xc5 ? 2 : p[0] == 0xc4 ? 3 : 4;
        int map = p[0] == 0xc5 ? 1 : p[1] & (p[0] == 0x62 ? 7 : 31);
        if (n < head + 2 || map < 1 || map > 3)
            return 0;
        f = (struct form){true, map == 3};
        if (map == 1 && !two_byte(p[head], &f))
            return 0;
        i = head + 1;
    } else {
        if (!one_byte(p[i], wide, word, &f))
            return 0;
        i++;
    }
    if (f.modrm) {
        if (i >= n || (len = operand(p + i, n - i, &at)) == 0)
            return 0;
        *relative = at ? i + at : 0;
        i += len;
    }
    i += (size_t)f.imm;
    return i <= n ? i : 0;
}

/* ---- Moving ------------------------------------------------------------------------------ */

/* Might some byte of the function begin a jump to between the entry and `end`? Read at
 * every offset, so that no decoding is needed: too careful rather than wrong. */
static bool jumped_into(const uint8_t *p, size_t size, size_t end)
{
    for (size_t i = end; i + 2 <= size; i++) {
        int64_t to = -1;
        if ((p[i] & 0xf0) == 0x70 || p[i] == 0xeb || (p[i] & 0xfc) == 0xe0)
            to = (int64_t)i + 2 + (int8_t)p[i + 1];
        if (to > 0 && to < (int64_t)end)
            return true;
        bool far = p[i] == 0xe9 || (p[i] == 0x0f && (p[i + 1] & 0xf0) == 0x80);
        size_t at = i + (p[i] == 0x0f ? 2 : 1);
        if (far && at + 4 <= size) {
            int32_t d;
            memcpy(&d, p + at, 4);
            to = (int64_t)at + 4 + d;
            if (to > 0 && to < (int64_t)end)
                return true;
        }
    }
    return false;
}

/* jmp *0(%rip), followed by the address. */
static size_t far_jump(uint8_t *out, uintptr_t to)
{
    static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
    uint64_t address = to;
    memcpy(out, jump, sizeof jump);
    memcpy(out + sizeof jump, &address, sizeof address);
    return sizeof jump + sizeof address;
}

const char *fz_entry_make(uint8_t out[FZ_ENTRY_SLOT], uintptr_t slot, uintptr_t target,
                          const uint8_t *entry, size_t size, uint8_t jump[FZ_ENTRY_JUMP])
{
    enum { MOVED = 16 };
    size_t done = 0;
    bool last = false;
    int64_t offset = (int64_t)(slot - ((uintptr_t)entry + FZ_ENTRY_JUMP));
    if (offset != (int32_t)offset)
        return "no memory near enough";
    if (size < FZ_ENTRY_JUMP)
        return "it is shorter than a jump";
    memset(out, 0xcc, FZ_ENTRY_SLOT);
    far_jump(out, target);
    while (done < FZ_ENTRY_JUMP && !last) {
        size_t relative, len = fz_entry_length(entry + done, size - done, &relative, &last);
        /* 14 for the jump back. */
        if (!len || MOVED + done + len + 14 > FZ_ENTRY_SLOT)
            return "an instruction at its entry is not one that can be moved";
        memcpy(out + MOVED + done, entry + done, len);
        if (relative) {
            int32_t d;
            memcpy(&d, entry + done + relative, 4);
            int64_t moved = d + (int64_t)((uintptr_t)entry - (slot + MOVED));
            d = (int32_t)moved;
            if (moved != d)
                return "no memory near enough";
            memcpy(out + MOVED + done + relative, &d, 4);
        }
        done += len;
    }
    if (done < FZ_ENTRY_JUMP)
        return "it is shorter than a jump";
    if (jumped_into(entry, size, done))
        return "it may jump back into its first instructions";
    if (!last)
        far_jump(out + MOVED + done, (uintptr_t)entry + done);
    int32_t d = (int32_t)offset;
    jump[0] = 0xe9;
    memcpy(jump + 1, &d, 4);
    return NULL;
}
