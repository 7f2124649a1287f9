/* What the platform reports: a connection that opens, speaks and ends. */
#include "client.h"
#include "event.h"
#include "json.h"
#include "recovery.h"
#include "replay.h"

#include <string.h>

#define WORKS_MS 10000u /* a connection that has lasted so long has worked */
#define ACKS_PER_S 2u   /* at least, in a second of audio */

static void set_text(char *to, size_t size, const char *text, size_t length)
{
    if (length >= size)
        length = size - 1;
    if (length > 0)
        memcpy(to, text, length);
    to[length] = '\0';
}

void client_prove(struct streamd *stream)
{
    stream->is_lost = false;
    stream->attempts = 0;
}

void client_over(struct streamd *stream, enum streamd_result result)
{
    const struct streamd_refusal *refusal = &stream->refusal;

    if (stream->state == STATE_OVER)
        return;
    stream->state = STATE_OVER;
    client_tell(stream, &(struct streamd_status){
                            .type = STREAMD_OVER,
                            .result = result,
                            .code = refusal->code,
                            .reason = refusal->reason,
                            .close_code = refusal->close_code,
                            .http_status = refusal->http_status,
                        });
}

/* ---- The end of a connection ---- */

/* Whether a stream over TLS stays so at another URL. */
static bool keeps_tls(const char *url, const char *next)
{
    return strncmp(next, "wss://", 6) == 0 ||
           (strncmp(next, "ws://", 5) == 0 && strncmp(url, "ws://", 5) == 0);
}

static enum recovery next_step(struct streamd *stream)
{
    const struct streamd_refusal *refusal = &stream->refusal;

    if (refusal->http_status != 0)
        return recovery_after_status(refusal->http_status);
    stream->faults += refusal->close_code == CLOSE_FAULT;
    return recovery_after_close(refusal->close_code, stream->faults);
}

/* The fatal error was held back until its close said whether it is the end. */
static void deliver_fatal(struct streamd *stream)
{
    struct streamd_event event;

    if (stream->fatal_size > 0 && event_read(&event, stream->message, stream->fatal_size) &&
        stream->options.on_event != NULL)
        stream->options.on_event(stream->options.context, &event);
    stream->fatal_size = 0;
}

static bool is_too_late(const struct streamd *stream, uint64_t now)
{
    uint32_t give_up = stream->options.give_up_ms;

    return give_up > 0 && now - stream->lost_ms >= give_up;
}

static uint32_t wait_ms(struct streamd *stream, uint64_t now)
{
    const struct streamd_refusal *refusal = &stream->refusal;
    uint32_t wait = recovery_wait_ms(refusal->close_code, refusal->http_status, stream->attempts,
                                     refusal->retry_after_ms,
                                     stream->platform->random(stream->platform->context));

    if (stream->options.give_up_ms > 0 && wait > stream->options.give_up_ms) {
        uint64_t left = stream->lost_ms + stream->options.give_up_ms - now;
        wait = wait < left ? wait : (uint32_t)left;
    }
    if (stream->attempts < 16 && refusal->close_code != CLOSE_UNKNOWN)
        stream->attempts++;
    return wait;
}

