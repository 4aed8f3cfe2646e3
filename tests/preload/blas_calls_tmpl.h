/* Values of the routines of one type against OpenBLAS's dgemm and its kin.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define R(name) CAT(LETTER, name, _)
#define C(name) CAT(cblas_, LETTER, name)
#define REF(name) ((CAT(fn_d, name, _) *)dlsym(openblas, "d" #name "_"))

enum { CAT(LETTER, _size, ) = 600 };

static void CAT(LETTER, _fill, )(T *x, f64 *wide, f64 *size)
{
    for (int i = 0; i < CAT(LETTER, _size, ); i++) {
        x[i] = (T)uniform();
        wide[i] = x[i];
        size[i] = fabs(wide[i]);
    }
}

/* Every element: those that were not to be written must be as they were. */
static void CAT(LETTER, _same, )(const char *what, const T *got, const f64 *want,
                                 const f64 *size, int terms)
{
    for (int i = 0; i < CAT(LETTER, _size, ); i++) {
        f64 bound = 2 * (terms + 3) * UNIT * size[i];
        checks++;
        if (!(fabs((f64)got[i] - want[i]) <= bound))
            wrong(what, i, got[i], want[i], bound);
    }
    mix(got, CAT(LETTER, _size, ) * sizeof *got);
}

