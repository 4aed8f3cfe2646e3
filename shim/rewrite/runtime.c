/* Moves the code of mapped libraries: takes a plan from the cache, or has it made, and maps
 * it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is ever writable and executable at once: moved code and patched pages are mapped
 * from the plan's file, read-only, over the area and over the library's text. They are
 * shared between processes and cost no private memory.
 */
#include "inst.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../shim.h"
#include "planfile.h"

extern char **environ;

/* ---- The thread's strand ---------------------------------------------------------------- */

enum { STRAND = 0x696e7374 }; /* names the layer's strand among those of a lineage */

void fz_inst_open(prism_key key)
{
    prism_strand s = prism_strand_open(prism_key_derive(key, STRAND), 0, 0, 0);
    memcpy(fz_inst_self.state, s.q, sizeof s.q);
}

static int32_t tls_offset(void)
{
    char *base;
    __asm__("mov %%fs:0, %0" : "=r"(base));
    return (int32_t)((char *)&fz_inst_self - base);
}

/* ---- Libraries ---------------------------------------------------------------------------- */

enum { LIBRARIES = 256 };

static fz_inst_library *libraries[LIBRARIES + 1]; /* and one row for all others */
static atomic_uint library_n;

const fz_inst_library *fz_inst_library_at(unsigned i)
{
    return i < atomic_load(&library_n) ? libraries[i] : NULL;
}

typedef struct mapped {
    char path[256], id[96];
    uintptr_t base, text_end;
    size_t text_size;
    bool text_relocations;
} mapped;

typedef struct listing {
    mapped *m;
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
        mapped *more = realloc(l->m, cap * sizeof *more);
        if (!more)
            return 1;
        l->m = more;
        l->cap = cap;
    }
    mapped *m = &l->m[l->n];
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

/* ---- Where a plan lies -------------------------------------------------------------------- */

/* The folder of plans, made if need be; false if there is none to write to. */
static bool cache_folder(char *out, size_t cap)
{
    const char *given = fz_policy_get()->cache, *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int n;
    if (given)
        n = snprintf(out, cap, "%s", given);
    else if (xdg && *xdg == '/')
        n = snprintf(out, cap, "%s/fuzzytorch", xdg);
    else if (home && *home == '/')
        n = snprintf(out, cap, "%s/.cache/fuzzytorch", home);
    else
        return false;
    if (n < 0 || (size_t)n >= cap)
        return false;
    for (char *p = out + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(out, 0700);
            *p = '/';
        }
    mkdir(out, 0700);
    return access(out, W_OK | X_OK) == 0;
}

/* An open plan that is whole and made for `key`; -1 otherwise. */
static int open_plan(const char *path, const char *key)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    fz_planfile h;
    if (fd < 0)
        return -1;
    bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                !(st.st_mode & 022) && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
                !memcmp(h.magic, FZ_PLANFILE_MAGIC, sizeof h.magic) &&
                h.size == (uint64_t)st.st_size && !strncmp(h.key, key, sizeof h.key) &&
                h.size > FZ_PAGE;
    if (good) {
        const uint8_t *p =
            mmap(NULL, h.size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        good = p != MAP_FAILED &&
               fz_planfile_hash(p + FZ_PAGE, h.size - FZ_PAGE) == h.hash;
        if (p != MAP_FAILED)
            munmap((void *)(uintptr_t)p, h.size);
    }
    if (good)
        return fd;
    close(fd);
    return -1;
}

/* ---- The planner, as a process ------------------------------------------------------------ */

static bool planner_path(char *out, size_t cap)
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)planner_path, &info) || !info.dli_fname)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    int n = snprintf(out, cap, "%.*sfuzzytorch-plan",
                     slash ? (int)(slash - info.dli_fname) + 1 : 0, info.dli_fname);
    return n > 0 && (size_t)n < cap && access(out, X_OK) == 0;
}

/* The environment without what would load us, or a debugger of memory, into the planner. */
static char **clean_environment(void)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **e = malloc((n + 1) * sizeof *e);
    for (size_t i = 0; e && i < n; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            e[k++] = environ[i];
    if (e)
        e[k] = NULL;
    return e;
}

/* Its end shows on a pipe, since the host's wait() may take the child's status from us, and
 * the plan itself shows how it went. By system calls, past handlers of fork and our own
 * wrappers. */
