/* What the files of the shim share: policy, calling library, lineage, counters, one call.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_SHIM_H
#define FZ_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kernels/kernels.h"
#include "vectors.h"

#define FZ_VERSION "0.1.0"
#define FZ_EXPORT __attribute__((visibility("default")))
#define FZ_COLD __attribute__((cold, noinline))
#define FZ_LIKELY(x) __builtin_expect(!!(x), 1)
#define FZ_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* An int argument in its 64-bit register or slot; see symbols.def. */
typedef long fz_int;

/* ---- The list ---------------------------------------------------------------------- */

enum fz_symbol {
#define FZ_SYMBOL(name, family, kernel, need, result, args) FZ_SYM_##name,
#define FZ_SLOT(name, family, kernel, need, result, args) FZ_SYM_##name,
#include "symbols.def"
    FZ_SYMBOLS
};

enum fz_scope {
    FZ_SCOPE_BLAS = 1,
    FZ_SCOPE_LAPACK = 2,
    FZ_SCOPE_CONV = 4,
    FZ_SCOPE_MATH = 8,
    FZ_SCOPE_INST = 16,
    FZ_SCOPE_FFT = 0, /* no layer of this version */
    FZ_SCOPE_ALL = 31
};
#define FZ_SCOPE_DEFAULT FZ_SCOPE_ALL
/* The layers that this version has. */
#define FZ_SCOPE_BUILT \
    (FZ_SCOPE_BLAS | FZ_SCOPE_LAPACK | FZ_SCOPE_CONV | FZ_SCOPE_MATH | FZ_SCOPE_INST)

struct fz_dnnl_arg; /* onednn.h */

/* Prototypes and function types of all symbols: fn_sgemm_ is the type of sgemm_. */
#define FZ_SYMBOL(name, family, kernel, need, result, args) \
    typedef result fn_##name args; \
    FZ_EXPORT fn_##name name;
#define FZ_SLOT(name, family, kernel, need, result, args) typedef result fn_##name args;
#include "symbols.def"

typedef struct fz_symbol_info {
    const char *name;
    const char *family;
    unsigned scope; /* FZ_SCOPE_ bit of the family */
    bool required;
    uint64_t hash; /* names the symbol's streams: stable when the list grows */
} fz_symbol_info;

extern fz_symbol_info fz_symbol_table[FZ_SYMBOLS];

/* ---- Policy: the environment, parsed once (policy.c) ------------------------------- */

typedef struct fz_rule {
    const char *symbol, *library;
    unsigned line;
    bool frame; /* no intercepted symbol: a function among the callers */
} fz_rule;

typedef struct fz_rules {
    fz_rule *rule;
    unsigned n;
    bool given;
    const char *variable;
    _Atomic uint8_t *matched; /* of each rule; shared with forked children */
} fz_rules;

enum { FZ_CACHE_MEGABYTES = 2000 }; /* of plans, where FUZZY_CACHE_SIZE does not say */

typedef struct fz_policy {
    bool off;
    enum prism_mode mode;
    const char *mode_name;
    uint64_t seed;
    bool seed_drawn;
    int t_f32, t_f64;
    unsigned scope;
    enum prism_isa isa;
    const char *libs; /* patterns with commas, as given; NULL: torch's own */
    fz_rules exclude, include;
    const char *report; /* NULL: none; "stderr"; a path with %p and %r */
    bool report_callers, report_operations;
    const char *cache;
    uint64_t cache_size; /* bytes that plans may take, 0: any */
    int verbose;
    prism_key lineage; /* of the process, from FUZZY_LINEAGE or the root */
    bool paused;       /* mode off by fz_policy_set: calls pass, their streams go on */
    uint32_t epoch;    /* how often the seed was set: streams of another one restart */
    uint32_t generation; /* > 0: a seed gone back to, its streams used so many times */
} fz_policy;

extern fz_policy fz_policy_now; /* as the environment has it */
extern _Atomic(const fz_policy *) fz_policy_current;
extern atomic_uint fz_epoch;
void fz_init(void);

