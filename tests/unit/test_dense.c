/* oneDNN's matmul, and narrowing, against the definitions of kernels/matmul.h and kernels.h,
 * number by number.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * In nearest, to the bit, on every ISA. Under SR the mean of many runs meets f64, and
 * narrowing obeys its law.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "../../kernels/eltwise.h"
#include "../../kernels/math.h"
#include "../../kernels/matmul.h"
#include "eltwise_value.h"
#include "matrix.h"
#include "numbers.h"
#include "test.h"

#define SEED 0x64656e7365

/* Numbers of [-1, 1) with strides of random order and gaps; repeat: dims of 1. */
static fz_tensor tensor(rng *g, enum fz_type type, int nd, const ptrdiff_t *dims,
                        int repeat)
{
    fz_tensor t = {.type = type, .ndims = nd};
    int order[FZ_TENSOR_DIMS];
    ptrdiff_t n = 1;
    for (int d = 0; d < nd; d++) {
        t.dims[d] = t.padded[d] = repeat && rng_below(g, 2) ? 1 : dims[d];
        order[d] = d;
    }
    for (int d = nd - 1; d > 0; d--) {
        const int other = (int)rng_below(g, (uint64_t)d + 1), was = order[d];
        order[d] = order[other];
        order[other] = was;
    }
    for (int i = 0; i < nd; i++) {
        t.stride[order[i]] = n;
        n *= t.dims[order[i]] + (ptrdiff_t)rng_below(g, 2);
    }
    t.data = malloc((size_t)n * 4 + 4);
    for (ptrdiff_t i = 0; i < n; i++)
        put(&t, i, some(g));
    return t;
}

static ptrdiff_t place(const fz_tensor *t, const ptrdiff_t *index)
{
    ptrdiff_t at = 0;
    for (int d = 0; d < t->ndims; d++)
        at += t->dims[d] == 1 ? 0 : fz_tensor_at(t, d, index[d]);
    return at;
}

static f32 beside(const fz_tensor *t, const ptrdiff_t *index)
{
    return get(t, place(t, index));
}

static f32 product_of(const fz_matmul *m, const ptrdiff_t *index, f32 was)
{
    const int nd = m->c.ndims;
    ptrdiff_t ia[FZ_TENSOR_DIMS], ib[FZ_TENSOR_DIMS];
    f32 sum = 0, run = 0;
    memcpy(ia, index, sizeof ia);
    memcpy(ib, index, sizeof ib);
    for (ptrdiff_t k = 0; k < m->a.dims[nd - 1]; k++) {
        if (k && k % FZ_HALF_RUN == 0) {
            sum += run;
            run = 0;
        }
        ia[nd - 1] = ib[nd - 2] = k;
        run = fmaf(beside(&m->a, ia), beside(&m->b, ib), run);
    }
    f32 x = sum + run;
    if (m->scale != 1)
        x *= m->scale;
    if (m->bias.data)
        x += beside(&m->bias, index);
    for (int i = 0; i < m->nposts; i++) {
        const fz_post *p = &m->post[i];
        switch (p->kind) {
        case FZ_POST_SUM: x = fmaf(p->alpha, was, x); break;
        case FZ_POST_RELU: x = x < 0 ? p->alpha * x : x; break;
        case FZ_POST_LINEAR: x = fmaf(p->alpha, x, p->beta); break;
        case FZ_POST_CLIP: x = x < p->alpha ? p->alpha : x > p->beta ? p->beta : x; break;
        case FZ_POST_ELTWISE: x = eltwise_value(p->fn, p->alpha, p->beta, 24, x); break;
        case FZ_POST_ADD: x += beside(&p->other, index); break;
        case FZ_POST_SUB: x -= beside(&p->other, index); break;
        case FZ_POST_DIV: x /= beside(&p->other, index); break;
        case FZ_POST_MUL: x *= beside(&p->other, index); break;
        }
    }
    return x;
}

