/* One rounding instruction, as code that rounds by the mode.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Code in line uses vector registers only, those that the block lends it, so it may stand
 * anywhere: no general register, no stack. f32 is computed in f64, where a random integer
 * below 2^29 on the bit pattern and 29 bits cut is the law; f64 by error-free transforms
 * (TwoSum, TwoProd by fma, Boldo and Muller's error of an fma). Where that does not hold
 * (subnormal results, residuals that underflow, infinities, NaN) a test of the result's
 * exponent leads to cold code behind the block, and from there to the definition in C
 * (definition.c), which rounds lane by lane with prism's exact functions and the same
 * random words. The test is the only thing that touches flags; where they are live they
 * go through rax and back.
 *
 * Results that only fail the test because they are zero are let through by the cold code:
 * zeros are frequent, and exact.
 *
 * Random words of one step of the strand, 256 bits: f32 lanes 0-3 take the upper 29 bits
 * of the qwords, lanes 4-7 the lower 29; f64 lanes take the upper 52. With 128 bits, lanes
 * 0-1 and 2-3. One-bit words: f32 lane i the top of dword i, f64 lane i that of qword i.
 */
#include "emit.h"

#define PS 0
#define PD 1
#define SS 2
#define SD 3

/* Instructions whose type is in the prefix. */
static unsigned typed(int type, unsigned opcode)
{
    return FZ_OP(1, type, 0, opcode);
}

/* ---- Short names for what is written often ---------------------------------------------- */

static void rr(fz_emit *e, unsigned op, int l, int d, int a, int b)
{
    fz_rrr(e->code, op, l, d, a, b);
}

static void rk(fz_emit *e, unsigned op, int l, int d, int a, int k)
{
    fz_rrk(e->code, op, l, d, a, 32 * k);
}

static void shift(fz_emit *e, unsigned op, int kind, int l, int d, int s, int n)
{
    fz_rrri(e->code, op, l, kind, d, s, n);
}

static void mov(fz_emit *e, int l, int d, int s)
{
    if (d != s)
        rr(e, OP_MOVAPS, l, d, 0, s);
}

static int32_t in_tls(const fz_emit *e, size_t field)
{
    return e->tls + (int32_t)field;
}
#define TLS(e, field) in_tls(e, offsetof(fz_inst_tls, field))

/* ---- The strand --------------------------------------------------------------------- */

static void step(fz_emit *e)
{
    int s = e->state, t = e->temp[0];
    if (e->variant == FZ_SR_NEAREST)
        return;
    if (!e->wide || e->vaes) {
        rk(e, OP_AESENC, e->wide, s, s, FZ_K_KEY);
        return;
    }
    fz_rrri(e->code, OP_EXTRACTF128, 1, s, 0, t, 1);
    rk(e, OP_AESENC, 0, s, s, FZ_K_KEY);
    rk(e, OP_AESENC, 0, t, t, FZ_K_KEY);
    fz_rrri(e->code, OP_INSERTF128, 1, s, s, t, 1);
}

void fz_emit_state_load(fz_emit *e)
{
    fz_rrt(e->code, OP_LOAD, e->wide, e->state, 0, TLS(e, state));
}

void fz_emit_state_store(fz_emit *e)
{
    fz_rrt(e->code, OP_STORE, e->wide, e->state, 0, TLS(e, state));
}

/* ---- The way to the definition -------------------------------------------------------- */

static void flags_save(fz_emit *e)
{
    if (!e->flags_live)
        return;
    fz_mov_tls(e->code, 0x89, 0, TLS(e, rax_flags));
    fz_put(e->code, 0x9f); /* lahf */
    fz_put(e->code, 0x0f); /* seto %al */
    fz_put(e->code, 0x90);
    fz_put(e->code, 0xc0);
}

static void flags_restore(fz_emit *e)
{
    if (!e->flags_live)
        return;
    fz_put(e->code, 0x04); /* add $127, %al: overflow as it was */
    fz_put(e->code, 0x7f);
    fz_put(e->code, 0x9e); /* sahf */
    fz_mov_tls(e->code, 0x8b, 0, TLS(e, rax_flags));
}

void fz_emit_count(fz_emit *e, uint64_t at)
{
    flags_save(e);
    fz_put(e->code, 0xf0); /* lock incq counter(%rip) */
    fz_put(e->code, 0x48);
    fz_put(e->code, 0xff);
    fz_put(e->code, 0x05);
    fz_put_fix(e->code, FZ_FIX_COUNT, at, 0);
    flags_restore(e);
}

static fz_slow *slow_new(fz_emit *e)
{
    if (e->slow_n == e->slow_cap) {
        size_t cap = e->slow_cap ? 2 * e->slow_cap : 16;
        fz_slow *p = realloc(e->slow, cap * sizeof *p);
        if (!p) {
            static fz_slow nowhere;
            e->code->failed = true;
            return &nowhere;
        }
        e->slow = p;
        e->slow_cap = cap;
    }
    fz_slow *s = &e->slow[e->slow_n++];
    memset(s, 0, sizeof *s);
    s->load = -1;
    return s;
}

/* What an operation is to the code that rounds it. */
typedef struct site {
    int op; /* ADD … FMA and the conversions: transformed operands */
    bool f64, scalar, minus_product, minus_addend;
    int a, b, c;        /* vector registers */
    int result, merge;  /* merge: whose upper lanes a scalar result keeps */
    int load;           /* a, b or c, if it is to be loaded from `mem` first, else -1 */
    fz_mem mem;
    int lanes, l;       /* of the operation; l: 256-bit operands */
} site;

