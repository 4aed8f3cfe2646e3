/* What cestac has in line that sr has not: sums in f32, a test of fma, directed rounding.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An inexact result goes either way with equal chances, so all that is to be known of its
 * error is whether there is one, and on which side.
 *
 * Products, quotients, roots and conversions that give f32 tell it in f64: they are exact
 * there, or have bits among the 29 that are cut. So it is sr's code with all ones or zero
 * for a word. A sum need not: 1 + 2^-60. With AVX2 sums of f32 are computed in f32: with X
 * and Y the larger and the smaller magnitude and S that of the result, S - X is exact
 * (Dekker), and what of Y it lacks or exceeds is the error. An fma of f32 whose f64 has 29
 * bits of zero is looked at in cold code. f64 has sr's transforms.
 *
 * With AVX-512 an operation is done twice, rounded up and down, and a mask chooses.
 */
#include "site.h"

/* ---- AVX2 --------------------------------------------------------------------------------- */

void fz_cestac_sum(fz_emit *e, const site *s)
{
    const int x = e->temp[0], a = e->temp[1], low = e->temp[2], top = e->temp[3],
              t = e->temp[4];
    const int l = s->scalar ? 0 : s->l, type = s->scalar ? SS : PS;
    fz_avx2_step(e);
    rr(e, typed(type, fz_site_opcode[s->op]), l, x, s->a, s->b);
    rk(e, OP_PAND, l, a, s->a, FZ_K_ABS32);
    rk(e, OP_PAND, l, low, s->b, FZ_K_ABS32);
    rr(e, OP_PMAXUD, l, top, a, low);
    rr(e, OP_PMINUD, l, low, a, low);
    rk(e, OP_PAND, l, a, x, FZ_K_ABS32);
    rk(e, OP_PSUBD, l, t, a, FZ_K_SUM32);
    rk(e, OP_PCMPGTD, l, t, t, s->scalar ? FZ_K_SUM32_SPAN_1 : FZ_K_SUM32_SPAN);
    fz_flags_save(e);
    fz_slow *w = fz_avx2_leave_if(e, OP_TESTPS, l, t, false);
    w->cestac = true;
    w->s = x;
    w->p = e->temp[5];
    w->q = a;
    w->site = fz_slow_site(e, s, s->scalar ? x : s->result);

    rr(e, typed(type, 0x5c), l, top, a, top);
    rk(e, OP_PAND, l, top, top, FZ_K_ABS32);
    rr(e, typed(type, 0xc2), l, a, low, top); /* cmpeqps: is there no error? */
    fz_put(e->code, 0);
    rr(e, OP_PSUBD, l, t, low, top);
    rr(e, OP_PXOR, l, low, s->a, s->b);
    rr(e, OP_PXOR, l, low, low, t);
    if (s->op == FZ_INST_SUB)
        rk(e, OP_PXOR, l, low, low, FZ_K_SIGN32);
    shift(e, OP_SHIFTD, 4, l, low, low, 31); /* -1: x is beyond the exact result */
    shift(e, OP_SHIFTD, 2, l, t, e->state, 31);
    rr(e, OP_PADDD, l, low, low, t);
    rr(e, OP_PANDN, l, a, a, low);
    rr(e, OP_PADDD, l, x, x, a);
    if (!s->scalar)
        mov(e, l, s->result, x);
    w->back = e->code->n;
    if (s->scalar)
        fz_avx2_finish(e, s, x, 0);
    fz_flags_restore(e);
}

/* A sum of zero is exact if |a| = |b|: it is not where the host flushes. */
static void cold_sum(fz_emit *e, const fz_slow *s)
{
    rr(e, OP_PXOR, s->l, s->p, s->site.a, s->site.b);
    rr(e, OP_PADDD, s->l, s->p, s->p, s->p);
    rr(e, OP_PADDD, s->l, s->q, s->s, s->s);
    rr(e, OP_POR, s->l, s->p, s->p, s->q);
    rk(e, OP_PCMPEQD, s->l, s->p, s->p, FZ_K_ZERO);
    rr(e, OP_PANDN, s->l, s->y, s->p, s->y);
    rk(e, OP_PAND, s->l, s->q, s->s, FZ_K_ABS32);
    rr(e, OP_TESTPS, s->l, s->y, 0, s->y);
    fz_jump_if(e->code, FZ_IF_ZERO, FZ_FIX_HERE, s->resume);
}

