/* What unwinders and debuggers need of moved code: unwind rows and symbols.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each moved instruction has the row of the original one, whatever stands around it in the
 * moved code: what rounds uses no stack, and cold code only from one instruction to another.
 * The table's slots have the rows of the blocks that lead there.
 */
#include <stdio.h>

#include "body.h"

/* ---- While a function is moved ------------------------------------------------------------ */

static void write_row(worker *w, const fz_row *row)
{
    part *p = w->out;
    const uint32_t here = (uint32_t)p->code.n;
    if (!memcmp(row->rule, w->row.rule, sizeof row->rule))
        return;
    fz_row_change(&p->rows, w->rq->image, &w->row, row, here - w->row_at);
    memcpy(w->row.rule, row->rule, sizeof row->rule);
    w->row_at = here;
}

static void cold_row(void *worker_of, uint64_t at, int pushed)
{
    worker *w = worker_of;
    const fz_row *row = fz_frames_at(&w->frames, at);
    fz_row low;
    if (row && pushed) {
        low = fz_row_below(w->rq->image, row, pushed);
        row = &low;
    }
    write_row(w, row ? row : &fz_row_none);
}

void fz_unwind_at(worker *w, uint64_t at)
{
    const part *p = w->out;
    w->emit.at = at;
    if (!p->frame_n)
        return;
    const fz_row *row = fz_frames_at(&w->frames, at);
    if (row)
        write_row(w, row);
    else if (at < p->frames[p->frame_n - 1].function->hi) /* else a jump out of it */
        write_row(w, &fz_row_none);
}

void fz_unwind_begin(worker *w, const fz_function *f)
{
    part *p = w->out;
    p->frames = fz_grow(p->frames, p->frame_n, &p->frame_cap, sizeof *p->frames,
                        &p->failed);
    if (p->failed)
        return;
    p->frames[p->frame_n++] = (frame){f, (uint32_t)p->code.n, 0, p->rows.n, 0};
    w->row = fz_row_entry;
    w->row_at = (uint32_t)p->code.n;
    w->emit.row = cold_row;
    w->emit.row_of = w;
}

void fz_unwind_end(worker *w)
{
    part *p = w->out;
    if (!p->frame_n)
        return;
    frame *f = &p->frames[p->frame_n - 1];
    f->hi = (uint32_t)p->code.n;
    f->rows_end = p->rows.n;
    p->failed |= p->rows.failed;
    if (f->hi == f->lo)
        p->frame_n--;
}

/* ---- Once all code has its place ---------------------------------------------------------- */

enum { SLOTS = 64 /* of the table to an entry */, TEXT = 1 };

/* .eh_frame as it is written. Addresses are offsets in the area. */
typedef struct tables {
    const fz_image *image;
    fz_bytes frame, hdr;
    uint64_t at;    /* of .eh_frame */
    uint64_t shown; /* of the page before .eh_frame_hdr, and of that one */
    uint64_t hdr_at;
    size_t open;
} tables;

static void put32(fz_bytes *b, uint64_t v)
{
    const uint32_t word = (uint32_t)v;
    fz_bytes_add(b, &word, 4);
}

static void put_cie(tables *t)
{
    static const uint8_t cie[] = {
        20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78 /* -8 */, FZ_RA, 1,
        0x1b /* addresses relative to their place, four bytes */,
        0x0c, FZ_RSP, 8, 0x80 | FZ_RA, 1, 0, 0};
    _Static_assert(sizeof cie == 24, "its length is in its first byte");
    fz_bytes_add(&t->frame, cie, sizeof cie);
}

static void open_fde(tables *t, uint64_t lo, uint64_t hi)
{
    fz_bytes *b = &t->frame;
    t->open = b->n;
    put32(&t->hdr, lo - t->hdr_at);
    put32(&t->hdr, t->at + t->open - t->hdr_at);
    put32(b, 0);
    put32(b, b->n);                /* back to the CIE, which is the first */
    put32(b, lo - (t->at + b->n));
    put32(b, hi - lo);
    fz_bytes_add(b, "", 1);
}

static void close_fde(tables *t)
{
    fz_bytes *b = &t->frame;
    while (b->n % 4 && !b->failed)
        fz_bytes_add(b, "", 1);
    const uint32_t length = (uint32_t)(b->n - t->open - 4);
    if (!b->failed)
        memcpy(b->p + t->open, &length, 4);
}

/* As emit_cold.c writes them: push %rbp; mov %rsp, %rbp; push %r10 … leave; ret. */
static void put_stub(tables *t, uint64_t lo, uint64_t hi)
{
    static const uint8_t begin[] = {0x41, 0x0e, 16, 0x80 | 6, 2, 0x43, 0x0d, 6,
                                    0x42, 0x80 | 10, 3, 4};
    static const uint8_t end[] = {0x0c, FZ_RSP, 8, 0xc0 | 6, 0xc0 | 10};
    open_fde(t, lo, hi);
    fz_bytes_add(&t->frame, begin, sizeof begin);
    put32(&t->frame, hi - 1 - (lo + 6)); /* what 4, the last byte, advances by */
    fz_bytes_add(&t->frame, end, sizeof end);
    close_fde(t);
}

