/* A oneDNN that tells libfuzzytorch, and nobody else, what it does not know: preloaded
 * behind it, for test_onednn.py. LIE says what: version, kind, type or layout.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* dnnl_memory_desc_t of 2.6, as far as it is lied about. */
typedef struct md2 {
    char before[104];
    int data_type;
    char between[204];
    int format;
    char rest[1024];
} md2;

enum { KIND = 2 };

static int lie(const void *caller, const char *what)
{
    const char *of = getenv("LIE");
    Dl_info at;
    return of && strcmp(of, what) == 0 && dladdr(caller, &at) && at.dli_fname &&
           strstr(at.dli_fname, "libfuzzytorch") != NULL;
}

/* RTLD_NEXT does not see what Python has opened for itself. */
static void *original(const char *name)
{
    void *p = dlsym(dlopen("libdnnl.so.2", RTLD_NOW | RTLD_NOLOAD), name);
    if (!p)
        abort();
    return p;
}

const int *dnnl_version(void);
const int *dnnl_version(void)
{
    static const int other[7] = {5, 0, 1};
    if (lie(__builtin_return_address(0), "version"))
        return other;
    return ((const int *(*)(void))original("dnnl_version"))();
}

int dnnl_primitive_desc_query(const void *desc, int what, int index, void *result);
int dnnl_primitive_desc_query(const void *desc, int what, int index, void *result)
{
    const int rc = ((int (*)(const void *, int, int, void *))original(
        "dnnl_primitive_desc_query"))(desc, what, index, result);
    if (what == KIND && rc == 0 && lie(__builtin_return_address(0), "kind"))
        *(int *)result = 99;
    return rc;
}

const void *dnnl_primitive_desc_query_md(const void *desc, int what, int index);
const void *dnnl_primitive_desc_query_md(const void *desc, int what, int index)
{
    static __thread md2 copy[8];
    static __thread unsigned next;
    const void *md = ((const void *(*)(const void *, int, int))original(
        "dnnl_primitive_desc_query_md"))(desc, what, index);
    const int type = lie(__builtin_return_address(0), "type");
    if (!md || !(type || lie(__builtin_return_address(0), "layout")))
        return md;
    md2 *mine = &copy[next++ % 8];
    memcpy(mine, md, 696); /* all of it */
    if (type)
        mine->data_type = 77;
    else
        mine->format = 3;
    return mine;
}
