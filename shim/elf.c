/* A symbol of a mapped library and its dependencies, read from its ELF tables.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * dlopen(RTLD_NOLOAD) and dlsym would do the same, except inside a constructor: there
 * glibc runs the constructors that are still to come, whatever they depend on (libGLX
 * before libGLdispatch in Debian's torch, a crash). Reading takes no such step. It is
 * done in a callback of dl_iterate_phdr, which holds the linker's lock: no library leaves
 * meanwhile.
 */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "shim.h"

#define LIBRARIES 1024

struct library {
    uintptr_t base;
    const ElfW(Dyn) * dynamic;
    const char *name;
    bool queued;
};

struct search {
    const char *symbol;
    const void *inside; /* start at the library that holds this address, */
    const char *prefix; /* or at the one whose file name begins so */
    struct library lib[LIBRARIES];
    int n, first;
    void *found;
};

static int collect(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    struct library *l = &s->lib[s->n];
    (void)size;
    if (s->n == LIBRARIES)
        return 1;
    *l = (struct library){info->dlpi_addr, NULL, info->dlpi_name, false};
    bool holds = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + ph->p_vaddr;
        if (ph->p_type == PT_DYNAMIC)
            l->dynamic = (const void *)start;
        if (ph->p_type == PT_LOAD)
            holds |= (uintptr_t)s->inside >= start &&
                     (uintptr_t)s->inside < start + ph->p_memsz;
    }
    if (!l->dynamic)
        return 0;
    if (s->first < 0 &&
        (s->inside ? holds : !strncmp(fz_base_name(l->name), s->prefix, strlen(s->prefix))))
        s->first = s->n;
    s->n++;
    return 0;
}

/* glibc has relocated the pointers of most dynamic sections in place, not of all. */
static const void *pointer(const struct library *l, ElfW(Addr) value)
{
    return (const void *)(value < l->base ? value + l->base : value);
}

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash, *hash;
    const ElfW(Half) * versions;
    const char *soname;
};

static struct tables tables_of(const struct library *l)
{
    struct tables t = {0};
    ElfW(Addr) soname = 0;
    for (const ElfW(Dyn) *d = l->dynamic; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_SYMTAB: t.symbols = pointer(l, d->d_un.d_ptr); break;
        case DT_STRTAB: t.strings = pointer(l, d->d_un.d_ptr); break;
        case DT_GNU_HASH: t.gnu_hash = pointer(l, d->d_un.d_ptr); break;
        case DT_HASH: t.hash = pointer(l, d->d_un.d_ptr); break;
        case DT_VERSYM: t.versions = pointer(l, d->d_un.d_ptr); break;
        case DT_SONAME: soname = d->d_un.d_val; break;
        }
    if (soname && t.strings)
        t.soname = t.strings + soname;
    return t;
}

static bool is(const struct tables *t, uint32_t i, const char *name)
{
    const ElfW(Sym) *s = &t->symbols[i];
    int type = ELF64_ST_TYPE(s->st_info);
    /* The high bit of a version: not the default one. */
    return s->st_shndx != SHN_UNDEF && s->st_value &&
           (type == STT_FUNC || type == STT_OBJECT || type == STT_GNU_IFUNC ||
            type == STT_NOTYPE) &&
           !(t->versions && t->versions[i] & 0x8000) &&
           !strcmp(t->strings + s->st_name, name);
}

static const ElfW(Sym) * by_gnu_hash(const struct tables *t, const char *name)
{
    const uint32_t *h = t->gnu_hash, buckets = h[0], offset = h[1], words = h[2],
                   shift = h[3];
    const ElfW(Addr) *bloom = (const void *)(h + 4);
    const uint32_t *bucket = (const void *)(bloom + words), *chain = bucket + buckets;
    uint32_t x = 5381;
    for (const char *p = name; *p; p++)
        x = x * 33 + (unsigned char)*p;
    ElfW(Addr) word = bloom[x / 64 % words];
    if (!buckets || !(word >> x % 64 & 1) || !(word >> (x >> shift) % 64 & 1))
        return NULL;
    for (uint32_t i = bucket[x % buckets]; i >= offset; i++) {
        uint32_t c = chain[i - offset];
        if ((c | 1) == (x | 1) && is(t, i, name))
            return &t->symbols[i];
        if (c & 1)
            break;
    }
    return NULL;
}

static void *symbol_in(const struct library *l, const struct tables *t, const char *name)
{
    const ElfW(Sym) *s = NULL;
    if (!t->symbols || !t->strings)
        return NULL;
    if (t->gnu_hash)
        s = by_gnu_hash(t, name);
    else if (t->hash)
        for (uint32_t i = 0; i < t->hash[1] && !s; i++)
            s = is(t, i, name) ? &t->symbols[i] : NULL;
    if (!s)
        return NULL;
    void *p = (void *)(l->base + s->st_value);
    if (ELF64_ST_TYPE(s->st_info) == STT_GNU_IFUNC)
        p = ((void *(*)(void))p)();
    return fz_ours(p) ? NULL : p;
}

/* Breadth first, as the dynamic linker does. */
static int walk(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    short queue[LIBRARIES];
    int head = 0, tail = 0;
    (void)info;
    (void)size;
    fz_each_object(collect, s);
    if (s->first >= 0) {
        s->lib[s->first].queued = true;
        queue[tail++] = (short)s->first;
    }
    while (head < tail && !s->found) {
        const struct library *l = &s->lib[queue[head++]];
        struct tables t = tables_of(l);
        s->found = symbol_in(l, &t, s->symbol);
        for (const ElfW(Dyn) *d = l->dynamic; d->d_tag != DT_NULL && !s->found; d++) {
            if (d->d_tag != DT_NEEDED || !t.strings)
                continue;
            const char *needed = t.strings + d->d_un.d_val;
            for (int i = 0; i < s->n; i++) {
                if (s->lib[i].queued)
                    continue;
                struct tables other = tables_of(&s->lib[i]);
                if ((other.soname && !strcmp(other.soname, needed)) ||
                    !strcmp(fz_base_name(s->lib[i].name), needed)) {
                    s->lib[i].queued = true;
                    queue[tail++] = (short)i;
                    break;
                }
            }
        }
    }
    return 1;
}

static void *search(const void *inside, const char *prefix, const char *symbol)
{
    struct search s;
    s.symbol = symbol;
    s.inside = inside;
    s.prefix = prefix;
    s.n = 0;
    s.first = -1;
    s.found = NULL;
    fz_each_object(walk, &s);
    return s.found;
}

void *fz_symbol_from(const void *inside, const char *symbol)
{
    return search(inside, NULL, symbol);
}

void *fz_symbol_of(const char *prefix, const char *symbol)
{
    return search(NULL, prefix, symbol);
}
