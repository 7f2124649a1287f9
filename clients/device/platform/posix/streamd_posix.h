/* The platform of Linux and macOS: sockets, RFC 6455, and TLS where it was built with it.
 *
 *     static struct streamd stream;
 *     static struct streamd_posix posix;
 *     struct streamd_platform platform = streamd_posix_platform(&posix);
 *
 *     streamd_posix_init(&posix, &stream, NULL);
 *     streamd_init(&stream, &platform, &options);
 *     while (!streamd_is_over(&stream)) {
 *         uint32_t wait_ms = streamd_poll(&stream);
 *         if (streamd_posix_wait(&posix, microphone_fd, wait_ms))
 *             ...  // read it, and give it to streamd_audio
 *     }
 *     streamd_posix_free(&posix);
 *
 * A program that uses TLS ignores SIGPIPE. Names are resolved with getaddrinfo, which blocks.
 */
#ifndef STREAMD_POSIX_H
#define STREAMD_POSIX_H

#include "frame.h"
#include "streamd.h"
#include "upgrade.h"
#include "wire.h"

#ifndef STREAMD_POSIX_BYTES
#define STREAMD_POSIX_BYTES 16384 /* of each of the two buffers of the socket */
#endif

enum posix_phase {
    POSIX_CLOSED,
    POSIX_CONNECTING,
    POSIX_UPGRADING, /* the request is sent, and the answer read */
    POSIX_OPEN,
    POSIX_ENDING, /* a close frame goes out, then the connection ends */
    POSIX_FAILED  /* to be reported */
};

struct streamd_posix {
    struct streamd *stream;
    struct wire wire;
    struct url url;
    char key[UPGRADE_KEY];
    const char *api_key;
    enum posix_phase phase;
    bool wants_write; /* the connection waits until it can be written */
    bool has_more;    /* the connection may hold more that was received */
    int random_fd;
    struct frame_reader frames;
    uint8_t in[STREAMD_POSIX_BYTES];
    size_t in_size;
    uint8_t out[STREAMD_POSIX_BYTES];
    size_t out_size;
    int close_code; /* of the server's close frame */
    char close_reason[124];
    size_t close_reason_size;
};

/* False: the machine has no source of random numbers. `ca_file`: certificates of the authorities to
 * trust, in PEM; NULL: those of SSL_CERT_FILE or of the system. */
bool streamd_posix_init(struct streamd_posix *posix, struct streamd *stream, const char *ca_file);
struct streamd_platform streamd_posix_platform(struct streamd_posix *posix);
/* Wait for the connection, for `fd` (-1: none), or for `timeout_ms`; hand in what has arrived.
 * Returns whether `fd` can be read. */
bool streamd_posix_wait(struct streamd_posix *posix, int fd, uint32_t timeout_ms);
void streamd_posix_free(struct streamd_posix *posix);

#endif
