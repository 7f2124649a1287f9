"""Spans of traces, as streamd measures them; `otel.py` gives them to OpenTelemetry.

A span has no name of a person, no text and no audio: whoever adds an attribute keeps to that.
Times are those of the monotonic clock, so that a step of the wall clock bends no span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from streamd.errors import Refusal

Value: TypeAlias = str | bool | int | float | Sequence[str]


@dataclass(frozen=True, slots=True)
class Caller:
    """What a client says of the span that its request belongs to (W3C Trace Context)."""

    traceparent: str
    tracestate: str = ""


class Span(Protocol):
    """One span that has begun."""

    def note(self, name: str, value: Value) -> None:
        """Set an attribute."""

    def child(self, name: str) -> Span:
        """Begin a span inside of this one, now."""

    def end(self, fault: str | None = None) -> None:
        """End it now, once.

        Args:
            fault: Code of the error that ended it; None for none.
        """


class Tracing(Protocol):
    """Makes spans."""

    @property
    def is_on(self) -> bool:
        """Whether spans go anywhere."""

    def begin(self, name: str, began_s: float | None = None, caller: Caller | None = None) -> Span:
        """Begin a span.

        Args:
            name: One of few: it has nothing of the request in it.
            began_s: When it began, monotonic seconds; None is now.
            caller: The span that it belongs to; None for a trace of its own.
        """

    def close(self) -> None:
        """Send what waits, within a bound of time. It blocks."""


class _NoSpan:
    """A span that nobody sees."""

    def note(self, name: str, value: Value) -> None:
        """Do nothing."""

    def child(self, name: str) -> Span:
        """Return itself."""
        return self

    def end(self, fault: str | None = None) -> None:
        """Do nothing."""


class NoTracing:
    """Tracing that is off."""

    is_on = False

    def begin(self, name: str, began_s: float | None = None, caller: Caller | None = None) -> Span:
        """Return a span that nobody sees."""
        return NO_SPAN

    def close(self) -> None:
        """Do nothing."""


NO_SPAN = _NoSpan()
OFF = NoTracing()


def caller_of(headers: Mapping[str, str]) -> Caller | None:
    """Return what the headers of a request say of its trace."""
    parent = headers.get("traceparent")
    return None if parent is None else Caller(parent, headers.get("tracestate", ""))


@dataclass(frozen=True, slots=True)
class Request:
    """The request that files belong to."""

    name: str
    """Method and template of the path."""
    caller: Caller | None


_request: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def within(name: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Have the files that are opened inside of the block belong to a request."""
    token = _request.set(Request(name, caller_of(headers)))
    try:
        yield
    finally:
        _request.reset(token)


@contextmanager
def file_span(tracing: Tracing) -> Iterator[Span]:
    """Have a span of a file of the request in hand, which ends with the block."""
    current = _request.get() or Request("file", None)
    span = tracing.begin(current.name, caller=current.caller)
    try:
        yield span
    except Refusal as refusal:
        span.end(refusal.code)
        raise
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    else:
        span.end()
