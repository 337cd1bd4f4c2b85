/* load: puts load on a server that speaks the beanstalk protocol, or on Redis.
 *
 *   load (--host H --port P | --unix PATH) [--protocol beanstalk|redis] [--tube T]
 *        [--work put|cycle|drain] [--connections N] [--active N] [--window W] [--body BYTES]
 *        [--units N] [--seconds S] [--rate N] [--warmup UNITS] [--progress]
 *
 * N connections work on W units each. A unit of work is one put (put), or one put, one reserve and
 * one delete (cycle), each sent after the reply to the one before. With --active, so many of the
 * connections have work at a time, and all have their turn. Without --rate a command is sent as soon
 * as it can be; with it, when it is due: so many are, a second, in all. work.c says more.
 * `drain` reserves and deletes until the tube is empty.
 *
 * Every reply is verified: INSERTED with an id, RESERVED with an id and the very body that was
 * put, DELETED. Anything else ends the program with one line on stderr and status 1.
 *
 * A reserve is only sent after the INSERTED of its own put, so there is always a ready job for
 * it and no connection ever waits inside the server.
 *
 * Handshake with the program that measures: after connecting and warming up it prints "ready"
 * and waits for a line on stdin; it works, prints one line of JSON, and keeps its connections
 * open until stdin ends. So the server's CPU clock can be read at both moments, and neither
 * connecting nor hanging up is counted. With --progress, "progress COMMANDS" comes four times a
 * second meanwhile. */
#define _GNU_SOURCE
#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MOST_TUBE_BYTES 200
#define MOST_BODY_BYTES 1073741824

struct options options = {.tube = "default", .connections = 1, .window = 1, .body_bytes = 100};
char *body;
const struct protocol *protocol;

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (!memory) die("there is not enough memory for so much load");
    return memory;
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

static char *make_body(void) {
    char *made = allocate(options.body_bytes + 2);
    for (size_t i = 0; i < options.body_bytes; i++) made[i] = (char)('a' + i % 26);
    memcpy(made + options.body_bytes, "\r\n", 2);
    return made;
}

/* ---- options ---- */

static double number(const char *name, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        die("--%s must be a number from %g to %g, not \"%s\"", name, least, most, text);
    return value;
}

/* The index of `text` in `words`, which ends with NULL. */
static int choice(const char *name, const char *text, const char *const *words) {
    for (int index = 0; words[index]; index++)
        if (strcmp(text, words[index]) == 0) return index;
    die("--%s cannot be \"%s\"", name, text);
}

static const struct protocol *(*speak)(void) = beanstalk;

static void read_option(int letter, const char *name, const char *text) {
    static const char *const works[] = {"put", "cycle", "drain", NULL};
    static const char *const protocols[] = {"beanstalk", "redis", NULL};
    switch (letter) {
    case 'h': options.host = text; break;
    case 'p': options.port = text; break;
    case 'x': options.unix_path = text; break;
    case 't':
        if (strlen(text) > MOST_TUBE_BYTES) die("--tube has at most %d bytes", MOST_TUBE_BYTES);
        options.tube = text;
        break;
    case 'l': speak = choice(name, text, protocols) == 0 ? beanstalk : redis; break;
    case 'c': options.work = (enum work)choice(name, text, works); break;
    case 'n': options.connections = (size_t)number(name, text, 1, 1e6); break;
    case 'a': options.active = (size_t)number(name, text, 1, 1e6); break;
    case 'w': options.window = (size_t)number(name, text, 1, 1e6); break;
    case 'b': options.body_bytes = (size_t)number(name, text, 0, MOST_BODY_BYTES); break;
    case 'u': options.units = (uint64_t)number(name, text, 1, 1e12); break;
    case 'm': options.warmup_units = (uint64_t)number(name, text, 0, 1e12); break;
    case 's': options.seconds = number(name, text, 0.001, 1e6); break;
    case 'r': options.rate = number(name, text, 0.001, 1e9); break;
    case 'g': options.shows_progress = true; break;
    default: exit(2);
    }
}

static void read_options(int argc, char **argv) {
    static const struct option known[] = {
        {"host", 1, 0, 'h'},   {"port", 1, 0, 'p'},   {"unix", 1, 0, 'x'},
        {"tube", 1, 0, 't'},   {"work", 1, 0, 'c'},   {"protocol", 1, 0, 'l'},
        {"active", 1, 0, 'a'}, {"window", 1, 0, 'w'}, {"connections", 1, 0, 'n'},
        {"body", 1, 0, 'b'},   {"units", 1, 0, 'u'},  {"warmup", 1, 0, 'm'},
        {"rate", 1, 0, 'r'},   {"seconds", 1, 0, 's'}, {"progress", 0, 0, 'g'},
        {0, 0, 0, 0}};
    int letter, index = 0;
    while ((letter = getopt_long(argc, argv, "", known, &index)) != -1)
        read_option(letter, known[index].name, optarg);
    if (optind < argc) die("what is \"%s\"?", argv[optind]);
    if (!options.unix_path && !(options.host && options.port))
        die("--host and --port are needed, or --unix");
    if (options.units == 0 && options.seconds == 0 && options.work != DRAIN)
        die("--units or --seconds is needed");
    if (options.active == 0 || options.active > options.connections)
        options.active = options.connections;
}

/* ---- the run ---- */

static void print_outcome(const struct outcome *o, uint64_t cpu_ns) {
    const struct histogram *l = &o->latencies;
    printf("{\"commands\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f, \"missed\": %llu, \"late_p99_us\": %.1f}\n",
           (unsigned long long)o->commands, (double)o->elapsed_ns / 1e9, (double)cpu_ns / 1e9,
           histogram_us(l, 50), histogram_us(l, 90), histogram_us(l, 99), histogram_us(l, 99.9),
           (double)l->most_ns / 1e3, (unsigned long long)o->missed,
           histogram_us(&o->lateness, 99));
    fflush(stdout);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody would read what comes out of it */
    prctl(PR_SET_TIMERSLACK, 1ul);    /* sleep no longer than was asked for */
    body = make_body();
    protocol = speak();
    struct connection *all = open_connections();
    /* Warm up with cycles: they leave the queue as empty as it was. */
    if (options.warmup_units > 0) do_work(all, CYCLES, options.warmup_units, 0, 0);

    puts("ready");
    fflush(stdout);
    int c;
    while ((c = getchar()) != '\n' && c != EOF) continue;
    if (c == EOF) return 0; /* who wanted to measure is gone */

    uint64_t cpu_start_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    const struct outcome *o =
        do_work(all, options.work, options.units, options.seconds, options.rate);
    uint64_t cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu_start_ns;
    print_outcome(o, cpu_ns);
    while (getchar() != EOF) continue;
    return 0;
}
