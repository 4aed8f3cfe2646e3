/* A library's plan: blocks to move, their code, patches.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A basic block that rounds is moved whole, so the length of an instruction does not
 * matter: its first five bytes become a jump, the rest is dead. It ends in front of a
 * call, which stays where it is: return addresses, unwind tables and landing pads keep
 * their meaning. A block of two to four bytes gets a short jump into the dead bytes of a
 * neighbour, where a long one waits. Blocks that do not round are moved where they lie
 * between blocks that do: they win dead bytes, and loops stay in the moved code.
 *
 * Within a block the sites of a group share lent registers and keep the random state in
 * one; in a loop without calls all blocks do. Only what the block itself shows is used: a
 * register is dead if the block writes all of it before reading it, flags if it sets all of
 * them (or returns).
 *
 * Functions are planned in parallel, each into a worker's own buffers; the code is put
 * together in order of address, so that a plan does not depend on the number of workers.
 */
#include "plan.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- Instructions of a function --------------------------------------------------------- */

enum kind { PLAIN, SITE, NOTHING, JUMP, BRANCH, LAST, BEFORE, BARRIER };
/* PLAIN to be copied; JUMP, BRANCH with a relative target; LAST: nothing follows (return,
 * indirect jump); BEFORE: a block ends in front of it (calls, loop); BARRIER: touches all
 * vector registers. */

typedef struct insn {
    uint64_t at, target;
    uint16_t use, writes; /* vector registers; writes: all of it, without reading */
    uint8_t length, kind, disp_at, condition;
    uint8_t flags_read, flags_set; /* of the six status flags */
    bool no_flags;                 /* calls and returns: flags are dead there */
    bool x87;
    /* Of a site: registers to lend, 0 if it cannot be perturbed, and why not. */
    uint8_t need;
    const char *why;
    bool narrows; /* a scalar from f64 to f32 */
    /* Upper halves of ymm registers: read, and overwritten or cleared. */
    uint16_t reads256, kills256, writes256;
} insn;

typedef struct block {
    size_t first, last; /* instructions, last not included */
    uint64_t lo, hi;    /* bytes that moving it frees; hi: where to go on */
    uint32_t sites;
    bool moved, ends;   /* ends: control does not fall through */
    bool no_flags;      /* flags are dead at its end */
    uint16_t uppers_in, uppers_out; /* upper halves that are live */
    uint16_t uppers_read;           /* that this function reads later */
    uint16_t uppers_set;            /* that may hold something at its begin */
    size_t region;      /* number of its region, 0 for none */
    uint32_t inner;     /* its code within a region */
    int opens;          /* loops that begin here, less those that end */
    bool loop;
} block;

/* What a worker has made of a run of functions. */
typedef struct entry {
    uint64_t at;
    uint32_t length, sites, code;
    fz_planblock operations;
    const char *function;
} entry;

typedef struct part {
    size_t first; /* function: for the order */
    fz_code code;
    entry *entries;
    size_t entry_n, entry_cap;
    fz_plan_counts counts;
    bool failed;
} part;

static uint8_t pack_flags(uint32_t f)
{
    return (uint8_t)((f & ZYDIS_CPUFLAG_CF ? 1 : 0) | (f & ZYDIS_CPUFLAG_PF ? 2 : 0) |
                     (f & ZYDIS_CPUFLAG_AF ? 4 : 0) | (f & ZYDIS_CPUFLAG_ZF ? 8 : 0) |
                     (f & ZYDIS_CPUFLAG_SF ? 16 : 0) | (f & ZYDIS_CPUFLAG_OF ? 32 : 0));
}

static void count_left(fz_plan_counts *c, const char *why, uint64_t sites)
{
    for (int i = 0; i < 16; i++) {
        if (c->left[i].why && strcmp(c->left[i].why, why) != 0)
            continue;
        c->left[i].why = why;
        c->left[i].sites += sites;
        return;
    }
}

static void registers(insn *out, const ZydisDecodedInstruction *x,
                      const ZydisDecodedOperand *o)
{
    uint32_t reads = 0, writes = 0, use = 0;
    for (int i = 0; i < x->operand_count; i++) {
        if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            int v = fz_vector_register(o[i].reg.value);
            if (v < 0 || v > 15)
                continue;
            use |= 1u << v;
            bool ymm = ZydisRegisterGetClass(o[i].reg.value) == ZYDIS_REGCLASS_YMM;
            if (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ) {
                reads |= 1u << v;
                out->reads256 |= (uint16_t)(ymm << v);
            }
            if (o[i].actions & ZYDIS_OPERAND_ACTION_WRITE) {
                out->kills256 |= (uint16_t)(1 << v);
                out->writes256 |= (uint16_t)(ymm << v);
            }
            if (o[i].actions == ZYDIS_OPERAND_ACTION_WRITE)
                writes |= 1u << v;
        } else if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY && o[i].mem.index) {
            int v = fz_vector_register(o[i].mem.index);
            if (v >= 0 && v < 16) {
                use |= 1u << v;
                reads |= 1u << v;
            }
        }
    }
    out->use = (uint16_t)use;
    if (x->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        out->kills256 = 0;
    /* VEX clears what it does not write; legacy code keeps the upper half. */
    out->writes = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX
                      ? (uint16_t)(writes & ~reads) : 0;
}

static void describe(insn *out, const ZydisDecodedInstruction *x,
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
    if (fz_insn_rounds(x))
        out->kind = SITE;
}

