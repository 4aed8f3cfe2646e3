/* torch.compile: the folder it keeps, its libraries, its workers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FZ_COMPILING_H
#define FZ_COMPILING_H

#include <stdbool.h>
#include <string.h>

/* A library was opened by this path: if it is torch's Python module, its compilations are
 * told from now on. */
void fz_compiling_opened(const char *path);

/* Is it a library that inductor has written, by its name: c, and a SHA-256 in base 32? */
static inline bool fz_compiled_name(const char *name)
{
    return name[0] == 'c' && strspn(name + 1, "abcdefghijklmnopqrstuvwxyz234567") == 51 &&
           name[52] == '.' && strstr(name + 52, ".so");
}

/* Does one of these make random numbers? Its file holds Philox's multiplier then, and all of
 * it stays exact: such a library is one kernel, random numbers and what was fused with them. */
bool fz_compiled_random(const char *path);

/* Does a command start one of its compile workers, or its compiler? */
bool fz_compiler_command(char *const *argv);

#endif
