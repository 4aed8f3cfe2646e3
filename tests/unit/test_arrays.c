/* prism's arrays on every ISA: the scalar operation on each element, with the element's
 * word.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "test.h"

#define GUARD 64
static const size_t lengths[] = {0, 1, 7, 8, 9, 31, 32, 33, 1000, 5000};
#define LENGTHS (sizeof lengths / sizeof *lengths)
#define LONGEST 5000

/* A block with guard bytes before and after, and an address that is no multiple of a
 * vector's size. */
typedef struct block {
    uint8_t *raw, *data;
    size_t bytes;
} block;

static block block_open(size_t bytes, size_t misalign)
{
    block b = {malloc(bytes + 2 * GUARD + misalign), NULL, bytes};
    memset(b.raw, 0xa5, bytes + 2 * GUARD + misalign);
    b.data = b.raw + GUARD + misalign;
    return b;
}

static int block_intact(const block *b)
{
    for (const uint8_t *p = b->raw; p < b->data; p++)
        if (*p != 0xa5)
            return 0;
    for (int i = 0; i < GUARD; i++)
        if (b->data[b->bytes + (size_t)i] != 0xa5)
            return 0;
    return 1;
}

static uint64_t element(const block *b, size_t size, size_t i)
{
    uint64_t v = 0;
    memcpy(&v, b->data + i * size, size);
    return v;
}

static int same(uint64_t x, uint64_t y, size_t size)
{
    const uint64_t mask = size == 4 ? 0x7fffffff : ~UINT64_C(0) >> 1;
    const uint64_t inf = size == 4 ? 0x7f800000 : UINT64_C(0x7ff) << 52;
    return x == y || ((x & mask) > inf && (y & mask) > inf);
}

static size_t size_in(enum oracle_op op, int is_f32)
{
    if (op == ORACLE_I32_F32)
        return 4;
    return op >= ORACLE_F64_F32 || !is_f32 ? 8 : 4;
}

/* Operands of one array: mostly one shape, with strays of the others. */
static void fill(rng *g, block in[3], const oracle_case *proto, size_t n,
                 enum shape shape)
{
    size_t size = size_in(proto->op, proto->is_f32);
    for (size_t i = 0; i < n; i++) {
        oracle_case q = *proto;
        shape_operands(g, rng_below(g, 16) ? shape : (enum shape)rng_below(g, SHAPES),
                       &q);
        if (q.op >= ORACLE_I32_F32) {
            memcpy(in[0].data + i * size, &q.i, size);
            continue;
        }
        const f64 v[3] = {q.a, q.b, q.c};
        for (int k = 0; k < 3; k++) {
            uint64_t bits = size == 4 ? bits_f32((f32)v[k]) : bits_f64(v[k]);
            memcpy(in[k].data + i * size, &bits, size);
        }
    }
}

static oracle_case case_at(const block in[3], const oracle_case *proto, size_t i)
{
    oracle_case q = *proto;
    size_t size = size_in(q.op, q.is_f32);
    if (q.op >= ORACLE_I32_F32) {
        uint64_t v = element(&in[0], size, i);
        q.i = size == 4 ? (int32_t)v : (int64_t)v;
        return q;
    }
    f64 *v[3] = {&q.a, &q.b, &q.c};
    for (int k = 0; k < 3; k++) {
        uint64_t bits = element(&in[k], size, i);
        *v[k] = size == 4 ? (f64)f32_bits(bits) : f64_bits(bits);
    }
    return q;
}

static void run(enum prism_isa isa, const oracle_case *q, size_t n, const block in[3],
                void *out, prism_key key)
{
    const prism_array_ops *ops = prism_arrays(isa);
    const void *a = in[0].data, *b = in[1].data, *c = in[2].data;
    if (q->op >= ORACLE_F64_F32)
        ops->cvt((enum prism_cvt)(q->op - ORACLE_F64_F32), n, a, out, q->mode, q->t, key);
    else if (q->is_f32)
        ops->op_f32((enum prism_op)q->op, n, a, b, c, out, q->mode, q->t, key);
    else
        ops->op_f64((enum prism_op)q->op, n, a, b, c, out, q->mode, q->t, key);
}

