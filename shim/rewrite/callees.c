/* Calls that leave a library: what a few of its linkage stubs lead to.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Functions that do not return end a block's way: the code behind such a call belongs to
 * somebody else. Who may call c10::report_overflow takes a number out of a c10::Scalar.
 */
#include "image.h"

#include <stdlib.h>
#include <string.h>

static enum fz_callee callee_of(const char *name)
{
    static const char *const never[] = {
        "abort", "exit", "_exit", "_Unwind_Resume", "__stack_chk_fail", "__cxa_throw",
        "__cxa_rethrow", "__cxa_throw_bad_array_new_length", "__cxa_bad_cast",
        "__assert_fail", "_ZSt9terminatev"};
    if (!strncmp(name, "_ZN3c1015report_overflow", 24))
        return FZ_CALLEE_SCALAR;
    if (!strncmp(name, "_ZN3c106detail14torchCheckFail", 30) ||
        !strncmp(name, "_ZN3c106detail23torchInternalAssertFail", 39) ||
        (!strncmp(name, "_ZSt", 4) && strstr(name, "__throw_")))
        return FZ_CALLEE_NEVER;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (!strcmp(name, never[i]))
            return FZ_CALLEE_NEVER;
    return FZ_CALLEE_ANY;
}

typedef struct words {
    fz_stub *p;
    size_t n, cap;
    bool failed;
} words;

static void add(words *w, uint64_t at, enum fz_callee callee)
{
    w->p = fz_grow(w->p, w->n, &w->cap, sizeof *w->p, &w->failed);
    if (w->n == w->cap)
        return;
    w->p[w->n++] = (fz_stub){at, callee};
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const fz_stub *)a)->at, y = ((const fz_stub *)b)->at;
    return x < y ? -1 : x > y;
}

static const fz_stub *find(const fz_stub *p, size_t n, uint64_t at)
{
    fz_stub key = {.at = at};
    return n ? bsearch(&key, p, n, sizeof *p, by_address) : NULL;
}

/* Words of the tables that the dynamic linker fills with addresses of such functions. */
static void read_words(const fz_image *im, words *w)
{
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *sh = &im->sections[i];
        if (sh->sh_type != SHT_RELA || !(sh->sh_flags & SHF_ALLOC) ||
            sh->sh_link >= im->section_n)
            continue;
        const Elf64_Shdr *ds = &im->sections[sh->sh_link];
        if (ds->sh_type != SHT_DYNSYM || ds->sh_link >= im->section_n)
            continue;
        const Elf64_Shdr *st = &im->sections[ds->sh_link];
        const char *names = (const char *)im->bytes + st->sh_offset;
        if (st->sh_type != SHT_STRTAB || !st->sh_size || names[st->sh_size - 1])
            continue;
        const Elf64_Sym *symbols = (const void *)(im->bytes + ds->sh_offset);
        for (uint64_t k = 0; k + sizeof(Elf64_Rela) <= sh->sh_size; k += sizeof(Elf64_Rela)) {
            Elf64_Rela r;
            memcpy(&r, im->bytes + sh->sh_offset + k, sizeof r);
            size_t s = ELF64_R_SYM(r.r_info);
            unsigned type = ELF64_R_TYPE(r.r_info);
            if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) ||
                s >= ds->sh_size / sizeof *symbols || symbols[s].st_name >= st->sh_size)
                continue;
            enum fz_callee c = callee_of(names + symbols[s].st_name);
            if (c != FZ_CALLEE_ANY)
                add(w, r.r_offset, c);
        }
    }
}

/* A stub jumps through its word: ff 25 and a displacement, after endbr64 or bnd perhaps. */
static void read_stubs(const fz_image *im, const words *w, words *out, const Elf64_Shdr *sh)
{
    const uint8_t *p = im->bytes + sh->sh_offset;
    uint64_t step = sh->sh_entsize == 8 ? 8 : 16;
    for (uint64_t at = 0; at + step <= sh->sh_size; at += step)
        for (uint64_t k = 0; k + 6 <= step; k++) {
            int32_t d;
            if (p[at + k] != 0xff || p[at + k + 1] != 0x25)
                continue;
            memcpy(&d, p + at + k + 2, 4);
            uint64_t word = sh->sh_addr + at + k + 6 + (uint64_t)(int64_t)d;
            const fz_stub *s = find(w->p, w->n, word);
            if (s)
                add(out, sh->sh_addr + at, s->callee);
            break;
        }
}

bool fz_image_stubs(fz_image *im)
{
    words w = {0}, out = {0};
    read_words(im, &w);
    if (w.n)
        qsort(w.p, w.n, sizeof *w.p, by_address);
    for (unsigned i = 0; i < im->section_n && w.n; i++)
        if (im->sections[i].sh_type == SHT_PROGBITS &&
            !strncmp(fz_image_section(im, i), ".plt", 4))
            read_stubs(im, &w, &out, &im->sections[i]);
    if (out.n)
        qsort(out.p, out.n, sizeof *out.p, by_address);
    free(w.p);
    im->stubs = out.p;
    im->stub_n = out.n;
    return !w.failed && !out.failed;
}

enum fz_callee fz_image_callee(const fz_image *im, uint64_t address)
{
    const fz_stub *s = find(im->stubs, im->stub_n, address);
    return s ? s->callee : FZ_CALLEE_ANY;
}
