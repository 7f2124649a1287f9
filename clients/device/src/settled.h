/* Module options that `config` messages have set, so that a new session begins with them. */
#ifndef STREAMD_SETTLED_H
#define STREAMD_SETTLED_H

#include "streamd.h"

/* Put the members of a JSON object in place of those of the same name in `settled`. The sizes of both
 * together must be less than STREAMD_CONFIG_BYTES. */
void settled_merge(struct streamd_replay *replay, struct streamd_slice modules);

#endif