/* All ISAs on one array; in place over operand `place` (-1: elsewhere). */
static void compare(rng *g, uint64_t seed, const oracle_case *proto, size_t n,
                    enum shape shape, int place)
{
    static uint64_t words[LONGEST], want[LONGEST];
    size_t in_size = size_in(proto->op, proto->is_f32), size = proto->is_f32 ? 4 : 8;
    block in[3], saved;
    for (int k = 0; k < 3; k++)
        in[k] = block_open(n * in_size, rng_below(g, 16) * in_size % 64);
    fill(g, in, proto, n, shape);
    prism_key key = prism_key_derive(prism_key_seed(seed), rng_next(g));
    prism_words(key,
                proto->mode == PRISM_UD && proto->op >= ORACLE_F64_F32 ? PRISM_SR
                                                                       : proto->mode,
                size, proto->t, 0, n, words);
    unsigned old = _mm_getcsr();
    unsigned csr = (old & ~0x3fu) | (proto->ftz ? 0x8000u : 0) |
                   (proto->daz ? 0x0040u : 0);
    for (size_t i = 0; i < n; i++) {
        oracle_case q = case_at(in, proto, i);
        want[i] = prism_apply(&q, words[i]);
    }
    saved = block_open(n * in_size, 0);
    if (place >= 0)
        memcpy(saved.data, in[place].data, n * in_size);
    for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
        block out = place < 0 ? block_open(n * size, rng_below(g, 16) * size % 64)
                              : in[place];
        _mm_setcsr(csr);
        run((enum prism_isa)isa, proto, n, in, out.data, key);
        unsigned after = _mm_getcsr();
        _mm_setcsr(old);
        ck_assert_msg(after == csr, "%s changed MXCSR from %x to %x: %s",
                      prism_isa_name((enum prism_isa)isa), csr, after, case_text(proto));
        ck_assert_msg(block_intact(&out), "FZ_TEST_SEED=%llu %s wrote outside: n=%zu %s",
                      (unsigned long long)seed, prism_isa_name((enum prism_isa)isa), n,
                      case_text(proto));
        for (size_t i = 0; i < n; i++) {
            uint64_t got = element(&out, size, i);
            if (same(got, want[i], size))
                continue;
            if (place >= 0)
                memcpy(in[place].data, saved.data, n * in_size);
            oracle_case q = case_at(in, proto, i);
            ck_abort_msg("FZ_TEST_SEED=%llu %s n=%zu i=%zu place=%d %s w=%llx: got %llx "
                         "scalar %llx",
                         (unsigned long long)seed, prism_isa_name((enum prism_isa)isa), n,
                         i, place, case_text(&q), (unsigned long long)words[i],
                         (unsigned long long)got, (unsigned long long)want[i]);
        }
        if (place < 0)
            free(out.raw);
        else
            memcpy(in[place].data, saved.data, n * in_size);
    }
    for (int k = 0; k < 3; k++) {
        ck_assert_msg(block_intact(&in[k]), "an operand's guard bytes were written");
        free(in[k].raw);
    }
    free(saved.raw);
}

START_TEST(arrays_are_scalar)
{
    enum oracle_op op = (enum oracle_op)(_i % ORACLE_OPS);
    if (op >= ORACLE_F64_F32 && _i / ORACLE_OPS)
        return;
    static const int f32_t[] = {24, 23, 21, 20, 17, 11, 8, 2, 1};
    static const int f64_t[] = {53, 52, 40, 30, 24, 11, 8, 2, 1};
    oracle_case q = {.op = op};
    q.is_f32 = op < ORACLE_F64_F32 ? _i / ORACLE_OPS : op != ORACLE_I64_F64;
    uint64_t seed = test_seed(UINT64_C(41) + (uint64_t)_i);
    rng g = {seed};
    for (int mode = 0; mode < 4; mode++)
        for (int p = 0; p < 9; p++)
            for (size_t l = 0; l < LENGTHS; l++) {
                if (lengths[l] > 1000 && p % 4)
                    continue;
                q.mode = (enum prism_mode)mode;
                q.t = (q.is_f32 ? f32_t : f64_t)[p];
                q.ftz = l == 4 || l == 8;
                q.daz = l == 4 || l == 7;
                int place = (int)rng_below(&g, 5) - 1;
                int operands = op == ORACLE_FMA ? 3 : op == ORACLE_SQRT ? 1 : 2;
                if (place >= operands || op >= ORACLE_F64_F32)
                    place = -1;
                compare(&g, seed, &q, lengths[l], (enum shape)((l + (size_t)p) % SHAPES),
                        place);
            }
}
END_TEST

/* One shape an array and the whole range of lanes: a redone lane must not disturb others.
 */
START_TEST(every_shape)
{
    uint64_t seed = test_seed(43);
    rng g = {seed};
    for (int op = 0; op < ORACLE_OPS; op++)
        for (int is_f32 = 0; is_f32 < 2; is_f32++) {
            if (op >= ORACLE_F64_F32 && is_f32 != (op != ORACLE_I64_F64))
                continue;
            for (int shape = 0; shape < SHAPES; shape++)
                for (int mode = 0; mode < 4; mode++)
                    for (int low = 0; low < 2; low++) {
                        oracle_case q = {.op = (enum oracle_op)op, .is_f32 = is_f32};
                        q.mode = (enum prism_mode)mode;
                        q.t = low ? (is_f32 ? 13 : 29) : (is_f32 ? 24 : 53);
                        compare(&g, seed, &q, test_long() ? 4500 : 700, (enum shape)shape,
                                -1);
                    }
        }
}
END_TEST

/* Operands made for the words: F + w at 2^r and next to it, which random words never
 * meet. 1 + F * 2^(-52) at f32's precision t (r = 53 - t), 1 + F * 2^(-51-t) at f64's. */
