/* Start, end, and the way of one call: who calls, what policy says, which stream.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The constructor only does early what the first call would do: nothing relies on the
 * order of constructors, since a library may well call BLAS from one that runs before
 * ours.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blas.h"
#include "rewrite/inst.h"
#include "callers.h"

fz_policy fz_policy_now;
_Atomic(const fz_policy *) fz_policy_current;
atomic_uint fz_epoch;

fz_symbol_info fz_symbol_table[FZ_SYMBOLS] = {
#define REQUIRED true
#define OPTIONAL false
#define FZ_SYMBOL(name, family, kernel, need, result, args) \
    {#name, #family, FZ_SCOPE_##family, need, 0},
#define FZ_SLOT(name, family, kernel, need, result, args) \
    {#name, #family, FZ_SCOPE_##family, need, 0},
#include "symbols.def"
#undef REQUIRED
#undef OPTIONAL
};

static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

static void once(void)
{
    for (int s = 0; s < FZ_SYMBOLS; s++)
        fz_symbol_table[s].hash = hash(fz_symbol_table[s].name);
    fz_policy *p = &fz_policy_now;
    fz_policy_parse(p);
    fz_callers_on = !p->off && (p->report_callers || fz_rules_have_frames(&p->exclude) ||
                                fz_rules_have_frames(&p->include));
    fz_lineage_init();
    atomic_store_explicit(&fz_policy_current, &fz_policy_now, memory_order_release);
}

FZ_COLD void fz_init(void)
{
    static pthread_once_t control = PTHREAD_ONCE_INIT;
    pthread_once(&control, once);
}

__attribute__((constructor)) static void start(void)
{
    /* torch linked by the program itself is mapped already. */
    if (!fz_policy_get()->off) {
        fz_inst_begin();
        fz_torch_seen();
        fz_report_look();
    }
    if (getenv("FUZZYTORCH_PLAN_ONLY")) /* fuzzyrun prepare: the plans are made */
        syscall(SYS_exit_group, 0);
}

__attribute__((destructor)) static void end(void)
{
    if (!fz_policy_get()->off)
        fz_report_end();
}

/* ---- One call ---------------------------------------------------------------------- */

unsigned fz_judge(const fz_lib *lib, enum fz_symbol s, bool lapack, bool excluded,
                  bool included)
{
    const fz_policy *p = fz_policy_get();
    const fz_symbol_info *info = &fz_symbol_table[s];
    /* A call of reference LAPACK, which we put in the place of torch's, is in scope as
     * torch's is, whatever the library and whether BLAS called by torch itself is. */
    if (!lapack && !lib->scope)
        return FZ_BY_LIBRARY;
    if (lib->exact)
        return FZ_BY_EXACT;
    excluded |= fz_rules_match(&fz_policy_now.exclude, info->name, lib->name);
    included |= fz_rules_match(&fz_policy_now.include, info->name, lib->name);
    if (excluded)
        return FZ_BY_EXCLUDE;
    if (p->include.given && !included)
        return FZ_BY_INCLUDE;
    if (!lapack && !(p->scope & info->scope))
        return info->scope == FZ_SCOPE_BLAS && p->scope & FZ_SCOPE_CONV ? FZ_ONLY_CONV
                                                                        : FZ_BY_SCOPE;
    return FZ_PERTURBED;
}

static FZ_COLD unsigned judge(fz_lib *lib, enum fz_symbol s)
{
    const fz_policy *p = fz_policy_get();
    const unsigned v = fz_judge(lib, s, false, false, false);
    atomic_store_explicit(&lib->verdict[s], (uint8_t)(v + 1), memory_order_relaxed);
    if (p->verbose >= 3)
        fz_say("%s called by %s: %s%s", fz_symbol_table[s].name, lib->name,
               v == FZ_PERTURBED   ? "perturbed"
               : v == FZ_ONLY_CONV ? "in convolutions"
                                   : "passed through",
               fz_rules_have_frames(&p->exclude) || fz_rules_have_frames(&p->include)
                   ? ", unless a line names its callers"
                   : "");
    return v;
}

