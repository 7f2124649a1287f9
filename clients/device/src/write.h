/* JSON that the client writes. */
#ifndef STREAMD_WRITE_H
#define STREAMD_WRITE_H

#include "streamd.h"

/* Write `hello` into a buffer. `token` is "" for a new session. Returns its size; 0: it does not fit. */
size_t hello_write(char *to, size_t size, const struct streamd_options *options, const char *token,
                   int64_t last_seq);

/* Write control messages. They return the size; 0: it does not fit. */
size_t flush_write(char *to, size_t size, const char *id); /* `id` may be NULL */
size_t config_write(char *to, size_t size, const char *modules);
size_t gap_write(char *to, size_t size, uint64_t samples);

#endif
