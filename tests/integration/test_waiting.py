"""A connection that brings no request is closed; one that carries a stream is not."""

import contextlib
import itertools
import ssl
import threading
from collections.abc import Iterator

import pytest
from daemons import Daemon
from fakes.wire import Wire, frame
from websockets.frames import Opcode


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that does not wait long for requests."""
    with Daemon(tmp_path_factory.mktemp("quick"), server__request_timeout_s=0.5) as running:
        yield running
    assert running.complaints() == []


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def closed(running: Daemon, reason: str = "timeout") -> float:
    return running.metric("streamd_connections_closed_total", reason=reason)


def test_many_silent_connections_are_all_closed(quick):
    before = closed(quick)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(quick.url)) for _ in range(100)]
        assert [wire.rest() for wire in wires] == [b""] * 100
    assert closed(quick) == before + 100


@pytest.mark.parametrize("first", [b"", HEALTH], ids=["first request", "kept alive"])
def test_bytes_do_not_extend_the_deadline(quick, first):
    before = closed(quick)
    with Wire(quick.url) as wire:
        over = threading.Event()

        def dribble() -> None:
            endless = itertools.chain(b"GET /health HTTP/1.1\r\nHost: x\r\n", itertools.repeat(97))
            try:
                wire.socket.sendall(first)
                for byte in endless:
                    wire.socket.sendall(bytes([byte]))
                    if over.wait(0.02):
                        return
            except OSError:
                pass

        sender = threading.Thread(target=dribble)
        sender.start()
        answer = wire.rest()  # returns when the server closes
        over.set()
        sender.join()
    assert answer.startswith(b"HTTP/1.1 200 ") if first else answer == b""
    assert answer.count(b"HTTP/1.1") == bool(first)
    assert closed(quick) == before + 1


async def test_a_client_that_does_not_read_its_answers_is_closed(quick):
    before = closed(quick)
    with Wire(quick.url, receive_buffer=4096) as wire:
        wire.socket.sendall(HEALTH.replace(b"/health", b"/style.css") * 2000)
        await quick.eventually(lambda: closed(quick) == before + 1)


def test_a_stream_is_no_waiting_connection(quick):
    before = closed(quick)
    with Wire(quick.url) as stream:
        stream.upgrade()
        for _ in range(3):  # three deadlines go by
            with Wire(quick.url) as silent:
                assert silent.rest() == b""
        stream.say({"type": "hello"})
        stream.say({"type": "end"})
        assert b'"ready"' in stream.socket.recv(65_536)
        stream.socket.sendall(frame(Opcode.CLOSE, b"\x03\xe8"))
    assert closed(quick) == before + 3


async def test_at_the_bound_the_oldest_makes_room(serve):
    running = serve(server__max_waiting=3, server__request_timeout_s=600)
    with Wire(running.url) as oldest, Wire(running.url) as second, Wire(running.url) as third:
        await running.eventually(
            lambda: running.metric("streamd_queue_length", queue="connections") == 2
        )
        assert oldest.rest() == b""  # the scrapes were the fourth, one after the other
        assert closed(running, "crowded") >= 1
        for wire in (second, third):
            wire.socket.settimeout(0)
            with pytest.raises((BlockingIOError, ssl.SSLWantReadError)):
                wire.socket.recv(1)
