/* Chains of frames: what rules say of them, and the table of callers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * libunwind is opened when the first chain is asked for, for us alone: it also has the
 * functions of the C++ run time, which must stay whose they are. Its unw_backtrace keeps
 * for each return address how the frame above is found, so that a walk is some 6 ns a
 * frame. Every call is walked: a shorter cut by stack addresses would have to prove that
 * nothing between them has changed.
 *
 * What follows from a chain, a *site*, is found once and kept: the verdict of the rules
 * and the row of the table. Sites are looked up without a lock by all their return
 * addresses.
 *
 * A thread of an OpenMP team does not have the opener of its region on its stack. The
 * region brings the opener's site along (lineage.c), and all threads of the team end
 * their chain at the region, the opening one included.
 *
 * The rows of the table lie in memory shared with forked children, as the counters do,
 * and are added without a lock: a child may be killed at any instruction.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "callers.h"

#define SITES (1 << 16) /* slots; half of them are used */
#define ROWS 4096

bool fz_callers_on;

typedef struct fz_row {
    atomic_bool complete; /* false: being written, or its writer was killed */
    uint16_t symbol;
    uint64_t hash;
    _Atomic uint64_t calls[2], flops[2];
    char operator[72], outer[72], function[200], library[72];
} fz_row;

struct rows {
    atomic_uint used;
    fz_row row[ROWS];
};

static _Atomic(struct rows *) rows;
static _Atomic(fz_site *) sites[SITES]; /* touched only where a table is asked for */
static unsigned n_sites;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
typedef int backtrace_fn(void **, int);
static _Atomic(backtrace_fn *) backtrace_of;
static _Atomic(const char *) missing;

/* ---- libunwind --------------------------------------------------------------------- */

/* The first rule that names a function; NULL if there is none. */
static const fz_rules *frame_rules(unsigned *line)
{
    const fz_policy *p = fz_policy_get();
    const fz_rules *all[] = {&p->exclude, &p->include};
    for (int k = 0; k < 2; k++)
        for (unsigned i = 0; i < all[k]->n; i++)
            if (all[k]->rule[i].frame) {
                *line = all[k]->rule[i].line;
                return all[k];
            }
    return NULL;
}

/* Racing threads open the same; no lock of ours is held while the linker holds one. */
static FZ_COLD void open_unwinder(void)
{
    void *h = NULL, *p = NULL;
    unsigned line = 0;
    if (!fz_real_dlopen)
        *(void **)&fz_real_dlopen = fz_next("dlopen");
    if (fz_real_dlopen && (h = fz_real_dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL)))
        p = dlsym(h, "unw_backtrace");
    if (p) {
        backtrace_fn *f = NULL;
        *(void **)&f = p;
        atomic_store_explicit(&backtrace_of, f, memory_order_release);
        return;
    }
    const fz_rules *r = frame_rules(&line);
    if (r)
        fz_die("%s line %d names a function among the callers, which needs "
               "libunwind.so.8: install libunwind8",
               r->variable, (int)line);
    if (!atomic_exchange(&missing, "libunwind.so.8 is missing: install libunwind8"))
        fz_say("warning: FUZZY_REPORT: there is no table by caller: libunwind.so.8 is "
               "missing; install libunwind8");
    fz_callers_on = false;
}

static struct rows *map_rows(void)
{
    struct rows *none = NULL;
    struct rows *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!atomic_compare_exchange_strong(&rows, &none, p)) {
        munmap(p, sizeof *p);
        return none;
    }
    return p;
}

static bool ready(void)
{
    if (FZ_LIKELY(atomic_load_explicit(&backtrace_of, memory_order_acquire) != NULL))
        return true;
    if (!atomic_load(&missing))
        open_unwinder();
    return atomic_load(&backtrace_of) != NULL;
}

void fz_callers_begin(void)
{
    if (fz_callers_on && ready() && fz_policy_get()->report_callers &&
        !atomic_load(&rows))
        map_rows();
}

const char *fz_callers_missing(void)
{
    return missing;
}

/* ---- Chains ------------------------------------------------------------------------ */

/* Code of lineage.c that the threads of a team run. */
extern const char __start_fz_region[] __attribute__((visibility("hidden")));
extern const char __stop_fz_region[] __attribute__((visibility("hidden")));

