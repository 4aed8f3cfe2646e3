/* Arithmetic under signals whose handlers compute: handlers CASE N [timer].
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Prints the result of a loop, which signals must not change, and checks what sigaction
 * and its relatives give back. The instruction layer moves the loop and the handlers.
 */
#define _GNU_SOURCE
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks, deepest;
static volatile double noise = 1.0;
static volatile float noise32 = 1.0f;
static volatile int depth;
static sigjmp_buf out;
static volatile sig_atomic_t jumps;

static void compute(void)
{
    for (int i = 0; i < 40; i++) {
        noise = noise * 1.0000001 + 1e-9;
        noise32 = noise32 / 1.000001f + 1e-7f;
    }
}

static void tick(int number)
{
    ticks += number == SIGALRM;
    compute();
}

static void informed(int number, siginfo_t *info, void *context)
{
    if (info->si_signo != number || !context)
        abort();
    if (++depth > deepest)
        deepest = depth;
    ticks++;
    compute();
    if (ticks % 8 == 0 && depth < 6)
        raise(SIGALRM); /* at once: SA_NODEFER */
    compute();
    depth--;
}

/* A handler of one use, within another. */
static void once(int number)
{
    struct sigaction act = {.sa_handler = tick, .sa_flags = (int)SA_RESETHAND}, now;
    tick(number);
    sigaction(SIGUSR2, &act, NULL);
    raise(SIGUSR2);
    if (sigaction(SIGUSR2, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
        abort();
    compute();
}

static void leave(int number)
{
    (void)number;
    ticks++;
    compute();
    if (++jumps < 400)
        siglongjmp(out, 1);
}

__attribute__((noinline)) static double work(int n)
{
    double a[8], sum = 0;
    float b[16];
    for (int i = 0; i < 8; i++)
        a[i] = 0.1 + 0.07 * i;
    for (int i = 0; i < 16; i++)
        b[i] = 0.3f + 0.01f * (float)i;
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < 8; i++)
            a[i] = a[i] * 1.1 - a[i] * a[i] * 0.1 + 0.01 / a[i];
        for (int i = 0; i < 16; i++)
            b[i] = sqrtf(b[i] * 0.9f + 0.05f);
    }
    for (int i = 0; i < 8; i++)
        sum += a[i];
    for (int i = 0; i < 16; i++)
        sum += (double)b[i];
    return sum;
}

static void expect(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void returned(void)
{
    struct sigaction before;
    expect(signal(SIGUSR1, tick) == SIG_DFL, "signal: before");
    expect(signal(SIGUSR1, SIG_IGN) == tick, "signal: the handler");
    expect(sigset(SIGUSR1, tick) == SIG_IGN, "sigset: SIG_IGN");
    expect(sigaction(SIGUSR1, NULL, &before) == 0 && before.sa_handler == tick,
           "sigaction: the handler");
    raise(SIGUSR1);
    expect(signal(SIGKILL, tick) == SIG_ERR, "signal: SIG_ERR");
}

/* For a program that opens this as a library: from now on, a thousand times a second. */
void begin(void);
void begin(void)
{
    struct sigaction act = {.sa_handler = tick, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

int main(int argc, char **argv)
{
    static char stack[8192];
    const char *which = argc > 1 ? argv[1] : "";
    struct sigaction act = {.sa_handler = tick, .sa_flags = SA_RESTART};
    returned();
    if (!strcmp(which, "nested")) {
        act.sa_sigaction = informed;
        act.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
    } else if (!strcmp(which, "once")) {
        act.sa_handler = once;
    } else if (!strcmp(which, "stack")) {
        stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
        act.sa_flags |= SA_ONSTACK;
        expect(sigaltstack(&other, NULL) == 0, "sigaltstack");
    } else if (!strcmp(which, "jump")) {
        act.sa_handler = leave;
    }
    expect(sigaction(SIGALRM, &act, NULL) == 0, "sigaction");
    struct itimerval every = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
    if (argc > 3)
        setitimer(ITIMER_REAL, &every, NULL);
    sigsetjmp(out, 1);
    double sum = work(argc > 2 ? atoi(argv[2]) : 1);
    setitimer(ITIMER_REAL, &never, NULL);
    expect(argc < 4 || ticks > 20, "too few signals");
    expect(strcmp(which, "nested") || argc < 4 || deepest > 1, "none was nested");
    printf("%a\n", sum);
    return 0;
}
