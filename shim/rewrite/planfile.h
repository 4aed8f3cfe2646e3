/* A plan as a file: written by fuzzytorch-plan, mapped by the library.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Page-aligned sections, in this order: headers, head (stubs and table), code, what unwinders
 * and debuggers are shown of both, the table of runs, and the patched pages of the library's
 * text, run after run. The file begins as an ELF file, and our header lies behind that one.
 */
#ifndef FZ_REWRITE_PLANFILE_H
#define FZ_REWRITE_PLANFILE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FZ_PLANFILE_MAGIC "fuzzyplan 2\n\0\0\0"
enum { FZ_PLANFILE_AT = 1024 /* of the first page, fz_planfile */ };

typedef struct fz_planfile {
    char magic[16];
    char key[240];  /* what it was made for: must equal what is wanted */
    uint64_t size;  /* of the file */
    uint64_t hash;  /* of all the file, this being 0 */
    uint64_t head_at, head_size, code_at, code_size;
    uint64_t shown_at, shown_size, hdr, hdr_size; /* hdr: of .eh_frame_hdr within */
    int64_t distance; /* of the area from the load address */
    uint64_t code;    /* offset of the code in the area */
    uint64_t run_at, runs, pages;
    uint64_t block_at, block_n, name_at, name_size; /* 0 where not counting */
    uint64_t patch_hash; /* plans of one library that differ in variant only share patches */
    uint64_t matched[8]; /* a bit for each of the first rules: it left a function exact */
    uint64_t functions, blocks, sites, perturbed, exact, refused_functions;
    uint64_t counted; /* sites that are left, whose executions are counted all the same */
    struct {
        char why[56];
        uint64_t sites;
    } left[16];
} fz_planfile;

/* A moved block: operations of one execution, by what becomes of them. */
typedef struct fz_planblock {
    uint32_t perturbed, exact, left; /* exact: by rule; left: no code for it yet */
    uint32_t name;                   /* its function's, in the section of names */
} fz_planblock;

typedef struct fz_planrun {
    uint64_t address; /* of the library, a multiple of the page size */
    uint64_t at, size;
} fz_planrun;

_Static_assert(FZ_PLANFILE_AT + sizeof(fz_planfile) <= 4096, "the headers are a page");

/* A checksum against damage, not against malice: eight lanes of multiply and add. */
static inline uint64_t fz_planfile_hash(const void *bytes, size_t n)
{
    uint64_t h[8];
    const uint8_t *p = bytes;
    for (int i = 0; i < 8; i++)
        h[i] = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
    for (; n >= 64; n -= 64, p += 64)
        for (int i = 0; i < 8; i++) {
            uint64_t w;
            memcpy(&w, p + 8 * i, 8);
            h[i] = (h[i] ^ w) * 0xff51afd7ed558ccdu;
            h[i] ^= h[i] >> 32;
        }
    for (size_t i = 0; i < n; i++)
        h[i % 8] = (h[i % 8] ^ p[i]) * 0x100000001b3u;
    uint64_t all = 0;
    for (int i = 0; i < 8; i++)
        all = (all ^ h[i]) * 0xc4ceb9fe1a85ec53u;
    return all;
}

/* Of a plan: the first page apart, in which the checksum itself is left out. */
static inline uint64_t fz_planfile_sum(const uint8_t *p, uint64_t size)
{
    uint8_t page[4096];
    memcpy(page, p, sizeof page);
    memset(page + FZ_PLANFILE_AT + offsetof(fz_planfile, hash), 0, sizeof(uint64_t));
    return fz_planfile_hash(page, sizeof page) * 0x9e3779b97f4a7c15u ^
           fz_planfile_hash(p + sizeof page, size - sizeof page);
}

#endif
