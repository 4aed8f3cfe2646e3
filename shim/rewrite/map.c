/* Maps plans: moved code into an area near its library, and patched pages over the library.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is ever writable and executable at once: moved code and patched pages are mapped
 * from the plan's file, read-only, over the area and over the library's text. They are
 * shared between processes and cost no private memory.
 */
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../shim.h"
#include "planfile.h"
#include "runtime.h"

/* ---- Mapping ------------------------------------------------------------------------------ */

/* Up to the next of 8, 9 … 15 times a power of two. */
static size_t round_size(size_t n)
{
    size_t p = 1;
    while (16 * p < n)
        p *= 2;
    return (n + p - 1) / p * p;
}

/* Address space for the area within reach of the library; tried in a fixed order, since the
 * distance is part of a plan. `grown`: how much larger than most libraries need. */
static bool reserve(fz_room *r, const fz_mapped *m, unsigned grown)
{
    const bool test = getenv("FUZZYTORCH_PLAN_VARIANT") != NULL;
    size_t v = round_size(m->text_size * 9 / 2);
    v = (v < 0x20000 ? 0x20000 : v > FZ_AREA_VARIANT ? FZ_AREA_VARIANT : v) * grown;
    if (v > FZ_AREA_VARIANT)
        v = FZ_AREA_VARIANT;
    r->variant = v;
    r->table = v / 8 < 2 * FZ_AREA_TABLE ? 2 * FZ_AREA_TABLE : v / 8 / FZ_PAGE * FZ_PAGE;
    r->size = r->table + (test ? FZ_VARIANTS : FZ_SR_NEAREST) * v;
    r->counters = 0;
    if (fz_policy_get()->report_operations) {
        r->counters = r->size;
        r->size += 2 * r->table; /* of each block, and of its runs as it was */
    }
    int64_t reach = INT64_C(0x7ff00000) - (int64_t)m->text_end;
    const int64_t unit = r->size < 0x200000 ? 0x80000 : 0x200000;
    int64_t apart = (int64_t)(r->size / 8 + (size_t)unit - 1) / unit * unit;
    for (int i = 0; i < 8192; i++) {
        int64_t step = i / 2 * apart;
        int64_t d = i % 2 == 0 ? -INT64_C(0x30000000) - step
                               : (int64_t)(m->text_end + 0xfffffff) / 0x10000000 * 0x10000000 +
                                     step;
        if (d < 0 && (-d > reach || (int64_t)m->base + d < 0x10000))
            continue;
        if (d > 0 && d + (int64_t)r->size > 0x7ff00000)
            continue;
        void *want = (void *)(m->base + (uintptr_t)d);
        void *got = mmap(want, r->size, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                         -1, 0);
        if (got == want) {
            r->area = got;
            r->distance = d;
            return true;
        }
        if (got != MAP_FAILED)
            munmap(got, r->size);
    }
    return false;
}

static bool map_at(void *at, size_t size, int fd, uint64_t offset)
{
    return !size || mmap(at, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
                         (off_t)offset) == at;
}

static bool map_constants(uint8_t *page)
{
    if (mmap(page, FZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) != page)
        return false;
    void (*definition)(const fz_inst_site *) = fz_inst_definition;
    fz_area_constants(page);
    memcpy(page + FZ_AREA_DEFINITION, &definition, sizeof definition);
    return mprotect(page, FZ_PAGE, PROT_READ) == 0;
}

static fz_moved *moved_libraries[FZ_LIBRARIES];
static unsigned moved_n;

static bool read_header(int fd, fz_planfile *h)
{
    return pread(fd, h, sizeof *h, FZ_PLANFILE_AT) == (ssize_t)sizeof *h;
}

fz_moved *fz_moved_at(unsigned i)
{
    return i < moved_n ? moved_libraries[i] : NULL;
}

static const char *const too_large = "its moved code is too large";

/* What unwinders and debuggers read, behind the code. gdb wants addresses, and sections of
 * which no two overlap: of variants that come later, .text does not begin with the area. */
static bool map_shown(const fz_moved *lib, enum fz_variant v, const fz_planfile *h)
{
    uint8_t *at = lib->r.area + h->code + h->code_size;
    const bool later = lib->report;
    if (mmap(at, h->shown_size, PROT_READ, MAP_PRIVATE | MAP_FIXED, lib->plan[v],
             (off_t)h->shown_at) != at ||
        mprotect(at, later ? h->shown_size : FZ_PAGE, PROT_READ | PROT_WRITE) != 0)
        return false;
    const ElfW(Ehdr) *e = (const void *)at;
    ElfW(Shdr) *s = (void *)(at + e->e_shoff);
    for (unsigned i = 0; i < e->e_shnum; i++) {
        if (s[i].sh_flags & SHF_ALLOC)
            s[i].sh_addr += (uintptr_t)lib->r.area;
        if (later && s[i].sh_type == SHT_NOBITS) {
            s[i].sh_addr += h->code;
            s[i].sh_size -= h->code;
        }
        ElfW(Sym) *y = (void *)(at + s[i].sh_offset);
        for (size_t n = s[i].sh_size / sizeof *y; later && s[i].sh_type == SHT_SYMTAB && n; n--)
            y++->st_value -= h->code;
    }
    return mprotect(at, h->shown_size, PROT_READ) == 0;
}

