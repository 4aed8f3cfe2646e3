/* Random words in the orders in which the library uses them, for tests of randomness.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * prism's portable strands define the words; they are too slow for the 10^10 words that a
 * battery reads, so the steps are done by the AES instructions where the CPU has them.
 * words_selftest() compares the two.
 */
#include "words.h"

#include <immintrin.h>
#include <string.h>

#include "../../prism/stream.h"

const char *const words_order_name[WORDS_ORDERS] = {"lane", "lanes", "seeds", "calls",
                                                    "threads"};

static int have_aes(void)
{
    return __builtin_cpu_supports("aes");
}

__attribute__((target("aes"))) static void step_aes(prism_strand *s)
{
    const __m128i k = _mm_set_epi64x((long long)FZ_PI1, (long long)FZ_PI0);
    __m128i *q = (__m128i *)s->q;
    _mm_storeu_si128(q, _mm_aesenc_si128(_mm_loadu_si128(q), k));
    _mm_storeu_si128(q + 1, _mm_aesenc_si128(_mm_loadu_si128(q + 1), k));
}

__attribute__((target("aes"))) static prism_strand open_aes(prism_key key, uint32_t a,
                                                            uint32_t b, uint32_t c)
{
    const __m128i k = _mm_set_epi64x((long long)key.hi, (long long)key.lo);
    const __m128i c1 = _mm_set_epi64x((long long)FZ_PI3, (long long)FZ_PI2);
    const __m128i c2 = _mm_set_epi64x((long long)FZ_PI5, (long long)FZ_PI4);
    prism_strand s;
    for (uint64_t h = 0; h < 2; h++) {
        __m128i x = _mm_set_epi64x((long long)(key.hi ^ (c | h << 63)),
                                   (long long)(key.lo ^ (a | (uint64_t)b << 32)));
        x = _mm_aesenc_si128(_mm_aesenc_si128(x, k), c1);
        x = _mm_aesenc_si128(_mm_aesenc_si128(x, k), c2);
        x = _mm_aesenc_si128(x, k);
        _mm_storeu_si128((__m128i *)s.q + h, x);
    }
    return s;
}

static void step(prism_strand *s)
{
    if (have_aes())
        step_aes(s);
    else
        prism_strand_step(s);
}

static prism_strand open_strand(prism_key key, uint32_t a, uint32_t b, uint32_t c)
{
    return have_aes() ? open_aes(key, a, b, c) : prism_strand_open(key, a, b, c);
}

int words_selftest(void)
{
    for (uint32_t i = 0; i < 1000; i++) {
        prism_key key = prism_key_seed(i * UINT64_C(0x9e3779b97f4a7c15));
        prism_strand p = prism_strand_open(key, i, i * 7, i << 20), q;
        q = open_strand(key, i, i * 7, i << 20);
        for (int j = 0; j < 20; j++) {
            if (memcmp(&p, &q, sizeof p))
                return -1;
            prism_strand_step(&p);
            step(&q);
        }
    }
    return 0;
}

/* The words that a strand holds, in the order of the lanes; how many. */
static int words_of(const prism_strand *s, size_t size, int r, uint64_t *w)
{
    for (int i = 0; i < 4; i++)
        w[i] = s->q[i] >> (64 - r);
    if (size == sizeof(f64))
        return 4;
    for (int i = 0; i < 4; i++)
        w[4 + i] = s->q[i] & ((UINT64_C(1) << r) - 1);
    return 8;
}

static int lanes_in(const words_source *s)
{
    return s->order == WORDS_LANES ? 4 : s->order == WORDS_THREADS ? 8 : 1;
}

void words_open(words_source *s, enum words_order order, size_t size, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->order = order;
    s->size = size;
    s->r = prism_word_bits(PRISM_SR, size, size == sizeof(f32) ? 24 : 53);
    s->seed = seed;
    s->key = prism_key_derive(prism_key_seed(seed), 1);
    const uint32_t role = size == sizeof(f64) ? FZ_STRAND_WIDE : 0;
    for (int i = 0; i < lanes_in(s); i++) {
        prism_key k = order == WORDS_THREADS ? prism_key_derive(s->key, (uint64_t)i)
                                             : s->key;
        s->strands[i] = open_strand(k, 0, 0,
                                    (order == WORDS_THREADS ? 0 : (uint32_t)i) | role);
    }
}

static void refill(words_source *s)
{
    uint64_t w[8];
    s->at = s->queued = 0;
    switch (s->order) {
    case WORDS_SEEDS:
    case WORDS_CALLS: {
        prism_key k = s->order == WORDS_SEEDS
                          ? prism_key_derive(prism_key_seed(s->seed + s->next), 1)
                          : prism_key_derive(s->key, s->next);
        prism_strand t = open_strand(k, 0, 0,
                                     s->size == sizeof(f64) ? FZ_STRAND_WIDE : 0);
        s->next++;
        s->queued = words_of(&t, s->size, s->r, s->queue);
        break;
    }
    default:
        for (int i = 0; i < lanes_in(s); i++) {
            int n = words_of(&s->strands[i], s->size, s->r, w);
            if (s->order != WORDS_LANES)
                n = 1; /* the lane that is followed */
            memcpy(s->queue + s->queued, w, (size_t)n * sizeof *w);
            s->queued += n;
            step(&s->strands[i]);
        }
    }
}

uint64_t words_next(words_source *s)
{
    if (s->at == s->queued)
        refill(s);
    return s->queue[s->at++];
}

void words_read(words_bytes *b, uint8_t *out, size_t n)
{
    int r = b->source->r;
    for (size_t i = 0; i < n; i++) {
        if (b->have < 8) { /* at most 7 + 52 bits */
            b->bits |= words_next(b->source) << b->have;
            b->have += r;
        }
        out[i] = (uint8_t)b->bits;
        b->bits >>= 8;
        b->have -= 8;
    }
}
