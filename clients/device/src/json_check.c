/* Whether a text is JSON (RFC 8259). No recursion: the open brackets are bits of one word. */
#include "json.h"

struct reader {
    const unsigned char *at;
    const unsigned char *end;
};

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, unsigned char expected)
{
    if (r->at == r->end || *r->at != expected)
        return false;
    r->at++;
    return true;
}

static bool is_digit(const struct reader *r)
{
    return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

static bool take_digits(struct reader *r)
{
    if (!is_digit(r))
        return false;
    while (is_digit(r))
        r->at++;
    return true;
}

static bool take_number(struct reader *r)
{
    (void)take(r, '-');
    if (take(r, '0')) {
        if (is_digit(r))
            return false;
    } else if (!take_digits(r)) {
        return false;
    }
    if (take(r, '.') && !take_digits(r))
        return false;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            (void)take(r, '-');
        return take_digits(r);
    }
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(r, (unsigned char)*word))
            return false;
    }
    return true;
}

static bool is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool take_escape(struct reader *r)
{
    if (r->at == r->end)
        return false;
    switch (*r->at++) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return true;
    case 'u':
        if (r->end - r->at < 4)
            return false;
        for (int i = 0; i < 4; i++) {
            if (!is_hex(*r->at++))
                return false;
        }
        return true;
    default:
        return false;
    }
}

/* One character of two to four bytes: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool take_utf8(struct reader *r)
{
    unsigned char first = *r->at++;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    int more;

    if (first >= 0xC2 && first <= 0xDF) {
        more = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
        more = 2;
        if (first == 0xE0)
            low = 0xA0;
        if (first == 0xED)
            high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        more = 3;
        if (first == 0xF0)
            low = 0x90;
        if (first == 0xF4)
            high = 0x8F;
    } else {
        return false;
    }
    for (; more > 0; more--, low = 0x80, high = 0xBF) {
        if (r->at == r->end || *r->at < low || *r->at > high)
            return false;
        r->at++;
    }
    return true;
}

static bool take_string(struct reader *r)
{
    if (!take(r, '"'))
        return false;
    while (r->at < r->end) {
        if (*r->at == '"') {
            r->at++;
            return true;
        }
        if (*r->at < 0x20)
            return false;
        if (*r->at == '\\') {
            r->at++;
            if (!take_escape(r))
                return false;
        } else if (*r->at < 0x80) {
            r->at++;
        } else if (!take_utf8(r)) {
            return false;
        }
    }
    return false;
}

static bool take_scalar(struct reader *r)
{
    if (r->at == r->end)
        return false;
    switch (*r->at) {
    case '"':
        return take_string(r);
    case 't':
        return take_word(r, "true");
    case 'f':
        return take_word(r, "false");
    case 'n':
        return take_word(r, "null");
    default:
        return take_number(r);
    }
}

static bool take_name(struct reader *r)
{
    skip_space(r);
    if (!take_string(r))
        return false;
    skip_space(r);
    return take(r, ':');
}

/* Step behind a value and the brackets that end with it. */
static bool take_value(struct reader *r)
{
    uint32_t objects = 0; /* bit i: whether bracket i from the inside is of an object */
    int depth = 0;

    for (;;) {
        skip_space(r);
        if (take(r, '{') || take(r, '[')) {
            bool is_object = r->at[-1] == '{';
            if (depth == JSON_DEPTH)
                return false;
            depth++;
            objects = objects << 1 | (uint32_t)is_object;
            skip_space(r);
            if (!take(r, is_object ? '}' : ']')) {
                if (is_object && !take_name(r))
                    return false;
                continue;
            }
            depth--;
            objects >>= 1;
        } else if (!take_scalar(r)) {
            return false;
        }
        for (;;) { /* behind a value */
            if (depth == 0)
                return true;
            skip_space(r);
            if (take(r, ',')) {
                if ((objects & 1) && !take_name(r))
                    return false;
                break;
            }
            if (!take(r, (objects & 1) ? '}' : ']'))
                return false;
            depth--;
            objects >>= 1;
        }
    }
}

bool json_check(struct streamd_slice text)
{
    struct reader r = {(const unsigned char *)text.at, (const unsigned char *)text.at + text.size};

    if (text.at == NULL || !take_value(&r))
        return false;
    skip_space(&r);
    return r.at == r.end;
}
