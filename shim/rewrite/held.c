/* Floats that are held in f64 from one site to the next, in registers 16 to 30.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "site.h"

static bool is_free(const fz_emit *e, int r)
{
    for (int v = 0; v < 16; v++)
        if (e->held[v].at == r)
            return false;
    return true;
}

void fz_evex_lend(fz_emit *e, int need)
{
    int n = 0;
    for (int i = 0; i < e->pool_n && n < need; i++)
        if (is_free(e, e->pool[i]))
            e->temp[n++] = e->pool[i];
    for (int i = 0; i < 16 && n < need; i++) {
        struct fz_held *h = &e->held[e->oldest++ % 16];
        if (h->at && !h->pinned) {
            e->temp[n++] = h->at;
            h->at = 0;
        }
    }
}

/* Speculative, so without exceptions: what lies in v need not be numbers. */
static void widen_again(fz_emit *e, int v)
{
    const struct fz_held *h = &e->held[v];
    if (h->lanes == 1)
        fz_ev(e->code, EV_CVTSS2SD, 0, h->at, v, v, EV_NO_FLAGS);
    else
        fz_ev(e->code, EV_CVTPS2PD, 0, h->at, 0, v, EV_NO_FLAGS); /* of 512 bits */
}

void fz_emit_changed(fz_emit *e, unsigned registers)
{
    for (int v = 0; v < 16; v++) {
        if (!(registers >> v & 1) || !e->held[v].at)
            continue;
        if (e->held[v].pinned)
            widen_again(e, v);
        else
            e->held[v].at = 0;
    }
}

void fz_emit_block(fz_emit *e)
{
    for (int v = 0; v < 16; v++)
        if (!e->held[v].pinned)
            e->held[v].at = 0;
}

void fz_emit_pins_load(fz_emit *e)
{
    for (int v = 0; v < 16; v++)
        if (e->held[v].pinned)
            widen_again(e, v);
}
