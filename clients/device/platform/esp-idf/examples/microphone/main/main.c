/* A microphone for streamd: prints wake words, speakers and the connection's state. */
#include "microphone.h"
#include "streamd.h"
#include "streamd_esp.h"

#include "esp_attr.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

#include <inttypes.h>

static const char *TAG = "streamd";

/* In external RAM where CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY is set. */
static EXT_RAM_BSS_ATTR struct streamd stream;
static struct streamd_esp esp;

static void on_event(void *context, const struct streamd_event *event)
{
    char text[64];

    (void)context;
    if (event->type == STREAMD_WAKE && streamd_field_text(event, "word", text, sizeof text))
        ESP_LOGI(TAG, "%s at %" PRId64 " ms", text, event->t0);
    else if (event->type == STREAMD_SPEAKER && event->is_final &&
             streamd_field_text(event, "speaker", text, sizeof text))
        ESP_LOGI(TAG, "%s spoke", text);
}

static void on_status(void *context, const struct streamd_status *status)
{
    (void)context;
    switch (status->type) {
    case STREAMD_ONLINE:
    case STREAMD_RESTARTED:
        ESP_LOGI(TAG, "a new session has begun");
        break;
    case STREAMD_RESUMED:
        ESP_LOGI(TAG, "back, %" PRIu64 " samples lost", status->lost_samples);
        break;
    case STREAMD_DISCONNECTED:
        ESP_LOGW(TAG, "%s; again in %" PRIu32 " ms", status->reason, status->retry_ms);
        break;
    case STREAMD_TOO_LONG:
        ESP_LOGW(TAG, "an event of %u bytes was too long", (unsigned)status->size);
        break;
    case STREAMD_OVER:
        ESP_LOGE(TAG, "over: %s %s", status->code, status->reason);
        break;
    }
}

void app_main(void)
{
    static int16_t samples[320];
    const struct streamd_options options = {
        .url = CONFIG_MIC_SERVER_URL,
        .key = CONFIG_MIC_API_KEY[0] != '\0' ? CONFIG_MIC_API_KEY : NULL,
        .client = "streamd-esp-idf/1",
        .device = CONFIG_MIC_DEVICE_NAME,
        .on_event = on_event,
        .on_status = on_status,
    };
    struct streamd_platform platform = streamd_esp_platform(&esp);

    ESP_ERROR_CHECK(nvs_flash_init());
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(example_connect()); /* Wi-Fi or Ethernet, as `idf.py menuconfig` says */
    streamd_esp_init(&esp, &stream, NULL);
    if (!streamd_init(&stream, &platform, &options)) {
        ESP_LOGE(TAG, "an option is too long, or no JSON");
        return;
    }
    microphone_start();
    while (!streamd_is_over(&stream)) {
        uint32_t lost;
        size_t count = microphone_read(samples, 320, pdMS_TO_TICKS(20), &lost);
        if (count > 0)
            (void)streamd_audio(&stream, samples, count * sizeof *samples);
        if (lost > 0)
            (void)streamd_gap(&stream, lost);
        streamd_esp_receive(&esp, 0);
        (void)streamd_poll(&stream);
    }
}