static const char *run_planner(char *const *argv)
{
    int ends[2], status;
    char byte, **environment = clean_environment();
    if (!environment)
        return "no memory";
    if (pipe2(ends, O_CLOEXEC) != 0) {
        free(environment);
        return "the planner cannot be started";
    }
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        fcntl(ends[1], F_SETFD, 0);
        syscall(SYS_execve, argv[0], argv, environment);
        syscall(SYS_write, ends[1], "x", 1);
        syscall(SYS_exit_group, 127);
    }
    free(environment);
    close(ends[1]);
    const char *why = pid < 0 ? "the planner cannot be started" : NULL;
    if (pid > 0) {
        ssize_t n;
        while ((n = read(ends[0], &byte, 1)) < 0 && errno == EINTR) {
        }
        if (n == 1)
            why = "fuzzytorch-plan cannot be run";
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    close(ends[0]);
    return why;
}

/* What code in line may use: 0 AVX2, 1 with VAES, 2 AVX-512. */
static int plan_isa(void)
{
    const enum prism_isa isa = fz_policy_get()->isa;
    return isa >= PRISM_AVX512 ? 2 : isa >= PRISM_AVX2_VAES;
}

/* A rule's pattern of functions; one that matches none where it is about other libraries. */
static const char *pattern_for(const fz_rule *r, const char *path)
{
    return fz_match(r->library, fz_base_name(path)) ? r->symbol : "\n";
}

static const char *make_plan(const char *library, const char *file, const char *key,
                             enum fz_variant variant, int64_t distance, uint64_t code,
                             uint64_t counters)
{
    char planner[4096], text[6][32];
    if (!planner_path(planner, sizeof planner))
        return "fuzzytorch-plan is not beside libfuzzytorch.so";
    snprintf(text[0], sizeof text[0], "%d", (int)variant);
    snprintf(text[1], sizeof text[1], "%d", (int)tls_offset());
    snprintf(text[2], sizeof text[2], "%lld", (long long)distance);
    snprintf(text[3], sizeof text[3], "%llu", (unsigned long long)code);
    snprintf(text[4], sizeof text[4], "%llu", (unsigned long long)counters);
    snprintf(text[5], sizeof text[5], "%d", plan_isa());
    const fz_rules *rules = &fz_policy_get()->exclude, *only = &fz_policy_get()->include;
    char **argv = calloc(rules->n + only->n + 12, sizeof *argv);
    if (!argv)
        return "no memory";
    const char *fixed[10] = {planner, library, file,    key,     text[0],
                             text[1], text[2], text[3], text[4], text[5]};
    memcpy(argv, fixed, sizeof fixed);
    for (unsigned i = 0; i < rules->n; i++)
        argv[10 + i] = (char *)(uintptr_t)pattern_for(&rules->rule[i], library);
    char **more = argv + 10 + rules->n;
    if (only->given)
        *more++ = (char *)(uintptr_t)"--include";
    for (unsigned i = 0; i < only->n && only->given; i++)
        *more++ = (char *)(uintptr_t)pattern_for(&only->rule[i], library);
    const char *why = run_planner(argv);
    free(argv);
    return why;
}

static uint64_t hash_text(const char *s)
{
    return fz_planfile_hash(s, strlen(s));
}

enum { SOME_SECONDS = 64 << 20 }; /* bytes of code that take some */

/* An open plan for the library: from the cache, or made now. One process makes it, others
 * that want the same wait. */
