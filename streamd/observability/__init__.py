"""Logs, metrics and what a server says of itself.

Until `logging.configure` is called, as in tools and workers, logs go through the standard library,
which writes warnings and errors to stderr; structlog's own default writes everything to stdout.
"""

import structlog

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
