/* BLAS routines of one type: random calls, their exact results, the checks.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Included with X, R, COMPLEX and the names of the level-1 kernels of R.
 */

static X NAME(make)(wide x)
{
#if COMPLEX
    X r;
    __real__ r = (R)creall(x);
    __imag__ r = (R)cimagl(x);
    return r;
#else
    return (X)creall(x);
#endif
}

/* Operands: a, b and c hold ROOM numbers each; the output is the last one a routine
 * names. */
typedef struct NAME(operands) {
    X *a, *b, *c, result;
} NAME(operands);

static void NAME(call_routine)(const call *q, const fz_kernels *k, const fz_job *job,
                               NAME(operands) * o)
{
    const X alpha = NAME(make)(q->alpha), beta = NAME(make)(q->beta);
    const int herm = q->r == HEMM || q->r == HERK || q->r == HER2K || q->r == HEMV ||
                     q->r == HER || q->r == HER2;
    fz_parts p = fz_parts_of(k, job);
    X *const b = q->incx < 0 && q->r >= AXPY ? o->b - (q->m - 1) * q->incx : o->b;
    X *const c = q->incy < 0 && q->r >= AXPY ? o->c - (q->m - 1) * q->incy : o->c;
    switch (q->r) {
    case GEMM:
        NAME(op_gemm)
        (&p, q->m, q->n, q->kk, alpha, q->ta == 'C', o->a, q->ta == 'N' ? 1 : q->lda,
         q->ta == 'N' ? q->lda : 1, q->tb == 'C', o->b, q->tb == 'N' ? 1 : q->ldb,
         q->tb == 'N' ? q->ldb : 1, beta, o->c, q->conj ? q->ldc : 1,
         q->conj ? 1 : q->ldc);
        break;
    case GEMV:
        NAME(op_gemm)
        (&p, q->m, 1, q->kk, alpha, q->ta == 'C', o->a, q->ta == 'N' ? 1 : q->lda,
         q->ta == 'N' ? q->lda : 1, 0, o->b, q->ldb, 1, beta, o->c, q->ldc, 1);
        break;
    case SYMM:
    case HEMM:
        FZ(symm)
        (k, job, herm, q->right, q->upper, q->m, q->n, alpha, o->a, q->lda, o->b, q->ldb,
         beta, o->c, q->ldc);
        break;
    case SYRK:
    case HERK:
        FZ(syrk)
        (k, job, herm, q->upper, q->ta, q->m, q->kk, alpha, o->a, q->lda, beta, o->c,
         q->ldc);
        break;
    case SYR2K:
    case HER2K:
        FZ(syr2k)
        (k, job, herm, q->upper, q->ta, q->m, q->kk, alpha, o->a, q->lda, o->b, q->ldb,
         beta, o->c, q->ldc);
        break;
    case TRMM:
        FZ(trmm)
        (k, job, q->right, q->upper, q->ta, q->unit, q->m, q->n, alpha, o->a, q->lda,
         o->c, q->ldc);
        break;
    case TRSM:
        FZ(trsm)
        (k, job, q->right, q->upper, q->ta, q->unit, q->m, q->n, alpha, o->a, q->lda,
         o->c, q->ldc);
        break;
    case SYMV:
    case HEMV:
        FZ(symv)
        (k, job, q->stored, herm, q->upper, q->m, alpha, o->a, o->b, q->incx, beta, o->c,
         q->incy);
        break;
    case TRMV:
        FZ(trmv)(k, job, q->stored, q->upper, q->ta, q->unit, q->m, o->a, o->c, q->incy);
        break;
    case TRSV:
        FZ(trsv)(k, job, q->stored, q->upper, q->ta, q->unit, q->m, o->a, o->c, q->incy);
        break;
    case GER:
        FZ(geru)
        (k, job, q->conj, q->m, q->n, alpha, o->a, q->incx, o->b, q->incy, o->c, q->ldc);
        break;
    case SYR:
    case HER:
        FZ(syr)(k, job, q->stored, herm, q->upper, q->m, alpha, o->a, q->incx, o->c);
        break;
    case SYR2:
    case HER2:
        FZ(syr2)
        (k, job, q->stored, herm, q->upper, q->m, alpha, o->a, q->incx, o->b, q->incy,
         o->c);
        break;
    case GBMV:
        FZ(gbmv)
        (k, job, q->ta, q->m, q->n, q->kl, q->ku, alpha, o->a, q->lda, o->b, q->incx,
         beta, o->c, q->incy);
        break;
    case AXPY: NAME(op_axpy)(&p, q->m, alpha, q->conj, b, q->incx, c, q->incy); break;
    case SCAL: NAME(op_scal)(&p, q->m, alpha, b, q->incx); break;
    case DOT: o->result = NAME(op_dot)(&p, q->m, q->conj, b, q->incx, c, q->incy); break;
    case NRM2: o->result = ROOT(k, job, 1 + COMPLEX, q->m, (R *)o->b, q->incx); break;
    case ASUM: o->result = SUM(k, job, 1 + COMPLEX, q->m, (R *)o->b, q->incx); break;
    default:
        TURN(k, job, 1 + COMPLEX, q->m, (R *)o->b, q->incx, (R *)o->c, q->incy, (R)0.6,
             (R)-0.8);
    }
}