static const char *obtain(int *fd, const mapped *m, enum fz_variant variant,
                          int64_t distance, uint64_t code, uint64_t counters)
{
    char key[240], folder[3000], file[3400], lock[3420], id[96];
    struct stat st;
    snprintf(id, sizeof id, "%s", m->id);
    if (!*id && stat(m->path, &st) == 0)
        snprintf(id, sizeof id, "%llx-%llx", (unsigned long long)st.st_size,
                 (unsigned long long)st.st_mtime);
    /* Whoever makes plans decides what is in them: its build is the version. */
    char planner[4096], version[64] = "none";
    if (planner_path(planner, sizeof planner) && stat(planner, &st) == 0)
        snprintf(version, sizeof version, "%llx-%llx", (unsigned long long)st.st_size,
                 (unsigned long long)st.st_mtim.tv_sec * 1000000000u +
                     (unsigned long long)st.st_mtim.tv_nsec);
    uint64_t rules = 0;
    const fz_policy *p = fz_policy_get();
    for (unsigned i = 0; i < p->exclude.n; i++)
        rules = rules * 31 + hash_text(pattern_for(&p->exclude.rule[i], m->path));
    rules = rules * 31 + p->include.given;
    for (unsigned i = 0; i < p->include.n; i++)
        rules = rules * 31 + hash_text(pattern_for(&p->include.rule[i], m->path));
    snprintf(key, sizeof key, "%s variant %d isa %d tls %d distance %lld code %llu rules "
             "%llx trap %d counters %llu version %s %s",
             id, (int)variant, plan_isa(),
             (int)tls_offset(), (long long)distance, (unsigned long long)code,
             (unsigned long long)rules, getenv("FUZZYTORCH_PLAN_TRAP") != NULL,
             (unsigned long long)counters, FZ_VERSION, version);
    bool cached = cache_folder(folder, sizeof folder);
    if (!cached) {
        static bool said;
        if (!said && fz_policy_get()->verbose)
            fz_say("no folder for plans can be written to, so this process makes its own: set "
                   "FUZZY_CACHE or run fuzzyrun prepare");
        said = true;
        snprintf(folder, sizeof folder, "/tmp/fuzzytorch.XXXXXX");
        if (!mkdtemp(folder))
            return "there is no folder for plans: set FUZZY_CACHE";
    }
    snprintf(file, sizeof file, "%s/%.80s-%016llx.plan", folder, fz_base_name(m->path),
             (unsigned long long)hash_text(key));
    snprintf(lock, sizeof lock, "%s.lock", file);
    const char *why = NULL;
    *fd = open_plan(file, key);
    if (*fd < 0) {
        int held = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (held >= 0)
            flock(held, LOCK_EX);
        *fd = open_plan(file, key); /* somebody else's, meanwhile */
        if (*fd < 0) {
            if (m->text_size > SOME_SECONDS && fz_policy_get()->verbose)
                fz_say("preparing %s for mode %s, once: some seconds", fz_base_name(m->path),
                       fz_policy_get()->mode_name);
            why = make_plan(m->path, file, key, variant, distance, code, counters);
        }
        if (*fd < 0 && !why && (*fd = open_plan(file, key)) < 0)
            why = "the planner failed (fuzzytorch-plan needs libZydis)";
        if (held >= 0)
            close(held);
    }
    if (!cached) {
        unlink(file);
        unlink(lock);
        rmdir(folder);
    }
    return why;
}

/* ---- Mapping ------------------------------------------------------------------------------ */

/* Up to the next of 8, 9 … 15 times a power of two. */
static size_t round_size(size_t n)
{
    size_t p = 1;
    while (16 * p < n)
        p *= 2;
    return (n + p - 1) / p * p;
}

typedef struct room {
    uint8_t *area;
    int64_t distance;
    size_t table, variant, size;
    uint64_t counters; /* offset of the counters, 0 if there are none */
} room;

/* Address space for the area within reach of the library; tried in a fixed order, since the
 * distance is part of a plan. `grown`: how much larger than most libraries need. */
static bool reserve(room *r, const mapped *m, unsigned grown)
{
    const bool test = getenv("FUZZYTORCH_PLAN_VARIANT") != NULL;
    size_t v = round_size(m->text_size * 9 / 2);
    v = (v < 0x80000 ? 0x80000 : v > FZ_AREA_VARIANT ? FZ_AREA_VARIANT : v) * grown;
    if (v > FZ_AREA_VARIANT)
        v = FZ_AREA_VARIANT;
    r->variant = v;
    r->table = v / 8 / FZ_PAGE * FZ_PAGE;
    r->size = r->table + (test ? FZ_VARIANTS : FZ_SR_NEAREST) * v;
    r->counters = 0;
    if (fz_policy_get()->report_operations) {
        r->counters = r->size;
        r->size += 2 * r->table; /* of each block, and of its runs as it was */
    }
    int64_t reach = INT64_C(0x7ff00000) - (int64_t)m->text_end;
    int64_t apart = (int64_t)(r->size / 8 + 0x1fffff) / 0x200000 * 0x200000;
    for (int i = 0; i < 1200; i++) {
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
    uintptr_t (*definition)(const fz_inst_site *) = fz_inst_definition;
    fz_area_constants(page);
    memcpy(page + FZ_AREA_DEFINITION, &definition, sizeof definition);
    return mprotect(page, FZ_PAGE, PROT_READ) == 0;
}

/* A library whose code has been moved: what a change of variant needs. */
typedef struct moved {
    mapped m;
    room r;
    int plan[FZ_VARIANTS]; /* open plans, -1: none yet */
    uint64_t patch_hash;
    enum fz_variant now;
    fz_inst_library *report;
} moved;

static moved *moved_libraries[LIBRARIES];
static unsigned moved_n;

static bool read_header(int fd, fz_planfile *h)
{
    return pread(fd, h, sizeof *h, 0) == (ssize_t)sizeof *h;
}

static const char *const too_large = "its moved code is too large";

/* The code of a variant to its place; nothing leads there yet. */
static const char *map_code(const moved *lib, enum fz_variant v, const fz_planfile *h)
{
    const room *r = &lib->r;
    if (h->head_size + FZ_AREA_STUBS > r->table || h->code_size > r->variant)
        return too_large;
    return map_at(r->area + h->code, h->code_size, lib->plan[v], h->code_at)
               ? NULL
               : "the system refuses executable mappings";
}

/* The table that leads to it. Other threads find the old one or the new one there. */
static const char *map_head(moved *lib, enum fz_variant v, const fz_planfile *h)
{
    if (!map_at(lib->r.area + FZ_AREA_STUBS, h->head_size, lib->plan[v], h->head_at))
        return "the system refuses executable mappings";
    lib->now = v;
    return NULL;
}

static const char *map_patches(const moved *lib, enum fz_variant v, const fz_planfile *h)
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
    free(runs);
    return why;
}

