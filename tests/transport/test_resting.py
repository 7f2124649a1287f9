"""A socket that is not read keeps what comes, loses nothing, and is read again in the end."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakes.line import LIMIT, Line
from waiting import HANG_S
from websockets.frames import Opcode

from streamd.transport.http.frames import Tap
from streamd.transport.http.websocket import AiohttpSocket


async def test_what_comes_while_it_is_not_read_is_there_when_it_is():
    async with Line() as line:
        await line.send(Opcode.BINARY, b"one")
        line.socket.pause_reading()
        await line.send(Opcode.BINARY, b"two")
        await line.send(Opcode.BINARY, b"six")
        assert line.audio == b"one"
        line.socket.resume_reading()
        await line.settle()
        assert line.audio == b"onetwosix"
        line.socket.resume_reading()
        await line.send(Opcode.BINARY, b"ten")
        assert line.audio == b"onetwosixten"


async def test_while_anything_waits_behind_the_tap_reading_is_not_ours_to_pause():
    async with Line() as line:
        await line.send(Opcode.TEXT, b"{}")
        line.socket.pause_reading()
        assert line.transport.is_reading()
        line.tap.handled()
        line.socket.pause_reading()
        assert not line.transport.is_reading()


async def test_without_the_tap_in_between_it_is_not_either():
    async with Line() as line:
        response = cast(Any, SimpleNamespace(closed=False))
        other = AiohttpSocket(response, line.transport, Tap(line.behind, LIMIT), LIMIT)
        other.pause_reading()
        assert line.transport.is_reading()


async def test_a_close_reads_what_the_peer_answers():
    async with Line() as line:
        line.socket.pause_reading()
        await line.send(Opcode.CLOSE, b"")
        async with asyncio.timeout(HANG_S):
            await line.socket.close(1000, "done")
        assert line.behind.received


@pytest.mark.parametrize("is_paused", [False, True])
async def test_one_that_is_closing_is_left_alone(is_paused):
    async with Line() as line:
        if is_paused:
            line.socket.pause_reading()
        line.transport.abort()
        line.socket.pause_reading()
        line.socket.resume_reading()
        await line.settle()
        line.socket.resume_reading()
