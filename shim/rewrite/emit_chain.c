/* Scalar f64 by sr with AVX-512, where chains of sums wait for every cycle.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The operation rounded toward zero gives a, the neighbour of the exact x nearer zero, at
 * once, and with it the spacing; so the word becomes a threshold t that is ready before the
 * error x - a is. b is a and one unit on the bit pattern: after the error come a comparison
 * and a masked addition.
 *
 * The law: b iff F + w >= 2^52, F being (x - a)/(b - a)·2^52 rounded to nearest even. Here
 * F >= m with m = 2^52 - w, which is to say x - a >= t with t = (m - 1/2)·2^-52·(b - a), and
 * x - a > t, or at least the number after t, if m is odd, since then a tie goes to m - 1.
 * Both are f64 if the operation is a product. Of a sum x - a may have 54 bits (1 - 2^-80), the
 * error of the nearest s has not: where s is b, it is compared with t less b - a. A quotient
 * is never a tie.
 */
#include "site.h"

/* To d the bits of t, from those of a; to tie one if a tie goes to a; to e2 the bits of a's
 * power of two. Where a is zero garbage, but above the error. */
static void threshold(fz_emit *e, int a, int d, int tie, int e2)
{
    if (e->variant == FZ_SR_NEAREST) { /* half a unit, a tie to even */
        ev_whole(e, EV_ANDNQ, 0, tie, a, FZ_K_ONE64);
        ev_whole(e, EV_MOVSD, 0, d, 0, FZ_K_TWO51);
    } else { /* m - 1/2: 2^52 + m - 1 less 2^52 - 1/2 */
        ev_shift(e, EV_SHIFTQ, 2, 0, d, e->state, 12);
        ev_whole(e, EV_ANDQ, 0, tie, d, FZ_K_ONE64);
        ev_whole(e, EV_XORQ, 0, d, d, FZ_K_NOT52);
        ev_whole(e, of_type(SD, 0x5c), 0, d, d, FZ_K_UNDER52);
    }
    ev_whole(e, EV_ANDQ, 0, e2, a, FZ_K_EXP64);
    ev_whole(e, EV_ADDQ, 0, d, d, FZ_K_TO_UNIT);
    ev(e, EV_ADDQ, 0, d, d, e2);
    ev_whole(e, EV_ANDQ, 0, d, d, FZ_K_ABS64); /* should a be zero, and the error */
}

/* Of a sum: where s is not a it is b, and its error is compared with t less b - a. */
static void threshold_of_sum(fz_emit *e, int a, int s, int t, int tie, int e2)
{
    ev_whole(e, EV_SUBQ, 0, e2, e2, FZ_K_TO_ULP);
    ev(e, EV_CMPQ, 0, e->mask[0], s, a);
    fz_put(e->code, 4); /* not equal */
    fz_ev(e->code, of_type(SD, 0x5c), 0, t, t, e2, e->mask[0]);
    ev(e, EV_ADDQ, 0, t, t, tie);
    ev(e, EV_ADDQ, 0, tie, tie, tie);
    fz_ev(e->code, EV_SUBQ, 0, t, t, tie, e->mask[0]); /* the number after t, which is negative */
}

/* rho = s - (x + y), s being the nearest sum (Dekker). */
static void sum_error(fz_emit *e, int x, int y, int s, int rho, int t)
{
    const unsigned sub = of_type(SD, 0x5c);
    ev(e, EV_RANGESD, 0, t, x, y);
    fz_put(e->code, 7); /* larger magnitude */
    ev(e, EV_RANGESD, 0, rho, x, y);
    fz_put(e->code, 6); /* smaller */
    ev(e, sub, 0, t, s, t);
    ev(e, sub, 0, rho, t, rho);
}

static void fused(fz_emit *e, int d, int x, int y, bool minus_product, bool minus_addend)
{
    site s = {.scalar = true, .minus_product = minus_product, .minus_addend = minus_addend};
    ev(e, fz_site_fma(&s, 231), 0, d, x, y);
}

