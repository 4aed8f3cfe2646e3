/* Scratch memory of a thread.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_WORKSPACE_H
#define FZ_WORKSPACE_H

/* Packed panels of A (128 KiB) and B (256 KiB in two precisions) and the sums of a block.
 */
#define FZ_WORKSPACE (1 << 20)

/* FZ_WORKSPACE bytes, page-aligned, the calling thread's own; never NULL. Not for two
 * kernels at a time: a kernel that calls another has given it back. */
void *fz_workspace(void);

#endif
