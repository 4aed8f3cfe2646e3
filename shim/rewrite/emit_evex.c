/* Rounding in line with AVX-512, in registers that the moved code does not have.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The moved code is VEX or legacy code, so vector registers 16 to 31 and the masks are free
 * (high.c says where not): nothing is lent, saved or restored, and to write them does not
 * put upper halves in use.
 *
 * f32 is computed in f64 as with AVX2, eight lanes in one register. Its result, before it
 * is narrowed, is the f64 of the register that it goes to: it is kept, and so are operands
 * that were widened, until something else writes the register. In loops some are pinned
 * (region.c): these are kept up to date at all places, and the chain from one round of the
 * loop to the next holds no conversions.
 *
 * The strand lies in register 31, twice where eight lanes take words, one half shifted.
 */
#include "site.h"

/* Masks. */
#define TEST (e->mask[0])
#define OTHER (e->mask[1])
#define THIRD (e->mask[2])

enum {
    /* Places in the frame beyond the library's registers. */
    IN_STATE = 16, IN_OPERAND = 17, IN_RESULT = 20
};

void fz_evex_step(fz_emit *e)
{
    const int s = e->state;
    if (e->variant != FZ_SR_NEAREST)
        ev_whole(e, EV_AESENC, e->twice ? 2 : 1, s, s, FZ_K_KEY512);
}

void fz_evex_load(fz_emit *e, int bytes, int into, const fz_mem *m)
{
    fz_evm(e->code, bytes == 4 ? EV_MOVSS : bytes == 8 ? EV_MOVSD : EV_LOADPS, bytes == 32,
           into, 0, m);
}

/* ---- The way to the definition ---------------------------------------------------------- */

fz_slow *fz_evex_leave(fz_emit *e, const site *s, int l)
{
    fz_rrr(e->code, OP_KORTESTB, 0, TEST, 0, TEST);
    fz_slow *w = fz_slow_new(e);
    w->jump = fz_jump_if(e->code, FZ_IF_NOT_ZERO, FZ_FIX_HERE, 0);
    w->resume = e->code->n;
    w->l = l;
    w->scalar = s->scalar;
    w->flags_saved = e->flags_live;
    w->load = s->load;
    w->mem = s->mem;
    return w;
}

/* Where an operand of the definition lies in the frame. */
static uint8_t place(int reg, int operand)
{
    return (uint8_t)(reg < 16 ? reg : IN_OPERAND + operand);
}

void fz_evex_describe(fz_emit *e, fz_slow *w, const site *s)
{
    w->site = fz_slow_site(e, s, s->scalar || s->result >= 16 || e->lent ? IN_RESULT
                                                                         : s->result);
    w->site.a = place(s->a, 0);
    w->site.b = place(s->b, 1);
    w->site.c = place(s->c, 2);
    w->site.state = IN_STATE;
    w->site.legacy = false;
    w->operand[0] = s->a;
    w->operand[1] = s->b;
    w->operand[2] = s->c;
    w->result = s->result;
    w->merge = s->merge;
    w->high = true;
    w->f64 = s->f64;
    w->bytes = s->scalar ? 4 : s->l ? 32 : 16;
    w->tmp = e->temp[3];
}

void fz_evex_cold(fz_emit *e, const fz_slow *s)
{
    if (s->load >= 0)
        fz_evex_load(e, s->bytes, s->load, &s->mem);
    fz_evt(e->code, EV_STOREPS, 1, e->state, 0, TLS(e, frame) + 32 * IN_STATE);
    for (int i = 0; i < 3; i++)
        if (s->operand[i] >= 16)
            fz_evt(e->code, EV_STOREPS, 1, s->operand[i], 0,
                   TLS(e, frame) + 32 * (IN_OPERAND + i));
}

void fz_evex_again(fz_emit *e, const fz_slow *s)
{
    if (s->scalar)
        ev(e, EV_CVTSS2SD, 0, s->wide, s->result, s->result);
    else
        ev(e, EV_CVTPS2PD, s->l, s->wide, 0, s->result);
}

