/* The constants that moved code uses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../../prism/stream.h"
#include "area.h"

static void fill(uint8_t *page, int k, uint64_t even, uint64_t odd)
{
    for (int i = 0; i < 4; i++)
        memcpy(page + 32 * k + 8 * i, i & 1 ? &odd : &even, 8);
}

#define TWICE(dword) ((uint64_t)(uint32_t)(dword) * 0x100000001u)

void fz_area_constants(uint8_t page[FZ_PAGE])
{
    static const struct {
        int k;
        uint64_t value;
    } all[] = {
        {FZ_K_LOW29, (1u << 29) - 1},
        {FZ_K_HIGH35, ~(uint64_t)((1u << 29) - 1)},
        /* Twice the bits of x less twice those of the least number: the sign is set outside
         * 1024 binades. f32: from 2^-126 on, overflow takes care of itself. */
        {FZ_K_RANGE32, UINT64_C(897) << 53},
        {FZ_K_RANGE32H, (UINT64_C(897) << 21) * 0x100000001u},
        {FZ_K_RANGE64, UINT64_C(511) << 53},
        {FZ_K_ZERO, 0},
        {FZ_K_SIGN64, UINT64_C(1) << 63},
        {FZ_K_EXP64, UINT64_C(0x7ff) << 52},
        {FZ_K_SCALE64, UINT64_C(103) << 52}, /* 2150 - 2047 */
        {FZ_K_MAGIC64, UINT64_C(0x4338) << 48},
        {FZ_K_UNBIAS64, (UINT64_C(0x4338) << 48) - (UINT64_C(1) << 52)},
        {FZ_K_MINUS1, UINT64_MAX},
        {FZ_K_ABS32, UINT64_C(0x7fffffff7fffffff)},
        {FZ_K_ONE32, UINT64_C(0x0000000100000001)},
        {FZ_K_LAST32, UINT64_C(0x7f7ffffe7f7ffffe)},
        {FZ_K_ABS64, INT64_MAX},
        {FZ_K_MAX64, UINT64_C(0x7fefffffffffffff)},
        {FZ_K_ONE64, 1},
        {FZ_K_EVEN32, UINT64_C(0x80000000)},
        {FZ_K_ODD32, UINT64_C(0x8000000000000000)},
        {FZ_K_BIAS16, UINT64_C(0x7fff) * 0x100000001u},
        {FZ_K_UNBIAS16, UINT64_C(0xffff8001ffff8001)},
        {FZ_K_HALF29, (1u << 28) - 1},
        {FZ_K_SPAN32, 2 * (UINT64_C(0x47efffffe0000000) - (UINT64_C(897) << 52)) - 1},
        {FZ_K_REAL32, UINT64_C(0x3f8000003f800000)},
        {FZ_K_REAL64, UINT64_C(0x3ff) << 52},
        {FZ_K_HALF52, (UINT64_C(1) << 51) - 1},
        {FZ_K_SIGN32, UINT64_C(0x8000000080000000)},
        /* |x| less this as signed numbers: above the span outside 2^-102 to 2^127. */
        {FZ_K_SUM32, TWICE(0x80000000 + 0x0c800000)},
        {FZ_K_SUM32_SPAN, TWICE(0x80000000 + (0x7f000000 - 0x0c800000) - 1)},
        /* Twice |x| less this, unsigned. */
        {FZ_K_NORMAL32, TWICE(2 * 0x00800001u)},
        {FZ_K_NORMAL32_SPAN, TWICE(2 * (0x7f7ffffeu - 0x00800001u))},
        {FZ_K_FAR32, TWICE(2 * 0x0d800000u)},  /* 2^-100 */
        {FZ_K_TWO51, UINT64_C(1074) << 52},
        {FZ_K_NOT52, (UINT64_C(1076) << 52) - 1},
        {FZ_K_UNDER52, (UINT64_C(1075) << 52) - 1},
        {FZ_K_TO_UNIT, -(UINT64_C(1127) << 52)},
        {FZ_K_TO_ULP, UINT64_C(52) << 52},
        {FZ_K_FAR64, 2 * (UINT64_C(123) << 52)}, /* 2^-900 */
    };
    memset(page, 0, FZ_PAGE);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        fill(page, all[i].k, all[i].value, all[i].value);
    fill(page, FZ_K_KEY, FZ_PI0, FZ_PI1);
    fill(page, FZ_K_KEY512, FZ_PI0, FZ_PI1);
    fill(page, FZ_K_KEY512 + 1, FZ_PI0, FZ_PI1);
    fill(page, FZ_K_SHIFT512, 35, 35);
    fill(page, FZ_K_EVEN64, UINT64_C(1) << 63, 0);
    fill(page, FZ_K_ODD64, 0, UINT64_C(1) << 63);
    memset(page + 32 * FZ_K_LANE0, 0xff, 8);
    memcpy(page + 32 * FZ_K_RANGE32_1, page + 32 * FZ_K_RANGE32, 8);
    memcpy(page + 32 * FZ_K_SIGN64_1, page + 32 * FZ_K_SIGN64, 8);
    memset(page + 32 * FZ_K_SPAN32_1, 0xff, 32);
    memcpy(page + 32 * FZ_K_SPAN32_1, page + 32 * FZ_K_SPAN32, 8);
    memcpy(page + 32 * FZ_K_ONE64_1, page + 32 * FZ_K_ONE64, 8);
    memset(page + 32 * FZ_K_SUM32_SPAN_1, 0x7f, 32);
    memcpy(page + 32 * FZ_K_SUM32_SPAN_1, page + 32 * FZ_K_SUM32_SPAN, 4);
    memset(page + 32 * FZ_K_NORMAL32_SPAN_1, 0xff, 32);
    memcpy(page + 32 * FZ_K_NORMAL32_SPAN_1, page + 32 * FZ_K_NORMAL32_SPAN, 4);
    uint64_t two52 = UINT64_C(1) << 52, high11 = ~((UINT64_C(1) << 53) - 1);
    memcpy(page + 32 * FZ_K_TWO52, &two52, 8);
    memcpy(page + 32 * FZ_K_HIGH11, &high11, 8);
}
