/* load: closed-loop load for a server that speaks the beanstalk protocol.
 *
 *   load --port P [--host A] [--case put|cycle] [--connections N] [--window W]
 *        [--body BYTES] [--units N] [--seconds S] [--warmup UNITS]
 *
 * N connections keep W commands in flight each, and send the next one only when a reply came
 * back: the server sets the pace. A unit of work is one put (case put) or one put, one reserve
 * and one delete (case cycle). Everything happens in the tube "default".
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
 * connecting nor hanging up is counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define SILENCE_LIMIT_MS 10000
#define READ_BYTES 65536
#define LINE_BYTES 64 /* longer than any reply line or command line we exchange */
#define EVENTS_PER_WAIT 512

enum verb { PUT, RESERVE, DELETE };
static const char *const VERB_NAMES[] = {"put", "reserve", "delete"};

struct flight { /* a command whose reply is outstanding */
    enum verb verb;
    uint64_t sent_ns;
};

struct connection {
    int fd;
    bool waits_for_room; /* the last send did not take everything: EPOLLOUT is armed */
    char *in, *out;
    size_t in_used, out_used;
    struct flight *flights; /* a ring; replies come in the order of the commands */
    size_t first, count, unstamped;
};

static struct {
    const char *host;
    int port;
    bool cycle;
    size_t connections, window, body_bytes;
    uint64_t units, warmup_units;
    double seconds;
} options = {.host = "127.0.0.1", .connections = 1, .window = 1, .body_bytes = 100};

static struct { /* the phase that is running: warm-up or measurement */
    bool cycle;
    uint64_t units_left, deadline_ns, commands, in_flight;
} phase;

static int poller;
static char *put_command; /* "put ...\r\n<body>\r\n", the same bytes every time */
static size_t put_command_bytes;
static const char *body;    /* the body in it, with its CR LF */
static char reserved_tail[LINE_BYTES]; /* " <bytes>\r\n": how a right RESERVED line ends */

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (!memory) die("out of memory");
    return memory;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- latencies: a histogram of 32 buckets for each power of two, so 3 % wide at most ---- */

#define SUB_BITS 5
#define SUB_BUCKETS (1u << SUB_BITS)
static uint64_t latency_counts[64 * SUB_BUCKETS];
static uint64_t latency_total;

static void record_latency(uint64_t ns) {
    size_t index = ns;
    if (ns >= SUB_BUCKETS) {
        unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
        index = (size_t)(shift + 1) * SUB_BUCKETS + (ns >> shift) - SUB_BUCKETS;
    }
    latency_counts[index]++;
    latency_total++;
}

static double latency_percentile_us(double percent) {
    uint64_t rank = (uint64_t)((double)latency_total * percent / 100.0), seen = 0;
    for (size_t index = 0; index < 64 * SUB_BUCKETS; index++) {
        seen += latency_counts[index];
        if (seen <= rank) continue;
        if (index < SUB_BUCKETS) return (double)index / 1e3;
        size_t shift = index / SUB_BUCKETS - 1;
        double middle = (double)(index % SUB_BUCKETS + SUB_BUCKETS) + 0.5;
        return middle * (double)(1ull << shift) / 1e3;
    }
    return 0.0;
}

/* ---- sending ---- */

static void queue_command(struct connection *c, enum verb verb, const char *id, size_t id_bytes) {
    char *end = c->out + c->out_used;
    switch (verb) {
    case PUT:
        end = mempcpy(end, put_command, put_command_bytes);
        break;
    case RESERVE:
        end = mempcpy(end, "reserve\r\n", 9);
        break;
    case DELETE:
        end = mempcpy(end, "delete ", 7);
        end = mempcpy(end, id, id_bytes);
        end = mempcpy(end, "\r\n", 2);
        break;
    }
    c->out_used = (size_t)(end - c->out);
    c->flights[(c->first + c->count) % options.window].verb = verb;
    c->count++;
    c->unstamped++;
    phase.in_flight++;
    phase.commands++;
}

/* Begin one more unit of work, unless the phase has had its count or its time. */
static void queue_unit(struct connection *c, uint64_t now_ns) {
    if (phase.units_left == 0 || now_ns >= phase.deadline_ns) return;
    phase.units_left--;
    queue_command(c, PUT, NULL, 0);
}

static void send_queued(struct connection *c) {
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    for (; c->unstamped > 0; c->unstamped--)
        c->flights[(c->first + c->count - c->unstamped) % options.window].sent_ns = now_ns;

    size_t done = 0;
    while (done < c->out_used) {
        ssize_t sent = send(c->fd, c->out + done, c->out_used - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) die("the server closed a connection");
        if (sent < 0) die("sending: %s", strerror(errno));
        done += (size_t)sent;
    }
    c->out_used -= done;
    if (c->out_used > 0) memmove(c->out, c->out + done, c->out_used);

    bool must_wait = c->out_used > 0;
    if (must_wait != c->waits_for_room) {
        struct epoll_event event = {.events = EPOLLIN | (must_wait ? EPOLLOUT : 0), .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0)
            die("epoll_ctl: %s", strerror(errno));
        c->waits_for_room = must_wait;
    }
}

