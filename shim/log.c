/* Lines on stderr and text in files without malloc or stdio.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

static void write_all(fz_text *t)
{
    size_t done = 0;
    while (done < t->n && !t->failed) {
        ssize_t w = write(t->fd, t->p + done, t->n - done);
        if (w > 0)
            done += (size_t)w;
        else if (w == 0 || errno != EINTR)
            t->failed = true;
    }
    t->n = 0;
}

void fz_text_flush(fz_text *t)
{
    if (t->fd >= 0)
        write_all(t);
}

static void put(fz_text *t, char c)
{
    if (t->n == t->cap && t->fd >= 0)
        write_all(t);
    if (t->n < t->cap)
        t->p[t->n++] = c;
}

static void put_number(fz_text *t, uint64_t v, unsigned base)
{
    char digits[24];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n)
        put(t, digits[--n]);
}

static void add_list(fz_text *t, const char *format, va_list args)
{
    for (; *format; format++) {
        if (*format != '%') {
            put(t, *format);
            continue;
        }
        switch (*++format) {
        case 's': {
            const char *s = va_arg(args, const char *);
            for (s = s ? s : "(null)"; *s; s++)
                put(t, *s);
            break;
        }
        case 'd': {
            long v = va_arg(args, int);
            if (v < 0)
                put(t, '-');
            put_number(t, (uint64_t)(v < 0 ? -v : v), 10);
            break;
        }
        case 'u': put_number(t, va_arg(args, uint64_t), 10); break;
        case 'x': put_number(t, va_arg(args, uint64_t), 16); break;
        case 'c': put(t, (char)va_arg(args, int)); break;
        case '%': put(t, '%'); break;
        default: return;
        }
    }
}

void fz_text_add(fz_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_list(t, format, args);
    va_end(args);
}

/* One write for one line, so that the lines of several processes do not mix. */
static void line(const char *format, va_list args)
{
    char buffer[1024];
    fz_text t = {buffer, 0, sizeof buffer - 1, -1, false};
    int saved = errno;
    fz_text_add(&t, "libfuzzytorch: ");
    add_list(&t, format, args);
    buffer[t.n++] = '\n';
    t.fd = STDERR_FILENO;
    write_all(&t);
    errno = saved;
}

void fz_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(format, args);
    va_end(args);
}

void fz_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(format, args);
    va_end(args);
    /* Not _exit, which we export and which reports: nothing has happened yet. */
    for (;;)
        syscall(SYS_exit_group, 2);
}
