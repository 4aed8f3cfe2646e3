/* A library that calls libm in every way that compilers know.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Compiled with -O2 -fno-builtin: tail_exp ends in `jmp exp`, whose return address lies in
 * its caller's library.
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
