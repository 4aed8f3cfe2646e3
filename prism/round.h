/* Rounding a vector of results, in the normal range.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The exact result is s + rho: s the f64 nearest to it, rho the rest. For f32 operations
 * s is computed in f64 and only the sign of rho matters; for f64 operations rho is an
 * error-free transform's residual, or the residual of a division or square root to 53
 * bits of its own. Lanes outside the range that the formulas cover are reported, and
 * redone by the caller with the exact functions of scalar.c. Rounding direction: to
 * nearest.
 *
 * Sources: TwoSum, Knuth (TAOCP 2, 4.2.2); TwoProd, Dekker 1971, by fma where there is
 * one; error of an fma, Boldo and Muller 2011 ("Exact and approximated error of the
 * FMA"), correct rounding of a sum of three through round-to-odd, Boldo and Melquiond
 * 2008.
 */
#ifndef PRISM_ROUND_H
#define PRISM_ROUND_H

#include "rng.h"

#define FZ_ABS INT64_C(0x7fffffffffffffff)
#define FZ_MANT INT64_C(0x000fffffffffffff)

typedef struct fz_sum {
    vd s, rho;
} fz_sum;

FZ_INLINE fz_sum fz_two_sum(vd a, vd b)
{
    vd s = a + b, bb = s - a;
    return (fz_sum){s, (a - (s - bb)) + (b - bb)};
}

/* |a| >= |b| or a == 0 */
FZ_INLINE fz_sum fz_fast_two_sum(vd a, vd b)
{
    vd s = a + b;
    return (fz_sum){s, b - (s - a)};
}

/* The upper 26 bits of x, rounded; what is left fits in 26 signed bits. By integers, since
 * Veltkamp's splitting needs rounding to nearest, which callers may have changed. */
FZ_INLINE vd fz_upper_half(vd x)
{
    return (vd)(((vi)x + vi_set(INT64_C(1) << 26)) & ~vi_set((INT64_C(1) << 27) - 1));
}

/* In any rounding direction; exact unless the product's last bit lies below 2^-1074. Without
 * fma, Dekker's products: each of at most 53 bits, each partial sum representable. */
