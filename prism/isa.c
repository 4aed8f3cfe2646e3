/* Array operations of prism: the unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An array is cut into chunks of 4096 elements, a chunk into steps of 32 lanes. Lane l of
 * step s draws word s of its strand, so that a word belongs to an element whatever the
 * vector width is.
 */
#include "round.h"

#define CHUNK 4096
#define LANES 32

/* ---- one step: 32 lanes ------------------------------------------------------------------- */

/* Vectors of f64 that hold 32 lanes, in the order of the strands' words: see word(). */
#define NVEC (LANES / L)

typedef struct rand32 {
    vi st[8 * NV / SPV];          /* up to 8 strands */
} rand32;

typedef struct law {
    enum prism_mode mode;
    int t, r, wide;
} law;

FZ_INLINE void open_rand(rand32 *rnd, law l, prism_key key, size_t chunk)
{
    const int strands = l.wide ? 8 : 4;
    for (int c = 0; c < strands; c += SPV)
        fz_strands_open(rnd->st + c * NV / SPV, key, (uint32_t)chunk, (uint32_t)(chunk >> 32),
                        (uint32_t)c | (l.wide ? FZ_STRAND_WIDE : 0));
}

FZ_INLINE void step_rand(rand32 *rnd, law l)
{
    const int n = (l.wide ? 8 : 4) * NV / SPV;
    for (int i = 0; i < n; i++)
        rnd->st[i] = fz_strand_step(rnd->st[i]);
}

/* First element of vector v. Narrow strands hand their top halves to lanes 0-3 and their
 * bottom halves to lanes 4-7, so with 8 lanes a vector spans two strands and two runs of
 * four elements: lane i of it is element at(v) + i + (i >= 4 ? gap : 0). */
FZ_INLINE int at(law l, int v)
{
    if (l.wide || L <= 4)
        return v * L;
    return v / 2 * 16 + v % 2 * 4;
}

FZ_INLINE int gap(law l)
{
    return !l.wide && L == 8 ? 4 : 0;
}

/* Words of vector v at step `step`. */
FZ_INLINE vi word(const rand32 *rnd, law l, int v, int step)
{
    if (l.r == 0)
        return (vi){};
    if (l.wide) {
        vi st = rnd->st[v];
        return l.r > 1 ? (vi)((vu)st >> (64 - l.r)) : (vi)((vu)st >> (63 - step % 64)) & 1;
    }
    if (l.r > 1) {
        int per = NV;                                 /* vectors a half strand */
        vi st = rnd->st[v / (2 * per) * per + v % per];
        return v / per % 2 ? fz_word_lo(st, l.r) : fz_word_hi(st, l.r);
    }
    /* one bit a lane, dword i of the strand to lane i */
    typedef uint32_t vwh __attribute__((vector_size(FZ_VBYTES / 2)));
    const char *q = (const char *)rnd->st + 4 * at(l, v);
    vwh h;
    if (L == 8) {
        memcpy(&h, q, 16);
        memcpy((char *)&h + 16, q + 16 + 4 * gap(l), 16);
    } else {
        memcpy(&h, q, sizeof h);
    }
    return __builtin_convertvector(h >> (31 - step % 32) & 1, vi);
}

FZ_INLINE vd load(const void *p, int is_f32, int e, int skip)
{
    if (!is_f32)
        return vd_load((const f64 *)p + e);
    const f32 *f = (const f32 *)p + e;
#if FZ_VBYTES == 64
    if (skip) {
        __m256 h = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(f)),
                                        _mm_loadu_ps(f + 4 + skip), 1);
        return _mm512_cvtps_pd(h);
    }
#endif
    (void)skip;
    return vd_load_f32(f);
}

FZ_INLINE void store(void *p, int is_f32, int e, int skip, vd x)
{
    if (!is_f32) {
        vd_store((f64 *)p + e, x);
        return;
    }
    f32 *f = (f32 *)p + e;
#if FZ_VBYTES == 64
    if (skip) {
        __m256 h = _mm512_cvtpd_ps(x);
        _mm_storeu_ps(f, _mm256_castps256_ps128(h));
        _mm_storeu_ps(f + 4 + skip, _mm256_extractf128_ps(h, 1));
        return;
    }
#endif
    (void)skip;
    vd_store_f32(f, x);
}

