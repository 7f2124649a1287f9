/* streamd-send: stream raw audio from a file or from standard input, and print one event a line. */
#include "opus_encoder.h"
#include "report.h"
#include "streamd_feed.h"
#include "streamd_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 1280u /* bytes of one read: 40 ms of 16 kHz */
#define OPUS_BITS_PER_S 24000

static const char usage[] =
    "usage: streamd-send [options] [FILE]\n"
    "\n"
    "Streams raw s16le, 16 kHz, mono, from FILE or from standard input. Prints one event a line.\n"
    "\n"
    "  --url URL        server (ws://127.0.0.1:8765/v1/stream)\n"
    "  --key-file FILE  file with the API key; without it, STREAMD_KEY of the environment\n"
    "  --ca FILE        authorities to trust for wss://, in PEM\n"
    "  --device NAME    name of this device, for the server's log\n"
    "  --audio JSON     `audio` of the hello, if it is not 16 kHz s16le mono\n"
    "  --frame-bytes N  bytes of a sample frame of that audio (2)\n"
    "  --modules JSON   `modules` of the hello\n"
    "  --gate DBFS      send nothing below this level, as -45\n"
    "  --opus           encode with Opus\n"
    "  --live           never wait for the server: drop the oldest audio instead\n"
    "  --patient        wait for a server that does not answer yet\n"
    "  --silence-ms N   silence after which the connection counts as broken (20000)\n"
    "  --give-up-ms N   time without a connection after which to give up (300000)\n"
    "\n"
    "Exit codes: 0 done, 1 refused by the server, 2 wrong use, 3 no server, 4 no input.\n";

static struct streamd stream;
static struct streamd_posix posix;
static struct streamd_feed feed;
static char key_text[256];

struct arguments {
    struct streamd_options options;
    struct streamd_feed_options feed;
    const char *ca, *file;
    bool is_live, is_patient, has_opus;
};

static void complain(const char *what, const char *which)
{
    (void)fprintf(stderr, "streamd-send: %s%s\n", what, which);
}

static bool read_key(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, key_text, sizeof key_text - 1);

    if (fd >= 0)
        (void)close(fd);
    if (size < 0)
        return false;
    key_text[size] = '\0';
    return true;
}

/* A key without the end of its line. False: no header can carry it. */
static bool check_key(struct streamd_options *options)
{
    size_t size = strcspn(key_text, "\r\n");

    key_text[size] = '\0';
    for (size_t i = 0; i < size; i++) {
        if (key_text[i] < '!' || key_text[i] > '~')
            return false;
    }
    options->key = size > 0 ? key_text : NULL;
    return true;
}

static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);

    return *text == '\0' || *end != '\0' ? -1000000000L : value;
}

/* Take an option and its value. Returns the arguments that it used; 0: it is wrong. */
static int take(struct arguments *a, const char *name, const char *value)
{
    long n = value == NULL ? -1000000000L : number(value);

    if (strcmp(name, "--live") == 0)
        return a->is_live = true, 1;
    if (strcmp(name, "--patient") == 0)
        return a->is_patient = true, 1;
    if (strcmp(name, "--opus") == 0)
        return a->has_opus = true, 1;
    if (value == NULL)
        return 0;
    if (strcmp(name, "--url") == 0)
        return a->options.url = value, 2;
    if (strcmp(name, "--key-file") == 0)
        return read_key(value) ? 2 : 0;
    if (strcmp(name, "--ca") == 0)
        return a->ca = value, 2;
    if (strcmp(name, "--device") == 0)
        return a->options.device = value, 2;
    if (strcmp(name, "--audio") == 0)
        return a->options.audio = value, 2;
    if (strcmp(name, "--modules") == 0)
        return a->options.modules = value, 2;
    if (strcmp(name, "--frame-bytes") == 0 && n > 0 && n <= 32)
        return a->options.frame_bytes = (size_t)n, 2;
    if (strcmp(name, "--gate") == 0 && n < 0 && n >= -90)
        return a->feed.gate.open_dbfs = (int)n, 2;
    if (strcmp(name, "--silence-ms") == 0 && n > 0)
        return a->options.silence_ms = (uint32_t)n, 2;
    if (strcmp(name, "--give-up-ms") == 0 && n > 0)
        return a->options.give_up_ms = (uint32_t)n, 2;
    return 0;
}

