/* The platform of ESP-IDF. Each connection has a WebSocket client of its own; Espressif's component
 * allocates it, and this file frees it. To end one takes up to a second. */
#include "streamd_esp.h"

#include "esp_crt_bundle.h"
#include "esp_random.h"
#include "esp_timer.h"

#include <stdio.h>
#include <string.h>

#define SEND_TICKS pdMS_TO_TICKS(200) /* longest wait for the socket */
#define OPCODE_CONTINUATION 0x0
#define OPCODE_TEXT 0x1
#define OPCODE_CLOSE 0x8

/* What the component's task puts into the queue: a kind, a flag or a status, and text. */
enum queued { QUEUED_OPENED = 1, QUEUED_TEXT, QUEUED_CLOSE, QUEUED_GONE, QUEUED_REFUSED };

static void queue_up(struct streamd_esp *esp, enum queued kind, bool is_last, const char *data,
                     size_t size)
{
    esp->sending[0] = (uint8_t)kind;
    esp->sending[1] = is_last;
    if (size > 0)
        memcpy(esp->sending + 2, data, size);
    /* A full queue holds the component's task, and TCP holds the server. */
    while (!atomic_load(&esp->is_closing) &&
           xMessageBufferSend(esp->queue, esp->sending, size + 2, pdMS_TO_TICKS(50)) == 0)
        ;
}

static void queue_text(struct streamd_esp *esp, const char *data, size_t size, bool is_last)
{
    do {
        size_t part = size < STREAMD_ESP_PART_BYTES ? size : STREAMD_ESP_PART_BYTES;
        queue_up(esp, QUEUED_TEXT, is_last && part == size, data, part);
        data += part;
        size -= part;
    } while (size > 0);
}

/* Runs in the component's task. */
static void on_socket(void *context, esp_event_base_t base, int32_t id, void *given)
{
    struct streamd_esp *esp = context;
    const esp_websocket_event_data_t *data = given;
    int status;

    (void)base;
    switch (id) {
    case WEBSOCKET_EVENT_CONNECTED:
        queue_up(esp, QUEUED_OPENED, true, NULL, 0);
        break;
    case WEBSOCKET_EVENT_DATA:
        if (data->op_code == OPCODE_TEXT || data->op_code == OPCODE_CONTINUATION) {
            bool is_end = data->payload_offset + data->data_len >= data->payload_len;
            queue_text(esp, data->data_ptr, (size_t)data->data_len, is_end && data->fin);
        } else if (data->op_code == OPCODE_CLOSE && data->data_len >= 2) {
            queue_up(esp, QUEUED_CLOSE, true, data->data_ptr, (size_t)data->data_len);
        }
        break;
    case WEBSOCKET_EVENT_DISCONNECTED:
    case WEBSOCKET_EVENT_CLOSED:
        status = data->error_handle.esp_ws_handshake_status_code;
        if (status >= 300) {
            uint8_t code[2] = {(uint8_t)(status >> 8), (uint8_t)status};
            queue_up(esp, QUEUED_REFUSED, true, (const char *)code, sizeof code);
        } else {
            queue_up(esp, QUEUED_GONE, true, NULL, 0);
        }
        break;
    default:
        break;
    }
}

/* ---- Called by the stream, in its task ---- */

static void close_socket(void *context, bool is_clean)
{
    struct streamd_esp *esp = context;

    if (esp->client == NULL)
        return;
    atomic_store(&esp->is_closing, true); /* its task may wait for room in the queue */
    if (is_clean && esp_websocket_client_is_connected(esp->client))
        (void)esp_websocket_client_close(esp->client, pdMS_TO_TICKS(1000));
    (void)esp_websocket_client_destroy(esp->client);
    esp->client = NULL;
    (void)xMessageBufferReset(esp->queue);
    atomic_store(&esp->is_closing, false);
}