/* rho = a - (x·y + c), as in emit_evex.c: (a - v) - (r + ue) with x·y = u + ue, c + u = v + r. */
static void fma_error(fz_emit *e, int x, int y, int c, int a, int rho)
{
    const int t0 = e->temp[2], v = e->temp[3], r = e->temp[4], u = e->temp[5],
              ue = e->temp[6];
    const unsigned add = of_type(SD, 0x58), sub = of_type(SD, 0x5c);
    ev(e, EV_MOVAPD, 0, ue, 0, u);
    fused(e, ue, x, y, false, true);
    ev(e, add, 0, v, c, u);
    ev(e, EV_RANGESD, 0, t0, c, u);
    fz_put(e->code, 7);
    ev(e, EV_RANGESD, 0, r, c, u);
    fz_put(e->code, 6);
    ev(e, sub, 0, t0, v, t0);
    ev(e, sub, 0, r, r, t0);
    ev(e, add, 0, r, r, ue);
    ev(e, sub, 0, v, a, v);
    ev(e, sub, 0, rho, v, r);
}

/* The mask of b, from rho = a - x. */
static void compare(fz_emit *e, const site *s, int a, int rho, int t, int other)
{
    if (s->op == FZ_INST_DIV) { /* rho is the remainder: |rho| - t·|b| has the sign */
        evk(e, EV_ANDQ, 0, rho, rho, FZ_K_ABS64);
        evk(e, EV_ANDQ, 0, other, s->b, FZ_K_ABS64);
        site minus = {.scalar = true, .minus_product = true};
        fz_ev(e->code, fz_site_fma(&minus, 231), 0, rho, t, other, EV_NO_FLAGS);
        evk(e, EV_TESTNMQ, 0, e->mask[0], rho, FZ_K_SIGN64);
        return;
    }
    /* x - a, or x - s, in the direction of a. */
    fz_evk(e->code, EV_TERNQ, 0, rho, a, 32 * FZ_K_SIGN64, EV_NO_FLAGS, 1);
    fz_put(e->code, 0xd2); /* rho ^ (~a & sign) */
    ev(e, of_type(SD, 0xc2), 0, e->mask[0], rho, t);
    fz_put(e->code, 0x1d); /* not less, no exception */
}

void fz_chain_sr(fz_emit *e, const site *s)
{
    const int a = e->temp[0], rho = e->temp[1], t0 = e->temp[2], t1 = e->temp[3],
              other = e->temp[4], u = e->temp[5];
    const bool sum = s->op == FZ_INST_ADD || s->op == FZ_INST_SUB;
    site op = *s;
    fz_evex_step(e);
    if (s->op == FZ_INST_FMA) {
        if (s->minus_product)
            evk(e, EV_XORQ, 0, op.a = e->temp[7], s->a, FZ_K_SIGN64);
        if (s->minus_addend)
            evk(e, EV_XORQ, 0, op.c = e->temp[8], s->c, FZ_K_SIGN64);
        op.minus_product = op.minus_addend = false;
        ev(e, of_type(SD, 0x59), 0, u, op.a, s->b);
    }
    fz_evex_operate(e, &op, a, EV_CUT);
    if (sum)
        fz_evex_operate(e, &op, other, 0);
    fz_flags_save(e);
    fz_evex_test_f64(e, s, 0, a, s->op == FZ_INST_FMA   ? u
                                 : s->op == FZ_INST_DIV ? s->a : -1, t0, t1);
    fz_slow *w = fz_evex_leave(e, s, 0);
    w->zeros = true;
    w->cut = !sum;
    w->s = a;
    w->u = u;
    fz_evex_describe(e, w, s);
    switch (s->op) {
    case FZ_INST_SUB:
        evk(e, EV_XORQ, 0, t1, s->b, FZ_K_SIGN64);
        sum_error(e, s->a, t1, other, rho, t0);
        break;
    case FZ_INST_ADD: sum_error(e, s->a, s->b, other, rho, t0); break;
    case FZ_INST_MUL:
        ev(e, EV_MOVAPD, 0, rho, 0, a);
        fused(e, rho, s->a, s->b, true, false);
        break;
    case FZ_INST_DIV:
        ev(e, EV_MOVAPD, 0, rho, 0, s->a);
        fused(e, rho, a, s->b, true, false);
        break;
    default: fma_error(e, op.a, s->b, op.c, a, rho);
    }
    threshold(e, a, t1, u, t0);
    if (sum)
        threshold_of_sum(e, a, other, t1, u, t0);
    else if (s->op != FZ_INST_DIV)
        ev(e, EV_ADDQ, 0, t1, t1, u);
    compare(e, s, a, rho, t1, other);
    ev(e, EV_MOVSD, 0, s->result, s->merge, a);
    fz_evk(e->code, EV_ADDQ, 0, s->result, s->result, 32 * FZ_K_ONE64_1, e->mask[0], 0);
    w->back = e->code->n;
    fz_flags_restore(e);
    fz_emit_changed(e, 1u << s->result);
}
