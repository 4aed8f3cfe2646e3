/* What a program can ask of the preloaded library, and change, while it runs.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Look the functions up with dlsym(RTLD_DEFAULT, ...): they are there only where the library
 * is preloaded. What is set holds for the whole process, each thread from its next call on.
 * Functions that return int give 0, or a negative errno:
 *
 *   -EINVAL  no such mode, or significand bits out of range
 *   -EBUSY   called inside a kernel or a parallel region
 *   -EIO     moved code of a library cannot follow, as a line on stderr says (no room for its
 *            plan): nothing has changed
 *   -EPERM   the process was started with FUZZY_MODE=off, where the library does nothing
 *
 * Mode "off" set here lets calls through to the originals; unlike FUZZY_MODE=off it can be
 * left again, and calls take their places in the streams of random numbers meanwhile.
 */
#ifndef FUZZYTORCH_H
#define FUZZYTORCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fuzzy_state {
    char mode[16];
    uint64_t seed;
    int f32_bits, f64_bits;
    uint32_t restarts;   /* how often the seed was set */
    uint32_t generation; /* as fuzzy_resume set it; 0 after fuzzy_set_seed */
    int torch;           /* 1: libtorch is mapped */
} fuzzy_state;

/* Calls and floating-point operations since the start, forked children's included. */
typedef struct fuzzy_counts {
    uint64_t perturbed_calls, passed_calls, perturbed_flops, passed_flops;
} fuzzy_counts;

/* 1: the library works in this process; 0: it was started with FUZZY_MODE=off. */
int fuzzy_available(void);
const char *fuzzy_version(void);

int fuzzy_get(fuzzy_state *state);
/* All at once. mode NULL, bits 0: stays; seed NULL: streams go on, else all start anew. */
int fuzzy_set(const char *mode, const uint64_t *seed, int f32_bits, int f64_bits);
int fuzzy_set_mode(const char *mode);
/* The same seed gives the same noise again, whatever was computed before. */
int fuzzy_set_seed(uint64_t seed);
/* Back to a seed that was in force before: its streams start anew, with other numbers than
 * under any other generation. A scope that ends gives the generation it found, plus 1. */
int fuzzy_resume(uint64_t seed, uint32_t generation);
int fuzzy_set_precision(int f32_bits, int f64_bits);

/* On: what this thread computes from now on stays exact, and what threads that it sets to
 * work compute for it. Returns what was set before. */
int fuzzy_exact(int on);

void fuzzy_counters(fuzzy_counts *sum);
/* Symbol number i from 0: its name and counts; NULL after the last one. */
const char *fuzzy_symbol(unsigned i, fuzzy_counts *counts);

#ifdef __cplusplus
}
#endif

#endif
