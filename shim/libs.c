/* Which library a call came from, and whether torch is there.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The caller is found by its return address through glibc's _dl_find_object (2.35), which
 * takes no lock and some ten nanoseconds; older systems walk the link maps. What is known
 * of a library is kept in an entry that is never freed: its number is that of the
 * libraries which call one of our symbols, a few dozen. An entry is found by link map and
 * address range, so a library that is closed and another one mapped in its place do not
 * share one.
 */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiling.h"
#include "divert.h"
#include "rewrite/inst.h"
#include "slots.h"

#define TABLE 1024

static _Atomic(fz_lib *) table[TABLE];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

/* torch's own libraries. Its Python side is _C.so and the extensions of torch's sister
 * packages, which call ATen and hardly ever BLAS. */
static const char own_libs[] =
    "libtorch.so*,libtorch_*.so*,libc10*.so*,libaoti_*.so*,libshm.so*,_C.*.so,_C.so";

struct found {
    const void *map;
    uintptr_t lo, hi;
    const char *path;
};

struct query {
    uintptr_t address;
    struct found f;
    bool hit;
};

static int by_address(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct query *q = arg;
    uintptr_t lo = UINTPTR_MAX, hi = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz;
        if (ph->p_type != PT_LOAD)
            continue;
        lo = start < lo ? start : lo;
        hi = end > hi ? end : hi;
    }
    if (q->address < lo || q->address >= hi)
        return 0;
    q->f = (struct found){(const void *)info->dlpi_phdr, lo, hi, info->dlpi_name};
    return q->hit = true;
}

static bool find(const void *address, struct found *f)
{
    struct dl_find_object o;
    bool known;
    if (FZ_LIKELY(fz_find_object(address, &o, &known))) {
        *f = (struct found){o.dlfo_link_map, (uintptr_t)o.dlfo_map_start,
                            (uintptr_t)o.dlfo_map_end, o.dlfo_link_map->l_name};
        return true;
    }
    if (known)
        return false;
    /* glibc before 2.35 has no _dl_find_object: then dladdr-like walking serves. */
    struct query q = {.address = (uintptr_t)address};
    fz_each_object(by_address, &q);
    *f = q.f;
    return q.hit;
}

const char *fz_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void copy(char *to, size_t cap, const char *from)
{
    size_t n = strnlen(from, cap - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

void fz_file_of(char out[256], const char *name)
{
    if (*name) {
        copy(out, 256, name);
        return;
    }
    ssize_t n = readlink("/proc/self/exe", out, 255);
    out[n > 0 ? n : 0] = 0;
}

/* torch's own, what torch.compile has written, and what is linked with torch: its sister
 * packages, extensions, exported programs. */
static bool of_torch(const char *name, const char *path)
{
    return fz_match_list(own_libs, name) || fz_compiled_name(name) || fz_links_torch(path);
}

static bool in_scope(const char *name, const char *path)
{
    const char *libs = fz_policy_get()->libs;
    if (!libs)
        return of_torch(name, path);
    if (!strcmp(libs, "all"))
        return true;
    /* `torch` among the patterns stands for torch's own. */
    for (const char *p = libs; *p;) {
        const char *end = strchrnul(p, ',');
        if (end - p == 5 && !memcmp(p, "torch", 5) && of_torch(name, path))
            return true;
        p = *end ? end + 1 : end;
    }
    return fz_match_list(libs, name) || fz_match_list(libs, path);
}

bool fz_path_in_scope(const char *path)
{
    char file[256];
    fz_file_of(file, path);
    return in_scope(fz_base_name(file), file);
}

static int sum_changes(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    *(unsigned long long *)arg = info->dlpi_adds + info->dlpi_subs;
    return 1;
}

unsigned long long fz_map_changes(void)
{
    unsigned long long now = 0;
    fz_each_object(sum_changes, &now);
    return now;
}

static FZ_COLD fz_lib *enter_lib(const struct found *f, unsigned h)
{
    /* The first call from a library: a good moment to look for torch. Not under the lock,
     * since it asks the dynamic linker. */
    fz_torch_seen();
    fz_lib *lib = mmap(NULL, sizeof *lib, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (lib == MAP_FAILED)
        fz_die("no memory for the table of libraries");
    lib->map = f->map;
    lib->lo = f->lo;
    lib->hi = f->hi;
    if (!f->map) {
        copy(lib->name, sizeof lib->name, "[code outside any library]");
    } else {
        fz_file_of(lib->path, f->path);
        copy(lib->name, sizeof lib->name, fz_base_name(lib->path));
    }
    lib->scope = in_scope(lib->name, lib->path);
    lib->exact = fz_compiled_name(lib->name) && fz_compiled_random(lib->path);

    pthread_mutex_lock(&table_lock);
    fz_lib *there = NULL;
    for (unsigned i = 0; i < TABLE && lib; i++) {
        _Atomic(fz_lib *) *e = &table[(h + i) % TABLE];
        there = atomic_load_explicit(e, memory_order_relaxed);
        if (!there) {
            atomic_store_explicit(e, lib, memory_order_release);
            there = lib;
            break;
        }
        if (there->map == f->map && there->lo == f->lo && there->hi == f->hi)
            break;
    }
    pthread_mutex_unlock(&table_lock);
    if (there != lib)
        munmap(lib, sizeof *lib);
    return there;
}

fz_lib *fz_lib_of(const void *address)
{
    struct found f = {0};
    if (!find(address, &f))
        f = (struct found){NULL, 0, 0, ""};
    unsigned h = (unsigned)((uintptr_t)f.map >> 4) * 2654435761u >> 8;
    for (unsigned i = 0; i < TABLE; i++) {
        fz_lib *lib = atomic_load_explicit(&table[(h + i) % TABLE], memory_order_acquire);
        if (!lib)
            return enter_lib(&f, h);
        if (FZ_LIKELY(lib->map == f.map && lib->lo == f.lo && lib->hi == f.hi))
            return lib;
    }
    /* 1024 libraries call BLAS: the table's first entry would be wrong, so stop. */
    fz_die("more than %d libraries call intercepted symbols", TABLE);
}

/* ---- torch ------------------------------------------------------------------------- */

atomic_bool fz_torch_mapped;
static char torch_path[4096];

static int is_torch(struct dl_phdr_info *info, size_t size, void *arg)
{
    unsigned long long *adds = arg;
    (void)size;
    if (*adds == info->dlpi_adds)
        return 2;
    if (strncmp(fz_base_name(info->dlpi_name), "libtorch_cpu.so", 15) != 0)
        return 0;
    copy(torch_path, sizeof torch_path, info->dlpi_name);
    return 1;
}

static int count_adds(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    *(unsigned long long *)arg = info->dlpi_adds;
    return 1;
}

bool fz_torch_seen(void)
{
    static _Atomic unsigned long long looked;
    if (FZ_LIKELY(atomic_load_explicit(&fz_torch_mapped, memory_order_acquire)))
        return true;
    if (fz_policy_get()->off)
        return false;
    /* dlpi_adds counts mapped libraries: no change, no look. */
    unsigned long long adds = 0, before = atomic_load(&looked);
    if (fz_each_object(is_torch, &before) != 1) {
        fz_each_object(count_adds, &adds);
        atomic_store(&looked, adds);
        return false;
    }
    if (!atomic_exchange(&fz_torch_mapped, true)) {
        fz_inst_look(); /* maps text anew, so before jumps are written into it */
        fz_divert_begin(torch_path);
        fz_stubs_begin();
        fz_slots_refresh();
        fz_report_begin();
    }
    return true;
}

const char *fz_torch_path(void)
{
    return torch_path;
}
