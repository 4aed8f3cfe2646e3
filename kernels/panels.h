/* A block of sums over packed panels: gemm's microkernels for those who pack their own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_PANELS_H
#define FZ_PANELS_H

#include "gemm.h"

/* fz_panels_f32: sum[i][j] = round(A[i,k]*B[k,j] + sum[i][j]), k = 0 .. kc-1, as in
 * gemm: the definition of the words is (job->key, row0 + i, kblock, col0 + j). kblock 0
 * starts from +0.
 *
 * The workspace holds the panels, in gemm's order: A in panels of MR rows, k by k, at
 * fz_panel_a(), B in units of columns, k by k, at fz_panel_b(), edges filled with zeros.
 * sum lies behind them, NC to a row, at fz_panel_sum(). MXCSR is left as the run wanted
 * it: the caller restores it. */
typedef struct fz_panels {
    fz_law law;
    unsigned ftz; /* the host's FTZ and DAZ bits */
    uint32_t row0, col0;
    int rows, cols; /* at most MC and NC */
    f64 bound;       /* 0 at first; of |sum|, so far */
    f64 grid;        /* sums so far are multiples of it */
    ptrdiff_t depth; /* 0 at first; of the runs so far */
} fz_panels;

/* Columns of a unit. */
#define FZ_PANEL_UNIT (8 * SPV)

FZ_INLINE ptrdiff_t fz_panel_rows(int rows)
{
    return (rows + MR - 1) / MR * MR;
}

FZ_INLINE ptrdiff_t fz_panel_cols(int cols)
{
    return (cols + FZ_PANEL_UNIT - 1) / FZ_PANEL_UNIT * FZ_PANEL_UNIT;
}

/* Behind what SR widens from it, in the same area. */
FZ_INLINE f32 *fz_panel_a(void *workspace, int rows, int kc)
{
    return (f32 *)workspace + 2 * MC * KC - fz_panel_rows(rows) * kc;
}

FZ_INLINE f32 *fz_panel_b(void *workspace, int cols, int kc)
{
    return (f32 *)workspace + 2 * (MC + NC) * KC - fz_panel_cols(cols) * kc;
}

FZ_INLINE f32 *fz_panel_sum(void *workspace)
{
    return (f32 *)workspace + 2 * (MC + NC) * KC;
}

#endif
