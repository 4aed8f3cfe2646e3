/* Unwind rows: where an instruction's caller is to be found, read from a library's .eh_frame,
 * and written for moved code.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_FRAMES_H
#define FZ_REWRITE_FRAMES_H

#include "image.h"

/* How a register of the caller, or the CFA, is found (DWARF's rules). */
enum fz_rule_kind {
    FZ_RULE_NONE, /* nothing is said: as it is */
    FZ_RULE_SAME,
    FZ_RULE_UNDEFINED,
    FZ_RULE_OFFSET, /* saved at CFA + value; of the CFA: register `size`, plus value */
    FZ_RULE_VAL_OFFSET,
    FZ_RULE_REGISTER,
    FZ_RULE_EXPRESSION, /* `size` bytes at offset `value` of the library's file */
    FZ_RULE_VAL_EXPRESSION
};

typedef struct fz_rule {
    int32_t value;
    uint16_t size;
    uint16_t kind;
} fz_rule;

enum { FZ_RSP = 7, FZ_RA = 16, FZ_CFA = 17, FZ_RULES };

typedef struct fz_row {
    uint64_t at; /* from here to the next row, or the end */
    fz_rule rule[FZ_RULES];
} fz_row;

/* A place in a library's tables: the rows of one FDE, and which was asked for last. */
typedef struct fz_frames {
    const fz_image *image;
    uint64_t lo, hi; /* addresses of the FDE */
    fz_row *rows;
    size_t n, cap, last;
} fz_frames;

/* The row of the instruction at an address; NULL where the library has none that is
 * understood. Valid until the next call. */
const fz_row *fz_frames_at(fz_frames *f, uint64_t at);

/* The row while the stack pointer is `bytes` lower than where it holds. */
fz_row fz_row_below(const fz_image *im, const fz_row *row, int bytes);

/* Bytes that grow. */
typedef struct fz_bytes {
    uint8_t *p;
    size_t n, cap;
    bool failed;
} fz_bytes;

void fz_bytes_add(fz_bytes *b, const void *p, size_t n);

/* The row at a function's entry, with which our FDEs begin. */
extern const fz_row fz_row_entry;
/* Of what the library itself has no row for: an unwinder ends there. */
extern const fz_row fz_row_none;
/* Writes what leads from a row to another, `distance` bytes further on. */
void fz_row_change(fz_bytes *out, const fz_image *im, const fz_row *from, const fz_row *to,
                   uint64_t distance);

#endif
