/* Decodes a library's functions in parallel: branch targets, jump tables, what they hold.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Only functions that are wanted are decoded, and the cold parts of such. Compiled code
 * branches into the middle of another function only between a function and the part of it
 * that gcc split off (NAME.cold; without names, every part is a function and is decoded if
 * the filter wants ""); anything else is a call or a tail call, to a start, and starts
 * are leaders already. Assembler code with entries of its own gives them symbols.
 *
 * An indirect jump is a switch or a tail call. What a switch computes ends in an addition
 * (table + entry); a tail call's register comes from memory, a copy or an argument. A
 * function with a switch has the table's address in a lea, maybe far away, so each address
 * that a lea of such a function takes is read as a table while its entries lie in the
 * function: tables too many do no harm. If the switch's own table has no such entry, or
 * fewer than the comparison in front of it lets through, the function is refused. Tables
 * of whole addresses are found as relocations, or, in files at fixed addresses, as words.
 */
#include "image.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RUN = 64,      /* functions a worker takes at once */
    RECENT = 32,   /* instructions looked back from an indirect jump */
    LEAS = 4096,   /* addresses of data a function may take before it is refused */
    ENTRIES = 1 << 16
};

static const char *const no_table = "indirect jump without a table that is understood";
static const char *const short_table = "jump table that leaves its function";
static const char *const label = "computed goto";
static const char *const undecodable = "undecodable instruction";
static const char *const many = "too many addresses to look for its jump tables";
static const char *const sibling = "part of a function that cannot be moved";

/* What matters of an instruction for the jump that may follow. */
typedef struct trace {
    enum { OTHER, COMPARE, COPY, LOAD, INDEXED, TABLE, SUM, END } kind;
    int8_t to, from, index; /* general registers, -1 none */
    uint64_t value;         /* COMPARE: with; TABLE: the address */
    /* END: the next instruction is reached from elsewhere. */
} trace;

typedef struct table {
    uint64_t address, entries; /* that the comparison lets through, 1 if unknown */
} table;

typedef struct scanner {
    fz_image *im;
    bool (*wants)(const char *, void *);
    void *arg;
    bool (*is_fp)(const ZydisDecodedInstruction *);
    void (*progress)(size_t, size_t);
    struct timespec start;
    double shown;
    atomic_size_t next, done;
    atomic_uint_fast64_t instructions, tables, targets;
} scanner;

typedef struct worker {
    scanner *s;
    ZydisDecoder decoder;
    trace recent[RECENT];
    size_t traced;
    uint64_t lea[LEAS], latest[16]; /* latest: what a lea put into a register last */
    table dispatch[64];
    size_t lea_n, dispatch_n;
    bool shifts, bias; /* a general register by 16; the constant of a rounding to bf16 */
    bool jumps, unknown, labels, indexed, sums; /* unknown: set far away, or an argument */
    uint64_t instructions, tables, targets;
} worker;

/* ---- One function ----------------------------------------------------------------------- */

static bool in_text(const fz_image *im, uint64_t a)
{
    return a >= im->text_lo && a < im->text_hi;
}

