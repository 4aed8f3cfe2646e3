/* Calls of libraries in scope, led to us by their own tables instead of by a global name.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * exp, log, pow, … are called by everybody. A preloaded `exp` would have to ask at each
 * call who calls, and could not tell for a call that is a function's last act (`jmp
 * exp@plt`): the return address is then that of somebody else. So nothing of libm is
 * exported. The words through which a library calls others (JUMP_SLOT, GLOB_DAT and
 * absolute relocations) are rewritten, in the libraries in scope only: all others reach libm
 * as if we were not here. The same serves functions of torch, whose C++ names differ with
 * its version in what comes after the name proper.
 *
 * This is done when torch has been mapped, at each later dlopen for what came before it,
 * and after a dlopen of a file that is in scope by its name. Relocated words are read-only
 * in most libraries (RELRO): their pages are made writable for as long as it takes. Words
 * are written whole, so that threads call either the one function or the other.
 */
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slots.h"

#define LIBRARIES 1024
#define BUCKETS 1024 /* a power of two, some four times the number of entries */

struct library {
    uintptr_t base, lo, hi;
    uintptr_t relro_lo, relro_hi;
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *strings;
    const ElfW(Rela) * tables[2];
    size_t n[2];
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static const fz_slot_entry *bucket[BUCKETS];

/* What has been looked at, by program headers. Forgotten when any library was closed. */
static bool ready;
static uintptr_t done[LIBRARIES];
static unsigned n_done;
static unsigned long long closed;

/* The first library with a slot for each symbol, as an address inside it. */
static _Atomic uintptr_t home[FZ_SYMBOLS];

/* ---- Names ------------------------------------------------------------------------------- */

static unsigned hash(const char *s)
{
    unsigned h = 5381;
    for (; *s; s++)
        h = h * 33 + (unsigned char)*s;
    return h;
}

static void enter(const fz_slot_entry *e)
{
    for (; e->name; e++) {
        unsigned h = hash(e->name);
        while (bucket[h % BUCKETS])
            h++;
        bucket[h % BUCKETS] = e;
    }
}

static const fz_slot_entry *by_name(const char *name)
{
    for (unsigned h = hash(name); bucket[h % BUCKETS]; h++)
        if (!strcmp(bucket[h % BUCKETS]->name, name))
            return bucket[h % BUCKETS];
    return NULL;
}

/* ---- One library ------------------------------------------------------------------------- */

/* glibc has relocated the pointers of most dynamic sections in place, not of all. */
static const void *pointer(const struct library *l, ElfW(Addr) value)
{
    return (const void *)(value < l->base ? value + l->base : value);
}

static bool read_library(struct library *l, const struct dl_phdr_info *info)
{
    *l = (struct library){.base = info->dlpi_addr, .lo = UINTPTR_MAX};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz;
        if (ph->p_type == PT_DYNAMIC)
            l->dynamic = (const void *)start;
        if (ph->p_type == PT_GNU_RELRO) {
            l->relro_lo = start;
            l->relro_hi = end;
        }
        if (ph->p_type == PT_LOAD) {
            l->lo = start < l->lo ? start : l->lo;
            l->hi = end > l->hi ? end : l->hi;
        }
    }
    if (!l->dynamic)
        return false;
    for (const ElfW(Dyn) *d = l->dynamic; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_SYMTAB: l->symbols = pointer(l, d->d_un.d_ptr); break;
        case DT_STRTAB: l->strings = pointer(l, d->d_un.d_ptr); break;
        case DT_JMPREL: l->tables[0] = pointer(l, d->d_un.d_ptr); break;
        case DT_PLTRELSZ: l->n[0] = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELA: l->tables[1] = pointer(l, d->d_un.d_ptr); break;
        case DT_RELASZ: l->n[1] = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        }
    return l->symbols && l->strings;
}

/* What a slot of a function of torch leads to now. A slot that has not been bound leads
 * back to its own library, to code that would bind it and overwrite us. */
static void *bound(const struct library *l, const ElfW(Sym) * s, uintptr_t value)
{
    const bool inside = value >= l->lo && value < l->hi;
    if (inside && !(s->st_shndx != SHN_UNDEF && value == l->base + s->st_value))
        return fz_symbol_from((const void *)l->lo, l->strings + s->st_name);
    return fz_ours((const void *)value) ? NULL : (void *)value;
}

/* The new value of a slot that leads to a function of torch or of libm; 0: none. */
static uintptr_t of_torch(const struct library *l, const ElfW(Sym) * s, uintptr_t value)
{
    const char *name = l->strings + s->st_name;
    if (strncmp(name, "_ZN2at", 6) != 0)
        return 0;
    if (fz_ours((const void *)value))
        return value;
    return (uintptr_t)fz_plain_entry(name, bound(l, s, value));
}

static uintptr_t of_libm(const struct library *l, const ElfW(Sym) * s, uintptr_t value)
{
    const fz_slot_entry *e = NULL;
    uintptr_t none = 0;
    (void)value;
    if (s->st_shndx == SHN_UNDEF)
        e = by_name(l->strings + s->st_name);
    if (!e)
        return 0;
    atomic_compare_exchange_strong(&home[e->symbol], &none, l->lo);
    return (uintptr_t)e->entry;
}

