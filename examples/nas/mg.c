/* MG: four V-cycles of multigrid on a periodic cube; as NPB's MG, with a seven-point
 * operator.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common.h"

/* A cube of n^3 points within a shell of copies. */
#define AT(u, n, i, j, k) (u)[((size_t)(i) * ((n) + 2) + (j)) * ((n) + 2) + (k)]

static size_t points(int n)
{
    return (size_t)(n + 2) * (n + 2) * (n + 2);
}

static void wrap(real *u, int n)
{
    for (int i = 0; i <= n + 1; i++)
        for (int j = 0; j <= n + 1; j++) {
            AT(u, n, i, j, 0) = AT(u, n, i, j, n);
            AT(u, n, i, j, n + 1) = AT(u, n, i, j, 1);
        }
    for (int i = 0; i <= n + 1; i++)
        for (int k = 0; k <= n + 1; k++) {
            AT(u, n, i, 0, k) = AT(u, n, i, n, k);
            AT(u, n, i, n + 1, k) = AT(u, n, i, 1, k);
        }
    for (int j = 0; j <= n + 1; j++)
        for (int k = 0; k <= n + 1; k++) {
            AT(u, n, 0, j, k) = AT(u, n, n, j, k);
            AT(u, n, n + 1, j, k) = AT(u, n, 1, j, k);
        }
}

static real around(const real *u, int n, int i, int j, int k)
{
    return AT(u, n, i - 1, j, k) + AT(u, n, i + 1, j, k) + AT(u, n, i, j - 1, k) +
           AT(u, n, i, j + 1, k) + AT(u, n, i, j, k - 1) + AT(u, n, i, j, k + 1);
}

/* r = v - A u, the operator in units of the grid's spacing: h2 is its square. */
static void residual(real *restrict r, const real *restrict u, const real *restrict v, int n,
                     real h2)
{
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= n; j++)
            for (int k = 1; k <= n; k++)
                AT(r, n, i, j, k) = AT(v, n, i, j, k) - (around(u, n, i, j, k) -
                                                        6 * AT(u, n, i, j, k)) / h2;
    wrap(r, n);
}

/* Jacobi's method, damped. */
static void smooth(real *restrict u, const real *restrict r, int n, real h2)
{
    const real w = -h2 / 8;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= n; j++)
            for (int k = 1; k <= n; k++)
                AT(u, n, i, j, k) += w * AT(r, n, i, j, k);
    wrap(u, n);
}

static void restrict_to(real *restrict coarse, const real *restrict fine, int n)
{
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= n; j++)
            for (int k = 1; k <= n; k++) {
                real s = 0;
                for (int d = 0; d < 8; d++)
                    s += AT(fine, 2 * n, 2 * i - (d & 1), 2 * j - (d >> 1 & 1), 2 * k - (d >> 2));
                AT(coarse, n, i, j, k) = s * (real)0.125;
            }
    wrap(coarse, n);
}

static void add_from(real *restrict fine, const real *restrict coarse, int n)
{
    for (int i = 1; i <= 2 * n; i++)
        for (int j = 1; j <= 2 * n; j++)
            for (int k = 1; k <= 2 * n; k++)
                AT(fine, 2 * n, i, j, k) +=
                    AT(coarse, n, (i + 1) / 2, (j + 1) / 2, (k + 1) / 2);
    wrap(fine, 2 * n);
}

static void cycle(real *u, const real *v, int n, real h2)
{
    real *r = room(points(n), sizeof *r);
    for (int k = 0; k < 2; k++) {
        residual(r, u, v, n, h2);
        smooth(u, r, n, h2);
    }
    if (n > 2) {
        real *coarse = room(points(n / 2), sizeof *coarse);
        real *right = room(points(n / 2), sizeof *right);
        residual(r, u, v, n, h2);
        restrict_to(right, r, n / 2);
        cycle(coarse, right, n / 2, 4 * h2);
        add_from(u, coarse, n / 2);
        free(coarse);
        free(right);
    }
    for (int k = 0; k < 2; k++) {
        residual(r, u, v, n, h2);
        smooth(u, r, n, h2);
    }
    free(r);
}

int main(int argc, char **argv)
{
    static const int sizes[] = {8, 32, 64};
    static const double native[] = {0.064952590046628136, 0.01425080610831438, 0.0069244673190759463};
    int n = size_of(argc, argv, sizes);
    double t = seconds(), known = 0;
    if (n & (n - 1) || n > 256) {
        fprintf(stderr, "%s: size %d is no power of two up to 256\n", argv[0], n);
        return 2;
    }
    real *u = room(points(n), sizeof *u), *v = room(points(n), sizeof *v);
    real h2 = 1 / ((real)n * (real)n);
    for (int k = 0; k < 20; k++) { /* ten charges of each sign, as NPB has them */
        int at[3];
        for (int d = 0; d < 3; d++)
            at[d] = 1 + (int)(random_real() * (real)n);
        AT(v, n, at[0], at[1], at[2]) += k % 2 ? -1 : 1;
    }
    wrap(v, n);
    for (int k = 0; k < 4; k++)
        cycle(u, v, n, h2);
    real s = 0; /* the norm of the solution */
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= n; j++)
            for (int k = 1; k <= n; k++)
                s += AT(u, n, i, j, k) * AT(u, n, i, j, k);
    s = (real)sqrt(s / (real)n) * (real)n;
    for (int i = 0; i < 3; i++)
        known = n == sizes[i] ? native[i] : known;
    return report("mg", n, (double)s, known, sizeof(real) == 4 ? 1e-4 : 1e-12, t);
}
