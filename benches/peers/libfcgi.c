/* A responder of libfcgi with a fixed answer: as many threads as nginx keeps connections, for each thread serves one
 * connection until it closes. The listening socket is descriptor 0. */
#include "answer.h"
#include <fcgiapp.h>
#include <pthread.h>

enum { THREADS = 64 };

static void *serve(void *unused) {
    FCGX_Request request;
    char body[65536];
    FCGX_InitRequest(&request, 0, 0);
    while (FCGX_Accept_r(&request) == 0) {
        while (FCGX_GetStr(body, sizeof body, request.in) > 0) {
        }
        FCGX_PutStr(ANSWER, sizeof ANSWER - 1, request.out);
        FCGX_Finish_r(&request);
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    FCGX_Init();
    for (int number = 1; number < THREADS; number++)
        if (pthread_create(&thread, NULL, serve, NULL) != 0) return 1;
    serve(NULL);
    return 1;
}
