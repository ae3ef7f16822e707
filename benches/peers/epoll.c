/* The least that a FastCGI responder can do: one thread, epoll, one read and one send a request, no checks. It walks
 * the records only to find the end of STDIN, then sends a fixed answer. The listening socket is descriptor 0. */
#define _GNU_SOURCE
#include "answer.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BEGIN = 1, END = 3, STDIN = 5, STDOUT = 6, HEADER = 8 };

struct connection {
    int fd, keep;
    size_t have;
    unsigned char in[16384];
};

static unsigned char answer[1024];
static size_t answer_length;

static void push_record(int type, const void *body, size_t length) {
    unsigned char header[HEADER] = {1, type, 0, 1, length >> 8, length & 255, 0, 0};
    memcpy(answer + answer_length, header, HEADER);
    memcpy(answer + answer_length + HEADER, body, length);
    answer_length += HEADER + length;
}

/* The length of the whole request at the start of the buffer, or 0. */
static size_t whole_request(struct connection *from) {
    size_t at = 0;
    while (from->have - at >= HEADER) {
        const unsigned char *record = from->in + at;
        size_t length = record[4] << 8 | record[5], total = HEADER + length + record[6];
        if (from->have - at < total) return 0;
        if (record[1] == BEGIN) from->keep = record[10] & 1;
        at += total;
        if (record[1] == STDIN && length == 0) return at;
    }
    return 0;
}

/* Whether the connection stays open. */
static int serve(struct connection *peer) {
    ssize_t got = read(peer->fd, peer->in + peer->have, sizeof peer->in - peer->have);
    size_t used;
    if (got <= 0) return 0;
    peer->have += got;
    while ((used = whole_request(peer)) > 0) {
        if (send(peer->fd, answer, answer_length, MSG_NOSIGNAL) != (ssize_t)answer_length || !peer->keep) return 0;
        peer->have -= used;
        memmove(peer->in, peer->in + used, peer->have);
    }
    return peer->have < sizeof peer->in;
}

int main(void) {
    int poller = epoll_create1(0), fd;
    struct epoll_event event = {.events = EPOLLIN}, ready[64];
    push_record(STDOUT, ANSWER, sizeof ANSWER - 1);
    push_record(STDOUT, "", 0);
    push_record(END, "\0\0\0\0\0\0\0", 8);
    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        int count = epoll_wait(poller, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            struct connection *peer = ready[i].data.ptr;
            while (!peer && (fd = accept4(0, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct connection *new = malloc(sizeof *new);
                if (!new) return 1;
                new->fd = fd, new->have = new->keep = 0;
                event.data.ptr = new;
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            }
            if (peer && !serve(peer)) {
                close(peer->fd);
                free(peer);
            }
        }
    }
}
