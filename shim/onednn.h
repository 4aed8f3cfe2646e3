/* A primitive of oneDNN, read through its public C API: what our kernels are told of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Numbers of kinds and algorithms differ between 2.6 and 3.x; here they are ours or those
 * of 3.x, whichever version is read. docs/design.md has the way of a call.
 */
#ifndef FZ_ONEDNN_H
#define FZ_ONEDNN_H

#include "../kernels/conv.h"
#include "../kernels/eltwise.h"
#include "../kernels/matmul.h"
#include "../kernels/reorder.h"
#include "../kernels/rnn.h"
#include "shim.h"

/* dnnl_exec_arg_t */
typedef struct fz_dnnl_arg {
    int id;
    const void *memory;
} fz_dnnl_arg;

enum fz_dnnl_kind {
    FZ_DNNL_UNKNOWN,
    FZ_DNNL_CONVOLUTION,
    FZ_DNNL_DECONVOLUTION,
    FZ_DNNL_RNN,
    FZ_DNNL_MATMUL,
    FZ_DNNL_INNER_PRODUCT,
    FZ_DNNL_ELTWISE,
    FZ_DNNL_REORDER,
    FZ_DNNL_SUM,
    FZ_DNNL_BINARY,
    FZ_DNNL_POOLING,
    FZ_DNNL_SOFTMAX,
    FZ_DNNL_BATCH_NORMALIZATION,
    FZ_DNNL_LAYER_NORMALIZATION,
    FZ_DNNL_GROUP_NORMALIZATION,
    FZ_DNNL_LRN,
    FZ_DNNL_RESAMPLING,
    FZ_DNNL_REDUCTION,
    FZ_DNNL_PRELU,
    FZ_DNNL_GEMM,
    FZ_DNNL_CONCAT,
    FZ_DNNL_SHUFFLE,
    FZ_DNNL_KINDS
};

/* dnnl_prop_kind_t */
enum {
    FZ_DNNL_FORWARD_TRAINING = 64,
    FZ_DNNL_FORWARD_INFERENCE = 96,
    FZ_DNNL_BACKWARD = 128,
    FZ_DNNL_BACKWARD_DATA = 160,
    FZ_DNNL_BACKWARD_WEIGHTS = 192
};

/* DNNL_ARG_… */
enum {
    FZ_DNNL_SRC = 1,
    FZ_DNNL_SRC_1 = 2,
    FZ_DNNL_SRC_2 = 3,
    FZ_DNNL_DST = 17,
    FZ_DNNL_DST_1 = 18,
    FZ_DNNL_DST_2 = 19,
    FZ_DNNL_WEIGHTS = 33,
    FZ_DNNL_WEIGHTS_1 = 34,
    FZ_DNNL_WEIGHTS_2 = 35,
    FZ_DNNL_WEIGHTS_3 = 36,
    FZ_DNNL_BIAS = 41,
    FZ_DNNL_WORKSPACE = 64,
    FZ_DNNL_SCRATCHPAD = 80,
    FZ_DNNL_DIFF_SRC = 129,
    FZ_DNNL_DIFF_SRC_1 = 130,
    FZ_DNNL_DIFF_SRC_2 = 131,
    FZ_DNNL_DIFF_DST = 145,
    FZ_DNNL_DIFF_DST_1 = 146,
    FZ_DNNL_DIFF_DST_2 = 147,
    FZ_DNNL_DIFF_WEIGHTS = 161,
    FZ_DNNL_DIFF_WEIGHTS_1 = 162,
    FZ_DNNL_DIFF_WEIGHTS_2 = 163,
    FZ_DNNL_DIFF_BIAS = 169,
    FZ_DNNL_SRC_SCALE = 4096 + FZ_DNNL_SRC
};

/* Algorithms that are executed: dnnl_alg_kind_t of 3.x. */
enum {
    FZ_DNNL_RELU = 0x20,
    FZ_DNNL_TANH = 0x21,
    FZ_DNNL_LINEAR = 0x26,
    FZ_DNNL_HARDSIGMOID = 0x28,
    FZ_DNNL_LOGISTIC = 0x29,
    FZ_DNNL_GELU_TANH = 0x2b,
    FZ_DNNL_SWISH = 0x2c,
    FZ_DNNL_CLIP = 0x2e,
    FZ_DNNL_CLIP_V2 = 0x2f,
    FZ_DNNL_GELU_ERF = 0x31,
    FZ_DNNL_HARDSWISH = 0x34,
    FZ_DNNL_POOLING_MAX = 0x1ff,
    FZ_DNNL_BINARY_ADD = 0x1fff0,
    FZ_DNNL_BINARY_MUL = 0x1fff1,
    FZ_DNNL_BINARY_DIV = 0x1fff4,
    FZ_DNNL_BINARY_SUB = 0x1fff5
};

typedef struct fz_dnnl_op {
    const void *desc; /* its primitive descriptor */
    const fz_dnnl_arg *args;
    int nargs;
    enum fz_dnnl_kind kind;
    int prop;
    int alg; /* of 3.x */
    f32 alpha, beta;
    /* Convolutions; dilation 0 is dense. Kept by the primitive. */
    const int64_t *stride, *dilation, *pad;
    /* Recurrent layers, 3.x only: dnnl_alg_kind_t, dnnl_rnn_direction_t, … */
    int cell, direction, activation;
    unsigned flags;
} fz_dnnl_op;

