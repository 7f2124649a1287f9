/* Samples go through the gate, then through the encoder, then into the stream. */
#include "streamd_feed.h"

#include <string.h>

#define HANG_OVER 24000u
#define BLOCK 160u
#define LOWEST_DBFS (-90)

/* The sum of squares of a block at a level. Six decibels are a factor of four; the table has 0 to -5 dB
 * in 1/65536. */
static uint64_t power_of(int dbfs, uint32_t block)
{
    static const uint32_t steps[6] = {65536, 52057, 41350, 32846, 26090, 20724};
    uint64_t power = (uint64_t)32768 * 32768 * block / 65536 * steps[(unsigned)-dbfs % 6];

    return power >> ((unsigned)-dbfs / 6 * 2);
}

bool streamd_feed_init(struct streamd_feed *feed, struct streamd *stream,
                       const struct streamd_feed_options *options)
{
    struct streamd_gate_options *gate = &feed->options.gate;

    memset(feed, 0, sizeof *feed);
    feed->stream = stream;
    feed->options = *options;
    feed->is_open = gate->open_dbfs == 0;
    if (gate->close_dbfs == 0)
        gate->close_dbfs = gate->open_dbfs - 6;
    if (gate->hang_over == 0)
        gate->hang_over = HANG_OVER;
    if (gate->pre_roll == 0)
        gate->pre_roll = STREAMD_PRE_ROLL_SAMPLES;
    if (gate->block == 0)
        gate->block = BLOCK;
    if (gate->open_dbfs > 0 || gate->open_dbfs < LOWEST_DBFS ||
        gate->close_dbfs > gate->open_dbfs || gate->close_dbfs < LOWEST_DBFS - 6 ||
        gate->pre_roll > STREAMD_PRE_ROLL_SAMPLES || gate->pre_roll < gate->block ||
        feed->options.encoder.frame_samples > STREAMD_FRAME_SAMPLES)
        return false;
    feed->open_power = power_of(gate->open_dbfs, gate->block);
    feed->close_power = power_of(gate->close_dbfs, gate->block);
    return true;
}

/* ---- The encoder ---- */

static bool encode(struct streamd_feed *feed)
{
    const struct streamd_encoder *encoder = &feed->options.encoder;
    uint8_t packet[STREAMD_PACKET_BYTES];
    int size = encoder->encode(encoder->context, feed->frame, packet, sizeof packet);

    feed->in_frame = 0;
    if (size <= 0) {
        (void)streamd_gap(feed->stream, encoder->frame_samples);
        return false;
    }
    return streamd_packet(feed->stream, packet, (size_t)size, encoder->frame_samples);
}

static bool pass_on(struct streamd_feed *feed, const int16_t *samples, size_t count)
{
    uint32_t whole = feed->options.encoder.frame_samples;
    bool is_taken = true;

    if (whole == 0)
        return streamd_audio(feed->stream, samples, count * sizeof *samples);
    while (count > 0) {
        size_t part = whole - feed->in_frame;
        if (part > count)
            part = count;
        memcpy(feed->frame + feed->in_frame, samples, part * sizeof *samples);
        feed->in_frame += (uint32_t)part;
        samples += part;
        count -= part;
        if (feed->in_frame == whole)
            is_taken &= encode(feed);
    }
    return is_taken;
}

/* Name samples that are not sent. A frame that is not whole is lost with them. */
static bool send_gap(struct streamd_feed *feed, uint64_t samples)
{
    samples += feed->in_frame;
    if (!streamd_gap(feed->stream, samples))
        return false;
    feed->in_frame = 0;
    return true;
}

/* ---- The gate ---- */

static void keep(struct streamd_feed *feed, int16_t sample)
{
    if (feed->pre_roll_kept == feed->options.gate.pre_roll)
        feed->skipped++;
    else
        feed->pre_roll_kept++;
    feed->pre_roll[feed->pre_roll_at] = sample;
    feed->pre_roll_at = (feed->pre_roll_at + 1) % feed->options.gate.pre_roll;
}

/* Send the gap and the pre-roll. False: the list of control messages is full; the gate stays closed
 * until there is room. */
static bool open_gate(struct streamd_feed *feed)
{
    uint32_t size = feed->options.gate.pre_roll, kept = feed->pre_roll_kept;
    uint32_t first = (feed->pre_roll_at + size - kept) % size;
    uint32_t straight = kept < size - first ? kept : size - first;

    if (feed->skipped > 0 && !send_gap(feed, feed->skipped))
        return false;
    feed->skipped = feed->pre_roll_kept = 0;
    feed->is_open = true;
    feed->silent = 0;
    return pass_on(feed, feed->pre_roll + first, straight) &&
           pass_on(feed, feed->pre_roll, kept - straight);
}

/* Take the level of each block, and return whether the gate is open behind this sample. */
static void listen(struct streamd_feed *feed, int16_t sample)
{
    const struct streamd_gate_options *gate = &feed->options.gate;

    feed->power += (uint64_t)((int32_t)sample * sample);
    if (++feed->in_block < gate->block)
        return;
    if (!feed->is_open) {
        if (feed->power >= feed->open_power)
            (void)open_gate(feed);
    } else if (feed->power >= feed->close_power) {
        feed->silent = 0;
    } else {
        feed->silent += gate->block;
        feed->is_open = feed->silent < gate->hang_over;
    }
    feed->power = feed->in_block = 0;
}

bool streamd_feed(struct streamd_feed *feed, const int16_t *samples, size_t count)
{
    size_t unsent = 0;
    bool is_taken = true;

    if (feed->options.gate.open_dbfs == 0)
        return pass_on(feed, samples, count);
    for (size_t i = 0; i < count; i++) {
        bool was_open = feed->is_open;
        if (!was_open) {
            keep(feed, samples[i]);
            unsent = i + 1;
        }
        listen(feed, samples[i]);
        if (was_open && !feed->is_open) {
            is_taken &= pass_on(feed, samples + unsent, i + 1 - unsent);
            unsent = i + 1;
        }
    }
    return (!feed->is_open || pass_on(feed, samples + unsent, count - unsent)) && is_taken &&
           !streamd_is_over(feed->stream);
}

bool streamd_feed_gap(struct streamd_feed *feed, uint64_t samples)
{
    if (feed->is_open)
        return send_gap(feed, samples);
    feed->skipped += feed->pre_roll_kept + samples; /* what came before it is no pre-roll any more */
    feed->pre_roll_kept = 0;
    return true;
}

bool streamd_feed_end(struct streamd_feed *feed)
{
    uint32_t whole = feed->options.encoder.frame_samples;

    if (!feed->is_open && feed->skipped + feed->pre_roll_kept > 0 && !open_gate(feed))
        return false;
    if (feed->in_frame > 0) {
        memset(feed->frame + feed->in_frame, 0, (whole - feed->in_frame) * sizeof *feed->frame);
        (void)encode(feed);
    }
    return streamd_end(feed->stream);
}
