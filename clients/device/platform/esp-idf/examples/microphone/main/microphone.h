/* An I2S microphone with 32-bit slots, as an INMP441 or an ICS-43434: 16 kHz, mono, s16. */
#ifndef MICROPHONE_H
#define MICROPHONE_H

#include "freertos/FreeRTOS.h"

#include <stddef.h>
#include <stdint.h>

/* Start to record, in a task of its own. */
void microphone_start(void);
/* Read up to so many samples, waiting up to so many ticks. If samples were lost since, it returns 0 and
 * their number is in `lost`: they stand behind all that was read so far. */
size_t microphone_read(int16_t *samples, size_t most, TickType_t wait, uint32_t *lost);

#endif
