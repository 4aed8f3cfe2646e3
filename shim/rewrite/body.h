/* A function on its way into the moved code: shared by the planner's files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_BODY_H
#define FZ_REWRITE_BODY_H

#include "frames.h"
#include "plan.h"

enum kind { PLAIN, SITE, NOTHING, JUMP, BRANCH, LAST, BEFORE, BARRIER };
/* PLAIN to be copied; JUMP, BRANCH with a relative target; LAST: nothing follows (return,
 * indirect jump); BEFORE: a block ends in front of it (calls, loop); BARRIER: touches all
 * vector registers. */

typedef struct insn {
    uint64_t at, target;
    uint16_t use, writes; /* vector registers; writes: all of it, without reading */
    uint16_t high;        /* registers 16 to 31 */
    uint8_t masks;
    uint8_t length, kind, disp_at, condition;
    uint8_t flags_read, flags_set; /* of the six status flags */
    bool no_flags;                 /* calls and returns: flags are dead there */
    bool x87;
    /* Of a site: registers to lend, 0 if it cannot be perturbed, and why not. */
    uint8_t need, most; /* and the most under any variant */
    const char *why;
    bool directed; /* its encoding says how it rounds */
    bool narrows; /* a scalar from f64 to f32, or to bf16 */
    bool whole;   /* part of a floor, ceil or trunc */
    uint8_t callee; /* of a call: enum fz_callee */
    fz_bf16 bf16;
    /* Upper halves of ymm registers: read, and overwritten or cleared. */
    uint16_t reads256, kills256, writes256;
    bool memory256; /* a site that reads 32 bytes of memory into half a register: vcvtpd2ps */
    /* Vector registers written at all. Of a site: those whose f32 it widens, and where its f32
     * result goes, -1 if nowhere. */
    uint16_t changes, widens;
    int8_t lanes, gives;
} insn;

typedef struct block {
    size_t first, last; /* instructions, last not included */
    uint64_t lo, hi;    /* bytes that moving it frees; hi: where to go on */
    uint32_t sites;
    bool moved, ends;   /* ends: control does not fall through */
    bool no_flags;      /* flags are dead at its end */
    uint16_t uppers_in, uppers_out; /* upper halves that are live */
    uint16_t uppers_read;           /* that this function reads later */
    uint16_t uppers_set;            /* that may hold something at its begin */
    size_t region;      /* number of its region, 0 for none */
    uint32_t inner;     /* its code within a region */
    bool stops;         /* it ends in front of a call that does not return */
    bool loop;          /* it may follow itself */
    uint32_t seen, low; /* for that: order of the search, first of those it leads back to */
    bool open;
} block;

/* The stubs of emit.h, and where each begins. */
typedef struct fz_stubs {
    fz_code code;
    size_t start[FZ_STUBS + 1];
} fz_stubs;

/* What a worker has made of a run of functions. */
typedef struct entry {
    uint64_t at;
    uint32_t length, code;
    uint32_t sites, perturbed, exact; /* of its sites; the others are left */
    fz_planblock operations;
    const char *function;
} entry;

/* The code of a function, and the bytes of .eh_frame about it. */
typedef struct frame {
    const fz_function *function;
    uint32_t lo, hi; /* of the part's code */
    size_t rows, rows_end;
} frame;

typedef struct part {
    size_t first; /* function: for the order */
    fz_code code;
    entry *entries;
    size_t entry_n, entry_cap;
    fz_plan_counts counts;
    frame *frames;
    size_t frame_n, frame_cap;
    fz_bytes rows;
    bool failed;
} part;

typedef struct region {
    size_t first, last; /* blocks, last included */
    unsigned use, high, masks;
    int need;
    bool wide;
} region;

/* A jump of a region's code: to a block within, or out of it by a stub. */
typedef struct edge {
    size_t fix;
    uint64_t target, from; /* from: the jump */
} edge;

/* A test of the thread's mark: instructions from k on of a block have a copy as they were. */
typedef struct detour {
    size_t fix, block, k;
    bool flags_live;
} detour;

/* One thread of the planner, and the function it is at. */
typedef struct worker {
    const fz_plan_request *rq;
    ZydisDecoder decoder;
    fz_emit emit;
    bool wide; /* the function has 256-bit code */
    bool scalar; /* it takes numbers out of a c10::Scalar */
    part *out;
    insn *insns;
    size_t insn_n, insn_cap;
    block *blocks;
    size_t block_n, block_cap;
    region *regions;
    size_t region_n, region_cap;
    edge *edges;
    size_t edge_n, edge_cap;
    detour *detours;
    size_t detour_n, detour_cap;
    fz_frames frames;
    fz_row row;      /* of the code that was written last */
    uint32_t row_at; /* where it begins */
} worker;