void fz_evex_resume(fz_emit *e, const fz_slow *s)
{
    const int32_t in = TLS(e, frame) + 32 * IN_RESULT;
    if (s->scalar) {
        fz_evt(e->code, s->f64 ? EV_MOVSD : EV_MOVSS, 0, s->tmp, 0, in);
        ev(e, s->f64 ? EV_MOVSD : EV_MOVSS, 0, s->result, s->merge, s->tmp);
    } else if (s->result >= 16 || s->lent) {
        fz_evt(e->code, EV_LOADPS, s->result >= 16 || s->bytes == 32, s->result, 0, in);
    }
    if (s->wide)
        fz_evex_again(e, s);
    fz_jump(e->code, FZ_FIX_HERE, s->back);
}

/* The same of an fma of f64: its result may be zero, its product if a factor is. */
static void zeros_of_fma(fz_emit *e, const fz_slow *s)
{
    const int BAD = OTHER, PRODUCT = THIRD, FACTORS = e->mask[3], NOT_ZERO = e->mask[4];
    const int reg[2] = {s->s, s->u}, out[2] = {BAD, PRODUCT};
    fz_code *c = e->code;
    for (int i = 0; i < 2; i++) {
        ev(e, EV_ADDQ, s->l, s->tmp, reg[i], reg[i]);
        evk(e, EV_SUBQ, s->l, s->tmp, s->tmp, FZ_K_RANGE64);
        evk(e, EV_TESTMQ, s->l, out[i], s->tmp, FZ_K_SIGN64);
    }
    fz_evk(c, EV_TESTMQ, s->l, BAD, s->s, 32 * FZ_K_ABS64, EV_NO_FLAGS | BAD, 0);
    evk(e, EV_TESTMQ, s->l, FACTORS, s->operand[0], FZ_K_ABS64);
    fz_evk(c, EV_TESTMQ, s->l, FACTORS, s->operand[1], 32 * FZ_K_ABS64,
           EV_NO_FLAGS | FACTORS, 0);
    evk(e, EV_TESTMQ, s->l, NOT_ZERO, s->u, FZ_K_ABS64);
    fz_rrr(c, OP_KORB, 1, FACTORS, FACTORS, NOT_ZERO);
    fz_rrr(c, OP_KANDB, 1, PRODUCT, PRODUCT, FACTORS);
    fz_rrr(c, OP_KORB, 1, BAD, BAD, PRODUCT);
    fz_rrr(c, OP_KANDB, 1, BAD, BAD, TEST);
    fz_rrr(c, OP_KORTESTB, 0, BAD, 0, BAD);
    fz_lend_masks(e, OP_KLOAD);
    fz_jump_if(c, FZ_IF_ZERO, FZ_FIX_HERE, s->resume);
}

/* Go on in line if zeros are all that failed the test, and exact. */
void fz_evex_zeros(fz_emit *e, const fz_slow *s)
{
    fz_code *c = e->code;
    fz_lend_masks(e, OP_KSTORE);
    if (s->f64 && s->site.op == FZ_INST_FMA) {
        zeros_of_fma(e, s);
        return;
    }
    fz_evk(c, EV_TESTNMQ, s->l, OTHER, s->s, 32 * FZ_K_ABS64, EV_NO_FLAGS | TEST, 0);
    /* A product of f64 that is zero must have a zero factor; so must a quotient its
     * dividend; the residual of a quotient needs a finite divisor. */
    if (s->f64 && s->site.op == FZ_INST_MUL) {
        fz_evk(c, EV_TESTNMQ, s->l, THIRD, s->operand[0], 32 * FZ_K_ABS64,
               EV_NO_FLAGS | OTHER, 0);
        fz_evk(c, EV_TESTNMQ, s->l, OTHER, s->operand[1], 32 * FZ_K_ABS64,
               EV_NO_FLAGS | OTHER, 0);
        fz_rrr(c, OP_KORB, 1, OTHER, OTHER, THIRD);
    } else if (s->f64 && s->site.op == FZ_INST_DIV) {
        fz_evk(c, EV_TESTNMQ, s->l, OTHER, s->operand[0], 32 * FZ_K_ABS64,
               EV_NO_FLAGS | OTHER, 0);
        fz_ev(c, EV_CLASSPD, s->l, THIRD, 0, s->operand[1], OTHER);
        fz_put(c, 0x99); /* NaN, infinite */
        fz_rrr(c, OP_KANDNB, 1, OTHER, THIRD, OTHER);
    }
    fz_rrr(c, OP_KANDNB, 1, OTHER, OTHER, TEST);
    fz_rrr(c, OP_KORTESTB, 0, OTHER, 0, OTHER);
    fz_lend_masks(e, OP_KLOAD);
    fz_jump_if(c, FZ_IF_ZERO, FZ_FIX_HERE, s->resume);
}

