"""Messages between the bench and the processes of its load, over pipes."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import msgspec

from streamd.bench.tally import Played

_HEAD = struct.Struct("<I")
HEAD_BYTES = _HEAD.size
READY = _HEAD.pack(0)
"""Sent by a process of the load when it is set up."""


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message to a process."""

    url: str
    key: str | None
    """API key, checked."""
    modules: dict[str, Any]
    """`hello.modules`."""
    clips: list[bytes]
    """int16 in the byte order of this machine, 16 kHz."""
    message_ms: int
    duty: float
    seed: int
    cores: list[int]
    """Cores to run on; empty for all."""


class Play(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One step; all times are monotonic, of the machine and not of the process."""

    streams: list[int]
    """Numbers of the streams to play."""
    open_s: float
    spread_s: float
    """Seconds over which the streams open evenly."""
    from_s: float
    until_s: float
    """End of the time that is measured, with `from_s` as its start."""
    give_up_s: float
    """Seconds of lag of the acks at which the step fails and ends."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End the step now, because it failed in another process."""


Order = Setup | Play | Stop


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step."""

    played: Played
    is_cut: bool
    """Whether it ended early."""


_encode = msgspec.msgpack.Encoder().encode
read_order = msgspec.msgpack.Decoder(Order).decode
_read_answer = msgspec.msgpack.Decoder(Answer).decode


def framed(message: Order | Answer) -> bytes:
    """Return the encoded message with its length in front."""
    body = _encode(message)
    return _HEAD.pack(len(body)) + body


def length(head: bytes) -> int:
    """Return the length of the body that follows `HEAD_BYTES`."""
    size: int = _HEAD.unpack(head)[0]
    return size


def receive_answer(pipe: BinaryIO) -> Answer | None:
    """Return the next answer; None when the other end is closed."""
    head = pipe.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    return _read_answer(pipe.read(length(head)))
