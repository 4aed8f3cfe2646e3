/* The C API: mode, seed and precision while the process runs; counters.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Readers take a pointer to a policy and keep it for one call. A change fills the next of a
 * ring of policies and swaps the pointer. A reader that sleeps through a whole turn of the
 * ring may see parts of two settings, as a call that races with a change may anyway; what
 * it points to (rules, patterns) is the same in all.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "exec.h"
#include "fuzzytorch.h"
#include "shim.h"

#define RING 64
#define SUBSCRIBERS 8

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static fz_changed_fn *subscriber[SUBSCRIBERS];
static unsigned subscribers;

int fz_policy_subscribe(fz_changed_fn *changed)
{
    int rc = -ENOSPC;
    pthread_mutex_lock(&guard);
    if (subscribers < SUBSCRIBERS) {
        subscriber[subscribers++] = changed;
        rc = 0;
    }
    pthread_mutex_unlock(&guard);
    return rc;
}

static int mode_now(const fz_policy *p)
{
    return p->off || p->paused ? -1 : (int)p->mode;
}

int fz_policy_set(const fz_setting *s)
{
    static fz_policy ring[RING];
    static unsigned next;
    const fz_policy *before = fz_policy_get();
    if (before->off)
        return -EPERM;
    if (s->mode < -1 || s->mode > PRISM_CESTAC || s->t_f32 < 1 || s->t_f32 > 24 ||
        s->t_f64 < 1 || s->t_f64 > 53)
        return -EINVAL;
    const fz_thread *t = fz_self();
    if (t->depth || t->region)
        return -EBUSY;
    pthread_mutex_lock(&guard);
    before = fz_policy_get();
    fz_policy *p = &ring[next++ % RING];
    *p = *before;
    p->paused = s->mode < 0;
    if (s->mode >= 0)
        p->mode = (enum prism_mode)s->mode;
    p->mode_name = fz_mode_name(s->mode);
    p->t_f32 = s->t_f32;
    p->t_f64 = s->t_f64;
    if (s->reseed) {
        p->seed = s->seed;
        p->seed_drawn = false;
        p->generation = s->generation;
        p->epoch++;
    }
    for (unsigned i = 0; i < subscribers; i++) {
        if (subscriber[i](before, p))
            continue;
        for (unsigned k = 0; k <= i; k++)
            subscriber[k](p, before);
        pthread_mutex_unlock(&guard);
        return -EIO;
    }
    atomic_store_explicit(&fz_policy_current, p, memory_order_release);
    /* After the policy: a stream that restarts by it must find the seed. */
    atomic_store_explicit(&fz_epoch, p->epoch, memory_order_release);
    if (s->reseed)
        fz_lineage_unannounce(); /* children learn the seed from FUZZY_LINEAGE */
    pthread_mutex_unlock(&guard);
    fz_self(); /* a seed that was set begins here */
    return 0;
}

FZ_EXPORT int fuzzy_available(void)
{
    return !fz_policy_get()->off;
}

FZ_EXPORT const char *fuzzy_version(void)
{
    return FZ_VERSION;
}

FZ_EXPORT int fuzzy_get(fuzzy_state *state)
{
    const fz_policy *p = fz_policy_get();
    memset(state, 0, sizeof *state);
    strcpy(state->mode, fz_mode_name(mode_now(p)));
    state->seed = p->seed;
    state->f32_bits = p->t_f32;
    state->f64_bits = p->t_f64;
    state->restarts = p->epoch;
    state->generation = p->generation;
    state->torch = fz_torch_seen();
    return 0;
}

FZ_EXPORT int fuzzy_set(const char *mode, const uint64_t *seed, int f32_bits,
                        int f64_bits)
{
    const fz_policy *p = fz_policy_get();
    fz_setting s = {.mode = mode ? fz_mode_of(mode) : mode_now(p),
                    .t_f32 = f32_bits ? f32_bits : p->t_f32,
                    .t_f64 = f64_bits ? f64_bits : p->t_f64,
                    .reseed = seed != NULL,
                    .seed = seed ? *seed : 0};
    return fz_policy_set(&s);
}

FZ_EXPORT int fuzzy_set_mode(const char *mode)
{
    return mode ? fuzzy_set(mode, NULL, 0, 0) : -EINVAL;
}

FZ_EXPORT int fuzzy_set_seed(uint64_t seed)
{
    return fuzzy_set(NULL, &seed, 0, 0);
}

FZ_EXPORT int fuzzy_resume(uint64_t seed, uint32_t generation)
{
    const fz_policy *p = fz_policy_get();
    fz_setting s = {mode_now(p), p->t_f32, p->t_f64, true, seed, generation};
    return fz_policy_set(&s);
}

FZ_EXPORT int fuzzy_set_precision(int f32_bits, int f64_bits)
{
    return fuzzy_set(NULL, NULL, f32_bits, f64_bits);
}

static void add_symbol(enum fz_symbol s, fuzzy_counts *to)
{
    fz_count c;
    fz_count_sum(s, &c);
    to->perturbed_calls += c.calls[FZ_PERTURBED];
    for (int r = FZ_PERTURBED + 1; r < FZ_REASONS; r++)
        to->passed_calls += c.calls[r];
    to->perturbed_flops += c.flops[0];
    to->passed_flops += c.flops[1];
}

FZ_EXPORT void fuzzy_counters(fuzzy_counts *sum)
{
    memset(sum, 0, sizeof *sum);
    for (int s = 0; s < FZ_SYMBOLS; s++)
        add_symbol((enum fz_symbol)s, sum);
}

FZ_EXPORT const char *fuzzy_symbol(unsigned i, fuzzy_counts *counts)
{
    if (i >= FZ_SYMBOLS)
        return NULL;
    memset(counts, 0, sizeof *counts);
    add_symbol((enum fz_symbol)i, counts);
    return fz_symbol_table[i].name;
}
