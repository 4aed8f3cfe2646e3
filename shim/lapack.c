/* LAPACK by the reference implementation, whose BLAS calls land in ours.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * MKL and OpenBLAS compute LAPACK with BLAS of their own that no symbol reaches. A call
 * that is perturbed goes to reference LAPACK instead, opened for us alone. Preloaded
 * symbols come first for it as for everyone, so its products, solvers and rotations come
 * back here; they count as torch's while t->lapack > 0. Arithmetic written out in LAPACK
 * itself (pivots, Householder scalars, the rotations of an eigenvalue sweep) stays plain.
 *
 * Its LAPACK routines call each other through the same symbols: those calls are handed
 * on.
 */
#include <dlfcn.h>
#include <string.h>

#include "shim.h"

/* Where Debian keeps the reference implementation beside others of that soname; then the
 * soname, if it is not another implementation's. */
#define DEBIAN "/usr/lib/x86_64-linux-gnu/lapack/liblapack.so.3"
#define SONAME "liblapack.so.3"

static void *open_quietly(fz_thread *t, const char *name)
{
    if (!fz_real_dlopen)
        *(void **)&fz_real_dlopen = dlsym(RTLD_NEXT, "dlopen");
    if (!fz_real_dlopen)
        return NULL;
    t->depth++; /* its constructors are nobody's arithmetic */
    void *h = fz_real_dlopen(name, RTLD_NOW | RTLD_LOCAL);
    t->depth--;
    return h;
}

static FZ_COLD void *open_reference(fz_thread *t)
{
    void *h = open_quietly(t, DEBIAN);
    if (!h && (h = open_quietly(t, SONAME)) &&
        (dlsym(h, "openblas_get_config") || dlsym(h, "mkl_get_version") ||
         dlsym(h, "ATL_buildinfo") || dlsym(h, "bli_info_get_version_str"))) {
        dlclose(h);
        h = NULL;
    }
    if (!h)
        fz_say(
            "warning: reference LAPACK (liblapack.so.3) is missing: torch's LAPACK calls "
            "are not perturbed; install liblapack3");
    return h;
}

/* The reference's function, or NULL. */
static void *reference(fz_thread *t, enum fz_symbol s)
{
    static _Atomic(void *) handle, function[FZ_SYMBOLS];
    static atomic_int state; /* 0: not looked for, 1: by a thread just now, 2: done */
    void *f = atomic_load_explicit(&function[s], memory_order_acquire);
    if (FZ_LIKELY(f != NULL))
        return f;
    int unknown = 0;
    if (atomic_compare_exchange_strong(&state, &unknown, 1)) {
        atomic_store(&handle, open_reference(t));
        atomic_store(&state, 2);
    }
    while (atomic_load(&state) == 1)
        __builtin_ia32_pause();
    void *h = atomic_load(&handle);
    f = h ? dlsym(h, fz_symbol_table[s].name) : NULL;
    if (f && fz_ours(f))
        f = NULL;
    atomic_store_explicit(&function[s], f, memory_order_release);
    return f;
}

static void forward(void *f, const long *w)
{
    void (*call)(FZ_LAPACK_WORDS) = NULL;
    *(void **)&call = f;
    call(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12],
         w[13], w[14], w[15], w[16], w[17], w[18], w[19]);
}

static void run(enum fz_symbol s, const void *from, const long *w)
{
    fz_call call;
    void *f;
    if (!fz_policy_get()->off) {
        fz_thread *t = fz_self();
        if (t->lapack > 0 && t->depth == 0 && (f = reference(t, s))) {
            forward(f, w);
            return;
        }
    }
    const bool ours = fz_enter(&call, s, from, sizeof(f32));
    fz_thread *t = fz_self();
    if (!ours) {
        forward(call.real, w);
    } else if (!(f = reference(t, s)) || call.nearest) {
        if (!call.nearest)
            call.why = FZ_BY_ABSENCE;
        if (!f || !call.nearest)
            f = fz_original(call.lib, s);
        if (!f)
            fz_die("no library of this process has %s", fz_symbol_table[s].name);
        forward(f, w);
    } else {
        t->depth--;
        t->lapack++;
        forward(f, w);
        t->lapack--;
        t->depth++;
    }
    fz_leave(&call, 0);
}

void xerbla_(const char *routine, const int *info, size_t length);

/* The reference's xerbla ends the process; MKL's and OpenBLAS's, which a call would have
 * reached without us, say what was wrong and return with info set. */
FZ_EXPORT void xerbla_(const char *routine, const int *info, size_t length)
{
    if (!fz_policy_get()->off && fz_self()->lapack > 0) {
        char name[16] = {0};
        memcpy(name, routine, length < sizeof name ? length : sizeof name - 1);
        fz_say("parameter %d of %s has an illegal value", *info, name);
        return;
    }
    void (*original)(const char *, const int *, size_t) = NULL;
    *(void **)&original = fz_original_name(fz_lib_of(FZ_FROM), "xerbla_");
    if (original)
        original(routine, info, length);
}

#define BODY_BLAS(name)
#define BODY_MATH(name)
#define BODY_CONV(name)
#define BODY_LAPACK(name)                                                                \
    FZ_EXPORT void name(FZ_LAPACK_WORDS)                                                 \
    {                                                                                    \
        const long w[] = {w0,  w1,  w2,  w3,  w4,  w5,  w6,  w7,  w8,  w9,               \
                          w10, w11, w12, w13, w14, w15, w16, w17, w18, w19};             \
        run(FZ_SYM_##name, FZ_FROM, w);                                                  \
    }
#define FZ_SYMBOL(name, family, kernel, need, result, args) BODY_##family(name)
#include "symbols.def"
