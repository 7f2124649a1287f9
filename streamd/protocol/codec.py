"""The server's side of one connection: WebSocket messages in, typed messages and faults out.

::

    NEW ──first message──▶ STREAMING ──end──▶ ENDING
     └────────── fatal fault ──┴──▶ CLOSED ◀──┘ close()

The rules that are about the order of messages live here:

- The first message of any kind is answered by `ready`, so it always yields a `Hello` first: the
  client's own, or the defaults. That holds for a first message that is itself at fault: its
  `Fault` follows the `Hello`, and a `hello` that comes later is one after the first message. A
  `hello` with a wrong configuration is the exception: there is nothing to be ready for, the
  fatal `Fault` comes alone.
- An empty binary message is no message: it answers nothing and counts for nothing.
- Ten bad text messages in a row are fatal. Audio and every good text message reset the count.
- After `end` and after a fatal fault, messages are ignored: none is accepted, and none refused.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from streamd.errors import BadMessage, WireError, forget_frames
from streamd.events import Error
from streamd.protocol.controls import CONTROLS
from streamd.protocol.messages import (
    Audio,
    End,
    Hello,
    Message,
    parse,
    read_object,
)

__all__ = [
    "Fault",
    "Item",
    "Phase",
    "ServerProtocol",
    "TooManyBadMessages",
    "as_event",
    "carries_audio",
]

MAX_BAD_IN_ROW = 10


class TooManyBadMessages(BadMessage):
    """Too many bad text messages came in a row, so this is no client of streamd."""

    fatal = True


class Phase(enum.Enum):
    """The phase of a connection."""

    NEW = enum.auto()
    STREAMING = enum.auto()
    ENDING = enum.auto()
    """The client sent `end`, and the final events go out."""
    CLOSED = enum.auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """A refused message, at its place among the others.

    The client receives `error` as an event. If `error.fatal`, the connection then closes with
    `error.close_code`, and no further items come.
    """

    error: WireError
    is_control: bool = False
    """Whether the message would have acted at its place in the stream, had it been accepted."""


Item: TypeAlias = Message | Fault


class ServerProtocol:
    """Parses the messages of one WebSocket connection; never raises for what a client sent."""

    def __init__(self) -> None:
        self._phase = Phase.NEW
        self._bad_in_row = 0

    @property
    def phase(self) -> Phase:
        """Return the phase of the connection."""
        return self._phase

    def receive_text(self, text: str) -> list[Item]:
        """Take a text message, and return what it says, in order."""
        if self._phase in (Phase.ENDING, Phase.CLOSED):
            return []
        opening = self._open()
        kind = None
        try:
            fields = read_object(text)
            kind = fields["type"]
            if kind == "hello":
                if not opening:
                    raise BadMessage(
                        "`hello` must be the first message; `config` changes options later",
                        ref="type",
                    )
                opening = []
            message = parse(fields)
        except BadMessage as error:
            forget_frames(error)
            return [*opening, Fault(self._counted(error), is_control=kind in CONTROLS)]
        except WireError as error:
            forget_frames(error)
            self._phase = Phase.CLOSED
            return [*opening, Fault(error)]
        self._bad_in_row = 0
        if isinstance(message, Audio) and not message.data:
            return opening
        if isinstance(message, End):
            self._phase = Phase.ENDING
        return [*opening, message]

    def takes_audio(self) -> bool:
        """Return whether binary messages are audio and yield nothing else, as nearly all do.

        If so, it has taken some; otherwise the caller gives each to `receive_binary`.
        """
        if self._phase is Phase.STREAMING:
            self._bad_in_row = 0
            return True
        return False

    def receive_binary(self, data: bytes) -> list[Item]:
        """Take a binary message, which is audio."""
        if not data or self._phase in (Phase.ENDING, Phase.CLOSED):
            return []
        self._bad_in_row = 0
        return [*self._open(), Audio(data)]

    def end(self) -> None:
        """Go on with a stream whose `end` came over another connection."""
        self._phase = Phase.ENDING

    def close(self) -> None:
        """Accept no more messages."""
        self._phase = Phase.CLOSED

    def _open(self) -> list[Item]:
        """Return what the first message yields before itself."""
        if self._phase is not Phase.NEW:
            return []
        self._phase = Phase.STREAMING
        return [Hello()]

    def _counted(self, error: BadMessage) -> BadMessage:
        self._bad_in_row += 1
        if self._bad_in_row < MAX_BAD_IN_ROW:
            return error
        self._phase = Phase.CLOSED
        return TooManyBadMessages(
            f"{self._bad_in_row} bad messages in a row; the last: {error}", ref=error.ref
        )


def as_event(error: WireError) -> Error:
    """Return the `error` event for a fault."""
    return Error(
        code=error.code,
        message=error.message,
        fatal=error.fatal,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        ref=error.ref,
    )


def carries_audio(message: object, items: Sequence[Item]) -> bool:
    """Return whether a message was audio.

    Args:
        message: As it was received; a text, bytes, or what keeps a WebSocket alive.
        items: What it yielded.
    """
    if isinstance(message, bytes):
        return bool(message)  # also after the end
    return any(isinstance(item, Audio) for item in items)
