/* dnnl_primitive_execute: which primitive it is, and who computes it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * All of torch's traffic to oneDNN passes this function, whatever code oneDNN makes for a
 * primitive. Each kind has a server: a reader that turns the primitive into plain structs
 * or says why it cannot, and a runner that hands them to the kernels. Whatever has none
 * is left to the original, counted and named. Copies are no arithmetic and not counted.
 */
#include <sys/mman.h>

#include "blas.h"
#include "divert.h"
#include "onednn.h"

static const fz_dnnl_server servers[FZ_DNNL_KINDS] = {
    [FZ_DNNL_CONVOLUTION] = {FZ_SYM_dnnl_convolution, 0, fz_dnnl_conv_read,
                             fz_dnnl_conv_run},
    [FZ_DNNL_DECONVOLUTION] = {FZ_SYM_dnnl_deconvolution, 0, fz_dnnl_conv_read,
                               fz_dnnl_conv_run},
    [FZ_DNNL_RNN] = {FZ_SYM_dnnl_rnn, FZ_SCOPE_BLAS, fz_dnnl_rnn_read, fz_dnnl_rnn_run},
    [FZ_DNNL_MATMUL] = {FZ_SYM_dnnl_matmul, FZ_SCOPE_BLAS, fz_dnnl_matmul_read,
                        fz_dnnl_matmul_run},
    [FZ_DNNL_INNER_PRODUCT] = {FZ_SYM_dnnl_inner_product, FZ_SCOPE_BLAS,
                               fz_dnnl_inner_read, fz_dnnl_inner_run},
    [FZ_DNNL_ELTWISE] = {FZ_SYM_dnnl_eltwise, FZ_SCOPE_MATH, fz_dnnl_eltwise_read,
                         fz_dnnl_eltwise_run},
    [FZ_DNNL_REORDER] = {FZ_SYM_dnnl_reorder, 0, fz_dnnl_reorder_read,
                         fz_dnnl_reorder_run},
};

/* Is torch's traffic led through us, and can we read it? */
bool fz_dnnl_served(void)
{
    static atomic_int state; /* 0: not known; 1: no; 2: yes */
    int s = atomic_load_explicit(&state, memory_order_acquire);
    if (FZ_UNLIKELY(s == 0)) {
        const char *why;
        if (!fz_torch_seen())
            return false;
        fz_dnnl_version(&why);
        s = !why && fz_divert_reached("dnnl_primitive_execute") ? 2 : 1;
        atomic_store_explicit(&state, s, memory_order_release);
    }
    return s == 2;
}

static atomic_bool past;

bool fz_dnnl_serves(void)
{
    const bool served = fz_dnnl_served();
    if (!served && !atomic_load_explicit(&past, memory_order_relaxed))
        atomic_store(&past, true);
    return served;
}

const char *fz_dnnl_route(const char **why)
{
    const char *version = fz_dnnl_version(why);
    if (!*why && !fz_dnnl_served())
        *why = "its entry, dnnl_primitive_execute, cannot be diverted";
    return version;
}

/* ---- What is left to the original -------------------------------------------------- */

enum { LEFT = 64 };
/* In memory shared with forked children; the texts are constants of ours. */
static struct left {
    _Atomic(const char *) why;
    atomic_int kind;
    _Atomic uint64_t calls;
} *left;

void fz_dnnl_begin(void)
{
    void *p = mmap(NULL, LEFT * sizeof *left, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    left = p == MAP_FAILED ? NULL : p;
}

static void note(enum fz_dnnl_kind kind, const char *why)
{
    for (int i = 0; left && i < LEFT; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&left[i].why, &none, why)) {
            atomic_store(&left[i].kind, (int)kind + 1);
            none = why;
        }
        if (none != why)
            continue;
        while (!atomic_load(&left[i].kind))
            __builtin_ia32_pause();
        if (atomic_load(&left[i].kind) == (int)kind + 1) {
            atomic_fetch_add(&left[i].calls, 1);
            return;
        }
    }
}

bool fz_dnnl_left(unsigned i, fz_dnnl_rest *rest)
{
    const char *why = left && i < LEFT ? atomic_load(&left[i].why) : NULL;
    if (!why)
        return false;
    const int kind = atomic_load(&left[i].kind);
    rest->kind = fz_dnnl_kind_name((enum fz_dnnl_kind)(kind ? kind - 1 : 0));
    rest->why = why;
    rest->calls = atomic_load(&left[i].calls);
    return true;
}

void fz_dnnl_json(fz_text *t)
{
    const char *why, *version = fz_dnnl_route(&why);
    fz_dnnl_rest rest;
    fz_text_add(t, ",\n \"onednn\": {\"version\": %s%s%s, \"route\": \"%s\", \"why\": ",
                version ? "\"" : "", version ? version : "null", version ? "\"" : "",
                why ? "im2col" : "primitives");
    fz_text_add(t, why ? "\"%s\"" : "null", why);
    fz_text_add(t, ", \"executed\": [");
    for (int k = 0, n = 0; k < FZ_DNNL_KINDS; k++)
        if (servers[k].read)
            fz_text_add(t, "%s\"%s\"", n++ ? ", " : "",
                        fz_dnnl_kind_name((enum fz_dnnl_kind)k));
    fz_text_add(t, "], \"left\": [");
    for (unsigned i = 0; fz_dnnl_left(i, &rest); i++)
        fz_text_add(t, "%s\n  {\"primitive\": \"%s\", \"why\": \"%s\", \"calls\": %u}",
                    i ? "," : "", rest.kind, rest.why, rest.calls);
    fz_text_add(t, "]}");
}