/* torch.compile writes many small libraries: the process would run out of files. */
static void let_go(fz_moved *lib)
{
    enum { SMALL = 1 << 20 };
    for (int v = 0; v < FZ_VARIANTS && lib->m.text_size < SMALL; v++) {
        if (lib->plan[v] >= 0)
            close(lib->plan[v]);
        lib->plan[v] = -1;
    }
}

/* The code of a variant to its place; nothing leads there yet. */
static const char *map_code(fz_moved *lib, enum fz_variant v, const fz_planfile *h)
{
    const fz_room *r = &lib->r;
    if (h->head_size + FZ_AREA_STUBS > r->table || h->code_size + h->shown_size > r->variant)
        return too_large;
    if (!map_at(r->area + h->code, h->code_size, lib->plan[v], h->code_at))
        return "the system refuses executable mappings";
    if (!map_shown(lib, v, h))
        return "the system refuses mappings";
    lib->mapped[v] = true;
    return NULL;
}

/* The table that leads to it. Other threads find the old one or the new one there. */
static const char *map_head(fz_moved *lib, enum fz_variant v, const fz_planfile *h)
{
    if (!map_at(lib->r.area + FZ_AREA_STUBS, h->head_size, lib->plan[v], h->head_at))
        return "the system refuses executable mappings";
    lib->now = v;
    return NULL;
}

static const char *map_patches(fz_moved *lib, enum fz_variant v, const fz_planfile *h)
{
    size_t n = h->runs * sizeof(fz_planrun);
    fz_planrun *runs = malloc(n + 1);
    if (!runs)
        return "no memory";
    const char *why = NULL;
    if (pread(lib->plan[v], runs, n, (off_t)h->run_at) != (ssize_t)n)
        why = "the plan cannot be read";
    for (size_t i = 0; i < h->runs && !why; i++)
        if (!map_at((void *)(lib->m.base + runs[i].address), runs[i].size, lib->plan[v],
                    runs[i].at))
            why = "the system refuses executable mappings over its text";
    if (h->runs && !why) {
        lib->page = lib->m.base + runs[0].address;
        lib->page_hash = fz_planfile_hash((void *)lib->page, FZ_PAGE);
    }
    free(runs);
    return why;
}

static void describe(fz_inst_library *out, const fz_planfile *h)
{
    const fz_rules *all[] = {&fz_policy_get()->exclude, &fz_policy_get()->include};
    unsigned bit = 0;
    for (int k = 0; k < 2; k++)
        for (unsigned i = 0; i < all[k]->n; i++, bit++)
            /* Of lines behind the 512th a plan says nothing: they are not called unmatched. */
            if (all[k]->matched && (bit >= 512 || h->matched[bit / 64] >> bit % 64 & 1))
                atomic_store(&all[k]->matched[i], 1);
    out->sites = h->sites;
    out->perturbed = h->perturbed;
    out->exact = h->exact;
    out->functions = h->functions;
    out->refused_functions = h->refused_functions;
    out->counted = h->counted;
    out->blocks = h->blocks;
    for (int i = 0; i < 16; i++) {
        memcpy(out->left[i].why, h->left[i].why, sizeof out->left[i].why);
        out->left[i].sites = h->left[i].sites;
    }
}

static const char *plan_of(fz_moved *lib, enum fz_variant v)
{
    const fz_room *r = &lib->r;
    if (lib->plan[v] >= 0)
        return NULL;
    return fz_plan_obtain(&lib->plan[v], &lib->m, v, r->distance,
                          r->table + (uint64_t)v * r->variant, r->counters);
}

/* Is there room for the code of each variant, as far as the plan of one shows? */
static bool fits(const fz_room *r, const fz_planfile *h)
{
    enum { SITE = 220 }; /* bytes a site in sr: 180 to 310 */
    return h->head_size + FZ_AREA_STUBS <= r->table && h->code_size + h->shown_size <= r->variant &&
           (h->sites * SITE + h->shown_size <= r->variant || r->variant == FZ_AREA_VARIANT);
}

