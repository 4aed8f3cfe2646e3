/* Puts a plan together: the code of all functions, the table, and patches over the old blocks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "body.h"

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const fz_patch *)a)->at, y = ((const fz_patch *)b)->at;
    return x < y ? -1 : x > y;
}

typedef struct moved {
    const fz_plan_request *rq;
    const part *parts;
    size_t part_n;
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

static const char *gather(fz_plan *plan, moved *m)
{
    size_t code = 0, entries = 0;
    for (size_t i = 0; i < m->part_n; i++) {
        if (m->parts[i].failed)
            return "no memory for a plan";
        code += m->parts[i].code.n;
        entries += m->parts[i].entry_n;
    }
    plan->code_size = (code + FZ_PAGE - 1) / FZ_PAGE * FZ_PAGE;
    plan->code = malloc(plan->code_size ? plan->code_size : 1);
    m->e = malloc((entries ? entries : 1) * sizeof *m->e);
    if (!plan->code || !m->e)
        return "no memory for a plan";
    memset(plan->code, 0xcc, plan->code_size);
    size_t at = 0;
    for (size_t i = 0; i < m->part_n; i++) {
        const part *p = &m->parts[i];
        memcpy(plan->code + at, p->code.bytes, p->code.n);
        for (size_t k = 0; k < p->entry_n; k++) {
            m->e[m->n] = p->entries[k];
            m->e[m->n++].code += (uint32_t)at;
        }
        for (int k = 0; k < 16 && p->counts.left[k].why; k++)
            fz_plan_left(&plan->counts, p->counts.left[k].why, p->counts.left[k].sites);
        plan->counts.functions += p->counts.functions;
        plan->counts.refused_functions += p->counts.refused_functions;
        plan->counts.blocks += p->counts.blocks;
        plan->counts.sites += p->counts.sites;
        plan->counts.perturbed += p->counts.perturbed;
        plan->counts.exact += p->counts.exact;
        plan->counts.counted += p->counts.counted;
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
static const char *fix_code(fz_plan *plan, const moved *m)
{
    uint64_t area = (uint64_t)m->rq->distance, base = area + m->rq->code;
    size_t start = 0;
    for (size_t i = 0; i < m->part_n; i++) {
        const part *p = &m->parts[i];
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
            case FZ_FIX_COUNT_PLAIN:
                e = find_moved(m, to);
                to = area + m->rq->counters + 16 * (uint64_t)(e - m->e) +
                     (f->kind == FZ_FIX_COUNT_PLAIN ? 8 : 0);
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
            /* What has a reason of its own to be left keeps it. */
            fz_plan_left(&plan->counts, "short block without room for a jump",
                         e->perturbed + e->exact);
            plan->counts.perturbed -= e->perturbed;
            plan->counts.exact -= e->exact;
            plan->counts.counted -= e->sites - e->perturbed - e->exact;
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

static const char *patch(fz_plan *plan, const moved *m)
{
    uint64_t area = (uint64_t)m->rq->distance, table = area + FZ_AREA_TABLE;
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
        fz_patch jump = long_jump(table + FZ_SLOT * i, area + m->rq->code + e->code);
        memcpy(slot, jump.bytes, 5);
        if (e->length < 5)
            continue;
        plan->patches[plan->patch_n++] = long_jump(e->at, table + FZ_SLOT * i);
        for (uint64_t d = e->at + 5; d + 5 <= e->at + e->length; d += 5)
            dead[dead_n++] = d;
    }
    qsort(dead, dead_n, sizeof *dead, number_order);
    springboards(plan, m, table, dead, dead_n);
    for (size_t i = 0; i < dead_n && m->rq->trap_dead; i++)
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
static void put_stubs(fz_plan *plan, const fz_code *c)
{
    memcpy(plan->head, c->bytes, c->n);
    for (size_t i = 0; i < c->fix_n; i++)
        put_displacement(plan->head + c->fixes[i].at, FZ_AREA_STUBS + c->fixes[i].at, 0,
                         c->fixes[i].target);
}

const char *fz_place(fz_plan *plan, const fz_plan_request *rq, const part *parts, size_t n,
                     const fz_stubs *stubs)
{
    moved m = {.rq = rq, .parts = parts, .part_n = n};
    const char *why = gather(plan, &m);
    if (!why)
        why = fix_code(plan, &m);
    if (!why)
        why = patch(plan, &m);
    if (!why)
        put_stubs(plan, &stubs->code);
    if (!why)
        why = fz_unwind_place(plan, rq, parts, n, m.e, m.n, stubs);
    if (!why && rq->counters)
        why = describe_blocks(plan, &m);
    free(m.e);
    return why;
}