/* The same matrix with two rows side by side, as AMX takes it. */
static void pack(fz_tensor *b)
{
    const ptrdiff_t k = b->dims[0], n = b->dims[1], pairs = (k + 1) / 2;
    fz_tensor p = {.type = b->type,
                   .ndims = 2,
                   .dims = {k, n},
                   .padded = {2 * pairs, n},
                   .stride = {2 * n, 2},
                   .nblocks = 1,
                   .block = {2},
                   .block_dim = {0}};
    p.data = calloc((size_t)(2 * pairs * n) + 1, 4);
    for (ptrdiff_t i = 0; i < k; i++)
        for (ptrdiff_t j = 0; j < n; j++)
            put(&p, fz_tensor_at(&p, 0, i) + fz_tensor_at(&p, 1, j),
                get(b, i * b->stride[0] + j * b->stride[1]));
    free(b->data);
    *b = p;
}

/* A result in blocks of 4 rows and 8 columns, padded. */
static void block(fz_tensor *c)
{
    const ptrdiff_t rows = (c->dims[0] + 3) / 4 * 4, cols = (c->dims[1] + 7) / 8 * 8;
    fz_tensor b = {.type = c->type,
                   .ndims = 2,
                   .dims = {c->dims[0], c->dims[1]},
                   .padded = {rows, cols},
                   .stride = {4 * cols, 32},
                   .nblocks = 2,
                   .block = {4, 8},
                   .block_dim = {0, 1}};
    b.data = malloc((size_t)(rows * cols) * 4);
    memset(b.data, 0xff, (size_t)(rows * cols) * 4);
    for (ptrdiff_t i = 0; i < c->dims[0]; i++)
        for (ptrdiff_t j = 0; j < c->dims[1]; j++)
            put(&b, fz_tensor_at(&b, 0, i) + fz_tensor_at(&b, 1, j),
                get(c, i * c->stride[0] + j * c->stride[1]));
    free(c->data);
    *c = b;
}

static int padding_is_zero(const fz_tensor *c)
{
    for (ptrdiff_t i = 0; c->nblocks && i < c->padded[0]; i++)
        for (ptrdiff_t j = i < c->dims[0] ? c->dims[1] : 0; j < c->padded[1]; j++)
            if (get(c, fz_tensor_at(c, 0, i) + fz_tensor_at(c, 1, j)) != 0)
                return 0;
    return 1;
}

static fz_matmul build(rng *g)
{
    const int nd = 2 + (int)rng_below(g, 3);
    const enum fz_type type = (enum fz_type)rng_below(g, 3);
    ptrdiff_t c[FZ_TENSOR_DIMS], a[FZ_TENSOR_DIMS], b[FZ_TENSOR_DIMS];
    for (int d = 0; d < nd; d++)
        c[d] = 1 + (ptrdiff_t)rng_below(g, d < nd - 2 ? 3 : nd > 2 ? 20 : 150);
    memcpy(a, c, sizeof a);
    memcpy(b, c, sizeof b);
    a[nd - 1] = b[nd - 2] = (ptrdiff_t)rng_below(g, rng_below(g, 8) ? 40 : 1100);
    fz_matmul m = {.scale = rng_below(g, 2) ? 1 : 1.5f};
    m.a = tensor(g, type, nd, a, 0);
    m.b = tensor(g, type, nd, b, 0);
    if (nd == 2 && rng_below(g, 2))
        pack(&m.b);
    for (int d = 0; d < nd - 2; d++)
        if (rng_below(g, 4) == 0)
            m.a.dims[d] = m.a.padded[d] = 1;
    m.c = tensor(g, rng_below(g, 3) ? type : FZ_F32, nd, c, 0);
    if (nd == 2 && rng_below(g, 2))
        block(&m.c);
    if (rng_below(g, 2))
        m.bias = tensor(g, type, nd, c, 1);
    m.nposts = (int)rng_below(g, 4);
    for (int i = 0; i < m.nposts; i++) {
        const int kind = (int)rng_below(g, FZ_POST_DIV + 1);
        m.post[i] = (fz_post){.kind = (enum fz_post_kind)kind,
                              .alpha = kind == FZ_POST_CLIP ? -0.5f : some(g),
                              .beta = kind == FZ_POST_CLIP ? 0.75f : some(g),
                              .fn = (enum fz_eltwise_kind)rng_below(g, FZ_ELTWISE_KINDS)};
        if (kind == FZ_POST_SUM && rng_below(g, 2))
            m.post[i].alpha = 1;
        if (fz_post_binary((enum fz_post_kind)kind))
            m.post[i].other = tensor(g, type, nd, c, 1);
    }
    const char *why = fz_matmul_refuses(&m);
    ck_assert_msg(!why, "refused: %s", why);
    return m;
}

