/* Math functions over arrays: the unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two passes over a block: wide values of all elements, then the law on them. A lane goes to
 * the scalar definition where its wide value is not known well enough: next to a number of t
 * bits, where being exact or not decides, and outside the range of the vector code. Words are
 * those of prism's arrays.
 */
#include <string.h>

#define CHUNK 4096             /* as in prism/isa.c: elements that one set of strands serves */

#include "math_f64.h"
#include "math_fast.h"
#include "tables.h"

#define LANES 32
#define BLOCK 256
#define NVEC (LANES / L)

typedef dd lane_fn(vd x, vd y);

/* x, y: f64 values of BLOCK arguments; s, rho: their wide values, as math_vec.h marks them. */
typedef struct block {
    f64 x[BLOCK], y[BLOCK], s[BLOCK], rho[BLOCK];
} block;

FZ_INLINE void each(lane_fn *fn, int n, block *b)
{
    for (int i = 0; i < n; i += L) {
        vd x = vd_load(b->x + i);
        dd r = fn(x, fn == pow_f32 || fn == pow_f64 ? vd_load(b->y + i) : x);
        vd_store(b->s + i, r.s);
        vd_store(b->rho + i, r.rho);
    }
}

/* By extended precision. A zero, inf or NaN of 64 bits is one for certain. */
static void each_extended(enum fz_fn fn, int n, block *b)
{
    const f64 *y = fz_math_binary(fn) ? b->y : b->x;
    for (int i = 0; i < n; i++) {
        f64 s = fz_math_wide_f32(fn, b->x[i], y[i]);
        b->s[i] = s;
        b->rho[i] = s != 0 && s - s == 0 ? 0 : __builtin_inf();
    }
}

static __attribute__((noinline)) void evaluate_f32(enum fz_fn fn, int n, block *b)
{
    switch (fn) {
    case FZ_FN_EXP: each(exp_f32, n, b); break;
    case FZ_FN_EXP2: each(exp2_f32, n, b); break;
    case FZ_FN_EXPM1: each(expm1_f32, n, b); break;
    case FZ_FN_LOG: each(log_f32, n, b); break;
    case FZ_FN_LOG2: each(log2_f32, n, b); break;
    case FZ_FN_LOG10: each(log10_f32, n, b); break;
    case FZ_FN_LOG1P: each(log1p_f32, n, b); break;
    case FZ_FN_SIN: each(sin_f32, n, b); break;
    case FZ_FN_COS: each(cos_f32, n, b); break;
    case FZ_FN_TAN: each(tan_f32, n, b); break;
    case FZ_FN_SINH: each(sinh_f32, n, b); break;
    case FZ_FN_COSH: each(cosh_f32, n, b); break;
    case FZ_FN_TANH: each(tanh_f32, n, b); break;
    case FZ_FN_ERF: each(erf_f32, n, b); break;
    case FZ_FN_POW: each(pow_f32, n, b); break;
    default: each_extended(fn, n, b);
    }
}

static __attribute__((noinline)) void evaluate_f64(enum fz_fn fn, int n, block *b)
{
    switch (fn) {
    case FZ_FN_EXP: each(exp_f64, n, b); break;
    case FZ_FN_EXP2: each(exp2_f64, n, b); break;
    case FZ_FN_EXPM1: each(expm1_f64, n, b); break;
    case FZ_FN_LOG: each(log_f64, n, b); break;
    case FZ_FN_LOG2: each(log2_f64, n, b); break;
    case FZ_FN_LOG10: each(log10_f64, n, b); break;
    case FZ_FN_LOG1P: each(log1p_f64, n, b); break;
    case FZ_FN_SIN: each(sin_f64, n, b); break;
    case FZ_FN_COS: each(cos_f64, n, b); break;
    case FZ_FN_TAN: each(tan_f64, n, b); break;
    case FZ_FN_SINH: each(sinh_f64, n, b); break;
    case FZ_FN_COSH: each(cosh_f64, n, b); break;
    case FZ_FN_TANH: each(tanh_f64, n, b); break;
    case FZ_FN_ERF: each(erf_f64, n, b); break;
    case FZ_FN_POW: each(pow_f64, n, b); break;
    default:
        for (int i = 0; i < n; i++) {
            b->s[i] = 0;
            b->rho[i] = __builtin_nan("");
        }
    }
}

/* Bound of the relative error of an f64 function, and of log2 of the distance to a number of
 * 53 bits that is told apart from zero. */