void fz_cestac_test_fma(fz_emit *e, int l, bool pair, int lo, int hi, int y, int t)
{
    if (pair) {
        fz_rrri(e->code, OP_SHUFPS, l, t, lo, hi, 0x88);
        shift(e, OP_SHIFTD, 6, l, t, t, 3);
        rk(e, OP_PCMPEQD, l, t, t, FZ_K_ZERO);
    } else {
        shift(e, OP_SHIFTQ, 6, l, t, lo, 35);
        rk(e, OP_PCMPEQQ, l, t, t, FZ_K_ZERO);
    }
    rr(e, OP_POR, l, y, y, t);
}

/* x, a half of the results in f64: is there one that is subnormal as a float, or inexact
 * though its last 29 bits are zero? An exact x is p + c with x - c = p and x - p = c; of an
 * inexact one Dekker's transform shows that one of these does not hold. */
static void cold_fma_half(fz_emit *e, const fz_slow *w, const site *s, bool high, int x)
{
    const int p = w->p, c = w->q, t = w->y, u = w->tmp, l = w->l;
    const int type = s->scalar ? SD : PD;
    fz_avx2_widen(e, s, high, p, s->a);
    fz_avx2_widen(e, s, high, c, s->b);
    rr(e, typed(type, 0x59), l, p, p, c);
    if (w->site.minus_product)
        rk(e, OP_PXOR, l, p, p, FZ_K_SIGN64);
    fz_avx2_widen(e, s, high, c, s->c);
    if (w->site.minus_addend)
        rk(e, OP_PXOR, l, c, c, FZ_K_SIGN64);
    rr(e, OP_PADDQ, l, t, x, x); /* of infinities and NaN there is no difference to take */
    rk(e, OP_PSUBQ, l, u, t, FZ_K_RANGE32);
    rk(e, OP_PCMPEQQ, l, t, t, FZ_K_ZERO);
    rr(e, OP_PANDN, l, t, t, u);
    if (s->scalar)
        rk(e, OP_TESTPD, 0, t, 0, FZ_K_LANE0);
    else
        rr(e, OP_TESTPD, l, t, 0, t);
}

static void cold_fma_exact(fz_emit *e, const fz_slow *w, const site *s, int x)
{
    const int p = w->p, c = w->q, t = w->y, u = w->tmp, l = w->l;
    const int type = s->scalar ? SD : PD;
    rr(e, typed(type, 0x5c), l, t, x, c);
    rr(e, typed(type, 0xc2), l, t, t, p);
    fz_put(e->code, 0);
    rr(e, typed(type, 0x5c), l, u, x, p);
    rr(e, typed(type, 0xc2), l, u, u, c);
    fz_put(e->code, 0);
    rr(e, OP_PAND, l, t, t, u);
    shift(e, OP_SHIFTQ, 6, l, u, x, 35);
    rk(e, OP_PCMPEQQ, l, u, u, FZ_K_ZERO);
    rr(e, OP_PANDN, l, t, t, u);
    if (s->scalar)
        rk(e, OP_TESTPD, 0, t, 0, FZ_K_LANE0);
    else
        rr(e, OP_TESTPD, l, t, 0, t);
}

static void cold_fma(fz_emit *e, const fz_slow *w)
{
    const site s = {.op = FZ_INST_FMA, .scalar = w->scalar, .load = -1, .a = w->site.a,
                    .b = w->site.b, .c = w->site.c, .l = w->pair && e->wide};
    size_t away[4];
    int n = 0;
    for (int high = 0; high <= w->pair; high++) {
        const int x = high ? w->hi : w->s;
        cold_fma_half(e, w, &s, high, x);
        away[n++] = fz_jump_if(e->code, FZ_IF_NOT_ZERO, FZ_FIX_HERE, 0);
        cold_fma_exact(e, w, &s, x);
        away[n++] = fz_jump_if(e->code, FZ_IF_NOT_ZERO, FZ_FIX_HERE, 0);
    }
    fz_jump(e->code, FZ_FIX_HERE, w->resume);
    while (n)
        fz_fix_here(e->code, away[--n]);
}

/* ---- AVX-512: directed rounding ------------------------------------------------------------ */

/* Lanes out of range, to the mask: results that nearest might flush or take to infinity. */
static void test_directed(fz_emit *e, const site *s, int l, int x, int t)
{
    if (s->f64) {
        ev(e, EV_ADDQ, l, t, x, x);
        evk(e, EV_SUBQ, l, t, t, FZ_K_RANGE64);
        fz_evk(e->code, EV_TESTMQ, l, e->mask[0], t,
               32 * (s->scalar ? FZ_K_SIGN64_1 : FZ_K_SIGN64), s->scalar ? 0 : EV_NO_FLAGS,
               0);
    } else {
        ev(e, EV_ADDD, l, t, x, x);
        evk(e, EV_SUBD, l, t, t, FZ_K_NORMAL32);
        fz_evk(e->code, EV_CMPUD, l, e->mask[0], t,
               32 * (s->scalar ? FZ_K_NORMAL32_SPAN_1 : FZ_K_NORMAL32_SPAN),
               s->scalar ? 0 : EV_NO_FLAGS, 1);
        fz_put(e->code, 6); /* greater */
    }
}

