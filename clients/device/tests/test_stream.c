/* The stream over a platform of this test: what it sends, and what it does when it is refused. */
#include "check.h"
#include "json.h"
#include "streamd.h"

#include <inttypes.h>
#include <string.h>

static struct streamd stream;

static struct {
    uint64_t now;
    uint32_t random;
    int opens, closes;
    char url[STREAMD_URL_BYTES];
    char sent[64][600];
    int sent_count;
    size_t binary;
    enum streamd_sent answer;
} net;

static struct {
    struct streamd_status last;
    char code[32], reason[160];
    int statuses, events;
    enum streamd_event_type event;
    int64_t seq;
} told;

static bool open_it(void *context, const char *url, const char *key)
{
    (void)context;
    CHECK(key == NULL || strcmp(key, "sk_1") == 0);
    (void)snprintf(net.url, sizeof net.url, "%s", url);
    net.opens++;
    return strcmp(url, "bad") != 0;
}

static enum streamd_sent send_it(void *context, enum streamd_message kind, const void *data,
                                 size_t size)
{
    (void)context;
    if (net.answer != STREAMD_SENT)
        return net.answer;
    if (kind == STREAMD_BINARY) {
        net.binary += size;
    } else if (net.sent_count < 64) {
        CHECK(size < sizeof net.sent[0]);
        memcpy(net.sent[net.sent_count], data, size);
        net.sent[net.sent_count++][size] = '\0';
    }
    return STREAMD_SENT;
}

static void close_it(void *context, bool is_clean)
{
    (void)context, (void)is_clean;
    net.closes++;
}

static uint64_t now_ms(void *context)
{
    (void)context;
    return net.now;
}

static uint32_t random_number(void *context)
{
    (void)context;
    return net.random;
}

static const struct streamd_platform platform = {NULL, open_it, send_it, close_it, now_ms,
                                                 random_number};

static void on_event(void *context, const struct streamd_event *event)
{
    (void)context;
    told.events++;
    told.event = event->type;
    told.seq = event->seq;
}

static void on_status(void *context, const struct streamd_status *status)
{
    (void)context;
    told.statuses++;
    told.last = *status;
    (void)snprintf(told.code, sizeof told.code, "%s", status->code);
    (void)snprintf(told.reason, sizeof told.reason, "%s", status->reason);
}

static void receive(const char *text)
{
    streamd_received(&stream, text, strlen(text), true);
}

static void begin(uint32_t give_up_ms)
{
    struct streamd_options options = {.url = "wss://host/v1/stream",
                                      .key = "sk_1",
                                      .client = "test/1",
                                      .device = "a \"b\"\n",
                                      .modules = "{\"vad\":{}}",
                                      .on_event = on_event,
                                      .on_status = on_status,
                                      .give_up_ms = give_up_ms};

    memset(&net, 0, sizeof net);
    memset(&told, 0, sizeof told);
    net.now = 1000000;
    CHECK(streamd_init(&stream, &platform, &options));
}

static void greet(const char *ready)
{
    (void)streamd_poll(&stream);
    streamd_opened(&stream);
    (void)streamd_poll(&stream);
    receive(ready);
}

#define READY "{\"type\":\"ready\",\"resume\":{\"token\":\"r_1\",\"window_s\":60}}"

static void go_online(void)
{
    begin(0);
    greet(READY);
    CHECK(told.last.type == STREAMD_ONLINE && told.event == STREAMD_READY);
}

/* Wait as long as the stream asks for. */
static void wait_for_retry(void)
{
    CHECK(told.last.type == STREAMD_DISCONNECTED);
    net.now += told.last.retry_ms;
    (void)streamd_poll(&stream);
}

static void test_hello_names_the_device_and_the_modules(void)
{
    go_online();
    CHECK(strcmp(net.sent[0], "{\"type\":\"hello\",\"client\":\"test/1\",\"device\":\"a \\\"b\\\""
                              "\\u000a\",\"modules\":{\"vad\":{}}}") == 0);
}

