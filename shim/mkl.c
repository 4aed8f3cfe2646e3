/* MKL's own gemm interfaces: batches, and matrices packed once for many products.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "blas.h"
#include "blas_names.h"

#define SHARES 64

#define T f32
#define LETTER s
#include "batch_tmpl.h"
#undef T
#undef LETTER
#define T f64
#define LETTER d
#include "batch_tmpl.h"
#undef T
#undef LETTER

/* ---- Packed matrices ------------------------------------------------------------------
 * A matrix that we pack carries a header by which cblas_sgemm_compute knows it; MKL's own
 * format is not public. alpha is kept, not applied: it enters the product as in sgemm, so
 * a packed product is rounded like an unpacked one. */

struct pack {
    uint64_t magic[2];
    int32_t which, rows, cols;
    f32 alpha;
    uint64_t unused[4];
    f32 element[]; /* row by row, not transposed */
};

static const uint64_t magic[2] = {0x6b6361707a663931u, 0xd6e8feb86659fd93u};

static const struct pack *packed(const f32 *p, fz_int trans)
{
    const struct pack *h = (const void *)p;
    uint64_t m[2];
    if ((int)trans != FZ_PACKED || !p)
        return NULL;
    memcpy(m, h->magic, sizeof m);
    return m[0] == magic[0] && m[1] == magic[1] ? h : NULL;
}

static size_t pack_size(int which, long m, long n, long k)
{
    long elements = which == FZ_A_MATRIX ? m * k : k * n;
    return sizeof(struct pack) + sizeof(f32) * (size_t)elements;
}

/* Room for either format, since the caller of pack may be judged otherwise than this one.
 */
FZ_EXPORT size_t cblas_sgemm_pack_get_size(fz_int which, fz_int m, fz_int n, fz_int k)
{
    fz_call call;
    size_t size = 0;
    bool ours = fz_enter(&call, FZ_SYM_cblas_sgemm_pack_get_size, FZ_FROM, sizeof(f32));
    fn_cblas_sgemm_pack_get_size *real =
        (fn_cblas_sgemm_pack_get_size *)fz_original(call.lib, call.s);
    if (real)
        size = real(which, m, n, k);
    if ((ours || call.t) && (int)m >= 0 && (int)n >= 0 && (int)k >= 0) {
        size_t mine = pack_size((int)which, (int)m, (int)n, (int)k);
        size = mine > size ? mine : size;
    }
    fz_leave(&call, 0);
    return size;
}

static int pack_info(int layout, int which, int trans, long m, long n, long k, long ld)
{
    bool a = which == FZ_A_MATRIX, t = fz_cblas_trans(trans) == 1;
    if (layout != FZ_ROW && layout != FZ_COL)
        return 1;
    if (!a && which != FZ_B_MATRIX)
        return 2;
    if (fz_cblas_trans(trans) < 0)
        return 3;
    if (m < 0)
        return 4;
    if (n < 0)
        return 5;
    if (k < 0)
        return 6;
    long rows = a ? m : k, cols = a ? k : n;
    return fz_ld_short(ld, (layout == FZ_COL) != t ? rows : cols) ? 9 : 0;
}

FZ_EXPORT void cblas_sgemm_pack(fz_int layout, fz_int which, fz_int trans, fz_int m,
                                fz_int n, fz_int k, f32 alpha, const f32 *src, fz_int ld,
                                f32 *dest)
{
    fz_call call;
    if (!fz_enter(&call, FZ_SYM_cblas_sgemm_pack, FZ_FROM, sizeof(f32))) {
        ((fn_cblas_sgemm_pack *)call.real)(layout, which, trans, m, n, k, alpha, src, ld,
                                           dest);
        fz_leave(&call, 0);
        return;
    }
    int info =
        pack_info((int)layout, (int)which, (int)trans, (int)m, (int)n, (int)k, (int)ld);
    if (info) {
        fz_cblas_xerbla(&call, "cblas_sgemm_pack", info);
    } else {
        bool a = (int)which == FZ_A_MATRIX;
        bool by_column = ((int)layout == FZ_COL) != (fz_cblas_trans((int)trans) == 1);
        long rows = a ? (int)m : (int)k, cols = a ? (int)k : (int)n;
        long rs = by_column ? 1 : (int)ld, cs = by_column ? (int)ld : 1;
        struct pack *h = (void *)dest;
        memset(h, 0, sizeof *h);
        memcpy(h->magic, magic, sizeof magic);
        h->which = (int)which;
        h->rows = (int)rows;
        h->cols = (int)cols;
        h->alpha = alpha;
        for (long i = 0; i < rows; i++)
            for (long j = 0; j < cols; j++)
                h->element[i * cols + j] = src[i * rs + j * cs];
    }
    fz_leave(&call, 0);
}

