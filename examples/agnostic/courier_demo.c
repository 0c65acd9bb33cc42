/* SPDX-License-Identifier: MIT */
/*
 * Uses courier as an application does, and prints what must be the same on every backend. What the
 * backend is goes to standard error, for whoever compares.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#include "courier.h"

enum { CLIENTS = 8, CALLS = 50 };

/* Sends requests back in capitals. "sleep" takes an hour, "bye" hangs up. */
static int shout(void *arg, const void *request, size_t size, void *reply, size_t *ret_size)
{
    int *served = (int *)arg;
    const char *text = (const char *)request;
    char *answer = (char *)reply;
    if (size == 3 && memcmp(text, "bye", 3) == 0) return -1;
    if (size == 5 && memcmp(text, "sleep", 5) == 0 && weft_sleep(WEFT_HOUR) < 0) return -1;
    for (size_t i = 0; i < size; i++)
        answer[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
    *ret_size = size;
    (*served)++;
    return 0;
}

struct server {
    int listener;
    int served; /* requests */
};

static int serve(void *arg)
{
    struct server *server = (struct server *)arg;
    int result = courier_serve(server->listener, shout, &server->served);
    printf("the server ends: %s\n", strerror(-result));
    return 0;
}

static int call(struct courier_client *client, const char *text)
{
    char reply[256]; /* on a stack of 64 KiB */
    size_t size = 0;
    int result = courier_call(client, text, strlen(text), reply, sizeof reply, &size);
    if (result < 0) {
        printf("%s: %s\n", text, strerror(-result));
    } else {
        printf("%s: %.*s\n", text, (int)size, reply);
    }
    return result;
}

/* ---- many clients, and many tasks of one client ---- */

struct load {
    struct courier_client *client; /* NULL: one of its own */
    const char *address;
    int wrong;
};

static int load_run(void *arg)
{
    struct load *load = (struct load *)arg;
    struct courier_client *client = load->client;
    if (!client && courier_dial(&client, load->address) < 0) return -EIO;
    static const char letters[] = "abcdefghij";
    for (int i = 0; i < CALLS; i++) {
        char reply[sizeof letters];
        size_t size = 0;
        size_t wanted = (size_t)(i % 10) + 1;
        int result = courier_call(client, letters, wanted, reply, sizeof reply, &size);
        load->wrong += result != 0 || size != wanted || reply[0] != 'A';
    }
    if (!load->client) courier_close(client);
    return 0;
}

static int load_all(const char *address, struct courier_client *shared)
{
    struct load loads[CLIENTS];
    struct weft_scope scope;
    int wrong = weft_scope_open(&scope) < 0;
    for (int i = 0; i < CLIENTS; i++) {
        loads[i] = (struct load){shared, address, 0};
        wrong += weft_scope_spawn(&scope, NULL, load_run, &loads[i]) < 0;
    }
    wrong += weft_scope_close(&scope) < 0;
    for (int i = 0; i < CLIENTS; i++)
        wrong += loads[i].wrong;
    return wrong;
}

/* ---- the caller's time ---- */

static void late_call(const char *address)
{
    struct courier_client *client = NULL;
    if (courier_dial(&client, address) < 0) return;
    int status = 0;
    weft_with_timeout_into(&status, 20 * WEFT_MSEC) {
        (void)call(client, "sleep");
    }
    printf("the caller's scope: %s\n", strerror(-status));
    (void)call(client, "after a call that did not finish");
    courier_close(client);
}

static int app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct server server = {-1, 0};
    char address[32];
    if (weft_tcp_listen(&server.listener, "127.0.0.1:0", NULL) < 0) return 1;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", weft_tcp_port(server.listener));
    weft_task task;
    if (weft_spawn(&task, serve, &server) < 0) return 1;

    struct courier_client *client = NULL;
    if (courier_dial(&client, address) < 0) return 1;
    (void)call(client, "hello");
    printf("%d tasks of one client: %d wrong\n", CLIENTS, load_all(address, client));
    printf("%d clients: %d wrong\n", CLIENTS, load_all(address, NULL));
    (void)call(client, "bye");
    courier_close(client);
    late_call(address);

    printf("%d requests served\n", server.served);
    (void)weft_cancel(task);
    (void)weft_join(task, NULL);
    (void)weft_close(server.listener);
    (void)fprintf(stderr, "%s\n", weft_backend_name());
    return 0;
}

WEFT_MAIN(app_main);
