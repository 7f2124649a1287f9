"""A client that comes back when its socket drops, as `docs/wire.md` asks of one that resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Message = str | bytes


@dataclass
class _Piece:
    """Audio between two gaps, and the control messages in it and at its end."""

    data: bytes
    controls: list[tuple[int, int, str]] = field(default_factory=list)
    """(byte in `data`, its number from 1, JSON)."""


class Returning:
    """What a client has to say, and what it has received of the log.

    Args:
        data: All audio.
        frame_bytes: Of one sample frame.
        controls: (byte place, message), in order. An `end` comes last.
        hello: The first message of the first socket.
        tenant: Whose stream it is, as its key says.
    """

    def __init__(
        self,
        data: bytes,
        frame_bytes: int,
        controls: list[tuple[int, Event]],
        hello: Event | None = None,
        tenant: str = "default",
    ) -> None:
        self.tenant = tenant
        self._frame_bytes = frame_bytes
        self._hello = {"type": "hello"} | (hello or {})
        self._pieces = [_Piece(b"")]
        at = 0
        said = [*controls, (len(data), {"type": "end"})]
        for number, (place, message) in enumerate(said, 1):
            piece = self._pieces[-1]
            piece.data += data[at:place]
            at = place
            piece.controls.append((len(piece.data), number, json.dumps(message)))
            if message["type"] == "gap":  # half a sample is dropped there
                self._pieces.append(_Piece(b""))
        self.log: list[Event] = []
        self.token: str | None = None
        self.last_seq = 0
        self._samples = self._controls = 0
        """What the server has of it."""

    def hello(self) -> str:
        """The first message of a socket."""
        if self.token is None:
            return json.dumps(self._hello)
        resume = {"token": self.token, "last_seq": self.last_seq}
        return json.dumps({"type": "hello", "resume": resume})

    def receive(self, event: Event) -> None:
        """Take an event."""
        if event["type"] == "ready":
            self.token = event["resume"]["token"]
            self.resume_from(event)
        if "seq" in event:
            assert event["seq"] > self.last_seq, (event, self.last_seq)
            self.last_seq = event["seq"]
            self.log.append(event)

    def resume_from(self, ready: Event) -> None:
        """Go on from where the server is."""
        self._samples = ready.get("have_samples", 0)
        self._controls = ready.get("have_controls", 0)

    def rest(self, sizes: Iterator[int]) -> Iterator[Message]:
        """What the server does not have yet, in messages of audio of some sizes."""
        if self._controls == self._pieces[-1].controls[-1][1]:
            return  # it has the `end` too
        if self.token is not None:
            # Else a gap of its own that comes first would count as audio that the drop lost.
            yield '{"type":"ping"}'
        left = self._samples
        for piece in self._pieces:
            if piece.controls[-1][1] <= self._controls:
                left -= len(piece.data) // self._frame_bytes
                continue
            at, left = left * self._frame_bytes, 0
            for place, number, message in piece.controls:
                while at < place:
                    size = min(next(sizes), place - at)
                    yield piece.data[at : at + size]
                    at += size
                if number > self._controls:
                    yield message