/* ---- operands as dense matrices
 * --------------------------------------------------------- */

static dense NAME(general)(const X *a, ptrdiff_t m, ptrdiff_t n, ptrdiff_t rs,
                           ptrdiff_t cs)
{
    dense d = dense_open(m, n);
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++)
            *at(&d, i, j) = a[i * rs + j * cs];
    return d;
}

/* A vector with BLAS's negative increments, as a column. */
static dense NAME(column)(const X *x, ptrdiff_t n, ptrdiff_t inc)
{
    return NAME(general)(inc < 0 && n > 0 ? x - (n - 1) * inc : x, n, 1, inc, 1);
}

static dense NAME(triangle)(const call *q, const X *a, ptrdiff_t n)
{
    dense d = dense_open(n, n);
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            const ptrdiff_t e = stored_at(q->stored, q->upper, n, i, j);
            *at(&d, i, j) = i == j && q->unit ? 1 : e < 0 ? 0 : a[e];
        }
    return d;
}

static dense NAME(symmetric)(const call *q, const X *a, ptrdiff_t n, int herm)
{
    dense d = dense_open(n, n);
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            const ptrdiff_t e = stored_at(q->stored, q->upper, n, i, j);
            if (e < 0)
                continue;
            const wide x = herm && i == j ? (wide)creall(a[e]) : (wide)a[e];
            *at(&d, i, j) = x;
            *at(&d, j, i) = herm ? conjl(x) : x;
        }
    return d;
}

/* ---- one call
 * --------------------------------------------------------------------------- */

/* The element of the output (i, j) among the numbers of c, or -1. */
static ptrdiff_t NAME(output_at)(const call *q, ptrdiff_t i, ptrdiff_t j)
{
    switch (q->r) {
    case GEMM: return q->conj ? i * q->ldc + j : i + j * q->ldc;
    case GEMV: return i * q->ldc;
    case SYRK:
    case HERK:
    case SYR2K:
    case HER2K:
    case SYR:
    case HER:
    case SYR2:
    case HER2: return stored_at(q->stored, q->upper, q->m, i, j);
    case SYMM:
    case HEMM:
    case TRMM:
    case TRSM:
    case GER: return i + j * q->ldc;
    default: {
        const ptrdiff_t n = q->r == GBMV && q->ta != 'N' ? q->n : q->m;
        const ptrdiff_t inc = q->r == SCAL ? q->incx : q->incy;
        return inc < 0 ? (i - n + 1) * inc : i * inc;
    }
    }
}

