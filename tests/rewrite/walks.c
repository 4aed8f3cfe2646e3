/* Walks the stack a thousand times a second while moved code computes: walks WALKER.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * WALKER: backtrace (glibc's), libunwind (as which it must be compiled: that library has a
 * backtrace of its own), or none (a debugger walks). Prints where the
 * program and executable mappings of plans lie, then a line a signal: the interrupted address
 * and the return addresses behind it. The functions have frames of all kinds: by the stack
 * pointer, by rbp, and realigned, with rules that are expressions.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <execinfo.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#ifdef WITH_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#endif

#define ALONE __attribute__((noinline, noclone))

enum { SAMPLES = 6000, FRAMES = 24 };
static struct {
    void *pc, *frame[FRAMES];
    int n;
} sample[SAMPLES];
static volatile sig_atomic_t samples;
static int (*walk)(void **, int);
volatile double sink;

#ifdef WITH_LIBUNWIND
static int by_libunwind(void **out, int cap)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t ip;
    int n = 0;
    unw_getcontext(&context);
    unw_init_local(&cursor, &context);
    do {
        unw_get_reg(&cursor, UNW_REG_IP, &ip);
        out[n++] = (void *)ip;
    } while (n < cap && unw_step(&cursor) > 0);
    return n;
}
#endif

static void tick(int number, siginfo_t *info, void *context)
{
    const ucontext_t *u = context;
    void *pc = (void *)u->uc_mcontext.gregs[REG_RIP], *frame[2 * FRAMES];
    (void)number;
    (void)info;
    if (samples == SAMPLES)
        return;
    const int n = walk(frame, 2 * FRAMES), s = samples;
    int i = 0;
    while (i < n && frame[i] != pc)
        i++;
    sample[s].pc = pc;
    for (i++; i < n && sample[s].n < FRAMES; i++)
        sample[s].frame[sample[s].n++] = frame[i];
    samples = s + 1;
}

/* In the prologue as well. */
ALONE double tiny(double x, double y)
{
    return x * 1.25 + y / 3.0;
}

ALONE double by_rsp(double x, int n)
{
    double a[16];
    for (int i = 0; i < 16; i++)
        a[i] = x + i * 0.37;
    for (int k = 0; k < n; k++)
        for (int i = 1; i < 15; i++)
            a[i] = (a[i - 1] + a[i] * 0.5 + a[i + 1]) / 2.5;
    return a[7];
}

ALONE double by_rbp(double x, int n)
{
    double *a = alloca(8 * (size_t)(n % 7 + 9)), sum = 0;
    for (int i = 0; i < 9; i++)
        a[i] = x / (i + 1.5);
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < 9; i++)
            sum += a[i] * 0.0009765;
        sum = tiny(sum, a[k % 9]);
    }
    return sum;
}

ALONE float realigned(float x, int n)
{
    float a[32] __attribute__((aligned(64)));
    volatile float *v = a;
    for (int i = 0; i < 32; i++)
        v[i] = x + (float)i;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 31; i++)
            v[i] = sqrtf(v[i] * v[i + 1] + 0.1f);
    return v[3];
}

/* Returns in the middle of its code, behind which the frame is another again. */
ALONE double early(double x, int n)
{
    double a[3] = {x, x + 0.2, x / 3.3};
    for (int k = 0; k < n; k++) {
        a[k % 3] = tiny(a[(k + 1) % 3], x);
        if (a[0] > 1e6)
            return a[0] * 0.125;
        for (int i = 0; i < 40; i++)
            a[1] = a[1] * 0.75 + a[2] * 0.1 + a[0] * 0.01;
    }
    return a[0] + a[1] * a[2];
}

/* By rbp, which its callees must give back. */
ALONE double middle(double x, int n)
{
    double *kept = alloca(8 * (size_t)(n % 5 + 3)), y = x * 0.3;
    kept[n % 3] = y;
    y += by_rsp(y, n) + early(x, n) + kept[n % 3];
    y = y / 7.1 + by_rbp(y * 0.9, n);
    return y * 1.1 + (double)realigned((float)(y + 0.5), n) * 0.7;
}

ALONE double outer(double x, int n)
{
    double keep[4] = {x, x * 2.1, x / 3.1, x - 0.7};
    for (int i = 0; i < 4; i++)
        keep[i] = middle(keep[i], n) + keep[(i + 1) % 4] / 5.3;
    return keep[0] * 0.25 + keep[1] + keep[2] * keep[3];
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    struct itimerspec every = {{0, 1000000}, {0, 1000000}}, never = {{0, 0}, {0, 0}};
    timer_t timer; /* setitimer's counts the kernel's ticks */
    const char *which = argc > 1 ? argv[1] : "none";
    void *frame[4];
    backtrace(frame, 4); /* loads libgcc */
    walk = backtrace;
#ifdef WITH_LIBUNWIND
    if (!strcmp(which, "libunwind"))
        walk = by_libunwind;
#endif
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    if (strcmp(which, "none") != 0) {
        sigaction(SIGPROF, &act, NULL);
        timer_settime(timer, 0, &every, NULL);
    }
    const double begin = seconds(), limit = argc > 2 ? atof(argv[2]) : 1.0;
    double x = 1.3;
    do
        for (int i = 0; i < 20; i++)
            sink = outer(x + i * 0.11, 20);
    while (seconds() - begin < limit);
    timer_settime(timer, 0, &never, NULL);
    extern const char __ehdr_start[];
    printf("base %p\n", (const void *)__ehdr_start);
    FILE *maps = fopen("/proc/self/maps", "r");
    for (char line[512]; maps && fgets(line, sizeof line, maps);)
        if (strstr(line, ".plan") && strstr(line, " r-xp "))
            printf("map %s", line);
    for (int i = 0; i < samples; i++) {
        printf("at %p", sample[i].pc);
        for (int k = 0; k < sample[i].n; k++)
            printf(" %p", sample[i].frame[k]);
        printf("\n");
    }
    return 0;
}
