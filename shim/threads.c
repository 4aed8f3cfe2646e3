/* Work sharing over the OpenMP run time that torch uses; we link none ourselves.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Which run time: the one that the dynamic linker would give torch. The global scope
 * comes first there (a preloaded libiomp5 takes the place of torch's libgomp, and
 * torch.set_num_threads then speaks to it), after it libtorch_cpu.so's own dependencies
 * (the libgomp that the wheel bundles, under whatever name). So torch.set_num_threads is
 * respected without a second set of threads. None found: the calling thread does all.
 */
#include <stdatomic.h>

#include "shim.h"

typedef void parallel_fn(void (*)(void *), void *, unsigned, unsigned);

static struct {
    parallel_fn *parallel;
    int (*max)(void);
    int (*in_parallel)(void);
} omp;
static atomic_int state; /* 0: look, 1: found, 2: not found, torch not mapped then */

static void look(void)
{
    static const char *const names[] = {"GOMP_parallel", "omp_get_max_threads",
                                        "omp_in_parallel"};
    void *p[3];
    bool mapped = fz_torch_seen();
    for (int i = 0; i < 3; i++)
        p[i] = fz_original_name(NULL, names[i]);
    if (p[0] && p[1] && p[2]) {
        *(void **)&omp.parallel = p[0];
        *(void **)&omp.max = p[1];
        *(void **)&omp.in_parallel = p[2];
        atomic_store_explicit(&state, 1, memory_order_release);
    } else {
        atomic_store_explicit(&state, mapped ? 3 : 2, memory_order_release);
    }
}

static int max_threads(void)
{
    int s = atomic_load_explicit(&state, memory_order_acquire);
    if (FZ_UNLIKELY(s == 0 || (s == 2 && atomic_load(&fz_torch_mapped)))) {
        look();
        s = atomic_load_explicit(&state, memory_order_acquire);
    }
    /* A forked child has lost its parent's team, and libgomp would wait for it for ever.
     */
    if (s != 1 || fz_forked || fz_self()->region || omp.in_parallel())
        return 1;
    int n = omp.max();
    return n > 0 ? n : 1;
}

struct work {
    void (*body)(void *, int);
    void *arg;
    int n;
    atomic_int next;
};

static void share(void *p)
{
    struct work *w = p;
    int i;
    while ((i = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->n)
        w->body(w->arg, i);
}

static void run(void (*body)(void *arg, int i), void *arg, int n)
{
    int threads = n > 1 ? max_threads() : 1;
    if (threads <= 1) {
        for (int i = 0; i < n; i++)
            body(arg, i);
        return;
    }
    struct work w = {body, arg, n, 0};
    omp.parallel(share, &w, (unsigned)(threads < n ? threads : n), 0);
}

const fz_threads fz_host_threads = {max_threads, run};
