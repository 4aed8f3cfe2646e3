/* Convolutions under test: random shapes and layouts, and the loop that defines them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TEST_CONV_CASE_H
#define TEST_CONV_CASE_H

#include "../../kernels/conv.h"
#include "../../kernels/kernels.h"
#include "trial.h"

enum conv_layout { CONV_PLAIN, CONV_LAST, CONV_BLOCK8, CONV_BLOCK16, CONV_ODD,
                   CONV_LAYOUTS };

/* A convolution whose tensors are its own, and guard bytes around each of them. */
typedef struct conv_case {
    fz_conv c;
    f32 *was; /* the output's elements before a forward pass, in the order of indices */
    char what[400];
} conv_case;

/* Shapes of one pass: dims, groups, strides, post-ops and so on by chance; big: several
 * tiles. */
conv_case conv_case_make(rng *g, enum fz_conv_pass pass, int deconv, int big);

/* Tensors of that layout and these types, filled: out too, with what must not be seen.
 * The same seed gives the same elements in every layout. */
void conv_case_fill(conv_case *k, uint64_t seed, enum conv_layout layout,
                    enum fz_type type, enum fz_type out_type, enum shape shape,
                    int strays);
void conv_case_free(conv_case *k);

/* The tensor that the pass makes; 1: its bias too. */
fz_tensor *conv_case_out(conv_case *k, int bias);

/* Elements in the order of indices, as f32; and the number of them. */
size_t conv_elements(const fz_tensor *t);
f32 conv_element(const fz_tensor *t, size_t i);

/* NULL, or what is wrong: bytes around and between the elements must be as they were,
 * those of padding 0. */
const char *conv_case_guards(const fz_tensor *t);

/* Element i of the output in nearest mode by the loops of conv.h, before narrowing. */
f32 conv_reference(const conv_case *k, int t, int bias, size_t i);

/* bf16 and f16 of x by other means than the kernels': exact, to nearest. */
f32 conv_narrowed(f32 x, enum fz_type type);

/* test_conv_laws.c. */
void conv_laws(Suite *s);

#endif
