/* Functions that torch calls inside itself, past the dynamic linker: diverted at their
 * entry.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A library linked with hidden visibility, or with -Bsymbolic, calls its own sgemm_
 * directly, and no preload is asked. Where .symtab (of a stripped library: the table of
 * what it exports) still names the function, its first
 * five bytes become a jump: to a slot of a page near the library, and from there to our
 * symbol. The same slot holds the instructions that were there, so that the original stays
 * callable. A function whose entry cannot be moved with certainty stays native and is
 * named.
 *
 * Only the C and Fortran functions of the list, which come from archives. What torch compiles
 * itself (at::Context, at::_ops) is not diverted: a compiler that sees a caller and a hidden
 * callee in one unit lets the one count on the registers that the other leaves alone, and on
 * its not needing an aligned stack. The same would hold of a BLAS under link-time
 * optimization, which .symtab does not tell.
 *
 * A page is never writable and executable: a copy is made, written, made executable, and
 * put in the page's place in one step (mremap). This happens as soon as the library is
 * mapped; not at all if threads were started since, which may be in it.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "divert.h"
#include "shim.h"

#define MANY 2048

struct diverted {
    const char *name; /* in our own string table */
    uintptr_t ours;   /* the symbol that takes its place */
    uintptr_t entry;  /* 0: not in .symtab */
    size_t size;
    bool hidden, ambiguous, alias;
    bool bound;         /* the dynamic linker leads the library's calls to us */
    uintptr_t original; /* its moved entry; 0: not diverted */
    const char *why;    /* that it is not */
};

static struct diverted *list;
static unsigned count;
static atomic_bool ready;
static uintptr_t torch_lo, torch_hi;

__thread int fz_divert_opening __attribute__((tls_model("initial-exec")));

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

int fz_divert_threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return 1 << 30; /* not known: assume many */
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- Tables of a mapped library ---------------------------------------------------------- */

struct module {
    const char *path;
    uintptr_t base, lo, hi;
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const ElfW(Rela) * jumps, *relocations;
    size_t n_jumps, n_relocations;
    bool symbolic;
};

static const void *pointer(const struct module *m, ElfW(Addr) value)
{
    return (const void *)(value < m->base ? value + m->base : value);
}

static void read_tables(struct module *m)
{
    for (const ElfW(Dyn) *d = m->dynamic; d->d_tag != DT_NULL; d++)
        switch (d->d_tag) {
        case DT_SYMTAB: m->symbols = pointer(m, d->d_un.d_ptr); break;
        case DT_STRTAB: m->strings = pointer(m, d->d_un.d_ptr); break;
        case DT_GNU_HASH: m->gnu_hash = pointer(m, d->d_un.d_ptr); break;
        case DT_JMPREL: m->jumps = pointer(m, d->d_un.d_ptr); break;
        case DT_PLTRELSZ: m->n_jumps = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELA: m->relocations = pointer(m, d->d_un.d_ptr); break;
        case DT_RELASZ: m->n_relocations = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_SYMBOLIC: m->symbolic = true; break;
        case DT_FLAGS: m->symbolic |= (d->d_un.d_val & DF_SYMBOLIC) != 0; break;
        }
}

static int find_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct module *m = arg;
    (void)size;
    if (m->path ? strcmp(info->dlpi_name, m->path) != 0
                : !fz_ours((const void *)info->dlpi_phdr))
        return 0;
    m->base = info->dlpi_addr;
    m->lo = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz;
        if (ph->p_type == PT_DYNAMIC)
            m->dynamic = (const void *)start;
        if (ph->p_type == PT_LOAD) {
            m->lo = start < m->lo ? start : m->lo;
            m->hi = end > m->hi ? end : m->hi;
        }
    }
    if (m->dynamic)
        read_tables(m);
    return 1;
}

static unsigned symbols_in_gnu_hash(const uint32_t *h)
{
    const uint32_t buckets = h[0], offset = h[1], words = h[2];
    const uint32_t *bucket = (const void *)((const ElfW(Addr) *)(h + 4) + words);
    const uint32_t *chain = bucket + buckets;
    uint32_t last = 0;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < offset)
        return offset;
    while (!(chain[last - offset] & 1))
        last++;
    return last + 1;
}

