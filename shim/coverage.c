/* The headline of a report: operations perturbed of those executed, and what is not known.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Executed by torch's libraries and what serves them. What nothing counts is in neither sum,
 * and is named: calls whose work is not known, code that was not moved, code made while the
 * process runs.
 */
#include <stdio.h>
#include <string.h>

#include "coverage.h"
#include "divert.h"
#include "rewrite/inst.h"

enum { UNKNOWNS = 400 };

typedef struct unknown {
    const char *what; /* a symbol, a library; NULL: generated code */
    uint64_t calls, sites, bytes;
    const char *why;
} unknown;

typedef struct coverage {
    uint64_t perturbed, exact, left; /* operations, by calls and by instructions */
    bool instructions; /* are counted */
    unknown unknown[UNKNOWNS];
    unsigned n, more;
} coverage;

static void add_unknown(coverage *c, unknown u)
{
    if (c->n < UNKNOWNS)
        c->unknown[c->n++] = u;
    else
        c->more++;
}

static void add_calls(coverage *c)
{
    for (int s = 0; s < FZ_SYMBOLS; s++) {
        const fz_symbol_info *info = &fz_symbol_table[s];
        fz_count n;
        fz_count_sum((enum fz_symbol)s, &n);
        c->perturbed += n.flops[0];
        c->left += n.flops[1] - n.flops[2];
        uint64_t calls = n.calls[FZ_BY_LAYER] + n.calls[FZ_BY_KIND], all = 0;
        const char *why = n.calls[FZ_BY_KIND] ? "left to oneDNN" : "Fourier transforms";
        for (int r = 0; r < FZ_REASONS; r++)
            all += r == FZ_BY_LIBRARY ? 0 : n.calls[r];
        if (info->scope == FZ_SCOPE_LAPACK) {
            calls = all; /* what it computes by BLAS is counted there */
            why = "LAPACK's own arithmetic";
        } else if (!calls && all && !n.flops[0] && n.flops[1] == n.flops[2]) {
            calls = all;
            why = "its work is not known";
        }
        if (calls)
            add_unknown(c, (unknown){info->name, calls, 0, 0, why});
    }
}

static void add_instructions(coverage *c)
{
    const fz_inst_library *lib;
    fz_inst_operations n;
    for (unsigned i = 0; (lib = fz_inst_library_at(i)); i++) {
        uint64_t sites = 0;
        for (int k = 0; k < 16 && lib->left[k].why[0]; k++)
            sites += lib->left[k].sites;
        sites -= sites < lib->counted ? sites : lib->counted;
        if (lib->why)
            add_unknown(c, (unknown){fz_base_name(lib->path), 0, 0, 0, lib->why});
        else if (sites)
            add_unknown(c, (unknown){fz_base_name(lib->path), 0, sites, 0, "not moved"});
        if (!fz_inst_operations_of(i, &n, NULL, NULL))
            continue;
        c->instructions = true;
        c->perturbed += n.perturbed;
        c->exact += n.exact;
        c->left += n.left;
    }
}

/* Executable memory that belongs to no file. oneDNN's kernels are gone at exit, but its calls
 * are counted. */
static void add_generated(coverage *c)
{
    char line[512], perms[8], path[256];
    unsigned long long lo, hi;
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t bytes = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        path[0] = 0;
        if (sscanf(line, "%llx-%llx %7s %*s %*s %*s %255s", &lo, &hi, perms, path) >= 3 &&
            perms[2] == 'x' &&
            (!path[0] || !strncmp(path, "[anon", 5) || !strncmp(path, "/memfd:", 7)) &&
            !fz_divert_holds((uintptr_t)lo))
            bytes += hi - lo;
    }
    if (maps)
        fclose(maps);
    if (bytes)
        add_unknown(c, (unknown){NULL, 0, 0, bytes, "made while the process ran"});
}

static void find(coverage *c)
{
    memset(c, 0, sizeof *c);
    add_calls(c);
    add_instructions(c);
    add_generated(c);
}

/* Why there is no share; NULL if there is one. */
static const char *no_share(const coverage *c)
{
    const fz_policy *p = fz_policy_get();
    if (p->paused || (p->mode == PRISM_NEAREST && p->t_f32 == 24 && p->t_f64 == 53))
        return "none: results are rounded to nearest, as natively";
    if (p->scope & FZ_SCOPE_INST && !c->instructions)
        return "unknown: instructions were not counted, which FUZZY_REPORT=...,operations does";
    return c->perturbed + c->exact + c->left ? NULL : "unknown: nothing was counted";
}

/* In thousandths of a percent, rounded down: 100 % is said of no sum with an exception. */
static uint64_t share(const coverage *c)
{
    const uint64_t all = c->perturbed + c->exact + c->left;
    return all ? (uint64_t)((unsigned __int128)c->perturbed * 100000 / all) : 0;
}

void fz_coverage_json(fz_text *t, void (*string)(fz_text *, const char *))
{
    static coverage c;
    find(&c);
    fz_text_add(t,
                ",\n \"coverage\": {\"perturbed\": %u, \"exact\": %u, \"left\": %u, "
                "\"instructions_counted\": %s, \"percent\": ",
                c.perturbed, c.exact, c.left, c.instructions ? "true" : "false");
    if (!no_share(&c)) {
        const uint64_t p = share(&c);
        fz_text_add(t, "%u.%u%u%u", p / 1000, p / 100 % 10, p / 10 % 10, p % 10);
    } else {
        fz_text_add(t, "null");
    }
    fz_text_add(t, ", \"unknown\": [");
    for (unsigned i = 0; i < c.n; i++) {
        const unknown *u = &c.unknown[i];
        fz_text_add(t, "%s\n  {\"what\": ", i ? "," : "");
        string(t, u->what ? u->what : "generated code");
        fz_text_add(t, ", \"why\": ");
        string(t, u->why);
        fz_text_add(t, ", \"calls\": %u, \"sites\": %u, \"bytes\": %u}", u->calls, u->sites,
                    u->bytes);
    }
    fz_text_add(t, "]}");
}

void fz_coverage_table(fz_text *t)
{
    static coverage c;
    find(&c);
    const uint64_t all = c.perturbed + c.exact + c.left, p = share(&c);
    if (no_share(&c)) {
        fz_text_add(t, "  coverage: %s\n", no_share(&c));
    } else {
        fz_text_add(t,
                    "  coverage: %u.%u%u%u %% of the %u operations counted were perturbed; "
                    "exact by rule %u, left %u\n",
                    p / 1000, p / 100 % 10, p / 10 % 10, p % 10, all, c.exact, c.left);
    }
    for (unsigned i = 0; i < c.n; i++) {
        const unknown *u = &c.unknown[i];
        if (u->calls)
            fz_text_add(t, "  not counted: %u calls of %s: %s\n", u->calls, u->what, u->why);
        else if (u->sites)
            fz_text_add(t, "  not counted: what %u sites of %s executed: %s\n", u->sites,
                        u->what, u->why);
        else if (u->bytes)
            fz_text_add(t, "  not counted: generated code, %u KB: %s\n", u->bytes / 1024,
                        u->why);
        else
            fz_text_add(t, "  not counted: instructions of %s: %s\n", u->what, u->why);
    }
    if (c.more)
        fz_text_add(t, "  not counted: %u more\n", (uint64_t)c.more);
}
