/* An encoder for `streamd_feed` by libopus; build with `make OPUS=1`. */
#ifndef STREAMD_OPUS_ENCODER_H
#define STREAMD_OPUS_ENCODER_H

#include "streamd_feed.h"

/* Make an encoder of 20 ms frames, s16 mono. `rate` is one of 8000, 12000, 16000, 24000 and 48000.
 * `context` is NULL where it failed, or where the program was built without libopus. */
struct streamd_encoder opus_encoder(uint32_t rate, int bits_per_s);
void opus_encoder_free(struct streamd_encoder *encoder);

#endif
