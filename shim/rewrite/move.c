/* The code of moved blocks.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Within a block the sites of a group share lent registers and keep the random state in one;
 * in a loop without calls all blocks do.
 */
#include "body.h"

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
    fz_unwind_at(w, i->at);
    if (i->kind == JUMP)
        fz_jump(w->emit.code, FZ_FIX_CODE, i->target);
    else if (i->kind == BRANCH)
        fz_jump_if(w->emit.code, i->condition, FZ_FIX_CODE, i->target);
    else if (i->kind != NOTHING)
        copy(w, i);
}

/* Once for all blocks that ask, and one answer to all of them, whatever width they choose. */
static void measure_sites(worker *w)
{
    fz_emit largest = w->emit;
    largest.variant = FZ_CESTAC;
    for (size_t k = 0; k < w->insn_n; k++) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        insn *i = &w->insns[k];
        if (i->bf16.site || !fz_body_site(w, k, &x, o))
            continue;
        fz_class c = fz_insn_class(x.mnemonic);
        if (i->directed)
            continue;
        i->need = (uint8_t)fz_emit_need(&w->emit, &x, o, &i->why);
        i->most = (uint8_t)fz_emit_need(&largest, &x, o, &i->why);
        i->narrows = c.op == FZ_INST_F64_F32 && c.scalar;
        int lanes, gives;
        i->widens = i->need ? (uint16_t)fz_emit_widens(&x, o, &lanes, &gives) : 0;
        if (i->need) {
            i->lanes = (int8_t)lanes;
            i->gives = (int8_t)gives;
        }
    }
}

/* What is exact by definition, an instruction that says itself how it rounds, and how a Python
 * number enters torch: drawn anew at each call it would shift whole tensors. */
static bool stays_exact(const worker *w, const block *b, const insn *i)
{
    return i->whole || i->directed ||
           (w->rq->numbers && i->narrows && (w->scalar || !b->loop));
}

void fz_move_one(worker *w, const block *b, size_t k)
{
    ZydisDecodedInstruction x;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    const insn *i = &w->insns[k];
    fz_unwind_at(w, i->at);
    if (!stays_exact(w, b, i) && i->need && fz_body_site(w, k, &x, o)) {
        w->emit.flags_live = fz_live_flags(w, b, k + 1);
        w->emit.keep = fz_live_widened(w, b, k);
        if (i->bf16.site)
            fz_emit_bf16(&w->emit, &i->bf16, &x, o, i->at);
        else
            fz_emit_site(&w->emit, &x, o, i->at);
        return;
    }
    if (!stays_exact(w, b, i) && i->why)
        fz_plan_left(&w->out->counts, i->why, 1);
    plain(w, i);
    if (w->emit.high)
        fz_emit_changed(&w->emit, i->changes);
}

static fz_planblock operations_of(worker *w, const block *b, bool exact)
{
    fz_planblock n = {0};
    for (size_t k = b->first; k < b->last; k++) {
        ZydisDecodedInstruction x;
        ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
        if (!fz_body_site(w, k, &x, o))
            continue;
        const fz_bf16 *s = &w->insns[k].bf16;
        unsigned m = !s->site ? fz_insn_operations(&x)
                     : s->general || !s->bytes ? 1 : s->bytes / 4u;
        if (exact || stays_exact(w, b, &w->insns[k]))
            n.exact += m;
        else if (w->rq->variant == FZ_IDENTITY || !w->insns[k].need)
            n.left += m;
        else
            n.perturbed += m;
    }
    return n;
}

void fz_move_lend(worker *w, const int *free, int need)
{
    for (int i = 0; i < need; i++)
        w->emit.temp[i] = free[i];
    w->emit.state = free[need];
}

void fz_move_save(worker *w, const int *regs, int n, unsigned dead, unsigned op)
{
    for (int i = 0; i < n; i++)
        if (!(dead >> regs[i] & 1))
            fz_rrt(w->emit.code, op, w->emit.wide, regs[i], 0,
                   w->rq->tls + (int32_t)offsetof(fz_inst_tls, saved) + 32 * regs[i]);
}

int fz_move_free(unsigned use, unsigned dead, int *out)
{
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int v = 15; v >= 0; v--)
            if (!(use >> v & 1) && (dead >> v & 1) == !pass)
                out[n++] = v;
    return n;
}

bool fz_move_eight(const worker *w, size_t first, size_t last)
{
    for (size_t k = first; k < last; k++)
        if (w->insns[k].need && w->insns[k].lanes == 8)
            return true;
    return false;
}

/* What the host uses of registers 16 to 31 and the masks. */
typedef struct loan {
    unsigned high, masks;
} loan;

/* Instructions first .. of a block that can share lent registers: returns the last site's
 * index, *use and *need. */
