/* Operations of torch inside which nothing is perturbed: random numbers, grids; and FFTs.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers are made of uniform ones by log, cos, pow, …, which torch calls as it
 * does anywhere. What tells them is the operation under way: at::native::normal_ and so on
 * are called through the table of libtorch_cpu.so whichever way an operation was asked
 * for (Python, C++, the dispatcher, TorchScript). slots.c puts one of the functions below
 * in its place, which marks the thread and calls the original. Parallel regions take the
 * mark over (lineage.c); moved code asks for it.
 *
 * They are C++ functions of many signatures: six argument registers, eight floating-point
 * ones, and as many words of the caller's frame as any could need are handed on. Results
 * come back in memory of the caller or as its address. Exceptions pass through (conv.c).
 */
#include <string.h>

#include "rewrite/inst.h"
#include "slots.h"

struct words {
    uint64_t w[24];
};

typedef void *op_fn(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, f64, f64,
                    f64, f64, f64, f64, f64, f64, struct words);

/* EXACT counts nothing. */
enum { FZ_SYM_EXACT = FZ_SYMBOLS };

static const struct {
    const char *name;
    unsigned length;
    int counts;
} list[] = {
#define FZ_PLAIN(name, why) {#name, sizeof #name - 1, FZ_SYM_##why},
#include "plain.def"
};

enum { OPS = 256 };
static struct {
    _Atomic(void *) real;
    int counts;
} op[OPS];

void fz_plain_set(fz_thread *t, enum fz_reason why)
{
    t->plain = why;
    fz_inst_self.plain = why == FZ_BY_EXACT || why == FZ_BY_COMPILER;
}

struct mark {
    fz_thread *t;
    enum fz_reason before;
};

static void leave(struct mark *m)
{
    fz_plain_set(m->t, m->before);
}

static void *hand_on(int i, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                     uint64_t f, const f64 *x, const struct words *rest)
{
    op_fn *real = (op_fn *)atomic_load_explicit(&op[i].real, memory_order_acquire);
    fz_thread *t = fz_self();
    struct mark m __attribute__((cleanup(leave))) = {t, t->plain};
    if (op[i].counts == FZ_SYM_EXACT) {
        fz_plain_set(t, FZ_BY_EXACT);
    } else {
        /* One transform may call another one's function. */
        if (t->plain != FZ_BY_LAYER && !t->depth)
            fz_count_call(t, (enum fz_symbol)op[i].counts, FZ_BY_LAYER, 0);
        fz_plain_set(t, FZ_BY_LAYER);
    }
    return real(a, b, c, d, e, f, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], *rest);
}

#define OP(i) \
    static void *op_##i(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, \
                        uint64_t f, f64 s, f64 t, f64 u, f64 v, f64 w, f64 x, f64 y, \
                        f64 z, struct words rest) \
    { \
        const f64 vector[] = {s, t, u, v, w, x, y, z}; \
        return hand_on(i, a, b, c, d, e, f, vector, &rest); \
    }
#define EIGHT(X, i) X(i##0) X(i##1) X(i##2) X(i##3) X(i##4) X(i##5) X(i##6) X(i##7)
/* Octal, without a leading 0 that would need two spellings. */
#define ALL(X) \
    EIGHT(X, 01) EIGHT(X, 02) EIGHT(X, 03) EIGHT(X, 04) EIGHT(X, 05) EIGHT(X, 06) \
    EIGHT(X, 07) EIGHT(X, 010) EIGHT(X, 011) EIGHT(X, 012) EIGHT(X, 013) EIGHT(X, 014) \
    EIGHT(X, 015) EIGHT(X, 016) EIGHT(X, 017) EIGHT(X, 020) EIGHT(X, 021) EIGHT(X, 022) \
    EIGHT(X, 023) EIGHT(X, 024) EIGHT(X, 025) EIGHT(X, 026) EIGHT(X, 027) EIGHT(X, 030) \
    EIGHT(X, 031) EIGHT(X, 032) EIGHT(X, 033) EIGHT(X, 034) EIGHT(X, 035) EIGHT(X, 036) \
    EIGHT(X, 037)
ALL(OP)

static op_fn *const ops[OPS] = {
#define TAKE(i) [i] = op_##i,
    ALL(TAKE)
};

/* The number in `list` of a function with this mangled name, -1: none. */
static int listed(const char *name)
{
    static const char *const spaces[] = {"_ZN2at6native", "_ZN2at18TensorIteratorBase"};
    const char *p = NULL;
    unsigned length = 0;
    for (int i = 0; i < 2; i++)
        if (!strncmp(name, spaces[i], strlen(spaces[i])))
            p = name + strlen(spaces[i]);
    if (!p)
        return -1;
    while (*p >= '0' && *p <= '9')
        length = length * 10 + (unsigned)(*p++ - '0');
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].length == length && !strncmp(p, list[i].name, length) &&
            (p[length] == 'E' || !strncmp(p + length, "4implE", 6)))
            return (int)i;
    return -1;
}

bool fz_plain_named(const char *name)
{
    return listed(name) >= 0;
}

/* Under slots.c's lock. */
void *fz_plain_entry(const char *name, void *real)
{
    const int which = listed(name);
    if (which < 0 || !real)
        return NULL;
    /* The first eight are never used: see ALL. */
    for (int i = 8; i < OPS; i++) {
        void *there = atomic_load_explicit(&op[i].real, memory_order_relaxed);
        if (there && there != real)
            continue;
        op[i].counts = list[which].counts;
        atomic_store_explicit(&op[i].real, real, memory_order_release);
        return (void *)(uintptr_t)ops[i];
    }
    return NULL;
}
