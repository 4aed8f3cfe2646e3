/* What the routines built on the kernel table share: streams of their parts, scratch,
 * work.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_BLAS_PARTS_H
#define FZ_BLAS_PARTS_H

#include <string.h>
#include <xmmintrin.h>

#include "kernels.h"

typedef float _Complex c32;
typedef double _Complex c64;

/* One call as a sequence of parts, each with a stream of its own: numbered in program
 * order, which depends on shapes only. */
typedef struct fz_parts {
    const fz_kernels *k;
    fz_job job;
    uint64_t next;
} fz_parts;

static inline fz_parts fz_parts_of(const fz_kernels *k, const fz_job *job)
{
    return (fz_parts){k, *job, 0};
}

/* The parts of task i: on the thread that runs it. */
static inline fz_parts fz_parts_task(const fz_parts *p, int i)
{
    fz_parts task = {p->k, p->job, 0};
    task.job.key = prism_key_derive(p->job.key, UINT64_C(1) << 63 | (uint64_t)i);
    task.job.threads = NULL;
    return task;
}

static inline fz_job fz_part(fz_parts *p)
{
    fz_job job = p->job;
    job.key = prism_key_derive(p->job.key, p->next++);
    return job;
}

/* The word of a part that is one operation. */
static inline uint64_t fz_part_word(fz_parts *p, size_t size)
{
    uint64_t w = 0;
    fz_job job = fz_part(p);
    if (job.mode != PRISM_NEAREST)
        prism_words(job.key, job.mode, size, job.t, 0, 1, &w);
    return w;
}

/* A task under FTZ and DAZ as its caller has set them: the host sets them for a thread. */
typedef struct fz_parts_body {
    void (*body)(void *, int);
    void *arg;
    unsigned csr;
} fz_parts_body;

#define FZ_FLUSHES 0x8040u /* FTZ and DAZ of MXCSR */

static inline void fz_parts_flushing(void *arg, int i)
{
    const fz_parts_body *b = arg;
    const unsigned old = _mm_getcsr();
    _mm_setcsr((old & ~FZ_FLUSHES) | b->csr);
    b->body(b->arg, i);
    _mm_setcsr(old);
}

/* Run body(arg, 0 .. n-1), shared where that many multiply-adds are worth it. */
static inline void fz_parts_share(const fz_parts *p, f64 work, void (*body)(void *, int),
                                  void *arg, int n)
{
    const fz_threads *threads = p->job.threads;
    if (n > 1 && threads && work >= 32768 && threads->max() > 1) {
        fz_parts_body b = {body, arg, _mm_getcsr() & FZ_FLUSHES};
        threads->run(fz_parts_flushing, &b, n);
        return;
    }
    for (int i = 0; i < n; i++)
        body(arg, i);
}

/* Scratch of the calling thread, one area a level of the calls that nest: a solver calls
 * the complex product, which calls vectors, which call the table (whose own scratch is
 * another). */
enum fz_scratch {
    FZ_SCRATCH_SOLVE,
    FZ_SCRATCH_PRODUCT,
    FZ_SCRATCH_VECTORS,
    FZ_SCRATCH_NORMS,
    FZ_SCRATCHES
};

/* FZ_SCRATCH_BYTES each, page-aligned; never NULL. */
#define FZ_SCRATCH_BYTES (1 << 20)
void *fz_scratch(enum fz_scratch which);

/* x*2^e, exact but at the ends of the range; the exponent of the leading bit of a finite
 * x, and 0 of 0. Not libm's: those may be our own exports. */
static inline f64 fz_times_power(f64 x, int e)
{
    for (int some; e; e -= some) {
        some = e > 1000 ? 1000 : e < -1000 ? -1000 : e;
        const uint64_t bits = (uint64_t)(1023 + some) << 52;
        f64 power;
        memcpy(&power, &bits, sizeof power);
        x *= power;
    }
    return x;
}

static inline int fz_exponent(f64 x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int e = (int)(bits >> 52 & 0x7ff);
    const uint64_t f = bits & ((UINT64_C(1) << 52) - 1);
    return e ? e - 1023 : f ? -1011 - __builtin_clzll(f) : 0;
}

/* The ISA of a table. */
enum prism_isa fz_kernels_isa(const fz_kernels *k);

#endif
