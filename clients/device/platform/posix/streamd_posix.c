/* The platform of Linux and macOS: one connection, moved on by `poll`. */
#include "streamd_posix.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RESERVED 280u /* of the buffer: for a pong and a close frame */
#define READS 16      /* of the socket in a row, before the program has its turn */

typedef char buffers_hold_a_message[STREAMD_POSIX_BYTES >= STREAMD_MESSAGE_BYTES + 512 ? 1 : -1];

static uint64_t now_ms(void *context)
{
    struct timespec now;

    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void random_bytes(struct streamd_posix *posix, void *to, size_t size)
{
    if (read(posix->random_fd, to, size) != (ssize_t)size)
        abort(); /* a mask that can be guessed is no mask */
}

static uint32_t random_number(void *context)
{
    uint32_t number;

    random_bytes(context, &number, sizeof number);
    return number;
}

bool streamd_posix_init(struct streamd_posix *posix, struct streamd *stream, const char *ca_file)
{
    memset(posix, 0, sizeof *posix);
    posix->stream = stream;
    wire_init(&posix->wire, ca_file);
    posix->random_fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    return posix->random_fd >= 0;
}

/* ---- Called by the stream ---- */

static bool open_socket(void *context, const char *url, const char *key)
{
    struct streamd_posix *posix = context;
    uint8_t random[16];

    posix->api_key = key;
    posix->in_size = posix->out_size = 0;
    posix->has_more = false;
    posix->close_code = 0;
    posix->close_reason_size = 0;
    memset(&posix->frames, 0, sizeof posix->frames);
    if (!url_read(&posix->url, url))
        return false;
    random_bytes(posix, random, sizeof random);
    upgrade_key(posix->key, random);
    posix->wants_write = true;
    posix->phase = wire_open(&posix->wire, posix->url.host, posix->url.port, posix->url.is_tls)
                       ? POSIX_CONNECTING
                       : POSIX_FAILED;
    return true;
}

static bool add_frame(struct streamd_posix *posix, enum opcode opcode, const void *data,
                      size_t size, size_t reserved)
{
    uint8_t mask[4];

    if (size + FRAME_HEADER + reserved > sizeof posix->out - posix->out_size)
        return false;
    random_bytes(posix, mask, sizeof mask);
    posix->out_size += frame_write(posix->out + posix->out_size, opcode, data, size, mask);
    return true;
}

/* Write what waits, as far as the socket takes it. */
static void write_out(struct streamd_posix *posix)
{
    posix->wants_write = false;
    while (posix->out_size > 0) {
        size_t taken = 0;
        enum wire_result result =
            wire_write(&posix->wire, posix->out, posix->out_size, &taken);
        if (result == WIRE_FAILED) {
            posix->out_size = 0; /* what the server has said before is still to be read */
            return;
        }
        posix->wants_write = result != WIRE_OK;
        if (result != WIRE_OK)
            return;
        posix->out_size -= taken;
        memmove(posix->out, posix->out + taken, posix->out_size);
    }
}

static enum streamd_sent send_message(void *context, enum streamd_message kind, const void *data,
                                      size_t size)
{
    struct streamd_posix *posix = context;
    enum opcode opcode = kind == STREAMD_TEXT ? OPCODE_TEXT : OPCODE_BINARY;

    if (posix->phase != POSIX_OPEN)
        return STREAMD_LATER; /* what has happened is reported soon */
    if (size + FRAME_HEADER + RESERVED > sizeof posix->out)
        return STREAMD_BROKEN;
    if (!add_frame(posix, opcode, data, size, RESERVED)) {
        write_out(posix);
        if (posix->phase != POSIX_OPEN || !add_frame(posix, opcode, data, size, RESERVED))
            return STREAMD_LATER;
    }
    return STREAMD_SENT;
}

static void close_socket(void *context, bool is_clean)
{
    struct streamd_posix *posix = context;
    static const uint8_t done[2] = {1000 >> 8, 1000 & 0xFF};

    if (is_clean && posix->phase == POSIX_OPEN && add_frame(posix, OPCODE_CLOSE, done, 2, 0))
        write_out(posix);
    wire_close(&posix->wire);
    posix->phase = POSIX_CLOSED;
}

struct streamd_platform streamd_posix_platform(struct streamd_posix *posix)
{
    return (struct streamd_platform){posix, open_socket, send_message, close_socket, now_ms,
                                     random_number};
}

/* ---- Reported to the stream ---- */

static void report_end(struct streamd_posix *posix)
{
    bool has_code = posix->close_code != 0;

    wire_close(&posix->wire);
    posix->phase = POSIX_CLOSED;
    if (has_code)
        streamd_closed(posix->stream, posix->close_code, posix->close_reason,
                       posix->close_reason_size);
    else
        streamd_closed(posix->stream, 0, posix->wire.reason, strlen(posix->wire.reason));
}

static void fail(struct streamd_posix *posix, const char *reason)
{
    wire_fail(&posix->wire, reason);
    posix->phase = POSIX_FAILED;
}

static void take_close(struct streamd_posix *posix, const struct frame_part *part)
{
    posix->close_code = part->size >= 2 ? part->data[0] << 8 | part->data[1] : 1005;
    if (part->size > 2) {
        posix->close_reason_size = part->size - 2;
        memcpy(posix->close_reason, part->data + 2, posix->close_reason_size);
    }
    (void)add_frame(posix, OPCODE_CLOSE, part->data, part->size < 2 ? 0 : 2, 0);
    posix->phase = POSIX_ENDING;
}

static void take_part(struct streamd_posix *posix, const struct frame_part *part)
{
    switch (part->kind) {
    case FRAME_TEXT:
        streamd_received(posix->stream, (const char *)part->data, part->size, part->is_last);
        break;
    case FRAME_PING: /* without room a later ping gets its pong */
        (void)add_frame(posix, OPCODE_PONG, part->data, part->size, RESERVED / 2);
        break;
    case FRAME_CLOSE:
        take_close(posix, part);
        break;
    case FRAME_BAD:
        fail(posix, "the server sent a frame that is not of a WebSocket");
        break;
    case FRAME_NONE:
    case FRAME_OTHER:
    case FRAME_PONG:
        break;
    }
}

static void take_frames(struct streamd_posix *posix)
{
    size_t at = 0;

    while (at < posix->in_size && posix->phase == POSIX_OPEN) {
        struct frame_part part;
        at += frame_read(&posix->frames, posix->in + at, posix->in_size - at, &part);
        take_part(posix, &part); /* its callbacks may close the connection, or open a new one */
    }
    posix->in_size = 0;
}

/* Read the answer to the request: the WebSocket, or a refusal. */
static void take_answer(struct streamd_posix *posix, bool is_all)
{
    struct upgrade_answer answer;
    size_t body;

    if (!upgrade_read(&answer, (const char *)posix->in, posix->in_size, posix->key)) {
        if (is_all || posix->in_size == sizeof posix->in)
            fail(posix, "what answers is no WebSocket");
        return;
    }
    body = posix->in_size - answer.head_size;
    if (answer.status == 101) {
        memmove(posix->in, posix->in + answer.head_size, body);
        posix->in_size = body;
        posix->phase = POSIX_OPEN;
        streamd_opened(posix->stream);
        take_frames(posix);
        return;
    }
    if (answer.status == 0) {
        fail(posix, "what answers is no WebSocket");
        return;
    }
    if (!is_all && body < answer.body_size && posix->in_size < sizeof posix->in)
        return;
    wire_close(&posix->wire);
    posix->phase = POSIX_CLOSED;
    streamd_refused(posix->stream, answer.status, answer.retry_after_ms,
                    (const char *)posix->in + answer.head_size,
                    body < answer.body_size ? body : answer.body_size);
}

static void connect_on(struct streamd_posix *posix)
{
    enum wire_result result = wire_connect(&posix->wire);

    posix->wants_write = result == WIRE_WAIT_WRITE;
    if (result == WIRE_FAILED) {
        posix->phase = POSIX_FAILED;
    } else if (result == WIRE_OK) {
        posix->out_size = upgrade_request((char *)posix->out, sizeof posix->out, &posix->url,
                                          posix->key, posix->api_key);
        posix->phase = POSIX_UPGRADING;
        write_out(posix);
    }
}

static void read_in(struct streamd_posix *posix)
{
    posix->has_more = false;
    for (int i = 0; i < READS; i++) {
        size_t taken = 0;
        enum wire_result result =
            wire_read(&posix->wire, posix->in + posix->in_size, sizeof posix->in - posix->in_size,
                      &taken);
        bool is_end = result == WIRE_FAILED;
        if (!is_end && result != WIRE_OK) {
            posix->wants_write |= result == WIRE_WAIT_WRITE;
            return;
        }
        posix->in_size += taken;
        if (posix->phase == POSIX_OPEN)
            take_frames(posix);
        else if (posix->phase == POSIX_UPGRADING)
            take_answer(posix, is_end);
        if (is_end && (posix->phase == POSIX_OPEN || posix->phase == POSIX_UPGRADING))
            posix->phase = POSIX_FAILED;
        if (posix->phase != POSIX_OPEN && posix->phase != POSIX_UPGRADING)
            return;
    }
    posix->has_more = true; /* perhaps inside of TLS, where `poll` does not see it */
}

/* Move the connection on, as far as it goes without waiting. */
static void serve(struct streamd_posix *posix)
{
    if (posix->phase == POSIX_CONNECTING)
        connect_on(posix);
    if (posix->phase == POSIX_UPGRADING || posix->phase == POSIX_OPEN)
        write_out(posix);
    if (posix->phase == POSIX_UPGRADING || posix->phase == POSIX_OPEN)
        read_in(posix);
    if (posix->phase == POSIX_ENDING) {
        write_out(posix);
        posix->phase = POSIX_FAILED; /* the code is known */
    }
    if (posix->phase == POSIX_FAILED)
        report_end(posix);
}

bool streamd_posix_wait(struct streamd_posix *posix, int fd, uint32_t timeout_ms)
{
    struct pollfd polled[2] = {{fd, POLLIN, 0}, {posix->wire.fd, POLLIN, 0}};
    int wait = timeout_ms > 3600000 ? 3600000 : (int)timeout_ms;

    if (posix->wants_write || posix->out_size > 0)
        polled[1].events |= POLLOUT;
    if (posix->phase == POSIX_CONNECTING && !posix->wire.is_connected)
        polled[1].events = POLLOUT;
    if (posix->phase == POSIX_FAILED || posix->has_more)
        wait = 0;
    (void)poll(polled, 2, wait); /* interrupted by a signal: nothing is ready */
    if (polled[1].revents != 0 || wait == 0)
        serve(posix);
    return polled[0].revents != 0;
}

void streamd_posix_free(struct streamd_posix *posix)
{
    wire_free(&posix->wire);
    (void)close(posix->random_fd);
}
