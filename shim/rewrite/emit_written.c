/* A site that is written in EVEX itself: masks, broadcast operands, 512 bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Without a mask, and up to 256 bits, it differs from VEX by the numbers of its registers
 * only. Else its operands are copied to lent registers: lanes that the mask leaves out are
 * ones there, which raise nothing and take no cold code, and are not read from memory. 512
 * bits are two halves, each a site with words of its own. What comes of it goes to its
 * register by a move under the same mask.
 */
#include "site.h"

typedef struct written {
    const ZydisDecodedOperand *source[2]; /* vector registers, memory: in order */
    int n, last;                          /* last: the operand's number, for integers */
    int l, mask;                          /* l: 0, 1, 2 for 128, 256, 512 bits of a source */
    bool zeroing, copied, narrows;
    int bytes;                            /* of an element of a source */
} written;

static bool is_vector(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_REGISTER && fz_vector_register(o->reg.value) >= 0;
}

static bool is_memory(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static written look(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *operand)
{
    const fz_class c = fz_insn_class(x->mnemonic);
    written w = {.last = x->operand_count_visible - 1,
                 .l = c.scalar ? 0 : x->avx.vector_length / 256,
                 .mask = x->avx.mask.reg == ZYDIS_REGISTER_NONE
                             ? 0 : ZydisRegisterGetId(x->avx.mask.reg),
                 .zeroing = x->avx.mask.mode == ZYDIS_MASK_MODE_ZEROING,
                 .narrows = c.op == FZ_INST_F64_F32 || c.op == FZ_INST_F32_F16 ||
                            (c.op == FZ_INST_INT_F32 && c.quads),
                 .bytes = c.f64 || c.quads || c.op == FZ_INST_F64_F32 ? 8 : 4};
    for (int i = 1; i <= w.last && w.n < 2; i++)
        if (is_vector(&operand[i]) || is_memory(&operand[i]))
            w.source[w.n++] = &operand[i];
    w.copied = w.mask || w.l == 2;
    return w;
}

/* Of an fma the copies are negated. */
static int rounding_need(const fz_emit *e, fz_class c, const written *w)
{
    if (w->copied)
        c.minus_product = c.minus_addend = false;
    return fz_site_need(e, c);
}

/* Else one register is lent, for an operand in memory. */
static bool needs_copies(fz_class c, const written *w)
{
    return w->copied || c.op == FZ_INST_F32_F16 || c.op == FZ_INST_FMA_ALT;
}

int fz_written_need(const fz_emit *e, const ZydisDecodedInstruction *x,
                    const ZydisDecodedOperand *operand, const char **why)
{
    const fz_class c = fz_insn_class(x->mnemonic);
    const written w = look(x, operand);
    *why = NULL;
    if (!e->high)
        *why = "EVEX encoding";
    else if (x->address_width != 64)
        *why = "32-bit addresses";
    else if (c.op == FZ_INST_F32_F16 && operand[w.last].imm.value.u & 3)
        *why = "directed rounding";
    else if (is_memory(&operand[0]) ? c.op != FZ_INST_F32_F16 || w.mask
                                    : !is_vector(&operand[0]))
        *why = "unknown form";
    if (*why)
        return 0;
    return rounding_need(e, c, &w) + (needs_copies(c, &w) ? 4 : 1);
}

/* ---- Operands --------------------------------------------------------------------------- */

typedef struct operands {
    int at[3], n; /* a, b, c of the site */
} operands;

static void ev_how(fz_emit *e, unsigned op, int l, int d, int a, int b, int how)
{
    fz_ev(e->code, op, l, d, a, b, how);
}

/* Ones in all lanes of d, as the operation sees them. */
static void ones(fz_emit *e, const written *w, int d)
{
    const bool f64 = w->bytes == 8;
    fz_evk(e->code, f64 ? EV_BROADCASTQ : EV_BROADCASTD, w->l, d, 0,
           32 * (f64 ? FZ_K_REAL64 : FZ_K_REAL32), 0, 0);
}

/* An operand in memory, to d. */
static void load(fz_emit *e, const ZydisDecodedInstruction *x, const written *w,
                 const ZydisDecodedOperand *o, uint64_t at, bool scalar, int d)
{
    const bool f64 = w->bytes == 8;
    const fz_mem m = fz_mem_of(x, o, at);
    unsigned op = f64 ? EV_LOADPD : EV_LOADPS;
    int l = w->l;
    if (scalar) {
        op = f64 ? EV_MOVSD : EV_MOVSS;
        l = 0;
    } else if (x->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID) {
        op = f64 ? EV_BROADCASTQ : EV_BROADCASTD;
    }
    fz_evm_how(e->code, op, l, d, 0, &m, w->mask);
}

/* Operand i of the instruction's sources (-1: its destination) in a register: `copy` where it
 * is copied. */
static int source(fz_emit *e, const ZydisDecodedInstruction *x, const written *w,
                  const ZydisDecodedOperand *o, uint64_t at, bool scalar, int copy)
{
    if (!w->mask && !is_memory(o))
        return fz_vector_register(o->reg.value);
    if (w->mask)
        ones(e, w, copy);
    if (is_memory(o))
        load(e, x, w, o, at, scalar, copy);
    else
        ev_how(e, w->bytes == 8 ? EV_MOVAPD : EV_MOVAPS, w->l, copy, 0,
               fz_vector_register(o->reg.value), w->mask);
    return copy;
}

/* ---- Results ---------------------------------------------------------------------------- */

/* r, an operand's worth of lanes, to the destination under the mask. */
static void deliver(fz_emit *e, const site *s, const written *w, int d, int merge, int r)
{
    const int how = w->mask | (w->zeroing && w->mask ? EV_ZEROING : 0);
    const int l = w->narrows ? w->l - 1 : w->l;
    if (s->scalar)
        ev_how(e, s->f64 ? EV_MOVSD : EV_MOVSS, 0, d, merge, r, how);
    else if (s->op == FZ_INST_F32_F16)
        ev_how(e, EV_MOV16, l < 0 ? 0 : l, d, 0, r, how);
    else
        ev_how(e, s->f64 ? EV_MOVAPD : EV_MOVAPS, l < 0 ? 0 : l, d, 0, r, how);
    if (l < 0 && !s->scalar) /* 128 bits narrowed: the upper half of the result is zero */
        ev_how(e, EV_MOVQ, 0, d, 0, d, 0);
}

/* The halves of a result, r below and q above, to the destination. */
static void join(fz_emit *e, const site *s, const written *w, int d, int r, int q)
{
    const int how = w->mask | (w->zeroing && w->mask ? EV_ZEROING : 0);
    if (s->op == FZ_INST_F32_F16 && w->mask) {
        ev_how(e, EV_INSERT128PS, 1, r, r, q, 0);
        fz_put(e->code, 1);
        ev_how(e, EV_MOV16, 1, d, 0, r, how);
        return;
    }
    if (w->narrows)
        ev_how(e, EV_INSERT128PS, 1, d, r, q, how);
    else
        ev_how(e, s->f64 ? EV_INSERT256PD : EV_INSERT256PS, 2, d, r, q, how);
    fz_put(e->code, 1);
}

/* ---- One site --------------------------------------------------------------------------- */

/* The temporaries are written again: nothing is held in them. */
static void forget(fz_emit *e)
{
    for (int v = 0; v < 16; v++)
        for (int i = 0; i < 3; i++)
            if (e->held[v].at == e->temp[i] && !e->held[v].pinned)
                e->held[v].at = 0;
}

static void two_halves(fz_emit *e, const site *s, const written *w, const int copy[3], int d,
                       int spare)
{
    const int from[3] = {s->a, s->b, s->c};
    int upper[3];
    site half = *s;
    half.result = half.merge = spare;
    fz_site_round(e, &half);
    forget(e);
    for (int i = 0; i < 3; i++) {
        upper[i] = -1;
        for (int k = 0; k < i; k++)
            if (from[k] == from[i])
                upper[i] = upper[k];
        if (upper[i] >= 0)
            continue;
        /* In place where it is a copy, else to the copy that nobody has. */
        upper[i] = copy[i];
        for (int k = 0; k < 3; k++)
            if (from[i] == copy[k])
                upper[i] = copy[k];
        ev_how(e, EV_EXTRACT256, 2, from[i], 0, upper[i], 0);
        fz_put(e->code, 1);
    }
    half = *s;
    half.a = upper[0];
    half.b = upper[1];
    half.c = upper[2];
    half.result = half.merge = upper[0];
    fz_site_round(e, &half);
    join(e, s, w, d, spare, upper[0]);
}

/* The operands of an fma of f64 with their signs, so that no more registers are needed. */
static void negate_copies(fz_emit *e, site *s, const written *w, const int copy[3])
{
    if (!w->copied || !s->f64 || s->op != FZ_INST_FMA)
        return;
    if (s->minus_product) {
        fz_evk(e->code, EV_XORQ, w->l, copy[0], s->a, 32 * FZ_K_SIGN64, EV_NO_FLAGS, 0);
        s->a = copy[0];
    }
    if (s->minus_addend) {
        fz_evk(e->code, EV_XORQ, w->l, copy[2], s->c, 32 * FZ_K_SIGN64, EV_NO_FLAGS, 0);
        s->c = copy[2];
    }
    s->minus_product = s->minus_addend = false;
}

static void take_operands(fz_emit *e, site *s, const written *w, const fz_class *c,
                          const ZydisDecodedInstruction *x,
                          const ZydisDecodedOperand *operand, uint64_t at, const int copy[3])
{
    int first, second;
    switch (c->op) {
    case FZ_INST_FMA:
    case FZ_INST_FMA_ALT: {
        /* Which of a, b, c the three operands are. */
        static const uint8_t order[3][3] = {{0, 2, 1}, {1, 0, 2}, {2, 0, 1}};
        const int row = x->opcode >> 4 == 9 ? 0 : x->opcode >> 4 == 0xa ? 1 : 2;
        const ZydisDecodedOperand *all[3] = {&operand[0], w->source[0], w->source[1]};
        int at_of[3];
        for (int i = 0; i < 3; i++)
            at_of[order[row][i]] =
                source(e, x, w, all[i], at, c->scalar, copy[order[row][i]]);
        s->a = at_of[0];
        s->b = at_of[1];
        s->c = at_of[2];
        return;
    }
    case FZ_INST_ADD:
    case FZ_INST_SUB:
    case FZ_INST_MUL:
    case FZ_INST_DIV:
        first = source(e, x, w, w->source[0], at, c->scalar, copy[0]);
        second = source(e, x, w, w->source[1], at, c->scalar, copy[1]);
        s->a = s->c = first;
        s->b = second;
        return;
    default: /* of one operand: the last */
        s->a = s->b = s->c =
            source(e, x, w, w->source[w->n - 1], at, c->scalar, copy[0]);
    }
}

void fz_written_site(fz_emit *e, const ZydisDecodedInstruction *x,
                     const ZydisDecodedOperand *operand, uint64_t at)
{
    const fz_class c = fz_insn_class(x->mnemonic);
    const written w = look(x, operand);
    const int base = rounding_need(e, c, &w);
    const char *why;
    fz_evex_lend(e, fz_written_need(e, x, operand, &why));
    const bool copies = needs_copies(c, &w);
    const int copy[3] = {e->temp[base], e->temp[copies ? base + 1 : base],
                         e->temp[copies ? base + 2 : base]};
    const int spare = e->temp[copies ? base + 3 : base];
    const bool to_memory = is_memory(&operand[0]);
    const int d = to_memory ? spare : fz_vector_register(operand[0].reg.value);
    site s = {.op = c.op, .f64 = c.f64, .scalar = c.scalar, .l = w.l > 0, .load = -1,
              .minus_product = c.minus_product, .minus_addend = c.minus_addend,
              .from_unsigned = c.from_unsigned, .result = d, .merge = d};
    s.lanes = c.scalar ? 1 : (w.l ? 32 : 16) / w.bytes;
    if (c.scalar && c.op != FZ_INST_FMA)
        s.merge = fz_vector_register(w.source[0]->reg.value);
    if (c.scalar && (c.op == FZ_INST_INT_F32 || c.op == FZ_INST_INT_F64)) {
        fz_site_integer(e, &s, x, &operand[w.last], at, copy[0]);
        return;
    }
    take_operands(e, &s, &w, &c, x, operand, at, copy);
    if (c.op == FZ_INST_FMA_ALT) {
        const int k = c.f64 ? (c.odd_minus ? FZ_K_ODD64 : FZ_K_EVEN64)
                            : (c.odd_minus ? FZ_K_ODD32 : FZ_K_EVEN32);
        fz_evk(e->code, EV_BROADCAST256, 2, spare, 0, 32 * k, 0, 0);
        ev_how(e, EV_XORQ, w.l, copy[2], s.c, spare, 0);
        s.c = copy[2];
        s.op = FZ_INST_FMA;
    }
    negate_copies(e, &s, &w, copy);
    const site whole = s;
    if (w.l == 2) {
        two_halves(e, &s, &w, copy, d, spare);
    } else if (w.mask) {
        s.result = s.merge = copy[0];
        fz_site_round(e, &s);
        deliver(e, &whole, &w, d, whole.merge, copy[0]);
    } else {
        fz_site_round(e, &s);
    }
    if (to_memory) {
        const fz_mem m = fz_mem_of(x, &operand[0], at);
        fz_evm(e->code, w.l ? EV_STOREPS : EV_STOREQ, w.l == 2, d, 0, &m);
    } else if (w.copied && d < 16) {
        fz_emit_changed(e, 1u << d);
    }
}