/* ---- The list: what we export, by name --------------------------------------------------- */

static bool arithmetic(const char *name)
{
    for (int s = 0; s < FZ_SYMBOLS; s++)
        if (!strcmp(fz_symbol_table[s].name, name))
            return true;
    return false;
}

enum { BUCKETS = 4096 };
static uint16_t *table; /* BUCKETS numbers of `list`, plus 1, by hash */

static unsigned hash(const char *s)
{
    unsigned h = 5381;
    for (; *s; s++)
        h = h * 33 + (unsigned char)*s;
    return h;
}

static struct diverted *by_name(const char *name)
{
    for (unsigned h = hash(name);; h++) {
        unsigned i = table[h % BUCKETS];
        if (!i)
            return NULL;
        if (!strcmp(list[i - 1].name, name))
            return &list[i - 1];
    }
}

/* ---- Functions that are only called: oneDNN's queries ------------------------------------ */

static const char called[] = "dnnl_";
enum { CALLED = 512 };
static struct {
    char name[72];
    uintptr_t entry;
} *functions;
static unsigned n_functions;

static void take_called(const char *name, uintptr_t entry)
{
    if (strncmp(name, called, sizeof called - 1) != 0 ||
        strlen(name) >= sizeof functions->name)
        return;
    if (!functions) {
        void *p = mmap(NULL, CALLED * sizeof *functions, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        functions = p == MAP_FAILED ? NULL : p;
    }
    if (!functions || n_functions == CALLED)
        return;
    strcpy(functions[n_functions].name, name);
    functions[n_functions++].entry = entry;
}

void *fz_divert_found(const char *name)
{
    for (unsigned i = 0; atomic_load(&ready) && i < n_functions; i++)
        if (!strcmp(functions[i].name, name))
            return (void *)functions[i].entry;
    return NULL;
}

static bool make_list(void)
{
    struct module us = {0};
    size_t size = MANY * sizeof *list + BUCKETS * sizeof *table;
    fz_each_object(find_module, &us);
    if (!us.gnu_hash || !us.symbols || !us.strings)
        return false;
    list = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (list == MAP_FAILED)
        return false;
    table = (uint16_t *)(list + MANY);
    unsigned n = symbols_in_gnu_hash(us.gnu_hash);
    for (unsigned i = us.gnu_hash[1]; i < n && count < MANY; i++) {
        const ElfW(Sym) *s = &us.symbols[i];
        const char *name = us.strings + s->st_name;
        if (s->st_shndx == SHN_UNDEF || !arithmetic(name))
            continue;
        list[count] = (struct diverted){.name = name, .ours = us.base + s->st_value};
        unsigned h = hash(name);
        while (table[h % BUCKETS])
            h++;
        table[h % BUCKETS] = (uint16_t)++count;
    }
    return count != 0;
}

/* ---- .symtab ----------------------------------------------------------------------------- */

struct file {
    const uint8_t *p;
    size_t n;
};

static const void *part(const struct file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->n && size <= f->n - offset ? f->p + offset : NULL;
}

/* Is a local symbol of this name the hidden one, and not a static function that happens to
 * have it? Names of libm are words that anybody uses. */
static bool telling(const char *name)
{
    return strchr(name, '_') || (name[0] == 'v' && (name[1] == 's' || name[1] == 'd' ||
                                                    name[1] == 'm'));
}

/* False if there is none: the library is stripped. */
static bool read_symtab(const struct file *f, uintptr_t base)
{
    const ElfW(Ehdr) *e = part(f, 0, sizeof *e);
    const ElfW(Shdr) *sections =
        e ? part(f, e->e_shoff, (uint64_t)e->e_shnum * sizeof *sections) : NULL;
    for (unsigned i = 0; sections && i < e->e_shnum; i++) {
        const ElfW(Shdr) *s = &sections[i];
        if (s->sh_type != SHT_SYMTAB || s->sh_link >= e->e_shnum)
            continue;
        const ElfW(Shdr) *names = &sections[s->sh_link];
        const ElfW(Sym) *sym = part(f, s->sh_offset, s->sh_size);
        const char *strings = part(f, names->sh_offset, names->sh_size);
        if (!sym || !strings || !names->sh_size || strings[names->sh_size - 1])
            return false;
        for (size_t k = 0; k < s->sh_size / sizeof *sym; k++) {
            if (ELF64_ST_TYPE(sym[k].st_info) != STT_FUNC || !sym[k].st_value ||
                sym[k].st_shndx == SHN_UNDEF || sym[k].st_name >= names->sh_size)
                continue;
            const char *name = strings + sym[k].st_name;
            struct diverted *d = by_name(name);
            take_called(name, base + sym[k].st_value);
            if (!d)
                continue;
            int seen = ELF64_ST_VISIBILITY(sym[k].st_other);
            bool local = ELF64_ST_BIND(sym[k].st_info) == STB_LOCAL;
            if (local && seen == STV_DEFAULT && !telling(name))
                continue;
            d->ambiguous |= d->entry && d->entry != base + sym[k].st_value;
            d->entry = base + sym[k].st_value;
            d->size = sym[k].st_size;
            d->hidden = local || seen != STV_DEFAULT;
        }
        return true;
    }
    return false;
}

/* What a stripped library exports is still named. */
static void read_exported(const struct module *m)
{
    const unsigned n = m->gnu_hash ? symbols_in_gnu_hash(m->gnu_hash) : 0;
    for (unsigned i = n ? m->gnu_hash[1] : 0; i < n; i++) {
        const ElfW(Sym) *s = &m->symbols[i];
        const char *name = m->strings + s->st_name;
        if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != STT_FUNC)
            continue;
        struct diverted *d = by_name(name);
        take_called(name, m->base + s->st_value);
        if (d) {
            d->entry = m->base + s->st_value;
            d->size = s->st_size;
        }
    }
}

