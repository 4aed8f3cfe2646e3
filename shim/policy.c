/* The environment, parsed once into fz_policy; a bad value ends the process.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Bad values stop every process that the library is loaded into, whether it maps torch or
 * not: a wrong FUZZY_MODE in front of a shell script has to fail at once, not in the one
 * child that computes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

extern char **environ;

/* Every variable of this library, with what it takes: for errors, for the nearest name,
 * and for the check that docs/reference.md has them all. */
static const char *const variables[][2] = {
    {"FUZZY_MODE", "off, nearest, sr, ud or cestac"},
    {"FUZZY_SEED", "a 64-bit integer or `random`"},
    {"FUZZY_PRECISION", "significand bits such as f32:24,f64:53 (1..24, 1..53)"},
    {"FUZZY_SCOPE", "layers from blas,lapack,conv,math,inst"},
    {"FUZZY_LIBS", "library name patterns with commas, `torch` or `all`"},
    {"FUZZY_EXCLUDE", "a file of lines `symbol library`"},
    {"FUZZY_INCLUDE", "a file of lines `symbol library`"},
    {"FUZZY_ISA", "ref, sse41, avx2, avx2+vaes or avx512"},
    {"FUZZY_REPORT", "stderr or a path, with %p for the pid and %r for the rank"},
    {"FUZZY_LINEAGE", "nothing of yours: it is set for exec'd children"},
    {"FUZZY_VERBOSE", "0, 1, 2 or 3"},
    {"FUZZY_CACHE", "a folder"},
    {"FUZZY_CACHE_SIZE", "megabytes of plans, 0 for no limit"},
    /* Set by fuzzyrun for the command it samples. */
    {"FUZZY_SAMPLE", "the number of a sample, set by fuzzyrun"},
    {"FUZZY_SAMPLE_DIR", "the folder of a sample, set by fuzzyrun"},
    {"FUZZY_RECORD", "what to record and where, set by fuzzyrun"},
    /* Read by the Python package. */
    {"FUZZY_OPTIONAL", "1: its functions do nothing without the library"},
};

static void bad(const char *name, const char *value) __attribute__((noreturn));
static void bad(const char *name, const char *value)
{
    const char *takes = "";
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (!strcmp(variables[i][0], name))
            takes = variables[i][1];
    fz_die("%s=%s is not valid: it takes %s", name, value, takes);
}

/* The value of a variable; an empty one counts as not set. */
static const char *get(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static bool next_word(const char **p, char *word, size_t cap)
{
    if (!**p)
        return false;
    const char *end = strchrnul(*p, ',');
    size_t n = (size_t)(end - *p);
    if (n >= cap)
        n = cap - 1;
    memcpy(word, *p, n);
    word[n] = 0;
    *p = *end ? end + 1 : end;
    return true;
}

int fz_mode_of(const char *name)
{
    static const struct {
        const char *name;
        int mode;
    } names[] = {
        {"off", -1},
        {"nearest", PRISM_NEAREST},
        {"sr", PRISM_SR},
        {"ud", PRISM_UD},
        {"cestac", PRISM_CESTAC},
        /* What other tools call them. */
        {"ieee", PRISM_NEAREST},
        {"random", PRISM_CESTAC},
        {"average", PRISM_SR},
        {"nearness", PRISM_SR},
        {"updown", PRISM_UD},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i].name))
            return names[i].mode;
    return -2;
}

const char *fz_mode_name(int mode)
{
    static const char *const canonical[] = {"nearest", "sr", "ud", "cestac"};
    return mode < 0 ? "off" : canonical[mode];
}

static void parse_mode(fz_policy *p)
{
    const char *v = get("FUZZY_MODE");
    const int mode = fz_mode_of(v ? v : "sr");
    if (mode < -1)
        bad("FUZZY_MODE", v);
    p->off = mode < 0;
    p->mode = p->off ? PRISM_NEAREST : (enum prism_mode)mode;
    p->mode_name = fz_mode_name(mode);
}