static inline const fz_policy *fz_policy_get(void)
{
    const fz_policy *p = atomic_load_explicit(&fz_policy_current, memory_order_acquire);
    if (FZ_UNLIKELY(!p)) {
        fz_init();
        p = atomic_load_explicit(&fz_policy_current, memory_order_acquire);
    }
    return p;
}

/* What can change while the process runs (api.c). */
typedef struct fz_setting {
    int mode; /* a prism_mode, -1: off */
    int t_f32, t_f64;
    bool reseed; /* every stream starts anew, under seed and generation */
    uint64_t seed;
    uint32_t generation;
} fz_setting;

/* The one place that changes it: each thread follows at its next call. -EPERM: the process
 * was started with FUZZY_MODE=off; -EBUSY: called inside a kernel or parallel region; -EIO:
 * moved code cannot follow, so nothing has changed. */
int fz_policy_set(const fz_setting *s);
/* To be asked before each change, at most by 8: false if it cannot be followed, for which a
 * line was said; nothing changes then, and who was asked is asked to go back. */
typedef bool fz_changed_fn(const fz_policy *before, const fz_policy *after);
int fz_policy_subscribe(fz_changed_fn *changed);
/* -1: off, -2: no such mode; the name of a mode, -1 included. */
int fz_mode_of(const char *name);
const char *fz_mode_name(int mode);

/* Fill *p from the environment; ends the process with status 2 on a bad value. */
void fz_policy_parse(fz_policy *p);
/* The rank that a launcher gave this process, as text; NULL: none. */
const char *fz_rank(void);
/* One warning for each FUZZY_ variable that this version does not know. */
void fz_policy_warn_unknown(void);
/* Does text match one of the patterns (separated by commas, * wildcards)? */
bool fz_match(const char *pattern, const char *text);
bool fz_match_list(const char *patterns, const char *text);
/* FUZZY_EXCLUDE and FUZZY_INCLUDE. */
void fz_rules_read(fz_rules *r, const char *variable, const char *path);
/* Does a line about intercepted symbols match? One about other functions, by any of three
 * names (NULL: none)? */
bool fz_rules_match(const fz_rules *r, const char *symbol, const char *library);
bool fz_rules_match_frame(const fz_rules *r, const char *const name[3],
                          const char *library);
bool fz_rules_have_frames(const fz_rules *r);
bool fz_rules_matched(const fz_rules *r, unsigned i);
/* In a forked child that reports for itself. */
void fz_rules_forked(fz_rules *r);

/* ---- Log: no malloc, no stdio (log.c) ---------------------------------------------- */

/* Formats: %s, %d (int), %u (uint64_t), %x (uint64_t, hex), %c, %%. */
typedef struct fz_text {
    char *p;
    size_t n, cap;
    int fd; /* >= 0: written out when full */
    bool failed;
} fz_text;

void fz_text_add(fz_text *t, const char *format, ...);
void fz_text_flush(fz_text *t);
/* One line on stderr with our prefix. */
void fz_say(const char *format, ...);
/* The same, then _exit(2): nothing has been computed yet. */
void fz_die(const char *format, ...) __attribute__((noreturn));

/* ---- Calling libraries and originals (libs.c, resolve.c) --------------------------- */

/* Why a call was not perturbed; 0 if it was. */
enum fz_reason {
    FZ_PERTURBED,
    FZ_BY_LIBRARY,
    FZ_BY_SCOPE,
    FZ_BY_EXCLUDE,
    FZ_BY_INCLUDE,
    FZ_BY_CONV, /* scope conv without blas: no convolution asked for it */
    FZ_BY_PACK, /* operands packed by the original */
    FZ_BY_ABSENCE, /* no reference LAPACK on this machine */
    FZ_BY_SWITCH,  /* switched off at run time */
    FZ_BY_EXACT,   /* inside an operation that is not to be perturbed (plain.def) */
    FZ_BY_LAYER,   /* what calls it, or it itself, is for the instruction layer */
    FZ_BY_COMPILER, /* torch.compile computes it while it compiles (compiling.c) */
    FZ_BY_KIND,    /* a primitive of oneDNN that our kernels do not take (onednn.c) */
    FZ_REASONS
};

