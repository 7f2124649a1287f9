"""Audio, taken off the wire before aiohttp sees it.

Nearly all messages are short and binary, fifty a second on each of many sockets. A queue and a task
that reads it would cost several times as much as the work on the message itself. So the tap takes
whole, plain messages as they come, all of one read together, as long as no earlier message waits.
aiohttp gets everything else: text, pings, closes, fragments, frames cut between two reads, faults,
and audio that has no room now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streamd.transport.http.relay import Relay

try:
    from websockets.speedups import apply_mask
except ImportError:  # there is no wheel for this platform
    from websockets.utils import apply_mask

MOST = 64
"""Most messages that are taken from one read, so that a client whose messages are tiny does not
delay the others."""
MANY = 1000
"""Most messages that may wait at aiohttp: twenty seconds of audio in the usual size. Beyond that
the tap stops following the frames, because to find those of a flood costs more than to read
them."""
_FINAL, _OPCODE, _CONTROL = 0x80, 0x0F, 0x08
_FINAL_BINARY = 0x82
_MASKED = 0x80
_LONG = 126
"""In place of a length: it follows in two bytes. In eight, if it is 127."""
_KEY = 4


class Tap(Relay):
    """Stands between the transport and aiohttp, from the upgrade on.

    Frames are those of RFC 6455, section 5.2.

    Args:
        original: The protocol of aiohttp.
        max_message_bytes: Longer messages are left to aiohttp.
    """

    def __init__(self, original: asyncio.Protocol, max_message_bytes: int) -> None:
        super().__init__(original)
        self._max_message_bytes = max_message_bytes
        self._take: Callable[[list[bytes]], bool] | None = None
        self._owed = 0
        """Messages that were passed on and that aiohttp has not handled yet."""
        self._is_fragmented = False
        """Whether the message passed on last has more fragments."""
        self._left = 0
        """Bytes that the frame passed on last still lacks."""
        self._head = b""
        """The first bytes of a frame whose length is not known yet."""
        self._is_lost = False
        """Whether the tap no longer knows where frames begin."""
        self._is_between = False

    @property
    def is_taking(self) -> bool:
        """Return whether audio is offered to somebody."""
        return self._take is not None

    def stand_between(self, transport: asyncio.Transport) -> None:
        """Take over from the transport's next byte on, which begins a frame."""
        self._is_between = True
        transport.set_protocol(self)

    @property
    def is_all_taken(self) -> bool:
        """Return whether aiohttp surely has nothing left to handle, not even part of a message."""
        return self._is_between and not (self._owed or self._left or self._head or self._is_lost)

    def on_audio(self, take: Callable[[list[bytes]], bool] | None) -> None:
        """Offer audio to a function.

        Args:
            take: Gets binary messages; returns whether it took them, all or none. With None,
                aiohttp gets all audio.
        """
        self._take = take

    def handled(self) -> None:
        """Take note that aiohttp has handled a message that was passed on."""
        self._owed -= 1

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._is_lost:
            self.original.data_received(data)
            return
        if self._head:
            data, self._head = self._head + data, b""
        start = 0 if self._owed or self._left else self._taken(data)
        if start < len(data):
            self._pass(data, start)

    def eof_received(self) -> bool | None:
        """Take note that the peer sends no more, not even the rest of a frame."""
        if self._head:
            self.original.data_received(self._head)
        return super().eof_received()

    def _taken(self, data: bytes) -> int:
        """Take plain audio, and return the number of bytes taken."""
        messages: list[bytes] = []
        at, end = 0, len(data)
        while at + 2 + _KEY <= end and data[at] == _FINAL_BINARY and len(messages) < MOST:
            size, body = data[at + 1] - _MASKED, at + 2 + _KEY
            if size == _LONG:
                size, body = data[at + 2] << 8 | data[at + 3], body + 2
            elif not 0 < size < _LONG:
                break
            if body + size > end or size > self._max_message_bytes:
                break
            at = body + size
            messages.append(apply_mask(data[body:at], data[body - _KEY : body]))
        if not messages or self._take is None:
            return 0
        return at if self._take(messages) else 0

    def _pass(self, data: bytes, start: int) -> None:
        end = len(data)
        at = start + self._left
        while at < end:
            size = _frame_bytes(data, at)
            if not size:
                self._head = data[at:]
                break
            self._count(data[at])
            at += size
            if self._owed > MANY:
                self._is_lost = True
                self.original.data_received(data[start:])
                return
        self._left = max(at - end, 0)
        if start < (stop := min(at, end)):
            self.original.data_received(data[start:stop])

    def _count(self, first: int) -> None:
        """Count a frame that is passed on."""
        opcode, is_final = first & _OPCODE, bool(first & _FINAL)
        if opcode == 0 and self._is_fragmented:
            self._is_fragmented = not is_final
            return
        self._owed += 1
        if opcode < _CONTROL:
            self._is_fragmented = not is_final


def _frame_bytes(data: bytes, at: int) -> int:
    """Return the length of the frame that begins there; 0 while it is not known."""
    here = len(data) - at
    if here < 2:
        return 0
    size, head = data[at + 1] & ~_MASKED, 2
    if size >= _LONG:
        head = 4 if size == _LONG else 10
        if here < head:
            return 0
        size = int.from_bytes(data[at + 2 : at + head], "big")
    return head + (_KEY if data[at + 1] & _MASKED else 0) + size
