"""A wake word that sleeps while nobody speaks hears what one that never sleeps hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fakes.driving import (
    Player,
    Stage,
    assert_same_events,
    fake_registry,
    hum,
    pcm,
    silence,
    word,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.compose import make_registry
from streamd.config import Config
from streamd.config.sections import WakeConfig
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.base import Pass
from streamd.engine.passes.ge2e import Ge2eAhead, Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.models.library import Library
from streamd.modules.wake import STEP
from streamd.observability.metrics import Metrics
from streamd.types import Job, Samples

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


class Counting(Player):
    """Keeps the scores of the live steps, and counts what the model has heard."""

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
    """A quiet one: noise at -66 dBFS, with a knock now and then."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 16, int(seconds * 16_000))
    for at in rng.integers(0, max(len(sound) - 400, 1), 2):
        sound[at : at + 400] += rng.normal(0, 3000, 400) * np.exp(-np.arange(400) / 60)
    return sound.astype(np.int16)


@pytest.mark.models
def test_with_the_models_that_are_shipped_too_and_its_scores_are_exact() -> None:
    backend, library = OnnxRuntime(), Library()
    passes: list[Pass] = [
        SileroVad(backend, library),
        OpenWakeWord(backend, library, WORDS),
        voice := Ge2eVoice(backend, library),
        Ge2eAhead(voice),
    ]
    parts = []
    for seed, name in enumerate(("slt", "espeak", "kal16")):
        clip, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
        parts += [room(7.3 - seed, seed), clip[: 7 * 16_000]]
    sound = pcm(*parts, room(3, 9))
    players = []
    for gate in (True, False):
        registry = make_registry(Config(wake=WakeConfig(gate=gate)), passes[0], Metrics())
        players.append(Counting(Stage(passes), registry, MODULES))
    asleep, awake = players
    assert_same_events(asleep.play([sound]), awake.play([sound]))
    assert len(asleep.of("wake")) >= 4
    heard = [e["at"] * 16 for e in asleep.of("wake")]
    for stop in {at + d * STEP for at in heard for d in range(-3, 3)} & asleep.scores.keys():
        for name, (score, _) in asleep.scores[stop].items():
            assert score == pytest.approx(awake.scores[stop][name][0], abs=1e-5)
    assert asleep.steps < 0.9 * awake.steps
