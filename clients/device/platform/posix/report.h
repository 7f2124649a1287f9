/* What a program of the command line prints: events to standard output, trouble to standard error. */
#ifndef STREAMD_REPORT_H
#define STREAMD_REPORT_H

#include "streamd.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,    /* the server refused the stream, or closed it */
    EXIT_WRONG_USE = 2,  /* of the command line */
    EXIT_NO_SERVER = 3,  /* no server answers, or the connection is not trusted */
    EXIT_NO_INPUT = 4    /* the audio cannot be read */
};

struct report {
    struct streamd *stream;
    bool is_patient;  /* before the first session, too: try again */
    bool was_online;
    bool is_reported; /* that the connection is lost */
    enum exit_code exit_code;
};

/* For `struct streamd_options`; the context is a `struct report`. */
void report_event(void *context, const struct streamd_event *event);
void report_status(void *context, const struct streamd_status *status);

#endif