static void put_slots(tables *t, const entry *e, size_t n)
{
    fz_frames f = {.image = t->image};
    for (size_t i = 0; i < n; i += SLOTS) {
        const size_t end = i + SLOTS < n ? i + SLOTS : n;
        fz_row now = fz_row_entry;
        size_t at = i;
        open_fde(t, FZ_AREA_TABLE + FZ_SLOT * i, FZ_AREA_TABLE + FZ_SLOT * end);
        for (size_t k = i; k < end; k++) {
            const fz_row *row = fz_frames_at(&f, e[k].at);
            if (!row)
                row = &fz_row_none;
            if (!memcmp(row->rule, now.rule, sizeof now.rule))
                continue;
            fz_row_change(&t->frame, t->image, &now, row, FZ_SLOT * (k - at));
            now = *row;
            at = k;
        }
        close_fde(t);
    }
    free(f.rows);
}

static void put_functions(tables *t, const part *parts, size_t n, uint64_t code)
{
    for (size_t i = 0; i < n; code += parts[i++].code.n)
        for (size_t k = 0; k < parts[i].frame_n; k++) {
            const frame *f = &parts[i].frames[k];
            open_fde(t, code + f->lo, code + f->hi);
            if (parts[i].rows.p)
                fz_bytes_add(&t->frame, parts[i].rows.p + f->rows, f->rows_end - f->rows);
            close_fde(t);
        }
}

/* ---- Symbols ------------------------------------------------------------------------------ */

static void put_symbol(fz_bytes *symbols, fz_bytes *names, const char *name,
                       const char *suffix, uint64_t value, uint64_t size)
{
    const Elf64_Sym s = {.st_name = (uint32_t)names->n,
                         .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
                         .st_shndx = TEXT,
                         .st_value = value,
                         .st_size = size};
    fz_bytes_add(symbols, &s, sizeof s);
    fz_bytes_add(names, name, strlen(name));
    fz_bytes_add(names, suffix, strlen(suffix) + 1);
}

static void put_symbols(fz_bytes *symbols, fz_bytes *names, const part *parts, size_t n,
                        uint64_t code, const fz_stubs *stubs, size_t slots)
{
    const Elf64_Sym none = {0};
    fz_bytes_add(symbols, &none, sizeof none);
    fz_bytes_add(names, "", 1);
    put_symbol(symbols, names, "fuzzytorch_stub", "", FZ_AREA_STUBS, stubs->code.n);
    put_symbol(symbols, names, "fuzzytorch_table", "", FZ_AREA_TABLE, FZ_SLOT * slots);
    for (size_t i = 0; i < n; code += parts[i++].code.n)
        for (size_t k = 0; k < parts[i].frame_n; k++) {
            const frame *f = &parts[i].frames[k];
            char nameless[32];
            const char *name = f->function->name;
            if (!*name) {
                snprintf(nameless, sizeof nameless, "at_%llx",
                         (unsigned long long)f->function->lo);
                name = nameless;
            }
            put_symbol(symbols, names, name, ".fuzzy", code + f->lo, f->hi - f->lo);
        }
}

static size_t append(fz_bytes *all, const fz_bytes *b)
{
    while (all->n % 8 && !all->failed)
        fz_bytes_add(all, "", 1);
    const size_t at = all->n;
    if (b->n)
        fz_bytes_add(all, b->p, b->n);
    all->failed |= b->failed;
    return at;
}

/* The page of headers is left empty: elf.c. */
const char *fz_unwind_place(fz_plan *plan, const fz_plan_request *rq, const part *parts,
                            size_t n, const entry *entries, size_t entry_n,
                            const fz_stubs *stubs)
{
    static const uint8_t page[FZ_PAGE];
    size_t fde_n = FZ_STUBS + (entry_n + SLOTS - 1) / SLOTS;
    for (size_t i = 0; i < n; i++)
        fde_n += parts[i].frame_n;
    const size_t hdr_size = 12 + 8 * fde_n;
    tables t = {.image = rq->image, .shown = rq->code + plan->code_size};
    t.hdr_at = t.shown + FZ_PAGE;
    t.at = t.hdr_at + (hdr_size + 7) / 8 * 8;
    fz_bytes_add(&t.hdr, "\1\x1b\3\x3b", 4); /* its version and encodings */
    put32(&t.hdr, t.at - (t.hdr_at + 4));
    put32(&t.hdr, fde_n);
    put_cie(&t);
    for (int i = 0; i < FZ_STUBS; i++)
        put_stub(&t, FZ_AREA_STUBS + stubs->start[i], FZ_AREA_STUBS + stubs->start[i + 1]);
    put_slots(&t, entries, entry_n);
    put_functions(&t, parts, n, rq->code);
    put32(&t.frame, 0);
    fz_bytes symbols = {0}, names = {0}, all = {0};
    put_symbols(&symbols, &names, parts, n, rq->code, stubs, entry_n);
    fz_bytes_add(&all, page, sizeof page);
    plan->hdr_at = append(&all, &t.hdr);
    plan->hdr_size = t.hdr.n;
    plan->frame_at = append(&all, &t.frame);
    plan->frame_size = t.frame.n;
    plan->symbol_at = append(&all, &symbols);
    plan->symbol_n = symbols.n / sizeof(Elf64_Sym);
    plan->string_at = append(&all, &names);
    plan->string_size = names.n;
    while (all.n % FZ_PAGE && !all.failed)
        fz_bytes_add(&all, "", 1);
    plan->shown = all.p;
    plan->shown_size = all.n;
    free(t.hdr.p);
    free(t.frame.p);
    free(symbols.p);
    free(names.p);
    return all.failed ? "no memory for a plan" : NULL;
}