static void walk(fz_chain *c, enum fz_symbol s, const fz_lib *lib, const void *from)
{
    enum { OURS = 16 }; /* frames of ours before `from` */
    void *all[FZ_FRAMES + OURS];
    const fz_thread *t = &fz_tls;
    int n = atomic_load_explicit(&backtrace_of, memory_order_relaxed)(
        all, FZ_FRAMES + OURS);
    int i = 0;
    while (i < n && all[i] != from)
        i++;
    unsigned k = 0;
    const fz_site *opener = NULL;
    uint64_t h = (uint64_t)s << 1 | (t->lapack > 0);
    if (i == n) /* a frame without unwind tables */
        c->at[k++] = from;
    for (; i < n && k < FZ_FRAMES; i++) {
        const char *at = all[i];
        if (FZ_UNLIKELY(t->region > 0) && at >= __start_fz_region &&
            at < __stop_fz_region) {
            opener = t->opener;
            break;
        }
        c->at[k++] = at;
    }
    for (unsigned j = 0; j < k; j++)
        h += ((uintptr_t)c->at[j] ^ 0x5851F42D4C957F2Du) * (2 * j + 0x9E3779B97F4A7C15u);
    h ^= (uintptr_t)opener;
    h ^= h >> 29;
    c->site = (fz_site){.hash = h * 0xBF58476D1CE4E5B9u,
                        .opener = opener,
                        .lib = lib,
                        .n = (uint16_t)k,
                        .symbol = (uint16_t)s,
                        .lapack = t->lapack > 0,
                        .frame = c->at};
}

static bool equal(const fz_site *a, const fz_chain *c)
{
    return a->hash == c->site.hash && a->opener == c->site.opener &&
           a->lib == c->site.lib && a->n == c->site.n &&
           a->symbol == c->site.symbol && a->lapack == c->site.lapack &&
           !memcmp(a->frame, c->at, a->n * sizeof *c->at);
}

/* The site, or where it would be. */
static fz_site *look(const fz_chain *c, unsigned *where)
{
    for (unsigned i = (unsigned)(c->site.hash >> 48);; i++) {
        fz_site *s = atomic_load_explicit(&sites[i % SITES], memory_order_acquire);
        *where = i % SITES;
        if (!s || FZ_LIKELY(equal(s, c)))
            return s;
    }
}

/* ---- Who is it --------------------------------------------------------------------- */

static void put(char *to, size_t cap, const char *from, size_t n)
{
    n = n < cap - 1 ? n : cap - 1;
    memcpy(to, from, n);
    to[n] = 0;
}

/* An identifier of a mangled name, at *p: its length; *p moves to its letters. */
static size_t identifier(const char **p)
{
    size_t n = 0;
    for (; **p >= '0' && **p <= '9' && n < 10000; (*p)++)
        n = n * 10 + (size_t)(**p - '0');
    return strnlen(*p, n) == n ? n : 0;
}

/* at::_ops::NAME::call and redispatch are "aten::NAME". */
static bool operator_of(const char *name, char *to, size_t cap)
{
    static const char ops[] = "_ZN2at4_ops";
    if (strncmp(name, ops, sizeof ops - 1) != 0)
        return false;
    const char *p = name + sizeof ops - 1;
    size_t n = identifier(&p);
    if (!n || (strncmp(p + n, "4call", 5) != 0 &&
               strncmp(p + n, "10redispatch", 12) != 0))
        return false;
    put(to, cap, "aten::", 6);
    put(to + 6, cap - 6, p, n);
    return true;
}

/* torch::autograd::generated::NAME::apply is "NAME". */
static bool node_of(const char *name, char *to, size_t cap)
{
    static const char nodes[] = "_ZN5torch8autograd9generated";
    if (strncmp(name, nodes, sizeof nodes - 1) != 0)
        return false;
    const char *p = name + sizeof nodes - 1;
    size_t n = identifier(&p);
    if (!n || strncmp(p + n, "5apply", 6) != 0)
        return false;
    put(to, cap, p, n);
    return true;
}

/* What every product passes through says nothing of who wanted it. */
static bool tells_nothing(const fz_function *f)
{
    static const char *const words[] = {
        "cpublas::", "vec::", "blas_impl::", "at::native::lapack", "invoke_parallel",
        "function_ref", "TensorIteratorBase", "std::"};
    const char *p = f->plain ? f->plain : f->name;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(p, words[i]))
            return true;
    return false;
}

