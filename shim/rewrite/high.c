/* Functions in which registers 16 to 31 and the masks are not free.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * By the calling convention a call may change all of them, and code without EVEX does not
 * use them. But a compiler that sees that a function it calls does not change them (gcc's
 * -fipa-ra) may keep something there over the call. So they are not free in what a function
 * with EVEX code calls, or one that was not decoded and may hold such, nor in what that
 * calls in turn. Calls through a table or a pointer lead to code that the compiler
 * cannot have seen. A jump into the middle of a function leads between it and the part that
 * gcc split off, which share their registers. In functions with EVEX code themselves, and in
 * those found here, what a site takes is lent (lend.c).
 *
 * Every byte that might begin a call or a jump counts as one: too many are marked at the
 * worst.
 */
#include <stdlib.h>
#include <string.h>

#include "body.h"

typedef struct list {
    size_t *at, n;
} list;

static void add(fz_image *im, list *l, uint64_t target, bool jump)
{
    if (target < im->text_lo || target >= im->text_hi || !fz_image_leader(im, target))
        return; /* most bytes that look like a call */
    const fz_function *at = fz_image_function(im, target);
    fz_function *f = at ? &im->functions[at - im->functions] : NULL;
    if (!f || (f->lo != target && !jump) || f->low)
        return;
    f->low = true;
    l->at[l->n++] = (size_t)(f - im->functions);
}

static uint64_t displaced(const uint8_t *p, uint64_t next)
{
    int32_t d;
    memcpy(&d, p, sizeof d);
    return next + (uint64_t)(int64_t)d;
}

static void callees(fz_image *im, const fz_function *f, list *l)
{
    const uint8_t *p = fz_image_at(im, f->lo);
    size_t n = f->hi - f->lo;
    for (size_t i = 0; p && i + 2 <= n; i++) {
        uint64_t at = f->lo + i;
        if ((p[i] == 0xe8 || p[i] == 0xe9) && i + 5 <= n)
            add(im, l, displaced(p + i + 1, at + 5), p[i] == 0xe9);
        else if (p[i] == 0x0f && p[i + 1] >> 4 == 8 && i + 6 <= n)
            add(im, l, displaced(p + i + 2, at + 6), true);
        else if (p[i] == 0xeb || p[i] >> 4 == 7)
            add(im, l, at + 2 + (uint64_t)(int64_t)(int8_t)p[i + 1], true);
    }
}

void fz_high_find(fz_image *im)
{
    list l = {malloc((im->count + 1) * sizeof *l.at), 0};
    for (size_t i = 0; i < im->count; i++) {
        fz_function *f = &im->functions[i];
        if (!l.at)
            f->low = true;
        else if (f->evex || !f->wanted || f->refused)
            callees(im, f, &l);
    }
    while (l.n)
        callees(im, &im->functions[l.at[--l.n]], &l);
    free(l.at);
}
