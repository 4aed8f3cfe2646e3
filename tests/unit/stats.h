/* Exact tails for statistical assertions, and their budget.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every statistical assertion rejects a true law with probability at most STAT_ALARM.
 * Seeds are fixed and nothing is retried, so a failure is a change of the code or of the
 * law.
 */
#ifndef TEST_STATS_H
#define TEST_STATS_H

#define STAT_ALARM 1e-9

/* Two-sided p-values: of k successes in n trials of probability p; of x under N(0, 1); of
 * x under chi squared with that many degrees of freedom. */
double stat_binomial(double n, double k, double p);
double stat_normal(double x);
double stat_chi2(double x, double dof);

/* p-value of counts[0..cells-1] under equal probabilities. */
double stat_uniform_cells(const unsigned *counts, int cells);

/* The smallest of several; NaN counts as 0. */
double stat_min(double p, double q);

#endif
