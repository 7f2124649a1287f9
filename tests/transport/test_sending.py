"""Events leave at once where nothing is in their way, and in order where something is."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.frames import Frame
from websockets.protocol import Protocol, Side

from streamd.transport.http.websocket import AiohttpSocket

LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]


class Pipe:
    """A server's socket over one end of a pair; the other end is read by hand."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.response = SimpleNamespace(closed=False)
        self.client = Protocol(Side.CLIENT, max_size=None)

    async def __aenter__(self) -> "Pipe":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_connection(asyncio.Protocol, sock=self.ours)
        self.socket = AiohttpSocket(cast(Any, self.response), self.transport, cast(Any, None), 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.transport.abort()
        self.theirs.close()
        await asyncio.sleep(0)

    def received(self) -> list[str]:
        """The messages that have come whole by now."""
        try:
            while data := self.theirs.recv(1 << 20):
                self.client.receive_data(data)
        except BlockingIOError:
            pass
        return [cast(Frame, frame).data.decode() for frame in self.client.events_received()]


async def test_what_is_sent_is_there_before_the_loop_has_had_a_turn():
    texts = ["ä" * (length // 2) + "x" * (length % 2) for length in LENGTHS]
    async with Pipe() as pipe:
        for text in texts:
            assert pipe.socket.is_clear
            pipe.socket.send_now([text])
            if len(text.encode()) < 65_536:
                assert pipe.received() == [text]
        assert pipe.socket.is_clear or await _drained(pipe)


async def test_several_leave_together_and_in_order():
    async with Pipe() as pipe:
        pipe.socket.send_now(["one", "two", "three"])
        assert pipe.received() == ["one", "two", "three"]


async def test_to_who_does_not_read_the_transport_sends_the_rest_when_he_does():
    texts = [f"{number:04}" * 1000 for number in range(500)]
    async with Pipe() as pipe:
        sent = 0
        while pipe.socket.is_clear:
            pipe.socket.send_now([texts[sent]])
            sent += 1
            assert sent < len(texts)
        received: list[str] = []
        while len(received) < sent:
            received += pipe.received()
            await asyncio.sleep(0)
        assert received == texts[:sent]
        assert pipe.socket.is_clear
        pipe.socket.send_now(["more"])
        assert pipe.received() == ["more"]


@pytest.mark.parametrize("how", ["closed", "closing"])
async def test_a_socket_that_closes_is_not_clear(how: str):
    async with Pipe() as pipe:
        if how == "closed":
            pipe.response.closed = True
        else:
            pipe.transport.close()
        assert not pipe.socket.is_clear


async def test_that_nobody_is_there_any_more_the_transport_notices():
    async with Pipe() as pipe:
        pipe.theirs.close()
        pipe.socket.send_now(["to nobody"])
        async with asyncio.timeout(5):
            while not pipe.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def _drained(pipe: Pipe) -> bool:
    while not pipe.socket.is_clear:
        pipe.received()
        await asyncio.sleep(0)
    return True
