/* A library's unwind rows: its .eh_frame interpreted, and its rows written again.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "frames.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading ------------------------------------------------------------------------------ */

typedef struct reader {
    const uint8_t *p, *end;
    bool failed;
} reader;

static uint64_t take(reader *r, unsigned n)
{
    uint64_t v = 0;
    if ((size_t)(r->end - r->p) < n) {
        r->failed = true;
        r->p = r->end;
        return 0;
    }
    memcpy(&v, r->p, n);
    r->p += n;
    return v;
}

static uint64_t take_leb(reader *r, bool sign)
{
    uint64_t v = 0, b = 128;
    unsigned shift = 0;
    for (; b & 128 && !r->failed; shift += 7) {
        b = take(r, 1);
        if (shift < 64)
            v |= (b & 127) << shift;
    }
    if (sign && b & 64 && shift < 64)
        v |= UINT64_MAX << shift;
    return v;
}

static const uint8_t *take_block(reader *r, uint64_t *size)
{
    *size = take_leb(r, false);
    const uint8_t *p = r->p;
    if (*size > (size_t)(r->end - r->p))
        r->failed = true;
    else
        r->p += *size;
    return p;
}

/* A state of DWARF's machine. */
enum { REMEMBERED = 8 };
typedef struct machine {
    fz_frames *f;
    fz_row now, first; /* first: of the CIE */
    fz_row kept[REMEMBERED];
    unsigned kept_n;
    uint64_t code_factor, pointer_size;
    int64_t data_factor;
    bool failed;
} machine;

static void put_row(machine *m)
{
    fz_frames *f = m->f;
    if (f->n && f->rows[f->n - 1].at == m->now.at)
        f->n--;
    f->rows = fz_grow(f->rows, f->n, &f->cap, sizeof *f->rows, &m->failed);
    if (f->n == f->cap)
        return;
    f->rows[f->n++] = m->now;
}

static void set(machine *m, uint64_t reg, unsigned kind, int64_t value)
{
    if (reg >= FZ_CFA) /* vector registers: nobody asks */
        return;
    if (value != (int32_t)value)
        m->failed = true;
    m->now.rule[reg] = (fz_rule){(int32_t)value, 0, (uint16_t)kind};
}

static void set_block(machine *m, uint64_t reg, unsigned kind, reader *r)
{
    uint64_t size;
    const uint8_t *p = take_block(r, &size);
    uint64_t at = (uint64_t)(p - m->f->image->bytes);
    if (size > UINT16_MAX || at > INT32_MAX)
        m->failed = true;
    if (reg <= FZ_CFA)
        m->now.rule[reg] = (fz_rule){(int32_t)at, (uint16_t)size, (uint16_t)kind};
}

static void set_cfa(machine *m, uint64_t reg, int64_t offset)
{
    m->failed |= reg >= FZ_RA || offset != (int32_t)offset;
    m->now.rule[FZ_CFA] = (fz_rule){(int32_t)offset, (uint16_t)reg, FZ_RULE_OFFSET};
}

static void restore(machine *m, uint64_t reg)
{
    if (reg < FZ_CFA)
        m->now.rule[reg] = m->first.rule[reg];
}

static void advance(machine *m, uint64_t by)
{
    put_row(m);
    m->now.at += by * m->code_factor;
}