void client_lost(struct streamd *stream)
{
    struct streamd_refusal *refusal = &stream->refusal;
    uint64_t now = client_now(stream);
    uint32_t wait;

    if (stream->is_done) {
        client_over(stream, STREAMD_DONE);
        return;
    }
    if (stream->state == STATE_ONLINE && now - stream->opened_ms > WORKS_MS)
        client_prove(stream);
    if (!stream->is_lost) {
        stream->is_lost = true;
        stream->lost_ms = now;
    }
    stream->is_slowed |= recovery_is_too_fast(refusal->close_code, refusal->http_status);
    switch (next_step(stream)) {
    case RECOVERY_STOP:
        deliver_fatal(stream);
        client_over(stream, STREAMD_REFUSED);
        return;
    case RECOVERY_AFRESH:
        stream->token[0] = '\0';
        break;
    case RECOVERY_MOVE:
        if (keeps_tls(stream->url, refusal->url))
            memcpy(stream->url, refusal->url, sizeof stream->url);
        break;
    case RECOVERY_AGAIN:
        break;
    }
    if (is_too_late(stream, now)) {
        deliver_fatal(stream);
        client_over(stream, STREAMD_LOST);
        return;
    }
    wait = wait_ms(stream, now);
    stream->state = STATE_WAITING;
    stream->due_ms = now + wait;
    client_tell(stream, &(struct streamd_status){
                            .type = STREAMD_DISCONNECTED,
                            .code = refusal->code,
                            .reason = refusal->reason,
                            .close_code = refusal->close_code,
                            .http_status = refusal->http_status,
                            .retry_ms = wait,
                        });
}

void client_drop(struct streamd *stream, const char *reason)
{
    stream->platform->close(stream->platform->context, false);
    memset(&stream->refusal, 0, sizeof stream->refusal);
    set_text(stream->refusal.reason, sizeof stream->refusal.reason, reason, strlen(reason));
    client_lost(stream);
}

static bool is_connected(const struct streamd *stream)
{
    return stream->state != STATE_WAITING && stream->state != STATE_OVER;
}

void streamd_refused(struct streamd *stream, int status, uint32_t retry_after_ms, const char *body,
                     size_t size)
{
    struct streamd_refusal *refusal = &stream->refusal;
    struct streamd_slice json = {body, size}, error;

    if (!is_connected(stream))
        return;
    memset(refusal, 0, sizeof *refusal);
    refusal->http_status = status;
    refusal->retry_after_ms = retry_after_ms;
    error = json_check(json) ? json_member(json, "error") : slice_of(NULL);
    (void)json_text(json_member(error, "code"), refusal->code, sizeof refusal->code);
    (void)json_text(json_member(error, "message"), refusal->reason, sizeof refusal->reason);
    if (refusal->reason[0] == '\0' || status == 404) {
        const char *reason = status == 404 ? "there is no stream at this path; use /v1/stream"
                                           : "the server does not open a stream";
        set_text(refusal->reason, sizeof refusal->reason, reason, strlen(reason));
    }
    client_lost(stream);
}

void streamd_closed(struct streamd *stream, int code, const char *reason, size_t size)
{
    struct streamd_refusal *refusal = &stream->refusal;

    if (!is_connected(stream))
        return;
    if (code == CLOSE_DONE && stream->state == STATE_ONLINE) {
        client_over(stream, STREAMD_DONE);
        return;
    }
    refusal->close_code = code;
    if (refusal->code[0] == '\0' && code != CLOSE_NONE)
        set_text(refusal->code, sizeof refusal->code, reason, size);
    if (refusal->reason[0] == '\0')
        set_text(refusal->reason, sizeof refusal->reason, reason, size);
    client_lost(stream);
}

/* ---- The messages of a connection ---- */

void streamd_opened(struct streamd *stream)
{
    if (stream->state == STATE_OPENING)
        stream->state = STATE_OPENED;
}

static uint64_t natural(struct streamd_slice value)
{
    int64_t number = 0;

    return json_integer(value, &number) && number > 0 ? (uint64_t)number : 0;
}

static void welcome(struct streamd *stream, const struct streamd_event *ready)
{
    struct streamd_slice resume = streamd_field(ready, "resume");
    struct streamd_status status = {.type = STREAMD_ONLINE, .code = "", .reason = ""};
    bool is_resumed = false;

    (void)json_text(json_member(resume, "token"), stream->token, sizeof stream->token);
    (void)streamd_field_bool(ready, "resumed", &is_resumed);
    stream->ack_samples =
        (uint32_t)(natural(json_member(streamd_field(ready, "audio"), "rate")) / ACKS_PER_S);
    stream->state = STATE_ONLINE;
    stream->opened_ms = client_now(stream);
    if (is_resumed) {
        status.type = STREAMD_RESUMED;
        status.lost_samples =
            replay_resume(&stream->replay, natural(streamd_field(ready, "have_samples")),
                          natural(streamd_field(ready, "have_controls")));
    } else {
        stream->last_seq = 0;
        if (stream->had_session) {
            status.type = STREAMD_RESTARTED;
            status.dropped_enrolments = replay_restart(&stream->replay);
            status.first_sample = stream->replay.start;
        }
    }
    stream->had_session = true;
    client_tell(stream, &status);
    if (!is_resumed && stream->state == STATE_ONLINE && stream->options.on_event != NULL)
        stream->options.on_event(stream->options.context, ready);
}

