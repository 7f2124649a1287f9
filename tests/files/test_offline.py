"""A file through the session: the same events as on the wire, however it is read."""

import numpy as np
import pytest
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

from streamd.engine.local import LocalEngine
from streamd.events import Event
from streamd.files.offline import OfflineAnalysis
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.types import AudioFormat

MODULES = ALL_ON | {"speaker": {"hop_ms": 100}}
TALK = pcm(hum(300), tone(300, 9000), silence(500), word(), silence(300), tone(2100, 12_000))


@pytest.fixture
def engine() -> LocalEngine:
    return LocalEngine(fake_passes(), max_streams=1, threads=1, metrics=Metrics())


def analysis_on(engine: LocalEngine, ring_s: int = 8) -> OfflineAnalysis:
    registry = fake_registry()
    modules, _ = registry.resolve(MODULES)
    return OfflineAnalysis(engine, registry, modules, AudioFormat(), Gallery.empty(), ring_s)


@pytest.mark.parametrize("size", [640, 100_001, len(TALK)])
@pytest.mark.parametrize("ring_s", [2, 8, 60])
def test_no_event_is_lost_however_much_is_read_at_once(
    engine: LocalEngine, size: int, ring_s: int
) -> None:
    """Interim events too: nobody reads slowly here."""
    events = list(analysis_on(engine, ring_s).events(pieces(TALK, size)))
    expected = Player(Stage(), modules=MODULES).play([TALK])
    assert len([e for e in expected if getattr(e, "final", None) is False]) > 150
    assert_same_events(events, expected)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))


def test_events_come_as_the_blocks_bring_them(engine: LocalEngine) -> None:
    analysis = analysis_on(engine)
    seen: list[Event] = []
    ats = []
    for block in pieces(TALK, 32_000):
        seen += analysis.feed(block)
        ats.append(max((getattr(e, "at", 0) for e in seen), default=0))
    assert ats == sorted(ats)
    assert ats[5] >= 5000
    assert list(analysis.end())


def test_its_slots_go_back(engine: LocalEngine) -> None:
    for _ in range(3):
        analysis = analysis_on(engine)
        list(analysis.events([TALK[:32_000]]))
        analysis.close()
    assert engine.leases == 0


def test_a_pass_that_fails_is_an_error_and_not_silence() -> None:
    class Broken(type(fake_passes()[0])):  # type: ignore[misc]
        def run(self, *args: object) -> object:
            raise ValueError("broken")

    engine = LocalEngine([Broken(), *fake_passes()[1:]], 1, 1, Metrics())
    with pytest.raises(ValueError, match="broken"):
        list(analysis_on(engine).events([np.ones(99_999, np.int16).tobytes()]))