static size_t group(worker *w, const block *b, size_t first, int first_need, unsigned *use,
                    int *need, loan *lent)
{
    size_t last = first;
    unsigned u = w->insns[first].use;
    unsigned high = w->insns[first].high, masks = w->insns[first].masks;
    int n = first_need;
    *lent = (loan){high, masks};
    *use = u;
    *need = n;
    for (size_t k = first + 1; k < b->last; k++) {
        const insn *i = &w->insns[k];
        if (i->kind >= JUMP)
            break;
        int mine = i->need;
        u |= i->use;
        high |= i->high;
        masks |= i->masks;
        n = mine > n ? mine : n;
        if (!w->emit.high && 16 - __builtin_popcount(u) < n + 1)
            break;
        if (w->emit.lent && !fz_lend_fits(high, masks, n))
            break;
        if (mine) {
            last = k;
            *use = u;
            *need = n;
            *lent = (loan){high, masks};
        }
    }
    return last;
}

void fz_move_count(worker *w, const block *b, size_t k, bool as_it_was)
{
    if (!w->rq->counters || !b->sites)
        return;
    w->emit.flags_live = fz_live_flags(w, b, k);
    fz_emit_count(&w->emit, b->lo, as_it_was);
}

void fz_move_detour(worker *w, const block *b, size_t k)
{
    w->detours = fz_grow(w->detours, w->detour_n, &w->detour_cap, sizeof *w->detours,
                         &w->out->failed);
    if (w->out->failed)
        return;
    w->emit.flags_live = fz_live_flags(w, b, k);
    size_t fix = fz_emit_if_plain(&w->emit);
    w->detours[w->detour_n++] =
        (detour){fix, (size_t)(b - w->blocks), k, w->emit.flags_live};
}

/* What threads run that perturb nothing, behind the function's moved code. Each block hands
 * on to the moved code of the next one, which asks again. */
static void move_detours(worker *w)
{
    for (size_t i = 0; i < w->detour_n && !w->out->failed; i++) {
        const detour *d = &w->detours[i];
        const block *b = &w->blocks[d->block];
        w->emit.flags_live = d->flags_live;
        fz_unwind_at(w, w->insns[d->k].at);
        fz_emit_plain(&w->emit, d->fix);
        fz_move_count(w, b, d->k, true);
        for (size_t k = d->k; k < b->last; k++)
            plain(w, &w->insns[k]);
        if (!b->ends) {
            fz_unwind_at(w, b->hi);
            fz_jump(w->emit.code, FZ_FIX_CODE, b->hi);
        }
    }
    w->detour_n = 0;
}

/* The first instruction in front of which the mark can be asked for without saving flags,
 * up to the first site that rounds; else the block's first. */
static size_t where_to_ask(const worker *w, const block *b)
{
    for (size_t k = b->first; k < b->last; k++) {
        if (!fz_live_flags(w, b, k))
            return k;
        if (w->insns[k].need)
            break;
    }
    return b->first;
}

/* Registers 16 to 31 hold nothing of the group's then, if they are the host's. */
static void give_back(worker *w)
{
    fz_lend_all(&w->emit, false);
    if (w->emit.lent)
        memset(w->emit.held, 0, sizeof w->emit.held);
}

static void move_block(worker *w, const block *b, bool exact)
{
    bool rounds = false;
    for (size_t k = b->first; k < b->last; k++)
        rounds |= w->insns[k].need;
    const bool as_it_is = exact || w->emit.variant == FZ_IDENTITY;
    memset(w->emit.held, 0, sizeof w->emit.held);
    fz_unwind_at(w, w->insns[b->first].at);
    if (as_it_is || !rounds) {
        fz_move_count(w, b, b->first, false);
        for (size_t k = b->first; k < b->last; k++)
            if (as_it_is)
                plain(w, &w->insns[k]);
            else
                fz_move_one(w, b, k); /* says why a site is left */
        return;
    }
    size_t ask = where_to_ask(w, b);
    for (size_t k = b->first; k < ask; k++)
        fz_move_one(w, b, k);
    fz_unwind_at(w, w->insns[ask].at);
    fz_move_detour(w, b, ask);
    fz_move_count(w, b, ask, false);
    for (size_t k = ask; k < b->last;) {
        int need = w->insns[k].need;
        if (!need) {
            fz_move_one(w, b, k++);
            continue;
        }
        fz_unwind_at(w, w->insns[k].at);
        unsigned use;
        int regs[16];
        loan host;
        size_t last = group(w, b, k, need, &use, &need, &host);
        unsigned dead = fz_live_dead(w, b, last, use);
        w->emit.wide = fz_live_wide(w, b, k, last);
        if (!w->emit.high) {
            fz_move_free(use, dead, regs);
            fz_move_lend(w, regs, need);
            fz_move_save(w, regs, need + 1, dead, OP_STORE);
        }
        if (w->emit.high) {
            const int held = k < last ? 3 : 0; /* for floats that one site leaves to the next */
            fz_lend_choose(&w->emit, host.high, host.masks, need + held, false);
            fz_lend_all(&w->emit, true);
        }
        w->emit.twice = fz_move_eight(w, k, last + 1);
        fz_emit_state_load(&w->emit);
        for (; k <= last; k++)
            fz_move_one(w, b, k);
        fz_emit_state_store(&w->emit);
        if (w->emit.high)
            give_back(w);
        else
            fz_move_save(w, regs, need + 1, dead, OP_LOAD);
        w->emit.wide = w->wide;
    }
}