/* Always the definition. */
static void by_definition(fz_emit *e, const site *s)
{
    fz_slow *w = fz_slow_new(e);
    w->scalar = s->scalar;
    fz_evex_describe(e, w, s);
    w->load = -1;
    w->jump = fz_jump(e->code, FZ_FIX_HERE, 0);
    w->back = e->code->n;
}

/* ---- f32 by sr: in f64 ------------------------------------------------------------------ */

/* Operand x of f32 in f64: where it is held, or converted to t. */
static int widened(fz_emit *e, const site *s, int l, int x, int t)
{
    if (x < 16 && s->op != FZ_INST_I32_F32 && e->held[x].at && e->held[x].lanes >= s->lanes)
        return e->held[x].at;
    unsigned op = s->op == FZ_INST_I32_F32 ? (s->from_unsigned ? EV_CVTUDQ2PD : EV_CVTDQ2PD)
                  : s->scalar              ? EV_CVTSS2SD : EV_CVTPS2PD;
    if (x == s->load)
        fz_evm(e->code, op, l, t, s->scalar ? e->state : 0, &s->mem);
    else
        ev(e, op, l, t, s->scalar ? x : 0, x);
    /* The other temporaries are written again; pinned ones are held already, for other lanes. */
    if (x < 16 && s->op != FZ_INST_I32_F32 && !e->held[x].pinned &&
        (t == e->temp[1] || t == e->temp[2]))
        e->held[x] = (struct fz_held){(int8_t)t, (uint8_t)s->lanes, false};
    return t;
}

/* x = a·b + c in whichever order leaves x free to be one of them. */
static void fma_to(fz_emit *e, const site *s, int l, int x)
{
    int a = widened(e, s, l, s->a, e->temp[1]);
    int b = s->b == s->a ? a : widened(e, s, l, s->b, e->temp[2]);
    /* c goes to x itself unless x is one of the factors. */
    int c = s->c == s->a ? a : s->c == s->b ? b
            : widened(e, s, l, s->c, x == a || x == b ? e->temp[3] : x);
    if (x == a && x != c)
        ev(e, fz_site_fma(s, 213), l, x, b, c);
    else if (x == b && x != c)
        ev(e, fz_site_fma(s, 213), l, x, a, c);
    else {
        if (x != c)
            ev(e, EV_MOVAPD, l, x, 0, c);
        ev(e, fz_site_fma(s, 231), l, x, a, b);
    }
}

