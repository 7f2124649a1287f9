/* SHA-1 (FIPS 180-4), for the handshake of a WebSocket alone. */
#ifndef STREAMD_SHA1_H
#define STREAMD_SHA1_H

#include <stdint.h>

/* The digest of two texts, one behind the other, of at most 119 bytes together. */
void sha1_of_two(uint8_t digest[20], const char *first, const char *second);

#endif
