/* A library's file: sections, functions, relocations, landing pads.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Offsets and counts of the file are checked before they are followed; of unwind tables,
 * what cannot be read is refused, since a landing pad missed would be a leader missed.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, RELR = 19 /* SHT_RELR, newer than some elf.h */ };

void *fz_grow(void *p, size_t n, size_t *cap, size_t size, bool *failed)
{
    if (n < *cap)
        return p;
    size_t bigger = *cap ? 2 * *cap : 256;
    void *q = realloc(p, bigger * size);
    if (!q) {
        *failed = true;
        return p;
    }
    *cap = bigger;
    return q;
}

static bool inside(const fz_image *im, uint64_t offset, uint64_t size)
{
    return offset <= im->size && size <= im->size - offset;
}

/* ---- Addresses -------------------------------------------------------------------------- */

/* The bytes from an address to the end of what the file maps there. */
static const uint8_t *span(const fz_image *im, uint64_t address, uint64_t *left)
{
    for (unsigned i = 0; i < im->segment_n; i++) {
        const Elf64_Phdr *ph = &im->segments[i];
        if (ph->p_type != PT_LOAD)
            continue;
        /* A segment is mapped from the start of its first page. */
        uint64_t lead = ph->p_flags & PF_X ? ph->p_vaddr % PAGE : 0;
        if (ph->p_offset < lead)
            lead = 0;
        if (address - (ph->p_vaddr - lead) < ph->p_filesz + lead) {
            *left = ph->p_vaddr + ph->p_filesz - address;
            return im->bytes + (ph->p_offset + (address - ph->p_vaddr));
        }
    }
    *left = 0;
    return NULL;
}

const uint8_t *fz_image_at(const fz_image *im, uint64_t address)
{
    uint64_t left;
    return span(im, address, &left);
}

bool fz_image_leader(const fz_image *im, uint64_t address)
{
    uint64_t bit = address - im->text_lo;
    return address >= im->text_lo && address < im->text_hi &&
           (im->leaders[bit / 64] >> bit % 64 & 1);
}

void fz_image_lead(fz_image *im, uint64_t address)
{
    if (address < im->text_lo || address >= im->text_hi)
        return;
    uint64_t bit = address - im->text_lo, *word = &im->leaders[bit / 64];
    if (!(__atomic_load_n(word, __ATOMIC_RELAXED) >> bit % 64 & 1))
        __atomic_fetch_or(word, (uint64_t)1 << bit % 64, __ATOMIC_RELAXED);
}

const fz_function *fz_image_function(const fz_image *im, uint64_t address)
{
    size_t lo = 0, hi = im->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (im->functions[mid].lo <= address)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && address < im->functions[lo - 1].hi ? &im->functions[lo - 1] : NULL;
}

static const fz_range *text_of(const fz_image *im, uint64_t address)
{
    for (unsigned i = 0; i < im->text_n; i++)
        if (address >= im->text[i].lo && address < im->text[i].hi)
            return &im->text[i];
    return NULL;
}

/* ---- Header, sections ------------------------------------------------------------------- */

static const char *section_name(const fz_image *im, const Elf64_Shdr *sh)
{
    if (sh->sh_name >= im->section_names_size)
        return "";
    const char *name = im->section_names + sh->sh_name;
    return memchr(name, 0, im->section_names_size - sh->sh_name) ? name : "";
}

const char *fz_image_section(const fz_image *im, unsigned i)
{
    return section_name(im, &im->sections[i]);
}

static const Elf64_Shdr *section(const fz_image *im, const char *name)
{
    for (unsigned i = 0; i < im->section_n; i++)
        if (!strcmp(section_name(im, &im->sections[i]), name))
            return &im->sections[i];
    return NULL;
}

