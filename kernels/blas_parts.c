/* Scratch of the routines built on the kernel table: mapped once a thread, kept to its
 * end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "blas_parts.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALL ((size_t)FZ_SCRATCHES * FZ_SCRATCH_BYTES)

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread char *space __attribute__((tls_model("initial-exec")));

static void release(void *p)
{
    munmap(p, ALL);
}

static void make_key(void)
{
    pthread_key_create(&key, release);
}

void *fz_scratch(enum fz_scratch which)
{
    if (!space) {
        pthread_once(&once, make_key);
        void *p = mmap(NULL, ALL, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) {
            /* The host would not survive this either; say why it ends. */
            static const char msg[] = "fuzzytorch: out of memory (4 MiB of scratch)\n";
            if (write(2, msg, sizeof msg - 1) < 0)
                _exit(127);
            _exit(127);
        }
        space = p;
        pthread_setspecific(key, p);
    }
    return space + (size_t)which * FZ_SCRATCH_BYTES;
}

enum prism_isa fz_kernels_isa(const fz_kernels *k)
{
    int isa = 0;
    while (isa < PRISM_ISAS - 1 && fz_kernels_for((enum prism_isa)isa) != k)
        isa++;
    return (enum prism_isa)isa;
}