static void step(machine *m, reader *r)
{
    const unsigned op = (unsigned)take(r, 1);
    const fz_rule *cfa = &m->now.rule[FZ_CFA];
    uint64_t reg;
    switch (op >> 6) {
    case 1: advance(m, op & 63); return;
    case 2: set(m, op & 63, FZ_RULE_OFFSET,
                (int64_t)take_leb(r, false) * m->data_factor); return;
    case 3: restore(m, op & 63); return;
    }
    switch (op) {
    case 0x00: return;
    case 0x02: advance(m, take(r, 1)); return;
    case 0x03: advance(m, take(r, 2)); return;
    case 0x04: advance(m, take(r, 4)); return;
    case 0x06: restore(m, take_leb(r, false)); return;
    case 0x0a:
        if (m->kept_n == REMEMBERED)
            m->failed = true;
        else
            m->kept[m->kept_n++] = m->now;
        return;
    case 0x0b:
        if (!m->kept_n)
            m->failed = true;
        else
            memcpy(m->now.rule, m->kept[--m->kept_n].rule, sizeof m->now.rule);
        return;
    case 0x0e: set_cfa(m, cfa->size, (int64_t)take_leb(r, false)); return;
    case 0x13: set_cfa(m, cfa->size, (int64_t)take_leb(r, true) * m->data_factor); return;
    case 0x0f: set_block(m, FZ_CFA, FZ_RULE_EXPRESSION, r); return;
    case 0x2e: take_leb(r, false); return; /* size of arguments: for landing pads */
    }
    reg = take_leb(r, false);
    switch (op) {
    case 0x05: set(m, reg, FZ_RULE_OFFSET,
                   (int64_t)take_leb(r, false) * m->data_factor); return;
    case 0x11: set(m, reg, FZ_RULE_OFFSET,
                   (int64_t)take_leb(r, true) * m->data_factor); return;
    case 0x2f: set(m, reg, FZ_RULE_OFFSET,
                   -(int64_t)take_leb(r, false) * m->data_factor); return;
    case 0x14: set(m, reg, FZ_RULE_VAL_OFFSET,
                   (int64_t)take_leb(r, false) * m->data_factor); return;
    case 0x15: set(m, reg, FZ_RULE_VAL_OFFSET,
                   (int64_t)take_leb(r, true) * m->data_factor); return;
    case 0x07: set(m, reg, FZ_RULE_UNDEFINED, 0); return;
    case 0x08: set(m, reg, FZ_RULE_SAME, 0); return;
    case 0x09: set(m, reg, FZ_RULE_REGISTER, (int64_t)take_leb(r, false)); return;
    case 0x0c: set_cfa(m, reg, (int64_t)take_leb(r, false)); return;
    case 0x12: set_cfa(m, reg, (int64_t)take_leb(r, true) * m->data_factor); return;
    case 0x0d: set_cfa(m, reg, cfa->value); return;
    case 0x10: set_block(m, reg, FZ_RULE_EXPRESSION, r); return;
    case 0x16: set_block(m, reg, FZ_RULE_VAL_EXPRESSION, r); return;
    }
    m->failed = true;
}

static void run(machine *m, reader r)
{
    while (r.p < r.end && !r.failed && !m->failed)
        step(m, &r);
    m->failed |= r.failed;
}

/* The entry whose length field is at `at`: what follows its second word. */
static reader entry_at(const fz_image *im, uint64_t at)
{
    uint32_t length;
    memcpy(&length, im->bytes + at, 4); /* image.c has checked it */
    return (reader){im->bytes + at + 8, im->bytes + at + 4 + length, false};
}

static bool interpret(fz_frames *f, const fz_fde *fde)
{
    machine m = {.f = f};
    reader c = entry_at(f->image, fde->cie), r = entry_at(f->image, fde->at);
    take(&c, 1);
    const char *augmentation = (const char *)c.p;
    while (take(&c, 1))
        ;
    m.code_factor = take_leb(&c, false);
    m.data_factor = (int64_t)take_leb(&c, true);
    uint64_t size, ra = take_leb(&c, false);
    if (augmentation[0] == 'z')
        take_block(&c, &size);
    take(&r, 2u * fde->pointer); /* begin and size */
    if (augmentation[0] == 'z')
        take_block(&r, &size);
    m.now.at = fde->lo;
    if (c.failed || r.failed || ra != FZ_RA || !fde->pointer)
        return false;
    f->n = 0;
    run(&m, c);
    m.first = m.now;
    run(&m, r);
    put_row(&m);
    return !m.failed;
}

