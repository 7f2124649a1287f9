"""One live stream at the least cost: the protocol of `websockets` without its tasks.

`streamd.client` costs two tasks and a lock for each message, too much for a load that shares the
machine with the server. The ticker of the worker decides when to send.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from streamd.bench.mixing import Message
from streamd.bench.tally import Tally
from streamd.types import RATE_HZ

ACK_EVERY_S = 0.5
"""The longest time between two acks of a server that is in time."""
_END = b'{"type":"end"}'


class _Event(msgspec.Struct, gc=False):
    """The fields of an event that the bench reads."""

    type: str = ""
    at: int = -1
    t0: int = 0
    t1: int = 0
    samples: int = 0
    code: str = ""


_decode = msgspec.json.Decoder(_Event).decode


class Player(asyncio.Protocol):
    """A stream from the handshake to the `bye`.

    Args:
        uri: of the stream.
        headers: further headers of the handshake, which show a key.
        hello: the first message, encoded.
        messages: what to play, each of `message_samples`.
        message_samples: int16 samples at 16 kHz.
        tally: where to count.
        ready: called after the server's `ready`, when audio may be sent.
    """

    def __init__(
        self,
        uri: WebSocketURI,
        headers: Mapping[str, str],
        hello: bytes,
        messages: Iterator[Message],
        message_samples: int,
        tally: Tally,
        ready: Callable[[Player], None],
    ) -> None:
        self.began_s = 0.0
        """When the first sample would have been recorded; monotonic seconds."""
        self.is_over = False
        self.ended = asyncio.Event()
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol("streamd.v1")])
        self._headers = headers
        self._hello = hello
        self._messages = messages
        self._message_samples = message_samples
        self._tally = tally
        self._ready = ready
        self._transport: asyncio.Transport | None = None
        self._sent_s = array("d")
        """When each message was sent; monotonic seconds."""
        self._acked = 0
        self._fault = ""
        self._is_ending = False

    # Called by the worker.

    @property
    def sent(self) -> int:
        """Messages sent."""
        return len(self._sent_s)

    def send(self, now_s: float) -> None:
        """Send the next message."""
        pcm, is_voiced = next(self._messages)
        self._sent_s.append(now_s)
        self._protocol.send_binary(pcm)
        self._write()
        self._tally.sent(now_s, is_voiced)

    def lag_s(self, now_s: float) -> float:
        """Return seconds that the server is behind in receiving; 0 while its acks are in time."""
        first = self._acked // self._message_samples
        if first >= len(self._sent_s):
            return 0.0
        return max(now_s - self._sent_s[first] - ACK_EVERY_S, 0.0)

    def end(self) -> None:
        """Send `end`; `ended` is set when the server is done with the stream."""
        if self.is_over or self._is_ending:
            return
        self._is_ending = True
        if not self.began_s:  # it never opened
            self.abort()
        else:
            self._protocol.send_text(_END)
            self._write()

    def abort(self) -> None:
        """Close the socket at once."""
        self._is_ending = True
        if self._transport is not None:
            self._transport.abort()
        self._over()

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open: shake hands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        request = self._protocol.connect()
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Take what the server sends."""
        now_s = time.monotonic()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self.receive(event.data, now_s)
            elif isinstance(event, Response):
                self._shaken()
        self._write()

    def eof_received(self) -> None:
        """Take the end of what the server sends."""
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if not self._is_ending and not self._fault:
            code = self._protocol.close_code
            self._fault = self._protocol.close_reason or ("dropped" if exc else f"close_{code}")
        self._over()

    def receive(self, text: bytes | bytearray | memoryview, now_s: float) -> None:
        """Take an encoded event, at monotonic seconds."""
        try:
            event = _decode(text)
        except msgspec.DecodeError:
            return  # an event of a later protocol, or part of a message; neither is measured
        kind = event.type
        if kind == "ack":
            self._acked = event.samples
            self._tally.acked(now_s, now_s - self._sent_at(event.samples))
        elif kind in ("gap", "degraded"):
            self._tally.shed(now_s, kind)
        elif event.at >= 0:
            self._tally.received(now_s, kind, now_s - self._sent_at(event.at * RATE_HZ // 1000))
            if kind == "speech_end":
                self._tally.speech(now_s, event.t1 - event.t0)
        elif kind == "ready":
            self.began_s = now_s
            self._ready(self)
        elif kind == "error":
            self._fault = event.code

    # Inside.

    def _shaken(self) -> None:
        failure = self._protocol.handshake_exc
        if failure is None:
            self._protocol.send_text(self._hello)
        elif isinstance(failure, InvalidStatus):
            self._tally.refused(f"HTTP {failure.response.status_code}")
            self.abort()
        else:
            self._tally.refused("no WebSocket")
            self.abort()

    def _sent_at(self, samples: int) -> float:
        """Return when the last of the first `samples` was sent."""
        number = min((samples - 1) // self._message_samples, len(self._sent_s) - 1)
        return self._sent_s[max(number, 0)] if self._sent_s else time.monotonic()

    def _write(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)

    def _over(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self._fault and not self._is_ending:
            self._tally.lost(self._fault)
        self.ended.set()
