"""A wake word that sleeps while nobody speaks gives the scores of one that never sleeps."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from fakes.driving import (
    ALL_ON,
    Player,
    Stage,
    assert_same_events,
    fake_registry,
    hum,
    pcm,
    silence,
    word,
)
from fakes.dropping import Drop, any_drop, drops, log_over
from fakes.returning import Returning
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.compose import make_registry
from streamd.config import Config
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.base import Pass
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.evaluation.rooms import synthetic
from streamd.models.library import Library
from streamd.modules.registry import Registry
from streamd.modules.wake_stepper import STEP
from streamd.observability.metrics import Metrics
from streamd.settings import WakeSettings
from streamd.types import RATE_HZ, Job, Samples

DATA = Path(__file__).parents[1] / "data"
WORDS = ("alexa", "hey_jarvis", "weather", "timer")
MODULES = {"vad": {}, "wake": {"words": list(WORDS)}}
PARTS = {"hum": hum(700), "pause": silence(900), "long pause": silence(5000), "word": word()}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=8), st.integers(0, 4000))
def test_with_any_pauses_the_events_are_the_same(parts: list[str], flush_at: int) -> None:
    sound = pcm(*(PARTS[part] for part in parts))
    cut = min(32 * flush_at, len(sound))
    items = [sound[:cut], ("flush", "f"), sound[cut:]] if parts[0] == "hum" else [sound]
    asleep, awake = (
        Player(Stage(), fake_registry(wake={"gate": gate})).play(items) for gate in (True, False)
    )
    assert_same_events(asleep, awake)


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=6),
    st.lists(drops, min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_with_any_drops_the_events_are_the_same(
    parts: list[str], plan: list[Drop], seed: int
) -> None:
    rng = random.Random(seed)
    data = pcm(*(PARTS[part] for part in parts))
    asleep, awake = (
        log_over(
            ends,
            Returning(data, 2, [], {"modules": ALL_ON}),
            rng,
            registry=fake_registry(wake={"gate": gate}),
        )
        for gate, ends in ((True, plan), (False, []))
    )
    assert_same_events(asleep, awake)


class Counting(Player):
    """Keeps the scores of the live steps, and counts the steps of the model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = 0
        self.scores: dict[int, dict[str, tuple[float, str | None]]] = {}
        complete = self.session.complete

        def keep(job: Job, output: Any) -> None:
            if job.pass_name == "wake" and job.samples is None:
                self.steps += job.steps
                stops = range(job.stop, 0, -STEP)
                self.scores |= dict(zip(stops, reversed(output), strict=False))
            complete(job, output)

        self.session.complete = keep  # type: ignore[method-assign]


