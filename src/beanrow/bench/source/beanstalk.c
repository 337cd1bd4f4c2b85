/* The beanstalk protocol: put, reserve, delete in one tube. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <string.h>

static char question[NAME_BYTES], answer[NAME_BYTES];
static char *put_command; /* "put ...\r\n<body>\r\n", the same bytes every time */
static size_t put_bytes;
static char reserved_tail[LINE_BYTES]; /* " <bytes>\r\n": how a right RESERVED line ends */

static char *write_command(char *at, enum verb verb, struct span id) {
    switch (verb) {
    case PUT: return mempcpy(at, put_command, put_bytes);
    case RESERVE: return mempcpy(at, "reserve\r\n", 9);
    case TAKE: return mempcpy(at, "reserve-with-timeout 0\r\n", 24);
    case DELETE:
        at = mempcpy(at, "delete ", 7);
        at = mempcpy(at, id.at, id.bytes);
        return mempcpy(at, "\r\n", 2);
    }
    return at;
}

/* Verify the line; for INSERTED and RESERVED tell where its id stands. */
static bool line_is_right(enum verb verb, struct rest rest, struct span *id) {
    if (verb == DELETE) return skip(&rest, "DELETED\r\n") && rest.at == rest.end;
    if (verb == TAKE && skip(&rest, "TIMED_OUT\r\n")) return rest.at == rest.end;
    if (!skip(&rest, verb == PUT ? "INSERTED " : "RESERVED ")) return false;
    id->at = rest.at;
    if (!skip_number(&rest)) return false;
    id->bytes = (size_t)(rest.at - id->at);
    return skip(&rest, verb == PUT ? "\r\n" : reserved_tail) && rest.at == rest.end;
}

static size_t read_reply(enum verb verb, const char *text, size_t bytes, struct span *id) {
    struct rest line = first_line(text, bytes);
    size_t line_bytes = (size_t)(line.end - line.at);
    if (line_bytes == 0) return 0;
    if (!line_is_right(verb, line, id)) die_of_reply(verb, text);
    bool has_body = (verb == RESERVE || verb == TAKE) && id->bytes > 0;
    return has_body ? with_body(line_bytes, text, bytes) : line_bytes;
}

const struct protocol *beanstalk(void) {
    static struct protocol spoken = {
        .verb_names = {"put", "reserve", "reserve", "delete"},
        .question = question,
        .answer = answer,
        .write_command = write_command,
        .read_reply = read_reply,
    };
    bool is_default = strcmp(options.tube, "default") == 0;
    const char *tube = options.tube;
    sprintf(question, "use %s\r\n", tube);
    sprintf(answer, "USING %s\r\n", tube);
    if (!is_default) {
        sprintf(strchr(question, '\0'), "watch %s\r\nignore default\r\n", tube);
        strcat(answer, "WATCHING 2\r\nWATCHING 1\r\n");
    }
    put_command = allocate(LINE_BYTES + options.body_bytes + 2);
    int head_bytes = sprintf(put_command, "put 1024 0 120 %zu\r\n", options.body_bytes);
    char *end = mempcpy(put_command + head_bytes, body, options.body_bytes + 2);
    put_bytes = (size_t)(end - put_command);
    snprintf(reserved_tail, sizeof reserved_tail, " %zu\r\n", options.body_bytes);
    spoken.command_bytes = put_bytes + LINE_BYTES;
    return &spoken;
}