/* What becomes of a block's sites. */
static void count_sites(const worker *w, const block *b, bool exact, entry *e)
{
    for (size_t k = b->first; k < b->last; k++) {
        const insn *i = &w->insns[k];
        if (i->kind != SITE)
            continue;
        if (exact || (stays_exact(w, b, i) && w->rq->variant != FZ_IDENTITY))
            e->exact++;
        else if (i->need && w->rq->variant != FZ_IDENTITY)
            e->perturbed++;
    }
}

/* Entries for blocks i .. i+n-1, which are moved to here. */
static entry *add_entries(worker *w, size_t i, size_t n, bool exact)
{
    part *out = w->out;
    for (size_t k = 0; k < n; k++) {
        const block *b = &w->blocks[i + k];
        out->entries = fz_grow(out->entries, out->entry_n, &out->entry_cap,
                               sizeof *out->entries, &out->failed);
        if (out->failed)
            return NULL;
        out->entries[out->entry_n++] =
            (entry){.at = b->lo,
                    .length = (uint32_t)(b->hi - b->lo),
                    .sites = b->sites,
                    .code = (uint32_t)out->code.n};
        entry *e = &out->entries[out->entry_n - 1];
        count_sites(w, b, exact, e);
        out->counts.perturbed += e->perturbed;
        out->counts.exact += e->exact;
        out->counts.counted += e->sites - e->perturbed - e->exact;
        out->counts.blocks++;
    }
    return &out->entries[out->entry_n - n];
}

void fz_move_function(worker *w, const fz_function *f)
{
    part *out = w->out;
    out->counts.functions++;
    const bool evex = f->evex && !w->rq->avx512;
    if (f->refused || evex || !fz_body_split(w, f)) {
        out->counts.refused_functions++;
        out->counts.sites += f->fp;
        fz_plan_left(&out->counts,
                   f->refused ? f->refused
                   : evex     ? "function with EVEX code"
                              : "undecodable function",
                   f->fp);
        return;
    }
    bool exact = w->rq->exact && w->rq->exact(f, w->rq->arg);
    for (size_t k = 0; k < w->insn_n; k++)
        if (w->insns[k].x87) {
            out->counts.sites++;
            fz_plan_left(&out->counts, "x87", 1);
        }
    w->wide = (f->vex || f->evex) && fz_live_ymm(w, 0, w->insn_n);
    w->emit.wide = w->wide;
    /* What rounds to bf16 has code for AVX2. */
    const bool bf16 = f->rounds16 && fz_bf16_find(w);
    w->emit.high = w->rq->avx512 && (f->evex || !bf16);
    for (size_t k = 0; k < w->insn_n && f->evex && bf16; k++)
        if (w->insns[k].need && w->insns[k].bf16.site) {
            w->insns[k].need = 0;
            w->insns[k].why = "rounding to bf16 among EVEX code";
        }
    w->emit.lent = w->emit.high && (f->evex || f->low);
    fz_lend_choose(&w->emit, 0, 0, 0, false);
    w->emit.oldest = 0; /* not whatever this worker did before */
    measure_sites(w);
    if (f->truncates)
        fz_whole_find(w);
    /* Which blocks are moved must not depend on variant or rules: patches lead to the slots
     * of any of them. */
    fz_region_find(w);
    choose(w);
    fz_unwind_begin(w, f);
    const bool as_it_is = exact || w->rq->variant == FZ_IDENTITY;
    for (size_t i = 0; i < w->block_n && !out->failed; i++) {
        const block *b = &w->blocks[i];
        out->counts.sites += b->sites;
        if (!b->moved) {
            if (b->sites)
                fz_plan_left(&out->counts, "block of one byte", b->sites);
            continue;
        }
        const region *r =
            b->region && !as_it_is ? &w->regions[b->region - 1] : NULL;
        if (r && r->first != i)
            continue; /* moved with the region's first */
        size_t n = r ? r->last - r->first + 1 : 1, end = i + n;
        entry *e = add_entries(w, i, n, exact);
        if (!e)
            return;
        for (size_t k = 0; k < n && w->rq->counters; k++) {
            e[k].operations = operations_of(w, &w->blocks[i + k], exact);
            e[k].function = f->name;
        }
        if (r)
            fz_region_move(w, r, e);
        else
            move_block(w, b, exact);
        /* The next block in address order may be the next one here. */
        bool next = end < w->block_n && w->blocks[end].moved &&
                    w->blocks[end].lo == w->blocks[end - 1].hi;
        if (!r && !b->ends && !next) {
            fz_unwind_at(w, b->hi);
            fz_jump(&out->code, FZ_FIX_CODE, b->hi);
        }
    }
    move_detours(w);
    fz_emit_cold(&w->emit);
    fz_unwind_end(w);
    out->failed |= out->code.failed;
}
