/* The list of control messages of a replay buffer. Its functions for others are in replay.h. */
#ifndef STREAMD_CONTROLS_H
#define STREAMD_CONTROLS_H

#include "replay.h"

#define OWN_CONTROLS 2 /* entries that are kept for a loss and for the settled options */

enum control_kind {
    CONTROL_PLAIN,   /* acts at its place, and counts for `have_controls` */
    CONTROL_PASSING, /* does not count: concerns one connection alone, as `ping` */
    CONTROL_CONFIG,
    CONTROL_ENROL,
    CONTROL_GAP,    /* the caller's own */
    CONTROL_LOSS,   /* audio that the ring has dropped */
    CONTROL_SETTLED /* the options of a new session that older messages have set */
};

/* The text of an entry; of a loss and of settled options it is empty. */
struct streamd_slice controls_text(const struct streamd_replay *replay,
                                   const struct streamd_control *control);
/* Insert an entry that has no text, or whose text is the last of the buffer. There is room. */
void controls_insert(struct streamd_replay *replay, size_t index, struct streamd_control control);
void controls_remove(struct streamd_replay *replay, size_t index);

#endif