static void NAME(judge)(const call *q, const fz_job *job, const dense *want,
                        const dense *mag, const X *got, ptrdiff_t length,
                        const char *what)
{
    const double u = unit_of(job);
    for (ptrdiff_t i = 0; i < want->m; i++)
        for (ptrdiff_t j = 0; j < want->n; j++) {
            const ptrdiff_t e = NAME(output_at)(q, i, j);
            if (e < 0)
                continue;
            const double chain = ((COMPLEX ? 2 : 1) * (double)length + 12) * u;
            const wide error = (wide)got[e] - *at(want, i, j);
            const long double most = chain / (1 - chain) * creall(*at(mag, i, j));
            if (fabsl(creall(error)) > most || fabsl(cimagl(error)) > most)
                ck_abort_msg("%s: element %td,%td is %La %+Lai, %s %La %+Lai, bound %Lg",
                             call_text(q, TYPE_TEXT, job), i, j, creall(got[e]),
                             cimagl((wide)got[e]), what, creall(*at(want, i, j)),
                             cimagl(*at(want, i, j)), most);
        }
}

/* Exact result and sums of magnitudes of a call that is no solution. */
static void NAME(exact)(const call *q, const NAME(operands) * o, dense *want, dense *mag,
                        ptrdiff_t *length)
{
    const wide alpha = NAME(make)(q->alpha), beta = NAME(make)(q->beta);
    const int herm = q->r == HEMM || q->r == HERK || q->r == HER2K || q->r == HEMV ||
                     q->r == HER || q->r == HER2;
    dense a = {0}, b = {0}, a2 = {0}, b2 = {0};
    wide factor = beta, second = alpha;
    ptrdiff_t m = q->m, n = q->n;
    if (q->r == GBMV && q->ta != 'N')
        m = q->n;
    if (q->r == GBMV)
        n = 1;
    if (q->r >= SYRK && q->r <= HER2K)
        n = q->m;
    if (q->r == SYR || q->r == HER || q->r == SYR2 || q->r == HER2)
        n = q->m;
    *length = q->kk;
    switch (q->r) {
    case GEMM:
    case GEMV:
        a = dense_op(q->ta == 'N' ? NAME(general)(o->a, m, q->kk, 1, q->lda)
                                  : NAME(general)(o->a, q->kk, m, 1, q->lda),
                     q->ta);
        b = q->r == GEMV
                ? NAME(general)(o->b, q->kk, 1, q->ldb, 1)
                : dense_op(q->tb == 'N' ? NAME(general)(o->b, q->kk, n, 1, q->ldb)
                                        : NAME(general)(o->b, n, q->kk, 1, q->ldb),
                           q->tb);
        break;
    case SYMM:
    case HEMM:
        a = NAME(symmetric)(q, o->a, q->right ? n : m, herm);
        b = NAME(general)(o->b, m, n, 1, q->ldb);
        *length = q->right ? n : m;
        if (q->right) {
            dense swap = a;
            a = b;
            b = swap;
        }
        break;
    case SYRK:
    case HERK:
    case SYR2K:
    case HER2K: {
        const char other = herm ? 'C' : 'T';
        const ptrdiff_t rows = q->ta == 'N' ? m : q->kk, cols = q->ta == 'N' ? q->kk : m;
        const int two = q->r == SYR2K || q->r == HER2K;
        const X *src = two ? o->b : o->a;
        const ptrdiff_t ld = two ? q->ldb : q->lda;
        a = NAME(general)(o->a, rows, cols, 1, q->lda);
        b = NAME(general)(src, rows, cols, 1, ld);
        a2 = NAME(general)(src, rows, cols, 1, ld);
        b2 = NAME(general)(o->a, rows, cols, 1, q->lda);
        if (q->ta == 'N') {
            b = dense_op(b, other);
            b2 = dense_op(b2, other);
        } else {
            a = dense_op(a, other);
            a2 = dense_op(a2, other);
        }
        if (two) {
            second = q->r == HER2K ? conjl(alpha) : alpha;
            *length = 2 * q->kk;
        } else {
            free(a2.x);
            free(b2.x);
            a2.x = NULL;
        }
        break;
    }
    case TRMM:
        a = dense_op(NAME(triangle)(q, o->a, q->right ? n : m), q->ta);
        b = NAME(general)(o->c, m, n, 1, q->ldc);
        *length = 2 * (q->right ? n : m);
        factor = 0;
        if (q->right) {
            dense swap = a;
            a = b;
            b = swap;
        }
        break;
    case SYMV:
    case HEMV:
        a = NAME(symmetric)(q, o->a, m, herm);
        b = NAME(column)(o->b, m, q->incx);
        *length = 2 * m;
        break;
    case TRMV:
        a = dense_op(NAME(triangle)(q, o->a, m), q->ta);
        b = NAME(column)(o->c, m, q->incy);
        factor = 0;
        second = 1;
        *length = m;
        break;
    case GBMV:
        a = dense_open(q->m, q->n);
        for (ptrdiff_t i = 0; i < q->m; i++)
            for (ptrdiff_t j = 0; j < q->n; j++)
                if (i - j <= q->kl && j - i <= q->ku)
                    *at(&a, i, j) = o->a[q->ku + i - j + j * q->lda];
        a = dense_op(a, q->ta);
        b = NAME(column)(o->b, a.n, q->incx);
        *length = q->kl + q->ku + 1;
        break;
    case GER:
        a = NAME(column)(o->a, m, q->incx);
        b = dense_op(NAME(column)(o->b, n, q->incy), q->conj ? 'C' : 'T');
        factor = 1;
        *length = 1;
        break;
    case SYR:
    case HER:
    case SYR2:
    case HER2: {
        const int two = q->r == SYR2 || q->r == HER2;
        a = NAME(column)(o->a, m, q->incx);
        b = dense_op(two ? NAME(column)(o->b, m, q->incy)
                         : NAME(column)(o->a, m, q->incx),
                     herm ? 'C' : 'T');
        if (two) {
            a2 = NAME(column)(o->b, m, q->incy);
            b2 = dense_op(NAME(column)(o->a, m, q->incx), herm ? 'C' : 'T');
            second = herm ? conjl(alpha) : alpha;
        }
        factor = 1;
        *length = 2;
        break;
    }
    case AXPY:
    case SCAL:
        a = NAME(column)(o->b, m, q->incx);
        if (q->r == AXPY && q->conj)
            for (ptrdiff_t i = 0; i < m; i++)
                a.x[i] = conjl(a.x[i]);
        b = dense_open(1, 1);
        b.x[0] = 1;
        factor = q->r == AXPY;
        *length = 1;
        break;
    default: break;
    }
    *want = dense_open(m, n);
    *mag = dense_open(m, n);
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            const ptrdiff_t e = NAME(output_at)(q, i, j);
            if (e >= 0 && factor != 0) {
                const wide was = herm && i == j && q->r != HEMM && q->r != HEMV
                                     ? (wide)creall(o->c[e])
                                     : (wide)o->c[e];
                *at(want, i, j) = factor * was;
                *at(mag, i, j) = cabsl(factor) * cabsl(was);
            }
        }
    dense_add(want, mag, q->r == TRMV ? 1 : alpha, &a, &b);
    if (a2.x) {
        dense_add(want, mag, second, &a2, &b2);
        free(a2.x);
        free(b2.x);
    }
    free(a.x);
    free(b.x);
}