/* ---- One worker ------------------------------------------------------------------------- */

typedef struct worker {
    const fz_plan_request *rq;
    ZydisDecoder decoder;
    fz_emit emit;
    bool wide; /* the function has 256-bit code */
    part *out;
    insn *insns;
    size_t insn_n, insn_cap;
    block *blocks;
    size_t block_n, block_cap;
    struct region *regions;
    size_t region_n, region_cap;
    struct edge *edges;
    size_t edge_n, edge_cap;
} worker;

static void *grow(void *p, size_t n, size_t *cap, size_t size, bool *failed)
{
    if (n < *cap)
        return p;
    size_t bigger = *cap ? 2 * *cap : 256;
    void *q = realloc(p, bigger * size);
    if (!q) {
        *failed = true;
        return p;
    }
    *cap = bigger;
    return q;
}

static bool decode(worker *w, uint64_t at, uint64_t end, ZydisDecodedInstruction *x,
                   ZydisDecodedOperand *o)
{
    const uint8_t *p = fz_image_at(w->rq->image, at);
    return p && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&w->decoder, p, end - at, x, o));
}

static void add_block(worker *w, size_t first, size_t last, uint64_t hi)
{
    if (first == last)
        return;
    w->blocks = grow(w->blocks, w->block_n, &w->block_cap, sizeof *w->blocks,
                     &w->out->failed);
    if (w->out->failed)
        return;
    const insn *end = &w->insns[last - 1];
    block b = {first, last, w->insns[first].at, hi, 0, false, false, end->no_flags, 0, 0, 0, 0,
               0, 0, 0, false};
    if (end->kind == BEFORE) {
        b.hi = end->at;
        b.last = --last;
        if (first == last)
            return;
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

/* Which upper halves of ymm registers are live, by the usual analysis over the function's
 * blocks. Where none is, sites use 128 bits only: to write a ymm register, be it to restore
 * it, makes each change between legacy and VEX code cost hundreds of cycles until the next
 * vzeroupper. Only registers that the function writes as ymm, or is given, can be live. */
static uint16_t uppers_before(const worker *w, size_t first, size_t last, uint16_t live)
{
    for (size_t k = last; k-- > first;) {
        const insn *i = &w->insns[k];
        live = (uint16_t)((live & ~i->kills256) | i->reads256);
    }
    return live;
}

/* Upper halves that may hold something after instructions first .. last, last not included. */
static uint16_t uppers_left(const worker *w, size_t first, size_t last, uint16_t set)
{
    for (size_t k = first; k < last; k++) {
        const insn *i = &w->insns[k];
        set = (uint16_t)((set & ~i->kills256) | i->writes256);
    }
    return set;
}

static bool inside(const worker *w, uint64_t at)
{
    return at >= w->insns[0].at && at <= w->insns[w->insn_n - 1].at;
}

/* The block that begins at an address; block_n if none does. */
static size_t block_at(const worker *w, uint64_t at)
{
    size_t i = inside(w, at) ? block_from(w, at) : w->block_n;
    return i < w->block_n && w->blocks[i].lo == at ? i : w->block_n;
}

/* Live after block i. `assumed`: with what returns, calls and jumps to elsewhere may use;
 * without it, what this function is seen to read. */
static uint16_t live_after(const worker *w, size_t i, bool assumed)
{
    const block *b = &w->blocks[i];
    const insn *end = &w->insns[b->last - 1];
    const uint16_t arguments = assumed ? 0xff : 0, anything = assumed ? UINT16_MAX : 0;
    uint16_t live = 0;
    if (end->kind == LAST) {
        if (end->no_flags)
            return arguments & 3; /* a return */
        for (size_t k = 0; k < w->block_n; k++) /* a computed jump: any leader */
            if (fz_image_leader(w->rq->image, w->blocks[k].lo))
                live |= w->blocks[k].uppers_in;
        return live | arguments;
    }
    if (end->kind == JUMP || end->kind == BRANCH) {
        size_t to = block_at(w, end->target);
        live = !inside(w, end->target) ? arguments
               : to < w->block_n       ? w->blocks[to].uppers_in : anything;
    }
    if (end->kind != JUMP)
        live |= i + 1 < w->block_n ? w->blocks[i + 1].uppers_in : anything;
    if (b->no_flags && !b->ends) /* a call */
        live = assumed ? live | arguments : 0;
    return live;
}

static void find_live(worker *w, uint16_t possible, bool assumed)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = w->block_n; i-- > 0;) {
            block *b = &w->blocks[i];
            b->uppers_out = live_after(w, i, assumed) & possible;
            uint16_t in = uppers_before(w, b->first, b->last, b->uppers_out);
            changed |= in != b->uppers_in;
            b->uppers_in = in;
        }
    }
}

/* Hand `set` on to the block that begins at `at`; did that change it? */
static bool hand_on(worker *w, size_t to, uint16_t set)
{
    if (to >= w->block_n || !(set & ~w->blocks[to].uppers_set))
        return false;
    w->blocks[to].uppers_set |= set;
    return true;
}

