/* Random strands: 256 bits a step from one AES round on each half.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A strand serves a fixed group of lanes, 8 of f32 or 4 of f64, whatever the vector
 * width: that is what makes equal seeds give equal bits on every ISA. Opening one takes
 * five AES rounds of (key, a, b, c), full diffusion and more (two rounds diffuse fully),
 * so neighbouring strands are unrelated; a step takes one round per 128 bits, the
 * cheapest mixing that x86 has. docs/design.md says what the batteries found.
 */
#ifndef PRISM_RNG_H
#define PRISM_RNG_H

#include "stream.h"
#include "vec.h"

/* The 128-bit constant (lo, hi) in every 128-bit part. */
FZ_INLINE vi fz_dup128(uint64_t lo, uint64_t hi)
{
    const __m128i v = _mm_set_epi64x((int64_t)hi, (int64_t)lo);
#if FZ_VBYTES == 64
    return (vi)_mm512_broadcast_i64x2(v);
#elif FZ_VBYTES == 32
    return (vi)_mm256_broadcastsi128_si256(v);
#else
    return (vi)v;
#endif
}

FZ_INLINE vi fz_aesenc(vi s, vi k)
{
#if FZ_VBYTES == 64
    return (vi)_mm512_aesenc_epi128((__m512i)s, (__m512i)k);
#elif FZ_VBYTES == 32 && defined(__VAES__)
    return (vi)_mm256_aesenc_epi128((__m256i)s, (__m256i)k);
#elif FZ_VBYTES == 32
    __m128i key = _mm256_castsi256_si128((__m256i)k); /* both halves of k are equal */
    __m128i lo = _mm_aesenc_si128(_mm256_castsi256_si128((__m256i)s), key);
    __m128i hi = _mm_aesenc_si128(_mm256_extracti128_si256((__m256i)s, 1), key);
    return (vi)_mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1);
#elif defined(__AES__)
    return (vi)_mm_aesenc_si128((__m128i)s, (__m128i)k);
#else
    uint64_t q[2] = {(uint64_t)s[0], (uint64_t)s[1]};
    const uint64_t r[2] = {(uint64_t)k[0], (uint64_t)k[1]};
    prism_aesenc(q, r);
    return (vi){(int64_t)q[0], (int64_t)q[1]};
#endif
}

/* One strand is NV vectors (L <= 4), or one vector holds SPV strands (L = 8). A "unit" is
 * what is processed together: SPV strands in NV vectors. */
#define NV (L < 4 ? 4 / L : 1)
#define SPV (L > 4 ? L / 4 : 1)

/* Strands c .. c+SPV-1 of (key, a, b): what does not depend on a, then the rest. */
FZ_INLINE void fz_strands_base(vi base[NV], prism_key key, uint32_t b, uint32_t c)
{
    const vi k = fz_dup128(key.lo ^ (uint64_t)b << 32, key.hi), first = fz_dup128(0, c);
    for (int v = 0; v < NV; v++) {
        vi n = vi_set(0), half = vi_set(0); /* constants */
        for (int i = 0; i < L; i += 2) {
            const int q = v * L + i; /* first qword within the unit */
            n[i + 1] = q >> 2;
            half[i + 1] = (int64_t)((uint64_t)(q >> 1 & 1) << 63);
        }
        base[v] = k ^ ((vi)((vw)first + (vw)n) | half); /* c + n: 32 bits */
    }
}

FZ_INLINE vi fz_strands_from(vi base, prism_key key, uint32_t a)
{
    const vi k = fz_dup128(key.lo, key.hi);
    vi x = base ^ fz_dup128(a, 0);
    x = fz_aesenc(x, k);
    x = fz_aesenc(x, fz_dup128(FZ_PI2, FZ_PI3));
    x = fz_aesenc(x, k);
    x = fz_aesenc(x, fz_dup128(FZ_PI4, FZ_PI5));
    return fz_aesenc(x, k);
}

FZ_INLINE void fz_strands_open(vi st[NV], prism_key key, uint32_t a, uint32_t b,
                               uint32_t c)
{
    fz_strands_base(st, key, b, c);
    for (int v = 0; v < NV; v++)
        st[v] = fz_strands_from(st[v], key, a);
}

FZ_INLINE vi fz_strand_step(vi st)
{
    return fz_aesenc(st, fz_dup128(FZ_PI0, FZ_PI1));
}

/* The words of a step, r <= 32 bits each for 8 lanes of f32: lanes 0-3 take the top of
 * the four qwords, lanes 4-7 the bottom. */
FZ_INLINE vi fz_word_hi(vi st, int r)
{
    return (vi)((vu)st >> (64 - r));
}

FZ_INLINE vi fz_word_lo(vi st, int r)
{
    return st & vi_set((int64_t)((UINT64_C(1) << r) - 1));
}

#endif