static void drop(fz_matmul *m)
{
    for (int i = 0; i < m->nposts; i++)
        free(m->post[i].other.data);
    free(m->bias.data);
    free(m->a.data);
    free(m->b.data);
    free(m->c.data);
}

/* Operands whose products are about the smallest normal number, those behind them too. */
static void make_small(fz_matmul *m)
{
    fz_tensor *all[] = {&m->a, &m->b, &m->bias, &m->c};
    for (int q = 0; q < 4; q++) {
        const fz_tensor *t = all[q];
        if (!t->data || t->type == FZ_F16)
            continue;
        ptrdiff_t n = 1;
        for (int d = 0; d < t->ndims; d++)
            n += (t->padded[d] - 1) * t->stride[d];
        const f32 by = q < 2 ? 0x1p-63f : 0x1p-126f;
        for (ptrdiff_t i = 0; i < n && !t->nblocks; i++)
            put(t, i, get(t, i) * by);
    }
}

START_TEST(matmul_is_the_definition)
{
    const uint64_t seed = test_seed(SEED);
    rng g = {seed};
    for (int trial = 0; trial < (test_long() ? 1000 : 80); trial++) {
        fz_matmul m = build(&g);
        const unsigned host = _mm_getcsr(), flush = trial % 4 ? 0 : 0x8040;
        if (flush)
            make_small(&m);
        const int nd = m.c.ndims;
        ptrdiff_t n = 1, index[FZ_TENSOR_DIMS] = {0};
        for (int d = 0; d < nd; d++)
            n *= m.c.dims[d];
        f32 *was = malloc((size_t)n * sizeof *was),
            *want = malloc((size_t)n * sizeof *want);
        ptrdiff_t *at = malloc((size_t)n * sizeof *at);
        for (ptrdiff_t i = 0; i < n; i++) {
            at[i] = place(&m.c, index);
            was[i] = get(&m.c, at[i]);
            _mm_setcsr(host | flush); /* not while results are compared */
            want[i] = product_of(&m, index, was[i]);
            _mm_setcsr(host);
            if (m.c.type != FZ_F32)
                want[i] = fz_widen(fz_narrow(want[i], m.c.type, PRISM_NEAREST, 0),
                                   m.c.type);
            for (int d = nd - 1; d >= 0 && ++index[d] == m.c.dims[d]; d--)
                index[d] = 0;
        }
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            const fz_job job = {PRISM_NEAREST, 24, prism_key_seed(seed),
                                flush ? &unlike_threads : NULL};
            for (ptrdiff_t i = 0; i < n; i++)
                put(&m.c, at[i], was[i]);
            _mm_setcsr(host | flush);
            fz_matmul_run(fz_kernels_for((enum prism_isa)isa), &job, &m);
            _mm_setcsr(host);
            ck_assert_msg(padding_is_zero(&m.c), "FZ_TEST_SEED=%llu trial %d: padding",
                          (unsigned long long)seed, trial);
            for (ptrdiff_t i = 0; i < n; i++) {
                const f32 got = get(&m.c, at[i]);
                ck_assert_msg(
                    got == want[i], "FZ_TEST_SEED=%llu trial %d on %s: %td is %a, not %a",
                    (unsigned long long)seed, trial, prism_isa_name((enum prism_isa)isa),
                    i, (f64)got, (f64)want[i]);
            }
        }
        free(was);
        free(want);
        free(at);
        drop(&m);
    }
}
END_TEST

