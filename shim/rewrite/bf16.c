/* Finds the integer code that rounds f32 to bf16: c10's conversion, scalar and vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     (x + (x >> 16 & 1) + 0x7fff) >> 16
 *
 * on general registers or on dwords of vector registers, in any order of the additions. The
 * addition that joins a term with x and one with the bit becomes the site: the second term
 * is replaced by a random word, so what follows (0x7fff if it comes later, the shift, what
 * is done to NaN) stays as it is.
 *
 * Each register is followed through the function as x + bit(x) + constant. Values are kept
 * while a block can only be reached from the one in front of it; where control may arrive
 * from elsewhere, constants are what all predecessors agree on, since compilers load them
 * before a loop. A shift by 16 of a sum with 0x7fff that does not fit is counted as one that
 * is left as it is.
 */
#include "body.h"

enum {
    NONE = -1,
    VECTOR = 16,    /* registers: general ones, vectors, */
    SLOT = 32,      /* and places of the stack that vectors are put away in */
    REGISTERS = 96,
    BIAS = 0x7fff
};

static const char *const unknown_form = "bf16 rounding of unknown form";
static const char *const mixed = "bf16 rounding in legacy code among 256-bit code";

/* x + bit(y) + k, or x >> 16. Of vectors the same in each dword, of the lower half only if
 * it is not wide; constants have 64 bits, for they are built in pieces. */
typedef struct value {
    int32_t x, bit; /* numbers of unknown values; NONE: none */
    bool shifted, wide;
    bool lane0;     /* bit and constant in the low qword alone, zero above */
    bool near;      /* unknown, but a sum with the bias or a bit, or maybe a bit */
    int32_t join;   /* the instruction that brought x and its bit together */
    uint64_t k;
} value;

enum act_kind { CLOBBER, COPY, AND, SUM, SHIFT, ONES, ZERO, LOW, LOAD, TO_VECTOR, FROM_VECTOR,
                SPLAT32, SPLAT64, UPPER, CALLED, COMPUTED };

/* What an instruction does to the registers it writes. */
typedef struct act {
    uint8_t kind, to, a, b; /* registers, vectors from VECTOR on; COMPUTED: a jump */
    uint8_t bytes;          /* of the operation */
    bool constant, memory;  /* instead of b: k, or memory that is not known */
    bool legacy;            /* SSE encoding */
    bool stores, on_stack;  /* on_stack: only from `low` to `high` */
    int64_t low, high;
    uint32_t clobbers, address; /* address: the registers of a memory operand */
    uint64_t k;     /* a constant, lea's displacement, the bits of a shift */
    uint64_t place; /* a memory operand: its form and size, 0 for none */
} act;

/* What has been loaded since the last store. */
typedef struct loaded {
    uint64_t place;
    uint32_t address;
    int32_t x;
} loaded;

enum { LOADS = 8 };

typedef struct slot {
    ZydisRegister base;
    int64_t low, high;
} slot;

typedef struct states {
    worker *w;
    act *acts; /* by instruction */
    value now[REGISTERS];
    slot slots[REGISTERS - SLOT];
    unsigned slot_n;
    bool frame, other; /* rbp is the frame's: set from rsp; set otherwise, but restored */
    loaded loads[LOADS];
    unsigned load_n;
    value *in; /* by block and register: constants, else unknown */
    bool *seen;
    bool last; /* all is known: mark what is found */
    int32_t fresh;
} states;

static value unknown(states *s)
{
    s->fresh += 2;
    return (value){.x = s->fresh, .bit = NONE, .wide = true, .join = NONE};
}

static value constant(uint64_t k, bool wide)
{
    return (value){.x = NONE, .bit = NONE, .wide = wide, .join = NONE, .k = k};
}

static bool is_constant(const value *v)
{
    return v->x == NONE && v->bit == NONE && !v->shifted;
}

