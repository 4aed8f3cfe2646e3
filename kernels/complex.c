/* Complex products and vectors of both precisions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "complex.h"

#include <string.h>

#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)

#define R f32
#define X c32
#define ADD prism_add_f32
#include "complex_tmpl.h"
#undef R
#undef X
#undef ADD

#define R f64
#define X c64
#define ADD prism_add_f64
#include "complex_tmpl.h"
