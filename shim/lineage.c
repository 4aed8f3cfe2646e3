/* Lineages: which stream of random numbers a thread or process draws from.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A lineage is named by the way it came about, never by a thread identity: the k-th
 * thread that a lineage creates, its k-th forked or exec'd child, thread i of its k-th
 * parallel region. The name is a prism_key derived from that of the creator; the stream
 * is the name under the seed. So a run repeats as long as each lineage creates its
 * children in the same order, however the scheduler interleaves them.
 *
 * Regions that an original opens (depth > 0) and those of our own kernels do not count:
 * which of the two computes a call must not change the numbers of the calls after it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "callers.h"
#include "exec.h"
#include "rewrite/inst.h"

enum { THREAD = 1, FORK, EXEC, REGION, TEAM, STRAY };

__thread fz_thread fz_tls __attribute__((tls_model("initial-exec")));
bool fz_forked;
static prism_key root;
static atomic_ulong strays;

static prism_key child(prism_key path, int kind, uint64_t ordinal)
{
    return prism_key_derive(path, (uint64_t)kind << 56 | ordinal);
}

static void open_stream(fz_stream *s, prism_key path)
{
    memset(s, 0, sizeof *s);
    s->path = path;
    s->key = prism_key_derive(
        prism_key_derive(prism_key_seed(fz_policy_get()->seed), path.hi), path.lo);
    if (fz_policy_get()->generation)
        s->key = prism_key_derive(s->key, fz_policy_get()->generation);
    s->epoch = fz_policy_get()->epoch;
    fz_inst_open(s->key); /* streams are opened by the thread that draws from them */
}

/* The seed was set: from here on as a stream of that seed that has given nothing yet. */
FZ_COLD void fz_stream_restart(fz_stream *s)
{
    open_stream(s, s->path);
}

/* A child after the seed was set. Ordinals count from 0 again then: the generation keeps it
 * from taking the name of one that was there under the same seed. */
static prism_key later_child(prism_key path, int kind, uint64_t ordinal)
{
    const uint32_t generation = fz_policy_get()->generation;
    path = child(path, kind, ordinal);
    return generation ? prism_key_derive(path, generation) : path;
}

/* Threads outlive a change of the seed, so theirs is in the name too. */
static prism_key thread_path(fz_stream *s)
{
    const fz_policy *p = fz_policy_get();
    prism_key path = later_child(s->path, THREAD, s->threads++);
    return p->epoch ? prism_key_derive(path, p->seed) : path;
}

FZ_COLD void fz_thread_begin(void)
{
    fz_thread *t = &fz_tls;
    fz_policy_get();
    /* A thread that pthread_create did not bring (clone) has no place in the lineage:
     * they are numbered as they show up. */
    bool main_thread = syscall(SYS_gettid) == getpid();
    t->known = true;
    t->stream = &t->own;
    open_stream(&t->own,
                main_thread ? root : child(root, STRAY, atomic_fetch_add(&strays, 1)));
}

/* ---- Threads ----------------------------------------------------------------------- */

struct start {
    void *(*run)(void *);
    void *arg;
    prism_key path;
};

static void *begin(void *arg)
{
    struct start s = *(struct start *)arg;
    fz_thread *t = &fz_tls;
    free(arg);
    t->known = true;
    t->stream = &t->own;
    open_stream(&t->own, s.path);
    return s.run(s.arg);
}

typedef int create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

FZ_EXPORT int pthread_create(pthread_t *id, const pthread_attr_t *attr,
                             void *(*run)(void *), void *arg)
{
    static _Atomic(void *) found;
    void *p = atomic_load(&found);
    if (!p)
        atomic_store(&found, p = fz_next("pthread_create"));
    create_fn *real = NULL;
    *(void **)&real = p;
    if (!real)
        return EAGAIN;
    if (fz_policy_get()->off)
        return real(id, attr, run, arg);
    fz_stream *s = fz_self()->stream;
    struct start *st = malloc(sizeof *st);
    if (!st)
        return real(id, attr, run, arg);
    *st = (struct start){run, arg, thread_path(s)};
    int rc = real(id, attr, begin, st);
    if (rc != 0)
        free(st);
    return rc;
}

/* ---- Parallel regions -------------------------------------------------------------- */

struct region {
    void (*body)(void *);
    void *data;
    int (*thread_num)(void);
    prism_key path;
    int conv;
    enum fz_reason plain;
    const struct fz_site *opener; /* who called GOMP_parallel */
};