static void test_a_resume_shows_the_token_and_the_last_event(void)
{
    go_online();
    receive("{\"type\":\"flushed\",\"seq\":41}");
    receive("{\"type\":\"flushed\",\"seq\":41}");
    CHECK(told.events == 2 && told.seq == 41); /* `ready`, and the event once */
    streamd_closed(&stream, 0, "it broke", 8);
    CHECK(!strcmp(told.reason, "it broke") && told.last.retry_ms <= 500);
    wait_for_retry();
    streamd_opened(&stream);
    (void)streamd_poll(&stream);
    CHECK(strstr(net.sent[1], "\"resume\":{\"token\":\"r_1\",\"last_seq\":41}}") != NULL);
    receive("{\"type\":\"ready\",\"resumed\":true,\"have_samples\":0,\"have_controls\":0,"
            "\"resume\":{\"token\":\"r_2\"}}");
    CHECK(told.last.type == STREAMD_RESUMED && told.events == 2);
    receive("{\"type\":\"wake\",\"seq\":41}");
    CHECK(told.events == 2);
}

/* What the protocol asks of a client after each close. */
static void test_each_close_code_has_its_answer(void)
{
    enum { RESUMES, AFRESH, STOPS };
    static const struct {
        int code, next;
        uint32_t least_ms, most_ms;
    } cases[] = {
        {1001, AFRESH, 1000, 5000}, {1012, AFRESH, 1000, 5000}, {1009, STOPS, 0, 0},
        {1011, RESUMES, 0, 500},    {4000, STOPS, 0, 0},        {4001, STOPS, 0, 0},
        {4002, STOPS, 0, 0},        {4003, STOPS, 0, 0},        {4004, AFRESH, 0, 0},
        {4005, STOPS, 0, 0},        {4008, RESUMES, 0, 500},    {4009, STOPS, 0, 0},
        {4010, RESUMES, 0, 500},    {4011, AFRESH, 0, 500},     {4012, RESUMES, 2000, 5000},
        {4013, RESUMES, 0, 500},    {4014, RESUMES, 0, 500},    {1002, STOPS, 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint32_t random = 0; random < 20000; random += 1999) {
            go_online();
            net.random = random;
            streamd_closed(&stream, cases[i].code, "its_reason", 10);
            CHECK(!strcmp(told.code, "its_reason") && told.last.close_code == cases[i].code);
            if (cases[i].next == STOPS) {
                CHECK(told.last.type == STREAMD_OVER && told.last.result == STREAMD_REFUSED);
                CHECK(streamd_is_over(&stream) && !streamd_audio(&stream, "ab", 2));
                continue;
            }
            CHECK(told.last.retry_ms >= cases[i].least_ms);
            CHECK(told.last.retry_ms <= cases[i].most_ms);
            wait_for_retry();
            streamd_opened(&stream);
            (void)streamd_poll(&stream);
            CHECK((strstr(net.sent[1], "resume") != NULL) == (cases[i].next == RESUMES));
        }
    }
}

static void test_a_fatal_error_is_the_reason_and_comes_if_it_is_the_end(void)
{
    static const char error[] = "{\"type\":\"error\",\"seq\":3,\"fatal\":true,\"code\":\"%s\","
                                "\"message\":\"because\",\"retry_after_ms\":7000}";
    char text[200];

    go_online();
    (void)snprintf(text, sizeof text, error, "bad_config");
    receive(text);
    CHECK(told.events == 1);
    streamd_closed(&stream, 4002, "bad_config", 10);
    CHECK(told.event == STREAMD_ERROR && told.last.type == STREAMD_OVER);
    CHECK(!strcmp(told.reason, "because") && !strcmp(told.code, "bad_config"));
    go_online();
    (void)snprintf(text, sizeof text, error, "overloaded");
    receive(text);
    streamd_closed(&stream, 4013, "overloaded", 10);
    CHECK(told.events == 1 && told.last.retry_ms >= 7000);
}

static void test_a_fault_of_the_server_is_resumed_once(void)
{
    go_online();
    streamd_closed(&stream, 1011, "internal", 8);
    wait_for_retry();
    streamd_opened(&stream);
    (void)streamd_poll(&stream);
    receive(READY);
    streamd_closed(&stream, 1011, "internal", 8);
    CHECK(told.last.type == STREAMD_OVER && told.last.result == STREAMD_REFUSED);
}

static void test_another_server_is_followed_unless_tls_would_end(void)
{
    static const char elsewhere[] = "{\"type\":\"error\",\"fatal\":true,"
                                    "\"code\":\"resume_elsewhere\",\"url\":\"%s\"}";
    static const char *const urls[][2] = {{"wss://b/v1/stream", "wss://b/v1/stream"},
                                          {"ws://b/v1/stream", "wss://host/v1/stream"}};
    char text[200];

    for (size_t i = 0; i < 2; i++) {
        go_online();
        (void)snprintf(text, sizeof text, elsewhere, urls[i][0]);
        receive(text);
        streamd_closed(&stream, 4014, "resume_elsewhere", 16);
        wait_for_retry();
        CHECK(!strcmp(net.url, urls[i][1]));
    }
}