static void describe(fz_inst_library *out, const fz_planfile *h)
{
    const fz_rules *all[] = {&fz_policy_get()->exclude, &fz_policy_get()->include};
    unsigned bit = 0;
    for (int k = 0; k < 2; k++)
        for (unsigned i = 0; i < all[k]->n; i++, bit++)
            if (bit < 512 && all[k]->matched && h->matched[bit / 64] >> bit % 64 & 1)
                atomic_store(&all[k]->matched[i], 1);
    out->sites = h->sites;
    out->perturbed = h->perturbed;
    out->exact = h->exact;
    out->functions = h->functions;
    out->refused_functions = h->refused_functions;
    out->blocks = h->blocks;
    for (int i = 0; i < 16; i++) {
        memcpy(out->left[i].why, h->left[i].why, sizeof out->left[i].why);
        out->left[i].sites = h->left[i].sites;
    }
}

static const char *plan_of(moved *lib, enum fz_variant v)
{
    const room *r = &lib->r;
    if (lib->plan[v] >= 0)
        return NULL;
    return obtain(&lib->plan[v], &lib->m, v, r->distance,
                  r->table + (uint64_t)v * r->variant, r->counters);
}

/* Is there room for the code of each variant, as far as the plan of one shows? */
static bool fits(const room *r, const fz_planfile *h)
{
    enum { SITE = 220 }; /* bytes a site in sr, the largest: 180 to 310 */
    return h->head_size + FZ_AREA_STUBS <= r->table && h->code_size <= r->variant &&
           (h->sites * SITE <= r->variant || r->variant == FZ_AREA_VARIANT);
}

/* Moved code first, and the patches that lead there last. */
static const char *move_into(const mapped *m, enum fz_variant v, fz_inst_library *out,
                             unsigned grown)
{
    fz_planfile h;
    if (m->text_relocations)
        return "its text has relocations";
    moved *lib = calloc(1, sizeof *lib);
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
        return map_patches(lib, v, &h);
    }
    if (lib->plan[v] >= 0)
        close(lib->plan[v]);
    munmap(lib->r.area, lib->r.size);
    free(lib);
    return why;
}

/* Small numerical libraries grow most: their area is made larger when that shows. */
static const char *move(const mapped *m, enum fz_variant v, fz_inst_library *out)
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
    const moved *lib = NULL;
    fz_planfile h;
    for (unsigned k = 0; k < moved_n && out; k++)
        if (moved_libraries[k]->report == out)
            lib = moved_libraries[k];
    *sum = (fz_inst_operations){0};
    if (!lib || !lib->r.counters || !read_header(lib->plan[lib->now], &h))
        return false;
    if (!h.block_n)
        return true;
    const uint8_t *p = mmap(NULL, h.size, PROT_READ, MAP_PRIVATE, lib->plan[lib->now], 0);
    if (p == MAP_FAILED)
        return false;
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
static const char *turn(moved *lib, enum fz_variant v)
{
    fz_planfile h;
    if (lib->now == v)
        return NULL;
    bool mapped_before = lib->plan[v] >= 0;
    const char *why = plan_of(lib, v);
    if (!why && !read_header(lib->plan[v], &h))
        why = "the plan cannot be read";
    if (!why && h.patch_hash != lib->patch_hash)
        why = "its plan has other patches";
    if (!why && !mapped_before)
        why = map_code(lib, v, &h);
    if (!why)
        return map_head(lib, v, &h);
    if (!mapped_before && lib->plan[v] >= 0) {
        close(lib->plan[v]); /* its code is not mapped: the next turn tries again */
        lib->plan[v] = -1;
    }
    return why;
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
    return full && p->mode == PRISM_UD ? FZ_UD : FZ_DEFINITION;
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
    size_t x = ((const mapped *)a)->text_size, y = ((const mapped *)b)->text_size;
    return x < y ? 1 : -(x > y);
}

