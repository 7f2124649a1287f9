/* The gate and the encoder: every sample is sent in its place, or stands in a gap. */
#include "check.h"
#include "replay.h"
#include "streamd_feed.h"

#include <stdlib.h>
#include <string.h>

#define SECONDS 60u
#define RATE 16000u

static struct streamd stream;
static struct streamd_feed feed;
static int16_t recorded[SECONDS * RATE];
static uint8_t is_sent[SECONDS * RATE];
static uint64_t clock_now; /* of the server, in samples */
static uint64_t gaps;

static bool open_it(void *context, const char *url, const char *key)
{
    (void)context, (void)url, (void)key;
    return true;
}

static enum streamd_sent send_it(void *context, enum streamd_message kind, const void *data,
                                 size_t size)
{
    (void)context, (void)kind, (void)data, (void)size;
    return STREAMD_SENT;
}

static void close_it(void *context, bool is_clean)
{
    (void)context, (void)is_clean;
}

static uint64_t now_ms(void *context)
{
    (void)context;
    return 0;
}

static uint32_t random_number(void *context)
{
    (void)context;
    return 0;
}

static const struct streamd_platform platform = {NULL, open_it, send_it, close_it, now_ms,
                                                 random_number};

static void begin(const struct streamd_feed_options *options)
{
    struct streamd_options plain = {.url = "ws://a"};

    CHECK(streamd_init(&stream, &platform, &plain));
    CHECK(streamd_feed_init(&feed, &stream, options));
    memset(is_sent, 0, sizeof is_sent);
    clock_now = gaps = 0;
}

/* Take what the stream would send, as a server would. */
static void drain(bool is_pcm)
{
    struct outgoing out;
    enum replay_message kind;

    while ((kind = replay_next(&stream.replay, &out)) != REPLAY_NOTHING) {
        if (kind == REPLAY_TEXT && strstr(out.data, "gap") != NULL) {
            clock_now += strtoull(strstr(out.data, "samples") + 9, NULL, 10);
            gaps++;
        } else if (kind == REPLAY_AUDIO && is_pcm) {
            CHECK(memcmp(out.data, recorded + clock_now, out.size) == 0);
            memset(is_sent + clock_now, 1, out.size / 2);
            clock_now += out.size / 2;
        } else if (kind == REPLAY_AUDIO) {
            clock_now += ((const uint8_t *)out.data)[0] * 2u;
        }
        replay_sent(&stream.replay);
    }
    replay_acked(&stream.replay, stream.replay.sent - stream.replay.shift);
}

static void make_noise(struct chance *chance, size_t from, size_t to, int32_t level)
{
    for (size_t i = from; i < to; i++)
        recorded[i] = (int16_t)((int32_t)chance_below(chance, 2 * (uint32_t)level + 1) - level);
}

static void test_the_gate_sends_what_is_loud_and_keeps_the_clock(void)
{
    struct streamd_feed_options options = {.gate = {.open_dbfs = -40}};

    for (uint64_t seed = 1; seed < 12; seed++) {
        struct chance chance = chance_of(seed);
        size_t loud_from = 0, loud_to = 0;
        begin(&options);
        for (size_t at = 0; at < SECONDS * RATE;) { /* silence of up to 6 s, speech of up to 3 s */
            size_t from = at + chance_below(&chance, 6 * RATE);
            size_t to = from + chance_below(&chance, 3 * RATE);
            size_t end = SECONDS * RATE;
            make_noise(&chance, at, from < end ? from : end, 20);
            make_noise(&chance, from < end ? from : end, to < end ? to : end, 8000);
            if (to < end && to - from > 400)
                loud_from = from, loud_to = to;
            at = to;
        }
        for (size_t at = 0; at < SECONDS * RATE;) {
            size_t count = 1 + chance_below(&chance, 700);
            if (count > SECONDS * RATE - at)
                count = SECONDS * RATE - at;
            CHECK(streamd_feed(&feed, recorded + at, count));
            at += count;
            drain(true);
        }
        CHECK(streamd_feed_end(&feed));
        drain(true);
        CHECK(clock_now == SECONDS * RATE);
        CHECK(gaps > 0);
        /* From before its beginning to behind its end, speech is sent whole. */
        for (size_t i = loud_from > 4000 ? loud_from - 4000 : 0; i < loud_to; i++)
            CHECK(is_sent[i]);
    }
}

