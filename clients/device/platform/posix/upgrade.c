/* The HTTP request that opens a WebSocket, and the answer to it (RFC 6455, section 4). */
#include "upgrade.h"

#include "sha1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool url_read(struct url *url, const char *text)
{
    const char *host, *host_end, *port = NULL, *end;

    url->is_tls = strncmp(text, "wss://", 6) == 0;
    if (!url->is_tls && strncmp(text, "ws://", 5) != 0)
        return false;
    host = text + (url->is_tls ? 6 : 5);
    end = host + strcspn(host, "/?#");
    if (*host == '[') {
        host_end = memchr(host, ']', (size_t)(end - host));
        if (host_end == NULL)
            return false;
        host++;
        if (host_end[1] == ':')
            port = host_end + 2;
        else if (host_end + 1 != end)
            return false;
    } else {
        host_end = memchr(host, ':', (size_t)(end - host));
        if (host_end == NULL)
            host_end = end;
        else
            port = host_end + 1;
    }
    if (host_end == host || (size_t)(host_end - host) >= sizeof url->host)
        return false;
    memcpy(url->host, host, (size_t)(host_end - host));
    url->host[host_end - host] = '\0';
    if (port == NULL) {
        strcpy(url->port, url->is_tls ? "443" : "80");
    } else {
        size_t size = (size_t)(end - port);
        if (size == 0 || size >= sizeof url->port || strspn(port, "0123456789") < size)
            return false;
        memcpy(url->port, port, size);
        url->port[size] = '\0';
    }
    url->path = end;
    return url->host[strcspn(url->host, " \r\n")] == '\0' && end[strcspn(end, " \r\n#")] == '\0';
}

static void base64(char *to, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t kept = size - i < 3 ? size - i : 3;
        uint32_t word = (uint32_t)data[i] << 16;
        if (kept > 1)
            word |= (uint32_t)data[i + 1] << 8;
        if (kept > 2)
            word |= data[i + 2];
        for (size_t j = 0; j < 4; j++)
            *to++ = j <= kept ? digits[word >> (18 - 6 * j) & 63] : '=';
    }
    *to = '\0';
}

void upgrade_key(char key[UPGRADE_KEY], const uint8_t random[16])
{
    base64(key, random, 16);
}

size_t upgrade_request(char *to, size_t size, const struct url *url, const char key[UPGRADE_KEY],
                       const char *api_key)
{
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    bool is_bare = *url->path != '/';
    int used = snprintf(to, size,
                        "GET %s%s HTTP/1.1\r\n"
                        "Host: %s%s%s:%s\r\n"
                        "Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: streamd.v1\r\n"
                        "Sec-WebSocket-Key: %s\r\n"
                        "%s%s%s\r\n",
                        is_bare ? "/" : "", url->path, is_ipv6 ? "[" : "", url->host,
                        is_ipv6 ? "]" : "", url->port, key,
                        api_key == NULL ? "" : "Authorization: Bearer ",
                        api_key == NULL ? "" : api_key, api_key == NULL ? "" : "\r\n");

    return used > 0 && (size_t)used < size ? (size_t)used : 0;
}

/* Return the value of a header line, or NULL; `end` is behind its last character. */
static const char *header(const char *line, const char *line_end, const char *name,
                          const char **end)
{
    size_t size = strlen(name);

    if ((size_t)(line_end - line) <= size || strncasecmp(line, name, size) != 0 ||
        line[size] != ':')
        return NULL;
    line += size + 1;
    while (line < line_end && (*line == ' ' || *line == '\t'))
        line++;
    while (line_end > line && (line_end[-1] == ' ' || line_end[-1] == '\t'))
        line_end--;
    *end = line_end;
    return line;
}

/* A decimal number of at most nine digits; -1: it is none. */
static long decimal(const char *from, const char *end)
{
    long number = 0;

    if (from == end || end - from > 9)
        return -1;
    for (; from < end; from++) {
        if (*from < '0' || *from > '9')
            return -1;
        number = number * 10 + (*from - '0');
    }
    return number;
}

static const char *find(const char *data, size_t size, const char *wanted)
{
    size_t length = strlen(wanted);

    for (size_t i = 0; i + length <= size; i++) {
        if (memcmp(data + i, wanted, length) == 0)
            return data + i;
    }
    return NULL;
}

bool upgrade_read(struct upgrade_answer *answer, const char *data, size_t size,
                  const char key[UPGRADE_KEY])
{
    const char *head_end = find(data, size, "\r\n\r\n"), *line, *end, *value;
    char expected[29];
    uint8_t digest[20];
    bool is_accepted = false;

    if (head_end == NULL)
        return false;
    *answer = (struct upgrade_answer){0, 0, (size_t)(head_end - data) + 4, SIZE_MAX};
    if (size < 13 || memcmp(data, "HTTP/1.", 7) != 0)
        return true;
    answer->status = (int)decimal(data + 9, data + 12);
    sha1_of_two(digest, key, GUID);
    base64(expected, digest, sizeof digest);
    for (line = find(data, size, "\r\n") + 2; line < head_end + 2;
         line = find(line, (size_t)(head_end + 2 - line), "\r\n") + 2) {
        const char *line_end = find(line, (size_t)(head_end + 2 - line), "\r\n");
        long number;
        if ((value = header(line, line_end, "Sec-WebSocket-Accept", &end)) != NULL) {
            is_accepted = (size_t)(end - value) == strlen(expected) &&
                          memcmp(value, expected, strlen(expected)) == 0;
        } else if ((value = header(line, line_end, "Retry-After", &end)) != NULL) {
            number = decimal(value, end);
            if (number > 0 && number < 1000000)
                answer->retry_after_ms = (uint32_t)number * 1000;
        } else if ((value = header(line, line_end, "Content-Length", &end)) != NULL) {
            number = decimal(value, end);
            if (number >= 0)
                answer->body_size = (size_t)number;
        }
    }
    if (answer->status < 100 || (answer->status == 101 && !is_accepted))
        answer->status = 0;
    return true;
}
