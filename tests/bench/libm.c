/* Time of one call of libm's functions, as this process reaches them: nanoseconds.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Compiled with -fno-builtin. The least of several runs of a loop that keeps its sum.
 */
#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

enum { CALLS = 5000, RUNS = 9 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static volatile double sink;

#define TIME(type, name, call) \
    { \
        volatile type x = 0.7f, y = 0.3f; \
        double best = 1e30; \
        for (int r = 0; r < RUNS; r++) { \
            type sum = 0; \
            const double start = now(); \
            for (int i = 0; i < CALLS; i++) \
                sum += call; \
            const double taken = (now() - start) / CALLS; \
            best = taken < best ? taken : best; \
            sink = creal(sum + y); \
        } \
        printf("%s %.1f\n", name, best); \
    }

int main(void)
{
    TIME(float, "expf", expf(x))
    TIME(double, "exp", exp(x))
    TIME(float, "logf", logf(x))
    TIME(double, "log", log(x))
    TIME(float, "powf", powf(x, y))
    TIME(double, "pow", pow(x, y))
    TIME(float, "tanhf", tanhf(x))
    TIME(double, "tanh", tanh(x))
    TIME(float, "atanf", atanf(x))
    TIME(double, "atan", atan(x))
    TIME(double, "lgamma", lgamma(x))
    TIME(double, "fma", fma(x, y, x))
    TIME(float complex, "cexpf", cexpf(x))
    TIME(double complex, "cexp", cexp(x))
    return 0;
}
