/* Moves the code of mapped libraries: which of them, when, and in which variant.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../slots.h"
#include "runtime.h"

/* ---- The thread's strand ---------------------------------------------------------------- */

enum { STRAND = 0x696e7374 }; /* names the layer's strand among those of a lineage */

void fz_inst_open(prism_key key)
{
    prism_strand s = prism_strand_open(prism_key_derive(key, STRAND), 0, 0, 0);
    memcpy(fz_inst_self.state, s.q, sizeof s.q);
}

/* ---- Libraries ---------------------------------------------------------------------------- */

static fz_inst_library *libraries[FZ_LIBRARIES + 1]; /* and one row for all others */
static atomic_uint library_n;

const fz_inst_library *fz_inst_library_at(unsigned i)
{
    return i < atomic_load(&library_n) ? libraries[i] : NULL;
}

typedef struct listing {
    fz_mapped *m;
    unsigned n, cap;
} listing;

/* The build id in hexadecimal; empty if there is none. */
static void build_id(char out[96], const struct dl_phdr_info *info)
{
    out[0] = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_NOTE)
            continue;
        const char *p = (const char *)info->dlpi_addr + ph->p_vaddr, *end = p + ph->p_memsz;
        while (p + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *n = (const void *)p;
            const char *name = p + sizeof *n, *desc = name + (n->n_namesz + 3u) / 4 * 4;
            if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && !memcmp(name, "GNU", 4) &&
                n->n_descsz <= 40) {
                for (unsigned k = 0; k < n->n_descsz; k++)
                    snprintf(out + 2 * k, 3, "%02x", (unsigned char)desc[k]);
                return;
            }
            p = desc + (n->n_descsz + 3u) / 4 * 4;
        }
    }
}

static int list(struct dl_phdr_info *info, size_t size, void *arg)
{
    listing *l = arg;
    (void)size;
    if (!*info->dlpi_name && info->dlpi_addr && l->n) /* the vdso */
        return 0;
    if (l->n == l->cap) {
        const unsigned cap = l->cap ? 2 * l->cap : 256;
        fz_mapped *more = realloc(l->m, cap * sizeof *more);
        if (!more)
            return 1;
        l->m = more;
        l->cap = cap;
    }
    fz_mapped *m = &l->m[l->n];
    memset(m, 0, sizeof *m);
    fz_file_of(m->path, info->dlpi_name);
    m->base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type == PT_LOAD && ph->p_flags & PF_X) {
            m->text_size += ph->p_memsz;
            m->text_end = ph->p_vaddr + ph->p_memsz;
        }
        if (ph->p_type != PT_DYNAMIC)
            continue;
        for (const ElfW(Dyn) *d = (const void *)(info->dlpi_addr + ph->p_vaddr);
             d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
                m->text_relocations = true;
    }
    build_id(m->id, info);
    l->n++;
    return 0;
}

/* ---- Which ones ---------------------------------------------------------------------------- */

/* Whatever FUZZY_LIBS says: ours, the linker and C library, run times of the compiler. */
static const char never[] =
    "libfuzzytorch*.so*,ld-linux*,ld.so*,libc.so*,libc-*.so,libm.so*,libm-*.so,libdl*,"
    "libpthread*,librt*,libgcc_s*,libquadmath*,libgomp*,libiomp*,libomp*,libunwind*,"
    "libZ*,liblapack.so.3,linux-vdso*";

static enum fz_variant variant_of(const fz_policy *p)
{
    const char *test = getenv("FUZZYTORCH_PLAN_VARIANT");
    if (test)
        return (enum fz_variant)(atoi(test) % FZ_VARIANTS);
    if (p->paused)
        return FZ_IDENTITY;
    bool full = p->t_f32 == 24 && p->t_f64 == 53;
    if (full && p->mode == PRISM_NEAREST)
        return FZ_IDENTITY;
    if (full && p->mode == PRISM_SR)
        return FZ_SR;
    if (full && p->mode == PRISM_UD)
        return FZ_UD;
    return full && p->mode == PRISM_CESTAC ? FZ_CESTAC : FZ_DEFINITION;
}

/* What the definition obeys from now on, and the variant that serves it. */
static enum fz_variant obey(const fz_policy *p)
{
    const enum fz_variant v = variant_of(p);
    fz_inst_now = (fz_inst_law){v == FZ_SR_NEAREST ? PRISM_NEAREST : p->mode, p->t_f32,
                                p->t_f64};
    return v;
}

static bool cpu_can(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("aes");
}

/* The largest first: it has the fewest places to go. */
static int by_size(const void *a, const void *b)
{
    size_t x = ((const fz_mapped *)a)->text_size, y = ((const fz_mapped *)b)->text_size;
    return x < y ? 1 : -(x > y);
}

/* A library that is closed and opened again at its place has lost its patches, and a file
 * that was replaced meanwhile is another library. */
static bool moved_before(const fz_mapped *m)
{
    fz_moved *lib;
    for (unsigned i = 0; (lib = fz_moved_at(i)); i++) {
        if (lib->m.base != m->base || strcmp(lib->m.path, m->path) != 0 ||
            strcmp(lib->m.id, m->id) != 0)
            continue;
        const char *why = fz_moved_renew(lib);
        if (why && !lib->report->why)
            fz_say("the instructions of %s, opened again, are left as they are: %s",
                   fz_base_name(m->path), why);
        lib->report->why = why;
        return true;
    }
    return false;
}

