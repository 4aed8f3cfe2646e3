/* Plans that are not used any more: what keeps the cache from growing without bound.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each use of a plan sets its file's time. When a new plan has been made, those that nobody
 * used for 30 days are removed; and while all are larger together than FUZZY_CACHE_SIZE,
 * those that were used longest ago. So plans of other builds, which nobody uses, go first. A
 * process that runs from a plan keeps its file open: to remove the name takes nothing away
 * from it, and whoever wants the plan again makes it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../shim.h"
#include "planfile.h"
#include "runtime.h"

enum { HOUR = 3600, DAY = 24 * HOUR, UNUSED = 30 * DAY };

void fz_plan_used(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && time(NULL) - st.st_mtime > HOUR)
        futimens(fd, NULL); /* where that is refused, its time is that of its making */
}

typedef struct plan {
    char name[256];
    time_t used;
    uint64_t size;
} plan;

typedef struct plans {
    plan *p;
    size_t n, cap;
} plans;

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && !strcmp(name + n - k, end);
}

/* Does the file begin as a plan does? Others are not ours to remove. */
static bool is_plan(int folder, const char *name)
{
    enum { NAME = 10 }; /* without the version: other builds' plans are ours as well, */
    char p[FZ_PLANFILE_AT + NAME]; /* and so are those that began with it */
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, p, sizeof p);
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)sizeof p && (!memcmp(p, FZ_PLANFILE_MAGIC, NAME) ||
                                      !memcmp(p + FZ_PLANFILE_AT, FZ_PLANFILE_MAGIC, NAME));
}

static bool add(plans *all, const char *name, const struct stat *st)
{
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 64;
        plan *p = realloc(all->p, cap * sizeof *p);
        if (!p)
            return false;
        all->p = p;
        all->cap = cap;
    }
    plan *p = &all->p[all->n++];
    snprintf(p->name, sizeof p->name, "%s", name);
    p->used = st->st_mtime;
    p->size = (uint64_t)st->st_blocks * 512;
    return true;
}

/* A lock goes with its plan, unless somebody holds it: a plan is being made. One that waits
 * for a lock that is gone makes the plan beside another; both are the same. */
static void remove_lock(int folder, const char *lock)
{
    int fd = openat(folder, lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, lock, 0);
    close(fd);
}

static void remove_plan(int folder, const plan *p)
{
    char lock[300];
    snprintf(lock, sizeof lock, "%s.lock", p->name);
    unlinkat(folder, p->name, 0);
    remove_lock(folder, lock);
}

/* Plans; what a planner that was killed has left goes at once. */
static plans list(DIR *d)
{
    const int folder = dirfd(d);
    plans all = {0};
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || st.st_uid != geteuid())
            continue;
        const bool old = time(NULL) - st.st_mtime > DAY;
        char name[256];
        snprintf(name, sizeof name, "%s", e->d_name);
        if (old && ends_in(name, ".new") && strstr(name, ".plan.")) {
            unlinkat(folder, name, 0);
        } else if (old && ends_in(name, ".plan.lock")) {
            name[strlen(name) - strlen(".lock")] = 0;
            if (faccessat(folder, name, F_OK, 0) != 0)
                remove_lock(folder, e->d_name);
        } else if (ends_in(name, ".plan") && is_plan(folder, name) && !add(&all, name, &st)) {
            break;
        }
    }
    return all;
}

static int longest_unused(const void *a, const void *b)
{
    const plan *p = a, *q = b;
    return p->used < q->used ? -1 : p->used > q->used;
}

void fz_plans_prune(const char *path, const char *keep)
{
    const uint64_t limit = fz_policy_get()->cache_size;
    DIR *d = limit ? opendir(path) : NULL;
    if (!d)
        return;
    plans all = list(d);
    uint64_t total = 0;
    for (size_t i = 0; i < all.n; i++)
        total += all.p[i].size;
    if (all.n)
        qsort(all.p, all.n, sizeof *all.p, longest_unused);
    const time_t now = time(NULL);
    for (size_t i = 0; i < all.n; i++) {
        const plan *p = &all.p[i];
        if (!strcmp(p->name, keep) || (total <= limit && now - p->used <= UNUSED))
            continue;
        remove_plan(dirfd(d), p);
        total -= p->size;
    }
    free(all.p);
    closedir(d);
}