static fz_inst_site descriptor(const fz_emit *e, const site *s, int result)
{
    return (fz_inst_site){.op = (uint8_t)s->op,
                     .lanes = (uint8_t)s->lanes,
                     .a = (uint8_t)s->a,
                     .b = (uint8_t)s->b,
                     .c = (uint8_t)s->c,
                     .result = (uint8_t)result,
                     .state = (uint8_t)e->state,
                     .f64 = s->f64,
                     .minus_product = s->minus_product,
                     .minus_addend = s->minus_addend,
                     .legacy = !e->wide};
}

/* y has the sign of each lane out of range (OP_PTEST: high bits): leave for the cold code if there is one. */
static fz_slow *leave_if(fz_emit *e, unsigned test, int l, int y, bool scalar)
{
    if (scalar)
        rk(e, test, 0, y, 0, test == OP_PTEST ? FZ_K_HIGH11 : FZ_K_LANE0);
    else
        rr(e, test, l, y, 0, y);
    fz_slow *s = slow_new(e);
    s->jump = fz_jump_if(e->code, FZ_IF_NOT_ZERO, FZ_FIX_HERE, 0);
    s->resume = e->code->n;
    s->y = y;
    s->l = l;
    s->scalar = scalar;
    s->flags_saved = e->flags_live;
    return s;
}

static void cold_zeros(fz_emit *e, fz_slow *s)
{
    unsigned test = s->pair ? OP_TESTPS : OP_TESTPD;
    if (s->pair) {
        fz_rrri(e->code, OP_SHUFPS, s->l, s->tmp, s->s, s->hi, 0xdd);
        rr(e, OP_PADDD, s->l, s->tmp, s->tmp, s->tmp); /* either sign */
        rk(e, OP_PCMPEQD, s->l, s->tmp, s->tmp, FZ_K_ZERO);
    } else {
        rr(e, OP_PADDQ, s->l, s->tmp, s->s, s->s);
        rk(e, OP_PCMPEQQ, s->l, s->tmp, s->tmp, FZ_K_ZERO);
    }
    /* A product of f64 that is zero must have a zero factor; so must a quotient its
     * dividend; the residual of a quotient needs a finite divisor. */
    int op = s->site.op;
    if (s->site.f64 && (op == FZ_INST_MUL || op == FZ_INST_DIV)) {
        shift(e, OP_SHIFTQ, 6, s->l, s->hi, s->site.a, 1);
        rk(e, OP_PCMPEQQ, s->l, s->hi, s->hi, FZ_K_ZERO);
        if (op == FZ_INST_MUL) {
            shift(e, OP_SHIFTQ, 6, s->l, s->p, s->site.b, 1);
            rk(e, OP_PCMPEQQ, s->l, s->p, s->p, FZ_K_ZERO);
            rr(e, OP_POR, s->l, s->hi, s->hi, s->p);
        } else { /* 0/inf has no residual */
            rk(e, OP_PAND, s->l, s->p, s->site.b, FZ_K_EXP64);
            rk(e, OP_PCMPEQQ, s->l, s->p, s->p, FZ_K_EXP64);
            rr(e, OP_PANDN, s->l, s->hi, s->p, s->hi);
        }
        rr(e, OP_PAND, s->l, s->tmp, s->tmp, s->hi);
    }
    rr(e, OP_PANDN, s->l, s->y, s->tmp, s->y);
    if (s->scalar)
        rk(e, test, 0, s->y, 0, FZ_K_LANE0);
    else
        rr(e, test, s->l, s->y, 0, s->y);
    fz_jump_if(e->code, FZ_IF_ZERO, FZ_FIX_HERE, s->resume);
}

void fz_emit_cold(fz_emit *e)
{
    fz_code *c = e->code;
    for (size_t i = 0; i < e->slow_n && !c->failed; i++) {
        fz_slow *s = &e->slow[i];
        fz_fix_here(c, s->jump);
        if (s->zeros)
            cold_zeros(e, s);
        fz_mov_tls(c, 0x89, 0, TLS(e, rax));
        if (s->load >= 0) {
            if (s->flags_saved) /* rax holds them, and may lead to the operand */
                fz_mov_tls(c, 0x8b, 0, TLS(e, rax_flags));
            fz_rrm(c, OP_LOAD, 1, s->load, 0, &s->mem);
        }
        fz_put(c, 0x48); /* lea site(%rip), %rax */
        fz_put(c, 0x8d);
        fz_put(c, 0x05);
        fz_put_fix(c, FZ_FIX_HERE, 0, 0);
        size_t site_fix = c->fix_n - 1;
        fz_jump(c, FZ_FIX_BLOB, e->stub[!s->site.legacy]);
        while (c->n % 4 && !c->failed)
            fz_put(c, 0xcc);
        fz_fix_here(c, site_fix);
        s->site.back = (int32_t)((int64_t)s->back - (int64_t)c->n);
        const uint8_t *p = (const uint8_t *)&s->site;
        for (size_t j = 0; j < sizeof s->site; j++)
            fz_put(c, p[j]);
    }
    e->slow_n = 0;
}

/* A scalar result in the low lane of r goes to its register; a packed one has to be there. */
static void finish(fz_emit *e, const site *s, int r, int packed_l)
{
    if (s->scalar)
        rr(e, s->f64 ? OP_MOVSD : OP_MOVSS, 0, s->result, s->merge, r);
    else
        mov(e, packed_l, s->result, r);
}

