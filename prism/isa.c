/* Array operations of prism: the unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An array is cut into chunks of 4096 elements, a chunk into steps of 32 lanes. Lane l of
 * step s draws word s of its strand, so that a word belongs to an element whatever the
 * vector width is.
 */
#include "lanes.h"

#define CHUNK 4096
#define LANES 32

/* ---- one step: 32 lanes ------------------------------------------------------------ */

#define NVEC (LANES / L)

FZ_INLINE void step32(enum prism_op op, fz_law l, const vi *st, int step, const char *a,
                      const char *b, const char *c, char *out)
{
    const int skip = fz_gap(l);
    for (int v = 0; v < NVEC; v++) {
        int e = fz_at(l, v);
        vd x = fz_load(a, l.is_f32, e, skip);
        vd y = op == PRISM_SQRT ? x : fz_load(b, l.is_f32, e, skip);
        vd z = op == PRISM_FMA ? fz_load(c, l.is_f32, e, skip) : x;
        fz_store(out, l.is_f32, e, skip, fz_op(op, l, x, y, z, fz_word(st, l, v, step)));
    }
}

FZ_INLINE void run(enum prism_op op, fz_law l, size_t n, const void *a, const void *b,
                   const void *c, void *out, prism_key key)
{
    const size_t size = l.is_f32 ? sizeof(f32) : sizeof(f64);
    const int every = fz_law_every(l);
    vi st[FZ_STATES(LANES, 1)];
    for (size_t chunk = 0; chunk * CHUNK < n; chunk++) {
        size_t base = chunk * CHUNK, left = n - base;
        int steps = (int)((left < CHUNK ? left : CHUNK) / LANES);
        int rest = left < CHUNK ? (int)(left % LANES) : 0;
        fz_lanes_open(st, l, LANES, key, (uint32_t)chunk, (uint32_t)(chunk >> 32), 0);
        const char *pa = (const char *)a + base * size;
        const char *pb = op == PRISM_SQRT ? pa : (const char *)b + base * size;
        const char *pc = op == PRISM_FMA ? (const char *)c + base * size : pa;
        char *po = (char *)out + base * size;
        for (int s = 0; s < steps; s++) {
            if (l.r && s && s % every == 0)
                fz_lanes_step(st, l, LANES);
            step32(op, l, st, s, pa, pb, pc, po);
            pa += LANES * size;
            pb += LANES * size;
            pc += LANES * size;
            po += LANES * size;
        }
        if (rest) { /* through a buffer of ones */
            f64 buf[4][LANES];
            for (int j = 0; j < 3; j++)
                for (int i = 0; i < LANES; i++) {
                    if (l.is_f32)
                        ((f32 *)buf[j])[i] = 1;
                    else
                        buf[j][i] = 1;
                }
            memcpy(buf[0], pa, (size_t)rest * size);
            memcpy(buf[1], pb, (size_t)rest * size);
            memcpy(buf[2], pc, (size_t)rest * size);
            if (l.r && steps && steps % every == 0)
                fz_lanes_step(st, l, LANES);
            step32(op, l, st, steps, (char *)buf[0], (char *)buf[1], (char *)buf[2],
                   (char *)buf[3]);
            memcpy(po, buf[3], (size_t)rest * size);
        }
    }
}

/* ---- f32 at full precision, by the hardware's own rounding ------------------------- */

/* nearest and ud need only the nearest float, cestac the two directed ones: with rounding
 * upward, up = op(a, b) and down = -op'(a, b), op' the operation that gives -x. All three
 * are the hardware's, subnormals and overflow included. */
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
    default: return a * b + c; /* not reached: has_native */
#endif
    }
}

