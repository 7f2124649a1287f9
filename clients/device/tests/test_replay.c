/* The replay buffer against a server that counts as the protocol says, over random drops. */
#include "check.h"
#include "json.h"
#include "replay.h"
#include "ring.h"

#include <string.h>

#define FRAMES 60000u
#define UNKNOWN 0xFFFFFFFFu

/* What a server has of one session. Sample i of the device has the value i. */
struct server {
    uint64_t samples;  /* received */
    uint64_t clock;    /* with the gaps */
    uint64_t controls;
    uint64_t next_mark; /* number of the next control message that must come */
    uint64_t lost;      /* samples that gaps name */
    bool is_fresh;      /* nothing was received on this connection */
};

/* The device's own record: before which sample it said which control message. */
static uint64_t marks[FRAMES];
static uint64_t marks_said;
static struct streamd_replay replay;
static uint64_t said;   /* samples that the device gave */
static int stuck;
static uint64_t origin; /* sample of the device at which the session's clock is 0 */

static void take_audio(struct server *server, const uint8_t *data, size_t size)
{
    CHECK(size % 4 == 0 && size > 0 && size <= STREAMD_MESSAGE_BYTES);
    for (size_t at = 0; at < size; at += 4) {
        uint32_t value;
        memcpy(&value, data + at, 4);
        CHECK(value == origin + server->clock); /* in its place, whatever was lost before */
        server->clock++;
        server->samples++;
    }
}

static void take_text(struct server *server, const char *text, size_t size)
{
    struct streamd_slice json = {text, size};
    struct streamd_slice type = json_member(json, "type");
    int64_t number;

    CHECK(json_check(json));
    if (json_is(type, "ping"))
        return;
    server->controls++;
    if (json_is(type, "gap")) {
        CHECK(json_integer(json_member(json, "samples"), &number) && number > 0);
        server->clock += (uint64_t)number;
        server->lost += (uint64_t)number;
        return;
    }
    CHECK(json_is(type, "flush"));
    CHECK(json_integer(json_member(json, "n"), &number));
    CHECK((uint64_t)number == server->next_mark); /* each once, in order */
    /* At its place, or behind the gap that has swallowed its place. */
    CHECK(marks[number] <= origin + server->clock);
    if (server->lost == 0)
        CHECK(marks[number] == origin + server->clock);
    server->next_mark++;
}

static void say_audio(struct chance *chance)
{
    uint32_t values[700];
    uint32_t count = 1 + chance_below(chance, 700);

    for (uint32_t i = 0; i < count; i++)
        values[i] = (uint32_t)(said + i);
    replay_audio(&replay, (const uint8_t *)values, count * 4);
    said += count;
}

static void say_mark(void)
{
    char text[64];
    int size = snprintf(text, sizeof text, "{\"type\":\"flush\",\"n\":%d}", (int)marks_said);

    if (replay_control(&replay, (struct streamd_slice){text, (size_t)size}))
        marks[marks_said++] = said;
}

/* Deliver up to so many messages; with `is_lossy`, what is sent does not arrive. */
static void pump(struct server *server, uint32_t most, bool is_lossy)
{
    struct outgoing out;

    for (uint32_t i = 0; i < most; i++) {
        enum replay_message kind = replay_next(&replay, &out);
        stuck += kind == REPLAY_STUCK;
        if (kind == REPLAY_NOTHING || kind == REPLAY_STUCK)
            return;
        if (!is_lossy && kind == REPLAY_TEXT)
            take_text(server, out.data, out.size);
        if (!is_lossy && kind == REPLAY_AUDIO)
            take_audio(server, out.data, out.size);
        replay_sent(&replay);
    }
    (void)replay_next(&replay, &out); /* the network takes no more */
}

static void reset(void)
{
    replay_init(&replay, 4);
    said = marks_said = origin = 0;
}

