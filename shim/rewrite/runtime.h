/* What the run-time side of the instruction layer shares: libraries that are mapped, and
 * those whose code has been moved.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_RUNTIME_H
#define FZ_REWRITE_RUNTIME_H

#include "inst.h"
#include "planfile.h"

enum { FZ_LIBRARIES = 1024 };

typedef struct fz_mapped {
    char path[256], id[96];
    uintptr_t base, text_end;
    size_t text_size;
    bool text_relocations;
} fz_mapped;

/* The area of a library's moved code. */
typedef struct fz_room {
    uint8_t *area;
    int64_t distance;
    size_t table, variant, size;
    uint64_t counters; /* offset of the counters, 0 if there are none */
} fz_room;

/* A library whose code has been moved: what a change of variant needs. */
typedef struct fz_moved {
    fz_mapped m;
    fz_room r;
    int plan[FZ_VARIANTS]; /* open plans, -1: not open */
    bool mapped[FZ_VARIANTS]; /* is their code? */
    uintptr_t page; /* one that holds a patch; 0: there is none */
    uint64_t page_hash;
    uint64_t patch_hash;
    enum fz_variant now;
    fz_inst_library *report;
} fz_moved;

/* Functions below return NULL, or why not. */

/* cache.c: an open plan for the library, from the cache or made now. */
const char *fz_plan_obtain(int *fd, const fz_mapped *m, enum fz_variant variant,
                           int64_t distance, uint64_t code, uint64_t counters);

/* prune.c: notes that a plan is used; removes plans that are not, `keep` apart. */
void fz_plan_used(int fd);
void fz_plans_prune(const char *folder, const char *keep);

/* map.c: moves a library's code. */
const char *fz_moved_add(const fz_mapped *m, enum fz_variant v, fz_inst_library *out);
/* Another variant; a plan that is missing is made now. */
const char *fz_moved_turn(fz_moved *lib, enum fz_variant v);
/* The patches once more, where the library has lost them. */
const char *fz_moved_renew(fz_moved *lib);
/* shown.c: the plan's code and its tables are mapped; first: of this library. */
void fz_show(const fz_moved *lib, const fz_planfile *h, bool first);
/* The i-th; NULL after the last one. */
fz_moved *fz_moved_at(unsigned i);

#endif
