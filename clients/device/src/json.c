/* Reads values of a text that `json_check` has accepted. */
#include "json.h"

#include <string.h>

/* Decodes the characters of a string, one after the other. */
struct decoder {
    const char *at;
    const char *end; /* at the closing quote */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_string(struct streamd_slice value)
{
    return value.at != NULL && value.size >= 2 && value.at[0] == '"';
}

bool json_is_object(struct streamd_slice value)
{
    return value.at != NULL && value.size >= 2 && value.at[0] == '{';
}

struct streamd_slice slice_of(const char *text)
{
    return (struct streamd_slice){text, text == NULL ? 0 : strlen(text)};
}

/* ---- Members ---- */

static size_t skip_space(struct streamd_slice text, size_t at)
{
    while (at < text.size && is_space(text.at[at]))
        at++;
    return at;
}

static size_t behind_string(struct streamd_slice text, size_t at)
{
    for (at++; at < text.size && text.at[at] != '"'; at++) {
        if (text.at[at] == '\\')
            at++;
    }
    return at < text.size ? at + 1 : text.size;
}

static size_t behind_value(struct streamd_slice text, size_t at)
{
    size_t depth = 0;

    while (at < text.size) {
        char c = text.at[at];
        if (c == '"') {
            at = behind_string(text, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (depth == 0 && (c == ',' || is_space(c))) {
            return at;
        } else {
            at++;
            continue; /* inside of a number or a word */
        }
        if (depth == 0)
            return at;
    }
    return at;
}

bool json_next(struct streamd_slice object, size_t *at, struct streamd_slice *name,
               struct streamd_slice *value)
{
    size_t from, to;

    if (!json_is_object(object))
        return false;
    from = skip_space(object, *at == 0 ? 1 : *at);
    if (from < object.size && object.at[from] == ',')
        from = skip_space(object, from + 1);
    if (from >= object.size || object.at[from] != '"')
        return false;
    to = behind_string(object, from);
    *name = (struct streamd_slice){object.at + from, to - from};
    from = skip_space(object, skip_space(object, to) + 1); /* behind the colon */
    if (from >= object.size)
        return false;
    to = behind_value(object, from);
    *value = (struct streamd_slice){object.at + from, to - from};
    *at = to;
    return true;
}

struct streamd_slice json_member(struct streamd_slice object, const char *name)
{
    struct streamd_slice found = {NULL, 0}, key, value;
    size_t at = 0;

    while (json_next(object, &at, &key, &value)) {
        if (json_is(key, name))
            found = value;
    }
    return found;
}

/* ---- Strings ---- */

static uint32_t hex4(const char *at)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        char c = at[i];
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static size_t as_utf8(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

/* The code point of an escape that begins with `\u`; half of a surrogate pair becomes U+FFFD. */
static uint32_t code_point(struct decoder *d)
{
    uint32_t point = hex4(d->at), second;

    d->at += 4;
    if (point < 0xD800 || point > 0xDFFF)
        return point;
    if (point > 0xDBFF || d->end - d->at < 6 || d->at[0] != '\\' || d->at[1] != 'u')
        return 0xFFFD;
    second = hex4(d->at + 2);
    if (second < 0xDC00 || second > 0xDFFF)
        return 0xFFFD;
    d->at += 6;
    return 0x10000 + ((point - 0xD800) << 10) + (second - 0xDC00);
}

/* Return the bytes of the next character, or 0 behind the last one. */
static size_t next_char(struct decoder *d, char out[4])
{
    static const char escapes[] = "b\bf\fn\nr\rt\t";
    size_t size = 1;

    if (d->at >= d->end)
        return 0;
    if (*d->at == '\\') {
        char c = d->at[1];
        d->at += 2;
        if (c == 'u')
            return as_utf8(code_point(d), out);
        for (size_t i = 0; i + 1 < sizeof escapes; i += 2) {
            if (c == escapes[i])
                c = escapes[i + 1];
        }
        out[0] = c;
        return 1;
    }
    out[0] = *d->at++;
    while (size < 4 && d->at < d->end && ((unsigned char)*d->at & 0xC0) == 0x80)
        out[size++] = *d->at++;
    return size;
}

static struct decoder decoder_of(struct streamd_slice value)
{
    return (struct decoder){value.at + 1, value.at + value.size - 1};
}

bool json_text(struct streamd_slice value, char *text, size_t size)
{
    struct decoder d;
    size_t used = 0, more;
    char c[4];

    if (size == 0)
        return false;
    text[0] = '\0';
    if (!is_string(value))
        return false;
    d = decoder_of(value);
    while ((more = next_char(&d, c)) > 0) {
        if (used + more >= size) {
            text[used] = '\0';
            return false;
        }
        memcpy(text + used, c, more);
        used += more;
    }
    text[used] = '\0';
    return true;
}

bool json_is(struct streamd_slice value, const char *text)
{
    struct decoder d;
    size_t size;
    char c[4];

    if (!is_string(value))
        return false;
    d = decoder_of(value);
    while ((size = next_char(&d, c)) > 0) {
        for (size_t i = 0; i < size; i++, text++) {
            if (*text == '\0' || *text != c[i])
                return false;
        }
    }
    return *text == '\0';
}

/* ---- Numbers ---- */

static bool is_number(struct streamd_slice value)
{
    return value.at != NULL && value.size > 0 &&
           (value.at[0] == '-' || (value.at[0] >= '0' && value.at[0] <= '9'));
}

bool json_integer(struct streamd_slice value, int64_t *integer)
{
    bool is_negative;
    uint64_t sum = 0;
    uint64_t limit;

    if (!is_number(value))
        return false;
    is_negative = value.at[0] == '-';
    limit = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    for (size_t i = is_negative; i < value.size; i++) {
        uint64_t digit;
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        digit = (uint64_t)(value.at[i] - '0');
        if (sum > (limit - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    if (is_negative)
        *integer = sum == 0 ? 0 : -(int64_t)(sum - 1) - 1;
    else
        *integer = (int64_t)sum;
    return true;
}

static double power_of_ten(double value, int exponent)
{
    double factor = 10.0;
    unsigned left = (unsigned)(exponent < 0 ? -exponent : exponent);

    for (; left > 0; left >>= 1, factor *= factor) {
        if (left & 1)
            value = exponent < 0 ? value / factor : value * factor;
    }
    return value;
}

bool json_number(struct streamd_slice value, double *number)
{
    uint64_t digits = 0;
    int scale = 0, exponent = 0;
    bool is_negative_exponent = false, is_behind_point = false;
    size_t i;

    if (!is_number(value))
        return false;
    for (i = value.at[0] == '-'; i < value.size; i++) {
        char c = value.at[i];
        if (c == '.') {
            is_behind_point = true;
        } else if (c < '0' || c > '9') {
            break;
        } else if (digits < UINT64_C(100000000000000000)) {
            digits = digits * 10 + (uint64_t)(c - '0');
            scale -= is_behind_point;
        } else {
            scale += !is_behind_point; /* more digits than a double has */
        }
    }
    if (i < value.size) { /* behind the `e` */
        i++;
        if (i < value.size && (value.at[i] == '-' || value.at[i] == '+'))
            is_negative_exponent = value.at[i++] == '-';
        for (; i < value.size; i++) {
            if (exponent < 10000)
                exponent = exponent * 10 + (value.at[i] - '0');
        }
    }
    scale += is_negative_exponent ? -exponent : exponent;
    if (scale > 400) /* beyond every double */
        scale = 400;
    if (scale < -400)
        scale = -400;
    *number = digits == 0 ? 0.0 : power_of_ten((double)digits, scale);
    if (value.at[0] == '-')
        *number = -*number;
    return true;
}

bool json_bool(struct streamd_slice value, bool *flag)
{
    if (value.at == NULL || (value.at[0] != 't' && value.at[0] != 'f'))
        return false;
    *flag = value.at[0] == 't';
    return true;
}
