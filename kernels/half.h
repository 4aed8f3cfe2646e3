/* bf16 and f16: widened exactly, narrowed by a mode.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * By integers: FTZ and DAZ of the host must not eat subnormals that f32 holds, and those
 * of f16 are normal numbers there. A narrowing is a conversion, so ud follows sr
 * (prism.h); its word has 32 bits, which resolve what sr and f32 numbers of the normal
 * range of the target can ask.
 */
#ifndef FZ_HALF_H
#define FZ_HALF_H

#include <string.h>

#include "../prism/prism.h"
#include "tensor.h"

static inline f32 fz_widen(uint16_t h, enum fz_type type)
{
    uint32_t bits;
    f32 x;
    if (type == FZ_BF16) {
        bits = (uint32_t)h << 16;
    } else {
        const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31,
                       f = h & 1023;
        if (e == 0) {
            x = (f32)f * 0x1p-24f; /* 0 or normal */
            memcpy(&bits, &x, 4);
            bits |= sign;
        } else {
            bits = sign | (e == 31 ? 0x7f800000 : (e + 112) << 23) | f << 13;
        }
    }
    memcpy(&x, &bits, 4);
    return x;
}

/* x rounded to bf16 or f16. w: 32 random bits. NaN stays NaN, inf and what is beyond the
 * largest exponent is inf, and rounding up may reach it. */
static inline uint16_t fz_narrow(f32 x, enum fz_type type, enum prism_mode mode,
                                 uint32_t w)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t sign = bits >> 16 & 0x8000, a = bits & 0x7fffffff;
    const int e = (int)(a >> 23);
    uint32_t m = a; /* the pattern cut at `drop` bits is the neighbour nearer zero */
    int drop = 16;
    if (a > 0x7f800000)
        return (uint16_t)(sign | (type == FZ_BF16 ? 0x7fc0 : 0x7e00));
    if (a == 0x7f800000)
        return (uint16_t)(sign | (type == FZ_BF16 ? 0x7f80 : 0x7c00));
    if (type == FZ_F16) {
        if (e >= 127 + 16)
            return (uint16_t)(sign | 0x7c00);
        drop = 13;
        if (e >= 113) {
            m = a - (112u << 23);
        } else { /* in units of 2^-24 */
            m = (a & 0x7fffff) | (e ? 0x800000 : 0);
            drop = 126 - (e ? e : 1);
        }
    }
    const uint64_t wide = (uint64_t)m;
    const uint32_t low = drop < 32 ? m >> drop : 0;
    const uint64_t rest = drop < 32 ? wide & ((UINT64_C(1) << drop) - 1) : wide;
    uint32_t up;
    if (!rest) {
        up = 0;
    } else if (mode == PRISM_NEAREST) {
        const uint64_t half = drop <= 32 ? UINT64_C(1) << (drop - 1) : UINT64_MAX;
        up = rest > half || (rest == half && (low & 1));
    } else if (mode == PRISM_CESTAC) {
        up = (w & 1) ^ (sign != 0);
    } else {
        uint64_t f = drop <= 32 ? rest << (32 - drop) : 0;
        if (drop > 32 && drop < 64) { /* to nearest, ties to even */
            const int cut = drop - 32;
            const uint64_t half = UINT64_C(1) << (cut - 1), low_f = rest & (2 * half - 1);
            f = rest >> cut;
            f += low_f > half || (low_f == half && (f & 1));
        }
        up = (f + w) >> 32 != 0;
    }
    return (uint16_t)(sign | (low + up));
}

#endif
