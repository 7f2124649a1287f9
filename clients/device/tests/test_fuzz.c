/* Mutated input for the three parsers and for the stream behind them: nothing may crash, read beyond
 * its input, or loop. Run it with the sanitizers. The argument is the number of rounds. */
#include "check.h"
#include "event.h"
#include "frame.h"
#include "json.h"
#include "streamd.h"
#include "upgrade.h"

#include <string.h>

#define MOST 600u

static const char *const seeds[] = {
    "{\"type\":\"ready\",\"protocol\":1,\"session\":\"s_1\",\"resume\":{\"token\":\"r_1\"}}",
    "{\"type\":\"ready\",\"resumed\":true,\"have_samples\":320,\"have_controls\":1,"
    "\"resume\":{\"token\":\"r_2\",\"window_s\":60}}",
    "{\"type\":\"ack\",\"samples\":8000}",
    "{\"type\":\"wake\",\"seq\":2,\"t0\":256,\"t1\":704,\"at\":720,\"word\":\"al\\u0065xa\","
    "\"score\":0.9997,\"scores\":{\"a\":[1,2.5e-3,null,true]}}",
    "{\"type\":\"error\",\"seq\":3,\"code\":\"overloaded\",\"message\":\"\\ud83d\\ude42\","
    "\"fatal\":true,\"retry_after_ms\":9223372036854775807,\"url\":\"ws://b\"}",
    "{\"type\":\"enrolled\",\"seq\":4,\"id\":\"e1\"}",
    "{\"type\":\"bye\",\"seq\":5}",
    "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    "HTTP/1.1 503 Full\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}",
    "\x01\x03one\x89\x02hi\x80\x03two\x81\x04" "four\x88\x06\x0f\xa9gone",
};

static struct streamd stream;
static uint64_t now;
static struct chance chance;
static struct chance *const source = &chance;

static bool open_it(void *context, const char *url, const char *key)
{
    (void)context, (void)key;
    return strlen(url) < STREAMD_URL_BYTES;
}

static enum streamd_sent send_it(void *context, enum streamd_message kind, const void *data,
                                 size_t size)
{
    (void)context;
    if (kind == STREAMD_TEXT) /* the client never sends what is no JSON */
        CHECK(json_check((struct streamd_slice){data, size}));
    CHECK(size > 0);
    return (enum streamd_sent)(chance_below(source, 20) == 0 ? 1 + chance_below(source, 2) : 0);
}

static void close_it(void *context, bool is_clean)
{
    (void)context, (void)is_clean;
}

static uint64_t now_ms(void *context)
{
    (void)context;
    return now += chance_below(source, chance_below(source, 200) == 0 ? 30000 : 20);
}

static uint32_t random_number(void *context)
{
    (void)context;
    return chance_next(source);
}

static void on_event(void *context, const struct streamd_event *event)
{
    char text[16];
    double number;

    (void)context;
    (void)streamd_field_text(event, "word", text, sizeof text);
    (void)streamd_field_number(event, "score", &number);
    (void)streamd_member(streamd_field(event, "scores"), "a");
}

static size_t mutate(char *to)
{
    const char *seed = seeds[chance_below(source, sizeof seeds / sizeof seeds[0])];
    const char *other = seeds[chance_below(source, sizeof seeds / sizeof seeds[0])];
    size_t size = strlen(seed);

    memcpy(to, seed, size);
    for (uint32_t n = chance_below(source, 6); n > 0 && size > 0; n--) {
        size_t at = chance_below(source, (uint32_t)size);
        switch (chance_below(source, 6)) {
        case 0:
            to[at] = (char)chance_next(source);
            break;
        case 1:
            to[at] ^= (char)(1 << chance_below(source, 8));
            break;
        case 2:
            size = at;
            break;
        case 3: { /* twice */
            size_t more = size - at < MOST - size ? size - at : MOST - size;
            memmove(to + at + more, to + at, size - at);
            size += more;
            break;
        }
        case 4: { /* part of another */
            size_t more = strlen(other) < size - at ? strlen(other) : size - at;
            memcpy(to + at, other, more);
            break;
        }
        default:
            to[at] = "{}[]\",:\\0-9eE"[chance_below(source, 13)];
            break;
        }
    }
    return size;
}

