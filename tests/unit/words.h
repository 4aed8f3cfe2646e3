/* Random words in the orders in which the library uses them, for tests of randomness.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_WORDS_H
#define TEST_WORDS_H

#include "../../prism/prism.h"

/* How words are strung together. Each is a way in which words meet in one result or one
 * study: */
enum words_order {
    WORDS_LANE,    /* one lane, step after step: the roundings of one element of C */
    WORDS_LANES,   /* all lanes of neighbouring strands at one step, then the next */
    WORDS_SEEDS,   /* the first words of seed 0, 1, 2, ...: the samples of a study */
    WORDS_CALLS,   /* the first words of call ordinal 0, 1, 2, ... of one symbol */
    WORDS_THREADS, /* lineages 0 .. 7 of one seed in turn, step after step */
    WORDS_ORDERS
};

extern const char *const words_order_name[WORDS_ORDERS];

typedef struct words_source {
    enum words_order order;
    size_t size;   /* sizeof(f32) or sizeof(f64) */
    int r;         /* bits a word, sr at full precision */
    prism_key key; /* of the seed, then of a symbol */
    uint64_t seed, next;
    prism_strand strands[8];
    uint64_t queue[64];
    int queued, at;
} words_source;

void words_open(words_source *s, enum words_order order, size_t size, uint64_t seed);
uint64_t words_next(words_source *s);

/* n bytes of the source's words, packed with no bit lost or added. */
typedef struct words_bytes {
    words_source *source;
    uint64_t bits;
    int have;
} words_bytes;

void words_read(words_bytes *b, uint8_t *out, size_t n);

/* 0 if the AES instructions reproduce prism's portable strands (or there are none). */
int words_selftest(void);

#endif
