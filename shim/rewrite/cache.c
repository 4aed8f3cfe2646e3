/* Plans: in the cache, or made by the planner, a process of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../shim.h"
#include "planfile.h"
#include "runtime.h"

extern char **environ;

/* ---- Where a plan lies -------------------------------------------------------------------- */

bool fz_cache_folder(char *out, size_t cap)
{
    const char *given = fz_policy_get()->cache, *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int n;
    if (given)
        n = snprintf(out, cap, "%s", given);
    else if (xdg && *xdg == '/')
        n = snprintf(out, cap, "%s/fuzzytorch", xdg);
    else if (home && *home == '/')
        n = snprintf(out, cap, "%s/.cache/fuzzytorch", home);
    else
        return false;
    if (n < 0 || (size_t)n >= cap)
        return false;
    for (char *p = out + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(out, 0700);
            *p = '/';
        }
    mkdir(out, 0700);
    return access(out, W_OK | X_OK) == 0;
}

/* An open plan that is whole and made for `key`; -1 otherwise. */
static int open_plan(const char *path, const char *key)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    fz_planfile h;
    if (fd < 0)
        return -1;
    bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                !(st.st_mode & 022) && pread(fd, &h, sizeof h, FZ_PLANFILE_AT) == (ssize_t)sizeof h &&
                !memcmp(h.magic, FZ_PLANFILE_MAGIC, sizeof h.magic) &&
                h.size == (uint64_t)st.st_size && !strncmp(h.key, key, sizeof h.key) &&
                h.size > FZ_PAGE;
    if (good) {
        const uint8_t *p =
            mmap(NULL, h.size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        good = p != MAP_FAILED &&
               fz_planfile_sum(p, h.size) == h.hash;
        if (p != MAP_FAILED)
            munmap((void *)(uintptr_t)p, h.size);
    }
    if (good)
        return fd;
    close(fd);
    return -1;
}

/* ---- The planner, as a process ------------------------------------------------------------ */

static bool planner_path(char *out, size_t cap)
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)planner_path, &info) || !info.dli_fname)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    int n = snprintf(out, cap, "%.*sfuzzytorch-plan",
                     slash ? (int)(slash - info.dli_fname) + 1 : 0, info.dli_fname);
    return n > 0 && (size_t)n < cap && access(out, X_OK) == 0;
}

/* The environment without what would load us, or a debugger of memory, into the planner. */
static char **clean_environment(void)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **e = malloc((n + 1) * sizeof *e);
    for (size_t i = 0; e && i < n; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            e[k++] = environ[i];
    if (e)
        e[k] = NULL;
    return e;
}

/* Its end shows on a pipe, since the host's wait() may take the child's status from us, and
 * the plan itself shows how it went. By system calls, past handlers of fork and our own
 * wrappers. */
static const char *run_planner(char *const *argv)
{
    int ends[2], status;
    char byte, **environment = clean_environment();
    if (!environment)
        return "no memory";
    if (pipe2(ends, O_CLOEXEC) != 0) {
        free(environment);
        return "the planner cannot be started";
    }
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        fcntl(ends[1], F_SETFD, 0);
        syscall(SYS_execve, argv[0], argv, environment);
        syscall(SYS_write, ends[1], "x", 1);
        syscall(SYS_exit_group, 127);
    }
    free(environment);
    close(ends[1]);
    const char *why = pid < 0 ? "the planner cannot be started" : NULL;
    if (pid > 0) {
        ssize_t n;
        while ((n = read(ends[0], &byte, 1)) < 0 && errno == EINTR) {
        }
        if (n == 1)
            why = "fuzzytorch-plan cannot be run";
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    close(ends[0]);
    return why;
}

static int32_t tls_offset(void)
{
    char *base;
    __asm__("mov %%fs:0, %0" : "=r"(base));
    return (int32_t)((char *)&fz_inst_self - base);
}

/* What code in line may use: 0 AVX2, 1 with VAES, 2 AVX-512. */
static int plan_isa(void)
{
    const enum prism_isa isa = fz_policy_get()->isa;
    return isa >= PRISM_AVX512 ? 2 : isa >= PRISM_AVX2_VAES;
}

/* A rule's pattern of functions; one that matches none where it is about other libraries. */
static const char *pattern_for(const fz_rule *r, const char *path)
{
    return fz_match(r->library, fz_base_name(path)) ? r->symbol : "\n";
}