/* Does the linker bind calls between this library's own exported functions? One that it
 * leaves to the dynamic linker shows that it does not: a jump slot, or an address in the
 * GOT if the function's address is taken as well, or by -fno-plt. */
static bool binds_inside(const struct module *m)
{
    const ElfW(Rela) *tables[] = {m->jumps, m->relocations};
    const size_t n[] = {m->n_jumps, m->n_relocations};
    if (m->symbolic)
        return true;
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; tables[t] && i < n[t]; i++) {
            const ElfW(Sym) *s = &m->symbols[ELF64_R_SYM(tables[t][i].r_info)];
            if (s->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(s->st_info) == STT_FUNC)
                return false;
        }
    return true;
}

/* What the dynamic linker binds is ours already. */
static void leave_bound(const struct module *m)
{
    bool inside = binds_inside(m);
    const ElfW(Rela) *tables[] = {m->jumps, m->relocations};
    const size_t n[] = {m->n_jumps, m->n_relocations};
    for (unsigned i = 0; i < count; i++)
        if (list[i].entry && !list[i].hidden && !inside)
            list[i].entry = 0;
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; tables[t] && i < n[t]; i++) {
            unsigned s = (unsigned)ELF64_R_SYM(tables[t][i].r_info);
            struct diverted *d = s ? by_name(m->strings + m->symbols[s].st_name) : NULL;
            if (d) {
                d->entry = 0;
                d->bound = true;
            }
        }
}

/* ---- Writing ----------------------------------------------------------------------------- */

