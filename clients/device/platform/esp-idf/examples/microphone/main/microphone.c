/* The capture task never waits for the network: what does not fit into the buffer is counted. */
#include "microphone.h"

#include "driver/i2s_std.h"
#include "esp_check.h"
#include "freertos/stream_buffer.h"
#include "freertos/task.h"

#include <stdatomic.h>

#define RATE 16000
#define BLOCK 320          /* samples: 20 ms */
#define BUFFER_BYTES 16384 /* 0.5 s */

static i2s_chan_handle_t channel;
static StreamBufferHandle_t buffer;
static StaticStreamBuffer_t buffer_state;
static uint8_t buffer_bytes[BUFFER_BYTES + 1];
/* Samples lost since the reader has taken the number. While it is not 0, nothing enters the buffer, so
 * that the loss has one place in the audio. */
static atomic_uint lost_samples;

static void capture(void *unused)
{
    static int32_t wide[BLOCK];
    static int16_t samples[BLOCK];
    size_t bytes;

    (void)unused;
    for (;;) {
        size_t count;
        if (i2s_channel_read(channel, wide, sizeof wide, &bytes, 1000) != ESP_OK)
            continue;
        count = bytes / sizeof *wide;
        for (size_t i = 0; i < count; i++) {
            int32_t value = wide[i] >> CONFIG_MIC_SHIFT;
            samples[i] = (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
        }
        if (atomic_load(&lost_samples) > 0 ||
            xStreamBufferSpacesAvailable(buffer) < count * sizeof *samples)
            atomic_fetch_add(&lost_samples, count);
        else
            (void)xStreamBufferSend(buffer, samples, count * sizeof *samples, 0);
    }
}

void microphone_start(void)
{
    i2s_chan_config_t chosen = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_AUTO, I2S_ROLE_MASTER);
    i2s_std_config_t standard = {
        .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(RATE),
        .slot_cfg =
            I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO),
        .gpio_cfg = {.mclk = I2S_GPIO_UNUSED,
                     .bclk = CONFIG_MIC_BCLK_GPIO,
                     .ws = CONFIG_MIC_WS_GPIO,
                     .dout = I2S_GPIO_UNUSED,
                     .din = CONFIG_MIC_DIN_GPIO},
    };

    standard.slot_cfg.slot_mask = I2S_STD_SLOT_LEFT; /* L/R of the microphone at GND */
    buffer = xStreamBufferCreateStatic(BUFFER_BYTES, 1, buffer_bytes, &buffer_state);
    ESP_ERROR_CHECK(i2s_new_channel(&chosen, NULL, &channel));
    ESP_ERROR_CHECK(i2s_channel_init_std_mode(channel, &standard));
    ESP_ERROR_CHECK(i2s_channel_enable(channel));
    xTaskCreate(capture, "microphone", 3072, NULL, 10, NULL);
}

size_t microphone_read(int16_t *samples, size_t most, TickType_t wait, uint32_t *lost)
{
    size_t bytes = xStreamBufferReceive(buffer, samples, most * sizeof *samples, wait);

    *lost = bytes == 0 ? (uint32_t)atomic_exchange(&lost_samples, 0) : 0;
    return bytes / sizeof *samples;
}
