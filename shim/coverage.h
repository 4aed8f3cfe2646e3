/* The headline of a report.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_COVERAGE_H
#define FZ_COVERAGE_H

#include "shim.h"

void fz_coverage_json(fz_text *t, void (*string)(fz_text *, const char *));
void fz_coverage_table(fz_text *t);

#endif