static enum fz_reason verdict(fz_call *call, const void *from)
{
    const fz_thread *t = call->t;
    fz_lib *lib = call->lib;
    unsigned v = atomic_load_explicit(&lib->verdict[call->s], memory_order_relaxed);
    /* Inside LAPACK calls are seldom enough not to be remembered. */
    if (FZ_UNLIKELY(t->lapack > 0))
        v = fz_judge(lib, call->s, true, false, false);
    else
        v = FZ_LIKELY(v != 0) ? v - 1 : judge(lib, call->s);
    if (FZ_UNLIKELY(fz_callers_on)) {
        call->row = NULL;
        if (v != FZ_BY_LIBRARY)
            v = fz_callers_judge(call, from);
    }
    if (FZ_UNLIKELY(fz_policy_get()->paused))
        return FZ_BY_SWITCH;
    if (FZ_UNLIKELY(t->plain != FZ_PERTURBED) && v != FZ_BY_LIBRARY)
        return t->plain;
    if (v == FZ_ONLY_CONV)
        return t->conv ? FZ_PERTURBED : FZ_BY_CONV;
    return (enum fz_reason)v;
}

void fz_nearest(fz_call *call, size_t size)
{
    call->nearest = true;
    call->k = fz_kernels_for(fz_policy_get()->isa);
    call->job =
        (fz_job){PRISM_NEAREST, size == sizeof(f32) ? 24 : 53, {0, 0}, &fz_host_threads};
}

/* The original, or our kernel in nearest where there is none to be had. */
static bool pass(fz_call *call, size_t size)
{
    call->real = fz_original(call->lib, call->s);
    if (FZ_LIKELY(call->real != NULL))
        return false;
    fz_nearest(call, size);
    return true;
}

bool fz_enter(fz_call *call, enum fz_symbol s, const void *from, size_t size)
{
    return fz_enter_from(call, s, fz_lib_of(from), from, size);
}

bool fz_enter_from(fz_call *call, enum fz_symbol s, fz_lib *lib, const void *from,
                   size_t size)
{
    return fz_enter_row(call, s, lib, from, size) || pass(call, size);
}

bool fz_enter_row(fz_call *call, enum fz_symbol s, fz_lib *lib, const void *from,
                  size_t size)
{
    const fz_policy *p = fz_policy_get();
    call->s = s;
    call->lib = lib;
    call->t = NULL;
    call->real = NULL;
    call->counted = call->nearest = false;
    if (p->off)
        return false;

    fz_thread *t = call->t = fz_self();
    if (t->depth++) /* part of an outer call, which has been counted */
        return false;

    uint64_t ordinal = t->stream->ordinal[s]++;
    call->counted = true;
    call->why = verdict(call, from);
    if (call->why != FZ_PERTURBED)
        return false;

    call->k = fz_kernels_for(p->isa);
    call->job.mode = p->mode;
    call->job.t = size == sizeof(f32) ? p->t_f32 : p->t_f64;
    prism_key *symbol = &t->stream->symbol[s];
    if (FZ_UNLIKELY(!(symbol->lo | symbol->hi)))
        *symbol = prism_key_derive(t->stream->key, fz_symbol_table[s].hash);
    call->job.key = prism_key_derive(*symbol, ordinal);
    call->job.threads = &fz_host_threads;
    return true;
}

void fz_leave(fz_call *call, uint64_t flops)
{
    if (!call->t)
        return;
    call->t->depth--;
    if (call->counted)
        fz_count_call(call->t, call->s, call->why, flops);
    if (FZ_UNLIKELY(fz_callers_on) && call->counted)
        fz_callers_count(call, flops);
}

/* ---- Illegal arguments ------------------------------------------------------------- */

static void *find_xerbla(const fz_call *call, const char *name)
{
    /* The program's own comes first: BLAS's testers bring one. */
    void *p = dlsym(RTLD_DEFAULT, name);
    return p && !fz_ours(p) ? p : fz_original_name(call->lib, name);
}

void fz_xerbla(const fz_call *call, const char *routine, int info)
{
    void (*xerbla)(const char *, const int *, size_t) = NULL;
    *(void **)&xerbla = find_xerbla(call, "xerbla_");
    if (xerbla)
        xerbla(routine, &info, strlen(routine));
    else
        fz_say("parameter %d of %s has an illegal value", info, routine);
}

void fz_cblas_xerbla(const fz_call *call, const char *routine, int info)
{
    void *p = find_xerbla(call, "cblas_xerbla");
    const fz_lib *home = p ? fz_lib_of(p) : NULL;
    if (!p) {
        fz_xerbla(call, routine, info);
    } else if (fz_match_list("libtorch*,libmkl*", home->name)) {
        /* MKL's takes the name first. */
        void (*mkl)(const char *, int) = NULL;
        *(void **)&mkl = p;
        mkl(routine, info);
    } else {
        void (*netlib)(int, const char *, const char *, ...) = NULL;
        *(void **)&netlib = p;
        netlib(info, routine, "");
    }
}
