/* Does a library link torch's? Read from its file, and remembered by its path.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

enum { SEGMENTS = 64, ENTRIES = 256, KNOWN = 8192 };

static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
    return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

/* Where in the file an address lies; 0: nowhere. */
static uint64_t offset_of(const ElfW(Phdr) *ph, unsigned n, ElfW(Addr) address)
{
    for (unsigned i = 0; i < n; i++)
        if (ph[i].p_type == PT_LOAD && address >= ph[i].p_vaddr &&
            address - ph[i].p_vaddr < ph[i].p_filesz)
            return address - ph[i].p_vaddr + ph[i].p_offset;
    return 0;
}

static bool needs_torch(int fd, const ElfW(Dyn) *dyn, unsigned n, uint64_t strings)
{
    char name[16];
    for (unsigned i = 0; i < n && dyn[i].d_tag != DT_NULL; i++)
        if (dyn[i].d_tag == DT_NEEDED &&
            pread(fd, name, sizeof name, (off_t)(strings + dyn[i].d_un.d_val)) > 8 &&
            (!strncmp(name, "libtorch.so", 11) || !strncmp(name, "libtorch_", 9) ||
             !strncmp(name, "libc10.so", 9)))
            return true;
    return false;
}

static bool look(int fd)
{
    ElfW(Ehdr) h;
    ElfW(Phdr) ph[SEGMENTS];
    ElfW(Dyn) dyn[ENTRIES];
    if (!read_at(fd, &h, sizeof h, 0) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
        h.e_phnum > SEGMENTS || h.e_phentsize != sizeof *ph ||
        !read_at(fd, ph, h.e_phnum * sizeof *ph, h.e_phoff))
        return false;
    for (unsigned i = 0; i < h.e_phnum; i++) {
        if (ph[i].p_type != PT_DYNAMIC)
            continue;
        const size_t size = ph[i].p_filesz < sizeof dyn ? ph[i].p_filesz : sizeof dyn;
        if (!read_at(fd, dyn, size, ph[i].p_offset))
            return false;
        const unsigned n = (unsigned)(size / sizeof *dyn);
        for (unsigned k = 0; k < n && dyn[k].d_tag != DT_NULL; k++)
            if (dyn[k].d_tag == DT_STRTAB)
                return needs_torch(fd, dyn, n,
                                   offset_of(ph, h.e_phnum, dyn[k].d_un.d_ptr));
    }
    return false;
}

bool fz_links_torch(const char *path)
{
    /* Hashes of paths, the last bit the answer; full, it stops to remember. */
    static _Atomic uint64_t known[KNOWN];
    if (!strchr(path, '/') || !strstr(fz_base_name(path), ".so"))
        return false;
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *p = path; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    hash |= 2;
    unsigned i = (unsigned)(hash >> 40) % KNOWN, end = i + 64;
    for (; i < end; i++) {
        const uint64_t k = atomic_load_explicit(&known[i % KNOWN], memory_order_relaxed);
        if ((k | 1) == (hash | 1))
            return k & 1;
        if (!k)
            break;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool links = look(fd);
    close(fd);
    if (i < end)
        atomic_store_explicit(&known[i % KNOWN], (hash & ~UINT64_C(1)) | links,
                              memory_order_relaxed);
    return links;
}
