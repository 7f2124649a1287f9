"""Clients that never finish their request, or send one without an end."""

import asyncio
import contextlib
import itertools
import threading

import pytest
from daemons import Daemon, assert_same_log, converse, cut, speech
from fakes.wire import Wire

pytestmark = pytest.mark.faults

END = {"type": "end"}
COUNT = 100
START = b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n"


def timeouts(running: Daemon) -> float:
    return running.metric("streamd_connections_closed_total", reason="timeout")


@pytest.mark.parametrize("sent", [b"", b"GET /v1/st", START, START + b"X-Long: "])
async def test_who_never_finishes_a_request_is_closed_at_the_deadline(serve, sent):
    running = serve(server__request_timeout_s=0.5)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(running.url)) for _ in range(COUNT)]
        for wire in wires:
            wire.socket.sendall(sent)
        for wire in wires:
            assert await asyncio.to_thread(wire.rest) == b""
    assert timeouts(running) == COUNT
    assert running.complaints() == []


async def test_slow_lorises_hold_nothing_and_touch_no_stream(serve):
    running = serve(server__request_timeout_s=0.5)
    alone = await converse(running.url, cut(speech()), END)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(running.url)) for _ in range(COUNT)]
        over = threading.Event()

        def dribble() -> None:
            """Send every connection one more byte of its endless header, again and again."""
            for byte in itertools.chain(START, itertools.repeat(ord("a"))):
                for wire in wires:
                    with contextlib.suppress(OSError):
                        wire.socket.send(bytes([byte]))
                if over.wait(0.01):
                    return

        sender = threading.Thread(target=dribble)
        sender.start()
        try:
            heard = await converse(running.url, cut(speech()), END)
            await running.eventually(lambda: timeouts(running) == COUNT)
        finally:
            over.set()
            sender.join()
    assert_same_log(alone.events, heard.events)
    assert running.complaints() == []


@pytest.mark.parametrize(
    "bomb",
    [
        START + b"X: " + b"a" * 5_000_000,
        START + b"".join(b"X-%d: a\r\n" % n for n in range(200_000)),
        b"GET /" + b"a" * 5_000_000,
        b"\r\n" * 1_000_000,
        START + b" folded\r\n" * 500_000,
    ],
    ids=["one long header", "many headers", "a long path", "empty lines", "folded lines"],
)
async def test_a_header_bomb_is_refused_and_costs_no_memory(serve, bomb):
    running = serve(server__request_timeout_s=0.5)
    alone = await converse(running.url, cut(speech()), END)
    before = running.metric("process_resident_memory_bytes")

    def throw() -> bytes:
        with Wire(running.url) as wire:
            with contextlib.suppress(OSError):
                wire.socket.sendall(bomb)
            return wire.rest()

    answers = await asyncio.gather(*(asyncio.to_thread(throw) for _ in range(20)))
    for answer in answers:  # none, where the close overtook it
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    heard = await converse(running.url, cut(speech()), END)
    assert_same_log(alone.events, heard.events)
    assert running.metric("process_resident_memory_bytes") - before < 50_000_000
    assert running.complaints() == []
