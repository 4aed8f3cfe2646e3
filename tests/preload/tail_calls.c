/* A library that calls libm in every way that compilers know.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Compiled with -O2 -fno-builtin: tail_exp ends in `jmp exp`, whose return address lies in
 * its caller's library. With NORMAL it also has a function of torch by which random numbers
 * are told, with arguments in registers and on the stack.
 */
#include <math.h>

double tail_exp(double x);
float tail_powf(float x, float y);
double plain_exp(double x);
double pointer_exp(double x);
typedef double function(double);
function *address_exp(void);

double tail_exp(double x)
{
    return exp(x);
}

float tail_powf(float x, float y)
{
    return powf(x, y);
}

double plain_exp(double x)
{
    return -exp(x);
}

/* Absolute relocation in relocated read-only data. */
static function *const table[] = {exp, log};

double pointer_exp(double x)
{
    function *const volatile *f = table;
    return -f[0](x);
}

function *address_exp(void)
{
    return exp;
}

#ifdef NORMAL
/* at::native::normal_, with parameters of our own. */
double *_ZN2at6native7normal_Ev(double *r, long a, long b, long c, long d, long e, double s,
                                double t, double u, double v, double w, double x, double y,
                                double z, long f, double on_stack);
double drawn(void);

double *_ZN2at6native7normal_Ev(double *r, long a, long b, long c, long d, long e, double s,
                                double t, double u, double v, double w, double x, double y,
                                double z, long f, double on_stack)
{
    *r = exp(0.7) + (double)(a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f) + s +
         10 * t + 100 * u + 1000 * v + 10000 * w + 100000 * x + 1000000 * y + 10000000 * z +
         on_stack / 16;
    return r;
}

double drawn(void)
{
    double r;
    return *_ZN2at6native7normal_Ev(&r, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 6, 1);
}
#endif