/* body.c: a function's blocks; false if it cannot be decoded to its end. */
bool fz_body_split(worker *w, const fz_function *f);
bool fz_body_inside(const worker *w, uint64_t at);
/* The block that begins at an address; block_n if none does. */
size_t fz_body_block(const worker *w, uint64_t at);
/* Decodes instruction k again. */
bool fz_body_decode(const worker *w, size_t k, ZydisDecodedInstruction *x,
                    ZydisDecodedOperand *o);
/* Is instruction k a site? Decodes it again. */
bool fz_body_site(const worker *w, size_t k, ZydisDecodedInstruction *x,
                  ZydisDecodedOperand *o);

/* loop.c: which blocks may follow themselves; false: no memory. */
bool fz_loop_find(worker *w);

/* bf16.c: marks the sites of a function that rounds to bf16 by integers; are there any? */
bool fz_bf16_find(worker *w);

/* whole.c: marks floor, ceil and trunc in a function that cuts numbers to integers. */
void fz_whole_find(worker *w);

/* live.c */
void fz_live_uppers(worker *w);
/* Do instructions first .. last, last not included, use ymm registers? */
bool fz_live_ymm(const worker *w, size_t first, size_t last);
/* May sites first .. last of a block use 256 bits? */
bool fz_live_wide(const worker *w, const block *b, size_t first, size_t last);
/* Are the flags that instruction k of a block meets read before they are all set? */
bool fz_live_flags(const worker *w, const block *b, size_t k);
/* Is the f64 of what instruction k gives used in its block? */
bool fz_live_widened(const worker *w, const block *b, size_t k);
/* Registers that nothing reads after instruction `last` before the block writes them. */
unsigned fz_live_dead(const worker *w, const block *b, size_t last, unsigned use);

/* pins.c: registers whose f64 is worth to be held all along a region. */
void fz_pins_choose(const worker *w, const region *r, struct fz_held held[16]);

/* high.c: functions that must leave registers 16 to 31 and the masks alone. */
void fz_high_find(fz_image *im);

/* region.c: loops, the outermost that fit; their blocks are all moved. */
void fz_region_find(worker *w);
/* The region's code; code offsets of its blocks' entries to `entries`. */
void fz_region_move(worker *w, const region *r, entry *entries);

/* move.c: all of a function. */
void fz_move_function(worker *w, const fz_function *f);
/* Instruction k of a block: rounded where it rounds and can be. */
void fz_move_one(worker *w, const block *b, size_t k);
/* In front of instruction k of a block, where counting: once more, as it was or not. */
void fz_move_count(worker *w, const block *b, size_t k, bool as_it_was);
/* In front of instruction k of a block: a thread that perturbs nothing now takes another way. */
void fz_move_detour(worker *w, const block *b, size_t k);
/* Registers to lend, best first: those not in use, the dead ones first. */
int fz_move_free(unsigned use, unsigned dead, int *out);
/* Lend `need` + 1 of them. */
void fz_move_lend(worker *w, const int *free, int need);
/* Do instructions first .. last, last not included, take words for eight lanes? */
bool fz_move_eight(const worker *w, size_t first, size_t last);
/* Store or load what is lent and not dead. */
void fz_move_save(worker *w, const int *regs, int n, unsigned dead, unsigned op);

/* unwind.c: unwind rows of moved code. The function's code begins; what follows has the row
 * of the instruction at an address; it ends. */
void fz_unwind_begin(worker *w, const fz_function *f);
void fz_unwind_at(worker *w, uint64_t at);
void fz_unwind_end(worker *w);
/* All of the plan's, once its code has its place. */
const char *fz_unwind_place(fz_plan *plan, const fz_plan_request *rq, const part *parts,
                            size_t n, const entry *entries, size_t entry_n,
                            const fz_stubs *stubs);

/* place.c: the plan from its parts, in order, and the code of the stubs. */
const char *fz_place(fz_plan *plan, const fz_plan_request *rq, const part *parts, size_t n,
                     const fz_stubs *stubs);

/* plan.c: sites that run as they are. */
void fz_plan_left(fz_plan_counts *c, const char *why, uint64_t sites);

#endif