FZ_INLINE f64 near_f64(enum fz_fn fn)
{
    switch (fn) {
    case FZ_FN_POW: return 0x1p-78;                   /* |y log x| < 2^9.5 scales log's error */
    case FZ_FN_EXP:
    case FZ_FN_EXP2:
    case FZ_FN_COSH:
    case FZ_FN_LOG:
    case FZ_FN_LOG2:
    case FZ_FN_LOG10:
    case FZ_FN_LOG1P: return 0x1p-83;
    case FZ_FN_ERF:
    case FZ_FN_SIN:
    case FZ_FN_COS: return 0x1p-82;
    case FZ_FN_TAN: return 0x1p-95;
    default: return 0x1p-93;
    }
}

/* Lanes e .. e+3 and, where the strands leave a gap (lanes.h), e+4+gap .. */
FZ_INLINE vd load_gap(const f64 *p, int gap)
{
#if FZ_VBYTES == 64
    if (gap)
        return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(p)),
                                  _mm256_loadu_pd(p + 4 + gap), 1);
#endif
    (void)gap;
    return vd_load(p);
}

static __attribute__((noinline, cold)) vd redo_lanes(enum fz_fn fn, fz_law l, unsigned bad,
                                                     unsigned known, const f64 *x,
                                                     const f64 *y, vd s, vd r, vi w, int gap)
{
    const unsigned host = _mm_getcsr(), exact = host & ~(FZ_CSR_FTZ | FZ_CSR_DAZ);
    for (int i = 0; i < L; i++) {
        if (!(bad >> i & 1))
            continue;
        const int e = i + (i >= 4 ? gap : 0);
        const int finite = s[i] - s[i] == 0, good = known >> i & 1;
        _mm_setcsr(exact);
        if (good && !finite) {
            r[i] = s[i];
        } else if (!l.is_f32) {
            volatile f64 a = x[e], b = y[e];
            _mm_setcsr(host);
            r[i] = fz_math_f64(fn, a, b, l.mode, l.t, (uint64_t)w[i]);
        } else {
            volatile f32 a = (f32)x[e], b = (f32)y[e], q;
            _mm_setcsr(host);
            q = good ? fz_math_round_f32(s[i], l.mode, l.t, (uint64_t)w[i])
                     : fz_math_f32(fn, a, b, l.mode, l.t, (uint64_t)w[i]);
            _mm_setcsr(exact);
            r[i] = q;
        }
        _mm_setcsr(host);
    }
    return r;
}

/* One vector: the law on wide values. */
FZ_INLINE vd round_wide(enum fz_fn fn, fz_law l, f64 near, const block *b, int e, int gap, vi w)
{
    vd s = load_gap(b->s + e, gap), rho = load_gap(b->rho + e, gap);
    const vi mag = (vi)rho & vi_set(FZ_ABS), inf = vi_set(INT64_C(0x7ff) << 52);
    const vi certain = (vi)(mag == inf), unknown = (vi)(mag > inf);
    const vi m = vi_set((INT64_C(1) << (53 - l.t)) - 1);
    rho = (vd)((vi)rho & ~certain & ~unknown);
    vi close, ok, exact;
    if (l.is_f32) {
        close = (vi)((((vi)s + 8) & m) < 16);
        ok = fz_f32_safe(s);
        exact = (vi)(((vi)s & m) == 0);
    } else {
        exact = (vi)(((vi)s & m) == 0);
        close = exact & (vi)((vd)((vi)rho & vi_set(FZ_ABS)) <= v_abs(s) * vd_set(near));
        exact &= (vi)(rho == 0);
        ok = fz_f64_safe(s);
    }
    fz_sum x = {s, rho};
    vd r = l.is_f32 ? fz_round_f32(x, l.mode, l.t, w) : fz_round_f64(x, l.mode, l.t, w);
    if (l.mode == PRISM_UD)
        r = v_select(exact, s, r);
    const vi known = certain | ~(close | unknown);
    const unsigned bad = vi_signs(~(known & ok));
    if (__builtin_expect(bad != 0, 0))
        r = redo_lanes(fn, l, bad, vi_signs(known), b->x + e,
                       (fz_math_binary(fn) ? b->y : b->x) + e, s, r, w, gap);
    return r;
}

FZ_INLINE void round_block(enum fz_fn fn, fz_law l, const vi *st, int step, const block *b,
                           int at, char *out)
{
    const int gap = fz_gap(l);
    const f64 near = near_f64(fn);
    for (int v = 0; v < NVEC; v++) {
        int e = fz_at(l, v);
        fz_store(out, l.is_f32, e, gap,
                 round_wide(fn, l, near, b, at + e, gap, fz_word(st, l, v, step)));
    }
}