static const char *read_header(fz_image *im)
{
    const Elf64_Ehdr *h = (const void *)im->bytes;
    if (im->size < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return "not an ELF file";
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
        h->e_machine != EM_X86_64)
        return "not for x86-64";
    if (h->e_type != ET_DYN && h->e_type != ET_EXEC)
        return "neither a library nor a program";
    im->fixed = h->e_type == ET_EXEC;
    im->segments = (const void *)(im->bytes + h->e_phoff);
    im->segment_n = h->e_phnum;
    im->sections = (const void *)(im->bytes + h->e_shoff);
    im->section_n = h->e_shnum;
    if (h->e_phoff % 8 || h->e_shoff % 8 || h->e_phentsize != sizeof(Elf64_Phdr) ||
        !inside(im, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
        return "damaged: its program headers";
    if (!h->e_shnum || !h->e_shoff)
        return "its section headers were stripped";
    if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shstrndx >= h->e_shnum ||
        !inside(im, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
        return "damaged: its section headers";
    for (unsigned i = 0; i < im->segment_n; i++)
        if (im->segments[i].p_type == PT_LOAD &&
            !inside(im, im->segments[i].p_offset, im->segments[i].p_filesz))
            return "damaged: cut short";
    for (unsigned i = 0; i < im->section_n; i++)
        if (im->sections[i].sh_type != SHT_NOBITS && im->sections[i].sh_type != SHT_NULL &&
            !inside(im, im->sections[i].sh_offset, im->sections[i].sh_size))
            return "damaged: cut short";
    im->section_names = (const char *)im->bytes + im->sections[h->e_shstrndx].sh_offset;
    im->section_names_size = im->sections[h->e_shstrndx].sh_size;
    return NULL;
}

static const char *find_text(fz_image *im)
{
    im->text = calloc(im->section_n, sizeof *im->text);
    if (!im->text)
        return "no memory";
    im->text_lo = UINT64_MAX;
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *sh = &im->sections[i];
        const char *name = section_name(im, sh);
        if (sh->sh_type != SHT_PROGBITS || !(sh->sh_flags & SHF_EXECINSTR) ||
            !sh->sh_size || !strncmp(name, ".plt", 4) || !strcmp(name, ".init") ||
            !strcmp(name, ".fini"))
            continue;
        uint64_t left;
        const uint8_t *p = span(im, sh->sh_addr, &left);
        if (!p || left < sh->sh_size)
            return "damaged: a section outside the segments";
        im->text[im->text_n++] = (fz_range){sh->sh_addr, sh->sh_addr + sh->sh_size};
        if (sh->sh_addr < im->text_lo)
            im->text_lo = sh->sh_addr;
        if (sh->sh_addr + sh->sh_size > im->text_hi)
            im->text_hi = sh->sh_addr + sh->sh_size;
    }
    if (!im->text_n)
        return "no code";
    im->leaders = calloc((im->text_hi - im->text_lo) / 64 + 1, sizeof *im->leaders);
    return im->leaders ? NULL : "no memory";
}

static void read_build_id(fz_image *im)
{
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *sh = &im->sections[i];
        if (sh->sh_type != SHT_NOTE)
            continue;
        for (uint64_t at = 0; at + 12 <= sh->sh_size;) {
            uint32_t n[3]; /* sizes of name and value, type */
            const uint8_t *p = im->bytes + sh->sh_offset + at;
            memcpy(n, p, sizeof n);
            uint64_t value = 12 + (((uint64_t)n[0] + 3) & ~(uint64_t)3);
            uint64_t next = value + (((uint64_t)n[1] + 3) & ~(uint64_t)3);
            if (next > sh->sh_size - at)
                break;
            if (n[2] == NT_GNU_BUILD_ID && n[0] == 4 && !memcmp(p + 12, "GNU", 4) && n[1] &&
                n[1] <= sizeof im->build_id) {
                memcpy(im->build_id, p + value, n[1]);
                im->build_id_size = n[1];
                return;
            }
            at += next;
        }
    }
}

/* ---- Functions -------------------------------------------------------------------------- */

typedef struct found {
    fz_function *f;
    size_t n, cap;
    bool failed;
} found;

static void add(fz_image *im, found *l, uint64_t lo, uint64_t size, const char *name)
{
    const fz_range *t = text_of(im, lo);
    if (!t)
        return;
    l->f = fz_grow(l->f, l->n, &l->cap, sizeof *l->f, &l->failed);
    if (l->n == l->cap)
        return;
    uint64_t hi = size > t->hi - lo ? t->hi : lo + size;
    l->f[l->n++] = (fz_function){.lo = lo, .hi = hi, .reach = hi, .name = name};
}

static const char *read_symbols(fz_image *im, found *l)
{
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *sh = &im->sections[i];
        if (sh->sh_type != SHT_SYMTAB && sh->sh_type != SHT_DYNSYM)
            continue;
        if (sh->sh_link >= im->section_n || sh->sh_offset % 8)
            return "damaged: its symbols";
        const Elf64_Shdr *st = &im->sections[sh->sh_link];
        const char *names = (const char *)im->bytes + st->sh_offset;
        if (st->sh_type != SHT_STRTAB || !st->sh_size || names[st->sh_size - 1])
            return "damaged: its symbol names";
        im->symbols |= sh->sh_type == SHT_SYMTAB;
        const Elf64_Sym *s = (const void *)(im->bytes + sh->sh_offset);
        for (size_t n = sh->sh_size / sizeof *s; n--; s++) {
            unsigned type = ELF64_ST_TYPE(s->st_info);
            if (s->st_shndx == SHN_UNDEF || s->st_shndx >= SHN_LORESERVE ||
                type == STT_TLS || s->st_name >= st->sh_size)
                continue;
            fz_image_lead(im, s->st_value);
            if (type == STT_FUNC || type == STT_GNU_IFUNC)
                add(im, l, s->st_value, s->st_size, names + s->st_name);
        }
    }
    return NULL;
}

