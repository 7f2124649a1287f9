"""A connection on a socket in memory, with the real session, engine and passes' fakes."""

import asyncio
import json
from collections.abc import Callable

import pytest
from fakes.driving import pcm, silence, word
from fakes.serving import Line, Server
from waiting import until

HELLO = json.dumps({"type": "hello", "modules": {"wake": {"words": ["alexa"]}}})
AUDIO = pcm(silence(500), word(), silence(1500))


@pytest.fixture
async def line():
    servers: list[Server] = []

    def start(**limits: int) -> Line:
        servers.append(Server(**limits))
        return servers[-1].connect()

    yield start
    for server in servers:
        await server.stop()


Start = Callable[..., Line]


async def test_a_stream_is_served_from_hello_to_bye(line: Start) -> None:
    served = line()
    served.put(HELLO, AUDIO, '{"type":"end"}')
    assert await served.code() == 1000
    assert served.types()[0] == "ready"
    assert served.types()[-1] == "bye"
    assert "wake" in served.types()
    assert served.socket.closed == (1000, "done")
    assert served.server.learned == [{}]


async def test_a_socket_that_drops_leaves_its_stream_alive(line: Start) -> None:
    served = line()
    served.put(HELLO, AUDIO)
    await until(lambda: "wake" in served.types())
    served.put(None)
    assert await served.code() == 1006
    assert served.socket.closed is None
    assert len(served.server.held) == served.server.engine.leases == 1
    assert served.server.learned == []


async def test_a_drain_sends_the_finals_and_closes_1012(line: Start) -> None:
    served = line()
    served.put(HELLO, AUDIO)
    await until(lambda: "wake" in served.types())
    served.connection.drain(5)
    assert await served.code() == 1012
    assert "draining" in served.types()


async def test_a_fatal_fault_is_sent_before_the_close(line: Start) -> None:
    served = line()
    served.put('{"type":"hello","audio":{"rate":400}}')
    assert await served.code() == 4005
    assert (served.types(), served.socket.sent[0]["fatal"]) == (["error"], True)


async def test_a_client_that_does_not_read_is_a_slow_consumer(line: Start) -> None:
    served = line(max_events_queued=20)
    blocked = asyncio.Event()

    async def send(text: str) -> None:
        await blocked.wait()

    served.socket.send = send  # type: ignore[method-assign]
    served.socket.is_clear = False
    flushes = [json.dumps({"type": "flush", "id": str(n)}) for n in range(40)]
    served.put(HELLO, AUDIO, *flushes)
    await until(lambda: served.server.metric("slow_consumer_closes_total"))
    blocked.set()
    assert await served.code() == 4008
