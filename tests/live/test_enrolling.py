"""Enrolments of a live stream: who may make one, and what becomes of it and of its answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fakes.driving import hum, pcm, tone, word
from fakes.enrolling import Voices
from fakes.serving import Line, Server
from waiting import until

from streamd.errors import ConfigError, RateExceeded, StoreGone
from streamd.files.enroller import Enroller
from streamd.live import enrolling
from streamd.live.enrolling import Sender, Stored
from streamd.modules.kept_voices import SpokenSample
from streamd.observability.metrics import Metrics

HELLO = json.dumps({"type": "hello", "modules": {"vad": {}, "speaker": {}}})
BERT = pcm(tone(2100, 2500), hum(700))
END = '{"type":"end"}'
FLUSH = '{"type":"flush","id":"f1"}'


def enrol(*utterances: str, speaker: str = "Ada", id: str = "e1") -> str:
    return json.dumps({"type": "enrol", "id": id, "speaker": speaker, "utterances": utterances})


class Store:
    """An enroller whose store answers when a test likes, and as it likes."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sender, str, SpokenSample]] = []
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None
        self.enroller: Enroller | None = None

    def __call__(self, metrics: Metrics) -> "Store":
        return self

    async def of_stream(self, sender: Sender, name: str, sample: SpokenSample) -> Stored:
        self.asked.append((sender, name, sample))
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        assert self.enroller is not None
        return await self.enroller.of_stream(sender, name, sample)

    async def close(self) -> None:
        if self.enroller is not None:
            await self.enroller.close()


Start = Callable[..., Server]


@pytest.fixture
def voices():
    kept = Voices()
    yield kept
    kept.close()


@pytest.fixture
def store(voices: Voices) -> Store:
    made = Store()
    made.enroller = voices.enroller(Metrics())
    return made


@pytest.fixture
async def start(voices: Voices, store: Store) -> AsyncIterator[Start]:
    servers: list[Server] = []

    def begin(**limits: Any) -> Server:
        servers.append(Server(gallery=voices.gallery, enroller=store, **limits))  # type: ignore[arg-type]
        return servers[-1]

    yield begin
    store.may_answer.set()
    for server in servers:
        await server.stop()


def speakers(line: Line) -> list[str | None]:
    return [event["speaker"] for event in line.of("speaker") if event["final"]]


async def test_a_voice_of_the_stream_is_known_to_it_and_to_other_streams(
    start: Start, store: Store, voices: Voices
) -> None:
    store.may_answer.set()
    server, tenant = start(), voices.tenant()
    line = server.connect(tenant=tenant)
    line.put(HELLO, BERT, enrol("u1"), BERT, END)
    assert await line.code() == 1000
    assert speakers(line) == ["S1", "Ada"]
    (sender, name, _) = store.asked[0]
    assert (sender.principal.tenant, name) == (tenant, "Ada")
    other = server.connect(tenant=tenant)
    other.put(HELLO, BERT, END)
    assert await other.code() == 1000
    assert speakers(other) == ["Ada"]
    stranger = server.connect(tenant=voices.tenant())
    stranger.put(HELLO, BERT, END)
    assert await stranger.code() == 1000
    assert speakers(stranger) == ["S1"]
    assert server.metric("stream_enrolments_total", result="enrolled") == 1


async def test_without_the_scope_it_is_forbidden_at_its_place(
    start: Start, store: Store, voices: Voices
) -> None:
    line = start().connect(tenant=voices.tenant(), scopes={"stream"})
    line.put(HELLO, BERT, enrol("u1"), FLUSH, END)
    assert await line.code() == 1000
    (error,) = line.of("error")
    assert (error["code"], error["ref"], error["fatal"]) == ("forbidden", "e1", False)
    assert line.types().index("error") < line.types().index("flushed")
    assert store.asked == []


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (StoreGone("the database was deleted"), "unavailable", True),
        (ConfigError("another database"), "unavailable", True),
        (RateExceeded("too many", retry_after_ms=5000), "rate_exceeded", True),
        (ValueError("an embedding of another size"), "internal", True),
    ],
)
async def test_a_store_that_fails_costs_the_enrolment_and_nothing_else(
    start: Start, store: Store, voices: Voices, fault: Exception, code: str, retryable: bool
) -> None:
    store.fault = fault
    store.may_answer.set()
    server = start()
    line = server.connect(tenant=voices.tenant())
    line.put(HELLO, BERT, enrol("u1"), BERT, END)
    assert await line.code() == 1000
    (error,) = line.of("error")
    assert (error["code"], error["ref"], error["fatal"]) == (code, "e1", False)
    assert error["retryable"] is retryable
    assert error["retry_after_ms"] == {"rate_exceeded": 5000, "unavailable": 1000}.get(code)
    assert speakers(line) == ["S1", "S1"]
    assert server.metric("stream_enrolments_total", result=code) == 1


