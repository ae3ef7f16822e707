/* Load for what wrk cannot do: FastCGI without a web server, and a count of the connections that were served at all.
 *
 *   load fcgi|http PLACE CONNECTIONS SECONDS REQUESTS TEXT
 *
 * PLACE is the path of a unix socket or a port on 127.0.0.1. Each connection sends one request after the other, in
 * one thread on one epoll. REQUESTS holds whole requests, each behind its length (4 bytes, big endian). An answer is
 * good if it is whole, has status 200, holds TEXT and comes within 5 s. Prints good=, rps=, p50= and p99= (µs),
 * errors=, served= (connections with a good answer). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REQUESTS = 1024, PATIENCE = 5000000, END = 3, STDOUT = 6, HEADER = 8 };
enum verdict { MORE, GOOD, BAD };

struct connection {
    int fd, waits;
    size_t have;
    double began;
    long good;
    char in[16384];
};

static const char *requests[REQUESTS], *place, *text;
static size_t lengths[REQUESTS], count, next;
static int poller;
static double until;
static long open_requests, good, errors;
static float *times; /* of the good answers, µs */
static enum verdict (*whole_answer)(const struct connection *);

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static void read_requests(const char *name) {
    static char file[1 << 22];
    int fd = open(name, O_RDONLY);
    ssize_t size = fd < 0 ? -1 : read(fd, file, sizeof file);
    if (size <= 0) fail(name);
    for (char *at = file; at < file + size && count < REQUESTS; at += lengths[count++]) {
        uint32_t length;
        memcpy(&length, at, sizeof length);
        lengths[count] = ntohl(length);
        requests[count] = at += sizeof length;
    }
}

static enum verdict http_answer(const struct connection *from) {
    const char *body = strstr(from->in, "\r\n\r\n"), *length = strcasestr(from->in, "\r\nContent-Length:");
    if (!body) return MORE;
    body += 4;
    const char *end = from->in + from->have, *last = "\r\n0\r\n\r\n";
    int whole = length && length < body ? end - body >= atol(length + 17)
                                        : end - body >= 7 && memcmp(end - 7, last, 7) == 0; /* chunked */
    if (!whole) return MORE;
    return strncmp(from->in, "HTTP/1.1 200", 12) == 0 && strstr(body, text) ? GOOD : BAD;
}

static enum verdict fcgi_answer(const struct connection *from) {
    int is_right = 0;
    for (size_t at = 0; at + HEADER <= from->have;) {
        const unsigned char *record = (const unsigned char *)from->in + at;
        size_t length = record[4] << 8 | record[5];
        if (at + HEADER + length + record[6] > from->have) return MORE;
        const char *body = from->in + at + HEADER, *status = memmem(body, length, "Status:", 7);
        if (record[1] == STDOUT && (!status || memcmp(status, "Status: 200", 11) == 0))
            is_right |= memmem(body, length, text, strlen(text)) != NULL;
        at += HEADER + length + record[6];
        if (record[1] == END) return is_right && body[4] == 0 && at == from->have ? GOOD : BAD;
    }
    return MORE;
}

static void open_connection(struct connection *it) {
    struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
    struct sockaddr_in port = {
        .sin_family = AF_INET, .sin_port = htons(atoi(place)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};
    strncpy(unix_address.sun_path, place, sizeof unix_address.sun_path - 1);
    int is_unix = place[0] == '/';
    it->fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(it->fd, is_unix ? (struct sockaddr *)&unix_address : (struct sockaddr *)&port,
                is_unix ? sizeof unix_address : sizeof port) != 0)
        fail(place);
    fcntl(it->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, it->fd, &event) != 0) fail("epoll");
}

static void begin_request(struct connection *on) {
    on->began = microseconds();
    if (on->began >= until) return;
    size_t number = next++ % count;
    on->have = 0;
    on->waits = 1;
    open_requests++;
    /* It is far smaller than a socket's buffer. If the peer has gone, reading tells. */
    (void)!send(on->fd, requests[number], lengths[number], MSG_NOSIGNAL);
}

static void end_request(struct connection *on, enum verdict verdict) {
    double time = microseconds() - on->began;
    on->waits = 0;
    open_requests--;
    if (verdict != GOOD || time > PATIENCE) {
        errors++;
        return;
    }
    if ((good & (good - 1)) == 0) times = realloc(times, (good ? 2 * good : 1) * sizeof *times);
    if (!times) fail("memory");
    times[good++] = time;
    on->good++;
}

static void receive(struct connection *from) {
    ssize_t got = recv(from->fd, from->in + from->have, sizeof from->in - 1 - from->have, 0);
    if (got > 0 && from->waits) {
        from->have += got;
        from->in[from->have] = 0;
        enum verdict verdict = whole_answer(from);
        if (verdict == MORE) return;
        end_request(from, verdict);
        if (verdict == GOOD) {
            begin_request(from);
            return;
        }
    } else if (got < 0) {
        return; /* nothing yet */
    }
    if (from->waits) end_request(from, BAD);
    close(from->fd);
    if (microseconds() < until) {
        open_connection(from);
        begin_request(from);
    }
}

int main(int words, char **word) {
    if (words != 7) {
        fprintf(stderr, "usage: load fcgi|http PLACE CONNECTIONS SECONDS REQUESTS TEXT\n");
        return 2;
    }
    whole_answer = strcmp(word[1], "http") == 0 ? http_answer : fcgi_answer;
    place = word[2], text = word[6];
    read_requests(word[5]);
    long number = atol(word[3]), served = 0;
    struct connection *all = calloc(number, sizeof *all);
    struct epoll_event ready[256];
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!all || poller < 0) fail("start");
    for (long i = 0; i < number; i++) open_connection(&all[i]);
    double start = microseconds();
    until = start + atof(word[4]) * 1e6;
    for (long i = 0; i < number; i++) begin_request(&all[i]);
    while (open_requests > 0 && microseconds() < until + PATIENCE) {
        int events = epoll_wait(poller, ready, 256, 100);
        for (int i = 0; i < events; i++) receive(ready[i].data.ptr);
    }
    double seconds = (microseconds() - start) / 1e6;
    for (long i = 0; i < number; i++) served += all[i].good > 0;
    qsort(times, good, sizeof *times, by_size);
    printf("good=%ld rps=%.1f p50=%.1f p99=%.1f errors=%ld served=%ld\n", good, good / seconds,
           good ? times[good / 2] : 0, good ? times[good * 99 / 100] : 0, errors + open_requests, served);
    return 0;
}