/* The network is slow in some runs, so that the ring overflows; `pace` is messages sent a turn. */
static uint64_t drop_at_random(uint64_t seed, uint32_t pace)
{
    struct chance chance = chance_of(seed);
    struct server server = {0, 0, 0, 0, 0, false};

    reset();
    while (said < FRAMES) {
        uint32_t what = chance_below(&chance, 12);
        if (what < 6) {
            say_audio(&chance);
        } else if (what == 6) {
            (void)replay_control(&replay, slice_of("{\"type\":\"ping\"}"));
            say_mark();
        } else if (what < 10) {
            pump(&server, pace, false);
        } else if (what == 10) {
            replay_acked(&replay, chance_below(&chance, (uint32_t)server.samples + 1));
        } else {
            pump(&server, chance_below(&chance, 4), true);
            if (chance_below(&chance, 2)) /* the last that was heard of the connection */
                replay_acked(&replay, server.samples);
            (void)replay_resume(&replay, server.samples, server.controls);
        }
    }
    (void)replay_resume(&replay, server.samples, server.controls);
    pump(&server, UNKNOWN, false);
    CHECK(server.clock == said);
    CHECK(server.next_mark == marks_said);
    CHECK(server.samples + server.lost == said);
    return server.lost;
}

static void test_what_a_drop_loses_is_sent_again_once_and_in_its_place(void)
{
    for (uint64_t seed = 1; seed < 300; seed++)
        CHECK(drop_at_random(seed, UNKNOWN) == 0);
}

static void test_an_overflow_is_named_and_all_else_is_in_its_place(void)
{
    uint64_t lost = 0;

    for (uint64_t seed = 1; seed < 300; seed++)
        lost += drop_at_random(seed, 1);
    CHECK(lost > 0);
    CHECK(stuck > 0); /* so many losses in a row that only a resume settles them */
}

static void test_a_new_session_begins_with_what_is_kept(void)
{
    static const char config[] = "{\"type\":\"config\",\"modules\":{\"wake\":{\"threshold\":0.4}}}";
    static const char other[] = "{\"type\":\"config\",\"modules\":{\"emotion\":false}}";
    static const char enrol[] = "{\"type\":\"enrol\",\"id\":\"e1\",\"speaker\":\"Ada\"}";
    struct chance chance = chance_of(3);
    struct server server = {0, 0, 0, 0, 0, false};
    struct outgoing out;

    reset();
    CHECK(replay_control(&replay, slice_of(config)));
    say_audio(&chance);
    CHECK(replay_control(&replay, slice_of(enrol)));
    say_audio(&chance);
    CHECK(replay_control(&replay, slice_of(other)));
    for (int i = 0; i < 4; i++) { /* config, audio, enrol, audio */
        CHECK(replay_next(&replay, &out) != REPLAY_NOTHING);
        replay_sent(&replay);
    }
    replay_acked(&replay, 1);
    CHECK(replay_restart(&replay) == 1);
    CHECK(replay_next(&replay, &out) == REPLAY_TEXT);
    CHECK(out.size == sizeof config - 1 && memcmp(out.data, config, out.size) == 0);
    replay_sent(&replay);
    origin = replay.start;
    CHECK(replay_next(&replay, &out) == REPLAY_AUDIO);
    take_audio(&server, out.data, out.size);
    (void)replay_resume(&replay, 0, 1); /* counts the options too */
    CHECK(replay_next(&replay, &out) == REPLAY_AUDIO);
    replay_answered(&replay, slice_of("\"e1\""));
}

static void test_a_new_session_begins_behind_a_gap_that_nothing_stands_before(void)
{
    static const char flush[] = "{\"type\":\"flush\"}";
    struct chance chance = chance_of(3);
    struct outgoing out;

    reset();
    say_audio(&chance);
    CHECK(replay_control(&replay, slice_of("{\"type\":\"gap\",\"samples\":1500000000}")));
    CHECK(replay_control(&replay, slice_of("{\"type\":\"gap\",\"ms\":90000000}")));
    CHECK(replay_control(&replay, slice_of(flush)));
    while (replay_next(&replay, &out) != REPLAY_NOTHING)
        replay_sent(&replay);
    replay_acked(&replay, said); /* the audio before the gaps; of them nothing is known */
    say_audio(&chance);
    CHECK(replay_control(&replay, slice_of("{\"type\":\"gap\",\"samples\":80}")));
    CHECK(replay_restart(&replay) == 0);
    CHECK(replay_next(&replay, &out) == REPLAY_TEXT);
    CHECK(out.size == sizeof flush - 1 && memcmp(out.data, flush, out.size) == 0);
    replay_sent(&replay);
    while (replay_next(&replay, &out) == REPLAY_AUDIO)
        replay_sent(&replay);
    CHECK(replay_next(&replay, &out) == REPLAY_TEXT && strstr(out.data, "80") != NULL);
    replay_sent(&replay);
    CHECK(replay_next(&replay, &out) == REPLAY_NOTHING);
}

