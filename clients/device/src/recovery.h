/* What a client does when its connection ends or is refused, and how long it waits before. */
#ifndef STREAMD_RECOVERY_H
#define STREAMD_RECOVERY_H

#include <stdint.h>

enum recovery {
    RECOVERY_AGAIN,  /* connect again, for the same as before */
    RECOVERY_AFRESH, /* connect again, and open a new session */
    RECOVERY_MOVE,   /* connect to another server, which has the session */
    RECOVERY_STOP    /* another attempt would end the same way */
};

#define CLOSE_NONE 0 /* the connection broke without a close frame */
#define CLOSE_DONE 1000
#define CLOSE_FAULT 1011
#define CLOSE_UNKNOWN 4004
#define STATUS_TOO_FAST 429

/* Return what follows a close. `faults` counts closes with 1011 since the last `ack`. */
enum recovery recovery_after_close(int code, unsigned faults);
/* Return what follows an HTTP status in answer to the upgrade. */
enum recovery recovery_after_status(int status);
/* Return whether the server said that this client sends or connects too often. */
int recovery_is_too_fast(int close_code, int http_status);

/* Return the milliseconds to wait before the next attempt.
 *
 * close_code, http_status: why the connection ended; 0 where it is neither.
 * attempts: those since a connection has worked.
 * retry_after_ms: what the server asks for; the wait is never shorter.
 * random: any number. */
uint32_t recovery_wait_ms(int close_code, int http_status, unsigned attempts,
                          uint32_t retry_after_ms, uint32_t random);

#endif