/* y = narrow(fma(alpha, acc, beta*y)): ATen's gemm and gemv. */
START_TEST(gemm_narrow_is_the_definition)
{
    const uint64_t seed = test_seed(SEED + 1);
    rng g = {seed};
    for (int trial = 0; trial < 100; trial++) {
        const enum fz_type type = trial % 2 ? FZ_BF16 : FZ_F16;
        const ptrdiff_t am[] = {1 + (ptrdiff_t)rng_below(&g, 70),
                                (ptrdiff_t)rng_below(&g, 30)};
        const ptrdiff_t bm[] = {am[1], 1 + (ptrdiff_t)rng_below(&g, 20)};
        const ptrdiff_t cm[] = {am[0], bm[1]};
        fz_matmul m = {.a = tensor(&g, type, 2, am, 0),
                       .b = tensor(&g, type, 2, bm, 0),
                       .c = tensor(&g, type, 2, cm, 0),
                       .scale = 1};
        const f32 factors[] = {0, 1, some(&g)};
        const f32 alpha = factors[rng_below(&g, 3)], beta = factors[rng_below(&g, 3)];
        const ptrdiff_t n = cm[0] * cm[1];
        uint16_t *want = malloc((size_t)n * sizeof *want);
        for (ptrdiff_t i = 0; i < n; i++) {
            const ptrdiff_t index[FZ_TENSOR_DIMS] = {i / cm[1], i % cm[1]};
            f32 acc = alpha == 0 ? 0 : product_of(&m, index, 0),
                was = beside(&m.c, index);
            acc = beta == 0 ? alpha * acc : fmaf(alpha, acc, beta * was);
            want[i] = fz_narrow(acc, type, PRISM_NEAREST, 0);
            if (beta == 0) /* is not read */
                ((uint16_t *)m.c.data)[place(&m.c, index)] = 0x7fff;
        }
        const fz_job job = {PRISM_NEAREST, 24, prism_key_seed(seed), NULL};
        fz_gemm_narrow(fz_kernels_for(prism_isa_best(prism_isa_detected())), &job, type,
                       cm[0], cm[1], am[1], alpha, m.a.data, m.a.stride[0], m.a.stride[1],
                       m.b.data, m.b.stride[0], m.b.stride[1], beta, m.c.data,
                       m.c.stride[0], m.c.stride[1]);
        for (ptrdiff_t i = 0; i < n; i++) {
            const ptrdiff_t index[FZ_TENSOR_DIMS] = {i / cm[1], i % cm[1]};
            const uint16_t got = ((uint16_t *)m.c.data)[place(&m.c, index)];
            ck_assert_msg(((got ^ want[i]) & (want[i] & 0x7fff ? 0xffff : 0x7fff)) == 0,
                          "FZ_TEST_SEED=%llu trial %d: %td is %04x, not %04x",
                          (unsigned long long)seed, trial, i, got, want[i]);
        }
        free(want);
        drop(&m);
    }
}
END_TEST

