/* The list of control messages: each has its place in the audio, and its text in one buffer. */
#include "controls.h"

#include "json.h"

#include <string.h>

typedef char controls_have_room[STREAMD_CONTROLS > OWN_CONTROLS ? 1 : -1];
typedef char control_text_fits_into_its_offsets[STREAMD_CONTROL_BYTES < 65536 ? 1 : -1];

struct streamd_slice controls_text(const struct streamd_replay *replay,
                                   const struct streamd_control *control)
{
    return (struct streamd_slice){replay->text + control->at, control->size};
}

void controls_insert(struct streamd_replay *replay, size_t index,
                     struct streamd_control control)
{
    memmove(replay->controls + index + 1, replay->controls + index,
            (replay->controls_kept - index) * sizeof control);
    replay->controls[index] = control;
    replay->controls_kept++;
}

void controls_remove(struct streamd_replay *replay, size_t index)
{
    struct streamd_control gone = replay->controls[index];

    replay->text_size -= gone.size;
    memmove(replay->text + gone.at, replay->text + gone.at + gone.size,
            replay->text_size - gone.at);
    replay->controls_kept--;
    memmove(replay->controls + index, replay->controls + index + 1,
            (replay->controls_kept - index) * sizeof gone);
    for (size_t i = 0; i < replay->controls_kept; i++) {
        if (replay->controls[i].at > gone.at)
            replay->controls[i].at = (uint16_t)(replay->controls[i].at - gone.size);
    }
    if (index < replay->controls_sent)
        replay->controls_sent--;
}

static enum control_kind kind_of(struct streamd_slice message)
{
    struct streamd_slice type = json_member(message, "type");

    if (json_is(type, "config"))
        return CONTROL_CONFIG;
    if (json_is(type, "enrol"))
        return CONTROL_ENROL;
    if (json_is(type, "gap"))
        return CONTROL_GAP;
    return json_is(type, "flush") || json_is(type, "end") ? CONTROL_PLAIN : CONTROL_PASSING;
}

/* Whether the options of all messages together stay within STREAMD_CONFIG_BYTES. */
static bool config_fits(const struct streamd_replay *replay, size_t size)
{
    size += replay->settled_size;
    for (size_t i = 0; i < replay->controls_kept; i++) {
        if (replay->controls[i].kind == CONTROL_CONFIG)
            size += replay->controls[i].size;
    }
    return size < STREAMD_CONFIG_BYTES;
}

bool replay_control(struct streamd_replay *replay, struct streamd_slice message)
{
    enum control_kind kind = kind_of(message);
    struct streamd_control control = {
        .place = replay->end,
        .at = (uint16_t)replay->text_size,
        .size = (uint16_t)message.size,
        .kind = (uint8_t)kind,
    };

    if (replay->controls_kept >= STREAMD_CONTROLS - OWN_CONTROLS ||
        message.size > STREAMD_CONTROL_BYTES - replay->text_size)
        return false;
    if (kind == CONTROL_CONFIG && !config_fits(replay, message.size))
        return false;
    memcpy(replay->text + replay->text_size, message.at, message.size);
    replay->text_size += message.size;
    controls_insert(replay, replay->controls_kept, control);
    return true;
}

void replay_answered(struct streamd_replay *replay, struct streamd_slice id)
{
    char wanted[64], own[64];

    (void)json_text(id, wanted, sizeof wanted);
    for (size_t i = 0; i < replay->controls_kept; i++) {
        struct streamd_control *control = &replay->controls[i];
        if (control->kind != CONTROL_ENROL || control->is_answered)
            continue;
        (void)json_text(json_member(controls_text(replay, control), "id"), own, sizeof own);
        if (strcmp(own, wanted) == 0) {
            control->is_answered = true;
            return;
        }
    }
}