FZ_INLINE fz_sum fz_two_prod(vd a, vd b)
{
    vd p = a * b;
#if FZ_HAVE_FMA
    return (fz_sum){p, vd_fma(a, b, -p)};
#else
    vd ah = fz_upper_half(a), bh = fz_upper_half(b);
    vd al = a - ah, bl = b - bh;
    return (fz_sum){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
#endif
}

/* s + rho with s even and rho != 0 gets s's odd neighbour on rho's side: round to odd. */
FZ_INLINE vd fz_odd(fz_sum x)
{
    vi s = (vi)x.s, even = ~s << 63 >> 63 & (vi)(x.rho != 0);
    vi toward_zero = (s ^ (vi)x.rho) >> 63; /* -1 where the signs differ */
    return (vd)(s + (even & (toward_zero | 1)));
}

/* Correctly rounded fma, and its residual. */
FZ_INLINE fz_sum fz_fma_sum(vd a, vd b, vd c)
{
    fz_sum u = fz_two_prod(a, b);
    fz_sum alpha = fz_two_sum(c, u.rho);
    fz_sum beta = fz_two_sum(u.s, alpha.s);
#if FZ_HAVE_FMA
    vd s = vd_fma(a, b, c);
#else
    /* beta.s + (beta.rho + alpha.rho), the inner sum to odd; a zero product keeps its
     * sign */
    vd s = beta.s + fz_odd(fz_two_sum(beta.rho, alpha.rho));
    s = (vd)vi_select((vi)(u.s == 0), (vi)(u.s + c), (vi)s);
#endif
    return (fz_sum){s, ((beta.s - s) + beta.rho) + alpha.rho};
}

/* The last bit of a significand of 53 - D bits: of one bit, it is always 1. */
FZ_INLINE vi fz_last_bit(vi s, int D)
{
    return D == 52 ? vi_set(1) : (vi)((vu)s >> D) & 1;
}

/* ---- f64 --------------------------------------------------------------------------- */

/* Zero, or a magnitude in [2^-900, 2^900): where every transform here is exact. */
FZ_INLINE vi fz_f64_safe(vd x)
{
    vi a = (vi)x & vi_set(FZ_ABS);
    return (vi)((a >= vi_set(INT64_C(123) << 52)) & (a < vi_set(INT64_C(1923) << 52))) |
           (vi)(a == 0);
}

/* The four laws on s + rho, s zero (then exact) or normal, at t <= 53 bits. w: r bits. */
FZ_INLINE vd fz_round_f64(fz_sum x, enum prism_mode mode, int t, vi w)
{
    if (mode == PRISM_NEAREST && t == 53)
        return x.s;
    const int D = 53 - t;
    const vi m = vi_set((INT64_C(1) << D) - 1);
    const vi s = (vi)x.s, sign = s & ~vi_set(FZ_ABS), S = s & vi_set(FZ_ABS);
    const vi nonzero = (vi)(S != 0);
    const vi some = (vi)(x.rho != 0);
    const vi below = ((s ^ (vi)x.rho) >> 63) & some; /* |x| < |s| */
    vi R;
    if (mode == PRISM_NEAREST || mode == PRISM_UD) {
        R = S;
        if (D) {
            /* up iff the low bits exceed a half, or equal it and rho or evenness says so
             */
            vi tie = (~below & some & 1) | (~some & fz_last_bit(S, D));
            R = (S + vi_set((INT64_C(1) << (D - 1)) - 1) + tie) & ~m;
        }
        if (mode == PRISM_UD)
            R += nonzero & (((w & 1) << (D + 1)) - vi_set(INT64_C(1) << D));
    } else {
        /* T = s truncated: the exact |x| lies in [T, T + ulp(T)]. -1 a lane is `below`.
         */
        const vi T = S + below;
        if (mode == PRISM_CESTAC) {
            vi inexact = some | (vi)((T & m) != 0);
            R = (T & ~m) + ((inexact & (w ^ (vi)((vu)s >> 63)) & 1) << D);
        } else {
            /* The part above T, in [0, ulp(T)], then times 2^(52-D)/ulp(T) to an integer.
             * For |x| < |s| it is ulp(T) - |rho|. */
            const vi E = T & ~vi_set(FZ_MANT);
            const vd ulp = (vd)(E - vi_set(INT64_C(52) << 52));
            const vd inv = (vd)(vi_set((int64_t)(2046 + 104 - D) << 52) - E);
            const vd mag = (vd)((vi)x.rho & vi_set(FZ_ABS));
            const vd part = (vd)vi_select(below, (vi)(ulp - mag), (vi)mag);
            const vd magic = vd_set(0x1p52);
            const vi F = (vi)(part * inv + magic) - (vi)magic;
            const vi total = ((T & m) << (52 - D)) + F + w;
            R = (T & ~m) + ((total >> 52) << D);
        }
        R = vi_select(nonzero, R, S);
    }
    return (vd)(R | sign);
}

/* ---- f32, computed in f64 ---------------------------------------------------------- */

/* Zero (exact in every f32 operation computed in f64), or normal as a float whatever the
 * rounding does: [2^-125, 2^126), two binades short of overflow since at t = 1 nearest may
 * take one and ud another. */
FZ_INLINE vi fz_f32_safe(vd s)
{
    vi a = (vi)s & vi_set(FZ_ABS);
    return (vi)((a >= vi_set(INT64_C(898) << 52)) & (a < vi_set(INT64_C(1149) << 52))) |
           (vi)(a == 0);
}

/* As fz_round_f64 for t <= 24; the result is a float held in f64. SR does not look at
 * rho: s has 53 bits, so F at r = 53 - t bits is s's low part, correctly rounded already.
 */
FZ_INLINE vd fz_round_f32(fz_sum x, enum prism_mode mode, int t, vi w)
{
    const int D = 53 - t;
    const vi m = vi_set((INT64_C(1) << D) - 1);
    const vi s = (vi)x.s;
    if (mode == PRISM_SR)
        return (vd)((s + w) & ~m);
    const vi some = (vi)(x.rho != 0);
    const vi below = ((s ^ (vi)x.rho) >> 63) & some;
    if (mode == PRISM_CESTAC) {
        vi T = s + below;
        vi inexact = some | (vi)((T & m) != 0);
        return (vd)((T & ~m) + ((inexact & (w ^ (vi)((vu)s >> 63)) & 1) << D));
    }
    vi tie = (~below & some & 1) | (~some & fz_last_bit(s, D));
    vi R = (s + vi_set((INT64_C(1) << (D - 1)) - 1) + tie) & ~m;
    if (mode == PRISM_UD)
        R += (vi)((s & vi_set(FZ_ABS)) != 0) &
             (((w & 1) << (D + 1)) - vi_set(INT64_C(1) << D));
    return (vd)R;
}

/* ---- exact result of one operation as s + rho -------------------------------------- */

/* f64 operands, or f32 ones widened (f32 != 0: then products are exact, and rho may be
 * any value of the right sign). */
FZ_INLINE fz_sum fz_exact(enum prism_op op, int is_f32, vd a, vd b, vd c)
{
    switch (op) {
    case PRISM_ADD: return fz_two_sum(a, b);
    case PRISM_SUB: return fz_two_sum(a, -b);
    case PRISM_MUL: return is_f32 ? (fz_sum){a * b, (vd){}} : fz_two_prod(a, b);
    case PRISM_DIV: {
        vd q = a / b;
        fz_sum p = fz_two_prod(q, b); /* a - q*b is exact (Sterbenz) */
        return (fz_sum){q, ((a - p.s) - p.rho) / b};
    }
    case PRISM_SQRT: {
        vd q = vd_sqrt(a);
        fz_sum p = fz_two_prod(q, q);
        return (fz_sum){q, ((a - p.s) - p.rho) / (q + q)};
    }
    default:
        if (is_f32)
            return fz_two_sum(a * b, c);
        return fz_fma_sum(a, b, c);
    }
}

/* Lanes (a bit each) that scalar.c has to redo. */
FZ_INLINE unsigned fz_unsafe(enum prism_op op, int is_f32, vd a, vd b, vd c, vd s)
{
    vi ok;
    if (is_f32) {
        ok = fz_f32_safe(s);
        if (op == PRISM_DIV || op == PRISM_SQRT) /* x/inf, 0/x, sqrt 0: rho is NaN */
            ok &= (vi)(s != 0);
    } else {
        ok = fz_f64_safe(a) & fz_f64_safe(s);
        if (op != PRISM_SQRT)
            ok &= fz_f64_safe(b);
        if (op == PRISM_DIV || op == PRISM_SQRT)
            ok &= (vi)(s != 0);
        if (op == PRISM_FMA) {
            vd p = a * b;
            ok &= fz_f64_safe(c) & fz_f64_safe(p);
            ok &= (vi)(p != 0) | (vi)(a == 0) | (vi)(b == 0);
        }
        if (op == PRISM_MUL)
            ok &= (vi)(s != 0) | (vi)(a == 0) | (vi)(b == 0);
    }
    return vi_signs(~ok);
}

#endif
