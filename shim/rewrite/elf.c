/* The headers that make a plan's file an ELF file, for perf and libunwind, and the mapped
 * part of it another one, for gdb.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Addresses are offsets in the area: perf takes the lowest executable mapping of a file for
 * the first such segment. What gdb is shown must have the process's addresses (its JIT
 * interface takes no load address), but symbols of an object file are relative to their
 * section: that one begins where the area does.
 */
#include "plan.h"

#include <string.h>

enum { NONE, TEXT, FRAME, SYMBOLS, STRINGS, NAMES, HDR, SECTIONS };

static const char names[] = "\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab\0"
                            ".eh_frame_hdr";

static uint32_t name_of(const char *name)
{
    const char *p = names + 1;
    while (strcmp(p, name) != 0)
        p += strlen(p) + 1;
    return (uint32_t)(p - names);
}

static Elf64_Shdr section(const char *name, uint32_t type, uint64_t flags, uint64_t address,
                          uint64_t offset, uint64_t size)
{
    return (Elf64_Shdr){.sh_name = name_of(name), .sh_type = type, .sh_flags = flags,
                        .sh_addr = address, .sh_offset = offset, .sh_size = size,
                        .sh_addralign = 8};
}

/* Sections, and their names behind them, at `at` of a page; `shown`: where the part with the
 * tables begins. */
static void put_sections(uint8_t *page, size_t at, size_t n, Elf64_Shdr s[SECTIONS],
                         const fz_plan *plan, uint64_t shown)
{
    const size_t names_at = at + n * sizeof *s;
    s[SYMBOLS] = section(".symtab", SHT_SYMTAB, 0, 0, shown + plan->symbol_at,
                         plan->symbol_n * sizeof(Elf64_Sym));
    s[SYMBOLS].sh_link = STRINGS;
    s[SYMBOLS].sh_info = (uint32_t)plan->symbol_n; /* all are local */
    s[SYMBOLS].sh_entsize = sizeof(Elf64_Sym);
    s[STRINGS] = section(".strtab", SHT_STRTAB, 0, 0, shown + plan->string_at,
                         plan->string_size);
    s[NAMES] = section(".shstrtab", SHT_STRTAB, 0, 0, names_at, sizeof names);
    memcpy(page + at, s, n * sizeof *s);
    memcpy(page + names_at, names, sizeof names);
}

static Elf64_Ehdr header(unsigned type, size_t sections_at, size_t n)
{
    return (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                                    ELFDATA2LSB, EV_CURRENT},
                        .e_type = (uint16_t)type,
                        .e_machine = EM_X86_64,
                        .e_version = EV_CURRENT,
                        .e_shoff = sections_at,
                        .e_ehsize = sizeof(Elf64_Ehdr),
                        .e_phentsize = sizeof(Elf64_Phdr),
                        .e_shentsize = sizeof(Elf64_Shdr),
                        .e_shnum = (uint16_t)n,
                        .e_shstrndx = NAMES};
}

static Elf64_Phdr segment(uint32_t type, uint32_t flags, uint64_t address, uint64_t at,
                          uint64_t size)
{
    return (Elf64_Phdr){.p_type = type, .p_flags = flags, .p_offset = at, .p_vaddr = address,
                        .p_paddr = address, .p_filesz = size, .p_memsz = size,
                        .p_align = type == PT_LOAD ? FZ_PAGE : 4};
}

void fz_elf_file(uint8_t page[FZ_PLANFILE_AT], const fz_plan *plan, const fz_planfile *f)
{
    const uint64_t tables = f->code + f->code_size, hdr = tables + f->hdr,
                   frame = tables + plan->frame_at;
    const Elf64_Phdr p[] = {
        segment(PT_LOAD, PF_R | PF_X, FZ_AREA_STUBS, f->head_at, f->head_size),
        segment(PT_LOAD, PF_R | PF_X, f->code, f->code_at, f->code_size),
        segment(PT_LOAD, PF_R, tables, f->shown_at, f->shown_size),
        segment(PT_GNU_EH_FRAME, PF_R, hdr, f->shown_at + f->hdr, f->hdr_size)};
    const uint64_t flags = SHF_ALLOC | SHF_EXECINSTR;
    Elf64_Shdr s[SECTIONS] = {
        [TEXT] = section(".text", SHT_PROGBITS, flags, f->code, f->code_at, f->code_size),
        [FRAME] = section(".eh_frame", SHT_PROGBITS, SHF_ALLOC, frame,
                          f->shown_at + plan->frame_at, plan->frame_size),
        [HDR] = section(".eh_frame_hdr", SHT_PROGBITS, SHF_ALLOC, hdr, f->shown_at + f->hdr,
                        f->hdr_size)};
    Elf64_Ehdr h = header(ET_DYN, sizeof h + sizeof p, SECTIONS);
    h.e_phoff = sizeof h;
    h.e_phnum = sizeof p / sizeof *p;
    _Static_assert(sizeof h + sizeof p + sizeof s + sizeof names <= FZ_PLANFILE_AT, "room");
    memcpy(page, &h, sizeof h);
    memcpy(page + sizeof h, p, sizeof p);
    put_sections(page, sizeof h + sizeof p, SECTIONS, s, plan, f->shown_at);
}

/* map.c adds the area's address. */
void fz_elf_shown(uint8_t page[FZ_PAGE], const fz_plan *plan, const fz_planfile *f)
{
    const uint64_t end = f->code + f->code_size;
    Elf64_Shdr s[SECTIONS] = {
        [TEXT] = section(".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, 0, 0, end),
        [FRAME] = section(".eh_frame", SHT_PROGBITS, SHF_ALLOC, end + plan->frame_at,
                          plan->frame_at, plan->frame_size)};
    const Elf64_Ehdr h = header(ET_REL, sizeof h, HDR);
    memcpy(page, &h, sizeof h);
    put_sections(page, sizeof h, HDR, s, plan, 0);
}