static void describe(const fz_site *s, fz_row *to)
{
    put(to->library, sizeof to->library, s->lib->name, strlen(s->lib->name));
    for (; s; s = s->opener)
        for (unsigned i = 0; i < s->n; i++) {
            const fz_function *f = fz_function_of(s->frame[i]);
            char name[sizeof to->outer];
            if (!f->name || fz_ours(s->frame[i]))
                continue;
            if (operator_of(f->name, name, sizeof name)) {
                memcpy(to->outer, name, sizeof name);
                if (!*to->operator)
                    memcpy(to->operator, name, sizeof name);
            } else if (node_of(f->name, name, sizeof name)) {
                memcpy(to->outer, name, sizeof name);
            }
            if (!*to->function && f->lib->scope && !tells_nothing(f)) {
                const char *p = f->plain ? f->plain : f->name;
                put(to->function, sizeof to->function, p, strlen(p));
            }
        }
}

static bool same_row(const fz_row *a, const fz_row *b)
{
    return a->hash == b->hash && a->symbol == b->symbol &&
           !strcmp(a->operator, b->operator) && !strcmp(a->outer, b->outer) &&
           !strcmp(a->function, b->function) && !strcmp(a->library, b->library);
}

/* The row of a chain. Of two processes that add the same at once each may make one: they
 * are added up when the table is written. */
static fz_row *row_of(const fz_site *s)
{
    struct rows *r = atomic_load(&rows);
    if (!r && !(r = map_rows()))
        return NULL;
    fz_row new = {.symbol = s->symbol, .hash = s->symbol + 0xcbf29ce484222325u};
    describe(s, &new);
    const char *const text[] = {new.operator, new.outer, new.function, new.library};
    for (int i = 0; i < 4; i++)
        for (const char *p = text[i]; *p; p++)
            new.hash = (new.hash ^ (unsigned char)*p) * 0x100000001b3u;
    unsigned used = atomic_load(&r->used);
    for (unsigned i = 0; i < used && i < ROWS - 1; i++)
        if (atomic_load_explicit(&r->row[i].complete, memory_order_acquire) &&
            same_row(&r->row[i], &new))
            return &r->row[i];
    used = atomic_load(&r->used);
    while (used < ROWS - 1 && !atomic_compare_exchange_weak(&r->used, &used, used + 1))
        continue;
    fz_row *row = &r->row[used];
    if (used >= ROWS - 1) /* the last one is everybody's */
        return row;
    row->symbol = new.symbol;
    row->hash = new.hash;
    memcpy(row->operator, new.operator, sizeof new.operator);
    memcpy(row->outer, new.outer, sizeof new.outer);
    memcpy(row->function, new.function, sizeof new.function);
    memcpy(row->library, new.library, sizeof new.library);
    atomic_store_explicit(&row->complete, true, memory_order_release);
    return row;
}

/* ---- Sites ------------------------------------------------------------------------- */

static void judge(fz_site *s)
{
    bool excluded = false, included = false;
    /* Every frame is looked at, so that each rule that matches anything is known. */
    for (const fz_site *c = s; c; c = c->opener)
        for (unsigned i = 0; i < c->n; i++)
            if (!fz_ours(c->frame[i])) {
                const fz_function *f = fz_function_of(c->frame[i]);
                excluded |= f->excluded;
                included |= f->included;
            }
    s->verdict = (uint8_t)fz_judge(s->lib, (enum fz_symbol)s->symbol, s->lapack, excluded,
                                   included);
    if (fz_policy_get()->report_callers)
        s->row = row_of(s);
}

