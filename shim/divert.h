/* Functions of libtorch_cpu.so that the dynamic linker does not bind: a jump at their
 * entry (divert.c).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_DIVERT_H
#define FZ_DIVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Divert what must be, once, as soon as the library is seen mapped. */
void fz_divert_begin(const char *torch_path);

/* The original of `name` for a call from the library that holds `inside` (NULL: torch's
 * own), which would otherwise be `found`: the relocated entry of a diverted function, else
 * `found` as it is. */
void *fz_divert_original(const void *inside, const char *name, void *found);

/* The i-th function that torch binds inside itself and that could not be diverted, and why;
 * NULL: there are no more. */
const char *fz_divert_refused(unsigned i, const char **why);

/* Do torch's calls of a function of the list reach us, by its entry or by the linker? */
bool fz_divert_reached(const char *name);

/* Does executable memory at this address hold what was diverted? */
bool fz_divert_holds(uintptr_t at);

/* A function of oneDNN that .symtab of the diverted library names; NULL: it names none. */
void *fz_divert_found(const char *name);

/* Threads of this process, and the number of them when this thread began to open a
 * library that may be torch; 0: it does not. */
int fz_divert_threads(void);
extern __thread int fz_divert_opening __attribute__((tls_model("initial-exec")));

/* ---- Entries (entry.c) --------------------------------------------------------------- */

enum { FZ_ENTRY_JUMP = 5, FZ_ENTRY_SLOT = 64 };

/* Length of the instruction at p[0..n), 0 if it is not one of the few that are known and
 * may be moved. *relative: where its 32-bit offset from the next instruction is, 0 if it
 * has none; *last: nothing follows it. */
size_t fz_entry_length(const uint8_t *p, size_t n, size_t *relative, bool *last);

/* Fill a slot of the page of jumps, which will be at address `slot`: first a jump to
 * `target`, 16 bytes on what was at `entry`, followed by a jump behind it. `jump` gets the
 * bytes to write at the entry. NULL, or why it cannot be done. */
const char *fz_entry_make(uint8_t out[FZ_ENTRY_SLOT], uintptr_t slot, uintptr_t target,
                          const uint8_t *entry, size_t size,
                          uint8_t jump[FZ_ENTRY_JUMP]);

#endif