/* op(A)*X = alpha*B, or X*op(A), with X the result: the residual. */
static void NAME(judge_solution)(const call *q, const fz_job *job,
                                 const NAME(operands) * o, const X *got)
{
    const int vector = q->r == TRSV;
    const wide alpha = vector ? 1 : (wide)NAME(make)(q->alpha);
    const ptrdiff_t order = q->right && !vector ? q->n : q->m;
    dense a = dense_op(NAME(triangle)(q, o->a, order), q->ta);
    dense x = vector ? NAME(column)(got, q->m, q->incy)
                     : NAME(general)(got, q->m, q->n, 1, q->ldc);
    dense b = vector ? NAME(column)(o->c, q->m, q->incy)
                     : NAME(general)(o->c, q->m, q->n, 1, q->ldc);
    dense sum = dense_open(x.m, x.n), mag = dense_open(x.m, x.n);
    if (q->right && !vector)
        dense_add(&sum, &mag, 1, &x, &a);
    else
        dense_add(&sum, &mag, 1, &a, &x);
    const double chain = ((COMPLEX ? 2 : 1) * (double)order + 24) * unit_of(job);
    for (ptrdiff_t i = 0; i < x.m * x.n; i++) {
        const long double most = chain / (1 - chain) *
                                 (creall(mag.x[i]) + cabsl(alpha * b.x[i]));
        if (!(cabsl(sum.x[i] - alpha * b.x[i]) <= most))
            ck_abort_msg("%s: residual %Lg of element %td, bound %Lg",
                         call_text(q, TYPE_TEXT, job), cabsl(sum.x[i] - alpha * b.x[i]),
                         i, most);
    }
    free(a.x);
    free(x.x);
    free(b.x);
    free(sum.x);
    free(mag.x);
}