static bool set_after(worker *w, size_t i)
{
    const block *b = &w->blocks[i];
    const insn *end = &w->insns[b->last - 1];
    uint16_t set = uppers_left(w, b->first, b->last, b->uppers_set);
    bool changed = false;
    if (end->kind == JUMP || end->kind == BRANCH)
        changed |= hand_on(w, block_at(w, end->target), set);
    if (b->no_flags && !b->ends && i + 1 < w->block_n)
        set |= w->blocks[i + 1].uppers_read & 3; /* what a call returns */
    if (!b->ends)
        changed |= hand_on(w, i + 1, set);
    if (end->kind == LAST && !end->no_flags) /* a computed jump: any leader */
        for (size_t k = 0; k < w->block_n; k++)
            if (fz_image_leader(w->rq->image, w->blocks[k].lo))
                changed |= hand_on(w, k, set);
    return changed;
}

static void find_uppers(worker *w)
{
    uint16_t possible = 0;
    for (size_t k = 0; k < w->insn_n; k++)
        possible |= w->insns[k].writes256 | w->insns[k].reads256;
    if (!possible || !w->block_n)
        return;
    find_live(w, possible, false);
    for (size_t i = 0; i < w->block_n; i++)
        w->blocks[i].uppers_read = w->blocks[i].uppers_in;
    find_live(w, possible, true);
    /* A function that is given ymm registers reads them. */
    w->blocks[0].uppers_set = w->blocks[0].uppers_read;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < w->block_n; i++)
            changed |= set_after(w, i);
    }
}

/* May sites first .. last of a block use 256 bits? */
static bool wide_at(const worker *w, const block *b, size_t first, size_t last)
{
    for (size_t k = first; k <= last; k++)
        if (w->insns[k].reads256 | w->insns[k].writes256)
            return true;
    return (uppers_before(w, last + 1, b->last, b->uppers_out) &
            uppers_left(w, b->first, first, b->uppers_set)) != 0;
}

/* A block is in a loop if it lies between a branch and an earlier target. */
static void find_loops(worker *w)
{
    for (size_t i = 0; i < w->insn_n; i++) {
        const insn *x = &w->insns[i];
        if ((x->kind == JUMP || x->kind == BRANCH) && x->target <= x->at &&
            x->target >= w->insns[0].at) {
            size_t first = block_from(w, x->target), end = block_from(w, x->at + 1);
            if (first < w->block_n)
                w->blocks[first].opens++;
            if (end < w->block_n)
                w->blocks[end].opens--;
        }
    }
    int depth = 0;
    for (size_t i = 0; i < w->block_n; i++)
        w->blocks[i].loop = (depth += w->blocks[i].opens) > 0;
}

/* Blocks of a function; false if it cannot be decoded to its end. */
static bool split(worker *w, const fz_function *f)
{
    w->insn_n = w->block_n = 0;
    size_t first = 0;
    for (uint64_t at = f->lo; at < f->hi;) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        if (!decode(w, at, f->hi, &x, o))
            return false;
        w->insns = grow(w->insns, w->insn_n, &w->insn_cap, sizeof *w->insns,
                        &w->out->failed);
        if (w->out->failed)
            return false;
        if (w->insn_n > first && fz_image_leader(w->rq->image, at)) {
            add_block(w, first, w->insn_n, at);
            first = w->insn_n;
        }
        insn *i = &w->insns[w->insn_n++];
        describe(i, &x, o, at);
        at += x.length;
        if (i->kind >= JUMP && i->kind <= BEFORE) {
            add_block(w, first, w->insn_n, at);
            first = w->insn_n;
        }
    }
    add_block(w, first, w->insn_n, f->hi);
    find_loops(w);
    find_uppers(w);
    return true;
}

/* Blocks that round, and short ones beside them. */
static void choose(worker *w)
{
    for (size_t i = 0; i < w->block_n; i++) {
        block *b = &w->blocks[i];
        bool beside = (i > 0 && w->blocks[i - 1].sites) ||
                      (i + 1 < w->block_n && w->blocks[i + 1].sites);
        b->moved = b->region || (b->hi - b->lo >= 2 &&
                                 (b->sites || (beside && b->hi - b->lo <= 96)));
    }
}

static void copy(worker *w, const insn *i)
{
    fz_code *c = w->emit.code;
    const uint8_t *p = fz_image_at(w->rq->image, i->at);
    for (unsigned k = 0; k < i->length; k++) {
        if (i->disp_at && k == i->disp_at) {
            fz_put_fix(c, FZ_FIX_DATA, i->target, i->length - i->disp_at - 4);
            k += 3;
            continue;
        }
        fz_put(c, p[k]);
    }
}

static void plain(worker *w, const insn *i)
{
    if (i->kind == JUMP)
        fz_jump(w->emit.code, FZ_FIX_CODE, i->target);
    else if (i->kind == BRANCH)
        fz_jump_if(w->emit.code, i->condition, FZ_FIX_CODE, i->target);
    else if (i->kind != NOTHING)
        copy(w, i);
}

static bool site_at(worker *w, size_t k, ZydisDecodedInstruction *x,
                    ZydisDecodedOperand *o)
{
    const insn *i = &w->insns[k];
    return i->kind == SITE && decode(w, i->at, i->at + i->length, x, o);
}

/* Once for all blocks that ask, and one answer to all of them, whatever width they choose. */
static void measure_sites(worker *w)
{
    for (size_t k = 0; k < w->insn_n; k++) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        insn *i = &w->insns[k];
        if (!site_at(w, k, &x, o))
            continue;
        fz_class c = fz_insn_class(x.mnemonic);
        i->need = (uint8_t)fz_emit_need(&w->emit, &x, o, &i->why);
        i->narrows = c.op == FZ_INST_F64_F32 && c.scalar;
    }
}

