/* f64 to f32 from memory: vcvtpd2psy, which fills half a register.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <immintrin.h>
#include <stdio.h>

enum { N = 64 };
static double d[N] __attribute__((aligned(32)));
static float s[N] __attribute__((aligned(32)));

__attribute__((noinline)) static void narrow(void)
{
    for (int i = 0; i < N; i += 4)
        _mm_store_ps(s + i, _mm256_cvtpd_ps(_mm256_load_pd(d + i)));
}

int main(void)
{
    for (int i = 0; i < N; i++)
        d[i] = (i * 7919 % 1000) / 7.0;
    narrow();
    for (int i = 0; i < N; i++)
        printf("%a\n", (double)s[i]);
    return 0;
}
