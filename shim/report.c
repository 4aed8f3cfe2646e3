/* The start line, and at exit what was perturbed and what was not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "callers.h"
#include "coverage.h"
#include "divert.h"
#include "onednn.h"
#include "rewrite/inst.h"

static const char *const reason_name[FZ_REASONS] = {
    "perturbed",          "library",           "scope", "excluded", "not_included",
    "not_in_convolution", "packed_by_original", "no_liblapack3", "switched_off",
    "kept_exact",         "instruction_layer",  "compiling", "primitive"};
static const char *const scope_name[] = {"blas", "lapack", "conv", "math", "inst"};

static char path[4096]; /* absolute; empty: none or stderr */
static int lock_fd = -1;
static atomic_long owner; /* process that reports; 0: none yet */
static atomic_bool ended;

static bool own_file(const char *report)
{
    return report && strstr(report, "%p");
}

/* Expand %p and %r and make the path absolute, since the program may change its folder.
 */
int fz_report_path(const char *pattern, char *out, size_t cap)
{
    fz_text t = {out, 0, cap - 1, -1, false};
    if (*pattern != '/') {
        char cwd[4096];
        if (!getcwd(cwd, sizeof cwd))
            return -errno;
        fz_text_add(&t, "%s/", cwd);
    }
    for (const char *p = pattern; *p; p++) {
        if (*p != '%') {
            fz_text_add(&t, "%c", *p);
        } else if (p[1] == 'p') {
            fz_text_add(&t, "%d", (int)getpid());
            p++;
        } else if (p[1] == 'r') {
            const char *rank = fz_rank();
            fz_text_add(&t, "%s", rank ? rank : "0");
            p++;
        } else if (p[1] == '%') {
            fz_text_add(&t, "%%");
            p++;
        } else {
            return -EINVAL;
        }
    }
    out[t.n] = 0;
    return t.n + 1 < cap ? 0 : -ENAMETOOLONG;
}

