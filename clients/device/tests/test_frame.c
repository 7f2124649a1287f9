/* WebSocket frames, and the handshake before them. */
#include "check.h"
#include "frame.h"
#include "upgrade.h"

#include <string.h>

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static void test_a_frame_is_that_of_the_rfc(void)
{
    static const uint8_t expected[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                       0x7f, 0x9f, 0x4d, 0x51, 0x58};
    static uint8_t data[70000], frame[70000 + FRAME_HEADER];

    CHECK(frame_write(frame, OPCODE_TEXT, "Hello", 5, mask) == sizeof expected);
    CHECK(memcmp(frame, expected, sizeof expected) == 0);
    CHECK(frame_write(frame, OPCODE_BINARY, data, 126, mask) == 126 + 8);
    CHECK(frame[1] == (0x80 | 126) && frame[2] == 0 && frame[3] == 126);
    CHECK(frame_write(frame, OPCODE_BINARY, data, 70000, mask) == 70000 + 14);
    CHECK(frame[1] == (0x80 | 127) && frame[7] == 0x01 && frame[8] == 0x11 && frame[9] == 0x70);
}

/* A message in three frames, with a ping in between, then a close. */
static const uint8_t talk[] = {0x01, 0x03, 'o', 'n', 'e', 0x89, 0x02, 'h', 'i', 0x00, 0x00, 0x80,
                               0x03, 't', 'w', 'o', 0x81, 0x00, 0x88, 0x06, 0x0f, 0xa9, 'g', 'o',
                               'n', 'e'};

static void test_frames_are_read_whole_whatever_the_pieces(void)
{
    for (size_t piece = 1; piece <= sizeof talk; piece++) {
        struct frame_reader reader = {{0}, 0, false, 0, {0}, 0, false, OPCODE_TEXT};
        char text[32];
        size_t size = 0, messages = 0, pings = 0, closes = 0;

        for (size_t at = 0; at < sizeof talk; at += piece) {
            size_t end = at + piece < sizeof talk ? at + piece : sizeof talk;
            size_t from = at;
            while (from < end) {
                struct frame_part part;
                from += frame_read(&reader, talk + from, end - from, &part);
                CHECK(part.kind != FRAME_BAD);
                if (part.kind == FRAME_TEXT) {
                    memcpy(text + size, part.data, part.size);
                    size += part.size;
                    messages += part.is_last;
                }
                pings += part.kind == FRAME_PING && memcmp(part.data, "hi", 2) == 0;
                closes += part.kind == FRAME_CLOSE && part.size == 6;
            }
        }
        CHECK(size == 6 && memcmp(text, "onetwo", 6) == 0);
        CHECK(messages == 2 && pings == 1 && closes == 1);
    }
}

static void test_what_is_no_frame_of_a_server_is_refused(void)
{
    static const uint8_t bad[][12] = {
        {0xC1, 0x00},                         /* an extension */
        {0x83, 0x00},                         /* an unknown type */
        {0x81, 0x85},                         /* masked */
        {0x80, 0x00},                         /* continues nothing */
        {0x09, 0x00},                         /* a control frame in parts */
        {0x89, 0x7E, 0x00, 0x7E},             /* a control frame that is too long */
        {0x81, 0x7E, 0x00, 0x05},             /* not the shortest form */
        {0x81, 0x7F, 0x80, 0, 0, 0, 0, 0, 0}, /* longer than any */
        {0x88, 0x01, 0x03},                   /* half a code */
        {0x01, 0x00, 0x81, 0x00},             /* a message inside of a message */
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct frame_reader reader = {{0}, 0, false, 0, {0}, 0, false, OPCODE_TEXT};
        struct frame_part part = {FRAME_NONE, NULL, 0, false};
        for (size_t at = 0; at < sizeof bad[i] && part.kind != FRAME_BAD;)
            at += frame_read(&reader, bad[i] + at, sizeof bad[i] - at, &part);
        CHECK(part.kind == FRAME_BAD);
    }
}

static void test_urls(void)
{
    static const char *const bad[] = {"http://a", "ws://", "ws://:80", "ws://a:", "ws://a:x",
                                      "ws://a:123456", "ws://[::1", "ws://[::1]x", "ws://a /",
                                      "ws://a/\r\n", "ws://a/#b", "", "wss:/a"};
    struct url url;

    CHECK(url_read(&url, "ws://127.0.0.1:8765/v1/stream") && !url.is_tls);
    CHECK(!strcmp(url.host, "127.0.0.1") && !strcmp(url.port, "8765"));
    CHECK(!strcmp(url.path, "/v1/stream"));
    CHECK(url_read(&url, "wss://[::1]/v1/stream?a=b") && url.is_tls);
    CHECK(!strcmp(url.host, "::1") && !strcmp(url.port, "443"));
    CHECK(url_read(&url, "ws://host") && !strcmp(url.port, "80") && !strcmp(url.path, ""));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!url_read(&url, bad[i]));
}

static void test_the_answer_to_the_request_is_checked(void)
{
    static const char key[UPGRADE_KEY] = "dGhlIHNhbXBsZSBub25jZQ=="; /* of the RFC */
    static const char good[] = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                               "sec-websocket-ACCEPT:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n";
    static const char wrong[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n";
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n"
                               "Content-Length: 2\r\n\r\n{}";
    struct upgrade_answer answer;
    char made[UPGRADE_KEY];

    for (size_t size = 0; size < sizeof good - 1; size++)
        CHECK(!upgrade_read(&answer, good, size, key));
    CHECK(upgrade_read(&answer, good, sizeof good - 1, key) && answer.status == 101);
    CHECK(upgrade_read(&answer, wrong, sizeof wrong - 1, key) && answer.status == 0);
    CHECK(upgrade_read(&answer, full, sizeof full - 1, key) && answer.status == 503);
    CHECK(answer.retry_after_ms == 7000 && answer.body_size == 2);
    CHECK(answer.head_size == sizeof full - 3);
    CHECK(upgrade_read(&answer, "\r\n\r\n", 4, key) && answer.status == 0);
    CHECK(upgrade_read(&answer, "HTTP/1.1 abc\r\n\r\n", 16, key) && answer.status == 0);
    upgrade_key(made, (const uint8_t *)"the sample nonce");
    CHECK(strcmp(made, key) == 0);
}

int main(void)
{
    test_a_frame_is_that_of_the_rfc();
    test_frames_are_read_whole_whatever_the_pieces();
    test_what_is_no_frame_of_a_server_is_refused();
    test_urls();
    test_the_answer_to_the_request_is_checked();
    return 0;
}
