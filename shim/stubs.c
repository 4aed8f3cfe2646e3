/* ATen's own products in bf16 and f16, where torch does not ask oneDNN or MKL for them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * They are C++ functions, which would not be safe to divert at their entries
 * (docs/design.md). But torch chooses among builds of them for several instruction sets
 * at run time, by pointers that its libraries export: DispatchStub<…>::DEFAULT, AVX2 and
 * AVX512. A call through a pointer keeps to the calling convention whatever the compiler
 * knows of the callee, so these pointers are exchanged for ours as soon as torch is
 * mapped, before it reads them. Which build torch would have chosen is not our business:
 * each pointer has a substitute of its own that knows its original. brgemm, attention's
 * product where the CPU has AMX, is called through torch's own table and is exported
 * here.
 */
#include "../kernels/half.h"
#include "blas.h"
#include "onednn.h"

enum { TORCH_HALF = 5, TORCH_BF16 = 15, HAS_D = 0 };
enum { BUILDS = 3 };

/* c10::Scalar: a tag, and a union aligned to 16. */
typedef struct at_scalar {
    int tag;
    f64 d __attribute__((aligned(16)));
} at_scalar;

/* c10::BFloat16 and c10::Half by value. */
typedef struct at_half {
    uint16_t x;
} at_half;

typedef void gemm_fn(int type, int ta, int tb, long m, long n, long k,
                     const at_scalar *alpha, const void *a, long lda, const void *b,
                     long ldb, const at_scalar *beta, void *c, long ldc);
typedef void gemv_bf16_fn(int m, int n, at_half alpha, const uint16_t *a, int lda,
                          const uint16_t *x, int incx, at_half beta, uint16_t *y,
                          int incy);
typedef void gemv_fp16_fn(int m, int n, f32 alpha, const uint16_t *a, int lda,
                          const uint16_t *x, int incx, f32 beta, uint16_t *y, int incy);
typedef f32 dot_fn(long n, const uint16_t *x, long incx, const uint16_t *y, long incy);
typedef void brgemm_fn(long m, long n, long k, long lda, long ldb, long ldc, bool add,
                       const uint16_t *a, const uint16_t *b, f32 *c, bool packed);

static void *real[FZ_SYMBOLS][BUILDS];

/* ---- The products ------------------------------------------------------------------ */

/* Column-major. Integers are exact, and floats and complex numbers come here only where
 * BLAS cannot count that far. */
