/* torch.compile: its libraries are in scope, what it computes while it compiles is exact.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A compilation shows in Python only. So when torch's Python module has been opened, inside
 * `import torch`, compiling.py is run in a module of its own; it marks the threads that
 * compile. The interpreter's functions are looked up, since most programs have none.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiling.h"
#include "fuzzytorch.h"
#include "rewrite/inst.h"
#include "shim.h"

/* ---- Where it keeps what it has compiled ------------------------------------------------ */

static const char own_folder[] = "fuzzytorch-inductor";

/* A folder of our own: a native run must not find what this one compiled. */
static void choose_folder(void)
{
    const char *given = getenv("TORCHINDUCTOR_CACHE_DIR"), *tmp = getenv("TMPDIR");
    char folder[4096], cache[3000];
    int n;
    if (given && !strcmp(fz_base_name(given), own_folder))
        return; /* our parent has chosen it */
    if (given && *given)
        n = snprintf(folder, sizeof folder, "%s/%s", given, own_folder);
    else if (fz_cache_folder(cache, sizeof cache))
        n = snprintf(folder, sizeof folder, "%s/%s", cache, own_folder);
    else
        n = snprintf(folder, sizeof folder, "%s/torchinductor_%d/%s",
                     tmp && *tmp ? tmp : "/tmp", (int)getuid(), own_folder);
    if (n > 0 && (size_t)n < sizeof folder)
        setenv("TORCHINDUCTOR_CACHE_DIR", folder, 1);
}

/* Into the environment, which compiling.py takes over. */
static void set_environment(void)
{
    choose_folder();
    /* Inductor writes for ATEN_CPU_CAPABILITY, AVX2, but compiles it for this CPU unless told
     * otherwise. */
    if (fz_policy_get()->scope & FZ_SCOPE_INST && __builtin_cpu_supports("avx512f"))
        setenv("TORCHINDUCTOR_CPP_MARCH", "haswell", 0);
}

bool fz_compiled_random(const char *path)
{
    static const uint32_t multiplier = 0xd2511f53;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool found = false;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            found = memmem(p, (size_t)st.st_size, &multiplier, sizeof multiplier);
            munmap(p, (size_t)st.st_size);
        }
    }
    if (fd >= 0)
        close(fd);
    return found;
}

/* Its compile workers import torch and start compilers, nothing else. Those get sources and
 * objects of its folder. */
bool fz_compiler_command(char *const *argv)
{
    for (int i = 0; argv && argv[i] && i < 200; i++) {
        const size_t n = strlen(argv[i]);
        if (strstr(argv[i], "/torch/_inductor/compile_worker/"))
            return true;
        if (n > 4 && (!strcmp(argv[i] + n - 4, ".cpp") || !strcmp(argv[i] + n - 2, ".o")) &&
            strstr(argv[i], own_folder))
            return true;
    }
    return false;
}

/* ---- The mark --------------------------------------------------------------------------- */

FZ_EXPORT int fuzzy_exact(int on)
{
    if (fz_policy_get()->off)
        return 0;
    fz_thread *t = fz_self();
    const int before = t->plain == FZ_BY_COMPILER;
    fz_plain_set(t, on ? FZ_BY_COMPILER : FZ_PERTURBED);
    return before;
}

/* compiling.py, as text. */
__asm__(".section .rodata\n"
        ".local fz_compiling_py\n"
        "fz_compiling_py:\n"
        "    .incbin \"shim/compiling.py\"\n"
        "    .byte 0\n"
        ".previous\n");
extern const char fz_compiling_py[] __attribute__((visibility("hidden")));

enum { PY_FILE_INPUT = 257 };

static struct {
    int (*is_initialized)(void);
    int (*ensure)(void);
    void (*release)(int);
    void *(*compile)(const char *, const char *, int);
    void *(*execute)(const char *, void *);
    void (*clear)(void);
    void (*forget)(void *);
} py;

static bool find_python(void)
{
    static const struct {
        const char *name;
        void *to;
    } all[] = {{"Py_IsInitialized", &py.is_initialized},
               {"PyGILState_Ensure", &py.ensure},
               {"PyGILState_Release", &py.release},
               {"Py_CompileString", &py.compile},
               {"PyImport_ExecCodeModule", &py.execute},
               {"PyErr_Clear", &py.clear},
               {"Py_DecRef", &py.forget}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        void *p = dlsym(RTLD_DEFAULT, all[i].name);
        if (!p)
            return false;
        memcpy(all[i].to, &p, sizeof p);
    }
    return py.is_initialized();
}

static void run_python(void)
{
    const int state = py.ensure();
    void *code = py.compile(fz_compiling_py, "<libfuzzytorch>", PY_FILE_INPUT);
    void *module = code ? py.execute("_fuzzytorch_compiling", code) : NULL;
    if (!module) {
        py.clear();
        fz_say("warning: what torch.compile computes while it compiles is perturbed too: "
               "shim/compiling.py does not run in this Python");
    }
    py.forget(module); /* NULL is nothing */
    py.forget(code);
    py.release(state);
}

void fz_compiling_opened(const char *path)
{
    static atomic_bool done;
    if (strncmp(fz_base_name(path), "_C.", 3) != 0 || !strstr(path, "/torch/_C.") ||
        atomic_exchange(&done, true) || !find_python())
        return;
    set_environment();
    run_python();
}
