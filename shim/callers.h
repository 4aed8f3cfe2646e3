/* Who asked for a call: its chain of frames, rules about them, the report's table.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_CALLERS_H
#define FZ_CALLERS_H

#include "shim.h"

/* Frames that are looked at, from the intercepted call outward. */
enum { FZ_FRAMES = 128 };

/* A chain of return addresses. Made once for each way to a call of a symbol, and never
 * freed. */
typedef struct fz_site {
    uint64_t hash;
    const struct fz_site *opener; /* of the parallel region that the chain ends in */
    const fz_lib *lib; /* that calls: not the first frame's if that is a tail jump */
    struct fz_row *row;
    uint16_t n, symbol; /* symbol FZ_SYMBOLS: a parallel region is opened here */
    uint8_t lapack;     /* inside reference LAPACK */
    uint8_t verdict;
    const void *const *frame;
} fz_site;

/* A chain in its caller's memory. */
typedef struct fz_chain {
    fz_site site;
    const void *at[FZ_FRAMES];
} fz_chain;

/* Asked for, and libunwind is there? Set before the policy is published,
 * cleared where libunwind is missing. */
extern bool fz_callers_on;
/* Once, as soon as torch is mapped, before any fork can come. */
void fz_callers_begin(void);

/* The verdict (as fz_judge gives it) on a call that returns to `from`, and its row of the
 * table. */
unsigned fz_callers_judge(fz_call *call, const void *from);
void fz_callers_count(const fz_call *call, uint64_t flops);
/* Who opens a parallel region; in *own if it cannot be kept. */
const fz_site *fz_callers_opener(const void *from, fz_chain *own);

/* For the report: NULL, or why there is no table. */
const char *fz_callers_missing(void);
typedef struct fz_row_text {
    const char *symbol, *operator, *outer, *function, *library;
    uint64_t calls[2], flops[2]; /* perturbed, passed through */
} fz_row_text;
/* How many rows there are, most work first; what found no place is one of them. */
unsigned fz_callers_rows(void);
void fz_callers_row(unsigned i, fz_row_text *to);

/* Locks are held across fork; a child with a file of its own counts from 0. */
void fz_callers_before_fork(void);
void fz_callers_after_fork(void);
void fz_callers_forked(void);

/* ---- Names of functions (names.c) -------------------------------------------------- */

typedef struct fz_function {
    const char *name;      /* as in the symbol table; NULL: not known */
    const char *demangled; /* NULL: not C++, or no demangler */
    const char *plain;     /* the same without parameters and template arguments */
    const fz_lib *lib;
    bool excluded, included; /* a rule matches */
} fz_function;

/* The function that a return address lies in. Cached; one thread at a time. */
const fz_function *fz_function_of(const void *address);

#endif
