/* What the unit suites share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include <check.h>

#include "inputs.h"

Suite *suite_oracle(void);
Suite *suite_scalar(void);
Suite *suite_arrays(void);
Suite *suite_laws(void);
Suite *suite_words(void);
Suite *suite_kernels(void);
Suite *suite_gemm_laws(void);
Suite *suite_blas(void);
Suite *suite_blas3(void);
Suite *suite_math(void);
Suite *suite_conv(void);
Suite *suite_rnn(void);
Suite *suite_dense(void);
Suite *suite_elements(void);

/* FZ_TEST_LONG is set: the thorough sizes. */
int test_long(void);

/* The next ISA of this CPU from `from` on, or PRISM_ISAS. */
int test_next_isa(int from);

/* The prism function that a case names, under its FTZ and DAZ, fed one word; the pattern.
 */
uint64_t prism_apply(const oracle_case *q, uint64_t w);

/* One line that says what was asked, for a failure. */
const char *case_text(const oracle_case *q);

#endif
