/* Declarations of every kernel instance, from the signatures' typedefs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_TABLES_H
#define FZ_TABLES_H

#include "kernels.h"

/* gemm's microkernels on panels of others; panels.h. */
struct fz_panels;
typedef void fz_panels_f32_fn(const fz_job *job, struct fz_panels *p, int kc,
                              uint32_t kblock);

#define DECLARE(isa)                                                                    \
    fz_gemm_f32_fn fz_gemm_f32_##isa;                                                   \
    fz_gemm_f64_fn fz_gemm_f64_##isa;                                                   \
    fz_dot_f32_fn fz_dot_f32_##isa;                                                     \
    fz_dot_f64_fn fz_dot_f64_##isa;                                                     \
    fz_axpy_f32_fn fz_axpy_f32_##isa;                                                   \
    fz_axpy_f64_fn fz_axpy_f64_##isa;                                                   \
    fz_scal_f32_fn fz_scal_f32_##isa;                                                   \
    fz_scal_f64_fn fz_scal_f64_##isa;                                                   \
    fz_ger_f32_fn fz_ger_f32_##isa;                                                     \
    fz_ger_f64_fn fz_ger_f64_##isa;                                                     \
    fz_map_f32_fn fz_map_f32_##isa;                                                     \
    fz_map_f64_fn fz_map_f64_##isa;                                                     \
    fz_math_wide_fn fz_math_wide_##isa;                                                 \
    fz_narrow_fn fz_narrow_##isa;                                                       \
    fz_panels_f32_fn fz_panels_f32_##isa;                                               \
    fz_conv_fn fz_conv_##isa;                                                           \
    fz_pack_f32_fn fz_pack_f32_##isa;                                                   \
    fz_packed_f32_fn fz_packed_f32_##isa;

DECLARE(ref)
DECLARE(sse41)
DECLARE(avx2)
DECLARE(avx2vaes)
DECLARE(avx512)
#undef DECLARE

#endif
