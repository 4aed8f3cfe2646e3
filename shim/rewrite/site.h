/* A site on its way into code: shared by the emitter's files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REWRITE_SITE_H
#define FZ_REWRITE_SITE_H

#include "emit.h"
#include "evex.h"

enum { PS, PD, SS, SD }; /* a mandatory prefix as the type of its operands */

/* What an operation is to the code that rounds it. */
typedef struct site {
    int op; /* ADD … FMA and the conversions: transformed operands */
    bool f64, scalar, minus_product, minus_addend, from_unsigned;
    int a, b, c;        /* vector registers */
    int result, merge;  /* merge: whose upper lanes a scalar result keeps */
    int load;           /* a, b or c, if it is to be loaded from `mem` first, else -1 */
    fz_mem mem;
    int lanes, l;       /* of the operation; l: 256-bit operands */
} site;

/* ---- Short names for what is written often, in VEX -------------------------------------- */

/* Instructions whose type is in the prefix. */
static inline unsigned typed(int type, unsigned opcode)
{
    return FZ_OP(1, type, 0, opcode);
}

static inline void rr(fz_emit *e, unsigned op, int l, int d, int a, int b)
{
    fz_rrr(e->code, op, l, d, a, b);
}

static inline void rk(fz_emit *e, unsigned op, int l, int d, int a, int k)
{
    fz_rrk(e->code, op, l, d, a, 32 * k);
}

static inline void shift(fz_emit *e, unsigned op, int kind, int l, int d, int s, int n)
{
    fz_rrri(e->code, op, l, kind, d, s, n);
}

static inline void mov(fz_emit *e, int l, int d, int s)
{
    if (d != s)
        rr(e, OP_MOVAPS, l, d, 0, s);
}

static inline int32_t in_tls(const fz_emit *e, size_t field)
{
    return e->tls + (int32_t)field;
}
/* In EVEX; evk: with a constant that is the same in all lanes, ev_whole: with any. */
static inline void ev(fz_emit *e, unsigned op, int l, int d, int a, int b)
{
    fz_ev(e->code, op, l, d, a, b, 0);
}

static inline void evk(fz_emit *e, unsigned op, int l, int d, int a, int k)
{
    fz_evk(e->code, op, l, d, a, 32 * k, EV_NO_FLAGS, 0);
}

static inline void ev_whole(fz_emit *e, unsigned op, int l, int d, int a, int k)
{
    fz_evk(e->code, op, l, d, a, 32 * k, 0, 0);
}

static inline void ev_shift(fz_emit *e, unsigned op, int kind, int l, int d, int s, int n)
{
    ev(e, op, l, kind, d, s);
    fz_put(e->code, (unsigned)n);
}

static inline unsigned of_type(int type, unsigned opcode)
{
    return FZ_OP(1, type, type & 1, opcode);
}

#define TLS(e, field) in_tls(e, offsetof(fz_inst_tls, field))

/* Opcodes of typed operations, and of fma in f64 by the order of its operands. */
extern const uint8_t fz_site_opcode[FZ_INST_OPS];
unsigned fz_site_fma(const site *s, int order);

/* May what gives an f32 be subnormal and inexact? Sums and roots of f32 are exact where they
 * are subnormal, conversions from integers never are. */
static inline bool fz_site_underflows(int op)
{
    return op == FZ_INST_MUL || op == FZ_INST_DIV || op == FZ_INST_FMA ||
           op == FZ_INST_F64_F32;
}

/* emit.c: temporaries that rounding takes, operands apart; the site, its operands known. */
int fz_site_need(const fz_emit *e, fz_class c);
void fz_site_round(fz_emit *e, site *s);
void fz_site_integer(fz_emit *e, site *s, const ZydisDecodedInstruction *x,
                     const ZydisDecodedOperand *o, uint64_t at, int temp);