/* In a section of its own: chains of frames end here (callers.c). */
__attribute__((noinline, section("fz_region"))) static void in_region(void *arg)
{
    const struct region *r = arg;
    fz_thread *t = fz_self();
    fz_stream mine, *outer = t->stream;
    int conv = t->conv;
    uint64_t words[4];
    memcpy(words, fz_inst_self.state, sizeof words);
    enum fz_reason plain = t->plain;
    const struct fz_site *opener = t->opener;
    open_stream(&mine,
                child(r->path, TEAM, (uint64_t)(r->thread_num ? r->thread_num() : 0)));
    t->stream = &mine;
    t->conv = r->conv;
    fz_plain_set(t, r->plain);
    t->opener = r->opener;
    t->region++;
    r->body(r->data);
    t->region--;
    t->opener = opener;
    fz_plain_set(t, plain);
    t->conv = conv;
    t->stream = outer;
    memcpy(fz_inst_self.state, words, sizeof words);
}

typedef void parallel_fn(void (*)(void *), void *, unsigned, unsigned);

/* The run time that the calling library would have reached, which need not be torch's. */
static FZ_COLD parallel_fn *find_gomp(fz_lib *lib)
{
    void *p = fz_original_name(lib, "GOMP_parallel");
    void *num = p ? fz_symbol_from(p, "omp_get_thread_num") : NULL;
    if (!num)
        num = fz_original_name(lib, "omp_get_thread_num");
    atomic_store_explicit(&lib->gomp_thread_num, num, memory_order_release);
    atomic_store_explicit(&lib->gomp_parallel, p, memory_order_release);
    parallel_fn *real = NULL;
    *(void **)&real = p;
    return real;
}

FZ_EXPORT void GOMP_parallel(void (*body)(void *), void *data, unsigned threads,
                             unsigned flags);
FZ_EXPORT void GOMP_parallel(void (*body)(void *), void *data, unsigned threads,
                             unsigned flags)
{
    fz_lib *lib = fz_lib_of(FZ_FROM);
    parallel_fn *real = NULL;
    *(void **)&real = atomic_load_explicit(&lib->gomp_parallel, memory_order_acquire);
    if (FZ_UNLIKELY(!real) && !(real = find_gomp(lib))) {
        body(data); /* a team of one */
        return;
    }
    fz_thread *t;
    if (fz_policy_get()->off || (t = fz_self())->depth) {
        real(body, data, threads, flags);
        return;
    }
    struct region r = {body, data, NULL,
                       child(t->stream->path, REGION, t->stream->regions++), t->conv,
                       t->plain, NULL};
    fz_chain chain;
    if (FZ_UNLIKELY(fz_callers_on))
        r.opener = fz_callers_opener(FZ_FROM, &chain);
    *(void **)&r.thread_num =
        atomic_load_explicit(&lib->gomp_thread_num, memory_order_acquire);
    real(in_region, &r, threads, flags);
}

/* ---- Processes --------------------------------------------------------------------- */

static char exported[80] = "FUZZY_LINEAGE=";

void fz_lineage_text(char out[64], prism_key path, uint64_t seed)
{
    uint64_t part[3] = {path.hi, path.lo, seed};
    char *o = out;
    for (int i = 0; i < 3; i++) {
        for (int shift = 60; shift >= 0; shift -= 4)
            *o++ = "0123456789abcdef"[part[i] >> shift & 15];
        if (i == 1)
            *o++ = '.';
    }
    *o = 0;
}

/* Ordinal 0 is for children that no call of ours announced (a raw system call). */
static void export_lineage(uint64_t ordinal)
{
    fz_lineage_text(exported + 14, later_child(fz_self()->stream->path, EXEC, ordinal),
                    fz_policy_get()->seed);
}

/* The next exec'd child, as the text of its FUZZY_LINEAGE. Async-signal-safe, since
 * forked and vforked children call it between fork and exec. */
void fz_lineage_next_exec(char out[80])
{
    fz_stream *s = fz_self()->stream;
    memcpy(out, "FUZZY_LINEAGE=", 14);
    fz_lineage_text(out + 14, later_child(s->path, EXEC, ++s->execs),
                    fz_policy_get()->seed);
}

/* For system() and popen(), which pass `environ` on inside libc. */
void fz_lineage_announce(void)
{
    export_lineage(++fz_self()->stream->execs);
}

void fz_lineage_unannounce(void)
{
    export_lineage(0);
}

static void before_fork(void)
{
    fz_self()->stream->forks++;
    fz_callers_before_fork();
}

static void forked(void)
{
    fz_thread *t = fz_self();
    fz_callers_after_fork();
    fz_forked = true;
    prism_key path = later_child(t->stream->path, FORK, t->stream->forks);
    open_stream(t->stream, path);
    /* The child's main thread is this one, whatever it was in the parent. */
    root = path;
    export_lineage(0);
    t->slot = NULL;
    fz_counters_forked();
    fz_report_forked();
}

void fz_lineage_init(void)
{
    const fz_policy *p = &fz_policy_now;
    if (p->off)
        return;
    root = p->lineage;
    fz_lineage_text(exported + 14, child(root, EXEC, 0), p->seed);
    putenv(exported);
    pthread_atfork(before_fork, fz_callers_after_fork, forked);
}
