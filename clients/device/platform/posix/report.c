/* One event a line, as the server sent it, and the changes of the connection between them. */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

void report_event(void *context, const struct streamd_event *event)
{
    (void)context;
    (void)printf("%.*s\n", (int)event->json.size, event->json.at);
    (void)fflush(stdout);
}

static void report_over(struct report *report, const struct streamd_status *status)
{
    switch (status->result) {
    case STREAMD_DONE:
        report->exit_code = EXIT_DONE;
        return;
    case STREAMD_REFUSED:
        report->exit_code = EXIT_REFUSED;
        break;
    case STREAMD_LOST:
        report->exit_code = EXIT_NO_SERVER;
        break;
    case STREAMD_CLOSED:
        return;
    }
    (void)fprintf(stderr, "streamd-send: %s%s%s", status->code, status->code[0] ? ": " : "",
                  status->reason);
    if (status->close_code > 0)
        (void)fprintf(stderr, " (closed with %d)", status->close_code);
    if (status->http_status > 0)
        (void)fprintf(stderr, " (HTTP %d)", status->http_status);
    (void)fputc('\n', stderr);
}

static void report_loss(struct report *report, const struct streamd_status *status)
{
    bool is_hopeless = !report->was_online && !report->is_patient;

    if (is_hopeless) {
        (void)fprintf(stderr, "streamd-send: %s\n", status->reason);
        streamd_close(report->stream);
        report->exit_code = EXIT_NO_SERVER;
    } else if (!report->is_reported) {
        (void)fprintf(stderr, "streamd-send: %s; trying again in %" PRIu32 " ms\n",
                      status->reason, status->retry_ms);
        if (report->was_online)
            (void)puts("{\"type\":\"disconnected\"}");
        (void)fflush(stdout);
    }
    report->is_reported = true;
}

void report_status(void *context, const struct streamd_status *status)
{
    struct report *report = context;

    switch (status->type) {
    case STREAMD_ONLINE:
        break;
    case STREAMD_DISCONNECTED:
        report_loss(report, status);
        return;
    case STREAMD_RESUMED:
        (void)printf("{\"type\":\"reconnected\",\"resumed\":true,\"lost_samples\":%" PRIu64 "}\n",
                     status->lost_samples);
        break;
    case STREAMD_RESTARTED:
        (void)printf("{\"type\":\"reconnected\",\"resumed\":false,\"first_sample\":%" PRIu64 "}\n",
                     status->first_sample);
        break;
    case STREAMD_TOO_LONG:
        (void)fprintf(stderr, "streamd-send: an event of %zu bytes was too long\n", status->size);
        return;
    case STREAMD_OVER:
        report_over(report, status);
        return;
    }
    (void)fflush(stdout);
    report->was_online = true;
    report->is_reported = false;
}
