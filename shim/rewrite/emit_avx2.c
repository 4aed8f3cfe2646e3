/* Rounding in line with AVX2: vector registers that the block lends to it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "site.h"

void fz_avx2_step(fz_emit *e)
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

/* y has the sign of each lane out of range (OP_PTEST: high bits): leave for the cold code if there is one. */
fz_slow *fz_avx2_leave_if(fz_emit *e, unsigned test, int l, int y, bool scalar)
{
    if (scalar)
        rk(e, test, 0, y, 0, test == OP_PTEST ? FZ_K_HIGH11 : FZ_K_LANE0);
    else
        rr(e, test, l, y, 0, y);
    fz_slow *s = fz_slow_new(e);
    s->jump = fz_jump_if(e->code, FZ_IF_NOT_ZERO, FZ_FIX_HERE, 0);
    s->resume = e->code->n;
    s->y = y;
    s->l = l;
    s->scalar = scalar;
    s->flags_saved = e->flags_live;
    return s;
}

/* A scalar result in the low lane of r goes to its register; a packed one has to be there. */
void fz_avx2_finish(fz_emit *e, const site *s, int r, int packed_l)
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
    fz_slow *w = fz_slow_new(e);
    w->site = fz_slow_site(e, s, r);
    w->jump = fz_jump(e->code, FZ_FIX_HERE, 0);
    w->back = e->code->n;
    fz_avx2_finish(e, s, r, 0); /* a packed one is there already */
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

void fz_avx2_widen(fz_emit *e, const site *s, bool high, int d, int x)
{
    (high ? widen_high : widen_low)(e, s, d, x);
}

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
        rr(e, fz_site_fma(s, 231), l, d, t0, t1);
        break;
    default:
        widen(e, s, d, s->a);
        if (s->b == s->a) {
            t0 = d;
        } else {
            widen(e, s, t0, s->b);
        }
        rr(e, typed(type, fz_site_opcode[s->op]), l, d, d, t0);
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
    } else if (e->variant == FZ_CESTAC) { /* all ones or zero */
        shift(e, OP_SHIFTD, 4, l, t, e->state, 31);
        if (high)
            rk(e, OP_PAND, l, t, t, FZ_K_LOW29);
        else
            shift(e, OP_SHIFTQ, 2, l, t, t, 35);
        rr(e, OP_PADDQ, l, x, x, t);
    } else {
        if (high)
            rk(e, OP_PAND, l, t, e->state, FZ_K_LOW29);
        else
            shift(e, OP_SHIFTQ, 2, l, t, e->state, 35);
        rr(e, OP_PADDQ, l, x, x, t);
    }
    rk(e, OP_PAND, l, x, x, FZ_K_HIGH35);
}

