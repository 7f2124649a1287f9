/* What the files of the client share. */
#ifndef STREAMD_CLIENT_H
#define STREAMD_CLIENT_H

#include "streamd.h"

enum state {
    STATE_WAITING,  /* until the next attempt */
    STATE_OPENING,  /* the platform connects */
    STATE_OPENED,   /* `hello` is to be sent */
    STATE_GREETING, /* `ready` is awaited */
    STATE_ONLINE,
    STATE_OVER
};

uint64_t client_now(const struct streamd *stream);
void client_tell(struct streamd *stream, const struct streamd_status *status);
/* Take note that the connection works: attempts after the next drop count from zero. */
void client_prove(struct streamd *stream);

/* The connection has ended, as `refusal` says: plan the next attempt, or end the stream. */
void client_lost(struct streamd *stream);
/* Drop the connection, because it does not work. */
void client_drop(struct streamd *stream, const char *reason);
/* End the stream. */
void client_over(struct streamd *stream, enum streamd_result result);

#endif
