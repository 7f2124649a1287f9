/* The calls of the device: audio and control messages in, and what is due out. */
#include "streamd.h"

#include "client.h"
#include "write.h"
#include "json.h"
#include "replay.h"
#include "ring.h"

#include <string.h>

#define CONTROL_MS 20u /* between two control messages, to a server that had too many */
#define RETRY_SEND_MS 10u

uint64_t client_now(const struct streamd *stream)
{
    return stream->platform->now_ms(stream->platform->context);
}

void client_tell(struct streamd *stream, const struct streamd_status *status)
{
    if (stream->options.on_status != NULL)
        stream->options.on_status(stream->options.context, status);
}

bool streamd_init(struct streamd *stream, const struct streamd_platform *platform,
                  const struct streamd_options *options)
{
    char token[sizeof stream->token]; /* the longest that a server may give */

    memset(stream, 0, sizeof *stream);
    stream->platform = platform;
    stream->options = *options;
    if (stream->options.frame_bytes == 0)
        stream->options.frame_bytes = 2;
    if (stream->options.open_timeout_ms == 0)
        stream->options.open_timeout_ms = 10000;
    if (stream->options.silence_ms == 0)
        stream->options.silence_ms = 20000;
    replay_init(&stream->replay, stream->options.frame_bytes);
    stream->state = STATE_WAITING;
    stream->due_ms = stream->polled_ms = client_now(stream);
    if (strlen(options->url) >= sizeof stream->url ||
        stream->options.frame_bytes > STREAMD_MESSAGE_BYTES)
        return false;
    strcpy(stream->url, options->url);
    if ((options->audio != NULL && !json_check(slice_of(options->audio))) ||
        (options->modules != NULL && !json_check(slice_of(options->modules))))
        return false;
    memset(token, 't', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    return hello_write(stream->message, sizeof stream->message, &stream->options, token,
                       INT64_MAX) > 0;
}

/* ---- Audio and control messages ---- */

static bool takes(const struct streamd *stream)
{
    return stream->state != STATE_OVER && !stream->is_ended;
}

bool streamd_audio(struct streamd *stream, const void *data, size_t size)
{
    if (!takes(stream) || size % stream->options.frame_bytes != 0)
        return false;
    replay_audio(&stream->replay, data, size);
    return true;
}

bool streamd_packet(struct streamd *stream, const void *data, size_t size, unsigned samples)
{
    if (!takes(stream) || size == 0 || size > STREAMD_MESSAGE_BYTES || samples > UINT16_MAX)
        return false;
    replay_packet(&stream->replay, data, size, samples);
    return true;
}

uint64_t streamd_kept(const struct streamd *stream)
{
    return stream->replay.end - stream->replay.start;
}

bool streamd_has_room(const struct streamd *stream, size_t size)
{
    const struct streamd_replay *replay = &stream->replay;

    /* A ring shorter than the way to the next acknowledgement would wait for ever. */
    return ring_fits(&replay->ring, size) ||
           (replay->sent == replay->end && streamd_kept(stream) < stream->ack_samples);
}

bool streamd_control(struct streamd *stream, const char *message)
{
    struct streamd_slice text = slice_of(message);

    if (!takes(stream) || !json_check(text) || !json_is_object(text) ||
        !replay_control(&stream->replay, text))
        return false;
    stream->is_ended = json_is(json_member(text, "type"), "end");
    return true;
}

bool streamd_flush(struct streamd *stream, const char *id)
{
    char text[128];
    size_t size = flush_write(text, sizeof text - 1, id);

    text[size] = '\0';
    return size > 0 && streamd_control(stream, text);
}

bool streamd_config(struct streamd *stream, const char *modules)
{
    char text[STREAMD_CONFIG_BYTES + 32];
    size_t size = config_write(text, sizeof text - 1, modules);

    text[size] = '\0';
    return size > 0 && streamd_control(stream, text);
}

bool streamd_gap(struct streamd *stream, uint64_t samples)
{
    char text[64];
    size_t size = gap_write(text, sizeof text - 1, samples);

    text[size] = '\0';
    return samples == 0 || (size > 0 && streamd_control(stream, text));
}

bool streamd_end(struct streamd *stream)
{
    return streamd_control(stream, "{\"type\":\"end\"}");
}

bool streamd_is_over(const struct streamd *stream)
{
    return stream->state == STATE_OVER;
}

void streamd_close(struct streamd *stream)
{
    bool is_connected = stream->state != STATE_WAITING && stream->state != STATE_OVER;

    if (is_connected)
        stream->platform->close(stream->platform->context, true);
    memset(&stream->refusal, 0, sizeof stream->refusal);
    client_over(stream, STREAMD_CLOSED);
}

/* ---- What is due ---- */

static enum streamd_sent send_text(struct streamd *stream, const char *text, size_t size)
{
    return stream->platform->send(stream->platform->context, STREAMD_TEXT, text, size);
}

static void open_connection(struct streamd *stream, uint64_t now)
{
    stream->state = STATE_OPENING;
    stream->due_ms = now + stream->options.open_timeout_ms;
    stream->message_size = stream->fatal_size = 0;
    stream->is_pinged = false;
    memset(&stream->refusal, 0, sizeof stream->refusal);
    if (!stream->platform->open(stream->platform->context, stream->url, stream->options.key)) {
        strcpy(stream->refusal.reason, "the platform cannot open this URL");
        client_lost(stream);
    }
}

static void send_hello(struct streamd *stream)
{
    size_t size = hello_write(stream->message, sizeof stream->message, &stream->options,
                              stream->token, stream->last_seq);

    switch (send_text(stream, stream->message, size)) {
    case STREAMD_SENT:
        stream->state = STATE_GREETING;
        break;
    case STREAMD_BROKEN:
        client_drop(stream, "the connection broke");
        break;
    case STREAMD_LATER:
        break;
    }
}

/* Send what waits. Returns the milliseconds until there is something to do. */
static uint32_t pump(struct streamd *stream, uint64_t now)
{
    struct outgoing out;

    while (stream->state == STATE_ONLINE) {
        enum replay_message kind = replay_next(&stream->replay, &out);
        bool is_text = kind == REPLAY_TEXT;
        if (kind == REPLAY_NOTHING)
            return UINT32_MAX;
        if (kind == REPLAY_STUCK) {
            client_drop(stream, "the network is too slow for this audio");
            return 0;
        }
        if (is_text && stream->is_slowed && now - stream->control_ms < CONTROL_MS)
            return CONTROL_MS;
        switch (stream->platform->send(stream->platform->context,
                                       is_text ? STREAMD_TEXT : STREAMD_BINARY, out.data,
                                       out.size)) {
        case STREAMD_SENT:
            replay_sent(&stream->replay);
            if (is_text)
                stream->control_ms = now;
            break;
        case STREAMD_LATER:
            return RETRY_SEND_MS;
        case STREAMD_BROKEN:
            client_drop(stream, "the connection broke");
            return 0;
        }
    }
    return 0;
}

/* Drop a connection on which nothing arrives, as after a failure that nobody reports. */
static void watch(struct streamd *stream, uint64_t now)
{
    uint32_t silence = stream->options.silence_ms;
    uint64_t silent;

    if (now - stream->polled_ms > silence / 2) /* the device slept: messages may wait unread */
        stream->received_ms = now;
    silent = now - stream->received_ms;
    if (silent >= silence)
        client_drop(stream, "the server has not answered for too long");
    else if (silent >= silence / 2 && !stream->is_pinged)
        stream->is_pinged = send_text(stream, REPLAY_PING, sizeof REPLAY_PING - 1) == STREAMD_SENT;
}

uint32_t streamd_poll(struct streamd *stream)
{
    uint64_t now = client_now(stream);
    uint32_t wait = stream->options.silence_ms / 4, busy;

    if (stream->state == STATE_WAITING && now >= stream->due_ms)
        open_connection(stream, now);
    if (stream->state == STATE_OPENED)
        send_hello(stream);
    if (stream->state == STATE_ONLINE)
        watch(stream, now);
    else if (stream->state != STATE_WAITING && stream->state != STATE_OVER && now >= stream->due_ms)
        client_drop(stream, stream->state == STATE_OPENING
                                ? "no server answers"
                                : "the server accepted the connection, but sent no `ready`");
    stream->polled_ms = now;
    if (stream->state == STATE_ONLINE) {
        busy = pump(stream, now);
        return busy < wait ? busy : wait;
    }
    if (stream->state == STATE_OPENED)
        return RETRY_SEND_MS;
    if (stream->state == STATE_OVER)
        return UINT32_MAX;
    if (stream->due_ms <= now)
        return 0;
    return stream->due_ms - now < wait ? (uint32_t)(stream->due_ms - now) : wait;
}
