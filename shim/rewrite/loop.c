/* Which blocks of a function may follow themselves: those of its strongly connected parts.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Tarjan's search, with a stack of its own. Jumps through tables lead nowhere here: what
 * only they close is not taken for a loop.
 */
#include "body.h"

typedef struct step {
    size_t block;
    int next; /* of its ways on */
} step;

/* Way number `k` from block i: its target, then what follows; block_n: none. */
static size_t way(const worker *w, size_t i, int k)
{
    const block *b = &w->blocks[i];
    const insn *end = &w->insns[b->last - 1];
    if (k == 0)
        return end->kind == JUMP || end->kind == BRANCH ? fz_body_block(w, end->target)
                                                       : w->block_n;
    return b->ends || b->stops ? w->block_n : i + 1;
}

static void search(worker *w, size_t root, step *path, size_t *open, uint32_t *seen)
{
    size_t depth = 0, open_n = 0;
    path[depth++] = (step){root, 0};
    while (depth) {
        step *s = &path[depth - 1];
        block *b = &w->blocks[s->block];
        if (!b->seen) {
            b->seen = b->low = ++*seen;
            b->open = true;
            open[open_n++] = s->block;
        }
        if (s->next < 2) {
            size_t to = way(w, s->block, s->next++);
            block *t = to < w->block_n ? &w->blocks[to] : NULL;
            if (t == b)
                b->loop = true;
            else if (t && !t->seen)
                path[depth++] = (step){to, 0};
            else if (t && t->open && t->seen < b->low)
                b->low = t->seen;
            continue;
        }
        bool whole = b->low == b->seen, alone = whole && open[open_n - 1] == s->block;
        while (whole) {
            size_t k = open[--open_n];
            w->blocks[k].open = false;
            w->blocks[k].loop |= !alone;
            whole = k != s->block;
        }
        depth--;
        if (depth && b->low < w->blocks[path[depth - 1].block].low)
            w->blocks[path[depth - 1].block].low = b->low;
    }
}

bool fz_loop_find(worker *w)
{
    step *path = malloc((w->block_n + 1) * sizeof *path);
    size_t *open = malloc((w->block_n + 1) * sizeof *open);
    uint32_t seen = 0;
    if (!path || !open)
        w->out->failed = true;
    for (size_t i = 0; i < w->block_n && path && open; i++)
        if (!w->blocks[i].seen)
            search(w, i, path, open, &seen);
    free(path);
    free(open);
    return !w->out->failed;
}