/* Always the definition. */
static void by_definition(fz_emit *e, const site *s)
{
    int r = s->scalar ? e->temp[0] : s->result;
    fz_slow *w = slow_new(e);
    w->site = descriptor(e, s, r);
    w->jump = fz_jump(e->code, FZ_FIX_HERE, 0);
    w->back = e->code->n;
    finish(e, s, r, 0); /* a packed one is there already */
}

/* ---- f32 by sr: in f64 ------------------------------------------------------------------ */

/* Registers of f32 are widened by way of memory, where it costs no shuffle. */
static bool by_memory(const fz_emit *e, const site *s)
{
    return e->wide && s->l && !s->scalar && s->op != FZ_INST_F64_F32;
}

static int spill_of(const fz_emit *e, const site *s, int x)
{
    int k = x == s->a ? 0 : x == s->b ? 1 : 2;
    return TLS(e, spill) + 32 * k;
}

static void spill(fz_emit *e, const site *s)
{
    const int operand[3] = {s->a, s->b, s->c};
    int n = s->op == FZ_INST_FMA ? 3 : s->op == FZ_INST_SQRT || s->op == FZ_INST_I32_F32 ? 1 : 2;
    for (int i = 0; i < n; i++) {
        bool before = (i > 0 && operand[i] == s->a) || (i > 1 && operand[i] == s->b);
        if (!before && operand[i] != s->load)
            fz_rrt(e->code, OP_STORE, 1, operand[i], 0, spill_of(e, s, operand[i]));
    }
}

static void widen_by_memory(fz_emit *e, const site *s, bool high, int d, int x)
{
    unsigned op = s->op == FZ_INST_I32_F32 ? OP_CVTDQ2PD : OP_CVTPS2PD;
    if (x == s->load) {
        fz_mem m = high ? fz_mem_upper(s->mem) : s->mem;
        fz_rrm(e->code, op, 1, d, 0, &m);
    } else {
        fz_rrt(e->code, op, 1, d, 0, spill_of(e, s, x) + (high ? 16 : 0));
    }
}

static void widen_low(fz_emit *e, const site *s, int d, int x)
{
    if (by_memory(e, s)) {
        widen_by_memory(e, s, false, d, x);
        return;
    }
    if (s->op == FZ_INST_I32_F32)
        rr(e, OP_CVTDQ2PD, e->wide, d, 0, x);
    else if (s->scalar)
        rr(e, OP_CVTSS2SD, 0, d, x, x);
    else
        rr(e, OP_CVTPS2PD, e->wide, d, 0, x);
}

static void widen_high(fz_emit *e, const site *s, int d, int x)
{
    unsigned op = s->op == FZ_INST_I32_F32 ? OP_CVTDQ2PD : OP_CVTPS2PD;
    if (by_memory(e, s)) {
        widen_by_memory(e, s, true, d, x);
        return;
    }
    if (e->wide)
        fz_rrri(e->code, OP_EXTRACTF128, 1, x, 0, d, 1);
    else
        rr(e, OP_MOVHLPS, 0, d, x, x);
    rr(e, op, e->wide, d, 0, d);
}

static unsigned fma_op(const site *s, int order)
{
    unsigned op = (order == 132 ? 0x98 : order == 213 ? 0xa8 : 0xb8) +
                  (s->minus_product ? 4 : 0) + (s->minus_addend ? 2 : 0) +
                  (s->scalar ? 1 : 0);
    return FZ_OP(2, 1, 1, op);
}

static const uint8_t opcode_of[FZ_INST_OPS] = {[FZ_INST_ADD] = 0x58, [FZ_INST_SUB] = 0x5c,
                                               [FZ_INST_MUL] = 0x59, [FZ_INST_DIV] = 0x5e,
                                               [FZ_INST_SQRT] = 0x51};

/* The operation on one half, in f64, to d; t: two more temporaries. */
static void wide_half(fz_emit *e, const site *s, bool high, int d, int t0, int t1)
{
    void (*widen)(fz_emit *, const site *, int, int) = high ? widen_high : widen_low;
    int l = s->scalar ? 0 : e->wide, type = s->scalar ? SD : PD;
    switch (s->op) {
    case FZ_INST_I32_F32: widen(e, s, d, s->a); break;
    case FZ_INST_F64_F32: mov(e, l, d, s->a); break;
    case FZ_INST_SQRT:
        widen(e, s, t0, s->a);
        rr(e, typed(type, 0x51), l, d, s->scalar ? t0 : 0, t0);
        break;
    case FZ_INST_FMA:
        widen(e, s, d, s->c);
        widen(e, s, t0, s->a);
        if (s->b == s->a) {
            t1 = t0;
        } else {
            widen(e, s, t1, s->b);
        }
        rr(e, fma_op(s, 231), l, d, t0, t1);
        break;
    default:
        widen(e, s, d, s->a);
        if (s->b == s->a) {
            t0 = d;
        } else {
            widen(e, s, t0, s->b);
        }
        rr(e, typed(type, opcode_of[s->op]), l, d, d, t0);
    }
}

