/* Regions: loops whose blocks keep lent registers and the state all along.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "body.h"

enum { REGION_BYTES = 4096 };

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

/* Registers and conditions of a region; false if it cannot be one: calls, too many registers
 * (under the variant that takes most, since all have the same regions), a block that belongs to
 * another. */
static bool fits(worker *w, region *r)
{
    r->use = r->high = r->masks = 0;
    r->need = 0;
    int most = 0;
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
            r->high |= x->high;
            r->masks |= x->masks;
            r->need = n > r->need ? n : r->need;
            n = x->most > n ? x->most : n; /* roundings to bf16 have need alone */
            most = n > most ? n : most;
        }
        r->wide |= fz_live_wide(w, b, b->first, b->last - 1);
    }
    if (w->emit.high)
        return r->need > 0 &&
               (!w->emit.lent || fz_lend_fits(r->high, r->masks, most));
    if (!r->need || 16 - __builtin_popcount(r->use) < most + 1)
        return false;
    /* To load the state as ymm where the loop may end without having used any would leave
     * upper halves in use that nobody clears. */
    for (size_t i = r->first; r->wide && i <= r->last; i++)
        if (entered(w, r, i) && !fz_live_ymm(w, w->blocks[i].first, w->blocks[i].last))
            return false;
    return true;
}

static int longer_first(const void *a, const void *b)
{
    const region *x = a, *y = b;
    size_t m = x->last - x->first, n = y->last - y->first;
    return m < n ? 1 : m > n ? -1 : x->first < y->first ? -1 : x->first > y->first;
}

void fz_region_find(worker *w)
{
    w->region_n = 0;
    for (size_t i = 0; i < w->block_n; i++) {
        const insn *x = &w->insns[w->blocks[i].last - 1];
        if (x->kind != JUMP && x->kind != BRANCH)
            continue;
        size_t head = fz_body_block(w, x->target);
        if (head > i)
            continue;
        w->regions = fz_grow(w->regions, w->region_n, &w->region_cap, sizeof *w->regions,
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

static void enter_region(worker *w, const region *r, const int *regs)
{
    if (w->emit.high)
        fz_lend_all(&w->emit, true);
    else
        fz_move_save(w, regs, r->need + 1, 0, OP_STORE);
    fz_emit_state_load(&w->emit);
    if (w->emit.high)
        fz_emit_pins_load(&w->emit);
}

static void leave_region(worker *w, const region *r, const int *regs)
{
    fz_emit_state_store(&w->emit);
    if (w->emit.high)
        fz_lend_all(&w->emit, false);
    else
        fz_move_save(w, regs, r->need + 1, 0, OP_LOAD);
}

static void add_edge(worker *w, size_t fix, const insn *x)
{
    w->edges = fz_grow(w->edges, w->edge_n, &w->edge_cap, sizeof *w->edges, &w->out->failed);
    if (!w->out->failed)
        w->edges[w->edge_n++] = (edge){fix, x->target, x->at};
}

static void region_block(worker *w, const region *r, size_t i, const int *regs)
{
    fz_code *c = w->emit.code;
    block *b = &w->blocks[i];
    b->inner = (uint32_t)c->n;
    fz_unwind_at(w, b->lo);
    fz_emit_block(&w->emit);
    if (w->emit.high) /* what the definition is to keep, and no more */
        w->emit.wide = fz_live_wide(w, b, b->first, b->last - 1);
    fz_move_count(w, b, b->first, false);
    for (size_t k = b->first; k < b->last; k++) {
        const insn *x = &w->insns[k];
        fz_unwind_at(w, x->at);
        if (x->kind == BRANCH) {
            add_edge(w, fz_jump_if(c, x->condition, FZ_FIX_HERE, 0), x);
        } else if (x->kind == JUMP) {
            add_edge(w, fz_jump(c, FZ_FIX_HERE, 0), x);
        } else {
            if (x->kind == LAST)
                leave_region(w, r, regs);
            fz_move_one(w, b, k);
        }
    }
    if (!b->ends && i == r->last) {
        fz_unwind_at(w, b->hi);
        leave_region(w, r, regs);
        fz_jump(c, FZ_FIX_CODE, b->hi);
    }
}

void fz_region_move(worker *w, const region *r, entry *entries)
{
    fz_code *c = w->emit.code;
    int regs[16];
    w->emit.wide = r->wide;
    memset(w->emit.held, 0, sizeof w->emit.held);
    if (w->emit.high) {
        fz_lend_choose(&w->emit, r->high, r->masks, 15, true); /* to pin floats in */
        w->emit.twice = fz_move_eight(w, w->blocks[r->first].first, w->blocks[r->last].last);
        fz_pins_choose(w, r, w->emit.held);
    } else {
        fz_move_free(r->use, 0, regs);
        fz_move_lend(w, regs, r->need);
    }
    w->edge_n = 0;
    entries[0].code = (uint32_t)c->n;
    fz_unwind_at(w, w->blocks[r->first].lo);
    fz_move_detour(w, &w->blocks[r->first], w->blocks[r->first].first);
    enter_region(w, r, regs);
    for (size_t i = r->first; i <= r->last; i++)
        region_block(w, r, i, regs);
    for (size_t i = 0; i < w->edge_n && !c->failed; i++) {
        const edge *g = &w->edges[i];
        size_t to = fz_body_block(w, g->target);
        if (to >= r->first && to <= r->last) {
            c->fixes[g->fix].target = w->blocks[to].inner;
            continue;
        }
        fz_fix_here(c, g->fix);
        fz_unwind_at(w, g->from);
        leave_region(w, r, regs);
        fz_jump(c, FZ_FIX_CODE, g->target);
    }
    for (size_t i = r->first + 1; i <= r->last; i++) {
        entries[i - r->first].code = (uint32_t)c->n;
        fz_unwind_at(w, w->blocks[i].lo);
        fz_move_detour(w, &w->blocks[i], w->blocks[i].first);
        enter_region(w, r, regs);
        fz_jump(c, FZ_FIX_HERE, w->blocks[i].inner);
    }
    w->emit.wide = w->wide;
    memset(w->emit.held, 0, sizeof w->emit.held);
}
