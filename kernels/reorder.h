/* A tensor in another layout and a narrower type.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_REORDER_H
#define FZ_REORDER_H

#include "kernels.h"
#include "tensor.h"

/* NULL, or why to = narrow(from) is left to the original. */
const char *fz_reorder_refuses(const fz_tensor *from, const fz_tensor *to);

/* Each element of `to`, bf16 or f16, is that of `from`, f32, narrowed by the mode; the
 * padding of its blocks becomes 0. The words are those of an element's indices: streams
 * are keyed by row, whatever the layouts. */
void fz_reorder(const fz_kernels *k, const fz_job *job, const fz_tensor *from,
                const fz_tensor *to);

#endif
