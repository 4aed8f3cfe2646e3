/* Registers 16 to 31 and a mask, lent where the host uses them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Where high.c finds them free, a site takes what it likes of them. Elsewhere it takes what
 * the instructions around it do not name, and gives it back as it was, all 512 bits. Cold code
 * needs four more masks: a loop lends them too if it can, else they are given back there.
 */
#include "site.h"

enum { HIGH = 16 };

bool fz_lend_fits(unsigned high, unsigned masks, int need)
{
    return HIGH - __builtin_popcount(high) > need && (masks & 0xfe) != 0xfe;
}

void fz_lend_choose(fz_emit *e, unsigned high, unsigned masks, int most, bool loop)
{
    if (!e->lent) {
        static const int all[] = {1, 2, 3, 4, 5};
        e->state = FZ_FREE_STATE;
        for (e->pool_n = 0; e->pool_n < 15; e->pool_n++)
            e->pool[e->pool_n] = HIGH + e->pool_n;
        memcpy(e->mask, all, sizeof e->mask);
        e->mask_n = 5;
        return;
    }
    e->pool_n = 0;
    e->state = -1;
    for (int r = HIGH - 1; r >= 0; r--) {
        if (high >> r & 1)
            continue;
        if (e->state < 0)
            e->state = HIGH + r;
        else if (e->pool_n < most)
            e->pool[e->pool_n++] = HIGH + r;
    }
    /* Those that nobody names first. */
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int k = 7; k > 0 && n < 5; k--)
            if ((masks >> k & 1) == (unsigned)pass)
                e->mask[n++] = k;
    e->mask_n = loop && 7 - __builtin_popcount(masks & 0xfe) >= 5 ? 5 : 1;
}

void fz_lend_all(fz_emit *e, bool store)
{
    const unsigned op = store ? EV_STOREPS : EV_LOADPS;
    if (!e->lent)
        return;
    for (int i = 0; i < e->pool_n; i++)
        fz_evt(e->code, op, 2, e->pool[i], 0, TLS(e, high) + 64 * (e->pool[i] - HIGH));
    fz_evt(e->code, op, 2, e->state, 0, TLS(e, high) + 64 * (e->state - HIGH));
    for (int i = 0; i < e->mask_n; i++)
        fz_rrt(e->code, store ? OP_KSTORE : OP_KLOAD, 0, e->mask[i], 0,
               TLS(e, masks) + 8 * i);
}

void fz_lend_masks(fz_emit *e, unsigned op)
{
    for (int i = e->mask_n; i < 5 && e->lent; i++)
        fz_rrt(e->code, op, 0, e->mask[i], 0, TLS(e, masks) + 8 * i);
}