/* Moved code first, and the patches that lead there last. */
static const char *move_into(const fz_mapped *m, enum fz_variant v, fz_inst_library *out,
                             unsigned grown)
{
    fz_planfile h;
    if (m->text_relocations)
        return "its text has relocations";
    fz_moved *lib = calloc(1, sizeof *lib);
    if (!lib)
        return "no memory";
    lib->m = *m;
    for (int i = 0; i < FZ_VARIANTS; i++)
        lib->plan[i] = -1;
    if (!reserve(&lib->r, m, grown)) {
        free(lib);
        return "no address space near it";
    }
    /* Shared with children: what they count, those that are killed too, is in the sum. */
    const char *why = NULL;
    if (lib->r.counters && mmap(lib->r.area + lib->r.counters, 2 * lib->r.table,
                                PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                                0) != lib->r.area + lib->r.counters)
        why = "no memory for counters";
    if (!why)
        why = plan_of(lib, v);
    if (!why && !read_header(lib->plan[v], &h))
        why = "the plan cannot be read";
    if (!why && !fits(&lib->r, &h))
        why = too_large;
    if (!why)
        why = map_constants(lib->r.area) ? map_code(lib, v, &h)
                                         : "the system refuses mappings";
    if (!why)
        why = map_head(lib, v, &h);
    if (!why) {
        /* From here on something may lead to the moved code: it stays. */
        describe(out, &h);
        lib->patch_hash = h.patch_hash;
        lib->report = out;
        moved_libraries[moved_n++] = lib;
        fz_show(lib, &h, true);
        why = map_patches(lib, v, &h);
        let_go(lib);
        return why;
    }
    if (lib->plan[v] >= 0)
        close(lib->plan[v]);
    munmap(lib->r.area, lib->r.size);
    free(lib);
    return why;
}

/* Small numerical libraries grow most: their area is made larger when that shows. */
const char *fz_moved_add(const fz_mapped *m, enum fz_variant v, fz_inst_library *out)
{
    const char *why = too_large;
    for (unsigned grown = 1; grown <= 16 && why == too_large; grown *= 4)
        why = move_into(m, v, out, grown);
    return why;
}

bool fz_inst_operations_of(unsigned i, fz_inst_operations *sum,
                           void (*each)(const char *, const fz_inst_operations *, void *),
                           void *arg)
{
    const fz_inst_library *out = fz_inst_library_at(i);
    fz_moved *lib = NULL;
    fz_planfile h;
    for (unsigned k = 0; k < moved_n && out; k++)
        if (moved_libraries[k]->report == out)
            lib = moved_libraries[k];
    *sum = (fz_inst_operations){0};
    if (!lib || !lib->r.counters || plan_of(lib, lib->now) ||
        !read_header(lib->plan[lib->now], &h))
        return false;
    const uint8_t *p =
        h.block_n ? mmap(NULL, h.size, PROT_READ, MAP_PRIVATE, lib->plan[lib->now], 0) : NULL;
    let_go(lib);
    if (!p || p == MAP_FAILED)
        return !p;
    const fz_planblock *b = (const void *)(p + h.block_at);
    const uint64_t *n = (const void *)(lib->r.area + lib->r.counters);
    fz_inst_operations one = {0};
    for (uint64_t k = 0; k < h.block_n; k++) {
        const uint64_t rounded = n[2 * k], plain = n[2 * k + 1];
        one.perturbed += b[k].perturbed * rounded;
        one.exact += b[k].exact * (rounded + plain) + b[k].perturbed * plain;
        one.left += b[k].left * (rounded + plain);
        if (k + 1 < h.block_n && b[k + 1].name == b[k].name)
            continue;
        sum->perturbed += one.perturbed;
        sum->exact += one.exact;
        sum->left += one.left;
        if (each && (one.perturbed | one.exact | one.left))
            each((const char *)p + h.name_at + b[k].name, &one, arg);
        one = (fz_inst_operations){0};
    }
    munmap((void *)(uintptr_t)p, h.size);
    return true;
}

/* Another variant; a plan that is missing is made now. */
const char *fz_moved_turn(fz_moved *lib, enum fz_variant v)
{
    fz_planfile h;
    if (lib->now == v)
        return NULL;
    const char *why = plan_of(lib, v);
    if (!why && !read_header(lib->plan[v], &h))
        why = "the plan cannot be read";
    if (!why && h.patch_hash != lib->patch_hash)
        why = "its plan has other patches";
    if (!why && !lib->mapped[v]) {
        why = map_code(lib, v, &h);
        if (!why)
            fz_show(lib, &h, false);
    }
    if (!why)
        why = map_head(lib, v, &h);
    if (why && !lib->mapped[v] && lib->plan[v] >= 0) {
        close(lib->plan[v]); /* the next turn tries again */
        lib->plan[v] = -1;
    }
    let_go(lib);
    return why;
}

/* Do the old blocks still lead to the moved code? */
static bool patched(const fz_moved *lib)
{
    return !lib->page || fz_planfile_hash((void *)lib->page, FZ_PAGE) == lib->page_hash;
}

const char *fz_moved_renew(fz_moved *lib)
{
    fz_planfile h;
    if (patched(lib))
        return lib->report->why;
    const char *why = plan_of(lib, lib->now);
    if (!why)
        why = read_header(lib->plan[lib->now], &h) ? map_patches(lib, lib->now, &h)
                                                   : "the plan cannot be read";
    let_go(lib);
    return why;
}