static void sr_f32(fz_emit *e, const site *s)
{
    int hi = e->temp[0], lo = e->temp[1], t0 = e->temp[2], t1 = e->temp[3];
    int l = s->scalar ? 0 : e->wide;
    /* Lanes of f32 are twice those of f64 in a register, but for xmm beside ymm. */
    bool pair = !s->scalar && s->op != FZ_INST_F64_F32 && (s->l || !e->wide);
    if (s->op == FZ_INST_F64_F32 && !s->scalar)
        l = s->l;
    fz_avx2_step(e);
    if (by_memory(e, s))
        spill(e, s);
    if (pair)
        wide_half(e, s, true, hi, lo, t0);
    wide_half(e, s, false, lo, t0, t1);
    fz_slow *w = NULL;
    bool test = fz_site_underflows(s->op);
    bool cestac_fma = e->variant == FZ_CESTAC && s->op == FZ_INST_FMA;
    if (test) {
        fz_flags_save(e);
        if (pair) {
            fz_rrri(e->code, OP_SHUFPS, l, t0, lo, hi, 0xdd);
            rr(e, OP_PADDD, l, t0, t0, t0);
            rk(e, OP_PSUBD, l, t0, t0, FZ_K_RANGE32H);
        } else {
            rr(e, OP_PADDQ, l, t0, lo, lo);
            rk(e, OP_PSUBQ, l, t0, t0, FZ_K_RANGE32);
        }
        if (cestac_fma)
            fz_cestac_test_fma(e, l, pair, lo, hi, t0, t1);
        w = fz_avx2_leave_if(e, pair ? OP_TESTPS : OP_TESTPD, l, t0, s->scalar);
        w->zeros = true;
        w->pair = pair;
        w->s = lo;
        w->hi = hi;
        w->tmp = t1;
        w->cestac = cestac_fma;
        w->p = e->temp[4];
        w->q = e->temp[5];
        w->site = fz_slow_site(e, s, s->scalar ? lo : s->result);
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
        fz_avx2_finish(e, s, lo, 0);
    if (test)
        fz_flags_restore(e);
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
    rr(e, fz_site_fma(&s, 231), l, d, x, y);
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
    fz_rrk(e->code, fz_site_fma(&plain, 213), l, rho, t1, 32 * FZ_K_MAGIC64);
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

/* Cestac: x and the next number on the side of its error, which has the sign of rho, or of
 * rho·b where b is a register: away from zero or not. */
static void choose_f64(fz_emit *e, int l, int x, int rho, int b, int t0, int t1)
{
    rr(e, OP_PXOR, l, t0, x, rho);
    if (b >= 0)
        rr(e, OP_PXOR, l, t0, t0, b);
    shift(e, OP_SHIFTQ, 2, l, t0, t0, 63); /* x is beyond the exact result */
    shift(e, OP_SHIFTQ, 2, l, t1, e->state, 63);
    rr(e, OP_PSUBQ, l, t1, t1, t0);
    rr(e, OP_PADDQ, l, rho, rho, rho); /* of either sign */
    rk(e, OP_PCMPEQQ, l, rho, rho, FZ_K_ZERO);
    rr(e, OP_PANDN, l, t1, rho, t1);
    rr(e, OP_PADDQ, l, x, x, t1);
}

static void sr_f64(fz_emit *e, const site *s)
{
    const bool cestac = e->variant == FZ_CESTAC;
    int x = e->temp[0], rho = e->temp[1], t0 = e->temp[2], t1 = e->temp[3];
    int r1 = e->temp[4], u = e->temp[5], ue = e->temp[6];
    int l = s->scalar ? 0 : s->l, type = s->scalar ? SD : PD;
    int a = s->a, c = s->c;
    fz_avx2_step(e);
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
        rr(e, typed(type, fz_site_opcode[s->op]), l, x, a, s->b);
    }

    fz_flags_save(e);
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
    fz_slow *w = fz_avx2_leave_if(e, OP_TESTPD, l, t0, s->scalar);
    w->zeros = s->op != FZ_INST_SQRT;
    w->s = x;
    w->hi = rho;
    w->p = r1;
    w->u = u;
    w->q = ue;
    w->tmp = t1;
    w->site = fz_slow_site(e, s, s->scalar ? x : s->result);

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
        if (!cestac)
            rr(e, typed(type, 0x5e), l, rho, rho, s->b);
        break;
    case FZ_INST_SQRT:
        mov(e, l, rho, a);
        fused(e, l, s->scalar, rho, x, x, true, false);
        if (cestac)
            break;
        rr(e, typed(type, 0x58), l, t0, x, x);
        rr(e, typed(type, 0x5e), l, rho, rho, t0);
        break;
    default: /* (v - x) + (r + ue) with a·b = u + ue and c + u = v + r */
        mov(e, l, ue, u);
        fused(e, l, s->scalar, ue, a, s->b, false, true);
        if (cestac) { /* exact, of its sign at least: c + ue = t1 + r1, u + t1 = ue' + rho */
            rr(e, typed(type, 0x58), l, t1, c, ue);
            two_sum_error(e, l, type, c, ue, false, t1, r1, t0);
            rr(e, typed(type, 0x58), l, ue, u, t1);
            two_sum_error(e, l, type, u, t1, false, ue, rho, t0);
            rr(e, typed(type, 0x5c), l, ue, ue, x);
            rr(e, typed(type, 0x58), l, rho, ue, rho);
            rr(e, typed(type, 0x58), l, rho, rho, r1);
            break;
        }
        rr(e, typed(type, 0x58), l, t1, c, u); /* v */
        two_sum_error(e, l, type, c, u, false, t1, r1, t0);
        rr(e, typed(type, 0x5c), l, t1, t1, x);
        rr(e, typed(type, 0x58), l, rho, r1, ue);
        rr(e, typed(type, 0x58), l, rho, t1, rho);
    }
    if (cestac)
        choose_f64(e, l, x, rho, s->op == FZ_INST_DIV ? s->b : -1, t0, t1);
    else
        cut_f64(e, l, s->scalar, x, rho, t0, t1);
    if (!s->scalar)
        mov(e, l, s->result, x);
    w->back = e->code->n;
    if (s->scalar)
        fz_avx2_finish(e, s, x, 0);
    fz_flags_restore(e);
}

