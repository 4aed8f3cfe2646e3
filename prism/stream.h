/* What defines the random strands, apart from the vectors that compute them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef PRISM_STREAM_H
#define PRISM_STREAM_H

#include <stdint.h>

/* Fractional digits of pi: round constants with nothing up the sleeve. */
#define FZ_PI0 0x243f6a8885a308d3ull
#define FZ_PI1 0x13198a2e03707344ull
#define FZ_PI2 0xa4093822299f31d0ull
#define FZ_PI3 0x082efa98ec4e6c89ull
#define FZ_PI4 0x452821e638d01377ull
#define FZ_PI5 0xbe5466cf34e90c6cull

/* Software AES round for ref (prism.c). s and k are 128 bits, little-endian halves. */
void prism_aesenc(uint64_t s[2], const uint64_t k[2]);

/* Roles of a strand's number c: f32 words (8 lanes a strand) and 64-bit words (4 lanes a
 * strand, for f64 and for f32 with r > 32) never share strands. */
#define FZ_STRAND_WIDE 0x80000000u

#endif
