/* What is live: vector registers, their upper halves, flags.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Of registers and flags only what the block itself shows is used, since gcc passes vector
 * registers between functions as it likes: a register is dead if the block writes all of it
 * before reading it, flags if it sets all of them (or returns).
 */
#include "body.h"

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
        size_t to = fz_body_block(w, end->target);
        live = !fz_body_inside(w, end->target) ? arguments
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
        changed |= hand_on(w, fz_body_block(w, end->target), set);
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

void fz_live_uppers(worker *w)
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

bool fz_live_ymm(const worker *w, size_t first, size_t last)
{
    for (size_t k = first; k < last; k++)
        if (w->insns[k].reads256 | w->insns[k].writes256 || w->insns[k].memory256)
            return true;
    return false;
}

bool fz_live_wide(const worker *w, const block *b, size_t first, size_t last)
{
    if (fz_live_ymm(w, first, last + 1))
        return true;
    return (uppers_before(w, last + 1, b->last, b->uppers_out) &
            uppers_left(w, b->first, first, b->uppers_set)) != 0;
}

bool fz_live_flags(const worker *w, const block *b, size_t k)
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

unsigned fz_live_dead(const worker *w, const block *b, size_t last, unsigned use)
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

bool fz_live_widened(const worker *w, const block *b, size_t k)
{
    const insn *site = &w->insns[k];
    if (site->gives < 0)
        return false;
    const unsigned r = 1u << site->gives;
    for (k++; k < b->last; k++) {
        const insn *i = &w->insns[k];
        if (i->widens & r)
            return i->lanes <= site->lanes;
        if (i->changes & r || i->kind == BARRIER)
            return false;
    }
    return false;
}
