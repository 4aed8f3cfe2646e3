/* stream ORDER f32|f64 SEED: random words as the library uses them, to standard output
 * for ever, for a battery such as dieharder -g 200.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "words.h"

int main(int argc, char **argv)
{
    int order = 0;
    while (argc == 4 && order < WORDS_ORDERS && strcmp(argv[1], words_order_name[order]))
        order++;
    if (argc != 4 || order == WORDS_ORDERS ||
        (strcmp(argv[2], "f32") && strcmp(argv[2], "f64"))) {
        fprintf(stderr, "usage: stream lane|lanes|seeds|calls|threads f32|f64 SEED\n");
        return 2;
    }
    if (words_selftest()) {
        fprintf(stderr,
                "stream: the AES instructions do not reproduce prism's strands\n");
        return 1;
    }
    static words_source source;
    static uint8_t buffer[1 << 16];
    words_open(&source, (enum words_order)order, strcmp(argv[2], "f32") ? 8 : 4,
               strtoull(argv[3], NULL, 0));
    words_bytes bytes = {&source, 0, 0};
    for (;;) {
        words_read(&bytes, buffer, sizeof buffer);
        for (size_t done = 0; done < sizeof buffer;) {
            ssize_t n = write(STDOUT_FILENO, buffer + done, sizeof buffer - done);
            if (n <= 0)
                return 0; /* the battery has had enough */
            done += (size_t)n;
        }
    }
}