/* The operation in f64; returns where its result is: in x but for a conversion. */
static int operate(fz_emit *e, const site *s, int l, int x)
{
    int type = s->scalar ? SD : PD, a, b;
    switch (s->op) {
    case FZ_INST_F64_F32: return s->a;
    case FZ_INST_I32_F32: widened(e, s, l, s->a, x); break;
    case FZ_INST_SQRT:
        a = widened(e, s, l, s->a, e->temp[1]);
        ev(e, of_type(type, 0x51), l, x, s->scalar ? a : 0, a);
        break;
    case FZ_INST_FMA: fma_to(e, s, l, x); break;
    default:
        a = widened(e, s, l, s->a, e->temp[1]);
        b = s->b == s->a ? a : widened(e, s, l, s->b, e->temp[2]);
        ev(e, of_type(type, fz_site_opcode[s->op]), l, x, a, b);
    }
    return x;
}

/* x = from and the word, cut. */
static void cut29(fz_emit *e, int l, int x, int from, int t)
{
    if (e->variant == FZ_SR_NEAREST) {
        ev_shift(e, EV_SHIFTQ, 2, l, t, from, 29);
        evk(e, EV_ANDQ, l, t, t, FZ_K_ONE64);
        ev(e, EV_ADDQ, l, x, from, t);
        evk(e, EV_ADDQ, l, x, x, FZ_K_HALF29);
    } else if (e->variant == FZ_CESTAC) { /* all ones or zero */
        ev(e, EV_MOVD2M, 1, TEST, 0, e->state);
        if (x != from)
            ev(e, EV_MOVAPD, l, x, 0, from);
        fz_evk(e->code, EV_ADDQ, l, x, x, 32 * FZ_K_LOW29, EV_NO_FLAGS | TEST, 0);
    } else {
        if (l == 2) {
            ev_whole(e, EV_SRLVQ, 2, t, e->state, FZ_K_SHIFT512);
            evk(e, EV_ANDQ, 2, t, t, FZ_K_LOW29);
        } else {
            ev_shift(e, EV_SHIFTQ, 2, l, t, e->state, 35);
        }
        ev(e, EV_ADDQ, l, x, from, t);
    }
    evk(e, EV_ANDQ, l, x, x, FZ_K_HIGH35);
}

/* Lanes of x below the normal numbers of f32, to the mask; if x is kept, those above too:
 * a float that overflows is infinite, its f64 is not. */
static void test_f32(fz_emit *e, const site *s, int l, int x, int t, bool keep)
{
    int k = keep ? (s->scalar ? FZ_K_SPAN32_1 : FZ_K_SPAN32)
                 : s->scalar ? FZ_K_RANGE32_1 : FZ_K_RANGE32;
    ev(e, EV_ADDQ, l, t, x, x);
    if (keep)
        evk(e, EV_SUBQ, l, t, t, FZ_K_RANGE32);
    fz_evk(e->code, EV_CMPUQ, l, TEST, t, 32 * k, s->scalar ? 0 : EV_NO_FLAGS, 1);
    fz_put(e->code, keep ? 6 : 1); /* greater; less */
}

/* The same of sums, which only may be infinite: then the float is widened again. */
static void test_sum(fz_emit *e, const site *s, int l, int x)
{
    fz_ev(e->code, s->scalar ? EV_CLASSSS : EV_CLASSPS, l == 2, TEST, 0, s->result, 0);
    fz_put(e->code, 0x18);
    fz_slow *w = fz_evex_leave(e, s, l);
    w->again = true;
    w->wide = x;
    w->result = s->result;
}

/* What narrows 256 bits into one of the library's registers puts upper halves in use. */
static void narrow(fz_emit *e, int l, int result, int x, int t)
{
    bool by_way = l == 1 && !e->wide;
    ev(e, EV_CVTPD2PS, l, by_way ? t : result, 0, x);
    if (by_way)
        ev(e, EV_MOVAPS, 0, result, 0, t);
}

