/* A library's plan: which blocks are moved, their new code, and what becomes of the old.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The moved code of a library lives in an area at a fixed distance from it, laid out as
 *
 *     0                constants (one page, written when it is mapped)
 *     FZ_AREA_STUBS    the stubs of emit.h
 *     FZ_AREA_TABLE    one jump a moved block: where its old place leads
 *     request.code     code of one variant
 *
 * A patched block jumps to its slot of the table, and the slot to the variant's code; so a
 * variant is exchanged by mapping another head and another code over these addresses.
 */
#ifndef FZ_REWRITE_PLAN_H
#define FZ_REWRITE_PLAN_H

#include "emit.h"
#include "image.h"
#include "planfile.h"

/* Bytes to write over the library's code. */
typedef struct fz_patch {
    uint64_t at;
    uint8_t n, bytes[5];
} fz_patch;

typedef struct fz_plan_request {
    fz_image *image; /* its `low` is found out */
    enum fz_variant variant;
    bool vaes, avx512;
    int32_t tls;
    int64_t distance; /* of the area from the library's load address */
    uint64_t code;    /* offset of the variant's code in the area */
    uint64_t counters; /* offset of a counter for each moved block; 0: do not count */
    bool numbers;     /* of Python enter here: scalar conversions outside loops stay exact */
    bool trap_dead;   /* for tests: fill bytes that must never run with int3 */
    int threads;
    bool (*exact)(const fz_function *f, void *arg); /* moved, but as it is */
    void *arg;
    void (*progress)(size_t done, size_t total);
} fz_plan_request;

typedef struct fz_plan_counts {
    uint64_t functions, blocks, sites, perturbed, exact;
    uint64_t refused_functions;
    uint64_t counted; /* sites that are left, in blocks that are moved */
    struct {
        const char *why;
        uint64_t sites;
    } left[16]; /* sites that run as they are, by reason */
} fz_plan_counts;

typedef struct fz_plan {
    uint8_t *head; /* stubs and table: the area from FZ_AREA_STUBS on */
    size_t head_size;
    uint8_t *code;
    size_t code_size;
    /* What unwinders and debuggers read, to be mapped behind the code: unwind.c. */
    uint8_t *shown;
    size_t shown_size, hdr_at, hdr_size, frame_at, frame_size, symbol_at, symbol_n, string_at,
        string_size;
    fz_patch *patches; /* by address */
    size_t patch_n;
    fz_plan_counts counts;
    struct fz_planblock *blocks; /* by slot, where counting */
    size_t block_n;
    char *names;
    size_t names_size;
} fz_plan;

/* NULL, or why there is no plan. */
const char *fz_plan_make(fz_plan *plan, const fz_plan_request *request);
void fz_plan_free(fz_plan *plan);

/* elf.c: headers of the plan's file, and of the part of it that gdb is shown. */
void fz_elf_file(uint8_t page[FZ_PLANFILE_AT], const fz_plan *plan, const fz_planfile *f);
void fz_elf_shown(uint8_t page[FZ_PAGE], const fz_plan *plan, const fz_planfile *f);

#endif
