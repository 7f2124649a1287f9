"""A socket that is read at each tick loses nothing, and what is not audio is aiohttp's."""

import asyncio
import os
import socket as sockets
import struct
from collections.abc import Iterator

import pytest
from fakes.certificates import certificate
from fakes.line import Line
from fakes.wire import frame
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANG_S, until
from websockets.frames import Opcode

from streamd.live.ticks import FEW

MANY = FEW + 1


@pytest.fixture(scope="module", autouse=True, params=["plain", "TLS"])
def kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Every promise here holds with TLS and without."""
    Line.files = certificate(tmp_path_factory.mktemp("tls")) if request.param == "TLS" else None
    yield
    Line.files = None


async def watched(line: Line) -> None:
    """Have it watched, as it is once audio came."""
    while not line.tap.is_watched:
        line.audio = b""
        line.theirs.send(frame(Opcode.BINARY, b"."))
        await until(lambda: line.audio == b".")


async def test_with_few_streams_the_loop_reads():
    async with Line(FEW) as line:
        await line.send(Opcode.BINARY, b"one")
        await until(lambda: line.audio == b"one")
        assert line.transport.is_reading()
        assert not line.tap.is_watched


async def test_with_many_it_is_read_at_ticks_and_not_by_the_loop():
    async with Line(MANY) as line:
        await watched(line)
        assert not line.transport.is_reading()
        line.audio = b""
        for text in (b"one", b"two", b"six"):
            await line.send(Opcode.BINARY, text)
        await until(lambda: line.audio == b"onetwosix")
        assert line.tap.is_watched
        assert line.behind.received == b""


HALF = frame(Opcode.BINARY, b"cut in two")
NOT_PLAIN = {
    "text": (frame(Opcode.TEXT, b"{}"), b""),
    "a ping": (frame(Opcode.PING), b""),
    "half a frame": (HALF[:5], HALF[5:]),
    "audio and text": (frame(Opcode.BINARY, b"audio and") + frame(Opcode.TEXT, b"{}"), b""),
}


@pytest.mark.parametrize(("first", "rest"), NOT_PLAIN.values(), ids=NOT_PLAIN)
async def test_what_is_not_plain_audio_has_the_loop_read_until_it_is_dealt_with(
    first: bytes, rest: bytes
):
    async with Line(MANY) as line:
        await watched(line)
        line.theirs.send(first)
        await until(lambda: not line.tap.is_watched)
        assert line.transport.is_reading()
        line.theirs.send(rest + frame(Opcode.BINARY, b"waits"))
        await until(lambda: line.behind.waiting and line.behind.waiting[-1][1] == b"waits")
        assert not line.tap.is_watched
        line.deal_with_all()
        await watched(line)


async def test_audio_that_is_not_taken_is_aiohttps():
    async with Line(MANY) as line:
        await watched(line)
        line.has_room = False
        line.theirs.send(sent := frame(Opcode.BINARY, b"no room"))
        await until(lambda: line.behind.received == sent)
        assert not line.tap.is_watched
        assert line.transport.is_reading()


@given(
    st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9)), max_size=30), st.data()
)
def test_however_it_is_sent_it_comes_in_order(
    messages: list[tuple[bool, bytes]], data: st.DataObject
):
    wire = b"".join(frame(Opcode.BINARY if a else Opcode.TEXT, text) for a, text in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))

    async def main() -> list[tuple[bool, bytes]]:
        async with Line(MANY) as line:
            await watched(line)
            line.log.clear()
            for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
                line.theirs.send(wire[start:end])
                await asyncio.sleep(0.003)
                line.deal_with_all()
            while joined(line.log) != joined(messages):
                line.deal_with_all()
                await asyncio.sleep(0.001)
            return line.log

    assert joined(asyncio.run(main())) == joined(messages)


def joined(messages: list[tuple[bool, bytes]]) -> list[tuple[bool, bytes]]:
    """Audio that follows audio is one: where it was cut must not matter."""
    merged: list[tuple[bool, bytes]] = []
    for is_audio, text in messages:
        if is_audio and merged and merged[-1][0]:
            merged[-1] = (True, merged[-1][1] + text)
        else:
            merged.append((is_audio, text))
    return merged


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_that_the_peer_is_gone_is_noticed(how: str):
    listener = sockets.create_server(("127.0.0.1", 0))
    theirs = sockets.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    listener.close()
    async with Line(MANY, (ours, theirs)) as line:
        await watched(line)
        line.theirs.send(frame(Opcode.BINARY, b"last"))
        if how == "reset":
            line.theirs.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        line.theirs.close()
        await until(lambda: line.behind.is_lost)
        assert not line.tap.is_watched
        if how == "end":
            assert line.audio.endswith(b"last")


async def test_one_that_is_broken_off_frees_its_descriptor_for_the_next():
    async with Line(MANY) as line:
        await watched(line)
        descriptor = line.tap.descriptor
        line.transport.abort()
        await until(lambda: line.behind.is_lost)
        assert not line.tap.is_watched
        assert descriptor not in line.ticks._poll.watched


async def test_a_close_reads_what_the_peer_answers():
    async with Line(MANY) as line:
        await watched(line)
        async with asyncio.timeout(HANG_S):
            closing = asyncio.create_task(line.socket.close(1000, "done"))
            await line.send(Opcode.CLOSE, b"")
            await closing
        assert line.behind.received
        assert not line.tap.is_watched


async def test_with_few_streams_again_the_loop_reads_again():
    async with Line(MANY) as line:
        await watched(line)
        line.ticks.sockets = FEW - 1
        await line.send(Opcode.BINARY, b"one")
        await until(lambda: not line.tap.is_watched)
        await until(lambda: line.audio.endswith(b"one"))
        await line.send(Opcode.BINARY, b"two")
        await until(lambda: line.audio.endswith(b"two"))
        assert line.transport.is_reading()


async def test_one_that_is_closing_is_not_watched_and_not_read_again():
    async with Line(MANY) as line:
        await watched(line)
        line.transport.abort()
        line.socket.rest()
        line.tap.release()
        line.tap.data_received(frame(Opcode.BINARY, b"late"))
        assert not line.tap.is_watched


async def test_of_one_that_sends_much_only_a_part_is_read_in_a_tick():
    async with Line(MANY) as line:
        await watched(line)
        line.audio = b""
        message = os.urandom(10_000)
        sent = 0
        while sent < 5:
            line.theirs.send(frame(Opcode.BINARY, message))
            sent += 1
        line.tap.read()
        assert line.audio == message * 3
