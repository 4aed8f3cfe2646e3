/* Scratch memory of a thread: mapped once, kept until the thread ends.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "workspace.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread void *space __attribute__((tls_model("initial-exec")));

static void release(void *p)
{
    munmap(p, FZ_WORKSPACE);
}

static void make_key(void)
{
    pthread_key_create(&key, release);
}

void *fz_workspace(void)
{
    if (!space) {
        pthread_once(&once, make_key);
        void *p = mmap(NULL, FZ_WORKSPACE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            /* The host would not survive this either; say why it ends. */
            static const char msg[] = "fuzzytorch: out of memory (1 MiB of scratch)\n";
            if (write(2, msg, sizeof msg - 1) < 0)
                _exit(127);
            _exit(127);
        }
        space = p;
        pthread_setspecific(key, p);
    }
    return space;
}
