/* Calls every SLEEF and VML symbol that the library exports: math_calls [fit].
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Values are compared with libm's extended precision; a digest of all results is printed.
 * fit: at 8 bits of precision, f32 results have no more.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shim/vectors.h"

typedef long fz_int;

/* Only the math functions of the list. */
#define TAKE_BLAS(name, result, args)
#define TAKE_LAPACK(name, result, args)
#define TAKE_CONV(name, result, args)
#define TAKE_MATH(name, result, args) extern result name args;
#define FZ_SYMBOL(name, family, kernel, need, result, args) \
    TAKE_##family(name, result, args)
#include "../../shim/symbols.def"

typedef long double wide(long double);
typedef long double wide2(long double, long double);

static long double erfinv_wide(long double x)
{
    long double lo = -8, hi = 8;
    for (int i = 0; i < 90; i++) {
        long double mid = (lo + hi) / 2;
        *(erfl(mid) < x ? &lo : &hi) = mid;
    }
    return lo;
}

static const struct {
    const char *name;
    wide *f;
    wide2 *g;
} functions[] = {
    {"exp2", exp2l, NULL},     {"expm1", expm1l, NULL},       {"exp", expl, NULL},
    {"log10", log10l, NULL},   {"log1p", log1pl, NULL},       {"log2", log2l, NULL},
    {"log", logl, NULL},       {"ln", logl, NULL},            {"lgamma", lgammal, NULL},
    {"sincos", sinl, NULL},    {"sinh", sinhl, NULL},         {"sin", sinl, NULL},
    {"cosh", coshl, NULL},     {"cos", cosl, NULL},           {"tanh", tanhl, NULL},
    {"tan", tanl, NULL},       {"asin", asinl, NULL},         {"acos", acosl, NULL},
    {"atan2", NULL, atan2l},   {"atanh", atanhl, NULL},       {"atan", atanl, NULL},
    {"erfinv", erfinv_wide, NULL}, {"erfc", erfcl, NULL},     {"erf", erfl, NULL},
    {"sqrt", sqrtl, NULL},     {"pow", NULL, powl},           {"hypot", NULL, hypotl},
};

/* With a real SLEEF behind the library and no MKL. */
#ifdef ONLY_SLEEF
enum { only_sleef = 1 };
#else
enum { only_sleef = 0 };
#endif

static uint64_t digest = 0xcbf29ce484222325u;
static int bad, fit;

/* One element of symbol `name`: ud and the binade above: three units. */
static void check(const char *name, int is_f32, double x, double y, double got, int second)
{
    char lower[64];
    size_t n = 0;
    const char *p = strncmp(name, "Sleef_", 6) == 0 ? name + 6 : name + (name[1] == 'm') + 2;
    for (; *p && n < sizeof lower - 1; p++)
        lower[n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    lower[n] = 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strncmp(lower, functions[i].name, strlen(functions[i].name)) != 0)
            continue;
        long double want = functions[i].g ? functions[i].g(x, y)
                           : second       ? cosl(x)
                                          : functions[i].f(x);
        double unit = ldexp(1, ilogb((double)want) - (is_f32 ? 23 : 52));
        if (fit)
            unit = ldexp(1, ilogb((double)want) - 7);
        if (!(fabsl(got - want) <= 3 * unit)) {
            printf("%s(%a, %a) = %a, not %La\n", name, x, y, got, want);
            bad++;
        }
        float f = (float)got;
        uint32_t w;
        memcpy(&w, &f, 4);
        if (fit && is_f32 && w & 0xffff) {
            printf("%s(%a) = %a has more than 8 bits\n", name, x, got);
            bad++;
        }
        const unsigned char *bytes = (const unsigned char *)&got;
        for (size_t k = 0; k < sizeof got; k++)
            digest = (digest ^ bytes[k]) * 0x100000001b3u;
        return;
    }
    printf("%s: no function of that name here\n", name);
    bad++;
}

static double argument(int i)
{
    return 0.1 + 0.05 * i; /* below 1 for all that needs it */
}

