/* Audio and control messages that the server may not have: kept, and sent again after a drop. */
#ifndef STREAMD_REPLAY_H
#define STREAMD_REPLAY_H

#include "streamd.h"

#define REPLAY_PING "{\"type\":\"ping\",\"t\":\"streamd-device\"}"
#define REPLAY_PING_T "streamd-device"

enum replay_message {
    REPLAY_NOTHING,
    REPLAY_TEXT,
    REPLAY_AUDIO,
    REPLAY_STUCK /* too many losses that the server has not confirmed: only a resume settles them */
};

/* A message to send. */
struct outgoing {
    const void *data;
    size_t size;
    char scratch[STREAMD_CONFIG_BYTES + 48]; /* for a text that is kept nowhere */
};

void replay_init(struct streamd_replay *replay, size_t frame_bytes);

/* Take whole sample frames; the oldest are dropped where there is no room. */
void replay_audio(struct streamd_replay *replay, const uint8_t *data, size_t size);
/* Take one packet of at most STREAMD_MESSAGE_BYTES. */
void replay_packet(struct streamd_replay *replay, const uint8_t *data, size_t size, unsigned samples);
/* Take a JSON object at its place behind the audio so far. False: there is no room. */
bool replay_control(struct streamd_replay *replay, struct streamd_slice message);

/* Return what to send next. It stays the same until `replay_sent`, except that a loss may grow. */
enum replay_message replay_next(struct streamd_replay *replay, struct outgoing *out);
/* Take note that the message of `replay_next` was sent. */
void replay_sent(struct streamd_replay *replay);

/* Forget what the server has acknowledged: the `samples` of an `ack`. */
void replay_acked(struct streamd_replay *replay, uint64_t samples);
/* Take note that the server has answered an enrolment; `id` is a JSON string or absent. */
void replay_answered(struct streamd_replay *replay, struct streamd_slice id);

/* Go on behind what the server has, by the `ready` of a resumed session. Returns the sample frames
 * that are lost; the next message names them. */
uint64_t replay_resume(struct streamd_replay *replay, uint64_t have_samples, uint64_t have_controls);
/* Go on in a new session with everything that is kept, except enrolments, which name utterances of the
 * old session, and gaps before the oldest audio. Returns how many enrolments were not answered. */
unsigned replay_restart(struct streamd_replay *replay);

#endif