/* n elements as f64, then 1 up to a whole vector; subnormals are zero where the host says so. */
FZ_INLINE void load_block(f64 *to, const void *from, int n, int is_f32, int daz)
{
    const int padded = (n + L - 1) / L * L;
    int i = 0;
    if (is_f32) {
        for (; i + L <= n; i += L)
            vd_store(to + i, vd_load_f32((const f32 *)from + i));
        for (; i < n; i++)
            to[i] = ((const f32 *)from)[i];
    } else {
        memcpy(to, from, (size_t)n * sizeof(f64));
        i = n;
    }
    for (; i < padded; i++)
        to[i] = 1;
    if (!daz)
        return;
    const vd least = vd_set(is_f32 ? 0x1p-126 : 0x1p-1022);
    for (i = 0; i < padded; i += L) {
        vd x = vd_load(to + i);
        vd_store(to + i, v_select((vi)(v_abs(x) < least), v_flip(vd_set(0), x), x));
    }
}

FZ_INLINE void map(enum fz_fn fn, fz_law l, size_t n, const void *x, const void *y, void *out,
                   prism_key key, unsigned host)
{
    const size_t size = l.is_f32 ? sizeof(f32) : sizeof(f64);
    const int every = fz_law_every(l), binary = fz_math_binary(fn);
    vi st[FZ_STATES(LANES, 1)] = {0};
    block b;
    for (size_t at = 0; at < n; at += BLOCK) {
        const int m = n - at < BLOCK ? (int)(n - at) : BLOCK;
        const int steps = (m + LANES - 1) / LANES;
        _mm_setcsr(FZ_CSR_MASKS);                     /* wide values know no FTZ */
        load_block(b.x, (const char *)x + at * size, m, l.is_f32, (host & FZ_CSR_DAZ) != 0);
        if (binary)
            load_block(b.y, (const char *)y + at * size, m, l.is_f32,
                       (host & FZ_CSR_DAZ) != 0);
        const int whole = (m + L - 1) / L * L;
        if (l.is_f32)
            evaluate_f32(fn, whole, &b);
        else
            evaluate_f64(fn, whole, &b);
        for (int i = whole; i < steps * LANES; i++) {  /* lanes that nobody asked for */
            b.s[i] = 1;
            b.rho[i] = __builtin_inf();
        }
        _mm_setcsr(FZ_CSR_MASKS | host);
        const uint64_t chunk = at / CHUNK;
        if (at % CHUNK == 0)
            fz_lanes_open(st, l, LANES, key, (uint32_t)chunk, (uint32_t)(chunk >> 32), 0);
        for (int i = 0; i < steps; i++) {
            const int step = (int)(at % CHUNK) / LANES + i, left = m - i * LANES;
            if (l.r && step && step % every == 0)
                fz_lanes_step(st, l, LANES);
            char *to = (char *)out + (at + (size_t)i * LANES) * size;
            f64 rest[LANES];
            round_block(fn, l, st, step, &b, i * LANES, left < LANES ? (char *)rest : to);
            if (left < LANES)
                memcpy(to, rest, (size_t)left * size);
        }
    }
}

/* A unit that math_fast.h leaves, in the order of its words. */
static __attribute__((noinline, cold)) void slow_unit(enum fz_fn fn, fz_law l, const vi *st,
                                                      int step, const vd x[UNITV],
                                                      const vd y[UNITV], vd r[UNITV])
{
    block b;
    memcpy(b.x, x, UNIT * sizeof(f64));
    memcpy(b.y, y, UNIT * sizeof(f64));
    evaluate_f32(fn, UNIT, &b);
    for (int v = 0; v < UNITV; v++)
        r[v] = round_wide(fn, l, 0, &b, v * L, 0, fz_word(st, l, v, step));
}

#define FAST                                                                            \
    (1u << FZ_FN_EXP | 1u << FZ_FN_LOG | 1u << FZ_FN_TANH | 1u << FZ_FN_EXPM1 |          \
     1u << FZ_FN_ERF | 1u << FZ_FN_SIN | 1u << FZ_FN_COS | 1u << FZ_FN_POW |             \
     1u << FZ_FN_LOG1P)

