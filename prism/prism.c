/* Dispatch, keys, and the portable definition of the random strands.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "prism.h"

#include <cpuid.h>
#include <string.h>

#include "stream.h"

/* ---- ISA --------------------------------------------------------------------------- */

/* XCR0 bits: the operating system saves the registers. */
static uint64_t xgetbv(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

unsigned prism_isa_detected(void)
{
    unsigned a, b, c1, d, b7 = 0, c7 = 0, mask = 1u << PRISM_REF;
    if (!__get_cpuid(1, &a, &b, &c1, &d))
        return mask;
    if ((c1 & bit_SSE4_1) && (c1 & bit_AES))
        mask |= 1u << PRISM_SSE41;
    if (!(c1 & bit_OSXSAVE) || !(c1 & bit_AVX))
        return mask;
    uint64_t xcr0 = xgetbv();
    if ((xcr0 & 6) != 6)
        return mask;
    if (__get_cpuid_count(7, 0, &a, &b, &c1, &d)) {
        b7 = b;
        c7 = c1;
    }
    __get_cpuid(1, &a, &b, &c1, &d);
    if (!(b7 & bit_AVX2) || !(c1 & bit_FMA) || !(c1 & bit_AES))
        return mask;
    mask |= 1u << PRISM_AVX2;
    if (!(c7 & bit_VAES))
        return mask;
    mask |= 1u << PRISM_AVX2_VAES;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((b7 & avx512) == avx512 && (xcr0 & 0xe6) == 0xe6)
        mask |= 1u << PRISM_AVX512;
    return mask;
}

enum prism_isa prism_isa_best(unsigned mask)
{
    for (int i = PRISM_ISAS - 1; i > 0; i--)
        if (mask >> i & 1)
            return (enum prism_isa)i;
    return PRISM_REF;
}

const char *prism_isa_name(enum prism_isa isa)
{
    static const char *const names[PRISM_ISAS] = {"ref", "sse41", "avx2", "avx2+vaes",
                                                  "avx512"};
    return (unsigned)isa < PRISM_ISAS ? names[isa] : "?";
}

extern const prism_array_ops prism_arrays_ref, prism_arrays_sse41, prism_arrays_avx2,
    prism_arrays_avx2vaes, prism_arrays_avx512;

const prism_array_ops *prism_arrays(enum prism_isa isa)
{
    static const prism_array_ops *const tables[PRISM_ISAS] = {
        &prism_arrays_ref, &prism_arrays_sse41, &prism_arrays_avx2,
        &prism_arrays_avx2vaes, &prism_arrays_avx512};
    return tables[isa];
}

/* ---- Keys -------------------------------------------------------------------------- */

/* Finalizer of SplitMix64 (Steele, Lea and Flood 2014; constants of Stafford's mix 13).
 */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* A permutation of (lo ^ name, hi): two names of one parent never give one key. */
prism_key prism_key_derive(prism_key parent, uint64_t name)
{
    static const uint64_t c[6] = {FZ_PI0, FZ_PI1, FZ_PI2, FZ_PI3, FZ_PI4, FZ_PI5};
    uint64_t a = parent.lo ^ name, b = parent.hi;
    for (int i = 0; i < 6; i += 2) {
        a = mix(a + c[i]);
        b ^= a;
        b = mix(b + c[i + 1]);
        a ^= b;
    }
    return (prism_key){a, b};
}

prism_key prism_key_seed(uint64_t seed)
{
    return prism_key_derive((prism_key){FZ_PI0, FZ_PI1}, seed);
}

/* ---- Strands, portable ------------------------------------------------------------- */

static const uint8_t sbox[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7,
    0xab, 0x76, 0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf,
    0x9c, 0xa4, 0x72, 0xc0, 0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5,
    0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15, 0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a,
    0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75, 0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e,
    0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84, 0x53, 0xd1, 0x00, 0xed,
    0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf, 0xd0, 0xef,
    0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8,
    0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff,
    0xf3, 0xd2, 0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d,
    0x64, 0x5d, 0x19, 0x73, 0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee,
    0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb, 0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c,
    0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79, 0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5,
    0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08, 0xba, 0x78, 0x25, 0x2e,
    0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a, 0x70, 0x3e,
    0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e,
    0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55,
    0x28, 0xdf, 0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f,
    0xb0, 0x54, 0xbb, 0x16,
};

static uint8_t xtime(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x >> 7) * 0x1b);
}

