"""A connection on a socket in memory, with the real session, engine and passes' fakes."""

import asyncio
import json
import time
from collections.abc import Callable

import pytest
from fakes.driving import hum, pcm, silence, tone, word
from fakes.serving import Line, Server
from waiting import until

HELLO = json.dumps({"type": "hello", "modules": {"wake": {"words": ["alexa"]}}})
AUDIO = pcm(silence(500), word(), silence(1500))


@pytest.fixture
async def line():
    servers: list[Server] = []

    def start(tenant: str = "default", **limits: int) -> Line:
        servers.append(Server(**limits))
        return servers[-1].connect(tenant=tenant)

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
    assert served.server.learned == [("default", {})]


@pytest.mark.parametrize("module", ["speaker", "transcript"])
async def test_what_is_left_out_after_the_end_is_told_at_once(line: Start, module: str) -> None:
    """No audio and no answer comes any more that could carry the gap to the client."""
    served = line()
    load = served.server.services.load
    served.server.engine.run_live_only(True)
    hello = json.dumps({"type": "hello", "modules": {"vad": {}, module: {}}})
    served.put(hello, pcm(tone(300, 900)), '{"type":"end"}')

    def come_late() -> bool:
        for stream in list(load._streams):
            stream.shed(time.monotonic() + 600)
        return "bye" in served.types()

    await until(come_late)
    assert {gap["module"] for gap in served.of("gap")} == {module}
    assert [end["cause"] for end in served.of("speech_end")] == ["end"]


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


@pytest.mark.parametrize(("tenant", "speaker"), [("acme", "anna"), ("other", "S1")])
async def test_a_stream_knows_the_voices_of_its_tenant_alone(
    line: Start, tenant: str, speaker: str
) -> None:
    served = line(tenant=tenant)
    hello = json.dumps({"type": "hello", "modules": {"speaker": {}}})
    served.put(hello, pcm(hum(300), tone(300, 3000), silence(900)), '{"type":"end"}')
    assert await served.code() == 1000
    (final,) = (e for e in served.socket.sent if e["type"] == "speaker" and e["final"])
    assert final["speaker"] == speaker
    assert [who for who, _ in served.server.learned] == [tenant]


@pytest.mark.parametrize(
    ("tenant", "words", "warnings"),
    [("acme", ["alexa", "lantern"], []), ("other", ["alexa"], ["unknown_word"])],
)
async def test_a_stream_knows_the_words_of_its_tenant_alone(
    line: Start, tenant: str, words: list[str], warnings: list[str]
) -> None:
    served = line(tenant=tenant)
    modules = {"wake": {"words": ["alexa", "lantern"]}}
    hello = json.dumps({"type": "hello", "modules": modules})
    again = json.dumps({"type": "config", "modules": modules})
    served.put(hello, again, '{"type":"end"}')
    assert await served.code() == 1000
    assert served.socket.sent[0]["modules"]["wake"]["words"] == words
    warned = [e["code"] for e in served.socket.sent if e["type"] == "warning"]
    assert warned == warnings * 2
