/* Panels of gemm's microkernels, gathered straight from tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Element (i, k) of an operand lies at at[i] + k[k]: every dimension of a tensor adds a
 * term of its own (tensor.h). Four ways, by what lies side by side: the i of a unit, a
 * few stretches of them, four k, nothing.
 */
#ifndef FZ_CONV_PACK_H
#define FZ_CONV_PACK_H

#include "half.h"
#include "panels.h"

typedef struct fz_side {
    const void *base;
    enum fz_type type;
    ptrdiff_t at[NC]; /* of rows or columns */
    ptrdiff_t k[KC];
} fz_side;

FZ_INLINE f32 fz_side_get(const void *base, enum fz_type type, ptrdiff_t at)
{
    if (type == FZ_F32)
        return ((const f32 *)base)[at];
    return fz_widen(((const uint16_t *)base)[at], type);
}

/* Four elements that lie side by side. */
FZ_INLINE __m128 fz_side_get4(const void *base, enum fz_type type, ptrdiff_t at)
{
    if (type == FZ_F32)
        return _mm_loadu_ps((const f32 *)base + at);
    const uint16_t *h = (const uint16_t *)base + at;
    if (type == FZ_BF16) {
        __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)h);
        return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), x));
    }
    return _mm_setr_ps(fz_widen(h[0], type), fz_widen(h[1], type), fz_widen(h[2], type),
                       fz_widen(h[3], type));
}

/* A vector of them. */
FZ_INLINE vf fz_side_getv(const void *base, enum fz_type type, ptrdiff_t at)
{
    if (type == FZ_F32)
        return vf_load((const f32 *)base + at);
    f32 x[2 * L];
    for (int i = 0; i < 2 * L; i += 4)
        _mm_storeu_ps(x + i, fz_side_get4(base, type, at + i));
    return vf_load(x);
}

FZ_INLINE int fz_in_row(const ptrdiff_t *at, int n)
{
    for (int i = 1; i < n; i++)
        if (at[i] != at[0] + i)
            return 0;
    return 1;
}

/* Whether k .. k+3 lie side by side: they are counted along, since stretches of k begin
 * anywhere. */
FZ_INLINE int fz_four(const ptrdiff_t *k, int i, int kc)
{
    return i + 4 <= kc && k[i + 1] == k[i] + 1 && k[i + 2] == k[i] + 2 &&
           k[i + 3] == k[i] + 3;
}

/* Four rows (or columns) of which `live` exist, element (r, k) to dst[k*step + r]. */
FZ_INLINE void fz_pack_four(const void *base, enum fz_type type, const ptrdiff_t *at,
                            int live, const ptrdiff_t *k, int kc, f32 *dst, int step)
{
    if (live < 4) {
        for (int i = 0; i < kc; i++)
            for (int r = 0; r < 4; r++)
                dst[i * step + r] = r < live ? fz_side_get(base, type, at[r] + k[i]) : 0;
        return;
    }
    if (fz_in_row(at, 4)) {
        for (int i = 0; i < kc; i++)
            _mm_storeu_ps(dst + i * step, fz_side_get4(base, type, at[0] + k[i]));
        return;
    }
    for (int i = 0; i < kc;) {
        if (fz_four(k, i, kc)) {
            __m128 a = fz_side_get4(base, type, at[0] + k[i]);
            __m128 b = fz_side_get4(base, type, at[1] + k[i]);
            __m128 c = fz_side_get4(base, type, at[2] + k[i]);
            __m128 d = fz_side_get4(base, type, at[3] + k[i]);
            _MM_TRANSPOSE4_PS(a, b, c, d);
            _mm_storeu_ps(dst + i * step, a);
            _mm_storeu_ps(dst + (i + 1) * step, b);
            _mm_storeu_ps(dst + (i + 2) * step, c);
            _mm_storeu_ps(dst + (i + 3) * step, d);
            i += 4;
        } else {
            for (int r = 0; r < 4; r++)
                dst[i * step + r] = fz_side_get(base, type, at[r] + k[i]);
            i++;
        }
    }
}

FZ_INLINE void fz_pack_rows_of(const fz_side *s, enum fz_type type, int rows, int kc,
                               f32 *dst)
{
    for (int i = 0; i < rows; i += MR, dst += kc * MR)
        fz_pack_four(s->base, type, s->at + i, rows - i < MR ? rows - i : MR, s->k, kc,
                     dst, MR);
}

#if FZ_VBYTES == 64
/* Columns in at most this many stretches are read by masked loads. */
#define STRETCHES 4

/* The stretches of a unit, or 0 where there are too many. */
FZ_INLINE int fz_stretches(const ptrdiff_t *at, int cols, ptrdiff_t *from,
                           __mmask16 *mask)
{
    int n = 0;
    for (int j = 0; j < cols;) {
        int end = j + 1;
        while (end < cols && at[end] == at[end - 1] + 1)
            end++;
        if (n == STRETCHES)
            return 0;
        from[n] = at[j] - j;
        mask[n++] = (__mmask16)((1u << end) - (1u << j));
        j = end;
    }
    return n;
}
#endif

FZ_INLINE void fz_pack_cols_of(const fz_side *s, enum fz_type type, int cols, int kc,
                               f32 *dst)
{
    enum { UNIT_ = FZ_PANEL_UNIT };
    for (int j = 0; j < cols; j += UNIT_, dst += kc * UNIT_) {
        const ptrdiff_t *at = s->at + j;
        const int live = cols - j < UNIT_ ? cols - j : UNIT_;
        if (live == UNIT_ && fz_in_row(at, UNIT_)) {
            for (int i = 0; i < kc; i++)
                for (int v = 0; v < UNIT_; v += 2 * L)
                    vf_store(dst + i * UNIT_ + v,
                             fz_side_getv(s->base, type, at[v] + s->k[i]));
            continue;
        }
#if FZ_VBYTES == 64
        ptrdiff_t from[STRETCHES];
        __mmask16 mask[STRETCHES];
        const int n = type == FZ_F32 ? fz_stretches(at, live, from, mask) : 0;
        if (n) {
            const f32 *base = s->base;
            for (int i = 0; i < kc; i++) {
                const f32 *p = base + s->k[i];
                __m512 x = _mm512_maskz_loadu_ps(mask[0], p + from[0]);
                for (int m = 1; m < n; m++)
                    x = _mm512_mask_loadu_ps(x, mask[m], p + from[m]);
                _mm512_storeu_ps(dst + i * UNIT_, x);
            }
            continue;
        }
#endif
        for (int c = 0; c < UNIT_; c += 4)
            fz_pack_four(s->base, type, at + c, live - c < 4 ? live - c : 4, s->k, kc,
                         dst + c, UNIT_);
    }
}

static void fz_pack_rows(const fz_side *s, int rows, int kc, f32 *dst)
{
    if (s->type == FZ_F32)
        fz_pack_rows_of(s, FZ_F32, rows, kc, dst);
    else if (s->type == FZ_BF16)
        fz_pack_rows_of(s, FZ_BF16, rows, kc, dst);
    else
        fz_pack_rows_of(s, FZ_F16, rows, kc, dst);
}

static void fz_pack_cols(const fz_side *s, int cols, int kc, f32 *dst)
{
    if (s->type == FZ_F32)
        fz_pack_cols_of(s, FZ_F32, cols, kc, dst);
    else if (s->type == FZ_BF16)
        fz_pack_cols_of(s, FZ_BF16, cols, kc, dst);
    else
        fz_pack_cols_of(s, FZ_F16, cols, kc, dst);
}

#endif
