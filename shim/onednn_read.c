/* oneDNN's public C API, 2.6 and 3.x: what a primitive is, as plain structs.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its functions are found beside the entry: exported, or by .symtab in a library that
 * binds them inside itself (divert.c). Descriptors are read at each call, some hundred
 * nanoseconds: primitives are made, cached and freed, and an address says nothing of what
 * was there before.
 */
#include <string.h>

#include "divert.h"
#include "onednn_api.h"

enum { DIMS = 12, SUCCESS = FZ_DNNL_SUCCESS, U8 = 6 };
#define RUNTIME INT64_MIN /* a size or stride that is known at the call only */

/* dnnl_memory_desc_t of 2.6, up to what blocked layouts need. */
typedef struct md2 {
    int ndims;
    int64_t dims[DIMS];
    int data_type;
    int64_t padded[DIMS], padded_offsets[DIMS];
    int64_t offset0;
    int format;
    int64_t stride[DIMS];
    int nblocks;
    int64_t block[DIMS], block_dim[DIMS];
    struct {
        uint64_t flags;
        char rest[72];
    } extra;
} md2;

/* dnnl_convolution_desc_t and dnnl_eltwise_desc_t of 2.6. */
typedef struct conv2 {
    int kind, prop, alg;
    md2 tensor[8];
    int64_t stride[DIMS], dilation[DIMS], pad[2][DIMS];
} conv2;

typedef struct eltwise2 {
    int kind, prop, alg;
    md2 tensor[2];
    f32 alpha, beta;
} eltwise2;

/* dnnl_query_t: the first group in both versions, the others in one. */
enum {
    Q_KIND = 2,
    Q_PROP = 11,
    Q_STRIDES = 14,
    Q_DILATIONS,
    Q_PADDING,
    Q_FLAGS = 19,
    Q_ALG,
    Q_ALPHA,
    Q_BETA,
    Q_CELL = 28,
    Q_DIRECTION,
    Q_ACTIVATION,
    Q_CONV2 = 66,
    Q_DECONV2,
    Q_ELTWISE2 = 69,
    Q_ARG_MD = 255,
    Q_NDIMS = 256,
    Q_DIMS,
    Q_TYPE,
    Q_OFFSET,
    Q_PADDED,
    Q_PADDED_OFFSETS,
    Q_FORMAT,
    Q_NBLOCKS,
    Q_BLOCKS,
    Q_BLOCK_DIMS
};

fz_dnnl_functions fz_dnnl;

/* Which of them a version has: 2, 3, or both (0). */
static const struct {
    const char *name;
    void *to;
    int major;
} functions[] = {
#define TAKE(name) {"dnnl_" #name, &fz_dnnl.name, 0}
    TAKE(version),
    TAKE(primitive_get_primitive_desc),
    TAKE(primitive_desc_query),
    TAKE(primitive_desc_query_md),
    TAKE(primitive_desc_get_attr),
    TAKE(memory_get_memory_desc),
    TAKE(memory_get_data_handle),
    {"dnnl_memory_desc_query", &fz_dnnl.memory_desc_query, 3},
    TAKE(primitive_attr_get_post_ops),
    {"dnnl_primitive_attr_get_output_scales", &fz_dnnl.primitive_attr_get_output_scales, 2},
    TAKE(post_ops_len),
    TAKE(post_ops_get_kind),
    {"dnnl_post_ops_get_params_sum", &fz_dnnl.post_ops_get_params_sum, 3},
    {"dnnl_post_ops_get_params_sum_v3", &fz_dnnl.post_ops_get_params_sum, 2},
    {"dnnl_post_ops_get_params_eltwise", &fz_dnnl.post_ops_get_params_eltwise, 3},
    {"dnnl_post_ops_get_params_eltwise", &fz_dnnl.post_ops_get_params_eltwise2, 2},
    TAKE(post_ops_get_params_binary),
#undef TAKE
};

enum { SCALES_2 = 513, ZERO_POINTS_2 = 4096 };

/* ---- Finding ----------------------------------------------------------------------- */

