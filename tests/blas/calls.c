/* What Netlib's programs do not call: batches, bf16 and f16, complex results by
 * reference.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Built as libtorch_calls.so, so that the library takes it for torch, whose complex dot
 * products pass a hidden first argument; and as a program, whose dot products return in
 * registers. calls() returns the number of wrong results.
 */
#include <complex.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef float _Complex c32;
typedef double _Complex c64;

int calls(void);
int hidden_calls(void);

enum { ROW = 101, COL = 102, NO = 111, TRANS = 112, CONJ = 113, M = 7, N = 5, K = 9 };

void cblas_cgemm_batch(int, const int *, const int *, const int *, const int *,
                       const int *, const c32 *, const c32 **, const int *, const c32 **,
                       const int *, const c32 *, c32 **, const int *, int, const int *);
void cblas_zgemm_batch(int, const int *, const int *, const int *, const int *,
                       const int *, const c64 *, const c64 **, const int *, const c64 **,
                       const int *, const c64 *, c64 **, const int *, int, const int *);
void cblas_gemm_bf16bf16f32(int, int, int, int, int, int, float, const uint16_t *, int,
                            const uint16_t *, int, float, float *, int);
void cblas_gemm_f16f16f32(int, int, int, int, int, int, float, const uint16_t *, int,
                          const uint16_t *, int, float, float *, int);

int seen_info;

/* Netlib's form. */
__attribute__((visibility("default"))) void cblas_xerbla(int info, const char *name,
                                                         const char *form, ...)
{
    (void)name;
    (void)form;
    seen_info = info;
}

static double uniform(void)
{
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (double)(s >> 11) * 0x1p-53 - 0.5;
}

static int differs(const char *what, int i, double complex got, double complex want,
                   double bound)
{
    if (cabs(got - want) <= bound)
        return 0;
    printf("%s element %d: %g%+gi, wanted %g%+gi\n", what, i, creal(got), cimag(got),
           creal(want), cimag(want));
    return 1;
}

/* Two groups of 2 and 1 entries: row- or column-major, every pair of transpositions. */
static int batch(int layout, int ta, int tb)
{
    static c32 a[3][128], b[3][128], c[3][128], was[3][128];
    static c64 za[3][128], zb[3][128], zc[3][128];
    const int tas[2] = {ta, NO}, tbs[2] = {tb, CONJ}, m[2] = {M, 3}, n[2] = {N, 4};
    const int k[2] = {K, 2}, ld[2] = {11, 10}, size[2] = {2, 1};
    const c32 alpha[2] = {1, 0.5f - 2 * I}, beta[2] = {0, -1 + 0.25f * I};
    const c64 zalpha[2] = {1, 0.5 - 2 * I}, zbeta[2] = {0, -1 + 0.25 * I};
    const c32 *pa[3], *pb[3];
    const c64 *pza[3], *pzb[3];
    c32 *pc[3];
    c64 *pzc[3];
    int bad = 0;
    for (int e = 0; e < 3; e++) {
        pa[e] = a[e], pb[e] = b[e], pc[e] = c[e];
        pza[e] = za[e], pzb[e] = zb[e], pzc[e] = zc[e];
        for (int i = 0; i < 128; i++) {
            za[e][i] = a[e][i] = (float)uniform() + (float)uniform() * I;
            zb[e][i] = b[e][i] = (float)uniform() + (float)uniform() * I;
            zc[e][i] = was[e][i] = c[e][i] = (float)uniform() - (float)uniform() * I;
        }
    }
    cblas_cgemm_batch(layout, tas, tbs, m, n, k, alpha, pa, ld, pb, ld, beta, pc, ld, 2,
                      size);
    cblas_zgemm_batch(layout, tas, tbs, m, n, k, zalpha, pza, ld, pzb, ld, zbeta, pzc, ld,
                      2, size);
    for (int e = 0; e < 3; e++) {
        const int g = e / 2, l = ld[g], row = layout == ROW;
        for (int i = 0; i < m[g]; i++)
            for (int j = 0; j < n[g]; j++) {
                const int at = row ? i * l + j : i + j * l;
                double complex sum = 0;
                for (int q = 0; q < k[g]; q++) {
                    const int ra = tas[g] == NO ? i : q, ca = tas[g] == NO ? q : i;
                    const int rb = tbs[g] == NO ? q : j, cb = tbs[g] == NO ? j : q;
                    double complex x = a[e][row ? ra * l + ca : ra + ca * l];
                    double complex y = b[e][row ? rb * l + cb : rb + cb * l];
                    sum += (tas[g] == CONJ ? conj(x) : x) *
                           (tbs[g] == CONJ ? conj(y) : y);
                }
                sum = zalpha[g] * sum + (zbeta[g] != 0 ? zbeta[g] * was[e][at] : 0);
                bad += differs("cblas_cgemm_batch", at, c[e][at], sum, 1e-5);
                bad += differs("cblas_zgemm_batch", at, zc[e][at], sum, 1e-13);
            }
    }
    return bad;
}

