/* Plain loops over vectors that lie in the cache, timed: dot, axpy, stencil.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef REAL
#define REAL double
#endif
typedef REAL real;

enum { N = 4096 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

__attribute__((noinline)) static real dot(const real *restrict x, const real *restrict y)
{
    real s = 0;
    for (int i = 0; i < N; i++)
        s += x[i] * y[i];
    return s;
}

__attribute__((noinline)) static void axpy(real a, const real *restrict x, real *restrict y)
{
    for (int i = 0; i < N; i++)
        y[i] += a * x[i];
}

__attribute__((noinline)) static void stencil(const real *restrict x, real *restrict y)
{
    for (int i = 1; i < N - 1; i++)
        y[i] = (real)0.25 * (x[i - 1] + x[i + 1]) + (real)0.5 * x[i];
}

int main(int argc, char **argv)
{
    static real x[N], y[N];
    const char *name = argc > 1 ? argv[1] : "dot";
    int times = argc > 2 ? atoi(argv[2]) : 1;
    real s = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (real)(i % 97 + 1) / 97;
        y[i] = (real)(i % 89 + 1) / 89;
    }
    double start = seconds();
    for (int k = 0; k < times; k++)
        if (!strcmp(name, "dot"))
            s += dot(x, y);
        else if (!strcmp(name, "axpy"))
            axpy((real)(k % 2 ? -0.37 : 0.37), x, y);
        else
            stencil(k % 2 ? y : x, k % 2 ? x : y);
    double end = seconds();
    printf("%s %.17g\n", name, (double)(s + x[N / 2] + y[N / 2]));
    fprintf(stderr, "%s seconds %.6f\n", name, end - start);
    return 0;
}
