/* Events of the server, read from their JSON. */
#ifndef STREAMD_EVENT_H
#define STREAMD_EVENT_H

#include "streamd.h"

/* Read an event. False: the text is no JSON object with a `type`. */
bool event_read(struct streamd_event *event, const char *text, size_t size);

#endif
