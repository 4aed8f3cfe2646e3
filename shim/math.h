/* One call of a math function: the kernel on n elements, or the original.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_SHIM_MATH_H
#define FZ_SHIM_MATH_H

#include <string.h>

#include "shim.h"

/* The library that `from` lies in. SLEEF's functions take 4 to 16 elements a call, so that the
 * look-up of fz_lib_of() would cost more than the rest: each thread remembers the last one. Only
 * libtorch_cpu.so is remembered: the dynamic linker never unmaps it, as it holds unique symbols
 * (STB_GNU_UNIQUE), and so nothing else can come to lie there. */
static inline fz_lib *fz_math_lib(const void *from)
{
    static __thread fz_lib *last __attribute__((tls_model("initial-exec")));
    fz_lib *lib = last;
    const uintptr_t at = (uintptr_t)from;
    if (FZ_LIKELY(lib != NULL) && FZ_LIKELY(at >= lib->lo && at < lib->hi))
        return lib;
    lib = fz_lib_of(from);
    if (!strncmp(lib->name, "libtorch_cpu.so", 15))
        last = lib;
    return lib;
}

/* FZ_FN_ of the functions that a call computes: what follows the first is sincos's. */
static inline void fz_map_f32(const fz_call *c, enum fz_fn fn, long n, const f32 *x,
                              const f32 *y, f32 *out)
{
    c->k->map_f32(&c->job, fn, n, x, y, out);
}

static inline void fz_map_f64(const fz_call *c, enum fz_fn fn, long n, const f64 *x,
                              const f64 *y, f64 *out)
{
    c->k->map_f64(&c->job, fn, n, x, y, out);
}

/* Sine and cosine of one call: streams of their own. */
static inline void fz_second(fz_call *c)
{
    c->job.key = prism_key_derive(c->job.key, 1);
}

#endif
