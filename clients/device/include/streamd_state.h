/* The members of `struct streamd`. They are here so that you can place one where you like, as in
 * external RAM; read and write them through the functions of streamd.h alone. */
#ifndef STREAMD_STATE_H
#define STREAMD_STATE_H

#include "streamd.h"

/* Audio in records that never wrap around the end of the buffer; see src/ring.c. */
struct streamd_ring {
    uint8_t bytes[STREAMD_RING_BYTES];
    size_t tail;      /* offset of the oldest record */
    size_t next;      /* offset of the next record to send, if there is one */
    size_t head;      /* offset behind the newest record */
    size_t last;      /* offset of the newest record */
    size_t records;   /* records that are kept */
    size_t unsent;    /* those of them that were not sent on this connection */
    size_t frame_bytes;
};

/* A control message at its place in the audio; see src/controls.c. */
struct streamd_control {
    uint64_t place;   /* number of the sample frame that it stands before */
    uint64_t samples; /* of a loss */
    uint16_t at;      /* offset of its text; a loss has none */
    uint16_t size;
    uint8_t kind;     /* enum control_kind of src/controls.h */
    bool is_answered; /* of an enrolment */
};

/* Audio and control messages that the server may not have; see src/replay.c. Places are sample
 * frames counted from the first one that the device gave. */
struct streamd_replay {
    struct streamd_ring ring;
    uint64_t start; /* place of the oldest sample frame that is kept */
    uint64_t sent;  /* place of the next one to send */
    uint64_t end;   /* place behind the newest */
    uint64_t shift; /* a place minus the server's own count of it */
    struct streamd_control controls[STREAMD_CONTROLS];
    size_t controls_kept;
    size_t controls_sent;
    uint64_t controls_gone; /* counted messages of this session that are no longer kept */
    char text[STREAMD_CONTROL_BYTES];
    size_t text_size;
    char settled[STREAMD_CONFIG_BYTES]; /* JSON object: what confirmed `config` messages have set */
    size_t settled_size;
    bool is_back;        /* nothing was sent since the session was resumed */
};

/* What the server said before it closed. */
struct streamd_refusal {
    char code[32];
    char reason[160];
    char url[STREAMD_URL_BYTES]; /* of another server that has the session */
    uint32_t retry_after_ms;
    int close_code;
    int http_status;
};

struct streamd {
    const struct streamd_platform *platform;
    struct streamd_options options;
    struct streamd_replay replay;
    char url[STREAMD_URL_BYTES];
    char token[96];
    char message[STREAMD_EVENT_BYTES]; /* the event that arrives */
    size_t message_size;
    size_t fatal_size; /* `message` holds a fatal error of this size; 0: it does not */
    struct streamd_refusal refusal;
    int state; /* enum state of src/client.h */
    uint32_t ack_samples; /* the server acknowledges at the latest after so many */
    int64_t last_seq;
    uint64_t due_ms;      /* end of the wait, or of the time to open */
    uint64_t opened_ms;   /* when this connection opened */
    uint64_t received_ms; /* when the last message arrived */
    uint64_t lost_ms;     /* when the connection was lost, if `is_lost` */
    uint64_t polled_ms;   /* when `streamd_poll` was called last */
    uint64_t control_ms; /* when the last control message was sent */
    unsigned attempts;   /* since a connection has worked */
    unsigned faults;     /* of the server, since its last `ack` */
    bool is_lost;
    bool is_slowed; /* the server had too many messages: control messages go out more slowly */
    bool is_ended;  /* `end` was given */
    bool is_done;   /* `bye` has arrived */
    bool is_pinged; /* a ping was sent since the last message arrived */
    bool had_session;
};

#endif
