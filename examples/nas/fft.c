/* FT: a complex field to frequencies, through time there, and back; as NPB's FT in one
 * dimension. The transform is radix 2, its factors from a recurrence-free table.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common.h"

static int n;
static real *factor; /* cosine and sine of 2 pi k / n */

static void reorder(real *x)
{
    for (int i = 1, j = 0; i < n; i++) {
        int bit = n >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j |= bit;
        if (i < j)
            for (int k = 0; k < 2; k++) {
                real t = x[2 * i + k];
                x[2 * i + k] = x[2 * j + k];
                x[2 * j + k] = t;
            }
    }
}

static void transform(real *x, real sign)
{
    reorder(x);
    for (int half = 1; half < n; half *= 2)
        for (int i = 0; i < n; i += 2 * half) {
            real *a = x + 2 * i, *b = a + 2 * half;
            for (int k = 0; k < half; k++) {
                real c = factor[2 * k * (n / 2 / half)];
                real s = sign * factor[2 * k * (n / 2 / half) + 1];
                real re = c * b[2 * k] - s * b[2 * k + 1];
                real im = c * b[2 * k + 1] + s * b[2 * k];
                b[2 * k] = a[2 * k] - re;
                b[2 * k + 1] = a[2 * k + 1] - im;
                a[2 * k] += re;
                a[2 * k + 1] += im;
            }
        }
}

int main(int argc, char **argv)
{
    static const int sizes[] = {1024, 16384, 262144};
    static const double native[] = {6109.5715842556619, 6119.4651561093287, 6119.4121951086972};
    n = size_of(argc, argv, sizes);
    if (n & (n - 1)) {
        fprintf(stderr, "%s: size %d is no power of two\n", argv[0], n);
        return 2;
    }
    double t = seconds(), known = 0;
    factor = room((size_t)n, sizeof *factor);
    real *x = room(2 * (size_t)n, sizeof *x), *y = room(2 * (size_t)n, sizeof *y);
    for (int k = 0; k < n / 2; k++) {
        factor[2 * k] = (real)cos(6.283185307179586 * k / n);
        factor[2 * k + 1] = (real)sin(6.283185307179586 * k / n);
    }
    for (int i = 0; i < 2 * n; i++)
        x[i] = random_real();
    transform(x, -1);
    real sum[2] = {0, 0};
    for (int step = 1; step <= 6; step++) {
        for (int k = 0; k < n; k++) {
            int f = k < n / 2 ? k : n - k; /* damped by time and the square of frequency */
            real d = (real)exp(-1e-6 * step * (double)f * f) / (real)n;
            y[2 * k] = d * x[2 * k];
            y[2 * k + 1] = d * x[2 * k + 1];
        }
        transform(y, 1);
        for (int k = 1; k <= 1024; k++)
            for (int c = 0; c < 2; c++)
                sum[c] += y[2 * (int)(3ll * k * step % n) + c];
    }
    for (int i = 0; i < 3; i++)
        known = n == sizes[i] ? native[i] : known;
    return report("fft", n, (double)(sum[0] + sum[1]), known,
                  sizeof(real) == 4 ? 1e-4 : 1e-12, t);
}
