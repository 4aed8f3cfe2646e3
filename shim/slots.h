/* Calls of libraries in scope, led to us by their own tables instead of by a global name.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_SLOTS_H
#define FZ_SLOTS_H

#include "shim.h"

/* A function that is replaced by name, where the library does not define it itself. */
typedef struct fz_slot_entry {
    const char *name;
    enum fz_symbol symbol;
    void (*entry)(void);
} fz_slot_entry;

/* The tables, each of which ends with a NULL name. */
extern const fz_slot_entry fz_libm_entries[];    /* libm.c */
extern const fz_slot_entry fz_complex_entries[]; /* libm_complex.c */

/* The substitute for a function of torch whose mangled name is given and which is at
 * `real`, or NULL: it is none of those that plain.def names, or there is no room. */
void *fz_plain_entry(const char *name, void *real); /* plain.c */
bool fz_plain_named(const char *name);

/* Does the library that is mapped at `base` call any of them by its table? */
bool fz_slots_marks(uintptr_t base);

/* Rewrite the tables of libraries in scope that were mapped since the last time. */
void fz_slots_refresh(void);
/* The library whose slot was used by a call of s that returns to `from`: that one if it is
 * in scope; else the call was the last thing of a function (jmp), and the first library
 * that has a slot for s is meant. */
fz_lib *fz_slots_caller(enum fz_symbol s, const void *from);

#endif