/* A page of slots within reach of a jump from anywhere in the library. */
static uint8_t *near_memory(const struct module *m, size_t size)
{
    const uintptr_t step = 1 << 20, reach = (uintptr_t)1 << 30;
    for (uintptr_t k = 1; k * step < reach; k++)
        for (int above = 0; above < 2; above++) {
            uintptr_t at = above ? ((m->hi + step - 1) & -step) + k * step
                                 : (m->lo & -step) - k * step;
            void *p = mmap((void *)at, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            if (p == (void *)at)
                return p;
            if (p != MAP_FAILED)
                munmap(p, size);
        }
    return NULL;
}

/* Put a changed copy of the page, or of two, in its place. */
static bool write_jump(uintptr_t entry, const uint8_t jump[FZ_ENTRY_JUMP], size_t page)
{
    uintptr_t start = entry & -page;
    size_t size = ((entry + FZ_ENTRY_JUMP + page - 1) & -page) - start;
    uint8_t *copy =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return false;
    memcpy(copy, (const void *)start, size);
    memcpy(copy + (entry - start), jump, FZ_ENTRY_JUMP);
    if (mprotect(copy, size, PROT_READ | PROT_EXEC) == 0 &&
        mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, start) == (void *)start)
        return true;
    munmap(copy, size);
    return false;
}

/* Memory with code of this file's: the slots, and pages of torch with a jump in them. */
static struct {
    uintptr_t lo, hi;
} own[2];

bool fz_divert_holds(uintptr_t at)
{
    return (at >= own[0].lo && at < own[0].hi) || (at >= own[1].lo && at < own[1].hi);
}

static void divert_all(const struct module *m, bool quiet)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += list[i].entry != 0;
    if (!n)
        return;
    size_t size = (n * FZ_ENTRY_SLOT + page - 1) & -page;
    uint8_t *slots = quiet ? near_memory(m, size) : NULL;
    uint8_t(*jump)[FZ_ENTRY_JUMP] = NULL;
    jump = mmap(NULL, MANY * sizeof *jump, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (jump == MAP_FAILED)
        jump = NULL;
    for (unsigned i = 0, used = 0; i < count; i++) {
        struct diverted *d = &list[i];
        uint8_t *slot = slots + (size_t)used * FZ_ENTRY_SLOT;
        if (!d->entry)
            continue;
        if (!quiet)
            d->why = "threads were running already";
        else if (!slots || !jump)
            d->why = "no memory near enough";
        else if (d->ambiguous)
            d->why = "several functions have its name";
        else if (d->entry < m->lo || d->size > m->hi - d->entry)
            d->why = "it lies outside the library";
        else
            d->why = fz_entry_make(slot, (uintptr_t)slot, d->ours,
                                   (const uint8_t *)d->entry, d->size, jump[i]);
        /* Two names of one function: the first serves. */
        for (unsigned k = 0; k < i && !d->why; k++)
            if (list[k].entry == d->entry && list[k].original) {
                d->original = list[k].original;
                d->alias = true;
                break;
            }
        if (d->why || d->original)
            continue;
        d->original = (uintptr_t)slot + 16;
        used++;
    }
    bool executable = slots && mprotect(slots, size, PROT_READ | PROT_EXEC) == 0;
    own[0].lo = (uintptr_t)slots;
    own[0].hi = slots ? own[0].lo + size : 0;
    own[1].lo = m->lo;
    own[1].hi = m->hi;
    for (unsigned i = 0; i < count; i++) {
        struct diverted *d = &list[i];
        if (!d->original || d->alias)
            continue;
        if (!executable || !write_jump(d->entry, jump[i], page)) {
            d->original = 0;
            d->why = "its page cannot be changed";
        }
    }
    if (jump)
        munmap(jump, MANY * sizeof *jump);
}

bool fz_divert_reached(const char *name)
{
    const struct diverted *d = list && table ? by_name(name) : NULL;
    return d && (d->original || d->bound);
}

static void say_gaps(void)
{
    char names[1024];
    fz_text t = {names, 0, sizeof names - 1, -1, false};
    unsigned n = 0, diverted = 0;
    const char *why = NULL;
    for (unsigned i = 0; i < count; i++) {
        diverted += list[i].original != 0;
        if (!list[i].why)
            continue;
        if (n < 12)
            fz_text_add(&t, "%s%s", n ? ", " : "", list[i].name);
        why = why ? why : list[i].why;
        n++;
    }
    names[t.n] = 0;
    if (n)
        fz_say("warning: torch binds %d function%s inside itself that cannot be diverted, and "
               "stay native: %s%s (%s%s); fuzzyrun doctor lists them",
               (int)n, n > 1 ? "s" : "", names, n > 12 ? ", …" : "",
               n > 1 ? "the first: " : "", why);
    if (diverted && fz_policy_get()->verbose >= 2)
        fz_say("functions that torch binds inside itself, diverted at their entry: %d",
               (int)diverted);
}