static bool parse_u64(const char *v, uint64_t *out)
{
    char *end;
    errno = 0;
    if (*v == '-') {
        *out = (uint64_t)strtoll(v, &end, 0);
    } else {
        if (*v < '0' || *v > '9')
            return false;
        *out = strtoull(v, &end, 0);
    }
    return errno == 0 && end != v && *end == 0;
}

static uint64_t draw(void)
{
    uint64_t seed;
    /* Early in boot getrandom may fail; the address of a stack slot and the pid still
     * differ from run to run, and the seed is reported. */
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uint64_t)(uintptr_t)&seed * 0x9E3779B97F4A7C15u + (uint64_t)getpid();
    /* 53 bits: the seed survives any JSON reader. */
    return seed >> 11;
}

static bool parse_hex(const char *s, int digits, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        const char *hex = "0123456789abcdef", *d = s[i] ? strchr(hex, s[i]) : NULL;
        if (!d)
            return false;
        *out = *out << 4 | (uint64_t)(d - hex);
    }
    return true;
}

const char *fz_rank(void)
{
    static const char *const names[] = {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK",
                                        "SLURM_PROCID", "LOCAL_RANK"};
    const char *rank = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !rank; i++)
        rank = getenv(names[i]);
    return rank;
}

/* Ranks started one by one (mpirun, srun, torchrun on each machine) have the same
 * FUZZY_LINEAGE or none. Rank 0 draws what a process without a rank draws: a job of one
 * process under Slurm repeats the same process elsewhere. */
static void add_rank(fz_policy *p)
{
    enum { RANK = 7 }; /* beside the kinds of lineage.c */
    const char *text = fz_rank();
    uint64_t rank = 0;
    if (text && parse_u64(text, &rank) && rank)
        p->lineage = prism_key_derive(p->lineage, (uint64_t)RANK << 56 | rank);
}

/* FUZZY_LINEAGE is <path, 32 hex digits>.<seed, 16>: what a preloaded parent gave its
 * child. The seed serves a child that draws its own; FUZZY_SEED=number goes before it. */
static void parse_seed(fz_policy *p)
{
    const char *lineage = get("FUZZY_LINEAGE"), *v = get("FUZZY_SEED");
    uint64_t inherited = 0;
    p->lineage = prism_key_seed(0);
    if (lineage && !(strlen(lineage) == 49 && lineage[32] == '.' &&
                     parse_hex(lineage, 16, &p->lineage.hi) &&
                     parse_hex(lineage + 16, 16, &p->lineage.lo) &&
                     parse_hex(lineage + 33, 16, &inherited)))
        bad("FUZZY_LINEAGE", lineage);
    add_rank(p);
    if (v && strcmp(v, "random") != 0) {
        if (!parse_u64(v, &p->seed))
            bad("FUZZY_SEED", v);
        return;
    }
    p->seed_drawn = true;
    p->seed = lineage ? inherited : draw();
}

static void parse_precision(fz_policy *p)
{
    const char *v = get("FUZZY_PRECISION"), *rest = v;
    char word[32];
    p->t_f32 = 24;
    p->t_f64 = 53;
    if (!v)
        return;
    while (next_word(&rest, word, sizeof word)) {
        uint64_t t = 0;
        bool f32_bits = !strncmp(word, "f32:", 4), f64_bits = !strncmp(word, "f64:", 4);
        if (!(f32_bits || f64_bits) || !parse_u64(word + 4, &t) || t < 1 ||
            t > (f32_bits ? 24u : 53u))
            bad("FUZZY_PRECISION", v);
        *(f32_bits ? &p->t_f32 : &p->t_f64) = (int)t;
    }
}

static void parse_scope(fz_policy *p)
{
    static const char *const names[] = {"blas", "lapack", "conv", "math", "inst"};
    const char *v = get("FUZZY_SCOPE"), *rest = v;
    char word[32];
    p->scope = v ? 0 : FZ_SCOPE_DEFAULT;
    while (v && next_word(&rest, word, sizeof word)) {
        unsigned bit = 0;
        for (unsigned i = 0; i < 5; i++)
            if (!strcmp(word, names[i]))
                bit = 1u << i;
        if (!bit)
            bad("FUZZY_SCOPE", v);
        p->scope |= bit;
    }
}