void fz_dnnl_table(fz_text *t)
{
    const char *why, *version = fz_dnnl_route(&why);
    fz_dnnl_rest rest;
    if (why && atomic_load(&past))
        fz_text_add(t, "  oneDNN %s: torch is led past it, to BLAS: %s\n",
                    version ? version : "of unknown version", why);
    for (unsigned i = 0; fz_dnnl_left(i, &rest); i++)
        fz_text_add(t, "  oneDNN's %s: left to the original %u times: %s\n", rest.kind,
                    rest.calls, rest.why);
}

/* ---- The entry --------------------------------------------------------------------- */

enum { TYPE_F32 = 3 }; /* dnnl_data_type_t; 1 and 2 are f16 and bf16 */

/* No result is rounded: bytes are moved, or the largest is chosen. */
static bool exact(const fz_dnnl_op *op)
{
    switch (op->kind) {
    case FZ_DNNL_CONCAT:
    case FZ_DNNL_SHUFFLE: return true;
    case FZ_DNNL_POOLING: return op->alg == FZ_DNNL_POOLING_MAX;
    case FZ_DNNL_REORDER: {
        const int from = fz_dnnl_type(op, FZ_DNNL_SRC);
        const int to = fz_dnnl_type(op, FZ_DNNL_DST);
        static const int all[] = {FZ_DNNL_SRC, FZ_DNNL_DST, 0};
        int n;
        fz_post none;
        /* Widening is exact as well. */
        return from && (from == to || (from < TYPE_F32 && to == TYPE_F32)) &&
               fz_dnnl_only(op, all) && !fz_dnnl_posts(op, FZ_F32, &none, 0, &n);
    }
    default: return false;
    }
}

typedef int execute_fn(const void *, void *, int, const fz_dnnl_arg *);

static execute_fn *original(fz_lib *lib)
{
    void *p = fz_original(lib, FZ_SYM_dnnl_primitive_execute);
    if (!p)
        fz_die("dnnl_primitive_execute has no original in this process");
    return (execute_fn *)p;
}

/* The program may have another oneDNN than torch's, which we do not read. */
static bool of_torch(fz_lib *lib)
{
    static _Atomic(void *) torchs;
    void *p = atomic_load_explicit(&torchs, memory_order_acquire);
    if (FZ_UNLIKELY(!p)) {
        p = fz_original_name(NULL, "dnnl_primitive_execute");
        atomic_store_explicit(&torchs, p, memory_order_release);
    }
    return p == fz_original(lib, FZ_SYM_dnnl_primitive_execute);
}

/* Why the call's reader leaves it; NULL: its runner can do it. */
static const char *read(const fz_dnnl_server *server, const fz_dnnl_op *op,
                        fz_dnnl_work *work)
{
    if (!server->read)
        return "not executed by this version";
    return server->read(op, work);
}

FZ_EXPORT int dnnl_primitive_execute(const void *primitive, void *stream, int nargs,
                                     const fz_dnnl_arg *args)
{
    static const fz_dnnl_server other = {FZ_SYM_dnnl_other, 0, NULL, NULL};
    const void *from = FZ_FROM;
    fz_lib *lib = fz_lib_of(from);
    fz_dnnl_op op;
    if (fz_policy_get()->off || fz_self()->depth || !fz_dnnl_served() || !of_torch(lib) ||
        !fz_dnnl_read(&op, primitive, nargs, args) || exact(&op))
        return original(lib)(primitive, stream, nargs, args);

    const fz_dnnl_server *server = servers[op.kind].row ? &servers[op.kind] : &other;
    fz_dnnl_work work = {0};
    fz_call call;
    int rc = 0;
    const char *why = read(server, &op, &work);
    bool ours = fz_enter_row(&call, server->row, lib, from, sizeof(f32));
    if (ours && (fz_policy_get()->scope & server->also) != server->also) {
        ours = false;
        call.why = FZ_BY_SCOPE;
    }
    if (ours && why) {
        ours = false;
        call.why = FZ_BY_KIND;
        note(op.kind, why);
    }
    if (work.bound && why) {
        fz_say("oneDNN's %s: begun by us, and now %s", fz_dnnl_kind_name(op.kind), why);
        rc = 2; /* dnnl_invalid_arguments: torch throws */
    } else if (work.bound && !ours) {
        fz_nearest(&call, sizeof(f32));
        server->run(&call, &work);
    } else if (ours)
        server->run(&call, &work);
    else
        rc = original(lib)(primitive, stream, nargs, args);
    fz_leave(&call, work.flops);
    return rc;
}