const char *fz_divert_refused(unsigned i, const char **why)
{
    for (unsigned k = 0; atomic_load(&ready) && k < count; k++)
        if (list[k].why && i-- == 0) {
            *why = list[k].why;
            return list[k].name;
        }
    return NULL;
}

/* Is the file the one that is mapped? Its dynamic section need not be equal, since it is
 * relocated; the entries must be. */
static void compare(const struct module *m, const struct file *f)
{
    const ElfW(Ehdr) *e = part(f, 0, sizeof *e);
    const ElfW(Phdr) *ph =
        e ? part(f, e->e_phoff, (uint64_t)e->e_phnum * sizeof *ph) : NULL;
    for (unsigned i = 0; i < count; i++) {
        struct diverted *d = &list[i];
        uint64_t at = d->entry - m->base;
        bool same = false;
        for (unsigned k = 0; d->entry && ph && k < e->e_phnum; k++) {
            if (ph[k].p_type != PT_LOAD || !(ph[k].p_flags & PF_X) ||
                !(ph[k].p_flags & PF_R) || at < ph[k].p_vaddr ||
                at - ph[k].p_vaddr > ph[k].p_filesz ||
                d->size > ph[k].p_filesz - (at - ph[k].p_vaddr))
                continue;
            const void *p = part(f, ph[k].p_offset + (at - ph[k].p_vaddr), d->size);
            same = p && !memcmp(p, (const void *)d->entry, d->size);
        }
        if (!same)
            d->entry = 0;
    }
}

static void begin(const char *path)
{
    struct module m = {.path = path};
    struct file f = {NULL, 0};
    struct stat st;
    if (!fz_each_object(find_module, &m) || !m.symbols || !m.strings || !make_list())
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED)
            f = (struct file){p, (size_t)st.st_size};
    }
    close(fd);
    if (!f.p)
        return;
    const bool stripped = !read_symtab(&f, m.base);
    if (stripped)
        read_exported(&m);
    leave_bound(&m);
    const struct diverted *product = by_name("sgemm_");
    if (stripped && product && !product->entry && !product->bound &&
        fz_policy_get()->scope & FZ_SCOPE_BLAS)
        fz_say("warning: torch is stripped, and no call of sgemm_ shows in its tables: what "
               "it has of BLAS inside itself stays native");
    compare(&m, &f);
    int before = fz_divert_opening ? fz_divert_opening : 1;
    bool any = false;
    for (unsigned i = 0; i < count; i++)
        any |= list[i].entry != 0;
    if (any)
        divert_all(&m, fz_divert_threads() <= before);
    munmap((void *)(uintptr_t)f.p, f.n);
    torch_lo = m.lo;
    torch_hi = m.hi;
    atomic_store_explicit(&ready, any, memory_order_release);
    if (any)
        say_gaps();
}

void fz_divert_begin(const char *torch_path)
{
    static atomic_bool begun;
    if (!atomic_exchange(&begun, true))
        begin(torch_path);
}

void *fz_divert_original(const void *inside, const char *name, void *found)
{
    if (FZ_LIKELY(!atomic_load_explicit(&ready, memory_order_acquire)))
        return found;
    uintptr_t from = (uintptr_t)inside;
    const struct diverted *d = by_name(name);
    if (d && d->original && (!inside || (from >= torch_lo && from < torch_hi)))
        return (void *)d->original;
    /* Whoever else would reach the diverted entry must not come back to us. */
    for (unsigned i = 0; found && i < count; i++)
        if (list[i].original && list[i].entry == (uintptr_t)found)
            return (void *)list[i].original;
    return found;
}