/* ---- ud: the nearest result, and one unit -------------------------------------------------- */

static void up_or_down(fz_emit *e, const site *s)
{
    int x = e->temp[0], t0 = e->temp[1], t1 = e->temp[2];
    int l = s->scalar ? 0 : s->l;
    int type = s->f64 ? (s->scalar ? SD : PD) : s->scalar ? SS : PS;
    fz_avx2_step(e);
    if (s->op == FZ_INST_FMA) {
        unsigned op = fz_site_fma(s, 231);
        mov(e, l, x, s->c);
        rr(e, s->f64 ? op : op & ~(1u << 8), l, x, s->a, s->b);
    } else if (s->op == FZ_INST_SQRT) {
        rr(e, typed(type, 0x51), l, x, s->scalar ? s->a : 0, s->a);
    } else {
        rr(e, typed(type, fz_site_opcode[s->op]), l, x, s->a, s->b);
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
    fz_avx2_finish(e, s, x, l);
}

/* ---- One site --------------------------------------------------------------------------- */

void fz_avx2_round(fz_emit *e, site *s)
{
    bool conversion = s->op >= FZ_INST_F64_F32;
    enum fz_variant v = e->variant;
    bool sum = s->op == FZ_INST_ADD || s->op == FZ_INST_SUB;
    bool in_line_sr = !s->f64 && v != FZ_DEFINITION && (v != FZ_UD || conversion) &&
                      !(v == FZ_CESTAC && (sum || s->op == FZ_INST_FMA));
    if (s->load >= 0 && !(in_line_sr && by_memory(e, s))) {
        fz_rrm(e->code, OP_LOAD, 1, s->load, 0, &s->mem);
        s->load = -1;
    }
    if (v == FZ_DEFINITION || s->op == FZ_INST_INT_F64 || s->op == FZ_INST_INT_F32 ||
        s->op == FZ_INST_F32_F16) {
        fz_avx2_step(e);
        by_definition(e, s);
    } else if (v == FZ_UD && !conversion) {
        up_or_down(e, s);
    } else if (s->f64) {
        sr_f64(e, s);
    } else if (v == FZ_CESTAC && sum) {
        fz_cestac_sum(e, s);
    } else {
        sr_f32(e, s);
    }
}

void fz_avx2_integer(fz_emit *e, site *s, int y)
{
    int t = e->temp[2];
    fz_flags_save(e);
    rk(e, OP_PADDQ, 0, t, s->a, FZ_K_TWO52);
    fz_slow *w = fz_avx2_leave_if(e, OP_PTEST, 0, t, true);
    w->l = 0;
    w->site = fz_slow_site(e, s, y);
    if (!s->f64) {
        cut29(e, 0, y, t, false);
        rr(e, OP_CVTSD2SS, 0, y, y, y);
    }
    w->back = e->code->n;
    fz_avx2_finish(e, s, y, 0);
    fz_flags_restore(e);
}
