/* The function that holds an address, by the symbol table of its file.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * .symtab where there is one (the wheel's libtorch_cpu.so: 455,000 symbols, most of them
 * local), else .dynsym. The index of a file is made when the first of its addresses is
 * asked for: the functions sorted by the page of code that they begin in. An address
 * outside every function's size has no name, rather than that of the neighbour.
 *
 * One thread at a time comes here (callers.c), with memory of its own: what is mapped
 * stays.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "callers.h"

#define PAGE_BITS 12
#define LIBRARIES 512
#define FUNCTIONS 65536 /* addresses remembered; a power of two */

struct index {
    const fz_lib *lib;
    uintptr_t base; /* what is added to the file's addresses */
    const ElfW(Sym) * symbols;
    const char *strings;
    size_t strings_size;
    const uint32_t *first; /* of each page; pages + 1 of them */
    const uint32_t *order; /* numbers of symbols, by page */
    uintptr_t pages;
};

static struct index libraries[LIBRARIES];
static unsigned n_libraries;

/* Memory that is never given back. */
static void *take(size_t size)
{
    static char *block;
    static size_t left;
    const size_t chunk = 1 << 18;
    size = (size + 15) & ~(size_t)15;
    if (size > left) {
        void *p = mmap(NULL, size > chunk ? size : chunk, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
        if (size > chunk)
            return p;
        block = p;
        left = chunk;
    }
    void *p = block;
    block += size;
    left -= size;
    return p;
}

static const char *keep(const char *s, size_t n)
{
    char *p = take(n + 1);
    if (p) {
        memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

/* ---- The index of a file ----------------------------------------------------------- */

struct place {
    uintptr_t address, base;
};

static int find_base(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct place *at = arg;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + ph->p_vaddr;
        if (ph->p_type == PT_LOAD && at->address >= start &&
            at->address - start < ph->p_memsz) {
            at->base = info->dlpi_addr;
            return 1;
        }
    }
    return 0;
}

struct file {
    const uint8_t *p;
    size_t n;
};

static const void *part(const struct file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->n && size <= f->n - offset ? f->p + offset : NULL;
}

static bool is_function(const struct index *x, const ElfW(Sym) * s)
{
    int type = ELF64_ST_TYPE(s->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && s->st_shndx != SHN_UNDEF &&
           s->st_value >> PAGE_BITS < x->pages && s->st_name < x->strings_size;
}

/* Counting sort by page. */
static void sort(struct index *x, size_t n)
{
    uint32_t *first = take((x->pages + 2) * sizeof *first);
    uint32_t *order = take(n * sizeof *order);
    if (!first || !order)
        return;
    for (size_t i = 0; i < n; i++)
        if (is_function(x, &x->symbols[i]))
            first[(x->symbols[i].st_value >> PAGE_BITS) + 2]++;
    for (uintptr_t k = 2; k < x->pages + 2; k++)
        first[k] += first[k - 1];
    for (size_t i = 0; i < n; i++)
        if (is_function(x, &x->symbols[i]))
            order[first[(x->symbols[i].st_value >> PAGE_BITS) + 1]++] = (uint32_t)i;
    x->first = first;
    x->order = order;
}

static void read_file(struct index *x, const struct file *f)
{
    const ElfW(Ehdr) *e = part(f, 0, sizeof *e);
    const ElfW(Shdr) *sections =
        e && !memcmp(e->e_ident, ELFMAG, SELFMAG)
            ? part(f, e->e_shoff, (uint64_t)e->e_shnum * sizeof *sections)
            : NULL;
    const ElfW(Shdr) *best = NULL;
    for (unsigned i = 0; sections && i < e->e_shnum; i++)
        if (sections[i].sh_link < e->e_shnum &&
            (sections[i].sh_type == SHT_SYMTAB ||
             (sections[i].sh_type == SHT_DYNSYM && !best)))
            best = &sections[i];
    if (!best)
        return;
    const ElfW(Shdr) *names = &sections[best->sh_link];
    x->symbols = part(f, best->sh_offset, best->sh_size);
    x->strings = part(f, names->sh_offset, names->sh_size);
    x->strings_size = names->sh_size;
    size_t n = best->sh_size / sizeof *x->symbols;
    if (x->symbols && x->strings && x->strings_size && n < UINT32_MAX &&
        !x->strings[x->strings_size - 1])
        sort(x, n);
}

static const struct index *index_of(const fz_lib *lib, const void *address)
{
    for (unsigned i = 0; i < n_libraries; i++)
        if (libraries[i].lib == lib)
            return &libraries[i];
    if (n_libraries == LIBRARIES)
        return NULL;
    struct index *x = &libraries[n_libraries++];
    struct place at = {(uintptr_t)address, 0};
    *x = (struct index){.lib = lib};
    if (!lib->path[0] || !fz_each_object(find_base, &at))
        return x;
    x->base = at.base;
    x->pages = ((lib->hi - at.base) >> PAGE_BITS) + 1;
    int fd = open(lib->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return x;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED)
            read_file(x, &(struct file){p, (size_t)st.st_size});
    }
    close(fd);
    return x;
}

static const char *name_in(const struct index *x, uintptr_t address)
{
    if (!x || !x->first || address < x->base)
        return NULL;
    const uintptr_t at = address - x->base;
    /* A function of many pages begins in an earlier one. */
    for (uintptr_t page = at >> PAGE_BITS; page < x->pages; page--) {
        const ElfW(Sym) *best = NULL;
        for (uint32_t k = x->first[page]; k < x->first[page + 1]; k++) {
            const ElfW(Sym) *s = &x->symbols[x->order[k]];
            if (s->st_value <= at && (!best || s->st_value > best->st_value))
                best = s;
        }
        if (best)
            return at - best->st_value < best->st_size ? x->strings + best->st_name
                                                       : NULL;
    }
    return NULL;
}

/* ---- Demangled names --------------------------------------------------------------- */

/* "void at::f<int>(long)" as "at::f": parameters and template arguments left out, and
 * what stands before the name. "(anonymous namespace)" and "operator()" stay. */
static size_t strip(const char *s, char *out, size_t cap)
{
    static const char *const whole[] = {"(anonymous namespace)", "operator()",
                                        "operator<<", "operator<", "operator->",
                                        "operator>"};
    size_t n = 0, start = 0;
    int depth = 0;
    while (*s && n + 1 < cap) {
        size_t len = 0;
        for (size_t i = 0; i < sizeof whole / sizeof *whole && !len; i++)
            if (!strncmp(s, whole[i], strlen(whole[i])))
                len = strlen(whole[i]);
        if (len) {
            if (!depth && n + len < cap) {
                memcpy(out + n, s, len);
                n += len;
            }
            s += len;
            continue;
        }
        if (*s == '<' || *s == '(') {
            depth++;
        } else if (*s == '>' || *s == ')') {
            depth -= depth > 0;
        } else if (!depth) {
            if (*s == ' ') {
                /* " const", " [clone .cold]" come after the name. */
                if (!strncmp(s, " const", 6) || s[1] == '[' || s[1] == '&')
                    break;
                start = n + 1;
            }
            out[n++] = *s;
        }
        s++;
    }
    memmove(out, out + start, n - start);
    return n - start;
}

static void demangle(fz_function *f)
{
    typedef char *demangle_fn(const char *, char *, size_t *, int *);
    static void *found;
    static bool looked;
    char plain[1024];
    int status = -1;
    if (strncmp(f->name, "_Z", 2) != 0)
        return;
    if (!found && !looked) {
        found = fz_symbol_of("libstdc++.so", "__cxa_demangle");
        looked = true;
    }
    if (!found)
        return;
    char *text = ((demangle_fn *)found)(f->name, NULL, NULL, &status);
    if (status == 0 && text) {
        f->demangled = keep(text, strlen(text));
        f->plain = keep(plain, strip(text, plain, sizeof plain));
    }
    free(text);
}

/* ---- Addresses --------------------------------------------------------------------- */

const fz_function *fz_function_of(const void *address)
{
    static struct {
        const void *address;
        const fz_function *f;
    } *known;
    static const fz_function nothing;
    static unsigned used;
    if (!known) {
        void *p = mmap(NULL, FUNCTIONS * sizeof *known, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return &nothing;
        known = p;
    }
    size_t i = (uintptr_t)address * 0x9E3779B97F4A7C15u >> 48;
    for (; known[i].address; i = (i + 1) % FUNCTIONS)
        if (known[i].address == address)
            return known[i].f;
    /* One before: a call may be the last instruction of its function. */
    const void *inside = (const char *)address - 1;
    fz_function *f = take(sizeof *f);
    if (!f)
        return &nothing;
    *f = (fz_function){.lib = fz_lib_of(inside)};
    f->name = name_in(index_of(f->lib, inside), (uintptr_t)inside);
    if (f->name) {
        demangle(f);
        const char *const names[] = {f->name, f->demangled, f->plain};
        f->excluded = fz_rules_match_frame(&fz_policy_now.exclude, names, f->lib->name);
        f->included = fz_rules_match_frame(&fz_policy_now.include, names, f->lib->name);
    }
    if (used < FUNCTIONS / 2) {
        known[i].address = address;
        known[i].f = f;
        used++;
    }
    return f;
}
