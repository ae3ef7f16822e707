/* Runs CGI programs as a web server does, one process a request, and prints the median wall time of each.
 *
 *   spawn ROUNDS BODY PROGRAM...      the programs in turn, so that a noisy moment meets all of them
 *
 * The environment is passed on; standard input is BODY, standard output is thrown away. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double run(char *program, const char *body) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, body, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    char *arguments[] = {program, NULL};
    pid_t child;
    int status;
    double start = microseconds();
    if (posix_spawn(&child, program, &files, NULL, arguments, environ) != 0 || waitpid(child, &status, 0) < 0 ||
        !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "spawn: %s failed\n", program);
        exit(1);
    }
    double time = microseconds() - start;
    posix_spawn_file_actions_destroy(&files);
    return time;
}

int main(int count, char **arguments) {
    if (count < 4) {
        fprintf(stderr, "usage: spawn ROUNDS BODY PROGRAM...\n");
        return 2;
    }
    int rounds = atoi(arguments[1]), programs = count - 3;
    double *times = calloc((size_t)rounds * programs, sizeof *times);
    for (int warm = 0; warm < programs; warm++) run(arguments[3 + warm], arguments[2]);
    for (int round = 0; round < rounds; round++)
        for (int program = 0; program < programs; program++)
            times[program * rounds + round] = run(arguments[3 + program], arguments[2]);
    for (int program = 0; program < programs; program++) {
        qsort(times + program * rounds, (size_t)rounds, sizeof *times, by_size);
        printf("%.1f\n", times[program * rounds + rounds / 2]);
    }
    return 0;
}