static void gemm(enum fz_symbol row, const void *from, void *original, bool narrow,
                 int type, int ta, int tb, long m, long n, long k, const at_scalar *alpha,
                 const void *a, long lda, const void *b, long ldb, const at_scalar *beta,
                 void *c, long ldc)
{
    fz_call call;
    type = (int8_t)type;
    if ((type != TORCH_HALF && type != TORCH_BF16) || alpha->tag != HAS_D ||
        beta->tag != HAS_D) {
        ((gemm_fn *)original)(type, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    if (!fz_enter_row(&call, row, fz_lib_of(from), from, sizeof(f32))) {
        ((gemm_fn *)original)(type, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    } else if (narrow) {
        fz_gemm_narrow(call.k, &call.job, type == TORCH_BF16 ? FZ_BF16 : FZ_F16, m, n, k,
                       (f32)alpha->d, a, ta ? lda : 1, ta ? 1 : lda, b, tb ? ldb : 1,
                       tb ? 1 : ldb, (f32)beta->d, c, 1, ldc);
    } else {
        fz_gemm_half(call.k, &call.job, type == TORCH_BF16, m, n, k, (f32)alpha->d, a,
                     ta ? lda : 1, ta ? 1 : lda, b, tb ? ldb : 1, tb ? 1 : ldb,
                     (f32)beta->d, c, 1, ldc);
    }
    fz_leave(&call, fz_flops(2, m, n, k));
}

/* y = alpha*A'*x + beta*y, A m by n, column-major. */
static void gemv(const fz_call *call, enum fz_type type, int m, int n, f32 alpha,
                 const uint16_t *a, int lda, const uint16_t *x, int incx, f32 beta,
                 uint16_t *y, int incy)
{
    fz_gemm_narrow(call->k, &call->job, type, n, 1, m, alpha, a, lda, 1, x, incx, 1, beta,
                   y, incy, 1);
}

static void gemv_bf16(const void *from, void *original, int m, int n, at_half alpha,
                      const uint16_t *a, int lda, const uint16_t *x, int incx,
                      at_half beta, uint16_t *y, int incy)
{
    fz_call call;
    if (fz_enter_row(&call, FZ_SYM_at_bf16_gemv_trans, fz_lib_of(from), from,
                     sizeof(f32)))
        gemv(&call, FZ_BF16, m, n, fz_widen(alpha.x, FZ_BF16), a, lda, x, incx,
             fz_widen(beta.x, FZ_BF16), y, incy);
    else
        ((gemv_bf16_fn *)original)(m, n, alpha, a, lda, x, incx, beta, y, incy);
    fz_leave(&call, fz_flops(2, m, n, 1));
}

static void gemv_fp16(const void *from, void *original, int m, int n, f32 alpha,
                      const uint16_t *a, int lda, const uint16_t *x, int incx, f32 beta,
                      uint16_t *y, int incy)
{
    fz_call call;
    if (fz_enter_row(&call, FZ_SYM_at_fp16_gemv_trans, fz_lib_of(from), from,
                     sizeof(f32)))
        gemv(&call, FZ_F16, m, n, alpha, a, lda, x, incx, beta, y, incy);
    else
        ((gemv_fp16_fn *)original)(m, n, alpha, a, lda, x, incx, beta, y, incy);
    fz_leave(&call, fz_flops(2, m, n, 1));
}

static f32 dot(enum fz_symbol row, const void *from, void *original, enum fz_type type,
               long n, const uint16_t *x, long incx, const uint16_t *y, long incy)
{
    fz_call call;
    const f32 r = fz_enter_row(&call, row, fz_lib_of(from), from, sizeof(f32))
                      ? fz_dot_half(call.k, &call.job, type, n, x, incx, y, incy)
                      : ((dot_fn *)original)(n, x, incx, y, incy);
    fz_leave(&call, fz_flops(2, n, 1, 1));
    return r;
}

/* ---- A substitute for each pointer ------------------------------------------------- */

#define BUILD(i)                                                                         \
    static void at_gemm_##i(int type, int ta, int tb, long m, long n, long k,            \
                            const at_scalar *alpha, const void *a, long lda,             \
                            const void *b, long ldb, const at_scalar *beta, void *c,     \
                            long ldc)                                                    \
    {                                                                                    \
        gemm(FZ_SYM_at_gemm, FZ_FROM, real[FZ_SYM_at_gemm][i], true, type, ta, tb, m, n, \
             k, alpha, a, lda, b, ldb, beta, c, ldc);                                    \
    }                                                                                    \
    static void at_gemm_no_downcast_##i(int type, int ta, int tb, long m, long n,        \
                                        long k, const at_scalar *alpha, const void *a,   \
                                        long lda, const void *b, long ldb,               \
                                        const at_scalar *beta, void *c, long ldc)        \
    {                                                                                    \
        gemm(FZ_SYM_at_gemm_no_downcast, FZ_FROM, real[FZ_SYM_at_gemm_no_downcast][i],   \
             false, type, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);         \
    }                                                                                    \
    static void at_bf16_gemv_trans_##i(int m, int n, at_half alpha, const uint16_t *a,   \
                                       int lda, const uint16_t *x, int incx,             \
                                       at_half beta, uint16_t *y, int incy)              \
    {                                                                                    \
        gemv_bf16(FZ_FROM, real[FZ_SYM_at_bf16_gemv_trans][i], m, n, alpha, a, lda, x,   \
                  incx, beta, y, incy);                                                  \
    }                                                                                    \
    static void at_fp16_gemv_trans_##i(int m, int n, f32 alpha, const uint16_t *a,       \
                                       int lda, const uint16_t *x, int incx, f32 beta,   \
                                       uint16_t *y, int incy)                            \
    {                                                                                    \
        gemv_fp16(FZ_FROM, real[FZ_SYM_at_fp16_gemv_trans][i], m, n, alpha, a, lda, x,   \
                  incx, beta, y, incy);                                                  \
    }                                                                                    \
    static f32 at_bf16_dot_##i(long n, const uint16_t *x, long incx, const uint16_t *y,  \
                               long incy)                                                \
    {                                                                                    \
        return dot(FZ_SYM_at_bf16_dot, FZ_FROM, real[FZ_SYM_at_bf16_dot][i], FZ_BF16, n, \
                   x, incx, y, incy);                                                    \
    }                                                                                    \
    static f32 at_fp16_dot_##i(long n, const uint16_t *x, long incx, const uint16_t *y,  \
                               long incy)                                                \
    {                                                                                    \
        return dot(FZ_SYM_at_fp16_dot, FZ_FROM, real[FZ_SYM_at_fp16_dot][i], FZ_F16, n,  \
                   x, incx, y, incy);                                                    \
    }
