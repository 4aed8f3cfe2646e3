/* LU: a dense system with random entries, factored with partial pivoting and solved.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common.h"

static int factor(real *a, int *pivot, int n)
{
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int i = k + 1; i < n; i++)
            if (fabs((double)a[(size_t)i * n + k]) > fabs((double)a[(size_t)best * n + k]))
                best = i;
        pivot[k] = best;
        real *top = a + (size_t)k * n;
        if (best != k)
            for (int j = 0; j < n; j++) {
                real t = top[j];
                top[j] = a[(size_t)best * n + j];
                a[(size_t)best * n + j] = t;
            }
        if (top[k] == 0)
            return 1;
        for (int i = k + 1; i < n; i++) {
            real *restrict row = a + (size_t)i * n, l = row[k] / top[k];
            row[k] = l;
            for (int j = k + 1; j < n; j++)
                row[j] -= l * top[j];
        }
    }
    return 0;
}

static void solve(const real *a, const int *pivot, real *b, int n)
{
    for (int k = 0; k < n; k++) {
        real t = b[pivot[k]];
        b[pivot[k]] = b[k];
        b[k] = t;
    }
    for (int k = 0; k < n; k++)
        for (int j = 0; j < k; j++)
            b[k] -= a[(size_t)k * n + j] * b[j];
    for (int k = n - 1; k >= 0; k--) {
        for (int j = k + 1; j < n; j++)
            b[k] -= a[(size_t)k * n + j] * b[j];
        b[k] /= a[(size_t)k * n + k];
    }
}

int main(int argc, char **argv)
{
    static const int sizes[] = {32, 160, 640};
    static const double native[] = {0.39260730591860221, 0.17500767899874112, 0.091665636264604194};
    int n = size_of(argc, argv, sizes);
    double t = seconds(), known = 0;
    if (n > 20000) {
        fprintf(stderr, "%s: size %d: at most 20000\n", argv[0], n);
        return 2;
    }
    real *a = room((size_t)n * n, sizeof *a), *b = room((size_t)n, sizeof *b);
    int *pivot = room((size_t)n, sizeof *pivot);
    for (size_t i = 0; i < (size_t)n * n; i++)
        a[i] = random_real() - (real)0.5;
    for (int i = 0; i < n; i++) { /* the pivot is never a near tie: SR keeps the path */
        a[(size_t)i * n + (i + 1) % n] += (real)n / 4;
        b[i] = random_real();
    }
    if (factor(a, pivot, n)) {
        fprintf(stderr, "lu: singular\n");
        return 1;
    }
    solve(a, pivot, b, n);
    real s = 0;
    for (int i = 0; i < n; i++)
        s += b[i] * b[i];
    for (int i = 0; i < 3; i++)
        known = n == sizes[i] ? native[i] : known;
    return report("lu", n, sqrt((double)s), known, sizeof(real) == 4 ? 1e-4 : 1e-12, t);
}
