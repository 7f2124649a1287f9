"""The same audio gives the same events with a front end, too, and its times are those of the input.

The sound is a voice as the fake passes know it. The front ends are the real ones.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from fakes.driving import (
    ALL_ON,
    Player,
    Stage,
    assert_same_events,
    by_type,
    fake_passes,
    fake_registry,
    hum,
    pcm,
    script,
    tone,
)
from fakes.dropping import Drop, drops, hello_of, log_over, said
from fakes.recipes import GALLERY, Stream, streams
from fakes.returning import Returning
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import front_end

from streamd.engine.local import LocalEngine
from streamd.engine.passes.frontend import front_end_passes
from streamd.events import Event
from streamd.files.offline import OfflineAnalysis
from streamd.front_ends import FrontEnds, installed
from streamd.modules.registry import Registry
from streamd.observability.metrics import Metrics
from streamd.types import AudioFormat

front_end("webrtc", "echo")

common = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def registry() -> Registry:
    made = fake_registry()
    made.front_ends = FrontEnds(installed())
    return made


REGISTRY = registry()


def stage(seed: int | None = None) -> Stage:
    return Stage([*fake_passes(), *front_end_passes()], seed)


@dataclasses.dataclass(frozen=True)
class Enhanced:
    """A stream with a front end; its second channel, if it has one, is the loudspeaker's."""

    stream: Stream
    enhance: str
    cancels: bool

    @property
    def audio(self) -> AudioFormat:
        changes: dict[str, Any] = {"enhance": self.enhance}
        if self.cancels:
            changes |= {"far_end": 0}
        return msgspec.structs.replace(self.stream.audio, **changes)

    def player(self, stage: Stage, ring_s: int = 8) -> Player:
        modules = ALL_ON | {"speaker": {"hop_ms": self.stream.hop_ms}}
        return Player(stage, REGISTRY, modules, self.audio, lambda: GALLERY, ring_s)

    def at_once(self) -> list[Event]:
        return self.player(stage()).play(script(self.stream.data, self.stream.places))


@st.composite
def enhanced(draw: st.DrawFn, most_messages: int = 4) -> Enhanced:
    stream = draw(streams(most_messages=most_messages))
    cancels = stream.codec == "stereo"
    return Enhanced(
        stream, draw(st.sampled_from(["webrtc", "off"] if cancels else ["webrtc"])), cancels
    )


@settings(common, max_examples=25)
@given(made=enhanced(), data=st.data())
def test_events_do_not_hang_on_chunks_and_on_the_order_and_delay_of_answers(
    made: Enhanced, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(made.stream.data)), max_size=40))
    player = made.player(
        stage(data.draw(st.integers(0, 2**32))), data.draw(st.sampled_from([2, 8]))
    )
    events = player.play(script(made.stream.data, made.stream.places, cuts))
    assert_same_events(events, made.at_once())


@settings(common, max_examples=8)
@given(made=enhanced(most_messages=0), blocks=st.lists(st.integers(1, 300_000), max_size=20))
def test_analysis_says_what_the_stream_says(made: Enhanced, blocks: list[int]) -> None:
    passes = [*fake_passes(), *front_end_passes()]
    engine = LocalEngine(passes, max_streams=1, threads=1, metrics=Metrics())
    modules, _ = REGISTRY.resolve(ALL_ON | {"speaker": {"hop_ms": made.stream.hop_ms}})
    analysis = OfflineAnalysis(engine, REGISTRY, modules, made.audio, GALLERY)
    items = script(made.stream.data, (), itertools.accumulate(blocks))
    events = list(analysis.events([i for i in items if isinstance(i, bytes)]))
    assert_same_events(events, made.at_once())
    analysis.close()
    assert engine.leases == 0


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_times_are_those_of_the_input_at_every_rate(rate: int) -> None:
    data = speech(rate)
    plain = played(data, AudioFormat(rate=rate))
    for enhance in ("webrtc",):
        clean = played(data, AudioFormat(rate=rate, enhance=enhance))
        assert len(clean["speech_start"]) == len(plain["speech_start"]) == 2
        for kind in ("speech_start", "speech_end"):
            for one, other in zip(clean[kind], plain[kind], strict=True):
                assert abs(one["t0"] - other["t0"]) <= 64
        assert clean["flushed"] == plain["flushed"]


def speech(rate: int) -> bytes:
    return pcm(
        hum(600, rate), tone(300, 1500, rate=rate), hum(900, rate), tone(2100, 1500, rate=rate)
    )


def played(data: bytes, audio: AudioFormat) -> dict[str, list[dict[str, Any]]]:
    player = Player(stage(), REGISTRY, ALL_ON, audio)
    return by_type(player.play([data, ("flush", "f")]))


@pytest.mark.parametrize("asked", [{"enhance": "deep"}, {"enhance": "webrtc", "far_end": 1}])
def test_what_is_not_installed_is_said_and_the_audio_goes_on_untouched(
    asked: dict[str, Any],
) -> None:
    sound = np.frombuffer(speech(16_000), np.int16)
    data = pcm(np.stack((sound, np.roll(sound, 9000)), axis=1).ravel())
    events = {}
    for audio in (AudioFormat(channels=2, use=(0,)), AudioFormat(channels=2, use=(0,), **asked)):
        player = Player(Stage(), fake_registry(), ALL_ON, audio)
        player.play([data])
        events[audio.enhance] = by_type(player.events)
    plain, lacking = events.values()
    warnings = lacking.pop("warning")
    assert [w["code"] for w in warnings] == ["enhance_unavailable"] * len(asked)
    assert lacking == plain


@settings(common, max_examples=6)
@given(made=enhanced(), plan=st.lists(drops, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_drops_anywhere_change_no_event_that_is_promised(
    made: Enhanced, plan: list[Drop], seed: int
) -> None:
    rng = random.Random(seed)
    *live, ahead = fake_passes()
    modules = ALL_ON | {"speaker": {"hop_ms": made.stream.hop_ms}}

    def log(ends: list[Drop]) -> list[Any]:
        hello = hello_of(made.audio, modules)
        places = said(made.stream.places)
        client = Returning(made.stream.data, made.audio.frame_bytes, places, hello)
        passes = [*live, *front_end_passes(), ahead]
        return log_over(ends, client, rng, passes=passes, registry=REGISTRY)

    assert_same_events(log([]), log(plan))


def test_voices_are_judged_by_the_sound_as_it_came() -> None:
    data = speech(16_000)
    plain = played(data, AudioFormat())
    clean = played(data, AudioFormat(enhance="webrtc"))
    assert len(plain["speaker"]) == len(clean["speaker"]) > 0
    finals = [[e["speaker"] for e in one["speaker"] if e["final"]] for one in (plain, clean)]
    assert finals[0] == finals[1]