/* Both operands must be ours or none packed: what the original packed only it can read.
 */
static void compute(fz_call *call, bool row, fz_int ta, fz_int tb, long m, long n, long k,
                    const f32 *a, long lda, const f32 *b, long ldb, f32 beta, f32 *c,
                    long ldc)
{
    const struct pack *pa = packed(a, ta), *pb = packed(b, tb);
    bool t_a = fz_cblas_trans((int)ta) == 1, t_b = fz_cblas_trans((int)tb) == 1;
    long rsa = t_a == row ? 1 : lda, csa = t_a == row ? lda : 1;
    long rsb = t_b == row ? 1 : ldb, csb = t_b == row ? ldb : 1;
    f32 alpha = 1;
    if (pa) {
        a = pa->element;
        rsa = pa->cols;
        csa = 1;
        alpha = pa->alpha;
    }
    if (pb) {
        b = pb->element;
        rsb = pb->cols;
        csb = 1;
        alpha = pa ? alpha * pb->alpha : pb->alpha;
    }
    if (m == 0 || n == 0 || ((alpha == 0 || k == 0) && beta == 1))
        return;
    call->k->gemm_f32(&call->job, m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c,
                      row ? ldc : 1, row ? 1 : ldc);
}

static int compute_info(int layout, fz_int ta, fz_int tb, long m, long n, long k,
                        const f32 *a, long lda, const f32 *b, long ldb, long ldc)
{
    const struct pack *pa = packed(a, ta), *pb = packed(b, tb);
    bool row = layout == FZ_ROW;
    /* A packed operand has no leading dimension to be wrong, but a shape. */
    int info = fz_cblas_gemm_info(
        layout, pa ? FZ_NOTRANS : (int)ta, pb ? FZ_NOTRANS : (int)tb, m, n, k,
        pa ? (row ? k : m) + 1 : lda, pb ? (row ? n : k) + 1 : ldb, ldc);
    if (info)
        return info > 7 ? info - (info > 11 ? 1 : 1) : info; /* there is no alpha */
    if (pa && (pa->which != FZ_A_MATRIX || pa->rows != m || pa->cols != k))
        return 7;
    if (pb && (pb->which != FZ_B_MATRIX || pb->rows != k || pb->cols != n))
        return 9;
    return 0;
}

FZ_EXPORT void cblas_sgemm_compute(fz_int layout, fz_int ta, fz_int tb, fz_int m,
                                   fz_int n, fz_int k, const f32 *a, fz_int lda,
                                   const f32 *b, fz_int ldb, f32 beta, f32 *c, fz_int ldc)
{
    fz_call call;
    bool ours = fz_enter(&call, FZ_SYM_cblas_sgemm_compute, FZ_FROM, sizeof(f32));
    bool readable = packed(a, ta) || packed(b, tb);
    bool foreign = ((int)ta == FZ_PACKED && !packed(a, ta)) ||
                   ((int)tb == FZ_PACKED && !packed(b, tb));
    if (ours && foreign && !readable) {
        call.why = FZ_BY_PACK;
        call.real = fz_original(call.lib, call.s);
        ours = !call.real;
    } else if (!ours && readable) {
        fz_nearest(&call, sizeof(f32));
        ours = true;
    }
    if (!ours) {
        ((fn_cblas_sgemm_compute *)call.real)(layout, ta, tb, m, n, k, a, lda, b, ldb,
                                              beta, c, ldc);
    } else {
        int info = compute_info((int)layout, ta, tb, (int)m, (int)n, (int)k, a, (int)lda,
                                b, (int)ldb, (int)ldc);
        if (info)
            fz_cblas_xerbla(&call, "cblas_sgemm_compute", info);
        else
            compute(&call, (int)layout == FZ_ROW, ta, tb, (int)m, (int)n, (int)k, a,
                    (int)lda, b, (int)ldb, beta, c, (int)ldc);
    }
    fz_leave(&call, fz_flops(2, (int)m, (int)n, (int)k));
}
