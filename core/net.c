/* SPDX-License-Identifier: MIT */
/*
 * TCP by numeric address: parse, open, listen or connect. No resolver, no allocation.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/fd.h>
#include <weft/net.h>

#include "core/fdtable.h"
#include "core/runtime.h"

/* "[", an IPv6 address, "%", an interface's name, "]" and a bit more. */
#define HOST_SIZE (INET6_ADDRSTRLEN + IF_NAMESIZE + 2)

/* A socket address of either family, as long as it needs to be. */
struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t length;
};

static int parse(struct endpoint *ret, const char *address);
static int parse_port(const char *text, in_port_t *ret);
static int parse_v4(struct endpoint *ret, const char *host, in_port_t port);
static int parse_v6(struct endpoint *ret, char *host, in_port_t port);
static int listen_on(const struct endpoint *endpoint, const struct weft_listen_options *options);
static int listen_prepared(int fd,
                           const struct endpoint *endpoint,
                           const struct weft_listen_options *options);

static struct endpoint endpoint_v4(uint32_t host, in_port_t port)
{
    return (struct endpoint){
        .v4 = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(host)},
        .length = sizeof(struct sockaddr_in),
    };
}

static struct endpoint endpoint_v6_any(in_port_t port)
{
    return (struct endpoint){
        .v6 = {.sin6_family = AF_INET6, .sin6_port = port},
        .length = sizeof(struct sockaddr_in6),
    };
}

/* An empty host leaves the family open: any.sa_family is AF_UNSPEC, and the port in v4.sin_port. */
static int parse(struct endpoint *ret, const char *address)
{
    if (!address) return -EINVAL;
    const char *colon = strrchr(address, ':');
    if (!colon) return -EINVAL;
    in_port_t port;
    int result = parse_port(colon + 1, &port);
    if (result < 0) return result;

    char host[HOST_SIZE];
    size_t size = (size_t)(colon - address);
    if (size >= sizeof host) return -EINVAL;
    memcpy(host, address, size);
    host[size] = '\0';

    if (size == 0) {
        *ret = endpoint_v4(INADDR_ANY, port);
        ret->any.sa_family = AF_UNSPEC;
        return 0;
    }
    if (host[0] != '[') return parse_v4(ret, host, port);
    if (host[size - 1] != ']') return -EINVAL;
    host[size - 1] = '\0';
    return parse_v6(ret, host + 1, port);
}

static int parse_port(const char *text, in_port_t *ret)
{
    unsigned port = 0;
    if (*text == '\0') return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return -EINVAL;
        port = 10 * port + (unsigned)(*text - '0');
        if (port > 65535) return -EINVAL;
    }
    *ret = htons((in_port_t)port);
    return 0;
}

static int parse_v4(struct endpoint *ret, const char *host, in_port_t port)
{
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) != 1) return -EINVAL;
    *ret = endpoint_v4(ntohl(address.s_addr), port);
    return 0;
}

/* "fe80::1%eth0": a link-local address needs its interface. */
static int parse_v6(struct endpoint *ret, char *host, in_port_t port)
{
    struct endpoint endpoint = endpoint_v6_any(port);
    char *zone = strchr(host, '%');
    if (zone) {
        *zone = '\0';
        endpoint.v6.sin6_scope_id = if_nametoindex(zone + 1);
        if (endpoint.v6.sin6_scope_id == 0) return -EINVAL;
    }
    if (inet_pton(AF_INET6, host, &endpoint.v6.sin6_addr) != 1) return -EINVAL;
    *ret = endpoint;
    return 0;
}

static int socket_open(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) return -errno;
    struct worker *worker = weft__worker();
    if (worker) weft__fd_is_new(worker, fd, FD_STREAM);
    return fd;
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* ---- listen ---- */

int weft_tcp_listen(int *ret_fd, const char *address, const struct weft_listen_options *options)
{
    static const struct weft_listen_options defaults = WEFT_LISTEN_OPTIONS_INIT;
    if (!options) options = &defaults;
    if (!ret_fd || options->size < sizeof *options || options->backlog < 0) return -EINVAL;
    struct endpoint endpoint;
    int fd = parse(&endpoint, address);
    if (fd < 0) return fd;

    if (endpoint.any.sa_family != AF_UNSPEC) {
        fd = listen_on(&endpoint, options);
    } else {
        struct endpoint both = endpoint_v6_any(endpoint.v4.sin_port);
        fd = listen_on(&both, options);
        if (fd == -EAFNOSUPPORT && !options->v6only) { /* a kernel without IPv6 */
            endpoint.any.sa_family = AF_INET;
            fd = listen_on(&endpoint, options);
        }
    }
    if (fd < 0) return fd;
    *ret_fd = fd;
    return 0;
}

static int listen_on(const struct endpoint *endpoint, const struct weft_listen_options *options)
{
    int fd = socket_open(endpoint->any.sa_family);
    if (fd < 0) return fd;
    int result = listen_prepared(fd, endpoint, options);
    if (result == 0) return fd;
    (void)weft_close(fd); /* nothing was written that could be lost */
    return result;
}

static int listen_prepared(int fd,
                           const struct endpoint *endpoint,
                           const struct weft_listen_options *options)
{
    int result = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (result == 0 && options->reuse_port) result = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (result == 0 && endpoint->any.sa_family == AF_INET6) {
        result = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->v6only != 0);
    }
    /* Connections inherit it, which saves a call for each of them. */
    if (result == 0) result = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (result < 0) return result;

    if (bind(fd, &endpoint->any, endpoint->length) < 0) return -errno;
    if (listen(fd, options->backlog > 0 ? options->backlog : SOMAXCONN) < 0) return -errno;
    return 0;
}

/* ---- dial ---- */

int weft_tcp_dial(int *ret_fd, const char *address)
{
    const struct worker *worker = weft__worker();
    if (!worker || !worker->current) return weft__not_in_task();
    if (!ret_fd) return -EINVAL;
    struct endpoint endpoint;
    int result = parse(&endpoint, address);
    if (result < 0) return result;
    if (endpoint.any.sa_family == AF_UNSPEC) {
        endpoint.v4.sin_family = AF_INET;
        endpoint.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }

    int fd = socket_open(endpoint.any.sa_family);
    if (fd < 0) return fd;
    result = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (result == 0) result = weft_connect(fd, &endpoint.any, endpoint.length);
    if (result < 0) {
        (void)weft_close(fd); /* it was never connected, or nobody knows of it */
        return result;
    }
    *ret_fd = fd;
    return 0;
}

int weft_tcp_port(int fd)
{
    struct endpoint endpoint = {.length = sizeof endpoint.v6};
    if (getsockname(fd, &endpoint.any, &endpoint.length) < 0) return -errno;
    switch (endpoint.any.sa_family) {
    case AF_INET:
        return ntohs(endpoint.v4.sin_port);
    case AF_INET6:
        return ntohs(endpoint.v6.sin6_port);
    default:
        return -EAFNOSUPPORT;
    }
}
