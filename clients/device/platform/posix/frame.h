/* WebSocket frames of a client (RFC 6455): written with a mask, and read in pieces of any length. */
#ifndef STREAMD_FRAME_H
#define STREAMD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 14u /* longest header that a client writes */

enum opcode {
    OPCODE_CONTINUATION = 0x0,
    OPCODE_TEXT = 0x1,
    OPCODE_BINARY = 0x2,
    OPCODE_CLOSE = 0x8,
    OPCODE_PING = 0x9,
    OPCODE_PONG = 0xA
};

/* Write one frame, which is a whole message. `to` has room for FRAME_HEADER more bytes than `size`.
 * Returns the bytes written. */
size_t frame_write(uint8_t *to, enum opcode opcode, const void *data, size_t size,
                   const uint8_t mask[4]);

struct frame_reader {
    uint8_t header[10];
    size_t header_size; /* bytes of it that have arrived */
    bool is_in_payload;
    uint64_t left;        /* of the payload */
    uint8_t control[125]; /* payload of a control frame */
    size_t control_size;
    bool is_fragmented; /* a message has begun and not ended */
    enum opcode message; /* its type */
};

/* What was read. */
enum frame_kind {
    FRAME_NONE,  /* more bytes are needed */
    FRAME_TEXT,  /* a part of a text message */
    FRAME_OTHER, /* a part of a binary message, which this protocol does not have */
    FRAME_PING,
    FRAME_PONG,
    FRAME_CLOSE, /* `data` has the code and the reason */
    FRAME_BAD    /* not RFC 6455: close with 1002 */
};

struct frame_part {
    enum frame_kind kind;
    const uint8_t *data;
    size_t size;
    bool is_last; /* of the message */
};

/* Read up to one part. Returns the bytes that it took; call it again with the rest. */
size_t frame_read(struct frame_reader *reader, const uint8_t *data, size_t size,
                  struct frame_part *part);

#endif