static void *find(const char *name)
{
    void *p = fz_original_name(NULL, name);
    return p ? p : fz_divert_found(name);
}

static const char *look(char text[24])
{
    *(void **)&fz_dnnl.version = find("dnnl_version");
    if (!fz_dnnl.version)
        return "dnnl_version is not found";
    const fz_dnnl_number *v = fz_dnnl.version();
    fz_text t = {text, 0, 23, -1, false};
    fz_text_add(&t, "%d.%d.%d", v->first, v->second, v->third);
    text[t.n] = 0;
    if (!(v->first == 3 || (v->first == 2 && v->second >= 6)))
        return "this version of oneDNN is not known";
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (functions[i].major && functions[i].major != v->first)
            continue;
        void *p = find(functions[i].name);
        if (!p)
            return "functions of oneDNN are not found";
        memcpy(functions[i].to, &p, sizeof p);
    }
    fz_dnnl.major = v->first;
    fz_dnnl.post_op = v->first == 2 ? 16384 : v->second >= 12 ? 32768 : 0;
    return NULL;
}

const char *fz_dnnl_version(const char **why)
{
    static atomic_int state; /* 0: not looked, 1: by a thread just now, 2: done */
    static char text[24];
    static const char *missing;
    int unknown = 0;
    if (FZ_UNLIKELY(atomic_load_explicit(&state, memory_order_acquire) != 2)) {
        if (atomic_compare_exchange_strong(&state, &unknown, 1)) {
            missing = look(text);
            atomic_store_explicit(&state, 2, memory_order_release);
        }
        while (atomic_load_explicit(&state, memory_order_acquire) == 1)
            __builtin_ia32_pause();
    }
    *why = missing;
    return *text ? text : NULL;
}

/* ---- Kinds ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int number[2]; /* dnnl_primitive_kind_t of 2.6 and 3.x */
} kinds[FZ_DNNL_KINDS] = {
    [FZ_DNNL_UNKNOWN] = {"primitive of unknown kind", {-1, -1}},
    [FZ_DNNL_CONVOLUTION] = {"convolution", {5, 5}},
    [FZ_DNNL_DECONVOLUTION] = {"deconvolution", {6, 6}},
    [FZ_DNNL_RNN] = {"rnn", {14, 11}},
    [FZ_DNNL_MATMUL] = {"matmul", {18, 14}},
    [FZ_DNNL_INNER_PRODUCT] = {"inner product", {13, 10}},
    [FZ_DNNL_ELTWISE] = {"eltwise", {7, 7}},
    [FZ_DNNL_REORDER] = {"reorder", {1, 1}},
    [FZ_DNNL_SUM] = {"sum", {4, 4}},
    [FZ_DNNL_BINARY] = {"binary", {16, 13}},
    [FZ_DNNL_POOLING] = {"pooling", {9, 16}},
    [FZ_DNNL_SOFTMAX] = {"softmax", {8, 19}},
    [FZ_DNNL_BATCH_NORMALIZATION] = {"batch normalization", {11, 9}},
    [FZ_DNNL_LAYER_NORMALIZATION] = {"layer normalization", {12, 20}},
    [FZ_DNNL_GROUP_NORMALIZATION] = {"group normalization", {-1, 21}},
    [FZ_DNNL_LRN] = {"lrn", {10, 8}},
    [FZ_DNNL_RESAMPLING] = {"resampling", {19, 15}},
    [FZ_DNNL_REDUCTION] = {"reduction", {21, 17}},
    [FZ_DNNL_PRELU] = {"prelu", {22, 18}},
    [FZ_DNNL_GEMM] = {"gemm", {15, 12}},
    [FZ_DNNL_CONCAT] = {"concat", {3, 3}},
    [FZ_DNNL_SHUFFLE] = {"shuffle", {2, 2}},
};

const char *fz_dnnl_kind_name(enum fz_dnnl_kind kind)
{
    return kinds[kind].name;
}