/* Add the word and cut; high: of the upper lanes. */
static void cut29(fz_emit *e, int l, int x, int t, bool high)
{
    if (e->variant == FZ_SR_NEAREST) {
        shift(e, OP_SHIFTQ, 2, l, t, x, 29);
        rk(e, OP_PAND, l, t, t, FZ_K_ONE64);
        rr(e, OP_PADDQ, l, x, x, t);
        rk(e, OP_PADDQ, l, x, x, FZ_K_HALF29);
    } else {
        if (high)
            rk(e, OP_PAND, l, t, e->state, FZ_K_LOW29);
        else
            shift(e, OP_SHIFTQ, 2, l, t, e->state, 35);
        rr(e, OP_PADDQ, l, x, x, t);
    }
    rk(e, OP_PAND, l, x, x, FZ_K_HIGH35);
}

/* Sums and roots of f32 are exact where they are subnormal, conversions from integers
 * never are. */
static bool may_underflow(int op)
{
    return op == FZ_INST_MUL || op == FZ_INST_DIV || op == FZ_INST_FMA ||
           op == FZ_INST_F64_F32;
}

static void sr_f32(fz_emit *e, const site *s)
{
    int hi = e->temp[0], lo = e->temp[1], t0 = e->temp[2], t1 = e->temp[3];
    int l = s->scalar ? 0 : e->wide;
    /* Lanes of f32 are twice those of f64 in a register, but for xmm beside ymm. */
    bool pair = !s->scalar && s->op != FZ_INST_F64_F32 && (s->l || !e->wide);
    if (s->op == FZ_INST_F64_F32 && !s->scalar)
        l = s->l;
    step(e);
    if (by_memory(e, s))
        spill(e, s);
    if (pair)
        wide_half(e, s, true, hi, lo, t0);
    wide_half(e, s, false, lo, t0, t1);
    fz_slow *w = NULL;
    bool test = may_underflow(s->op);
    if (test) {
        flags_save(e);
        if (pair) {
            fz_rrri(e->code, OP_SHUFPS, l, t0, lo, hi, 0xdd);
            rr(e, OP_PADDD, l, t0, t0, t0);
            rk(e, OP_PSUBD, l, t0, t0, FZ_K_RANGE32H);
        } else {
            rr(e, OP_PADDQ, l, t0, lo, lo);
            rk(e, OP_PSUBQ, l, t0, t0, FZ_K_RANGE32);
        }
        w = leave_if(e, pair ? OP_TESTPS : OP_TESTPD, l, t0, s->scalar);
        w->zeros = true;
        w->pair = pair;
        w->s = lo;
        w->hi = hi;
        w->tmp = t1;
        w->site = descriptor(e, s, s->scalar ? lo : s->result);
        w->load = s->load;
        w->mem = s->mem;
    }
    if (pair)
        cut29(e, l, hi, t0, true);
    cut29(e, l, lo, t0, false);
    if (s->scalar) {
        rr(e, OP_CVTSD2SS, 0, lo, lo, lo);
    } else if (!pair) {
        rr(e, OP_CVTPD2PS, l, s->result, 0, lo);
    } else {
        rr(e, OP_CVTPD2PS, l, lo, 0, lo);
        rr(e, OP_CVTPD2PS, l, hi, 0, hi);
        if (e->wide)
            fz_rrri(e->code, OP_INSERTF128, 1, s->result, lo, hi, 1);
        else
            rr(e, OP_MOVLHPS, 0, s->result, lo, hi);
    }
    if (w)
        w->back = e->code->n;
    if (s->scalar)
        finish(e, s, lo, 0);
    if (test)
        flags_restore(e);
}

/* ---- f64 by sr ---------------------------------------------------------------------------- */

/* s = x + y, rho its error; s, rho, t distinct from x and y. Knuth's TwoSum; d: the
 * second half only, s being there. */
static void two_sum_error(fz_emit *e, int l, int type, int x, int y, bool minus, int s,
                          int rho, int t)
{
    unsigned add = typed(type, 0x58), sub = typed(type, 0x5c);
    rr(e, sub, l, t, s, x);   /* yy */
    rr(e, sub, l, rho, s, t); /* xx */
    rr(e, sub, l, rho, x, rho);
    if (minus) {
        rr(e, add, l, t, y, t);
        rr(e, sub, l, rho, rho, t);
    } else {
        rr(e, sub, l, t, y, t);
        rr(e, add, l, rho, rho, t);
    }
}

static void fused(fz_emit *e, int l, bool scalar, int d, int x, int y, bool minus_product,
                  bool minus_addend)
{
    site s = {.scalar = scalar, .minus_product = minus_product,
              .minus_addend = minus_addend};
    rr(e, fma_op(&s, 231), l, d, x, y);
}

/* x rounded by its error rho: x + floor((w + rho/ulp * 2^52) / 2^52) on the bits. ulp is
 * that of the number below |x|, where the error points there. */
static void cut_f64(fz_emit *e, int l, bool scalar, int x, int rho, int t0, int t1)
{
    rk(e, OP_PAND, l, t0, x, FZ_K_SIGN64);
    rr(e, OP_PXOR, l, rho, rho, t0);
    shift(e, OP_SHIFTQ, 2, l, t0, rho, 63);
    rr(e, OP_PSUBQ, l, t1, x, t0);
    rk(e, OP_PANDN, l, t1, t1, FZ_K_EXP64);
    rk(e, OP_PADDQ, l, t1, t1, FZ_K_SCALE64);
    site plain = {.scalar = scalar};
    fz_rrk(e->code, fma_op(&plain, 213), l, rho, t1, 32 * FZ_K_MAGIC64);
    if (e->variant == FZ_SR_NEAREST)
        rk(e, OP_PADDQ, l, t0, t0, FZ_K_HALF52);
    else
        shift(e, OP_SHIFTQ, 2, l, t0, e->state, 12);
    rr(e, OP_PADDQ, l, rho, rho, t0);
    rk(e, OP_PSUBQ, l, rho, rho, FZ_K_UNBIAS64);
    shift(e, OP_SHIFTQ, 2, l, rho, rho, 52);
    rk(e, OP_PADDQ, l, x, x, FZ_K_MINUS1);
    rr(e, OP_PADDQ, l, x, x, rho);
}

