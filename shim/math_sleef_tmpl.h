/* SLEEF entry points of one vector type.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with V, the vector type, T, its element, and NAME(base).
 */

typedef V NAME(unary_fn)(V);
typedef V NAME(binary_fn)(V, V);
typedef NAME(pair) NAME(pair_fn)(V);

enum { NAME(lanes) = sizeof(V) / sizeof(T) };

static inline V NAME(unary)(enum fz_symbol s, enum fz_fn fn, V x, const void *from)
{
    fz_call call;
    V out;
    if (FZ_LIKELY(fz_enter_from(&call, s, fz_math_lib(from), from, sizeof(T))))
        MAP(&call, fn, NAME(lanes), (const T *)&x, NULL, (T *)&out);
    else
        out = ((NAME(unary_fn) *)call.real)(x);
    fz_leave(&call, NAME(lanes));
    return out;
}

static inline V NAME(binary)(enum fz_symbol s, enum fz_fn fn, V x, V y, const void *from)
{
    fz_call call;
    V out;
    if (FZ_LIKELY(fz_enter_from(&call, s, fz_math_lib(from), from, sizeof(T))))
        MAP(&call, fn, NAME(lanes), (const T *)&x, (const T *)&y, (T *)&out);
    else
        out = ((NAME(binary_fn) *)call.real)(x, y);
    fz_leave(&call, NAME(lanes));
    return out;
}

static inline NAME(pair) NAME(sincos)(enum fz_symbol s, V x, const void *from)
{
    fz_call call;
    NAME(pair) out;
    if (FZ_LIKELY(fz_enter_from(&call, s, fz_math_lib(from), from, sizeof(T)))) {
        MAP(&call, FZ_FN_SIN, NAME(lanes), (const T *)&x, NULL, (T *)&out.x);
        fz_second(&call);
        MAP(&call, FZ_FN_COS, NAME(lanes), (const T *)&x, NULL, (T *)&out.y);
    } else {
        out = ((NAME(pair_fn) *)call.real)(x);
    }
    fz_leave(&call, 2 * NAME(lanes));
    return out;
}
