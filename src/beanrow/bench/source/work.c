/* Who does what when.
 *
 * Work is done at `active` places. A place is held by a connection, which has as many units of work
 * under way as its window has room for. Where there are more connections than places, one that has
 * done a window full of units gives its place to the one that has been idle for longest.
 *
 * Closed loop: a command goes out as soon as the reply before it is there. The server sets the pace.
 *
 * Open loop: commands are due at moments that are evenly spaced, the places taking turns, whatever
 * the server does. One whose moment comes while its connection still waits for a reply goes out
 * late, and its latency counts from its moment all the same: a server that stops for a second has
 * kept everybody waiting who would have come meanwhile, not just those who were there. When the time
 * is over, what has begun is brought to its end without waiting for moments. Of that, only commands
 * that were due in time are counted and timed. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 512
#define PROGRESS_EVERY_NS (NS_PER_S / 4)
/* Waking up takes longer and varies more than what is to be measured; so the rest is waited for
 * without sleeping, if there is another processor for the server. */
#define SPIN_NS 100000ull
/* And Linux lets a poll last up to a thousandth longer than it was asked to; with nice, 1 / 200. */
#define COARSE_PART 100

struct place {
    struct connection *holder;
    uint64_t due, used; /* commands whose moment has come; commands queued */
};

static struct { /* what is under way: warming up, or the measurement */
    enum work work;
    uint64_t start_ns, deadline_ns, units_left;
    uint64_t under_way; /* units that have begun and have not ended */
    uint64_t answered, answered_ns, counted_ns, next_progress_ns;
    double interval_ns; /* between two commands; 0 in a closed loop */
    uint64_t scheduled; /* commands whose moment has come, of all places */
    size_t next_place;  /* whose command is due next */
    bool is_over;       /* the time of an open loop */
} phase;

static struct outcome outcome;
static struct place *places;
static struct connection **idle; /* a ring; who gives a place back goes to its end */
static size_t idle_count, first_idle;

static bool is_open_loop(void) { return phase.interval_ns > 0; }

static bool begins_no_more(uint64_t now) {
    /* What was due in time may begin, even if it is noticed a little after the end. */
    bool is_over = is_open_loop() ? phase.is_over : now >= phase.deadline_ns;
    return phase.units_left == 0 || is_over;
}

/* ---- places ---- */

static void give_place(struct place *place, struct connection *c) {
    place->holder = c;
    c->place = place;
    c->units_left = idle_count > 0 ? options.window : SIZE_MAX;
}

static void assign_places(struct connection *all) {
    if (!places) {
        places = allocate(options.active * sizeof *places);
        idle = allocate(options.connections * sizeof(struct connection *));
    }
    idle_count = options.connections - options.active;
    first_idle = 0;
    for (size_t i = 0; i < idle_count; i++) {
        idle[i] = &all[options.active + i];
        idle[i]->place = NULL;
    }
    memset(places, 0, options.active * sizeof *places);
    for (size_t i = 0; i < options.active; i++) give_place(&places[i], &all[i]);
}

/* ---- commands ---- */

/* The moment of the next command of a place; 0 if it is due when it can be sent. */
static uint64_t due_moment(const struct place *place) {
    if (place->used >= place->due) return 0;
    uint64_t number = place->used * options.active + (uint64_t)(place - places);
    return phase.start_ns + (uint64_t)((double)number * phase.interval_ns);
}

static bool queue_follow_up(struct connection *c) {
    if (c->follow_up_count == 0) return false;
    struct follow_up *next = &c->follow_ups[c->first_follow_up];
    queue_command(c, next->verb, (struct span){next->id, next->id_bytes}, due_moment(c->place));
    c->first_follow_up = (c->first_follow_up + 1) % options.window;
    c->follow_up_count--;
    return true;
}

static bool queue_unit(struct connection *c, uint64_t now) {
    if (c->flight_count == options.window || c->units_left == 0 || begins_no_more(now))
        return false;
    phase.units_left--;
    phase.under_way++;
    c->units_left--;
    enum verb first = phase.work == DRAIN ? TAKE : PUT;
    queue_command(c, first, (struct span){NULL, 0}, due_moment(c->place));
    return true;
}

/* Send all that can be sent, and is due. */
static void advance(struct connection *c, uint64_t now) {
    struct place *place = c->place;
    bool waits_for_moments = is_open_loop() && !phase.is_over;
    while ((!waits_for_moments || place->used < place->due) &&
           (queue_follow_up(c) || queue_unit(c, now))) {
        if (!is_open_loop() || place->used < place->due) outcome.commands++;
        place->used++;
    }
    if (c->out_used > 0 && !c->waits_for_room) send_queued(c);
}

static void advance_place(struct place *place, uint64_t now) {
    struct connection *c = place->holder;
    bool is_done = c->units_left == 0 && c->flight_count == 0 && c->follow_up_count == 0;
    if (is_done && !begins_no_more(now)) {
        c->place = NULL;
        idle[(first_idle + idle_count) % options.connections] = c;
        give_place(place, idle[first_idle]);
        first_idle = (first_idle + 1) % options.connections;
    }
    advance(place->holder, now);
}

static void add_follow_up(struct connection *c, enum verb verb, struct span id) {
    size_t index = (c->first_follow_up + c->follow_up_count++) % options.window;
    struct follow_up *added = &c->follow_ups[index];
    added->verb = verb;
    added->id_bytes = id.bytes;
    memcpy(added->id, id.at, id.bytes);
}

