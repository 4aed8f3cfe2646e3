/* A convolution as dense products: which outputs have which taps.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Along one dimension the outputs fall into runs: positions `step` apart that have the
 * same taps, whose inputs lie at an affine function of both. A stride makes as many runs
 * of a backward pass as there are remainders, a border makes short ones. A run of each
 * dimension is a class; within it every output has every tap, so nothing is compared with
 * bounds, no zero is multiplied, and what falls into the padding is no operation.
 */
#ifndef FZ_CONV_PLAN_H
#define FZ_CONV_PLAN_H

#include "conv.h"

typedef struct fz_run {
    ptrdiff_t out, step, count;     /* positions out + q*step, q = 0 .. count-1 */
    ptrdiff_t tap, tap_step, taps;  /* taps tap + u*tap_step, u = 0 .. taps-1 */
    ptrdiff_t in, in_step, in_tap;  /* at input in + q*in_step + u*in_tap */
} fz_run;

#define FZ_RUNS 16 /* kept in place; more are mapped */

typedef struct fz_runs {
    ptrdiff_t n, room;
    fz_run *run;
    size_t mapped;
    fz_run here[FZ_RUNS];
} fz_runs;

/* The runs of one dimension of `out` positions. small: the output is the smaller side,
 * its position o meets o*stride - pad + tap*dilation of the input; else the other way
 * round. */
void fz_runs_make(fz_runs *r, int small, ptrdiff_t out, ptrdiff_t in, ptrdiff_t taps,
                  ptrdiff_t stride, ptrdiff_t dilation, ptrdiff_t pad);
void fz_runs_free(fz_runs *r);

/* Zeros where a tensor is padded to whole blocks. */
void fz_tensor_clear_padding(const fz_tensor *t);

#endif