/* A row is narrowed number by number, with the words that kernels.h says. */
START_TEST(narrow_is_the_definition)
{
    enum { N = 61 };
    const uint64_t seed = test_seed(SEED + 5);
    rng g = {seed};
    for (int trial = 0; trial < 3000; trial++) {
        const enum fz_type type = trial % 2 ? FZ_BF16 : FZ_F16;
        const fz_job job = {(enum prism_mode)(trial / 2 % 4), 24,
                            prism_key_seed(rng_next(&g)), NULL};
        const ptrdiff_t n = (ptrdiff_t)rng_below(&g, N);
        const enum shape shape = (enum shape)rng_below(&g, SHAPES);
        f32 x[N];
        uint16_t got[N], row[N];
        for (int i = 0; i < N; i++)
            x[i] = trial % 3 ? some(&g) : (f32)shape_value(&g, shape, 1);
        for (int isa = test_next_isa(0); isa < PRISM_ISAS; isa = test_next_isa(isa + 1)) {
            fz_kernels_for((enum prism_isa)isa)->narrow(&job, type == FZ_BF16, n, x, got);
            narrow_row(x, n, type, job.mode, job.key, row);
            for (ptrdiff_t i = 0; i < n; i++) {
                const uint16_t want = row[i];
                ck_assert_msg(got[i] == want,
                              "FZ_TEST_SEED=%llu %s: %a is %04x in mode %d, not %04x",
                              (unsigned long long)seed,
                              prism_isa_name((enum prism_isa)isa), (f64)x[i], got[i],
                              (int)job.mode, want);
            }
        }
    }
}
END_TEST

/* A chunk of dot is dot of the widened numbers; chunks are added one to the other. */
START_TEST(dot_half_is_the_definition)
{
    rng g = {test_seed(SEED + 4)};
    const fz_kernels *k = fz_kernels_for(prism_isa_best(prism_isa_detected()));
    for (int trial = 0; trial < 30; trial++) {
        const enum fz_type type = trial % 2 ? FZ_BF16 : FZ_F16;
        const ptrdiff_t n = (ptrdiff_t)rng_below(&g, trial % 3 ? 300 : 3 * FZ_DOT_CHUNK);
        const ptrdiff_t inc = 1 + (ptrdiff_t)rng_below(&g, 2);
        const size_t size = (size_t)(n * inc + 1);
        uint16_t *x = calloc(size, 2), *y = calloc(size, 2);
        f32 *wx = calloc(size, 4), *wy = calloc(size, 4), want = 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i * inc] = fz_narrow(some(&g), type, PRISM_NEAREST, 0);
            y[i * inc] = fz_narrow(some(&g), type, PRISM_NEAREST, 0);
            wx[i] = fz_widen(x[i * inc], type);
            wy[i] = fz_widen(y[i * inc], type);
        }
        const fz_job job = {PRISM_NEAREST, 24, prism_key_seed(1), NULL};
        for (ptrdiff_t i = 0; i < n; i += FZ_DOT_CHUNK) {
            const ptrdiff_t left = n - i < FZ_DOT_CHUNK ? n - i : FZ_DOT_CHUNK;
            want += k->dot_f32(&job, left, wx + i, 1, wy + i, 1);
        }
        const f32 got = fz_dot_half(k, &job, type, n, x, inc, y, inc);
        ck_assert_msg(got == want, "n %td: %a, not %a", n, (f64)got, (f64)want);
        free(x);
        free(y);
        free(wx);
        free(wy);
    }
}
END_TEST

/* Each of 64 results over RUNS runs: its mean meets the exact one. A result is one of two
 * neighbours, u apart (its sum's own noise is 2^-16 u and less), so by Hoeffding the mean
 * errs more than u * sqrt(log(2/alpha) / (2*RUNS)) in a share alpha of all tests: 0.156 u
 * for alpha 1e-6 over all 64 by Bonferroni. Nearest would err by up to u/2. */
