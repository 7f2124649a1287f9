"""The same audio gives the same events (`docs/wire.md`), whatever else differs."""

from __future__ import annotations

import itertools
import random

from fakes.driving import (
    ALL_ON,
    Stage,
    assert_order,
    assert_same_events,
    fake_passes,
    script,
)
from fakes.recipes import GALLERY, REGISTRY, Stream, streams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.engine.local import LocalEngine
from streamd.events import Event
from streamd.files.offline import OfflineAnalysis
from streamd.observability.metrics import Metrics

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def at_once(stream: Stream) -> list[Event]:
    """All in as few messages as can be, every answer at once."""
    events = stream.player(Stage()).play(script(stream.data, stream.places))
    if ("config", {"vad": False}) not in [m for _, m in stream.messages]:
        assert_order(events)
    return events


@settings(common, max_examples=90)
@given(stream=streams(), data=st.data())
def test_events_do_not_hang_on_chunks_and_on_the_order_and_delay_of_answers(
    stream: Stream, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream.data)), max_size=40))
    ring_s = data.draw(st.sampled_from([2, 8]))
    seed = data.draw(st.integers(0, 2**32))
    player = stream.player(Stage(seed=seed), ring_s)
    events = player.play(script(stream.data, stream.places, cuts))
    assert_same_events(events, at_once(stream))


@settings(common, max_examples=25)
@given(stream=streams(), size=st.sampled_from(["a byte", "three bytes", "20 ms", "a second"]))
def test_events_do_not_hang_on_the_size_of_messages(stream: Stream, size: str) -> None:
    second = stream.audio.frame_bytes * stream.rate
    length = {"a byte": 1, "three bytes": 3, "20 ms": second // 50, "a second": second}[size]
    # Byte by byte the first and the last half second: all of it would take minutes.
    cuts = list(range(0, len(stream.data), length))
    if length < 100:
        cuts = [c for c in cuts if min(c, len(stream.data) - c) < second // 8]
    events = stream.player(Stage()).play(script(stream.data, stream.places, cuts))
    assert_same_events(events, at_once(stream))


@settings(common, max_examples=40)
@given(many=st.lists(streams(), min_size=2, max_size=5), seed=st.integers(0, 2**32))
def test_a_stream_among_others_is_what_it_is_alone(many: list[Stream], seed: int) -> None:
    stage = Stage(seed=seed)
    rng = random.Random(seed)
    players = [stream.player(stage) for stream in many]
    waiting = {
        player: script(
            stream.data, stream.places, rng.sample(range(len(stream.data)), rng.randint(0, 30))
        )
        for player, stream in zip(players, many, strict=True)
    }
    while any(waiting.values()):
        player = rng.choice([p for p in players if waiting[p]])
        player.send(waiting[player].pop(0))
    for player, stream in zip(players, many, strict=True):
        assert_same_events(player.end(), at_once(stream))


@settings(common, max_examples=25)
@given(stream=streams(most_messages=0), blocks=st.lists(st.integers(1, 300_000), max_size=20))
def test_analysis_says_what_the_stream_says(stream: Stream, blocks: list[int]) -> None:
    engine = LocalEngine(fake_passes(), max_streams=1, threads=1, metrics=Metrics())
    modules, _ = REGISTRY.resolve(ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}, "transcript": {}})
    analysis = OfflineAnalysis(engine, REGISTRY, modules, stream.audio, GALLERY)
    cuts = list(itertools.accumulate(blocks))
    events = list(analysis.events([i for i in script(stream.data, (), cuts) if i]))
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert_same_events(events, at_once(stream))
    bye = analysis.bye()
    assert (bye.seq, bye.events) == (len(events) + 1, len(events))
    analysis.close()
    assert engine.leases == 0
