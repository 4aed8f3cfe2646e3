/* Originals: the function that a call would have reached without us.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The order, which is the dynamic linker's own:
 *   1. the global scope behind us (RTLD_NEXT): the program, other preloads, RTLD_GLOBAL;
 *   2. the calling library and its dependencies (elf.c): where torch's BLAS is, since
 * Python opens extension modules RTLD_LOCAL and RTLD_NEXT does not see them. It is asked
 * per calling library: SciPy may bring another OpenBLAS than torch, and keeps it;
 *   3. libtorch_cpu.so and its dependencies;
 *      a function that is diverted at its entry (divert.c): what was there, moved;
 *   4. OpenBLAS, opened RTLD_LOCAL so that it never enters the global scope; said in the
 *      report.
 * No lock of ours is held here: the linker has its own, and constructors call us under
 * it. Racing threads find the same address.
 */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "divert.h"
#include "shim.h"

static _Atomic(const char *) provided[FZ_SYMBOLS];
void *(*fz_real_dlopen)(const char *, int);

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

bool fz_ours(const void *address)
{
    const char *p = address;
    return p >= __ehdr_start && p < _end;
}

void *fz_next(const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    return p && !fz_ours(p) ? p : NULL;
}

static void *open_library(const char *path, int flags)
{
    if (!fz_real_dlopen)
        *(void **)&fz_real_dlopen = dlsym(RTLD_NEXT, "dlopen");
    return fz_real_dlopen ? fz_real_dlopen(path, flags) : NULL;
}

static void *in_handle(void *h, const char *name)
{
    void *p = h ? dlsym(h, name) : NULL;
    return p && !fz_ours(p) ? p : NULL;
}

void *fz_original_name(const fz_lib *lib, const char *name)
{
    void *p = fz_next(name);
    if (!p && lib && lib->map)
        p = fz_symbol_from((const void *)lib->lo, name);
    if (!p && fz_torch_seen())
        p = fz_symbol_of("libtorch_cpu.so", name);
    return fz_divert_original(lib ? (const void *)lib->lo : NULL, name, p);
}

static void *from_openblas(const char *name)
{
    static _Atomic(void *) handle;
    static atomic_bool tried;
    void *h = atomic_load(&handle);
    if (!h && !atomic_exchange(&tried, true)) {
        h = open_library("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
        if (!h)
            h = open_library("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
        atomic_store(&handle, h);
    }
    return in_handle(h, name);
}

static FZ_COLD void *find_original(fz_lib *lib, enum fz_symbol s)
{
    const fz_symbol_info *info = &fz_symbol_table[s];
    fz_thread *t = fz_self();
    t->depth++;
    void *p = fz_original_name(lib, info->name);
    if (!p && info->scope == FZ_SCOPE_BLAS) {
        p = from_openblas(info->name);
        const char *was = atomic_exchange(&provided[s], p ? "openblas" : "nearest");
        if (!was && fz_policy_get()->verbose >= 2)
            fz_say("%s has no original in this process: %s", info->name,
                   p ? "OpenBLAS serves it" : "our kernel serves it in nearest mode");
    }
    t->depth--;
    if (p)
        atomic_store_explicit(&lib->real[s], p, memory_order_release);
    return p;
}

void *fz_original(fz_lib *lib, enum fz_symbol s)
{
    void *p = atomic_load_explicit(&lib->real[s], memory_order_acquire);
    return FZ_LIKELY(p != NULL) ? p : find_original(lib, s);
}

const char *fz_provider(enum fz_symbol s)
{
    const char *p = atomic_load(&provided[s]);
    return p ? p : "process";
}
