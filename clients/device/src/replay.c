/* Places are sample frames counted from the first one that the device gave. The server counts from
 * the start of its session, without what was lost: `shift` lies between the two. Losses that were
 * named to the server, and that it has not confirmed, are not in `shift` yet.
 *
 * A control message stands between two records of the ring, never inside of one. */
#include "replay.h"

#include "controls.h"
#include "json.h"
#include "ring.h"
#include "settled.h"
#include "write.h"

#include <string.h>

void replay_init(struct streamd_replay *replay, size_t frame_bytes)
{
    ring_init(&replay->ring, frame_bytes);
    replay->start = replay->sent = replay->end = replay->shift = 0;
    replay->controls_kept = replay->controls_sent = 0;
    replay->controls_gone = 0;
    replay->text_size = replay->settled_size = 0;
    replay->is_back = false;
}

/* Forget the first control message, because the server has it. */
static void confirm_control(struct streamd_replay *replay)
{
    struct streamd_control *first = &replay->controls[0];

    if (first->kind == CONTROL_CONFIG)
        settled_merge(replay, json_member(controls_text(replay, first), "modules"));
    if (first->kind == CONTROL_LOSS)
        replay->shift += first->samples;
    replay->controls_gone += first->kind != CONTROL_PASSING;
    controls_remove(replay, 0);
}

/* ---- Audio ---- */

static void drop_oldest(struct streamd_replay *replay)
{
    struct ring_record oldest;

    (void)ring_oldest(&replay->ring, &oldest);
    replay->start += oldest.samples;
    ring_drop(&replay->ring);
}

static void make_room(struct streamd_replay *replay, size_t size)
{
    while (!ring_fits(&replay->ring, size))
        drop_oldest(replay);
}

/* Bytes that the newest record may grow: none behind a control message. */
static size_t can_extend(const struct streamd_replay *replay)
{
    size_t kept = replay->controls_kept;

    if (kept > 0 && replay->controls[kept - 1].place == replay->end)
        return 0;
    return ring_can_extend(&replay->ring);
}

void replay_audio(struct streamd_replay *replay, const uint8_t *data, size_t size)
{
    size_t frame = replay->ring.frame_bytes;

    while (size > 0) {
        size_t part = can_extend(replay);
        bool is_new = part == 0;
        if (is_new)
            part = STREAMD_MESSAGE_BYTES / frame * frame;
        if (part > size)
            part = size;
        if (is_new) {
            make_room(replay, part);
            ring_add(&replay->ring, data, part, (unsigned)(part / frame));
        } else {
            ring_extend(&replay->ring, data, part);
        }
        replay->end += part / frame;
        data += part;
        size -= part;
    }
}

void replay_packet(struct streamd_replay *replay, const uint8_t *data, size_t size, unsigned samples)
{
    make_room(replay, size);
    ring_add(&replay->ring, data, size, samples);
    replay->end += samples;
}

/* Forget audio up to a place that the server has. */
static void forget_audio(struct streamd_replay *replay, uint64_t place)
{
    struct ring_record oldest;

    while (ring_oldest(&replay->ring, &oldest) && replay->start + oldest.samples <= place)
        drop_oldest(replay);
    if (ring_oldest(&replay->ring, &oldest) && replay->start < place &&
        oldest.size == oldest.samples * replay->ring.frame_bytes) { /* PCM: cut anywhere */
        ring_trim(&replay->ring, (unsigned)(place - replay->start));
        replay->start = place;
    }
}

/* ---- Sending ---- */

/* Move the messages from an index on, whose audio is lost, behind the loss. */
static void move_to_start(struct streamd_replay *replay, size_t index)
{
    for (; index < replay->controls_kept; index++) {
        if (replay->controls[index].place < replay->start)
            replay->controls[index].place = replay->start;
    }
}

/* Put a loss before everything that is not sent, or extend the one that stands there. False: the list
 * is full. */
static bool name_loss(struct streamd_replay *replay)
{
    size_t index = replay->controls_sent;
    struct streamd_control loss = {.place = replay->start,
                                   .samples = replay->start - replay->sent,
                                   .kind = CONTROL_LOSS};

    if (index < replay->controls_kept && replay->controls[index].kind == CONTROL_LOSS) {
        loss.samples += replay->controls[index].samples;
        replay->controls[index] = loss;
    } else if (replay->controls_kept == STREAMD_CONTROLS) {
        return false;
    } else {
        controls_insert(replay, index, loss);
    }
    move_to_start(replay, index + 1);
    replay->sent = replay->start;
    return true;
}

static enum replay_message control_message(struct streamd_replay *replay, struct outgoing *out)
{
    const struct streamd_control *control = &replay->controls[replay->controls_sent];
    struct streamd_slice text = controls_text(replay, control);