static const fz_fde *find_fde(const fz_image *im, uint64_t at)
{
    size_t lo = 0, hi = im->fde_n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (im->fde[mid].lo <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && at < im->fde[lo - 1].hi ? &im->fde[lo - 1] : NULL;
}

const fz_row *fz_frames_at(fz_frames *f, uint64_t at)
{
    if (at < f->lo || at >= f->hi) {
        const fz_fde *fde = find_fde(f->image, at);
        f->n = f->last = 0;
        if (!fde) {
            f->lo = f->hi = 0;
            return NULL;
        }
        f->lo = fde->lo;
        f->hi = fde->hi;
        if (!interpret(f, fde))
            f->n = 0;
    }
    if (!f->n)
        return NULL;
    size_t i = at >= f->rows[f->last].at ? f->last : 0;
    while (i + 1 < f->n && f->rows[i + 1].at <= at)
        i++;
    f->last = i;
    return &f->rows[i];
}

fz_row fz_row_below(const fz_image *im, const fz_row *row, int bytes)
{
    enum { BREG7 = 0x77 }; /* an expression that begins with the stack pointer */
    fz_row low = *row;
    for (int i = 0; i < FZ_RULES; i++) {
        fz_rule *k = &low.rule[i];
        if ((k->kind == FZ_RULE_EXPRESSION || k->kind == FZ_RULE_VAL_EXPRESSION) &&
            im->bytes[k->value] == BREG7)
            low.rule[i == FZ_CFA ? FZ_RA : i].kind = FZ_RULE_UNDEFINED;
    }
    if (low.rule[FZ_CFA].kind == FZ_RULE_OFFSET && low.rule[FZ_CFA].size == FZ_RSP)
        low.rule[FZ_CFA].value += bytes;
    return low;
}

/* ---- Writing ------------------------------------------------------------------------------ */

const fz_row fz_row_entry = {.rule = {[FZ_RA] = {-8, 0, FZ_RULE_OFFSET},
                                      [FZ_CFA] = {8, FZ_RSP, FZ_RULE_OFFSET}}};
const fz_row fz_row_none = {.rule = {[FZ_RA] = {-8, 0, FZ_RULE_UNDEFINED},
                                     [FZ_CFA] = {8, FZ_RSP, FZ_RULE_OFFSET}}};

void fz_bytes_add(fz_bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        size_t cap = 2 * b->cap + n + 256;
        uint8_t *more = b->failed ? NULL : realloc(b->p, cap);
        if (!more) {
            b->failed = true;
            return;
        }
        b->p = more;
        b->cap = cap;
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put(fz_bytes *b, unsigned byte)
{
    uint8_t v = (uint8_t)byte;
    fz_bytes_add(b, &v, 1);
}

static void put_uleb(fz_bytes *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        put(b, (v & 127) | 128);
    put(b, (unsigned)v);
}

static void put_sleb(fz_bytes *b, int64_t v)
{
    for (; v < -64 || v > 63; v >>= 7)
        put(b, (v & 127) | 128);
    put(b, v & 127);
}

static void put_block(fz_bytes *b, const fz_image *im, const fz_rule *k)
{
    put_uleb(b, k->size);
    fz_bytes_add(b, im->bytes + k->value, k->size);
}

static bool same(const fz_rule *a, const fz_rule *b)
{
    return a->kind == b->kind && a->value == b->value && a->size == b->size;
}

static void put_cfa(fz_bytes *b, const fz_image *im, const fz_rule *from, const fz_rule *to)
{
    if (to->kind == FZ_RULE_EXPRESSION) {
        put(b, 0x0f);
        put_block(b, im, to);
    } else if (to->value < 0) { /* by eighths: our CIE's factor */
        put(b, 0x12);
        put_uleb(b, to->size);
        put_sleb(b, to->value / -8);
    } else if (from->kind != FZ_RULE_OFFSET || (from->size != to->size &&
                                                from->value != to->value)) {
        put(b, 0x0c);
        put_uleb(b, to->size);
        put_uleb(b, (uint64_t)to->value);
    } else if (from->size != to->size) {
        put(b, 0x0d);
        put_uleb(b, to->size);
    } else {
        put(b, 0x0e);
        put_uleb(b, (uint64_t)to->value);
    }
}

static void put_rule(fz_bytes *b, const fz_image *im, unsigned reg, const fz_rule *to)
{
    static const uint8_t code[] = {[FZ_RULE_SAME] = 0x08,       [FZ_RULE_UNDEFINED] = 0x07,
                                   [FZ_RULE_OFFSET] = 0x11,     [FZ_RULE_VAL_OFFSET] = 0x15,
                                   [FZ_RULE_REGISTER] = 0x09,   [FZ_RULE_EXPRESSION] = 0x10,
                                   [FZ_RULE_VAL_EXPRESSION] = 0x16};
    if (same(to, &fz_row_entry.rule[reg])) {
        put(b, 0xc0 | reg);
        return;
    }
    if (to->kind == FZ_RULE_OFFSET && to->value <= 0) {
        put(b, 0x80 | reg);
        put_uleb(b, (uint64_t)(to->value / -8));
        return;
    }
    if (to->kind == FZ_RULE_NONE) { /* the return address: never */
        put(b, code[FZ_RULE_UNDEFINED]);
        put_uleb(b, reg);
        return;
    }
    put(b, code[to->kind]);
    put_uleb(b, reg);
    switch (to->kind) {
    case FZ_RULE_OFFSET:
    case FZ_RULE_VAL_OFFSET: put_sleb(b, to->value / -8); break;
    case FZ_RULE_REGISTER: put_uleb(b, (uint64_t)to->value); break;
    case FZ_RULE_EXPRESSION:
    case FZ_RULE_VAL_EXPRESSION: put_block(b, im, to); break;
    }
}

void fz_row_change(fz_bytes *out, const fz_image *im, const fz_row *from, const fz_row *to,
                   uint64_t distance)
{
    uint32_t d = (uint32_t)distance;
    if (d && d < 64) {
        put(out, 0x40 | d);
    } else if (d) {
        const unsigned n = d < 256 ? 1 : d < 65536 ? 2 : 4;
        put(out, n == 1 ? 2 : n == 2 ? 3 : 4);
        fz_bytes_add(out, &d, n);
    }
    if (!same(&from->rule[FZ_CFA], &to->rule[FZ_CFA]))
        put_cfa(out, im, &from->rule[FZ_CFA], &to->rule[FZ_CFA]);
    for (unsigned i = 0; i <= FZ_RA; i++)
        if (!same(&from->rule[i], &to->rule[i]))
            put_rule(out, im, i, &to->rule[i]);
}