static void NAME(fill)(rng *g, X *x)
{
    for (int i = 0; i < ROOM; i++)
        x[i] = NAME(make)((wide)(2 * rng_unit(g) - 1) +
                          (wide)(2 * rng_unit(g) - 1) * _Complex_I);
}

/* dot, nrm2, asum, rot */
static void NAME(judge_vectors)(const call *q, const fz_job *job,
                                const NAME(operands) * before, const NAME(operands) * o)
{
    dense x = NAME(column)(before->b, q->m, q->incx),
          y = NAME(column)(before->c, q->m, q->incy);
    dense want = dense_open(q->m, 1), mag = dense_open(q->m, 1);
    wide sum = 0, size = 0;
    for (ptrdiff_t i = 0; i < q->m; i++) {
        const wide a = x.x[i], b = y.x[i];
        *at(&want, i, 0) = 0.6L * b + 0.8L * a;
        *at(&mag, i, 0) = 2 * (cabsl(a) + cabsl(b));
        if (q->r == DOT) {
            sum += (q->conj ? conjl(a) : a) * b;
            size += cabsl(a) * cabsl(b);
        } else {
            sum += q->r == NRM2 ? a * conjl(a) : fabsl(creall(a)) + fabsl(cimagl(a));
            size = sum;
        }
    }
    if (q->r == NRM2)
        sum = size = sqrtl(creall(sum));
    if (q->r == ROT) {
        /* y, of c = 0.6 and s = -0.8 */
        NAME(judge)(q, job, &want, &mag, o->c, 1, "exactly");
    } else {
        const double chain = (2 * (double)q->m + 20) * unit_of(job);
        const wide error = (wide)o->result - sum;
        if (!(cabsl(error) <= 2 * chain * creall(size)))
            ck_abort_msg("%s: %La %+Lai, exactly %La %+Lai", call_text(q, TYPE_TEXT, job),
                         creall(o->result), cimagl((wide)o->result), creall(sum),
                         cimagl(sum));
    }
    free(x.x);
    free(y.x);
    free(want.x);
    free(mag.x);
}

