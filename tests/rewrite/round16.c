/* c10's rounding to bf16, in the forms that compilers give it; prints the results' bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     round16 COUNT: COUNT numbers in [1, 2) by each form, a line each: scalar, as a loop that
 *     may be vectorized, and with intrinsics; then the numbers themselves.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE4_1__
#include <immintrin.h>
#else
#include <emmintrin.h>
#endif

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint16_t round16(float x)
{
    if (x != x)
        return 0x7fc0;
    uint32_t u = bits(x);
    return (uint16_t)((u + (((u >> 16) & 1) + 0x7fff)) >> 16);
}

__attribute__((noinline)) static void scalar(uint16_t *out, const float *in, long n)
{
    for (long i = 0; i < n; i++) {
        out[i] = round16(in[i]);
        __asm__ volatile("" ::: "memory"); /* one by one */
    }
}

/* With additions, not lea. */
__attribute__((noinline)) static void scalar_add(uint16_t *out, const float *in, long n)
{
    for (long i = 0; i < n; i++) {
        uint32_t u = bits(in[i]), t;
        __asm__ volatile("mov %1, %0\n shr $16, %0\n and $1, %0\n add %1, %0\n"
                         "add $0x7fff, %0\n shr $16, %0"
                         : "=&r"(t) : "r"(u) : "cc");
        out[i] = (uint16_t)t;
    }
}

__attribute__((noinline)) static void loop(uint16_t *restrict out, const float *restrict in,
                                           long n)
{
    for (long i = 0; i < n; i++)
        out[i] = round16(in[i]);
}

#ifdef __AVX2__
__attribute__((noinline)) static void vector(uint16_t *out, const float *in, long n)
{
    for (long i = 0; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(in + i);
        __m256i u = _mm256_castps_si256(x);
        __m256i t = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
        t = _mm256_add_epi32(t, _mm256_set1_epi32(0x7fff));
        t = _mm256_add_epi32(t, u);
        t = _mm256_srli_epi32(t, 16);
        t = _mm256_blendv_epi8(_mm256_set1_epi32(0xffff), t,
                               _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_ORD_Q)));
        t = _mm256_permute4x64_epi64(_mm256_packus_epi32(t, t), 0xd8);
        _mm_storeu_si128((__m128i *)(out + i), _mm256_castsi256_si128(t));
    }
}
#else
__attribute__((noinline)) static void vector(uint16_t *out, const float *in, long n)
{
    for (long i = 0; i + 4 <= n; i += 4) {
        __m128i u = _mm_loadu_si128((const __m128i *)(in + i));
        __m128i t = _mm_and_si128(_mm_srli_epi32(u, 16), _mm_set1_epi32(1));
        u = _mm_add_epi32(u, _mm_set1_epi32(0x7fff));
        t = _mm_srli_epi32(_mm_add_epi32(t, u), 16);
        uint32_t lanes[4];
        _mm_storeu_si128((__m128i *)lanes, t);
        for (int k = 0; k < 4; k++)
            out[i + k] = (uint16_t)lanes[k];
    }
}
#endif

/* Integer code that is much like it, and is not: it must stay. */
__attribute__((noinline)) static uint32_t others(const float *in, long n)
{
    uint32_t h = 0;
    for (long i = 0; i < n; i++) {
        uint32_t u = bits(in[i]);
        h = h * 31 + ((u + (u >> 16 & 1) + 0x7ffe) >> 16);
        h = h * 31 + ((u + (u >> 15 & 1) + 0x7fff) >> 16);
        h = h * 31 + ((u + (u >> 16 & 3) + 0x7fff) >> 16);
        h = h * 31 + ((u + (h >> 16 & 1) + 0x7fff) >> 16);
        h = h * 31 + ((u + (u >> 16 & 1) + 0x7fff) >> 17);
        h = h * 31 + ((u + 0x7fff) >> 16);
    }
    return h;
}

static void show(const uint16_t *v, long n)
{
    for (long i = 0; i < n; i++)
        printf(" %04x", v[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 64;
    float *in = malloc((size_t)n * sizeof *in);
    uint16_t *out = malloc((size_t)n * sizeof *out);
    uint64_t state = 88172645463325252u;
    for (long i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t u = 0x3f800000 | (uint32_t)(state >> 41);
        u |= (uint32_t)(state >> 20 & 1) << 31;
        memcpy(&in[i], &u, sizeof u);
    }
    void (*const forms[])(uint16_t *, const float *, long) = {scalar, scalar_add, loop,
                                                              vector};
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        memset(out, 0, (size_t)n * sizeof *out);
        forms[k](out, in, n);
        show(out, n);
    }
    printf(" %08x\n", others(in, n));
    for (long i = 0; i < n; i++)
        printf(" %08x", bits(in[i]));
    printf("\n");
    float special[8] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1, -1.5f, 0x1p-133f};
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        if (k == 1)
            continue; /* no regard to NaN */
        forms[k](out, special + (k == 3), k == 3 ? 4 : 8);
        show(out, k == 3 ? 4 : 8);
    }
    return 0;
}
