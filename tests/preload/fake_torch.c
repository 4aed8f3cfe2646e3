/* A library named libtorch_cpu.so that calls BLAS, so that snippets need no torch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sgemm_(const char *, const char *, const int *, const int *, const int *,
            const float *, const float *, const int *, const float *, const int *,
            const float *, float *, const int *, size_t, size_t);

/* A sum long enough for OpenBLAS to split it: other bits than our order of summation. */
enum { N = 24, K = 1000 };

/* The bits of a product whose every element is inexact, as one number. */
uint64_t torch_product(void)
{
    static const int n = N, k = K;
    static const float one = 1, zero = 0;
    static float a[N * K], b[K * N];
    float c[N * N];
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < N * K; i++) {
        a[i] = 1.0f / (float)(3 + i % 97);
        b[i] = 1.0f / (float)(7 + i % 89);
    }
    sgemm_("N", "N", &n, &n, &k, &one, a, &n, b, &k, &zero, c, &n, 1, 1);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        uint32_t u;
        memcpy(&u, &c[i], 4);
        h = (h ^ u) * 0x100000001b3u;
    }
    return h;
}

__attribute__((constructor)) static void early(void)
{
    if (getenv("SNIPPET_CONSTRUCTOR")) {
        printf("constructor %016lx\n", (unsigned long)torch_product());
        fflush(stdout);
    }
}
