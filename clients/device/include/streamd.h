/* streamd for devices: one stream of audio to a streamd server, in C99.
 *
 * Sizes are fixed when you compile; the library allocates nothing, has no globals and makes no call
 * to the operating system. It talks to the network through `struct streamd_platform`.
 *
 *     static struct streamd stream;
 *
 *     streamd_init(&stream, &platform, &options);
 *     for (;;) {
 *         streamd_audio(&stream, samples, bytes);  // what the microphone has recorded
 *         streamd_poll(&stream);                   // sends, connects again, keeps time
 *         ...                                      // the platform hands in what has arrived
 *     }
 *
 * One task calls all functions of one stream. Callbacks may call them, too, except `streamd_init`.
 * Text is UTF-8. Times are milliseconds.
 */
#ifndef STREAMD_H
#define STREAMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Sizes: define them for the whole build, as with -DSTREAMD_RING_BYTES=131072 ---- */

#ifndef STREAMD_RING_BYTES
#define STREAMD_RING_BYTES 65536 /* audio kept for a drop: 2 s of 16 kHz PCM, 20 s of Opus */
#endif
#ifndef STREAMD_MESSAGE_BYTES
#define STREAMD_MESSAGE_BYTES 2048 /* longest message of audio that the client sends */
#endif
#ifndef STREAMD_EVENT_BYTES
#define STREAMD_EVENT_BYTES 8192 /* longest event that the client receives */
#endif
#ifndef STREAMD_CONTROLS
#define STREAMD_CONTROLS 16 /* control messages kept for a drop */
#endif
#ifndef STREAMD_CONTROL_BYTES
#define STREAMD_CONTROL_BYTES 1024 /* text of all of them; also the longest `hello` */
#endif
#ifndef STREAMD_CONFIG_BYTES
#define STREAMD_CONFIG_BYTES 256 /* module options that `config` messages have set */
#endif
#ifndef STREAMD_URL_BYTES
#define STREAMD_URL_BYTES 128
#endif

/* ---- Events ---- */

/* Part of a text. It is not terminated by a zero. */
struct streamd_slice {
    const char *at; /* NULL: absent */
    size_t size;
};

enum streamd_event_type {
    STREAMD_UNKNOWN, /* a type that this library does not know: read `type_name` */
    STREAMD_READY,
    STREAMD_SPEECH_START,
    STREAMD_SPEECH_END,
    STREAMD_WAKE,
    STREAMD_EMOTION,
    STREAMD_SPEAKER,
    STREAMD_SPEAKER_CHANGE,
    STREAMD_TRANSCRIPT,
    STREAMD_GAP,
    STREAMD_FLUSHED,
    STREAMD_ENROLLED,
    STREAMD_WARNING,
    STREAMD_ERROR,
    STREAMD_BYE,
    STREAMD_ACK,
    STREAMD_PONG,
    STREAMD_DEGRADED,
    STREAMD_RECOVERED,
    STREAMD_DRAINING
};

/* One event of the server. It is valid during the callback. docs/wire.md lists the fields. */
struct streamd_event {
    enum streamd_event_type type;
    struct streamd_slice type_name;
    struct streamd_slice json; /* the whole event */
    int64_t seq;               /* 0: not an event of the log */
    int64_t t0, t1, at;        /* on the clock of the stream; -1: absent */
    bool is_final;             /* false: a later event of this type and utterance replaces it */
};

/* Return the value of a field as JSON text; a string keeps its quotes. `.at` is NULL: no such field. */
struct streamd_slice streamd_field(const struct streamd_event *event, const char *name);
/* Copy a string field, decoded and terminated by a zero. False: no such string, or it does not fit. */
bool streamd_field_text(const struct streamd_event *event, const char *name, char *text, size_t size);
/* Read a number. False: no such number. */
bool streamd_field_number(const struct streamd_event *event, const char *name, double *number);
/* Read an integer. False: no such integer. */
bool streamd_field_integer(const struct streamd_event *event, const char *name, int64_t *integer);
/* Read true or false. False: no such field. */
bool streamd_field_bool(const struct streamd_event *event, const char *name, bool *value);
/* Return a member of a JSON object, for fields that are objects themselves. */
struct streamd_slice streamd_member(struct streamd_slice object, const char *name);

/* ---- What happens to the connection ---- */

enum streamd_status_type {
    STREAMD_ONLINE,       /* the first session has opened */
    STREAMD_DISCONNECTED, /* `reason`; the client tries again in `retry_ms` */
    STREAMD_RESUMED,      /* the same session goes on; `lost_samples` did not fit into the ring */
    STREAMD_RESTARTED,    /* a new session: its clock starts at 0 with the sample `first_sample` */
    STREAMD_TOO_LONG,     /* an event of `size` bytes does not fit into STREAMD_EVENT_BYTES */
    STREAMD_OVER          /* the stream is over: `result`; nothing more happens */
};

enum streamd_result {
    STREAMD_DONE,    /* `end` was sent, and all its events have arrived */
    STREAMD_REFUSED, /* the server refuses the stream: `code` and `reason` say why */
    STREAMD_LOST,    /* no connection for `give_up_ms` */
    STREAMD_CLOSED   /* `streamd_close` */
};

/* A change of the connection. It is valid during the callback. */
struct streamd_status {
    enum streamd_status_type type;
    enum streamd_result result;
    const char *code;   /* of the protocol, as "unauthenticated"; "" where there is none */
    const char *reason; /* for a person */
    int close_code;     /* of the WebSocket; 0 where there is none */
    int http_status;    /* of a refused upgrade; 0 where there is none */
    uint32_t retry_ms;
    uint64_t lost_samples;
    uint64_t first_sample;
    unsigned dropped_enrolments; /* not answered before a restart: their utterances are gone */
    size_t size;
};

