"""A peer that vanishes is a dropped stream, whatever the server was about to do with it."""

import asyncio
import itertools
import json
import signal

import pytest
from daemons import Daemon, speech
from fakes.line import Line
from fakes.wire import Wire, frame
from websockets.frames import Opcode

from streamd.transport.http.linger import discard_incoming

FLUSH = frame(Opcode.TEXT, json.dumps({"type": "flush", "id": "x" * 100}).encode())
BROKEN = b"\xf0\x80\0\0\0\0"
LAST_WORDS = {
    "nothing": b"",
    "pings": frame(Opcode.PING, b"?") * 200,
    "a frame that is none": BROKEN,
    "pings and a frame that is none": frame(Opcode.PING) * 200 + BROKEN,
    "half a frame": frame(Opcode.BINARY, bytes(640))[:100],
    "flushes": FLUSH * 200,
    "audio": frame(Opcode.BINARY, speech("slt", 2)),
    "a message over the limit": frame(Opcode.BINARY, bytes(1_100_000))[:200_000],
    "an end": frame(Opcode.TEXT, b'{"type":"end"}'),
    "a close": frame(Opcode.CLOSE, b"\x03\xe8"),
    "text that is none": frame(Opcode.TEXT, b"\xff"),
}


def counted(running: Daemon, *codes: str) -> float:
    return sum(running.metric("streamd_streams_total", code=code) for code in codes)


@pytest.mark.parametrize("words", LAST_WORDS.values(), ids=LAST_WORDS)
async def test_whoever_says_it_and_vanishes_is_no_fault_of_ours(daemon: Daemon, words: bytes):
    ours, all_codes = counted(daemon, "1011"), ("1000", "1006", "1009", "4000")
    before = counted(daemon, *all_codes)
    for _ in range(5):
        wire = Wire(daemon.url)
        wire.upgrade()
        wire.say({"type": "hello"})
        wire.socket.sendall(words)
        wire.reset()
    await daemon.eventually(lambda: counted(daemon, *all_codes) == before + 5)
    assert counted(daemon, "1011") == ours
    assert daemon.complaints() == []


async def test_a_ping_and_a_drop_are_a_drop(daemon: Daemon):
    before = counted(daemon, "1006")
    for _ in range(5):
        wire = Wire(daemon.url)
        wire.upgrade()
        wire.socket.sendall(LAST_WORDS["pings"])
        wire.reset()
    await daemon.eventually(lambda: counted(daemon, "1006") == before + 5)
    assert daemon.complaints() == []


async def test_a_drain_meets_peers_that_vanish(serve):
    running = serve()
    wires = [Wire(running.url) for _ in range(10)]
    for wire in wires:
        wire.upgrade()
        wire.say({"type": "hello"})
        wire.say(speech("slt", 1))
    running.process.send_signal(signal.SIGTERM)
    for wire in wires:
        wire.socket.sendall(LAST_WORDS["pings"])
        wire.reset()
    assert await asyncio.to_thread(running.wait) == 0
    assert running.complaints() == []


async def test_a_peer_that_vanished_is_not_waited_for():
    async with Line() as line:
        line.transport.abort()
        await line.settle()
        assert line.transport.get_protocol() is None
        await discard_incoming(line.transport)


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a bad header": b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a bad length": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a bad chunk": b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a good one and no HTTP": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nhello\r\n\r\n",
}


def test_nobody_can_flood_the_log_with_what_is_no_request(serve):
    running = serve()
    for malformed, vanishes in itertools.product(MALFORMED.values(), (False, True)):
        for _ in range(5):
            with Wire(running.url) as wire:
                wire.socket.sendall(malformed)
                if vanishes:
                    wire.reset()
                else:
                    wire.rest()
    refused = [running.metric("streamd_http_errors_total", status=s) for s in ("400", "431")]
    assert sum(refused) >= 5 * (len(MALFORMED) - 1)
    logged = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert [
        line for line in logged if line["message"] not in ("started", "certificate loaded")
    ] == []