static void sr_f32(fz_emit *e, const site *s)
{
    const struct fz_held *pin = &e->held[s->result & 15];
    bool pinned = s->result < 16 && pin->pinned && pin->lanes == s->lanes;
    int x = pinned ? pin->at : e->temp[0], t = e->temp[3];
    int l = s->op == FZ_INST_F64_F32 && !s->scalar ? s->l
            : s->scalar                            ? 0 : s->lanes == 8 ? 2 : 1;
    fz_slow *w = NULL;
    fz_evex_step(e);
    int from = operate(e, s, l, x);
    bool keep = (pinned || (e->keep && e->variant != FZ_CESTAC)) && (s->scalar || s->lanes >= 4);
    bool test = fz_site_underflows(s->op), sum = s->op == FZ_INST_ADD || s->op == FZ_INST_SUB;
    if (test || (sum && keep))
        fz_flags_save(e);
    if (test) {
        test_f32(e, s, l, from, t, keep);
        w = fz_evex_leave(e, s, l);
        w->zeros = true;
        w->s = from;
        fz_evex_describe(e, w, s);
    }
    cut29(e, l, x, from, t);
    if (s->scalar)
        ev(e, EV_CVTSD2SS, 0, s->result, s->merge, x);
    else
        narrow(e, l, s->result, x, t);
    if (w) {
        w->back = e->code->n;
        w->wide = keep ? x : 0;
    }
    if (sum && keep)
        test_sum(e, s, l, x);
    if (test || (sum && keep))
        fz_flags_restore(e);
    if (!pinned)
        fz_emit_changed(e, 1u << s->result);
    if (!pinned && keep && s->result < 16 && !e->held[s->result].pinned)
        e->held[s->result] = (struct fz_held){(int8_t)x, (uint8_t)s->lanes, false};
}

/* ---- f64 by sr ---------------------------------------------------------------------------- */

/* rho = the error of s = x + y (Dekker, the larger one first); t another register. Of equal
 * magnitudes with opposite signs vrange takes one as the larger, the other as the smaller. */
static void sum_error(fz_emit *e, int l, bool scalar, int x, int y, int s, int rho, int t)
{
    unsigned range = scalar ? EV_RANGESD : EV_RANGEPD;
    unsigned sub = of_type(scalar ? SD : PD, 0x5c);
    ev(e, range, l, t, x, y);
    fz_put(e->code, 7); /* larger magnitude */
    ev(e, range, l, rho, x, y);
    fz_put(e->code, 6); /* smaller */
    ev(e, sub, l, t, s, t);
    ev(e, sub, l, rho, rho, t);
}

/* The same of s = x - y (Knuth). */
static void difference_error(fz_emit *e, int l, int type, int x, int y, int s, int rho, int t)
{
    unsigned add = of_type(type, 0x58), sub = of_type(type, 0x5c);
    ev(e, sub, l, t, s, x);
    ev(e, sub, l, rho, s, t);
    ev(e, sub, l, rho, x, rho);
    ev(e, add, l, t, y, t);
    ev(e, sub, l, rho, rho, t);
}

static void fused(fz_emit *e, int l, bool scalar, int d, int x, int y, bool minus_product,
                  bool minus_addend)
{
    site s = {.scalar = scalar, .minus_product = minus_product,
              .minus_addend = minus_addend};
    ev(e, fz_site_fma(&s, 231), l, d, x, y);
}

/* d = the operation: rounded to `rounding`, or to nearest in the operands' own length. */
void fz_evex_operate(fz_emit *e, const site *s, int d, int rounding)
{
    const int type = s->f64 ? (s->scalar ? SD : PD) : s->scalar ? SS : PS;
    const int l = s->scalar ? 0 : s->l, how = rounding ? EV_NO_FLAGS : 0;
    if (s->op == FZ_INST_FMA) {
        unsigned op = fz_site_fma(s, 231);
        ev(e, EV_MOVAPD, l, d, 0, s->c);
        fz_ev(e->code, s->f64 ? op : op & ~(1u << 8), rounding ? rounding : l, d, s->a, s->b,
              how);
    } else {
        fz_ev(e->code, of_type(type, fz_site_opcode[s->op]), rounding ? rounding : l, d, s->a,
              s->b, how);
    }
}

