/* fuzzytorch-plan: makes the plan of one library, as a process of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     fuzzytorch-plan LIBRARY FILE KEY VARIANT TLS DISTANCE CODE COUNTERS ISA [RULES...]
 *
 * The library runs it when a plan is missing, so that decoding a library neither takes the
 * host's memory nor can end the host. FILE is replaced by a rename once the plan is whole.
 * ISA: 0 AVX2, 1 with VAES, 2 AVX-512. RULES are patterns of functions to be left exact,
 * besides those of exact.def, and after --include of those that alone are perturbed.
 * FUZZYTORCH_PLAN_TRAP=1 fills dead bytes with int3, for tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../compiling.h"
#include "plan.h"
#include "planfile.h"

#define ERROR "libfuzzytorch: "

/* Left exact, with the reason. */
static const char *const exact_patterns[] = {
#define FZ_EXACT(pattern, why) pattern,
#include "exact.def"
};

static const char *const exact_libraries[] = {
#define FZ_EXACT_LIBRARY(pattern, why) pattern,
#include "exact.def"
};

/* Not moved at all: the library layer serves them, or nothing calls them on this CPU. */
static const char *const unwanted[] = {
#define FZ_UNWANTED(pattern, why) pattern,
#include "exact.def"
};

static char **rules;
static int exclude_n, rule_n; /* those behind them are of FUZZY_INCLUDE */
static bool include;
static _Atomic uint64_t matched[8];

static bool any_rule(const char *name, int first, int end)
{
    bool any = false;
    for (int i = first; i < end; i++)
        if (fnmatch(rules[i], name, 0) == 0) {
            any = true;
            if (i < 512)
                matched[i / 64] |= UINT64_C(1) << i % 64;
        }
    return any;
}

static bool by_rule(const char *name)
{
    const bool out = any_rule(name, 0, exclude_n);
    return (include && !any_rule(name, exclude_n, rule_n)) || out;
}

/* EXCLUDE... [--include INCLUDE...] */
static void read_rules(int n, char **text)
{
    rules = text;
    for (int i = 0; i < n; i++) {
        if (!include && !strcmp(text[i], "--include")) {
            include = true;
            exclude_n = rule_n;
            continue;
        }
        rules[rule_n++] = text[i];
    }
    if (!include)
        exclude_n = rule_n;
}

