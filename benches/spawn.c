/* Runs CGI programs as a web server does, one process a request, and prints the median wall time of each in µs.
 *
 *   spawn SECONDS {CONFIG BODY TEXT PROGRAM}...
 *
 * The programs run in turn, so that a noisy moment meets all of them, each twice, so that none pays for what the one
 * before it left in the caches; the second run counts. Each gets BODY as standard input, the environment
 * of this program and in it CONTENT_LENGTH and WXCGI_CONFIG=CONFIG. Time runs from before the spawn until the exit was
 * seen; every answer must have status 200 and hold TEXT. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 4, LEAST = 10, MOST = 100000 };

extern char **environ;

static int ends[2]; /* of the pipe that answers come through; they are far smaller than a pipe holds */

static void fail(const char *program, const char *what) {
    fprintf(stderr, "spawn: %s: %s\n", program, what);
    exit(1);
}

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void check(const char *program, const char *text) {
    static char answer[65536];
    ssize_t got = read(ends[0], answer, sizeof answer - 1);
    answer[got > 0 ? got : 0] = 0;
    const char *status = strstr(answer, "Status:");
    if ((status && strncmp(status, "Status: 200", 11) != 0) || !strstr(answer, text)) {
        fail(program, answer[0] ? answer : "no answer");
    }
}

static double run(char **words) {
    const char *body = words[1];
    char *program = words[3], *arguments[] = {program, NULL}, length[32];
    struct stat facts;
    if (stat(body, &facts) != 0) fail(body, "cannot be read");
    snprintf(length, sizeof length, "%ld", (long)facts.st_size);
    setenv("CONTENT_LENGTH", length, 1);
    setenv("WXCGI_CONFIG", words[0], 1);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, body, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    pid_t child;
    int status;
    double start = microseconds();
    if (posix_spawn(&child, program, &files, NULL, arguments, environ) != 0) fail(program, "does not start");
    if (waitpid(child, &status, 0) < 0 || status != 0) fail(program, "failed");
    double time = microseconds() - start;
    posix_spawn_file_actions_destroy(&files);
    check(program, words[2]);
    return time;
}

int main(int count, char **arguments) {
    int programs = (count - 2) / WORDS, rounds = 0;
    if (programs < 1 || count != 2 + programs * WORDS || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        fprintf(stderr, "usage: spawn SECONDS {CONFIG BODY TEXT PROGRAM}...\n");
        return 2;
    }
    double *times = calloc((size_t)programs * MOST, sizeof *times);
    if (!times) fail("times", "no memory");
    double until = microseconds() + atof(arguments[1]) * 1e6;
    for (; rounds < MOST && (rounds < LEAST || microseconds() < until); rounds++)
        for (int program = 0; program < programs; program++) {
            run(arguments + 2 + program * WORDS);
            times[program * MOST + rounds] = run(arguments + 2 + program * WORDS);
        }
    for (int program = 0; program < programs; program++) {
        qsort(times + program * MOST, (size_t)rounds, sizeof *times, by_size);
        printf("%.1f\n", times[program * MOST + rounds / 2]);
    }
    return 0;
}