static void CAT(LETTER, _all, )(void)
{
    enum { S = CAT(LETTER, _size, ) };
    static T a[S], b[S], c[S], c2[S];
    static f64 da[S], db[S], dc[S], sa[S], sb[S], sc[S];
    for (int round = 0; round < 300; round++) {
        int m = pick(0, 12), n = pick(0, 12), k = pick(0, 12), ld[3];
        int ta = pick(0, 1), tb = pick(0, 1), ix = pick(-3, 3), iy = pick(-3, 3), one = 1;
        T alpha = pick(0, 3) ? (T)uniform() : 1, beta = pick(0, 2) ? (T)uniform() : 0;
        f64 dalpha = alpha, dbeta = beta, aalpha = fabs(dalpha), abeta = fabs(dbeta);
        const char *fa = ta ? "T" : "n", *fb = tb ? "c" : "N";
        ix = ix ? ix : 1;
        iy = iy ? iy : 2;
        for (int i = 0; i < 3; i++)
            ld[i] = pick(12, 20);
#define FILL \
    CAT(LETTER, _fill, )(a, da, sa); \
    CAT(LETTER, _fill, )(b, db, sb); \
    CAT(LETTER, _fill, )(c, dc, sc)
#define SAME(name, x, terms) CAT(LETTER, _same, )(STR(LETTER) " " name, x, dc, sc, terms)
        /* gemm: the reference in f64, and with absolute values for the bound. */
        FILL;
        memcpy(c2, c, sizeof c);
        REF(gemm)
        (fa, fb, &m, &n, &k, &dalpha, da, &ld[0], db, &ld[1], &dbeta, dc, &ld[2], 1, 1);
        REF(gemm)
        (fa, fb, &m, &n, &k, &aalpha, sa, &ld[0], sb, &ld[1], &abeta, sc, &ld[2], 1, 1);
        R(gemm)(fa, fb, &m, &n, &k, &alpha, a, &ld[0], b, &ld[1], &beta, c, &ld[2], 1, 1);
        SAME("gemm_", c, k);
        memcpy(c, c2, sizeof c);
        C(gemm)
        (102, ta ? 112 : 111, tb ? 113 : 111, m, n, k, alpha, a, ld[0], b, ld[1], beta, c,
         ld[2]);
        SAME("cblas gemm", c, k);
        /* The row-major call of the transposed problem. */
        memcpy(c, c2, sizeof c);
        C(gemm)
        (101, tb ? 112 : 111, ta ? 112 : 111, n, m, k, alpha, b, ld[1], a, ld[0], beta, c,
         ld[2]);
        SAME("cblas gemm by rows", c, k);
        /* A batch of one entry and an empty group; then strided. */
        memcpy(c, c2, sizeof c);
        {
            int t1[2] = {111, ta ? 112 : 111}, t2[2] = {111, tb ? 112 : 111};
            int mm[2] = {1, m}, nn[2] = {1, n}, kk[2] = {1, k}, size[2] = {0, 1};
            int l1[2] = {1, ld[0]}, l2[2] = {1, ld[1]}, l3[2] = {1, ld[2]};
            T al[2] = {1, alpha}, be[2] = {1, beta}, *pc = c;
            const T *pa = a, *pb = b;
            C(gemm_batch)
            (102, t1, t2, mm, nn, kk, al, &pa, l1, &pb, l2, be, &pc, l3, 2, size);
            SAME("cblas gemm_batch", c, k);
            memcpy(c, c2, sizeof c);
            C(gemm_batch_strided)
            (102, t1[1], t2[1], m, n, k, alpha, a, ld[0], 5, b, ld[1], 7, beta, c, ld[2],
             9, 1);
            SAME("cblas gemm_batch_strided", c, k);
        }
        /* gemv */
        FILL;
        memcpy(c2, c, sizeof c);
        REF(gemv)(fa, &m, &n, &dalpha, da, &ld[0], db, &ix, &dbeta, dc, &iy, 1);
        REF(gemv)(fa, &m, &n, &aalpha, sa, &ld[0], sb, &ix, &abeta, sc, &iy, 1);
        R(gemv)(fa, &m, &n, &alpha, a, &ld[0], b, &ix, &beta, c, &iy, 1);
        SAME("gemv_", c, 12);
        memcpy(c, c2, sizeof c);
        C(gemv)(102, ta ? 112 : 111, m, n, alpha, a, ld[0], b, ix, beta, c, iy);
        SAME("cblas gemv", c, 12);
        memcpy(c, c2, sizeof c);
        C(gemv)(101, ta ? 111 : 112, n, m, alpha, a, ld[0], b, ix, beta, c, iy);
        SAME("cblas gemv by rows", c, 12);
        /* ger */
        FILL;
        memcpy(c2, c, sizeof c);
        REF(ger)(&m, &n, &dalpha, da, &ix, db, &iy, dc, &ld[2]);
        REF(ger)(&m, &n, &aalpha, sa, &ix, sb, &iy, sc, &ld[2]);
        R(ger)(&m, &n, &alpha, a, &ix, b, &iy, c, &ld[2]);
        SAME("ger_", c, 1);
        memcpy(c, c2, sizeof c);
        C(ger)(102, m, n, alpha, a, ix, b, iy, c, ld[2]);
        SAME("cblas ger", c, 1);
        memcpy(c, c2, sizeof c);
        C(ger)(101, n, m, alpha, b, iy, a, ix, c, ld[2]);
        SAME("cblas ger by rows", c, 1);
        /* dot: into element 0 */
        FILL;
        f64 d = REF(dot)(&k, da, &ix, db, &iy), s;
        {
            int px = abs(ix), py = abs(iy);
            s = REF(dot)(&k, sa, ix < 0 ? &ix : &px, sb, iy < 0 ? &iy : &py);
        }
        c[0] = R(dot)(&k, a, &ix, b, &iy);
        dc[0] = d;
        sc[0] = s;
        SAME("dot_", c, k);
        c[0] = C(dot)(k, a, ix, b, iy);
        SAME("cblas dot", c, k);
        /* axpy, with a step of 0 too */
        FILL;
        iy = pick(0, 9) ? iy : 0;
        memcpy(c2, c, sizeof c);
        REF(axpy)(&k, &dalpha, da, &ix, dc, &iy);
        REF(axpy)(&k, &aalpha, sa, &ix, sc, &iy);
        R(axpy)(&k, &alpha, a, &ix, c, &iy);
        SAME("axpy_", c, 12);
        memcpy(c, c2, sizeof c);
        C(axpy)(k, alpha, a, ix, c, iy);
        SAME("cblas axpy", c, 12);
        /* scal; nothing happens for a step below 1 */
        FILL;
        memcpy(c2, c, sizeof c);
        if (ix > 0)
            for (int i = 0; i < k; i++)
                dc[i * ix] *= dalpha;
        R(scal)(&k, &alpha, c, &ix);
        SAME("scal_", c, 1);
        memcpy(c, c2, sizeof c);
        C(scal)(k, alpha, c, ix);
        SAME("cblas scal", c, 1);
        (void)one;
    }
    /* NaN in C does not leak through beta = 0. */
    int n = 4;
    T one = 1, zero = 0;
    for (int i = 0; i < 16; i++)
        c[i] = (T)NAN;
    R(gemm)("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n, 1, 1);
    for (int i = 0; i < 16; i++) {
        checks++;
        if (c[i] != c[i])
            wrong("NaN through beta 0", i, c[i], 0, 0);
    }
}

#undef R
#undef C
#undef REF
#undef FILL
#undef SAME