/* Are the flags that instruction k of a block meets read before they are all set? */
static bool flags_live(const worker *w, const block *b, size_t k)
{
    uint8_t set = 0;
    for (; k < b->last; k++) {
        const insn *i = &w->insns[k];
        if (i->flags_read & ~set)
            return true;
        set |= i->flags_set;
        if (set == 63)
            return false;
    }
    return !b->no_flags;
}

/* How a Python number enters: drawn anew at each call it would shift whole tensors. */
static bool stays_exact(const block *b, const insn *i)
{
    return i->narrows && !b->loop;
}

/* Instruction k of a block: rounded where it rounds and can be. */
static void one(worker *w, const block *b, size_t k)
{
    ZydisDecodedInstruction x;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    const insn *i = &w->insns[k];
    if (stays_exact(b, i)) {
        w->out->counts.exact++;
    } else if (i->need && site_at(w, k, &x, o)) {
        w->emit.flags_live = flags_live(w, b, k + 1);
        fz_emit_site(&w->emit, &x, o, i->at);
        w->out->counts.perturbed++;
        return;
    } else if (i->why) {
        count_left(&w->out->counts, i->why, 1);
    }
    plain(w, i);
}

static fz_planblock operations_of(worker *w, const block *b, bool exact)
{
    fz_planblock n = {0};
    for (size_t k = b->first; k < b->last; k++) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        if (!site_at(w, k, &x, o))
            continue;
        unsigned m = fz_insn_operations(&x);
        if (exact || stays_exact(b, &w->insns[k]))
            n.exact += m;
        else if (w->rq->variant == FZ_IDENTITY || !w->insns[k].need)
            n.left += m;
        else
            n.perturbed += m;
    }
    return n;
}

/* Lend `need` + 1 registers of `free`, best first. */
static void lend(worker *w, const int *free, int need)
{
    for (int i = 0; i < need; i++)
        w->emit.temp[i] = free[i];
    w->emit.state = free[need];
}

static void save(worker *w, const int *regs, int n, unsigned dead, unsigned op)
{
    for (int i = 0; i < n; i++)
        if (!(dead >> regs[i] & 1))
            fz_rrt(w->emit.code, op, w->emit.wide, regs[i], 0,
                   w->rq->tls + (int32_t)offsetof(fz_inst_tls, saved) + 32 * regs[i]);
}

static int free_of(unsigned use, unsigned dead, int *out)
{
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int v = 15; v >= 0; v--)
            if (!(use >> v & 1) && (dead >> v & 1) == !pass)
                out[n++] = v;
    return n;
}

/* Instructions first .. of a block that can share lent registers: returns the last site's
 * index, *use and *need. */
static size_t group(worker *w, const block *b, size_t first, int first_need, unsigned *use,
                    int *need)
{
    size_t last = first;
    unsigned u = w->insns[first].use;
    int n = first_need;
    *use = u;
    *need = n;
    for (size_t k = first + 1; k < b->last; k++) {
        const insn *i = &w->insns[k];
        if (i->kind >= JUMP)
            break;
        int mine = i->need;
        u |= i->use;
        n = mine > n ? mine : n;
        if (16 - __builtin_popcount(u) < n + 1)
            break;
        if (mine) {
            last = k;
            *use = u;
            *need = n;
        }
    }
    return last;
}

static unsigned dead_after(const worker *w, const block *b, size_t last, unsigned use)
{
    unsigned dead = 0, seen = 0;
    for (size_t k = last + 1; k < b->last; k++) {
        if (w->insns[k].kind == BARRIER)
            break;
        dead |= w->insns[k].writes & ~seen;
        seen |= w->insns[k].use;
    }
    return dead & ~use;
}

/* ---- Regions: loops whose blocks keep lent registers and the state all along ------------- */

typedef struct region {
    size_t first, last; /* blocks, last included */
    unsigned use;
    int need;
    bool wide;
} region;

enum { REGION_BYTES = 4096 };

static bool has_ymm(const worker *w, const block *b)
{
    for (size_t k = b->first; k < b->last; k++)
        if (w->insns[k].reads256 | w->insns[k].writes256)
            return true;
    return false;
}

/* Does control come to block i from outside the region, as far as can be seen? What cannot be
 * seen does not come from one of its blocks either. */
static bool entered(const worker *w, const region *r, size_t i)
{
    bool inside_only = false;
    for (size_t j = 0; j < w->block_n; j++) {
        const block *b = &w->blocks[j];
        const insn *end = &w->insns[b->last - 1];
        bool to = (j + 1 == i && !b->ends) ||
                  ((end->kind == JUMP || end->kind == BRANCH) &&
                   end->target == w->blocks[i].lo);
        if (to && (j < r->first || j > r->last))
            return true;
        inside_only |= to;
    }
    return !inside_only;
}

/* Registers and conditions of a region; false if it cannot be one: calls, too many registers,
 * a block that belongs to another. */
