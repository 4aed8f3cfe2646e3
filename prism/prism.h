/* prism: one floating-point operation, one random word, one rounded result.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The rounding core of libfuzzytorch, usable alone (link libprism.a). Everything here is
 * pure: operands and a random word in, a rounded result out; no state, no environment.
 *
 * Laws. x is the exact result, a its neighbour nearer zero and b the other one among the
 * numbers of t significand bits (1 <= t <= 24 for f32, 53 for f64; the exponent range is
 * never narrowed), w a word of r random bits:
 *
 *   nearest  x rounded to nearest, ties to even
 *   sr       b if F + w >= 2^r, else a, where F is (x-a)/(b-a) * 2^r rounded to an
 *            integer; r = prism_word_bits(mode, size, t); an exact result never changes
 *   ud       nearest(x), then one unit of its t-bit representation up or down in
 *            magnitude (w odd: up), exact or not; zero, inf and NaN stay. Conversions
 *            follow sr, and take its words
 *   cestac   an inexact x goes up, toward +inf (w odd), or down (w even); an exact one
 *            stays
 *
 * docs/design.md states the law in full: overflow, subnormals, how F is rounded.
 */
#ifndef PRISM_H
#define PRISM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef float f32;
typedef double f64;

enum prism_mode { PRISM_NEAREST, PRISM_SR, PRISM_UD, PRISM_CESTAC };

/* ISAs in rising order. avx2 needs FMA and AES-NI; sse41 needs AES-NI. */
enum prism_isa { PRISM_REF, PRISM_SSE41, PRISM_AVX2, PRISM_AVX2_VAES, PRISM_AVX512,
                 PRISM_ISAS };

/* ---- Which ISA --------------------------------------------------------------------- */

/* Bit mask (1 << isa) of the builds that this CPU and this library can run. */
unsigned prism_isa_detected(void);
/* The fastest build in `mask` (already ANDed with prism_isa_detected()). */
enum prism_isa prism_isa_best(unsigned mask);
/* "ref", "sse41", "avx2", "avx2+vaes", "avx512". */
const char *prism_isa_name(enum prism_isa isa);

/* ---- Random streams ---------------------------------------------------------------- */

/* A 128-bit key names a stream. Keys are derived, never advanced:
 * key(seed) -> key(lineage) -> key(symbol) -> key(call ordinal). */
typedef struct prism_key { uint64_t lo, hi; } prism_key;

prism_key prism_key_seed(uint64_t seed);
prism_key prism_key_derive(prism_key parent, uint64_t name);

/* A strand serves 8 lanes of f32 or 4 of f64: 256 bits a step, step s -> s+1 by one AES
 * round on each half. This is the definition that every ISA reproduces. */
typedef struct prism_strand { uint64_t q[4]; } prism_strand;

prism_strand prism_strand_open(prism_key key, uint32_t a, uint32_t b, uint32_t c);
void prism_strand_step(prism_strand *s);

/* Number of random bits r that one rounding takes: sr 53-t in f32 (29 at t = 24), 52 in
 * f64; ud and cestac 1; nearest 0. size is sizeof(f32) or sizeof(f64). */
int prism_word_bits(enum prism_mode mode, size_t size, int t);

/* The words that the array functions below use for elements first .. first+n-1 of an
 * array of elements of the given size under (key, mode, t): what a test feeds an oracle.
 */
void prism_words(prism_key key, enum prism_mode mode, size_t size, int t,
                 size_t first, size_t n, uint64_t *w);

/* ---- One operation: w holds r random bits, higher bits are ignored ----------------- */

f32 prism_add_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w);
f32 prism_sub_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w);
f32 prism_mul_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w);
f32 prism_div_f32(f32 a, f32 b, enum prism_mode mode, int t, uint64_t w);
f32 prism_sqrt_f32(f32 a, enum prism_mode mode, int t, uint64_t w);
f32 prism_fma_f32(f32 a, f32 b, f32 c, enum prism_mode mode, int t, uint64_t w);

f64 prism_add_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w);
f64 prism_sub_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w);
f64 prism_mul_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w);
f64 prism_div_f64(f64 a, f64 b, enum prism_mode mode, int t, uint64_t w);
f64 prism_sqrt_f64(f64 a, enum prism_mode mode, int t, uint64_t w);
f64 prism_fma_f64(f64 a, f64 b, f64 c, enum prism_mode mode, int t, uint64_t w);

f32 prism_f64_to_f32(f64 x, enum prism_mode mode, int t, uint64_t w);
f32 prism_i32_to_f32(int32_t x, enum prism_mode mode, int t, uint64_t w);
f32 prism_i64_to_f32(int64_t x, enum prism_mode mode, int t, uint64_t w);
f64 prism_i64_to_f64(int64_t x, enum prism_mode mode, int t, uint64_t w);

/* ---- Arrays ------------------------------------------------------------------------ */

enum prism_op { PRISM_ADD, PRISM_SUB, PRISM_MUL, PRISM_DIV, PRISM_SQRT, PRISM_FMA,
                PRISM_OPS };
enum prism_cvt { PRISM_F64_F32, PRISM_I32_F32, PRISM_I64_F32, PRISM_I64_F64, PRISM_CVTS };

/* out[i] = round(a[i] op b[i]), fma: round(a[i]*b[i] + c[i]); operands that the operation
 * does not take are ignored. out may equal an operand; other overlap is an error of the
 * caller. Element i takes word i of prism_words(). The host's FTZ/DAZ is respected, the
 * caller's MXCSR is restored, its exception flags untouched. isa must be in
 * prism_isa_detected(). */
typedef struct prism_array_ops {
    void (*op_f32)(enum prism_op op, size_t n, const f32 *a, const f32 *b, const f32 *c,
                   f32 *out, enum prism_mode mode, int t, prism_key key);
    void (*op_f64)(enum prism_op op, size_t n, const f64 *a, const f64 *b, const f64 *c,
                   f64 *out, enum prism_mode mode, int t, prism_key key);
    void (*cvt)(enum prism_cvt kind, size_t n, const void *in, void *out,
                enum prism_mode mode, int t, prism_key key);
} prism_array_ops;

const prism_array_ops *prism_arrays(enum prism_isa isa);

#ifdef __cplusplus
}
#endif
#endif
