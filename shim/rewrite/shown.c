/* Shows moved code to unwinders and debuggers: as further objects to dl_iterate_phdr and
 * _dl_find_object, and to gdb by its JIT interface.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Unwinders ask these two functions which tables are about an address, at each frame or for
 * a cache of their own. So nothing is registered with libgcc, which would take a lock and
 * sort the tables at the first exception of the process. Both may be asked in a signal
 * handler: what is shown is only ever added to.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

#include "../shim.h"
#include "runtime.h"

typedef int each_fn(int (*)(struct dl_phdr_info *, size_t, void *), void *);
typedef int find_fn(void *, struct dl_find_object *);

/* ---- gdb ---------------------------------------------------------------------------------- */

/* The names and the layout are gdb's. Not exported: others' descriptors stay theirs. */
struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const void *symfile_addr;
    uint64_t symfile_size;
};

extern struct jit_descriptor {
    uint32_t version, action_flag;
    struct jit_code_entry *relevant_entry, *first_entry;
} __jit_debug_descriptor;

struct jit_descriptor __jit_debug_descriptor __attribute__((used)) = {1, 0, NULL, NULL};

/* gdb stops here. */
void __jit_debug_register_code(void);
__attribute__((noinline, used)) void __jit_debug_register_code(void)
{
    __asm__ volatile("" : : : "memory");
}

static void tell_gdb(struct jit_code_entry *e)
{
    struct jit_descriptor *d = &__jit_debug_descriptor;
    e->next_entry = d->first_entry;
    if (d->first_entry)
        d->first_entry->prev_entry = e;
    d->first_entry = d->relevant_entry = e;
    d->action_flag = 1;
    __jit_debug_register_code();
    d->action_flag = 0;
}

/* ---- What is shown ------------------------------------------------------------------------ */

/* Code that one table is about. */
typedef struct shown {
    uintptr_t lo, hi, library;
    const void *hdr; /* its .eh_frame_hdr */
    uintptr_t base;
    ElfW(Phdr) segment[3];
    struct jit_code_entry entry;
} shown;

static shown *list[FZ_LIBRARIES * (FZ_VARIANTS + 1)];
static atomic_uint list_n;
static _Atomic uintptr_t lowest = UINTPTR_MAX, highest;

static shown *add(const fz_moved *lib, uint64_t code, uint64_t code_size,
                  const fz_planfile *h)
{
    const unsigned n = atomic_load(&list_n);
    shown *s = n < sizeof list / sizeof *list ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    const uint64_t area = (uintptr_t)lib->r.area, tables = h->code + h->code_size;
    *s = (shown){
        .lo = area + code, .hi = area + code + code_size, .base = area,
        .library = lib->m.base + lib->m.text_end - 1,
        .hdr = lib->r.area + tables + h->hdr,
        .segment = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = code, .p_memsz = code_size,
                     .p_align = FZ_PAGE},
                    {.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = tables, .p_memsz = h->shown_size, .p_align = FZ_PAGE},
                    {.p_type = PT_GNU_EH_FRAME, .p_flags = PF_R,
                     .p_vaddr = tables + h->hdr, .p_memsz = h->hdr_size,
                     .p_align = 4}}};
    for (int i = 0; i < 3; i++) {
        s->segment[i].p_paddr = s->segment[i].p_vaddr;
        s->segment[i].p_filesz = s->segment[i].p_memsz;
    }
    list[n] = s;
    if (s->lo < atomic_load(&lowest))
        atomic_store(&lowest, s->lo);
    if (s->hi > atomic_load(&highest))
        atomic_store(&highest, s->hi);
    atomic_store(&list_n, n + 1);
    return s;
}

void fz_show(const fz_moved *lib, const fz_planfile *h, bool first)
{
    /* All variants have one table, of the same slots. */
    if (first)
        add(lib, FZ_AREA_STUBS, h->head_size, h);
    shown *s = add(lib, h->code, h->code_size, h);
    if (!s)
        return;
    s->entry.symfile_addr = lib->r.area + h->code + h->code_size;
    s->entry.symfile_size = h->shown_size;
    tell_gdb(&s->entry);
}

static const shown *find_shown(uintptr_t pc)
{
    if (pc < atomic_load_explicit(&lowest, memory_order_relaxed) ||
        pc >= atomic_load_explicit(&highest, memory_order_relaxed))
        return NULL;
    for (unsigned i = atomic_load(&list_n); i--;)
        if (pc >= list[i]->lo && pc < list[i]->hi)
            return list[i];
    return NULL;
}