/* A library that is closed and opened again elsewhere is another one. */
static bool known(const fz_mapped *m)
{
    if (moved_before(m))
        return true;
    for (unsigned i = 0; i < atomic_load(&library_n); i++)
        if (libraries[i]->why && libraries[i]->base == m->base &&
            !strncmp(libraries[i]->path, m->path, sizeof libraries[i]->path - 1))
            return true;
    return false;
}

/* A new row of the report; NULL if there is no memory for it. */
static fz_inst_library *add_row(const char *path, uintptr_t base)
{
    fz_inst_library *lib = calloc(1, sizeof *lib);
    if (lib) {
        snprintf(lib->path, sizeof lib->path, "%s", path);
        lib->base = base;
    }
    return lib;
}

static void show_row(fz_inst_library *lib)
{
    libraries[atomic_load(&library_n)] = lib;
    atomic_fetch_add(&library_n, 1);
}

/* The last row stands for all that come after it. */
static void too_many(void)
{
    fz_inst_library *lib = atomic_load(&library_n) == FZ_LIBRARIES
                               ? add_row("other libraries", 0) : NULL;
    if (!lib)
        return;
    lib->why = "more libraries are in scope than can be kept";
    fz_say("the instructions of %s are left as they are: %s (%d)", lib->path, lib->why,
           FZ_LIBRARIES);
    show_row(lib);
}

/* Has the library's file a table of all its symbols? */
static bool has_symbols(const char *path)
{
    ElfW(Ehdr) e;
    ElfW(Shdr) s;
    bool any = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (pread(fd, &e, sizeof e, 0) == sizeof e)
        for (unsigned i = 0; i < e.e_shnum && !any; i++)
            any = pread(fd, &s, sizeof s, (off_t)(e.e_shoff + i * sizeof s)) == sizeof s &&
                  s.sh_type == SHT_SYMTAB;
    close(fd);
    return any;
}

/* Random numbers and sizes are told by the calls of their operations, or by names. */
static bool blind(const fz_mapped *m)
{
    return !strncmp(fz_base_name(m->path), "libtorch_cpu.so", 15) &&
           !fz_slots_marks(m->base) && !has_symbols(m->path);
}

static const char *add(const fz_mapped *m, enum fz_variant v, fz_inst_library *out)
{
    if (!cpu_can())
        return "this CPU does not have AVX2, FMA and AES-NI";
    if (blind(m))
        return "it is stripped and binds its own functions inside itself, so that random "
               "numbers cannot be told from other arithmetic";
    return fz_moved_add(m, v, out);
}

static void look(void)
{
    const fz_policy *p = fz_policy_get();
    listing l = {0};
    fz_each_object(list, &l);
    qsort(l.m, l.n, sizeof *l.m, by_size);
    const enum fz_variant variant = obey(p);
    static const char *said;
    for (unsigned i = 0; i < l.n; i++) {
        fz_mapped *m = &l.m[i];
        const char *name = fz_base_name(m->path);
        /* Without functions of its own: the compiler puts 261 bytes into every library. */
        if (m->text_size <= 272)
            continue;
        if (fz_match_list(never, name) || !fz_path_in_scope(m->path) || known(m))
            continue;
        if (atomic_load(&library_n) >= FZ_LIBRARIES) {
            too_many();
            continue;
        }
        fz_inst_library *lib = add_row(m->path, m->base);
        if (!lib)
            break;
        lib->why = add(m, variant, lib);
        show_row(lib);
        if (lib->why && lib->why == said && p->verbose < 2)
            continue; /* one line for all of torch */
        said = lib->why ? lib->why : said;
        if (lib->why)
            fz_say("the instructions of %s are left as they are: %s", name, lib->why);
        else if (p->verbose >= 2)
            fz_say("%s: %u sites, %u perturbed, %u exact", name, lib->sites, lib->perturbed,
                   lib->exact);
    }
    free(l.m);
}

/* The API is to change the policy: every library to the variant that serves it. */
static bool changed(const fz_policy *before, const fz_policy *now)
{
    (void)before;
    const enum fz_variant variant = obey(now);
    bool all = true;
    fz_moved *lib;
    for (unsigned i = 0; (lib = fz_moved_at(i)); i++) {
        const char *why = fz_moved_turn(lib, variant);
        if (why)
            fz_say("the instructions of %s stay in the mode they are in: %s",
                   lib->m.path, why);
        all &= !why;
    }
    return all;
}

void fz_inst_look(void)
{
    static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
    static unsigned long long seen;
    const fz_policy *p = fz_policy_get();
    if (p->off || !(p->scope & FZ_SCOPE_INST))
        return;
    const unsigned long long now = fz_map_changes();
    pthread_mutex_lock(&guard);
    if (now != seen)
        look();
    seen = now;
    pthread_mutex_unlock(&guard);
}

void fz_inst_begin(void)
{
    const fz_policy *p = fz_policy_get();
    if (!(p->scope & FZ_SCOPE_INST))
        return;
    fz_self(); /* the main thread's strand */
    /* Rounding to bf16 is not seen among EVEX code: have torch run its AVX2 kernels; OpenBLAS,
     * where other libraries are in scope, its. */
    if (__builtin_cpu_supports("avx512f")) {
        setenv("ATEN_CPU_CAPABILITY", "avx2", 0);
        if (p->libs)
            setenv("OPENBLAS_CORETYPE", "Haswell", 0);
    }
    fz_policy_subscribe(changed);
    fz_inst_look();
}
