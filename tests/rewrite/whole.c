/* Whole numbers made of others: floor, ceil and trunc in line; and sums that are cut.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { N = 500 };
static double d[N];
static float s[N];

int main(void)
{
    for (int i = 0; i < N; i++) { /* nothing rounds, to few bits either */
        const uint32_t bits = 0x3f800000u + (uint32_t)(i * 1234567 % 0x05000000) +
                              ((uint32_t)i << 31);
        memcpy(&s[i], &bits, sizeof bits);
        d[i] = ldexp((i * 7919 % 100003) - 50000, -6);
    }
    for (int i = 0; i < N; i++)
        printf(" %a", floor(d[i]));
    printf("\n");
    for (int i = 0; i < N; i++)
        printf(" %a", ceil(d[i]));
    printf("\n");
    for (int i = 0; i < N; i++)
        printf(" %a", (double)floorf(s[i]));
    printf("\n");
    for (int i = 0; i < N; i++)
        printf(" %a", (double)ceilf(s[i]));
    printf("\n");
    for (int i = 0; i < N; i++)
        printf(" %a", d[i] / 3);
    printf("\n");
    /* The logarithm of the gamma function counts its steps so: 7 less a whole number, cut. */
    for (int i = 1; i < N; i++)
        printf(" %d", (int)(700 - (double)(i % 600)));
    printf("\n");
    return 0;
}
