"""A main voice model hears the same windows, and says the same, whatever else differs."""

from __future__ import annotations

import random
from dataclasses import replace

from fakes.driving import (
    ALL_ON,
    Player,
    Stage,
    assert_order,
    assert_same_events,
    script,
)
from fakes.main_voice import BOTH, GALLERY, BothStage
from fakes.recipes import Stream, streams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.events import Event
from streamd.modules.gallery import Gallery

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


CALIBRATED = replace(GALLERY, accept={"wide": 0.9, "narrow": 0.3})


def player_of(stream: Stream, stage: Stage, ring_s: int = 8, gallery: Gallery = GALLERY) -> Player:
    modules = ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}}
    return Player(stage, BOTH, modules, stream.audio, lambda: gallery, ring_s)


def at_once(stream: Stream, gallery: Gallery = GALLERY) -> list[Event]:
    """All in as few messages as can be, every answer at once."""
    events = player_of(stream, BothStage(), gallery=gallery).play(
        script(stream.data, stream.places)
    )
    if ("config", {"vad": False}) not in [m for _, m in stream.messages]:
        assert_order(events)
    return events


@settings(common, max_examples=100)
@given(stream=streams(), data=st.data())
def test_events_do_not_hang_on_chunks_and_on_the_order_and_delay_of_answers(
    stream: Stream, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream.data)), max_size=40))
    ring_s = data.draw(st.sampled_from([2, 8]))
    seed = data.draw(st.integers(0, 2**32))
    gallery = data.draw(st.sampled_from([GALLERY, CALIBRATED]))
    player = player_of(stream, BothStage(seed), ring_s, gallery)
    events = player.play(script(stream.data, stream.places, cuts))
    assert_same_events(events, at_once(stream, gallery))


@settings(common, max_examples=30)
@given(many=st.lists(streams(), min_size=2, max_size=4), seed=st.integers(0, 2**32))
def test_a_stream_among_others_is_what_it_is_alone(many: list[Stream], seed: int) -> None:
    stage, rng = BothStage(seed), random.Random(seed)
    players = [player_of(stream, stage) for stream in many]
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