static void parse_isa(fz_policy *p)
{
    const char *v = get("FUZZY_ISA");
    unsigned can = prism_isa_detected();
    if (v) {
        int isa = -1;
        for (int i = 0; i < PRISM_ISAS; i++)
            if (!strcmp(v, prism_isa_name((enum prism_isa)i)))
                isa = i;
        if (isa < 0)
            bad("FUZZY_ISA", v);
        if (!(can >> isa & 1))
            fz_die(
                "FUZZY_ISA=%s is not possible: this CPU does not have it; its best is %s",
                v, prism_isa_name(prism_isa_best(can)));
        p->isa = (enum prism_isa)isa;
        return;
    }
    p->isa = prism_isa_best(can);
}

static void parse_libs(fz_policy *p)
{
    const char *v = get("FUZZY_LIBS");
    if (v && !strcmp(v, "torch"))
        v = NULL;
    if (v && (strspn(v, ", \t") == strlen(v)))
        bad("FUZZY_LIBS", v);
    p->libs = v;
}

static void parse_report(fz_policy *p)
{
    const char *v = get("FUZZY_REPORT");
    if (!v)
        return;
    char *copy = strdup(v);
    if (!copy)
        fz_die("FUZZY_REPORT=%s: no memory", v);
    for (char *comma; (comma = strrchr(copy, ','));) {
        if (!strcmp(comma, ",callers"))
            p->report_callers = true;
        else if (!strcmp(comma, ",operations"))
            p->report_operations = true;
        else
            break;
        *comma = 0;
    }
    if (!*copy)
        bad("FUZZY_REPORT", v);
    p->report = copy;
    /* Whoever reads it there wants the headline, which needs them. */
    p->report_operations |= !strcmp(copy, "stderr");
    fz_report_check(p);
}

static void parse_cache(fz_policy *p)
{
    struct stat st;
    p->cache = get("FUZZY_CACHE");
    if (p->cache && stat(p->cache, &st) == 0 && !S_ISDIR(st.st_mode))
        bad("FUZZY_CACHE", p->cache);
    const char *v = get("FUZZY_CACHE_SIZE");
    uint64_t megabytes = FZ_CACHE_MEGABYTES;
    if (v && (!parse_u64(v, &megabytes) || megabytes > UINT32_MAX))
        bad("FUZZY_CACHE_SIZE", v);
    p->cache_size = megabytes * 1000000;
}

void fz_policy_parse(fz_policy *p)
{
    const char *v;
    memset(p, 0, sizeof *p);
    p->verbose = 1;
    if ((v = get("FUZZY_VERBOSE"))) {
        if (v[0] < '0' || v[0] > '3' || v[1])
            bad("FUZZY_VERBOSE", v);
        p->verbose = v[0] - '0';
    }
    parse_mode(p);
    parse_seed(p);
    parse_precision(p);
    parse_scope(p);
    parse_isa(p);
    parse_libs(p);
    parse_report(p);
    parse_cache(p);
    if ((v = get("FUZZY_EXCLUDE")))
        fz_rules_read(&p->exclude, "FUZZY_EXCLUDE", v);
    if ((v = get("FUZZY_INCLUDE")))
        fz_rules_read(&p->include, "FUZZY_INCLUDE", v);
}

/* Edit distance, for names of up to 31 letters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32], n = (unsigned)strlen(b);
    if (n > 31)
        return 99;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

void fz_policy_warn_unknown(void)
{
    for (char **e = environ; e && *e; e++) {
        char name[64];
        size_t n = strcspn(*e, "=");
        if (strncmp(*e, "FUZZY_", 6) != 0 || n >= sizeof name)
            continue;
        memcpy(name, *e, n);
        name[n] = 0;
        size_t best = 0;
        unsigned least = 99;
        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
            unsigned d = distance(name, variables[i][0]);
            if (d < least) {
                least = d;
                best = i;
            }
        }
        if (least > 0)
            fz_say(
                "warning: %s is not a variable of this version and is ignored; did you "
                "mean %s?",
                name, variables[best][0]);
    }
}