async def test_bye_and_flushed_wait_for_the_store(
    start: Start, store: Store, voices: Voices
) -> None:
    line = start().connect(tenant=voices.tenant())
    line.put(HELLO, BERT, enrol("u1"), FLUSH, BERT, END)
    await until(lambda: store.asked)
    await asyncio.sleep(0.05)
    assert {"flushed", "bye"}.isdisjoint(line.types())
    store.may_answer.set()
    assert await line.code() == 1000
    answers = [t for t in line.types() if t in ("enrolled", "flushed", "bye")]
    assert answers == ["enrolled", "flushed", "bye"]


async def test_a_drop_while_the_store_works_loses_no_answer(
    start: Start, store: Store, voices: Voices
) -> None:
    server, tenant = start(), voices.tenant()
    line = server.connect(tenant=tenant)
    line.put(HELLO, BERT, enrol("u1"))
    await until(lambda: store.asked)
    line.put(None)
    await line.code()
    store.may_answer.set()
    token = line.sent[0]["resume"]["token"]
    back = server.connect(tenant=tenant)
    seq = max(event.get("seq", 0) for event in line.sent)
    back.put(json.dumps({"type": "hello", "resume": {"token": token, "last_seq": seq}}))
    await until(lambda: back.of("enrolled"))
    assert back.sent[0]["have_controls"] == 1
    back.put(BERT, END)
    assert await back.code() == 1000
    assert speakers(back) == ["Ada"]
    assert len(store.asked) == len(back.of("enrolled")) == 1


async def test_a_stream_that_ends_without_its_client_ends_with_the_answer(
    start: Start, store: Store, voices: Voices
) -> None:
    server, tenant = start(window_s=0), voices.tenant()
    line = server.connect(tenant=tenant)
    line.put(HELLO, BERT, enrol("u1"))
    await until(lambda: store.asked)
    line.put(None)
    await line.code()
    await until(lambda: server.metric("streams_held_ended_total", reason="window") == 1)
    assert server.engine.leases == 1
    store.may_answer.set()
    await until(lambda: server.engine.leases == 0)
    assert [one.name for one in voices.store.of(tenant).speakers()] == ["Ada", "anna"]


async def test_a_stream_that_is_broken_off_leaves_its_enrolment_whole(
    start: Start, store: Store, voices: Voices, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, tenant = start(), voices.tenant()
    begun, may_write = asyncio.Event(), asyncio.Event()
    assert store.enroller is not None
    changed = store.enroller._changed

    async def slowly() -> None:
        begun.set()
        await may_write.wait()
        await changed()

    monkeypatch.setattr(store.enroller, "_changed", slowly)
    store.may_answer.set()
    line = server.connect(tenant=tenant)
    line.put(HELLO, BERT, enrol("u1"))
    await begun.wait()
    line.put(*["no message"] * 10)
    assert await line.code() == 4000
    is_closed = server.engine.leases == 0
    may_write.set()
    assert is_closed
    await store.enroller.close()
    assert "Ada" in voices.gallery(tenant)


async def test_a_wake_word_waits_for_a_slow_store_only_so_long(
    start: Start, store: Store, voices: Voices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolling, "PATIENCE_S", 0.05)
    line = start().connect(tenant=voices.tenant())
    hello = json.dumps({"type": "hello", "modules": {"wake": {"words": ["alexa"]}, "speaker": {}}})
    line.put(hello, BERT, enrol("u1"), pcm(hum(1500), word(), hum(1500)))
    await until(lambda: line.of("wake"))
    assert line.of("enrolled") == []
    store.may_answer.set()
    line.put(END)
    assert await line.code() == 1000
