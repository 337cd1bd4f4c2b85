/* Connections: opening them, sending what is queued, reading what has come. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LEAST_READ_BYTES 4096
#define MOST_READ_BYTES 65536
#define OTHER_FILES 16 /* that are open besides connections */

int poller;
static size_t read_bytes;

/* ---- opening ---- */

static void make_room_for_descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < options.connections + OTHER_FILES)
        die("%zu connections are too many for the limit of open files here, which is %llu: raise "
            "it (ulimit -Hn, as root), or ask for fewer",
            options.connections, (unsigned long long)limit.rlim_max);
}

static int connect_to(const struct sockaddr *address, socklen_t bytes) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) die("no socket: %s", strerror(errno));
    if (connect(fd, address, bytes) < 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    if (address->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int connect_by_path(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(options.unix_path) >= sizeof address.sun_path)
        die("%s is too long for the path of a socket", options.unix_path);
    strcpy(address.sun_path, options.unix_path);
    return connect_to((const struct sockaddr *)&address, sizeof address);
}

/* A name may have several addresses; the first that answers is the one for all connections. */
static int connect_by_name(void) {
    static struct addrinfo *found, *chosen;
    if (!found) {
        struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        int status = getaddrinfo(options.host, options.port, &wanted, &found);
        if (status != 0) die("cannot find %s: %s", options.host, gai_strerror(status));
    }
    if (chosen) return connect_to(chosen->ai_addr, chosen->ai_addrlen);
    int fd = -1;
    for (struct addrinfo *one = found; one && fd < 0; one = one->ai_next) {
        fd = connect_to(one->ai_addr, one->ai_addrlen);
        chosen = one;
    }
    return fd;
}

/* One harmless exchange, after which the server has accepted for certain. */
static void greet(int fd, size_t number) {
    size_t expected = strlen(protocol->answer), got = 0;
    char reply[NAME_BYTES + 1] = "";
    struct timeval limit = {.tv_sec = SILENCE_LIMIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (send(fd, protocol->question, strlen(protocol->question), MSG_NOSIGNAL) < 0)
        die("the server closed connection %zu: %s", number, strerror(errno));
    while (got < expected) {
        ssize_t more = recv(fd, reply + got, expected - got, 0);
        if (more < 0 && errno == EINTR) continue;
        if (more < 0 && errno == EAGAIN)
            die("the server does not answer on connection %zu; is its limit of open files (ulimit "
                "-n) high enough?", number);
        if (more <= 0) die("the server closed connection %zu before it had answered", number);
        got += (size_t)more;
        if (memcmp(reply, protocol->answer, got) != 0)
            die("unexpected reply to %.*s: \"%.*s\"", (int)strcspn(protocol->question, " \r\n"),
                protocol->question, (int)strcspn(reply, "\r\n"), reply);
    }
}

static void open_connection(struct connection *c, size_t number) {
    c->fd = options.unix_path ? connect_by_path() : connect_by_name();
    if (c->fd < 0)
        die("connection %zu to %s%s%s: %s", number,
            options.unix_path ? options.unix_path : options.host, options.unix_path ? "" : " port ",
            options.unix_path ? "" : options.port, strerror(errno));
    greet(c->fd, number);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl: %s", strerror(errno));
    c->in = allocate(read_bytes + options.body_bytes + 2 * LINE_BYTES);
    c->out = allocate(options.window * protocol->command_bytes);
    c->flights = allocate(options.window * sizeof *c->flights);
    c->follow_ups = allocate(options.window * sizeof *c->follow_ups);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl: %s", strerror(errno));
}

struct connection *open_connections(void) {
    make_room_for_descriptors();
    read_bytes = options.window * (options.body_bytes + LINE_BYTES);
    if (read_bytes < LEAST_READ_BYTES) read_bytes = LEAST_READ_BYTES;
    if (read_bytes > MOST_READ_BYTES) read_bytes = MOST_READ_BYTES;
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1: %s", strerror(errno));
    struct connection *all = allocate(options.connections * sizeof *all);
    for (size_t i = 0; i < options.connections; i++) open_connection(&all[i], i + 1);
    return all;
}

/* ---- sending ---- */

void queue_command(struct connection *c, enum verb verb, struct span id, uint64_t due_ns) {
    char *end = protocol->write_command(c->out + c->out_used, verb, id);
    c->out_used = (size_t)(end - c->out);
    size_t index = (c->first_flight + c->flight_count) % options.window;
    c->flights[index] = (struct flight){verb, due_ns};
    c->flight_count++;
    if (due_ns == 0) c->unstamped++;
}

void send_queued(struct connection *c) {
    if (c->unstamped > 0) {
        uint64_t now = now_ns();
        for (; c->unstamped > 0; c->unstamped--) {
            size_t index = (c->first_flight + c->flight_count - c->unstamped) % options.window;
            c->flights[index].since_ns = now;
        }
    }
    size_t done = 0;
    while (done < c->out_used) {
        ssize_t sent = send(c->fd, c->out + done, c->out_used - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            die("the server closed a connection");
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

void receive(struct connection *c,
             size_t (*take)(struct connection *c, const char *text, size_t bytes, uint64_t now)) {
    ssize_t got = recv(c->fd, c->in + c->in_used, read_bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    /* A server that closes with commands unread resets the connection. */
    if (got == 0 || (got < 0 && errno == ECONNRESET)) die("the server closed a connection");
    if (got < 0) die("receiving: %s", strerror(errno));
    uint64_t now = now_ns();
    c->in_used += (size_t)got;
    c->in[c->in_used] = '\0'; /* so that an unexpected line can be quoted */

    size_t taken = 0, reply_bytes;
    while (taken < c->in_used &&
           (reply_bytes = take(c, c->in + taken, c->in_used - taken, now)) > 0)
        taken += reply_bytes;
    c->in_used -= taken;
    if (taken > 0 && c->in_used > 0) memmove(c->in, c->in + taken, c->in_used);
}