/* FIPS 197: SubBytes, ShiftRows, MixColumns, AddRoundKey, as AESENC does them. */
void prism_aesenc(uint64_t s[2], const uint64_t k[2])
{
    uint8_t in[16], t[16], out[16];
    memcpy(in, s, 16);
    for (int c = 0; c < 4; c++)
        for (int r = 0; r < 4; r++)
            t[4 * c + r] = sbox[in[4 * ((c + r) & 3) + r]];
    for (int c = 0; c < 4; c++) {
        const uint8_t *q = t + 4 * c;
        uint8_t all = q[0] ^ q[1] ^ q[2] ^ q[3];
        for (int r = 0; r < 4; r++)
            out[4 * c + r] = q[r] ^ all ^ xtime(q[r] ^ q[(r + 1) & 3]);
    }
    memcpy(s, out, 16);
    s[0] ^= k[0];
    s[1] ^= k[1];
}

prism_strand prism_strand_open(prism_key key, uint32_t a, uint32_t b, uint32_t c)
{
    const uint64_t k[2] = {key.lo, key.hi};
    const uint64_t c1[2] = {FZ_PI2, FZ_PI3}, c2[2] = {FZ_PI4, FZ_PI5};
    prism_strand s;
    for (int h = 0; h < 2; h++) {
        uint64_t x[2] = {key.lo ^ (a | (uint64_t)b << 32),
                         key.hi ^ ((uint64_t)c | (uint64_t)h << 63)};
        prism_aesenc(x, k);
        prism_aesenc(x, c1);
        prism_aesenc(x, k);
        prism_aesenc(x, c2);
        prism_aesenc(x, k);
        s.q[2 * h] = x[0];
        s.q[2 * h + 1] = x[1];
    }
    return s;
}

void prism_strand_step(prism_strand *s)
{
    const uint64_t k[2] = {FZ_PI0, FZ_PI1};
    prism_aesenc(s->q, k);
    prism_aesenc(s->q + 2, k);
}

int prism_word_bits(enum prism_mode mode, size_t size, int t)
{
    switch (mode) {
    case PRISM_SR: return size == sizeof(f32) ? 53 - t : 52;
    case PRISM_UD:
    case PRISM_CESTAC: return 1;
    default: return 0;
    }
}

/* Word of lane `lane` (0-31) at step `step` of a run of steps opened at (key, a, b). */
static uint64_t word_at(prism_key key, uint32_t a, uint32_t b, enum prism_mode mode,
                        size_t size, int t, int lane, int step)
{
    int r = prism_word_bits(mode, size, t);
    int wide = size == sizeof(f64) || r > 32;
    int per = wide ? 4 : 8;
    int every = r > 1 ? 1 : wide ? 64 : 32; /* steps that one state serves */
    prism_strand s = prism_strand_open(
        key, a, b, (uint32_t)(lane / per) | (wide ? FZ_STRAND_WIDE : 0));
    for (int i = 0; i < step / every; i++)
        prism_strand_step(&s);
    int l = lane % per, i = step % every;
    if (wide)
        return r > 1 ? s.q[l] >> (64 - r) : s.q[l] >> (63 - i) & 1;
    if (r > 1)
        return l < 4 ? s.q[l] >> (64 - r) : s.q[l - 4] & ((UINT64_C(1) << r) - 1);
    return s.q[l / 2] >> (32 * (l % 2)) >> (31 - i) & 1;
}

void prism_words(prism_key key, enum prism_mode mode, size_t size, int t, size_t first,
                 size_t n, uint64_t *w)
{
    for (size_t i = 0; i < n; i++) {
        size_t chunk = (first + i) / 4096, at = (first + i) % 4096;
        w[i] = prism_word_bits(mode, size, t)
                   ? word_at(key, (uint32_t)chunk, (uint32_t)(chunk >> 32), mode, size, t,
                             (int)(at % 32), (int)(at / 32))
                   : 0;
    }
}
