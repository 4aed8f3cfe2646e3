/* Types of math interfaces: SLEEF's vectors, as the psABI passes __m256 and its kin.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_VECTORS_H
#define FZ_VECTORS_H

#include "../prism/prism.h"

typedef f32 f32x8 __attribute__((vector_size(32)));
typedef f64 f64x4 __attribute__((vector_size(32)));
typedef f32 f32x16 __attribute__((vector_size(64)));
typedef f64 f64x8 __attribute__((vector_size(64)));

/* sine and cosine, returned in memory */
typedef struct f32x8_pair { f32x8 x, y; } f32x8_pair;
typedef struct f64x4_pair { f64x4 x, y; } f64x4_pair;
typedef struct f32x16_pair { f32x16 x, y; } f32x16_pair;
typedef struct f64x8_pair { f64x8 x, y; } f64x8_pair;

/* libm's complex numbers */
typedef float _Complex c32;
typedef double _Complex c64;

#endif
