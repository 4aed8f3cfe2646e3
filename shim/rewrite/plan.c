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
 * Functions are planned in parallel, each into a worker's own buffers; the code is put
 * together in order of address, so that a plan does not depend on the number of workers.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "body.h"

void fz_plan_left(fz_plan_counts *c, const char *why, uint64_t sites)
{
    enum { OTHERS = sizeof c->left / sizeof *c->left - 1 };
    if (!sites)
        return;
    for (int i = 0; i <= OTHERS; i++) {
        if (i == OTHERS)
            why = "other reasons";
        else if (c->left[i].why && strcmp(c->left[i].why, why) != 0)
            continue;
        c->left[i].why = why;
        c->left[i].sites += sites;
        return;
    }
}

enum { RUN = 256 }; /* functions a part */

typedef struct shared {
    const fz_plan_request *rq;
    part *parts;
    size_t part_n;
    uint64_t stub[FZ_STUBS];
    atomic_size_t next, done;
} shared;

static void *work(void *arg)
{
    shared *s = arg;
    const fz_plan_request *rq = s->rq;
    worker w = {.rq = rq, .frames = {.image = rq->image}};
    ZydisDecoderInit(&w.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    w.emit = (fz_emit){.variant = rq->variant, .tls = rq->tls, .vaes = rq->vaes};
    memcpy(w.emit.stub, s->stub, sizeof s->stub);
    for (size_t i; (i = atomic_fetch_add(&s->next, 1)) < s->part_n;) {
        part *p = w.out = &s->parts[i];
        p->first = i * RUN;
        w.emit.code = &p->code;
        size_t end = p->first + RUN < rq->image->count ? p->first + RUN : rq->image->count;
        for (size_t k = p->first; k < end && !p->failed; k++) {
            const fz_function *f = &rq->image->functions[k];
            if (f->wanted && (f->fp || f->rounds16))
                fz_move_function(&w, f);
        }
        atomic_fetch_add(&s->done, 1);
    }
    free(w.insns);
    free(w.blocks);
    free(w.regions);
    free(w.edges);
    free(w.detours);
    free(w.emit.slow);
    free(w.frames.rows);
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

void fz_plan_free(fz_plan *plan)
{
    free(plan->head);
    free(plan->code);
    free(plan->patches);
    free(plan->blocks);
    free(plan->names);
    free(plan->shown);
    memset(plan, 0, sizeof *plan);
}

const char *fz_plan_make(fz_plan *plan, const fz_plan_request *rq)
{
    memset(plan, 0, sizeof *plan);
    fz_stubs stubs = {0};
    shared s = {.rq = rq};
    for (int i = 0; i < FZ_STUBS; i++) {
        s.stub[i] = FZ_AREA_STUBS + stubs.code.n;
        fz_emit_stub(&stubs.code, rq->tls, (enum fz_stub_kind)i, FZ_AREA_STUBS);
        stubs.start[i + 1] = stubs.code.n;
    }
    s.part_n = (rq->image->count + RUN - 1) / RUN;
    s.parts = calloc(s.part_n ? s.part_n : 1, sizeof *s.parts);
    const char *why = s.parts && !stubs.code.failed ? NULL : "no memory for a plan";
    if (!why) {
        if (rq->avx512)
            fz_high_find(rq->image);
        run_workers(&s);
        why = fz_place(plan, rq, s.parts, s.part_n, &stubs);
    }
    for (size_t i = 0; i < s.part_n && s.parts; i++) {
        free(s.parts[i].code.bytes);
        free(s.parts[i].code.fixes);
        free(s.parts[i].entries);
        free(s.parts[i].frames);
        free(s.parts[i].rows.p);
    }
    free(s.parts);
    free(stubs.code.bytes);
    free(stubs.code.fixes);
    if (why)
        fz_plan_free(plan);
    return why;
}