/* ---- Who asks ----------------------------------------------------------------------------- */

static each_fn *real_each(void)
{
    static _Atomic(void *) found;
    void *p = atomic_load_explicit(&found, memory_order_acquire);
    if (!p)
        atomic_store(&found, p = fz_next("dl_iterate_phdr"));
    each_fn *real = NULL;
    *(void **)&real = p;
    return real;
}

/* NULL where glibc is older than 2.35. */
static find_fn *real_find(void)
{
    static _Atomic(void *) found;
    static atomic_bool asked;
    if (!atomic_load_explicit(&asked, memory_order_acquire)) {
        atomic_store(&found, fz_next("_dl_find_object"));
        atomic_store(&asked, true);
    }
    find_fn *real = NULL;
    *(void **)&real = atomic_load_explicit(&found, memory_order_relaxed);
    return real;
}

int fz_each_object(int (*each)(struct dl_phdr_info *, size_t, void *), void *arg)
{
    each_fn *real = real_each();
    return real ? real(each, arg) : 0;
}

bool fz_find_object(const void *pc, struct dl_find_object *out, bool *known)
{
    find_fn *real = real_find();
    *known = real != NULL;
    return real && real((void *)(uintptr_t)pc, out) == 0;
}

static int first_of_all(struct dl_phdr_info *info, size_t size, void *arg)
{
    memcpy(arg, info, size < sizeof *info ? size : sizeof *info);
    return 1;
}

/* The name is no path: some open what they find here. */
FZ_EXPORT int dl_iterate_phdr(int (*each)(struct dl_phdr_info *, size_t, void *), void *arg)
{
    int rc = fz_each_object(each, arg);
    const unsigned n = rc ? 0 : atomic_load(&list_n);
    if (!n)
        return rc;
    struct dl_phdr_info info = {0}, process = {0};
    fz_each_object(first_of_all, &process);
    for (unsigned i = 0; i < n && !rc; i++) {
        info = (struct dl_phdr_info){.dlpi_addr = list[i]->base, .dlpi_name = "[fuzzytorch]",
                                     .dlpi_phdr = list[i]->segment, .dlpi_phnum = 3,
                                     .dlpi_adds = process.dlpi_adds,
                                     .dlpi_subs = process.dlpi_subs};
        rc = each(&info, sizeof info, arg);
    }
    return rc;
}

typedef struct query {
    uintptr_t pc;
    struct dl_find_object *out;
} query;

static int holds(struct dl_phdr_info *info, size_t size, void *arg)
{
    query *q = arg;
    uintptr_t lo = UINTPTR_MAX, hi = 0, hdr = 0;
    bool hit = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz;
        if (ph->p_type == PT_GNU_EH_FRAME)
            hdr = start;
        if (ph->p_type != PT_LOAD)
            continue;
        hit |= q->pc >= start && q->pc < end;
        lo = start < lo ? start : lo;
        hi = end > hi ? end : hi;
    }
    if (hit)
        *q->out = (struct dl_find_object){.dlfo_map_start = (void *)lo,
                                          .dlfo_map_end = (void *)hi,
                                          .dlfo_eh_frame = (void *)hdr};
    return hit;
}

FZ_EXPORT int _dl_find_object(void *pc, struct dl_find_object *out);
FZ_EXPORT int _dl_find_object(void *pc, struct dl_find_object *out)
{
    const shown *s = find_shown((uintptr_t)pc);
    const uintptr_t at = s ? s->library : (uintptr_t)pc; /* whose link map stands for it */
    bool known;
    int rc = fz_find_object((const void *)at, out, &known) ? 0 : -1;
    if (!known) { /* who calls has been told that it exists */
        query q = {at, out};
        rc = fz_each_object(holds, &q) ? 0 : -1;
    }
    if (!s)
        return rc;
    if (rc != 0) /* its library has been closed */
        memset(out, 0, sizeof *out);
    out->dlfo_map_start = (void *)s->lo;
    out->dlfo_map_end = (void *)s->hi;
    out->dlfo_eh_frame = (void *)(uintptr_t)s->hdr;
    return 0;
}

/* Resolved before a handler needs them. */
__attribute__((constructor)) static void resolve(void)
{
    real_each();
    real_find();
}
