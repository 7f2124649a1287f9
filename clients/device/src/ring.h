/* Audio in the order in which it was recorded, from the oldest that is kept. */
#ifndef STREAMD_RING_H
#define STREAMD_RING_H

#include "streamd.h"

/* A record of the ring: the audio of one message, or of one packet of a codec. */
struct ring_record {
    const uint8_t *data;
    size_t size;
    unsigned samples;
};

void ring_init(struct streamd_ring *ring, size_t frame_bytes);

/* Return whether a record of this size fits. */
bool ring_fits(const struct streamd_ring *ring, size_t size);
/* Return the most bytes that can be added to the newest record, whole frames; 0 if it was sent. */
size_t ring_can_extend(const struct streamd_ring *ring);
/* Add audio to the newest record, within `ring_can_extend`. */
void ring_extend(struct streamd_ring *ring, const void *data, size_t size);
/* Add a record, which fits. */
void ring_add(struct streamd_ring *ring, const void *data, size_t size, unsigned samples);

/* Read the oldest record. False: there is none. */
bool ring_oldest(const struct streamd_ring *ring, struct ring_record *record);
/* Drop the oldest record. */
void ring_drop(struct streamd_ring *ring);
/* Drop the first samples of the oldest record, fewer than it has. It is PCM. */
void ring_trim(struct streamd_ring *ring, unsigned samples);

/* Read the next record to send. False: there is none. */
bool ring_next(const struct streamd_ring *ring, struct ring_record *record);
/* Take note that the next record was sent. */
void ring_sent(struct streamd_ring *ring);
/* Send again from the oldest record. */
void ring_rewind(struct streamd_ring *ring);

#endif
