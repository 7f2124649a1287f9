/* A ring of records: a header of four bytes (size and samples), then the audio. A record never wraps,
 * so that it can be sent from where it lies; a marker says that the next one is at offset 0. */
#include "ring.h"

#include <string.h>

#define HEADER 4u
#define MARKER 0xFFFFu /* in place of a size */

typedef char message_fits_into_a_header[STREAMD_MESSAGE_BYTES < MARKER ? 1 : -1];
typedef char ring_has_four_messages[STREAMD_RING_BYTES >= 4 * (STREAMD_MESSAGE_BYTES + 4) ? 1 : -1];

static void put(struct streamd_ring *ring, size_t at, size_t size, unsigned samples)
{
    uint16_t header[2] = {(uint16_t)size, (uint16_t)samples};

    memcpy(ring->bytes + at, header, HEADER);
}

static struct ring_record record_at(const struct streamd_ring *ring, size_t at)
{
    uint16_t header[2];

    memcpy(header, ring->bytes + at, HEADER);
    return (struct ring_record){ring->bytes + at + HEADER, header[0], header[1]};
}

/* The offset of the record that follows in the buffer, or at its beginning. */
static size_t settle(const struct streamd_ring *ring, size_t at)
{
    if (STREAMD_RING_BYTES - at < HEADER || record_at(ring, at).size == MARKER)
        return 0;
    return at;
}

/* Bytes behind the newest record, up to the oldest one or to the end of the buffer. */
static size_t room_behind(const struct streamd_ring *ring)
{
    if (ring->records == 0 || ring->head > ring->tail)
        return STREAMD_RING_BYTES - ring->head;
    return ring->tail - ring->head;
}

/* Bytes before the oldest record that a new one could wrap to. */
static size_t room_before(const struct streamd_ring *ring)
{
    return ring->head > ring->tail ? ring->tail : 0;
}

void ring_init(struct streamd_ring *ring, size_t frame_bytes)
{
    ring->tail = ring->next = ring->head = ring->last = 0;
    ring->records = ring->unsent = 0;
    ring->frame_bytes = frame_bytes;
}

bool ring_fits(const struct streamd_ring *ring, size_t size)
{
    return room_behind(ring) >= HEADER + size || room_before(ring) >= HEADER + size;
}

size_t ring_can_extend(const struct streamd_ring *ring)
{
    size_t size, room;

    if (ring->unsent == 0)
        return 0;
    size = record_at(ring, ring->last).size;
    room = room_behind(ring);
    if (room > STREAMD_MESSAGE_BYTES - size)
        room = STREAMD_MESSAGE_BYTES - size;
    return room / ring->frame_bytes * ring->frame_bytes;
}

void ring_extend(struct streamd_ring *ring, const void *data, size_t size)
{
    struct ring_record last = record_at(ring, ring->last);

    memcpy(ring->bytes + ring->head, data, size);
    ring->head += size;
    put(ring, ring->last, last.size + size, last.samples + (unsigned)(size / ring->frame_bytes));
}

void ring_add(struct streamd_ring *ring, const void *data, size_t size, unsigned samples)
{
    if (room_behind(ring) < HEADER + size) {
        if (room_behind(ring) >= HEADER)
            put(ring, ring->head, MARKER, 0);
        ring->head = 0;
    }
    put(ring, ring->head, size, samples);
    memcpy(ring->bytes + ring->head + HEADER, data, size);
    ring->last = ring->head;
    if (ring->unsent == 0)
        ring->next = ring->head;
    ring->head += HEADER + size;
    ring->records++;
    ring->unsent++;
}

bool ring_oldest(const struct streamd_ring *ring, struct ring_record *record)
{
    if (ring->records == 0)
        return false;
    *record = record_at(ring, ring->tail);
    return true;
}

void ring_drop(struct streamd_ring *ring)
{
    bool is_unsent = ring->unsent == ring->records;
    size_t behind = ring->tail + HEADER + record_at(ring, ring->tail).size;

    ring->records--;
    if (ring->records == 0) {
        ring->tail = ring->next = ring->head = ring->last = 0;
        ring->unsent = 0;
        return;
    }
    ring->tail = settle(ring, behind);
    if (is_unsent) {
        ring->unsent--;
        ring->next = ring->tail;
    }
}

void ring_trim(struct streamd_ring *ring, unsigned samples)
{
    struct ring_record old = record_at(ring, ring->tail);
    size_t skipped = samples * ring->frame_bytes, from = ring->tail;

    ring->tail += skipped;
    put(ring, ring->tail, old.size - skipped, old.samples - samples);
    if (ring->last == from)
        ring->last = ring->tail;
    if (ring->unsent == ring->records)
        ring->next = ring->tail;
}

bool ring_next(const struct streamd_ring *ring, struct ring_record *record)
{
    if (ring->unsent == 0)
        return false;
    *record = record_at(ring, ring->next);
    return true;
}

void ring_sent(struct streamd_ring *ring)
{
    ring->unsent--;
    if (ring->unsent > 0)
        ring->next = settle(ring, ring->next + HEADER + record_at(ring, ring->next).size);
}

void ring_rewind(struct streamd_ring *ring)
{
    ring->next = ring->tail;
    ring->unsent = ring->records;
}