/* The same dword twice. */
static bool is_splat(const value *v)
{
    return (uint32_t)v->k == v->k >> 32;
}

/* ---- Instructions as acts --------------------------------------------------------------- */

static int register_of(const ZydisDecodedOperand *o)
{
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return NONE;
    int v = fz_vector_register(o->reg.value);
    if (v >= 0)
        return v < 16 ? VECTOR + v : NONE;
    ZydisRegister whole =
        ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value);
    return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15
               ? ZydisRegisterGetId(whole) : NONE;
}

/* Read-only bytes of the file at an operand's address. */
static const uint8_t *constant_at(const worker *w, const insn *i, unsigned size)
{
    const fz_image *im = w->rq->image;
    for (unsigned k = 0; k < im->segment_n; k++) {
        const Elf64_Phdr *h = &im->segments[k];
        if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && i->target >= h->p_vaddr &&
            i->target - h->p_vaddr + size <= h->p_filesz)
            return fz_image_at(im, i->target);
    }
    return NULL;
}

/* A constant operand in memory, the same dwords all through; false if it is none. */
static bool load_constant(const worker *w, const insn *i, const ZydisDecodedOperand *o,
                          unsigned bytes, uint64_t *k)
{
    const uint8_t *p = o->type == ZYDIS_OPERAND_TYPE_MEMORY && i->disp_at
                           ? constant_at(w, i, bytes) : NULL;
    if (!p || bytes < 4)
        return false;
    *k = 0;
    memcpy(k, p, bytes < 8 ? bytes : 8);
    for (unsigned n = 8; n < bytes; n += 8)
        if (memcmp(p, p + n, 8) != 0)
            return false;
    return true;
}

/* An operand in memory, as a number: equal ones are the same bytes while the registers are. */
static void place(act *a, const ZydisDecodedOperand *o)
{
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.segment == ZYDIS_REGISTER_FS ||
        o->mem.base == ZYDIS_REGISTER_RIP)
        return;
    unsigned base = o->mem.base ? (unsigned)ZydisRegisterGetId(o->mem.base) + 1 : 0;
    unsigned index = o->mem.index ? (unsigned)ZydisRegisterGetId(o->mem.index) + 1 : 0;
    if (index > 16 || fz_vector_register(o->mem.index) >= 0)
        return;
    a->address = (base ? 1u << (base - 1) : 0) | (index ? 1u << (index - 1) : 0);
    a->place = (uint64_t)(uint32_t)o->mem.disp.value << 32 | (uint64_t)o->size / 8 << 24 |
               base << 16 | index << 8 | o->mem.scale << 1 | 1;
}

/* Where on the stack an operand lies; base 0: elsewhere, or not known. */
static slot stack_place(const states *s, const ZydisDecodedOperand *o)
{
    slot p = {0};
    if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && !o->mem.index &&
        (o->mem.base == ZYDIS_REGISTER_RSP ||
         (o->mem.base == ZYDIS_REGISTER_RBP && s->frame)))
        p = (slot){o->mem.base, o->mem.disp.value, o->mem.disp.value + o->size / 8};
    return p;
}

/* The number of the slot that an operand is. */
static int slot_of(const states *s, const ZydisDecodedOperand *o)
{
    slot p = stack_place(s, o);
    for (unsigned i = 0; p.base && i < s->slot_n; i++)
        if (s->slots[i].base == p.base && s->slots[i].low == p.low &&
            s->slots[i].high == p.high)
            return SLOT + (int)i;
    return NONE;
}

static bool is_move(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_MOVDQA || m == ZYDIS_MNEMONIC_VMOVDQA ||
           m == ZYDIS_MNEMONIC_MOVDQU || m == ZYDIS_MNEMONIC_VMOVDQU ||
           m == ZYDIS_MNEMONIC_MOVAPS || m == ZYDIS_MNEMONIC_VMOVAPS ||
           m == ZYDIS_MNEMONIC_MOVUPS || m == ZYDIS_MNEMONIC_VMOVUPS;
}