static void sr_f64(fz_emit *e, const site *s)
{
    int x = e->temp[0], rho = e->temp[1], t0 = e->temp[2], t1 = e->temp[3];
    int r1 = e->temp[4], u = e->temp[5], ue = e->temp[6];
    int l = s->scalar ? 0 : s->l, type = s->scalar ? SD : PD;
    int a = s->a, c = s->c;
    step(e);
    if (s->op == FZ_INST_FMA) {
        if (s->minus_product) {
            a = e->temp[7];
            rk(e, OP_PXOR, l, a, s->a, FZ_K_SIGN64);
        }
        if (s->minus_addend) {
            c = e->temp[8];
            rk(e, OP_PXOR, l, c, s->c, FZ_K_SIGN64);
        }
        rr(e, typed(type, 0x59), l, u, a, s->b);
        mov(e, l, x, c);
        fused(e, l, s->scalar, x, a, s->b, false, false);
    } else if (s->op == FZ_INST_SQRT) {
        rr(e, typed(type, 0x51), l, x, s->scalar ? a : 0, a);
    } else {
        rr(e, typed(type, opcode_of[s->op]), l, x, a, s->b);
    }

    flags_save(e);
    /* Of the root's operand, since it bounds the residual; of the dividend, of the product. */
    int first = s->op == FZ_INST_SQRT ? a : x;
    rr(e, OP_PADDQ, l, t0, first, first);
    rk(e, OP_PSUBQ, l, t0, t0, FZ_K_RANGE64);
    if (s->op == FZ_INST_FMA || s->op == FZ_INST_DIV) {
        int other = s->op == FZ_INST_FMA ? u : a;
        rr(e, OP_PADDQ, l, t1, other, other);
        rk(e, OP_PSUBQ, l, t1, t1, FZ_K_RANGE64);
        rr(e, OP_POR, l, t0, t0, t1);
    }
    fz_slow *w = leave_if(e, OP_TESTPD, l, t0, s->scalar);
    w->zeros = s->op == FZ_INST_ADD || s->op == FZ_INST_SUB || s->op == FZ_INST_MUL ||
               s->op == FZ_INST_DIV;
    w->s = x;
    w->hi = rho;
    w->p = r1;
    w->tmp = t1;
    w->site = descriptor(e, s, s->scalar ? x : s->result);

    switch (s->op) {
    case FZ_INST_ADD:
    case FZ_INST_SUB:
        two_sum_error(e, l, type, a, s->b, s->op == FZ_INST_SUB, x, rho, t0);
        break;
    case FZ_INST_MUL:
        mov(e, l, rho, x);
        fused(e, l, s->scalar, rho, a, s->b, false, true);
        break;
    case FZ_INST_DIV:
        mov(e, l, rho, a);
        fused(e, l, s->scalar, rho, x, s->b, true, false);
        rr(e, typed(type, 0x5e), l, rho, rho, s->b);
        break;
    case FZ_INST_SQRT:
        mov(e, l, rho, a);
        fused(e, l, s->scalar, rho, x, x, true, false);
        rr(e, typed(type, 0x58), l, t0, x, x);
        rr(e, typed(type, 0x5e), l, rho, rho, t0);
        break;
    default: /* ((s2 - x) + r2) + r1 with c + ue = s1 + r1 and u + s1 = s2 + r2 */
        mov(e, l, ue, u);
        fused(e, l, s->scalar, ue, a, s->b, false, true);
        rr(e, typed(type, 0x58), l, t1, c, ue); /* s1 */
        two_sum_error(e, l, type, c, ue, false, t1, r1, t0);
        rr(e, typed(type, 0x58), l, ue, u, t1); /* s2 */
        two_sum_error(e, l, type, u, t1, false, ue, rho, t0);
        rr(e, typed(type, 0x5c), l, ue, ue, x);
        rr(e, typed(type, 0x58), l, rho, ue, rho);
        rr(e, typed(type, 0x58), l, rho, rho, r1);
    }
    cut_f64(e, l, s->scalar, x, rho, t0, t1);
    if (!s->scalar)
        mov(e, l, s->result, x);
    w->back = e->code->n;
    if (s->scalar)
        finish(e, s, x, 0);
    flags_restore(e);
}

/* ---- ud: the nearest result, and one unit -------------------------------------------------- */