static void test_a_level_is_within_a_quarter_of_a_decibel(void)
{
    static const struct {
        int dbfs;
        int16_t below, above;
    } cases[] = {{-20, 3230, 3290}, {-40, 319, 330}, {-45, 179, 186}, {-60, 31, 33}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct streamd_feed_options options = {.gate = {.open_dbfs = cases[i].dbfs}};
        for (int is_above = 0; is_above < 2; is_above++) {
            int16_t samples[320];
            for (size_t j = 0; j < 320; j++)
                samples[j] = is_above ? cases[i].above : cases[i].below;
            begin(&options);
            CHECK(streamd_feed(&feed, samples, 320));
            CHECK(feed.is_open == is_above);
        }
    }
}

/* The first byte is half of the samples of the frame. */
static int encode(void *context, const int16_t *samples, uint8_t *packet, size_t size)
{
    int *left = context;

    (void)samples;
    CHECK(size >= 10);
    packet[0] = 160;
    return (*left)-- > 0 ? 10 : -1;
}

static void test_an_encoder_gets_whole_frames_and_a_gap_keeps_the_clock(void)
{
    int left = 1000;
    struct streamd_feed_options options = {.encoder = {&left, 320, encode}};

    begin(&options);
    for (int i = 0; i < 10; i++)
        CHECK(streamd_feed(&feed, recorded, 333));
    drain(false);
    CHECK(clock_now == 3200); /* ten frames; 130 samples wait */
    CHECK(streamd_feed_gap(&feed, 70));
    drain(false);
    CHECK(clock_now == 3400 && gaps == 1); /* they are part of the gap */
    CHECK(streamd_feed(&feed, recorded, 1) && streamd_feed_end(&feed));
    drain(false);
    CHECK(clock_now == 3720); /* the last frame is filled up */
    left = 0;
    begin(&options);
    CHECK(!streamd_feed(&feed, recorded, 320));
    drain(false);
    CHECK(clock_now == 320 && gaps == 1); /* a frame that failed is named */
}

static void test_a_gap_of_the_device_in_silence_stands_in_its_place(void)
{
    struct streamd_feed_options options = {.gate = {.open_dbfs = -40}};
    struct chance chance = chance_of(5);

    begin(&options);
    make_noise(&chance, 0, 32000, 10);
    make_noise(&chance, 33000, 36000, 9000);
    CHECK(streamd_feed(&feed, recorded, 32000));
    CHECK(streamd_feed_gap(&feed, 1000));
    CHECK(streamd_feed(&feed, recorded + 33000, 3000));
    CHECK(streamd_feed_end(&feed));
    drain(true);
    CHECK(clock_now == 36000 && gaps == 1);
}

static void test_options_out_of_range_are_refused(void)
{
    static const struct streamd_feed_options bad[] = {
        {.gate = {.open_dbfs = 1}},
        {.gate = {.open_dbfs = -91}},
        {.gate = {.open_dbfs = -40, .close_dbfs = -39}},
        {.gate = {.open_dbfs = -40, .pre_roll = STREAMD_PRE_ROLL_SAMPLES + 1}},
        {.encoder = {NULL, STREAMD_FRAME_SAMPLES + 1, encode}},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!streamd_feed_init(&feed, &stream, &bad[i]));
}

int main(void)
{
    test_the_gate_sends_what_is_loud_and_keeps_the_clock();
    test_a_level_is_within_a_quarter_of_a_decibel();
    test_an_encoder_gets_whole_frames_and_a_gap_keeps_the_clock();
    test_a_gap_of_the_device_in_silence_stands_in_its_place();
    test_options_out_of_range_are_refused();
    return 0;
}
