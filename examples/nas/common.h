/* What the programs share: numbers that are everywhere the same, time, verification.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NAS_COMMON_H
#define NAS_COMMON_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef REAL
#define REAL double
#endif
typedef REAL real;

static uint32_t random_state = 12345;

/* A multiple of 2^-16 in [0, 1): exact in f32 and f64. */
static inline real random_real(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (real)(int)(random_state >> 16) * (real)0x1p-16;
}

static inline double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        fprintf(stderr, "no memory for %zu numbers\n", n);
        exit(1);
    }
    return p;
}

/* The size: a class by its letter, or a number; `sizes` are those of S, W, A. */
static inline int size_of(int argc, char **argv, const int sizes[3])
{
    const char *classes = "SWA", *at = argc > 1 ? strchr(classes, argv[1][0]) : classes;
    int n = at && (argc < 2 || argv[1][0]) ? sizes[at - classes] : atoi(argv[1]);
    if (n < 4 || n > 1 << 24) {
        fprintf(stderr, "%s: size %s: give S, W, A or a number\n", argv[0], argv[1]);
        exit(2);
    }
    return n;
}

/* The value, and whether it is that of a native f64 run of this size, to `tolerance`. */
static inline int report(const char *name, int n, double value, double native,
                         double tolerance, double start)
{
    int known = native != 0, good = known && fabs(value - native) <= tolerance * fabs(native);
    printf("%s %d value %.17g %s\n", name, n, value,
           !known ? "unknown" : good ? "verified" : "FAILED");
    fprintf(stderr, "%s %d seconds %.6f\n", name, n, seconds() - start);
    return known && !good;
}

#endif
