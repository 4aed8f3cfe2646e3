/* Exact tails for statistical assertions, and their budget.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "stats.h"

#include <math.h>

static double binomial_term(double n, double k, double p)
{
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) +
               (n - k) * log1p(-p));
}

double stat_binomial(double n, double k, double p)
{
    if (p <= 0 || p >= 1)
        return k == (p <= 0 ? 0 : n);
    /* the tail on k's own side, term by term away from the mean */
    const double step = k > n * p ? 1 : -1;
    double sum = 0, term = binomial_term(n, k, p);
    for (double i = k; i >= 0 && i <= n && term > sum * 1e-17; i += step) {
        sum += term;
        term *= step > 0 ? (n - i) / (i + 1) * p / (1 - p)
                         : i / (n - i + 1) * (1 - p) / p;
    }
    return fmin(1, 2 * sum);
}

double stat_normal(double x)
{
    return erfc(fabs(x) / sqrt(2));
}

/* Upper and lower incomplete gamma, regularized: series below the mean, continued
 * fraction (Lentz) above it. */
static double gamma_lower(double a, double x)
{
    double term = 1 / a, sum = term;
    for (double n = a + 1; term > sum * 1e-16; n++) {
        term *= x / n;
        sum += term;
    }
    return sum * exp(a * log(x) - x - lgamma(a));
}

static double gamma_upper(double a, double x)
{
    double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
    for (int i = 1; i < 100000; i++) {
        double an = -i * (i - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h * exp(a * log(x) - x - lgamma(a));
}

double stat_chi2(double x, double dof)
{
    double a = dof / 2;
    x /= 2;
    if (!(x > 0))
        return 0;
    double tail = x < a ? gamma_lower(a, x) : gamma_upper(a, x);
    return fmin(1, 2 * tail);
}

double stat_uniform_cells(const unsigned *counts, int cells)
{
    double n = 0, x = 0;
    for (int i = 0; i < cells; i++)
        n += counts[i];
    for (int i = 0; i < cells; i++)
        x += (counts[i] - n / cells) * (counts[i] - n / cells) / (n / cells);
    return stat_chi2(x, cells - 1);
}

double stat_min(double p, double q)
{
    if (p != p || q != q)
        return 0;
    return p < q ? p : q;
}
