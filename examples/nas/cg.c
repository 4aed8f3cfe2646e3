/* CG: the smallest eigenvalue of a sparse matrix by inverse iteration with conjugate
 * gradients; as NPB's CG, on a five-point operator with random coefficients.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common.h"

static int rows, *start, *column;
static real *entry;

static void fill(int n)
{
    rows = n * n;
    start = room((size_t)rows + 1, sizeof *start);
    column = room(5 * (size_t)rows, sizeof *column);
    entry = room(5 * (size_t)rows, sizeof *entry);
    real *east = room((size_t)rows, sizeof *east), *south = room((size_t)rows, sizeof *south);
    for (int i = 0; i < rows; i++) {
        east[i] = 1 + random_real();
        south[i] = 1 + random_real();
    }
    int k = 0;
    for (int i = 0; i < rows; i++) {
        int x = i % n, y = i / n;
        real sum = (real)0.125 + random_real() * (real)0.25;
        start[i] = k;
        int at[4] = {i - n, i - 1, i + 1, i + n};
        int there[4] = {y > 0, x > 0, x < n - 1, y < n - 1};
        real c[4] = {y ? south[i - n] : 0, x ? east[i - 1] : 0, east[i], south[i]};
        for (int d = 0; d < 4; d++)
            if (there[d]) {
                column[k] = at[d];
                entry[k++] = -c[d];
                sum += c[d];
            }
        column[k] = i;
        entry[k++] = sum;
    }
    start[rows] = k;
    free(east);
    free(south);
}

static void multiply(real *restrict y, const real *restrict x)
{
    for (int i = 0; i < rows; i++) {
        real s = 0;
        for (int k = start[i]; k < start[i + 1]; k++)
            s += entry[k] * x[column[k]];
        y[i] = s;
    }
}

static real dot(const real *restrict x, const real *restrict y)
{
    real s = 0;
    for (int i = 0; i < rows; i++)
        s += x[i] * y[i];
    return s;
}

/* z with A z = x, to 25 steps. */
static void solve(real *z, const real *x, real *r, real *p, real *q)
{
    memset(z, 0, (size_t)rows * sizeof *z);
    memcpy(r, x, (size_t)rows * sizeof *r);
    memcpy(p, x, (size_t)rows * sizeof *p);
    real rho = dot(r, r);
    for (int step = 0; step < 25; step++) {
        multiply(q, p);
        real alpha = rho / dot(p, q), before = rho;
        for (int i = 0; i < rows; i++) {
            z[i] += alpha * p[i];
            r[i] -= alpha * q[i];
        }
        rho = dot(r, r);
        real beta = rho / before;
        for (int i = 0; i < rows; i++)
            p[i] = r[i] + beta * p[i];
    }
}

int main(int argc, char **argv)
{
    static const int sizes[] = {16, 64, 256};
    static const double native[] = {0.25334138831882225, 0.2481017325618991, 0.2477042641143076};
    int n = size_of(argc, argv, sizes);
    double t = seconds(), known = 0;
    fill(n);
    real *v[5];
    for (int i = 0; i < 5; i++)
        v[i] = room((size_t)rows, sizeof *v[i]);
    for (int i = 0; i < rows; i++)
        v[0][i] = (real)0.5 + random_real();
    real zeta = 0;
    for (int k = 0; k < 4; k++) {
        solve(v[1], v[0], v[2], v[3], v[4]);
        zeta = dot(v[0], v[0]) / dot(v[0], v[1]);
        real norm = 1 / (real)sqrt(dot(v[1], v[1]));
        for (int i = 0; i < rows; i++)
            v[0][i] = norm * v[1][i];
    }
    for (int i = 0; i < 3; i++)
        known = n == sizes[i] ? native[i] : known;
    return report("cg", n, (double)zeta, known, sizeof(real) == 4 ? 1e-3 : 1e-10, t);
}
