"""A file on a started engine, which it may share: the events of a stream, and room for others."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from fakes.driving import (
    ALL_ON,
    Player,
    Stage,
    assert_same_events,
    fake_passes,
    fake_registry,
    hum,
    pcm,
    pieces,
    silence,
    tone,
    word,
)
from waiting import HANG_S, until

from streamd.audio.files import Gap
from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeSpeculative, FakeVad, FakeVoice
from streamd.errors import Overloaded
from streamd.events import Event
from streamd.files.analysis import Analysis
from streamd.files.offline import OfflineAnalysis
from streamd.files.recording import Part
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.types import RATE_HZ, AudioFormat

MODULES = ALL_ON | {"speaker": {"hop_ms": 100}}
TALK = pcm(hum(300), tone(300, 4000), silence(500), word(), silence(300), tone(2100, 5000))
REGISTRY = fake_registry()
Started = Callable[..., LocalEngine]


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("streamd"):
        yield


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    engines: list[LocalEngine] = []

    def start(*replaced: Any, max_files: int = 8) -> LocalEngine:
        passes = {p.name: p for p in (*fake_passes(), *replaced)}
        ahead = passes.pop(FakeSpeculative.name)
        engine = LocalEngine(list(passes.values()), 1, 2, Metrics(), [ahead], max_files=max_files)
        engine.start()
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        assert await asyncio.to_thread(engine.stop, HANG_S)
        assert engine.leases == engine.files.leases == 0


def analysis_on(engine: LocalEngine, ring_s: int = 8) -> Analysis:
    modules, _ = REGISTRY.resolve(MODULES)
    return Analysis(engine, REGISTRY, modules, AudioFormat(), Gallery.empty(), ring_s)


async def parts_of(parts: list[Part]) -> AsyncIterator[Part]:
    for part in parts:
        yield part


async def events_of(analysis: Analysis, parts: list[Part]) -> list[Event]:
    try:
        return [event async for event in analysis.events(parts_of(parts))]
    finally:
        analysis.close()


def offline(parts: list[Part]) -> list[Event]:
    engine = LocalEngine(fake_passes(), 1, 1, Metrics())
    modules, _ = REGISTRY.resolve(MODULES)
    return list(
        OfflineAnalysis(engine, REGISTRY, modules, AudioFormat(), Gallery.empty()).events(parts)
    )


@pytest.mark.parametrize("size", [640, 50_001, len(TALK)])
@pytest.mark.parametrize("ring_s", [2, 60])
async def test_a_file_gives_the_events_of_the_stream(
    started: Started, size: int, ring_s: int
) -> None:
    parts: list[Part] = [*pieces(TALK, size)]
    events = await events_of(analysis_on(started(), ring_s), parts)
    assert_same_events(events, Player(Stage(), REGISTRY, MODULES).play([TALK]))
    assert [e.seq for e in events] == list(range(1, len(events) + 1))


async def test_files_side_by_side_give_what_each_gives_alone(started: Started) -> None:
    engine = started()
    files = [[*pieces(TALK[40_000 * n :], 3000 + 7777 * n)] for n in range(6)]
    found = await asyncio.gather(*(events_of(analysis_on(engine), parts) for parts in files))
    for events, parts in zip(found, files, strict=True):
        assert_same_events(events, offline(parts))


async def test_what_a_file_does_not_hold_is_a_gap(started: Started) -> None:
    parts: list[Part] = [TALK[:90_000]]
    parts += [Gap(40), TALK[90_000:100_000]] * 100  # more marks than may wait
    events = await events_of(analysis_on(started()), parts)
    assert_same_events(events, offline(parts))
    assert sum(e.__struct_config__.tag == "gap" for e in events) == 100


async def test_a_file_waits_while_the_engine_has_as_much_of_it_as_the_ring_holds(
    started: Started,
) -> None:
    answers = threading.Event()

    class Slow(FakeVad):
        def run(self, *args: Any) -> Any:
            assert answers.wait(HANG_S)
            return super().run(*args)

    analysis = analysis_on(started(Slow()), ring_s=2)
    reading = asyncio.create_task(events_of(analysis, [TALK * 3]))
    await until(lambda: not analysis.session.room)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not reading.done()
    assert analysis.session.audio.frames < 10 * RATE_HZ < 3 * len(TALK) // 2
    answers.set()
    assert_same_events(await reading, offline([TALK * 3]))


async def test_the_loop_has_its_turns_while_a_file_is_read(started: Started) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await events_of(analysis_on(started(), 60), [TALK])
    counting.cancel()
    assert turns > len(TALK) // 16_384


async def test_a_pass_that_fails_is_an_error_and_the_next_file_is_read(started: Started) -> None:
    class Fragile(FakeVoice):
        is_broken = True

        def run(self, *args: Any) -> Any:
            if self.is_broken:
                raise ValueError("broken")
            return super().run(*args)

    voice = Fragile()
    engine = started(voice)
    with pytest.raises(ValueError, match="broken"):
        await asyncio.wait_for(events_of(analysis_on(engine), [TALK]), HANG_S)
    voice.is_broken = False
    assert_same_events(await events_of(analysis_on(engine), [TALK]), offline([TALK]))


async def test_a_file_that_nobody_waits_for_any_more_gives_its_lease_back(started: Started) -> None:
    engine = started(max_files=1)
    analysis = analysis_on(engine)
    reading = asyncio.create_task(events_of(analysis, [TALK * 20]))
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        analysis_on(engine)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: not engine.files.leases)  # its last batch may be on a thread
    assert_same_events(await events_of(analysis_on(engine), [TALK]), offline([TALK]))
