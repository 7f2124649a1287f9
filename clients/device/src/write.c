/* JSON that the client writes. */
#include "write.h"

#include <string.h>

struct writer {
    char *to;
    size_t size;
    size_t used;
    bool is_full; /* something did not fit */
};

static void write_bytes(struct writer *w, const char *text, size_t size)
{
    if (size > w->size - w->used) {
        w->is_full = true;
        return;
    }
    memcpy(w->to + w->used, text, size);
    w->used += size;
}

static void write_text(struct writer *w, const char *text)
{
    write_bytes(w, text, strlen(text));
}

static void write_quoted(struct writer *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";

    write_text(w, "\"");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            write_text(w, "\\");
            write_bytes(w, text, 1);
        } else if (c < 0x20) {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            write_bytes(w, escape, sizeof escape);
        } else {
            write_bytes(w, text, 1);
        }
    }
    write_text(w, "\"");
}

static void write_number(struct writer *w, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    write_bytes(w, digits + at, sizeof digits - at);
}

static size_t written(const struct writer *w)
{
    return w->is_full ? 0 : w->used;
}

size_t hello_write(char *to, size_t size, const struct streamd_options *options, const char *token,
                   int64_t last_seq)
{
    struct writer w = {to, size, 0, false};

    write_text(&w, "{\"type\":\"hello\"");
    if (options->client != NULL) {
        write_text(&w, ",\"client\":");
        write_quoted(&w, options->client);
    }
    if (options->device != NULL) {
        write_text(&w, ",\"device\":");
        write_quoted(&w, options->device);
    }
    if (options->audio != NULL) {
        write_text(&w, ",\"audio\":");
        write_text(&w, options->audio);
    }
    if (options->modules != NULL) {
        write_text(&w, ",\"modules\":");
        write_text(&w, options->modules);
    }
    if (token[0] != '\0') {
        write_text(&w, ",\"resume\":{\"token\":");
        write_quoted(&w, token);
        write_text(&w, ",\"last_seq\":");
        write_number(&w, (uint64_t)last_seq);
        write_text(&w, "}");
    }
    write_text(&w, "}");
    return written(&w);
}

size_t flush_write(char *to, size_t size, const char *id)
{
    struct writer w = {to, size, 0, false};

    write_text(&w, "{\"type\":\"flush\"");
    if (id != NULL) {
        write_text(&w, ",\"id\":");
        write_quoted(&w, id);
    }
    write_text(&w, "}");
    return written(&w);
}

size_t config_write(char *to, size_t size, const char *modules)
{
    struct writer w = {to, size, 0, false};

    write_text(&w, "{\"type\":\"config\",\"modules\":");
    write_text(&w, modules);
    write_text(&w, "}");
    return written(&w);
}

size_t gap_write(char *to, size_t size, uint64_t samples)
{
    struct writer w = {to, size, 0, false};

    write_text(&w, "{\"type\":\"gap\",\"samples\":");
    write_number(&w, samples);
    write_text(&w, "}");
    return written(&w);
}
