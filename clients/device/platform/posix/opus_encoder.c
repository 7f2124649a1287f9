/* An encoder for `streamd_feed` by libopus. It allocates once, when it is made. */
#include "opus_encoder.h"

#if STREAMD_OPUS

#include <opus/opus.h>

struct sized_encoder {
    OpusEncoder *encoder;
    int frame_samples;
};

static struct sized_encoder only;

static int encode(void *context, const int16_t *samples, uint8_t *packet, size_t size)
{
    const struct sized_encoder *sized = context;

    return opus_encode(sized->encoder, samples, sized->frame_samples, packet, (opus_int32)size);
}

struct streamd_encoder opus_encoder(uint32_t rate, int bits_per_s)
{
    int error;

    only.encoder = opus_encoder_create((opus_int32)rate, 1, OPUS_APPLICATION_VOIP, &error);
    if (error != OPUS_OK)
        return (struct streamd_encoder){NULL, 0, NULL};
    (void)opus_encoder_ctl(only.encoder, OPUS_SET_BITRATE(bits_per_s));
    only.frame_samples = (int)rate / 50;
    return (struct streamd_encoder){&only, rate / 50, encode};
}

void opus_encoder_free(struct streamd_encoder *encoder)
{
    if (encoder->context != NULL)
        opus_encoder_destroy(only.encoder);
    encoder->context = NULL;
}

#else

struct streamd_encoder opus_encoder(uint32_t rate, int bits_per_s)
{
    (void)rate, (void)bits_per_s;
    return (struct streamd_encoder){NULL, 0, NULL};
}

void opus_encoder_free(struct streamd_encoder *encoder)
{
    (void)encoder;
}

#endif