/* ---- The platform ---- */

enum streamd_message { STREAMD_TEXT, STREAMD_BINARY };
enum streamd_sent { STREAMD_SENT, STREAMD_LATER, STREAMD_BROKEN };

/* How a stream reaches the network and the clock. The calls must return soon.
 *
 * The platform reports with `streamd_opened`, `streamd_refused`, `streamd_received` and
 * `streamd_closed`, and never from inside of these calls. */
struct streamd_platform {
    void *context; /* first argument of each call */

    /* Begin to open a WebSocket with the subprotocol `streamd.v1`. `key` may be NULL; else the
     * request has the header `Authorization: Bearer KEY`. False: it cannot work, as with a bad URL. */
    bool (*open)(void *context, const char *url, const char *key);

    /* Send one message whole (STREAMD_SENT), or nothing of it: STREAMD_LATER is tried again at the
     * next `streamd_poll`; STREAMD_BROKEN needs a new connection. The data is free afterwards. */
    enum streamd_sent (*send)(void *context, enum streamd_message kind, const void *data, size_t size);

    /* Drop the connection, open or not. `is_clean`: with a close handshake, if one is open. */
    void (*close)(void *context, bool is_clean);

    /* Milliseconds of a clock that never goes back. */
    uint64_t (*now_ms)(void *context);

    /* A random number for the waits between attempts. */
    uint32_t (*random)(void *context);
};

/* ---- The stream ---- */

struct streamd_options {
    const char *url;     /* ws:// or wss://, with the path /v1/stream */
    const char *key;     /* API key; NULL: none */
    const char *client;  /* name and version of the firmware, for the server's log; may be NULL */
    const char *device;  /* name of this device, for the server's log; may be NULL */
    const char *audio;   /* JSON object for `hello.audio`; NULL: s16le, 16 kHz, mono */
    const char *modules; /* JSON object for `hello.modules`; NULL: those of the key */
    size_t frame_bytes;  /* bytes of a sample frame, all channels together; 0: 2 */

    void (*on_event)(void *context, const struct streamd_event *event);
    void (*on_status)(void *context, const struct streamd_status *status);
    void *context; /* first argument of both */

    uint32_t open_timeout_ms; /* for a connection and its `ready`; 0: 10000 */
    uint32_t silence_ms;      /* without any message: the connection is broken; 0: 20000 */
    uint32_t give_up_ms;      /* without a connection: the stream is over; 0: never */
};

#include "streamd_state.h" /* the members of `struct streamd`, which are the library's own */

/* Prepare a stream and open its first connection at the next `streamd_poll`. The strings of the
 * options must stay where they are. False: `hello` does not fit, or an option is no JSON object. */
bool streamd_init(struct streamd *stream, const struct streamd_platform *platform,
                  const struct streamd_options *options);

/* Take audio: whole sample frames, of any length. It is copied into the ring. If the ring is full,
 * the oldest audio is dropped, and the client names the loss to the server with a `gap`.
 * False: half a sample frame, or the stream has ended. */
bool streamd_audio(struct streamd *stream, const void *data, size_t size);
/* Take one packet of a codec that has packets, as Opus, and the sample frames that it stands for.
 * False: longer than STREAMD_MESSAGE_BYTES, or the stream has ended. */
bool streamd_packet(struct streamd *stream, const void *data, size_t size, unsigned samples);
/* Return the sample frames that are kept in the ring. */
uint64_t streamd_kept(const struct streamd *stream);
/* Return whether audio of this size fits into the ring without a loss. A sender that is faster than
 * real time, as from a file, waits for it. A ring of less than half a second has room as soon as all is
 * sent, because the server acknowledges no earlier. */
bool streamd_has_room(const struct streamd *stream, size_t size);

/* The control messages act at their place in the audio. False: STREAMD_CONTROLS of them wait for
 * the server already, or the stream has ended. */
bool streamd_flush(struct streamd *stream, const char *id);
bool streamd_config(struct streamd *stream, const char *modules);    /* a JSON object */
bool streamd_gap(struct streamd *stream, uint64_t samples);          /* audio that the device lost */
bool streamd_control(struct streamd *stream, const char *message);   /* any other, as JSON */
bool streamd_end(struct streamd *stream);                            /* no more audio comes */

/* Do what is due: connect, send, notice silence. Call it after audio was added, after a report of
 * the platform, and at the latest after the milliseconds that it returns. */
uint32_t streamd_poll(struct streamd *stream);
/* Drop the connection for good. */
void streamd_close(struct streamd *stream);
/* Return whether the stream is over. */
bool streamd_is_over(const struct streamd *stream);

/* ---- Reports of the platform ---- */

/* The WebSocket is open. */
void streamd_opened(struct streamd *stream);
/* The server answered the upgrade with an HTTP status. `body` may be NULL. */
void streamd_refused(struct streamd *stream, int status, uint32_t retry_after_ms, const char *body,
                     size_t size);
/* A part of a text message has arrived; `is_last` ends the message. */
void streamd_received(struct streamd *stream, const char *data, size_t size, bool is_last);
/* The connection is gone. `code` is that of the server's close frame; 0: there was none, and
 * `reason` says why. */
void streamd_closed(struct streamd *stream, int code, const char *reason, size_t size);

#ifdef __cplusplus
}
#endif

#endif