static const char *make_plan(const char *library, const char *file, const char *key,
                             enum fz_variant variant, int64_t distance, uint64_t code,
                             uint64_t counters)
{
    char planner[4096], text[6][32];
    if (!planner_path(planner, sizeof planner))
        return "fuzzytorch-plan is not beside libfuzzytorch.so";
    snprintf(text[0], sizeof text[0], "%d", (int)variant);
    snprintf(text[1], sizeof text[1], "%d", (int)tls_offset());
    snprintf(text[2], sizeof text[2], "%lld", (long long)distance);
    snprintf(text[3], sizeof text[3], "%llu", (unsigned long long)code);
    snprintf(text[4], sizeof text[4], "%llu", (unsigned long long)counters);
    snprintf(text[5], sizeof text[5], "%d", plan_isa());
    const fz_rules *rules = &fz_policy_get()->exclude, *only = &fz_policy_get()->include;
    char **argv = calloc(rules->n + only->n + 12, sizeof *argv);
    if (!argv)
        return "no memory";
    const char *fixed[10] = {planner, library, file,    key,     text[0],
                             text[1], text[2], text[3], text[4], text[5]};
    memcpy(argv, fixed, sizeof fixed);
    for (unsigned i = 0; i < rules->n; i++)
        argv[10 + i] = (char *)(uintptr_t)pattern_for(&rules->rule[i], library);
    char **more = argv + 10 + rules->n;
    if (only->given)
        *more++ = (char *)(uintptr_t)"--include";
    for (unsigned i = 0; i < only->n && only->given; i++)
        *more++ = (char *)(uintptr_t)pattern_for(&only->rule[i], library);
    const char *why = run_planner(argv);
    free(argv);
    return why;
}

static uint64_t hash_text(const char *s)
{
    return fz_planfile_hash(s, strlen(s));
}

enum { SOME_SECONDS = 64 << 20 }; /* bytes of code that take some */

/* An open plan for the library: from the cache, or made now. One process makes it, others
 * that want the same wait. */
const char *fz_plan_obtain(int *fd, const fz_mapped *m, enum fz_variant variant,
                           int64_t distance, uint64_t code, uint64_t counters)
{
    char key[240], folder[3000], file[3400], lock[3420], id[96];
    struct stat st;
    snprintf(id, sizeof id, "%s", m->id);
    if (!*id && stat(m->path, &st) == 0)
        snprintf(id, sizeof id, "%llx-%llx", (unsigned long long)st.st_size,
                 (unsigned long long)st.st_mtime);
    /* Whoever makes plans decides what is in them: its build is the version. */
    char planner[4096], version[64] = "none";
    if (planner_path(planner, sizeof planner) && stat(planner, &st) == 0)
        snprintf(version, sizeof version, "%llx-%llx", (unsigned long long)st.st_size,
                 (unsigned long long)st.st_mtim.tv_sec * 1000000000u +
                     (unsigned long long)st.st_mtim.tv_nsec);
    uint64_t rules = 0;
    const fz_policy *p = fz_policy_get();
    for (unsigned i = 0; i < p->exclude.n; i++)
        rules = rules * 31 + hash_text(pattern_for(&p->exclude.rule[i], m->path));
    rules = rules * 31 + p->include.given;
    for (unsigned i = 0; i < p->include.n; i++)
        rules = rules * 31 + hash_text(pattern_for(&p->include.rule[i], m->path));
    snprintf(key, sizeof key, "%s variant %d isa %d tls %d distance %lld code %llu rules "
             "%llx trap %d counters %llu version %s %s",
             id, (int)variant, plan_isa(),
             (int)tls_offset(), (long long)distance, (unsigned long long)code,
             (unsigned long long)rules, getenv("FUZZYTORCH_PLAN_TRAP") != NULL,
             (unsigned long long)counters, FZ_VERSION, version);
    bool cached = fz_cache_folder(folder, sizeof folder);
    if (!cached) {
        static bool said;
        if (!said && fz_policy_get()->verbose)
            fz_say("no folder for plans can be written to, so this process makes its own: set "
                   "FUZZY_CACHE or run fuzzyrun prepare");
        said = true;
        snprintf(folder, sizeof folder, "/tmp/fuzzytorch.XXXXXX");
        if (!mkdtemp(folder))
            return "there is no folder for plans: set FUZZY_CACHE";
    }
    snprintf(file, sizeof file, "%s/%.80s-%016llx.plan", folder, fz_base_name(m->path),
             (unsigned long long)hash_text(key));
    snprintf(lock, sizeof lock, "%s.lock", file);
    const char *why = NULL;
    bool made = false;
    *fd = open_plan(file, key);
    if (*fd < 0) {
        int held = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (held >= 0)
            flock(held, LOCK_EX);
        *fd = open_plan(file, key); /* somebody else's, meanwhile */
        if (*fd < 0) {
            if (m->text_size > SOME_SECONDS && fz_policy_get()->verbose)
                fz_say("preparing %s for mode %s, once: some seconds", fz_base_name(m->path),
                       fz_mode_name(fz_inst_now.mode));
            why = make_plan(m->path, file, key, variant, distance, code, counters);
            made = !why;
        }
        if (*fd < 0 && !why && (*fd = open_plan(file, key)) < 0)
            why = "the planner failed (fuzzytorch-plan needs libZydis)";
        if (held >= 0)
            close(held);
    }
    if (*fd >= 0)
        fz_plan_used(*fd);
    if (made && cached)
        fz_plans_prune(folder, fz_base_name(file));
    if (!cached) {
        unlink(file);
        unlink(lock);
        rmdir(folder);
    }
    return why;
}