static bool matches(const char *const *patterns, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

static const char *library;
static bool exact_library;

/* Sizes, indices and bins are numbers cut to integers: where torch's functions have no
 * names, and in what torch.compile has written, those that do so are taken for theirs. */
static bool cuts(const fz_image *im, const fz_function *f)
{
    if (fz_compiled_name(library))
        return f->truncates || f->truncates_many;
    return f->truncates && !im->symbols && !strncmp(library, "libtorch", 8);
}

static bool exact(const fz_function *f, void *arg)
{
    const char *name = f->name;
    return by_rule(name) || cuts(arg, f) || f->philox || exact_library ||
           matches(exact_patterns, sizeof exact_patterns / sizeof *exact_patterns, name);
}

static bool wants(const char *name, void *arg)
{
    (void)arg;
    /* C among torch's C++: MKL and other libraries that were linked into it. */
    if (*name && strncmp(name, "_Z", 2) != 0 && !strncmp(library, "libtorch_cpu.so", 15))
        return false;
    return !matches(unwanted, sizeof unwanted / sizeof *unwanted, name);
}

/* Is it one of torch's libraries, or linked with them? */
static bool of_torch(const fz_image *im)
{
    if (!strncmp(library, "libtorch", 8) || !strncmp(library, "libc10", 6))
        return true;
    for (unsigned i = 0; i < im->section_n; i++) {
        const Elf64_Shdr *s = &im->sections[i];
        if (s->sh_type == SHT_STRTAB && s->sh_flags & SHF_ALLOC && s->sh_offset < im->size &&
            s->sh_size <= im->size - s->sh_offset)
            return memmem(im->bytes + s->sh_offset, s->sh_size, "libtorch", 8) ||
                   memmem(im->bytes + s->sh_offset, s->sh_size, "libc10", 6);
    }
    return false;
}

static void progress(size_t done, size_t total)
{
    if (total && isatty(2))
        fprintf(stderr, "\r" ERROR "planning %s: %d %%%s", library,
                (int)(100 * done / total), done == total ? "\n" : "");
}

/* ---- Patched pages ----------------------------------------------------------------------- */

typedef struct pages {
    fz_planrun *run;
    size_t n, total;
} pages;

/* Runs of pages that hold patches; gaps of a few pages are not worth another mapping. */
static bool find_runs(pages *r, const fz_plan *plan)
{
    r->run = malloc((plan->patch_n * 2 + 1) * sizeof *r->run);
    if (!r->run)
        return false;
    uint64_t end = 0; /* of the last run */
    for (size_t i = 0; i < plan->patch_n; i++) {
        const fz_patch *p = &plan->patches[i];
        uint64_t lo = p->at / FZ_PAGE * FZ_PAGE;
        uint64_t hi = (p->at + p->n + FZ_PAGE - 1) / FZ_PAGE * FZ_PAGE;
        if (r->n && lo <= end + 8 * FZ_PAGE) {
            if (hi > end)
                r->run[r->n - 1].size = hi - r->run[r->n - 1].address;
        } else {
            r->run[r->n++] = (fz_planrun){lo, 0, hi - lo};
        }
        end = hi > end ? hi : end;
    }
    for (size_t i = 0; i < r->n; i++)
        r->total += r->run[i].size;
    return true;
}

/* The pages of a run as they will be. A page reaches beyond what the file maps as text only
 * at its end. */
static bool fill_run(uint8_t *out, const fz_planrun *run, const fz_plan *plan,
                     const fz_image *im, size_t *patch)
{
    memset(out, 0, run->size);
    for (uint64_t a = 0; a < run->size; a += FZ_PAGE) {
        const uint8_t *p = fz_image_at(im, run->address + a);
        if (!p)
            return false;
        size_t left = im->size - (size_t)(p - im->bytes);
        memcpy(out + a, p, left < FZ_PAGE ? left : FZ_PAGE);
    }
    for (; *patch < plan->patch_n && plan->patches[*patch].at < run->address + run->size;
         ++*patch) {
        const fz_patch *p = &plan->patches[*patch];
        memcpy(out + (p->at - run->address), p->bytes, p->n);
    }
    return true;
}

/* ---- The file ---------------------------------------------------------------------------- */

static size_t page_up(size_t n)
{
    return (n + FZ_PAGE - 1) / FZ_PAGE * FZ_PAGE;
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static uint64_t patch_hash(const fz_plan *plan)
{
    uint64_t h = plan->patch_n;
    for (size_t i = 0; i < plan->patch_n; i++) {
        uint64_t word[2] = {plan->patches[i].at, plan->patches[i].n};
        memcpy((uint8_t *)&word[1] + 1, plan->patches[i].bytes, 5);
        h = (h ^ fz_planfile_hash(word, sizeof word)) * 0x100000001b3u;
    }
    return h;
}

static const char *compose(uint8_t **file, size_t *size, const fz_plan *plan,
                           const fz_image *im, const fz_plan_request *rq, const char *key)
{
    pages r = {0};
    if (!find_runs(&r, plan))
        return "no memory";
    fz_planfile h = {.head_size = plan->head_size,
                     .code_size = plan->code_size,
                     .distance = rq->distance,
                     .code = rq->code,
                     .head_at = FZ_PAGE,
                     .code_at = FZ_PAGE + plan->head_size,
                     .shown_at = FZ_PAGE + plan->head_size + plan->code_size,
                     .shown_size = plan->shown_size,
                     .hdr = plan->hdr_at,
                     .hdr_size = plan->hdr_size,
                     .runs = r.n,
                     .pages = r.total / FZ_PAGE,
                     .patch_hash = patch_hash(plan),
                     .functions = plan->counts.functions,
                     .blocks = plan->counts.blocks,
                     .sites = plan->counts.sites,
                     .perturbed = plan->counts.perturbed,
                     .exact = plan->counts.exact,
                     .refused_functions = plan->counts.refused_functions,
                     .counted = plan->counts.counted};
    for (int i = 0; i < 8; i++)
        h.matched[i] = matched[i];
    memcpy(h.magic, FZ_PLANFILE_MAGIC, sizeof h.magic);
    snprintf(h.key, sizeof h.key, "%s", key);
    for (int i = 0; i < 16 && plan->counts.left[i].why; i++) {
        snprintf(h.left[i].why, sizeof h.left[i].why, "%s", plan->counts.left[i].why);
        h.left[i].sites = plan->counts.left[i].sites;
    }
    h.run_at = h.shown_at + h.shown_size;
    uint64_t at = h.run_at + page_up(r.n * sizeof *r.run);
    for (size_t i = 0; i < r.n; i++) {
        r.run[i].at = at;
        at += r.run[i].size;
    }
    if (plan->block_n) {
        h.block_at = at;
        h.block_n = plan->block_n;
        h.name_at = at + page_up(plan->block_n * sizeof *plan->blocks);
        h.name_size = plan->names_size;
        at = h.name_at + page_up(plan->names_size);
    }
    h.size = at;
    uint8_t *p = calloc(1, at);
    if (!p) {
        free(r.run);
        return "no memory";
    }
    memcpy(p + h.run_at, r.run, r.n * sizeof *r.run);
    memcpy(p + h.head_at, plan->head, plan->head_size);
    memcpy(p + h.code_at, plan->code, plan->code_size);
    memcpy(p + h.shown_at, plan->shown, plan->shown_size);
    fz_elf_shown(p + h.shown_at, plan, &h);
    fz_elf_file(p, plan, &h);
    if (plan->block_n) {
        memcpy(p + h.block_at, plan->blocks, plan->block_n * sizeof *plan->blocks);
        memcpy(p + h.name_at, plan->names, plan->names_size);
    }
    const char *why = NULL;
    size_t patch = 0;
    for (size_t i = 0; i < r.n && !why; i++)
        if (!fill_run(p + r.run[i].at, &r.run[i], plan, im, &patch))
            why = "a patch lies outside the file";
    free(r.run);
    memcpy(p + FZ_PLANFILE_AT, &h, sizeof h);
    h.hash = fz_planfile_sum(p, at);
    memcpy(p + FZ_PLANFILE_AT, &h, sizeof h);
    *file = p;
    *size = at;
    return why;
}

static const char *store(const char *path, const uint8_t *p, size_t n)
{
    char fresh[4200];
    if (snprintf(fresh, sizeof fresh, "%s.%d.new", path, (int)getpid()) >=
        (int)sizeof fresh)
        return "its path is too long";
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return strerror(errno);
    const char *why = NULL;
    if (!write_all(fd, p, n) || fsync(fd) != 0)
        why = strerror(errno);
    close(fd);
    if (!why && rename(fresh, path) != 0)
        why = strerror(errno);
    if (why)
        unlink(fresh);
    return why;
}

int main(int argc, char **argv)
{
    if (argc < 10) {
        fprintf(stderr, ERROR "usage: fuzzytorch-plan LIBRARY FILE KEY VARIANT TLS DISTANCE "
                              "CODE COUNTERS ISA [RULES...]; the library runs it by itself\n");
        return 2;
    }
    library = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    exact_library = matches(exact_libraries,
                            sizeof exact_libraries / sizeof *exact_libraries, library);
    read_rules(argc - 10, argv + 10);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    fz_image image;
    fz_plan plan;
    fz_plan_request rq = {.image = &image,
                          .variant = (enum fz_variant)atoi(argv[4]),
                          .tls = (int32_t)strtol(argv[5], NULL, 0),
                          .distance = strtoll(argv[6], NULL, 0),
                          .code = strtoull(argv[7], NULL, 0),
                          .counters = strtoull(argv[8], NULL, 0),
                          .vaes = atoi(argv[9]) >= 1,
                          .avx512 = atoi(argv[9]) >= 2,
                          .trap_dead = getenv("FUZZYTORCH_PLAN_TRAP") != NULL,
                          .threads = cpus > 0 ? (int)cpus : 1,
                          .exact = exact,
                          .arg = &image};
    uint8_t *file = NULL;
    size_t size = 0;
    const char *why = fz_image_open(&image, argv[1]);
    if (!why) {
        rq.numbers = of_torch(&image);
        fz_image_scan(&image, wants, NULL, fz_insn_counts, rq.threads, progress);
        why = fz_plan_make(&plan, &rq);
    }
    if (!why)
        why = compose(&file, &size, &plan, &image, &rq, argv[3]);
    if (!why)
        why = store(argv[2], file, size);
    if (why) {
        fprintf(stderr, ERROR "no plan for the instructions of %s: %s\n", library, why);
        return 1;
    }
    return 0;
}
