/* Reading replies of which it is known what they have to be. */
#define _GNU_SOURCE
#include "load.h"

#include <string.h>

struct rest first_line(const char *text, size_t bytes) {
    const char *newline = memchr(text, '\n', bytes < LINE_BYTES ? bytes : LINE_BYTES);
    if (newline) return (struct rest){text, newline + 1};
    return (struct rest){text, bytes < LINE_BYTES ? text : text + LINE_BYTES};
}

bool skip(struct rest *rest, const char *expected) {
    size_t bytes = strlen(expected);
    if ((size_t)(rest->end - rest->at) < bytes || memcmp(rest->at, expected, bytes) != 0)
        return false;
    rest->at += bytes;
    return true;
}

bool skip_number(struct rest *rest) {
    const char *start = rest->at;
    while (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9') rest->at++;
    size_t digits = (size_t)(rest->at - start);
    return digits >= 1 && digits <= ID_BYTES && *start != '0';
}

size_t with_body(size_t line_bytes, const char *text, size_t bytes) {
    size_t reply_bytes = line_bytes + options.body_bytes + 2;
    if (bytes < reply_bytes) return 0;
    if (memcmp(text + line_bytes, body, options.body_bytes + 2) != 0)
        die("%s gave another body than was put", protocol->verb_names[RESERVE]);
    return reply_bytes;
}

_Noreturn void die_of_reply(enum verb verb, const char *text) {
    size_t shown = strcspn(text, "\r\n");
    die("unexpected reply to %s: \"%.*s\"", protocol->verb_names[verb],
        (int)(shown < LINE_BYTES ? shown : LINE_BYTES), text);
}
