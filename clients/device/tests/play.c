/* play: does what the lines of standard input say, and prints one event a line.
 *
 *   play URL HELLO AUDIO_FILE FRAME_BYTES [CA_FILE]
 *
 * HELLO is a JSON object of which `client`, `device`, `audio` and `modules` are used. A line is one of
 *
 *   {"audio": BYTES}    send the next bytes of the file
 *   {"lose": BYTES}     leave them out
 *   {"send": {…}}       send a control message
 *   {"packet": [BYTES, SAMPLES]}  send the next bytes of the file as one packet of a codec
 *
 * The key is in STREAMD_KEY. The end of standard input ends the program when the stream is over. */
#include "json.h"
#include "report.h"
#include "streamd_posix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct streamd stream;
static struct streamd_posix posix;
static char lines[65536];
static size_t lines_size;
static FILE *audio;
static size_t frame_bytes;

static void die(const char *why)
{
    (void)fprintf(stderr, "play: %s\n", why);
    exit(EXIT_WRONG_USE);
}

/* A JSON value as a text of its own. */
static char *text_of(struct streamd_slice value)
{
    char *text = malloc(value.size + 1);

    if (text == NULL)
        die("no memory");
    if (value.size > 0)
        memcpy(text, value.at, value.size);
    text[value.size] = '\0';
    return text;
}

static const char *string_of(struct streamd_slice value)
{
    char *text;

    if (value.at == NULL || value.at[0] != '"')
        return NULL;
    text = text_of(value);
    (void)json_text(value, text, value.size);
    return text;
}

static const char *object_of(struct streamd_slice value)
{
    return value.at == NULL || value.at[0] == 'n' ? NULL : text_of(value);
}

/* Bytes of a step that are still to be sent; a file is faster than a network. */
static size_t audio_left;

static void send_audio(void)
{
    uint8_t data[STREAMD_MESSAGE_BYTES];

    while (audio_left > 0 && streamd_has_room(&stream, sizeof data)) {
        size_t most = sizeof data / frame_bytes * frame_bytes;
        size_t size = audio_left < most ? audio_left : most;
        if (fread(data, 1, size, audio) != size)
            die("the file has no more audio");
        if (!streamd_audio(&stream, data, size))
            die("the audio was not taken");
        audio_left -= size;
    }
}

static void send_packet(struct streamd_slice packet)
{
    uint8_t data[STREAMD_MESSAGE_BYTES];
    unsigned long bytes, samples;
    char *end;

    bytes = strtoul(packet.at + 1, &end, 10);
    samples = strtoul(end + 1, NULL, 10);
    if (bytes > sizeof data || fread(data, 1, bytes, audio) != bytes ||
        !streamd_packet(&stream, data, bytes, (unsigned)samples))
        die("the packet was not taken");
}

/* Do a step. False: it has to wait for room. */
static bool take_line(struct streamd_slice line)
{
    struct streamd_slice value;
    int64_t bytes;

    if (!json_check(line))
        die("a line is no JSON");
    if (json_integer(json_member(line, "audio"), &bytes)) {
        audio_left = (size_t)bytes;
    } else if (json_integer(json_member(line, "lose"), &bytes)) {
        if (fseek(audio, (long)bytes, SEEK_CUR) != 0)
            die("the file cannot be skipped");
    } else if ((value = json_member(line, "packet")).at != NULL) {
        if (!streamd_has_room(&stream, STREAMD_MESSAGE_BYTES))
            return false;
        send_packet(value);
    } else if ((value = json_member(line, "send")).at != NULL) {
        char *message = text_of(value);
        bool is_taken = streamd_control(&stream, message);
        free(message);
        return is_taken;
    } else {
        die("a line has no step that this program knows");
    }
    return true;
}

static void take_lines(void)
{
    char *end;

    send_audio();
    while (audio_left == 0 && !streamd_is_over(&stream) &&
           (end = memchr(lines, '\n', lines_size)) != NULL) {
        size_t size = (size_t)(end - lines);
        if (!take_line((struct streamd_slice){lines, size}))
            return;
        lines_size -= size + 1;
        memmove(lines, end + 1, lines_size);
        send_audio();
    }
}

int main(int argc, char **argv)
{
    struct report report = {.stream = &stream, .exit_code = EXIT_REFUSED, .is_patient = false};
    struct streamd_platform platform = streamd_posix_platform(&posix);
    struct streamd_slice hello;
    struct streamd_options options = {.on_event = report_event,
                                      .on_status = report_status,
                                      .context = &report,
                                      .give_up_ms = 300000};
    bool is_open = true;

    if (argc < 5)
        die("URL HELLO AUDIO_FILE FRAME_BYTES [CA_FILE]");
    (void)signal(SIGPIPE, SIG_IGN);
    hello = slice_of(argv[2]);
    if (!json_check(hello))
        die("HELLO is no JSON");
    audio = fopen(argv[3], "rb");
    frame_bytes = (size_t)atoi(argv[4]);
    options.url = argv[1];
    options.key = getenv("STREAMD_KEY");
    options.client = string_of(json_member(hello, "client"));
    options.device = string_of(json_member(hello, "device"));
    options.audio = object_of(json_member(hello, "audio"));
    options.modules = object_of(json_member(hello, "modules"));
    options.frame_bytes = frame_bytes;
    if (audio == NULL || frame_bytes == 0)
        die("no audio");
    if (!streamd_posix_init(&posix, &stream, argc > 5 ? argv[5] : NULL) ||
        !streamd_init(&stream, &platform, &options))
        die("an option is too long, or no JSON");
    while (!streamd_is_over(&stream)) {
        bool has_room = is_open && lines_size < sizeof lines;
        if (streamd_posix_wait(&posix, has_room ? STDIN_FILENO : -1, streamd_poll(&stream))) {
            ssize_t count = read(STDIN_FILENO, lines + lines_size, sizeof lines - lines_size);
            is_open = count > 0;
            lines_size += is_open ? (size_t)count : 0;
        }
        take_lines();
    }
    streamd_posix_free(&posix);
    return report.exit_code;
}
