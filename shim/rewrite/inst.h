/* The instruction layer: what the rest of the shim and moved code need of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_INST_H
#define FZ_REWRITE_INST_H

#include "../../prism/prism.h"
#include "area.h"

/* How the definition rounds: process-wide. */
typedef struct fz_inst_law {
    enum prism_mode mode;
    int t_f32, t_f64;
} fz_inst_law;

extern fz_inst_law fz_inst_now;
extern __thread fz_inst_tls fz_inst_self __attribute__((tls_model("initial-exec")));

/* Round at a site whose operands are in the frame. */
void fz_inst_definition(const fz_inst_site *site);

/* The random words of this thread's sites come from the strand of `key` from now on. */
void fz_inst_open(prism_key key);

/* At the process's start: programs that are mapped already. */
void fz_inst_begin(void);

/* Move the code of libraries in scope that have been mapped since the last call. To be
 * called while no thread runs in them. */
void fz_inst_look(void);

/* The folder of plans, made if need be; false if there is none to write to. */
bool fz_cache_folder(char *out, size_t cap);

/* What became of a library, for the report; NULL after the last one. */
typedef struct fz_inst_library {
    char path[256];
    uintptr_t base;
    const char *why; /* why it is left as it is; NULL: moved */
    uint64_t sites, perturbed, exact, functions, refused_functions, blocks;
    uint64_t counted; /* sites that are left, of which it is known how often they run */
    struct {
        char why[56];
        uint64_t sites;
    } left[16];
} fz_inst_library;

const fz_inst_library *fz_inst_library_at(unsigned i);

/* Operations executed in a library's moved code since the start, children included. */
typedef struct fz_inst_operations {
    uint64_t perturbed, exact, left;
} fz_inst_operations;

/* Their sum over library i, and by function to `each` if there is one; false if they are
 * not counted (FUZZY_REPORT without ,operations) or the library is not moved. */
bool fz_inst_operations_of(unsigned i, fz_inst_operations *sum,
                           void (*each)(const char *function, const fz_inst_operations *n,
                                        void *arg),
                           void *arg);

#endif
