/* One complete table of kernels an ISA.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels.h"
#include "tables.h"

#define TABLE(isa)                                                                      \
    {fz_gemm_f32_##isa, fz_gemm_f64_##isa, fz_dot_f32_##isa, fz_dot_f64_##isa,          \
     fz_axpy_f32_##isa, fz_axpy_f64_##isa, fz_scal_f32_##isa, fz_scal_f64_##isa,        \
     fz_ger_f32_##isa, fz_ger_f64_##isa, fz_map_f32_##isa, fz_map_f64_##isa,      \
     fz_math_wide_##isa, fz_narrow_##isa, fz_conv_##isa, fz_pack_f32_##isa,          \
     fz_packed_f32_##isa}

const fz_kernels *fz_kernels_for(enum prism_isa isa)
{
    static const fz_kernels tables[PRISM_ISAS] = {TABLE(ref), TABLE(sse41), TABLE(avx2),
                                                  TABLE(avx2vaes), TABLE(avx512)};
    return &tables[isa];
}
