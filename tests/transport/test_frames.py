"""Audio that is taken off the wire early: nothing else is, and nothing changes its place."""

import asyncio
from collections import deque

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from streamd.transport.http.frames import MANY, MOST, Tap

LIMIT = 60_000


def encoded(opcode: Opcode, data: bytes, *, is_final: bool = True, is_masked: bool = True) -> bytes:
    return Frame(opcode, data, fin=is_final).serialize(mask=is_masked)


class Reader(asyncio.Protocol):
    """What stands behind the tap, real frames and all: messages wait there until they are read."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Opcode, bytes]] = deque()
        self.given = 0
        self._protocol = Protocol(Side.SERVER, max_size=None)
        self._begun: list[Frame] = []

    def data_received(self, data: bytes) -> None:
        self.given += len(data)
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if frame.opcode in (Opcode.PING, Opcode.PONG):
                self.waiting.append((frame.opcode, bytes(frame.data)))
                continue
            self._begun.append(frame)
            if frame.fin:
                joined = b"".join(bytes(part.data) for part in self._begun)
                self.waiting.append((self._begun[0].opcode, joined))
                self._begun.clear()
        assert self._protocol.parser_exc is None


class Wire:
    """A tap between bytes and a reader; `log` is what was dealt with, in that order."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.tap = Tap(self.reader, LIMIT)
        self.tap.on_audio(self._take)
        self.log: list[tuple[Opcode, bytes]] = []
        self.taken = self.offered = 0
        self.has_room = True

    def _take(self, messages: list[bytes]) -> bool:
        self.offered += 1
        if self.has_room:
            self.taken += len(messages)
            self.log.append((Opcode.BINARY, b"".join(messages)))
        return self.has_room

    def read(self) -> None:
        """The reader deals with one message."""
        if self.reader.waiting:
            self.log.append(self.reader.waiting.popleft())
            self.tap.handled()


def told_apart(log: list[tuple[Opcode, bytes]]) -> list[tuple[Opcode, bytes]]:
    """Audio that follows audio is one: where it was cut must not matter."""
    merged: list[tuple[Opcode, bytes]] = []
    for opcode, data in log:
        if opcode is Opcode.BINARY and merged and merged[-1][0] is Opcode.BINARY:
            merged[-1] = (opcode, merged[-1][1] + data)
        elif data or opcode is not Opcode.BINARY:
            merged.append((opcode, data))
    return merged


sizes = st.sampled_from([0, 1, 2, 125, 126, 127, 640, 3000, 65_535, 65_536, 70_000])
messages = st.tuples(
    st.sampled_from([Opcode.BINARY] * 5 + [Opcode.TEXT, Opcode.PING, Opcode.PONG]),
    sizes,
    st.integers(1, 3),
)