static trace trace_of(const ZydisDecodedInstruction *x, uint64_t target)
{
    trace t = {OTHER, -1, -1, -1, 0};
    bool memory = x->raw.modrm.mod != 3, sib = memory && x->raw.modrm.rm == 4;
    int8_t reg = (int8_t)(x->raw.modrm.reg | x->raw.rex.R << 3);
    int8_t rm = (int8_t)(x->raw.modrm.rm | x->raw.rex.B << 3);
    if (x->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return t;
    if (x->opcode_map == ZYDIS_OPCODE_MAP_0F) {
        if (x->mnemonic == ZYDIS_MNEMONIC_MOVZX || x->mnemonic == ZYDIS_MNEMONIC_MOVSX)
            t = (trace){memory ? LOAD : COPY, reg, rm, -1, 0};
        return t;
    }
    if (x->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return t;
    switch (x->opcode) {
    case 0x01: case 0x29: /* add, sub to r/m */
        if (!memory)
            t = (trace){SUM, rm, reg, -1, 0};
        break;
    case 0x03: case 0x2b:
        t = (trace){SUM, reg, memory ? -1 : rm, -1, 0};
        break;
    case 0x3c: case 0x3d:
        t = (trace){COMPARE, 0, -1, -1, x->raw.imm[0].value.u};
        break;
    case 0x80: case 0x81: case 0x83:
        if (!memory)
            t = (trace){x->raw.modrm.reg == 7 ? COMPARE : OTHER, rm, -1, -1,
                        x->raw.imm[0].value.u};
        break;
    case 0x09: case 0x21: case 0x31: /* or, and, xor, shifts */
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3:
        if (!memory)
            t.to = rm;
        break;
    case 0x0b: case 0x23: case 0x33:
        t.to = reg;
        break;
    case 0x89:
        if (!memory)
            t = (trace){COPY, rm, reg, -1, 0};
        break;
    case 0x8b: case 0x63:
        t = (trace){memory ? LOAD : COPY, reg, rm, -1, 0};
        if (sib && x->raw.sib.scale == 2 && (x->raw.sib.index != 4 || x->raw.rex.X))
            t = (trace){INDEXED, reg, (int8_t)(x->raw.sib.base | x->raw.rex.B << 3),
                        (int8_t)(x->raw.sib.index | x->raw.rex.X << 3), 0};
        break;
    case 0x8d:
        t = target ? (trace){TABLE, reg, -1, -1, target}
                   : (trace){SUM, reg, sib ? (int8_t)(x->raw.sib.base | x->raw.rex.B << 3)
                                           : rm, -1, 0};
        break;
    default: break;
    }
    return t;
}

/* The entries that the comparison in front of an indexed load lets through. */
static uint64_t bound(const worker *w, size_t load, size_t oldest)
{
    int index = w->recent[load % RECENT].index;
    for (size_t i = load; i-- > oldest;) {
        const trace *t = &w->recent[i % RECENT];
        if (t->kind == END)
            return 1;
        if (t->kind == COMPARE && t->to == index)
            return t->value < ENTRIES ? t->value + 1 : 1;
        if (t->kind == COPY && t->to == index)
            index = t->from;
        else if (t->to == index)
            return 1;
    }
    return 1;
}

/* Where does a jump through a register lead? A switch is noted; false if it is none that is
 * understood. */
static bool jump_through(worker *w, int reg)
{
    size_t oldest = w->traced > RECENT ? w->traced - RECENT : 0;
    for (size_t i = w->traced; i-- > oldest;) {
        const trace *t = &w->recent[i % RECENT];
        if (t->kind == END)
            break;
        if (t->to != reg || t->kind == COMPARE)
            continue;
        if (t->kind == OTHER)
            return false;
        if (t->kind == COPY) {
            reg = t->from;
            continue;
        }
        if (t->kind != SUM)
            return true;
        uint64_t base = t->from >= 0 ? w->latest[t->from] : 0;
        if (!base)
            base = w->latest[reg];
        table d = {base, 1};
        for (size_t k = i; k-- > oldest;) {
            const trace *l = &w->recent[k % RECENT];
            if (l->kind != INDEXED || (l->to != reg && l->to != t->from))
                continue;
            d.entries = bound(w, k, oldest);
            if (w->latest[l->from])
                d.address = w->latest[l->from];
            break;
        }
        if (!d.address || w->dispatch_n == sizeof w->dispatch / sizeof *w->dispatch)
            return false;
        w->dispatch[w->dispatch_n++] = d;
        return true;
    }
    w->unknown = true;
    return true;
}

static uint64_t read_table(worker *w, const fz_function *f, uint64_t address,
                           uint64_t expected)
{
    const fz_image *im = w->s->im;
    uint64_t n = 0;
    for (; n < ENTRIES; n++) {
        const uint8_t *p = fz_image_at(im, address + 4 * n), *q;
        int32_t v;
        if (!p || !(q = fz_image_at(im, address + 4 * n + 3)) || q != p + 3)
            break;
        memcpy(&v, p, 4);
        uint64_t to = address + (uint64_t)v;
        if (to < f->lo || to > f->reach) { /* reach itself: __builtin_unreachable */
            const fz_function *g = in_text(im, to) ? fz_image_function(im, to) : NULL;
            if (!g || !(g->cold || !g->name[0] || f->cold) ||
                (n >= expected && !im->symbols))
                break;
        }
        fz_image_lead(w->s->im, to);
    }
    return n;
}

static const char *read_tables(worker *w, const fz_function *f)
{
    for (size_t i = 0; i < w->dispatch_n; i++) {
        const table *d = &w->dispatch[i];
        uint64_t n = read_table(w, f, d->address, d->entries);
        if (n < d->entries)
            return n ? short_table : no_table;
    }
    uint64_t last = 0, before = w->tables;
    for (size_t i = 0; i < w->lea_n; i++) {
        if (w->lea[i] == last)
            continue;
        last = w->lea[i];
        uint64_t n = read_table(w, f, last, 0);
        w->tables += n > 0;
        w->targets += n;
    }
    if (w->labels && w->indexed)
        return label;
    /* Registers keep their table over a loop: then it was among these. */
    return w->unknown && w->indexed && w->sums && w->tables == before && w->lea_n
               ? no_table : NULL;
}

/* An indirect jump; false if where it leads is not known. */
static bool indirect(worker *w, const ZydisDecodedInstruction *x)
{
    if (x->raw.modrm.mod != 3)
        return true; /* an address from memory: a slot, a method, or a table of addresses */
    w->jumps = true;
    return jump_through(w, x->raw.modrm.rm | x->raw.rex.B << 3);
}

static const char *address_taken(worker *w, const fz_function *f, uint64_t target)
{
    if (in_text(w->s->im, target)) {
        fz_image_lead(w->s->im, target);
        w->labels |= target > f->lo && target < f->hi;
    } else if (target % 4 == 0) {
        if (w->lea_n == LEAS)
            return many;
        w->lea[w->lea_n++] = target;
    }
    return NULL;
}

static void facts(worker *w, fz_function *f, const ZydisDecodedInstruction *x)
{
    f->vex |= x->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    f->evex |= x->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    f->truncates |= x->mnemonic == ZYDIS_MNEMONIC_CVTTSS2SI ||
                    x->mnemonic == ZYDIS_MNEMONIC_CVTTSD2SI ||
                    x->mnemonic == ZYDIS_MNEMONIC_VCVTTSS2SI ||
                    x->mnemonic == ZYDIS_MNEMONIC_VCVTTSD2SI;
    f->truncates_many |= x->mnemonic == ZYDIS_MNEMONIC_VCVTTPS2DQ ||
                         x->mnemonic == ZYDIS_MNEMONIC_VCVTTPD2DQ ||
                         x->mnemonic == ZYDIS_MNEMONIC_CVTTPS2DQ ||
                         x->mnemonic == ZYDIS_MNEMONIC_CVTTPD2DQ;
    f->philox |= (uint32_t)x->raw.imm[0].value.u == 0xd2511f53 ||
                 (uint32_t)x->raw.imm[0].value.u == 0xcd9e8d57;
    f->fp += w->s->is_fp(x);
    bool shift = x->mnemonic == ZYDIS_MNEMONIC_SHR && x->raw.imm[0].size == 8;
    bool dwords = x->mnemonic == ZYDIS_MNEMONIC_PSRLD || x->mnemonic == ZYDIS_MNEMONIC_VPSRLD;
    f->rounds16 |= dwords && x->raw.imm[0].value.u == 16;
    w->shifts |= shift && x->raw.imm[0].value.u == 16;
    w->bias |= x->raw.disp.value == 0x7fff || x->raw.imm[0].value.u == 0x7fff;
}

/* Marks what an instruction points to; a reason if that is not known. */
static const char *follow(worker *w, const fz_function *f, const ZydisDecodedInstruction *x,
                          uint64_t next)
{
    fz_image *im = w->s->im;
    const char *why = NULL;
    uint64_t target = 0;
    if (x->raw.imm[0].is_relative) {
        fz_image_lead(im, next + (uint64_t)x->raw.imm[0].value.s);
        if (x->mnemonic == ZYDIS_MNEMONIC_JMP)
            w->recent[w->traced++ % RECENT] = (trace){END, -1, -1, -1, 0};
        return NULL;
    }
    if (x->mnemonic == ZYDIS_MNEMONIC_JMP) {
        why = indirect(w, x) ? NULL : no_table;
        w->recent[w->traced++ % RECENT] = (trace){END, -1, -1, -1, 0};
        return why;
    }
    if (x->mnemonic == ZYDIS_MNEMONIC_LEA && x->raw.modrm.mod == 0 && x->raw.modrm.rm == 5) {
        target = next + (uint64_t)x->raw.disp.value;
        why = address_taken(w, f, target);
        w->latest[x->raw.modrm.reg | x->raw.rex.R << 3] = target;
    } else if (im->fixed) {
        if (x->raw.imm[0].size >= 32)
            fz_image_lead(im, x->raw.imm[0].value.u);
        if (x->raw.disp.size == 32)
            fz_image_lead(im, (uint64_t)x->raw.disp.value);
    }
    trace t = trace_of(x, target);
    if (x->meta.category == ZYDIS_CATEGORY_RET || x->mnemonic == ZYDIS_MNEMONIC_UD2)
        t.kind = END;
    w->indexed |= t.kind == INDEXED;
    w->sums |= t.kind == SUM && t.from >= 0 && w->latest[t.from];
    w->recent[w->traced++ % RECENT] = t;
    return why;
}

static void scan_function(worker *w, fz_function *f)
{
    w->traced = w->lea_n = w->dispatch_n = 0;
    w->shifts = w->bias = false;
    w->jumps = w->unknown = w->labels = w->indexed = w->sums = false;
    memset(w->latest, 0, sizeof w->latest);
    const uint8_t *p = fz_image_at(w->s->im, f->lo);
    for (uint64_t at = 0; at < f->hi - f->lo;) {
        ZydisDecodedInstruction x;
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&w->decoder, NULL, p + at,
                                                        f->hi - f->lo - at, &x))) {
            f->refused = undecodable;
            return;
        }
        at += x.length;
        w->instructions++;
        facts(w, f, &x);
        const char *why = follow(w, f, &x, f->lo + at);
        if (why)
            f->refused = why;
    }
    f->rounds16 |= w->shifts && w->bias;
    if (!w->jumps)
        return;
    const char *why = read_tables(w, f);
    if (why && !f->refused)
        f->refused = why;
}

