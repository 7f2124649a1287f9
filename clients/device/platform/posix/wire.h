/* A TCP connection that does not block, with TLS or without. */
#ifndef STREAMD_WIRE_H
#define STREAMD_WIRE_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define WIRE_REASON 160

enum wire_result {
    WIRE_OK,
    WIRE_WAIT_READ,  /* try again when the socket can be read */
    WIRE_WAIT_WRITE, /* or written */
    WIRE_FAILED      /* `reason` says why; for `wire_read` also: the server has closed */
};

struct wire {
    int fd; /* -1: closed */
    struct addrinfo *addresses;
    struct addrinfo *next; /* the next of them to try */
    bool is_connected;
    char reason[WIRE_REASON];
    const char *ca_file; /* PEM; NULL: those of the system */
    char host[128];      /* "" without TLS */
    void *context;       /* of OpenSSL; kept over connections */
    void *session;       /* of OpenSSL */
};

void wire_init(struct wire *wire, const char *ca_file);
/* Begin to connect. It blocks while a name is resolved. False: it failed. */
bool wire_open(struct wire *wire, const char *host, const char *port, bool is_tls);
/* Go on with the connection and the handshake of TLS. */
enum wire_result wire_connect(struct wire *wire);
enum wire_result wire_read(struct wire *wire, void *data, size_t size, size_t *taken);
enum wire_result wire_write(struct wire *wire, const void *data, size_t size, size_t *taken);
void wire_close(struct wire *wire);
/* Free what is kept over connections. */
void wire_free(struct wire *wire);

/* The part of TLS: src tls.c with STREAMD_TLS, else tls_none.c. */
bool tls_start(struct wire *wire);
enum wire_result tls_handshake(struct wire *wire);
enum wire_result tls_read(struct wire *wire, void *data, size_t size, size_t *taken);
enum wire_result tls_write(struct wire *wire, const void *data, size_t size, size_t *taken);
void tls_stop(struct wire *wire);
void tls_free(struct wire *wire);

/* Keep a reason, cut to WIRE_REASON. */
void wire_fail(struct wire *wire, const char *reason);

#endif
