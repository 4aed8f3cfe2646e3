/* A library's file: its functions, and every address at which control may arrive.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A leader too many splits a block; a leader too few lets control arrive in dead bytes.
 * So whatever might be a target is one, and a function whose targets are not all known is
 * refused, with the reason.
 */
#ifndef FZ_REWRITE_IMAGE_H
#define FZ_REWRITE_IMAGE_H

#include <Zydis/Zydis.h>
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fz_function {
    uint64_t lo, hi;     /* addresses of the file */
    uint64_t reach;      /* its end before another function that begins inside cut it */
    const char *name;    /* mangled; "" where none */
    uint32_t fp;         /* instructions that round, by the caller's test */
    bool vex, evex;      /* holds such instructions */
    bool low;            /* its callers may keep registers 16 to 31 over a call */
    bool truncates;      /* holds a scalar conversion that cuts to an integer */
    bool truncates_many; /* or one of vectors */
    bool philox;         /* holds a multiplier of Philox: makes random numbers */
    bool rounds16;       /* may round to bf16 by integers: shifts by 16, and more */
    bool wanted;         /* by the caller's filter */
    bool cold;           /* the part of another function that gcc split off */
    const char *refused; /* NULL, or why it cannot be moved */
} fz_function;

typedef struct fz_range {
    uint64_t lo, hi;
} fz_range;

/* An entry of .eh_frame, and its CIE: offsets in the file. */
typedef struct fz_fde {
    uint64_t lo, hi; /* addresses it is about */
    uint64_t at, cie;
    uint8_t pointer; /* bytes of each of its addresses; 0: that varies */
} fz_fde;

/* What a linkage stub leads to. */
enum fz_callee {
    FZ_CALLEE_ANY,
    FZ_CALLEE_NEVER,  /* does not return */
    FZ_CALLEE_SCALAR, /* nor does c10::report_overflow */
};

typedef struct fz_stub {
    uint64_t at;
    enum fz_callee callee;
} fz_stub;

typedef struct fz_image {
    const uint8_t *bytes;
    size_t size;
    uint64_t text_lo, text_hi; /* hull of the sections that hold functions */
    fz_function *functions;    /* by address, not overlapping */
    size_t count;
    uint64_t *leaders; /* a bit each byte of the hull */
    uint8_t build_id[32];
    unsigned build_id_size;
    bool fixed; /* addresses stand in the code and data as they are (not PIC) */
    const Elf64_Phdr *segments;
    unsigned segment_n;
    const Elf64_Shdr *sections;
    unsigned section_n;
    const char *section_names;
    size_t section_names_size;
    fz_range *text; /* executable sections, but for linkage */
    unsigned text_n;
    bool symbols; /* has a .symtab */
    fz_fde *fde; /* by address */
    size_t fde_n, fde_cap;
    fz_stub *stubs; /* by address: those that are not for any function */
    size_t stub_n;
    /* For reports. */
    uint64_t fdes, landing_pads, instructions, tables, targets;
    char why[160];
} fz_image;

/* NULL, or a line of reason; then nothing needs closing. */
const char *fz_image_open(fz_image *im, const char *path);

/* Bytes at an address; NULL where the file has none. */
const uint8_t *fz_image_at(const fz_image *im, uint64_t address);
bool fz_image_leader(const fz_image *im, uint64_t address);

/* Marks a leader; any thread may. */
void fz_image_lead(fz_image *im, uint64_t address);

/* Name of section i; "" where it has none. */
const char *fz_image_section(const fz_image *im, unsigned i);

/* What a call of that address calls (callees.c). */
enum fz_callee fz_image_callee(const fz_image *im, uint64_t address);
bool fz_image_stubs(fz_image *im);

/* The function that holds an address, or NULL. */
const fz_function *fz_image_function(const fz_image *im, uint64_t address);

/* Decodes the functions that wants chooses, and what may branch into them. wants and is_fp
 * are called by several threads at once, progress by the caller's only, twice a second if
 * it all takes over one. */
void fz_image_scan(fz_image *im, bool (*wants)(const char *name, void *arg), void *arg,
                   bool (*is_fp)(const ZydisDecodedInstruction *), int threads,
                   void (*progress)(size_t done, size_t total));

void fz_image_close(fz_image *im);

/* Room for one more than n elements of `size` bytes; without memory p stays and *failed is
 * set. */
void *fz_grow(void *p, size_t n, size_t *cap, size_t size, bool *failed);

#endif