START_TEST(matmul_means_the_product)
{
    enum { RUNS = 400, N = 8 };
    const uint64_t seed = test_seed(SEED + 2);
    rng g = {seed};
    const ptrdiff_t ab[] = {N, 200}, ba[] = {200, N}, cc[] = {N, N};
    fz_matmul m = {.a = tensor(&g, FZ_BF16, 2, ab, 0),
                   .b = tensor(&g, FZ_BF16, 2, ba, 0),
                   .c = tensor(&g, FZ_BF16, 2, cc, 0),
                   .scale = 1};
    f64 sum[N][N] = {{0}}, squares[N][N] = {{0}}, exact[N][N];
    for (int run = 0; run < RUNS; run++) {
        const fz_job job = {PRISM_SR, 24, prism_key_seed(rng_next(&g)), NULL};
        fz_matmul_run(fz_kernels_for(prism_isa_best(prism_isa_detected())), &job, &m);
        for (ptrdiff_t i = 0; i < N * N; i++) {
            const ptrdiff_t index[FZ_TENSOR_DIMS] = {i / N, i % N};
            f64 *x = &exact[i / N][i % N];
            *x = 0;
            for (ptrdiff_t k = 0; k < 200; k++) {
                const ptrdiff_t ia[FZ_TENSOR_DIMS] = {i / N, k};
                const ptrdiff_t ib[FZ_TENSOR_DIMS] = {k, i % N};
                *x += (f64)beside(&m.a, ia) * (f64)beside(&m.b, ib);
            }
            const f64 d = (f64)beside(&m.c, index) - *x;
            sum[i / N][i % N] += d;
            squares[i / N][i % N] += d * d;
        }
    }
    int varied = 0;
    for (int i = 0; i < N * N; i++) {
        const f64 mean = sum[i / N][i % N] / RUNS, x = exact[i / N][i % N];
        const f64 u = ldexp(1, ilogb(x) - 7);
        varied += squares[i / N][i % N] / RUNS - mean * mean > u * u / 64;
        ck_assert_msg(fabs(mean) <= 0.156 * u,
                      "FZ_TEST_SEED=%llu result %d: mean off by %g u",
                      (unsigned long long)seed, i, mean / u);
    }
    ck_assert_int_gt(varied, N * N / 2);
    drop(&m);
}
END_TEST

START_TEST(dense_refuses)
{
    rng g = {test_seed(SEED)};
    const ptrdiff_t ab[] = {4, 5}, ba[] = {5, 6}, cc[] = {4, 6};
    fz_matmul m = {.a = tensor(&g, FZ_BF16, 2, ab, 0),
                   .b = tensor(&g, FZ_BF16, 2, ba, 0),
                   .c = tensor(&g, FZ_BF16, 2, cc, 0),
                   .scale = 1};
    ck_assert(!fz_matmul_refuses(&m));
    m.b.dims[0] = 4;
    ck_assert_str_eq(fz_matmul_refuses(&m), "dims do not fit");
    m.b.dims[0] = 5;
    m.a.dims[0] = m.c.dims[0] = (ptrdiff_t)1 << 37;
    ck_assert_str_eq(fz_matmul_refuses(&m), "a result that is too large");
    m.a.dims[0] = m.c.dims[0] = 4;
    fz_eltwise e = {.kind = FZ_ELTWISE_TANH, .src = m.a, .to = m.a};
    e.src.stride[0] = e.to.stride[0] = 6, e.src.stride[1] = e.to.stride[1] = 1;
    ck_assert_str_eq(fz_eltwise_refuses(&e), "a layout with gaps");
    e.to.stride[0] = 5;
    ck_assert_str_eq(fz_eltwise_refuses(&e), "tensors of different layout");
    e.to.stride[0] = e.src.stride[0] = 5;
    ck_assert(!fz_eltwise_refuses(&e));
    e.diff = e.src;
    e.backward = 1;
    ck_assert_str_eq(fz_eltwise_refuses(&e), "the gradient of this algorithm");
    drop(&m);
}
END_TEST

Suite *suite_dense(void)
{
    Suite *s = suite_create("dense");
    TCase *c = tcase_create("dense");
    tcase_set_timeout(c, 600);
    tcase_add_test(c, matmul_is_the_definition);
    tcase_add_test(c, gemm_narrow_is_the_definition);
    tcase_add_test(c, narrow_is_the_definition);
    tcase_add_test(c, dot_half_is_the_definition);
    tcase_add_test(c, matmul_means_the_product);
    tcase_add_test(c, dense_refuses);
    suite_add_tcase(s, c);
    return s;
}
