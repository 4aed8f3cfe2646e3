/* Registers whose f64 is held all along a region.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A pinned register is widened at the region's entry and wherever something other than a site
 * writes it; in turn no site has to. What that saves is counted: conversions that sites of
 * each block would need if they knew of their block only, less those, weighted by loops.
 */
#include "body.h"

typedef struct score {
    int64_t saved[9], foreign; /* saved: by lanes */
    int64_t given[9];          /* written by sites of so many lanes */
} score;

/* By the branches back over a block: the loops that it lies in. */
static int64_t weight(const worker *w, const region *r, size_t i)
{
    int depth = 0;
    for (size_t k = i; k <= r->last; k++) {
        const insn *end = &w->insns[w->blocks[k].last - 1];
        depth += (end->kind == JUMP || end->kind == BRANCH) &&
                 end->target <= w->blocks[i].lo && end->target >= w->blocks[r->first].lo;
    }
    return (int64_t)1 << 3 * (depth < 6 ? depth : 6);
}

static void look(const worker *w, const block *b, int64_t weight, score *all)
{
    int held[16] = {0};
    for (size_t k = b->first; k < b->last; k++) {
        const insn *i = &w->insns[k];
        for (int v = 0; v < 16; v++) {
            score *s = &all[v];
            if (i->widens >> v & 1 && held[v] < i->lanes) {
                s->saved[i->lanes] += weight;
                held[v] = i->lanes;
            }
            if (!(i->changes >> v & 1))
                continue;
            if (i->need && i->gives == v) {
                s->given[i->lanes] += weight;
                held[v] = i->lanes;
            } else {
                s->foreign += weight;
                held[v] = 0;
            }
        }
    }
}

static int best_lanes(const score *s, int64_t *worth)
{
    int best = 0;
    *worth = 0;
    for (int n = 1; n <= 8; n++) {
        int64_t cost = s->foreign, gain = s->saved[n];
        for (int m = 1; m <= 8; m++)
            cost += m == n ? 0 : s->given[m];
        if (gain - cost > *worth) {
            *worth = gain - cost;
            best = n;
        }
    }
    return best;
}

void fz_pins_choose(const worker *w, const region *r, struct fz_held held[16])
{
    score all[16] = {0};
    int64_t worth[16];
    int lanes[16];
    enum fz_variant variant = w->emit.variant;
    if (variant != FZ_SR && variant != FZ_SR_NEAREST)
        return;
    for (size_t i = r->first; i <= r->last; i++)
        look(w, &w->blocks[i], weight(w, r, i), all);
    for (int v = 0; v < 16; v++)
        lanes[v] = best_lanes(&all[v], &worth[v]);
    /* From the top down; what is left serves the sites. */
    for (int k = w->emit.pool_n; k-- > r->need;) {
        int best = -1;
        for (int v = 0; v < 16; v++)
            if (worth[v] > 0 && !held[v].at && (best < 0 || worth[v] > worth[best]))
                best = v;
        if (best < 0)
            break;
        held[best] = (struct fz_held){(int8_t)w->emit.pool[k], (uint8_t)lanes[best], true};
    }
}