static f32 scalar_f32(enum prism_op op, f32 a, f32 b, f32 c, law l, uint64_t w)
{
    switch (op) {
    case PRISM_ADD: return prism_add_f32(a, b, l.mode, l.t, w);
    case PRISM_SUB: return prism_sub_f32(a, b, l.mode, l.t, w);
    case PRISM_MUL: return prism_mul_f32(a, b, l.mode, l.t, w);
    case PRISM_DIV: return prism_div_f32(a, b, l.mode, l.t, w);
    case PRISM_SQRT: return prism_sqrt_f32(a, l.mode, l.t, w);
    default: return prism_fma_f32(a, b, c, l.mode, l.t, w);
    }
}

static f64 scalar_f64(enum prism_op op, f64 a, f64 b, f64 c, law l, uint64_t w)
{
    switch (op) {
    case PRISM_ADD: return prism_add_f64(a, b, l.mode, l.t, w);
    case PRISM_SUB: return prism_sub_f64(a, b, l.mode, l.t, w);
    case PRISM_MUL: return prism_mul_f64(a, b, l.mode, l.t, w);
    case PRISM_DIV: return prism_div_f64(a, b, l.mode, l.t, w);
    case PRISM_SQRT: return prism_sqrt_f64(a, l.mode, l.t, w);
    default: return prism_fma_f64(a, b, c, l.mode, l.t, w);
    }
}

/* Lanes of x that left the safe range, once more by the definition. */
static __attribute__((noinline, cold)) vd redo(enum prism_op op, int is_f32, unsigned bad,
                                               vd a, vd b, vd c, vd x, law l, vi w)
{
    for (int i = 0; i < L; i++) {
        if (!(bad >> i & 1))
            continue;
        x[i] = is_f32 ? scalar_f32(op, (f32)a[i], (f32)b[i], (f32)c[i], l, (uint64_t)w[i])
                      : scalar_f64(op, a[i], b[i], c[i], l, (uint64_t)w[i]);
    }
    return x;
}

FZ_INLINE void step32(enum prism_op op, int is_f32, law l, const rand32 *rnd, int step,
                      const char *a, const char *b, const char *c, char *out)
{
    const int skip = gap(l);
    for (int v = 0; v < NVEC; v++) {
        int e = at(l, v);
        vd x = load(a, is_f32, e, skip);
        vd y = op == PRISM_SQRT ? x : load(b, is_f32, e, skip);
        vd z = op == PRISM_FMA ? load(c, is_f32, e, skip) : x;
        vi w = word(rnd, l, v, step);
        fz_sum s = fz_exact(op, is_f32, x, y, z);
        vd r = is_f32 ? fz_round_f32(s, l.mode, l.t, w) : fz_round_f64(s, l.mode, l.t, w);
        unsigned bad = fz_unsafe(op, is_f32, x, y, z, s.s);
        if (__builtin_expect(bad != 0, 0))
            r = redo(op, is_f32, bad, x, y, z, r, l, w);
        store(out, is_f32, e, skip, r);
    }
}

