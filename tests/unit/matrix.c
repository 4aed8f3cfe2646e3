/* Strided operands with guard bytes, and calls of kernels by type: for kernel tests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "matrix.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#define GUARD 64

static size_t size_of(const matrix *a)
{
    return a->is_f32 ? sizeof(f32) : sizeof(f64);
}

/* Room for all elements, a guard on both sides, an address that no vector is aligned to.
 */
static matrix make(rng *g, int is_f32, ptrdiff_t m, ptrdiff_t n, ptrdiff_t rs,
                   ptrdiff_t cs)
{
    matrix a = {is_f32, m, n, rs, cs, NULL, NULL, 0};
    ptrdiff_t lo = 0, hi = 0;
    const ptrdiff_t ri = m > 0 ? (m - 1) * rs : 0, ci = n > 0 ? (n - 1) * cs : 0;
    lo += ri < 0 ? ri : 0;
    hi += ri > 0 ? ri : 0;
    lo += ci < 0 ? ci : 0;
    hi += ci > 0 ? ci : 0;
    size_t off = rng_below(g, 8) * size_of(&a);
    a.bytes = (size_t)(hi - lo + 1) * size_of(&a) + 2 * GUARD + off;
    a.raw = malloc(a.bytes);
    memset(a.raw, 0xa5, a.bytes);
    a.base = a.raw + GUARD + off + (size_t)-lo * size_of(&a);
    return a;
}

matrix matrix_open(rng *g, int is_f32, ptrdiff_t m, ptrdiff_t n, enum layout layout)
{
    const ptrdiff_t pad = (ptrdiff_t)rng_below(g, 4);
    switch (layout) {
    case COL_MAJOR: return make(g, is_f32, m, n, 1, (m > 0 ? m : 1) + pad);
    case STRIDED: return make(g, is_f32, m, n, (n * 2 > 0 ? n * 2 : 1) + pad, 2);
    case NEGATIVE: return make(g, is_f32, m, n, -(n > 0 ? n : 1) - pad, 1);
    case ZERO_STRIDE:
        return rng_next(g) & 1 ? make(g, is_f32, m, n, 0, 1)
                               : make(g, is_f32, m, n, 1, 0);
    default: return make(g, is_f32, m, n, (n > 0 ? n : 1) + pad, 1);
    }
}

matrix vector_open(rng *g, int is_f32, ptrdiff_t n, ptrdiff_t inc)
{
    return make(g, is_f32, n, 1, inc, 1);
}

matrix matrix_copy(const matrix *a)
{
    matrix b = *a;
    b.raw = malloc(a->bytes);
    memcpy(b.raw, a->raw, a->bytes);
    b.base = b.raw + (a->base - a->raw);
    return b;
}

void matrix_close(matrix *a)
{
    free(a->raw);
}

static uint8_t *at(const matrix *a, ptrdiff_t i, ptrdiff_t j)
{
    return a->base + (i * a->rs + j * a->cs) * (ptrdiff_t)size_of(a);
}

f64 matrix_get(const matrix *a, ptrdiff_t i, ptrdiff_t j)
{
    uint64_t bits = 0;
    memcpy(&bits, at(a, i, j), size_of(a));
    return a->is_f32 ? (f64)f32_bits(bits) : f64_bits(bits);
}

void matrix_set(matrix *a, ptrdiff_t i, ptrdiff_t j, f64 x)
{
    uint64_t bits = a->is_f32 ? bits_f32((f32)x) : bits_f64(x);
    memcpy(at(a, i, j), &bits, size_of(a));
}

void matrix_fill(rng *g, matrix *a, enum shape shape, int strays)
{
    f64 last = 0;
    for (ptrdiff_t i = 0; i < a->m; i++)
        for (ptrdiff_t j = 0; j < a->n; j++) {
            enum shape s = (int)rng_below(g, 256) < strays
                               ? (enum shape)rng_below(g, SHAPES)
                               : shape;
            f64 x = shape_value(g, s, a->is_f32);
            if (s == SHAPE_CANCEL && (i + j) % 2)
                x = -last; /* neighbours that add up to nothing */
            matrix_set(a, i, j, x);
            last = matrix_get(a, i, j);
        }
}

ptrdiff_t matrix_differs(const matrix *a, const matrix *b)
{
    matrix x = matrix_copy(a), y = matrix_copy(b);
    const size_t size = size_of(a);
    ptrdiff_t bad = -1;
    for (ptrdiff_t i = 0; i < a->m && bad == -1; i++)
        for (ptrdiff_t j = 0; j < a->n; j++) {
            f64 u = matrix_get(a, i, j), v = matrix_get(b, i, j);
            if (memcmp(at(a, i, j), at(b, i, j), size) && !(u != u && v != v)) {
                bad = i * a->n + j;
                break;
            }
            memset(at(&x, i, j), 0, size);
            memset(at(&y, i, j), 0, size);
        }
    if (bad == -1 && memcmp(x.raw, y.raw, a->bytes))
        bad = -2;
    matrix_close(&x);
    matrix_close(&y);
    return bad;
}

/* ---- calls ------------------------------------------------------------------------- */

unsigned call_csr, call_csr_after;
static unsigned host;

/* Scalars are narrowed before FTZ is on, which would flush them. */
static f32 narrow(f64 x)
{
    volatile f32 y = (f32)x;
    return y;
}

