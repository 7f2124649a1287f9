/* The HTTP request that opens a WebSocket, and the answer to it. */
#ifndef STREAMD_UPGRADE_H
#define STREAMD_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct url {
    bool is_tls;
    char host[128]; /* without the brackets of an IPv6 address */
    char port[6];
    const char *path; /* in the text of the URL; "" means "/" */
};

/* Read a ws:// or wss:// URL. False: it is none. */
bool url_read(struct url *url, const char *text);

#define UPGRADE_KEY 25 /* bytes of a Sec-WebSocket-Key with its zero */

/* Make a Sec-WebSocket-Key of 16 random bytes. */
void upgrade_key(char key[UPGRADE_KEY], const uint8_t random[16]);

/* Write the request. `api_key` may be NULL. Returns its size; 0: it does not fit. */
size_t upgrade_request(char *to, size_t size, const struct url *url, const char key[UPGRADE_KEY],
                       const char *api_key);

struct upgrade_answer {
    int status; /* 101: open. 0: no answer of HTTP, or not to this request */
    uint32_t retry_after_ms;
    size_t head_size;   /* bytes up to the empty line */
    size_t body_size;   /* by Content-Length; SIZE_MAX: up to the end of the connection */
};

/* Read the head of an answer. False: it is not whole yet. */
bool upgrade_read(struct upgrade_answer *answer, const char *data, size_t size,
                  const char key[UPGRADE_KEY]);

#endif