enum fz_dnnl_kind fz_dnnl_kind_of(int number)
{
    /* More of 2.6: logsoftmax, the second forms of pooling and softmax. */
    if (fz_dnnl.major == 2 && (number == 17 || number == 23))
        return FZ_DNNL_SOFTMAX;
    if (fz_dnnl.major == 2 && number == 20)
        return FZ_DNNL_POOLING;
    for (int k = 1; k < FZ_DNNL_KINDS; k++)
        if (kinds[k].number[fz_dnnl.major - 2] == number)
            return (enum fz_dnnl_kind)k;
    return FZ_DNNL_UNKNOWN;
}

/* dnnl_alg_kind_t of 3.x, where 2.6 has another number for it; 0: not in 3.x. */
int fz_dnnl_alg_of(int alg)
{
    static const uint8_t of_2[][2] = {
        {0x1f, 0x20}, {0x2f, 0x21}, {0x3f, 0x22}, {0x4f, 0x23}, {0x5f, 0x24},
        {0x6f, 0x25}, {0x7f, 0x26}, {0x9f, 0x27}, {0xaf, 0x29}, {0xbf, 0x2a},
        {0xcf, 0x2b}, {0xdf, 0x2c}, {0xef, 0x2d}, {0xff, 0x2e}, {0x10, 0x2f},
        {0x20, 0x30}, {0x30, 0x31}, {0x40, 0x32}, {0x60, 0x33}};
    if (fz_dnnl.major != 2 || alg <= 0xf || alg > 0xff)
        return alg;
    for (size_t i = 0; i < sizeof of_2 / sizeof *of_2; i++)
        if (of_2[i][0] == alg)
            return of_2[i][1];
    return 0;
}

/* ---- Primitives -------------------------------------------------------------------- */

static int number(const void *desc, int what)
{
    int n = 0;
    return fz_dnnl.primitive_desc_query(desc, what, 0, &n) == SUCCESS ? n : 0;
}

static f32 real(const void *desc, int what)
{
    f32 x = 0;
    return fz_dnnl.primitive_desc_query(desc, what, 0, &x) == SUCCESS ? x : 0;
}

static const int64_t *numbers(const void *desc, int what)
{
    const int64_t *p = NULL;
    return fz_dnnl.primitive_desc_query(desc, what, 0, &p) == SUCCESS ? p : NULL;
}

static void read_2(fz_dnnl_op *op)
{
    const void *p = NULL;
    int what = op->kind == FZ_DNNL_CONVOLUTION     ? Q_CONV2
               : op->kind == FZ_DNNL_DECONVOLUTION ? Q_DECONV2
               : op->kind == FZ_DNNL_ELTWISE       ? Q_ELTWISE2
                                                   : 0;
    if (!what || fz_dnnl.primitive_desc_query(op->desc, what, 0, &p) != SUCCESS || !p)
        return;
    if (op->kind == FZ_DNNL_ELTWISE) {
        const eltwise2 *e = p;
        op->alg = fz_dnnl_alg_of(e->alg);
        op->alpha = e->alpha;
        op->beta = e->beta;
        return;
    }
    const conv2 *c = p;
    op->alg = c->alg;
    op->stride = c->stride;
    op->dilation = c->dilation;
    op->pad = c->pad[0];
}

static void read_3(fz_dnnl_op *op)
{
    switch (op->kind) {
    case FZ_DNNL_CONVOLUTION:
    case FZ_DNNL_DECONVOLUTION:
        op->alg = number(op->desc, Q_ALG);
        op->stride = numbers(op->desc, Q_STRIDES);
        op->dilation = numbers(op->desc, Q_DILATIONS);
        op->pad = numbers(op->desc, Q_PADDING);
        break;
    case FZ_DNNL_RNN:
        op->cell = number(op->desc, Q_CELL);
        op->direction = number(op->desc, Q_DIRECTION);
        op->activation = number(op->desc, Q_ACTIVATION);
        op->flags = (unsigned)number(op->desc, Q_FLAGS);
        op->alpha = real(op->desc, Q_ALPHA);
        op->beta = real(op->desc, Q_BETA);
        break;
    case FZ_DNNL_ELTWISE:
        op->alpha = real(op->desc, Q_ALPHA);
        op->beta = real(op->desc, Q_BETA);
        op->alg = number(op->desc, Q_ALG);
        break;
    case FZ_DNNL_POOLING: op->alg = number(op->desc, Q_ALG); break;
    default: break;
    }
}