static void test_a_refused_upgrade_is_explained_or_tried_again(void)
{
    static const char denied[] = "{\"error\":{\"code\":\"unauthenticated\",\"message\":\"no key\"}}";

    begin(0);
    (void)streamd_poll(&stream);
    streamd_refused(&stream, 401, 0, denied, sizeof denied - 1);
    CHECK(told.last.result == STREAMD_REFUSED && told.last.http_status == 401);
    CHECK(!strcmp(told.code, "unauthenticated") && !strcmp(told.reason, "no key"));
    begin(0);
    (void)streamd_poll(&stream);
    streamd_refused(&stream, 503, 9000, "<html>", 6);
    CHECK(told.last.type == STREAMD_DISCONNECTED && told.last.retry_ms >= 9000);
    begin(0);
    (void)streamd_poll(&stream);
    streamd_refused(&stream, 404, 0, NULL, 0);
    CHECK(told.last.type == STREAMD_OVER && strstr(told.reason, "/v1/stream") != NULL);
}

static void test_waits_double_up_to_a_bound_and_end_when_told_to(void)
{
    begin(60000);
    net.random = 0xFFFFFFFF / 10001 * 10001 - 1; /* the longest wait of ten seconds */
    for (int i = 0; !streamd_is_over(&stream) && i < 100; i++) {
        (void)streamd_poll(&stream);
        streamd_closed(&stream, 0, "no route", 8);
        CHECK(told.last.retry_ms <= 10000);
        net.now += told.last.retry_ms + 1;
    }
    CHECK(told.last.result == STREAMD_LOST && net.now >= 1060000);
    begin(0);
    for (int i = 0; i < 1000; i++) {
        (void)streamd_poll(&stream);
        streamd_closed(&stream, 0, "no route", 8);
        net.now += told.last.retry_ms;
    }
    CHECK(!streamd_is_over(&stream));
}

static void test_a_silent_server_is_asked_and_then_left(void)
{
    begin(0);
    (void)streamd_poll(&stream);
    net.now += 10000;
    (void)streamd_poll(&stream);
    CHECK(net.closes == 1 && told.last.type == STREAMD_DISCONNECTED); /* it did not open */
    go_online();
    for (int i = 0; i < 11; i++, net.now += 1000)
        (void)streamd_poll(&stream);
    CHECK(net.sent_count == 2 && strstr(net.sent[1], "\"ping\"") != NULL);
    receive("{\"type\":\"pong\",\"t\":\"streamd-device\"}");
    CHECK(told.events == 1); /* `ready` alone */
    for (int i = 0; i < 19; i++, net.now += 1000)
        (void)streamd_poll(&stream);
    CHECK(told.last.type == STREAMD_ONLINE);
    for (int i = 0; i < 3; i++, net.now += 1000)
        (void)streamd_poll(&stream);
    CHECK(told.last.type == STREAMD_DISCONNECTED);
    go_online();
    net.now += 3600000; /* the device slept, and its messages wait */
    (void)streamd_poll(&stream);
    CHECK(told.last.type == STREAMD_ONLINE);
}

static void test_an_event_that_is_too_long_is_reported(void)
{
    static char text[STREAMD_EVENT_BYTES + 2];

    go_online();
    memset(text, ' ', sizeof text);
    streamd_received(&stream, text, sizeof text / 2, false);
    streamd_received(&stream, text, sizeof text / 2, false);
    receive("{}");
    CHECK(told.last.type == STREAMD_TOO_LONG && told.last.size == sizeof text + 2);
    receive("{\"type\":\"flushed\",\"seq\":1}");
    CHECK(told.event == STREAMD_FLUSHED);
}