FZ_INLINE void run(enum prism_op op, int is_f32, size_t n, const void *a, const void *b,
                   const void *c, void *out, law l, prism_key key)
{
    const size_t size = is_f32 ? sizeof(f32) : sizeof(f64);
    const int every = l.r > 1 ? 1 : l.wide ? 64 : 32;
    rand32 rnd;
    for (size_t chunk = 0; chunk * CHUNK < n; chunk++) {
        size_t base = chunk * CHUNK, left = n - base;
        int steps = (int)((left < CHUNK ? left : CHUNK) / LANES);
        int rest = left < CHUNK ? (int)(left % LANES) : 0;
        if (l.r)
            open_rand(&rnd, l, key, chunk);
        const char *pa = (const char *)a + base * size;
        const char *pb = op == PRISM_SQRT ? pa : (const char *)b + base * size;
        const char *pc = op == PRISM_FMA ? (const char *)c + base * size : pa;
        char *po = (char *)out + base * size;
        for (int s = 0; s < steps; s++) {
            if (l.r && s && s % every == 0)
                step_rand(&rnd, l);
            step32(op, is_f32, l, &rnd, s, pa, pb, pc, po);
            pa += LANES * size;
            pb += LANES * size;
            pc += LANES * size;
            po += LANES * size;
        }
        if (rest) {                                   /* through a buffer of ones */
            f64 buf[4][LANES];
            for (int i = 0; i < LANES; i++)
                for (int j = 0; j < 3; j++) {
                    if (is_f32)
                        ((f32 *)buf[j])[i] = 1;
                    else
                        buf[j][i] = 1;
                }
            memcpy(buf[0], pa, (size_t)rest * size);
            memcpy(buf[1], pb, (size_t)rest * size);
            memcpy(buf[2], pc, (size_t)rest * size);
            if (l.r && steps && steps % every == 0)
                step_rand(&rnd, l);
            step32(op, is_f32, l, &rnd, steps, (char *)buf[0], (char *)buf[1],
                   (char *)buf[2], (char *)buf[3]);
            memcpy(po, buf[3], (size_t)rest * size);
        }
    }
}

/* ---- f32 at full precision, by the hardware's own rounding ----------------------------------- */

/* nearest and ud need only the nearest float, cestac the two directed ones: with rounding
 * upward, up = op(a, b) and down = -op'(a, b), op' the operation that gives -x. All three are
 * the hardware's, subnormals and overflow included. */
FZ_INLINE int has_native(enum prism_op op, enum prism_mode mode)
{
    if (mode == PRISM_SR || (op == PRISM_FMA && !FZ_HAVE_FMA))
        return 0;
    return !(mode == PRISM_CESTAC && op == PRISM_SQRT);
}

FZ_INLINE vf native_op(enum prism_op op, vf a, vf b, vf c)
{
    switch (op) {
    case PRISM_ADD: return a + b;
    case PRISM_SUB: return a - b;
    case PRISM_MUL: return a * b;
    case PRISM_DIV: return a / b;
#if FZ_VBYTES == 64
    case PRISM_SQRT: return _mm512_sqrt_ps(a);
#elif FZ_VBYTES == 32
    case PRISM_SQRT: return _mm256_sqrt_ps(a);
#else
    case PRISM_SQRT: return _mm_sqrt_ps(a);
#endif
#if FZ_HAVE_FMA
    default: return vf_fma(a, b, c);
#else
    default: return a * b + c;                        /* not reached: has_native */
#endif
    }
}

static __attribute__((noinline, cold)) vf native_redo(enum prism_op op, vw lanes, vf a, vf b,
                                                      vf c, vf x, vw bit)
{
    const law l = {PRISM_CESTAC, 24, 1, 0};
    const unsigned old = fz_csr_set(FZ_CSR_RN);
    for (int i = 0; i < 2 * L; i++)
        if (lanes[i])
            x[i] = scalar_f32(op, a[i], b[i], c[i], l, bit[i] & 1);
    fz_csr_restore(old);
    return x;
}

/* st: the strand's dwords, one a lane; bit 31 - step % 32 of each is the word. */
FZ_INLINE vf native_round(enum prism_op op, enum prism_mode mode, vf a, vf b, vf c, vi st,
                          int step)
{
    vf r = native_op(op, a, b, c);
    if (mode == PRISM_NEAREST)
        return r;
    vw bit = ((vw)st << step % 32) >> 31;             /* all ones: up */
    if (mode == PRISM_UD) {
        vw mag = (vw)r & 0x7fffffff;
        vw moves = (vw)(mag - 1 < 0x7f7fffff) & (vw)(mag != 0);
        return (vf)((vw)r + (moves & ((bit & 2) - 1)));
    }
    int flip = op == PRISM_ADD || op == PRISM_SUB || op == PRISM_FMA;
    vf down = -native_op(op, -a, flip && op != PRISM_FMA ? -b : b, flip ? -c : c);
    vw away = bit ^ ((vw)r >> 31);                    /* b is up where x > 0 */
    vw take = away | (vw)(r == down);
    vf x = (vf)((take & (vw)r) | (~take & (vw)down));
    /* Near overflow one direction gives the largest float and the other inf: whether x
     * reached 2^128, beyond which inf is the only answer, takes the definition. */
    vw large = ((vw)r & 0x7fffffff) > 0x7f7ffffe;
    large |= ((vw)down & 0x7fffffff) > 0x7f7ffffe;
    if (__builtin_expect(vi_signs((vi)large | (vi)large << 32), 0))
        x = native_redo(op, large, a, b, c, x, bit);
    return x;
}