static bool fits(worker *w, region *r)
{
    r->use = 0;
    r->need = 0;
    r->wide = false;
    if (w->blocks[r->last].hi - w->blocks[r->first].lo > REGION_BYTES)
        return false;
    for (size_t i = r->first; i <= r->last; i++) {
        const block *b = &w->blocks[i];
        if (b->region || (b->no_flags && !b->ends) ||
            (i < r->last && b->hi != w->blocks[i + 1].lo))
            return false;
        for (size_t k = b->first; k < b->last; k++) {
            const insn *x = &w->insns[k];
            int n = x->need;
            if (x->kind == BARRIER)
                return false;
            r->use |= x->use;
            r->need = n > r->need ? n : r->need;
        }
        r->wide |= wide_at(w, b, b->first, b->last - 1);
    }
    if (!r->need || 16 - __builtin_popcount(r->use) < r->need + 1)
        return false;
    /* To load the state as ymm where the loop may end without having used any would leave
     * upper halves in use that nobody clears. */
    for (size_t i = r->first; r->wide && i <= r->last; i++)
        if (entered(w, r, i) && !has_ymm(w, &w->blocks[i]))
            return false;
    return true;
}

static int longer_first(const void *a, const void *b)
{
    const region *x = a, *y = b;
    size_t m = x->last - x->first, n = y->last - y->first;
    return m < n ? 1 : m > n ? -1 : x->first < y->first ? -1 : x->first > y->first;
}

/* Loops, the outermost that fit; their blocks are all moved. */
static void find_regions(worker *w)
{
    w->region_n = 0;
    for (size_t i = 0; i < w->block_n; i++) {
        const insn *x = &w->insns[w->blocks[i].last - 1];
        if (x->kind != JUMP && x->kind != BRANCH)
            continue;
        size_t head = block_at(w, x->target);
        if (head > i)
            continue;
        w->regions = grow(w->regions, w->region_n, &w->region_cap, sizeof *w->regions,
                          &w->out->failed);
        if (w->out->failed)
            return;
        w->regions[w->region_n++] = (region){.first = head, .last = i};
    }
    qsort(w->regions, w->region_n, sizeof *w->regions, longer_first);
    for (size_t i = 0; i < w->region_n; i++)
        if (fits(w, &w->regions[i]))
            for (size_t k = w->regions[i].first; k <= w->regions[i].last; k++)
                w->blocks[k].region = i + 1;
}

static void count(worker *w, const block *b)
{
    if (!w->rq->counters || !b->sites)
        return;
    w->emit.flags_live = flags_live(w, b, b->first);
    fz_emit_count(&w->emit, b->lo);
}

static void enter_region(worker *w, const region *r, const int *regs)
{
    save(w, regs, r->need + 1, 0, OP_STORE);
    fz_emit_state_load(&w->emit);
}

static void leave_region(worker *w, const region *r, const int *regs)
{
    fz_emit_state_store(&w->emit);
    save(w, regs, r->need + 1, 0, OP_LOAD);
}

/* A jump of a region's code: to a block within, or out of it by a stub. */
typedef struct edge {
    size_t fix;
    uint64_t target;
} edge;

static void add_edge(worker *w, size_t fix, uint64_t target)
{
    w->edges = grow(w->edges, w->edge_n, &w->edge_cap, sizeof *w->edges, &w->out->failed);
    if (!w->out->failed)
        w->edges[w->edge_n++] = (edge){fix, target};
}

static void region_block(worker *w, const region *r, size_t i, const int *regs)
{
    fz_code *c = w->emit.code;
    block *b = &w->blocks[i];
    b->inner = (uint32_t)c->n;
    count(w, b);
    for (size_t k = b->first; k < b->last; k++) {
        const insn *x = &w->insns[k];
        if (x->kind == BRANCH) {
            add_edge(w, fz_jump_if(c, x->condition, FZ_FIX_HERE, 0), x->target);
        } else if (x->kind == JUMP) {
            add_edge(w, fz_jump(c, FZ_FIX_HERE, 0), x->target);
        } else {
            if (x->kind == LAST)
                leave_region(w, r, regs);
            one(w, b, k);
        }
    }
    if (!b->ends && i == r->last) {
        leave_region(w, r, regs);
        fz_jump(c, FZ_FIX_CODE, b->hi);
    }
}

/* The region's code; code offsets of its blocks' entries to `entries`. */
static void move_region(worker *w, const region *r, entry *entries)
{
    fz_code *c = w->emit.code;
    int regs[16];
    free_of(r->use, 0, regs);
    w->emit.wide = r->wide;
    lend(w, regs, r->need);
    w->edge_n = 0;
    entries[0].code = (uint32_t)c->n;
    enter_region(w, r, regs);
    for (size_t i = r->first; i <= r->last; i++)
        region_block(w, r, i, regs);
    for (size_t i = 0; i < w->edge_n && !c->failed; i++) {
        const edge *g = &w->edges[i];
        size_t to = block_at(w, g->target);
        if (to >= r->first && to <= r->last) {
            c->fixes[g->fix].target = w->blocks[to].inner;
            continue;
        }
        fz_fix_here(c, g->fix);
        leave_region(w, r, regs);
        fz_jump(c, FZ_FIX_CODE, g->target);
    }
    for (size_t i = r->first + 1; i <= r->last; i++) {
        entries[i - r->first].code = (uint32_t)c->n;
        enter_region(w, r, regs);
        fz_jump(c, FZ_FIX_HERE, w->blocks[i].inner);
    }
    w->emit.wide = w->wide;
}

