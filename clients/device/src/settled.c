/* Module options that `config` messages have set, so that a new session begins with them. */
#include "settled.h"

#include "json.h"

#include <string.h>

static bool has_member(struct streamd_slice object, struct streamd_slice name)
{
    struct streamd_slice other, value;
    char wanted[64];
    size_t at = 0;

    (void)json_text(name, wanted, sizeof wanted);
    while (json_next(object, &at, &other, &value)) {
        if (json_is(other, wanted))
            return true;
    }
    return false;
}

/* Append a member to `settled`, which has no closing brace meanwhile. */
static void append(struct streamd_replay *replay, struct streamd_slice name,
                   struct streamd_slice value)
{
    char *to = replay->settled + replay->settled_size;

    if (replay->settled_size > 1)
        *to++ = ',';
    memcpy(to, name.at, name.size);
    to += name.size;
    *to++ = ':';
    memcpy(to, value.at, value.size);
    replay->settled_size = (size_t)(to - replay->settled) + value.size;
}

void settled_merge(struct streamd_replay *replay, struct streamd_slice modules)
{
    char before[STREAMD_CONFIG_BYTES];
    struct streamd_slice old = {before, replay->settled_size}, name, value;
    size_t at = 0;

    if (!json_is_object(modules))
        return;
    memcpy(before, replay->settled, replay->settled_size);
    replay->settled[0] = '{';
    replay->settled_size = 1;
    while (json_next(old, &at, &name, &value)) {
        if (!has_member(modules, name))
            append(replay, name, value);
    }
    at = 0;
    while (json_next(modules, &at, &name, &value))
        append(replay, name, value);
    replay->settled[replay->settled_size++] = '}';
    replay->settled[replay->settled_size] = '\0';
}
