/* Counts of calls and floating-point operations, in memory shared with forked children.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A thread has a slot to itself and adds without atomics. The slots lie in one anonymous
 * shared mapping made when torch is mapped, so that what a forked worker counted is there
 * even if it leaves by _exit or a signal. A thread's end frees its slot for the next
 * thread, which goes on adding to it. Without a free slot, threads share the last one
 * atomically. If each process writes its own report (%p), a forked child starts a mapping
 * of its own.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "shim.h"

#define SLOTS 1024

typedef struct fz_slot {
    atomic_int busy;
    bool used, shared;
    fz_count count[FZ_SYMBOLS];
} fz_slot;

static _Atomic(fz_slot *) slots;
static pthread_key_t at_thread_end;

static void release(void *slot)
{
    fz_slot *s = slot;
    /* Not fz_self(): thread-local storage may be on its way out. */
    fz_tls.slot = NULL;
    if (!s->shared)
        atomic_store_explicit(&s->busy, 0, memory_order_release);
}

static void make_key(void)
{
    if (pthread_key_create(&at_thread_end, release) != 0)
        at_thread_end = (pthread_key_t)-1;
}

static FZ_COLD fz_slot *map_slots(void)
{
    fz_slot *none = NULL;
    fz_slot *p = mmap(NULL, SLOTS * sizeof *p, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!atomic_compare_exchange_strong(&slots, &none, p)) {
        munmap(p, SLOTS * sizeof *p);
        return none;
    }
    return p;
}

static FZ_COLD fz_slot *claim(fz_thread *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fz_slot *p = atomic_load(&slots);
    if (!p && !(p = map_slots()))
        return NULL;
    pthread_once(&once, make_key);
    for (int i = 0; i < SLOTS - 1; i++) {
        int is_free = 0;
        if (atomic_load_explicit(&p[i].busy, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&p[i].busy, &is_free, 1)) {
            /* If the key fails, the slot stays taken: the counts are right all the same.
             */
            pthread_setspecific(at_thread_end, &p[i]);
            p[i].used = true;
            return t->slot = &p[i];
        }
    }
    p[SLOTS - 1].used = p[SLOTS - 1].shared = true;
    return t->slot = &p[SLOTS - 1];
}

static void add(fz_slot *slot, uint64_t *to, uint64_t v)
{
    if (FZ_UNLIKELY(slot->shared))
        __atomic_fetch_add(to, v, __ATOMIC_RELAXED);
    else
        __atomic_store_n(to, __atomic_load_n(to, __ATOMIC_RELAXED) + v, __ATOMIC_RELAXED);
}

void fz_count_call(fz_thread *t, enum fz_symbol s, enum fz_reason why, uint64_t flops)
{
    fz_slot *slot = t->slot;
    if (FZ_UNLIKELY(!slot) && !(slot = claim(t)))
        return;
    fz_count *c = &slot->count[s];
    add(slot, &c->calls[why], 1);
    add(slot, &c->flops[why != FZ_PERTURBED], flops);
    if (FZ_UNLIKELY(why == FZ_BY_LIBRARY))
        add(slot, &c->flops[2], flops);
}

void fz_count_sum(enum fz_symbol s, fz_count *sum)
{
    const fz_slot *p = atomic_load(&slots);
    memset(sum, 0, sizeof *sum);
    for (int i = 0; p && i < SLOTS; i++) {
        if (!p[i].used) /* and do not touch its page */
            continue;
        const fz_count *c = &p[i].count[s];
        for (int r = 0; r < FZ_REASONS; r++)
            sum->calls[r] += __atomic_load_n(&c->calls[r], __ATOMIC_RELAXED);
        sum->flops[0] += __atomic_load_n(&c->flops[0], __ATOMIC_RELAXED);
        sum->flops[1] += __atomic_load_n(&c->flops[1], __ATOMIC_RELAXED);
        sum->flops[2] += __atomic_load_n(&c->flops[2], __ATOMIC_RELAXED);
    }
}

/* Before any fork can come: a child's own first count would be in memory of its own. */
void fz_counters_begin(void)
{
    if (!atomic_load(&slots))
        map_slots();
}

void fz_counters_forked(void)
{
    const char *report = fz_policy_get()->report;
    if (report && strstr(report, "%p"))
        atomic_store(&slots, NULL); /* its own file: its own counts */
}