/* Under the lock: fill the site and keep it, if there is room. */
static FZ_COLD fz_site *add(fz_chain *c)
{
    static char *block;
    static size_t left;
    const size_t chunk = 1 << 20, size = sizeof(fz_site) + c->site.n * sizeof *c->at;
    unsigned where;
    fz_torch_seen(); /* which asks the dynamic linker: not under the lock */
    pthread_mutex_lock(&guard);
    fz_site *s = look(c, &where);
    if (!s) {
        if (n_sites < SITES / 2 && left < size) {
            void *p = mmap(NULL, chunk, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            block = p;
            left = chunk;
            if (p == MAP_FAILED)
                n_sites = SITES / 2; /* from now on none is kept */
        }
        s = &c->site;
        if (s->symbol != FZ_SYMBOLS)
            judge(s);
        if (n_sites < SITES / 2) {
            const void **frame = (const void **)(void *)(block + sizeof *s);
            memcpy(frame, c->at, c->site.n * sizeof *frame);
            s = memcpy(block, s, sizeof *s);
            s->frame = frame;
            block += size;
            left -= size;
            n_sites++;
            atomic_store_explicit(&sites[where], s, memory_order_release);
        }
    }
    pthread_mutex_unlock(&guard);
    return s;
}

unsigned fz_callers_judge(fz_call *call, const void *from)
{
    fz_chain c;
    unsigned where;
    call->row = NULL;
    if (!ready())
        return fz_judge(call->lib, call->s, call->t->lapack > 0, false, false);
    walk(&c, call->s, call->lib, from);
    const fz_site *s = look(&c, &where);
    if (FZ_UNLIKELY(!s))
        s = add(&c);
    call->row = s->row;
    return s->verdict;
}

const fz_site *fz_callers_opener(const void *from, fz_chain *own)
{
    unsigned where;
    if (!ready())
        return NULL;
    walk(own, FZ_SYMBOLS, NULL, from);
    const fz_site *s = look(own, &where);
    return FZ_LIKELY(s != NULL) ? s : add(own);
}

void fz_callers_count(const fz_call *call, uint64_t flops)
{
    fz_row *row = call->row;
    if (!row)
        return;
    const int passed = call->why != FZ_PERTURBED;
    atomic_fetch_add_explicit(&row->calls[passed], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->flops[passed], flops, memory_order_relaxed);
}

/* ---- The table --------------------------------------------------------------------- */

static uint16_t order[ROWS];

static bool before(const fz_row *a, const fz_row *b)
{
    uint64_t x = a->flops[0] + a->flops[1], y = b->flops[0] + b->flops[1];
    return x != y ? x > y : a->calls[0] + a->calls[1] > b->calls[0] + b->calls[1];
}

unsigned fz_callers_rows(void)
{
    struct rows *r = atomic_load(&rows);
    unsigned n = 0;
    if (!r)
        return 0;
    for (unsigned i = 0; i < ROWS; i++) {
        fz_row *row = &r->row[i];
        if (!row->calls[0] && !row->calls[1])
            continue;
        for (unsigned k = 0; k < n && row; k++) {
            fz_row *other = &r->row[order[k]];
            if (!same_row(row, other))
                continue;
            for (int j = 0; j < 2; j++) {
                other->calls[j] += row->calls[j];
                other->flops[j] += row->flops[j];
                row->calls[j] = row->flops[j] = 0;
            }
            row = NULL;
        }
        if (row)
            order[n++] = (uint16_t)i;
    }
    for (unsigned i = 1; i < n; i++) {
        uint16_t x = order[i];
        unsigned k = i;
        for (; k > 0 && before(&r->row[x], &r->row[order[k - 1]]); k--)
            order[k] = order[k - 1];
        order[k] = x;
    }
    return n;
}

void fz_callers_row(unsigned i, fz_row_text *to)
{
    const fz_row *row = &atomic_load(&rows)->row[order[i]];
    const bool rest = order[i] == ROWS - 1;
    *to = (fz_row_text){.symbol = rest ? "(callers that found no place in the table)"
                                       : fz_symbol_table[row->symbol].name,
                        .operator = row->operator,
                        .outer = row->outer,
                        .function = row->function,
                        .library = row->library};
    for (int j = 0; j < 2; j++) {
        to->calls[j] = row->calls[j];
        to->flops[j] = row->flops[j];
    }
}

/* ---- Fork -------------------------------------------------------------------------- */

void fz_callers_before_fork(void)
{
    pthread_mutex_lock(&guard);
}

void fz_callers_after_fork(void)
{
    pthread_mutex_unlock(&guard);
}

/* Rows of its own at the same address, since the sites point there. */
void fz_callers_forked(void)
{
    struct rows *old = atomic_load(&rows);
    if (!old)
        return;
    struct rows *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return;
    unsigned used = old->used < ROWS ? old->used : ROWS;
    memcpy(p, old, offsetof(struct rows, row) + used * sizeof *old->row);
    for (unsigned i = 0; i < used; i++)
        for (int j = 0; j < 2; j++)
            p->row[i].calls[j] = p->row[i].flops[j] = 0;
    if (mremap(p, sizeof *p, sizeof *p, MREMAP_MAYMOVE | MREMAP_FIXED, old) != old)
        munmap(p, sizeof *p);
}