static void up_or_down(fz_emit *e, const site *s)
{
    int x = e->temp[0], t0 = e->temp[1], t1 = e->temp[2];
    int l = s->scalar ? 0 : s->l;
    int type = s->f64 ? (s->scalar ? SD : PD) : s->scalar ? SS : PS;
    step(e);
    if (s->op == FZ_INST_FMA) {
        unsigned op = fma_op(s, 231);
        mov(e, l, x, s->c);
        rr(e, s->f64 ? op : op & ~(1u << 8), l, x, s->a, s->b);
    } else if (s->op == FZ_INST_SQRT) {
        rr(e, typed(type, 0x51), l, x, s->scalar ? s->a : 0, s->a);
    } else {
        rr(e, typed(type, opcode_of[s->op]), l, x, s->a, s->b);
    }
    if (s->f64) {
        rk(e, OP_PAND, l, t0, x, FZ_K_ABS64);
        rk(e, OP_PCMPGTQ, l, t1, t0, FZ_K_MAX64);
        rk(e, OP_PCMPGTQ, l, t0, t0, FZ_K_ZERO);
        rr(e, OP_PANDN, l, t0, t1, t0);
        shift(e, OP_SHIFTQ, 2, l, t1, e->state, 63);
        rr(e, OP_PADDQ, l, t1, t1, t1);
        rk(e, OP_PADDQ, l, t1, t1, FZ_K_MINUS1);
        rr(e, OP_PAND, l, t0, t0, t1);
        rr(e, OP_PADDQ, l, x, x, t0);
    } else {
        rk(e, OP_PAND, l, t0, x, FZ_K_ABS32);
        rk(e, OP_PSUBD, l, t0, t0, FZ_K_ONE32);
        rk(e, OP_PMINUD, l, t1, t0, FZ_K_LAST32);
        rr(e, OP_PCMPEQD, l, t0, t0, t1);
        shift(e, OP_SHIFTD, 4, l, t1, e->state, 31);
        rk(e, OP_POR, l, t1, t1, FZ_K_ONE32);
        rr(e, OP_PAND, l, t0, t0, t1);
        rr(e, OP_PADDD, l, x, x, t0);
    }
    finish(e, s, x, l);
}

/* ---- Operands --------------------------------------------------------------------------- */

int fz_vector_register(ZydisRegister r)
{
    ZydisRegisterClass k = ZydisRegisterGetClass(r);
    return k == ZYDIS_REGCLASS_XMM || k == ZYDIS_REGCLASS_YMM || k == ZYDIS_REGCLASS_ZMM
               ? ZydisRegisterGetId(r)
               : -1;
}

fz_mem fz_mem_of(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *o,
                 uint64_t at)
{
    fz_mem m = {.modrm = (uint8_t)(x->raw.modrm.mod << 6 | x->raw.modrm.rm),
                .has_sib = x->raw.modrm.rm == 4,
                .sib = (uint8_t)((x->raw.sib.scale << 6 | x->raw.sib.index << 3 |
                                  x->raw.sib.base) & 255),
                .disp_size = x->raw.disp.size,
                .disp = (int32_t)x->raw.disp.value};
    if (o->mem.base == ZYDIS_REGISTER_RIP) {
        m.rip = true;
        m.target = at + x->length + (uint64_t)x->raw.disp.value;
    } else if (o->mem.base != ZYDIS_REGISTER_NONE) {
        m.b = ZydisRegisterGetId(o->mem.base) >= 8;
    }
    m.x = o->mem.index != ZYDIS_REGISTER_NONE && ZydisRegisterGetId(o->mem.index) >= 8;
    if (o->mem.segment == ZYDIS_REGISTER_FS)
        m.segment = 0x64;
    if (o->mem.segment == ZYDIS_REGISTER_GS)
        m.segment = 0x65;
    return m;
}