/* Small integers over 4: exact in both formats, and so are the sums in nearest. */
static int half(int layout, int ta, int tb)
{
    uint16_t a[128], b[128], ha[128], hb[128];
    float x[128], y[128], c[128], h[128];
    int bad = 0;
    for (int i = 0; i < 128; i++) {
        x[i] = (float)(int)(uniform() * 30) / 4;
        y[i] = (float)(int)(uniform() * 30) / 4;
        const float v[2] = {x[i], y[i]};
        for (int s = 0; s < 2; s++) {
            union {
                float f;
                uint32_t u;
            } bits = {v[s]};
            int e;
            const double f = frexp(fabs(v[s]), &e);
            const int sign = v[s] < 0 ? 0x8000 : 0;
            (s ? b : a)[i] = (uint16_t)(bits.u >> 16);
            (s ? hb : ha)[i] = (uint16_t)(v[s] == 0 ? 0
                                                    : sign | (e + 14) << 10 |
                                                          ((int)(f * 2048) & 1023));
        }
    }
    for (int i = 0; i < 128; i++)
        c[i] = h[i] = 2;
    const int ld = 11;
    cblas_gemm_bf16bf16f32(layout, ta, tb, M, N, K, 2, a, ld, b, ld, -1, c, ld);
    cblas_gemm_f16f16f32(layout, ta, tb, M, N, K, 2, ha, ld, hb, ld, -1, h, ld);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            const int row = layout == ROW, at = row ? i * ld + j : i + j * ld;
            double sum = 0;
            for (int q = 0; q < K; q++) {
                const int ra = ta == NO ? i : q, ca = ta == NO ? q : i;
                const int rb = tb == NO ? q : j, cb = tb == NO ? j : q;
                sum += (double)x[row ? ra * ld + ca : ra + ca * ld] *
                       (double)y[row ? rb * ld + cb : rb + cb * ld];
            }
            bad += differs("cblas_gemm_bf16bf16f32", at, c[at], 2 * sum - 2, 0);
            bad += differs("cblas_gemm_f16f16f32", at, h[at], 2 * sum - 2, 0);
        }
    return bad;
}

#ifdef HIDDEN
void cdotu_(c32 *, const int *, const c32 *, const int *, const c32 *, const int *);
void cdotc_(c32 *, const int *, const c32 *, const int *, const c32 *, const int *);
void zdotu_(c64 *, const int *, const c64 *, const int *, const c64 *, const int *);
void zdotc_(c64 *, const int *, const c64 *, const int *, const c64 *, const int *);
#define DOT(r, f, n, x, incx, y, incy) f(&(r), n, x, incx, y, incy)
#else
c32 cdotu_(const int *, const c32 *, const int *, const c32 *, const int *);
c32 cdotc_(const int *, const c32 *, const int *, const c32 *, const int *);
c64 zdotu_(const int *, const c64 *, const int *, const c64 *, const int *);
c64 zdotc_(const int *, const c64 *, const int *, const c64 *, const int *);
#define DOT(r, f, n, x, incx, y, incy) ((r) = f(n, x, incx, y, incy))
#endif