/* By address; of one address, a C++ name first, an FDE without a name last. */
static int by_address(const void *a, const void *b)
{
    const fz_function *f = a, *g = b;
    if (f->lo != g->lo)
        return f->lo < g->lo ? -1 : 1;
    int p = !f->name[0] ? 2 : strncmp(f->name, "_Z", 2) != 0;
    int q = !g->name[0] ? 2 : strncmp(g->name, "_Z", 2) != 0;
    return p != q ? p - q : f->name < g->name ? -1 : f->name > g->name;
}

static void settle(fz_image *im, found *l)
{
    if (l->n)
        qsort(l->f, l->n, sizeof *l->f, by_address);
    size_t n = 0;
    for (size_t i = 0; i < l->n;) {
        fz_function f = l->f[i];
        for (; i < l->n && l->f[i].lo == f.lo; i++)
            if (l->f[i].hi > f.hi)
                f.hi = f.reach = l->f[i].hi;
        /* A symbol without a size is a label; an FDE inside a symbol's function is a part
         * of it. */
        fz_function *last = n ? &l->f[n - 1] : NULL;
        if (f.hi == f.lo || (last && last->hi > f.lo && last->name[0] && !f.name[0]))
            continue;
        if (last && last->hi > f.lo)
            last->hi = f.lo;
        f.cold = strstr(f.name, ".cold") != NULL;
        l->f[n++] = f;
    }
    im->functions = l->f;
    im->count = n;
}

/* ---- Addresses in data ------------------------------------------------------------------ */

static void read_relocations(fz_image *im)
{
    bool words = im->fixed;
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *sh = &im->sections[i];
        words |= sh->sh_type == RELR;
        if (sh->sh_type != SHT_RELA || !(sh->sh_flags & SHF_ALLOC))
            continue;
        const Elf64_Shdr *ds = sh->sh_link < im->section_n ? &im->sections[sh->sh_link] : NULL;
        const Elf64_Sym *symbols = NULL;
        size_t symbol_n = 0;
        if (ds && ds->sh_type == SHT_DYNSYM) {
            symbols = (const void *)(im->bytes + ds->sh_offset);
            symbol_n = ds->sh_size / sizeof *symbols;
        }
        for (uint64_t k = 0; k + sizeof(Elf64_Rela) <= sh->sh_size; k += sizeof(Elf64_Rela)) {
            Elf64_Rela r;
            memcpy(&r, im->bytes + sh->sh_offset + k, sizeof r);
            size_t s = ELF64_R_SYM(r.r_info);
            uint64_t base = s && s < symbol_n ? symbols[s].st_value : 0;
            fz_image_lead(im, base + (uint64_t)r.r_addend);
        }
    }
    if (!words)
        return;
    /* Addresses stand in the data itself: each aligned word that looks like one. */
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *sh = &im->sections[i];
        if (!(sh->sh_flags & SHF_ALLOC) || sh->sh_flags & SHF_EXECINSTR ||
            sh->sh_type == SHT_NOBITS)
            continue;
        for (uint64_t k = -sh->sh_addr % 8; k + 8 <= sh->sh_size; k += 8) {
            uint64_t v;
            memcpy(&v, im->bytes + sh->sh_offset + k, 8);
            fz_image_lead(im, v);
        }
    }
}

/* ---- Unwind tables ---------------------------------------------------------------------- */

typedef struct reader {
    const uint8_t *p, *end;
    uint64_t address; /* of p */
    bool failed;
} reader;

