/* LSTM layers of one direction, forward and backward, as oneDNN defines the cell.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A step, with gates in the order i, f, c~, o, each line's operations rounded in the
 * order in which they stand (sums of products as in gemm, from +0, k rising):
 *
 *   z       = (bias + sum x*Wx) + sum h*Wh
 *   i, f, o = 1 / (1 + exp(-z)),  c~ = tanh(z)
 *   c       = fma(i, c~, f*c)
 *   h       = o * tanh(c)
 *
 * and backward from the last step to the first, dh and dc from the step behind:
 *
 *   y    = tanh(c),  dh = ddst + dh,  dc = fma(fma(-y, y, 1), o*dh, dc)
 *   di   = (c~*dc) * fma(-i, i, i)
 *   df   = (c_before*dc) * fma(-f, f, f)
 *   dc~  = (i*dc) * fma(-c~, c~, 1)
 *   do   = (y*dh) * fma(-o, o, o)
 *   dc   = dc*f
 *   dh   = sum di*Wh + sum df*Wh + sum dc~*Wh + sum do*Wh, and so does dsrc with Wx
 *
 * The sums of the weights' gradients run over a stretch of steps (FZ_LSTM_STRETCH numbers
 * of one gate, one step at least), within it by rising time and batch; the stretches are
 * added from the last to the first. In layers of bf16 and f16 what is computed is f32;
 * h and the last c are narrowed by the mode, and the next step takes the narrowed h. Of
 * their gates, backward sees what the narrow type holds, narrowed by the mode, and so do
 * its products of the gates' gradients; a gradient of the bias is narrowed at the end.
 *
 * Streams are keyed by phase and by place in a gate, so that the result depends neither
 * on the weights' layout nor on threads or ISA.
 */
#ifndef FZ_RNN_H
#define FZ_RNN_H

#include "kernels.h"
#include "tensor.h"

#define FZ_LSTM_STRETCH (1 << 17)

/* src (t, n, i) and dst (t, n, o) are dense; states (1, 1, n, o), dense; weights
 * (1, 1, i or o, 4, o) in any layout; bias (1, 1, 4, o). data NULL: states of zeros, no
 * bias, a result that nobody wants. */
typedef struct fz_lstm {
    int reverse; /* from the last position to the first */
    int backward;
    fz_tensor src, h0, c0, wx, wh, bias, dst, hn, cn;
    /* Backward: gradients, f32; dbias may be of the layer's type. Those of weights and
     * bias are added to what is there unless overwrite is set, and have no inner blocks.
     */
    fz_tensor dsrc, dh0, dc0, dwx, dwh, dbias, ddst, dhn, dcn;
    int overwrite;
    ptrdiff_t stretch; /* steps; 0: as FZ_LSTM_STRETCH says */
    void *kept; /* from forward training to backward, the caller's; NULL: inference */
    size_t kept_bytes;
} fz_lstm;

/* NULL, or why it must be left to the original. */
const char *fz_lstm_refuses(const fz_lstm *l);
/* Was `kept` filled by fz_lstm_forward()? Both directions must come from one hand. */
int fz_lstm_kept(const void *kept, size_t bytes);
/* Bytes that training keeps. */
size_t fz_lstm_keeps(const fz_lstm *l);
/* Bytes of scratch, aligned to 64, that a call needs. */
size_t fz_lstm_scratch(const fz_lstm *l);
void fz_lstm_run(const fz_kernels *k, const fz_job *job, const fz_lstm *l, void *scratch);

#endif
