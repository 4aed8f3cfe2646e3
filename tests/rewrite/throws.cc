// 10,000 exceptions a thread through code that the instruction layer moves; with an argument
// under SIGPROF at 1 kHz, with two arguments with a handler that rounds itself.
//
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <sys/time.h>
#include <thread>
#include <vector>

struct error : std::runtime_error {
    double value;
    explicit error(double v) : std::runtime_error("x"), value(v) {}
};

struct guard {
    double *sum;
    ~guard() { *sum = *sum * 0.75 + 0.25; }
};

static volatile sig_atomic_t ticks;
static bool rounds;
static volatile double noise = 1.0;

static void tick(int)
{
    ticks = ticks + 1;
    if (rounds)
        noise = noise * 1.0000001 + 1e-9;
}

__attribute__((noinline)) static double deep(int n, double x, double *sum)
{
    guard g{sum};
    double y = x * 1.1 + 0.3;
    if (n == 0)
        throw error(y / 3.7);
    return deep(n - 1, y * 0.7, sum) + y;
}

static void work(int n, int *caught, double *out)
{
    double sum = 1.0, total = 0;
    for (int i = 0; i < n; i++)
        try {
            total += deep(i % 7, 0.1 * i, &sum);
        } catch (const error &e) {
            total += e.value;
            ++*caught;
        }
    *out = total + sum;
}

int main(int argc, char **)
{
    struct sigaction act = {};
    act.sa_handler = tick;
    act.sa_flags = SA_RESTART;
    sigaction(SIGPROF, &act, nullptr);
    itimerval every = {{0, 1000}, {0, 1000}};
    rounds = argc > 2;
    if (argc > 1)
        setitimer(ITIMER_PROF, &every, nullptr);
    int caught[4] = {};
    double out[4];
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back(work, 10000, &caught[t], &out[t]);
    for (auto &t : threads)
        t.join();
    bool good = true;
    for (int t = 0; t < 4; t++)
        good = good && caught[t] == 10000 && std::fabs(out[t] / out[0] - 1) < 1e-9;
    std::printf("%s %a\n", good ? "caught" : "lost", out[0]);
    return good && (argc == 1 || ticks > 0) ? 0 : 1;
}