    if (replay->is_back && control->kind == CONTROL_GAP) {
        /* Without it the server would take the caller's gap for audio that the drop has lost. */
        text = slice_of(REPLAY_PING);
    } else if (control->kind == CONTROL_LOSS) {
        text.at = out->scratch;
        text.size = gap_write(out->scratch, sizeof out->scratch, control->samples);
    } else if (control->kind == CONTROL_SETTLED) {
        text.at = out->scratch;
        text.size = config_write(out->scratch, sizeof out->scratch, replay->settled);
    }
    out->data = text.at;
    out->size = text.size;
    return REPLAY_TEXT;
}

static bool is_control_next(const struct streamd_replay *replay)
{
    return replay->controls_sent < replay->controls_kept &&
           replay->controls[replay->controls_sent].place <= replay->sent;
}

enum replay_message replay_next(struct streamd_replay *replay, struct outgoing *out)
{
    struct ring_record record;
    bool is_loss = is_control_next(replay) &&
                   replay->controls[replay->controls_sent].kind == CONTROL_LOSS;

    if (replay->sent < replay->start && (is_loss || !is_control_next(replay))) {
        if (!name_loss(replay))
            return REPLAY_STUCK;
    }
    if (is_control_next(replay))
        return control_message(replay, out);
    if (!ring_next(&replay->ring, &record))
        return REPLAY_NOTHING;
    out->data = record.data;
    out->size = record.size;
    return REPLAY_AUDIO;
}

void replay_sent(struct streamd_replay *replay)
{
    struct ring_record record;

    if (is_control_next(replay)) {
        bool was_ping = replay->is_back &&
                        replay->controls[replay->controls_sent].kind == CONTROL_GAP;
        replay->controls_sent += !was_ping;
    } else if (ring_next(&replay->ring, &record)) {
        replay->sent += record.samples;
        ring_sent(&replay->ring);
    }
    replay->is_back = false;
}

/* ---- What the server has ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Count the messages that the server has for sure: those up to a loss behind which it has audio. */
static size_t confirmed_by(const struct streamd_replay *replay, uint64_t samples)
{
    uint64_t shift = replay->shift;
    size_t count = 0;

    for (size_t i = 0; i < replay->controls_sent; i++) {
        const struct streamd_control *loss = &replay->controls[i];
        if (loss->kind != CONTROL_LOSS)
            continue;
        if (samples + shift <= loss->place - loss->samples)
            break;
        shift += loss->samples;
        count = i + 1;
    }
    return count;
}

void replay_acked(struct streamd_replay *replay, uint64_t samples)
{
    uint64_t place;

    for (size_t count = confirmed_by(replay, samples); count > 0; count--)
        confirm_control(replay);
    place = least(samples + replay->shift, replay->sent);
    forget_audio(replay, place);
    /* A control message at the very place may still be on its way. */
    while (replay->controls_sent > 0 && replay->controls[0].place < place)
        confirm_control(replay);
}

/* Send again what is kept, from a place on. */
static void rewind_to(struct streamd_replay *replay, uint64_t place)
{
    for (size_t i = replay->controls_kept; i-- > 0;) {
        enum control_kind kind = (enum control_kind)replay->controls[i].kind;
        bool was_sent = i < replay->controls_sent;
        if (kind == CONTROL_LOSS || (kind == CONTROL_PASSING && was_sent))
            controls_remove(replay, i);
    }
    replay->controls_sent = 0;
    replay->sent = place;
    ring_rewind(&replay->ring);
}

uint64_t replay_resume(struct streamd_replay *replay, uint64_t have_samples, uint64_t have_controls)
{
    uint64_t place;

    while (replay->controls_kept > 0 && replay->controls_gone < have_controls)
        confirm_control(replay);
    replay->controls_gone = have_controls;
    place = least(have_samples + replay->shift, replay->end);
    forget_audio(replay, place);
    rewind_to(replay, least(place, replay->start));
    replay->is_back = true;
    return replay->start - replay->sent;
}

/* Whether a new session does without a message. Its clock begins at the oldest audio, so a gap before
 * that is none: one as long as the longest session would end each new one. */
static bool is_of_old_session(const struct streamd_replay *replay,
                              const struct streamd_control *control)
{
    return control->kind == CONTROL_ENROL || control->kind == CONTROL_SETTLED ||
           (control->kind == CONTROL_GAP && control->place <= replay->start);
}

unsigned replay_restart(struct streamd_replay *replay)
{
    struct streamd_control settled = {.place = replay->start, .kind = CONTROL_SETTLED};
    unsigned unanswered = 0;

    rewind_to(replay, replay->start);
    for (size_t i = replay->controls_kept; i-- > 0;) {
        const struct streamd_control *control = &replay->controls[i];
        if (is_of_old_session(replay, control)) {
            unanswered += control->kind == CONTROL_ENROL && !control->is_answered;
            controls_remove(replay, i);
        }
    }
    replay->controls_gone = 0;
    replay->shift = replay->start;
    replay->is_back = false;
    move_to_start(replay, 0);
    if (replay->settled_size > 2) /* more than {} */
        controls_insert(replay, 0, settled);
    return unanswered;
}