static bool open_socket(void *context, const char *url, const char *key)
{
    struct streamd_esp *esp = context;
    bool has_tls = strncmp(url, "wss://", 6) == 0;
    esp_websocket_client_config_t config = {
        .uri = url,
        .subprotocol = "streamd.v1",
        .headers = key == NULL ? NULL : esp->headers,
        .disable_auto_reconnect = true, /* the stream does that */
        .disable_pingpong_discon = true, /* pongs wait behind the audio */
        .network_timeout_ms = 5000,
        .buffer_size = STREAMD_MESSAGE_BYTES + 64,
        .cert_pem = has_tls ? esp->ca_pem : NULL,
        .crt_bundle_attach = has_tls && esp->ca_pem == NULL ? esp_crt_bundle_attach : NULL,
    };
    int size = key == NULL ? 0
                           : snprintf(esp->headers, sizeof esp->headers,
                                      "Authorization: Bearer %s\r\n", key);

    close_socket(esp, false);
    if (size >= (int)sizeof esp->headers)
        return false;
    esp->client = esp_websocket_client_init(&config);
    if (esp->client == NULL)
        return false;
    if (esp_websocket_register_events(esp->client, WEBSOCKET_EVENT_ANY, on_socket, esp) != ESP_OK ||
        esp_websocket_client_start(esp->client) != ESP_OK) {
        close_socket(esp, false);
        return false;
    }
    return true;
}

static enum streamd_sent send_message(void *context, enum streamd_message kind, const void *data,
                                      size_t size)
{
    struct streamd_esp *esp = context;
    int sent;

    if (esp->client == NULL)
        return STREAMD_LATER;
    sent = kind == STREAMD_TEXT
               ? esp_websocket_client_send_text(esp->client, data, (int)size, SEND_TICKS)
               : esp_websocket_client_send_bin(esp->client, data, (int)size, SEND_TICKS);
    if (sent == (int)size)
        return STREAMD_SENT;
    /* Its lock was taken, or the write has failed, upon which the component ends the connection. */
    return sent < 0 && esp_websocket_client_is_connected(esp->client) ? STREAMD_LATER
                                                                      : STREAMD_BROKEN;
}

static uint64_t now_ms(void *context)
{
    (void)context;
    return (uint64_t)esp_timer_get_time() / 1000;
}

static uint32_t random_number(void *context)
{
    (void)context;
    return esp_random();
}

void streamd_esp_init(struct streamd_esp *esp, struct streamd *stream, const char *ca_pem)
{
    memset(esp, 0, sizeof *esp);
    esp->stream = stream;
    esp->ca_pem = ca_pem;
    esp->queue =
        xMessageBufferCreateStatic(sizeof esp->queue_bytes, esp->queue_bytes, &esp->queue_state);
}

struct streamd_platform streamd_esp_platform(struct streamd_esp *esp)
{
    return (struct streamd_platform){esp, open_socket, send_message, close_socket, now_ms,
                                     random_number};
}

/* ---- Reported to the stream, in its task ---- */

static void report(struct streamd_esp *esp, size_t size)
{
    const uint8_t *text = esp->receiving + 2;
    const char *reason = "the connection broke";

    size -= 2;
    switch ((enum queued)esp->receiving[0]) {
    case QUEUED_OPENED:
        streamd_opened(esp->stream);
        break;
    case QUEUED_TEXT:
        streamd_received(esp->stream, (const char *)text, size, esp->receiving[1]);
        break;
    case QUEUED_CLOSE:
        close_socket(esp, false);
        streamd_closed(esp->stream, text[0] << 8 | text[1], (const char *)text + 2, size - 2);
        break;
    case QUEUED_GONE:
        close_socket(esp, false);
        streamd_closed(esp->stream, 0, reason, strlen(reason));
        break;
    case QUEUED_REFUSED:
        close_socket(esp, false);
        streamd_refused(esp->stream, text[0] << 8 | text[1], 0, NULL, 0);
        break;
    }
}

void streamd_esp_receive(struct streamd_esp *esp, TickType_t wait)
{
    size_t size = xMessageBufferReceive(esp->queue, esp->receiving, sizeof esp->receiving, wait);

    while (size >= 2) {
        report(esp, size);
        size = xMessageBufferReceive(esp->queue, esp->receiving, sizeof esp->receiving, 0);
    }
}