/* ---- All -------------------------------------------------------------------------------- */

/* Is this the cold part of a wanted function? */
static bool cold_of_wanted(const scanner *s, const fz_function *f)
{
    char *parent = f->cold ? strdup(f->name) : NULL;
    if (!parent)
        return f->cold;
    *strstr(parent, ".cold") = 0;
    bool wanted = s->wants(parent, s->arg);
    free(parent);
    return wanted;
}

static double since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) +
           1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static void show(scanner *s)
{
    double t = since(&s->start);
    if (s->progress && t >= 1 && t >= s->shown + 0.5) {
        s->shown = t;
        s->progress(atomic_load(&s->done), s->im->count);
    }
}

static void work(scanner *s, bool caller)
{
    worker *w = calloc(1, sizeof *w);
    if (!w)
        return; /* what nobody takes is refused below */
    w->s = s;
    ZydisDecoderInit(&w->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (;;) {
        size_t i = atomic_fetch_add(&s->next, RUN), end = i + RUN;
        if (i >= s->im->count)
            break;
        if (end > s->im->count)
            end = s->im->count;
        for (size_t k = i; k < end; k++) {
            fz_function *f = &s->im->functions[k];
            f->wanted = s->wants(f->name, s->arg);
            if (f->wanted || cold_of_wanted(s, f))
                scan_function(w, f);
        }
        atomic_fetch_add(&s->done, end - i);
        if (caller)
            show(s);
    }
    atomic_fetch_add(&s->instructions, w->instructions);
    atomic_fetch_add(&s->tables, w->tables);
    atomic_fetch_add(&s->targets, w->targets);
    free(w);
}

static void *run(void *s)
{
    work(s, false);
    return NULL;
}

static size_t stem(const fz_function *f)
{
    const char *cold = strstr(f->name, ".cold");
    return cold ? (size_t)(cold - f->name) : strlen(f->name);
}

static int by_stem(const void *a, const void *b)
{
    const fz_function *f = *(fz_function *const *)a, *g = *(fz_function *const *)b;
    size_t m = stem(f), n = stem(g);
    int order = memcmp(f->name, g->name, m < n ? m : n);
    return order ? order : m < n ? -1 : m > n;
}

/* A table that is not understood may lead into the function's other part as well. */
static void refuse_siblings(fz_image *im)
{
    fz_function **refused = malloc((im->count + 1) * sizeof *refused);
    size_t n = 0;
    for (size_t i = 0; i < im->count && refused; i++)
        if (im->functions[i].refused && im->functions[i].name[0])
            refused[n++] = &im->functions[i];
    if (n)
        qsort(refused, n, sizeof *refused, by_stem);
    for (size_t i = 0; i < im->count && n; i++) {
        fz_function *f = &im->functions[i], *key = f;
        if (f->name[0] && !f->refused &&
            bsearch(&key, refused, n, sizeof *refused, by_stem))
            f->refused = sibling;
    }
    free(refused);
}

void fz_image_scan(fz_image *im, bool (*wants)(const char *name, void *arg), void *arg,
                   bool (*is_fp)(const ZydisDecodedInstruction *), int threads,
                   void (*progress)(size_t done, size_t total))
{
    scanner s = {.im = im, .wants = wants, .arg = arg, .is_fp = is_fp, .progress = progress};
    pthread_t thread[64];
    int n = 0;
    clock_gettime(CLOCK_MONOTONIC, &s.start);
    while (n < threads - 1 && n < 64 && !pthread_create(&thread[n], NULL, run, &s))
        n++;
    work(&s, true);
    while (n)
        pthread_join(thread[--n], NULL);
    for (size_t i = 0; i < im->count && atomic_load(&s.done) < im->count; i++)
        im->functions[i].refused = "no memory to decode it";
    im->instructions = s.instructions;
    im->tables = s.tables;
    im->targets = s.targets;
    refuse_siblings(im);
    if (progress && s.shown > 0)
        progress(im->count, im->count);
}