static void test_an_answered_enrolment_is_not_reported(void)
{
    static const char enrol[] = "{\"type\":\"enrol\",\"id\":\"e1\",\"speaker\":\"Ada\"}";

    reset();
    CHECK(replay_control(&replay, slice_of(enrol)) && replay_control(&replay, slice_of(enrol)));
    replay_answered(&replay, slice_of("\"e2\""));
    replay_answered(&replay, slice_of("\"\\u0065\\u0031\""));
    CHECK(replay_restart(&replay) == 1);
    CHECK(replay.controls_kept == 0 && replay.text_size == 0);
}

static void test_a_gap_of_the_caller_that_comes_first_has_a_ping_before_it(void)
{
    static const char gap[] = "{\"type\":\"gap\",\"samples\":80}";
    struct outgoing out;

    reset();
    CHECK(replay_control(&replay, slice_of(gap)));
    CHECK(replay_next(&replay, &out) == REPLAY_TEXT && out.size == sizeof gap - 1);
    CHECK(replay_resume(&replay, 0, 0) == 0);
    CHECK(replay_next(&replay, &out) == REPLAY_TEXT && strstr(out.data, "ping") != NULL);
    replay_sent(&replay);
    CHECK(replay_next(&replay, &out) == REPLAY_TEXT && memcmp(out.data, gap, out.size) == 0);
    replay_sent(&replay);
    CHECK(replay_next(&replay, &out) == REPLAY_NOTHING);
}

static void test_control_messages_have_a_bound(void)
{
    static const char flush[] = "{\"type\":\"flush\"}";
    char config[STREAMD_CONFIG_BYTES + 64];
    int taken = 0;

    reset();
    while (replay_control(&replay, slice_of(flush)))
        taken++;
    CHECK(taken == STREAMD_CONTROLS - 2);
    reset();
    (void)snprintf(config, sizeof config, "{\"type\":\"config\",\"modules\":{\"a\":\"%0*d\"}}",
                   STREAMD_CONFIG_BYTES - 40, 1);
    CHECK(replay_control(&replay, slice_of(config)));
    CHECK(!replay_control(&replay, slice_of(config))); /* both could be confirmed */
}

static void test_packets_are_sent_again_whole(void)
{
    uint8_t packet[90];
    struct outgoing out;

    reset();
    for (int i = 0; i < 8; i++) {
        memset(packet, i, sizeof packet);
        replay_packet(&replay, packet, sizeof packet, 320);
    }
    for (int i = 0; i < 8; i++) {
        CHECK(replay_next(&replay, &out) == REPLAY_AUDIO);
        replay_sent(&replay);
    }
    replay_acked(&replay, 2 * 320);
    CHECK(replay_resume(&replay, 5 * 320, 0) == 0);
    CHECK(replay_next(&replay, &out) == REPLAY_AUDIO && out.size == sizeof packet);
    CHECK(((const uint8_t *)out.data)[0] == 5 && replay.start == 5 * 320);
}

int main(void)
{
    test_what_a_drop_loses_is_sent_again_once_and_in_its_place();
    test_an_overflow_is_named_and_all_else_is_in_its_place();
    test_a_new_session_begins_with_what_is_kept();
    test_a_new_session_begins_behind_a_gap_that_nothing_stands_before();
    test_an_answered_enrolment_is_not_reported();
    test_a_gap_of_the_caller_that_comes_first_has_a_ping_before_it();
    test_control_messages_have_a_bound();
    test_packets_are_sent_again_whole();
    return 0;
}