FZ_INLINE void fast_mode(enum prism_mode mode, prism_key key, enum fz_fn fn, size_t n,
                         const f32 *x, const f32 *y, f32 *out)
{
    const fz_law l = fz_law_of(mode, 1, 24);
    switch (fn) {
    case FZ_FN_POW: fast_map(FZ_FN_POW, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_LOG1P: fast_map(FZ_FN_LOG1P, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_EXP: fast_map(FZ_FN_EXP, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_LOG: fast_map(FZ_FN_LOG, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_TANH: fast_map(FZ_FN_TANH, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_EXPM1: fast_map(FZ_FN_EXPM1, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_ERF: fast_map(FZ_FN_ERF, l, n, x, y, out, key, slow_unit); break;
    case FZ_FN_SIN: fast_map(FZ_FN_SIN, l, n, x, y, out, key, slow_unit); break;
    default: fast_map(FZ_FN_COS, l, n, x, y, out, key, slow_unit); break;
    }
}

#define FAST_MODE(name, mode) \
    static __attribute__((noinline)) void name(prism_key key, enum fz_fn fn, size_t n, \
                                               const f32 *x, const f32 *y, f32 *out) \
    { \
        fast_mode(mode, key, fn, n, x, y, out); \
    }
FAST_MODE(fast_sr, PRISM_SR)
FAST_MODE(fast_ud, PRISM_UD)
FAST_MODE(fast_cestac, PRISM_CESTAC)
FAST_MODE(fast_nearest, PRISM_NEAREST)

/* False: the general way. */
static int map_fast(const fz_job *job, enum fz_fn fn, size_t n, const f32 *x, const f32 *y,
                    f32 *out)
{
    /* Asked first: reading MXCSR waits for what wrote it. */
    if (!(1u << fn & FAST))
        return 0;
    const unsigned csr = _mm_getcsr();
    if (job->t != 24 || (csr & 0xffc0) != FZ_CSR_MASKS)
        return 0;
    fz_math_init();
    y = fn == FZ_FN_POW ? y : x;
    switch (job->mode) {
    case PRISM_SR: fast_sr(job->key, fn, n, x, y, out); break;
    case PRISM_UD: fast_ud(job->key, fn, n, x, y, out); break;
    case PRISM_CESTAC: fast_cestac(job->key, fn, n, x, y, out); break;
    case PRISM_NEAREST: fast_nearest(job->key, fn, n, x, y, out); break;
    default: return 0;
    }
    if (_mm_getcsr() != csr)
        _mm_setcsr(csr);
    return 1;
}

/* One instance a mode, as in prism/isa.c. */
FZ_INLINE void map_modes(const fz_job *job, int is_f32, enum fz_fn fn, ptrdiff_t count,
                         const void *x, const void *y, void *out)
{
    const int full = is_f32 ? 24 : 53, t = job->t;
    const unsigned old = fz_csr_set(0), host = old & (FZ_CSR_FTZ | FZ_CSR_DAZ);
    const size_t n = count > 0 ? (size_t)count : 0;
    fz_math_init();
    if (job->mode == PRISM_SR && t == full)
        map(fn, fz_law_of(PRISM_SR, is_f32, full), n, x, y, out, job->key, host);
    else if (job->mode == PRISM_SR)
        map(fn, fz_law_of(PRISM_SR, is_f32, t), n, x, y, out, job->key, host);
    else if (job->mode == PRISM_UD)
        map(fn, fz_law_of(PRISM_UD, is_f32, t), n, x, y, out, job->key, host);
    else if (job->mode == PRISM_CESTAC)
        map(fn, fz_law_of(PRISM_CESTAC, is_f32, t), n, x, y, out, job->key, host);
    else
        map(fn, fz_law_of(PRISM_NEAREST, is_f32, t), n, x, y, out, job->key, host);
    fz_csr_restore(old);
}

/* Not part of fz_map_f32, whose calls of 8 elements would pay for its frame. */
static __attribute__((noinline)) void map_general_f32(const fz_job *job, enum fz_fn fn,
                                                      ptrdiff_t n, const f32 *x, const f32 *y,
                                                      f32 *out)
{
    map_modes(job, 1, fn, n, x, y, out);
}

void FZ_FN(fz_map_f32)(const fz_job *job, enum fz_fn fn, ptrdiff_t n, const f32 *x,
                       const f32 *y, f32 *out)
{
    if (n > 0 && map_fast(job, fn, (size_t)n, x, y, out))
        return;
    map_general_f32(job, fn, n, x, y, out);
}

void FZ_FN(fz_map_f64)(const fz_job *job, enum fz_fn fn, ptrdiff_t n, const f64 *x,
                       const f64 *y, f64 *out)
{
    map_modes(job, 0, fn, n, x, y, out);
}

void FZ_FN(fz_math_wide)(enum fz_fn fn, int is_f32, ptrdiff_t n, const f64 *x, const f64 *y,
                         f64 *s, f64 *rho)
{
    block b;
    const unsigned old = fz_csr_set(0);
    fz_math_init();
    for (ptrdiff_t at = 0; at < n; at += BLOCK) {
        const int m = n - at < BLOCK ? (int)(n - at) : BLOCK;
        load_block(b.x, x + at, m, 0, 0);
        load_block(b.y, y + at, m, 0, 0);
        if (is_f32)
            evaluate_f32(fn, (m + L - 1) / L * L, &b);
        else
            evaluate_f64(fn, (m + L - 1) / L * L, &b);
        memcpy(s + at, b.s, (size_t)m * sizeof(f64));
        memcpy(rho + at, b.rho, (size_t)m * sizeof(f64));
    }
    fz_csr_restore(old);
}