static void hold_fatal(struct streamd *stream, const struct streamd_event *event)
{
    struct streamd_refusal *refusal = &stream->refusal;
    uint64_t retry_after = natural(streamd_field(event, "retry_after_ms"));

    stream->fatal_size = stream->message_size;
    refusal->retry_after_ms = retry_after < UINT32_MAX ? (uint32_t)retry_after : UINT32_MAX;
    (void)streamd_field_text(event, "code", refusal->code, sizeof refusal->code);
    (void)streamd_field_text(event, "message", refusal->reason, sizeof refusal->reason);
    if (!streamd_field_text(event, "url", refusal->url, sizeof refusal->url))
        refusal->url[0] = '\0'; /* a URL that does not fit is none */
}

/* Take an event of an open stream. Returns whether the device receives it. */
static bool note(struct streamd *stream, const struct streamd_event *event)
{
    if (event->seq > 0) {
        if (event->seq <= stream->last_seq)
            return false; /* sent twice, around a drop */
        stream->last_seq = event->seq;
        client_prove(stream);
    }
    switch (event->type) {
    case STREAMD_ACK:
        replay_acked(&stream->replay, natural(streamd_field(event, "samples")));
        stream->faults = 0;
        client_prove(stream);
        return true;
    case STREAMD_ENROLLED:
        replay_answered(&stream->replay, streamd_field(event, "id"));
        return true;
    case STREAMD_ERROR:
        if (streamd_field(event, "ref").at != NULL)
            replay_answered(&stream->replay, streamd_field(event, "ref"));
        return true;
    case STREAMD_BYE:
        stream->is_done = true;
        return true;
    case STREAMD_PONG: /* not of a ping of its own */
        return !json_is(streamd_field(event, "t"), REPLAY_PING_T);
    default:
        return true;
    }
}

static void take_message(struct streamd *stream)
{
    struct streamd_event event;
    bool is_fatal = false;

    if (!event_read(&event, stream->message, stream->message_size))
        return;
    if (event.type == STREAMD_ERROR && streamd_field_bool(&event, "fatal", &is_fatal) && is_fatal)
        hold_fatal(stream, &event);
    else if (stream->state == STATE_GREETING) {
        if (event.type == STREAMD_READY)
            welcome(stream, &event);
    } else if (note(stream, &event) && stream->options.on_event != NULL) {
        stream->options.on_event(stream->options.context, &event);
    }
}

void streamd_received(struct streamd *stream, const char *data, size_t size, bool is_last)
{
    size_t kept = stream->message_size;

    if ((stream->state != STATE_GREETING && stream->state != STATE_ONLINE) || stream->fatal_size > 0)
        return;
    stream->received_ms = client_now(stream);
    stream->is_pinged = false;
    if (kept <= sizeof stream->message && size <= sizeof stream->message - kept)
        memcpy(stream->message + kept, data, size);
    stream->message_size += size < SIZE_MAX - kept ? size : 0;
    if (!is_last)
        return;
    if (stream->message_size > sizeof stream->message)
        client_tell(stream, &(struct streamd_status){.type = STREAMD_TOO_LONG,
                                                     .code = "",
                                                     .reason = "",
                                                     .size = stream->message_size});
    else
        take_message(stream);
    stream->message_size = 0;
}