@given(
    sent=st.lists(messages, max_size=12),
    cuts=st.lists(st.integers(1, 2000), min_size=1, max_size=30),
    turns=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20),
    data=st.data(),
)
def test_order_and_content_are_those_of_the_wire(sent, cuts, turns, data):
    wire, expected, line = Wire(), [], b""
    for number, (opcode, size, fragments) in enumerate(sent):
        if opcode in (Opcode.PING, Opcode.PONG):
            size, fragments = min(size, 125), 1
        content = (bytes([65 + number]) * size)[:size]
        expected.append((opcode, content))
        step = -(-size // fragments) or 1
        parts = [content[at : at + step] for at in range(0, size, step)] or [b""]
        for i, part in enumerate(parts):
            kind = opcode if i == 0 else Opcode.CONT
            line += encoded(kind, part, is_final=i == len(parts) - 1)
            if i < len(parts) - 1 and data.draw(st.booleans()):
                line += encoded(Opcode.PING, b"between")
                expected.insert(len(expected) - 1, (Opcode.PING, b"between"))
    at = turn = 0
    while at < len(line):
        size = cuts[turn % len(cuts)] * (1 if turn % 3 else 100)
        wire.has_room, is_read = turns[turn % len(turns)]
        wire.tap.data_received(line[at : at + size])
        if is_read:
            wire.read()
        at, turn = at + size, turn + 1
    while wire.reader.waiting:
        wire.read()
    assert told_apart(wire.log) == told_apart(expected)


def test_plain_audio_of_one_read_is_taken_together():
    wire = Wire()
    wire.tap.data_received(b"".join(encoded(Opcode.BINARY, bytes([n]) * 640) for n in range(3)))
    assert (wire.taken, wire.offered, wire.reader.given) == (3, 1, 0)
    assert wire.log == [(Opcode.BINARY, b"\0" * 640 + b"\1" * 640 + b"\2" * 640)]


def test_nothing_is_taken_while_a_message_waits():
    wire = Wire()
    wire.tap.data_received(encoded(Opcode.TEXT, b"{}") + encoded(Opcode.BINARY, b"ab"))
    wire.tap.data_received(encoded(Opcode.BINARY, b"cd"))
    assert wire.offered == 0
    for _ in range(3):
        wire.read()
    wire.tap.data_received(encoded(Opcode.BINARY, b"ef"))
    assert [data for _, data in wire.log] == [b"{}", b"ab", b"cd", b"ef"]
    assert wire.taken == 1


@pytest.mark.parametrize(
    "frame",
    [
        encoded(Opcode.BINARY, b"ab", is_masked=False),
        encoded(Opcode.BINARY, bytes(LIMIT + 1)),
        encoded(Opcode.BINARY, b"ab", is_final=False),
        encoded(Opcode.BINARY, b"ab")[:-1],
        bytes([0xC2]) + encoded(Opcode.BINARY, b"ab")[1:],
        encoded(Opcode.CONT, b"ab"),
    ],
    ids=["unmasked", "too long", "fragment", "cut", "reserved bit", "continues nothing"],
)
def test_whatever_is_not_plain_is_left_alone(frame, monkeypatch):
    # Behind a frame that lacks its end the rest is read as frames that are none: as these, always.
    monkeypatch.setattr("secrets.token_bytes", lambda length: bytes(range(1, length + 1)))
    passed = bytearray()

    class Original(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            passed.extend(data)

    tap = Tap(Original(), LIMIT)
    tap.on_audio(lambda messages: pytest.fail("it was taken"))
    following = encoded(Opcode.BINARY, b"cd")
    tap.data_received(frame)
    tap.data_received(following)  # what is behind it, too, until it has been dealt with
    assert bytes(passed) == frame + following


def test_messages_of_one_byte_each_are_taken_a_few_at_a_time():
    wire = Wire()
    wire.tap.data_received(encoded(Opcode.BINARY, b"a") * (MOST + 10))
    assert (wire.taken, len(wire.reader.waiting)) == (MOST, 10)


def test_a_flood_is_no_longer_followed_and_comes_through_all_the_same():
    wire = Wire()
    line = encoded(Opcode.TEXT, b"{}") + encoded(Opcode.BINARY, b"a") * (MANY + 10)
    wire.tap.data_received(line[:5000])
    wire.tap.data_received(line[5000:])
    while wire.reader.waiting:
        wire.read()
    wire.tap.data_received(encoded(Opcode.BINARY, b"b"))
    wire.read()
    assert told_apart(wire.log) == [
        (Opcode.TEXT, b"{}"),
        (Opcode.BINARY, b"a" * (MANY + 10) + b"b"),
    ]
    assert wire.offered == 0


@example(b"\x82")
@example(b"\x82\xfe\x01")
@given(st.binary(max_size=20))
def test_a_peer_that_stops_leaves_nothing_behind(head):
    passed = bytearray()

    class Original(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            passed.extend(data)

        def eof_received(self) -> None:
            passed.extend(b"|")

    tap = Tap(Original(), LIMIT)
    tap.data_received(head)
    tap.eof_received()
    assert bytes(passed) == head + b"|"
