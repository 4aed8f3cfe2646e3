/* Signal handlers: what moved code keeps for a thread is put away while they run.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A handler may interrupt moved code in the middle of a block, whose lent registers and
 * operands lie in the thread's memory, and may be moved code itself. So the kernel is given
 * one of our functions in the handler's place, which copies that memory to its stack, calls
 * the handler, and puts it back. A handler that leaves by siglongjmp has ended what it
 * interrupted, so nothing is to be put back then.
 *
 * Which of our functions stands for which handler is kept for good: the kernel's table of
 * actions stays the only one, so fork, vfork, SA_RESETHAND and siginterrupt need no care.
 * All that is async-signal-safe, as sigaction is. rt_sigaction by a system call of the
 * host's own goes past us.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "../shim.h"
#include "inst.h"

typedef void handler_fn(int, siginfo_t *, void *);

enum { HANDLERS = 64 };
static _Atomic(handler_fn *) handlers[HANDLERS];

/* The strand of a run: its words are none of those that the interrupted code draws. */
static void branch(void)
{
    static __thread uint64_t runs __attribute__((tls_model("initial-exec")));
    prism_strand s;
    memcpy(s.q, fz_inst_self.state, sizeof s.q);
    s.q[0] ^= ++runs;
    s.q[2] ^= runs;
    for (int i = 0; i < 5; i++) /* as many rounds as open a strand */
        prism_strand_step(&s);
    memcpy(fz_inst_self.state, s.q, sizeof s.q);
}

static void run(int i, int number, siginfo_t *info, void *context)
{
    fz_inst_tls kept;
    handler_fn *handler = atomic_load_explicit(&handlers[i], memory_order_acquire);
    memcpy(&kept, &fz_inst_self, sizeof kept);
    branch();
    handler(number, info, context);
    memcpy(&fz_inst_self, &kept, sizeof kept);
}

/* The kernel hands on all three whatever the flags are. */
#define HANDLER(i) \
    static void handler_##i(int number, siginfo_t *info, void *context) \
    { \
        run(i, number, info, context); \
    }
/* Numbers are octal. */
#define EIGHT(X, i) X(i##0) X(i##1) X(i##2) X(i##3) X(i##4) X(i##5) X(i##6) X(i##7)
#define ALL(X) \
    EIGHT(X, 0) EIGHT(X, 01) EIGHT(X, 02) EIGHT(X, 03) EIGHT(X, 04) EIGHT(X, 05) \
    EIGHT(X, 06) EIGHT(X, 07)
ALL(HANDLER)

static handler_fn *const ours[HANDLERS] = {
#define TAKE(i) [i] = handler_##i,
    ALL(TAKE)
};

static bool is_function(const void *p)
{
    return (uintptr_t)p > 2 && p != (const void *)SIG_ERR; /* SIG_DFL, SIG_IGN, SIG_HOLD */
}

/* Ours for a handler of the host's. */
static void *wrap(void *host)
{
    const fz_policy *p = fz_policy_get();
    static atomic_bool said;
    handler_fn *handler = NULL;
    *(void **)&handler = host;
    if (p->off || !(p->scope & FZ_SCOPE_INST) || !is_function(host))
        return host;
    for (int i = 0; i < HANDLERS; i++) {
        handler_fn *none = NULL;
        if (atomic_compare_exchange_strong(&handlers[i], &none, handler) || none == handler)
            return (void *)(uintptr_t)ours[i];
    }
    if (!atomic_exchange(&said, true))
        fz_say("warning: more than %d signal handlers: those that come now must not compute",
               HANDLERS);
    return host;
}

static void *unwrap(void *set)
{
    for (int i = 0; i < HANDLERS && is_function(set); i++)
        if ((uintptr_t)set == (uintptr_t)ours[i])
            return (void *)(uintptr_t)atomic_load(&handlers[i]);
    return set;
}

/* ---- What sets actions --------------------------------------------------------------------- */

typedef int action_fn(int, const struct sigaction *, struct sigaction *);
typedef __sighandler_t signal_fn(int, __sighandler_t);

#define REAL(type, name) \
    static type *real_##name(void) \
    { \
        static _Atomic(void *) found; \
        void *p = atomic_load_explicit(&found, memory_order_acquire); \
        if (!p) \
            atomic_store(&found, p = fz_next(#name)); \
        type *real = NULL; \
        *(void **)&real = p; \
        return real; \
    }

#define ACTION(name) \
    REAL(action_fn, name) \
    FZ_EXPORT int name(int number, const struct sigaction *now, struct sigaction *before); \
    FZ_EXPORT int name(int number, const struct sigaction *now, struct sigaction *before) \
    { \
        return set(real_##name(), number, now, before); \
    }

#define SIGNAL(name) \
    REAL(signal_fn, name) \
    FZ_EXPORT __sighandler_t name(int number, __sighandler_t handler); \
    FZ_EXPORT __sighandler_t name(int number, __sighandler_t handler) \
    { \
        return (__sighandler_t)set_signal(real_##name(), number, \
                                          (void *)(uintptr_t)handler); \
    }

static int set(action_fn *real, int number, const struct sigaction *now,
               struct sigaction *before)
{
    struct sigaction act;
    if (!real) {
        errno = ENOSYS;
        return -1;
    }
    if (now) {
        act = *now;
        *(void **)&act.sa_sigaction = wrap((void *)(uintptr_t)now->sa_sigaction);
    }
    int rc = real(number, now ? &act : NULL, before);
    if (rc == 0 && before)
        *(void **)&before->sa_sigaction = unwrap((void *)(uintptr_t)before->sa_sigaction);
    return rc;
}

static uintptr_t set_signal(signal_fn *real, int number, void *handler)
{
    __sighandler_t wrapped = NULL;
    if (!real) {
        errno = ENOSYS;
        return (uintptr_t)SIG_ERR;
    }
    *(void **)&wrapped = wrap(handler);
    return (uintptr_t)unwrap((void *)(uintptr_t)real(number, wrapped));
}

ACTION(sigaction)
ACTION(__sigaction)
SIGNAL(signal)
SIGNAL(bsd_signal)
SIGNAL(ssignal)
SIGNAL(sysv_signal)
SIGNAL(__sysv_signal)
SIGNAL(sigset)

/* Resolved before a handler or a vforked child needs them. */
__attribute__((constructor)) static void resolve(void)
{
    real_sigaction();
    real___sigaction();
    real_signal();
    real_bsd_signal();
    real_ssignal();
    real_sysv_signal();
    real___sysv_signal();
    real_sigset();
}
