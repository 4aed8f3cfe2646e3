/* A program that is out of scope, with a library that is in scope: tail_main LIBRARY.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The library is opened at run time; run at 8 bits of precision. What it gives has 8
 * bits, what the program itself computes has more, from the very function of libm.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int bits(double x)
{
    uint64_t w;
    memcpy(&w, &x, 8);
    w = (w & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    return 53 - __builtin_ctzll(w);
}

static const char *home(double (*f)(double))
{
    Dl_info info;
    const char *slash;
    if (!dladdr((void *)(uintptr_t)f, &info))
        return "nowhere";
    slash = strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

int main(int argc, char **argv)
{
    void *h = argc > 1 ? dlopen(argv[1], RTLD_LAZY) : NULL;
    double (*volatile ours)(double) = exp;
    double (*f[3])(double), (*(*address)(void))(double);
    float (*g)(float, float);
    static const char *const names[] = {"tail_exp", "plain_exp", "pointer_exp"};
    if (!h)
        return puts(dlerror()), 1;
    *(void **)&g = dlsym(h, "tail_powf");
    *(void **)&address = dlsym(h, "address_exp");
    for (int i = 0; i < 3; i++) {
        *(void **)&f[i] = dlsym(h, names[i]);
        printf("%s %d\n", names[i], bits(f[i](0.7)));
    }
    *(void **)&f[0] = dlsym(h, "drawn");
    for (int i = 0; i < 2 && f[0]; i++) /* lazy binding overwrites a slot at its first use */
        printf("drawn%d %.17g\n", i, f[0](0));
    printf("tail_powf %d\n", bits(g(0.7f, 0.3f)));
    printf("program %d\n", bits(ours(0.7)));
    printf("program's %s\nlibrary's %s\n", home(ours), home(address()));
    return 0;
}