/* ---- Reading (onednn_read.c) ------------------------------------------------------- */

/* Can primitives be read in this process? "3.12.0", or NULL and why not. */
const char *fz_dnnl_version(const char **why);

bool fz_dnnl_read(fz_dnnl_op *op, const void *primitive, int nargs,
                  const fz_dnnl_arg *args);
const char *fz_dnnl_kind_name(enum fz_dnnl_kind kind);
bool fz_dnnl_has(const fz_dnnl_op *op, int arg);
/* One argument. NULL, or why it is not one that our kernels take; an argument that was
 * not given is a tensor without data and dimensions. */
const char *fz_dnnl_tensor(const fz_dnnl_op *op, int arg, fz_tensor *t);
/* Several, ended by 0, each into its tensor. NULL, or why not; the first `needed` must have
 * been given. */
const char *fz_dnnl_take(const fz_dnnl_op *op, const int *args, fz_tensor *const *to,
                         int needed);
/* No arguments but these (ended by 0), the scratchpad and post-ops' operands? */
bool fz_dnnl_only(const fz_dnnl_op *op, const int *args);
/* The same in two steps, for types that fz_tensor does not have: dnnl_data_type_t, 0:
 * unknown. */
int fz_dnnl_type(const fz_dnnl_op *op, int arg);
/* An argument that is so many bytes, opaque; NULL and 0 if it was not given. */
const char *fz_dnnl_bytes(const fz_dnnl_op *op, int arg, void **data, size_t *bytes);
/* ---- Attributes (onednn_post.c) ---------------------------------------------------- */

/* The one factor of the result, 1 if there is none: of the output in 2.6, of src in 3.x. */
const char *fz_dnnl_scale(const fz_dnnl_op *op, f32 *scale);
/* The post-ops on a result of this type, at most cap. NULL, or why not. matmul's scale
 * is apart, fz_dnnl_scale(). */
const char *fz_dnnl_posts(const fz_dnnl_op *op, enum fz_type type, fz_post *post, int cap,
                          int *n);

/* ---- Executing (onednn.c) ---------------------------------------------------------- */

/* What a kind's reader leaves for its runner. */
typedef struct fz_dnnl_work {
    uint64_t flops;
    bool bound; /* it goes on from what our kernels left: never the original's */
    union {
        fz_conv conv;
        fz_lstm lstm;
        fz_matmul matmul;
        struct fz_dnnl_inner {
            fz_matmul product, bias; /* bias: its gradient, data NULL: none */
        } inner;
        fz_eltwise eltwise;
        struct fz_dnnl_reorder {
            fz_tensor from, to;
        } reorder;
    };
} fz_dnnl_work;

/* The scopes beside conv without which a kind is not perturbed; its row; reader: NULL, or
 * why the original has to do it; runner. A kind without a reader is left to the original.
 */
typedef struct fz_dnnl_server {
    enum fz_symbol row;
    unsigned also;
    const char *(*read)(const fz_dnnl_op *op, fz_dnnl_work *work);
    void (*run)(const fz_call *call, const fz_dnnl_work *work);
} fz_dnnl_server;

/* Does torch's traffic reach us, so that its convolutions may go to oneDNN? */
bool fz_dnnl_served(void);
/* The same, and torch is told so: the report says if it is led past oneDNN. */
bool fz_dnnl_serves(void);
/* The same for the report: the version (NULL: no oneDNN), and why it does not. */
const char *fz_dnnl_route(const char **why);
void fz_dnnl_begin(void);
/* What was left to the original, i from 0 on; false: there is no more. */
typedef struct fz_dnnl_rest {
    const char *kind, *why;
    uint64_t calls;
} fz_dnnl_rest;
bool fz_dnnl_left(unsigned i, fz_dnnl_rest *rest);
/* Its part of the report. */
void fz_dnnl_json(fz_text *t);
void fz_dnnl_table(fz_text *t);

/* Reorders that narrow (onednn_reorder.c). */
const char *fz_dnnl_reorder_read(const fz_dnnl_op *op, fz_dnnl_work *work);
void fz_dnnl_reorder_run(const fz_call *call, const fz_dnnl_work *work);

/* Convolutions (onednn_conv.c). */
const char *fz_dnnl_conv_read(const fz_dnnl_op *op, fz_dnnl_work *work);
void fz_dnnl_conv_run(const fz_call *call, const fz_dnnl_work *work);

/* Recurrent layers (onednn_rnn.c); products and elementwise functions (onednn_dense.c). */
const char *fz_dnnl_rnn_read(const fz_dnnl_op *op, fz_dnnl_work *work);
void fz_dnnl_rnn_run(const fz_call *call, const fz_dnnl_work *work);
const char *fz_dnnl_matmul_read(const fz_dnnl_op *op, fz_dnnl_work *work);
void fz_dnnl_matmul_run(const fz_call *call, const fz_dnnl_work *work);
const char *fz_dnnl_inner_read(const fz_dnnl_op *op, fz_dnnl_work *work);
void fz_dnnl_inner_run(const fz_call *call, const fz_dnnl_work *work);
/* Is it an algorithm (of 3.x) that our kernels have? */
bool fz_dnnl_function(int alg, enum fz_eltwise_kind *kind);
const char *fz_dnnl_eltwise_read(const fz_dnnl_op *op, fz_dnnl_work *work);
void fz_dnnl_eltwise_run(const fz_call *call, const fz_dnnl_work *work);

#endif
