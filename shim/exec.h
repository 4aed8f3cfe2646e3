/* Names of exec'd children, for exec.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_EXEC_H
#define FZ_EXEC_H

/* The text `FUZZY_LINEAGE=...` of the next child; async-signal-safe. */
void fz_lineage_next_exec(char out[80]);
/* Put the next child's lineage into environ, and the neutral one back. */
void fz_lineage_announce(void);
void fz_lineage_unannounce(void);

#endif