/* x rounded by its error rho, as in emit_avx2.c, to d. */
static void cut_f64(fz_emit *e, int l, bool scalar, int d, int x, int rho, int t0, int t1)
{
    site plain = {.scalar = scalar};
    fz_evk(e->code, EV_TERNQ, l, rho, x, 32 * FZ_K_SIGN64, EV_NO_FLAGS, 1);
    fz_put(e->code, 0x78); /* rho ^ (x & sign) */
    ev_shift(e, EV_SHIFTQ, 2, l, t0, rho, 63);
    ev(e, EV_SUBQ, l, t1, x, t0);
    evk(e, EV_ANDNQ, l, t1, t1, FZ_K_EXP64);
    evk(e, EV_ADDQ, l, t1, t1, FZ_K_SCALE64);
    fz_evk(e->code, fz_site_fma(&plain, 213), l, rho, t1, 32 * FZ_K_MAGIC64,
           scalar ? 0 : EV_NO_FLAGS, 0);
    if (e->variant == FZ_SR_NEAREST)
        evk(e, EV_ADDQ, l, t0, t0, FZ_K_HALF52);
    else
        ev_shift(e, EV_SHIFTQ, 2, l, t0, e->state, 12);
    ev(e, EV_ADDQ, l, rho, rho, t0);
    evk(e, EV_SUBQ, l, rho, rho, FZ_K_MAGIC64);
    ev_shift(e, EV_SRAQ, 4, l, rho, rho, 52);
    ev(e, EV_ADDQ, l, d, x, rho);
}

/* Cestac: x and the next number on the side of its error, which has the sign of rho, or of
 * rho·b where b is a register: away from zero or not. */
static void choose_f64(fz_emit *e, int l, int x, int rho, int b, int t0, int t1)
{
    ev(e, EV_XORQ, l, t0, x, rho);
    if (b >= 0)
        ev(e, EV_XORQ, l, t0, t0, b);
    ev_shift(e, EV_SHIFTQ, 2, l, t0, t0, 63); /* x is beyond the exact result */
    ev_shift(e, EV_SHIFTQ, 2, l, t1, e->state, 63);
    ev(e, EV_SUBQ, l, t1, t1, t0);
    evk(e, EV_TESTMQ, l, TEST, rho, FZ_K_ABS64);
    fz_ev(e->code, EV_ADDQ, l, x, x, t1, TEST);
}

/* The sign of t tells lanes out of range, as in emit_avx2.c. */
void fz_evex_test_f64(fz_emit *e, const site *s, int l, int first, int other, int t, int t1)
{
    ev(e, EV_ADDQ, l, t, first, first);
    evk(e, EV_SUBQ, l, t, t, FZ_K_RANGE64);
    if (other >= 0) {
        ev(e, EV_ADDQ, l, t1, other, other);
        evk(e, EV_SUBQ, l, t1, t1, FZ_K_RANGE64);
        ev(e, EV_ORQ, l, t, t, t1);
    }
    fz_evk(e->code, EV_TESTMQ, l, TEST, t, 32 * (s->scalar ? FZ_K_SIGN64_1 : FZ_K_SIGN64),
           s->scalar ? 0 : EV_NO_FLAGS, 0);
}