/* Do the old blocks still lead to the moved code? The first page of a run holds a patch. */
static bool patched(const moved *lib, const fz_planfile *h)
{
    fz_planrun run;
    uint8_t page[FZ_PAGE];
    const int fd = lib->plan[lib->now];
    return !h->runs || (pread(fd, &run, sizeof run, (off_t)h->run_at) == sizeof run &&
                        pread(fd, page, sizeof page, (off_t)run.at) == sizeof page &&
                        !memcmp(page, (void *)(lib->m.base + run.address), sizeof page));
}

/* A library that is closed and opened again at its place has lost its patches, and a file
 * that was replaced meanwhile is another library. */
static bool moved_before(const mapped *m)
{
    for (unsigned i = 0; i < moved_n; i++) {
        moved *lib = moved_libraries[i];
        fz_planfile h;
        if (lib->m.base != m->base || strcmp(lib->m.path, m->path) != 0 ||
            strcmp(lib->m.id, m->id) != 0)
            continue;
        const char *why = "the plan cannot be read";
        if (read_header(lib->plan[lib->now], &h))
            why = patched(lib, &h) ? NULL : map_patches(lib, lib->now, &h);
        if (why && !lib->report->why)
            fz_say("the instructions of %s, opened again, are left as they are: %s",
                   fz_base_name(m->path), why);
        lib->report->why = why;
        return true;
    }
    return false;
}

/* A library that is closed and opened again elsewhere is another one. */
static bool known(const mapped *m)
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
    fz_inst_library *lib = atomic_load(&library_n) == LIBRARIES
                               ? add_row("other libraries", 0) : NULL;
    if (!lib)
        return;
    lib->why = "more libraries are in scope than can be kept";
    fz_say("the instructions of %s are left as they are: %s (%d)", lib->path, lib->why,
           LIBRARIES);
    show_row(lib);
}

static void look(void)
{
    const fz_policy *p = fz_policy_get();
    listing l = {0};
    dl_iterate_phdr(list, &l);
    qsort(l.m, l.n, sizeof *l.m, by_size);
    const enum fz_variant variant = obey(p);
    static const char *said;
    for (unsigned i = 0; i < l.n; i++) {
        mapped *m = &l.m[i];
        const char *name = fz_base_name(m->path);
        /* Without functions of its own: the compiler puts 261 bytes into every library. */
        if (m->text_size <= 272)
            continue;
        if (fz_match_list(never, name) || !fz_path_in_scope(m->path) || known(m))
            continue;
        if (atomic_load(&library_n) >= LIBRARIES) {
            too_many();
            continue;
        }
        fz_inst_library *lib = add_row(m->path, m->base);
        if (!lib)
            break;
        lib->why = cpu_can() ? move(m, variant, lib)
                             : "this CPU does not have AVX2, FMA and AES-NI";
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

/* The API changed the policy: every library to the variant that serves it. */
static void changed(const fz_policy *before, const fz_policy *now)
{
    (void)before;
    const enum fz_variant variant = obey(now);
    for (unsigned i = 0; i < moved_n; i++) {
        const char *why = turn(moved_libraries[i], variant);
        if (why)
            fz_say("the instructions of %s stay in the mode they are in: %s",
                   moved_libraries[i]->m.path, why);
    }
    fz_self(); /* a seed that was set begins here */
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
    /* EVEX code is not moved: have torch run its AVX2 kernels, which are; OpenBLAS, where
     * other libraries are in scope, its. */
    if (__builtin_cpu_supports("avx512f")) {
        setenv("ATEN_CPU_CAPABILITY", "avx2", 0);
        if (p->libs)
            setenv("OPENBLAS_CORETYPE", "Haswell", 0);
    }
    fz_policy_subscribe(changed);
    fz_inst_look();
}
