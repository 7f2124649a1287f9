/* Events of the server, read from their JSON. */
#include "event.h"

#include "json.h"

static const char *const names[] = {
    [STREAMD_UNKNOWN] = "",
    [STREAMD_READY] = "ready",
    [STREAMD_SPEECH_START] = "speech_start",
    [STREAMD_SPEECH_END] = "speech_end",
    [STREAMD_WAKE] = "wake",
    [STREAMD_EMOTION] = "emotion",
    [STREAMD_SPEAKER] = "speaker",
    [STREAMD_SPEAKER_CHANGE] = "speaker_change",
    [STREAMD_TRANSCRIPT] = "transcript",
    [STREAMD_GAP] = "gap",
    [STREAMD_FLUSHED] = "flushed",
    [STREAMD_ENROLLED] = "enrolled",
    [STREAMD_WARNING] = "warning",
    [STREAMD_ERROR] = "error",
    [STREAMD_BYE] = "bye",
    [STREAMD_ACK] = "ack",
    [STREAMD_PONG] = "pong",
    [STREAMD_DEGRADED] = "degraded",
    [STREAMD_RECOVERED] = "recovered",
    [STREAMD_DRAINING] = "draining",
};

static enum streamd_event_type type_of(struct streamd_slice name)
{
    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        if (json_is(name, names[i]))
            return (enum streamd_event_type)i;
    }
    return STREAMD_UNKNOWN;
}

bool event_read(struct streamd_event *event, const char *text, size_t size)
{
    struct streamd_slice json = {text, size}, name, value;
    size_t at = 0;

    if (!json_check(json))
        return false;
    while (*json.at == ' ' || *json.at == '\t' || *json.at == '\n' || *json.at == '\r') {
        json.at++;
        json.size--;
    }
    name = json_member(json, "type");
    if (name.at == NULL || *name.at != '"')
        return false;
    *event = (struct streamd_event){
        .type = type_of(name),
        .type_name = {name.at + 1, name.size - 2},
        .json = json,
        .t0 = -1,
        .t1 = -1,
        .at = -1,
        .is_final = true,
    };
    while (json_next(json, &at, &name, &value)) {
        if (json_is(name, "seq"))
            (void)json_integer(value, &event->seq);
        else if (json_is(name, "t0"))
            (void)json_integer(value, &event->t0);
        else if (json_is(name, "t1"))
            (void)json_integer(value, &event->t1);
        else if (json_is(name, "at"))
            (void)json_integer(value, &event->at);
        else if (json_is(name, "final"))
            (void)json_bool(value, &event->is_final);
    }
    return true;
}

struct streamd_slice streamd_member(struct streamd_slice object, const char *name)
{
    return json_member(object, name);
}

struct streamd_slice streamd_field(const struct streamd_event *event, const char *name)
{
    return json_member(event->json, name);
}

bool streamd_field_text(const struct streamd_event *event, const char *name, char *text, size_t size)
{
    return json_text(streamd_field(event, name), text, size);
}

bool streamd_field_number(const struct streamd_event *event, const char *name, double *number)
{
    return json_number(streamd_field(event, name), number);
}

bool streamd_field_integer(const struct streamd_event *event, const char *name, int64_t *integer)
{
    return json_integer(streamd_field(event, name), integer);
}

bool streamd_field_bool(const struct streamd_event *event, const char *name, bool *value)
{
    return json_bool(streamd_field(event, name), value);
}
