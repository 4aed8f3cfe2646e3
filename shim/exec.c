/* exec and spawn: each child gets its own FUZZY_LINEAGE; torch.compile's workers are native.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The entry is replaced in a copy of the environment on the stack: these functions run in
 * vforked children, where neither malloc nor a write to the parent's environ is allowed.
 * The ordinal of the child is counted in the parent's memory, which a vforked child
 * shares.
 */
#include <alloca.h>
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compiling.h"
#include "shim.h"
#include "exec.h"

extern char **environ;

#define REAL(name) \
    static _Atomic(void *) found_##name; \
    static void *real_##name(void) \
    { \
        void *p = atomic_load_explicit(&found_##name, memory_order_acquire); \
        if (!p) \
            atomic_store(&found_##name, p = fz_next(#name)); \
        return p; \
    }
REAL(execve)
REAL(execvpe)
REAL(fexecve)
REAL(posix_spawn)
REAL(posix_spawnp)
REAL(system)
REAL(popen)

typedef int exec_fn(const char *, char *const *, char *const *);
typedef int fexec_fn(int, char *const *, char *const *);
typedef int spawn_fn(pid_t *, const char *, const posix_spawn_file_actions_t *,
                     const posix_spawnattr_t *, char *const *, char *const *);
typedef int system_fn(const char *);
typedef FILE *popen_fn(const char *, const char *);

/* Resolved before any vforked child needs them. */
__attribute__((constructor)) static void resolve(void)
{
    real_execve();
    real_execvpe();
    real_fexecve();
    real_posix_spawn();
    real_posix_spawnp();
}

/* Number of slots that a copy of env needs; 0: leave env as it is. An environment without
 * LD_PRELOAD starts a child without us, which needs no lineage. */
static size_t slots(char *const *env)
{
    size_t n = 0;
    bool preloaded = false;
    if (!env || fz_policy_get()->off)
        return 0;
    for (; env[n]; n++)
        preloaded |= !strncmp(env[n], "LD_PRELOAD=", 11);
    return preloaded && n < 100000 ? n + 3 : 0;
}

static char *const *with_lineage(char *const *env, char *const *argv, char **copy, char *text)
{
    static char off[] = "FUZZY_MODE=off";
    size_t n = 0;
    const bool compiler = fz_self()->plain == FZ_BY_COMPILER || fz_compiler_command(argv);
    fz_lineage_next_exec(text);
    for (; *env; env++)
        if (strncmp(*env, "FUZZY_LINEAGE=", 14) != 0 &&
            !(compiler && !strncmp(*env, "FUZZY_MODE=", 11)))
            copy[n++] = *env;
    copy[n++] = text;
    if (compiler)
        copy[n++] = off;
    copy[n] = NULL;
    return copy;
}

/* env becomes the child's: a copy in the caller's frame. */
#define CHILD_ENVIRONMENT(env, argv) \
    char text_[80]; \
    size_t slots_ = slots(env); \
    if (slots_) \
    env = with_lineage(env, argv, alloca(slots_ * sizeof(char *)), text_)

static int missing(void)
{
    errno = ENOSYS;
    return -1;
}

FZ_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    char *const *env = envp;
    exec_fn *real = NULL;
    CHILD_ENVIRONMENT(env, argv);
    *(void **)&real = real_execve();
    return real ? real(path, argv, env) : missing();
}

FZ_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    char *const *env = envp;
    exec_fn *real = NULL;
    CHILD_ENVIRONMENT(env, argv);
    *(void **)&real = real_execvpe();
    return real ? real(file, argv, env) : missing();
}

FZ_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    char *const *env = envp;
    fexec_fn *real = NULL;
    CHILD_ENVIRONMENT(env, argv);
    *(void **)&real = real_fexecve();
    return real ? real(fd, argv, env) : missing();
}

FZ_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

FZ_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

/* The arguments of execl and its kin as an array in the caller's frame. */
#define ARGUMENTS(argv, first, list) \
    va_list list; \
    size_t n_ = 1; \
    va_start(list, first); \
    while (va_arg(list, char *)) \
        n_++; \
    va_end(list); \
    char **argv = alloca((n_ + 1) * sizeof *argv); \
    argv[0] = (char *)(uintptr_t)first; \
    va_start(list, first); \
    for (size_t i_ = 1; i_ <= n_; i_++) \
    argv[i_] = va_arg(list, char *)

FZ_EXPORT int execl(const char *path, const char *arg, ...)
{
    ARGUMENTS(argv, arg, list);
    va_end(list);
    return execve(path, argv, environ);
}

FZ_EXPORT int execlp(const char *file, const char *arg, ...)
{
    ARGUMENTS(argv, arg, list);
    va_end(list);
    return execvpe(file, argv, environ);
}

FZ_EXPORT int execle(const char *path, const char *arg, ...)
{
    ARGUMENTS(argv, arg, list);
    char *const *env = va_arg(list, char *const *);
    va_end(list);
    return execve(path, argv, env);
}

FZ_EXPORT int posix_spawn(pid_t *pid, const char *path,
                          const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attr, char *const argv[],
                          char *const envp[])
{
    char *const *env = envp;
    spawn_fn *real = NULL;
    CHILD_ENVIRONMENT(env, argv);
    *(void **)&real = real_posix_spawn();
    return real ? real(pid, path, actions, attr, argv, env) : ENOSYS;
}

FZ_EXPORT int posix_spawnp(pid_t *pid, const char *file,
                           const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attr, char *const argv[],
                           char *const envp[])
{
    char *const *env = envp;
    spawn_fn *real = NULL;
    CHILD_ENVIRONMENT(env, argv);
    *(void **)&real = real_posix_spawnp();
    return real ? real(pid, file, actions, attr, argv, env) : ENOSYS;
}

FZ_EXPORT int system(const char *command)
{
    system_fn *real = NULL;
    *(void **)&real = real_system();
    if (!real)
        return missing();
    if (fz_policy_get()->off || !command)
        return real(command);
    fz_lineage_announce();
    int rc = real(command);
    fz_lineage_unannounce();
    return rc;
}

FZ_EXPORT FILE *popen(const char *command, const char *type)
{
    popen_fn *real = NULL;
    *(void **)&real = real_popen();
    if (!real) {
        errno = ENOSYS;
        return NULL;
    }
    if (fz_policy_get()->off)
        return real(command, type);
    fz_lineage_announce();
    FILE *f = real(command, type);
    fz_lineage_unannounce();
    return f;
}

/* Python's os._exit and multiprocessing's children leave here, past the destructors. */
FZ_EXPORT void _exit(int status)
{
    if (!fz_policy_get()->off)
        fz_report_end();
    for (;;)
        syscall(SYS_exit_group, status);
}

FZ_EXPORT void _Exit(int status)
{
    _exit(status);
}