def room(seconds: float, seed: int) -> Samples:
    """A quiet room: noise at -66 dBFS, with a knock now and then."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 16, int(seconds * 16_000))
    for at in rng.integers(0, max(len(sound) - 400, 1), 2):
        sound[at : at + 400] += rng.normal(0, 3000, 400) * np.exp(-np.arange(400) / 60)
    return sound.astype(np.int16)


@pytest.fixture(scope="module")
def passes() -> list[Pass]:
    backend, library = OnnxRuntime(), Library()
    return [
        SileroVad(backend, library),
        OpenWakeWord(backend, library, WORDS),
        voice := Ge2eVoice(backend, library),
        Ge2eSpeculative(voice),
    ]


def asleep_and_awake(passes: list[Pass], sound: bytes, modules: Any) -> list[Counting]:
    """The events of a wake word that sleeps, and of one that does not."""
    players = []
    for gate in (True, False):
        players.append(Counting(Stage(passes), registry_of(passes, gate), modules))
        players[-1].play([sound])
    return players


def registry_of(passes: list[Pass], gate: bool) -> Registry:
    config = Config(wake=WakeSettings(gate=gate))
    return make_registry(config, passes[0], Metrics(), passes[1].heads)


@pytest.mark.models
def test_with_the_models_that_are_shipped_too_and_its_scores_are_exact(passes: list[Pass]) -> None:
    parts = []
    for seed, name in enumerate(("slt", "espeak", "kal16")):
        parts += [room(11.3 - seed, seed), clip(name)[: 7 * RATE_HZ]]
    asleep, awake = asleep_and_awake(passes, pcm(*parts, room(3, 9)), MODULES)
    assert_same_events(asleep.events, awake.events)
    assert len(asleep.of("wake")) >= 4
    recognised = [e["at"] * 16 for e in asleep.of("wake")]
    for stop in {at + d * STEP for at in recognised for d in range(-3, 3)} & asleep.scores.keys():
        for name, (score, _) in asleep.scores[stop].items():
            assert score == pytest.approx(awake.scores[stop][name][0], abs=1e-5)
    assert asleep.steps < awake.steps


@pytest.mark.models
def test_with_the_models_that_are_shipped_and_drops_too(passes: list[Pass]) -> None:
    data = pcm(room(8, 0), clip("slt")[: 4 * RATE_HZ], room(7, 1), clip("kal16")[: 4 * RATE_HZ])
    rng = random.Random(2)
    # Shares of what is left: about in the first room, in the second one, and in the last words.
    plan = [any_drop(rng, share) for share in (0.3, 0.5, 0.8)]
    asleep, awake = (
        log_over(
            ends,
            Returning(data, 2, [], {"modules": MODULES}),
            rng,
            passes=passes,
            registry=registry_of(passes, gate),
        )
        for gate, ends in ((True, plan), (False, []))
    )
    assert_same_events(asleep, awake)
    assert [event["type"] for event in asleep].count("wake") >= 2


def clip(name: str) -> Samples:
    """A voice that begins with a wake word."""
    audio, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
    return audio


def words(dbfs: float) -> npt.NDArray[np.float64]:
    """Five voices, a wake word and a little more each, pauses between them."""
    parts = []
    for name in ("slt", "espeak", "kal16", "rms", "awb"):
        voice = clip(name)[: 9 * RATE_HZ // 4].astype(np.float64)
        voice -= voice.mean()
        level = np.sqrt(np.mean(voice**2))
        parts += [np.zeros(5 * RATE_HZ // 2), voice * 10 ** (dbfs / 20) * 32768 / level]
    return np.concatenate([*parts, np.zeros(RATE_HZ)])


def noise(dbfs: float, size: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(7).normal(0, 10 ** (dbfs / 20) * 32768, size)


def in_a_room(speech: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The speech far away in a room that echoes: RT60 0.9 s."""
    echo = synthetic(np.random.default_rng(3), 900).astype(np.float64)
    echo[0] = 0.3
    return np.convolve(speech, echo)[: len(speech)]


WAYS = {
    "at 0 dBFS": lambda: words(0),
    "at -20 dBFS": lambda: words(-20),
    "at -40 dBFS": lambda: words(-40),
    "at -50 dBFS": lambda: words(-50),
    "at -60 dBFS": lambda: words(-60),
    "at -66 dBFS, below the gate of the VAD": lambda: words(-66),
    "at -60 dBFS, from the first sample on": lambda: words(-60)[5 * RATE_HZ // 2 :],
    "in noise 15 dB below": lambda: words(-30) + noise(-45, len(words(0))),
    "in noise 3 dB below": lambda: words(-55) + noise(-58, len(words(0))),
    "in a room": lambda: in_a_room(words(-45)) + noise(-72, len(words(0))),
    "with an offset": lambda: words(-50) + 1000,
}


@pytest.mark.models
@pytest.mark.parametrize("way", WAYS)
def test_a_word_is_recognised_asleep_where_it_is_recognised_awake(
    passes: list[Pass], way: str
) -> None:
    sound = np.clip(np.rint(WAYS[way]()), -32768, 32767).astype(np.int16)
    asleep, awake = asleep_and_awake(passes, sound.tobytes(), MODULES)
    assert_same_events(asleep.events, awake.events)
    assert asleep.of("wake")


@pytest.mark.models
@pytest.mark.parametrize("dbfs", [-90, -50, -30])
def test_it_sleeps_in_steady_noise_of_any_level(passes: list[Pass], dbfs: float) -> None:
    sound = np.rint(noise(dbfs, 20 * RATE_HZ)).astype(np.int16)
    asleep, awake = asleep_and_awake(passes, sound.tobytes(), {"vad": {}, "wake": {}})
    assert asleep.steps < 0.2 * awake.steps