typedef uintptr_t substitute_fn(const struct library *l, const ElfW(Sym) * s,
                                uintptr_t value);

/* How many slots lead to us then. */
static unsigned rewrite(const struct library *l, substitute_fn *substitute)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t lo = l->relro_lo & -page, hi = l->relro_hi & -page;
    bool open = false;
    unsigned n = 0;
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; l->tables[t] && i < l->n[t]; i++) {
            const ElfW(Rela) *r = &l->tables[t][i];
            const unsigned type = ELF64_R_TYPE(r->r_info), k = ELF64_R_SYM(r->r_info);
            if (!k || r->r_addend ||
                (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT &&
                 type != R_X86_64_64))
                continue;
            _Atomic uintptr_t *slot = (_Atomic uintptr_t *)(l->base + r->r_offset);
            const uintptr_t value = atomic_load_explicit(slot, memory_order_relaxed);
            const uintptr_t to = substitute(l, &l->symbols[k], value);
            if (!to || to == value) {
                n += to != 0;
                continue;
            }
            const bool readonly = (uintptr_t)slot >= lo && (uintptr_t)slot < hi;
            if (readonly && !open) {
                if (mprotect((void *)lo, hi - lo, PROT_READ | PROT_WRITE) != 0)
                    return n;
                open = true;
            }
            atomic_store_explicit(slot, to, memory_order_release);
            n++;
        }
    if (open)
        mprotect((void *)lo, hi - lo, PROT_READ);
    return n;
}

/* Does libtorch_cpu.so bind its own functions past its table (-Bsymbolic, hidden
 * visibility)? Then random numbers cannot be told from other arithmetic. */
static bool blind(const struct library *l, const char *path)
{
    const char *name = fz_base_name(path);
    return rewrite(l, of_torch) == 0 && !strncmp(name, "libtorch_cpu.so", 15);
}

static int count_marks(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct {
        uintptr_t base;
        unsigned n;
    } *s = arg;
    struct library l;
    (void)size;
    if (info->dlpi_addr != s->base || !read_library(&l, info))
        return 0;
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; l.tables[t] && i < l.n[t]; i++) {
            const unsigned k = ELF64_R_SYM(l.tables[t][i].r_info);
            s->n += k && fz_plain_named(l.strings + l.symbols[k].st_name);
        }
    return 1;
}

bool fz_slots_marks(uintptr_t base)
{
    struct {
        uintptr_t base;
        unsigned n;
    } s = {base, 0};
    fz_each_object(count_marks, &s);
    return s.n != 0;
}

static bool calls_libm(const struct library *l)
{
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; l->tables[t] && i < l->n[t]; i++) {
            const ElfW(Sym) *s = &l->symbols[ELF64_R_SYM(l->tables[t][i].r_info)];
            if (s->st_shndx == SHN_UNDEF && by_name(l->strings + s->st_name))
                return true;
        }
    return false;
}

/* ---- All --------------------------------------------------------------------------------- */

static int each(struct dl_phdr_info *info, size_t size, void *arg)
{
    const uintptr_t id = (uintptr_t)info->dlpi_phdr;
    struct library l;
    (void)size;
    (void)arg;
    if (info->dlpi_subs != closed) {
        closed = info->dlpi_subs;
        n_done = 0;
    }
    for (unsigned i = 0; i < n_done; i++)
        if (done[i] == id)
            return 0;
    if (!fz_ours(info->dlpi_phdr) && fz_path_in_scope(info->dlpi_name) &&
        read_library(&l, info)) {
        if (!blind(&l, info->dlpi_name))
            rewrite(&l, of_libm);
        else if (fz_policy_get()->scope & FZ_SCOPE_MATH && calls_libm(&l))
            fz_say("warning: torch makes random numbers past its own table: libm stays "
                   "native in it, and seeded random tensors may be perturbed");
    }
    if (n_done < LIBRARIES)
        done[n_done++] = id;
    return 0;
}

void fz_slots_refresh(void)
{
    static _Atomic unsigned long long seen;
    if (fz_policy_get()->off)
        return;
    const unsigned long long now = fz_map_changes();
    /* If another thread is at it, or was when this process was forked: the next time. */
    if (now == atomic_load(&seen) || pthread_mutex_trylock(&guard) != 0)
        return;
    if (!ready) {
        enter(fz_libm_entries);
        enter(fz_complex_entries);
        ready = true;
    }
    fz_each_object(each, NULL);
    atomic_store(&seen, now);
    pthread_mutex_unlock(&guard);
}

__attribute__((constructor)) static void start(void)
{
    fz_slots_refresh();
}

fz_lib *fz_slots_caller(enum fz_symbol s, const void *from)
{
    fz_lib *lib = fz_lib_of(from);
    if (FZ_LIKELY(lib->scope))
        return lib;
    const uintptr_t at = atomic_load_explicit(&home[s], memory_order_relaxed);
    return at ? fz_lib_of((const void *)at) : lib;
}