static void enter(void)
{
    host = _mm_getcsr();
    _mm_setcsr(host | call_csr);
}

static void leave(void)
{
    call_csr_after = (_mm_getcsr() ^ (host | call_csr)) & ~0x3fu;
    _mm_setcsr(host);
}

static void *p_of(const matrix *a)
{
    return a->base;
}

void call_gemm(enum prism_isa isa, const fz_job *job, ptrdiff_t k, f64 alpha,
               const matrix *a, const matrix *b, f64 beta, matrix *c)
{
    const fz_kernels *f = fz_kernels_for(isa);
    const f32 al = narrow(alpha), be = narrow(beta);
    enter();
    if (c->is_f32)
        f->gemm_f32(job, c->m, c->n, k, al, p_of(a), a->rs, a->cs, p_of(b), b->rs, b->cs,
                    be, p_of(c), c->rs, c->cs);
    else
        f->gemm_f64(job, c->m, c->n, k, alpha, p_of(a), a->rs, a->cs, p_of(b), b->rs,
                    b->cs, beta, p_of(c), c->rs, c->cs);
    leave();
}

int call_packed(enum prism_isa isa, const fz_job *job, ptrdiff_t k, const matrix *a,
                const matrix *b, f64 beta, matrix *c)
{
    const fz_kernels *f = fz_kernels_for(isa);
    const f32 be = narrow(beta);
    if (!c->is_f32 || c->m < 1 || c->n < 2 || c->n > FZ_PACK_COLS || c->cs != 1 || k < 1)
        return 0;
    const size_t size = fz_pack_bytes(c->n, k);
    uint8_t *to = aligned_alloc(64, size + 64);
    memset(to, 0xa5, size + 64);
    enter();
    const int packed = f->pack_f32(job, c->n, k, p_of(b), b->rs, b->cs, to);
    if (packed)
        f->packed_f32(job, c->m, c->n, k, p_of(a), a->rs, a->cs, p_of(b), b->rs, b->cs, to,
                      be, p_of(c), c->rs);
    leave();
    for (int i = 0; i < 64; i++)
        ck_assert_uint_eq(to[size + (size_t)i], 0xa5);
    free(to);
    return packed;
}

f64 call_dot(enum prism_isa isa, const fz_job *job, const matrix *x, const matrix *y)
{
    const fz_kernels *f = fz_kernels_for(isa);
    volatile f32 narrow_result = 0; /* widened after DAZ is off */
    f64 result = 0;
    enter();
    if (x->is_f32)
        narrow_result = f->dot_f32(job, x->m, p_of(x), x->rs, p_of(y), y->rs);
    else
        result = f->dot_f64(job, x->m, p_of(x), x->rs, p_of(y), y->rs);
    leave();
    return x->is_f32 ? (f64)narrow_result : result;
}

void call_axpy(enum prism_isa isa, const fz_job *job, f64 alpha, const matrix *x,
               matrix *y)
{
    const fz_kernels *f = fz_kernels_for(isa);
    const f32 al = narrow(alpha);
    enter();
    if (x->is_f32)
        f->axpy_f32(job, x->m, al, p_of(x), x->rs, p_of(y), y->rs);
    else
        f->axpy_f64(job, x->m, alpha, p_of(x), x->rs, p_of(y), y->rs);
    leave();
}

void call_scal(enum prism_isa isa, const fz_job *job, f64 alpha, matrix *x)
{
    const fz_kernels *f = fz_kernels_for(isa);
    const f32 al = narrow(alpha);
    enter();
    if (x->is_f32)
        f->scal_f32(job, x->m, al, p_of(x), x->rs);
    else
        f->scal_f64(job, x->m, alpha, p_of(x), x->rs);
    leave();
}

void call_ger(enum prism_isa isa, const fz_job *job, f64 alpha, const matrix *x,
              const matrix *y, matrix *a)
{
    const fz_kernels *f = fz_kernels_for(isa);
    const f32 al = narrow(alpha);
    enter();
    if (a->is_f32)
        f->ger_f32(job, a->m, a->n, al, p_of(x), x->rs, p_of(y), y->rs, p_of(a), a->rs,
                   a->cs);
    else
        f->ger_f64(job, a->m, a->n, alpha, p_of(x), x->rs, p_of(y), y->rs, p_of(a), a->rs,
                   a->cs);
    leave();
}

/* ---- threads ----------------------------------------------------------------------- */

#define THREADS 3

typedef struct share {
    void (*body)(void *, int);
    void *arg;
    int n;
    atomic_int next;
} share;

static void *work(void *p)
{
    share *s = p;
    for (int i; (i = atomic_fetch_add(&s->next, 1)) < s->n;)
        s->body(s->arg, i);
    return NULL;
}

static int threads_max(void)
{
    return THREADS;
}

static void threads_run(void (*body)(void *arg, int i), void *arg, int n)
{
    share s = {body, arg, n, 0};
    pthread_t others[THREADS - 1];
    int started = 0;
    while (started < THREADS - 1 && !pthread_create(&others[started], NULL, work, &s))
        started++;
    work(&s);
    for (int i = 0; i < started; i++)
        pthread_join(others[i], NULL);
}

const fz_threads test_threads = {threads_max, threads_run};
