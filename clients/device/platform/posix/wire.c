/* A TCP connection that does not block, with TLS or without. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: ignore SIGPIPE */
#endif

void wire_fail(struct wire *wire, const char *reason)
{
    (void)snprintf(wire->reason, sizeof wire->reason, "%s", reason);
}

void wire_init(struct wire *wire, const char *ca_file)
{
    memset(wire, 0, sizeof *wire);
    wire->fd = -1;
    wire->ca_file = ca_file;
}

static void close_socket(struct wire *wire)
{
    if (wire->fd >= 0)
        (void)close(wire->fd);
    wire->fd = -1;
}

/* Try the addresses in their order until a connection begins. */
static bool try_next(struct wire *wire)
{
    close_socket(wire);
    for (; wire->next != NULL; wire->next = wire->next->ai_next) {
        const struct addrinfo *to = wire->next;
        int one = 1;

        wire->fd = socket(to->ai_family, to->ai_socktype, to->ai_protocol);
        if (wire->fd < 0)
            continue;
        (void)fcntl(wire->fd, F_SETFL, O_NONBLOCK);
        (void)fcntl(wire->fd, F_SETFD, FD_CLOEXEC);
        (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(wire->fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS) {
            wire->next = to->ai_next;
            return true;
        }
        wire_fail(wire, strerror(errno));
        close_socket(wire);
    }
    return false;
}

bool wire_open(struct wire *wire, const char *host, const char *port, bool is_tls)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    int failed;

    wire_close(wire);
    wire->reason[0] = '\0';
    (void)snprintf(wire->host, sizeof wire->host, "%s", is_tls ? host : "");
    failed = getaddrinfo(host, port, &wanted, &wire->addresses);
    if (failed != 0) {
        wire->addresses = NULL;
        wire_fail(wire, gai_strerror(failed));
        return false;
    }
    wire->next = wire->addresses;
    return try_next(wire);
}

enum wire_result wire_connect(struct wire *wire)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int error = 0;
    socklen_t error_size = sizeof error;

    if (wire->is_connected)
        return wire->host[0] == '\0' ? WIRE_OK : tls_handshake(wire);
    (void)getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) {
        wire_fail(wire, strerror(error));
        return try_next(wire) ? WIRE_WAIT_WRITE : WIRE_FAILED;
    }
    if (getpeername(wire->fd, (struct sockaddr *)&peer, &size) != 0)
        return WIRE_WAIT_WRITE; /* not yet */
    wire->is_connected = true;
    if (wire->host[0] == '\0')
        return WIRE_OK;
    return tls_start(wire) ? tls_handshake(wire) : WIRE_FAILED;
}

enum wire_result wire_read(struct wire *wire, void *data, size_t size, size_t *taken)
{
    ssize_t count;

    if (wire->host[0] != '\0')
        return tls_read(wire, data, size, taken);
    count = recv(wire->fd, data, size, 0);
    if (count > 0) {
        *taken = (size_t)count;
        return WIRE_OK;
    }
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return WIRE_WAIT_READ;
    wire_fail(wire, count == 0 ? "the server closed the connection" : strerror(errno));
    return WIRE_FAILED;
}

enum wire_result wire_write(struct wire *wire, const void *data, size_t size, size_t *taken)
{
    ssize_t count;

    if (wire->host[0] != '\0')
        return tls_write(wire, data, size, taken);
    count = send(wire->fd, data, size, MSG_NOSIGNAL);
    if (count >= 0) {
        *taken = (size_t)count;
        return WIRE_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return WIRE_WAIT_WRITE;
    wire_fail(wire, strerror(errno));
    return WIRE_FAILED;
}

void wire_close(struct wire *wire)
{
    tls_stop(wire);
    close_socket(wire);
    if (wire->addresses != NULL)
        freeaddrinfo(wire->addresses);
    wire->addresses = wire->next = NULL;
    wire->is_connected = false;
}

void wire_free(struct wire *wire)
{
    wire_close(wire);
    tls_free(wire);
}
