/* Prints what the scan found in a file; test_scan.py compares it with binutils.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     test_scan FILE            counts and times
 *     test_scan FILE leaders    "L address" a leader, "F lo hi name|refused" a function
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../shim/rewrite/image.h"
#include "../../shim/rewrite/insn.h"

/* As the planner has it for libtorch_cpu.so: no MKL, no oneDNN. */
static bool wants(const char *name, void *arg)
{
    (void)arg;
    return !strstr(name, "mkl_") && strncmp(name, "mkl", 3) != 0 &&
           strncmp(name, "_MKL", 4) != 0 && !strstr(name, "_vml") &&
           !strstr(name, "__svml") && !strstr(name, "dnnl");
}

static void progress(size_t done, size_t total)
{
    fprintf(stderr, "%zu of %zu functions\n", done, total);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_leaders(const fz_image *im)
{
    for (uint64_t a = im->text_lo; a < im->text_hi; a++)
        if (fz_image_leader(im, a))
            printf("L %lx\n", a);
    for (size_t i = 0; i < im->count; i++) {
        const fz_function *f = &im->functions[i];
        printf("F %lx %lx %s|%s\n", f->lo, f->hi, f->name, f->refused ? f->refused : "");
    }
}

static void print_counts(const fz_image *im, double open, double scan)
{
    struct { const char *why; uint64_t functions, fp; } left[16] = {0};
    uint64_t wanted = 0, fp = 0, holders = 0, evex = 0;
    for (size_t i = 0; i < im->count; i++) {
        const fz_function *f = &im->functions[i];
        wanted += f->wanted;
        fp += f->fp;
        holders += f->fp > 0;
        evex += f->evex ? f->fp : 0;
        for (int k = 0; f->refused && k < 16; k++) {
            if (left[k].why && strcmp(left[k].why, f->refused) != 0)
                continue;
            left[k].why = f->refused;
            left[k].functions++;
            left[k].fp += f->fp;
            break;
        }
    }
    printf("functions %zu, wanted %lu, with fp %lu, fp %lu (%lu in EVEX functions)\n"
           "instructions %lu, tables %lu, targets %lu, FDEs %lu, landing pads %lu\n"
           "open %.2f s, scan %.2f s\n",
           im->count, wanted, holders, fp, evex, im->instructions, im->tables, im->targets,
           im->fdes, im->landing_pads, open, scan);
    for (int k = 0; k < 16 && left[k].why; k++)
        printf("refused: %s: %lu functions, fp %lu\n", left[k].why, left[k].functions,
               left[k].fp);
    const char *show = getenv("SCAN_REFUSED");
    for (size_t i = 0; show && i < im->count; i++)
        if (im->functions[i].refused && im->functions[i].wanted)
            printf("%s: %lx %s\n", im->functions[i].refused, im->functions[i].lo,
                   im->functions[i].name);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    fz_image im;
    double t0 = now();
    const char *why = fz_image_open(&im, argv[1]);
    if (why) {
        printf("refused: %s\n", why);
        return 1;
    }
    double t1 = now();
    fz_image_scan(&im, wants, NULL, fz_insn_rounds, 2, progress);
    double t2 = now();
    if (argc > 2)
        print_leaders(&im);
    else
        print_counts(&im, t1 - t0, t2 - t1);
    fz_image_close(&im);
    return 0;
}