void fz_cestac_directed(fz_emit *e, const site *s)
{
    const int x = e->temp[0], down = e->temp[1], t = e->temp[3];
    const int l = s->scalar ? 0 : s->l;
    fz_evex_step(e);
    ev(e, s->f64 ? EV_MOVQ2M : EV_MOVD2M, 1, e->mask[0], 0, e->state);
    fz_evex_operate(e, s, x, EV_UP);
    fz_evex_operate(e, s, down, EV_DOWN);
    fz_ev(e->code, s->f64 ? EV_BLENDPD : EV_BLENDPS, l, x, x, down, e->mask[0]);
    test_directed(e, s, l, x, t);
    fz_flags_save(e);
    fz_slow *w = fz_evex_leave(e, s, l);
    fz_evex_describe(e, w, s);
    w->cestac = true;
    w->s = x;
    w->y = e->temp[2];
    if (s->scalar)
        ev(e, s->f64 ? EV_MOVSD : EV_MOVSS, 0, s->result, s->merge, x);
    else
        ev(e, EV_MOVAPS, l, s->result, 0, x);
    w->back = e->code->n;
    fz_flags_restore(e);
    fz_emit_changed(e, 1u << s->result);
}

/* A result of zero that is exact, in place of which downwards gives -0, is nearest's. That is
 * computed in any case: it raises the exceptions that the original does. */
static void cold_directed(fz_emit *e, const fz_slow *w)
{
    const int BAD = e->mask[0], EXACT = e->mask[1], OTHER = e->mask[2], FAR = e->mask[3];
    const site s = {.op = w->site.op, .f64 = w->f64, .scalar = w->scalar, .load = -1,
                    .a = w->operand[0], .b = w->operand[1], .c = w->operand[2], .l = w->l,
                    .minus_product = w->site.minus_product,
                    .minus_addend = w->site.minus_addend};
    const unsigned zero = w->f64 ? EV_TESTNMQ : EV_TESTNMD;
    const int abs = 32 * (w->f64 ? FZ_K_ABS64 : FZ_K_ABS32);
    fz_code *c = e->code;
    fz_lend_masks(e, OP_KSTORE);
    fz_evk(c, zero, w->l, EXACT, w->s, abs, EV_NO_FLAGS | BAD, 0);
    if (s.op == FZ_INST_MUL || s.op == FZ_INST_FMA) {
        fz_evk(c, zero, w->l, OTHER, s.a, abs, EV_NO_FLAGS | EXACT, 0);
        if (s.op == FZ_INST_FMA) { /* c so large that what is left over cannot underflow */
            ev(e, w->f64 ? EV_ADDQ : EV_ADDD, w->l, w->y, s.c, s.c);
            fz_evk(c, w->f64 ? EV_CMPUQ : EV_CMPUD, w->l, FAR, w->y,
                   32 * (w->f64 ? FZ_K_FAR64 : FZ_K_FAR32), EV_NO_FLAGS | EXACT, 1);
            fz_put(c, 5); /* not less */
            fz_rrr(c, OP_KORB, 1, OTHER, OTHER, FAR);
        }
        fz_evk(c, zero, w->l, EXACT, s.b, abs, EV_NO_FLAGS | EXACT, 0);
        fz_rrr(c, OP_KORB, 1, EXACT, EXACT, OTHER);
    }
    fz_evex_operate(e, &s, w->y, 0);
    fz_ev(c, w->f64 ? EV_MOVAPD : EV_MOVAPS, w->l, w->s, 0, w->y, EXACT);
    fz_rrr(c, OP_KANDNB, 1, EXACT, EXACT, BAD);
    fz_rrr(c, OP_KORTESTB, 0, EXACT, 0, EXACT);
    fz_lend_masks(e, OP_KLOAD);
    fz_jump_if(c, FZ_IF_ZERO, FZ_FIX_HERE, w->resume);
}

void fz_cestac_cold(fz_emit *e, const fz_slow *s)
{
    if (s->high)
        cold_directed(e, s);
    else if (s->site.op == FZ_INST_FMA)
        cold_fma(e, s);
    else
        cold_sum(e, s);
}
