/* The platform of ESP-IDF: Espressif's WebSocket component below, `struct streamd` above.
 *
 * The component runs a task of its own. What it receives waits in a message buffer until the task that
 * owns the stream takes it with `streamd_esp_receive`; so one task alone calls the stream.
 */
#ifndef STREAMD_ESP_H
#define STREAMD_ESP_H

#include "streamd.h"

#include "esp_websocket_client.h"
#include "freertos/FreeRTOS.h"
#include "freertos/message_buffer.h"

#include <stdatomic.h>

#define STREAMD_ESP_QUEUE_BYTES 4096 /* of events that wait; then the socket is read no further */
#define STREAMD_ESP_PART_BYTES 512   /* of an event at a time */

struct streamd_esp {
    struct streamd *stream;
    const char *ca_pem; /* certificate of the authority; NULL: Espressif's bundle of them */
    esp_websocket_client_handle_t client; /* NULL: no connection */
    atomic_bool is_closing;
    MessageBufferHandle_t queue;
    StaticMessageBuffer_t queue_state;
    uint8_t queue_bytes[STREAMD_ESP_QUEUE_BYTES];
    uint8_t sending[STREAMD_ESP_PART_BYTES + 2];   /* of the component's task */
    uint8_t receiving[STREAMD_ESP_PART_BYTES + 2]; /* of the stream's task */
    char headers[300];
};

void streamd_esp_init(struct streamd_esp *esp, struct streamd *stream, const char *ca_pem);
struct streamd_platform streamd_esp_platform(struct streamd_esp *esp);
/* Hand in what has arrived, waiting up to so many ticks for the first of it. */
void streamd_esp_receive(struct streamd_esp *esp, TickType_t wait);

#endif