static void sr_f64(fz_emit *e, const site *s)
{
    int x = e->temp[0], rho = e->temp[1], t0 = e->temp[2], t1 = e->temp[3];
    int r1 = e->temp[4], u = e->temp[5], ue = e->temp[6];
    int l = s->scalar ? 0 : s->l, type = s->scalar ? SD : PD;
    int a = s->a, c = s->c;
    const bool cestac = e->variant == FZ_CESTAC; /* of quotients and roots */
    fz_evex_step(e);
    if (s->op == FZ_INST_FMA) {
        if (s->minus_product)
            evk(e, EV_XORQ, l, a = e->temp[7], s->a, FZ_K_SIGN64);
        if (s->minus_addend)
            evk(e, EV_XORQ, l, c = e->temp[8], s->c, FZ_K_SIGN64);
        ev(e, of_type(type, 0x59), l, u, a, s->b);
        ev(e, EV_MOVAPD, l, x, 0, c);
        fused(e, l, s->scalar, x, a, s->b, false, false);
    } else if (s->op == FZ_INST_SQRT) {
        ev(e, of_type(type, 0x51), l, x, s->scalar ? a : 0, a);
    } else {
        ev(e, of_type(type, fz_site_opcode[s->op]), l, x, a, s->b);
    }

    fz_flags_save(e);
    /* Of the root's operand, since it bounds the residual; of the dividend, of the product. */
    fz_evex_test_f64(e, s, l, s->op == FZ_INST_SQRT ? a : x,
             s->op == FZ_INST_FMA   ? u
             : s->op == FZ_INST_DIV ? a : -1, t0, t1);
    fz_slow *w = fz_evex_leave(e, s, l);
    w->zeros = s->op != FZ_INST_SQRT;
    w->s = x;
    w->u = u;
    fz_evex_describe(e, w, s);

    switch (s->op) {
    case FZ_INST_ADD: sum_error(e, l, s->scalar, a, s->b, x, rho, t0); break;
    case FZ_INST_SUB: difference_error(e, l, type, a, s->b, x, rho, t0); break;
    case FZ_INST_MUL:
        ev(e, EV_MOVAPD, l, rho, 0, x);
        fused(e, l, s->scalar, rho, a, s->b, false, true);
        break;
    case FZ_INST_DIV:
        ev(e, EV_MOVAPD, l, rho, 0, a);
        fused(e, l, s->scalar, rho, x, s->b, true, false);
        if (!cestac)
            ev(e, of_type(type, 0x5e), l, rho, rho, s->b);
        break;
    case FZ_INST_SQRT:
        ev(e, EV_MOVAPD, l, rho, 0, a);
        fused(e, l, s->scalar, rho, x, x, true, false);
        if (cestac)
            break;
        ev(e, of_type(type, 0x58), l, t0, x, x);
        ev(e, of_type(type, 0x5e), l, rho, rho, t0);
        break;
    default: /* (v - x) + (r + ue) with a·b = u + ue and c + u = v + r */
        ev(e, EV_MOVAPD, l, ue, 0, u);
        fused(e, l, s->scalar, ue, a, s->b, false, true);
        ev(e, of_type(type, 0x58), l, t1, c, u); /* v */
        sum_error(e, l, s->scalar, c, u, t1, r1, t0);
        ev(e, of_type(type, 0x5c), l, t1, t1, x);
        ev(e, of_type(type, 0x58), l, rho, r1, ue);
        ev(e, of_type(type, 0x58), l, rho, t1, rho);
    }
    if (cestac) {
        choose_f64(e, l, x, rho, s->op == FZ_INST_DIV ? s->b : -1, t0, t1);
        if (!s->scalar)
            ev(e, EV_MOVAPD, l, s->result, 0, x);
    } else {
        cut_f64(e, l, s->scalar, s->scalar ? x : s->result, x, rho, t0, t1);
    }
    if (s->scalar)
        ev(e, EV_MOVSD, 0, s->result, s->merge, x);
    w->back = e->code->n;
    fz_flags_restore(e);
    fz_emit_changed(e, 1u << s->result);
}

/* ---- ud: the nearest result, and one unit -------------------------------------------------- */

