/* Between a microphone and a stream: an energy gate that sends nothing in silence, and an encoder.
 * Both are optional. The samples are s16, mono.
 *
 *     static struct streamd_feed feed;
 *
 *     streamd_feed_init(&feed, &stream, &(struct streamd_feed_options){.gate = {.open_dbfs = -45}});
 *     streamd_feed(&feed, samples, count);
 */
#ifndef STREAMD_FEED_H
#define STREAMD_FEED_H

#include "streamd.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef STREAMD_PRE_ROLL_SAMPLES
#define STREAMD_PRE_ROLL_SAMPLES 4800 /* audio kept from before the gate opens: 300 ms at 16 kHz */
#endif
#ifndef STREAMD_FRAME_SAMPLES
#define STREAMD_FRAME_SAMPLES 960 /* longest frame of an encoder: 60 ms at 16 kHz */
#endif
#ifndef STREAMD_PACKET_BYTES
#define STREAMD_PACKET_BYTES 512 /* longest packet of an encoder */
#endif

/* The gate closes after `hang_over` samples below `close_dbfs`, and opens at the first block of 10 ms
 * at or above `open_dbfs`. The server gets the `pre_roll` before that block, and for the rest a `gap`
 * of the exact length, so that its clock stays right. A control message of a closed gate acts where it
 * has closed. */
struct streamd_gate_options {
    int open_dbfs;      /* level that opens it, as -45; 0: no gate */
    int close_dbfs;     /* level below which silence counts; 0: 6 dB under `open_dbfs` */
    uint32_t hang_over; /* samples; 0: 1.5 s at 16 kHz */
    uint32_t pre_roll;  /* samples, at most STREAMD_PRE_ROLL_SAMPLES; 0: that */
    uint32_t block;     /* samples of which the level is taken; 0: 160, 10 ms at 16 kHz */
};

/* A codec that makes one packet of each frame. */
struct streamd_encoder {
    void *context; /* first argument of `encode` */
    uint32_t frame_samples; /* 0: no encoder, PCM is sent */
    /* Encode one frame into at most `size` bytes. Returns the size of the packet, or -1. */
    int (*encode)(void *context, const int16_t *samples, uint8_t *packet, size_t size);
};

struct streamd_feed_options {
    struct streamd_gate_options gate;
    struct streamd_encoder encoder;
};

struct streamd_feed {
    struct streamd *stream;
    struct streamd_feed_options options;
    uint64_t open_power;  /* sum of squares of a block at which the gate opens */
    uint64_t close_power; /* and below which the block is silence */
    uint64_t power;       /* of the block so far */
    uint32_t in_block;    /* samples of it */
    uint32_t silent;      /* samples of silence up to now, while the gate is open */
    bool is_open;
    uint64_t skipped;     /* samples that the gate dropped, not named to the server yet */
    int16_t pre_roll[STREAMD_PRE_ROLL_SAMPLES]; /* a ring: the newest samples while it is closed */
    uint32_t pre_roll_at;
    uint32_t pre_roll_kept;
    int16_t frame[STREAMD_FRAME_SAMPLES]; /* of the encoder, not whole yet */
    uint32_t in_frame;
};

/* False: an option is out of range. */
bool streamd_feed_init(struct streamd_feed *feed, struct streamd *stream,
                       const struct streamd_feed_options *options);
/* Take what the microphone has recorded. False: the stream has ended, or the encoder failed; then
 * the frame is named to the server as a gap. */
bool streamd_feed(struct streamd_feed *feed, const int16_t *samples, size_t count);
/* Take note that the device lost samples, as when its microphone was read too late. */
bool streamd_feed_gap(struct streamd_feed *feed, uint64_t samples);
/* End the stream: what waits is sent first. An encoder's last frame is filled up with silence. */
bool streamd_feed_end(struct streamd_feed *feed);

#ifdef __cplusplus
}
#endif

#endif