static __attribute__((noinline, cold)) vf native_redo(enum prism_op op, vw lanes, vf a,
                                                      vf b, vf c, vf x, vw bit)
{
    const fz_law l = fz_law_of(PRISM_CESTAC, 1, 24);
    const unsigned old = fz_csr_set(FZ_CSR_RN);
    for (int i = 0; i < 2 * L; i++)
        if (lanes[i])
            x[i] = fz_scalar_f32(op, a[i], b[i], c[i], l, bit[i] & 1);
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
    vw bit = ((vw)st << step % 32) >> 31; /* all ones: up */
    if (mode == PRISM_UD) {
        vw mag = (vw)r & 0x7fffffff;
        vw moves = (vw)(mag - 1 < 0x7f7fffff) & (vw)(mag != 0);
        return (vf)((vw)r + (moves & ((bit & 2) - 1)));
    }
    int flip = op == PRISM_ADD || op == PRISM_SUB || op == PRISM_FMA;
    vf down = -native_op(op, -a, flip && op != PRISM_FMA ? -b : b, flip ? -c : c);
    vw take = bit | (vw)(r == down); /* +0 and -0 are equal: an exact +0 */
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
    enum { W = 2 * L, PER = LANES / W }; /* lanes of a vector, vectors a step */
    const fz_law l = fz_law_of(mode, 1, 24);
    vi st[FZ_STATES(LANES, 0)] = {0};
    size_t i = 0;
    for (int step = 0; i < n; step = (step + 1) % (CHUNK / LANES)) {
        if (l.r && i % CHUNK == 0)
            fz_lanes_open(st, l, LANES, key, (uint32_t)(i / CHUNK),
                          (uint32_t)((uint64_t)i / CHUNK >> 32), 0);
        else if (l.r && step % 32 == 0)
            fz_lanes_step(st, l, LANES);
        if (n - i >= LANES) {
            for (int v = 0; v < PER; v++, i += W)
                vf_store(out + i,
                         native_round(op, mode, vf_load(a + i),
                                      op == PRISM_SQRT ? vf_set(1) : vf_load(b + i),
                                      op == PRISM_FMA ? vf_load(c + i) : vf_set(1), st[v],
                                      step));
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
            x = native_round(op, mode, x, y, z, st[v], step);
            memcpy(out + i, &x, m * sizeof(f32));
            i += m;
        }
    }
}

/* One instance a mode: the law's branches are gone from the loop. t and the shifts by it
 * stay variables, except at full precision. */
FZ_INLINE void run_mode(enum prism_op op, int is_f32, size_t n, const void *a,
                        const void *b, const void *c, void *out, enum prism_mode mode,
                        int t, prism_key key)
{
    const int full = is_f32 ? 24 : 53;
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
    if (mode == PRISM_SR && t == full)
        run(op, fz_law_of(PRISM_SR, is_f32, full), n, a, b, c, out, key);
    else if (mode == PRISM_SR && is_f32 && t >= 21)
        run(op, (fz_law){PRISM_SR, t, 53 - t, 0, 1}, n, a, b, c, out, key);
    else if (mode == PRISM_SR)
        run(op, (fz_law){PRISM_SR, t, is_f32 ? 53 - t : 52, 1, is_f32}, n, a, b, c, out,
            key);
    else if (mode == PRISM_UD)
        run(op, fz_law_of(PRISM_UD, is_f32, t), n, a, b, c, out, key);
    else if (mode == PRISM_CESTAC)
        run(op, fz_law_of(PRISM_CESTAC, is_f32, t), n, a, b, c, out, key);
    else
        run(op, fz_law_of(PRISM_NEAREST, is_f32, t), n, a, b, c, out, key);
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

/* Conversions are bound by memory, and their vector forms are many (AVX2 has none for
 * i64): the definition, lane by lane, with the words of the array's strands. */
static void cvt(enum prism_cvt kind, size_t n, const void *in, void *out,
                enum prism_mode mode, int t, prism_key key)
{
    const enum prism_mode m = mode == PRISM_UD ? PRISM_SR : mode;
    const fz_law l = fz_law_of(m, kind != PRISM_I64_F64, t);
    vi st[FZ_STATES(LANES, 1)];
    uint64_t w[LANES] = {0};
    const unsigned old = fz_csr_set(_mm_getcsr() & (FZ_CSR_FTZ | FZ_CSR_DAZ));
    for (size_t i = 0; i < n; i++) {
        int step = (int)(i % CHUNK / LANES);
        if (l.r && i % LANES == 0) {
            if (i % CHUNK == 0)
                fz_lanes_open(st, l, LANES, key, (uint32_t)(i / CHUNK),
                              (uint32_t)((uint64_t)i / CHUNK >> 32), 0);
            else if (step % fz_law_every(l) == 0)
                fz_lanes_step(st, l, LANES);
            for (int v = 0; v < NVEC; v++) {
                vi word_v = fz_word(st, l, v, step);
                for (int j = 0; j < L; j++)
                    w[fz_at(l, v) + j + (j >= 4 ? fz_gap(l) : 0)] = (uint64_t)word_v[j];
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
        default: ((f64 *)out)[i] = prism_i64_to_f64(((const int64_t *)in)[i], m, t, wi);
        }
    }
    fz_csr_restore(old);
}

extern const prism_array_ops FZ_FN(prism_arrays);
const prism_array_ops FZ_FN(prism_arrays) = {op_f32, op_f64, cvt};
