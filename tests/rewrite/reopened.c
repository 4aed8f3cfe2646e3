/* Opens a library, has it compute, closes it, and again: prints a line each time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     reopened LIBRARY [OTHER], which takes LIBRARY's place in between
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const void *first = NULL;
    for (int i = 0; i < 4; i++) {
        void *h = dlopen(argv[1], RTLD_NOW);
        double (*sum)(int) = NULL;
        if (!h)
            return 1;
        *(void **)&sum = dlsym(h, "sum");
        first = i ? first : (void *)(size_t)sum;
        printf("%a %s\n", sum(1000), first == (void *)(size_t)sum ? "same place" : "elsewhere");
        dlclose(h);
        if (i == 1 && argc > 2 && rename(argv[2], argv[1]) != 0)
            return 2;
    }
    return 0;
}
