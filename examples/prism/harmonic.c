/* The harmonic series in f32 under the four rounding laws, with nothing but libprism.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     cc -I. examples/prism/harmonic.c build/libprism.a -o harmonic && ./harmonic 1000000
 *
 * Rounded to nearest the sum stops growing once 1/i falls below half its spacing; rounded
 * stochastically it keeps the right mean. The terms 1/i come from an array operation, the sum
 * from scalar ones with words of their own key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prism/prism.h"

/* FUZZY_ISA=name, or the best build that this CPU can run. */
static enum prism_isa choose_isa(void)
{
    const unsigned can = prism_isa_detected();
    const char *name = getenv("FUZZY_ISA");
    if (!name)
        return prism_isa_best(can);
    for (int i = 0; i < PRISM_ISAS; i++)
        if (!strcmp(name, prism_isa_name((enum prism_isa)i)) && (can >> i & 1))
            return (enum prism_isa)i;
    fprintf(stderr, "harmonic: FUZZY_ISA=%s is not a build that this CPU can run\n", name);
    exit(2);
}

static f32 harmonic(long n, enum prism_mode mode, uint64_t seed, enum prism_isa isa)
{
    enum { BLOCK = 4096 };
    static f32 one[BLOCK], index[BLOCK], term[BLOCK];
    const prism_key terms = prism_key_derive(prism_key_seed(seed), 1);
    const prism_key sums = prism_key_derive(prism_key_seed(seed), 2);
    prism_strand words = prism_strand_open(sums, 0, 0, 0);
    f32 sum = 0;
    for (long i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? (size_t)(n - i) : BLOCK;
        for (size_t j = 0; j < m; j++) {
            one[j] = 1;
            index[j] = (f32)(i + (long)j + 1);
        }
        prism_arrays(isa)->op_f32(PRISM_DIV, m, one, index, NULL, term, mode, 24,
                                  prism_key_derive(terms, (uint64_t)i));
        for (size_t j = 0; j < m; j++) {
            sum = prism_add_f32(sum, term[j], mode, 24, words.q[0] >> 32);
            prism_strand_step(&words);
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"nearest", "sr", "ud", "cestac"};
    const long n = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    if (n < 1 || n > 1 << 24) {
        fprintf(stderr, "harmonic: %s terms: give 1 to 16777216, whose index is a float\n",
                argv[1]);
        return 2;
    }
    const enum prism_isa isa = choose_isa();
    f64 exact = 0;
    for (long i = n; i > 0; i--)
        exact += 1.0 / (f64)i;
    printf("n %ld isa %s f64 %.7f\n", n, prism_isa_name(isa), exact);
    for (int mode = PRISM_NEAREST; mode <= PRISM_CESTAC; mode++) {
        printf("%-7s", names[mode]);
        for (uint64_t seed = 1; seed <= 3; seed++)
            printf(" %.6f", harmonic(n, (enum prism_mode)mode, seed, isa));
        printf("\n");
    }
    return 0;
}