bool fz_dnnl_read(fz_dnnl_op *op, const void *primitive, int nargs,
                  const fz_dnnl_arg *args)
{
    *op = (fz_dnnl_op){.args = args, .nargs = nargs};
    if (!primitive || (nargs > 0 && !args) ||
        fz_dnnl.primitive_get_primitive_desc(primitive, &op->desc) != SUCCESS || !op->desc)
        return false;
    op->kind = fz_dnnl_kind_of(number(op->desc, Q_KIND));
    op->prop = number(op->desc, Q_PROP);
    if (fz_dnnl.major == 2)
        read_2(op);
    else
        read_3(op);
    return true;
}

/* ---- Arguments --------------------------------------------------------------------- */

static const void *memory_of(const fz_dnnl_op *op, int arg)
{
    for (int i = 0; i < op->nargs; i++)
        if (op->args[i].id == arg)
            return op->args[i].memory;
    return NULL;
}

bool fz_dnnl_has(const fz_dnnl_op *op, int arg)
{
    return memory_of(op, arg) != NULL;
}

bool fz_dnnl_only(const fz_dnnl_op *op, const int *args)
{
    const bool two = fz_dnnl.major == 2;
    const int post = fz_dnnl.post_op;
    for (int i = 0; i < op->nargs; i++) {
        const int id = op->args[i].id;
        /* ideep hands zero points to 2.6 with every convolution; only integers have
         * any. */
        bool known = id == FZ_DNNL_SCRATCHPAD || !op->args[i].memory ||
                     (post > 0 && id >= post && id % post == FZ_DNNL_SRC_1) ||
                     (two && id >= ZERO_POINTS_2 && id < 2 * ZERO_POINTS_2) ||
                     (two && id == SCALES_2); /* fz_dnnl_scale() */
        for (const int *a = args; *a && !known; a++)
            known = id == *a;
        if (!known)
            return false;
    }
    return true;
}

/* A descriptor of either version. */
struct md {
    int ndims, type, format, nblocks;
    int64_t offset;
    const int64_t *dims, *padded, *padded_offsets, *stride, *block, *block_dim;
    bool extra;
};

static bool md_of(struct md *m, const void *desc)
{
    *m = (struct md){0};
    if (!desc)
        return false;
    if (fz_dnnl.major == 2) {
        const md2 *d = desc;
        *m = (struct md){d->ndims,  d->data_type,      d->format, d->nblocks,
                         d->offset0, d->dims,          d->padded, d->padded_offsets,
                         d->stride, d->block,          d->block_dim,
                         d->extra.flags != 0};
        return true;
    }
    if (fz_dnnl.memory_desc_query(desc, Q_NDIMS, &m->ndims) != SUCCESS || m->ndims == 0)
        return m->ndims == 0;
    const struct {
        int what;
        void *to;
    } always[] = {{Q_DIMS, &m->dims},     {Q_TYPE, &m->type},
                  {Q_OFFSET, &m->offset}, {Q_PADDED, &m->padded},
                  {Q_FORMAT, &m->format}, {Q_PADDED_OFFSETS, &m->padded_offsets}},
      blocked[] = {{Q_STRIDES, &m->stride},
                   {Q_NBLOCKS, &m->nblocks},
                   {Q_BLOCKS, &m->block},
                   {Q_BLOCK_DIMS, &m->block_dim}};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (fz_dnnl.memory_desc_query(desc, always[i].what, always[i].to) != SUCCESS)
            return false;
    for (size_t i = 0; m->format == 2 && i < sizeof blocked / sizeof *blocked; i++)
        if (fz_dnnl.memory_desc_query(desc, blocked[i].what, blocked[i].to) != SUCCESS)
            return false;
    return true;
}

