/* What the parts of the load generator share. What it does is said in main.c. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S 1000000000ull
#define SILENCE_LIMIT_MS 10000 /* a server that owes an answer for so long has failed */
#define LINE_BYTES 64          /* longer than any reply line, and any command without a name */
#define NAME_BYTES 512         /* likewise with the name of a tube in it, or of two lists */

/* ---- main.c: what was asked for ---- */

/* A unit of work: one put; one put with its reserve and its delete; one reserve and its delete,
 * until the tube is empty. */
enum work { PUTS, CYCLES, DRAIN };

extern struct options {
    const char *host, *port, *unix_path, *tube;
    enum work work;
    size_t connections, active, window, body_bytes;
    uint64_t units, warmup_units;
    double seconds, rate; /* rate: commands a second in all; 0: as fast as replies come */
    bool shows_progress;
} options;

extern char *body; /* options.body_bytes of it, and CR LF */

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t bytes);
uint64_t now_ns(void);

/* ---- histogram.c: how often what took how long ---- */

#define SUB_BITS 5
#define SUB_BUCKETS (1u << SUB_BITS)

struct histogram {
    uint64_t counts[64 * SUB_BUCKETS], total, most_ns;
};

void histogram_add(struct histogram *h, uint64_t ns);
double histogram_us(const struct histogram *h, double percent);

/* ---- beanstalk.c, redis.c: what the work looks like on the wire ---- */

enum verb { PUT, RESERVE, TAKE, DELETE }; /* TAKE: a reserve that need not find a job */

struct span {
    const char *at;
    size_t bytes;
};

struct protocol {
    const char *verb_names[4];
    const char *question, *answer; /* exchanged first on every connection; no harm is done */
    size_t command_bytes;          /* no command is longer */

    /* Write a command, return its end. `id` is what read_reply has found, for a DELETE. */
    char *(*write_command)(char *at, enum verb verb, struct span id);

    /* Verify the reply at the start of `text`, and return its length; 0 while it is incomplete.
     * Sets `id` to that of the job; it stays as it is if a TAKE has found none.
     * Behind the text is a byte more, which is 0. */
    size_t (*read_reply)(enum verb verb, const char *text, size_t bytes, struct span *id);
};

extern const struct protocol *protocol; /* the one that is spoken */
const struct protocol *beanstalk(void);
const struct protocol *redis(void);

/* ---- reply.c: reading what is expected ---- */

struct rest { /* what is left to read of a line */
    const char *at, *end;
};

/* The first line of `text`, with its end; empty while it is incomplete. */
struct rest first_line(const char *text, size_t bytes);
bool skip(struct rest *rest, const char *expected);
/* A number: 1 to 20 digits, the first of them not 0. */
bool skip_number(struct rest *rest);
/* The length of a reply of a line and the body; 0 while it is incomplete. Verifies the body. */
size_t with_body(size_t line_bytes, const char *text, size_t bytes);
_Noreturn void die_of_reply(enum verb verb, const char *text);

/* ---- wire.c: connections ---- */

struct flight { /* a command whose reply is outstanding */
    enum verb verb;
    uint64_t since_ns; /* handed to the kernel; or due, if it was due at a certain moment */
};

#define ID_BYTES 20
struct follow_up { /* the next command of a unit of work */
    enum verb verb;
    char id[ID_BYTES];
    size_t id_bytes;
};

struct connection {
    int fd;
    bool waits_for_room; /* the last send did not take everything: EPOLLOUT is armed */
    char *in, *out;
    size_t in_used, out_used;
    struct flight *flights; /* a ring; replies come in the order of the commands */
    size_t first_flight, flight_count, unstamped;
    struct follow_up *follow_ups; /* a ring as well */
    size_t first_follow_up, follow_up_count;
    struct place *place; /* where it works; NULL while it is idle */
    size_t units_left;   /* that it may begin until the next one has its turn */
};

extern int poller;

struct connection *open_connections(void);
void queue_command(struct connection *c, enum verb verb, struct span id, uint64_t due_ns);
void send_queued(struct connection *c);
/* Read what has come; `take` is called for each reply, and says how long it was, 0 if cut. */
void receive(struct connection *c,
             size_t (*take)(struct connection *c, const char *text, size_t bytes, uint64_t now));

/* ---- work.c: who does what when ---- */

struct outcome {
    uint64_t commands, missed;
    uint64_t elapsed_ns; /* in which these commands were done */
    struct histogram latencies, lateness;
};

/* Work until so many units are done or so many seconds are over; 0: not bounded by this. */
const struct outcome *do_work(struct connection *all, enum work work, uint64_t units,
                              double seconds, double rate);

#endif