static void fuzz_json(const char *text, size_t size)
{
    struct streamd_slice value = {text, size}, name;
    struct streamd_event event;
    char small[5];
    double number;
    int64_t integer;
    size_t at = 0;

    if (event_read(&event, text, size))
        on_event(NULL, &event);
    if (!json_check(value))
        return;
    while (json_next((struct streamd_slice){text, size}, &at, &name, &value)) {
        CHECK(value.at >= text && value.at + value.size <= text + size);
        CHECK(json_check(name) && json_check(value));
        (void)json_text(value, small, sizeof small);
        (void)json_number(value, &number);
        (void)json_integer(value, &integer);
    }
}

static void fuzz_frames(const char *text, size_t size)
{
    struct frame_reader reader = {{0}, 0, false, 0, {0}, 0, false, OPCODE_TEXT};
    struct frame_part part;
    size_t at = 0;

    while (at < size) {
        size_t piece = 1 + chance_below(source, (uint32_t)(size - at));
        size_t end = at + piece;
        while (at < end) {
            size_t taken = frame_read(&reader, (const uint8_t *)text + at, end - at, &part);
            CHECK(taken <= end - at && (taken > 0 || part.kind != FRAME_NONE));
            at += taken;
            if (part.kind == FRAME_BAD)
                return;
        }
    }
}

static void fuzz_answer(const char *text, size_t size)
{
    static const char key[UPGRADE_KEY] = "dGhlIHNhbXBsZSBub25jZQ==";
    struct upgrade_answer answer;
    struct url url;
    char terminated[MOST + 1];

    if (upgrade_read(&answer, text, size, key))
        CHECK(answer.head_size <= size);
    memcpy(terminated, text, size);
    terminated[size] = '\0';
    (void)url_read(&url, terminated);
}

static void fuzz_stream(const char *text, size_t size)
{
    static const uint8_t audio[3000];
    static const int codes[] = {0, 1000, 1001, 1011, 1012, 4004, 4008, 4010, 4012, 4013, 4014};
    static const struct streamd_platform platform = {NULL, open_it, send_it, close_it, now_ms,
                                                     random_number};
    static const struct streamd_options options = {.url = "ws://a", .on_event = on_event};

    if (streamd_is_over(&stream) || stream.platform == NULL)
        CHECK(streamd_init(&stream, &platform, &options));
    switch (chance_below(source, 9)) {
    case 0:
        (void)streamd_audio(&stream, audio, 2 * chance_below(source, 1500));
        break;
    case 1:
        (void)streamd_flush(&stream, "f");
        (void)streamd_config(&stream, "{\"wake\":{\"threshold\":0.5},\"vad\":{}}");
        break;
    case 2:
        (void)streamd_gap(&stream, chance_below(source, 5));
        (void)streamd_control(&stream, "{\"type\":\"enrol\",\"id\":\"e1\"}");
        break;
    case 3:
        streamd_opened(&stream);
        (void)streamd_poll(&stream);
        break;
    case 4:
        if (chance_below(source, 10) == 0)
            streamd_closed(&stream, codes[chance_below(source, 11)], text, size);
        break;
    case 5:
        if (chance_below(source, 10) == 0)
            streamd_refused(&stream, 503, chance_next(source), text, size);
        break;
    case 6:
        streamd_received(&stream, text, size, chance_below(source, 10) != 0);
        break;
    default:
        (void)streamd_poll(&stream);
        break;
    }
    CHECK(streamd_kept(&stream) <= STREAMD_RING_BYTES);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;

    chance = chance_of(1);
    for (unsigned long i = 0; i < rounds; i++) {
        char made[MOST];
        size_t size = mutate(made);
        char *text = malloc(size + (size == 0)); /* so that a sanitizer sees its end */
        CHECK(text != NULL);
        memcpy(text, made, size);
        fuzz_json(text, size);
        fuzz_frames(text, size);
        fuzz_answer(text, size);
        fuzz_stream(text, size);
        free(text);
    }
    return 0;
}
