/* One rounding instruction, as code that rounds by the mode.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_EMIT_H
#define FZ_REWRITE_EMIT_H

#include "area.h"
#include "asm.h"
#include "insn.h"

/* The stubs that lead to the definition: for functions without 256-bit code, with it, and
 * where the host uses EVEX code. start: where c lies in the area. */
enum fz_stub_kind { FZ_STUB_NARROW, FZ_STUB_WIDE, FZ_STUB_EVEX, FZ_STUBS };
void fz_emit_stub(fz_code *c, int32_t tls, enum fz_stub_kind kind, uint64_t start);

enum {
    FZ_TEMPS = 16,
    FZ_FREE_STATE = 31 /* where the strand lies if registers 16 to 31 are free */
};

/* The addition of c10's rounding to bf16 that takes x and its bit (bf16.c). */
typedef struct fz_bf16 {
    uint8_t from, to; /* registers, of x and of the result */
    uint8_t bytes;    /* of the operation; of general registers 4 */
    bool general;     /* not vector registers */
    bool memory;      /* x is the operand in memory */
    bool biased;      /* 0x7fff has been added to x */
    bool later;       /* 0x7fff will be added */
    bool half;        /* only in the lower two lanes */
    bool site;
} fz_bf16;

enum { FZ_BF16_NEED = 2 }; /* temporaries */

typedef struct fz_slow {
    uint64_t at; /* the instruction */
    size_t jump, back;     /* the fix that leads here; where to go on */
    size_t resume;         /* after the in-line check */
    bool zeros;            /* first look whether only zeros failed the check */
    fz_inst_site site;
    bool pair;             /* halves in two registers */
    bool high, f64, again;        /* emit_evex.c's; and these with it: */
    int wide, result, merge, operand[3], bytes; /* wide: where the result is held, or 0 */
    int s, hi, y, tmp, p, q, u;
    int l;
    bool scalar;
    bool cut;    /* the operation was done toward zero, without exceptions */
    bool cestac; /* the cold code of emit_cestac.c */
    bool flags_saved; /* in rax */
    int stub; /* which one */
    int state, mask[5], mask_n; /* the emitter's */
    bool lent;
    int load; /* register to load from `mem` first, -1 for none */
    fz_mem mem;
} fz_slow;

/* Which register holds a vector register's f32 lanes in f64: 0 for none. */
struct fz_held {
    int8_t at;
    uint8_t lanes;
    bool pinned; /* at all places of the region */
};

typedef struct fz_emit {
    fz_code *code;
    enum fz_variant variant;
    int32_t tls;
    bool wide; /* the function has VEX code: 256 bits may be used */
    bool vaes;
    bool high; /* registers 16 to 31 and the masks are free: EVEX */
    bool lent; /* high: but the host's, so they are saved and given back (lend.c) */
    int pool[16], pool_n, mask[5]; /* high: what sites may use; mask 0 in line, the others
                                    * in cold code */
    int mask_n; /* that are lent all along; the others in cold code */
    bool twice; /* high: the strand lies twice in its register, for sites of eight lanes */
    bool keep; /* high: the f64 of a result is used again in this block */
    struct fz_held held[16];
    unsigned oldest;
    uint64_t stub[FZ_STUBS];     /* offsets in the area */
    int temp[FZ_TEMPS], state;   /* registers lent */
    bool flags_live;
    fz_slow *slow;
    size_t slow_n, slow_cap;
    uint64_t at; /* the instruction that is under way */
    /* Told, where it is not NULL, that what follows has that instruction's unwind row, the
     * stack pointer being `pushed` bytes lower. */
    void (*row)(void *row_of, uint64_t at, int pushed);
    void *row_of;
} fz_emit;

/* Temporaries that a site takes, the register of its memory operand included, the state
 * not; 0 if it cannot be perturbed, with *why. */
int fz_emit_need(const fz_emit *e, const ZydisDecodedInstruction *x,
                 const ZydisDecodedOperand *operand, const char **why);
/* The site; at: the instruction's address in the library. */
void fz_emit_site(fz_emit *e, const ZydisDecodedInstruction *x,
                  const ZydisDecodedOperand *operand, uint64_t at);
void fz_emit_bf16(fz_emit *e, const fz_bf16 *s, const ZydisDecodedInstruction *x,
                  const ZydisDecodedOperand *operand, uint64_t at);
/* The cold code of the sites since the last call. */
void fz_emit_cold(fz_emit *e);
/* One more time in the block that begins at `at`; plain: as it was. */
void fz_emit_count(fz_emit *e, uint64_t at, bool plain);
/* If the thread perturbs nothing now, go to where fz_emit_plain is called with this fix. */
size_t fz_emit_if_plain(fz_emit *e);
void fz_emit_plain(fz_emit *e, size_t fix);
/* The strand to and from its register. */
void fz_emit_state_load(fz_emit *e);
void fz_emit_state_store(fz_emit *e);

/* Where registers 16 to 31 are used: these are no longer what a site left in them; a block
 * begins; the pinned ones are to be filled. */
void fz_emit_changed(fz_emit *e, unsigned registers);
void fz_emit_block(fz_emit *e);
void fz_emit_pins_load(fz_emit *e);

/* lend.c: can `need` of registers 16 to 31, one for the strand and a mask be lent where the
 * host uses some? Choose them, `most` at the most, or all of them if it uses none; store or
 * load what is the host's. */
bool fz_lend_fits(unsigned high, unsigned masks, int need);
void fz_lend_choose(fz_emit *e, unsigned high, unsigned masks, int most, bool loop);
void fz_lend_all(fz_emit *e, bool store);

/* Registers whose f32 lanes a site widens, how many lanes, and the register that its
 * result, of as many f32 lanes, goes to, or -1. */
unsigned fz_emit_widens(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *operand,
                        int *lanes, int *gives);

/* Number of a vector register, -1 if it is none. */
int fz_vector_register(ZydisRegister r);
fz_mem fz_mem_of(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *o,
                 uint64_t at);

#endif