typedef struct fz_lib {
    const void *map; /* link map; NULL: code outside any library */
    uintptr_t lo, hi;
    char name[160]; /* base name, for patterns */
    char path[256];
    bool scope;                          /* FUZZY_LIBS */
    bool exact;                          /* a kernel of torch.compile that makes random numbers */
    _Atomic uint8_t verdict[FZ_SYMBOLS]; /* fz_reason + 1; 0: not known yet */
    _Atomic(void *) real[FZ_SYMBOLS];
    _Atomic(void *) gomp_parallel;
    _Atomic(void *) gomp_thread_num;
    _Atomic(void *) torch_real[2];
} fz_lib;

fz_lib *fz_lib_of(const void *address);
/* Are calls of the library with this path in scope? Empty: the program. */
bool fz_path_in_scope(const char *path);
const char *fz_base_name(const char *path);
/* The file of a library as the dynamic linker names it; it leaves out the program's name. */
void fz_file_of(char out[256], const char *name);
/* Libraries opened and closed so far: no change, nothing to look for. */
unsigned long long fz_map_changes(void);

/* rewrite/shown.c: glibc's dl_iterate_phdr and _dl_find_object, which know no moved code;
 * known: is there the latter? */
struct dl_phdr_info;
struct dl_find_object;
int fz_each_object(int (*each)(struct dl_phdr_info *, size_t, void *), void *arg);
bool fz_find_object(const void *pc, struct dl_find_object *out, bool *known);
/* The function that a call from lib would have reached without us; OpenBLAS's where there
 * is none; NULL if that is missing too. */
void *fz_original(fz_lib *lib, enum fz_symbol s);
/* The same by name, without cache. */
void *fz_original_name(const fz_lib *lib, const char *name);
/* Who serves calls of s that are passed through: "process" (the original), "openblas"
 * where there was none, "nearest" (our kernel) where OpenBLAS does not have it either. */
const char *fz_provider(enum fz_symbol s);
bool fz_ours(const void *address);
/* The function of that name that comes after us in the global scope. */
void *fz_next(const char *name);
/* A function or variable of the library that holds an address, or whose file name begins so, or of
 * its dependencies; NULL if there is none (elf.c). */
void *fz_symbol_from(const void *inside, const char *symbol);
void *fz_symbol_of(const char *prefix, const char *symbol);
const char *fz_torch_path(void);
/* Is libtorch mapped? The first time that it is: start line, counters, report file. */
bool fz_torch_seen(void);
extern atomic_bool fz_torch_mapped;
extern void *(*fz_real_dlopen)(const char *, int);

/* ---- Lineage: whose random numbers (lineage.c) ------------------------------------- */

typedef struct fz_stream {
    prism_key path;                          /* names the lineage, whatever the seed */
    prism_key key;                           /* path under the seed */
    uint64_t threads, forks, execs, regions; /* ordinals given out to children */
    uint64_t ordinal[FZ_SYMBOLS];
    prism_key symbol[FZ_SYMBOLS]; /* key of each symbol; 0: not derived yet */
    uint32_t epoch;
} fz_stream;

struct fz_slot;

typedef struct fz_thread {
    bool known;
    int depth;  /* > 0: inside a kernel or an original */
    int conv;   /* > 0: inside a convolution of torch */
    int lapack; /* > 0: inside reference LAPACK, called for torch */
    int region; /* > 0: inside a parallel region */
    enum fz_reason plain; /* why nothing here is perturbed (plain.c); 0: it is */
    const struct fz_site *opener; /* of that region (callers.h) */
    fz_stream *stream;
    struct fz_slot *slot;
    fz_stream own;
} fz_thread;

