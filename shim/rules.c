/* Wildcards and the files of FUZZY_EXCLUDE and FUZZY_INCLUDE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

/* `*` any text, everything else itself; p ends at `end`. */
static bool match(const char *p, const char *end, const char *s)
{
    const char *star = NULL, *retry = NULL;
    while (*s) {
        if (p < end && *p == '*') {
            star = ++p;
            retry = s;
        } else if (p < end && *p == *s) {
            p++;
            s++;
        } else if (star) {
            p = star;
            s = ++retry;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

bool fz_match(const char *pattern, const char *text)
{
    return match(pattern, pattern + strlen(pattern), text);
}

bool fz_match_list(const char *patterns, const char *text)
{
    for (const char *p = patterns; *p;) {
        const char *end = strchrnul(p, ',');
        if (end > p && match(p, end, text))
            return true;
        p = *end ? end + 1 : end;
    }
    return false;
}

/* A line whose symbol matches nothing that is intercepted is about the callers. Others
 * are not, wildcards or no: `s* *` means single precision, not Python's slot_tp_call. */
static bool names_caller(const char *symbol)
{
    for (int s = 0; s < FZ_SYMBOLS; s++)
        if (fz_match(symbol, fz_symbol_table[s].name))
            return false;
    return true;
}

/* Which lines have matched something is known to forked children and from them: at exit
 * the others are named. Without the memory for it none is. */
static _Atomic uint8_t *marks(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* What the parent has found out is true of the child, which may not find it out again. */
void fz_rules_forked(fz_rules *r)
{
    _Atomic uint8_t *own = r->matched ? marks(r->n) : NULL;
    for (unsigned i = 0; own && i < r->n; i++)
        own[i] = r->matched[i];
    r->matched = own;
}

bool fz_rules_matched(const fz_rules *r, unsigned i)
{
    return !r->matched || atomic_load(&r->matched[i]);
}

/* Lines `symbol library`, blanks between; # starts a comment. The text stays allocated:
 * the rules point into it. */
void fz_rules_read(fz_rules *r, const char *variable, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        fz_die("%s=%s: %s; it takes a file of lines `symbol library`, * matches any text",
               variable, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        fz_die("%s=%s is not a regular file; it takes a file of lines `symbol library`",
               variable, path);
    size_t size = (size_t)st.st_size, got = 0;
    char *text = malloc(size + 1);
    while (text && got < size) {
        ssize_t n = read(fd, text + got, size - got);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    if (!text)
        fz_die("%s=%s: no memory", variable, path);
    text[got] = 0;

    unsigned lines = 1;
    for (size_t i = 0; i < got; i++)
        lines += text[i] == '\n';
    r->rule = calloc(lines, sizeof *r->rule);
    if (!r->rule)
        fz_die("%s=%s: no memory", variable, path);
    r->given = true;

    char *rest = text, *line;
    for (int number = 1; (line = strsep(&rest, "\n")); number++) {
        char *hash = strchr(line, '#'), *word[3] = {NULL}, *w;
        int n = 0;
        if (hash)
            *hash = 0;
        while ((w = strsep(&line, " \t\r")))
            if (*w && n < 3)
                word[n++] = w;
        if (n == 0)
            continue;
        if (n != 2)
            fz_die("%s=%s line %d: `%s` is not of the form `symbol library` (* for any)",
                   variable, path, number, word[0]);
        r->rule[r->n++] =
            (fz_rule){word[0], word[1], (unsigned)number, names_caller(word[0])};
    }
    r->variable = variable;
    if (r->n)
        r->matched = marks(r->n);
}

static void mark(const fz_rules *r, unsigned i)
{
    if (r->matched)
        atomic_store_explicit(&r->matched[i], 1, memory_order_relaxed);
}

/* Every line is tried, for the sake of its mark. */
bool fz_rules_match(const fz_rules *r, const char *symbol, const char *library)
{
    bool any = false;
    for (unsigned i = 0; i < r->n; i++)
        if (!r->rule[i].frame && fz_match(r->rule[i].symbol, symbol) &&
            fz_match(r->rule[i].library, library)) {
            mark(r, i);
            any = true;
        }
    return any;
}

bool fz_rules_match_frame(const fz_rules *r, const char *const name[3],
                          const char *library)
{
    bool any = false;
    for (unsigned i = 0; i < r->n; i++) {
        const fz_rule *rule = &r->rule[i];
        bool hit = false;
        for (int k = 0; k < 3 && rule->frame; k++)
            hit |= name[k] && fz_match(rule->symbol, name[k]);
        if (hit && fz_match(rule->library, library)) {
            mark(r, i);
            any = true;
        }
    }
    return any;
}

bool fz_rules_have_frames(const fz_rules *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->rule[i].frame)
            return true;
    return false;
}