/* emit_written.c: of an instruction that is itself EVEX. */
int fz_written_need(const fz_emit *e, const ZydisDecodedInstruction *x,
                    const ZydisDecodedOperand *operand, const char **why);
void fz_written_site(fz_emit *e, const ZydisDecodedInstruction *x,
                     const ZydisDecodedOperand *operand, uint64_t at);

/* lend.c: masks 1 to 4 of the emitter's, where they are the host's. */
void fz_lend_masks(fz_emit *e, unsigned op);
/* Cestac: is an f32 computed in f64, with one half of its lanes' bits below the other's? Sums
 * are computed in f32, since their f64 need not tell whether they are exact. */
static inline bool fz_site_in_f64(const site *s)
{
    return !s->f64 && s->op != FZ_INST_ADD && s->op != FZ_INST_SUB;
}

/* Cestac: directed rounding, which only AVX-512 has. */
static inline bool fz_site_directed(const fz_emit *e, const site *s)
{
    return e->high && (s->op == FZ_INST_ADD || s->op == FZ_INST_SUB || s->op == FZ_INST_MUL ||
                       s->op == FZ_INST_FMA);
}

/* Cestac: does a bit say away from zero or towards it, instead of down or up? */
static inline bool fz_site_away(const fz_emit *e, const site *s)
{
    return !fz_site_directed(e, s);
}

/* emit_cold.c */
void fz_flags_save(fz_emit *e);
void fz_flags_restore(fz_emit *e);
fz_slow *fz_slow_new(fz_emit *e);
fz_inst_site fz_slow_site(const fz_emit *e, const site *s, int result);

/* emit_avx2.c, emit_evex.c: one step of the strand; a site in line; always the definition;
 * and the integer of 64 bits in s->a, of which register y holds the f64. */
void fz_avx2_step(fz_emit *e);
void fz_avx2_round(fz_emit *e, site *s);
void fz_avx2_integer(fz_emit *e, site *s, int y);
fz_slow *fz_avx2_leave_if(fz_emit *e, unsigned test, int l, int y, bool scalar);
void fz_avx2_finish(fz_emit *e, const site *s, int r, int packed_l);
void fz_avx2_widen(fz_emit *e, const site *s, bool high, int d, int x);
void fz_evex_step(fz_emit *e);
fz_slow *fz_evex_leave(fz_emit *e, const site *s, int l);
void fz_evex_describe(fz_emit *e, fz_slow *w, const site *s);
void fz_evex_operate(fz_emit *e, const site *s, int d, int rounding); /* 0: nearest */
void fz_evex_test_f64(fz_emit *e, const site *s, int l, int first, int other, int t, int t1);
void fz_evex_round(fz_emit *e, site *s);
void fz_evex_integer(fz_emit *e, site *s, int y);
void fz_evex_lend(fz_emit *e, int need);
void fz_evex_load(fz_emit *e, int bytes, int into, const fz_mem *m);
void fz_evex_cold(fz_emit *e, const fz_slow *s);   /* before the stub: what it does not keep */
void fz_evex_again(fz_emit *e, const fz_slow *s); /* widen the result again */
void fz_evex_resume(fz_emit *e, const fz_slow *s); /* after it */
void fz_evex_zeros(fz_emit *e, const fz_slow *s);

/* emit_chain.c */
void fz_chain_sr(fz_emit *e, const site *s);

/* emit_cestac.c: sums of f32 with AVX2; the test of an fma held in f64, its vector in
 * register y; with AVX-512 all that has directed rounding. The rest shares sr's code. */
void fz_cestac_sum(fz_emit *e, const site *s);
void fz_cestac_test_fma(fz_emit *e, int l, bool pair, int lo, int hi, int y, int t);
void fz_cestac_directed(fz_emit *e, const site *s);
/* Their cold code: go on in line if the lanes that failed the test are well. */
void fz_cestac_cold(fz_emit *e, const fz_slow *s);

#endif
