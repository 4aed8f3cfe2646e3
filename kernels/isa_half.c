/* Rows narrowed to bf16 or f16: the unit built per ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * What is rounded and how is fz_narrow()'s; here eight at a time where all of them are
 * normal numbers of the target, as sums without branches.
 */
#include "half.h"

#include "../prism/lanes.h"
#include "tables.h"

enum { EIGHT = 8 };

/* The words of the next step. */
FZ_INLINE void step(prism_strand *s)
{
#if defined(__AES__)
    const __m128i key = _mm_set_epi64x((int64_t)FZ_PI1, (int64_t)FZ_PI0);
    __m128i half[2];
    memcpy(half, s, sizeof half);
    half[0] = _mm_aesenc_si128(half[0], key);
    half[1] = _mm_aesenc_si128(half[1], key);
    memcpy(s, half, sizeof half);
#else
    prism_strand_step(s);
#endif
}

/* Are all of them bf16's normal, zero or infinite ones, or f16's normal ones? */
FZ_INLINE int simple(int bf16, const uint32_t bits[EIGHT])
{
    uint32_t bad = 0;
    for (int i = 0; i < EIGHT; i++) {
        const uint32_t a = bits[i] & 0x7fffffff;
        bad |= bf16 ? a > 0x7f800000 : a - (113u << 23) >= (30u << 23);
    }
    return !bad;
}

FZ_INLINE void eight(int bf16, int nearest, const uint32_t bits[EIGHT],
                     const uint32_t w[EIGHT], uint16_t out[EIGHT])
{
    const int drop = bf16 ? 16 : 13;
    for (int i = 0; i < EIGHT; i++) {
        const uint32_t m = (bits[i] & 0x7fffffff) - (bf16 ? 0 : 112u << 23);
        const uint32_t cut = m >> drop, rest = m << (32 - drop);
        const uint32_t by = nearest ? 0x7fffffff + (cut & 1) : w[i];
        const uint32_t up = rest + by < rest;
        out[i] = (uint16_t)((bits[i] >> 16 & 0x8000) | (cut + up));
    }
}

void FZ_FN(fz_narrow)(const fz_job *job, int bf16, ptrdiff_t n, const f32 *x,
                      uint16_t *out)
{
    const enum fz_type type = bf16 ? FZ_BF16 : FZ_F16;
    const int nearest = job->mode == PRISM_NEAREST, directed = job->mode == PRISM_CESTAC;
    prism_strand s = prism_strand_open(job->key, 0, 0, 0);
    for (ptrdiff_t i = 0; i < n; i += EIGHT) {
        uint32_t w[EIGHT], bits[EIGHT];
        if (i)
            step(&s);
        memcpy(w, s.q, sizeof w);
        if (n - i >= EIGHT && !directed) {
            memcpy(bits, x + i, sizeof bits);
            if (simple(bf16, bits)) {
                if (bf16 && nearest)
                    eight(1, 1, bits, w, out + i);
                else if (bf16)
                    eight(1, 0, bits, w, out + i);
                else
                    eight(0, nearest, bits, w, out + i);
                continue;
            }
        }
        for (ptrdiff_t j = i; j < n && j < i + EIGHT; j++)
            out[j] = fz_narrow(x[j], type, job->mode, w[j - i]);
    }
}