BUILD(0)
BUILD(1)
BUILD(2)

static const struct stub {
    enum fz_symbol row;
    const char *of;
    void *ours[BUILDS];
} stubs[] = {
#define FZ_STUB(row, of)                                                                 \
    {FZ_SYM_##row, of, {(void *)row##_0, (void *)row##_1, (void *)row##_2}},
#define FZ_SYMBOL(name, family, kernel, need, result, args)
#define FZ_SLOT(name, family, kernel, need, result, args)
#define FZ_HOOK(name, why)
#include "symbols_aten.def"
#undef FZ_SYMBOL
#undef FZ_SLOT
#undef FZ_HOOK
};

void fz_stubs_begin(void)
{
    static const char *const builds[BUILDS] = {"7DEFAULTE", "4AVX2E", "6AVX512E"};
    for (size_t i = 0; i < sizeof stubs / sizeof *stubs; i++)
        for (int b = 0; b < BUILDS; b++) {
            char name[256];
            fz_text t = {name, 0, sizeof name - 1, -1, false};
            fz_text_add(&t, "_ZN2at6native12DispatchStub%s%s", stubs[i].of, builds[b]);
            name[t.n] = 0;
            _Atomic(void *) *p = fz_symbol_of("libtorch_cpu.so", name);
            void *was = p ? atomic_load(p) : NULL;
            if (!was || was == stubs[i].ours[b])
                continue; /* no such build: torch takes the one below */
            real[stubs[i].row][b] = was;
            atomic_store(p, stubs[i].ours[b]);
        }
}

/* ---- brgemm ------------------------------------------------------------------------ */

/* C (+)= A*B, row-major; packed: two rows of B side by side, as AMX takes them. */
static void brgemm(const char *name, _Atomic(void *) *found, const void *from,
                   enum fz_type type, long m, long n, long k, long lda, long ldb,
                   long ldc, bool add, const uint16_t *a, const uint16_t *b, f32 *c,
                   bool packed)
{
    fz_call call;
    if (!fz_enter_row(&call, FZ_SYM_at_brgemm, fz_lib_of(from), from, sizeof(f32))) {
        void *original = atomic_load_explicit(found, memory_order_acquire);
        if (FZ_UNLIKELY(!original)) {
            original = fz_original_name(call.lib, name);
            if (!original)
                fz_die("%s has no original in this process", name);
            atomic_store_explicit(found, original, memory_order_release);
        }
        ((brgemm_fn *)original)(m, n, k, lda, ldb, ldc, add, a, b, c, packed);
    } else {
        const ptrdiff_t even = packed ? (k + 1) / 2 * 2 : k;
        const fz_matmul x = {.a = {.data = (void *)(uintptr_t)a,
                                   .type = type,
                                   .ndims = 2,
                                   .dims = {m, k},
                                   .padded = {m, k},
                                   .stride = {lda, 1}},
                             .b = {.data = (void *)(uintptr_t)b,
                                   .type = type,
                                   .ndims = 2,
                                   .dims = {k, n},
                                   .padded = {even, n},
                                   .stride = {packed ? 2 * ldb : ldb, packed ? 2 : 1},
                                   .nblocks = packed,
                                   .block = {2},
                                   .block_dim = {0}},
                             .c = {.data = c,
                                   .type = FZ_F32,
                                   .ndims = 2,
                                   .dims = {m, n},
                                   .padded = {m, n},
                                   .stride = {ldc, 1}},
                             .scale = 1,
                             .nposts = add,
                             .post = {{.kind = FZ_POST_SUM, .alpha = 1}}};
        fz_matmul_run(call.k, &call.job, &x);
    }
    fz_leave(&call, fz_flops(2, m, n, k));
}

#define BRGEMM(name, type)                                                               \
    FZ_EXPORT brgemm_fn name;                                                            \
    void name(long m, long n, long k, long lda, long ldb, long ldc, bool add,            \
              const uint16_t *a, const uint16_t *b, f32 *c, bool packed)                 \
    {                                                                                    \
        static _Atomic(void *) found;                                                    \
        brgemm(#name, &found, FZ_FROM, type, m, n, k, lda, ldb, ldc, add, a, b, c,       \
               packed);                                                                  \
    }
BRGEMM(_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb, FZ_BF16)
BRGEMM(_ZN2at6native7cpublas6brgemmEllllllbPKN3c104HalfES5_Pfb, FZ_F16)