/* Vectors in registers: 512 bits only where the CPU has them. */
#define SLEEF(V, T, LANES, TARGET) \
    static __attribute__((target(TARGET))) void V##_unary(const char *name, V (*f)(V)) \
    { \
        T x[LANES], r[LANES]; \
        V v; \
        for (int i = 0; i < LANES; i++) \
            x[i] = (T)argument(i); \
        memcpy(&v, x, sizeof v); \
        v = f(v); \
        memcpy(r, &v, sizeof v); \
        for (int i = 0; i < LANES; i++) \
            check(name, sizeof(T) == 4, x[i], 0, r[i], 0); \
    } \
    static __attribute__((target(TARGET))) void V##_binary(const char *name, V (*f)(V, V)) \
    { \
        T x[LANES], y[LANES], r[LANES]; \
        V v, w; \
        for (int i = 0; i < LANES; i++) { \
            x[i] = (T)argument(i); \
            y[i] = (T)(1.7 - argument(i)); \
        } \
        memcpy(&v, x, sizeof v); \
        memcpy(&w, y, sizeof w); \
        v = f(v, w); \
        memcpy(r, &v, sizeof v); \
        for (int i = 0; i < LANES; i++) \
            check(name, sizeof(T) == 4, x[i], y[i], r[i], 0); \
    } \
    static __attribute__((target(TARGET))) void V##_both(const char *name, \
                                                         V##_pair (*f)(V)) \
    { \
        T x[LANES], r[2 * LANES]; \
        V v; \
        for (int i = 0; i < LANES; i++) \
            x[i] = (T)argument(i); \
        memcpy(&v, x, sizeof v); \
        V##_pair p = f(v); \
        memcpy(r, &p, sizeof p); \
        for (int i = 0; i < 2 * LANES; i++) \
            check(name, sizeof(T) == 4, x[i % LANES], 0, r[i], i >= LANES); \
    }
SLEEF(f32x8, f32, 8, "avx")
SLEEF(f64x4, f64, 4, "avx")
SLEEF(f32x16, f32, 16, "avx512f")
SLEEF(f64x8, f64, 8, "avx512f")

#define VML(T) \
    static void T##_mode(const char *name, void (*f)(fz_int, const T *, T *, long long)) \
    { \
        enum { N = 17 }; \
        T x[N], r[N + 1]; \
        r[N] = 42; \
        for (int i = 0; i < N; i++) \
            x[i] = (T)argument(i); \
        f(-1, x, r + N, 2); \
        f(N, x, r, 2); \
        if (r[N] != 42) { \
            printf("%s wrote beyond its end\n", name); \
            bad++; \
        } \
        for (int i = 0; i < N; i++) \
            check(name, sizeof(T) == 4, x[i], 0, r[i], 0); \
    } \
    static void (*T##_plain)(fz_int, const T *, T *); \
    static void T##_ignore(fz_int n, const T *x, T *r, long long mode) \
    { \
        (void)mode; \
        T##_plain(n, x, r); \
    } \
    static void T##_no_mode(const char *name, void (*f)(fz_int, const T *, T *)) \
    { \
        T##_plain = f; \
        T##_mode(name, T##_ignore); \
    }
VML(f32)
VML(f64)

#undef TAKE_MATH
#define CASE(V) \
    V (*)(V) : V##_unary, V (*)(V, V) : V##_binary, V##_pair (*)(V) : V##_both
#define FZ_SYMBOL(name, family, kernel, need, result, args) \
    TAKE_##family(name, result, args)
#define TAKE_MATH(symbol, result, args) \
    if (wide_ones == (strstr(#symbol, "d8_") || strstr(#symbol, "f16_")) && \
        (!only_sleef || #symbol[0] == 'S')) \
        _Generic(&symbol, CASE(f32x8), CASE(f64x4), CASE(f32x16), CASE(f64x8), \
            void (*)(fz_int, const f32 *, f32 *, long long) : f32_mode, \
            void (*)(fz_int, const f64 *, f64 *, long long) : f64_mode, \
            void (*)(fz_int, const f32 *, f32 *) : f32_no_mode, \
            void (*)(fz_int, const f64 *, f64 *) : f64_no_mode)(#symbol, &symbol);

static void all(int wide_ones)
{
#include "../../shim/symbols.def"
}

int main(int argc, char **argv)
{
    fit = argc > 1 && !strcmp(argv[1], "fit");
    __builtin_cpu_init();
    all(0);
    if (__builtin_cpu_supports("avx512f"))
        all(1);
    else
        printf("NOT RUN on this CPU: functions of 512 bits\n");
    printf("digest %016llx\n", (unsigned long long)digest);
    return bad != 0;
}
