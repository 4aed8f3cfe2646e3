/* Is a product a convolution's? The at::_ops of convolutions are entered through us.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * They are C++ functions of many signatures, all without floating-point arguments. A call
 * is handed on whole: six argument registers, and as many words of the caller's frame as
 * the longest signature could need (a struct passed by value is exactly that copy). Their
 * results come back in memory of the caller, whose address is the first argument and the
 * result.
 *
 * They throw: a wrong shape is a c10::Error that passes through here. So this file has
 * cleanups (-fexceptions, in the Makefile), and what the compiler needs for them is
 * passed on to the process's libgcc_s, which must be there if an exception is: we do not
 * link it.
 */
#include <stdlib.h>

#include "shim.h"

struct words {
    uint64_t w[24];
};

typedef void *op_fn(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                    struct words);

enum {
#define FZ_CONV(id, name) CONV_##id,
#include "symbols.def"
    CONVS
};

static const char *const names[CONVS] = {
#define FZ_CONV(id, name) #name,
#include "symbols.def"
};

static _Atomic(void *) found[CONVS];

static FZ_COLD op_fn *find(int which, const void *from)
{
    void *p = fz_original_name(fz_lib_of(from), names[which]);
    atomic_store_explicit(&found[which], p, memory_order_release);
    if (!p)
        fz_die("%s has no original in this process", names[which]);
    return (op_fn *)p;
}

static void leave(fz_thread **t)
{
    (*t)->conv--;
}

static void *hand_on(int which, const void *from, uint64_t a, uint64_t b, uint64_t c,
                     uint64_t d, uint64_t e, uint64_t f, const struct words *rest)
{
    op_fn *real = (op_fn *)atomic_load_explicit(&found[which], memory_order_acquire);
    if (FZ_UNLIKELY(!real))
        real = find(which, from);
    fz_thread *t __attribute__((cleanup(leave))) = fz_self();
    t->conv++;
    return real(a, b, c, d, e, f, *rest);
}

#define FZ_CONV(id, name) \
    FZ_EXPORT op_fn name; \
    void *name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, \
               struct words rest) \
    { \
        return hand_on(CONV_##id, FZ_FROM, a, b, c, d, e, f, &rest); \
    }
#include "symbols.def"

/* Can it be told on this torch? Asked when torch has been mapped. */
bool fz_conv_known(void)
{
    for (int i = 0; i < CONVS; i++)
        if ((i == CONV_convolution_call || i == CONV_convolution_call_1_13) &&
            fz_original_name(NULL, names[i]))
            return true;
    return false;
}

/* ---- What cleanups call ------------------------------------------------------------ */

static void *unwinder(const char *name)
{
    void *p = fz_symbol_of("libgcc_s.so", name);
    if (!p)
        abort(); /* an exception without an unwinder cannot be */
    return p;
}

int __gcc_personality_v0(int version, int actions, uint64_t class, void *exception,
                         void *context) __attribute__((visibility("hidden")));
int __gcc_personality_v0(int version, int actions, uint64_t class, void *exception,
                         void *context)
{
    static _Atomic(void *) p;
    if (!atomic_load(&p))
        atomic_store(&p, unwinder("__gcc_personality_v0"));
    return ((int (*)(int, int, uint64_t, void *, void *))atomic_load(&p))(
        version, actions, class, exception, context);
}

void _Unwind_Resume(void *exception) __attribute__((visibility("hidden"), noreturn));
void _Unwind_Resume(void *exception)
{
    ((void (*)(void *))unwinder("_Unwind_Resume"))(exception);
    abort();
}