extern __thread fz_thread fz_tls __attribute__((tls_model("initial-exec")));
void fz_thread_begin(void);
void fz_stream_restart(fz_stream *s);

static inline fz_thread *fz_self(void)
{
    if (FZ_UNLIKELY(!fz_tls.known))
        fz_thread_begin();
    else if (FZ_UNLIKELY(fz_tls.stream->epoch !=
                         atomic_load_explicit(&fz_epoch, memory_order_relaxed)))
        fz_stream_restart(fz_tls.stream);
    return &fz_tls;
}

void fz_lineage_init(void);
void fz_lineage_text(char out[64], prism_key path, uint64_t seed);
extern bool fz_forked; /* in a forked child: OpenMP teams of the parent are gone */

/* Mark the thread, for moved code as well (plain.c). */
void fz_plain_set(fz_thread *t, enum fz_reason why);

/* ---- Threads of the host's OpenMP (threads.c) -------------------------------------- */

extern const fz_threads fz_host_threads;

/* Does a library link torch's, by what its file says of its needs? */
bool fz_links_torch(const char *path);

/* ATen's pointers to products in bf16 and f16, once torch is mapped (stubs.c). */
void fz_stubs_begin(void);

/* Are torch's convolutions told apart (conv.c)? */
bool fz_conv_known(void);

/* ---- Counters and report (counters.c, report.c) ------------------------------------ */

typedef struct fz_count {
    uint64_t calls[FZ_REASONS];
    uint64_t flops[3]; /* perturbed, passed through, of these for other libraries */
} fz_count;

void fz_count_call(fz_thread *t, enum fz_symbol s, enum fz_reason why, uint64_t flops);
void fz_count_sum(enum fz_symbol s, fz_count *sum);
void fz_counters_begin(void);
void fz_counters_forked(void);
void fz_report_check(const fz_policy *p);
void fz_report_begin(void);
void fz_report_look(void); /* a program without torch, whose code is moved, reports too */
void fz_report_end(void);
void fz_report_forked(void);
int fz_report_path(const char *pattern, char *out, size_t cap);

/* ---- One call (init.c) ------------------------------------------------------------- */

typedef struct fz_call {
    const fz_kernels *k;
    fz_job job;
    fz_thread *t;
    fz_lib *lib;
    void *real; /* the original, where the call is passed through */
    enum fz_symbol s;
    enum fz_reason why;
    bool counted;
    bool nearest; /* passed through, but there is no original: our kernel */
    struct fz_row *row; /* of the table by caller, where there is one */
} fz_call;

/* What becomes of a call of s that returns to `from`. True: compute it with call->k and
 * call->job; false: call call->real. Either way fz_leave() afterwards. */
bool fz_enter(fz_call *call, enum fz_symbol s, const void *from, size_t size);
/* The same of a call whose library is known. */
bool fz_enter_from(fz_call *call, enum fz_symbol s, fz_lib *lib, const void *from,
                   size_t size);
/* The same of a row that is no function: false without an original in call->real. */
bool fz_enter_row(fz_call *call, enum fz_symbol row, fz_lib *lib, const void *from,
                  size_t size);
void fz_leave(fz_call *call, uint64_t flops);
/* Passes if a convolution asked for it: scope conv without blas. */
#define FZ_ONLY_CONV FZ_REASONS
/* What policy says of calls of s from lib, or inside reference LAPACK called for torch:
 * fz_reason or FZ_ONLY_CONV. `excluded`, `included`: what rules say of the callers. */
unsigned fz_judge(const fz_lib *lib, enum fz_symbol s, bool lapack, bool excluded,
                  bool included);
/* Illegal argument number `info`: the process's xerbla_ or cblas_xerbla. */
void fz_xerbla(const fz_call *call, const char *routine, int info);
void fz_cblas_xerbla(const fz_call *call, const char *routine, int info);

#define FZ_FROM __builtin_return_address(0)

#endif