static uint64_t take(reader *r, unsigned n)
{
    uint64_t v = 0;
    if ((size_t)(r->end - r->p) < n) {
        r->failed = true;
        return 0;
    }
    memcpy(&v, r->p, n);
    r->p += n;
    r->address += n;
    return v;
}

static uint64_t take_leb(reader *r, bool sign)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t b = take(r, 1);
        v |= (b & 127) << shift;
        if (r->failed || b & 128)
            continue;
        if (sign && b & 64 && shift < 57)
            v |= UINT64_MAX << (shift + 7);
        return v;
    }
    r->failed = true;
    return 0;
}

/* A pointer in one of DWARF's encodings; 0 stays 0. */
static uint64_t take_pointer(reader *r, uint8_t encoding)
{
    uint64_t here = r->address, v;
    switch (encoding & 15) {
    case 0: case 4: case 12: v = take(r, 8); break;
    case 1: v = take_leb(r, false); break;
    case 2: v = take(r, 2); break;
    case 3: v = take(r, 4); break;
    case 9: v = take_leb(r, true); break;
    case 10: v = (uint64_t)(int16_t)take(r, 2); break;
    case 11: v = (uint64_t)(int32_t)take(r, 4); break;
    default: r->failed = true; return 0;
    }
    if ((encoding & 0x70) == 0x10)
        return v ? v + here : 0;
    if (encoding & 0x70)
        r->failed = true;
    return v;
}

static bool open_at(const fz_image *im, reader *r, uint64_t address)
{
    uint64_t left;
    r->p = span(im, address, &left);
    r->end = r->p + left;
    r->address = address;
    r->failed = false;
    return r->p != NULL;
}

static bool read_landing_pads(fz_image *im, uint64_t table, uint64_t start)
{
    reader r;
    if (!open_at(im, &r, table))
        return false;
    uint8_t encoding = (uint8_t)take(&r, 1);
    uint64_t base = encoding == 0xff ? start : take_pointer(&r, encoding);
    if (take(&r, 1) != 0xff)
        take_leb(&r, false);
    encoding = (uint8_t)take(&r, 1);
    uint64_t length = take_leb(&r, false);
    if (r.failed || length > (uint64_t)(r.end - r.p) || encoding & 0x70)
        return false;
    for (r.end = r.p + length; r.p < r.end && !r.failed;) {
        take_pointer(&r, encoding);
        take_pointer(&r, encoding);
        uint64_t pad = take_pointer(&r, encoding);
        take_leb(&r, false);
        if (pad && !r.failed) {
            fz_image_lead(im, base + pad);
            im->landing_pads++;
        }
    }
    return !r.failed;
}

typedef struct cie {
    uint64_t address;
    uint8_t pointer, lsda;
    bool augmented, understood;
} cie;

static cie read_cie(reader r, uint64_t address)
{
    cie c = {.address = address, .pointer = 0, .lsda = 0xff};
    take(&r, 1);
    const char *augmentation = (const char *)r.p;
    while (take(&r, 1) && !r.failed)
        ;
    take_leb(&r, false);
    take_leb(&r, true);
    take_leb(&r, false);
    if (r.failed)
        return c;
    c.augmented = augmentation[0] == 'z';
    c.understood = c.augmented || !augmentation[0];
    if (!c.augmented)
        return c;
    take_leb(&r, false);
    for (const char *a = augmentation + 1; *a; a++) {
        if (*a == 'L')
            c.lsda = (uint8_t)take(&r, 1);
        else if (*a == 'R')
            c.pointer = (uint8_t)take(&r, 1);
        else if (*a == 'P') {
            uint8_t e = (uint8_t)take(&r, 1);
            take_pointer(&r, e & 0x7f);
        } else if (*a != 'S' && *a != 'B')
            c.understood = false;
    }
    c.understood &= !r.failed;
    return c;
}

/* Bytes of a pointer in one of DWARF's encodings; 0: that varies. */
static uint8_t pointer_size(uint8_t encoding)
{
    static const uint8_t size[16] = {8, 0, 2, 4, 8, 0, 0, 0, 0, 0, 2, 4, 8};
    return size[encoding & 15];
}

static bool note_fde(fz_image *im, fz_fde fde)
{
    bool failed = false;
    im->fde = fz_grow(im->fde, im->fde_n, &im->fde_cap, sizeof *im->fde, &failed);
    if (failed)
        return false;
    im->fde[im->fde_n++] = fde;
    return true;
}