FZ_INLINE void native_run(enum prism_op op, enum prism_mode mode, size_t n, const f32 *a,
                          const f32 *b, const f32 *c, f32 *out, prism_key key)
{
    enum { W = 2 * L, PER = LANES / W };              /* lanes of a vector, vectors a step */
    const law l = {mode, 24, mode == PRISM_NEAREST ? 0 : 1, 0};
    rand32 rnd = {0};
    size_t i = 0;
    for (int step = 0; i < n; step = (step + 1) % (CHUNK / LANES)) {
        if (l.r && i % CHUNK == 0)
            open_rand(&rnd, l, key, i / CHUNK);
        else if (l.r && step % 32 == 0)
            step_rand(&rnd, l);
        if (n - i >= LANES) {
            for (int v = 0; v < PER; v++, i += W)
                vf_store(out + i, native_round(op, mode, vf_load(a + i),
                                               op == PRISM_SQRT ? vf_set(1) : vf_load(b + i),
                                               op == PRISM_FMA ? vf_load(c + i) : vf_set(1),
                                               rnd.st[v], step));
            continue;
        }
        for (int v = 0; i < n; v++) {
            size_t m = n - i < W ? n - i : W;
            vf x = vf_set(1), y = x, z = x;
            memcpy(&x, a + i, m * sizeof(f32));
            if (op != PRISM_SQRT)
                memcpy(&y, b + i, m * sizeof(f32));
            if (op == PRISM_FMA)
                memcpy(&z, c + i, m * sizeof(f32));
            x = native_round(op, mode, x, y, z, rnd.st[v], step);
            memcpy(out + i, &x, m * sizeof(f32));
            i += m;
        }
    }
}

/* One instance a mode: the law's branches are gone from the loop. t and the shifts by it stay
 * variables, except at full precision. */
FZ_INLINE void run_mode(enum prism_op op, int is_f32, size_t n, const void *a, const void *b,
                        const void *c, void *out, enum prism_mode mode, int t, prism_key key)
{
    const int full = is_f32 ? 24 : 53;
    const size_t size = is_f32 ? sizeof(f32) : sizeof(f64);
    const unsigned ftz = _mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ);
    const int native = is_f32 && t == full && has_native(op, mode) && !ftz;
    const unsigned old = fz_csr_set(native && mode == PRISM_CESTAC ? FZ_CSR_RU : ftz);
    if (native) {
        if (mode == PRISM_UD)
            native_run(op, PRISM_UD, n, a, b, c, out, key);
        else if (mode == PRISM_CESTAC)
            native_run(op, PRISM_CESTAC, n, a, b, c, out, key);
        else
            native_run(op, PRISM_NEAREST, n, a, b, c, out, key);
        fz_csr_restore(old);
        return;
    }
#define FZ_RUN(mode_, t_)                                                                     \
    run(op, is_f32, n, a, b, c, out,                                                          \
        (law){mode_, t_, prism_word_bits(mode_, size, t_),                                    \
              !is_f32 || prism_word_bits(mode_, size, t_) > 32}, key)
    if (mode == PRISM_SR && t == full)
        run(op, is_f32, n, a, b, c, out,
            (law){PRISM_SR, full, is_f32 ? 29 : 52, !is_f32}, key);
    else if (mode == PRISM_SR)
        FZ_RUN(PRISM_SR, t);
    else if (mode == PRISM_UD)
        run(op, is_f32, n, a, b, c, out, (law){PRISM_UD, t, 1, !is_f32}, key);
    else if (mode == PRISM_CESTAC)
        run(op, is_f32, n, a, b, c, out, (law){PRISM_CESTAC, t, 1, !is_f32}, key);
    else
        run(op, is_f32, n, a, b, c, out, (law){PRISM_NEAREST, t, 0, !is_f32}, key);