/* ---- receiving ---- */

/* What is left to read of a reply line. */
struct rest {
    const char *at, *end;
};

static bool skip(struct rest *rest, const char *expected) {
    size_t bytes = strlen(expected);
    if ((size_t)(rest->end - rest->at) < bytes || memcmp(rest->at, expected, bytes) != 0)
        return false;
    rest->at += bytes;
    return true;
}

/* A job id: 1 to 20 digits, the first of them not 0. Returns how many; 0 when there is no id. */
static size_t skip_id(struct rest *rest) {
    const char *start = rest->at;
    while (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9') rest->at++;
    size_t bytes = (size_t)(rest->at - start);
    return bytes > 20 || *start == '0' ? 0 : bytes;
}

/* Verify the reply line to `verb`; for INSERTED and RESERVED tell where its id stands. */
static bool line_is_right(enum verb verb, struct rest rest, struct rest *id) {
    if (verb == DELETE) return skip(&rest, "DELETED\r\n") && rest.at == rest.end;
    if (!skip(&rest, verb == PUT ? "INSERTED " : "RESERVED ")) return false;
    id->at = rest.at;
    if (skip_id(&rest) == 0) return false;
    id->end = rest.at;
    return skip(&rest, verb == PUT ? "\r\n" : reserved_tail) && rest.at == rest.end;
}

/* Verify the reply at the start of `text`, queue what follows from it, and return its length;
 * 0 while it is incomplete. */
static size_t take_reply(struct connection *c, const char *text, size_t bytes, uint64_t now_ns) {
    if (c->count == 0) die("a reply nobody asked for: \"%.*s\"", (int)bytes, text);
    struct flight flight = c->flights[c->first];
    const char *newline = memchr(text, '\n', bytes < LINE_BYTES ? bytes : LINE_BYTES);
    if (!newline && bytes < LINE_BYTES) return 0;
    size_t line_bytes = newline ? (size_t)(newline + 1 - text) : LINE_BYTES;
    struct rest line = {text, text + line_bytes}, id = {NULL, NULL};
    if (!line_is_right(flight.verb, line, &id))
        die("unexpected reply to %s: \"%.*s\"", VERB_NAMES[flight.verb],
            (int)strcspn(text, "\r\n"), text);

    size_t reply_bytes = line_bytes;
    if (flight.verb == RESERVE) {
        reply_bytes += options.body_bytes + 2;
        if (bytes < reply_bytes) return 0;
        if (memcmp(text + line_bytes, body, options.body_bytes + 2) != 0)
            die("RESERVED gave another body than was put");
    }
    record_latency(now_ns - flight.sent_ns);
    c->first = (c->first + 1) % options.window;
    c->count--;
    phase.in_flight--;
    if (flight.verb == PUT && phase.cycle)
        queue_command(c, RESERVE, NULL, 0);
    else if (flight.verb == RESERVE)
        queue_command(c, DELETE, id.at, (size_t)(id.end - id.at));
    else
        queue_unit(c, now_ns);
    return reply_bytes;
}

static void receive(struct connection *c) {
    ssize_t got = recv(c->fd, c->in + c->in_used, READ_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    /* A server that closes with commands unread resets the connection. */
    if (got == 0 || (got < 0 && errno == ECONNRESET)) die("the server closed a connection");
    if (got < 0) die("receiving: %s", strerror(errno));
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    c->in_used += (size_t)got;
    c->in[c->in_used] = '\0'; /* so that an unexpected line can be quoted */

    size_t taken = 0, reply_bytes;
    while (taken < c->in_used &&
           (reply_bytes = take_reply(c, c->in + taken, c->in_used - taken, now_ns)) > 0)
        taken += reply_bytes;
    c->in_used -= taken;
    if (taken > 0 && c->in_used > 0) memmove(c->in, c->in + taken, c->in_used);
    send_queued(c);
}

/* ---- the phases ---- */

static void run_phase(struct connection *all, bool cycle, uint64_t units, double seconds) {
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    memset(latency_counts, 0, sizeof latency_counts);
    latency_total = 0;
    phase.cycle = cycle;
    phase.units_left = units > 0 ? units : UINT64_MAX;
    phase.deadline_ns = seconds > 0 ? start_ns + (uint64_t)(seconds * 1e9) : UINT64_MAX;
    phase.commands = 0;

    for (size_t i = 0; i < options.connections; i++) {
        for (size_t n = 0; n < options.window; n++) queue_unit(&all[i], start_ns);
        send_queued(&all[i]);
    }
    struct epoll_event events[EVENTS_PER_WAIT];
    while (phase.in_flight > 0) {
        int count = epoll_wait(poller, events, EVENTS_PER_WAIT, SILENCE_LIMIT_MS);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) die("epoll_wait: %s", strerror(errno));
        if (count == 0) die("no reply for %d s", SILENCE_LIMIT_MS / 1000);
        for (int i = 0; i < count; i++) {
            if (events[i].events & EPOLLOUT) send_queued(events[i].data.ptr);
            if (events[i].events & ~(uint32_t)EPOLLOUT) receive(events[i].data.ptr);
        }
    }
}

/* Connect, and exchange one harmless command so that the server has accepted for certain. */
static void open_connection(struct connection *c, const struct sockaddr_in *address) {
    static const char question[] = "list-tube-used\r\n", answer[] = "USING default\r\n";
    char reply[sizeof answer];
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    if (connect(c->fd, (const struct sockaddr *)address, sizeof *address) < 0)
        die("connecting to %s port %d: %s", options.host, options.port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct timeval limit = {.tv_sec = SILENCE_LIMIT_MS / 1000};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (send(c->fd, question, sizeof question - 1, MSG_NOSIGNAL) != sizeof question - 1 ||
        recv(c->fd, reply, sizeof answer - 1, MSG_WAITALL) != sizeof answer - 1 ||
        memcmp(reply, answer, sizeof answer - 1) != 0)
        die("the server does not answer list-tube-used with USING default");

    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl: %s", strerror(errno));
    c->in = allocate(READ_BYTES + options.body_bytes + 2 * LINE_BYTES);
    c->out = allocate(options.window * (put_command_bytes + LINE_BYTES));
    c->flights = allocate(options.window * sizeof *c->flights);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl: %s", strerror(errno));
}

static void prepare_put(void) {
    put_command = allocate(options.body_bytes + 2 * LINE_BYTES);
    int head_bytes = sprintf(put_command, "put 1024 0 120 %zu\r\n", options.body_bytes);
    char *end = put_command + head_bytes;
    for (size_t i = 0; i < options.body_bytes; i++) *end++ = (char)('a' + i % 26);
    end = mempcpy(end, "\r\n", 2);
    put_command_bytes = (size_t)(end - put_command);
    body = put_command + head_bytes;
    snprintf(reserved_tail, sizeof reserved_tail, " %zu\r\n", options.body_bytes);
}

static double number(const char *name, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        die("--%s must be a number from %g to %g, not \"%s\"", name, least, most, text);
    return value;
}

static void read_options(int argc, char **argv) {
    static const struct option known[] = {
        {"host", 1, 0, 'h'},   {"port", 1, 0, 'p'},  {"case", 1, 0, 'c'},
        {"window", 1, 0, 'w'}, {"body", 1, 0, 'b'},  {"connections", 1, 0, 'n'},
        {"units", 1, 0, 'u'},  {"warmup", 1, 0, 'm'}, {"seconds", 1, 0, 's'},
        {0, 0, 0, 0}};
    int letter, index = 0;
    while ((letter = getopt_long(argc, argv, "", known, &index)) != -1) {
        const char *name = known[index].name;
        switch (letter) {
        case 'h': options.host = optarg; break;
        case 'p': options.port = (int)number(name, optarg, 1, 65535); break;
        case 'c':
            options.cycle = strcmp(optarg, "cycle") == 0;
            if (!options.cycle && strcmp(optarg, "put") != 0) die("--case is put or cycle");
            break;
        case 'n': options.connections = (size_t)number(name, optarg, 1, 100000); break;
        case 'w': options.window = (size_t)number(name, optarg, 1, 100000); break;
        case 'b': options.body_bytes = (size_t)number(name, optarg, 0, 65535); break;
        case 'u': options.units = (uint64_t)number(name, optarg, 1, 1e12); break;
        case 'm': options.warmup_units = (uint64_t)number(name, optarg, 0, 1e12); break;
        case 's': options.seconds = number(name, optarg, 0.001, 86400); break;
        default: exit(2);
        }
    }
    if (optind < argc) die("what is \"%s\"?", argv[optind]);
    if (options.port == 0) die("--port is needed");
    if (options.units == 0 && options.seconds == 0) die("--units or --seconds is needed");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prepare_put();
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1) die("--host is an IPv4 address");
    poller = epoll_create1(0);
    if (poller < 0) die("epoll_create1: %s", strerror(errno));
    struct connection *all = allocate(options.connections * sizeof *all);
    for (size_t i = 0; i < options.connections; i++) open_connection(&all[i], &address);
    /* Warm up with cycles: they leave the queue as empty as it was. */
    if (options.warmup_units > 0) run_phase(all, true, options.warmup_units, 0);

    puts("ready");
    fflush(stdout);
    for (int c; (c = getchar()) != '\n' && c != EOF;) continue;

    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t cpu_start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run_phase(all, options.cycle, options.units, options.seconds);
    uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start_ns;
    uint64_t elapsed_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;

    printf("{\"commands\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f}\n",
           (unsigned long long)phase.commands, (double)elapsed_ns / 1e9, (double)cpu_ns / 1e9,
           latency_percentile_us(50), latency_percentile_us(99));
    fflush(stdout);
    while (getchar() != EOF) continue;
    return 0;
}
