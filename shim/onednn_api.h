/* oneDNN's functions as found in this process: what onednn_read.c and onednn_post.c share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_ONEDNN_API_H
#define FZ_ONEDNN_API_H

#include "onednn.h"

enum { FZ_DNNL_SUCCESS = 0 };

/* dnnl_version_t, as far as it is read. */
typedef struct fz_dnnl_number {
    int first, second, third;
} fz_dnnl_number;

typedef struct fz_dnnl_functions {
    const fz_dnnl_number *(*version)(void);
    int (*primitive_get_primitive_desc)(const void *, const void **);
    int (*primitive_desc_query)(const void *, int, int, void *);
    const void *(*primitive_desc_query_md)(const void *, int, int);
    int (*primitive_desc_get_attr)(const void *, const void **);
    int (*memory_get_memory_desc)(const void *, const void **);
    int (*memory_get_data_handle)(const void *, void **);
    int (*memory_desc_query)(const void *, int, void *); /* 3.x */
    int (*primitive_attr_get_post_ops)(const void *, const void **);
    int (*primitive_attr_get_output_scales)(const void *, int64_t *, int *,
                                            const f32 **); /* 2.6 */
    int (*post_ops_len)(const void *);
    int (*post_ops_get_kind)(const void *, int);
    int (*post_ops_get_params_sum)(const void *, int, f32 *, int32_t *, int *);
    int (*post_ops_get_params_eltwise)(const void *, int, int *, f32 *, f32 *);
    int (*post_ops_get_params_eltwise2)(const void *, int, f32 *, int *, f32 *, f32 *);
    int (*post_ops_get_params_binary)(const void *, int, int *, const void **);
    int major;   /* 2 or 3 once all are found */
    int post_op; /* DNNL_ARG_ATTR_MULTIPLE_POST_OP(0), which changed within 3.x, or 0 */
} fz_dnnl_functions;

extern fz_dnnl_functions fz_dnnl;

enum fz_dnnl_kind fz_dnnl_kind_of(int number);
/* dnnl_alg_kind_t of 3.x, where 2.6 has another number for it; 0: not in 3.x. */
int fz_dnnl_alg_of(int alg);

#endif