static int fde_by_address(const void *a, const void *b)
{
    const fz_fde *f = a, *g = b;
    return f->lo < g->lo ? -1 : f->lo > g->lo;
}

static const char *read_frames(fz_image *im, found *l)
{
    const Elf64_Shdr *sh = section(im, ".eh_frame");
    if (!sh || sh->sh_type == SHT_NOBITS)
        return NULL;
    const uint8_t *start = im->bytes + sh->sh_offset, *end = start + sh->sh_size;
    cie last = {.address = UINT64_MAX};
    for (const uint8_t *p = start; end - p >= 4;) {
        uint32_t length;
        memcpy(&length, p, 4);
        if (!length) { /* the end, but for linkers that leave one in the middle */
            p += 4;
            continue;
        }
        if (length == UINT32_MAX || length < 4 || length > (size_t)(end - p) - 4)
            return "its .eh_frame is not understood";
        uint64_t id_at = (uint64_t)(p - start) + 4;
        reader r = {p + 4, p + 4 + length, sh->sh_addr + id_at, false};
        uint64_t id = take(&r, 4);
        p += 4 + length;
        if (!id)
            continue;
        if (id > id_at)
            return "its .eh_frame is not understood";
        if (last.address != id_at - id) {
            const uint8_t *q = start + (id_at - id);
            uint32_t n;
            memcpy(&n, q, 4);
            if (n < 8 || n > (size_t)(end - q) - 4)
                return "its .eh_frame is not understood";
            reader c = {q + 8, q + 4 + n, sh->sh_addr + (id_at - id) + 8, false};
            last = read_cie(c, id_at - id);
        }
        if (!last.understood)
            return "an augmentation of its .eh_frame is not understood";
        uint64_t lo = take_pointer(&r, last.pointer);
        uint64_t size = take_pointer(&r, last.pointer & 15);
        if (last.augmented)
            take_leb(&r, false);
        uint64_t table = last.augmented && last.lsda != 0xff ? take_pointer(&r, last.lsda) : 0;
        if (r.failed)
            return "its .eh_frame is not understood";
        im->fdes++;
        l->failed |= !note_fde(im, (fz_fde){lo, lo + size, sh->sh_offset + id_at - 4,
                                            sh->sh_offset + last.address,
                                            pointer_size(last.pointer)});
        fz_image_lead(im, lo);
        add(im, l, lo, size, "");
        if (table && text_of(im, lo) && !read_landing_pads(im, table, lo))
            return "its .gcc_except_table is not understood";
    }
    if (im->fde_n)
        qsort(im->fde, im->fde_n, sizeof *im->fde, fde_by_address);
    return NULL;
}

/* ---- Open, close ------------------------------------------------------------------------ */

void fz_image_close(fz_image *im)
{
    if (im->bytes)
        munmap((void *)im->bytes, im->size);
    free(im->text);
    free(im->functions);
    free(im->leaders);
    free(im->stubs);
    free(im->fde);
    memset(im, 0, sizeof *im);
}

static const char *map(fz_image *im, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(im->why, sizeof im->why, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return im->why;
    }
    void *p = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)
                             : MAP_FAILED;
    close(fd);
    if (p == MAP_FAILED)
        return st.st_size > 0 ? "it cannot be mapped" : "an empty file";
    im->bytes = p;
    im->size = (size_t)st.st_size;
    return NULL;
}

const char *fz_image_open(fz_image *im, const char *path)
{
    memset(im, 0, sizeof *im);
    found l = {0};
    const char *why = map(im, path);
    if (!why)
        why = read_header(im);
    if (!why)
        why = find_text(im);
    if (!why)
        why = read_symbols(im, &l);
    if (!why)
        why = read_frames(im, &l);
    if (!why && !fz_image_stubs(im))
        l.failed = true;
    if (!why && l.failed)
        why = "no memory";
    if (!why && !l.n)
        why = "neither symbols nor unwind tables";
    if (why) {
        free(l.f);
        char line[sizeof im->why];
        snprintf(line, sizeof line, "%s", why);
        fz_image_close(im);
        memcpy(im->why, line, sizeof line);
        return im->why;
    }
    read_build_id(im);
    fz_image_lead(im, ((const Elf64_Ehdr *)im->bytes)->e_entry);
    read_relocations(im);
    settle(im, &l);
    return NULL;
}