static void test_what_the_network_does_not_take_waits(void)
{
    go_online();
    net.answer = STREAMD_LATER;
    CHECK(streamd_audio(&stream, "abcd", 4) && streamd_flush(&stream, "f1"));
    CHECK(streamd_poll(&stream) <= 10 && net.binary == 0);
    net.answer = STREAMD_SENT;
    CHECK(streamd_gap(&stream, 160) && streamd_end(&stream));
    (void)streamd_poll(&stream);
    CHECK(net.binary == 4 && net.sent_count == 4);
    CHECK(!strcmp(net.sent[1], "{\"type\":\"flush\",\"id\":\"f1\"}"));
    CHECK(!strcmp(net.sent[2], "{\"type\":\"gap\",\"samples\":160}"));
    CHECK(!strcmp(net.sent[3], "{\"type\":\"end\"}"));
    CHECK(!streamd_audio(&stream, "ab", 2) && !streamd_flush(&stream, NULL));
    receive("{\"type\":\"bye\",\"seq\":1}");
    streamd_closed(&stream, 0, "", 0);
    CHECK(told.last.type == STREAMD_OVER && told.last.result == STREAMD_DONE);
}

static void test_a_ring_shorter_than_an_acknowledgement_does_not_wait_for_it(void)
{
    static const uint8_t audio[STREAMD_RING_BYTES];

    begin(0);
    greet("{\"type\":\"ready\",\"audio\":{\"rate\":96000},\"resume\":{\"token\":\"r_1\"}}");
    CHECK(streamd_audio(&stream, audio, sizeof audio - STREAMD_MESSAGE_BYTES));
    CHECK(!streamd_has_room(&stream, STREAMD_MESSAGE_BYTES)); /* not sent yet */
    (void)streamd_poll(&stream);
    CHECK(streamd_has_room(&stream, STREAMD_MESSAGE_BYTES));
    begin(0); /* 32,000 samples of 16 kHz: an acknowledgement comes */
    greet("{\"type\":\"ready\",\"audio\":{\"rate\":16000},\"resume\":{\"token\":\"r_1\"}}");
    CHECK(streamd_audio(&stream, audio, sizeof audio - STREAMD_MESSAGE_BYTES));
    (void)streamd_poll(&stream);
    CHECK(!streamd_has_room(&stream, STREAMD_MESSAGE_BYTES));
}

static void test_a_server_that_had_too_many_messages_gets_them_slowly(void)
{
    go_online();
    streamd_closed(&stream, 4012, "rate_exceeded", 13);
    wait_for_retry();
    streamd_opened(&stream);
    (void)streamd_poll(&stream);
    receive(READY);
    for (int i = 0; i < 5; i++)
        CHECK(streamd_flush(&stream, NULL));
    net.now += 100;
    for (int i = 0; i < 50; i++, net.now++) {
        (void)streamd_poll(&stream);
        CHECK(net.sent_count <= 3 + i / 20);
    }
}

static void test_wrong_options_are_refused(void)
{
    struct streamd_options options = {.url = "ws://a", .modules = "{\"vad\":{}"};
    char url[STREAMD_URL_BYTES + 1];

    CHECK(!streamd_init(&stream, &platform, &options));
    memset(url, 'a', sizeof url - 1);
    url[sizeof url - 1] = '\0';
    options = (struct streamd_options){.url = url};
    CHECK(!streamd_init(&stream, &platform, &options));
    options = (struct streamd_options){.url = "bad", .on_status = on_status};
    CHECK(streamd_init(&stream, &platform, &options));
    (void)streamd_poll(&stream);
    CHECK(told.last.type == STREAMD_DISCONNECTED);
    CHECK(!streamd_audio(&stream, "abc", 3)); /* half a sample frame */
    CHECK(!streamd_control(&stream, "[1]") && !streamd_control(&stream, "{"));
    streamd_close(&stream);
    CHECK(told.last.result == STREAMD_CLOSED && streamd_poll(&stream) == UINT32_MAX);
}

int main(void)
{
    test_hello_names_the_device_and_the_modules();
    test_a_resume_shows_the_token_and_the_last_event();
    test_each_close_code_has_its_answer();
    test_a_fatal_error_is_the_reason_and_comes_if_it_is_the_end();
    test_a_fault_of_the_server_is_resumed_once();
    test_another_server_is_followed_unless_tls_would_end();
    test_a_refused_upgrade_is_explained_or_tried_again();
    test_waits_double_up_to_a_bound_and_end_when_told_to();
    test_a_silent_server_is_asked_and_then_left();
    test_an_event_that_is_too_long_is_reported();
    test_what_the_network_does_not_take_waits();
    test_a_ring_shorter_than_an_acknowledgement_does_not_wait_for_it();
    test_a_server_that_had_too_many_messages_gets_them_slowly();
    test_wrong_options_are_refused();
    return 0;
}