/* Take the reply at the start of `text`, and note what follows from it. */
static size_t take_reply(struct connection *c, const char *text, size_t bytes, uint64_t now) {
    if (c->flight_count == 0) die("a reply nobody asked for: \"%.*s\"", LINE_BYTES, text);
    struct flight flight = c->flights[c->first_flight];
    struct span id = {"", 0};
    size_t reply_bytes = protocol->read_reply(flight.verb, text, bytes, &id);
    if (reply_bytes == 0) return 0;

    bool is_remainder = is_open_loop() && flight.since_ns >= phase.deadline_ns;
    if (!is_remainder) {
        histogram_add(&outcome.latencies, now - flight.since_ns);
        phase.counted_ns = now;
    }
    phase.answered++;
    phase.answered_ns = now;
    c->first_flight = (c->first_flight + 1) % options.window;
    c->flight_count--;
    if (flight.verb == PUT && phase.work == CYCLES) {
        add_follow_up(c, RESERVE, (struct span){"", 0});
    } else if ((flight.verb == RESERVE || flight.verb == TAKE) && id.bytes > 0) {
        add_follow_up(c, DELETE, id);
    } else {
        phase.under_way--;
        if (flight.verb == TAKE) phase.units_left = 0; /* the tube is empty */
    }
    return reply_bytes;
}

/* ---- moments ---- */

/* The next moment of an open loop; the last one is the end of its time. */
static uint64_t next_moment(void) {
    uint64_t after_ns = (uint64_t)((double)phase.scheduled * phase.interval_ns);
    uint64_t moment = phase.start_ns + after_ns;
    return moment < phase.deadline_ns ? moment : phase.deadline_ns;
}

/* Count as due what is, and send it where that is possible. */
static void schedule(uint64_t now) {
    if (!is_open_loop() || phase.is_over) return;
    for (uint64_t moment; (moment = next_moment()) <= now;) {
        if (moment == phase.deadline_ns) {
            phase.is_over = true;
            for (size_t i = 0; i < options.active; i++) advance_place(&places[i], now);
            return;
        }
        histogram_add(&outcome.lateness, now - moment);
        struct place *place = &places[phase.next_place];
        phase.scheduled++;
        if (++phase.next_place == options.active) phase.next_place = 0;
        place->due++;
        advance_place(place, now);
    }
}

static int wait_for_events(struct epoll_event *events) {
    if (!is_open_loop() || phase.is_over)
        return epoll_wait(poller, events, EVENTS_PER_WAIT, SILENCE_LIMIT_MS);
    static int processors;
    if (processors == 0) processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t spin_ns = processors > 1 ? SPIN_NS : 0, now = now_ns(), moment = next_moment();
    if (moment > now + spin_ns) {
        uint64_t rest_ns = moment - now - spin_ns;
        rest_ns -= rest_ns / COARSE_PART; /* whoever calls comes again for what is left of it */
        struct timespec rest = {(time_t)(rest_ns / NS_PER_S), (long)(rest_ns % NS_PER_S)};
        struct pollfd polled = {.fd = poller, .events = POLLIN};
        ppoll(&polled, 1, &rest, NULL);
    }
    return epoll_wait(poller, events, EVENTS_PER_WAIT, 0);
}

static void watch_for_silence(uint64_t now) {
    uint64_t limit_ns = SILENCE_LIMIT_MS * (NS_PER_S / 1000);
    if (phase.under_way == 0 || now < phase.answered_ns + limit_ns) return;
    for (size_t i = 0; i < options.active; i++) {
        const struct connection *c = places[i].holder;
        if (c->flight_count > 0 && now >= c->flights[c->first_flight].since_ns + limit_ns)
            die("no reply for %d s", SILENCE_LIMIT_MS / 1000);
    }
}

static void show_progress(uint64_t now) {
    if (!options.shows_progress || now < phase.next_progress_ns) return;
    phase.next_progress_ns = now + PROGRESS_EVERY_NS;
    printf("progress %llu\n", (unsigned long long)phase.answered);
    fflush(stdout);
}

/* ---- a phase ---- */

static void start(struct connection *all, enum work work, uint64_t units, double seconds,
                  double rate) {
    memset(&outcome, 0, sizeof outcome);
    memset(&phase, 0, sizeof phase);
    assign_places(all);
    phase.work = work;
    phase.start_ns = phase.answered_ns = now_ns();
    phase.next_progress_ns = phase.start_ns + PROGRESS_EVERY_NS;
    phase.units_left = units > 0 ? units : UINT64_MAX;
    phase.deadline_ns = seconds > 0 ? phase.start_ns + (uint64_t)(seconds * 1e9) : UINT64_MAX;
    phase.interval_ns = rate > 0 ? 1e9 / rate : 0;
}

const struct outcome *do_work(struct connection *all, enum work work, uint64_t units,
                              double seconds, double rate) {
    start(all, work, units, seconds, rate);
    if (!is_open_loop())
        for (size_t i = 0; i < options.active; i++) advance_place(&places[i], phase.start_ns);

    struct epoll_event events[EVENTS_PER_WAIT];
    uint64_t now = phase.start_ns;
    while (phase.under_way > 0 || !begins_no_more(now)) {
        int count = wait_for_events(events);
        if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) send_queued(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT) receive(c, take_reply);
            now = now_ns();
            if (c->place) advance_place(c->place, now);
            schedule(now);
        }
        now = now_ns();
        schedule(now);
        watch_for_silence(now);
        show_progress(now);
    }
    uint64_t end_ns = now;
    if (phase.is_over) {
        /* Of what was due in time, some was never sent if the server has not kept up. */
        outcome.missed = phase.scheduled - outcome.commands;
        end_ns = phase.counted_ns > phase.deadline_ns ? phase.counted_ns : phase.deadline_ns;
    }
    outcome.elapsed_ns = end_ns - phase.start_ns;
    return &outcome;
}