static bool is_memory(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* The operand in a vector register: loaded to `into` where it is memory. */
static int operand_in(fz_emit *e, const ZydisDecodedInstruction *x,
                      const ZydisDecodedOperand *o, uint64_t at, int bytes, int into)
{
    if (!is_memory(o))
        return fz_vector_register(o->reg.value);
    fz_mem m = fz_mem_of(x, o, at);
    fz_rrm(e->code, bytes == 4 ? OP_MOVSS : bytes == 8 ? OP_MOVSD : OP_LOAD, bytes == 32,
           into, 0, &m);
    return into;
}

/* The same, but 256 bits are only loaded where they are needed in a register. */
static int operand_later(fz_emit *e, site *s, const ZydisDecodedInstruction *x,
                         const ZydisDecodedOperand *o, uint64_t at, int bytes, int into)
{
    if (bytes != 32 || !is_memory(o))
        return operand_in(e, x, o, at, bytes, into);
    s->load = into;
    s->mem = fz_mem_of(x, o, at);
    return into;
}

int fz_emit_need(const fz_emit *e, const ZydisDecodedInstruction *x,
                 const ZydisDecodedOperand *operand, const char **why)
{
    fz_class c = fz_insn_class(x->mnemonic);
    bool vex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    *why = NULL;
    if (!vex && x->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        *why = "EVEX encoding";
    else if (!vex && e->wide)
        *why = "legacy encoding among 256-bit code";
    else if (x->address_width != 64)
        *why = "32-bit addresses";
    else if (c.op == FZ_INST_DOT)
        *why = "dot product instruction";
    else if (c.op == FZ_INST_F32_F16 && operand[2].imm.value.u & 3)
        *why = "directed rounding";
    else if (c.op == FZ_INST_F32_F16 && is_memory(&operand[0]))
        return 6;
    else if (operand[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
             fz_vector_register(operand[0].reg.value) < 0)
        *why = "unknown form";
    if (*why)
        return 0;
    int need = 4;
    if (c.op == FZ_INST_FMA && c.f64)
        need = 7 + c.minus_product + 2 * c.minus_addend;
    if (c.op == FZ_INST_FMA && c.f64 && c.minus_addend)
        need = 9;
    if (c.op == FZ_INST_FMA_ALT && c.f64)
        need = 7;
    if (c.f64 && (c.op == FZ_INST_MUL || c.op == FZ_INST_DIV))
        need = 5;
    if (c.op == FZ_INST_ADDSUB || c.op == FZ_INST_FMA_ALT)
        need++;
    if (c.op == FZ_INST_HADD || c.op == FZ_INST_HSUB)
        need += 2;
    return need + 1; /* memory operand, or a general register's value */
}

/* ---- One site --------------------------------------------------------------------------- */

static void round_site(fz_emit *e, site *s)
{
    bool conversion = s->op >= FZ_INST_F64_F32;
    enum fz_variant v = e->variant;
    bool in_line_sr = !s->f64 && v != FZ_DEFINITION && (v != FZ_UD || conversion);
    if (s->load >= 0 && !(in_line_sr && by_memory(e, s))) {
        fz_rrm(e->code, OP_LOAD, 1, s->load, 0, &s->mem);
        s->load = -1;
    }
    if (v == FZ_DEFINITION || s->op == FZ_INST_INT_F64 || s->op == FZ_INST_INT_F32 ||
        s->op == FZ_INST_F32_F16) {
        step(e);
        by_definition(e, s);
    } else if (v == FZ_UD && !conversion) {
        up_or_down(e, s);
    } else if (s->f64) {
        sr_f64(e, s);
    } else {
        sr_f32(e, s);
    }
}

/* cvtsi2sd of the instruction's own operand, which is exact or about to be found out. */
static void to_f64(fz_emit *e, const ZydisDecodedInstruction *x,
                   const ZydisDecodedOperand *o, uint64_t at, int d)
{
    unsigned op = OP_CVTSI2SD | (x->operand_width == 64 ? 1u << 8 : 0);
    rr(e, OP_PXOR, 0, d, d, d);
    if (is_memory(o)) {
        fz_mem m = fz_mem_of(x, o, at);
        fz_rrm(e->code, op, 0, d, d, &m);
    } else {
        rr(e, op, 0, d, d, ZydisRegisterGetId(o->reg.value));
    }
}

/* An integer of fewer than 53 bits is exact in f64; others are left to the definition. */
static void from_integer(fz_emit *e, site *s, const ZydisDecodedInstruction *x,
                         const ZydisDecodedOperand *o, uint64_t at, int temp)
{
    int y = e->temp[0], t = e->temp[2];
    s->a = s->b = s->c = temp;
    if (x->operand_width != 64) { /* from here on it is a conversion of f64 */
        to_f64(e, x, o, at, temp);
        s->op = FZ_INST_F64_F32;
        round_site(e, s);
        return;
    }
    if (is_memory(o))
        operand_in(e, x, o, at, 8, temp);
    else
        rr(e, OP_MOVQ_R, 0, temp, 0, ZydisRegisterGetId(o->reg.value));
    if (e->variant == FZ_DEFINITION) {
        round_site(e, s);
        return;
    }
    step(e);
    to_f64(e, x, o, at, y); /* while rax, which may lead to the operand, is the host's */
    flags_save(e);
    rk(e, OP_PADDQ, 0, t, temp, FZ_K_TWO52);
    fz_slow *w = leave_if(e, OP_PTEST, 0, t, true);
    w->l = 0;
    w->site = descriptor(e, s, y);
    if (!s->f64) {
        cut29(e, 0, y, t, false);
        rr(e, OP_CVTSD2SS, 0, y, y, y);
    }
    w->back = e->code->n;
    finish(e, s, y, 0);
    flags_restore(e);
}

void fz_emit_site(fz_emit *e, const ZydisDecodedInstruction *x,
                  const ZydisDecodedOperand *operand, uint64_t at)
{
    fz_class c = fz_insn_class(x->mnemonic);
    bool vex = x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    int last = x->operand_count_visible - 1;
    const char *why;
    int need = fz_emit_need(e, x, operand, &why);
    int loaded = e->temp[need - 1], extra = e->temp[need - 2], extra2 = e->temp[need - 3];
    site s = {.op = c.op, .f64 = c.f64, .scalar = c.scalar,
              .minus_product = c.minus_product, .minus_addend = c.minus_addend,
              .load = -1};
    s.l = vex && x->raw.vex.L;
    s.result = fz_vector_register(operand[0].reg.value);
    s.merge = vex && c.scalar && last >= 2 ? fz_vector_register(operand[1].reg.value)
                                           : s.result;
    int width = s.l ? 32 : 16;
    int element = c.f64 ? 8 : 4;
    s.lanes = c.scalar ? 1 : width / element;

    switch (c.op) {
    case FZ_INST_F32_F16: {
        s.a = s.b = s.c = fz_vector_register(operand[1].reg.value);
        if (is_memory(&operand[0]))
            s.result = loaded;
        round_site(e, &s);
        if (is_memory(&operand[0])) {
            fz_mem m = fz_mem_of(x, &operand[0], at);
            fz_rrm(e->code, s.l ? OP_STORE : OP_STOREQ, 0, s.result, 0, &m);
        }
        return;
    }
    case FZ_INST_INT_F32:
    case FZ_INST_INT_F64:
        from_integer(e, &s, x, &operand[last], at, loaded);
        return;
    case FZ_INST_F64_F32:
        s.lanes = c.scalar ? 1 : width / 8;
        s.a = s.b = s.c =
            operand_in(e, x, &operand[last], at, c.scalar ? 8 : width, loaded);
        round_site(e, &s);
        return;
    case FZ_INST_I32_F32:
    case FZ_INST_SQRT:
        s.a = s.b = s.c = operand_later(e, &s, x, &operand[last], at,
                                        c.scalar ? element : width, loaded);
        round_site(e, &s);
        return;
    case FZ_INST_FMA:
    case FZ_INST_FMA_ALT: {
        s.merge = s.result;
        int two = fz_vector_register(operand[1].reg.value);
        int three = c.op == FZ_INST_FMA
                        ? operand_later(e, &s, x, &operand[2], at,
                                        c.scalar ? element : width, loaded)
                        : operand_in(e, x, &operand[2], at, c.scalar ? element : width,
                                     loaded);
        switch (x->opcode >> 4) {
        case 9: s.a = s.result, s.b = three, s.c = two; break;
        case 0xa: s.a = two, s.b = s.result, s.c = three; break;
        default: s.a = two, s.b = three, s.c = s.result;
        }
        if (c.op == FZ_INST_FMA_ALT) {
            int k = c.f64 ? (c.odd_minus ? FZ_K_ODD64 : FZ_K_EVEN64)
                          : (c.odd_minus ? FZ_K_ODD32 : FZ_K_EVEN32);
            rk(e, OP_PXOR, s.l, extra, s.c, k);
            s.c = extra;
            s.op = FZ_INST_FMA;
        }
        round_site(e, &s);
        return;
    }
    default:
        s.a = vex ? fz_vector_register(operand[1].reg.value) : s.result;
        s.b = c.op == FZ_INST_ADDSUB || c.op == FZ_INST_HADD || c.op == FZ_INST_HSUB
                  ? operand_in(e, x, &operand[last], at, c.scalar ? element : width, loaded)
                  : operand_later(e, &s, x, &operand[last], at,
                                  c.scalar ? element : width, loaded);
    }

    if (c.op == FZ_INST_ADDSUB) {
        rk(e, OP_PXOR, s.l, extra, s.b, c.f64 ? FZ_K_EVEN64 : FZ_K_EVEN32);
        s.b = extra;
        s.op = FZ_INST_ADD;
    } else if (c.op == FZ_INST_HADD || c.op == FZ_INST_HSUB) {
        if (c.f64) {
            rr(e, OP_UNPCKLPD, s.l, extra, s.a, s.b);
            rr(e, OP_UNPCKHPD, s.l, extra2, s.a, s.b);
        } else {
            fz_rrri(e->code, OP_SHUFPS, s.l, extra, s.a, s.b, 0x88);
            fz_rrri(e->code, OP_SHUFPS, s.l, extra2, s.a, s.b, 0xdd);
        }
        s.a = extra;
        s.b = extra2;
        s.op = c.op == FZ_INST_HADD ? FZ_INST_ADD : FZ_INST_SUB;
    }
    s.c = s.a;
    round_site(e, &s);
}

/* ---- The stubs --------------------------------------------------------------------------- */

static void put_bytes(fz_code *c, const char *hex)
{
    for (; hex[0] && hex[1]; hex += 2) {
        char byte[3] = {hex[0], hex[1], 0};
        fz_put(c, (unsigned)strtoul(byte, NULL, 16));
    }
}

/* Registers that a C function may change, rax apart. */
static const uint8_t saved_gpr[] = {1, 2, 6, 7, 8, 9, 10, 11};

void fz_emit_stub(fz_code *c, int32_t tls, bool wide)
{
    fz_emit at = {.code = c, .tls = tls};
    fz_emit *e = &at;
    /* rax: the site; the host's is in tls.rax. Below the red zone the stack is ours. */
    fz_mov_tls(c, 0x89, 4, TLS(e, rsp));
    put_bytes(c, "488d642480"); /* lea -128(%rsp), %rsp */
    put_bytes(c, "9c");         /* pushfq; popq tls.flags */
    put_bytes(c, "648f0425");
    fz_put32(c, (uint32_t)TLS(e, flags));
    for (size_t i = 0; i < sizeof saved_gpr; i++)
        fz_mov_tls(c, 0x89, saved_gpr[i], TLS(e, gpr) + 8 * (int32_t)i);
    for (int v = 0; v < 16; v++)
        fz_rrt(c, OP_STORE, wide, v, 0, TLS(e, frame) + 32 * v);
    if (wide)
        put_bytes(c, "c5f877"); /* vzeroupper */
    put_bytes(c, "4883e4c0fc"); /* and $-64, %rsp; cld */
    put_bytes(c, "4889c7");       /* mov %rax, %rdi */
    put_bytes(c, "ff15");         /* call *table(%rip) */
    fz_put_fix(c, FZ_FIX_BLOB, FZ_AREA_DEFINITION, 0);
    fz_mov_tls(c, 0x89, 0, TLS(e, back));
    for (int v = 0; v < 16; v++)
        fz_rrt(c, OP_LOAD, wide, v, 0, TLS(e, frame) + 32 * v);
    for (size_t i = 0; i < sizeof saved_gpr; i++)
        fz_mov_tls(c, 0x8b, saved_gpr[i], TLS(e, gpr) + 8 * (int32_t)i);
    put_bytes(c, "64ff3425"); /* pushq tls.flags; popfq */
    fz_put32(c, (uint32_t)TLS(e, flags));
    put_bytes(c, "9d");
    fz_mov_tls(c, 0x8b, 4, TLS(e, rsp));
    fz_mov_tls(c, 0x8b, 0, TLS(e, rax));
    put_bytes(c, "64ff2425"); /* jmp *tls.back */
    fz_put32(c, (uint32_t)TLS(e, back));
}
