"""The same promise (`docs/wire.md`) with the models that are shipped, on speech."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from backend_under_test import backend_under_test
from fakes.driving import (
    Item,
    Player,
    Stage,
    assert_order,
    assert_same_events,
    by_type,
    pcm,
    script,
    silence,
)
from fakes.dropping import any_drop, hello_of, log_over, said
from fakes.lantern import PHRASES, lantern
from fakes.returning import Returning

from streamd.compose import make_registry
from streamd.config import Config
from streamd.engine.local import LocalEngine
from streamd.engine.passes.base import Pass
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.webrtc import WebrtcVad
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.observability.metrics import Metrics
from streamd.settings import SpeakerSettings
from streamd.types import AudioFormat, Samples

pytestmark = pytest.mark.models

DATA = Path(__file__).parents[1] / "data"
WORDS = ("alexa", "timer")
OWN = {"vad": {}, "wake": {"words": ["hey_lantern", "alexa"]}}
MODULES = {"vad": {}, "wake": {"words": list(WORDS)}, "speaker": {}, "emotion": {}}


@pytest.fixture(scope="module")
def passes() -> list[Pass]:
    backend, library = backend_under_test(), Library()
    return [
        SileroVad(backend, library),
        OpenWakeWord(backend, library, WORDS),
        Voiceprint(backend, library, "campplus_int8"),
        voice := Ge2eVoice(backend, library),
        Ge2eSpeculative(voice),
    ]


@pytest.fixture(scope="module")
def registry(passes: list[Pass]) -> Registry:
    return make_registry(Config(), passes[0], Metrics(), passes[1].heads)


@pytest.fixture(scope="module")
def with_main_voice(passes: list[Pass]) -> Registry:
    """The registry with CAM++ for the main voice model."""
    config = Config(speaker=SpeakerSettings(model="campplus-int8"))
    return make_registry(config, passes[0], Metrics(), passes[1].heads)


def speech(name: str, seconds: float) -> Samples:
    samples, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
    return samples[: int(seconds * 16_000)]


@pytest.fixture(scope="module")
def talk() -> Samples:
    """Two voices, three words, pauses."""
    return np.concatenate(
        [speech("slt", 4.5), silence(900), speech("kal16", 4.2), silence(700), speech("slt", 2)]
    )


def places(size: int, *, gap: bool = True) -> list[tuple[int, Item]]:
    """Messages in the middle of speech, of silence and of a word."""
    found: list[tuple[int, Item]] = [
        (16_000 * 2 // 3, ("flush", "in a word")),
        (16_000 * 3 + 77, ("config", {"speaker": {"hop_ms": 300}})),
        (16_000 * 5, ("flush", "in silence")),
        (16_000 * 8 + 5, ("config", {"vad": {"hangover_ms": 200}, "wake": {"patience": 2}})),
    ]
    if gap:
        found.append((16_000 * 7 + 123, ("gap", 1500)))
    return [(at * size, message) for at, message in found]


def stream(talk: Samples, rate: int) -> tuple[AudioFormat, bytes, list[tuple[int, Item]]]:
    if rate == 16_000:
        return AudioFormat(), pcm(talk), places(2)
    floats = soxr.resample(talk / 32768.0, 16_000, rate).astype("<f4")
    moved = [(at * rate // 16_000 // 4 * 4, message) for at, message in places(4)]
    return AudioFormat(codec="pcm_f32le", rate=rate), floats.tobytes(), moved


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_events_do_not_hang_on_chunks_order_and_delay(
    passes: list[Pass], registry: Registry, talk: Samples, rate: int
) -> None:
    fmt, data, messages = stream(talk, rate)
    found = []
    for seed in (None, rate, rate + 1):
        rng = random.Random(seed)
        cuts = [] if seed is None else rng.sample(range(len(data)), 300)
        player = Player(Stage(passes, seed), registry, MODULES, fmt)
        found.append(player.play(script(data, messages, cuts)))
    at_once, *scheduled = found
    assert_order(at_once)
    lists = by_type(at_once)
    assert {w["word"] for w in lists["wake"]} >= {"alexa"}
    assert len(lists["speech_end"]) >= 5
    assert len(lists["speaker"]) >= 8
    assert len(lists["emotion"]) >= 8
    assert len(lists["flushed"]) == 2
    for events in scheduled:
        assert_same_events(events, at_once)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_events_do_not_hang_on_drops(
    passes: list[Pass], registry: Registry, talk: Samples, rate: int
) -> None:
    fmt, data, messages = stream(talk, rate)
    rng = random.Random(rate)
    hello = hello_of(fmt, MODULES)
    unbroken, resumed = (
        log_over(
            [any_drop(rng, share) for share in shares],
            Returning(data, fmt.frame_bytes, said(messages), hello),
            rng,
            passes=passes,
            registry=registry,
        )
        for shares in ((), (0.3, 0.5, 1.0))
    )
    assert_same_events(unbroken, resumed)
    kinds = [event["type"] for event in resumed]
    assert kinds.count("flushed") == 2
    assert kinds.count("speech_end") >= 5
    assert {"wake", "speaker", "emotion", "gap", "bye"} <= set(kinds)


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_events_of_a_main_voice_model_hang_on_the_audio_alone(
    passes: list[Pass], with_main_voice: Registry, talk: Samples, rate: int
) -> None:
    fmt, data, messages = stream(talk, rate)
    found = []
    for seed in (None, rate):
        rng = random.Random(seed)
        cuts = [] if seed is None else rng.sample(range(len(data)), 300)
        player = Player(Stage(passes, seed), with_main_voice, MODULES, fmt)
        found.append(player.play(script(data, messages, cuts)))
    assert_order(found[0])
    finals = [event for event in by_type(found[0])["speaker"] if event["final"]]
    assert {event["speaker"] for event in finals} >= {"S1", "S2"}
    assert_same_events(found[1], found[0])
    rng = random.Random(rate)
    unbroken, resumed = (
        log_over(
            [any_drop(rng, share) for share in shares],
            Returning(data, fmt.frame_bytes, said(messages), hello_of(fmt, MODULES)),
            rng,
            passes=passes,
            registry=with_main_voice,
        )
        for shares in ((), (0.3, 0.7))
    )
    assert_same_events(unbroken, resumed)


def test_a_stream_among_others_is_what_it_is_alone(
    passes: list[Pass], registry: Registry, talk: Samples
) -> None:
    stage = Stage(passes, seed=4)
    sounds = [talk[i * 20_000 :] for i in range(3)] + [talk[:90_000]]
    players = [Player(stage, registry, MODULES) for _ in sounds]
    for block in range(0, len(talk), 5003):
        for player, sound in zip(players, sounds, strict=True):
            if len(part := sound[block : block + 5003]):
                player.send(pcm(part))
    for player, sound in zip(players, sounds, strict=True):
        alone = Player(Stage(passes), registry, MODULES).play([pcm(sound)])
        assert_same_events(player.end(), alone)


def test_analysis_says_what_the_stream_says(
    passes: list[Pass], registry: Registry, talk: Samples
) -> None:
    engine = LocalEngine(passes, max_streams=1, threads=1, metrics=Metrics())
    modules, _ = registry.resolve(MODULES)
    analysis = OfflineAnalysis(engine, registry, modules, AudioFormat(), Gallery.empty())
    data = pcm(talk)
    events = list(analysis.events(data[i : i + 33_333] for i in range(0, len(data), 33_333)))
    direct = Player(Stage(passes, seed=8), registry, MODULES).play(script(data, (), [9, 99_999]))
    assert_same_events(events, direct)


def test_a_flush_in_silence_changes_nothing_that_follows(
    passes: list[Pass], registry: Registry
) -> None:
    first, second = pcm(speech("slt", 4.5), silence(901)), pcm(speech("kal16", 4.2), silence(900))
    whole = by_type(Player(Stage(passes), registry, MODULES).play([first, second]))
    flushed = Player(Stage(passes), registry, MODULES).play([first, ("flush", "f"), second])
    assert list(by_type(flushed).pop("flushed")) == [{"type": "flushed", "id": "f"}]
    assert_same_events(
        [e for e in flushed if e.__struct_config__.tag != "flushed"],
        Player(Stage(passes), registry, MODULES).play([first, second]),
    )
    assert len(whole["speech_end"]) >= 2


def test_the_detector_whose_state_cannot_be_copied_keeps_the_promise_too(
    passes: list[Pass], talk: Samples
) -> None:
    webrtc: list[Pass] = [WebrtcVad(), *passes[1:]]
    registry = make_registry(Config(), webrtc[0], Metrics(), webrtc[1].heads)
    data, found = pcm(talk), []
    for seed in (None, 1, 2):
        cuts = [] if seed is None else random.Random(seed).sample(range(len(data)), 100)
        # One item failing would rerun the others' detectors; here every item is sound.
        player = Player(Stage(webrtc, seed), registry, MODULES)
        found.append(player.play(script(data, places(2), cuts)))
    assert_order(found[0])
    assert_same_events(found[1], found[0])
    assert_same_events(found[2], found[0])


def test_words_of_ones_own_keep_the_promise(passes: list[Pass], registry: Registry) -> None:
    words = {"hey_lantern": lantern().word}
    first, second = (soundfile.read(PHRASES[v], dtype="int16")[0] for v in ("slt", "kal16"))
    sound = np.concatenate([first, silence(2500), speech("slt", 4), second, silence(600)])
    data = pcm(silence(1000), sound)
    messages: list[tuple[int, Item]] = [
        (2 * (16_000 + len(first)) - 2000, ("flush", "at the end of the word")),
        (2 * 16_000 * 6, ("config", {"wake": {"words": ["alexa", "hey_lantern"]}})),
    ]
    found = []
    for seed in (None, 11, 12):
        cuts = [] if seed is None else random.Random(seed).sample(range(len(data)), 300)
        stage = Stage(passes, seed)
        # A stream with other words, so that batches mix heads.
        mate = Player(stage, registry, {"vad": {}, "wake": {"words": list(WORDS)}})
        mate.send(data[: 16_000 * 8])
        player = Player(stage, registry, OWN, words=words)
        found.append(player.play(script(data, messages, cuts)))
    recognised = [event["word"] for event in by_type(found[0])["wake"]]
    assert recognised.count("hey_lantern") == 2
    for events in found[1:]:
        assert_same_events(events, found[0])
    rng = random.Random(13)
    unbroken, resumed = (
        log_over(
            [any_drop(rng, share) for share in shares],
            Returning(data, 2, said(messages), {"modules": OWN}),
            rng,
            passes=passes,
            registry=registry,
            words=words,
        )
        for shares in ((), (0.3, 0.6))
    )
    assert_same_events(unbroken, resumed)
    assert [event["word"] for event in resumed if event["type"] == "wake"] == recognised