static int dots(void)
{
    enum { COUNT = 40 };
    c32 x[COUNT], y[2 * COUNT], r[2];
    c64 zx[COUNT], zy[2 * COUNT], zr[2];
    const int n = COUNT, incx = -1, incy = 2;
    double complex u = 0, v = 0;
    int bad = 0;
    for (int i = 0; i < 2 * COUNT; i++) {
        zy[i] = y[i] = (float)uniform() + (float)uniform() * I;
        if (i < COUNT)
            zx[i] = x[i] = (float)uniform() + (float)uniform() * I;
    }
    for (int i = 0; i < COUNT; i++) {
        u += zx[COUNT - 1 - i] * zy[2 * i];
        v += conj(zx[COUNT - 1 - i]) * zy[2 * i];
    }
    DOT(r[0], cdotu_, &n, x, &incx, y, &incy);
    DOT(r[1], cdotc_, &n, x, &incx, y, &incy);
    DOT(zr[0], zdotu_, &n, zx, &incx, zy, &incy);
    DOT(zr[1], zdotc_, &n, zx, &incx, zy, &incy);
    for (int i = 0; i < 2; i++) {
        bad += differs("cdot", i, r[i], i ? v : u, 1e-5);
        bad += differs("zdot", i, zr[i], i ? v : u, 1e-13);
    }
    return bad;
}

#ifdef HIDDEN
#define calls hidden_calls
#endif

void csrot_(const int *, c32 *, const int *, c32 *, const int *, const float *,
            const float *);
void zdrot_(const int *, c64 *, const int *, c64 *, const int *, const double *,
            const double *);

static int rotations(void)
{
    enum { COUNT = 10 };
    c32 x[COUNT], y[2 * COUNT];
    c64 zx[COUNT], zy[2 * COUNT], u[COUNT], v[COUNT];
    const int n = COUNT, incx = -1, incy = 2;
    const float c = 0.75f, s = -0.5f;
    const double dc = c, ds = s;
    int bad = 0;
    for (int i = 0; i < COUNT; i++) {
        zx[i] = x[i] = u[i] = (float)uniform() + (float)uniform() * I;
        zy[2 * i] = y[2 * i] = v[i] = (float)uniform() + (float)uniform() * I;
        zy[2 * i + 1] = y[2 * i + 1] = 9;
    }
    csrot_(&n, x, &incx, y, &incy, &c, &s);
    zdrot_(&n, zx, &incx, zy, &incy, &dc, &ds);
    for (int i = 0; i < COUNT; i++) {
        const int j = COUNT - 1 - i;
        bad += differs("csrot x", j, x[j], dc * u[j] + ds * v[i], 1e-6);
        bad += differs("zdrot x", j, zx[j], dc * u[j] + ds * v[i], 1e-15);
        bad += differs("csrot y", i, y[2 * i], dc * v[i] - ds * u[j], 1e-6);
        bad += differs("zdrot y", i, zy[2 * i], dc * v[i] - ds * u[j], 1e-15);
        bad += (y[2 * i + 1] != 9) + (zy[2 * i + 1] != 9);
    }
    return bad;
}

__attribute__((visibility("default"))) int calls(void)
{
    static const int trans[3] = {NO, TRANS, CONJ};
    int bad = 0;
    for (int layout = ROW; layout <= COL; layout++)
        for (int ta = 0; ta < 3; ta++)
            for (int tb = 0; tb < 3; tb++)
                bad += batch(layout, trans[ta], trans[tb]) +
                       half(layout, trans[ta], trans[tb]);
    return bad + dots() + rotations();
}

#ifndef HIDDEN
/* Parameter numbers are in the caller's order; nothing is written. */
static int illegal(void)
{
    uint16_t a[64] = {0};
    float c[64] = {1};
    static const struct {
        int layout, ta, m, lda, info;
    } cases[] = {
        {7, NO, 3, 4, 1}, {ROW, 5, 3, 4, 2}, {COL, NO, -1, 4, 4}, {COL, NO, 3, 2, 9}};
    int bad = 0;
    for (int i = 0; i < 4; i++) {
        seen_info = 0;
        cblas_gemm_bf16bf16f32(cases[i].layout, cases[i].ta, NO, cases[i].m, 3, 3, 1, a,
                               cases[i].lda, a, 4, 0, c, 4);
        bad += differs("info of bf16bf16f32", i, seen_info, cases[i].info, 0);
        seen_info = 0;
        cblas_gemm_f16f16f32(cases[i].layout, cases[i].ta, NO, cases[i].m, 3, 3, 1, a,
                             cases[i].lda, a, 4, 0, c, 4);
        bad += differs("info of f16f16f32", i, seen_info, cases[i].info, 0);
    }
    return bad + (c[0] != 1);
}

int main(void)
{
    const int bad = calls() + illegal();
    printf("%d wrong\n", bad + hidden_calls());
    return 0;
}
#endif