START_TEST(thresholds)
{
    enum { COUNT = 2000 };
    static uint64_t words[COUNT];
    uint64_t seed = test_seed(44);
    rng g = {seed};
    int met = 0;
    for (int k = 0; k < 400; k++) {
        static const int f32_t[] = {24, 23, 21, 20, 11}, f64_t[] = {53, 52, 40, 24, 11};
        static const enum oracle_op ops[] = {ORACLE_ADD, ORACLE_SUB, ORACLE_FMA};
        oracle_case q = {.op = ops[k % 3], .is_f32 = k / 3 % 2, .mode = PRISM_SR};
        q.t = (q.is_f32 ? f32_t : f64_t)[k / 6 % 5];
        const size_t size = q.is_f32 ? 4 : 8;
        const int r = prism_word_bits(PRISM_SR, size, q.t);
        const prism_key key = prism_key_seed(rng_next(&g));
        block in[3], out;
        for (int i = 0; i < 3; i++)
            in[i] = block_open(COUNT * size, size);
        prism_words(key, PRISM_SR, size, q.t, 0, COUNT, words);
        for (int i = 0; i < COUNT; i++) {
            const uint64_t F = (UINT64_C(1) << r) - words[i] + rng_below(&g, 5) - 2;
            const f64 unit = q.is_f32 ? 0x1p-52 : ldexp(1, -51 - q.t);
            const f64 sign = rng_next(&g) & 1 ? 1 : -1;
            f64 u = (f64)F, v = 1, one = ldexp(sign, (int)rng_below(&g, 9) - 4);
            if (q.op == ORACLE_FMA && q.is_f32)
                /* F as a product of two floats */
                for (uint64_t d = 3; d < 3000 && (f64)(f32)u != u; d += 2)
                    if (F % d == 0) {
                        u = (f64)(F / d);
                        v = (f64)d;
                    }
            met += !q.is_f32 || (f64)(f32)u == u;
            f64 x[3] = {one, u * unit * one, 0};
            if (q.op == ORACLE_SUB)
                x[1] = -x[1];
            if (q.op == ORACLE_FMA) {
                x[0] = u * unit * one;
                x[1] = v;
                x[2] = one;
            }
            for (int j = 0; j < 3; j++) {
                uint64_t bits = q.is_f32 ? bits_f32((f32)x[j]) : bits_f64(x[j]);
                memcpy(in[j].data + (size_t)i * size, &bits, size);
            }
        }
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            out = block_open(COUNT * size, 0);
            run((enum prism_isa)isa, &q, COUNT, in, out.data, key);
            for (int i = 0; i < COUNT; i++) {
                oracle_case c = case_at(in, &q, (size_t)i);
                oracle_answer x = oracle_prepare(&c);
                uint64_t got = element(&out, size, (size_t)i);
                ck_assert_msg(
                    got == oracle_pick(&x, words[i]),
                    "FZ_TEST_SEED=%llu %s %s w=%llx F=%llx r=%d: got %llx want %llx",
                    (unsigned long long)seed, prism_isa_name((enum prism_isa)isa),
                    case_text(&c), (unsigned long long)words[i], (unsigned long long)x.F,
                    x.r, (unsigned long long)got,
                    (unsigned long long)oracle_pick(&x, words[i]));
            }
            free(out.raw);
        }
        for (int i = 0; i < 3; i++)
            free(in[i].raw);
    }
    ck_assert_int_gt(met, 400 * COUNT / 2);
    printf("arrays: %d of %d elements made to meet their threshold to two units\n", met,
           400 * COUNT);
}
END_TEST

/* Chunks of one array, and arrays of one key: a word belongs to an element's place. */
START_TEST(words_belong_to_places)
{
    prism_key key = prism_key_seed(5);
    for (int mode = PRISM_SR; mode <= PRISM_CESTAC; mode++)
        for (size_t size = 4; size <= 8; size += 4) {
            static uint64_t all[9000], part[9000];
            int t = size == 4 ? 24 : 53;
            prism_words(key, (enum prism_mode)mode, size, t, 0, 9000, all);
            prism_words(key, (enum prism_mode)mode, size, t, 4000, 5000, part);
            ck_assert(!memcmp(all + 4000, part, 5000 * sizeof *all));
            for (int i = 0; i < 9000; i++)
                ck_assert(all[i] >> prism_word_bits((enum prism_mode)mode, size, t) == 0);
        }
}
END_TEST

Suite *suite_arrays(void)
{
    Suite *s = suite_create("arrays");
    TCase *c = tcase_create("arrays");
    tcase_set_timeout(c, test_long() ? 3600 : 300);
    tcase_add_test(c, words_belong_to_places);
    tcase_add_loop_test(c, arrays_are_scalar, 0, 2 * ORACLE_OPS);
    tcase_add_test(c, every_shape);
    tcase_add_test(c, thresholds);
    suite_add_tcase(s, c);
    return s;
}