static void move_block(worker *w, const block *b, bool exact)
{
    count(w, b);
    if (exact || w->emit.variant == FZ_IDENTITY) {
        for (size_t k = b->first; k < b->last; k++)
            plain(w, &w->insns[k]);
        return;
    }
    for (size_t k = b->first; k < b->last;) {
        int need = w->insns[k].need;
        if (!need) {
            one(w, b, k++);
            continue;
        }
        unsigned use;
        int regs[16];
        size_t last = group(w, b, k, need, &use, &need);
        unsigned dead = dead_after(w, b, last, use);
        w->emit.wide = wide_at(w, b, k, last);
        free_of(use, dead, regs);
        lend(w, regs, need);
        save(w, regs, need + 1, dead, OP_STORE);
        fz_emit_state_load(&w->emit);
        for (; k <= last; k++)
            one(w, b, k);
        fz_emit_state_store(&w->emit);
        save(w, regs, need + 1, dead, OP_LOAD);
        w->emit.wide = w->wide;
    }
}

/* Entries for blocks i .. i+n-1, which are moved to here. */
static entry *add_entries(worker *w, size_t i, size_t n)
{
    part *out = w->out;
    for (size_t k = 0; k < n; k++) {
        const block *b = &w->blocks[i + k];
        out->entries = grow(out->entries, out->entry_n, &out->entry_cap,
                            sizeof *out->entries, &out->failed);
        if (out->failed)
            return NULL;
        out->entries[out->entry_n++] =
            (entry){.at = b->lo,
                    .length = (uint32_t)(b->hi - b->lo),
                    .sites = b->sites,
                    .code = (uint32_t)out->code.n};
        out->counts.blocks++;
    }
    return &out->entries[out->entry_n - n];
}

static bool uses_ymm(const worker *w)
{
    for (size_t k = 0; k < w->insn_n; k++)
        if (w->insns[k].reads256 | w->insns[k].writes256)
            return true;
    return false;
}

static void plan_function(worker *w, const fz_function *f)
{
    part *out = w->out;
    out->counts.functions++;
    if (f->refused || f->evex || !split(w, f)) {
        out->counts.refused_functions++;
        out->counts.sites += f->fp;
        count_left(&out->counts,
                   f->refused ? f->refused
                   : f->evex  ? "function with EVEX code"
                              : "undecodable function",
                   f->fp);
        return;
    }
    bool exact = w->rq->exact && w->rq->exact(f->name, w->rq->arg);
    for (size_t k = 0; k < w->insn_n; k++)
        if (w->insns[k].x87) {
            out->counts.sites++;
            count_left(&out->counts, "x87", 1);
        }
    w->wide = f->vex && uses_ymm(w);
    w->emit.wide = w->wide;
    measure_sites(w);
    /* Which blocks are moved must not depend on variant or rules: patches lead to the slots
     * of any of them. */
    find_regions(w);
    choose(w);
    const bool as_it_is = exact || w->rq->variant == FZ_IDENTITY;
    for (size_t i = 0; i < w->block_n && !out->failed; i++) {
        const block *b = &w->blocks[i];
        out->counts.sites += b->sites;
        if (!b->moved) {
            if (b->sites)
                count_left(&out->counts, "block of one byte", b->sites);
            continue;
        }
        const region *r =
            b->region && !as_it_is ? &w->regions[b->region - 1] : NULL;
        if (r && r->first != i)
            continue; /* moved with the region's first */
        size_t n = r ? r->last - r->first + 1 : 1, end = i + n;
        entry *e = add_entries(w, i, n);
        if (!e)
            return;
        if (exact)
            out->counts.exact += b->sites;
        for (size_t k = 0; k < n && w->rq->counters; k++) {
            e[k].operations = operations_of(w, &w->blocks[i + k], exact);
            e[k].function = f->name;
        }
        if (r)
            move_region(w, r, e);
        else
            move_block(w, b, exact);
        /* The next block in address order may be the next one here. */
        bool next = end < w->block_n && w->blocks[end].moved &&
                    w->blocks[end].lo == w->blocks[end - 1].hi;
        if (!r && !b->ends && !next)
            fz_jump(&out->code, FZ_FIX_CODE, b->hi);
    }
    fz_emit_cold(&w->emit);
    out->failed |= out->code.failed;
}

/* ---- Parallel --------------------------------------------------------------------------- */

enum { RUN = 256 }; /* functions a part */

typedef struct shared {
    const fz_plan_request *rq;
    part *parts;
    size_t part_n;
    uint64_t stub[2];
    atomic_size_t next, done;
} shared;

static void *work(void *arg)
{
    shared *s = arg;
    const fz_plan_request *rq = s->rq;
    worker w = {.rq = rq};
    ZydisDecoderInit(&w.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    w.emit = (fz_emit){.variant = rq->variant, .tls = rq->tls, .vaes = rq->vaes,
                       .stub = {s->stub[0], s->stub[1]}};
    for (size_t i; (i = atomic_fetch_add(&s->next, 1)) < s->part_n;) {
        part *p = w.out = &s->parts[i];
        p->first = i * RUN;
        w.emit.code = &p->code;
        size_t end = p->first + RUN < rq->image->count ? p->first + RUN : rq->image->count;
        for (size_t k = p->first; k < end && !p->failed; k++) {
            const fz_function *f = &rq->image->functions[k];
            if (f->wanted && f->fp)
                plan_function(&w, f);
        }
        atomic_fetch_add(&s->done, 1);
    }
    free(w.insns);
    free(w.blocks);
    free(w.regions);
    free(w.edges);
    free(w.emit.slow);
    return NULL;
}

static void run_workers(shared *s)
{
    pthread_t id[64];
    int n = s->rq->threads > 64 ? 64 : s->rq->threads, started = 0;
    for (int i = 1; i < n; i++)
        if (pthread_create(&id[started], NULL, work, s) == 0)
            started++;
    work(s);
    for (int i = 0; i < started; i++)
        pthread_join(id[i], NULL);
}

/* ---- Putting together ------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const fz_patch *)a)->at, y = ((const fz_patch *)b)->at;
    return x < y ? -1 : x > y;
}

typedef struct moved {
    entry *e; /* by address; code: offset in the whole */
    size_t n;
} moved;

