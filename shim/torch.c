/* What torch decides and we decide otherwise: no generated code where gemm can do it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * oneDNN and NNPACK compute convolutions and recurrent layers in code made at run time,
 * which no symbol reaches. torch asks at::Context through its PLT whether the user has
 * enabled them: answering no sends these operations to im2col or cell loops over gemm.
 * The answer is also what torch.backends.mkldnn.enabled shows.
 */
#include <dlfcn.h>
#include <string.h>

#include "compiling.h"
#include "divert.h"
#include "onednn.h"
#include "rewrite/inst.h"
#include "slots.h"

typedef bool enabled_fn(const void *context);

enum { ONEDNN, NNPACK };

static bool enabled(const void *context, const void *from, const char *name, int which)
{
    const fz_policy *p = fz_policy_get();
    if (!p->off && !p->paused && p->scope & FZ_SCOPE_CONV) {
        fz_torch_seen();
        if (which == NNPACK || !fz_dnnl_serves())
            return false;
    }
    fz_lib *lib = fz_lib_of(from);
    void *real = atomic_load_explicit(&lib->torch_real[which], memory_order_acquire);
    if (!real) {
        real = fz_original_name(lib, name);
        atomic_store_explicit(&lib->torch_real[which], real, memory_order_release);
    }
    return real ? ((enabled_fn *)real)(context) : false;
}

FZ_EXPORT enabled_fn _ZNK2at7Context17userEnabledMkldnnEv;
FZ_EXPORT enabled_fn _ZNK2at7Context17userEnabledNNPACKEv;

bool _ZNK2at7Context17userEnabledMkldnnEv(const void *context)
{
    return enabled(context, FZ_FROM, "_ZNK2at7Context17userEnabledMkldnnEv", ONEDNN);
}

bool _ZNK2at7Context17userEnabledNNPACKEv(const void *context)
{
    return enabled(context, FZ_FROM, "_ZNK2at7Context17userEnabledNNPACKEv", NNPACK);
}

/* A file that may be torch or is in scope, named by its path: look at it as soon as it is
 * mapped, while no thread is in it. The caller counts for names without a slash only, apart
 * from its DT_RPATH, which Python's modules do not have. */
static void *open_torch(const char *path, int flags)
{
    fz_divert_opening = fz_divert_threads();
    void *h = fz_real_dlopen(path, flags);
    fz_inst_look();
    if (h && fz_torch_seen())
        dlerror(); /* forget what was asked for in vain */
    fz_report_look();
    if (h)
        fz_compiling_opened(path);
    fz_divert_opening = 0;
    fz_slots_refresh();
    return h;
}

/* Whatever is opened may bring a library in scope along. */
static bool moves_others(void)
{
    const fz_policy *p = fz_policy_get();
    return p->scope & FZ_SCOPE_INST && p->libs;
}

/* ---- dlopen ---------------------------------------------------------------------------
 * A moment to notice torch: the library opened by the call before this one. Python opens
 * several more while it imports torch. The real dlopen looks for $ORIGIN and RUNPATH of
 * its caller by its return address, so it must be jumped to, not called. */

__attribute__((used)) void *fz_before_dlopen(const char *path, int flags);
void *fz_before_dlopen(const char *path, int flags)
{
    (void)flags;
    if (!fz_real_dlopen)
        *(void **)&fz_real_dlopen = fz_next("dlopen");
    if (fz_policy_get()->off || fz_self()->depth || !fz_real_dlopen)
        return (void *)(uintptr_t)fz_real_dlopen;
    const bool seen = fz_torch_seen();
    fz_slots_refresh();
    if (path && strchr(path, '/') && !strchr(path, '$') &&
        ((!seen && strstr(path, "torch")) || fz_path_in_scope(path) || moves_others()))
        return (void *)(uintptr_t)open_torch;
    return (void *)(uintptr_t)fz_real_dlopen;
}

__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        ".cfi_startproc\n"
        "    endbr64\n"
        "    push %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    push %rsi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    sub $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call fz_before_dlopen\n"
        "    add $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    pop %rsi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    pop %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    jmp *%rax\n"
        ".cfi_endproc\n"
        ".size dlopen, . - dlopen\n");
