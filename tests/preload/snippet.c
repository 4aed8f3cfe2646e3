/* One way of making threads or processes a command; prints who computed which bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

extern char **environ;
static uint64_t (*product)(void);

#ifdef LINKED
uint64_t torch_product(void);
void sgemm_(const char *, const char *, const int *, const int *, const int *,
            const float *, const float *, const int *, const float *, const int *,
            const float *, float *, const int *, size_t, size_t);

/* A product of the program's own. */
static void own_product(void)
{
    int one = 1;
    float x = 1.0f / 3, y = 0;
    sgemm_("N", "N", &one, &one, &one, &x, &x, &one, &x, &one, &x, &y, &one, 1, 1);
}
#endif

static void print(const char *who)
{
    printf("%s %016lx\n", who, (unsigned long)product());
    fflush(stdout);
}

static void *in_thread(void *who)
{
    print(who);
    return NULL;
}

static void wait_all(void)
{
    while (wait(NULL) > 0)
        continue;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "once";
    char command[4200];
#ifdef LINKED
    product = torch_product;
#else
    char path[4096];
    strcpy(path, argv[0]);
    strcpy(strrchr(path, '/') + 1, "libtorch_cpu.so");
    void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!h) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&product = dlsym(h, "torch_product");
#endif
    if (!strcmp(what, "once")) {
        print("self");
    } else if (!strcmp(what, "twice")) {
        print("first");
        print("second");
#ifdef LINKED
    } else if (!strcmp(what, "mixed")) {
        print("first");
        own_product();
        print("second");
#endif
    } else if (!strcmp(what, "none")) {
        return 0;
    } else if (!strcmp(what, "fork")) {
        print("parent");
        for (int i = 0; i < 2; i++)
            if (fork() == 0) {
                print(i ? "child1" : "child0");
                if (i == 0 && fork() == 0) {
                    print("grandchild");
                    _exit(0);
                }
                wait_all();
                _exit(0);
            } else {
                wait_all();
            }
        print("parent_after");
    } else if (!strcmp(what, "thread")) {
        pthread_t t[3];
        char *names[] = {"thread0", "thread1", "thread2"};
        print("main");
        for (int i = 0; i < 3; i++)
            pthread_create(&t[i], NULL, in_thread, names[i]);
        for (int i = 0; i < 3; i++)
            pthread_join(t[i], NULL);
        print("main_after");
    } else if (!strcmp(what, "exec")) {
        char *child[] = {argv[0], "once", NULL};
        print("self");
        printf("posix_spawn: ");
        fflush(stdout);
        posix_spawn(&(pid_t){0}, argv[0], NULL, NULL, child, environ);
        wait_all();
        printf("fork_execv: ");
        fflush(stdout);
        if (fork() == 0) {
            execv(argv[0], child);
            _exit(1);
        }
        wait_all();
        printf("vfork_execve: ");
        fflush(stdout);
        if (vfork() == 0) {
            execve(argv[0], child, environ);
            _exit(1);
        }
        wait_all();
        printf("vfork_execl: ");
        fflush(stdout);
        if (vfork() == 0) {
            execl(argv[0], argv[0], "once", NULL);
            _exit(1);
        }
        wait_all();
        snprintf(command, sizeof command, "%s once", argv[0]);
        printf("system: ");
        fflush(stdout);
        if (system(command) != 0)
            return 1;
        printf("popen: ");
        fflush(stdout);
        FILE *f = popen(command, "w");
        pclose(f);
    } else if (!strcmp(what, "killed")) {
        if (fork() == 0) {
            print("child");
            raise(SIGKILL);
        }
        wait_all();
    } else if (!strcmp(what, "mxcsr")) {
        unsigned before = _mm_getcsr();
        for (int ftz = 0; ftz < 2; ftz++) {
            unsigned set = (before & ~0x803fu) | (ftz ? 0x8040u : 0);
            _mm_setcsr(set);
            product();
            unsigned after = _mm_getcsr();
            /* A product may raise flags in mode off; control bits never change. */
            if (((set ^ after) & ~0x3fu) != 0)
                printf("changed %x %x\n", set, after);
        }
        _mm_setcsr(before);
        printf("mxcsr %x\n", _mm_getcsr() & ~0x3fu);
    } else {
        return 2;
    }
    return 0;
}