static int entry_by_address(const void *a, const void *b)
{
    uint64_t x = ((const entry *)a)->at, y = ((const entry *)b)->at;
    return x < y ? -1 : x > y;
}

static const entry *find_moved(const moved *m, uint64_t at)
{
    entry key = {.at = at};
    return bsearch(&key, m->e, m->n, sizeof *m->e, entry_by_address);
}

static const char *gather(fz_plan *plan, shared *s, moved *m)
{
    size_t code = 0, entries = 0;
    for (size_t i = 0; i < s->part_n; i++) {
        if (s->parts[i].failed)
            return "no memory for a plan";
        code += s->parts[i].code.n;
        entries += s->parts[i].entry_n;
    }
    plan->code_size = (code + FZ_PAGE - 1) / FZ_PAGE * FZ_PAGE;
    plan->code = malloc(plan->code_size ? plan->code_size : 1);
    m->e = malloc((entries ? entries : 1) * sizeof *m->e);
    if (!plan->code || !m->e)
        return "no memory for a plan";
    memset(plan->code, 0xcc, plan->code_size);
    size_t at = 0;
    for (size_t i = 0; i < s->part_n; i++) {
        part *p = &s->parts[i];
        memcpy(plan->code + at, p->code.bytes, p->code.n);
        for (size_t k = 0; k < p->entry_n; k++) {
            m->e[m->n] = p->entries[k];
            m->e[m->n++].code += (uint32_t)at;
        }
        for (int k = 0; k < 16 && p->counts.left[k].why; k++)
            count_left(&plan->counts, p->counts.left[k].why, p->counts.left[k].sites);
        plan->counts.functions += p->counts.functions;
        plan->counts.refused_functions += p->counts.refused_functions;
        plan->counts.blocks += p->counts.blocks;
        plan->counts.sites += p->counts.sites;
        plan->counts.perturbed += p->counts.perturbed;
        plan->counts.exact += p->counts.exact;
        at += p->code.n;
    }
    qsort(m->e, m->n, sizeof *m->e, entry_by_address);
    return NULL;
}

/* A 32-bit displacement at p, which will be at address `at`. */
static bool put_displacement(uint8_t *p, uint64_t at, int after, uint64_t to)
{
    int64_t d = (int64_t)(to - (at + 4 + (uint64_t)after));
    int32_t d32 = (int32_t)d;
    memcpy(p, &d32, 4);
    return d == d32;
}

/* Addresses here are the library's own: the area begins at `distance`. */
static const char *fix_code(fz_plan *plan, const shared *s, const moved *m)
{
    uint64_t area = (uint64_t)s->rq->distance, base = area + s->rq->code;
    size_t start = 0;
    for (size_t i = 0; i < s->part_n; i++) {
        const part *p = &s->parts[i];
        for (size_t k = 0; k < p->code.fix_n; k++) {
            const fz_fix *f = &p->code.fixes[k];
            uint64_t to = f->target;
            const entry *e;
            switch (f->kind) {
            case FZ_FIX_BLOB: to += area; break;
            case FZ_FIX_HERE: to += base + start; break;
            case FZ_FIX_CODE:
                if ((e = find_moved(m, to)))
                    to = base + e->code;
                break;
            case FZ_FIX_COUNT:
                e = find_moved(m, to);
                to = area + s->rq->counters + 8 * (uint64_t)(e - m->e);
                break;
            }
            if (!put_displacement(plan->code + start + f->at, base + start + f->at,
                                  f->after, to))
                return "the library is too large for its moved code to be in reach";
        }
        start += p->code.n;
    }
    return NULL;
}

static fz_patch long_jump(uint64_t at, uint64_t to)
{
    fz_patch p = {at, 5, {0xe9}};
    put_displacement(p.bytes + 1, at + 1, 0, to);
    return p;
}

/* Short blocks take the nearest free dead bytes within a short jump. */
static void springboards(fz_plan *plan, const moved *m, uint64_t table, uint64_t *dead,
                         size_t dead_n)
{
    size_t from = 0;
    for (size_t i = 0; i < m->n; i++) {
        const entry *e = &m->e[i];
        if (e->length >= 5)
            continue;
        while (from < dead_n && dead[from] + 126 < e->at)
            from++;
        size_t k = from;
        while (k < dead_n && (dead[k] == 0 || dead[k] + 126 < e->at))
            k++;
        for (; k < dead_n && (dead[k] == 0 || dead[k] <= e->at + 129); k++)
            if (dead[k] && (int64_t)(dead[k] - e->at - 2) >= -128)
                break;
        if (k == dead_n || dead[k] == 0 || dead[k] > e->at + 129) {
            if (e->sites)
                count_left(&plan->counts, "short block without room for a jump", e->sites);
            continue;
        }
        plan->patches[plan->patch_n++] =
            (fz_patch){e->at, 2, {0xeb, (uint8_t)(dead[k] - e->at - 2)}};
        plan->patches[plan->patch_n++] = long_jump(dead[k], table + FZ_SLOT * i);
        dead[k] = 0;
    }
}

