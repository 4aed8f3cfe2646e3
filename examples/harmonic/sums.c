/* Sums whose exact results are known: the harmonic series, cancellation, Kahan, pairwise.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     sums NAME [N]    harmonic, plain, kahan, pairwise, dot
 *
 * All in f32, plain C: nothing here knows of libfuzzytorch. The second number is the exact
 * result, computed in integers or from a closed form.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1 + 1/2 + ... + 1/n, added in this order: Euler's formula gives it to 1e-16. */
static float harmonic(long n)
{
    float s = 0;
    for (long i = 1; i <= n; i++)
        s += 1.0f / (float)i;
    return s;
}

/* Multiples of 2^-24 in (-1, 1), whose sum is computed in integers. */
static float *terms(long n, long long *sum)
{
    float *x = malloc((size_t)n * sizeof *x);
    unsigned state = 1;
    if (!x)
        exit(1);
    *sum = 0;
    for (long i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        int k = (int)(state >> 8) - (1 << 23);
        x[i] = (float)k * 0x1p-23f;
        *sum += k;
    }
    return x;
}

static float plain(const float *x, long n)
{
    float s = 0;
    for (long i = 0; i < n; i++)
        s += x[i];
    return s;
}

static float kahan(const float *x, long n)
{
    float s = 0, c = 0;
    for (long i = 0; i < n; i++) {
        float y = x[i] - c, t = s + y;
        c = (t - s) - y;
        s = t;
    }
    return s;
}

static float pairwise(const float *x, long n)
{
    if (n == 1)
        return x[0];
    return pairwise(x, n / 2) + pairwise(x + n / 2, n - n / 2);
}

/* A dot product whose terms cancel in part: x with itself in reverse. Its exact value is that
 * of integers. */
static float dot(const float *x, long n)
{
    float s = 0;
    for (long i = 0; i < n; i++)
        s += x[i] * x[n - 1 - i];
    return s;
}

static double dot_exact(const float *x, long n)
{
    __int128 s = 0;
    for (long i = 0; i < n; i++)
        s += (__int128)(long)(x[i] * 0x1p23f) * (long)(x[n - 1 - i] * 0x1p23f);
    return (double)s * 0x1p-46;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "harmonic";
    const char *number = argc > 2 ? argv[2] : NULL;
    long n = number ? atol(number) : !strcmp(name, "harmonic") ? 10000000 : 100000;
    long long sum;
    if (n < 1 || n > 1 << 24) {
        fprintf(stderr, "sums: %s terms: give 1 to 16777216\n", number);
        return 2;
    }
    if (!strcmp(name, "harmonic")) {
        printf("harmonic %.9g\n", harmonic(n));
        return 0;
    }
    float *x = terms(n, &sum);
    double exact = (double)sum * 0x1p-23;
    if (!strcmp(name, "plain")) {
        printf("plain %.9g exact %.17g\n", plain(x, n), exact);
    } else if (!strcmp(name, "kahan")) {
        printf("kahan %.9g exact %.17g\n", kahan(x, n), exact);
    } else if (!strcmp(name, "pairwise")) {
        printf("pairwise %.9g exact %.17g\n", pairwise(x, n), exact);
    } else if (!strcmp(name, "dot")) {
        printf("dot %.9g exact %.17g\n", dot(x, n), dot_exact(x, n));
    } else {
        fprintf(stderr, "sums: %s is none of harmonic, plain, kahan, pairwise, dot\n", name);
        return 2;
    }
    free(x);
    return 0;
}