#undef FZ_RUN
    fz_csr_restore(old);
}

static void op_f32(enum prism_op op, size_t n, const f32 *a, const f32 *b, const f32 *c,
                   f32 *out, enum prism_mode mode, int t, prism_key key)
{
    switch (op) {
    case PRISM_ADD: run_mode(PRISM_ADD, 1, n, a, b, c, out, mode, t, key); break;
    case PRISM_SUB: run_mode(PRISM_SUB, 1, n, a, b, c, out, mode, t, key); break;
    case PRISM_MUL: run_mode(PRISM_MUL, 1, n, a, b, c, out, mode, t, key); break;
    case PRISM_DIV: run_mode(PRISM_DIV, 1, n, a, b, c, out, mode, t, key); break;
    case PRISM_SQRT: run_mode(PRISM_SQRT, 1, n, a, b, c, out, mode, t, key); break;
    default: run_mode(PRISM_FMA, 1, n, a, b, c, out, mode, t, key);
    }
}

static void op_f64(enum prism_op op, size_t n, const f64 *a, const f64 *b, const f64 *c,
                   f64 *out, enum prism_mode mode, int t, prism_key key)
{
    switch (op) {
    case PRISM_ADD: run_mode(PRISM_ADD, 0, n, a, b, c, out, mode, t, key); break;
    case PRISM_SUB: run_mode(PRISM_SUB, 0, n, a, b, c, out, mode, t, key); break;
    case PRISM_MUL: run_mode(PRISM_MUL, 0, n, a, b, c, out, mode, t, key); break;
    case PRISM_DIV: run_mode(PRISM_DIV, 0, n, a, b, c, out, mode, t, key); break;
    case PRISM_SQRT: run_mode(PRISM_SQRT, 0, n, a, b, c, out, mode, t, key); break;
    default: run_mode(PRISM_FMA, 0, n, a, b, c, out, mode, t, key);
    }
}

/* Conversions are bound by memory, and their vector forms are many (AVX2 has none for i64):
 * the definition, lane by lane, with the words of the array's strands. */
static void cvt(enum prism_cvt kind, size_t n, const void *in, void *out,
                enum prism_mode mode, int t, prism_key key)
{
    const enum prism_mode m = mode == PRISM_UD ? PRISM_SR : mode;
    const size_t size = kind == PRISM_I64_F64 ? sizeof(f64) : sizeof(f32);
    const int r = prism_word_bits(m, size, t);
    const law l = {m, t, r, size == sizeof(f64) || r > 32};
    const int every = r > 1 ? 1 : l.wide ? 64 : 32;
    rand32 rnd;
    uint64_t w[LANES] = {0};
    const unsigned old = fz_csr_set(_mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ));
    for (size_t i = 0; i < n; i++) {
        int step = (int)(i % CHUNK / LANES);
        if (r && i % LANES == 0) {
            if (i % CHUNK == 0)
                open_rand(&rnd, l, key, i / CHUNK);
            else if (step % every == 0)
                step_rand(&rnd, l);
            for (int v = 0; v < NVEC; v++) {
                vi word_v = word(&rnd, l, v, step);
                for (int j = 0; j < L; j++)
                    w[at(l, v) + j + (j >= 4 ? gap(l) : 0)] = (uint64_t)word_v[j];
            }
        }
        const uint64_t wi = w[i % LANES];
        switch (kind) {
        case PRISM_F64_F32:
            ((f32 *)out)[i] = prism_f64_to_f32(((const f64 *)in)[i], m, t, wi);
            break;
        case PRISM_I32_F32:
            ((f32 *)out)[i] = prism_i32_to_f32(((const int32_t *)in)[i], m, t, wi);
            break;
        case PRISM_I64_F32:
            ((f32 *)out)[i] = prism_i64_to_f32(((const int64_t *)in)[i], m, t, wi);
            break;
        default:
            ((f64 *)out)[i] = prism_i64_to_f64(((const int64_t *)in)[i], m, t, wi);
        }
    }
    fz_csr_restore(old);
}

extern const prism_array_ops FZ_FN(prism_arrays);
const prism_array_ops FZ_FN(prism_arrays) = {op_f32, op_f64, cvt};
