/* Without STREAMD_TLS there is no TLS, and wss:// fails with a reason. */
#include "wire.h"

bool tls_start(struct wire *wire)
{
    wire_fail(wire, "built without TLS: build with `make TLS=1`");
    return false;
}

enum wire_result tls_handshake(struct wire *wire)
{
    (void)wire;
    return WIRE_FAILED;
}

enum wire_result tls_read(struct wire *wire, void *data, size_t size, size_t *taken)
{
    (void)wire, (void)data, (void)size, (void)taken;
    return WIRE_FAILED;
}

enum wire_result tls_write(struct wire *wire, const void *data, size_t size, size_t *taken)
{
    (void)wire, (void)data, (void)size, (void)taken;
    return WIRE_FAILED;
}

void tls_stop(struct wire *wire)
{
    (void)wire;
}

void tls_free(struct wire *wire)
{
    (void)wire;
}