static bool parse(struct arguments *a, int argc, char **argv)
{
    const char *key = getenv("STREAMD_KEY");

    if (key != NULL)
        (void)snprintf(key_text, sizeof key_text, "%s", key);
    for (int i = 1; i < argc;) {
        int used = argv[i][0] == '-' ? take(a, argv[i], argv[i + 1]) : 0;
        if (argv[i][0] != '-' && a->file == NULL)
            a->file = argv[i], used = 1;
        if (used == 0) {
            complain("wrong argument: ", argv[i]);
            return false;
        }
        i += used;
    }
    if (a->has_opus && a->options.audio != NULL) {
        complain("--opus says itself what the audio is: leave out --audio", "");
        return false;
    }
    if ((a->has_opus || a->feed.gate.open_dbfs != 0) && a->options.frame_bytes != 2) {
        complain("--opus and --gate take s16le, mono: leave out --frame-bytes", "");
        return false;
    }
    if (!check_key(&a->options)) {
        complain("the API key has characters that no key has; copy it again", "");
        return false;
    }
    return true;
}

/* Whether others on the network can read what is sent to a URL. */
static bool is_readable_on_the_way(const char *text)
{
    struct url url;

    return url_read(&url, text) && !url.is_tls && strcmp(url.host, "localhost") != 0 &&
           strcmp(url.host, "127.0.0.1") != 0 && strcmp(url.host, "::1") != 0;
}

/* ---- Streaming ---- */

static uint8_t chunk[CHUNK];
static size_t chunk_size; /* bytes of a sample frame that is not whole */

/* Read once and pass it on. Returns false at the end of the input. */
static bool read_audio(int fd, const struct arguments *a)
{
    ssize_t count = read(fd, chunk + chunk_size, sizeof chunk - chunk_size);
    size_t frame = a->options.frame_bytes, whole;
    bool has_feed = a->has_opus || a->feed.gate.open_dbfs != 0;

    if (count < 0)
        return errno == EINTR || errno == EAGAIN;
    if (count == 0)
        return false;
    chunk_size += (size_t)count;
    whole = chunk_size / frame * frame;
    if (has_feed) {
        int16_t samples[CHUNK / sizeof(int16_t)];
        memcpy(samples, chunk, whole);
        (void)streamd_feed(&feed, samples, whole / sizeof *samples);
    } else {
        (void)streamd_audio(&stream, chunk, whole);
    }
    chunk_size -= whole;
    memmove(chunk, chunk + whole, chunk_size);
    return true;
}

static void run(int fd, const struct arguments *a)
{
    bool is_reading = true, is_ended = false;

    while (!streamd_is_over(&stream)) {
        uint32_t wait = streamd_poll(&stream);
        bool has_room = a->is_live || streamd_has_room(&stream, STREAMD_MESSAGE_BYTES);
        bool wants = is_reading && has_room;
        if (streamd_posix_wait(&posix, wants ? fd : -1, wait))
            is_reading = read_audio(fd, a);
        if (!is_reading && !is_ended) /* it waits for room, too */
            is_ended = streamd_feed_end(&feed);
    }
    if (chunk_size > 0)
        complain("the audio ends in the middle of a sample frame", "");
}

int main(int argc, char **argv)
{
    struct report report = {.stream = &stream, .exit_code = EXIT_REFUSED};
    struct streamd_platform platform = streamd_posix_platform(&posix);
    struct arguments a = {
        .options = {.url = "ws://127.0.0.1:8765/v1/stream",
                    .client = "streamd-send",
                    .frame_bytes = 2,
                    .on_event = report_event,
                    .on_status = report_status,
                    .context = &report,
                    .give_up_ms = 300000},
    };
    int fd = STDIN_FILENO;

    if (!parse(&a, argc, argv)) {
        (void)fputs(usage, stderr);
        return EXIT_WRONG_USE;
    }
    if (a.has_opus) {
        a.feed.encoder = opus_encoder(16000, OPUS_BITS_PER_S);
        a.options.audio = "{\"codec\":\"opus\",\"rate\":16000,\"channels\":1}";
        if (a.feed.encoder.context == NULL) {
            complain("built without Opus: build with `make OPUS=1`", "");
            return EXIT_WRONG_USE;
        }
    }
    if (a.file != NULL && (fd = open(a.file, O_RDONLY | O_CLOEXEC)) < 0) {
        complain("cannot read ", a.file);
        return EXIT_NO_INPUT;
    }
    if (a.options.key != NULL && is_readable_on_the_way(a.options.url))
        complain("warning: the network can read the API key, as there is no TLS; use wss://", "");
    (void)signal(SIGPIPE, SIG_IGN);
    report.is_patient = a.is_patient;
    if (!streamd_posix_init(&posix, &stream, a.ca) ||
        !streamd_init(&stream, &platform, &a.options) ||
        !streamd_feed_init(&feed, &stream, &a.feed)) {
        complain("an option is too long, out of range, or no JSON", "");
        return EXIT_WRONG_USE;
    }
    run(fd, &a);
    streamd_posix_free(&posix);
    opus_encoder_free(&a.feed.encoder);
    return report.exit_code;
}