/* Can the report be written? Without making a file: most processes never report. */
void fz_report_check(const fz_policy *p)
{
    char full[4096];
    struct stat st;
    if (!strcmp(p->report, "stderr"))
        return;
    int rc = fz_report_path(p->report, full, sizeof full);
    if (rc == -EINVAL)
        fz_die("FUZZY_REPORT=%s is not valid: after %% it takes p, r or %%", p->report);
    if (rc != 0)
        fz_die("FUZZY_REPORT=%s: %s", p->report, strerror(-rc));
    if (stat(full, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            fz_die("FUZZY_REPORT=%s is a folder; name a file in it", p->report);
        if (access(full, W_OK) != 0)
            fz_die("FUZZY_REPORT=%s cannot be written: %s", p->report, strerror(errno));
        return;
    }
    *strrchr(full, '/') = 0;
    if (access(*full ? full : "/", W_OK | X_OK) != 0)
        fz_die("FUZZY_REPORT=%s: the folder %s: %s; create it or name another", p->report,
               *full ? full : "/", strerror(errno));
}

static void add_scopes(fz_text *t, unsigned scope, const char *before, const char *after)
{
    bool first = true;
    for (unsigned i = 0; i < 5; i++)
        if (scope >> i & 1) {
            fz_text_add(t, "%s%s%s%s", first ? "" : ",", before, scope_name[i], after);
            first = false;
        }
}

static void say_settings(const fz_policy *p)
{
    char lineage[64], scope[64];
    fz_text t = {scope, 0, sizeof scope - 1, -1, false};
    add_scopes(&t, p->scope, "", "");
    scope[t.n] = 0;
    fz_lineage_text(lineage, p->lineage, p->seed);
    fz_say(
        "settings: precision f32:%d,f64:%d scope %s libs %s exclude %u include %u rules "
        "report %s lineage %s",
        p->t_f32, p->t_f64, scope, p->libs ? p->libs : "torch", (uint64_t)p->exclude.n,
        (uint64_t)p->include.n, p->report ? p->report : "none", lineage);
}

static void say_torch(void)
{
    fz_say("torch: %s", fz_torch_path());
    for (int s = 0; s < FZ_SYMBOLS; s++)
        if (fz_symbol_table[s].required)
            fz_say("original of %s: %s", fz_symbol_table[s].name,
                   fz_original_name(NULL, fz_symbol_table[s].name) ? "found" : "none");
}

/* Take the file: of several processes with one path, the first has it. */
static void take_file(const fz_policy *p)
{
    struct stat st;
    if (!p->report || !strcmp(p->report, "stderr"))
        return;
    fz_report_path(p->report, path, sizeof path - 32);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return; /* a device: written without a lock */
    lock_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (lock_fd < 0)
        fz_die("FUZZY_REPORT=%s cannot be written: %s", p->report, strerror(errno));
    if (flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
        close(lock_fd);
        lock_fd = -1;
        fz_text t = {path, strlen(path), sizeof path - 1, -1, false};
        fz_text_add(&t, ".%d", (int)getpid());
        path[t.n] = 0;
        fz_say("warning: another process has the report %s; this one's goes to %s",
               p->report, path);
    }
}

/* Has the layer moved code that rounds; is there any that it should have moved? */
static bool any_moved(bool asked)
{
    const fz_inst_library *lib;
    for (unsigned i = 0; (lib = fz_inst_library_at(i)); i++)
        if (lib->why ? asked : asked ? lib->sites > lib->exact : lib->perturbed > 0)
            return true;
    return false;
}

static void begin(const fz_policy *p)
{
    char layers[64];
    fz_text t = {layers, 0, sizeof layers - 1, -1, false};
    atomic_store(&owner, getpid());
    take_file(p);
    fz_counters_begin();
    fz_dnnl_begin();
    add_scopes(&t, p->scope & FZ_SCOPE_BUILT, "", "");
    layers[t.n] = 0;
    if (p->verbose >= 1)
        fz_say("%s mode %s seed %u layers %s isa %s; FUZZY_MODE=off disables", FZ_VERSION,
               p->mode_name, p->seed, *layers ? layers : "none", prism_isa_name(p->isa));
    fz_callers_begin();
    fz_policy_warn_unknown();
    if (p->verbose >= 2)
        say_settings(p);
}

/* When torch is mapped, or code of a program without it is moved; both may come. */
void fz_report_begin(void)
{
    static atomic_bool begun;
    const fz_policy *p = fz_policy_get();
    if (!atomic_exchange(&begun, true))
        begin(p);
    if (!atomic_load(&fz_torch_mapped))
        return;
    if (p->scope & FZ_SCOPE_CONV && !(p->scope & FZ_SCOPE_BLAS) && !fz_conv_known())
        fz_say("warning: FUZZY_SCOPE: convolutions cannot be told from other products in "
               "this "
               "torch; add blas");
    if (p->verbose >= 2)
        say_torch();
}

void fz_report_look(void)
{
    if (!atomic_load(&fz_torch_mapped) && any_moved(true))
        fz_report_begin();
}

/* ---- At exit ----------------------------------------------------------------------- */

static void add_json(fz_text *t, const char *s)
{
    fz_text_add(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fz_text_add(t, "\\%c", c);
        else if (c < 32)
            fz_text_add(t, "\\u00%x%x", (uint64_t)(c >> 4), (uint64_t)(c & 15));
        else
            fz_text_add(t, "%c", c);
    }
    fz_text_add(t, "\"");
}

static uint64_t passed(const fz_count *c)
{
    uint64_t n = 0;
    for (int r = 1; r < FZ_REASONS; r++)
        n += c->calls[r];
    return n;
}

/* Functions that stay native since their entry could not be changed. */
static void json_refused(fz_text *t)
{
    const char *name, *why = NULL;
    fz_text_add(t, ",\n \"not_diverted\": [");
    for (unsigned i = 0; (name = fz_divert_refused(i, &why)); i++) {
        fz_text_add(t, "%s\n  {\"symbol\": \"%s\", \"why\": ", i ? "," : "", name);
        add_json(t, why);
        fz_text_add(t, "}");
    }
    fz_text_add(t, "]");
}

static void json_function(const char *name, const fz_inst_operations *n, void *arg)
{
    fz_text *t = arg;
    if (!(n->exact | n->left))
        return;
    fz_text_add(t, ",\n    {\"function\": ");
    add_json(t, *name ? name : "[no name]");
    fz_text_add(t, ", \"perturbed\": %u, \"exact\": %u, \"left\": %u}", n->perturbed,
                n->exact, n->left);
}

/* Sites that no code of ours counts: what they executed is unknown. */
static uint64_t unknown_sites(unsigned i)
{
    const fz_inst_library *lib = fz_inst_library_at(i);
    return lib->sites - lib->perturbed - lib->exact - lib->counted;
}

/* Executed operations, and the functions that had others than perturbed ones; the first
 * entry is the sum. */
static void json_operations(fz_text *t, unsigned i)
{
    fz_inst_operations sum;
    if (!fz_inst_operations_of(i, &sum, NULL, NULL))
        return;
    fz_text_add(t,
                ", \"operations\": {\"perturbed\": %u, \"exact\": %u, \"left\": %u}, "
                "\"unknown_sites\": %u,\n   \"functions\": [{\"function\": \"\", "
                "\"perturbed\": %u, \"exact\": %u, \"left\": %u}",
                sum.perturbed, sum.exact, sum.left, unknown_sites(i), sum.perturbed,
                sum.exact, sum.left);
    fz_inst_operations_of(i, &sum, json_function, t);
    fz_text_add(t, "]");
}

static void table_operations(fz_text *t, const char *name, unsigned i)
{
    fz_inst_operations n;
    if (!fz_inst_operations_of(i, &n, NULL, NULL))
        return;
    uint64_t all = n.perturbed + n.exact + n.left;
    fz_text_add(t,
                "  executed in %s: %u operations, perturbed %u (%u.%u %% of these), "
                "exact by rule %u, left %u",
                name, all, n.perturbed, all ? n.perturbed * 100 / all : 0,
                all ? n.perturbed * 1000 / all % 10 : 0, n.exact, n.left);
    if (unknown_sites(i))
        fz_text_add(t, "; unknown: what %u sites that were not moved executed",
                    unknown_sites(i));
    fz_text_add(t, "\n");
}

/* The instruction layer: which libraries, how many instructions. Sites are places in the
 * code; how often they were executed is not known. */
static void json_instructions(fz_text *t)
{
    const fz_inst_library *lib;
    fz_text_add(t, ",\n \"instructions\": [");
    for (unsigned i = 0; (lib = fz_inst_library_at(i)); i++) {
        fz_text_add(t, "%s\n  {\"library\": ", i ? "," : "");
        add_json(t, lib->path);
        fz_text_add(t, ", \"sites\": %u, \"perturbed\": %u, \"exact\": %u, \"left\": [",
                    lib->sites, lib->why ? 0 : lib->perturbed, lib->exact);
        for (int k = 0; k < 16 && lib->left[k].why[0]; k++) {
            fz_text_add(t, "%s{\"why\": ", k ? ", " : "");
            add_json(t, lib->left[k].why);
            fz_text_add(t, ", \"sites\": %u}", lib->left[k].sites);
        }
        fz_text_add(t, "]");
        json_operations(t, i);
        fz_text_add(t, ", \"why\": ");
        if (lib->why)
            add_json(t, lib->why);
        else
            fz_text_add(t, "null");
        fz_text_add(t, "}");
    }
    fz_text_add(t, "]");
}

static void table_instructions(fz_text *t)
{
    const fz_inst_library *lib;
    for (unsigned i = 0; (lib = fz_inst_library_at(i)); i++) {
        const char *name = fz_base_name(lib->path);
        if (lib->why) {
            fz_text_add(t, "  instructions of %s: as they are: %s\n", name, lib->why);
            continue;
        }
        fz_text_add(t, "  instructions of %s: %u sites, perturbed %u, exact by rule %u",
                    name, lib->sites, lib->perturbed, lib->exact);
        for (int k = 0; k < 16 && lib->left[k].why[0]; k++)
            fz_text_add(t, ", %s %u", lib->left[k].why, lib->left[k].sites);
        fz_text_add(t, "\n");
        table_operations(t, name, i);
    }
}

static void json_rules(fz_text *t)
{
    const fz_rules *all[] = {&fz_policy_now.exclude, &fz_policy_now.include};
    bool first = true;
    fz_text_add(t, ",\n \"rules\": [");
    for (int k = 0; k < 2; k++)
        for (unsigned i = 0; i < all[k]->n; i++, first = false) {
            const fz_rule *r = &all[k]->rule[i];
            fz_text_add(t, "%s\n  {\"variable\": \"%s\", \"line\": %d, \"symbol\": ",
                        first ? "" : ",", all[k]->variable, (int)r->line);
            add_json(t, r->symbol);
            fz_text_add(t, ", \"library\": ");
            add_json(t, r->library);
            fz_text_add(t, ", \"matched\": %s}",
                        fz_rules_matched(all[k], i) ? "true" : "false");
        }
    fz_text_add(t, "]");
}

static void json_callers(fz_text *t)
{
    const unsigned n = fz_callers_missing() ? 0 : fz_callers_rows();
    if (fz_callers_missing()) {
        fz_text_add(t, ",\n \"callers\": null, \"callers_missing\": ");
        add_json(t, fz_callers_missing());
        return;
    }
    fz_text_add(t, ",\n \"callers\": [");
    for (unsigned i = 0; i < n; i++) {
        fz_row_text r;
        fz_callers_row(i, &r);
        fz_text_add(t, "%s\n  {\"symbol\": \"%s\", \"operator\": ", i ? "," : "",
                    r.symbol);
        add_json(t, r.operator);
        fz_text_add(t, ", \"outer\": ");
        add_json(t, r.outer);
        fz_text_add(t, ", \"function\": ");
        add_json(t, r.function);
        fz_text_add(t, ", \"library\": ");
        add_json(t, r.library);
        fz_text_add(t,
                    ",\n   \"perturbed\": {\"calls\": %u, \"flops\": %u}, "
                    "\"passed\": {\"calls\": %u, \"flops\": %u}}",
                    r.calls[0], r.flops[0], r.calls[1], r.flops[1]);
    }
    fz_text_add(t, "]");
}

static void table_callers(fz_text *t)
{
    enum { SHOWN = 60 };
    const unsigned n = fz_callers_missing() ? 0 : fz_callers_rows();
    if (fz_callers_missing()) {
        fz_text_add(t, "  no table by caller: %s\n", fz_callers_missing());
        return;
    }
    fz_text_add(t, "  by caller:\n");
    for (unsigned i = 0; i < n && i < SHOWN; i++) {
        fz_row_text r;
        fz_callers_row(i, &r);
        const char *who = *r.operator ? r.operator
                          : *r.function ? r.function
                                        : r.library;
        const bool by = *r.operator && *r.function;
        const bool asked = strcmp(r.outer, r.operator) != 0;
        fz_text_add(t,
                    "  %s for %s%s%s%s%s: perturbed %u calls, %u flops; passed through "
                    "%u calls, %u flops\n",
                    r.symbol, who, by ? " by " : "", by ? r.function : "",
                    asked ? ", asked for by " : "", asked ? r.outer : "", r.calls[0],
                    r.flops[0], r.calls[1], r.flops[1]);
    }
    if (n > SHOWN)
        fz_text_add(t, "  and %d more; FUZZY_REPORT=FILE,callers has all\n",
                    (int)(n - SHOWN));
}

/* Lines of the rules that did nothing are likely to be misspelt. */
static void say_unmatched(void)
{
    const fz_rules *all[] = {&fz_policy_now.exclude, &fz_policy_now.include};
    char names[800];
    fz_text t = {names, 0, sizeof names - 1, -1, false};
    unsigned n = 0;
    for (int k = 0; k < 2; k++)
        for (unsigned i = 0; i < all[k]->n; i++) {
            const fz_rule *r = &all[k]->rule[i];
            if (fz_rules_matched(all[k], i))
                continue;
            if (n++ < 8)
                fz_text_add(&t, "%s%s line %d `%s %s`", n > 1 ? ", " : "",
                            all[k]->variable, (int)r->line, r->symbol, r->library);
        }
    names[t.n] = 0;
    if (n > 8)
        fz_say("warning: rules never matched: %s and %d more", names, (int)(n - 8));
    else if (n)
        fz_say("warning: rule%s never matched: %s", n > 1 ? "s" : "", names);
}

static void write_json(fz_text *t, const fz_policy *p, const fz_count *all)
{
    char lineage[64];
    const char *rest = p->libs ? p->libs : "torch";
    fz_lineage_text(lineage, p->lineage, p->seed);
    fz_text_add(t, "{\"schema\": 1, \"version\": \"%s\", \"pid\": %d,\n", FZ_VERSION,
                (int)getpid());
    fz_text_add(t, " \"mode\": \"%s\", \"seed\": \"%u\", \"seed_drawn\": %s,\n",
                p->mode_name, p->seed, p->seed_drawn ? "true" : "false");
    fz_text_add(t, " \"lineage\": \"%s\", \"precision\": {\"f32\": %d, \"f64\": %d},\n",
                lineage, p->t_f32, p->t_f64);
    fz_text_add(t, " \"scope\": [");
    add_scopes(t, p->scope, "\"", "\"");
    fz_text_add(t, "], \"layers\": [");
    add_scopes(t, p->scope & FZ_SCOPE_BUILT, "\"", "\"");
    fz_text_add(t, "], \"libs\": ");
    add_json(t, rest);
    fz_text_add(t, ", \"isa\": \"%s\",\n \"torch\": ", prism_isa_name(p->isa));
    add_json(t, fz_torch_path());
    fz_text_add(t,
                ",\n \"totals\": {\"perturbed\": {\"calls\": %u, \"flops\": %u}, "
                "\"passed\": {\"calls\": %u, \"flops\": %u}},\n \"symbols\": [",
                all->calls[0], all->flops[0], passed(all), all->flops[1]);
    bool first = true;
    for (int s = 0; s < FZ_SYMBOLS; s++) {
        fz_count c;
        fz_count_sum((enum fz_symbol)s, &c);
        if (!c.calls[0] && !passed(&c))
            continue;
        fz_text_add(t, "%s\n  {\"symbol\": \"%s\", \"family\": \"%s\", ",
                    first ? "" : ",", fz_symbol_table[s].name, fz_symbol_table[s].family);
        fz_text_add(t,
                    "\"perturbed\": {\"calls\": %u, \"flops\": %u}, \"passed\": "
                    "{\"calls\": %u, \"flops\": %u}, \"why\": {",
                    c.calls[0], c.flops[0], passed(&c), c.flops[1]);
        const char *comma = "";
        for (int r = 1; r < FZ_REASONS; r++)
            if (c.calls[r]) {
                fz_text_add(t, "%s\"%s\": %u", comma, reason_name[r], c.calls[r]);
                comma = ", ";
            }
        fz_text_add(t, "}, \"original\": \"%s\"}", fz_provider((enum fz_symbol)s));
        first = false;
    }
    fz_text_add(t, "\n ]");
    json_refused(t);
    fz_dnnl_json(t);
    json_instructions(t);
    fz_coverage_json(t, add_json);
    json_rules(t);
    if (p->report_callers)
        json_callers(t);
    fz_text_add(t, "}\n");
}

static void write_table(fz_text *t, const fz_policy *p, const fz_count *all)
{
    fz_text_add(t, "libfuzzytorch: report of process %d, mode %s, seed %u\n",
                (int)getpid(), p->mode_name, p->seed);
    fz_coverage_table(t);
    for (int s = 0; s < FZ_SYMBOLS; s++) {
        fz_count c;
        fz_count_sum((enum fz_symbol)s, &c);
        if (!c.calls[0] && !passed(&c))
            continue;
        fz_text_add(
            t, "  %s: perturbed %u calls, %u flops; passed through %u calls, %u flops",
            fz_symbol_table[s].name, c.calls[0], c.flops[0], passed(&c), c.flops[1]);
        for (int r = 1; r < FZ_REASONS; r++)
            if (c.calls[r])
                fz_text_add(t, ", %s %u", reason_name[r], c.calls[r]);
        if (strcmp(fz_provider((enum fz_symbol)s), "process") != 0)
            fz_text_add(t, " (no original: %s)", fz_provider((enum fz_symbol)s));
        fz_text_add(t, "\n");
    }
    fz_text_add(
        t, "  all: perturbed %u calls, %u flops; passed through %u calls, %u flops\n",
        all->calls[0], all->flops[0], passed(all), all->flops[1]);
    const char *why = NULL, *name;
    for (unsigned i = 0; (name = fz_divert_refused(i, &why)); i++)
        fz_text_add(t, "  %s: native, bound inside torch and not diverted: %s\n", name,
                    why);
    fz_dnnl_table(t);
    table_instructions(t);
    if (p->report_callers)
        table_callers(t);
}

/* A new file that takes the old one's name when it is complete: a reader never sees half
 * a report, a full disk leaves what was there. */
static int write_file(const fz_policy *p, const fz_count *all)
{
    char buffer[4096], temporary[sizeof path + 16];
    fz_text name = {temporary, 0, sizeof temporary - 1, -1, false};
    struct stat st;
    bool device = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    fz_text_add(&name, device ? "%s" : "%s.%d~", path, (int)getpid());
    temporary[name.n] = 0;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    fz_text t = {buffer, 0, sizeof buffer, fd, false};
    errno = EIO;
    write_json(&t, p, all);
    fz_text_flush(&t);
    int rc = t.failed ? -errno : 0;
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (!device && rc == 0 && rename(temporary, path) != 0)
        rc = -errno;
    if (!device && rc != 0)
        unlink(temporary);
    return rc;
}

void fz_report_end(void)
{
    const fz_policy *p = fz_policy_get();
    fz_count all = {{0}, {0}};
    fz_torch_seen();
    /* The pid by system call: a vforked child shares our memory and is not the owner. */
    if (atomic_load(&owner) != syscall(SYS_getpid) || atomic_exchange(&ended, true))
        return;
    for (int s = 0; s < FZ_SYMBOLS; s++) {
        fz_count c;
        fz_count_sum((enum fz_symbol)s, &c);
        for (int r = 0; r < FZ_REASONS; r++)
            all.calls[r] += c.calls[r];
        all.flops[0] += c.flops[0];
        all.flops[1] += c.flops[1];
    }
    if (!all.calls[FZ_PERTURBED] && !any_moved(p->mode == PRISM_NEAREST))
        fz_say(
            "warning: mode %s, but nothing was perturbed in process %d (%u calls passed "
            "through)",
            p->mode_name, (int)getpid(), passed(&all));
    if (!fz_forked)
        say_unmatched();
    if (!p->report)
        return;
    if (!*path) {
        char buffer[4096];
        fz_text t = {buffer, 0, sizeof buffer, STDERR_FILENO, false};
        write_table(&t, p, &all);
        fz_text_flush(&t);
        return;
    }
    int rc = write_file(p, &all);
    if (rc != 0)
        fz_say("error: the report %s could not be written: %s", path, strerror(-rc));
}

/* A forked child reports for itself only where each process has its file; else its counts
 * are in the shared memory that the parent reports. */
void fz_report_forked(void)
{
    const fz_policy *p = fz_policy_get();
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
    if (!atomic_load(&owner) || !own_file(p->report))
        return;
    fz_report_path(p->report, path, sizeof path - 32);
    fz_callers_forked();
    fz_rules_forked(&fz_policy_now.exclude);
    fz_rules_forked(&fz_policy_now.include);
    atomic_store(&owner, getpid());
    atomic_store(&ended, false);
}