/* Is rbp the frame's? As far as instructions have been seen. */
static void note_frame(states *s, const ZydisDecodedInstruction *x,
                       const ZydisDecodedOperand *o)
{
    if (!x->operand_count_visible || register_of(&o[0]) != 5 ||
        !(o[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
        x->mnemonic == ZYDIS_MNEMONIC_POP)
        return;
    if (x->mnemonic == ZYDIS_MNEMONIC_MOV && register_of(&o[1]) == 4)
        s->frame = true;
    else
        s->other = true;
}

/* A place of the stack that a vector is put away in becomes a slot. */
static int new_slot(states *s, const ZydisDecodedOperand *o)
{
    slot p = stack_place(s, o);
    int known = slot_of(s, o);
    if (known != NONE || !p.base || s->slot_n == REGISTERS - SLOT)
        return known;
    s->slots[s->slot_n++] = p;
    return SLOT + (int)s->slot_n - 1;
}

static act describe(states *s, const insn *i, const ZydisDecodedInstruction *x,
                    const ZydisDecodedOperand *o)
{
    const worker *w = s->w;
    act a = {.kind = CLOBBER};
    note_frame(s, x, o);
    int n = x->operand_count_visible;
    if (i->kind == LAST && x->meta.category == ZYDIS_CATEGORY_UNCOND_BR)
        a.kind = COMPUTED;
    for (int k = 0; k < x->operand_count; k++) {
        int r = register_of(&o[k]);
        bool writes = o[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
        if (r != NONE && writes)
            a.clobbers |= 1u << r;
        if (writes && o[k].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            slot p = stack_place(s, &o[k]);
            a.on_stack = !a.stores && p.base;
            a.stores = true;
            a.low = p.low;
            a.high = p.high;
        }
    }
    if (x->meta.category == ZYDIS_CATEGORY_CALL) {
        a.kind = CALLED;
        return a;
    }
    if (x->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER) {
        a.kind = UPPER;
        return a;
    }
    bool plain = n > 1 && n < 4 && x->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX;
    int to = plain ? register_of(&o[0]) : NONE;
    int put = plain && is_move(x->mnemonic) && register_of(&o[1]) >= VECTOR
                  ? new_slot(s, &o[0]) : NONE;
    if (put != NONE) {
        a.kind = COPY;
        a.to = (uint8_t)put;
        a.b = (uint8_t)register_of(&o[1]);
        a.bytes = (uint8_t)(o[0].size / 8);
        return a;
    }
    if (to == NONE || o[0].size < 32 || !(o[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
        __builtin_popcount(a.clobbers) != 1)
        return a;
    const ZydisDecodedOperand *one = &o[n == 3 ? 1 : 0], *two = &o[n - 1];
    bool vector = to >= VECTOR;
    unsigned bytes = o[0].size / 8u;
    int r1 = register_of(one), r2 = register_of(two);
    if (vector && two->type == ZYDIS_OPERAND_TYPE_MEMORY)
        r2 = slot_of(s, two);
    a.to = (uint8_t)to;
    a.legacy = x->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
    a.bytes = (uint8_t)bytes;
    a.a = (uint8_t)(r1 == NONE ? 0 : r1);
    a.b = (uint8_t)(r2 == NONE ? 0 : r2);
    a.memory = two->type == ZYDIS_OPERAND_TYPE_MEMORY && r2 == NONE;
    place(&a, two);
    bool immediate = two->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    uint64_t k = immediate ? two->imm.value.u : 0;
    switch (x->mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (immediate || (r2 != NONE && r2 < VECTOR)) {
            a.kind = COPY;
            a.constant = immediate;
            a.k = bytes == 4 ? (uint32_t)k : k;
        } else if (bytes == 4 && a.place) {
            a.kind = LOAD;
        }
        break;
    case ZYDIS_MNEMONIC_MOVSS:
    case ZYDIS_MNEMONIC_VMOVSS:
        if (vector && a.place)
            a.kind = LOAD;
        break;
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_PXOR:
    case ZYDIS_MNEMONIC_VPXOR:
    case ZYDIS_MNEMONIC_XORPS:
    case ZYDIS_MNEMONIC_VXORPS:
        if (r1 != NONE && r1 == r2)
            a.kind = ZERO;
        break;
    case ZYDIS_MNEMONIC_PCMPEQD:
    case ZYDIS_MNEMONIC_VPCMPEQD:
        if (r1 != NONE && r1 == r2)
            a.kind = ONES;
        break;
    case ZYDIS_MNEMONIC_MOVDQA:
    case ZYDIS_MNEMONIC_VMOVDQA: /* as in is_move() */
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_VMOVDQU:
    case ZYDIS_MNEMONIC_MOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_VMOVUPS:
    case ZYDIS_MNEMONIC_VPBROADCASTD:
    case ZYDIS_MNEMONIC_VBROADCASTSS:
    case ZYDIS_MNEMONIC_VPBROADCASTQ: {
        unsigned size = two->size / 8u;
        bool spread = x->mnemonic == ZYDIS_MNEMONIC_VPBROADCASTD ||
                      x->mnemonic == ZYDIS_MNEMONIC_VBROADCASTSS ||
                      x->mnemonic == ZYDIS_MNEMONIC_VPBROADCASTQ;
        if (!vector)
            break;
        if (load_constant(w, i, two, size, &a.k)) {
            a.kind = COPY;
            a.constant = true;
            if (size == 4)
                a.k *= UINT64_C(0x100000001);
        } else if (a.place && !spread && r2 == NONE) {
            a.kind = LOAD;
        } else if (r2 >= VECTOR) {
            a.kind = !spread ? COPY
                     : x->mnemonic == ZYDIS_MNEMONIC_VPBROADCASTQ ? SPLAT64 : SPLAT32;
        }
        break;
    }
    case ZYDIS_MNEMONIC_PSHUFD:
    case ZYDIS_MNEMONIC_VPSHUFD:
        if (vector && k == 0 && r1 >= VECTOR) {
            a.kind = SPLAT32;
            a.b = (uint8_t)register_of(&o[1]);
        }
        break;
    case ZYDIS_MNEMONIC_PUNPCKLQDQ:
    case ZYDIS_MNEMONIC_VPUNPCKLQDQ:
        if (r1 != NONE && r1 == r2)
            a.kind = SPLAT64;
        break;
    case ZYDIS_MNEMONIC_MOVD:
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_MOVQ:
    case ZYDIS_MNEMONIC_VMOVQ:
        if (vector && load_constant(w, i, two, 8, &a.k) && two->size == 64)
            a.kind = LOW;
        else if (vector && r2 != NONE && r2 < VECTOR)
            a.kind = TO_VECTOR, a.k = two->size;
        else if (!vector && r2 >= VECTOR)
            a.kind = FROM_VECTOR;
        break;
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_PAND:
    case ZYDIS_MNEMONIC_VPAND:
    case ZYDIS_MNEMONIC_ANDPS:
    case ZYDIS_MNEMONIC_VANDPS:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_PADDD:
    case ZYDIS_MNEMONIC_VPADDD: {
        bool sum = x->mnemonic == ZYDIS_MNEMONIC_ADD ||
                   x->mnemonic == ZYDIS_MNEMONIC_PADDD ||
                   x->mnemonic == ZYDIS_MNEMONIC_VPADDD;
        if (r1 == NONE)
            break;
        a.kind = sum ? SUM : AND;
        a.constant = immediate || (vector && load_constant(w, i, two, bytes, &a.k));
        if (immediate)
            a.k = k;
        break;
    }
    case ZYDIS_MNEMONIC_LEA: {
        const ZydisDecodedOperand *m = &o[1];
        if (x->address_width != 64 || m->mem.segment == ZYDIS_REGISTER_FS ||
            m->mem.base == ZYDIS_REGISTER_RIP)
            break;
        bool base = m->mem.base != ZYDIS_REGISTER_NONE;
        bool index = m->mem.index != ZYDIS_REGISTER_NONE;
        if ((!base && !index) || (index && m->mem.scale > 1))
            break;
        a.kind = SUM;
        a.a = (uint8_t)ZydisRegisterGetId(base ? m->mem.base : m->mem.index);
        a.b = (uint8_t)ZydisRegisterGetId(base && index ? m->mem.index : m->mem.base);
        a.constant = !(base && index);
        a.memory = false;
        a.k = (uint64_t)x->raw.disp.value; /* of x, if there is one */
        break;
    }
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_PSRLD:
    case ZYDIS_MNEMONIC_VPSRLD:
        if (!immediate || (!vector && bytes != 4) || r1 == NONE)
            break;
        a.kind = SHIFT;
        a.k = k & 255;
        break;
    default: break;
    }
    return a;
}

/* ---- Values ----------------------------------------------------------------------------- */

static value of_width(states *s, value v, unsigned bytes)
{
    if (bytes == 32 && !v.wide)
        return unknown(s);
    if (bytes == 16)
        v.wide = false;
    return v; /* what is zero above 128 bits is so above lane 0 */
}

/* The unknown value at a place; the same one again while nothing is stored. */
static value loaded_from(states *s, const act *a)
{
    for (unsigned i = 0; i < LOADS; i++)
        if (s->loads[i].place == a->place && a->place)
            return (value){.x = s->loads[i].x | (a->to < VECTOR), .bit = NONE, .wide = true,
                           .join = NONE};
    value v = unknown(s);
    s->loads[s->load_n++ % LOADS] = (loaded){a->place, a->address, v.x};
    v.x |= a->to < VECTOR; /* as the low lane of a vector */
    return v;
}

static void forget_loads(states *s, const act *a)
{
    uint32_t written = a->clobbers;
    for (unsigned i = 0; i < LOADS; i++)
        if (a->stores || a->kind == CALLED || s->loads[i].address & written)
            s->loads[i].place = 0;
}

/* Whatever is stored over a slot, or moves the stack pointer; but not through pointers, for
 * compilers put values away where none leads. */
static void forget_slots(states *s, const act *a)
{
    for (unsigned i = 0; i < s->slot_n; i++) {
        const slot *p = &s->slots[i];
        bool moved = p->base == ZYDIS_REGISTER_RSP && a->clobbers >> 4 & 1;
        bool over = a->on_stack && a->low < p->high && p->low < a->high;
        if ((moved && a->kind != CALLED) || (over && a->to != SLOT + i))
            s->now[SLOT + i] = unknown(s);
    }
}

/* A constant operand, in its place as a register's value would be. */
static value operand(states *s, const act *a)
{
    if (a->constant)
        return constant(a->k, a->bytes == 32);
    return a->memory ? loaded_from(s, a) : s->now[a->b];
}

static bool is_vector(const act *a)
{
    return a->to >= VECTOR;
}

static bool one(const act *a, const value *v)
{
    return is_constant(v) && (uint32_t)v->k == 1 && (!is_vector(a) || is_splat(v));
}

/* Bits and constants of a sum lie in the same lanes. */
static bool same_lanes(const value *u, const value *v)
{
    bool u_has = u->bit != NONE || u->k, v_has = v->bit != NONE || v->k;
    return !u_has || !v_has || u->lane0 == v->lane0;
}

/* Constants of vectors only as dwords that are all the same. */
static bool whole(const act *a, const value *v)
{
    return !is_vector(a) || !is_constant(v) || is_splat(v);
}

/* A sum that is not what is looked for, but may be meant to be. */
static value near(states *s, const value *u, const value *v, size_t at)
{
    value sum = unknown(s);
    sum.near = u->near || v->near || (uint32_t)u->k == BIAS || (uint32_t)v->k == BIAS ||
               u->bit != NONE || v->bit != NONE;
    sum.join = (int32_t)at;
    return sum;
}

/* Describes the site that instruction `at` will be if the sum becomes whole. It has k added
 * already. */
static void join(states *s, const act *a, size_t at, const value *u, const value *v,
                 uint32_t k, bool lane0)
{
    bool first = u->x != NONE;
    uint32_t mine = (uint32_t)(first ? u->k : v->k);
    if ((mine != 0 && mine != BIAS) || (k != 0 && k != BIAS) || (mine && !k))
        return;
    s->w->insns[at].bf16 = (fz_bf16){.from = (first ? a->a : a->b) % VECTOR,
                                     .to = a->to % VECTOR,
                                     .bytes = a->bytes,
                                     .general = !is_vector(a),
                                     .memory = !first && a->memory,
                                     .biased = mine == BIAS,
                                     .later = k == 0,
                                     .half = lane0 && a->bytes == 16};
    if (lane0 && a->bytes != 16)
        s->w->insns[at].bf16.bytes = 0;
}

static value added(states *s, const act *a, size_t at)
{
    value u = of_width(s, s->now[a->a], a->bytes);
    value v = of_width(s, operand(s, a), a->bytes);
    value sum = u;
    memset(&s->w->insns[at].bf16, 0, sizeof(fz_bf16));
    if (!is_vector(a) && !a->constant)
        sum.k += a->k; /* lea's displacement */
    if (u.shifted || v.shifted || (u.x != NONE && v.x != NONE) ||
        (u.bit != NONE && v.bit != NONE) ||
        (is_constant(&u) && is_constant(&v) && a->bytes == 8) || !whole(a, &u) || !whole(a, &v) ||
        !same_lanes(&u, &v))
        return near(s, &sum, &v, at);
    sum.x = u.x != NONE ? u.x : v.x;
    sum.lane0 = u.lane0 || v.lane0;
    sum.bit = u.bit != NONE ? u.bit : v.bit;
    sum.join = u.join != NONE ? u.join : v.join;
    sum.k = (uint32_t)(sum.k + v.k);
    if (is_vector(a))
        sum.k *= UINT64_C(0x100000001);
    if (sum.x != NONE && sum.bit != NONE && sum.join == NONE) {
        if (sum.x != sum.bit)
            return near(s, &sum, &v, at);
        sum.join = (int32_t)at;
        join(s, a, at, &u, &v, (uint32_t)sum.k, sum.lane0);
    }
    return sum;
}

/* The sum is shifted by 16: the instruction that joined it is a site. */
static void found(states *s, int32_t at)
{
    insn *i = &s->w->insns[at];
    if (!s->last || i->kind != PLAIN)
        return;
    i->kind = SITE;
    i->bf16.site = true;
    i->narrows = i->bf16.general;
    i->need = FZ_BF16_NEED;
    if (!i->bf16.bytes || (i->bf16.general && i->bf16.bytes != 4)) {
        i->need = 0;
        i->why = unknown_form;
    } else if (s->w->wide && !i->bf16.general && s->acts[at].legacy) {
        i->need = 0;
        i->why = mixed;
    }
}

static value shifted(states *s, const act *a)
{
    value v = of_width(s, s->now[a->a], a->bytes);
    if (is_constant(&v) && a->k < 32) {
        uint64_t low = (uint32_t)v.k >> a->k, high = v.k >> 32 >> a->k;
        v.k = is_vector(a) ? high << 32 | low : low;
        return v;
    }
    if (a->k == 16 && v.x != NONE && !v.shifted) {
        if (v.bit == NONE && v.k == 0 && !v.near) {
            v.shifted = true;
            return v;
        }
        if ((v.near && v.join != NONE) || ((uint32_t)v.k == BIAS && v.bit != NONE))
            found(s, v.join);
    }
    return unknown(s);
}

static value result(states *s, const act *a, size_t at)
{
    switch (a->kind) {
    case COPY: return a->constant ? constant(a->k, a->bytes == 32)
                                  : of_width(s, s->now[a->b], a->bytes);
    case ZERO: return constant(0, a->bytes == 32);
    case ONES: return constant(UINT64_MAX, a->bytes == 32);
    case AND: {
        value u = of_width(s, s->now[a->a], a->bytes);
        value v = of_width(s, operand(s, a), a->bytes);
        const value *x = one(a, &v) ? &u : one(a, &u) ? &v : NULL;
        if (!x || !x->shifted) {
            value maybe = unknown(s);
            maybe.near = (u.shifted && !is_constant(&v)) || (v.shifted && !is_constant(&u));
            return maybe;
        }
        return (value){.x = NONE, .bit = x->x, .wide = x->wide, .join = NONE,
                       .lane0 = (x == &u ? v : u).lane0};
    }
    case SUM: return added(s, a, at);
    case SHIFT: return shifted(s, a);
    case LOW: {
        value v = constant(a->k, false);
        v.lane0 = true;
        return v;
    }
    case LOAD: return loaded_from(s, a);
    case TO_VECTOR: {
        value v = s->now[a->b];
        if (!is_constant(&v))
            return unknown(s);
        v.lane0 = true;
        if (a->k == 32)
            v.k = (uint32_t)v.k;
        v.wide = false;
        return v;
    }
    case FROM_VECTOR: { /* the low lane of an unknown vector has a number, too */
        value v = s->now[a->b];
        if (v.x == NONE || v.bit != NONE || v.shifted || v.k || a->bytes != 4)
            return unknown(s);
        v.x |= 1;
        return v;
    }
    case SPLAT32: {
        value v = s->now[a->b];
        if (!is_constant(&v))
            return unknown(s);
        return constant((uint32_t)v.k * UINT64_C(0x100000001), a->bytes == 32);
    }
    case SPLAT64: {
        value v = s->now[a->b];
        return is_constant(&v) ? constant(v.k, a->bytes == 32) : unknown(s);
    }
    default: return unknown(s);
    }
}

static void follow(states *s, size_t at)
{
    const act *a = &s->acts[at];
    forget_slots(s, a);
    if (a->kind == CALLED) { /* what the ABI lets it change */
        forget_loads(s, a);
        for (int r = 0; r < SLOT; r++)
            if (r >= VECTOR || (0x0fc7u >> r & 1))
                s->now[r] = unknown(s);
        return;
    }
    if (a->kind == UPPER) {
        for (int r = VECTOR; r < SLOT; r++)
            s->now[r].wide = false;
        return;
    }
    if (a->kind != CLOBBER && a->kind != COMPUTED) {
        value v = result(s, a, at);
        s->now[a->to] = v;
        forget_loads(s, a);
        return;
    }
    forget_loads(s, a);
    for (int r = 0; r < SLOT; r++)
        if (a->clobbers >> r & 1)
            s->now[r] = unknown(s);
}

/* ---- The function ----------------------------------------------------------------------- */

static void forget(states *s)
{
    for (int r = 0; r < REGISTERS; r++)
        s->now[r] = unknown(s);
    memset(s->loads, 0, sizeof s->loads);
}

/* Control goes to a block with what is known now: did that change what it knows? */
static bool hand_on(states *s, size_t to)
{
    bool changed = false;
    if (to >= s->w->block_n)
        return false;
    for (int r = 0; r < REGISTERS; r++) {
        const value *v = &s->now[r];
        value *in = &s->in[to * REGISTERS + (size_t)r];
        if (!s->seen[to]) {
            *in = is_constant(v) ? *v : unknown(s);
            changed = true;
        } else if (is_constant(in)) {
            bool same = is_constant(v) && v->k == in->k && v->lane0 == in->lane0;
            if (!same)
                *in = unknown(s);
            else if (in->wide && !v->wide)
                in->wide = false;
            else
                continue;
            changed = true;
        }
    }
    s->seen[to] = true;
    return changed;
}

/* What stands between block i and the next: calls, which no block contains. Does control go
 * on to the next? */
static bool between(states *s, size_t i, bool on)
{
    const worker *w = s->w;
    size_t next = i + 1 < w->block_n ? w->blocks[i + 1].first : w->insn_n;
    for (size_t k = w->blocks[i].last; k < next; k++) {
        if (fz_image_leader(w->rq->image, w->insns[k].at)) {
            forget(s);
            on = true;
        }
        follow(s, k);
    }
    return on;
}

static bool sweep(states *s)
{
    worker *w = s->w;
    bool changed = false, on = false; /* on: only the block before leads here */
    for (size_t i = 0; i < w->block_n; i++) {
        const block *b = &w->blocks[i];
        const insn *end = &w->insns[b->last - 1];
        if (fz_image_leader(w->rq->image, b->lo) || !on) {
            if (on)
                changed |= hand_on(s, i);
            if (!s->seen[i]) {
                on = between(s, i, false);
                continue;
            }
            memset(s->loads, 0, sizeof s->loads);
            for (int r = 0; r < REGISTERS; r++) {
                value v = s->in[i * REGISTERS + (size_t)r];
                s->now[r] = is_constant(&v) ? v : unknown(s);
            }
        }
        for (size_t k = b->first; k < b->last; k++)
            follow(s, k);
        if (end->kind == JUMP || end->kind == BRANCH)
            changed |= hand_on(s, fz_body_block(w, end->target));
        if (s->acts[b->last - 1].kind == COMPUTED)
            for (size_t k = 0; k < w->block_n; k++)
                if (fz_image_leader(w->rq->image, w->blocks[k].lo))
                    changed |= hand_on(s, k);
        on = between(s, i, !b->ends);
    }
    return changed;
}

/* Blocks that nothing seen leads to know nothing. */
static bool unreached(states *s)
{
    for (size_t i = 0; i < s->w->block_n; i++)
        if (!s->seen[i] && (i == 0 || fz_image_leader(s->w->rq->image, s->w->blocks[i].lo))) {
            forget(s);
            hand_on(s, i);
            return true;
        }
    return false;
}

bool fz_bf16_find(worker *w)
{
    states s = {.w = w,
                .acts = calloc(w->insn_n + 1, sizeof *s.acts),
                .in = calloc(w->block_n * REGISTERS + 1, sizeof *s.in),
                .seen = calloc(w->block_n + 1, sizeof *s.seen)};
    w->out->failed |= !s.acts || !s.in || !s.seen;
    for (size_t k = 0; k < w->insn_n && !w->out->failed; k++) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        if (fz_body_decode(w, k, &x, o))
            s.acts[k] = describe(&s, &w->insns[k], &x, o);
    }
    if (!w->out->failed && !(s.frame && s.other)) {
        forget(&s);
        hand_on(&s, 0);
        do
            while (sweep(&s))
                ;
        while (unreached(&s));
        s.last = true;
        sweep(&s);
    }
    size_t sites = 0;
    for (size_t i = 0; i < w->block_n; i++)
        for (size_t k = w->blocks[i].first; k < w->blocks[i].last; k++) {
            insn *x = &w->insns[k];
            w->blocks[i].sites += x->bf16.site;
            sites += x->bf16.site;
            if (x->bf16.site && x->bf16.general && x->flags_set && x->need &&
                fz_live_flags(w, &w->blocks[i], k + 1)) {
                x->need = 0;
                x->why = unknown_form;
            }
        }
    free(s.acts);
    free(s.in);
    free(s.seen);
    return sites > 0;
}
