"""A connection on a socket in memory, with the real session, engine and passes' fakes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fakes.driving import enrolled, fake_passes, fake_registry, hum, pcm, silence, tone, word
from fakes.own_words import word as own_word
from fakes.socket import FakeSocket
from waiting import HANG_S, until

from streamd.engine.local import LocalEngine
from streamd.live.connection import Connection
from streamd.live.headroom import Bounds
from streamd.live.load import Load
from streamd.live.services import Limits, Services
from streamd.live.stream import LiveStream
from streamd.live.ticks import Ticks
from streamd.modules.gallery import Gallery
from streamd.modules.words import NO_WORDS
from streamd.observability.metrics import Metrics
from streamd.protocol import messages
from streamd.types import AudioFormat

HELLO = json.dumps({"type": "hello", "modules": {"wake": {"words": ["alexa"]}}})
BOUNDS = {"max_message_bytes": 1 << 20, "max_lag_ms": 1000, "idle_s": 600, "max_session_s": 600}
AUDIO = pcm(silence(500), word(), silence(1500))
VOICES = {"acme": enrolled(anna=300)}
OWN_WORDS = {"acme": {"lantern": own_word("lantern")}}


class Line:
    """A connection that runs, and what it runs on."""

    def __init__(
        self, engine: LocalEngine, metrics: Metrics, tenant: str = "default", **limits: int
    ) -> None:
        ticks = Ticks(engine)
        ticks.start()
        engine.start(ticks.answered)
        self.learned: list[Any] = []
        """Tenant and baselines of each stream that is over."""
        self.services = Services(
            engine,
            ticks,
            fake_registry(),
            lambda tenant: VOICES.get(tenant, Gallery.empty()),
            lambda tenant: OWN_WORDS.get(tenant, NO_WORDS),
            lambda tenant, learned: self.learned.append((tenant, learned)),
            metrics,
            Limits(**(BOUNDS | {"max_events_queued": 100} | limits)),
            8,
            Load(engine, Bounds(4, 0.0, 600.0, 600.0), metrics),
        )
        self.socket = FakeSocket()
        self.stream = LiveStream(self.services, engine.open(), tenant)
        self.connection = Connection(self.socket, self.services, self.stream)
        self.running = asyncio.create_task(self.connection.run())

    def put(self, *sent: str | bytes | None) -> None:
        for message in sent:
            self.socket.incoming.put_nowait(message)

    async def code(self) -> int:
        return await asyncio.wait_for(self.running, HANG_S)

    def types(self) -> list[str]:
        return [event["type"] for event in self.socket.sent]


@pytest.fixture
async def line():
    engines: list[LocalEngine] = []

    def start(**options: Any) -> Line:
        metrics = Metrics()
        *passes, ahead = fake_passes()
        engine = LocalEngine(passes, 4, 1, metrics, [ahead])
        engines.append(engine)
        return Line(engine, metrics, **options)

    yield start
    for engine in engines:
        assert engine.stop(HANG_S)
        engine.collect()  # a stream that dropped may have had a job on a thread
        assert engine.leases == 0


Start = Callable[..., Line]


async def test_a_stream_is_served_from_hello_to_bye(line: Start) -> None:
    served = line()
    served.put(HELLO, AUDIO, '{"type":"end"}')
    assert await served.code() == 1000
    assert served.types()[0] == "ready"
    assert served.types()[-1] == "bye"
    assert "wake" in served.types()
    assert served.socket.closed == (1000, "done")
    assert served.learned == [("default", {})]


async def test_a_socket_that_drops_ends_its_stream_without_a_close(line: Start) -> None:
    served = line()
    served.put(HELLO, AUDIO)
    await until(lambda: "wake" in served.types())
    served.put(None)
    assert await served.code() == 1006
    assert served.socket.closed is None
    assert not served.stream.is_open


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
    await until(lambda: served.stream.is_over)
    blocked.set()
    assert await served.code() == 4008


async def test_a_stream_goes_on_without_a_connection_and_keeps_its_events(line: Start) -> None:
    served = line()
    served.put(None)
    await served.code()
    alone = LiveStream(served.services, served.services.engine.open(), "default")
    alone.open(messages.Hello(audio=AudioFormat(), modules={"wake": {"words": ["alexa"]}}))
    await alone.feed(AUDIO, 0.0)
    await asyncio.wait_for(alone.finish(), HANG_S)
    kept = [event.__struct_config__.tag for event in alone.outbox.take_all()]
    assert kept[0] == "ready"
    assert "wake" in kept
    alone.close()


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
    assert [who for who, _ in served.learned] == [tenant]


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
