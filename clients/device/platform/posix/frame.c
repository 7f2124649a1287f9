/* WebSocket frames of a client (RFC 6455, section 5). */
#include "frame.h"

#include <string.h>

size_t frame_write(uint8_t *to, enum opcode opcode, const void *data, size_t size,
                   const uint8_t mask[4])
{
    const uint8_t *from = data;
    size_t used = 0;

    to[used++] = (uint8_t)(0x80 | opcode);
    if (size < 126) {
        to[used++] = (uint8_t)(0x80 | size);
    } else if (size < 65536) {
        to[used++] = 0x80 | 126;
        to[used++] = (uint8_t)(size >> 8);
        to[used++] = (uint8_t)size;
    } else {
        to[used++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            to[used++] = (uint8_t)((uint64_t)size >> shift);
    }
    memcpy(to + used, mask, 4);
    used += 4;
    for (size_t i = 0; i < size; i++)
        to[used + i] = from[i] ^ mask[i % 4];
    return used + size;
}

static size_t header_needed(const struct frame_reader *reader)
{
    if (reader->header_size < 2)
        return 2;
    switch (reader->header[1] & 0x7F) {
    case 126:
        return 4;
    case 127:
        return 10;
    default:
        return 2;
    }
}

static bool is_control(const struct frame_reader *reader)
{
    return reader->header[0] & 0x08;
}

/* Check a whole header, and begin its payload. */
static bool begin(struct frame_reader *reader)
{
    const uint8_t *header = reader->header;
    enum opcode opcode = (enum opcode)(header[0] & 0x0F);
    bool is_final = header[0] & 0x80;
    size_t needed = header_needed(reader);

    reader->left = header[1] & 0x7F;
    if (needed > 2) {
        reader->left = 0;
        for (size_t i = 2; i < needed; i++)
            reader->left = reader->left << 8 | header[i];
        if (reader->left < (needed == 4 ? 126u : 65536u) || reader->left >> 63)
            return false; /* not the shortest form, or longer than any */
    }
    if ((header[0] & 0x70) || (header[1] & 0x80)) /* an extension, or masked by a server */
        return false;
    switch (opcode) {
    case OPCODE_CLOSE:
    case OPCODE_PING:
    case OPCODE_PONG:
        if (!is_final || reader->left > 125)
            return false;
        break;
    case OPCODE_CONTINUATION:
        if (!reader->is_fragmented)
            return false;
        reader->is_fragmented = !is_final;
        break;
    case OPCODE_TEXT:
    case OPCODE_BINARY:
        if (reader->is_fragmented)
            return false;
        reader->message = opcode;
        reader->is_fragmented = !is_final;
        break;
    default:
        return false;
    }
    reader->is_in_payload = true;
    reader->control_size = 0;
    return true;
}

static void end(struct frame_reader *reader)
{
    reader->is_in_payload = false;
    reader->header_size = 0;
}

static size_t read_control(struct frame_reader *reader, const uint8_t *data, size_t size,
                           struct frame_part *part)
{
    if (size > reader->left)
        size = (size_t)reader->left;
    if (size > 0)
        memcpy(reader->control + reader->control_size, data, size);
    reader->control_size += size;
    reader->left -= size;
    if (reader->left > 0)
        return size;
    part->data = reader->control;
    part->size = reader->control_size;
    part->is_last = true;
    switch (reader->header[0] & 0x0F) {
    case OPCODE_PING:
        part->kind = FRAME_PING;
        break;
    case OPCODE_PONG:
        part->kind = FRAME_PONG;
        break;
    default:
        part->kind = part->size == 1 ? FRAME_BAD : FRAME_CLOSE;
        break;
    }
    end(reader);
    return size;
}

static size_t read_data(struct frame_reader *reader, const uint8_t *data, size_t size,
                        struct frame_part *part)
{
    if (size > reader->left)
        size = (size_t)reader->left;
    reader->left -= size;
    part->kind = reader->message == OPCODE_TEXT ? FRAME_TEXT : FRAME_OTHER;
    part->data = data;
    part->size = size;
    part->is_last = reader->left == 0 && (reader->header[0] & 0x80);
    if (reader->left == 0)
        end(reader);
    return size;
}

size_t frame_read(struct frame_reader *reader, const uint8_t *data, size_t size,
                  struct frame_part *part)
{
    size_t taken = 0;

    *part = (struct frame_part){FRAME_NONE, NULL, 0, false};
    while (!reader->is_in_payload) {
        if (reader->header_size == header_needed(reader)) {
            if (!begin(reader)) {
                part->kind = FRAME_BAD;
                return taken;
            }
            break;
        }
        if (taken == size)
            return taken;
        reader->header[reader->header_size++] = data[taken++];
    }
    if (taken == size && reader->left > 0)
        return taken;
    if (is_control(reader))
        return taken + read_control(reader, data + taken, size - taken, part);
    return taken + read_data(reader, data + taken, size - taken, part);
}