static int number_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static const char *patch(fz_plan *plan, const shared *s, const moved *m)
{
    uint64_t area = (uint64_t)s->rq->distance, table = area + FZ_AREA_TABLE;
    size_t dead_cap = 0, dead_n = 0;
    for (size_t i = 0; i < m->n; i++)
        dead_cap += m->e[i].length / 5;
    uint64_t *dead = malloc((dead_cap + 1) * sizeof *dead);
    plan->patches = malloc((2 * m->n + dead_cap + 1) * sizeof *plan->patches);
    plan->head_size = (FZ_AREA_TABLE - FZ_AREA_STUBS + FZ_SLOT * m->n + FZ_PAGE - 1) /
                      FZ_PAGE * FZ_PAGE;
    plan->head = malloc(plan->head_size);
    if (!dead || !plan->patches || !plan->head) {
        free(dead);
        return "no memory for a plan";
    }
    memset(plan->head, 0xcc, plan->head_size);
    for (size_t i = 0; i < m->n; i++) {
        const entry *e = &m->e[i];
        uint8_t *slot = plan->head + FZ_AREA_TABLE - FZ_AREA_STUBS + FZ_SLOT * i;
        fz_patch jump = long_jump(table + FZ_SLOT * i, area + s->rq->code + e->code);
        memcpy(slot, jump.bytes, 5);
        if (e->length < 5)
            continue;
        plan->patches[plan->patch_n++] = long_jump(e->at, table + FZ_SLOT * i);
        for (uint64_t d = e->at + 5; d + 5 <= e->at + e->length; d += 5)
            dead[dead_n++] = d;
    }
    qsort(dead, dead_n, sizeof *dead, number_order);
    springboards(plan, m, table, dead, dead_n);
    for (size_t i = 0; i < dead_n && s->rq->trap_dead; i++)
        if (dead[i])
            plan->patches[plan->patch_n++] =
                (fz_patch){dead[i], 5, {0xcc, 0xcc, 0xcc, 0xcc, 0xcc}};
    free(dead);
    qsort(plan->patches, plan->patch_n, sizeof *plan->patches, by_address);
    return NULL;
}

/* Operations and function of each block, by slot. */
static const char *describe_blocks(fz_plan *plan, const moved *m)
{
    size_t size = 1, room = 1;
    for (size_t i = 0; i < m->n; i++)
        room += strlen(m->e[i].function) + 1;
    plan->blocks = malloc((m->n + 1) * sizeof *plan->blocks);
    plan->names = malloc(room);
    if (!plan->blocks || !plan->names)
        return "no memory for a plan";
    plan->names[0] = 0;
    const char *last = NULL;
    uint32_t at = 0;
    for (size_t i = 0; i < m->n; i++) {
        const char *name = m->e[i].function;
        if (name != last && *name) {
            at = (uint32_t)size;
            strcpy(plan->names + size, name);
            size += strlen(name) + 1;
        } else if (!*name) {
            at = 0;
        }
        last = name;
        plan->blocks[i] = m->e[i].operations;
        plan->blocks[i].name = at;
    }
    plan->block_n = m->n;
    plan->names_size = size;
    return NULL;
}

/* The stubs, at the start of the head. */
static const char *stubs(fz_plan *plan, const fz_code *c)
{
    memcpy(plan->head, c->bytes, c->n);
    for (size_t i = 0; i < c->fix_n; i++)
        put_displacement(plan->head + c->fixes[i].at, FZ_AREA_STUBS + c->fixes[i].at, 0,
                         c->fixes[i].target);
    return NULL;
}

void fz_plan_free(fz_plan *plan)
{
    free(plan->head);
    free(plan->code);
    free(plan->patches);
    free(plan->blocks);
    free(plan->names);
    memset(plan, 0, sizeof *plan);
}

const char *fz_plan_make(fz_plan *plan, const fz_plan_request *rq)
{
    memset(plan, 0, sizeof *plan);
    fz_code stub = {0};
    shared s = {.rq = rq};
    moved m = {0};
    s.stub[0] = FZ_AREA_STUBS;
    fz_emit_stub(&stub, rq->tls, false);
    s.stub[1] = FZ_AREA_STUBS + stub.n;
    fz_emit_stub(&stub, rq->tls, true);
    s.part_n = (rq->image->count + RUN - 1) / RUN;
    s.parts = calloc(s.part_n ? s.part_n : 1, sizeof *s.parts);
    const char *why = s.parts && !stub.failed ? NULL : "no memory for a plan";
    if (!why) {
        run_workers(&s);
        why = gather(plan, &s, &m);
    }
    if (!why)
        why = fix_code(plan, &s, &m);
    if (!why)
        why = patch(plan, &s, &m);
    if (!why)
        why = stubs(plan, &stub);
    if (!why && rq->counters)
        why = describe_blocks(plan, &m);
    for (size_t i = 0; i < s.part_n && s.parts; i++) {
        free(s.parts[i].code.bytes);
        free(s.parts[i].code.fixes);
        free(s.parts[i].entries);
    }
    free(s.parts);
    free(stub.bytes);
    free(stub.fixes);
    free(m.e);
    if (why)
        fz_plan_free(plan);
    return why;
}
