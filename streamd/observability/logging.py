"""Log set-up: JSON lines as a service, readable lines on a terminal, to stderr in both.

The journal of systemd takes the severity from a prefix of the line, and has a time of its own.

Audio, embeddings and credentials are never written: a processor replaces any value that may hold
them by its size, in case some code logs one by mistake.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streamd.display import encodable
from streamd.observability.throttle import Throttle

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

_CREDENTIALS = frozenset(
    {"authorization", "x-api-key", "api_key", "apikey", "token", "ticket", "password"}
)
_PRIORITIES = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}
"""Priorities of syslog(3) by the name of a log method."""
_LONGEST_NUMBERS = 16
"""Longest list of numbers that is logged. A longer one holds samples or an embedding."""


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging, which share one output.

    `level` is for streamd's own loggers. Others (aiohttp, asyncio) log from `warning` on, because
    their debug output contains what clients sent. May be called again.

    Args:
        level: lowest severity that is written.
        format: `auto` is `console` where the stream is a terminal, else `json`.
        stream: where to write, stderr if None.
    """
    stream = sys.stderr if stream is None else stream
    if format == "auto":
        format = "console" if stream.isatty() else "json"
    is_journal = leads_to_journal(stream, os.environ)

    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        *([] if is_journal else [structlog.processors.TimeStamper(fmt="iso", utc=True)]),
        withhold,
        leave_out_empty,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(format, colors=stream.isatty()),
                *([with_priority] if is_journal else []),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Handler)] + [handler]
    root.setLevel(logging.WARNING)
    set_level(level)
    # It warns of every client that offers another subprotocol.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def set_level(level: Level) -> None:
    """Have streamd's own loggers write from this severity on."""
    logging.getLogger("streamd").setLevel(level.upper())


class _Handler(logging.StreamHandler[TextIO]):
    """streamd's handler. A second `configure` replaces it and keeps other handlers."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._throttle = Throttle()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless there were too many of its kind."""
        if self._throttle.admits(record):
            super().emit(record)


def _renderers(format: Format, *, colors: bool) -> list[Processor]:
    # Tracebacks without local variables: those hold samples.
    if format == "console":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def leads_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether systemd has connected a stream with its journal: `JOURNAL_STREAM`.

    The variable is inherited by programs whose output goes elsewhere, so the file must be the same.
    """
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # one that is no file, as in tests
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def with_priority(logger: WrappedLogger, method: str, line: Any) -> str:
    """A processor behind the renderer: puts the priority of syslog before each line."""
    priority = _PRIORITIES.get(method, _PRIORITIES["info"])
    return "\n".join(f"<{priority}>{part}" for part in str(line).split("\n"))


def withhold(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor that replaces audio, embeddings and credentials."""
    return {
        key: value if key in ("exc_info", "_record") else _safe(key, value)
        for key, value in event.items()
    }


def leave_out_empty(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor that removes fields without a value."""
    return {key: value for key, value in event.items() if value is not None}


def _safe(key: object, value: Any) -> Any:
    if isinstance(key, str) and value is not None and _is_credential(key):
        return "<withheld>"
    match value:
        case str():
            return encodable(value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case Mapping():
            return {k: _safe(k, v) for k, v in value.items()}
        case list() | tuple() if len(value) > _LONGEST_NUMBERS and _numbers(value):
            return f"<{len(value)} numbers>"
        case list() | tuple() | set() | frozenset():
            return [_safe(None, item) for item in value]
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"<array {'×'.join(map(str, shape))}>" if shape else value.item()
    return value


def _is_credential(key: str) -> bool:
    """Whether a field, or a key of the configuration such as `server.token`, holds one."""
    return key.lower().rpartition(".")[2] in _CREDENTIALS


def _numbers(values: list[Any] | tuple[Any, ...]) -> bool:
    return all(isinstance(value, int | float) for value in values)
