/* LSTM layers of oneDNN, as kernels/rnn.h takes them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The workspace that forward training leaves for backward is memory of the host's, whose
 * content only its writer understands. Ours begins with a mark: with it, backward is ours
 * whatever policy says meanwhile (in nearest, where it says that nothing is perturbed);
 * without it, the original's. A mark that memory used before may still hold is wiped out
 * before the original writes there.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "onednn.h"

enum {
    VANILLA_LSTM = 0x2fff,
    LEFT_TO_RIGHT = 1,
    RIGHT_TO_LEFT = 2,
    OVERWRITE = 1, /* dnnl_rnn_flags_diff_weights_overwrite */
    MARK = 64
};

/* ---- Scratch: a thread's own, kept if it is small ---------------------------------- */

#define KEEP ((size_t)16 << 20)

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread struct {
    void *p;
    size_t size;
} room __attribute__((tls_model("initial-exec")));

static void release(void *unused)
{
    (void)unused;
    if (room.p)
        munmap(room.p, room.size);
    room.p = NULL;
    room.size = 0;
}

static void make_key(void)
{
    pthread_key_create(&key, release);
}

static bool make_room(size_t size)
{
    if (size <= room.size)
        return true;
    release(NULL);
    size = (size + 0xfffff) & ~(size_t)0xfffff;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
    if (p == MAP_FAILED)
        return false;
    pthread_once(&once, make_key);
    pthread_setspecific(key, p);
    room.p = p;
    room.size = size;
    return true;
}

/* ---- Reading ----------------------------------------------------------------------- */

static const char *tensors(const fz_dnnl_op *op, fz_lstm *l)
{
    static const int args[] = {
        FZ_DNNL_SRC,  FZ_DNNL_SRC_1, FZ_DNNL_SRC_2, FZ_DNNL_WEIGHTS, FZ_DNNL_WEIGHTS_1,
        FZ_DNNL_BIAS, FZ_DNNL_DST,   FZ_DNNL_DST_1, FZ_DNNL_DST_2,   0};
    static const int known[] = {FZ_DNNL_SRC,
                                FZ_DNNL_SRC_1,
                                FZ_DNNL_SRC_2,
                                FZ_DNNL_WEIGHTS,
                                FZ_DNNL_WEIGHTS_1,
                                FZ_DNNL_BIAS,
                                FZ_DNNL_DST,
                                FZ_DNNL_DST_1,
                                FZ_DNNL_DST_2,
                                FZ_DNNL_WORKSPACE,
                                FZ_DNNL_DIFF_SRC,
                                FZ_DNNL_DIFF_SRC_1,
                                FZ_DNNL_DIFF_SRC_2,
                                FZ_DNNL_DIFF_WEIGHTS,
                                FZ_DNNL_DIFF_WEIGHTS_1,
                                FZ_DNNL_DIFF_BIAS,
                                FZ_DNNL_DIFF_DST,
                                FZ_DNNL_DIFF_DST_1,
                                FZ_DNNL_DIFF_DST_2,
                                0};
    static const int diffs[] = {FZ_DNNL_DIFF_SRC,       FZ_DNNL_DIFF_SRC_1,
                                FZ_DNNL_DIFF_SRC_2,     FZ_DNNL_DIFF_WEIGHTS,
                                FZ_DNNL_DIFF_WEIGHTS_1, FZ_DNNL_DIFF_BIAS,
                                FZ_DNNL_DIFF_DST,       FZ_DNNL_DIFF_DST_1,
                                FZ_DNNL_DIFF_DST_2,     0};
    fz_tensor *to[] = {&l->src,  &l->h0,  &l->c0, &l->wx, &l->wh,
                       &l->bias, &l->dst, &l->hn, &l->cn};
    fz_tensor *diff[] = {&l->dsrc,  &l->dh0,  &l->dc0, &l->dwx, &l->dwh,
                         &l->dbias, &l->ddst, &l->dhn, &l->dcn};
    if (!fz_dnnl_only(op, known))
        return "arguments beside those of the plain cell";
    const char *why = fz_dnnl_take(op, args, to, 0);
    return !why && l->backward ? fz_dnnl_take(op, diffs, diff, 0) : why;
}

const char *fz_dnnl_rnn_read(const fz_dnnl_op *op, fz_dnnl_work *work)
{
    fz_lstm *l = &work->lstm;
    const char *why;
    *l = (fz_lstm){.reverse = op->direction == RIGHT_TO_LEFT,
                   .backward = op->prop == FZ_DNNL_BACKWARD,
                   .overwrite = (op->flags & OVERWRITE) != 0};
    why = fz_dnnl_bytes(op, FZ_DNNL_WORKSPACE, &l->kept, &l->kept_bytes);
    if (why)
        return why;
    if (l->backward)
        work->bound = fz_lstm_kept(l->kept, l->kept_bytes);
    else if (l->kept && l->kept_bytes >= MARK)
        memset(l->kept, 0, MARK);
    if (op->prop != FZ_DNNL_FORWARD_TRAINING && op->prop != FZ_DNNL_FORWARD_INFERENCE &&
        !l->backward)
        return "a direction that is not known";
    if (op->prop == FZ_DNNL_FORWARD_INFERENCE)
        l->kept = NULL;
    else if (!l->kept)
        return "training without a workspace";
    if (op->cell != VANILLA_LSTM)
        return "a cell that is not LSTM";
    if (op->direction != LEFT_TO_RIGHT && op->direction != RIGHT_TO_LEFT)
        return "both directions at once";
    if ((why = tensors(op, l)) || (why = fz_lstm_refuses(l)))
        return why;
    work->flops = (l->backward ? 4 : 2) * 4 * (uint64_t)l->src.dims[0] *
                  (uint64_t)l->src.dims[1] * (uint64_t)l->dst.dims[2] *
                  (uint64_t)(l->src.dims[2] + l->dst.dims[2]);
    return make_room(fz_lstm_scratch(l)) ? NULL : "no memory for its scratch";
}

void fz_dnnl_rnn_run(const fz_call *call, const fz_dnnl_work *work)
{
    fz_lstm_run(call->k, &call->job, &work->lstm, room.p);
    if (room.size > KEEP)
        release(NULL);
}