static void JOIN(trial_, X)(rng *g, enum routine r, enum prism_mode mode, int t,
                            uint64_t seed)
{
    call q = random_call(g, r, COMPLEX, seed);
    fz_job job = {mode, t, prism_key_seed(rng_next(g)), NULL};
    const ptrdiff_t order = q.m > q.n ? q.m : q.n;
    const ptrdiff_t longest = order > q.kk ? order : q.kk;
    if (r == GEMV)
        q.ldc = 1 + (ptrdiff_t)rng_below(g, 3);
    else
        q.ldc = longest + 1 + (ptrdiff_t)rng_below(g, 4);
    if (r < AXPY && r != GEMV && r != GEMM && longest > 150)
        return;
    q.lda = longest + 1 + (ptrdiff_t)rng_below(g, 4);
    q.ldb = r == GEMV ? 1 + (ptrdiff_t)rng_below(g, 3)
                      : q.lda + (ptrdiff_t)rng_below(g, 4);
    if (r == GBMV)
        q.lda = q.kl + q.ku + 1 + (ptrdiff_t)rng_below(g, 3);
    q.stored.ld = q.lda;
    if (q.stored.how == FZ_STORED_BAND)
        q.stored.ld = q.stored.band + 1 + (ptrdiff_t)rng_below(g, 3);
    if ((r >= SYRK && r <= HER2K) || r == SYR || r == HER || r == SYR2 || r == HER2)
        q.stored.ld = q.ldc;

    NAME(operands) first, now, ref;
    X **const three[] = {&first.a, &first.b, &first.c, &now.a, &now.b,
                         &now.c,   &ref.a,   &ref.b,   &ref.c};
    for (int i = 0; i < 9; i++)
        *three[i] = malloc(ROOM * sizeof(X));
    NAME(fill)(g, first.a);
    NAME(fill)(g, first.b);
    NAME(fill)(g, first.c);
    if (r == TRSM || r == TRSV)
        for (int i = 0; i < ROOM; i++) /* well-conditioned: small beside ... */
            first.a[i] *= (R)0.02;
    for (ptrdiff_t i = 0; (r == TRSM || r == TRSV) && i < order; i++) {
        const ptrdiff_t e = stored_at(q.stored, q.upper,
                                      r == TRSV ? q.m
                                      : q.right ? q.n
                                                : q.m,
                                      i, i);
        if (e >= 0 && i < (r == TRSV ? q.m : q.right ? q.n : q.m))
            first.a[e] *= 50 + (R)(i % 7) * 20; /* ... the diagonal */
    }
    first.result = ref.result = 0;
    for (int isa = -1; isa < PRISM_ISAS; isa++) {
        for (int threads = 0; threads < 2; threads++) {
            if (isa >= 0 && !(prism_isa_detected() >> isa & 1))
                continue;
            if (isa < 0 && threads)
                continue;
            memcpy(now.a, first.a, ROOM * sizeof(X));
            memcpy(now.b, first.b, ROOM * sizeof(X));
            memcpy(now.c, first.c, ROOM * sizeof(X));
            now.result = 0;
            job.threads = threads ? &test_threads : NULL;
            NAME(call_routine)
            (&q, fz_kernels_for(isa < 0 ? PRISM_REF : (enum prism_isa)isa), &job, &now);
            if (isa < 0) {
                memcpy(ref.a, now.a, ROOM * sizeof(X));
                memcpy(ref.b, now.b, ROOM * sizeof(X));
                memcpy(ref.c, now.c, ROOM * sizeof(X));
                ref.result = now.result;
            } else if (memcmp(ref.a, now.a, ROOM * sizeof(X)) ||
                       memcmp(ref.b, now.b, ROOM * sizeof(X)) ||
                       memcmp(ref.c, now.c, ROOM * sizeof(X)) ||
                       memcmp(&ref.result, &now.result, sizeof(X))) {
                ck_abort_msg("%s: %s with%s threads differs from ref",
                             call_text(&q, TYPE_TEXT, &job),
                             prism_isa_name((enum prism_isa)isa), threads ? "" : "out");
            }
        }
    }

    X *const out = r == SCAL ? now.b : now.c;
    if (r >= DOT) {
        NAME(judge_vectors)(&q, &job, &first, &now);
    } else if (r == TRSM || r == TRSV) {
        NAME(judge_solution)(&q, &job, &first, now.c);
    } else {
        dense want, mag;
        ptrdiff_t length;
        NAME(exact)(&q, &first, &want, &mag, &length);
        NAME(judge)(&q, &job, &want, &mag, out, length, "exactly");
        free(want.x);
        free(mag.x);
    }

    /* what is not the output has not been touched */
    ptrdiff_t om = q.m, on = q.n;
    if (r == GBMV) {
        om = q.ta == 'N' ? q.m : q.n;
        on = 1;
    }
    if ((r >= SYRK && r <= HER2K) || r == SYR || r == HER || r == SYR2 || r == HER2)
        on = q.m;
    for (ptrdiff_t i = 0; i < om && r != DOT && r != NRM2 && r != ASUM; i++)
        for (ptrdiff_t j = 0; j < on; j++) {
            const ptrdiff_t e = NAME(output_at)(&q, i, j);
            if (e >= 0)
                out[e] = (r == SCAL ? first.b : first.c)[e];
        }
    ck_assert_msg(!memcmp(now.a, first.a, ROOM * sizeof(X)) &&
                      (r == ROT || !memcmp(now.b, first.b, ROOM * sizeof(X))) &&
                      !memcmp(now.c, first.c, ROOM * sizeof(X)),
                  "%s: something beside the output was changed",
                  call_text(&q, TYPE_TEXT, &job));
    for (int i = 0; i < 9; i++)
        free(*three[i]);
}
