/* Tensors as oneDNN describes them: strides of the outer indices, then inner blocks.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An index x of a dimension is split, innermost block first, into its place in each of
 * the blocks of that dimension and an outer index. The blocks are dense: the last one is
 * the innermost and has stride 1, the one before it the stride of the last one's size,
 * and so on. So the place of an element is a sum of one term per dimension,
 * fz_tensor_at(). No inner blocks: an ordinary strided tensor.
 */
#ifndef FZ_TENSOR_H
#define FZ_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#define FZ_TENSOR_DIMS 6
#define FZ_TENSOR_BLOCKS 6

enum fz_type { FZ_F32, FZ_BF16, FZ_F16 };

typedef struct fz_tensor {
    void *data; /* the element of index 0: the descriptor's offset0 is in it */
    enum fz_type type;
    int ndims;
    ptrdiff_t dims[FZ_TENSOR_DIMS];
    ptrdiff_t padded[FZ_TENSOR_DIMS]; /* dims rounded up to whole blocks */
    ptrdiff_t stride[FZ_TENSOR_DIMS]; /* of the outer indices, in elements */
    int nblocks;                      /* outermost first */
    int block_dim[FZ_TENSOR_BLOCKS];
    ptrdiff_t block[FZ_TENSOR_BLOCKS];
} fz_tensor;

/* What index x of dimension d adds to the place of an element, in elements. */
static inline ptrdiff_t fz_tensor_at(const fz_tensor *t, int d, ptrdiff_t x)
{
    ptrdiff_t at = 0, inner = 1;
    for (int b = t->nblocks - 1; b >= 0; b--) {
        if (t->block_dim[b] == d) {
            at += x % t->block[b] * inner;
            x /= t->block[b];
        }
        inner *= t->block[b];
    }
    return at + x * t->stride[d];
}

/* Elements, the padding of blocks left out. */
static inline ptrdiff_t fz_tensor_count(const fz_tensor *t)
{
    ptrdiff_t n = 1;
    for (int d = 0; d < t->ndims; d++)
        n *= t->dims[d];
    return n;
}

/* Bytes of an element. */
static inline size_t fz_type_size(enum fz_type type)
{
    return type == FZ_F32 ? 4 : 2;
}

#endif