static bool known_at_call(const struct md *m)
{
    for (int i = 0; i < m->ndims; i++)
        if (m->dims[i] == RUNTIME || (m->format == 2 && m->stride[i] == RUNTIME))
            return false;
    return true;
}

/* As the primitive has it; as the memory has it where that leaves sizes open. */
static bool argument(const fz_dnnl_op *op, int arg, struct md *m)
{
    const void *memory = memory_of(op, arg), *desc = NULL;
    if (md_of(m, fz_dnnl.primitive_desc_query_md(op->desc, Q_ARG_MD, arg)) && m->ndims &&
        known_at_call(m))
        return true;
    return fz_dnnl.memory_get_memory_desc(memory, &desc) == SUCCESS && md_of(m, desc) &&
           known_at_call(m);
}

int fz_dnnl_type(const fz_dnnl_op *op, int arg)
{
    struct md m;
    return memory_of(op, arg) && argument(op, arg, &m) ? m.type : 0;
}

static const char *refused_type(int type)
{
    static const char *const names[] = {
        "no data type",    "data type f16",  "data type bf16",    "data type f32",
        "data type s32",   "data type s8",   "data type u8",      "data type f64",
        "data type bool",  "data type f8",   "data type f8",      "data type s4",
        "data type u4",    "data type e8m0", "data type f4_e2m1", "data type f4_e3m0",
        "data type s64"};
    return type >= 0 && type < (int)(sizeof names / sizeof *names) ? names[type]
                                                                   : "unknown data type";
}

const char *fz_dnnl_tensor(const fz_dnnl_op *op, int arg, fz_tensor *t)
{
    static const enum fz_type types[] = {[1] = FZ_F16, [2] = FZ_BF16, [3] = FZ_F32};
    const void *memory = memory_of(op, arg);
    struct md m;
    void *data = NULL;
    *t = (fz_tensor){0};
    if (!memory)
        return NULL;
    if (!argument(op, arg, &m))
        return "sizes that are not known";
    if (m.type < 1 || m.type > 3)
        return refused_type(m.type);
    if (m.format != 2 || m.extra)
        return "an opaque layout";
    if (m.ndims > FZ_TENSOR_DIMS || m.nblocks > FZ_TENSOR_BLOCKS)
        return "too many dimensions or blocks";
    if (fz_dnnl.memory_get_data_handle(memory, &data) != SUCCESS)
        return "no data handle";
    t->type = types[m.type];
    t->ndims = m.ndims;
    t->nblocks = m.nblocks;
    for (int i = 0; i < m.ndims; i++) {
        if (m.padded_offsets[i])
            return "a layout with an offset of its padding";
        t->dims[i] = m.dims[i];
        t->padded[i] = m.padded[i];
        t->stride[i] = m.stride[i];
    }
    for (int i = 0; i < m.nblocks; i++) {
        t->block[i] = m.block[i];
        t->block_dim[i] = (int)m.block_dim[i];
    }
    if (data)
        t->data = (char *)data + m.offset * (ptrdiff_t)fz_type_size(t->type);
    return NULL;
}

const char *fz_dnnl_take(const fz_dnnl_op *op, const int *args, fz_tensor *const *to,
                         int needed)
{
    for (int i = 0; args[i]; i++) {
        const char *why = fz_dnnl_tensor(op, args[i], to[i]);
        if (why)
            return why;
        if (i < needed && !fz_dnnl_has(op, args[i]))
            return "arguments are missing";
    }
    return NULL;
}

const char *fz_dnnl_bytes(const fz_dnnl_op *op, int arg, void **data, size_t *bytes)
{
    const void *memory = memory_of(op, arg);
    struct md m;
    *data = NULL;
    *bytes = 0;
    if (!memory)
        return NULL;
    if (!argument(op, arg, &m))
        return "sizes that are not known";
    if (m.ndims != 1 || m.format != 2 || m.type != U8 || m.offset || m.stride[0] != 1)
        return "a workspace that is no row of bytes";
    if (fz_dnnl.memory_get_data_handle(memory, data) != SUCCESS)
        return "no data handle";
    *bytes = *data ? (size_t)m.dims[0] : 0;
    return NULL;
}
