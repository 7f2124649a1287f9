"""Clients that never finish their request, or send one without an end."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator

import pytest
from daemons import assert_same_log, converse, cut, speech
from fakes.wire import Wire
from unshed import Daemon

pytestmark = pytest.mark.faults

END = {"type": "end"}
COUNT = 100
START = b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n"


def timeouts(quick: Daemon) -> float:
    return quick.metric("streamd_connections_closed_total", reason="timeout")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that does not wait long for requests."""
    with Daemon(tmp_path_factory.mktemp("quick"), server__request_timeout_s=1) as running:
        yield running
    assert running.complaints() == []


@pytest.mark.parametrize("sent", [b"", b"GET /v1/st", START, START + b"X-Long: "])
async def test_who_never_finishes_a_request_is_closed_at_the_deadline(quick, sent):
    before = timeouts(quick)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(quick.url)) for _ in range(COUNT)]
        for wire in wires:
            wire.socket.sendall(sent)
        for wire in wires:
            assert await asyncio.to_thread(wire.rest) == b""
    assert timeouts(quick) == before + COUNT


async def test_slow_lorises_hold_nothing_and_touch_no_stream(quick):
    before = timeouts(quick)
    alone = await converse(quick.url, cut(speech()), END)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(quick.url)) for _ in range(COUNT)]
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
            received = await converse(quick.url, cut(speech()), END)
            await quick.eventually(lambda: timeouts(quick) == before + COUNT)
        finally:
            over.set()
            sender.join()
    assert_same_log(alone.events, received.events)


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
async def test_a_header_bomb_is_refused_and_costs_no_memory(quick, bomb):
    alone = await converse(quick.url, cut(speech()), END)
    before = quick.metric("process_resident_memory_bytes")

    def throw() -> bytes:
        with Wire(quick.url) as wire:
            with contextlib.suppress(OSError):
                wire.socket.sendall(bomb)
            return wire.rest()

    answers = await asyncio.gather(*(asyncio.to_thread(throw) for _ in range(20)))
    for answer in answers:  # none, where the close overtook it
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    received = await converse(quick.url, cut(speech()), END)
    assert_same_log(alone.events, received.events)
    assert quick.metric("process_resident_memory_bytes") - before < 50_000_000