static void up_or_down(fz_emit *e, const site *s)
{
    int x = e->temp[0], t = e->temp[1];
    int l = s->scalar ? 0 : s->l;
    int type = s->f64 ? (s->scalar ? SD : PD) : s->scalar ? SS : PS;
    fz_evex_step(e);
    if (s->op == FZ_INST_FMA) {
        unsigned op = fz_site_fma(s, 231);
        ev(e, EV_MOVAPD, l, x, 0, s->c);
        ev(e, s->f64 ? op : op & ~(1u << 8), l, x, s->a, s->b);
    } else if (s->op == FZ_INST_SQRT) {
        ev(e, of_type(type, 0x51), l, x, s->scalar ? s->a : 0, s->a);
    } else {
        ev(e, of_type(type, fz_site_opcode[s->op]), l, x, s->a, s->b);
    }
    fz_ev(e->code, s->f64 ? EV_CLASSPD : EV_CLASSPS, l, TEST, 0, x, 0);
    fz_put(e->code, 0x9f); /* NaN, zero, infinite: as they are */
    int d = s->scalar ? t : s->result;
    if (s->f64) {
        ev_shift(e, EV_SRAQ, 4, l, t, e->state, 63);
        evk(e, EV_ORQ, l, t, t, FZ_K_ONE64);
        ev(e, EV_SUBQ, l, d, x, t);
    } else {
        ev_shift(e, EV_SRAD, 4, l, t, e->state, 31);
        evk(e, EV_ORD, l, t, t, FZ_K_ONE32);
        ev(e, EV_ADDD, l, d, x, t);
    }
    fz_ev(e->code, s->f64 ? EV_MOVAPD : EV_MOVAPS, l, d, 0, x, TEST);
    if (s->scalar)
        ev(e, s->f64 ? EV_MOVSD : EV_MOVSS, 0, s->result, s->merge, t);
    fz_emit_changed(e, 1u << s->result);
}

/* ---- One site --------------------------------------------------------------------------- */

void fz_evex_round(fz_emit *e, site *s)
{
    bool conversion = s->op >= FZ_INST_F64_F32;
    enum fz_variant v = e->variant;
    bool exact_only = v == FZ_DEFINITION || s->op == FZ_INST_INT_F64 ||
                      s->op == FZ_INST_INT_F32 || s->op == FZ_INST_F32_F16;
    bool directed = v == FZ_CESTAC && fz_site_directed(e, s);
    bool sr32 = !exact_only && !directed && !s->f64 && (v != FZ_UD || conversion);
    if (s->load >= 0 && (!sr32 || s->op == FZ_INST_F64_F32)) {
        fz_evex_load(e, s->scalar ? (s->f64 ? 8 : 4) : s->l ? 32 : 16, s->load, &s->mem);
        s->load = -1;
    }
    if (exact_only) {
        fz_evex_step(e);
        by_definition(e, s);
        if (s->result < 16)
            fz_emit_changed(e, 1u << s->result);
    } else if (directed) {
        fz_cestac_directed(e, s);
    } else if (v == FZ_UD && !conversion) {
        up_or_down(e, s);
    } else if (s->f64 && s->scalar && s->op != FZ_INST_SQRT && v != FZ_CESTAC) {
        fz_chain_sr(e, s);
    } else if (s->f64) {
        sr_f64(e, s);
    } else {
        sr_f32(e, s);
    }
}

void fz_evex_integer(fz_emit *e, site *s, int y)
{
    int t = e->temp[2];
    fz_evex_step(e);
    fz_flags_save(e);
    if (s->from_unsigned) {
        ev_shift(e, EV_SHIFTQ, 2, 0, t, s->a, 53);
        ev(e, EV_TESTMQ, 0, TEST, t, t);
    } else {
        ev_whole(e, EV_ADDQ, 0, t, s->a, FZ_K_TWO52);
        ev_whole(e, EV_TESTMQ, 0, TEST, t, FZ_K_HIGH11);
    }
    s->load = -1;
    fz_slow *w = fz_evex_leave(e, s, 0);
    fz_evex_describe(e, w, s);
    if (s->f64) {
        ev(e, EV_MOVSD, 0, s->result, s->merge, y);
    } else {
        cut29(e, 0, y, y, t);
        ev(e, EV_CVTSD2SS, 0, s->result, s->merge, y);
    }
    w->back = e->code->n;
    fz_flags_restore(e);
    fz_emit_changed(e, 1u << s->result);
}
