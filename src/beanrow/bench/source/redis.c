/* Redis as a work queue that loses nothing: LPUSH puts into a list; LMOVE takes from its other end
 * and keeps the job in a second list, of what is being worked on; LREM removes it from there.
 *
 * All bodies are alike, so LREM finds one at once; among bodies that differ it would have to look
 * through those of all workers. This is to the advantage of Redis. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <string.h>

static char *put_command, *delete_command, reserve_command[2 * NAME_BYTES];
static size_t put_bytes, delete_bytes, reserve_bytes;
static char bulk_head[LINE_BYTES]; /* "$<bytes>\r\n": how the reply to LMOVE begins */

static char *write_command(char *at, enum verb verb, struct span id) {
    (void)id;
    switch (verb) {
    case PUT: return mempcpy(at, put_command, put_bytes);
    case RESERVE:
    case TAKE: return mempcpy(at, reserve_command, reserve_bytes);
    case DELETE: return mempcpy(at, delete_command, delete_bytes);
    }
    return at;
}

static bool line_is_right(enum verb verb, struct rest rest) {
    if (verb == PUT)
        return skip(&rest, ":") && skip_number(&rest) && skip(&rest, "\r\n") &&
               rest.at == rest.end;
    return skip(&rest, verb == DELETE ? ":1\r\n" : bulk_head) && rest.at == rest.end;
}

static size_t read_reply(enum verb verb, const char *text, size_t bytes, struct span *id) {
    struct rest line = first_line(text, bytes), nothing = line;
    size_t line_bytes = (size_t)(line.end - line.at);
    if (line_bytes == 0) return 0;
    if (verb == TAKE && skip(&nothing, "$-1\r\n")) return line_bytes;
    if (!line_is_right(verb, line)) die_of_reply(verb, text);
    *id = (struct span){text, 1}; /* the body is all there is to know a job by */
    return verb == RESERVE || verb == TAKE ? with_body(line_bytes, text, bytes) : line_bytes;
}

/* "<head>$<bytes of the body>\r\n<body>\r\n" */
static size_t with_body_behind(char **command, const char *head) {
    *command = allocate(strlen(head) + LINE_BYTES + options.body_bytes + 2);
    char *end = *command + sprintf(*command, "%s$%zu\r\n", head, options.body_bytes);
    end = mempcpy(end, body, options.body_bytes + 2);
    return (size_t)(end - *command);
}

const struct protocol *redis(void) {
    static struct protocol spoken = {
        .verb_names = {"LPUSH", "LMOVE", "LMOVE", "LREM"},
        .question = "*1\r\n$4\r\nPING\r\n",
        .answer = "+PONG\r\n",
        .write_command = write_command,
        .read_reply = read_reply,
    };
    char queue[NAME_BYTES], taken[NAME_BYTES], head[2 * NAME_BYTES];
    snprintf(queue, sizeof queue, "$%zu\r\n%s\r\n", strlen(options.tube), options.tube);
    snprintf(taken, sizeof taken, "$%zu\r\n%s:taken\r\n", strlen(options.tube) + 6, options.tube);
    snprintf(bulk_head, sizeof bulk_head, "$%zu\r\n", options.body_bytes);

    snprintf(head, sizeof head, "*3\r\n$5\r\nLPUSH\r\n%s", queue);
    put_bytes = with_body_behind(&put_command, head);
    reserve_bytes = (size_t)snprintf(reserve_command, sizeof reserve_command,
                                     "*5\r\n$5\r\nLMOVE\r\n%s%s$5\r\nRIGHT\r\n$4\r\nLEFT\r\n",
                                     queue, taken);
    snprintf(head, sizeof head, "*4\r\n$4\r\nLREM\r\n%s$1\r\n1\r\n", taken);
    delete_bytes = with_body_behind(&delete_command, head);

    spoken.command_bytes = options.body_bytes + 2 * NAME_BYTES;
    return &spoken;
}
