// A signal handler throws out of moved code, a thousand times; with an argument N: N exceptions
// through frames with moved code instead, and the nanoseconds of processor time of each.
//
// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sys/time.h>

static volatile double sink = 1.0;
static volatile bool out;

static void tick(int)
{
    throw 7;
}

__attribute__((noinline)) static double compute(double x)
{
    double a[8];
    for (int i = 0; i < 8; i++)
        a[i] = x + 0.1 * i;
    while (!out)
        for (int i = 1; i < 7; i++)
            a[i] = (a[i - 1] + a[i] * 0.5 + a[i + 1]) / 2.5;
    return a[3];
}

__attribute__((noinline)) static double deep(int n, double x)
{
    double y = x * 1.1 + 0.3;
    if (n == 0)
        throw y / 3.7;
    return deep(n - 1, y * 0.7) + y;
}

static double seconds()
{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

int main(int argc, char **argv)
{
    int caught = 0;
    if (argc > 1) {
        const int n = std::atoi(argv[1]);
        const double begin = seconds();
        for (int i = 0; i < n; i++)
            try {
                sink = deep(i % 7, 0.1 * i);
            } catch (double x) {
                caught += x < 1e300;
            }
        std::printf("%d %.0f\n", caught, (seconds() - begin) / n * 1e9);
        return 0;
    }
    struct sigaction act = {};
    act.sa_handler = tick;
    act.sa_flags = SA_NODEFER;
    sigaction(SIGALRM, &act, nullptr);
    itimerval once = {{0, 0}, {0, 300}};
    for (int i = 0; i < 1000; i++)
        try {
            setitimer(ITIMER_REAL, &once, nullptr);
            sink = compute(sink * 0.5 + 0.1);
        } catch (int) {
            caught++;
        }
    std::printf("%d\n", caught);
    return caught == 1000 ? 0 : 1;
}
